//! `/containerLogs`: a container's log, as it is and as it grows.
//!
//! Upstream: pkg/kubelet/server/server.go getContainerLogs.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::sync::mpsc;

use super::{Body, Node, query, text};

/// What of a log is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    pub follow: bool,
    pub previous: bool,
    pub timestamps: bool,
    pub since_seconds: Option<i64>,
    /// RFC 3339.
    pub since_time: Option<String>,
    pub tail_lines: Option<i64>,
    pub limit_bytes: Option<i64>,
}

/// Pieces that come as they are written.
struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

pub async fn answer(node: &Arc<Node>, namespace: &str, pod: &str, container: &str, said: &str) -> Response<Body> {
    let options = match LogOptions::read(said) {
        Ok(options) => options,
        Err((code, why)) => return text(code, why),
    };
    let Some(found) = node.api.pod(namespace, pod) else {
        return text(StatusCode::NOT_FOUND, format!("pod {pod:?} does not exist"));
    };
    if !found.containers.iter().any(|name| name == container) {
        return text(StatusCode::NOT_FOUND, format!("container {container:?} not found in pod {pod:?}"));
    }
    match node.api.logs(&found, container, &options).await {
        Ok(pieces) => {
            let mut response = Response::new(Pieces(pieces).boxed());
            let kind = HeaderValue::from_static("text/plain; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        Err(why) => text(StatusCode::BAD_REQUEST, why),
    }
}

// === impl LogOptions ===

impl LogOptions {
    /// Reads a query, with the code and text of what is wrong in it.
    pub fn read(said: &str) -> Result<LogOptions, (StatusCode, &'static str)> {
        const UNREADABLE: (StatusCode, &str) = (StatusCode::BAD_REQUEST, r#"{"message": "Unable to decode query."}"#);
        const INVALID: (StatusCode, &str) = (StatusCode::UNPROCESSABLE_ENTITY, r#"{"message": "Invalid request."}"#);
        let flag =
            |key| query(said, key).is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "false" | "0"));
        let number = |key| query(said, key).map(|text| text.parse::<i64>().map_err(|_| UNREADABLE)).transpose();
        // What old clients call it; `all` is what leaving it out means.
        let tail_lines = match query(said, "tail").filter(|tail| !tail.is_empty()) {
            Some(tail) if tail == "all" => None,
            Some(tail) => Some(tail.parse().map_err(|_| UNREADABLE)?),
            None => number("tailLines")?,
        };
        let options = LogOptions {
            follow: flag("follow"),
            previous: flag("previous"),
            timestamps: flag("timestamps"),
            since_seconds: number("sinceSeconds")?,
            since_time: query(said, "sinceTime").filter(|time| !time.is_empty()),
            tail_lines,
            limit_bytes: number("limitBytes")?,
        };
        let stream = query(said, "stream").is_some_and(|stream| stream != "All");
        let wrong = options.tail_lines.is_some_and(|n| n < 0)
            || options.limit_bytes.is_some_and(|n| n < 1)
            || options.since_seconds.is_some_and(|n| n < 1)
            || options.since_seconds.is_some() && options.since_time.is_some();
        if wrong || stream { Err(INVALID) } else { Ok(options) }
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(cx).map(|next| next.map(|piece| piece.map(Frame::data)))
    }
}
