//! How much work a request is: the seats it takes while it is served.
//!
//! Lists are as wide as what they hold in memory at once; all come from memory here and are written piece by piece.
//! Writes take one seat and nothing afterwards: who watches is told by handing out shared bytes, which costs the writer
//! nothing. Upstream: apiserver/pkg/util/flowcontrol/request/list_work_estimator.go.

use api::{Attributes, User};
use registry::options::Query;

use crate::{Server, flow::Flow};

/// Upstream: `MaximumListSeatsLimit` with size-based estimates.
const SEATS_MAX: usize = 100;
const BYTES_PER_SEAT: usize = 100_000;
/// What a list that is written piece by piece holds at most. Upstream: `cacheWithStreamingMaxMemoryUsage`.
const BYTES_MAX: usize = 1_000_000;
/// Of so many objects the size is taken to be that of all.
const SAMPLE: usize = 20;

/// The seats of a request.
pub fn seats(server: &Server, user: &User, attributes: &Attributes, query: &Query) -> usize {
    let Flow::Fair(fairness) = &server.flow else { return 1 };
    let reads_all = match attributes.verb.as_str() {
        "list" => true,
        "watch" => {
            let said = query.get("resourceVersion").unwrap_or_default();
            query.boolean("sendInitialEvents").unwrap_or(false) || matches!(said, "" | "0")
        }
        _ => false,
    };
    if !reads_all || !attributes.name.is_empty() {
        return 1;
    }
    let found = server.registry.catalog.find(&attributes.group, &attributes.version, &attributes.resource);
    let Some((definition, _)) = found else { return 1 };
    let objects = definition.cache.snapshot(0).objects;
    let limit = query.get("limit").and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0);
    let sample: usize = objects.values().take(SAMPLE).map(|entry| entry.json.len()).sum();
    let seats = wide(objects.len().min(limit.unwrap_or(usize::MAX)), sample, objects.len().min(SAMPLE));
    match seats {
        1 => 1,
        seats => seats.min(fairness.seats_max(user, attributes)).min(SEATS_MAX),
    }
}

/// The seats of so many objects, of which `sampled` take `bytes`.
fn wide(objects: usize, bytes: usize, sampled: usize) -> usize {
    let held = (objects * bytes).checked_div(sampled).unwrap_or(0).min(BYTES_MAX);
    held.div_ceil(BYTES_PER_SEAT).max(1)
}

#[cfg(test)]
mod tests {
    use super::wide;

    #[test]
    fn lists_are_as_wide_as_what_they_hold() {
        assert_eq!(wide(0, 0, 0), 1);
        assert_eq!(wide(50, 20_000, 20), 1);
        assert_eq!(wide(250, 20_000, 20), 3);
        assert_eq!(wide(1_000_000, 20_000, 20), 10, "no more than is in memory at once");
    }
}
