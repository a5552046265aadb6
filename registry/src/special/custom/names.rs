//! What a definition's status says: which names it has got, and whether its kind is served. A pure function.
//!
//! Upstream writes each condition in a controller of its own; here they come in one write, with the same words. Upstream:
//! pkg/controller/{status,establish,apiapproval,nonstructuralschema}.

use std::collections::{BTreeMap, BTreeSet};

use api::{EcoString, Value, field::quote, value};

use super::compile::is_true;

/// Names that are taken, by group and definition.
#[derive(Default)]
pub struct Taken(BTreeMap<EcoString, BTreeMap<EcoString, Names>>);

/// The names that a definition has got.
#[derive(Default, PartialEq)]
struct Names {
    resources: BTreeSet<EcoString>,
    kinds: BTreeSet<EcoString>,
}

impl Taken {
    /// Notes what a definition has got. Whether that changed anything for others.
    pub fn note(&mut self, stored: &Value) -> bool {
        let names = Names::of(stored.at("status").at("acceptedNames"));
        let group = self.0.entry(stored.at("spec").str("group").into()).or_default();
        let before = group.insert(api::meta::of(stored).name().into(), names);
        before.is_some_and(|before| before != group[api::meta::of(stored).name()])
    }

    /// A definition went.
    pub fn forget(&mut self, stored: &Value) {
        if let Some(group) = self.0.get_mut(stored.at("spec").str("group")) {
            group.remove(api::meta::of(stored).name());
        }
    }

    fn in_group(&self, group: &str) -> Names {
        let mut all = Names::default();
        for names in self.0.get(group).into_iter().flat_map(BTreeMap::values) {
            all.resources.extend(names.resources.iter().cloned());
            all.kinds.extend(names.kinds.iter().cloned());
        }
        all
    }
}

impl Names {
    fn of(accepted: &Value) -> Names {
        let mut resources: BTreeSet<EcoString> =
            accepted.list("shortNames").iter().filter_map(Value::as_str).map(EcoString::from).collect();
        resources.extend(["plural", "singular"].map(|name| EcoString::from(accepted.str(name))));
        Names { resources, kinds: ["kind", "listKind"].map(|name| EcoString::from(accepted.str(name))).into() }
    }
}

/// The definition with the status that it should have; none when it has it.
pub fn plan(stored: &Value, taken: &Taken, now: &str) -> Option<Value> {
    let mut new = stored.clone();
    accept(&mut new, stored, taken, now);
    establish(&mut new, now);
    approve(&mut new, now);
    structure(&mut new, now);
    (new.at("status") != stored.at("status")).then_some(new)
}

/// Upstream: `calculateNamesAndConditions`.
fn accept(new: &mut Value, stored: &Value, taken: &Taken, now: &str) {
    let wanted = stored.at("spec").at("names");
    let has = stored.at("status").at("acceptedNames");
    if same_names(wanted, has) && is_true(stored, "NamesAccepted") {
        return;
    }
    let all = taken.in_group(stored.at("spec").str("group"));
    let mut names = has.clone();
    names.make_object();
    let mut refused: Option<(&str, String)> = None;
    for (member, reason, used) in [
        ("plural", "PluralConflict", &all.resources),
        ("singular", "SingularConflict", &all.resources),
        ("shortNames", "ShortNamesConflict", &all.resources),
        ("kind", "KindConflict", &all.kinds),
        ("listKind", "ListKindConflict", &all.kinds),
    ] {
        let problems = match member {
            "shortNames" => {
                let fresh = wanted.list(member).iter().filter(|name| !has.list(member).contains(name));
                fresh.filter_map(Value::as_str).filter(|name| used.contains(*name)).map(in_use).collect()
            }
            _ => {
                let name = wanted.str(member);
                if name != has.str(member) && used.contains(name) { vec![in_use(name)] } else { vec![] }
            }
        };
        match (problems.as_slice(), wanted.get(member)) {
            ([], Some(value)) => names.set(member, value.clone()),
            ([], None) => drop(names.remove(member)),
            ([one], _) => refused = Some((reason, one.clone())),
            (many, _) => refused = Some((reason, format!("[{}]", many.join(", ")))),
        }
    }
    match wanted.get("categories") {
        Some(categories) => names.set("categories", categories.clone()),
        None => drop(names.remove("categories")),
    }
    new.set_path(&["status", "acceptedNames"], names);
    match refused {
        None => set_condition(new, "NamesAccepted", true, "NoConflicts", "no conflicts found", now),
        Some((reason, message)) => {
            set_condition(new, "NamesAccepted", false, reason, &message, now);
            if condition(new, "Established").is_none() {
                set_condition(new, "Established", false, "NotAccepted", "not all names are accepted", now);
            }
        }
    }
}

