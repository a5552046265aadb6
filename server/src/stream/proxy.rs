//! What is no upgrade, passed on to a node, a pod or a service, and back: headers of the connection stay behind, links are
//! led through here, redirects are told and not followed.
//!
//! Upstream: apimachinery util/proxy/{upgradeaware,transport}.go, Go's httputil.ReverseProxy.

use std::io::{Read, Write};

use api::Status;
use bytes::Bytes;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use registry::special::connect::Road;
use streaming::{dial, tunnel};

use super::{Ways, forwarded_for, html, passed, request, uri};
use crate::{
    body::{Body, Sent},
    door::Admitted,
};

const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
/// What allows other sites to read is the backend's word, and not this server's.
const CORS: [HeaderName; 4] = [
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
];
/// Pages that are longer are not looked through for links.
const PAGE_LEN_MAX: usize = 16 << 20;

/// Where links of the backend lead: `hosts` are its names, `prefix` stands before its paths here.
pub struct Links {
    pub hosts: Vec<String>,
    pub prefix: String,
}

pub async fn answer(ways: &Ways, admitted: &Admitted, mut road: Road, body: Sent) -> Result<Response<Body>, Status> {
    let whole = admitted.wanted.attributes.path.as_str();
    if !road.path.ends_with('/') && whole.ends_with('/') {
        road.path.push('/');
    }
    let said = admitted.parts.uri.query();
    if road.path.is_empty() && matches!(admitted.parts.method, Method::GET | Method::HEAD) {
        return Ok(to_root(whole, said));
    }
    // As upstream finds out what stands before the backend's path here.
    let prefix = whole.strip_suffix(&road.path).unwrap_or(whole).to_owned();
    let mut request = request(admitted, &uri(&road, said), body)?;
    let headers = request.headers_mut();
    tunnel::strip_hop_by_hop(headers);
    forwarded_for(admitted, headers);
    let escaped = uri(&Road { query: None, ..road.clone() }, None);
    if let Ok(value) = HeaderValue::from_str(&clean(&format!("{prefix}{escaped}"))) {
        headers.insert(FORWARDED_URI, value);
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let target = ways.target(&road);
    let links = Links { hosts: vec![target.authority(), host], prefix };
    let failed = |why: String| match why.as_str() {
        dial::NOT_ALLOWED => Status::bad_request(why),
        _ => Status::service_unavailable(format!("error trying to reach service: {why}")),
    };
    let io = target.dial(ways.dial).await.map_err(failed)?;
    let response = dial::call(io, request).await.map_err(|error| failed(error.to_string()))?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked for it, and nobody here goes along.
        return Err(failed("unexpected switch of protocols".into()));
    }
    returned(response, &links).await
}

/// A path without dots and double slashes. Go: `path.Join`.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let end = if path.len() > 1 && path.ends_with('/') { "/" } else { "" };
    format!("/{}{end}", parts.join("/"))
}

/// A proxy's root has a slash at its end, or links on it would lead elsewhere.
fn to_root(path: &str, query: Option<&str>) -> Response<Body> {
    let mut response = Response::new(Body::Whole(None));
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let query = query.filter(|query| !query.is_empty()).map_or_else(String::new, |query| format!("?{query}"));
    if let Ok(location) = HeaderValue::from_str(&format!("{path}/{query}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

async fn returned(mut response: Response<Incoming>, links: &Links) -> Result<Response<Body>, Status> {
    let headers = response.headers_mut();
    tunnel::strip_hop_by_hop(headers);
    for name in CORS {
        headers.remove(name);
    }
    if let Some(location) = headers.get(header::LOCATION).and_then(|location| location.to_str().ok()) {
        let led = HeaderValue::from_str(&links.lead(location)).map_err(Status::internal)?;
        headers.insert(header::LOCATION, led);
        return Ok(response.map(passed));
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_page = kind.split(';').next().is_some_and(|kind| kind.trim() == "text/html");
    let encoding = headers.get(header::CONTENT_ENCODING).map_or(&b""[..], HeaderValue::as_bytes).to_vec();
    if !is_page || !matches!(encoding.as_slice(), b"" | b"gzip") {
        return Ok(response.map(passed));
    }
    page(response, links, !encoding.is_empty()).await
}

/// A page with its links led through here.
async fn page(response: Response<Incoming>, links: &Links, packed: bool) -> Result<Response<Body>, Status> {
    let unread = |why: String| Status::service_unavailable(format!("error trying to reach service: {why}"));
    let (mut parts, body) = response.into_parts();
    let body = Limited::new(body, PAGE_LEN_MAX).collect().await.map_err(|error| unread(error.to_string()))?;
    let mut page = body.to_bytes();
    if packed {
        let mut plain = Vec::new();
        let mut decoder = MultiGzDecoder::new(&page[..]).take(PAGE_LEN_MAX as u64);
        decoder.read_to_end(&mut plain).map_err(|error| unread(error.to_string()))?;
        page = plain.into();
    }
    let mut led = html::rewrite(&page, |link| links.lead(link));
    if packed {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let packed = encoder.write_all(&led).and_then(|()| encoder.finish());
        led = packed.map_err(|error| unread(error.to_string()))?;
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    Ok(Response::from_parts(parts, Body::from(Bytes::from(led))))
}

// === impl Links ===

impl Links {
    /// A link as it has to be here: what leads to the backend's own paths is led through the proxy, and all else stays.
    /// Upstream: `Transport.rewriteURL`.
    pub fn lead(&self, link: &str) -> String {
        let (rest, tail) = link.split_at(link.find(['?', '#']).unwrap_or(link.len()));
        let (host, path) = match rest.split_once("//") {
            Some((scheme, rest)) if scheme.is_empty() || scheme == "http:" || scheme == "https:" => {
                let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (host, path)
            }
            _ => ("", rest),
        };
        let elsewhere = !host.is_empty() && !self.hosts.iter().any(|own| own == host);
        if elsewhere || !path.starts_with('/') || path.parse::<Uri>().is_err() {
            return link.to_owned();
        }
        match path.starts_with(&self.prefix) {
            true => format!("{path}{tail}"),
            false => format!("{}{path}{tail}", self.prefix.trim_end_matches('/')),
        }
    }
}
