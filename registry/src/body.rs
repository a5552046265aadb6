//! From a request's body to an object of the request's version.
//!
//! Upstream: apiserver/pkg/endpoints/handlers/create.go createHandler, rest.go transformDecodeError.

use api::{Gvk, Status, Value, field::quote};
use schema::{Schemas, TypeId};

use crate::{
    ask::Ask,
    options::Validation,
    types::{Plain, Types},
};

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Media {
    Json,
    Yaml,
    Protobuf,
    Cbor,
}

/// A request's body.
#[derive(Clone, Copy)]
pub struct Body<'a> {
    pub media: Media,
    pub bytes: &'a [u8],
}

/// What a body has to be.
pub struct Expected<'a> {
    pub gvk: &'a Gvk,
    pub kind_type: TypeId,
    pub types: &'a dyn Types,
}

/// Reads a body as the kind that the request's path stands for.
pub fn read(ask: &Ask, body: Body<'_>, expected: &Expected<'_>, validation: Validation) -> Result<Value, Status> {
    let decoded = expected.types.read(body, expected.kind_type);
    let decoded = decoded.map_err(|error| unreadable(body, expected, &error))?;
    let mut object = decoded.value;
    let version = object.str("apiVersion");
    if version.matches('/').count() > 1 {
        return Err(unrecognized(body, expected, &format!("unexpected GroupVersion string: {version}")));
    }
    let gvk = with_defaults(api::meta::gvk(&object), expected.gvk);
    if let Err(refused) = expected.types.check_kind(&gvk, expected.gvk, &object, body.bytes) {
        return Err(in_its_own_words(ask, body, (&gvk, expected), validation, refused));
    }
    if expected.kind_type == ask.served().kind_type {
        let convertible = (ask.definition.row.convertible)(&object);
        convertible.map_err(|why| cannot_be_handled(&gvk, expected.gvk, &why))?;
    }
    if !decoded.strict.is_empty() {
        match validation {
            Validation::Ignore => {}
            Validation::Warn => decoded.strict.iter().for_each(|text| warn(ask, text)),
            Validation::Strict => {
                let error = format!("strict decoding error: {}", decoded.strict.join(", "));
                return Err(cannot_be_handled(&gvk, expected.gvk, &error));
            }
        }
    }
    api::meta::set_gvk(&mut object, expected.gvk);
    Ok(object)
}

