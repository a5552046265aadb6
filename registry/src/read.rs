//! Get and list: from memory, and still as of now.
//!
//! Upstream: apiserver/pkg/storage/cacher/delegator (which read may come from where), registry/generic/registry/store.go.

use std::{ops::Bound, sync::Arc};

use api::{Gvk, Status, Value, field::quote, field_selector::FieldSelector, selector::Selector};
use resources::row::LabelWords;
use store::{Range, Revision};

use crate::{
    Answer, Ask, List, Registry,
    cache::{Entry, Interest, Snapshot},
    continuation::Continue,
    convert::Asked,
    definition::Definition,
    options::ListOptions,
    special, storage, unavailable,
    unread::{self, Unread},
};

/// What a list or watch lets through.
#[derive(Clone)]
pub struct Filter {
    /// `""` for all.
    pub namespace: String,
    pub labels: Selector,
    fields: Vec<FieldTerm>,
    /// Names one object of the place that is listed.
    is_single: bool,
}

/// One term of a field selector, resolved to where the value stands.
#[derive(Clone)]
struct FieldTerm {
    place: Place,
    value: String,
    negated: bool,
}

#[derive(Clone, Copy)]
enum Place {
    Name,
    Namespace,
    Field(usize),
}

impl Registry {
    /// Reads one object.
    pub async fn get(&self, ask: &Ask, resource_version: &str) -> Result<Answer, Status> {
        let definition = &*ask.definition;
        if let Some(reads) = special::reads(definition) {
            return Ok(Answer::Hub { object: reads.get(self, ask).await?, created: false });
        }
        ask.check_key()?;
        self.wait_for(definition, resource_version).await.map_err(|error| match definition.row.stored.expires {
            // Kinds without a cache are read by a storage that says whose mistake it is.
            true if error.code() == 500 => invalid_version(&error),
            _ => error,
        })?;
        let key = definition.local_key(ask.namespace(), ask.name());
        match definition.cache.get(&key) {
            Some(entry) => Ok(Answer::Entry { entry: definition.seen(entry).await?, created: false }),
            None => Err(match definition.cache.unread(&key) {
                Some(corrupt) => corrupt.of_get(definition, &key),
                None => Status::not_found(&definition.resource, ask.name()),
            }),
        }
    }

    /// Reads many objects.
    pub async fn list(&self, ask: &Ask, options: &ListOptions) -> Result<List, Status> {
        let definition = &*ask.definition;
        let filter = Filter::new(definition, ask, options)?;
        if let Some(reads) = special::reads(definition) {
            return Ok(unstored(definition, &filter, reads.list(self).await?));
        }
        if !matches!(options.resource_version.as_str(), "" | "0") {
            revision_of(&options.resource_version).map_err(|e| invalid_version(&e))?;
        }
        let from = match options.continue_token.as_str() {
            "" => None,
            token => {
                let from = Continue::decode(token)?;
                if !matches!(options.resource_version.as_str(), "" | "0") {
                    return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
                }
                Some(from)
            }
        };
        let pinned = match (&from, options.version_match.as_str()) {
            (Some(from), _) if from.revision > 0 => Some(from.revision as Revision),
            (None, "Exact") => Some(revision_of(&options.resource_version)?),
            _ => None,
        };
        let snapshot = match pinned {
            Some(revision) => self.snapshot_at(definition, revision, from.as_ref()).await?,
            None => {
                self.wait_for(definition, &options.resource_version).await?;
                self.check_readable(definition, &filter, options)?;
                definition.cache.snapshot(self.filler.applied())
            }
        };
        // Whom any state will do gets all of it at once, but for kinds of which upstream keeps no cache.
        let is_cached = !definition.row.stored.expires;
        let limit = if options.resource_version == "0" && from.is_none() && is_cached { 0 } else { options.limit };
        let Some(asked) = definition.asked() else { return Ok(page(&snapshot, &filter, limit, from.as_ref())) };
        let paged = Box::pin(page_seen(asked, definition, snapshot, &filter, limit, from.as_ref())).await;
        paged.map_err(|unread| unread.of_list(definition, &self.config.prefix))
    }

    /// What cannot be read is missing in no list. Upstream reads a page as of now from the store when its cache is not filled,
    /// and cannot fill a cache of which it can read only a part. Upstream: cacher/delegator, `corruptObjErrAggregator`.
    pub(crate) fn check_readable(
        &self,
        definition: &Definition,
        filter: &Filter,
        options: &ListOptions,
    ) -> Result<(), Status> {
        let root = &self.config.prefix;
        let of_store = options.limit > 0 && options.resource_version.is_empty();
        let error = match of_store || definition.row.stored.expires {
            true => {
                unread::of_list(&definition.cache.unread_in(&filter.place(definition.row.namespaced)), definition, root)
            }
            false => unread::of_cache(&definition.cache.unread_in(&Interest::Everything), definition, root),
        };
        error.map_or(Ok(()), Err)
    }

