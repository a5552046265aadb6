//! What lies in the store and cannot be read: nobody converts it, it is not what its key says, or it cannot be opened.
//!
//! To upstream such an object is corrupt, and each way of reading says that in its own words. Upstream:
//! apiserver/pkg/storage/etcd3/corrupt_obj_deleter.go, storage/errors.go.

use std::{fmt, sync::Arc};

use api::{
    EcoString, Reason, Status,
    status::{Cause, Details},
};
use store::Revision;

use crate::definition::Definition;

/// So many objects are told of. Upstream: `maxCorruptObjErrsToAggregate`.
const TOLD_MAX: usize = 100;

/// Why an object cannot be read. Upstream: `corruptObjectError`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// Where it stood when it was found to be so.
    pub revision: Revision,
    text: Arc<str>,
    opens: bool,
}

/// Objects that stay as they lie in the store.
#[derive(Debug)]
pub struct Unread {
    /// By their local keys.
    pub objects: Vec<(EcoString, Corrupt)>,
    /// What is said of none of them.
    pub why: Status,
}

// === impl Corrupt ===

impl Corrupt {
    /// It is no object of its kind.
    pub fn undecodable(revision: Revision, why: impl fmt::Display) -> Corrupt {
        Corrupt { revision, text: format!("object not decodable revision={revision}: {why}").into(), opens: true }
    }

    /// It cannot be opened. Upstream names no revision here.
    pub fn untransformable(revision: Revision, why: impl fmt::Display) -> Corrupt {
        let text = format!("data from the storage is not transformable revision=0: {why}").into();
        Corrupt { revision, text, opens: false }
    }

    /// Whether it could be opened at least, and is no object.
    pub fn opens(&self) -> bool {
        self.opens
    }

    /// As who changes it is told.
    pub fn of_change(&self) -> Status {
        match self.opens {
            true => Status::new(500, Reason::Unknown, &*self.text),
            false => Status::internal(&self.text),
        }
    }

    /// As who reads or deletes it is told; its local key.
    pub fn of_get(&self, definition: &Definition, key: &str) -> Status {
        Status::internal(self.at(&path("", definition, key)))
    }

    fn at(&self, path: &str) -> String {
        format!(
            "StorageError: corrupt object, Code: 7, Key: {path}, ResourceVersion: 0, AdditionalErrorMsg: {}",
            self.text
        )
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

// === impl Unread ===

impl Unread {
    /// As who reads or deletes one object is told.
    pub fn of_get(self, definition: &Definition) -> Status {
        match self.objects.first() {
            Some((key, corrupt)) => corrupt.of_get(definition, key),
            None => self.why,
        }
    }

    /// As who changes one is told.
    pub fn of_change(self) -> Status {
        self.objects.first().map(|(_, corrupt)| corrupt.of_change()).unwrap_or(self.why)
    }

    /// As who lists is told. `root` is the server's prefix.
    pub fn of_list(self, definition: &Definition, root: &str) -> Status {
        of_list(&self.objects, definition, root).unwrap_or(self.why)
    }
}

/// As who lists is told of objects that cannot be read; none: all can.
pub fn of_list(objects: &[(EcoString, Corrupt)], definition: &Definition, root: &str) -> Option<Status> {
    let resource = &definition.resource;
    let cause = |(key, corrupt): &(EcoString, Corrupt)| {
        let field = path(root, definition, key);
        Cause { kind: "UnexpectedServerResponse".into(), message: corrupt.at(&field), field }
    };
    let causes: Vec<Cause> = objects.iter().take(TOLD_MAX).map(cause).collect();
    let first = causes.first()?;
    let mut text = format!("failed to read one or more {resource} from the storage: {}", first.message);
    if causes.len() > 1 {
        text += &format!(" (and {} more)", causes.len() - 1);
    }
    let (group, kind) = (resource.group.to_string(), resource.resource.to_string());
    let details = Details { name: "list".into(), group, kind, causes, ..Details::default() };
    let mut status = Status::new(500, Reason::Unknown, text).with_details(details);
    status.failure_mut().foreign_reason = "StorageReadError".into();
    Some(status)
}

/// As who wants all of a kind out of memory is told, when something is missing there. Upstream: `ErrWatchCacheNotReady`.
pub fn of_cache(objects: &[(EcoString, Corrupt)], definition: &Definition, root: &str) -> Option<Status> {
    let why = of_list(objects, definition, root)?;
    let text = format!("storage is (re)initializing: failed to list <unspecified>: {}", why.message());
    Some(Status::too_many_requests(&text, 30))
}

fn path(root: &str, definition: &Definition, key: &str) -> String {
    format!("{root}/{}/{key}", definition.row.stored.prefix)
}
