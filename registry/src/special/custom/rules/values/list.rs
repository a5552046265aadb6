//! Lists: plain ones, and those that are sets or maps, which have no order and hold nothing twice.
//!
//! Upstream: apiserver/pkg/cel/common/valuesunstructured.go unstructuredSetList, unstructuredMapList; what they add up to is
//! that of valuesreflect.go addToSetList, addToMapList.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api::EcoString;
use cel::{EvalError, ListLike};
use schema::{Listing, structural::Node};

use super::{Outcome, members};

#[derive(Debug)]
pub(super) struct List {
    items: Vec<Outcome>,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Plain,
    Set,
    /// By the names of the keys.
    Map(Arc<[EcoString]>),
}

/// What elements of sets, and keys of elements, are told by: as Go does, by type and value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Nothing,
    Bool(bool),
    Int(i64),
    /// Bits.
    Double(u64),
    Text(EcoString),
    Bytes(Arc<[u8]>),
    /// Since 1970.
    Time(i64, u32),
    Duration(i64),
}

impl List {
    pub(super) fn new(items: Vec<Outcome>, node: &Node) -> List {
        let form = match node.listing {
            Some(Listing::Set) => Form::Set,
            Some(Listing::Map) => Form::Map(node.keys.clone().into()),
            _ => Form::Plain,
        };
        List { items, form }
    }

    fn is_same(&self, other: &cel::List) -> Result<bool, EvalError> {
        if self.items.len() != other.len() {
            return Ok(false);
        }
        match &self.form {
            Form::Plain => {
                for (own, other) in self.items.iter().zip(other.iter()) {
                    if !own.clone()?.equals(&other?)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Form::Set => {
                let own = self.items.iter().map(|item| mark(&item.clone()?)).collect::<Result<BTreeSet<_>, _>>()?;
                let mut seen = BTreeSet::new();
                for item in other.iter() {
                    let found = mark(&item?)?;
                    if !own.contains(&found) {
                        return Ok(false);
                    }
                    seen.insert(found);
                }
                Ok(seen.len() == own.len())
            }
            Form::Map(keys) => self.is_same_map(keys, other),
        }
    }

    fn is_same_map(&self, keys: &[EcoString], other: &cel::List) -> Result<bool, EvalError> {
        let mut own = BTreeMap::new();
        for item in &self.items {
            let item = item.clone()?;
            own.insert(marks(&item, keys), item);
        }
        let mut seen = BTreeSet::new();
        for item in other.iter() {
            let item = item?;
            let found = marks(&item, keys);
            match own.get(&found) {
                Some(own) if own.equals(&item)? => drop(seen.insert(found)),
                _ => return Ok(false),
            }
        }
        Ok(seen.len() == own.len())
    }

    /// Elements keep their places. Those of a set that are there already are not added, those of a map take the places of
    /// what has their keys.
    fn joined(&self, other: &cel::List) -> Outcome {
        let mut items = self.items.iter().cloned().collect::<Result<Vec<cel::Value>, _>>()?;
        match &self.form {
            Form::Plain => items.extend(other.iter().collect::<Result<Vec<_>, _>>()?),
            Form::Set => {
                let mut seen = items.iter().map(mark).collect::<Result<BTreeSet<_>, _>>()?;
                for item in other.iter() {
                    let item = item?;
                    if seen.insert(mark(&item)?) {
                        items.push(item);
                    }
                }
            }
            Form::Map(keys) => {
                let places = items.iter().enumerate().map(|(i, item)| (marks(item, keys), i));
                let places: BTreeMap<Vec<Mark>, usize> = places.collect();
                for item in other.iter() {
                    let item = item?;
                    match places.get(&marks(&item, keys)) {
                        Some(place) => items[*place] = item,
                        None => items.push(item),
                    }
                }
            }
        }
        let items = items.into_iter().map(Ok).collect();
        Ok(cel::Value::foreign_list(List { items, form: self.form.clone() }))
    }
}

impl ListLike for List {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn get(&self, index: usize) -> Outcome {
        let missing = || Err(EvalError::new(format!("index out of bounds: {index}")));
        self.items.get(index).cloned().unwrap_or_else(missing)
    }

    fn equals(&self, other: &cel::Value) -> Option<Result<bool, EvalError>> {
        Some(match other {
            cel::Value::List(other) => self.is_same(other),
            _ => Err(EvalError::new("no such overload")),
        })
    }

    fn concat(&self, other: &cel::List) -> Option<Outcome> {
        // Plain ones are put together as any are.
        (!matches!(self.form, Form::Plain)).then(|| self.joined(other))
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

/// Of an element of a set.
fn mark(value: &cel::Value) -> Result<Mark, EvalError> {
    Ok(match value {
        cel::Value::List(_) | cel::Value::Map(_) => {
            return Err(EvalError::new("listSet operations are only supported on lists of scalar values"));
        }
        cel::Value::Bool(b) => Mark::Bool(*b),
        cel::Value::Int(i) => Mark::Int(*i),
        cel::Value::Double(f) => Mark::Double(if *f == 0.0 { 0 } else { f.to_bits() }),
        cel::Value::String(text) => Mark::Text(text.clone()),
        cel::Value::Bytes(bytes) => Mark::Bytes(bytes.clone()),
        cel::Value::Timestamp(time) => Mark::Time(time.seconds, time.nanos),
        cel::Value::Duration(nanos) => Mark::Duration(*nanos),
        _ => Mark::Nothing,
    })
}

/// Of an element of a map, by its keys.
fn marks(value: &cel::Value, keys: &[EcoString]) -> Vec<Mark> {
    let own = |key: &EcoString| -> Option<Mark> {
        let found = match members(value) {
            Some(members) => members.find(key)?.clone().ok()?,
            None => match value {
                cel::Value::Map(map) => map.get(&cel::Value::String(key.clone())).ok()??,
                _ => return None,
            },
        };
        mark(&found).ok()
    };
    keys.iter().map(|key| own(key).unwrap_or(Mark::Nothing)).collect()
}
