//! Tokens that somebody elsewhere knows: TokenReviews sent to a webhook.
//!
//! Whatever is no answer, an answer of another kind, and one that says nothing, are no user.
//! Upstream: apiserver plugin/pkg/authenticator/token/webhook/webhook.go.

use std::sync::Arc;

use api::{User, Value, value};
use async_trait::async_trait;

use super::{Elsewhere, Identity, Outcome, Refusal, Token};
use crate::elsewhere::Reviewer;

/// A webhook that is asked whose a token is.
pub struct Webhook {
    pub reviewer: Arc<dyn Reviewer>,
    /// `v1` or `v1beta1`
    pub version: String,
    /// Whom tokens are meant for that the webhook says nothing about: this server.
    pub api_audiences: Vec<String>,
}

#[async_trait]
impl Elsewhere for Webhook {
    async fn authenticate(&self, token: &Token<'_>) -> Outcome {
        let mut spec = value!({"token": (token.text)});
        if !token.audiences.is_empty() {
            spec.set("audiences", token.audiences.to_vec());
        }
        let review = value!({
            "kind": "TokenReview", "apiVersion": (format!("authentication.k8s.io/{}", self.version)),
            "metadata": {}, "spec": (spec), "status": {"user": {}}
        });
        let answer = self.reviewer.review(&review).await.map_err(|failed| Refusal::because(failed.why))?;
        self.read(answer.at("status"), token.audiences)
    }
}

impl Webhook {
    fn read(&self, status: &Value, asked: &[String]) -> Outcome {
        let told = texts(status.at("audiences"));
        let meant = if told.is_empty() { &self.api_audiences } else { &told };
        let audiences: Vec<String> = meant.iter().filter(|audience| asked.contains(audience)).cloned().collect();
        if !asked.is_empty() && audiences.is_empty() {
            return Ok(None);
        }
        if !status.bool("authenticated") {
            return match status.str("error") {
                "" => Ok(None),
                why => Err(Refusal::because(why)),
            };
        }
        let user = status.at("user");
        let user = User {
            name: user.str("username").to_owned(),
            uid: user.str("uid").to_owned(),
            groups: texts(user.at("groups")),
            extra: user.at("extra").members().map(|(key, values)| (key.to_owned(), texts(values))).collect(),
        };
        Ok(Some(Identity { user, audiences, ..Identity::default() }))
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.items().iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
