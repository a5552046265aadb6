//! What is fuzzed: everything that reads bytes of strangers. One function a target; each takes any bytes and must return.
//!
//! Beyond "it does not panic" each says what has to hold of what was read: mostly that writing and reading it again
//! changes nothing.

mod chains;
mod configurations;
mod frames;
mod headers;
mod issuers;
mod kubeconfigs;
mod manifests;
mod negotiation;
mod questions;
mod reviews;
mod schedules;
mod schemas;
mod tunnels;

use std::sync::{Arc, LazyLock};

use api::{
    Value, field_selector::FieldSelector, patch::json_patch, patch::merge_patch, quantity::Quantity, selector::Selector,
};
use auth::{
    authenticate::{
        ServiceAccounts, Token, TokenAuthenticator as _,
        service_account::{Head, KeySet, Lookup},
    },
    tally::Uncounted,
};
use bytes::Bytes;
use registry::{Definition, cache::Cache, continuation::Continue, definition::World, options};
use schema::{Schemas, TypeId, apply};

pub use chains::{chains, requests};
pub use configurations::{audits, authentication, authorization, encryption, kubelet, ways};
pub use frames::{spdy, websocket};
pub use headers::{impersonation, proxied};
pub use issuers::issuers;
pub use kubeconfigs::kubeconfigs;
pub use manifests::manifests;
pub use negotiation::negotiation;
pub use questions::questions;
pub use reviews::reviews;
pub use schedules::schedules;
pub use schemas::schemas;
pub use tunnels::tunnels;

/// When everything happens.
const NOON: i64 = 1_795_000_000;

/// A clock that stands still.
struct Noon;

impl api::time::Clock for Noon {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_second(NOON).expect("it is a time")
    }
}

/// Every stored resource, compiled.
static DEFINITIONS: LazyLock<Vec<Definition>> = LazyLock::new(|| {
    let runs = resources::defaults().map(|d| (d.schema, d.run));
    let defaults = schema::default::Defaults::new(builtin(), runs).expect("rows name types");
    let world = Arc::new(World { schemas: builtin(), defaults, constraints: None });
    let rows = resources::all().filter(|row| row.stores());
    rows.map(|row| Definition::compile(row, world.clone(), Cache::new()).expect("a row")).collect()
});

fn builtin() -> &'static Schemas {
    schema::builtin()
}

/// The first two bytes choose a stored resource.
fn choose(data: &[u8]) -> Option<(&'static Definition, &[u8])> {
    let (head, rest) = data.split_first_chunk::<2>()?;
    let at = usize::from(u16::from_be_bytes(*head)) % DEFINITIONS.len();
    Some((&DEFINITIONS[at], rest))
}

fn hub_type(data: &[u8]) -> Option<(&'static Definition, TypeId, &[u8])> {
    choose(data).map(|(definition, rest)| (definition, definition.hub_type, rest))
}

/// JSON of a kind: what was read is written, read again, and the same.
pub fn json(data: &[u8]) {
    let Some((_, id, text)) = hub_type(data) else { return };
    let _ = codec::json::type_meta(text);
    if let Ok(read) = codec::json::any(text) {
        assert!(codec::json::is_valid(text));
        // A float that is whole is written as an integer, as Go writes it, so the texts are what has to be the same.
        let text = codec::json::to_string(&read.value);
        let again = codec::json::any(text.as_bytes()).expect("what was written is read");
        assert_eq!(codec::json::to_string(&again.value), text);
    }
    let Ok(mut read) = codec::json::object(text, id, builtin()) else { return };
    schema::normalise::object(&mut read.value, id, builtin());
    let again = codec::json::to_string(&read.value);
    let mut again = codec::json::object(again.as_bytes(), id, builtin()).expect("what was written is read");
    schema::normalise::object(&mut again.value, id, builtin());
    assert_eq!(again.value, read.value);
}

/// YAML of a kind, and of any shape.
pub fn yaml(data: &[u8]) {
    let Some((_, id, text)) = hub_type(data) else { return };
    let _ = codec::yaml::object(text, id, builtin());
    if let Ok(read) = codec::yaml::any(text) {
        let again = codec::yaml::to_string(&read);
        assert_eq!(codec::yaml::any(again.as_bytes()).expect("what was written is read"), read);
    }
}

