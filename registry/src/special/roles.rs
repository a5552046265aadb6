//! Roles and bindings: nobody hands out rights that he has not.
//!
//! Upstream: pkg/registry/rbac/*/policybased/storage.go.

use api::{Status, Value, user};
use async_trait::async_trait;
use auth::escalate::Guard;

use super::{Reservation, Special};
use crate::{Ask, Registry};

/// Roles, or the bindings to them.
pub enum Rights {
    Role,
    Binding,
}

#[async_trait]
impl Special for Rights {
    fn deletes_unsafely(&self) -> bool {
        false
    }

    async fn reserve(
        &self,
        registry: &Registry,
        ask: &Ask,
        new: &mut Value,
        old: &Value,
        _: bool,
    ) -> Result<Reservation, Status> {
        // Whoever may hand out everything is asked nothing: the server's own roles are made before anybody else is known.
        if ask.user.is_in(user::MASTERS) {
            return Ok(Reservation::default());
        }
        let outside = registry.outside()?;
        let guard = Guard { authorizer: &registry.authorizer, index: &outside.index };
        match self {
            Rights::Role => guard.role(&ask.user, &ask.attributes, old, new).await?,
            Rights::Binding => guard.binding(&ask.user, &ask.attributes, old, new).await?,
        }
        Ok(Reservation::default())
    }
}