fn same_names(wanted: &Value, has: &Value) -> bool {
    ["plural", "singular", "shortNames", "kind", "listKind", "categories"].iter().all(|member| {
        wanted.at(member) == has.at(member) || (wanted.at(member).is_empty() && has.at(member).is_empty())
    })
}

fn in_use(name: &str) -> String {
    format!("{} is already in use", quote(name))
}

/// Upstream: establishing_controller.go.
fn establish(new: &mut Value, now: &str) {
    let is_new = is_true(new, "NamesAccepted") && !is_true(new, "Established");
    if is_new && !api::meta::of(new).is_terminating() {
        let message = "the initial names have been accepted";
        set_condition(new, "Established", true, "InitialNamesAccepted", message, now);
    }
}

/// Upstream: apiapproval_controller.go, apihelpers.GetAPIApprovalState.
fn approve(new: &mut Value, now: &str) {
    const NAME: &str = "api-approved.kubernetes.io";
    const CONDITION: &str = "KubernetesAPIApprovalPolicyConformant";
    let group = new.at("spec").str("group");
    if !["k8s.io", "kubernetes.io"].iter().any(|own| group == *own || group.ends_with(&format!(".{own}"))) {
        return;
    }
    let said = api::meta::of(new).annotation(NAME).unwrap_or("").to_string();
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    let needed = format!("protected groups must have approval annotation {}", quote(NAME));
    let has_host = said
        .split_once("://")
        .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty() && !rest.starts_with('/'));
    let (status, reason, message) = match said.as_str() {
        "" => (false, "MissingAnnotation", format!("{needed}, {see}")),
        _ if said.starts_with("unapproved") => {
            (false, "UnapprovedAnnotation", format!("not approved: {}", quote(&said)))
        }
        _ if has_host => (true, "ApprovedAnnotation", format!("approved in {said}")),
        _ => {
            let text = format!("{needed} with either a URL or a reason starting with \"unapproved\", {see}");
            (false, "InvalidAnnotation", text)
        }
    };
    set_condition(new, CONDITION, status, reason, &message, now);
}

/// Upstream: nonstructuralschema_controller.go. What is not structural is refused today, so only old ones have it.
fn structure(new: &mut Value, now: &str) {
    const CONDITION: &str = "NonStructuralSchema";
    if new.at("spec").bool("preserveUnknownFields") {
        let message = "spec.preserveUnknownFields: Invalid value: true: must be false";
        set_condition(new, CONDITION, true, "Violations", message, now);
    } else if condition(new, CONDITION).is_some() {
        new.entry_path(&["status", "conditions"]).make_array().retain(|c| c.str("type") != CONDITION);
    }
}

fn condition<'v>(stored: &'v Value, name: &str) -> Option<&'v Value> {
    stored.at("status").list("conditions").iter().find(|c| c.str("type") == name)
}

/// Upstream: `SetCRDCondition`.
pub fn set_condition(stored: &mut Value, name: &str, status: bool, reason: &str, message: &str, now: &str) {
    let said = if status { "True" } else { "False" };
    let conditions = stored.entry_path(&["status", "conditions"]).make_array();
    match conditions.iter_mut().find(|c| c.str("type") == name) {
        None => conditions.push(value!({
            "type": name, "status": said, "lastTransitionTime": now, "reason": reason, "message": message
        })),
        Some(found) => {
            if found.str("status") != said {
                found.set("lastTransitionTime", now);
            }
            found.set("status", said);
            found.set("reason", reason);
            found.set("message", message);
        }
    }
}