/// Protobuf of a kind, with and without its envelope.
pub fn protobuf(data: &[u8]) {
    let Some((definition, id, bytes)) = hub_type(data) else { return };
    if let Ok((gvk, raw)) = codec::proto::envelope(bytes) {
        let _ = codec::proto::object(bytes, id, builtin());
        let _ = (gvk.to_string(), raw.len());
    }
    let wrapped = codec::proto::wrap(&definition.hub, bytes);
    let Ok(mut read) = codec::proto::object(&wrapped, id, builtin()) else { return };
    schema::normalise::object(&mut read.value, id, builtin());
    let again = codec::proto::write(&read.value, &definition.hub, builtin()).expect("a kind with numbers");
    let mut again = codec::proto::object(&again, id, builtin()).expect("what was written is read");
    schema::normalise::object(&mut again.value, id, builtin());
    assert_eq!(codec::json::to_string(&again.value), codec::json::to_string(&read.value));
}

/// CBOR of a kind, and of any shape.
pub fn cbor(data: &[u8]) {
    let Some((_, id, bytes)) = hub_type(data) else { return };
    let _ = codec::cbor::object(bytes, id, builtin());
    let Ok(read) = codec::cbor::any(bytes) else { return };
    // A float that is whole may be written as an integer.
    let text = codec::json::to_string(&read);
    let written = codec::cbor::write(&read).expect("what was read can be written");
    let again = codec::cbor::any(&written).expect("what was written is read");
    assert_eq!(codec::json::to_string(&again), text);
}

/// A document and a patch, with a NUL between: JSON patch, merge patch, strategic merge patch.
pub fn patch(data: &[u8]) {
    let Some((_, id, rest)) = hub_type(data) else { return };
    let Some((document, patch)) = two(rest) else { return };
    if let Ok(patch) = json_patch::Patch::decode_checked(patch.clone()) {
        let _ = (patch.apply(document.clone()), patch.unknown_fields());
    }
    let _ = json_patch::Patch::decode(patch.clone()).map(|patch| patch.apply(document.clone()));
    let mut merged = document.clone();
    let _ = merge_patch::apply(&mut merged, patch.clone());
    let _ = schema::strategic::apply(document, patch, id, builtin());
}

fn two(text: &[u8]) -> Option<(Value, Value)> {
    let at = text.iter().position(|byte| *byte == 0)?;
    let read = |text| codec::json::any(text).ok().map(|read| read.value);
    Some((read(&text[..at])?, read(&text[at + 1..])?))
}

/// A live object and a configuration, as server-side apply merges and compares them.
pub fn apply(data: &[u8]) {
    let Some((_, id, rest)) = hub_type(data) else { return };
    let Some(at) = rest.iter().position(|byte| *byte == 0) else { return };
    let read = |text| codec::json::object(text, id, builtin()).ok().map(|read| read.value);
    let (Some(live), Some(config)) = (read(&rest[..at]), read(&rest[at + 1..])) else { return };
    let form = apply::form::Form::of_type(builtin().get(id), builtin());
    let fits = [&live, &config].iter().all(|value| apply::check::check(form, value, builtin()).is_ok());
    let merged = apply::merge::merge(form, &live, &config, builtin());
    let _ = apply::compare::compare(form, &live, &config, builtin());
    let Ok(set) = apply::collect::paths(form, &config, builtin()) else { return };
    let _ = apply::remove::remove(form, &live, &set, builtin());
    if let (true, Ok(merged)) = (fits, merged) {
        let again = apply::merge::merge(form, &merged, &config, builtin()).expect("what was merged can be merged");
        assert_eq!(codec::json::to_string(&again), codec::json::to_string(&merged));
    }
}

