//! Brings a tree into the form in which Go would write it.
//!
//! Struct members in declared order, empty ones left out as `omitempty` says, those that are always written put in,
//! maps sorted by key. Rules may then write members wherever they like. Upstream has no such step: its structs cannot
//! be in any other form.

use api::{Map, Value, value};

use crate::types::{Field, Listing, Omit, Schemas, Shape, Type, TypeId};

/// Normalises an object of a struct type, in place: what Go's JSON of it says.
pub fn object(value: &mut Value, id: TypeId, schemas: &Schemas) {
    Run { schemas, empty: Empty::AsWritten, kept: false }.object(value, id);
}

/// As [`object()`], but an empty list or map stays, and bytes of which there are none: Go's are not nil, and rules tell the
/// two apart. Returns whether there was one that Go would not write.
pub fn keeping_empty(value: &mut Value, id: TypeId, schemas: &Schemas) -> bool {
    let mut run = Run { schemas, empty: Empty::Kept, kept: false };
    run.object(value, id);
    run.kept
}

/// As [`object()`], but what is empty stays inside lists that are one value: they are compared as Go has them in memory.
/// Upstream: structured-merge-diff/v6/value/listreflect.go EqualsUsing.
pub fn for_comparison(value: &mut Value, id: TypeId, schemas: &Schemas) {
    Run { schemas, empty: Empty::KeptInLists, kept: false }.object(value, id);
}

/// As [`object()`], with null for every empty list that is always written: storage knows no other, as protobuf does not.
/// Of bytes it tells none from those that are not there.
pub fn for_storage(value: &mut Value, id: TypeId, schemas: &Schemas) {
    Run { schemas, empty: Empty::Null, kept: false }.object(value, id);
}

/// Normalises what stands in a field of this shape.
pub fn shape(value: &mut Value, of: &Shape, schemas: &Schemas) {
    Run { schemas, empty: Empty::AsWritten, kept: false }.shape(value, of);
}

/// What becomes of an empty list, map or bytes.
#[derive(Clone, Copy, PartialEq)]
enum Empty {
    AsWritten,
    Kept,
    /// In lists that are one value.
    KeptInLists,
    Null,
}

struct Run<'s> {
    schemas: &'s Schemas,
    empty: Empty,
    /// Something empty is there that Go would not write.
    kept: bool,
}

impl Run<'_> {
    fn object(&mut self, value: &mut Value, id: TypeId) {
        let kind = self.schemas.get(id);
        let members = value.make_object();
        let (mut order, mut all_stay) = (Order::of(members, kind), true);
        for (name, member) in members.iter_mut() {
            if order.is_head(name) {
                continue;
            }
            let found = kind.field_after(order.next, name);
            order.pass(found.map(|(i, _)| i));
            if let Some((_, field)) = found {
                self.member(member, field);
                all_stay &= self.stays(member, field);
            }
        }
        if !all_stay {
            members.retain(|name, member| kind.field(name).is_none_or(|(_, field)| self.stays(member, field)));
        }
        if !order.is_kept() {
            reorder(members, kind, self.schemas);
        }
    }

    fn member(&mut self, member: &mut Value, field: &Field) {
        let outside = self.empty;
        let is_one_value = matches!(field.shape, Shape::List(_)) && field.listing == Listing::Atomic;
        if outside == Empty::KeptInLists && is_one_value {
            self.empty = Empty::Kept;
        }
        self.shape(member, &field.shape);
        self.empty = outside;
    }

    fn stays(&mut self, member: &Value, field: &Field) -> bool {
        if is_written(member, field) {
            return true;
        }
        let kept = match (&field.shape, member, self.empty) {
            (Shape::List(_), Value::Array(_), Empty::Kept) => true,
            (Shape::Map(_), Value::Object(members), Empty::Kept) => members.is_keyless(),
            (Shape::Bytes, Value::Str(_), Empty::Kept) => true,
            _ => false,
        };
        self.kept |= kept;
        kept
    }

    fn shape(&mut self, value: &mut Value, of: &Shape) {
        match of {
            Shape::Struct(id) if !value.is_null() => self.object(value, *id),
            Shape::List(_) if self.empty == Empty::Null && value.is_empty() => *value = Value::Null,
            Shape::List(item) if !is_plain(item) => {
                value.as_array_mut().into_iter().flatten().for_each(|element| self.shape(element, item));
            }
            Shape::Map(item) => {
                let Some(members) = value.as_object_mut() else { return };
                members.sort();
                members.iter_mut().filter(|_| !is_plain(item)).for_each(|(_, member)| self.shape(member, item));
            }
            Shape::OneOf(_, id) => match value {
                Value::Object(_) => self.object(value, *id),
                Value::Array(items) => {
                    items.iter_mut().filter(|i| i.as_object().is_some()).for_each(|i| self.object(i, *id));
                }
                _ => {}
            },
            _ => {}
        }
    }
}

