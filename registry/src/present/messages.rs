//! A list in protobuf, piece by piece, from the messages that its entries share.

use std::sync::Arc;

use api::{Gvk, Status};
use bytes::Bytes;

use super::{PIECE_LEN, list_meta};
use crate::{
    List,
    cache::Entry,
    definition::{Definition, Served},
};

/// In every list of the API, `items` is the second field.
const ITEMS: u32 = 2;

/// The bytes of a list, as they are taken.
pub struct Pieces {
    definition: Arc<Definition>,
    head: Option<Vec<u8>>,
    entries: Vec<Arc<Entry>>,
    next: usize,
    ended: bool,
}

// === impl Pieces ===

impl Pieces {
    /// Makes the messages that are not there yet, since the envelope begins with the length of all.
    pub fn new(definition: &Arc<Definition>, served: &Served, list: List) -> Result<Pieces, Status> {
        let gvk = Gvk::new(served.gvk.group.clone(), served.gvk.version.clone(), served.list_kind.clone());
        let schemas = definition.schemas();
        let id = schemas.kind(&gvk).ok_or_else(|| Status::internal(format!("{gvk} has no protobuf form")))?;
        let mut meta = Vec::new();
        codec::proto::message(&api::value!({"metadata": (list_meta(&list))}), id, schemas, &mut meta);
        let item_len = |entry: &Arc<Entry>| codec::proto::member_len(entry.message(definition).len());
        let len = meta.len() + list.entries.iter().map(item_len).sum::<usize>();
        let mut head = codec::proto::envelope_begin(&gvk, len);
        head.extend_from_slice(&meta);
        Ok(Pieces { definition: definition.clone(), head: Some(head), entries: list.entries, next: 0, ended: false })
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let mut out = Vec::with_capacity(PIECE_LEN + (8 << 10));
        out.extend(self.head.take().into_iter().flatten());
        while let Some(entry) = self.entries.get(self.next) {
            if out.len() >= PIECE_LEN {
                return Some(out.into());
            }
            codec::proto::member(ITEMS, entry.message(&self.definition), &mut out);
            self.next += 1;
        }
        self.ended = true;
        out.extend_from_slice(codec::proto::ENVELOPE_END);
        Some(out.into())
    }
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::{cache::Cache, definition::World, storage};

    fn definition() -> Arc<Definition> {
        let schemas = schema::builtin();
        let runs = resources::defaults().map(|d| (d.schema, d.run));
        let defaults = schema::default::Defaults::new(schemas, runs).expect("the defaults fit the types");
        let row = resources::all().find(|row| row.plural == "configmaps").expect("there are config maps");
        let world = Arc::new(World { schemas, defaults, constraints: None });
        Arc::new(Definition::compile(row, world, Cache::new()).expect("its row compiles"))
    }

    fn entry(definition: &Definition, name: &str, text_len: usize, revision: u64) -> Arc<Entry> {
        let mut hub = value!({
            "kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "namespace": "a", "uid": "u"},
            "data": {"text": ("x".repeat(text_len))}
        });
        let json = storage::json(definition, &mut hub);
        Arc::new(Entry::new(definition, format!("a/{name}").into(), json, &hub, revision))
    }

    #[test]
    fn the_pieces_are_the_list_as_it_is_encoded_whole() {
        let definition = definition();
        let entries = vec![entry(&definition, "a", 3, 7), entry(&definition, "b", 100_000, 8)];
        let items: Vec<_> = entries.iter().map(|e| e.tree()).collect();
        let list = List { entries, revision: 9, continue_token: "more".into(), remaining: Some(3) };
        let whole = value!({
            "kind": "ConfigMapList", "apiVersion": "v1", "metadata": (list_meta(&list)), "items": items
        });
        let gvk = Gvk::new("", "v1", "ConfigMapList");
        let expected = codec::proto::write(&whole, &gvk, definition.schemas()).expect("it has a protobuf form");
        let pieces: Vec<Bytes> = Pieces::new(&definition, &definition.versions[0], list).expect("it can").collect();
        assert!(pieces.concat() == expected);
    }

    #[test]
    fn an_entrys_message_is_of_its_revision() {
        let definition = definition();
        let first = entry(&definition, "a", 1, 7);
        let message = first.message(&definition).clone();
        assert_eq!(message.as_ptr(), first.message(&definition).as_ptr(), "it is made once");
        let second = first.at(8);
        assert!(message.windows(3).any(|w| w == [0x32, 1, b'7']));
        assert!(second.message(&definition).windows(3).any(|w| w == [0x32, 1, b'8']));
    }
}
