//! What a request's query says, checked.
//!
//! Upstream: metav1's CreateOptions, UpdateOptions, PatchOptions, DeleteOptions, ListOptions with their validation
//! (apimachinery/pkg/apis/meta/v1/validation, …/internalversion/validation).

use api::{
    GroupResource, Status, Value,
    field::{Errors, Path},
};

/// The pairs of a query, decoded, in order.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

/// What strict decoding does about unknown and duplicate fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Validation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// Options of create, update and patch.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    pub dry_run: bool,
    /// As the client gave it; `""` when it gave none.
    pub field_manager: String,
    pub validation: Validation,
    pub force: Option<bool>,
}

/// Which write the options belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    Create,
    Update,
    Patch { apply: bool },
}

/// Options of delete and deletecollection.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    pub grace_seconds: Option<i64>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub orphan_dependents: Option<bool>,
    pub propagation: Option<String>,
    pub dry_run: bool,
    /// As a tree, for admission.
    pub value: Value,
}

/// Options of list and watch.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    pub label_selector: String,
    pub field_selector: String,
    pub limit: i64,
    pub continue_token: String,
    pub resource_version: String,
    pub version_match: String,
    pub watch: bool,
    pub bookmarks: bool,
    pub send_initial_events: Option<bool>,
    pub timeout_seconds: Option<i64>,
}

pub const IGNORE_READ_ERROR: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";
const FIELD_MANAGER_LEN_MAX: usize = 128;

// === impl Query ===

impl Query {
    /// Reads the part of a URL behind `?`. As in Go, a pair with a semicolon or a bad escape is not there.
    pub fn parse(text: &str) -> Query {
        let pairs = text.split('&').filter(|pair| !pair.contains(';') && is_escaped(pair));
        let decoded = pairs.flat_map(|pair| form_urlencoded::parse(pair.as_bytes()));
        Query(decoded.map(|(key, value)| (key.into_owned(), value.into_owned())).collect())
    }

    /// The first value of a key. Upstream reads the first of several for scalars.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    fn text(&self, key: &str) -> String {
        self.get(key).unwrap_or("").into()
    }

    /// Upstream: `Convert_Slice_string_To_bool`: everything but `false` and `0` is true, case-insensitively.
    pub fn boolean(&self, key: &str) -> Option<bool> {
        self.get(key).map(|v| !matches!(v.to_ascii_lowercase().as_str(), "false" | "0"))
    }

    /// Upstream: `Convert_Slice_string_To_int64`.
    pub fn integer(&self, key: &str) -> Result<Option<i64>, Status> {
        self.get(key).map(|text| api::intstr::parse_int(text).map_err(Status::bad_request)).transpose()
    }
}

/// Whether two hexadecimal digits stand behind every percent sign.
pub fn is_escaped(text: &str) -> bool {
    let is_digit = |b: Option<&u8>| b.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    (0..bytes.len()).all(|i| bytes[i] != b'%' || (is_digit(bytes.get(i + 1)) && is_digit(bytes.get(i + 2))))
}

// === impl WriteOptions ===

impl WriteOptions {
    pub fn read(query: &Query, write: Write) -> Result<WriteOptions, Status> {
        let dry_run: Vec<&str> = query.all("dryRun").collect();
        let field_manager = query.text("fieldManager");
        let validation = query.text("fieldValidation");
        let force = query.boolean("force");
        let mut errors = Errors::new();
        if let Write::Patch { apply } = write {
            if apply && field_manager.is_empty() {
                errors.required(&Path::new("fieldManager"), "is required for apply patch");
            }
            if !apply && force.is_some() {
                errors.forbidden(&Path::new("force"), "may not be specified for non-apply patch");
            }
        }
        check_manager(&field_manager, &mut errors);
        check_dry_run(&dry_run, &mut errors);
        if !matches!(validation.as_str(), "" | "Ignore" | "Warn" | "Strict") {
            let known = ["", "Ignore", "Strict", "Warn"];
            errors.not_supported(&Path::new("fieldValidation"), validation.as_str(), &known);
        }
        let kind = match write {
            Write::Create => "CreateOptions",
            Write::Update => "UpdateOptions",
            Write::Patch { .. } => "PatchOptions",
        };
        errors.into_status(&GroupResource::new("meta.k8s.io", kind), "")?;
        let validation = match validation.as_str() {
            "Ignore" => Validation::Ignore,
            "Strict" => Validation::Strict,
            _ => Validation::Warn,
        };
        Ok(WriteOptions { dry_run: !dry_run.is_empty(), field_manager, validation, force })
    }

