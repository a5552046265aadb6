//! `/debug/api_priority_and_fairness/…`: levels, queues and requests as tables of text.
//!
//! Upstream: apiserver/pkg/util/flowcontrol/apf_controller_debug.go.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Asked, Fairness, queues::Request};

const LEVELS: [&str; 10] = [
    "PriorityLevelName",
    "ActiveQueues",
    "IsIdle",
    "IsQuiescing",
    "WaitingRequests",
    "ExecutingRequests",
    "DispatchedRequests",
    "RejectedRequests",
    "TimedoutRequests",
    "CancelledRequests",
];
const QUEUES: [&str; 9] = [
    "PriorityLevelName",
    "Index",
    "PendingRequests",
    "ExecutingRequests",
    "SeatsInUse",
    "NextDispatchR",
    "InitialSeatsSum",
    "MaxSeatsSum",
    "TotalWorkSum",
];
const REQUESTS: [&str; 10] = [
    "PriorityLevelName",
    "FlowSchemaName",
    "QueueIndex",
    "RequestIndexInQueue",
    "FlowDistingsher",
    "ArriveTime",
    "InitialSeats",
    "FinalSeats",
    "AdditionalLatency",
    "StartTime",
];
const DETAILS: [&str; 8] =
    ["UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource"];
/// Columns are at least so wide. Upstream: `tabwriter.NewWriter(w, 8, 0, 1, ' ', 0)`.
const WIDTH_MIN: usize = 8;

pub fn levels(fairness: &Fairness) -> String {
    let mut rows = vec![words(&LEVELS)];
    for standing in fairness.levels() {
        let name = standing.level().name.clone();
        rows.push(standing.look(|state| {
            let queues = &state.queues;
            let active = queues.each().iter().filter(|queue| !queue.waiting.is_empty()).count();
            let counts = queues.counts;
            vec![
                name,
                active.to_string(),
                queues.is_idle().to_string(),
                false.to_string(),
                counts.waiting.to_string(),
                counts.executing.to_string(),
                counts.dispatched.to_string(),
                counts.rejected.to_string(),
                counts.timed_out.to_string(),
                counts.cancelled.to_string(),
            ]
        }));
    }
    table(&rows)
}

pub fn queues(fairness: &Fairness) -> String {
    let mut rows = vec![words(&QUEUES)];
    for standing in fairness.levels() {
        let name = standing.level().name.clone();
        standing.look(|state| {
            let queues = &state.queues;
            for (index, queue) in queues.each().iter().enumerate() {
                let seats: usize = queue.waiting.iter().filter_map(|t| queues.request(*t)).map(|r| r.seats).sum();
                rows.push(vec![
                    name.clone(),
                    index.to_string(),
                    queue.waiting.len().to_string(),
                    queue.executing.to_string(),
                    queue.seats_used.to_string(),
                    format!("{:.8}ss", queue.next_r),
                    seats.to_string(),
                    seats.to_string(),
                    format!("{:.8}ss", seats as f64 * 0.003),
                ]);
            }
        });
    }
    table(&rows)
}

/// `details` is whether what was asked for is told; `now` by the wall and `since` by the server's own clock.
pub fn requests(fairness: &Fairness, details: bool, now: Timestamp) -> String {
    let since = fairness.begun.elapsed();
    let mut head = words(&REQUESTS);
    if details {
        head.extend(words(&DETAILS));
    }
    let mut rows = vec![head];
    for standing in fairness.levels() {
        let name = standing.level().name.clone();
        standing.look(|state| {
            let queues = &state.queues;
            for (ticket, asked) in &state.asked {
                let Some(request) = queues.request(*ticket) else { continue };
                let queue = request.queue.and_then(|q| queues.each().get(q));
                let place = queue.and_then(|q| q.waiting.iter().position(|t| t == ticket));
                rows.push(row(&name, request, place, asked, details, (now, since)));
            }
        });
    }
    table(&rows)
}

fn row(
    level: &str,
    request: &Request,
    place: Option<usize>,
    asked: &Asked,
    details: bool,
    (now, since): (Timestamp, Duration),
) -> Vec<String> {
    let at = |then: Duration| {
        let ago = SignedDuration::try_from(since.saturating_sub(then)).unwrap_or_default();
        (now - ago).to_string()
    };
    let index = |index: Option<usize>| index.map_or("-1".into(), |i| i.to_string());
    let mut row = vec![
        level.to_string(),
        asked.schema.clone(),
        index(request.queue),
        index(place),
        asked.flow.clone(),
        at(request.arrived),
        request.seats.to_string(),
        "0".into(),
        "0s".into(),
        // Go's zero time stands for one that did not begin.
        request.started.map_or("0001-01-01T00:00:00Z".into(), at),
    ];
    if details {
        let a = &asked.attributes;
        let version = if a.group.is_empty() { a.version.clone() } else { format!("{}/{}", a.group, a.version) };
        row.extend([
            asked.user.clone(),
            a.verb.clone(),
            a.path.clone(),
            a.namespace.clone(),
            a.name.clone(),
            version,
            a.resource.clone(),
            a.subresource.clone(),
        ]);
    }
    row
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

/// Cells end in a comma but the last, and columns are as wide as their widest.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let widest = rows.iter().map(|row| row.get(column).map_or(0, |cell| cell.chars().count() + 1)).max();
        (widest.unwrap_or(0) + 1).max(WIDTH_MIN)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (i, cell) in row.iter().enumerate() {
            match i + 1 == row.len() {
                true => text += cell,
                false => text += &format!("{:<width$}", format!("{cell},"), width = widths[i]),
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_as_upstreams_tabwriter_sets_them() {
        let rows = [words(&LEVELS[..3]), vec!["catch-all".into(), "0".into(), "true".into()]];
        assert_eq!(table(&rows), "PriorityLevelName, ActiveQueues, IsIdle\ncatch-all,         0,            true\n");
        let narrow = [words(&["a", "b", "c"]), words(&["1", "2", "3"])];
        assert_eq!(table(&narrow), "a,      b,      c\n1,      2,      3\n");
    }
}
