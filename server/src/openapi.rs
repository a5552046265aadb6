//! `/openapi/v2` and `/openapi/v3`: what there is, for machines.
//!
//! Documents are built when asked for, one at a time, and kept compressed; a catalog that changed has other hashes. A
//! hash is that of what a document depends on, so that the index costs no document.
//! Upstream: kube-openapi/pkg/handler, handler3.

use std::{
    collections::HashMap,
    io::{Read, Write},
    sync::Arc,
};

use api::{Value, value};
use bytes::Bytes;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use http::{HeaderName, HeaderValue, Response, header};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use parking_lot::Mutex;
use registry::{
    openapi::{self, Describe, Form, Json, Proto, Sink},
    special::api_services::Remote,
};
use sha2::{Digest, Sha512};

use crate::{
    Server, aggregate,
    body::{Body, Sent},
    door::Admitted,
    negotiate, respond,
};

#[cfg(test)]
mod tests;

/// The documents of a server.
pub struct Documents {
    describe: Arc<dyn Describe>,
    kept: Mutex<HashMap<(String, Media), Document>>,
    /// A build takes some tens of megabytes for a moment: one after the other.
    building: tokio::sync::Mutex<()>,
}

/// A document as it is kept.
#[derive(Clone)]
struct Document {
    etag: String,
    gzip: Bytes,
    made: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Media {
    Json,
    Protobuf,
}

/// The media types of `/openapi/v2`; the second is the third's old name, which is no media type.
const V2_MEDIA: &[(&str, Media)] = &[
    ("application/json", Media::Json),
    ("application/com.github.proto-openapi.spec.v2@v1.0+protobuf", Media::Protobuf),
    (V2_PROTOBUF, Media::Protobuf),
];
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// Those of what is below `/openapi/v3`.
const V3_MEDIA: &[(&str, Media)] = &[
    ("application/json", Media::Json),
    (V3_PROTOBUF, Media::Protobuf),
    ("application/com.github.proto-openapi.spec.v3@v1.0+protobuf", Media::Protobuf),
];
const V3_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";
const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);

impl Documents {
    pub fn new(describe: Arc<dyn Describe>) -> Documents {
        Documents { describe, kept: Mutex::default(), building: tokio::sync::Mutex::default() }
    }
}

/// Answers the paths of this module; none when it is another's.
pub async fn answer(server: &Arc<Server>, admitted: &Admitted) -> Option<Response<Body>> {
    let path = admitted.wanted.attributes.path.as_str();
    let below = path.strip_prefix("/openapi/")?;
    match below {
        "v2" => Some(document(server, admitted, "v2").await),
        "v3" => Some(index(server, negotiate::text(&admitted.parts.headers, header::IF_NONE_MATCH))),
        _ => {
            let path = below.strip_prefix("v3/")?;
            match told(server, path) {
                Some(remote) => Some(aggregate::answer(server, &remote, admitted, Sent::Whole(Bytes::new())).await),
                None => Some(document(server, admitted, path).await),
            }
        }
    }
}

/// Which other server has a document of version 3.
fn told(server: &Server, path: &str) -> Option<Remote> {
    let remotes = server.aggregate.remotes(&*server.registry.cluster.look);
    let has =
        |remote: &&Remote| server.aggregate.told(&remote.name).is_some_and(|told| told.openapi.contains_key(path));
    remotes.iter().find(has).cloned()
}