/// Drops what a struct type does not declare: another version may have had it.
pub fn declared_only(value: &mut Value, id: TypeId, schemas: &Schemas) {
    let kind = schemas.get(id);
    let Some(members) = value.as_object_mut() else { return };
    if kind.fields.is_empty() {
        return;
    }
    let is_head = |name: &str| kind.type_meta && (name == "kind" || name == "apiVersion");
    members.retain(|name, _| is_head(name) || kind.field(name).is_some());
    for (name, member) in members.iter_mut() {
        if let Some((_, field)) = kind.field(name) {
            declared_only_in(member, &field.shape, schemas);
        }
    }
}

fn declared_only_in(value: &mut Value, of: &Shape, schemas: &Schemas) {
    match of {
        Shape::Struct(id) => declared_only(value, *id, schemas),
        Shape::List(item) if !is_plain(item) => {
            value.as_array_mut().into_iter().flatten().for_each(|element| declared_only_in(element, item, schemas));
        }
        Shape::Map(item) if !is_plain(item) => {
            let members = value.as_object_mut().into_iter().flat_map(|members| members.iter_mut());
            members.for_each(|(_, member)| declared_only_in(member, item, schemas));
        }
        _ => {}
    }
}

/// Whether a shape has nothing inside that could be out of order.
fn is_plain(of: &Shape) -> bool {
    !matches!(of, Shape::Struct(_) | Shape::List(_) | Shape::Map(_) | Shape::OneOf(..))
}

/// Whether Go writes this member of a struct.
pub fn is_written(value: &Value, field: &Field) -> bool {
    if field.omit == Omit::Never {
        return true;
    }
    if value.is_null() {
        return is_mandatory(field);
    }
    match field.shape {
        // A pointer to a struct that is there is written, and so is a plain struct unless `omitzero` says otherwise.
        Shape::Struct(_) => field.pointer || field.omit != Omit::Zero || !value.is_empty(),
        Shape::Raw(_) | Shape::OneOf(..) | Shape::IntOrString => true,
        // Upstream's Quantity and Time are structs: their text is never empty.
        Shape::Quantity | Shape::Time | Shape::MicroTime | Shape::Duration => true,
        Shape::List(_) | Shape::Map(_) | Shape::Bytes => !value.is_empty(),
        _ => field.pointer || !value.is_empty(),
    }
}

/// Whether the members of a struct come in its fields' order, with none that has to be there left out.
struct Order<'k> {
    /// Fields that are yet to come and must.
    mandatory: &'k [u16],
    /// Names before the first field, that are yet to come.
    head: &'static [&'static str],
    /// Behind the place of the last field that came.
    next: usize,
    kept: bool,
}