/// What is refused for its version is read by its own type first, which may not know some of its fields either.
fn in_its_own_words(
    ask: &Ask,
    body: Body<'_>,
    (gvk, expected): (&Gvk, &Expected<'_>),
    validation: Validation,
    refused: Status,
) -> Status {
    let own =
        expected.types.schemas().kind(gvk).filter(|_| gvk.kind == expected.gvk.kind && is_in_scheme(gvk, expected.gvk));
    let strict =
        own.and_then(|id| expected.types.read(body, id).ok()).map(|decoded| decoded.strict).unwrap_or_default();
    match validation {
        Validation::Strict if !strict.is_empty() => {
            cannot_be_handled(gvk, expected.gvk, &format!("strict decoding error: {}", strict.join(", ")))
        }
        Validation::Warn => {
            strict.iter().for_each(|text| warn(ask, text));
            refused
        }
        _ => refused,
    }
}

/// Warns of what strict decoding found; of YAML's doubled keys each is a warning. Upstream: `parseYAMLWarnings`.
pub(crate) fn warn(ask: &Ask, found: &str) {
    const DOUBLED: &str = "yaml: unmarshal errors:\n";
    let text = found.strip_prefix("error converting YAML to JSON: ").unwrap_or(found);
    match text.strip_prefix(DOUBLED) {
        Some(lines) => lines.lines().for_each(|line| ask.warn(line.trim())),
        None => ask.warn(found),
    }
}

/// Reads a body as a built-in type, whatever kind it says it is: options.
pub fn read_as(schema: &str, body: Body<'_>) -> Result<Value, Status> {
    let id = schema::builtin().id(schema).ok_or_else(|| Status::internal(format!("{schema} is no type")))?;
    Plain.read(body, id).map(|d| d.value).map_err(|error| match kind_said(body) {
        Err(why) => Status::bad_request(why),
        Ok(_) => Status::bad_request(error.to_string()),
    })
}

/// Whether a kind is one that upstream's clients are built with.
pub fn is_builtin(kind: &Gvk) -> bool {
    schema::builtin().kind(kind).is_some()
}

/// What the body leaves out is taken from the path. Upstream: `gvkWithDefaults`.
pub(crate) fn with_defaults(actual: Gvk, expected: &Gvk) -> Gvk {
    if actual.kind.is_empty() && actual.version.is_empty() {
        return expected.clone();
    }
    let mut gvk = actual;
    if gvk.kind.is_empty() {
        gvk.kind = expected.kind.clone();
    }
    if gvk.version.is_empty() && gvk.group.is_empty() {
        gvk.group = expected.group.clone();
        gvk.version = expected.version.clone();
    } else if gvk.version.is_empty() && gvk.group == expected.group {
        gvk.version = expected.version.clone();
    }
    gvk
}

pub(crate) fn check_kind(gvk: &Gvk, expected: &Gvk, schemas: &Schemas) -> Result<(), Status> {
    if gvk == expected {
        return Ok(());
    }
    if schemas.kind(gvk).is_none() || !is_in_scheme(gvk, expected) {
        return Err(cannot_be_handled(gvk, expected, &not_registered(gvk)));
    }
    if gvk.kind == expected.kind {
        let (said, wanted) = (gvk.group_version(), expected.group_version());
        return Err(Status::bad_request(format!(
            "the API version in the data ({said}) does not match the expected API version ({wanted})"
        )));
    }
    Err(cannot_be_handled(gvk, expected, &no_conversion(gvk, expected)))
}

/// Upstream's API server is three, and the two smaller ones know no kinds but their own and metadata's.
fn is_in_scheme(gvk: &Gvk, expected: &Gvk) -> bool {
    const SMALL: [&str; 2] = ["apiextensions.k8s.io", "apiregistration.k8s.io"];
    const META: [&str; 5] = ["Status", "APIVersions", "APIGroup", "APIGroupList", "APIResourceList"];
    let is_meta = META.contains(&gvk.kind.as_str()) || gvk.kind.ends_with("Options") || gvk.kind == "WatchEvent";
    !SMALL.contains(&expected.group.as_str()) || gvk.group == expected.group || (gvk.group.is_empty() && is_meta)
}

pub(crate) fn not_registered(gvk: &Gvk) -> String {
    let (kind, version) = (quote(&gvk.kind), quote(&gvk.api_version()));
    format!("no kind {kind} is registered for version {version} in scheme \"pkg/api/legacyscheme/scheme.go:30\"")
}

/// The Go package of a group's internal types, which messages name: mostly the first word of the group.
pub(crate) fn go_package(group: &str) -> &str {
    match group {
        "" | "events.k8s.io" => "core",
        "internal.apiserver.k8s.io" => "apiserverinternal",
        group => group.split('.').next().unwrap_or_default(),
    }
}

/// Upstream: `conversion.Converter.Convert`, which names Go's types.
pub(crate) fn no_conversion(said: &Gvk, expected: &Gvk) -> String {
    let internal = go_package(&expected.group);
    format!("converting ({}.{}) to ({internal}.{}): unknown conversion", said.version, said.kind, expected.kind)
}

fn cannot_be_handled(gvk: &Gvk, expected: &Gvk, error: &str) -> Status {
    let version = quote(&gvk.version);
    Status::bad_request(format!("{} in version {version} cannot be handled as a {}: {error}", gvk.kind, expected.kind))
}

/// Upstream first looks for kind and apiVersion alone; what is wrong there is said in other words.
///
/// A body of another kind is read as that kind, and refused for being one.
fn unreadable(body: Body<'_>, expected: &Expected<'_>, error: &codec::Error) -> Status {
    match kind_said(body) {
        Ok(said) => {
            let gvk = with_defaults(said, expected.gvk);
            let schemas = expected.types.schemas();
            let other = schemas.kind(&gvk).filter(|_| gvk != *expected.gvk);
            match (expected.types.check_kind(&gvk, expected.gvk, Value::NULL, body.bytes), other) {
                (Err(refused), None) => refused,
                (Err(refused), Some(id)) => match expected.types.read(body, id) {
                    Ok(_) => refused,
                    Err(error) => cannot_be_handled(&gvk, expected.gvk, &error.to_string()),
                },
                _ => cannot_be_handled(&gvk, expected.gvk, &error.to_string()),
            }
        }
        Err(error) => unrecognized(body, expected, &error),
    }
}

/// The kind that a body says it is of, or why that cannot be found out. Upstream: the serializers' `Decode`.
fn kind_said(body: Body<'_>) -> Result<Gvk, String> {
    let of = |(api_version, kind): (String, String)| {
        if api_version.matches('/').count() > 1 {
            return Err(format!("unexpected GroupVersion string: {api_version}"));
        }
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        Ok(Gvk::new(group, version, kind))
    };
    let json = |text: &[u8]| {
        let said = codec::json::type_meta(text);
        said.map_err(|e| format!("couldn't get version/kind; json parse error: {e}")).and_then(of)
    };
    match body.media {
        Media::Json => json(body.bytes),
        Media::Yaml => match codec::yaml::any(body.bytes) {
            Ok(value) => json(codec::json::to_string(&value).as_bytes()),
            Err(error) => Err(error.to_string()),
        },
        Media::Protobuf => codec::proto::envelope(body.bytes).map(|(gvk, _)| gvk).map_err(|e| e.to_string()),
        Media::Cbor => Ok(Gvk::new("", "", "")),
    }
}

fn unrecognized(body: Body<'_>, expected: &Expected<'_>, error: &str) -> Status {
    let kind = &expected.gvk.kind;
    let summary = summary(body.bytes);
    Status::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {error} ({summary})"))
}

/// Upstream: `summarizeData`.
pub(crate) fn summary(data: &[u8]) -> String {
    const LEN_MAX: usize = 30;
    let head = &data[..data.len().min(LEN_MAX)];
    let more = if data.len() > LEN_MAX { " ..." } else { "" };
    match data.first() {
        None => "<empty>".into(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(head)),
        Some(_) => format!("{}{more}", head.iter().map(|b| format!("{b:02x}")).collect::<String>()),
    }
}
