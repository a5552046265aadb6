//! `metadata.managedFields`: who owns which fields, since when, through which version.
//!
//! Upstream: apimachinery/pkg/util/managedfields/internal/{managedfields,capmanagers,conflict}.go.

use std::cmp::Ordering;

use api::{
    EcoString, Map, Value,
    field::{go_json, quote},
};

use super::{element::BadElement, fields, set::Set};

/// How many managers with the operation Update are kept apart. Upstream: `DefaultMaxUpdateManagers`.
const UPDATERS_LEN_MAX: usize = 10;

/// Into whose entry the oldest updates go when there are more.
const OLD_UPDATES: &str = "ancient-changes";

/// Whom an entry belongs to. Appliers are the same whatever version they apply in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    pub manager: EcoString,
    pub applies: bool,
    /// `""` for appliers.
    pub api_version: EcoString,
    pub subresource: EcoString,
}

/// The fields of one owner.
#[derive(Clone, Debug)]
pub struct Entry {
    pub owner: Owner,
    pub api_version: EcoString,
    pub time: Option<EcoString>,
    fields: Fields,
}

/// A set as it was written, as it was read, or both.
#[derive(Clone, Debug)]
enum Fields {
    Written(Value),
    Both(Value, Set),
    Read(Set),
}

/// All entries of an object.
#[derive(Clone, Debug, Default)]
pub struct Entries(pub Vec<Entry>);

// === impl Owner ===

impl Owner {
    /// The text that upstream knows an owner by; where it sorts owners, it sorts these.
    pub fn identifier(&self) -> String {
        let mut text = Value::object();
        let operation = if self.applies { "Apply" } else { "Update" };
        let members = [
            ("manager", &*self.manager),
            ("operation", operation),
            ("apiVersion", &*self.api_version),
            ("subresource", &*self.subresource),
        ];
        for (key, member) in members.into_iter().filter(|(_, m)| !m.is_empty()) {
            text.set(key, member);
        }
        go_json(&text)
    }

    /// As messages about conflicts name it.
    pub fn shown(&self) -> String {
        let mut text = quote(&self.manager);
        if !self.subresource.is_empty() {
            text += &format!(" with subresource {}", quote(&self.subresource));
        }
        if !self.applies {
            text += &format!(" using {}", self.api_version);
        }
        text
    }
}

// === impl Entry ===

impl Entry {
    pub fn new(owner: Owner, api_version: &str, set: Set) -> Entry {
        Entry { owner, api_version: api_version.into(), time: None, fields: Fields::Read(set) }
    }

    /// Whether any of these paths is owned.
    pub fn touches(&self, set: &Set) -> bool {
        match &self.fields {
            Fields::Written(value) | Fields::Both(value, _) => fields::touches(value, set),
            Fields::Read(owned) => owned.meets(set),
        }
    }

    /// Whether all of these paths are owned.
    pub fn covers(&self, set: &Set) -> bool {
        match &self.fields {
            Fields::Written(value) | Fields::Both(value, _) => fields::covers(value, set),
            Fields::Read(owned) => set.is_within(owned),
        }
    }

    pub fn set(&mut self) -> Result<&Set, BadElement> {
        if let Fields::Written(value) = &mut self.fields {
            let set = fields::decode(value)?;
            self.fields = Fields::Both(value.take(), set);
        }
        match &self.fields {
            Fields::Both(_, set) | Fields::Read(set) => Ok(set),
            Fields::Written(_) => Err(BadElement("the set has just been read".into())),
        }
    }

    pub fn put(&mut self, set: Set) {
        self.fields = Fields::Read(set);
    }

    /// The set, to be changed; it has to be put back.
    pub fn take(&mut self) -> Result<Set, BadElement> {
        match std::mem::replace(&mut self.fields, Fields::Read(Set::new())) {
            Fields::Written(value) => fields::decode(&value),
            Fields::Both(_, set) | Fields::Read(set) => Ok(set),
        }
    }

    fn is_empty(&self) -> bool {
        match &self.fields {
            Fields::Written(value) => value.is_empty(),
            Fields::Both(_, set) | Fields::Read(set) => set.is_empty(),
        }
    }

    /// Reads an entry. Upstream: `DecodeManagedFields`.
    fn read(i: usize, mut value: Value) -> Result<Entry, String> {
        let applies = match value.str("operation") {
            "Apply" => true,
            "Update" => false,
            _ => return Err("operation must be `Apply` or `Update`".into()),
        };
        let api_version = value.str("apiVersion");
        if api_version.is_empty() {
            return Err("apiVersion must not be empty".into());
        }
        match value.str("fieldsType") {
            "FieldsV1" => {}
            "" => return Err(format!("missing fieldsType in managed fields entry {i}")),
            other => return Err(format!("invalid fieldsType {} in managed fields entry {i}", quote(other))),
        }
        let api_version = EcoString::from(api_version);
        let owner = Owner {
            manager: value.str("manager").into(),
            applies,
            api_version: if applies { EcoString::new() } else { api_version.clone() },
            subresource: value.str("subresource").into(),
        };
        let time = value.opt_str("time").map(EcoString::from);
        let fields = match value.get_mut("fieldsV1").map(Value::take) {
            None | Some(Value::Null) => Value::object(),
            Some(fields) => fields,
        };
        Ok(Entry { owner, api_version, time, fields: Fields::Written(fields) })
    }

