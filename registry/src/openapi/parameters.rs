//! Parameters of queries and paths. Upstream: `AddObjectParams`, which turns an options type's members into parameters.

use api::Value;

use super::facts::Facts;

/// A parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    pub name: String,
    pub place: Place,
    /// `string`, `integer` or `boolean`.
    pub kind: &'static str,
    pub doc: String,
}

/// Where it stands, in the order of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Required: a path without it is another.
    Path,
    Query,
}

impl Parameter {
    pub fn path(name: &str, doc: &str) -> Parameter {
        Parameter { name: name.into(), place: Place::Path, kind: "string", doc: doc.into() }
    }

    pub fn query(name: &str, kind: &'static str, doc: &str) -> Parameter {
        Parameter { name: name.into(), place: Place::Query, kind, doc: doc.into() }
    }
}

/// The members of an options type that fit into a query.
pub fn of(facts: &Facts, options: &str, without: &[&str]) -> Vec<Parameter> {
    let Some(options) = facts.of(options) else { return Vec::new() };
    let fields = options.list("fields").iter().filter(|f| !without.contains(&f.str("n")));
    fields.filter_map(|f| Some(Parameter::query(f.str("n"), kind(f)?, word(f.str("n"))))).collect()
}

/// None for structs, which a query cannot say. A list is as many parameters of its element's kind.
fn kind(field: &Value) -> Option<&'static str> {
    match field.str("t").trim_start_matches("[]") {
        "bool" => Some("boolean"),
        "int32" | "int64" => Some("integer"),
        // Upstream means to let times through and does not.
        "time" => None,
        t if t.contains('.') => None,
        _ => Some("string"),
    }
}

/// What a parameter is for, in our words: the types they come from are in no package with texts.
pub fn word(name: &str) -> &'static str {
    WORDS.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| text)
}

const WORDS: &[(&str, &str)] = &[
    ("allowWatchBookmarks", "Whether a watch may send events of type BOOKMARK, which only say how far it has come."),
    ("command", "The command to run with its arguments, one parameter each. It runs in no shell."),
    ("container", "The container's name. May be left out when the pod has only one."),
    ("continue", "The token that an earlier, limited list ended with: the list goes on from there."),
    ("dryRun", "With All everything is done but stored."),
    (
        "fieldManager",
        "Who makes this change, as managed fields name him: at most 128 printable characters. Apply needs it.",
    ),
    ("fieldSelector", "Only objects whose fields are so. By default all."),
    (
        "fieldValidation",
        "What becomes of unknown and duplicate fields: Ignore drops them, Warn says so, Strict refuses them.",
    ),
    ("follow", "Whether the log is followed as it grows."),
    ("force", "Whether apply takes fields from other managers on conflict. Only for apply."),
    ("gracePeriodSeconds", "Seconds before the object is deleted; 0 means at once. By default the object's own."),
    (
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "Deletes an object that can no longer be read, without finalizers, preconditions or any other check. Only if you know \
         that nothing depends on them.",
    ),
    ("insecureSkipTLSVerifyBackend", "Whether the node's certificate goes unchecked while its log is read."),
    ("labelSelector", "Only objects whose labels are so. By default all."),
    ("limit", "At most so many objects; the answer says how to go on."),
    ("limitBytes", "At most so many bytes of log."),
    ("orphanDependents", "Deprecated: use propagationPolicy. Whether dependents stay."),
    ("path", "The part of the URL behind the proxy."),
    ("ports", "Ports to forward; needed with WebSockets."),
    ("pretty", "If 'true', the answer is indented. Browsers, curl and wget get that by default."),
    ("previous", "Whether the log of the container's previous run is meant."),
    ("propagationPolicy", "What becomes of dependents: Orphan, Background or Foreground."),
    ("resourceVersion", "How old the answer may be; how a version is meant is told by resourceVersionMatch."),
    ("resourceVersionMatch", "How resourceVersion is meant in lists: Exact or NotOlderThan."),
    ("sendInitialEvents", "Whether a watch begins with what is there already, ended by a bookmark."),
    ("shardSelector", "Only objects that fall into this shard."),
    ("sinceSeconds", "Only the log's last so many seconds."),
    ("stderr", "Whether standard error is sent."),
    ("stdin", "Whether standard input is taken."),
    ("stdout", "Whether standard output is sent."),
    ("stream", "Which stream of the container is meant: All, Stdout or Stderr."),
    ("tailLines", "Only so many lines from the end of the log."),
    ("timeoutSeconds", "Seconds after which a list or watch ends, whatever happened."),
    ("timestamps", "Whether each line of the log begins with its time."),
    ("tty", "Whether there is a terminal."),
    ("watch", "Whether to go on with changes: added, modified, deleted."),
];
