//! The generator: repeatable, without repetition, and harmless.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use api::{Gvk, Value, meta, value};

use super::{
    case::{Body, Case},
    dice::Dice,
    edit::{Edit, Keyed, Step, shown, sparse},
    mutate,
    requests::Maker,
    samples,
    target::{Subresource, Target},
};

/// Pods with what leads to a node.
fn pods() -> Target {
    let pod = Gvk::new("", "v1", "Pod");
    let sub = |name: &str| Subresource { name: name.into(), gvk: pod.clone(), verbs: ["get".to_owned()].into() };
    Target {
        resource: "core/pods".into(),
        plural: "pods".into(),
        subresources: ["log", "exec", "attach", "portforward", "proxy"].map(sub).into(),
        kind_type: schema::builtin().kind(&pod).expect("it has a type"),
        gvk: pod,
        ..deployments()
    }
}

/// Deployments as discovery tells them.
fn deployments() -> Target {
    let samples = samples::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("samples")).expect("samples are there");
    let gvk = Gvk::new("apps", "v1", "Deployment");
    let words = |words: &str| words.split(' ').map(Into::into).collect::<BTreeSet<String>>();
    let sub = |name: &str, gvk: Gvk| Subresource { name: name.into(), gvk, verbs: words("get patch update") };
    Target {
        resource: "apps/deployments".into(),
        plural: "deployments".into(),
        namespaced: true,
        verbs: words("create delete deletecollection get list patch update watch"),
        subresources: vec![sub("status", gvk.clone()), sub("scale", Gvk::new("autoscaling", "v1", "Scale"))],
        kind_type: schema::builtin().kind(&gvk).expect("it has a type"),
        samples: samples.into_iter().filter(|sample| meta::gvk(sample) == gvk).map(Arc::new).collect(),
        fixture: None,
        gvk,
    }
}

fn requests(seed: u64) -> Vec<Case> {
    requests_of(seed, 300, 900)
}

fn requests_of(seed: u64, before: usize, after: usize) -> Vec<Case> {
    let target = deployments();
    let live = target.samples[0].clone();
    let before = Maker::new(&target, None, Dice::new(seed)).before(before);
    let after = Maker::new(&target, Some(live), Dice::new(seed)).after(after);
    [before.matrix, before.generated, after.matrix, after.generated].concat()
}

