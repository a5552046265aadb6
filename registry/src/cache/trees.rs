//! Objects that were read lately, as trees.
//!
//! Each pod that is made asks for its namespace, its service account and the like, which mostly are what they were for the
//! one before.

use std::{collections::VecDeque, sync::Arc};

use api::Value;
use parking_lot::Mutex;

use super::Entry;

/// So few are kept that looking through them costs nothing beside reading one.
const LEN_MAX: usize = 16;

/// The last trees, the newest first. An entry that was replaced is another one, so no tree is ever old.
#[derive(Default)]
pub(super) struct Trees(Mutex<VecDeque<(Arc<Entry>, Arc<Value>)>>);

impl Trees {
    pub(super) fn of(&self, entry: Arc<Entry>) -> Arc<Value> {
        if let Some((_, tree)) = self.0.lock().iter().find(|(e, _)| Arc::ptr_eq(e, &entry)) {
            return tree.clone();
        }
        let tree = Arc::new(entry.tree());
        let mut trees = self.0.lock();
        // Its predecessor will not be asked for again.
        trees.retain(|(e, _)| e.key != entry.key);
        trees.truncate(LEN_MAX - 1);
        trees.push_front((entry, tree.clone()));
        tree
    }
}