impl<'k> Order<'k> {
    fn of(members: &Map, kind: &'k Type) -> Order<'k> {
        let head: &[&str] = if kind.type_meta && members.contains_key("kind") { &["kind", "apiVersion"] } else { &[] };
        Order { mandatory: &kind.mandatory, head, next: 0, kept: true }
    }

    /// Whether this is what comes next before all fields.
    fn is_head(&mut self, name: &str) -> bool {
        match self.head {
            [first, rest @ ..] if *first == name => {
                self.head = rest;
                true
            }
            _ => false,
        }
    }

    /// A member comes, at this place among the fields; none when it is no field.
    fn pass(&mut self, place: Option<usize>) {
        let Some(place) = place else {
            self.kept = false;
            return;
        };
        self.kept &= place >= self.next && self.head.is_empty();
        match self.mandatory {
            [first, rest @ ..] if usize::from(*first) == place => self.mandatory = rest,
            [first, ..] if usize::from(*first) < place => self.kept = false,
            _ => {}
        }
        self.next = place + 1;
    }

    fn is_kept(&self) -> bool {
        self.kept && self.head.is_empty() && self.mandatory.is_empty()
    }
}

/// A field that is written though nobody set it: never omitted, or a plain struct, as times and quantities are, too.
pub fn is_mandatory(field: &Field) -> bool {
    match field.omit {
        Omit::Never => true,
        Omit::Empty => is_struct(&field.shape) && !field.pointer,
        Omit::Zero => false,
    }
}

/// What is a struct in Go and so never empty. A condition without a probe's time says `"lastProbeTime": null`.
fn is_struct(shape: &Shape) -> bool {
    use Shape::{Duration, IntOrString, MicroTime, Quantity, Struct, Time};
    matches!(shape, Struct(_) | Time | MicroTime | Duration | Quantity | IntOrString)
}

fn reorder(members: &mut Map, kind: &Type, schemas: &Schemas) {
    let mut old = std::mem::take(members);
    if kind.type_meta {
        for name in ["kind", "apiVersion"] {
            if let Some(value) = take(&mut old, name) {
                members.push_new(name.into(), value);
            }
        }
    }
    for field in &kind.fields {
        match take(&mut old, &field.name) {
            Some(value) => members.push_new(field.name.clone(), value),
            None if is_mandatory(field) => members.push_new(field.name.clone(), zero(field, schemas)),
            None => {}
        }
    }
    // What the schema does not know keeps its place at the end: nothing is lost here.
    for (name, value) in old {
        if !value.is_null() && !members.contains_key(&name) {
            members.push_new(name, value);
        }
    }
}

/// Takes a member out and leaves null, which costs no shifting.
fn take(members: &mut Map, name: &str) -> Option<Value> {
    let value = members.get_mut(name)?;
    Some(value.take())
}

/// What Go writes for a member that nobody set.
fn zero(field: &Field, schemas: &Schemas) -> Value {
    match &field.shape {
        _ if field.pointer => Value::Null,
        Shape::Bool => value!(false),
        Shape::Int32 | Shape::Int64 | Shape::Float => value!(0),
        Shape::Str => value!(""),
        Shape::Quantity => value!("0"),
        Shape::Duration => value!("0s"),
        Shape::IntOrString => value!(0),
        Shape::Struct(id) => {
            let mut value = Value::object();
            object(&mut value, *id, schemas);
            value
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_is_kept_or_written_or_null() {
        let schemas = crate::builtin();
        let id = schemas.id("io.k8s.api.core.v1.PodSpec").expect("core has pods");
        let sent = || value!({"containers": [], "volumes": []});

        let mut kept = sent();
        assert!(keeping_empty(&mut kept, id, schemas));
        assert_eq!(kept, value!({"volumes": [], "containers": []}));

        let mut written = sent();
        object(&mut written, id, schemas);
        assert_eq!(written, value!({"containers": []}));
        assert!(!keeping_empty(&mut written, id, schemas));

        let mut stored = sent();
        for_storage(&mut stored, id, schemas);
        assert_eq!(stored, value!({"containers": null}));
    }

    #[test]
    fn an_empty_list_inside_one_that_is_one_value_is_compared_and_no_other() {
        let schemas = crate::builtin();
        let id = schemas.id("io.k8s.api.rbac.v1.ClusterRole").expect("rbac has roles");
        let mut role = value!({"metadata": {"finalizers": []}, "rules": [{"verbs": ["get"], "resourceNames": []}]});
        for_comparison(&mut role, id, schemas);
        assert_eq!(role, value!({"metadata": {}, "rules": [{"verbs": ["get"], "resourceNames": []}]}));
    }

    #[test]
    fn what_another_version_had_is_dropped() {
        let schemas = crate::builtin();
        let id = schemas.id("io.k8s.api.certificates.v1.PodCertificateRequest").expect("it is a type");
        let mut request = value!({"kind": "PodCertificateRequest", "spec": {"podName": "p", "pkixPublicKey": "YWJj"}});
        declared_only(&mut request, id, schemas);
        assert_eq!(request, value!({"kind": "PodCertificateRequest", "spec": {"podName": "p"}}));
    }

    #[test]
    fn a_map_without_keys_is_kept_where_rules_look_and_nowhere_else() {
        let schemas = crate::builtin();
        let id = schemas.id("io.k8s.api.core.v1.PersistentVolumeSpec").expect("core has volumes");
        let sent = || value!({"capacity": (api::Map::keyless())});
        let mut kept = sent();
        assert!(keeping_empty(&mut kept, id, schemas));
        assert!(kept.has("capacity"));
        for normalise in [object, for_storage] {
            let mut written = sent();
            normalise(&mut written, id, schemas);
            assert!(!written.has("capacity"));
        }
    }

    #[test]
    fn no_bytes_are_told_from_none_where_go_writes_them_and_by_rules_everywhere() {
        let schemas = crate::builtin();
        let id = schemas.id("io.k8s.api.certificates.v1beta1.PodCertificateRequestSpec").expect("it is a type");
        let sent = || value!({"proofOfPossession": ""});
        let (mut judged, mut shown, mut stored) = (sent(), sent(), sent());
        assert!(!keeping_empty(&mut judged, id, schemas), "Go writes them too");
        object(&mut shown, id, schemas);
        for_storage(&mut stored, id, schemas);
        for value in [judged, shown, stored] {
            assert_eq!(value.get("proofOfPossession"), Some(&value!("")));
            assert_eq!(value.get("pkixPublicKey"), Some(&Value::Null));
        }
        let client = schemas.id("io.k8s.api.admissionregistration.v1.WebhookClientConfig").expect("it is a type");
        let mut judged = value!({"caBundle": ""});
        assert!(keeping_empty(&mut judged, client, schemas));
        assert!(judged.has("caBundle"));
        for_storage(&mut judged, client, schemas);
        assert!(!judged.has("caBundle"), "Go leaves it out");
    }
}