#[test]
fn a_seed_makes_the_same_requests_and_another_makes_others() {
    let of = |seed| requests(seed).iter().map(Case::identity).collect::<Vec<_>>();
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn no_request_is_made_twice() {
    let all = requests(1);
    let distinct: BTreeSet<String> = all.iter().map(Case::identity).collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn the_matrix_is_whole_and_variations_are_as_many_as_were_asked_for() {
    let target = deployments();
    let of = |seed, budget| Maker::new(&target, Some(target.samples[0].clone()), Dice::new(seed)).after(budget);
    let identities = |cases: &[Case]| cases.iter().map(Case::identity).collect::<Vec<_>>();
    let (few, many) = (of(1, 10), of(2, 900));
    assert_eq!((few.generated.len(), many.generated.len()), (10, 900));
    assert_eq!(identities(&few.matrix), identities(&many.matrix));
    assert!(few.matrix.len() > 600, "{} requests", few.matrix.len());
}

/// An object and what was done to it.
type Change = (Arc<Value>, Edit);

#[test]
fn every_mutation_is_sent() {
    let all = requests_of(1, 4000, 4000);
    let of = |case: &Case| match &case.body {
        Body::Edited { object, edits, .. } => edits.iter().map(|edit| (object.clone(), edit.clone())).collect(),
        _ => Vec::new(),
    };
    let edits: Vec<Change> = all.iter().flat_map(of).collect();
    let old = |(object, edit): &Change| {
        let step = |at: Value, step: &Step| match step {
            Step::Member(name) => at.at(name).clone(),
            Step::Item(i) => at.items().get(*i).cloned().unwrap_or_default(),
        };
        edit.path.iter().fold((**object).clone(), step)
    };
    let text = |edit: &Edit| edit.new.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
    let items = |edit: &Edit| edit.new.as_ref().map(|new| new.items().to_vec()).unwrap_or_default();
    let last = |edit: &Edit| shown(&edit.path[edit.path.len().saturating_sub(1)..]);
    let is_enum = |edit: &Edit| {
        ["imagePullPolicy", "restartPolicy", "dnsPolicy", "terminationMessagePolicy", "protocol", "operator"]
            .contains(&&*last(edit))
    };
    let is_sent = |name: &str, holds: &dyn Fn(&Change) -> bool| {
        assert!(edits.iter().any(holds), "{name} is never sent");
    };
    is_sent("what is dropped", &|(_, edit)| edit.new.is_none());
    is_sent("what is dropped by null", &|(_, edit)| edit.new == Some(Value::Null));
    is_sent("what is doubled", &|(_, edit)| items(edit).len() > 1 && items(edit).first() == items(edit).last());
    is_sent("what is retyped", &|all| matches!(old(all), Value::Int(_) | Value::Object(_)) && text(&all.1) == "x");
    is_sent("overflow of 32 bits", &|(_, edit)| edit.new == Some(value!(4_294_967_296_i64)));
    is_sent("overflow of 64 bits", &|(_, edit)| edit.new == Some(Value::Float(9_223_372_036_854_775_808.0)));
    is_sent("what is unknown", &|(_, edit)| last(edit) == "bogus");
    is_sent("a value that an enum has not", &|(_, edit)| is_enum(edit) && text(edit) == "Not Valid_!");
    is_sent("another one that it has", &|all| {
        is_enum(&all.1) && ["Never", "File", "UDP", "Default", "Exists", "OnFailure"].contains(&&*text(&all.1))
    });
    for len in [63, 64, 253, 254] {
        is_sent(&format!("a text of {len}"), &|(_, edit)| text(edit).len() == len);
    }
    for len in [32, 33, 100, 101] {
        is_sent(&format!("a list of {len}"), &|(_, edit)| items(edit).len() == len);
    }
    is_sent("what never changes", &|(_, edit)| shown(&edit.path).starts_with("spec.selector"));
    assert!(all.iter().any(|case| sets_two_beside_each_other(&case.body)), "no forbidden combination is sent");
    let beyond = codec::json::to_string(&Value::Float(9_223_372_036_854_775_808.0));
    assert!(beyond.chars().all(|c| c.is_ascii_digit()), "{beyond} is sent as a whole number");
}

#[test]
fn what_is_there_becomes_another_of_its_kind() {
    let object =
        value!({"spec": {"hostNetwork": false, "restartPolicy": "Always", "priority": 7, "nodeName": "node-9"}});
    let edits = mutate::edits(&mutate::points(&object, pods().kind_type, schema::builtin()));
    for (name, new) in [
        ("hostNetwork", value!(true)),
        ("restartPolicy", value!("Never")),
        ("priority", value!(8)),
        ("nodeName", value!("node-0")),
    ] {
        assert!(edits.contains(&Edit::of(&["spec", name], new)), "spec.{name}");
        let without = Edit::without(vec![Step::Member("spec".into()), Step::Member(name.into())]);
        assert!(edits.contains(&without), "without spec.{name}");
    }
}

/// Two new members of one structure.
fn sets_two_beside_each_other(body: &Body) -> bool {
    let Body::Edited { object, edits, .. } = body else { return false };
    let added: Vec<_> = edits
        .iter()
        .filter(|edit| edit.path.len() > 2 && edit.json_patch(object).items()[0].str("op") == "add")
        .collect();
    added.iter().any(|a| {
        added.iter().any(|b| a.path != b.path && a.path.split_last().map(|p| p.1) == b.path.split_last().map(|p| p.1))
    })
}

#[test]
fn what_is_left_out_is_not_there() {
    let sample = value!({"spec": {"a": 1, "list": [1, 2]}});
    let without = |path: Value| {
        let edit = Edit::from_value(&value!([(path)])).expect("an edit");
        let mut object = sample.clone();
        edit.apply(&mut object);
        assert_eq!(Edit::from_value(&edit.to_value()), Some(edit));
        object
    };
    assert_eq!(without(value!(["spec", "a"])), value!({"spec": {"list": [1, 2]}}));
    assert_eq!(without(value!(["spec", "list", 0])), value!({"spec": {"a": 1, "list": [2]}}));
    assert_eq!(without(value!(["status", "b"])), sample, "nothing is made on the way");
}

#[test]
fn what_leads_to_a_node_is_asked() {
    let target = pods();
    let matrix = Maker::new(&target, None, Dice::new(1)).after(0).matrix;
    for name in ["log", "exec", "attach", "portforward", "proxy"] {
        let below = format!("{}/{name}", target.path());
        assert!(matrix.iter().any(|case| case.method == "GET" && case.path == below), "{name}");
        assert!(matrix.iter().any(|case| case.method == "POST" && case.path.starts_with(&below)), "{name}");
    }
}

#[test]
fn every_write_is_a_dry_run() {
    for case in requests(3).iter().filter(|case| case.method != "GET") {
        let body = match &case.body {
            // A body that is no options at all is refused, and with an empty one the query counts.
            Body::Text(_) | Body::None => true,
            body if case.method == "DELETE" => body.tree().has("dryRun"),
            _ => true,
        };
        assert!(body && case.path.contains("dryRun=All"), "{}", case.shown());
    }
}

#[test]
fn an_edit_can_be_said_in_every_form_of_patch() {
    let target = deployments();
    let sample = &target.samples[0];
    let edit =
        Edit::from_value(&value!([["spec", "template", "spec", "containers", 0, "image"], "other"])).expect("an edit");
    assert_eq!(edit.merge_patch(), None, "a list stands on the way");
    assert_eq!(
        edit.json_patch(sample),
        value!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "other"}])
    );
    let wanted = value!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "other"}]}}}});
    for keyed in [Keyed::Merge, Keyed::Apply] {
        assert_eq!(sparse(&edit, sample, target.kind_type, schema::builtin(), keyed), Some(wanted.clone()));
    }
    let gone = Edit::of(&["metadata", "labels", "a/b"], Value::Null);
    assert_eq!(gone.merge_patch(), Some(value!({"metadata": {"labels": {"a/b": null}}})));
    assert_eq!(Edit::from_value(&edit.to_value()), Some(edit));
}

#[test]
fn dice_spread() {
    let mut dice = Dice::named(1, "a");
    let drawn: BTreeSet<usize> = (0..200).map(|_| dice.below(10)).collect();
    assert_eq!(drawn.len(), 10);
    let mut items: Vec<usize> = (0..50).collect();
    dice.shuffle(&mut items);
    assert_ne!(items, (0..50).collect::<Vec<_>>());
    items.sort_unstable();
    assert_eq!(items, (0..50).collect::<Vec<_>>());
}