    /// Waits until the cache is as fresh as the request demands: `""` as now, `"0"` as it is, else at least so new.
    pub(crate) async fn wait_for(&self, definition: &Definition, resource_version: &str) -> Result<(), Status> {
        match resource_version {
            "0" => Ok(()),
            "" => {
                if self.store.is_shared() {
                    let now = self.store.revision().await.map_err(|e| unavailable(e, &definition.resource, "get"))?;
                    self.filler.wait(now).await;
                }
                Ok(())
            }
            text => {
                let wanted = revision_of(text)?;
                let now = self.store.revision().await.map_err(|e| unavailable(e, &definition.resource, "list"))?;
                if wanted > now {
                    return Err(too_large(wanted, now));
                }
                self.filler.wait(wanted).await;
                Ok(())
            }
        }
    }

    /// The objects as they stood at a revision: the present snapshot when nothing has changed since, else the store's history.
    async fn snapshot_at(
        &self,
        definition: &Definition,
        revision: Revision,
        from: Option<&Continue>,
    ) -> Result<Snapshot, Status> {
        let present = definition.cache.snapshot(0);
        let forgotten = revision < self.compacted.load(std::sync::atomic::Ordering::Relaxed);
        if !forgotten && present.revision <= revision && self.filler.applied() >= revision {
            return Ok(Snapshot { objects: present.objects, revision });
        }
        let prefix = format!("{}/{}/", self.config.prefix, definition.row.stored.prefix);
        let range = Range { prefix: prefix.clone(), at: revision, ..Range::default() };
        let read = self.store.range(range).await.map_err(|error| match error {
            store::Error::Compacted { .. } => expired(from),
            store::Error::Future { current } => too_large(revision, current),
            other => unavailable(other, &definition.resource, "list"),
        })?;
        let (mut objects, mut unread) = (crate::cache::Objects::new(), Vec::new());
        for stored in &read.entries {
            let local = &stored.key[prefix.len()..];
            match storage::read(definition, local, stored) {
                Ok(entry) => drop(objects.insert(entry.key.clone(), Arc::new(entry))),
                Err(corrupt) => unread.push((local.into(), corrupt)),
            }
        }
        match unread::of_list(&unread, definition, &self.config.prefix) {
            Some(error) => Err(error),
            None => Ok(Snapshot { objects, revision }),
        }
    }
}

/// A list of what is not stored: of no revision.
fn unstored(definition: &Definition, filter: &Filter, objects: Vec<Value>) -> List {
    let entry = |object: Value| {
        let json = codec::json::to_string(&object).into();
        Arc::new(Entry::new(definition, api::meta::of(&object).name().into(), json, &object, 0))
    };
    let entries = objects.into_iter().map(entry).filter(|entry| filter.lets_through(entry)).collect();
    List { entries, revision: 0, continue_token: String::new(), remaining: None }
}

/// Upstream: `storage.NewTooLargeResourceVersionError`.
fn too_large(wanted: Revision, current: Revision) -> Status {
    let message = format!("Too large resource version: {wanted}, current: {current}");
    Status::timeout(&message, 1).with_cause(api::status::Cause {
        kind: "ResourceVersionTooLarge".into(),
        message: "Too large resource version".into(),
        field: String::new(),
    })
}

/// The history is gone. With a token, another token goes on with what is there now. Upstream: `handleCompactedErrorForPaging`.
fn expired(from: Option<&Continue>) -> Status {
    match from {
        None => Status::expired("The resourceVersion for the provided list is too old."),
        Some(from) => {
            let token = Continue { revision: -1, start: from.start.clone() };
            Status::expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
            )
            .with_continue(token.encode())
        }
    }
}

fn invalid_version(error: &Status) -> Status {
    Status::bad_request(format!("invalid resource version: {}", error.message()))
}

/// A resourceVersion that a client sent. Upstream: `ParseResourceVersion`.
pub fn revision_of(text: &str) -> Result<Revision, Status> {
    text.parse().map_err(|error: std::num::ParseIntError| {
        let why = match error.kind() {
            std::num::IntErrorKind::PosOverflow => "value out of range",
            _ => "invalid syntax",
        };
        let text = quote(text);
        // An error of the storage that upstream's handlers do not know.
        let message = format!("resourceVersion: Invalid value: {text}: strconv.ParseUint: parsing {text}: {why}");
        Status::new(500, api::Reason::Unknown, message)
    })
}