/// Which documents of version 3 there are. It has no tag, so that only whoever wants none at all is told of no change.
fn index(server: &Server, known: &str) -> Response<Body> {
    // Upstream's aggregator writes the list anew each time.
    let made = http_date(server.clock.now());
    if is_known(known, "") {
        return with(respond::empty(304), header::LAST_MODIFIED, &made);
    }
    let catalog = server.registry.catalog.current();
    let mut paths = Value::object();
    for path in openapi::index(&catalog) {
        let url = url(&path, &etag(server, &path));
        paths.set(&path, value!({"serverRelativeURL": url}));
    }
    let remotes = server.aggregate.remotes(&*server.registry.cluster.look);
    for told in remotes.iter().filter_map(|remote| server.aggregate.told(&remote.name)) {
        for (path, url) in &told.openapi {
            paths.set(path, value!({"serverRelativeURL": (url.as_str())}));
        }
    }
    let text = codec::json::to_string(&value!({"paths": paths}));
    // It says no more of it, and Go guesses.
    let response = with(respond::json(Bytes::from(text)), header::CONTENT_TYPE, "text/plain; charset=utf-8");
    with(response, header::LAST_MODIFIED, &made)
}

fn url(path: &str, etag: &str) -> String {
    format!("/openapi/v3/{path}?hash={etag}")
}

/// The hash of a document.
fn etag(server: &Server, path: &str) -> String {
    let text = openapi::fingerprint(&server.registry.catalog.current(), &form(server), path);
    Sha512::digest(format!("{} {text}", server.config.version.str("gitVersion")))
        .iter()
        .map(|b| format!("{b:02X}"))
        .collect()
}

fn form(server: &Server) -> Form {
    let version = &server.config.version;
    Form {
        version: format!("{}.{}", version.str("emulationMajor"), version.str("emulationMinor")),
        enums: true,
        cbor: server.config.offer.cbor,
    }
}

async fn document(server: &Arc<Server>, admitted: &Admitted, path: &str) -> Response<Body> {
    let v2 = path == "v2";
    let headers = &admitted.parts.headers;
    if !v2 && !openapi::index(&server.registry.catalog.current()).iter().any(|p| p == path) {
        return respond::empty(404);
    }
    let Some(media) = accepted(negotiate::text(headers, header::ACCEPT), if v2 { V2_MEDIA } else { V3_MEDIA }) else {
        return varying(respond::empty(406), v2);
    };
    let etag = etag(server, path);
    let quoted = format!("\"{etag}\"");
    let hash = admitted.query.get("hash").filter(|_| !v2).unwrap_or("").to_string();
    // Only the second version is packed.
    let encodings = if v2 { negotiate::text(headers, header::ACCEPT_ENCODING) } else { "" };
    let mut response = if !hash.is_empty() && hash != etag {
        let response = with(respond::empty(301), header::LOCATION, &url(path, &etag));
        with(response, header::CONTENT_TYPE, content_type(media, v2))
    } else if is_known(negotiate::text(headers, header::IF_NONE_MATCH), &quoted) {
        respond::empty(304)
    } else {
        match kept(server, path, media, &etag).await {
            Ok(document) => with(deliver(&document, encodings), header::CONTENT_TYPE, content_type(media, v2)),
            Err(error) => return respond::text(500, format!("{error}\n")),
        }
    };
    response = varying(with(response, header::ETAG, &quoted), v2);
    if hash == etag {
        let expires = (server.clock.now() + YEAR).to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S UTC");
        response = with(response, header::EXPIRES, &expires.to_string());
        response = with(response, header::CACHE_CONTROL, "public, immutable");
    }
    response
}

/// Whether a client has what has this tag. Upstream: Go's `checkIfNoneMatch`, to which a weak tag is as good.
fn is_known(said: &str, quoted: &str) -> bool {
    let is_it = |known: &str| !quoted.is_empty() && known.strip_prefix("W/").unwrap_or(known) == quoted;
    said.trim().starts_with('*') || said.split(',').any(|known| is_it(known.trim()))
}

/// On what an answer depends: the second version goes through what packs it.
fn varying(mut response: Response<Body>, v2: bool) -> Response<Body> {
    for on in ["Accept-Encoding", "Accept"].into_iter().skip(usize::from(!v2)) {
        response.headers_mut().append(header::VARY, HeaderValue::from_static(on));
    }
    response
}

