//! Reviews: questions that are answered at once and never stored.
//!
//! Upstream: pkg/registry/authorization/*/rest.go, pkg/registry/authentication/*/storage.go.

use admission::Operation;
use api::{EcoString, GroupResource, Status, User, Value, meta};
use async_trait::async_trait;
use auth::{authenticate::review as identity, authorize::review as access};

use super::{Answers, Special};
use crate::{Answer, Ask, Registry, managed, options::WriteOptions};

/// A kind of review by what it answers from.
pub enum Review {
    /// May the user of the spec?
    Subject,
    /// The same, in the namespace of the request.
    Local,
    /// May the asker?
    SelfSubject,
    /// What may the asker do in a namespace?
    SelfRules,
    /// Whose token is this?
    Token,
    /// Who is asking?
    SelfIdentity,
}

impl Special for Review {
    fn answers(&self) -> Option<&dyn Answers> {
        Some(self)
    }
}

#[async_trait]
impl Answers for Review {
    async fn answer(
        &self,
        registry: &Registry,
        ask: &Ask,
        mut object: Value,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        // Nothing of it is stored, and yet upstream says who wrote it.
        managed::created(registry, ask, &mut object, options).await;
        let mut object = registry.mutate(ask, Operation::Create, object, Value::NULL, options).await?;
        let errors = registry
            .with_context(ask, options.dry_run, |context| (ask.definition.row.rules.validate)(&object, context));
        errors.into_status(&self.kind(ask), "")?;
        self.check(ask, &object)?;
        registry.validate_lent(ask, Operation::Create, &mut object, Value::NULL, options).await?;
        let status = self.status(registry, ask, &object).await?;
        if matches!(self, Review::SelfRules | Review::SelfIdentity) {
            // Upstream answers with a new object.
            object = Value::object();
            meta::set_gvk(&mut object, &ask.definition.hub);
        }
        if matches!(self, Review::SelfIdentity) {
            object.set_path(&["metadata", "creationTimestamp"], api::time::seconds(registry.clock.now()));
        }
        if matches!(self, Review::Token) {
            // What the client sent as status stays where there is nothing to say.
            let mut said = object.at("status").clone();
            said.set("authenticated", status.bool("authenticated"));
            for (member, found) in status.members().filter(|(_, found)| !found.is_empty()) {
                said.set(member, found.clone());
            }
            said.default("user", Value::object());
            object.set("status", said);
        } else {
            object.set("status", status);
        }
        Ok(Answer::Hub { object, created: true })
    }
}

impl Review {
    /// How errors name it: upstream forgets the kind of access reviews.
    fn kind(&self, ask: &Ask) -> GroupResource {
        let nameless = matches!(self, Review::Local | Review::Subject | Review::SelfSubject);
        let kind = if nameless { EcoString::new() } else { ask.definition.row.kind.clone() };
        GroupResource::new(ask.definition.row.group.clone(), kind)
    }

    fn check(&self, ask: &Ask, object: &Value) -> Result<(), Status> {
        let wanted = object.at_path(&["spec", "resourceAttributes"]).str("namespace");
        if matches!(self, Review::Local) && wanted != ask.namespace() {
            return Err(Status::bad_request(format!(
                "spec.resourceAttributes.namespace must match namespace: {}",
                ask.namespace()
            )));
        }
        if matches!(self, Review::Token) && object.at("spec").str("token").is_empty() {
            return Err(Status::bad_request("token is required for TokenReview in authentication"));
        }
        if matches!(self, Review::SelfRules) && object.at("spec").str("namespace").is_empty() {
            return Err(Status::bad_request("no namespace on request"));
        }
        Ok(())
    }

    async fn status(&self, registry: &Registry, ask: &Ask, object: &Value) -> Result<Value, Status> {
        let spec = object.at("spec");
        Ok(match self {
            Review::Subject | Review::Local => decided(registry, &access::user(spec), spec).await,
            Review::SelfSubject => decided(registry, &ask.user, spec).await,
            Review::SelfRules => registry.authorizer.rules(&ask.user, spec.str("namespace")).to_status(),
            Review::SelfIdentity => api::value!({"userInfo": (identity::user_info(&ask.user))}),
            Review::Token => {
                let audiences: Vec<String> =
                    spec.list("audiences").iter().filter_map(Value::as_str).map(Into::into).collect();
                let outcome =
                    registry.outside()?.review(spec.str("token"), &audiences, registry.clock.now().as_second()).await;
                identity::status(&outcome)
            }
        })
    }
}

/// What the whole chain says about a user.
async fn decided(registry: &Registry, user: &User, spec: &Value) -> Value {
    access::status(&registry.authorizer.decide(user, &access::attributes(spec)).await, spec)
}