    /// The options as a tree, for admission.
    pub fn value(&self, kind: &str) -> Value {
        let mut value = api::value!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
        if self.dry_run {
            value.set("dryRun", vec!["All"]);
        }
        if let Some(force) = self.force {
            value.set("force", force);
        }
        for (key, text) in [("fieldManager", &self.field_manager)] {
            if !text.is_empty() {
                value.set(key, text.as_str());
            }
        }
        value
    }
}

/// Upstream: `ValidateFieldManager`.
fn check_manager(manager: &str, errors: &mut Errors) {
    let path = Path::new("fieldManager");
    if manager.len() > FIELD_MANAGER_LEN_MAX {
        errors.too_long(&path, FIELD_MANAGER_LEN_MAX as i64);
    }
    for (i, c) in manager.char_indices() {
        if c.is_control() {
            errors.invalid(&path, manager, format!("invalid character U+{:04X} (at position {i})", c as u32));
        }
    }
}

/// Upstream: `ValidateDryRun`.
fn check_dry_run(values: &[&str], errors: &mut Errors) {
    if values.iter().any(|v| *v != "All") {
        let shown: Value = values.iter().copied().collect();
        errors.not_supported(&Path::new("dryRun"), shown, &["All"]);
    }
}

/// Upstream: `ValidateIgnoreStoreReadError`.
fn check_ignore_read_error(options: &Value, errors: &mut Errors) {
    if !options.bool(IGNORE_READ_ERROR) {
        return;
    }
    for other in ["propagationPolicy", "orphanDependents", "gracePeriodSeconds", "preconditions"] {
        if options.has(other) {
            errors.invalid(&Path::new(IGNORE_READ_ERROR), true, format!("cannot be set together with .{other}"));
        }
    }
}

// === impl DeleteOptions ===

impl DeleteOptions {
    /// Reads the options of a query. Upstream decodes either the query or the body, never both.
    pub fn from_query(query: &Query) -> Result<DeleteOptions, Status> {
        let mut value = Value::object();
        if let Some(seconds) = query.integer("gracePeriodSeconds")? {
            value.set("gracePeriodSeconds", seconds);
        }
        if let Some(orphan) = query.boolean("orphanDependents") {
            value.set("orphanDependents", orphan);
        }
        if let Some(policy) = query.get("propagationPolicy") {
            value.set("propagationPolicy", policy);
        }
        if let Some(ignore) = query.boolean(IGNORE_READ_ERROR) {
            value.set(IGNORE_READ_ERROR, ignore);
        }
        let dry_run: Vec<&str> = query.all("dryRun").collect();
        if !dry_run.is_empty() {
            value.set("dryRun", dry_run);
        }
        DeleteOptions::read(value)
    }

    /// Whether what cannot be read is to be deleted. Upstream: feature gate AllowUnsafeMalformedObjectDeletion.
    pub fn ignores_read_errors(&self) -> bool {
        self.value.bool(IGNORE_READ_ERROR)
    }

    /// What deletes many must be able to read them.
    pub fn check_collection(&self) -> Result<(), Status> {
        let mut errors = Errors::new();
        if self.ignores_read_errors() {
            let why = "is not allowed with DELETECOLLECTION, try again after removing the option";
            errors.invalid(&Path::new(IGNORE_READ_ERROR), true, why);
        }
        errors.into_status(&GroupResource::new("meta.k8s.io", "DeleteOptions"), "")
    }