fn http_date(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The document, built when it is not there or another.
async fn kept(server: &Arc<Server>, path: &str, media: Media, etag: &str) -> Result<Document, String> {
    let documents = &server.openapi;
    let key = (path.to_string(), media);
    let found = || documents.kept.lock().get(&key).filter(|d| d.etag == etag).cloned();
    if let Some(document) = found() {
        return Ok(document);
    }
    let _turn = documents.building.lock().await;
    if let Some(document) = found() {
        return Ok(document);
    }
    let (builder, wanted) = (server.clone(), path.to_string());
    let made = server.clock.now();
    let gzip = tokio::task::spawn_blocking(move || build(&builder, &wanted, media)).await.map_err(|e| e.to_string())?;
    let document = Document { etag: etag.into(), gzip: gzip.map_err(|e| e.to_string())?, made };
    documents.kept.lock().insert(key, document.clone());
    Ok(document)
}

fn build(server: &Server, path: &str, media: Media) -> std::io::Result<Bytes> {
    let catalog = server.registry.catalog.current();
    let (form, describe) = (form(server), &*server.openapi.describe);
    let write = |sink: &mut dyn Sink| match path {
        "v2" => {
            openapi::v2(&catalog, &form, describe, sink);
            Ok(())
        }
        _ if openapi::v3(&catalog, &form, path, describe, sink) => Ok(()),
        _ => Err(std::io::Error::other("the document went away")),
    };
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let encoder = match media {
        Media::Json => {
            let mut sink = Json::new(encoder);
            write(&mut sink)?;
            sink.finish()?
        }
        Media::Protobuf => {
            let mut sink = if path == "v2" { Proto::v2() } else { Proto::v3() };
            write(&mut sink)?;
            encoder.write_all(&sink.finish())?;
            encoder
        }
    };
    encoder.finish().map(Bytes::from)
}

/// The document's bytes, as they are kept for who takes them so.
fn deliver(document: &Document, encodings: &str) -> Response<Body> {
    let gzip = encodings.split(',').any(|e| e.split(';').next().is_some_and(|e| e.trim() == "gzip"));
    let response = if gzip {
        with(respond::json(document.gzip.clone()), header::CONTENT_ENCODING, "gzip")
    } else {
        let mut bytes = Vec::new();
        match GzDecoder::new(&document.gzip[..]).read_to_end(&mut bytes) {
            Ok(_) => respond::json(Bytes::from(bytes)),
            Err(error) => return respond::text(500, format!("{error}\n")),
        }
    };
    with(response, header::LAST_MODIFIED, &http_date(document.made))
}

fn content_type(media: Media, v2: bool) -> &'static str {
    match media {
        Media::Json => "application/json",
        Media::Protobuf if v2 => V2_PROTOBUF,
        Media::Protobuf => V3_PROTOBUF,
    }
}

/// The first of the types that a client takes, in the order of its preference.
fn accepted(accept: &str, offered: &[(&str, Media)]) -> Option<Media> {
    let accept = if accept.trim().is_empty() { "*/*" } else { accept };
    let mut clauses: Vec<(&str, f32)> = accept.split(',').map(clause).collect();
    clauses.sort_by(|a, b| b.1.total_cmp(&a.1));
    let fits = |wanted: &str, offer: &str| match wanted.strip_suffix("/*") {
        Some(kind) => kind == "*" || offer.split('/').next() == Some(kind),
        None => wanted == offer,
    };
    let first =
        |(wanted, _): &(&str, f32)| offered.iter().find(|(offer, _)| fits(wanted, offer)).map(|(_, media)| *media);
    clauses.iter().find_map(first)
}

/// A clause's media type and weight.
fn clause(text: &str) -> (&str, f32) {
    let mut parts = text.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    let weight = parts.find_map(|p| p.strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0);
    (media, weight)
}

fn with(mut response: Response<Body>, name: HeaderName, text: &str) -> Response<Body> {
    if let Ok(text) = HeaderValue::from_str(text) {
        response.headers_mut().insert(name, text);
    }
    response
}
