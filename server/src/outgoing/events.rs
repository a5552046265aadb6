//! Events of the audit on their way to a server that a kubeconfig names.
//!
//! A list of them is one request, which is made again when it fails, whatever the reason: hardly any would be one to
//! lose events for. Upstream: apiserver/plugin/pkg/audit/webhook/webhook.go, apiserver/pkg/util/webhook/webhook.go.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use audit::backend::Sink;
use bytes::Bytes;

use super::elsewhere::Webhook;

/// Upstream: `DefaultRetryBackoffWithInitialDelay`.
const TRIES: u32 = 5;

/// Takes events for a webhook.
pub struct Events {
    webhook: Webhook,
    /// How long one waits when the first request has failed; each further time half as long again.
    first_wait: Duration,
}

// === impl Events ===

impl Events {
    pub fn new(webhook: Webhook, first_wait: Duration) -> Events {
        Events { webhook, first_wait }
    }
}

#[async_trait]
impl Sink for Events {
    fn name(&self) -> &'static str {
        "webhook"
    }

    async fn write(&self, lines: &[Arc<str>]) -> Result<(), String> {
        let text = Bytes::from(audit::list(lines) + "\n");
        let mut wait = self.first_wait;
        for _ in 1..TRIES {
            let Err(failed) = self.webhook.call(&text, |answer| answer.taken()).await else { return Ok(()) };
            tracing::warn!(why = failed.why, count = lines.len(), "audit events were not taken, and are sent again");
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            let more = (self.webhook.outgoing.settings.draw)(millis / 5 + 1);
            tokio::time::sleep(wait + Duration::from_millis(more)).await;
            wait = wait * 3 / 2;
        }
        self.webhook.call(&text, |answer| answer.taken()).await.map_err(|failed| failed.why)
    }
}
