//! Requests as a service account, with tokens that the server gives for the asking and that are renewed in time.
//!
//! Upstream: controller-manager/pkg/clientbuilder DynamicControllerClientBuilder, behind
//! `--use-service-account-credentials`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use api::{Value, value};
use async_trait::async_trait;
use bytes::Bytes;
use client::{Client, Error, Frames, Resource, Transport};
use http::{HeaderValue, Request, Response, StatusCode, header};
use tokio::sync::Mutex;

const NAMESPACE: &str = "kube-system";
const EXPIRATION_SECONDS: i64 = 3600;
/// A token is renewed when a fifth of its time is left. Upstream: `defaultLeewayPercent`.
const LEEWAY_PERCENT: u32 = 20;
/// Upstream: shorter lifetimes are taken for a clock that goes wrong.
const LIFETIME_MIN: Duration = Duration::from_secs(600);

/// A way to a server as one of its service accounts.
pub struct Account {
    name: String,
    /// Shows nothing about who asks.
    bare: Arc<dyn Transport>,
    /// May make service accounts and their tokens.
    giver: Client,
    token: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    header: HeaderValue,
    until: Instant,
}

// === impl Account ===

impl Account {
    pub fn new(name: &str, bare: Arc<dyn Transport>, giver: Client) -> Account {
        Account { name: name.into(), bare, giver, token: Mutex::default() }
    }

    async fn token(&self) -> Result<HeaderValue, Error> {
        let mut kept = self.token.lock().await;
        if let Some(token) = kept.as_ref().filter(|token| Instant::now() < token.until) {
            return Ok(token.header.clone());
        }
        let token = self.ask().await?;
        *kept = Some(token.clone());
        Ok(token.header)
    }

    /// A new token; the service account is made when there is none.
    async fn ask(&self) -> Result<Token, Error> {
        let accounts = Resource::new("", "v1", "serviceaccounts");
        let target = accounts.named(NAMESPACE, &self.name);
        if self.giver.get(target).await.is_err_and(|error| error.is(api::Reason::NotFound)) {
            let account = value!({
                "kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": (self.name.as_str()), "namespace": NAMESPACE}
            });
            match self.giver.create(accounts.within(NAMESPACE), &account).await {
                Err(error) if !error.is(api::Reason::AlreadyExists) => return Err(error),
                _ => {}
            }
        }
        let request = value!({
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {"expirationSeconds": EXPIRATION_SECONDS}
        });
        read(&self.giver.create(target.below("token"), &request).await?, Instant::now())
    }
}

/// The token that a server gave `now`.
fn read(answer: &Value, now: Instant) -> Result<Token, Error> {
    let seconds = u64::try_from(answer.at("spec").int("expirationSeconds")).unwrap_or_default();
    let lifetime = Duration::from_secs(seconds).max(LIFETIME_MIN);
    let text = format!("Bearer {}", answer.at("status").str("token"));
    let mut header = HeaderValue::from_str(&text)
        .map_err(|_| Error::Unreachable("the server gave no token that can be sent".into()))?;
    header.set_sensitive(true);
    Ok(Token { header, until: now + lifetime * (100 - LEEWAY_PERCENT) / 100 })
}

#[async_trait]
impl Transport for Account {
    async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Frames>, Error> {
        request.headers_mut().insert(header::AUTHORIZATION, self.token().await?);
        let response = self.bare.send(request).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            // It may have been taken back: the next request shows another.
            *self.token.lock().await = None;
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_it_ends() {
        let now = Instant::now();
        let answer = value!({"spec": {"expirationSeconds": 3600}, "status": {"token": "t"}});
        let token = read(&answer, now).expect("it is one");
        assert_eq!((token.header.to_str().ok(), token.until - now), (Some("Bearer t"), Duration::from_secs(2880)));
        let short = value!({"spec": {"expirationSeconds": 1}, "status": {"token": "t"}});
        assert_eq!(read(&short, now).expect("it is one").until - now, Duration::from_secs(480), "clocks may go wrong");
        assert!(read(&value!({"status": {"token": "a\nb"}}), now).is_err());
    }
}