    /// Reads the options of a decoded body.
    pub fn read(value: Value) -> Result<DeleteOptions, Status> {
        let mut errors = Errors::new();
        let policy = value.opt_str("propagationPolicy");
        if let Some(policy) = policy {
            let path = Path::new("propagationPolicy");
            if value.has("orphanDependents") {
                errors.invalid(&path, policy, "orphanDependents and deletionPropagation cannot be both set");
            }
            if !matches!(policy, "Foreground" | "Background" | "Orphan") {
                errors.not_supported(&path, policy, &["Foreground", "Background", "Orphan", "nil"]);
            }
        }
        let dry_run: Vec<&str> = value.list("dryRun").iter().filter_map(Value::as_str).collect();
        check_dry_run(&dry_run, &mut errors);
        check_ignore_read_error(&value, &mut errors);
        errors.into_status(&GroupResource::new("meta.k8s.io", "DeleteOptions"), "")?;
        let preconditions = value.at("preconditions");
        Ok(DeleteOptions {
            grace_seconds: value.opt_int("gracePeriodSeconds"),
            uid: preconditions.opt_str("uid").map(Into::into),
            resource_version: preconditions.opt_str("resourceVersion").map(Into::into),
            orphan_dependents: value.opt_bool("orphanDependents"),
            propagation: policy.map(Into::into),
            dry_run: !dry_run.is_empty(),
            value,
        })
    }
}

// === impl ListOptions ===

impl ListOptions {
    /// Reads a query; `watch` is whether the path or the query has asked for one.
    pub fn read(query: &Query, watch: bool) -> Result<ListOptions, Status> {
        let mut options = ListOptions {
            label_selector: query.text("labelSelector"),
            field_selector: query.text("fieldSelector"),
            limit: query.integer("limit")?.unwrap_or(0),
            continue_token: query.text("continue"),
            resource_version: query.text("resourceVersion"),
            version_match: query.text("resourceVersionMatch"),
            watch,
            bookmarks: query.boolean("allowWatchBookmarks").unwrap_or(false),
            send_initial_events: query.boolean("sendInitialEvents"),
            timeout_seconds: query.integer("timeoutSeconds")?,
        };
        options.set_defaults();
        let errors = if options.watch { options.check_watch() } else { options.check_list() };
        errors.into_status(&GroupResource::new("meta.k8s.io", "ListOptions"), "")?;
        Ok(options)
    }

    /// Upstream: `SetListOptionsDefaults`: a watch from "" or "0" begins with what is there.
    fn set_defaults(&mut self) {
        if self.watch && self.send_initial_events.is_none() && self.version_match.is_empty() {
            let legacy = self.resource_version.is_empty() || self.resource_version == "0";
            if legacy {
                self.send_initial_events = Some(true);
                self.version_match = "NotOlderThan".into();
            }
        }
    }

    fn check_list(&self) -> Errors {
        let mut errors = Errors::new();
        let path = Path::new("resourceVersionMatch");
        let wanted = self.version_match.as_str();
        if !wanted.is_empty() {
            if self.resource_version.is_empty() {
                errors.forbidden(&path, "resourceVersionMatch is forbidden unless resourceVersion is provided");
            }
            if !self.continue_token.is_empty() {
                errors.forbidden(&path, "resourceVersionMatch is forbidden when continue is provided");
            }
            if wanted != "Exact" && wanted != "NotOlderThan" {
                errors.not_supported(&path, wanted, &["Exact", "NotOlderThan", ""]);
            }
            if wanted == "Exact" && self.resource_version == "0" {
                errors.forbidden(&path, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
            }
        }
        if self.send_initial_events.is_some() {
            errors.forbidden(&Path::new("sendInitialEvents"), "sendInitialEvents is forbidden for list");
        }
        errors
    }

    fn check_watch(&self) -> Errors {
        let mut errors = Errors::new();
        let path = Path::new("resourceVersionMatch");
        let wanted = self.version_match.as_str();
        if self.send_initial_events.is_some() && wanted != "NotOlderThan" {
            errors.forbidden(&path, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
        }
        if !wanted.is_empty() {
            if self.send_initial_events.is_none() {
                errors.forbidden(
                    &path,
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                );
            }
            if wanted != "NotOlderThan" {
                errors.not_supported(&path, wanted, &["NotOlderThan"]);
            }
            if !self.continue_token.is_empty() {
                errors.forbidden(&path, "resourceVersionMatch is forbidden when continue is provided");
            }
        }
        errors
    }
}
