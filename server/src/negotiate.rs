//! In which form a client sends and wants things.
//!
//! Upstream: apiserver/pkg/endpoints/handlers/negotiation.

use api::{Reason, Status, status::Details};
use http::{HeaderMap, header};
use registry::{
    Media,
    options::Query,
    present::{Form, Include, Shape},
};

/// What can be served, in the order in which upstream names it.
const SERVED: [(Media, &str); 4] = [
    (Media::Json, "application/json"),
    (Media::Yaml, "application/yaml"),
    (Media::Protobuf, "application/vnd.kubernetes.protobuf"),
    (Media::Cbor, "application/cbor"),
];

/// In which forms a server talks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offer {
    /// Upstream: feature gate CBORServingAndStorage, off.
    pub cbor: bool,
}

/// What a route gives.
#[derive(Clone, Copy, Debug, Default)]
pub struct Route {
    /// It is a watch.
    pub stream: bool,
    /// It lists.
    pub many: bool,
    /// It has rows for a table.
    pub tables: bool,
    /// Whole objects have no protobuf form: custom resources.
    pub protobuf_free: bool,
}

/// One clause of an Accept header.
struct Clause<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f32,
    parameters: Vec<(&'a str, &'a str)>,
}

// === impl Offer ===

impl Offer {
    fn served(self) -> &'static [(Media, &'static str)] {
        if self.cbor { &SERVED } else { &SERVED[..3] }
    }

    fn names(self) -> Vec<&'static str> {
        self.served().iter().map(|(_, name)| *name).collect()
    }

    /// The media type of a body; JSON when nothing is said.
    pub fn body(self, headers: &HeaderMap) -> Result<Media, Status> {
        let said = text(headers, header::CONTENT_TYPE);
        let kind = said.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        if said.is_empty() {
            return Ok(Media::Json);
        }
        let found = self.served().iter().find(|(_, name)| *name == kind).map(|(media, _)| *media);
        found.ok_or_else(|| Status::unsupported_media_type(&self.names()))
    }

    /// The form of an answer about objects.
    pub fn answer(self, headers: &HeaderMap, query: &Query, route: Route) -> Result<Form, Status> {
        let Route { stream, many, tables, protobuf_free } = route;
        let pretty = is_pretty(headers, query);
        let accept = text(headers, header::ACCEPT);
        if accept.trim().is_empty() {
            return Ok(Form { media: Media::Json, shape: Shape::Object, pretty });
        }
        if !self.is_routed(headers) {
            return Err(self.nothing_served(many));
        }
        for clause in clauses(accept) {
            for (media, name) in self.served() {
                if clause.takes(name)
                    && let Some(shape) = shape(&clause, *media, query)?
                    && (tables || !matches!(shape, Shape::Table { .. }))
                    && !(protobuf_free && *media == Media::Protobuf && shape == Shape::Object)
                    && let Some(wants_stream) = clause.stream()
                    && (!(wants_stream || stream) || *media != Media::Yaml)
                {
                    let pretty = pretty || clause.parameters.contains(&("pretty", "1"));
                    return Ok(Form { media: *media, shape, pretty });
                }
            }
        }
        let names = self.names();
        if stream {
            // YAML has no end within a stream.
            let streams = self.served().iter().filter(|(media, _)| *media != Media::Yaml);
            let names: Vec<String> = streams.map(|(_, name)| format!("{name};stream=watch")).collect();
            return Err(Status::not_acceptable(&names.iter().map(String::as_str).collect::<Vec<_>>()));
        }
        Err(Status::not_acceptable(&names))
    }

    /// Whether a route takes the Accept header: routes look first, and at nothing but names.
    pub fn is_routed(self, headers: &HeaderMap) -> bool {
        is_produced(headers, &self.names())
    }

    /// Upstream: go-restful's answer, which names what the route produces.
    fn nothing_served(self, many: bool) -> Status {
        let mut served = self.names();
        if many {
            served.extend(["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"]);
            served.extend(self.cbor.then_some("application/cbor;stream=watch"));
        }
        not_produced(&served)
    }

    /// The form of what has one shape and may be refused: discovery. `routed`: it stands behind a route.
    pub fn document(self, headers: &HeaderMap, query: &Query, routed: bool) -> Result<Form, Status> {
        if routed && !self.is_routed(headers) {
            return Err(self.nothing_served(false));
        }
        let clauses = clauses(text(headers, header::ACCEPT));
        let takes = |clause: &Clause<'_>, name: &str| clause.takes(name) && clause.parameter("as").is_none();
        let is_taken = |(_, name): &&(Media, &str)| clauses.iter().any(|clause| takes(clause, name));
        match clauses.is_empty() || self.served().iter().any(|served| is_taken(&served)) {
            true => Ok(self.plain(headers, query)),
            false => Err(Status::not_acceptable(&self.names())),
        }
    }

    /// The form of something that has no other shape and is always told: a Status.
    pub fn plain(self, headers: &HeaderMap, query: &Query) -> Form {
        let pretty = is_pretty(headers, query);
        let accept = text(headers, header::ACCEPT);
        let media = clauses(accept)
            .iter()
            .filter(|c| c.parameter("as").is_none())
            .find_map(|c| self.served().iter().find(|(_, name)| c.takes(name)).map(|(media, _)| *media))
            .unwrap_or(Media::Json);
        Form { media, shape: Shape::Object, pretty }
    }
}

