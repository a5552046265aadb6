//! What a write does to who owns what.
//!
//! An update owns the fields that it changed; an apply owns the fields that it names, must not change what others own
//! unless forced, and takes out what it named the last time and nobody owns now.
//! Upstream: structured-merge-diff/v6/merge/update.go and the chain of managers in
//! apimachinery/pkg/util/managedfields/internal.

use std::{borrow::Cow, sync::OnceLock};

use api::{EcoString, Status, Value, status::Cause};

use super::{
    collect,
    compare::{Comparison, compare},
    element::Path,
    entries::{Entries, Entry, Owner},
    form::Form,
    merge, remove,
    set::Set,
};
use crate::types::{Schemas, TypeId};

/// The versions of a kind that entries may have been written in.
pub trait Versions {
    /// The type of `apps/v1`; `None` when that version is not served (any more).
    fn type_of(&self, api_version: &str) -> Option<TypeId>;

    /// Turns an object of one served version into another; an error says why that cannot be.
    fn convert(&self, object: &Value, from: &str, to: &str) -> Result<Value, String>;

    /// Whether that can be, where it is not certain.
    fn reach(&self, object: &Value, from: &str, to: &str) -> Result<(), String> {
        let _ = (object, from, to);
        Ok(())
    }
}

/// Who writes, through which version and endpoint.
pub struct Writer<'a> {
    pub schemas: &'a Schemas,
    pub versions: &'a dyn Versions,
    /// The request's version.
    pub api_version: &'a str,
    /// `""` for the main resource.
    pub subresource: &'a str,
    pub manager: &'a str,
    /// `2026-01-02T03:04:05Z`
    pub now: &'a str,
    /// Paths that this endpoint does not write.
    pub reset: &'a Set,
}

/// Why an apply comes to nothing.
#[derive(Debug)]
pub enum Refusal {
    Conflicts(Vec<Conflict>),
    Status(Status),
}

/// A field that another manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub owner: Owner,
    pub path: Path,
}

/// What an apply comes to.
pub struct Applied {
    /// The new object; `None` when the live one is as wanted already.
    pub object: Option<Value>,
    pub entries: Entries,
}

/// Members of the object and its metadata that belong to the server. Upstream: `stripMetaManager`.
const NEVER_OWNED: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "metadata.name",
    "metadata.namespace",
    "metadata.creationTimestamp",
    "metadata.selfLink",
    "metadata.uid",
    "metadata.clusterName",
    "metadata.generation",
    "metadata.managedFields",
    "metadata.resourceVersion",
];

fn never_owned() -> &'static Set {
    static SET: OnceLock<Set> = OnceLock::new();
    SET.get_or_init(|| Set::of_names(NEVER_OWNED))
}

/// Whom fields belong to that were there before the first apply.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

// === impl Conflict ===

impl Conflict {
    /// The 409 for these conflicts. Upstream: `NewConflictError`.
    pub fn status(conflicts: &[Conflict]) -> Status {
        let cause = |c: &Conflict| Cause {
            kind: "FieldManagerConflict".into(),
            message: format!("conflict with {}", c.owner.shown()),
            field: c.path.to_string(),
        };
        let message = match conflicts {
            [one] => format!("Apply failed with 1 conflict: conflict with {}: {}", one.owner.shown(), one.path),
            many => {
                let mut lines = Vec::new();
                for of_owner in many.chunk_by(|a, b| a.owner == b.owner) {
                    lines.push(format!("conflicts with {}:", of_owner[0].owner.shown()));
                    lines.extend(of_owner.iter().map(|c| format!("- {}", c.path)));
                }
                format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n"))
            }
        };
        Status::apply_conflict(&message, conflicts.iter().map(cause).collect())
    }
}

/// A plain error of upstream's: its text, as a 500.
pub(super) fn plain(text: impl Into<String>) -> Refusal {
    Refusal::Status(Status::new(500, api::Reason::Unknown, text))
}

