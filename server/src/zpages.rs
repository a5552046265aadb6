//! What this process is and how it was started: `/statusz`, `/flagz`, and the queues of priority and fairness.
//!
//! Upstream: apiserver/pkg/server/{statusz,flagz}, util/flowcontrol/apf_controller_debug.go.

use api::{Status, Value, value};
use bytes::Bytes;
use http::{HeaderValue, Response, header};

use crate::{Server, body::Body, door::Admitted, fairness::dump, flow::Flow, negotiate, respond};

const WARNING: &str = "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.";
/// What `/statusz` says there is.
const PATHS: [&str; 7] = ["/flagz", "/healthz", "/livez", "/metrics", "/readyz", "/statusz", "/version"];

/// A page in words and as an object.
struct Page {
    /// `statusz`
    name: &'static str,
    kind: &'static str,
    lines: Vec<(String, String)>,
    object: Value,
}

/// Answers the paths of this module; none when the path is another's.
pub fn answer(server: &Server, admitted: &Admitted) -> Option<Response<Body>> {
    match admitted.wanted.attributes.path.as_str() {
        "/statusz" => Some(page(server, &status(server), admitted)),
        "/flagz" => Some(page(server, &flags(server), admitted)),
        path => queues(server, admitted, path.strip_prefix("/debug/api_priority_and_fairness/")?),
    }
}

fn queues(server: &Server, admitted: &Admitted, which: &str) -> Option<Response<Body>> {
    let Flow::Fair(fairness) = &server.flow else { return None };
    let text = match which {
        "dump_priority_levels" => dump::levels(fairness),
        "dump_queues" => dump::queues(fairness),
        "dump_requests" => {
            let details = admitted.query.get("includeRequestDetails").is_some_and(|said| !said.is_empty());
            dump::requests(fairness, details, server.clock.now())
        }
        _ => return None,
    };
    let mut response = respond::text(200, text);
    response.headers_mut().remove(header::X_CONTENT_TYPE_OPTIONS);
    Some(response)
}

fn status(server: &Server) -> Page {
    let (version, started) = (&server.config.version, server.config.started);
    let up = server.clock.now().as_second() - started;
    let begun = jiff::Timestamp::from_second(started).unwrap_or_default();
    let binary = version.str("gitVersion").trim_start_matches('v').split('+').next().unwrap_or_default();
    let emulation = format!("{}.{}", version.str("emulationMajor"), version.str("emulationMinor"));
    let line = |name: &str, text: String| (name.to_string(), text);
    let when = jiff::fmt::strtime::format("%a %b %e %H:%M:%S UTC %Y", begun).unwrap_or_default();
    Page {
        name: "statusz",
        kind: "Statusz",
        lines: vec![
            line("Started", when),
            line("Up", format!("{} hr {:02} min {:02} sec", up / 3600, up / 60 % 60, up % 60)),
            line("Go version", version.str("goVersion").into()),
            line("Binary version", binary.into()),
            line("Emulation version", emulation.clone()),
            line("Paths", PATHS.join(" ")),
        ],
        object: value!({
            "startTime": (api::time::seconds(begun)), "uptimeSeconds": up, "goVersion": version.str("goVersion"),
            "binaryVersion": binary, "emulationVersion": emulation, "paths": (PATHS.to_vec())
        }),
    }
}

fn flags(server: &Server) -> Page {
    let mut all = Value::object();
    for (name, text) in &server.config.flags {
        all.set(name, text.as_str());
    }
    Page { name: "flagz", kind: "Flagz", lines: server.config.flags.clone(), object: value!({"flags": all}) }
}

/// In words, unless an object of a known version is asked for.
fn page(server: &Server, page: &Page, admitted: &Admitted) -> Response<Body> {
    let accept = negotiate::text(&admitted.parts.headers, header::ACCEPT);
    for clause in accept.split(',').map(str::trim) {
        let has = |part: String| clause.split(';').any(|found| found.trim() == part);
        for version in ["v1beta1", "v1alpha1"] {
            let asked =
                has("g=config.k8s.io".into()) && has(format!("v={version}")) && has(format!("as={}", page.kind));
            if asked && clause.starts_with("application/json") {
                return object(page, version);
            }
        }
        if matches!(clause.split(';').next().unwrap_or("").trim(), "" | "*/*" | "text/*" | "text/plain") {
            return words(page);
        }
    }
    let plain = server.config.offer.plain(&admitted.parts.headers, &admitted.query);
    respond::error(&Status::not_acceptable(&["text/plain", "application/json"]), &plain)
}

fn words(page: &Page) -> Response<Body> {
    let mut text = format!("\napiserver {}\n{WARNING}\n", page.name);
    if page.name == "statusz" {
        text.push('\n');
    }
    for (name, value) in &page.lines {
        let gap = if page.name == "statusz" { "  " } else { " " };
        text += &format!("{name}{gap}{value}\n");
    }
    let mut response = respond::text(200, text);
    response.headers_mut().remove(header::X_CONTENT_TYPE_OPTIONS);
    response
}

fn object(page: &Page, version: &str) -> Response<Body> {
    let mut object = value!({"kind": page.kind, "apiVersion": (format!("config.k8s.io/{version}")), "metadata": {"name": "apiserver"}});
    for (key, member) in page.object.members() {
        object.set(key, member);
    }
    let text = codec::json::to_string(&object) + "\n";
    let mut response = respond::json(Bytes::from(text));
    let kind = format!("application/json;g=config.k8s.io;v={version};as={}", page.kind);
    if let Ok(kind) = HeaderValue::from_str(&kind) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    if version == "v1alpha1" {
        let text = format!("This version of the {} endpoint is deprecated. Please use a newer version.", page.name);
        respond::warn(&mut response, &[text]);
    }
    response
}