/// Whether a route that produces these takes the Accept header. Upstream: go-restful's `matchesAccept`.
pub fn is_produced(headers: &HeaderMap, names: &[&str]) -> bool {
    let accept = text(headers, header::ACCEPT);
    let named = |part: &str| {
        let name = part.split(';').next().unwrap_or("").trim();
        name == "*/*" || names.contains(&name)
    };
    accept.trim().is_empty() || accept.split(',').any(named)
}

/// The answer of a route that produces none of what is accepted.
pub fn not_produced(names: &[&str]) -> Status {
    let message = format!("406: Not Acceptable\n\nAvailable representations: {}", names.join(", "));
    Status::new(406, Reason::NotAcceptable, message).with_details(Details::default())
}

/// The shape that a clause's parameters ask for; none when this server has no such shape in that media type.
fn shape(clause: &Clause<'_>, media: Media, query: &Query) -> Result<Option<Shape>, Status> {
    let Some(kind) = clause.parameter("as") else { return Ok(Some(Shape::Object)) };
    let version = match (clause.parameter("g"), clause.parameter("v")) {
        (Some("meta.k8s.io"), Some("v1")) => "v1",
        (Some("meta.k8s.io"), Some("v1beta1")) => "v1beta1",
        _ => return Ok(None),
    };
    Ok(match kind {
        "Table" if media != Media::Protobuf => Some(Shape::Table {
            version,
            include: include(query)?,
            headers: !query.boolean("noHeaders").unwrap_or(false),
        }),
        "PartialObjectMetadata" => Some(Shape::Partial { version, many: false }),
        "PartialObjectMetadataList" => Some(Shape::Partial { version, many: true }),
        _ => None,
    })
}

/// Upstream: `ValidateTableOptions`.
fn include(query: &Query) -> Result<Include, Status> {
    match query.get("includeObject").unwrap_or("") {
        "" | "Metadata" => Ok(Include::Metadata),
        "None" => Ok(Include::None),
        "Object" => Ok(Include::Object),
        other => Err(Status::bad_request(format!(
            "Unable to convert to Table as requested: includeObject: Invalid value: {}: must be 'Metadata', 'Object', 'None', or empty",
            api::field::quote(other)
        ))),
    }
}

/// Upstream: `isPrettyPrint`: people at a terminal or a browser get line breaks.
fn is_pretty(headers: &HeaderMap, query: &Query) -> bool {
    if let Some(said) = query.get("pretty").filter(|p| !p.is_empty()) {
        return matches!(said, "1" | "t" | "T" | "true" | "TRUE" | "True");
    }
    let agent = text(headers, header::USER_AGENT);
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|human| agent.starts_with(human))
}

/// The clauses of an Accept header, the best first. Upstream: goautoneg's `ParseAccept`.
fn clauses(accept: &str) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = accept.split(',').filter_map(clause).collect();
    clauses.sort_by(|a, b| b.rank().total_cmp(&a.rank()));
    clauses
}

