//! Events, which core and events.k8s.io serve in two forms of one stored object (core's).
//!
//! Upstream: pkg/apis/core/validation/events.go, pkg/apis/events/v1/conversion.go, pkg/registry/core/event.

use api::{
    Value,
    field::{Errors, Path},
    names, time, value,
};
use jiff::Timestamp;

use crate::{
    cells, checks,
    pod::internal,
    row::{
        Cell, Column, Context, Convert, Deletion, Metadata, Policy, Row, Rules, Selectable, Stored, Version, column,
        wide,
    },
};

const TEXT_LEN_MAX: usize = 128;
const NOTE_LEN_MAX: usize = 1024;

/// How the members that differ are named in events.k8s.io, and in core.
const RENAMED: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("reportingController", "reportingComponent"),
];

pub const EVENT: Row = Row {
    metadata: Metadata::Else,
    kind: "Event",
    plural: "events",
    short_names: &["ev"],
    versions: &[Version::stable("v1", "io.k8s.api.core.v1.Event")],
    stored: Stored { group: "", version: "v1", prefix: "events", expires: true },
    create_on_update: true,
    // Upstream's strategy does not look at the metadata of core's events, the generic code does.
    name_rule: crate::names::path_segment,
    columns: COLUMNS,
    selectable: &[
        selectable("involvedObject.kind", |o| o.at("involvedObject").str("kind").into()),
        selectable("involvedObject.namespace", |o| o.at("involvedObject").str("namespace").into()),
        selectable("involvedObject.name", |o| o.at("involvedObject").str("name").into()),
        selectable("involvedObject.uid", |o| o.at("involvedObject").str("uid").into()),
        selectable("involvedObject.apiVersion", |o| o.at("involvedObject").str("apiVersion").into()),
        selectable("involvedObject.resourceVersion", |o| o.at("involvedObject").str("resourceVersion").into()),
        selectable("involvedObject.fieldPath", |o| o.at("involvedObject").str("fieldPath").into()),
        selectable("reason", |o| o.str("reason").into()),
        selectable("reportingComponent", |o| o.str("reportingComponent").into()),
        selectable("type", |o| o.str("type").into()),
        selectable("source", source_component),
    ],
    deletion: Deletion { default_policy: Policy::Unsupported, grace: None, warning: "" },
    rules: Rules {
        validate: |new, _| validate(new, "reportingComponent"),
        validate_update: |new, _, _| validate(new, "reportingComponent"),
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

pub const EVENTS_EVENT: Row = Row {
    group: "events.k8s.io",
    versions: &[Version {
        convert: Some(Convert { to_hub, from_hub }),
        ..Version::stable("v1", "io.k8s.api.events.v1.Event")
    }],
    name_rule: crate::names::dns_subdomain,
    name_on_update: false,
    // Which is looked at in the midst of the rules.
    metadata: Metadata::Else,
    selectable: &[
        selectable("regarding.kind", |o| o.at("involvedObject").str("kind").into()),
        selectable("regarding.namespace", |o| o.at("involvedObject").str("namespace").into()),
        selectable("regarding.name", |o| o.at("involvedObject").str("name").into()),
        selectable("regarding.uid", |o| o.at("involvedObject").str("uid").into()),
        selectable("regarding.apiVersion", |o| o.at("involvedObject").str("apiVersion").into()),
        selectable("regarding.resourceVersion", |o| o.at("involvedObject").str("resourceVersion").into()),
        selectable("regarding.fieldPath", |o| o.at("involvedObject").str("fieldPath").into()),
        selectable("reason", |o| o.str("reason").into()),
        selectable("reportingController", |o| o.str("reportingComponent").into()),
        selectable("type", |o| o.str("type").into()),
        // Nobody can name it here. Both rows are kept together, so either has to note what the other is asked for.
        selectable("", source_component),
    ],
    rules: Rules { validate: validate_strict, validate_update: validate_strict_update, ..Rules::NONE },
    ..EVENT
};

fn source_component(event: &Value) -> String {
    first(event.at("source").str("component"), event.str("reportingComponent")).into()
}

const fn selectable(label: &'static str, value: fn(&Value) -> String) -> Selectable {
    Selectable { label, value }
}

// --- conversion

pub(crate) fn to_hub(event: &mut Value) {
    rename(event, |name| RENAMED.iter().find(|(theirs, _)| *theirs == name).map(|(_, core)| *core));
}

fn from_hub(event: &mut Value) {
    rename(event, |name| RENAMED.iter().find(|(_, core)| *core == name).map(|(theirs, _)| *theirs));
}

/// Names members anew; their order is put right when the object is written.
fn rename(event: &mut Value, new_name: impl Fn(&str) -> Option<&'static str>) {
    let old = std::mem::take(event.make_object());
    let members = event.make_object();
    for (name, value) in old {
        match new_name(&name) {
            Some(new) => members.insert(new, value),
            None => members.insert(name, value),
        };
    }
}

// --- tables

const COLUMNS: &[Column] = &[
    column("Last Seen", "string", |o, now| last_seen(o, now).into()),
    column("Type", "string", |o, _| o.str("type").into()),
    column("Reason", "string", |o, _| o.str("reason").into()),
    column("Object", "string", |o, _| object(o).into()),
    wide("Subobject", "string", |o, _| o.at("involvedObject").str("fieldPath").into()),
    wide("Source", "string", |o, _| source(o).into()),
    column("Message", "string", |o, _| o.str("message").trim().into()),
    wide("First Seen", "string", |o, now| first_seen(o, now).into()),
    wide("Count", "string", |o, _| count(o).into()),
    Column { name: "Name", kind: "string", format: "name", priority: 1, cell: Cell::Name },
];

fn first<'a>(a: &'a str, b: &'a str) -> &'a str {
    if a.is_empty() { b } else { a }
}

fn first_seen(event: &Value, now: Timestamp) -> String {
    cells::age(first(event.str("firstTimestamp"), event.str("eventTime")), now)
}

fn last_seen(event: &Value, now: Timestamp) -> String {
    if event.has("series") {
        return cells::age(event.at("series").str("lastObservedTime"), now);
    }
    match event.str("lastTimestamp") {
        "" => first_seen(event, now),
        at => cells::age(at, now),
    }
}

fn count(event: &Value) -> i64 {
    if event.has("series") {
        return event.at("series").int("count");
    }
    event.int("count").max(i64::from(event.int("count") == 0))
}

fn object(event: &Value) -> String {
    let object = event.at("involvedObject");
    let kind = object.str("kind").to_lowercase();
    match object.str("name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    }
}

fn source(event: &Value) -> String {
    let source = event.at("source");
    let component = first(source.str("component"), event.str("reportingComponent"));
    match first(source.str("host"), event.str("reportingInstance")) {
        "" => component.into(),
        instance => format!("{component}, {instance}"),
    }
}

// --- rules

/// What holds for events in both forms; `reporter` is the member that names the reporting controller. Upstream:
/// `legacyValidateEvent`.
fn validate(event: &Value, reporter: &str) -> Errors {
    let mut errs = Errors::new();
    let namespace = api::meta::of(event).namespace();
    let involved = event.at("involvedObject").str("namespace");
    let at_home = match (event.str("eventTime"), involved) {
        ("", "") => matches!(namespace, "" | "default"),
        ("", _) => namespace == involved,
        (_, "") => matches!(namespace, "default" | "kube-system"),
        _ => true,
    };
    if !at_home {
        let at = Path::new("involvedObject").child("namespace");
        errs.invalid(&at, involved, "does not match event.namespace");
    }
    if !event.str("eventTime").is_empty() {
        let controller = event.str("reportingComponent");
        required(controller, reporter, &mut errs);
        checks::messages(&mut errs, &Path::new(reporter), controller, names::qualified_name(controller));
        for member in ["reportingInstance", "action", "reason"] {
            required(event.str(member), member, &mut errs);
            at_most(event.str(member), member, TEXT_LEN_MAX, &mut errs);
        }
        at_most(event.str("message"), "message", NOTE_LEN_MAX, &mut errs);
    }
    errs
}

fn required(text: &str, member: &str, errs: &mut Errors) {
    if text.is_empty() {
        errs.required(&Path::new(member), "");
    }
}

fn at_most(text: &str, member: &str, max: usize, errs: &mut Errors) {
    if text.len() > max {
        errs.invalid(&Path::new(member), "", format!("can have at most {max} characters"));
    }
}

/// Upstream: the second half of `ValidateEventCreate`.
fn validate_strict(event: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = validate(event, "reportingController");
    let at = Path::new("metadata");
    errs.extend(crate::meta::validate_any(event, true, &crate::names::dns_subdomain, &at));
    crate::meta::each_standard_finalizer(event, &at.child("finalizers"), &mut errs);
    series(event, &mut errs);
    required(event.str("eventTime"), "eventTime", &mut errs);
    let kind = event.str("type");
    if !matches!(kind, "Normal" | "Warning") {
        errs.invalid(&Path::new("type"), "", format!("has invalid value: {kind}"));
    }
    for member in ["firstTimestamp", "lastTimestamp", "count", "source"] {
        let value = event.at(member);
        let unset = match value {
            Value::Object(_) => value.members().all(|(_, v)| v.is_empty()),
            _ => value.is_empty(),
        };
        if !unset {
            errs.invalid(&Path::new(member), "", "needs to be unset");
        }
    }
    errs
}

fn series(event: &Value, errs: &mut Errors) {
    let series = event.at("series");
    if series.is_null() {
        return;
    }
    if series.int("count") < 2 {
        errs.invalid(&Path::new("series.count"), "", "should be at least 2");
    }
    required(series.str("lastObservedTime"), "series.lastObservedTime", errs);
}

/// Upstream: the second half of `ValidateEventUpdate`.
fn validate_strict_update(new: &Value, old: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = validate(new, "reportingController");
    crate::meta::each_standard_finalizer(new, &Path::new("metadata").child("finalizers"), &mut errs);
    if !checks::same(new.at("series"), old.at("series")) {
        series(new, &mut errs);
    }
    let kept = |member: &str, shown: &str, errs: &mut Errors| {
        immutable(new.at(member), old.at(member), &Path::new(shown), errs);
    };
    for member in
        ["involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "reason", "type"]
    {
        kept(member, member, &mut errs);
    }
    let micros = |event: &Value| time::parse(event.str("eventTime")).map(|at| at.as_microsecond());
    if micros(new) != micros(old) {
        kept("eventTime", "eventTime", &mut errs);
    }
    kept("action", "action", &mut errs);
    kept("related", "related", &mut errs);
    kept("reportingComponent", "reportingController", &mut errs);
    kept("reportingInstance", "reportingInstance", &mut errs);
    errs
}

/// Strings and numbers of Go have no absence; its structs are shown with all their members.
fn immutable(new: &Value, old: &Value, at: &Path, errs: &mut Errors) {
    // A reference to nothing is not the same as none.
    let pointer = at.as_str() == "related" && new.is_null() != old.is_null();
    if !pointer && ((new.is_empty() && old.is_empty()) || checks::same(new, old)) {
        return;
    }
    match at.as_str() {
        "reason" | "message" | "type" | "action" | "reportingController" | "reportingInstance" if new.is_null() => {
            errs.invalid(at, "", checks::IMMUTABLE);
        }
        "count" if new.is_null() => errs.invalid(at, 0, checks::IMMUTABLE),
        "involvedObject" | "related" if !new.is_null() => {
            errs.invalid_raw(at, internal::json("ObjectReference", new), checks::IMMUTABLE);
        }
        "source" => {
            let shown = value!({"Component": (new.str("component")), "Host": (new.str("host"))});
            errs.invalid(at, shown, checks::IMMUTABLE);
        }
        _ => errs.invalid(at, new, checks::IMMUTABLE),
    }
}

#[cfg(test)]
mod tests;
