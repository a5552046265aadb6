//! What a request may cost: time, company and bytes.
//!
//! Upstream: apiserver/pkg/server/filters/{timeout,maxinflight,longrunning}.go, endpoints/filters/request_deadline.go.

use std::{sync::Arc, time::Duration};

use api::{Attributes, Reason, Status, status::Details};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use registry::options::Query;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{body::Body, respond};

/// Bounds of a server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Upstream: `--request-timeout`.
    pub request: Duration,
    /// Larger bodies are refused. Upstream: 3 MiB.
    pub body_len_max: usize,
    /// So many bytes of bodies are held at a time; what comes beyond is told to come back.
    pub bodies_len_max: usize,
}

/// The bodies of requests that are held.
pub struct Bodies {
    room: Arc<Semaphore>,
    pub len_max: usize,
}

/// Bytes that count for as long as somebody holds them.
struct Counted {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

/// Whether a request may take as long as it likes.
pub fn is_long_running(attributes: &Attributes) -> bool {
    matches!(attributes.verb.as_str(), "watch" | "proxy")
        || (attributes.is_resource
            && matches!(attributes.subresource.as_str(), "attach" | "exec" | "proxy" | "log" | "portforward"))
        || (!attributes.is_resource && attributes.path.starts_with("/debug/pprof/"))
}

/// How long a request may take: what it asks for, but never longer than the server's own limit.
pub fn time(query: &Query, limit: Duration) -> Result<Duration, Status> {
    let Some(said) = query.get("timeout").filter(|s| !s.is_empty()) else { return Ok(limit) };
    let nanos = api::duration::parse(said)
        .map_err(|why| Status::bad_request(format!("invalid timeout specified in the request URL - {why}")))?;
    match u64::try_from(nanos).map(Duration::from_nanos) {
        Ok(asked) if !asked.is_zero() && asked < limit => Ok(asked),
        _ => Ok(limit),
    }
}

/// The answer to a request that took too long: JSON without a kind, whatever was asked for.
pub fn timed_out() -> Response<Body> {
    const TEXT: &str = "{\"metadata\":{},\"status\":\"Failure\",\"message\":\"Timeout: request did not complete within the allotted timeout\",\"reason\":\"Timeout\",\"details\":{},\"code\":504}\n";
    let mut response = respond::text(504, TEXT);
    response.headers_mut().remove(header::X_CONTENT_TYPE_OPTIONS);
    response
}

/// The answer to a request that the server has no room for.
pub fn too_many(retry_after_seconds: u32) -> Response<Body> {
    let mut response = respond::text(StatusCode::TOO_MANY_REQUESTS.as_u16(), format!("{TOO_MANY}\n"));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after_seconds));
    response
}

const TOO_MANY: &str = "Too many requests, please try again later.";

// === impl Bodies ===

impl Bodies {
    pub fn new(limits: &Limits) -> Bodies {
        let room = limits.bodies_len_max.min(Semaphore::MAX_PERMITS);
        Bodies { room: Arc::new(Semaphore::new(room)), len_max: limits.body_len_max }
    }

    /// Room for `len` more bytes on top of what is held already.
    pub fn take(&self, held: &mut Option<OwnedSemaphorePermit>, len: usize) -> Result<(), Status> {
        let more = u32::try_from(len).ok().and_then(|len| self.room.clone().try_acquire_many_owned(len).ok());
        let Some(more) = more else {
            let refused = Status::new(429, Reason::TooManyRequests, TOO_MANY);
            return Err(refused.with_details(Details { retry_after_seconds: 1, ..Details::default() }));
        };
        match held {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        Ok(())
    }
}

/// Bytes that give their room back when nobody holds them any more.
pub fn counted(bytes: Bytes, room: Option<OwnedSemaphorePermit>) -> Bytes {
    match room {
        Some(room) => Bytes::from_owner(Counted { bytes, _room: room }),
        None => bytes,
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn a_request_asks_for_less_time_never_for_more() {
        let asked = |text: &str| time(&Query::parse(text), LIMIT);
        assert_eq!(asked("").ok(), Some(LIMIT));
        assert_eq!(asked("timeout=5s").ok(), Some(Duration::from_secs(5)));
        assert_eq!(asked("timeout=5h").ok(), Some(LIMIT));
        assert_eq!(asked("timeout=0s").ok(), Some(LIMIT));
        assert_eq!(asked("timeout=-1s").ok(), Some(LIMIT));
        let refused = asked("timeout=1x").expect_err("there is no such unit");
        assert_eq!(
            refused.message(),
            "invalid timeout specified in the request URL - time: unknown unit \"x\" in duration \"1x\""
        );
    }

    #[test]
    fn bodies_share_a_bound_and_give_it_back() {
        let bodies = Bodies::new(&Limits { request: LIMIT, body_len_max: 8, bodies_len_max: 10 });
        let mut first = None;
        bodies.take(&mut first, 4).expect("there is room");
        bodies.take(&mut first, 4).expect("there is room");
        let held = counted(Bytes::from_static(b"12345678"), first);
        let refused = bodies.take(&mut None, 4).expect_err("8 of 10 are held");
        assert_eq!((refused.code(), refused.message()), (429, TOO_MANY));
        let part = held.slice(2..4);
        drop(held);
        assert!(bodies.take(&mut None, 4).is_err(), "a slice still holds them");
        drop(part);
        assert!(bodies.take(&mut None, 10).is_ok());
    }

    #[test]
    fn what_lasts_is_upstreams() {
        let of = |method: &str, path: &str| {
            is_long_running(&crate::attributes::of(method, path, &Query::parse("")).attributes)
        };
        assert!(of("GET", "/api/v1/watch/pods") && of("GET", "/api/v1/namespaces/d/pods/p/log"));
        assert!(of("POST", "/api/v1/namespaces/d/pods/p/exec") && of("GET", "/debug/pprof/profile"));
        assert!(!of("GET", "/api/v1/pods") && !of("GET", "/metrics"));
    }
}
