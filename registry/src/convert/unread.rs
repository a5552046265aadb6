//! What could not be read because nobody converts it.
//!
//! To upstream such an object is corrupt, and each way of reading says that in its own words. Upstream:
//! apiserver/pkg/storage/etcd3/corrupt_obj_deleter.go, storage/errors.go.

use api::{
    EcoString, Reason, Status,
    status::{Cause, Details},
};
use store::Revision;

use crate::definition::Definition;

/// So many objects are told of. Upstream: `listErrorAggregator`'s bound.
const TOLD_MAX: usize = 100;

/// Objects that stay as they lie in the store.
#[derive(Debug)]
pub struct Unread {
    /// Local keys and revisions.
    pub objects: Vec<(EcoString, Revision)>,
    pub why: Status,
}

impl Unread {
    /// As who reads or deletes one object is told.
    pub fn of_get(self, definition: &Definition) -> Status {
        match self.objects.first() {
            Some((key, revision)) => Status::internal(corrupt(&path("", definition, key), *revision, &self.why)),
            None => self.why,
        }
    }

    /// As who changes one is told.
    pub fn of_change(self) -> Status {
        let revision = self.objects.first().map_or(0, |(_, revision)| *revision);
        Status::new(500, Reason::Unknown, undecodable(revision, &self.why))
    }

    /// As who lists is told. `root` is the server's prefix.
    pub fn of_list(self, definition: &Definition, root: &str) -> Status {
        let resource = &definition.resource;
        let cause = |(key, revision): &(EcoString, Revision)| {
            let field = path(root, definition, key);
            let message = corrupt(&field, *revision, &self.why);
            Cause { kind: "UnexpectedServerResponse".into(), message, field }
        };
        let causes: Vec<Cause> = self.objects.iter().take(TOLD_MAX).map(cause).collect();
        let Some(first) = causes.first() else { return self.why };
        let mut text = format!("failed to read one or more {resource} from the storage: {}", first.message);
        if causes.len() > 1 {
            text += &format!(" (and {} more)", causes.len() - 1);
        }
        let (group, kind) = (resource.group.to_string(), resource.resource.to_string());
        let details = Details { name: "list".into(), group, kind, causes, ..Details::default() };
        let mut status = Status::new(500, Reason::Unknown, text).with_details(details);
        status.failure_mut().foreign_reason = "StorageReadError".into();
        status
    }
}

fn path(root: &str, definition: &Definition, key: &str) -> String {
    format!("{root}/{}/{key}", definition.row.stored.prefix)
}

fn undecodable(revision: Revision, why: &Status) -> String {
    format!("object not decodable revision={revision}: {}", why.message())
}

fn corrupt(path: &str, revision: Revision, why: &Status) -> String {
    let why = undecodable(revision, why);
    format!("StorageError: corrupt object, Code: 7, Key: {path}, ResourceVersion: 0, AdditionalErrorMsg: {why}")
}
