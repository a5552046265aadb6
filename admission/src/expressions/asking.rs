//! The authorizer, as expressions ask it.
//!
//! Upstream: apiserver/pkg/cel/library/authz.go, plugin/authorizer/caching_authorizer.go.

use std::{collections::BTreeMap, sync::Arc};

use api::{Attributes, User};
use cel::authz::{self, Decision, Question};
use futures::FutureExt;
use parking_lot::Mutex;

use crate::{May, Operation, Request};

/// Whoever asks here is the one who makes the request, unless a service account is named.
struct Asking {
    may: Arc<dyn May>,
    user: User,
    /// What was asked already within this request, by the question as text.
    answers: Mutex<BTreeMap<String, Decision>>,
}

/// The values of `authorizer` and `authorizer.requestResource`.
pub fn authorizer(request: &Request<'_>, may: &Arc<dyn May>) -> (cel::Value, cel::Value) {
    let asking = Arc::new(Asking { may: may.clone(), user: request.user.clone(), answers: Mutex::default() });
    let own = Question {
        verb: verb(request.operation).into(),
        group: request.resource.group.to_string(),
        resource: request.resource.resource.to_string(),
        subresource: request.subresource.into(),
        namespace: request.namespace_known().into(),
        name: request.name_known().into(),
        ..Question::default()
    };
    (authz::authorizer(asking.clone()), authz::resource_check(asking, own))
}

fn verb(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "create",
        Operation::Update => "update",
        Operation::Delete => "delete",
        Operation::Connect => "connect",
    }
}

impl Asking {
    fn ask(&self, question: &Question) -> Decision {
        let other = question.service_account.as_ref().map(|(namespace, name)| {
            let groups =
                ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}"), api::user::AUTHENTICATED];
            User::new(format!("system:serviceaccount:{namespace}:{name}"), &groups)
        });
        let attributes = Attributes {
            verb: question.verb.clone(),
            is_resource: question.path.is_empty(),
            group: question.group.clone(),
            version: "*".into(),
            resource: question.resource.clone(),
            subresource: question.subresource.clone(),
            namespace: question.namespace.clone(),
            name: question.name.clone(),
            path: question.path.clone(),
            field_selector: question.field_selector.clone(),
            label_selector: question.label_selector.clone(),
        };
        let user = other.as_ref().unwrap_or(&self.user);
        // The authorizer reads an index in memory; one that has to wait cannot be asked from within an expression.
        match self.may.may(user, &attributes).now_or_never() {
            Some(Ok(allowed)) => Decision { allowed, ..Decision::default() },
            Some(Err(error)) => Decision { error: Some(error.message().into()), ..Decision::default() },
            None => Decision { error: Some("the authorizer does not answer at once".into()), ..Decision::default() },
        }
    }
}

impl authz::Authorizer for Asking {
    fn authorize(&self, question: &Question) -> Decision {
        let key = format!("{question:?}");
        if let Some(answer) = self.answers.lock().get(&key) {
            return answer.clone();
        }
        let answer = self.ask(question);
        self.answers.lock().insert(key, answer.clone());
        answer
    }
}