fn clause(text: &str) -> Option<Clause<'_>> {
    let mut parts = text.split(';').map(str::trim);
    let (kind, subtype) = match parts.next()? {
        "*" => ("*", "*"),
        media => media.split_once('/')?,
    };
    let mut clause = Clause { kind: kind.trim(), subtype: subtype.trim(), quality: 1.0, parameters: Vec::new() };
    for part in parts {
        let Some((key, value)) = part.split_once('=') else { continue };
        match (key.trim(), value.trim()) {
            ("q", value) => clause.quality = value.parse().unwrap_or(1.0),
            (key, value) => clause.parameters.push((key, value)),
        }
    }
    Some(clause)
}

pub(crate) fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
}

// === impl Clause ===

impl Clause<'_> {
    fn takes(&self, name: &str) -> bool {
        let (kind, subtype) = name.split_once('/').unwrap_or((name, ""));
        (self.kind == kind && (self.subtype == subtype || self.subtype == "*"))
            || (self.kind == "*" && self.subtype == "*")
    }

    fn parameter(&self, key: &str) -> Option<&str> {
        self.parameters.iter().find(|(k, _)| *k == key).map(|(_, v)| *v)
    }

    /// Whether a stream is asked for; none when of a kind that nobody serves.
    fn stream(&self) -> Option<bool> {
        match self.parameter("stream") {
            None | Some("") => Some(false),
            Some("watch") => Some(true),
            Some(_) => None,
        }
    }

    /// Quality first, then how special it is.
    fn rank(&self) -> f32 {
        let special = match (self.kind, self.subtype) {
            ("*", _) => 0.0,
            (_, "*") => 0.000_1,
            _ => 0.000_2,
        };
        self.quality + special
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: &str) -> Option<(Media, Shape)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().expect("the cases are header values"));
        let route = Route { tables: true, ..Route::default() };
        Offer::default().answer(&headers, &Query::default(), route).ok().map(|f| (f.media, f.shape))
    }

    #[test]
    fn what_has_no_rows_comes_as_no_table() {
        let mut headers = HeaderMap::new();
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        headers.insert(header::ACCEPT, http::HeaderValue::from_static(table));
        let refused = Offer::default()
            .answer(&headers, &Query::default(), Route::default())
            .expect_err("there is no other clause");
        assert_eq!(refused.code(), 406);
        let either = http::HeaderValue::from_static("application/json;as=Table;v=v1;g=meta.k8s.io,application/json");
        headers.insert(header::ACCEPT, either);
        let form = Offer::default().answer(&headers, &Query::default(), Route::default()).expect("the second clause");
        assert_eq!(form.shape, Shape::Object);
    }

    #[test]
    fn accept_headers_read_as_upstreams() {
        let table = Shape::Table { version: "v1", include: Include::Metadata, headers: true };
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(form(kubectl), Some((Media::Json, table)));
        assert_eq!(
            form("application/vnd.kubernetes.protobuf,application/json"),
            Some((Media::Protobuf, Shape::Object))
        );
        assert_eq!(form("*/*"), Some((Media::Json, Shape::Object)));
        assert_eq!(form("application/json;as=Table;v=v1alpha1;g=meta.k8s.io"), None);
        assert_eq!(form("text/html"), None);
        assert_eq!(form("application/cbor"), None, "its gate is off");
        assert_eq!(form("application/yaml;q=0.5,application/json;q=0.4"), Some((Media::Yaml, Shape::Object)));
    }

    #[test]
    fn errors_have_no_shape() {
        let mut headers = HeaderMap::new();
        headers
            .insert(header::ACCEPT, header::HeaderValue::from_static("application/yaml;as=Bogus;v=v1;g=meta.k8s.io"));
        assert_eq!(Offer::default().plain(&headers, &Query::default()).media, Media::Json);
        headers.insert(header::ACCEPT, header::HeaderValue::from_static("application/yaml"));
        assert_eq!(Offer::default().plain(&headers, &Query::default()).media, Media::Yaml);
    }

    #[test]
    fn cbor_is_served_behind_its_gate() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, header::HeaderValue::from_static("application/cbor"));
        let with = Offer { cbor: true };
        let form = with.answer(&headers, &Query::default(), Route::default()).expect("it is served");
        assert_eq!((form.media, form.shape), (Media::Cbor, Shape::Object));
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/cbor"));
        assert_eq!(with.body(&headers).ok(), Some(Media::Cbor));
        assert_eq!(Offer::default().body(&headers).map_err(|e| e.code()), Err(415));
    }
}
