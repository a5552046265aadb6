//! What admission may do and ask, through the registry's own verbs.

use std::sync::{Arc, OnceLock, Weak};

use admission::{Act, May};
use api::{Attributes, GroupResource, Status, User, Value, value};
use async_trait::async_trait;
use auth::authorize::{Authorizer, Verdict};
use registry::{Answer, Registry};

/// Acts as the server. It is bound to the registry once that exists.
#[derive(Default)]
pub struct Acting(OnceLock<Weak<Registry>>);

/// Asks the authorizer.
pub struct Asking(pub Arc<Authorizer>);

impl Acting {
    pub fn bind(&self, registry: &Arc<Registry>) {
        let _ = self.0.set(Arc::downgrade(registry));
    }

    fn registry(&self) -> Result<Arc<Registry>, Status> {
        self.0
            .get()
            .and_then(Weak::upgrade)
            .ok_or_else(|| Status::service_unavailable("the server is starting or stopping"))
    }
}

#[async_trait]
impl Act for Acting {
    async fn create_namespace(&self, name: &str) -> Result<(), Status> {
        let object = value!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}});
        self.registry()?.own_create(&GroupResource::new("", "namespaces"), &object).await.map(drop)
    }

    async fn update_quota_status(&self, quota: Value) -> Result<Value, Status> {
        match self.registry()?.own_update(&GroupResource::new("", "resourcequotas"), "status", &quota).await? {
            Answer::Entry { entry, .. } => Ok(entry.tree()),
            Answer::Hub { object, .. } | Answer::Value { object, .. } => Ok(object),
            _ => Err(Status::internal("an update answers an object")),
        }
    }
}

#[async_trait]
impl May for Asking {
    async fn may(&self, user: &User, attributes: &Attributes) -> Result<bool, Status> {
        Ok(self.0.decide(user, attributes).await.verdict == Verdict::Allow)
    }
}
