//! The generator: repeatable, without repetition, and harmless.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use api::{Gvk, Value, meta, value};

use super::{
    case::{Body, Case},
    dice::Dice,
    edit::{Edit, Keyed, sparse},
    requests::Maker,
    samples,
    target::{Subresource, Target},
};

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
    let target = deployments();
    let live = target.samples[0].clone();
    let mut all = Maker::new(&target, None, Dice::new(seed)).before(300);
    all.extend(Maker::new(&target, Some(live), Dice::new(seed)).after(900));
    all
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
    assert_eq!(all.len(), 1200, "there are as many as were asked for");
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
