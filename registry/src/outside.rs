//! What the registry needs of the parts around it, bound once they exist.

use std::sync::Arc;

use api::Status;
use auth::{
    authenticate::{Chain, Issuer, Outcome},
    authorize::Index,
};

use crate::{Registry, openapi::ColumnTexts, special::components::Component};

/// Who tells tokens apart and makes them.
pub struct Outside {
    pub authenticators: Arc<Chain>,
    pub issuer: Issuer,
    /// What this server is called in tokens.
    pub api_audiences: Vec<String>,
    /// Tokens on request are good for no longer; 0: for as long as was asked.
    pub token_seconds_max: i64,
    /// Tokens that pods have mounted live longer than they say.
    pub extends_tokens: bool,
    pub index: Arc<Index>,
    /// The parts of the cluster beside this server.
    pub components: Vec<Component>,
    /// What columns of tables are for.
    pub columns: ColumnTexts,
}

impl Outside {
    pub async fn review(&self, token: &str, audiences: &[String], now: i64) -> Outcome {
        self.authenticators.review(token, audiences, now).await
    }
}

impl Registry {
    /// Binds the parts around; the first call counts.
    pub fn bind(&self, outside: Outside) {
        let _ = self.outside.set(outside);
    }

    pub(crate) fn outside(&self) -> Result<&Outside, Status> {
        self.outside.get().ok_or_else(|| Status::service_unavailable("the server is starting"))
    }
}
