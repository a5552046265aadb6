//! Plans as cases: what is there, and what the plan has to be, in one file.

use std::sync::Arc;

use api::{Value, value};
use client::{Form, Mirror, Resource, mirror::Key};

use super::{
    Settings, Spec, Work,
    plan::{Action, Came, Deed, Event, Plan},
    pool::Shared,
    world::{Mirrors, World},
};

/// Runs all cases of a file. A case has `name`, `key`, `there` (objects by resource) and `want`: `because`, `actions`
/// (their lines), `objects` (what the actions' objects have at least), `events` (reasons), `messages`, `again`. What comes
/// after the actions is taken to come after a success; a name that the server gives is NAME.
pub fn run(spec: &'static Spec, file: &str) {
    let cases: Value = yaml_serde::from_str(file).expect("a file of cases is YAML");
    assert!(!cases.items().is_empty(), "a file of cases has cases");
    for case in cases.items() {
        let name = case.str("name");
        let (got, want) = (told(&plan(spec, case)), case.at("want"));
        for (member, wanted) in want.members() {
            assert!(has(got.at(member), wanted), "{name}: {member}\n got: {:#?}\nwant: {wanted:#?}", got.at(member));
        }
        assert!(want.has("because") && want.has("actions"), "{name}: a case says because and actions");
    }
}

fn plan(spec: &'static Spec, case: &Value) -> Plan {
    let mirrors = mirrors(spec, case.at("there"));
    let (namespace, name) = case.str("key").split_once('/').unwrap_or(("", case.str("key")));
    let key = Key::new(namespace, name);
    let now = case.opt_str("now").unwrap_or("2026-01-02T03:04:05Z");
    let settings = Settings {
        root_ca: "PEM".into(),
        signers: signers(spec),
        endpoints_per_slice_max: usize::try_from(case.opt_int("sliceMax").unwrap_or(100)).expect("it is small"),
        ..Settings::default()
    };
    let now = api::time::parse(now).expect("a case's now is a time");
    let Work::Plan(plan) = spec.work else { panic!("{} is no plan", spec.name) };
    plan(&World { key: &key, now, mirrors: &mirrors, settings: &settings })
}

/// One authority signs for all signers, where certificates are signed at all.
fn signers(spec: &'static Spec) -> Vec<(&'static str, Arc<certs::Authority>)> {
    if spec.name != crate::csr_signing::SPEC.name {
        return Vec::new();
    }
    let since = api::time::parse("2026-01-01T00:00:00Z").expect("it is a time").as_second();
    let authority = Arc::new(certs::Authority::generate("cases", since).expect("it can be made"));
    crate::csr_signing::SIGNERS.iter().map(|(name, _)| (*name, authority.clone())).collect()
}

/// Mirrors of all that a spec names, with these objects.
pub fn mirrors(spec: &'static Spec, there: &Value) -> Mirrors {
    let mut mirrors: Vec<(&'static str, Arc<Shared>)> = Vec::new();
    for resource in spec.wakes_on.iter().map(|w| w.resource()) {
        if mirrors.iter().any(|(known, _)| *known == resource) {
            continue;
        }
        let labels: Vec<&str> = crate::LABELS.iter().filter(|(r, _)| *r == resource).map(|(_, l)| *l).collect();
        let mirror = Mirror::new(Resource::parse(resource).expect("it is a resource"), Form::Whole, &labels);
        mirror.replace(there.list(resource).to_vec(), 1);
        mirrors.push((resource, Shared::by_hand(mirror)));
    }
    let known: Vec<&str> = mirrors.iter().map(|(r, _)| *r).collect();
    let unknown: Vec<&str> = there.members().map(|(r, _)| r).filter(|r| !known.contains(r)).collect();
    assert_eq!(unknown, Vec::<&str>::new(), "a case has resources that nobody reads");
    Mirrors::by_hand(mirrors)
}

fn told(plan: &Plan) -> Value {
    let object = |deed: &Deed| match deed {
        Deed::Create(object) | Deed::Update(object, _) | Deed::Apply(object, _) | Deed::ConfirmGone(object) => {
            object.clone()
        }
        Deed::Patch { patch, .. } => patch.clone(),
        Deed::Delete { object, .. } | Deed::Confirm(object) => Value::clone(object),
    };
    let made = plan.actions.iter().filter_map(|action| match &action.deed {
        Deed::Create(object) => Some(object.clone()),
        _ => None,
    });
    let made: Vec<Value> = made.collect();
    let came = Came { failure: None, made: &made };
    let after = plan.after.as_ref().map(|after| after.actions(&came)).unwrap_or_default();
    let actions: Vec<&Action> = plan.actions.iter().chain(&after).collect();
    let mut events: Vec<Event> = plan.events.clone();
    events.extend(plan.actions.iter().filter_map(|a| a.tell.as_ref()?.of_done("NAME")));
    value!({
        "because": plan.because.as_ref(),
        "actions": actions.iter().map(|a| a.line()).collect::<Vec<_>>(),
        "objects": actions.iter().map(|a| object(&a.deed)).collect::<Vec<_>>(),
        "events": events.iter().map(|e| e.reason.clone()).collect::<Vec<_>>(),
        "messages": events.iter().map(|e| e.message.clone()).collect::<Vec<_>>(),
        "again": plan.again_at.map(api::time::seconds)
    })
}

/// Whether `got` has at least what `wanted` has; lists have to be as long.
fn has(got: &Value, wanted: &Value) -> bool {
    match (got, wanted) {
        (Value::Object(_), Value::Object(_)) => wanted.members().all(|(key, wanted)| has(got.at(key), wanted)),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| has(a, b)),
        _ => got == wanted,
    }
}