/// Expressions: parsed, checked, estimated and evaluated, whatever they are.
pub fn expressions(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let environment = cel::Environment::new(cel::Mode::StoredExpressions).with(cel::Extra::Bind);
    let environment = environment.variable("x", cel::Type::Dyn).variable("l", cel::Type::list(cel::Type::Int));
    let expression = match cel::compile(&environment, text) {
        Ok(expression) => expression,
        Err(issues) => {
            assert!(!issues.is_empty() && issues.to_string().starts_with("ERROR: <input>:"));
            return;
        }
    };
    let Ok(program) = expression.program() else { return };
    let variables: std::collections::BTreeMap<String, cel::Value> =
        [("x".to_owned(), "text".into()), ("l".to_owned(), cel::Value::list(vec![1i64.into(), 2i64.into()]))].into();
    let mut budget = cel::Budget { limit: 10_000, ..cel::Budget::default() };
    let outcome = program.evaluate(&variables, &mut budget);
    assert_eq!(budget.used > 10_000, outcome.is_err_and(|error| error.kind == cel::ErrorKind::CostLimit));
}

/// Selectors of labels and of fields, as text.
pub fn selectors(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let labels = api::value!({"app": "web", "a": "", "x": "5"});
    if let Ok(selector) = Selector::parse(text) {
        let again = Selector::parse(&selector.to_string()).expect("what was written is read");
        assert_eq!(again.to_string(), selector.to_string());
        assert_eq!(again.matches(&labels), selector.matches(&labels));
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        // Terms are sorted as they were written, `==` and all; hence not the text, but what it asks.
        let again = FieldSelector::parse(&selector.to_string()).expect("what was written is read");
        let of = |field: &str| if field.is_empty() { "" } else { "x" };
        assert_eq!((again.terms().len(), again.matches(of)), (selector.terms().len(), selector.matches(of)));
    }
    if let Ok(read) = codec::json::any(data) {
        let _ = Selector::from_label_selector(&read.value).map(|selector| selector.matches(&labels));
        let _ = api::selector::format_label_selector(&read.value);
    }
}

/// Continue tokens.
pub fn tokens(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for token in [text.to_owned(), Continue { revision: 1, start: text.to_owned() }.encode()] {
        if let Ok(read) = Continue::decode(&token) {
            assert!(!read.start.starts_with('/') && !read.start.split('/').any(|part| part == ".."));
            assert_eq!(Continue::decode(&read.encode()).expect("what was written is read"), read);
        }
    }
}

/// Quantities, durations, times, images, names.
pub fn texts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(quantity) = Quantity::parse(text) {
        // Not the same: 1 with 25 zeros is written "10", upstream's suffixes end at E and so do ours.
        let again = Quantity::parse(&quantity.to_string()).expect("what was written is read");
        let _ = (quantity.value(), quantity.milli_value(), quantity.to_f64(), quantity.rounded_up(0));
        let _ = (quantity.add(&again).to_string(), quantity.sub(&again).is_zero(), quantity.times(3), quantity.neg());
    }
    if let Ok(nanos) = api::duration::parse(text) {
        assert_eq!(api::duration::parse(&api::duration::format(nanos)), Ok(nanos));
    }
    if let Some(at) = api::time::parse(text) {
        let again = api::time::parse(&api::time::micros(at)).expect("what was written is read");
        assert!(
            (at.as_nanosecond() - again.as_nanosecond()).abs() < 1_000,
            "more than a part of a microsecond is lost"
        );
    }
    let _ = api::image::parse(text).map_err(|why| assert!(!why.is_empty()));
    let _ = (api::names::qualified_name(text), api::names::dns1123_subdomain(text), api::names::parse_ip(text));
    let _ = (api::names::parse_cidr(text), api::names::percent(text), api::names::env_var_name(text));
    let at = api::field::Path::new("x");
    let _ = (api::names::fully_qualified_name(&at, text), api::names::domain_prefixed_path(&at, text));
    let _ = api::gvk::GroupVersion::parse(text);
    let _ = api::intstr::scaled(&text.into(), 10, true);
}

/// The sets of managedFields.
pub fn fields(data: &[u8]) {
    let Ok(read) = codec::json::any(data) else { return };
    if let Ok(set) = apply::fields::decode(&read.value) {
        let again = apply::fields::encode(&set);
        assert_eq!(apply::fields::decode(&again).expect("what was written is read"), set);
    }
    if let Ok(entries) = apply::entries::Entries::foreign(read.value.clone()) {
        let written = entries.write();
        let again = apply::entries::Entries::stored(written.clone()).expect("what was written is read").write();
        assert_eq!(codec::json::to_string(&again), codec::json::to_string(&written));
    }
}