/// Walks a snapshot and takes what the filter lets through, up to a limit.
fn page(snapshot: &Snapshot, filter: &Filter, limit: i64, from: Option<&Continue>) -> List {
    let limit = usize::try_from(limit).unwrap_or(0);
    let revision = snapshot.revision;
    let mut list = List { entries: Vec::new(), revision, continue_token: String::new(), remaining: None };
    let start = match (from, filter.namespace.as_str()) {
        (Some(from), "") => from.start.clone(),
        // Within a namespace the token's key is counted from there.
        (Some(from), namespace) => format!("{namespace}/{}", from.start),
        (None, "") => String::new(),
        (None, namespace) => format!("{namespace}/"),
    };
    let bounds = (Bound::Included(api::EcoString::from(start)), Bound::Unbounded);
    let inside = |key: &str| filter.namespace.is_empty() || in_namespace(key, &filter.namespace);
    let mut walk = snapshot.objects.range(bounds).take_while(|(key, _)| inside(key)).map(|(_, e)| e);
    for entry in walk.by_ref() {
        if !filter.lets_through(entry) {
            continue;
        }
        list.entries.push(entry.clone());
        if limit > 0 && list.entries.len() == limit {
            break;
        }
    }
    // Who names one object is answered without looking at others.
    if limit > 0 && list.entries.len() == limit && !filter.is_single {
        let more = walk.count() as i64;
        if more > 0 {
            let last = list.entries.last().map(|e| e.key.as_str()).unwrap_or("");
            let last = last.strip_prefix(&format!("{}/", filter.namespace)).unwrap_or(last);
            list.continue_token = Continue::after(last, revision as i64).encode_listed();
            list.remaining = filter.is_open().then_some(more);
        }
    }
    list
}

/// The same, of objects that a webhook converts: all that may be let through, where their values say whether they are, else
/// those of the page.
async fn page_seen(
    asked: &Asked,
    definition: &Definition,
    mut snapshot: Snapshot,
    filter: &Filter,
    limit: i64,
    from: Option<&Continue>,
) -> Result<List, Unread> {
    if !filter.is_open() {
        let named = snapshot.objects.values().filter(|entry| filter.names(entry)).cloned().collect();
        let seen = asked.seen(definition, named, false).await?;
        snapshot.objects = seen.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
    }
    let mut list = page(&snapshot, filter, limit, from);
    list.entries = asked.seen(definition, std::mem::take(&mut list.entries), false).await?;
    Ok(list)
}

fn in_namespace(key: &str, namespace: &str) -> bool {
    key.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('/'))
}

// === impl Filter ===

impl Filter {
    pub fn new(definition: &Definition, ask: &Ask, options: &ListOptions) -> Result<Filter, Status> {
        let labels = Selector::parse(&options.label_selector).map_err(|e| Status::bad_request(e.to_string()))?;
        let parsed = FieldSelector::parse(&options.field_selector).map_err(|e| Status::bad_request(e.to_string()))?;
        let mut fields = Vec::new();
        for term in parsed.terms() {
            fields.push(FieldTerm::new(definition, &ask.served().gvk, &term.field, &term.value, !term.equals)?);
        }
        if !ask.name().is_empty() {
            fields.push(FieldTerm { place: Place::Name, value: ask.name().into(), negated: false });
        }
        let names_one = fields.iter().any(|term: &FieldTerm| matches!(term.place, Place::Name) && !term.negated);
        let is_single = names_one && (!definition.row.namespaced || !ask.namespace().is_empty());
        // A request about a namespace is in it (`/api/v1/watch/namespaces/NAME`), and what is cluster-wide is not.
        let namespace = if definition.row.namespaced { ask.namespace().into() } else { Default::default() };
        Ok(Filter { namespace, labels, fields, is_single })
    }

    pub fn lets_through(&self, entry: &Entry) -> bool {
        (self.namespace.is_empty() || entry.head.namespace == self.namespace)
            && self.fields.iter().all(|term| term.matches(entry))
            && self.labels.matches(&entry.head.labels)
    }

    /// Whether an object may be let through, by what is the same in all versions of it.
    pub fn names(&self, entry: &Entry) -> bool {
        (self.namespace.is_empty() || entry.head.namespace == self.namespace)
            && self.fields.iter().filter(|term| !matches!(term.place, Place::Field(_))).all(|term| term.matches(entry))
    }

