//! A container's log: what of it is wanted, and where it is.
//!
//! Upstream: pkg/registry/core/pod/rest/log.go, validation.ValidatePodLogOptions.

use api::{
    GroupResource, Status,
    field::{Errors, Path, quote},
};
use jiff::Timestamp;

use super::{Manner, NodeAddresses, Road, Trust, containers, encode};
use crate::{Ask, Registry, options::Query};

/// What of a log is wanted.
struct Wanted {
    flags: Vec<&'static str>,
    numbers: Vec<(&'static str, i64)>,
    since_time: Option<Timestamp>,
    unverified: bool,
}

pub async fn road(registry: &Registry, ask: &Ask, query: &Query, nodes: &NodeAddresses) -> Result<Road, Status> {
    let wanted = Wanted::read(query)?;
    registry.tally.log(wanted.unverified);
    wanted.check(query).into_status(&GroupResource::new("", "PodLogOptions"), ask.name())?;
    let pod = registry.object(ask, "pods", ask.namespace(), ask.name()).await?;
    let container = containers::container(query.get("container").unwrap_or(""), &pod)?;
    let trust = if wanted.unverified { Trust::NodeUnverified } else { Trust::Node };
    let node_name = pod.at("spec").str("nodeName");
    if node_name.is_empty() {
        // It has said nothing yet, which is no error: an empty log, from nowhere.
        let path = String::new();
        return Ok(Road { tls: true, host: String::new(), port: 0, path, query: None, trust, manner: Manner::Log });
    }
    let node = containers::node(registry, ask, node_name, nodes).await?;
    let path = format!("/containerLogs/{}/{}/{container}", ask.namespace(), ask.name());
    let query = Some(encode(wanted.pairs()));
    Ok(Road { tls: true, host: node.host, port: node.port, path, query, trust, manner: Manner::Log })
}

impl Wanted {
    fn read(query: &Query) -> Result<Wanted, Status> {
        let on = |key: &str| query.boolean(key) == Some(true);
        let mut numbers = Vec::new();
        for key in ["sinceSeconds", "tailLines", "limitBytes"] {
            numbers.extend(query.integer(key)?.map(|number| (key, number)));
        }
        let since_time = match query.get("sinceTime") {
            None | Some("" | "null") => None,
            Some(text) => Some(api::time::parse(text).ok_or_else(|| wrong_time(text))?),
        };
        let flags = ["follow", "previous", "timestamps"].into_iter().filter(|key| on(key)).collect();
        Ok(Wanted { flags, numbers, since_time, unverified: on("insecureSkipTLSVerifyBackend") })
    }

    fn number(&self, key: &str) -> Option<i64> {
        self.numbers.iter().find(|(k, _)| *k == key).map(|(_, number)| *number)
    }

    fn check(&self, query: &Query) -> Errors {
        const POSITIVE: &str = "must be greater than 0";
        let mut errors = Errors::new();
        if let Some(lines) = self.number("tailLines").filter(|n| *n < 0) {
            errors.invalid(&Path::new("tailLines"), lines, "must be greater than or equal to 0");
        }
        if let Some(bytes) = self.number("limitBytes").filter(|n| *n < 1) {
            errors.invalid(&Path::new("limitBytes"), bytes, POSITIVE);
        }
        match (self.number("sinceSeconds"), self.since_time) {
            (Some(_), Some(_)) => {
                errors
                    .forbidden(&Path::root().key(""), "at most one of `sinceTime` or `sinceSeconds` may be specified");
            }
            (Some(seconds), None) if seconds < 1 => errors.invalid(&Path::new("sinceSeconds"), seconds, POSITIVE),
            _ => {}
        }
        if query.get("stream").is_some() {
            // Behind PodLogsQuerySplitStreams, which is off.
            errors.forbidden(&Path::new("stream"), "may not be specified");
        }
        errors
    }

    fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs: Vec<(&str, String)> = self.flags.iter().map(|key| (*key, "true".to_owned())).collect();
        pairs.extend(self.numbers.iter().map(|(key, number)| (*key, number.to_string())));
        pairs.extend(self.since_time.map(|at| ("sinceTime", api::time::seconds(at))));
        pairs
    }
}

/// As Go's `time.Parse` says it of a text that is wrong from its beginning.
fn wrong_time(text: &str) -> Status {
    const LAYOUT: &str = "2006-01-02T15:04:05Z07:00";
    let shown = quote(text);
    Status::bad_request(format!("parsing time {shown} as \"{LAYOUT}\": cannot parse {shown} as \"2006\""))
}