/// What a request line says: the method, the path and the query, with a space between.
pub fn attributes(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (method, path) = text.split_once(' ').unwrap_or(("GET", text));
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let _ = options::is_escaped(path);
    let query = options::Query::parse(query);
    let wanted = server::attributes::of(method, path, &query);
    assert!(wanted.attributes.is_resource || wanted.attributes.resource.is_empty());
    let _ = options::ListOptions::read(&query, wanted.attributes.verb == "watch");
    let _ = options::DeleteOptions::from_query(&query);
    for write in [options::Write::Create, options::Write::Update, options::Write::Patch { apply: true }] {
        let _ = options::WriteOptions::read(&query, write);
    }
    for name in [&wanted.attributes.name, &wanted.attributes.namespace] {
        let _ = api::names::is_valid_path_segment_name(name);
    }
}

/// A value in the store, of any resource: JSON and protobuf, of the storage version or an older one.
pub fn stored(data: &[u8]) {
    let Some((definition, value)) = choose(data) else { return };
    let entry = |value: Bytes| store::Entry {
        key: "/registry/x/a/b".into(),
        value,
        create_revision: 1,
        mod_revision: 2,
        lease: 0,
        seal: store::Seal::default(),
    };
    let Ok(read) = registry::storage::read(definition, "a/b", &entry(Bytes::copy_from_slice(value))) else { return };
    let mut tree = read.tree();
    for media in [registry::storage::Media::Json, registry::storage::Media::Protobuf] {
        let json = registry::storage::json(definition, &mut tree);
        let value = registry::storage::encode(definition, &tree, &json, media);
        registry::storage::read(definition, "a/b", &entry(value)).expect("what was written is read");
    }
}

/// Certificates, keys and requests, in PEM and DER.
pub fn certificates(data: &[u8]) {
    let mut ders = vec![data.to_vec()];
    ders.extend(certs::inspect::blocks(data).into_iter().map(|block| block.der));
    for der in &ders {
        let _ = (certs::inspect::certificate(der), certs::inspect::key(der).is_some());
        let _ = certs::PublicKey::from_der(der);
        if let Some(request) = certs::inspect::request(der) {
            let _ = request.is_signed();
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = (certs::pem::certificates(text), certs::pem::private_key(text), certs::pem::blocks(text).is_ok());
    let _ = (certs::PrivateKey::from_pem(text), certs::verify::Bundle::from_pem(text));
}

/// Bearer tokens and what else stands in headers.
pub fn bearer(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    static ACCOUNTS: LazyLock<ServiceAccounts> = LazyLock::new(accounts);
    let _ = ACCOUNTS.authenticate(&Token { text, audiences: &[], now: 0 });
    let _ = auth::authenticate::token_file::TokenFile::parse("tokens.csv", text, Vec::new());
    let Ok(value) = http::HeaderValue::from_str(text) else { return };
    let mut headers = http::HeaderMap::new();
    headers.insert("authorization", value.clone());
    headers.insert("sec-websocket-protocol", value);
    let _ = auth::authenticate::bearer::in_authorization(&headers);
    let _ = auth::authenticate::bearer::in_websocket_protocols(&headers);
}

/// Nobody has an account.
struct Nobody;

impl Lookup for Nobody {
    fn head(&self, _: &str, _: &str, _: &str) -> Option<Head> {
        None
    }

    fn object(&self, _: &str, _: &str, _: &str) -> Option<Arc<Value>> {
        None
    }
}

fn accounts() -> ServiceAccounts {
    let key = certs::PrivateKey::generate().expect("a key");
    let public = certs::PublicKey::from_der(key.public_der()).expect("a key");
    let keys = KeySet::new(vec![public]).expect("a key");
    ServiceAccounts::new(
        vec!["issuer".to_owned()],
        Arc::new(keys),
        vec!["api".to_owned()],
        Arc::new(Nobody),
        Arc::new(Uncounted),
    )
}
