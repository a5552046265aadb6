//! A proxy that is asked in HTTP/1.1: CONNECT, and what it says to that.
//!
//! Only a plain 200 is a yes. Bytes that come along with it are nobody's: who dials speaks first.
//! Upstream: egress_selector.go tunnelHTTPConnect.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::{body::Incoming, ext::ReasonPhrase};
use hyper_util::rt::TokioIo;
use streaming::{BoxedIo, dial, pool};

/// A connection to `address`; `io` is one to the proxy, which messages name so.
pub async fn ask(io: BoxedIo, proxy: &str, address: &str) -> Result<BoxedIo, String> {
    let broken =
        |why: String| format!("reading HTTP response from CONNECT to {address} via proxy {proxy} failed: {why}");
    let request = Request::builder().method(Method::CONNECT).uri(address).header(header::HOST, "127.0.0.1");
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| broken(error.to_string()))?;
    let response = dial::call(io, request).await.map_err(|error| broken(pool::text(&error)))?;
    if response.status() != StatusCode::OK {
        let (code, status) = (response.status().as_u16(), status(&response));
        return Err(format!("proxy error from {proxy} while dialing {address}, code {code}: {status}"));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(|error| broken(pool::text(&error)))?;
    let parts = upgraded.downcast::<TokioIo<BoxedIo>>().map_err(|_| broken("it is no connection".into()))?;
    match parts.read_buf.len() {
        0 => Ok(parts.io.into_inner()),
        count => {
            let proxy = api::field::quote(proxy);
            Err(format!("unexpected {count} bytes of buffered data from CONNECT proxy {proxy}"))
        }
    }
}

/// The code with what the proxy says to it.
fn status(response: &Response<Incoming>) -> String {
    let said = response.extensions().get::<ReasonPhrase>().map(|said| String::from_utf8_lossy(said.as_bytes()));
    let words = said.unwrap_or_else(|| response.status().canonical_reason().unwrap_or_default().into());
    format!("{} {words}", response.status().as_u16())
}