    fn write(self) -> Value {
        let mut map = Map::with_capacity(7);
        let mut put = |key: &'static str, text: EcoString| {
            if !text.is_empty() {
                map.push_new(EcoString::inline(key), Value::Str(text));
            }
        };
        put("manager", self.owner.manager);
        put("operation", EcoString::inline(if self.owner.applies { "Apply" } else { "Update" }));
        put("apiVersion", self.api_version);
        put("time", self.time.unwrap_or_default());
        put("fieldsType", EcoString::inline("FieldsV1"));
        let fields = match self.fields {
            Fields::Written(value) | Fields::Both(value, _) => value,
            Fields::Read(set) => fields::encode(&set),
        };
        map.push_new(EcoString::inline("fieldsV1"), fields);
        if !self.owner.subresource.is_empty() {
            map.push_new(EcoString::inline("subresource"), Value::Str(self.owner.subresource));
        }
        Value::from(map)
    }

    fn seconds(&self) -> i64 {
        let time = self.time.as_deref().and_then(api::time::parse);
        time.map_or(0, |t| t.as_second())
    }
}

// === impl Entries ===

impl Entries {
    /// Reads entries that this server wrote: their sets are read only when something is asked of them.
    pub fn stored(managed: Value) -> Result<Entries, String> {
        let Value::Array(items) = managed else { return Ok(Entries::default()) };
        let mut entries = Entries(Vec::with_capacity(items.len() + 1));
        for (i, item) in items.into_iter().enumerate() {
            let entry = Entry::read(i, item)?;
            // The last entry of an owner counts.
            entries.0.retain(|e| e.owner != entry.owner);
            entries.0.push(entry);
        }
        Ok(entries)
    }

    /// Reads entries that somebody else wrote: each set is read, and will be written in the one right way.
    pub fn foreign(managed: Value) -> Result<Entries, String> {
        let mut entries = Entries::stored(managed)?;
        for entry in &mut entries.0 {
            let set = entry.take().map_err(|e| format!("error decoding set: {e}"))?;
            entry.put(set);
        }
        Ok(entries)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn find(&self, owner: &Owner) -> Option<usize> {
        self.0.iter().position(|e| e.owner == *owner)
    }

    /// The members of `metadata.managedFields`, as they are stored; null for none.
    pub fn write(mut self) -> Value {
        if self.0.is_empty() {
            return Value::Null;
        }
        self.0.sort_by(in_order);
        Value::array(self.0.into_iter().map(Entry::write).collect())
    }

    pub(super) fn drop_empty(&mut self) {
        self.0.retain(|e| !e.is_empty());
    }

    /// Of more than ten updaters the oldest become one entry per version. Upstream: `capUpdateManagers`.
    pub(super) fn cap(&mut self) -> Result<(), BadElement> {
        let mut len = self.0.iter().filter(|e| !e.owner.applies).count();
        if len <= UPDATERS_LEN_MAX {
            return Ok(());
        }
        let mut oldest: Vec<(i64, String, Owner)> = (self.0.iter().filter(|e| !e.owner.applies))
            .map(|e| (e.seconds(), e.owner.identifier(), e.owner.clone()))
            .collect();
        oldest.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let mut firsts: Vec<Owner> = Vec::new();
        for (_, _, owner) in oldest {
            if len <= UPDATERS_LEN_MAX {
                break;
            }
            let Some(first) = firsts.iter().find(|f| f.api_version == owner.api_version).cloned() else {
                firsts.push(owner);
                continue;
            };
            if self.pour(&owner, &first)? {
                len -= 1;
            }
        }
        Ok(())
    }

    /// Moves an entry into the bucket of its version, which begins as the version's oldest entry.
    fn pour(&mut self, owner: &Owner, first: &Owner) -> Result<bool, BadElement> {
        let bucket = Owner {
            manager: OLD_UPDATES.into(),
            applies: false,
            api_version: owner.api_version.clone(),
            subresource: EcoString::new(),
        };
        if *owner == bucket {
            return Ok(false);
        }
        if self.find(&bucket).is_none()
            && let Some(i) = self.find(first)
        {
            self.0[i].owner = bucket.clone();
        }
        let (Some(from), Some(into)) = (self.find(owner), self.find(&bucket)) else { return Ok(false) };
        let united = {
            let set = self.0[from].set()?.clone();
            set.union(self.0[into].set()?)
        };
        let time = self.0[from].time.clone();
        self.0[into].put(united);
        self.0[into].time = time;
        self.0.remove(from);
        Ok(true)
    }
}

/// Upstream: `sortEncodedManagedFields`.
fn in_order(a: &Entry, b: &Entry) -> Ordering {
    let key = |e: &Entry| (!e.owner.applies, e.seconds());
    let names = |e: &Entry| (e.owner.manager.clone(), e.api_version.clone(), e.owner.subresource.clone());
    key(a).cmp(&key(b)).then_with(|| names(a).cmp(&names(b)))
}
