//! On which day a token that lives in a secret was last used: a label of the secret, by which those that nobody needs are
//! found.
//!
//! Upstream: pkg/serviceaccount/legacy.go patchSecretWithLastUsedDate. There a request waits until it is written; here it
//! does not.

use std::{collections::BTreeSet, sync::Arc};

use api::{GroupResource, Value, meta, value};
use auth::authenticate::service_account;
use jiff::{Timestamp, civil::Date, tz::Offset};
use parking_lot::Mutex;
use registry::Registry;

/// Writes the label.
pub struct Uses(Arc<Noting>);

struct Noting {
    registry: Arc<Registry>,
    /// Secrets, by uid, whose label is being written.
    under_way: Mutex<BTreeSet<String>>,
}

const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";

// === impl Uses ===

impl Uses {
    pub fn new(registry: &Arc<Registry>) -> Uses {
        Uses(Arc::new(Noting { registry: registry.clone(), under_way: Mutex::default() }))
    }
}

impl service_account::Uses for Uses {
    fn used(&self, secret: &Value, now: i64) {
        let Some(today) = due(meta::of(secret).label(LAST_USED).unwrap_or_default(), now) else { return };
        let uid = meta::of(secret).uid().to_owned();
        if !self.0.under_way.lock().insert(uid.clone()) {
            return;
        }
        let (noting, secret) = (self.0.clone(), secret.clone());
        tokio::spawn(async move {
            noting.write(&secret, today).await;
            noting.under_way.lock().remove(&uid);
        });
    }
}

/// The day to write, unless the label says it, or the next one by another server's clock.
fn due(label: &str, now: i64) -> Option<Date> {
    let today = Offset::UTC.to_datetime(Timestamp::from_second(now).ok()?).date();
    let tomorrow = today.tomorrow().ok()?;
    (label != today.to_string() && label != tomorrow.to_string()).then_some(today)
}

// === impl Noting ===

impl Noting {
    async fn write(&self, secret: &Value, today: Date) {
        let meta = meta::of(secret);
        // One of the same name that came after it was not used.
        let patch = value!({"metadata": {"uid": (meta.uid()), "labels": {"kubernetes.io/legacy-token-last-used": (today.to_string())}}});
        let secrets = GroupResource::new("", "secrets");
        if let Err(error) = self.registry.own_merge(&secrets, meta.namespace(), meta.name(), &patch).await {
            tracing::error!(%error, secret = meta.name(), namespace = meta.namespace(), "the last use of its token is not noted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_once() {
        let noon = "2026-02-28T12:00:00Z".parse::<Timestamp>().expect("a time").as_second();
        let written = |label| due(label, noon).map(|day| day.to_string());
        assert_eq!(written("").as_deref(), Some("2026-02-28"));
        assert_eq!(written("2026-02-27").as_deref(), Some("2026-02-28"));
        assert_eq!(written("nonsense").as_deref(), Some("2026-02-28"));
        assert_eq!((written("2026-02-28"), written("2026-03-01")), (None, None), "another server's clock is ahead");
    }
}
