//! Servers elsewhere that are asked who somebody is and what he may, and how they are asked: handed in.

use api::Value;
use async_trait::async_trait;

/// A server that answers reviews: a webhook.
#[async_trait]
pub trait Reviewer: Send + Sync {
    /// Sends a review and returns the one that came back, of the same kind. Tries again as upstream does, within the time
    /// that the webhook has. The error says why there is no answer, and nothing of what was sent.
    async fn review(&self, review: &Value) -> Result<Value, Failed>;
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    pub why: String,
    /// Nothing came in time.
    pub is_late: bool,
}

/// Reads documents of an issuer over HTTPS, from servers that are believed for this issuer.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// `bearer` is shown to the server when there is one.
    async fn get(&self, url: &str, bearer: Option<&str>) -> Result<Page, String>;
}

/// What a server said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub code: u16,
    /// `404 Not Found`
    pub status: String,
    pub content_type: String,
    /// For how long it may be kept.
    pub fresh_seconds: i64,
    pub body: Vec<u8>,
}