    /// The narrowest interest that holds everything that gets through.
    pub fn interest(&self, namespaced: bool) -> Interest {
        let place = self.place(namespaced);
        let field = self.fields.iter().filter(|term| !term.negated).find_map(|term| match term.place {
            Place::Field(place) => Some(Interest::Field(place, term.value.as_str().into())),
            _ => None,
        });
        match (&place, field) {
            (Interest::Object(_), _) | (_, None) => place,
            (_, Some(field)) => field,
        }
    }

    /// The narrowest such interest that goes by names alone.
    pub fn place(&self, namespaced: bool) -> Interest {
        let name = self.fields.iter().find(|term| !term.negated && matches!(term.place, Place::Name));
        match (name, namespaced, self.namespace.as_str()) {
            (Some(name), false, _) => Interest::Object(name.value.as_str().into()),
            (_, true, "") | (None, _, "") => Interest::Everything,
            (Some(name), true, namespace) => Interest::Object(format!("{namespace}/{}", name.value).into()),
            (None, _, namespace) => Interest::Namespace(namespace.into()),
        }
    }

    /// Nothing is asked for beyond the namespace.
    pub fn is_open(&self) -> bool {
        self.fields.is_empty() && self.labels.is_everything()
    }
}

// === impl FieldTerm ===

impl FieldTerm {
    fn new(definition: &Definition, version: &Gvk, key: &str, value: &str, negated: bool) -> Result<FieldTerm, Status> {
        let place = match key {
            "metadata.name" => Place::Name,
            // Kinds with a conversion function of their own know it only when they stand in one.
            "metadata.namespace" if definition.row.selects_namespace || definition.row.selectable.is_empty() => {
                Place::Namespace
            }
            _ => match definition.row.selectable.iter().position(|s| s.label == key && s.is_known_in(&version.version))
            {
                Some(i) => Place::Field(i),
                None => return Err(not_selectable(definition, version, key)),
            },
        };
        Ok(FieldTerm { place, value: value.into(), negated })
    }

    fn matches(&self, entry: &Entry) -> bool {
        let actual = match self.place {
            Place::Name => entry.head.name.as_str(),
            Place::Namespace => entry.head.namespace.as_str(),
            Place::Field(i) => entry.head.fields.get(i).map_or("", |f| f.as_str()),
        };
        (actual == self.value) != self.negated
    }
}

/// Upstream says it in two ways: kinds with a conversion function of their own, and the others.
fn not_selectable(definition: &Definition, version: &Gvk, key: &str) -> Status {
    Status::bad_request(match definition.row.selectable.is_empty() {
        true => format!("{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"", quote(key)),
        false => match definition.row.label_words {
            LabelWords::Plain => format!("field label not supported: {key}"),
            LabelWords::Version => format!("field label not supported for {version}: {key}"),
            LabelWords::Kind => format!("field label {} not supported for {}", quote(key), version.kind),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(namespace: &str, terms: &[(Place, &str, bool)]) -> Filter {
        let term = |(place, value, negated): &(Place, &str, bool)| FieldTerm {
            place: *place,
            value: (*value).into(),
            negated: *negated,
        };
        let labels = Selector::parse("").expect("nothing is a selector");
        Filter { namespace: namespace.into(), labels, fields: terms.iter().map(term).collect(), is_single: false }
    }

    #[test]
    fn the_interest_is_the_narrowest_that_holds_what_gets_through() {
        let field = |place: usize, value: &str| Interest::Field(place, value.into());
        let object = |key: &str| Interest::Object(key.into());
        type Terms = &'static [(Place, &'static str, bool)];
        let cases: [(&str, Terms, bool, Interest); 8] = [
            ("", &[], true, Interest::Everything),
            ("a", &[], true, Interest::Namespace("a".into())),
            ("a", &[(Place::Name, "x", false)], true, object("a/x")),
            ("", &[(Place::Name, "x", false)], false, object("x")),
            // The same name in any namespace has no key.
            ("", &[(Place::Name, "x", false)], true, Interest::Everything),
            ("a", &[(Place::Field(2), "n1", false)], true, field(2, "n1")),
            ("a", &[(Place::Field(2), "n1", true)], true, Interest::Namespace("a".into())),
            ("", &[(Place::Namespace, "a", false), (Place::Field(0), "", false)], true, field(0, "")),
        ];
        for (namespace, terms, namespaced, expected) in cases {
            assert_eq!(filter(namespace, terms).interest(namespaced), expected);
        }
    }
}