impl From<super::element::BadElement> for Refusal {
    fn from(error: super::element::BadElement) -> Refusal {
        plain(format!("error decoding set: {error}"))
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        match refusal {
            Refusal::Conflicts(conflicts) => Conflict::status(&conflicts),
            Refusal::Status(status) => status,
        }
    }
}

/// Two forms of an object and what tells them apart, in each version that was asked for.
struct Change<'a> {
    old: &'a Value,
    new: &'a Value,
    seen: Vec<(EcoString, Option<Comparison>)>,
}

// === impl Change ===

impl Change<'_> {
    /// What was found in a version that was asked for.
    fn into_comparison(self, api_version: &str) -> Comparison {
        self.seen.into_iter().find(|(v, _)| v == api_version).and_then(|(_, found)| found).unwrap_or_default()
    }
}

// === impl Writer ===

impl<'a> Writer<'a> {
    fn owner(&self, manager: &str, applies: bool) -> Owner {
        Owner {
            manager: if manager.is_empty() { "unknown".into() } else { manager.into() },
            applies,
            api_version: if applies { EcoString::new() } else { self.api_version.into() },
            subresource: self.subresource.into(),
        }
    }

    fn form(&self, api_version: &str) -> Option<Form<'a>> {
        let id = self.versions.type_of(api_version)?;
        Some(Form::of_type(self.schemas.get(id), self.schemas))
    }

    /// Notes an update (or a create, whose `live` is the type's empty object) of objects in the request's version.
    ///
    /// An object that is there and has no entries gets none: tracking begins at creation or with the first apply.
    pub fn update(&self, live: &Value, new: &Value, entries: Entries) -> Result<Entries, Refusal> {
        if entries.is_empty() && !live.at("metadata").at("uid").is_empty() {
            return Ok(entries);
        }
        self.updated_by(self.manager, live, new, entries)
    }

    fn updated_by(&self, manager: &str, live: &Value, new: &Value, entries: Entries) -> Result<Entries, Refusal> {
        let mut entries = entries;
        let mut change = Change { old: live, new, seen: Vec::new() };
        let owner = self.owner(manager, false);
        if self.compared(&mut change, self.api_version)?.is_none() {
            return Ok(entries);
        }
        let previous = entries.find(&owner);
        self.take_from_others(&mut entries, previous, &mut change, None)?;
        let Comparison { removed, changed: mut own } = change.into_comparison(self.api_version);
        own.subtract(never_owned());
        let changes = !own.is_empty();
        let place = match entries.find(&owner) {
            // A heartbeat: what changed is the manager's own already. Its set stays as it is written.
            Some(i) if entries.0[i].covers(&own) && !entries.0[i].touches(&removed) => Some(i),
            Some(i) => {
                let mut set = entries.0[i].take()?;
                set.subtract(&removed);
                entries.0[i].put(set.union(&own));
                Some(i)
            }
            None if changes => {
                entries.0.push(Entry::new(owner, self.api_version, own));
                Some(entries.0.len() - 1)
            }
            None => None,
        };
        if let (Some(i), true) = (place, changes) {
            entries.0[i].time = Some(self.now.into());
        }
        entries.drop_empty();
        entries.cap()?;
        Ok(entries)
    }

    /// What a change did in a version, without what this endpoint does not write; `None` when there is no such version.
    fn compared<'c>(&self, change: &'c mut Change<'_>, api_version: &str) -> Result<Option<&'c Comparison>, Refusal> {
        let at = match change.seen.iter().position(|(v, _)| v == api_version) {
            Some(at) => at,
            None => {
                let comparison = self.compare_in(change.old, change.new, api_version)?;
                change.seen.push((api_version.into(), comparison));
                change.seen.len() - 1
            }
        };
        Ok(change.seen[at].1.as_ref())
    }

    fn compare_in(&self, old: &Value, new: &Value, api_version: &str) -> Result<Option<Comparison>, Refusal> {
        let Some(form) = self.form(api_version) else { return Ok(None) };
        let failed = |which: &str, why: String| plain(format!("failed to convert {which} object: {why}"));
        let old = self.converted(old, self.api_version, api_version).map_err(|why| failed("old", why))?;
        let new = self.converted(new, self.api_version, api_version).map_err(|why| failed("new", why))?;
        // What has been converted is read anew, and now without leave for elements that stand twice.
        if api_version != self.api_version {
            for object in [&old, &new] {
                super::check(form, object, self.schemas)
                    .map_err(|e| plain(format!("failed to convert object: {e}")))?;
            }
        }
        let found = compare(form, &old, &new, self.schemas);
        let comparison = found.map_err(|e| plain(format!("failed to compare objects: {e}")))?;
        Ok(Some(comparison.without(self.reset)))
    }

    fn converted<'v>(&self, object: &'v Value, from: &str, to: &str) -> Result<Cow<'v, Value>, String> {
        match from == to {
            true => Ok(Cow::Borrowed(object)),
            false => self.versions.convert(object, from, to).map(Cow::Owned),
        }
    }

    /// Takes what changed from everyone but the entry at `writer`; entries of versions that are gone go. With
    /// `conflicts` nothing is taken: they are what would be.
    fn take_from_others(
        &self,
        entries: &mut Entries,
        writer: Option<usize>,
        change: &mut Change<'_>,
        mut conflicts: Option<&mut Vec<Conflict>>,
    ) -> Result<(), Refusal> {
        let mut gone = Vec::new();
        for (i, entry) in entries.0.iter_mut().enumerate().filter(|(i, _)| Some(*i) != writer) {
            let Some(comparison) = self.compared(change, &entry.api_version.clone())? else {
                gone.push(i);
                continue;
            };
            let loses = entry.touches(&comparison.changed);
            if let Some(conflicts) = conflicts.as_deref_mut() {
                if loses {
                    let paths = entry.set()?.intersection(&comparison.changed).paths();
                    let owner = &entry.owner;
                    conflicts.extend(paths.into_iter().map(|path| Conflict { owner: owner.clone(), path }));
                }
            } else if loses || entry.touches(&comparison.removed) {
                let mut left = entry.take()?;
                left.subtract(&comparison.changed);
                left.subtract(&comparison.removed);
                entry.put(left);
            }
        }
        if conflicts.is_none() {
            gone.into_iter().rev().for_each(|i| drop(entries.0.remove(i)));
        }
        Ok(())
    }

    /// Applies a configuration to a live object without its entries, both in the request's version.
    pub fn apply(&self, live: &Value, config: &Value, entries: Entries, force: bool) -> Result<Applied, Refusal> {
        let mut entries = entries;
        if entries.is_empty() {
            let form = self.form(self.api_version);
            let Some(Form::Struct { .. }) = form else { return Err(plain("no corresponding type")) };
            let empty = self.empty();
            entries = self.updated_by(BEFORE_FIRST_APPLY, &empty, live, entries)?;
        }
        if force || self.manager != "kubectl" {
            return self.apply_once(live, config, entries, force);
        }
        // kubectl may take over what its own client-side apply has set. Upstream: `lastAppliedManager`.
        let first = self.apply_once(live, config, entries.clone(), force);
        let Err(Refusal::Conflicts(conflicts)) = first else { return first };
        let Some(allowed) = self.last_applied(live) else { return Err(Refusal::Conflicts(conflicts)) };
        let left: Vec<Conflict> = conflicts.into_iter().filter(|c| !allowed.has(&c.path)).collect();
        if !left.is_empty() {
            return Err(Refusal::Conflicts(left));
        }
        self.apply_once(live, config, entries, true)
    }

    /// The object of the request's version that nobody has set anything of.
    pub fn empty(&self) -> Value {
        let mut empty = Value::object();
        if let Some(id) = self.versions.type_of(self.api_version) {
            crate::normalise::object(&mut empty, id, self.schemas);
        }
        empty
    }

    fn apply_once(&self, live: &Value, config: &Value, entries: Entries, force: bool) -> Result<Applied, Refusal> {
        let mut entries = self.fitted(live, entries)?;
        let Some(form) = self.form(self.api_version) else { return Err(plain("no corresponding type")) };
        let merged = merge::merge(form, live, config, self.schemas)
            .map_err(|e| plain(format!("failed to merge config: {e}")))?;
        let mut named =
            collect::paths(form, config, self.schemas).map_err(|e| plain(format!("failed to get field set: {e}")))?;
        named.subtract_recursively(self.reset);
        let owner = self.owner(self.manager, true);
        let last = match entries.find(&owner) {
            Some(i) => Some((entries.0[i].api_version.clone(), entries.0[i].set()?.clone())),
            None => None,
        };
        let mine = entries.find(&owner).unwrap_or_else(|| {
            entries.0.push(Entry::new(owner.clone(), self.api_version, Set::new()));
            entries.0.len() - 1
        });
        entries.0[mine].put(named);
        entries.0[mine].api_version = self.api_version.into();
        let object = match last {
            Some((version, set)) if !set.is_empty() => super::prune::prune(self, merged, &mut entries, &version, &set)?,
            _ => merged,
        };
        self.settle(live, &object, &mut entries, mine, force)?;
        let changed = !super::element::same(live, &object);
        if let Some(i) = entries.find(&owner) {
            let mut set = entries.0[i].take()?;
            set.subtract(never_owned());
            entries.0[i].put(set);
            if changed {
                entries.0[i].time = Some(self.now.into());
            }
        }
        entries.drop_empty();
        Ok(Applied { object: changed.then_some(object), entries })
    }

    /// Takes what an apply changes from the others, unless they object and may.
    fn settle(
        &self,
        live: &Value,
        new: &Value,
        entries: &mut Entries,
        mine: usize,
        force: bool,
    ) -> Result<(), Refusal> {
        let mut change = Change { old: live, new, seen: Vec::new() };
        if !force {
            let mut conflicts = Vec::new();
            self.take_from_others(entries, Some(mine), &mut change, Some(&mut conflicts))?;
            if !conflicts.is_empty() {
                conflicts.sort_by_cached_key(|c| c.owner.identifier());
                return Err(Refusal::Conflicts(conflicts));
            }
        }
        self.take_from_others(entries, Some(mine), &mut change, None)
    }

    /// The entries as their types are today. Upstream: `reconcileManagedFieldsWithSchemaChanges`.
    fn fitted(&self, live: &Value, mut entries: Entries) -> Result<Entries, Refusal> {
        entries.0.retain(|e| self.versions.type_of(&e.api_version).is_some());
        for entry in &mut entries.0 {
            if entry.api_version != self.api_version {
                self.versions.reach(live, self.api_version, &entry.api_version).map_err(plain)?;
            }
            let Some(form) = self.form(&entry.api_version) else { continue };
            if let Some(set) = remove::fit(entry.set()?, form, self.schemas) {
                entry.put(set);
            }
        }
        Ok(entries)
    }

    /// The fields that client-side apply has set and that are still so.
    fn last_applied(&self, live: &Value) -> Option<Set> {
        let text = live.at_path(&["metadata", "annotations"]).opt_str(super::LAST_APPLIED)?;
        let last: Value = serde_json::from_str(text).ok()?;
        if last.str("apiVersion") != self.api_version {
            return None;
        }
        let form = self.form(self.api_version)?;
        super::check::check(form, &last, self.schemas).ok()?;
        let mut set = collect::paths(form, &last, self.schemas).ok()?;
        let differs = compare(form, &last, live, self.schemas).ok()?;
        set.subtract(&differs.changed);
        set.subtract(&differs.removed);
        Some(set)
    }

    pub(super) fn parts(&self, api_version: &str) -> Option<Form<'a>> {
        self.form(api_version)
    }
}
