//! A container's log, read from its node.
//!
//! Upstream: apiserver pkg/registry/generic/rest/{streamer,response_checker}.go.

use api::{Reason, Status, status::Details};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use registry::{Ask, special::connect::Road};
use streaming::{dial, messages, upgrade};

use super::{client, foreign, passed, unknown, uri, wrong};
use crate::{Server, body::Body, door::Admitted};

/// So much is read of an error. Upstream: `maxReadLength`.
const ERROR_LEN_MAX: usize = 50_000;

pub async fn answer(server: &Server, ask: &Ask, admitted: &Admitted, road: &Road) -> Result<Response<Body>, Status> {
    if road.host.is_empty() {
        // Nothing runs yet: there is no log, and no error.
        let mut response = Response::new(Body::Whole(None));
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    }
    let ways = &server.ways;
    let target = ways.target(road);
    let (authority, path) = (target.authority(), uri(road, None));
    let failed = |why: &str| unknown(format!("Get \"https://{authority}{path}\": {why}"));
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = path.parse().map_err(|_| failed("it is no address"))?;
    request.headers_mut().insert(header::HOST, HeaderValue::from_str(&authority).map_err(|_| failed("no host"))?);
    let io = target.dial(ways.dial).await.map_err(|why| {
        if why.contains("x509:") {
            server.metrics.resources.untrusted.add(1);
        }
        failed(&why)
    })?;
    let response = dial::call(io, request).await.map_err(|error| failed(&error.to_string()))?;
    if response.status().is_redirection()
        && let Some(location) = response.headers().get(header::LOCATION)
    {
        let location = String::from_utf8_lossy(location.as_bytes());
        return Err(unknown(format!("Get \"{location}\": redirects forbidden")));
    }
    if !(200..=206).contains(&response.status().as_u16()) {
        return Err(refusal(ask, response).await);
    }
    if upgrade::is_websocket(&admitted.parts.headers) {
        return in_messages(admitted, response.into_body());
    }
    let mut answer = Response::new(passed(response.into_body()));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(answer)
}

/// The log as a WebSocket's messages. Upstream: endpoints/handlers/responsewriters StreamObject.
fn in_messages(admitted: &Admitted, body: Incoming) -> Result<Response<Body>, Status> {
    let (method, headers) = (&admitted.parts.method, &admitted.parts.headers);
    let Some((protocol, form)) = messages::choose(&upgrade::protocols(headers)) else {
        return Ok(wrong((StatusCode::FORBIDDEN, String::new())));
    };
    let response = match upgrade::websocket::<String>(method, headers, protocol) {
        Ok(response) => response,
        Err(refusal) => return Ok(wrong(refusal)),
    };
    let client = client(admitted)?;
    tokio::spawn(async move {
        let Ok(client) = client.await else { return };
        // Whoever reads has gone, or the node has: there is nobody to tell.
        let _ = messages::send(Box::new(TokioIo::new(client)), form, body).await;
    });
    Ok(foreign(response.map(|_| Body::Whole(None))))
}

/// What a node's error is to the client. Upstream: `GenericHttpResponseChecker.Check`, `NewGenericServerResponse`.
async fn refusal(ask: &Ask, response: Response<Incoming>) -> Status {
    let code = response.status().as_u16();
    let text = match Limited::new(response.into_body(), ERROR_LEN_MAX).collect().await {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        Err(error) => return Status::internal(error),
    };
    match code {
        500 => Status::internal(text),
        400 => Status::bad_request(text),
        _ => generic(code, &text, ask),
    }
}

fn generic(code: u16, text: &str, ask: &Ask) -> Status {
    let (reason, message): (Reason, String) = match code {
        401 => (Reason::Unauthorized, "the server has asked for the client to provide credentials".into()),
        403 => (Reason::Forbidden, text.into()),
        404 => (Reason::NotFound, "the server could not find the requested resource".into()),
        405 => (Reason::MethodNotAllowed, "the server does not allow this method on the requested resource".into()),
        409 => (Reason::Conflict, "the server reported a conflict".into()),
        422 => (Reason::Invalid, "the server rejected our request due to an error in our request".into()),
        429 => (
            Reason::TooManyRequests,
            "the server has received too many requests and has asked us to try again later".into(),
        ),
        503 => (Reason::ServiceUnavailable, "the server is currently unable to handle the request".into()),
        504 => (
            Reason::Timeout,
            "the server was unable to return a response in the time allotted, but may still be processing the request"
                .into(),
        ),
        501.. => {
            let why = format!("an error on the server ({text:?}) has prevented the request from succeeding");
            (Reason::InternalError, why)
        }
        _ => {
            let why = format!("the server responded with the status code {code} but did not return more information");
            (Reason::Unknown, why)
        }
    };
    let (kind, name) = (format!("{}/{}", ask.definition.row.plural, ask.attributes.subresource), ask.name());
    // Upstream leaves the verb's place empty.
    let message = format!("{message} ( {kind} {name})");
    let details = Details { kind, name: name.into(), ..Details::default() };
    Status::new(code, reason, message).with_details(details)
}
