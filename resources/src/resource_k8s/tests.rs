//! Claims, classes and slices, as upstream judges them.

use api::value;

use super::*;
use crate::testing::{context, texts};

const UNALLOCATED: &str = "status.devices[0]: Invalid value: {\"Driver\":\"d\",\"Pool\":\"p\",\"Device\":\"x\",\"ShareID\":\"\"}: \
     must be an allocated device in the claim";

fn a_claim(request: Value) -> Value {
    value!({"spec": {"devices": {"requests": [request]}}})
}

#[test]
fn a_request_is_exact_or_has_alternatives() {
    let mut exact = value!({"deviceClassName": "a.b"});
    default_request(&mut exact);
    assert_eq!(
        texts(&claim::validate(&a_claim(value!({"name": "r", "exactly": (exact.clone())})))),
        Vec::<String>::new()
    );
    assert_eq!(
        texts(&claim::validate(&a_claim(value!({"name": "r"})))),
        ["spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required"]
    );
    let wrong = value!({"deviceClassName": "", "allocationMode": "All", "count": 1, "selectors": [{}],
        "tolerations": [{"operator": "Exists", "value": "x", "effect": "Push"}]});
    let at = "spec.devices.requests[0].exactly";
    assert_eq!(
        texts(&claim::validate(&a_claim(value!({"name": "r", "exactly": wrong})))),
        [
            format!("{at}.deviceClassName: Required value"),
            format!("{at}.selectors[0].cel: Required value"),
            format!("{at}.count: Invalid value: 1: must not be specified when allocationMode is 'All'"),
            format!("{at}.tolerations[0].value: Invalid value: \"x\": must be empty for operator `Exists`"),
            format!(
                "{at}.tolerations[0].effect: Unsupported value: \"Push\": supported values: \"NoExecute\", \"NoSchedule\", \"None\""
            ),
        ]
    );
}

fn a_class(expression: &str) -> Value {
    value!({"spec": {"selectors": [{"cel": {"expression": expression}}]}})
}

/// What upstream's server said of classes with these expressions.
#[test]
fn selectors_are_judged_in_upstreams_words() {
    let answers = include_str!("../../tests/data/selectors.jsonl").lines().map(|line| {
        let answer: serde_json::Value = serde_json::from_str(line).expect("an answer is JSON");
        let causes = answer["causes"].as_array().into_iter().flatten();
        let causes: Vec<String> = causes.map(|cause| cause.as_str().unwrap_or("").to_owned()).collect();
        (answer["expression"].as_str().unwrap_or("").to_owned(), causes)
    });
    let (mut right, mut wrong) = (0, 0);
    let mut differing = Vec::new();
    for (expression, causes) in answers {
        let found = texts(&claim::validate_class(&a_class(&expression), None));
        *(if causes.is_empty() { &mut right } else { &mut wrong }) += 1;
        if found != causes {
            differing.push(format!("{expression}\n  upstream: {causes:?}\n  here:     {found:?}"));
        }
    }
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
    assert!(right > 90 && wrong > 90, "{right} right and {wrong} wrong ones are too few to tell");
}

#[test]
fn selectors_of_requests_and_alternatives_are_compiled_where_they_are_new() {
    let wrong =
        value!([{"cel": {"expression": "device.nothing"}}, {"cel": {"expression": (" ".repeat(10 * 1024 + 1))}}]);
    let request = value!({"deviceClassName": "c", "allocationMode": "All", "selectors": (wrong.clone())});
    let mut sub = request.clone();
    sub.set("name", "s");
    let claim = value!({"spec": {"devices": {"requests": [
        {"name": "a", "exactly": (request.clone())}, {"name": "b", "firstAvailable": [sub]}
    ]}}});
    let undefined = "Invalid value: \"device.nothing\": compilation failed: ERROR: <input>:1:7: undefined field 'nothing'\n | \
                     device.nothing\n | ......^";
    let expected = |at: &str| -> Vec<String> {
        let mut texts = Vec::new();
        for (i, kind) in ["exactly", "firstAvailable[0]"].into_iter().enumerate() {
            let at = format!("{at}.devices.requests[{i}].{kind}.selectors");
            texts.push(format!("{at}[0].cel.expression: {undefined}"));
            texts.push(format!("{at}[1].cel.expression: Too long: may not be more than 10240 bytes"));
        }
        texts
    };
    assert_eq!(texts(&claim::validate(&claim)), expected("spec"));
    let template = value!({"spec": (claim.clone())});
    assert_eq!(texts(&claim::validate_template(&template)), expected("spec.spec"));
    let class = |selectors: &Value| value!({"spec": {"selectors": (selectors.clone())}});
    assert_eq!(claim::validate_class(&class(&wrong), None).len(), 2);
    assert!(claim::validate_class(&class(&wrong), Some(&class(&wrong))).is_empty(), "what is stored is not judged");
    let mut turned = wrong.clone();
    turned.make_array().reverse();
    assert_eq!(claim::validate_class(&class(&turned), Some(&class(&wrong))).len(), 2, "another order is a change");
}

#[test]
fn an_old_request_of_no_class_is_left_as_it_is() {
    let of = |request: Value| {
        let mut claim = a_claim(request);
        (convert::CLAIM.to_hub)(&mut claim);
        let mut exactly = claim.at_path(&["spec", "devices"]).list("requests")[0].at("exactly").clone();
        default_request(&mut exactly);
        exactly
    };
    let left = of(value!({"name": "r", "allocationMode": "ExactCount"}));
    assert_eq!((left.str("allocationMode"), left.int("count")), ("ExactCount", 0));
    let left = of(value!({"name": "r", "tolerations": []}));
    assert_eq!((left.str("allocationMode"), left.int("count")), ("", 0));
    let filled = of(value!({"name": "r", "deviceClassName": "c"}));
    assert_eq!((filled.str("allocationMode"), filled.int("count")), ("ExactCount", 1));
}

#[test]
fn no_time_to_delete_is_a_time_and_no_finalizers_are_finalizers() {
    let metadata = value!({"deletionGracePeriodSeconds": 0, "generation": 0, "finalizers": []});
    let mut errs = Errors::new();
    crate::pod::claim::template_metadata(&metadata, &Path::new("metadata"), &mut errs);
    assert_eq!(
        texts(&errs),
        [
            "metadata.deletionGracePeriodSeconds: Forbidden: cannot be set",
            "metadata.finalizers: Forbidden: cannot be set"
        ]
    );
}

#[test]
fn a_very_long_name_is_not_told_whole() {
    let mut attributes = Value::object();
    attributes.set(&format!("{}/x", "a".repeat(94)), value!({}));
    attributes.set(&format!("{}/x", "b".repeat(95)), value!({}));
    let mut errs = Errors::new();
    super::lists::map(&attributes, &Path::new("a"), &mut errs, |_, at, errs| errs.required(at, ""));
    let shown: Vec<String> = texts(&errs).into_iter().filter(|text| text.contains('[')).collect();
    let (whole, short) = (format!("{}/x", "a".repeat(94)), format!("{}...{}/x", "b".repeat(47), "b".repeat(44)));
    assert_eq!(shown, [format!("a[{whole}]: Required value"), format!("a[{short}]: Required value")]);
}

#[test]
fn constraints_and_configurations_name_requests() {
    let claim = value!({"spec": {"devices": {
        "requests": [{"name": "r", "exactly": {"deviceClassName": "c", "allocationMode": "All"}}],
        "constraints": [{"requests": ["s", "r"], "matchAttribute": "x"}, {"requests": ["r/a/b"], "distinctAttribute": "d/x"}],
        "config": [{"requests": ["r"], "opaque": {"driver": "d", "parameters": "x"}}]
    }}});
    let at = "spec.devices";
    let none = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
    assert_eq!(
        texts(&claim::validate(&claim)),
        [
            format!("{at}.constraints[0].requests[0]: Invalid value: \"s\": {none}"),
            format!(
                "{at}.constraints[0].matchAttribute: Invalid value: \"x\": a fully qualified name must be a domain and a name separated by a slash"
            ),
            format!("{at}.constraints[1].requests[0]: Invalid value: \"r/a/b\": {none}"),
            format!(
                "{at}.config[0].opaque.parameters: Invalid value: \"<value omitted>\": must be a valid JSON object"
            ),
        ]
    );
}

#[test]
fn claims_stay_and_say_how_they_fare() {
    let old = a_claim(value!({"name": "a"}));
    assert_eq!(unchanged(&a_claim(value!({"name": "b"})), &old).len(), 1);
    assert_eq!(state(&old), "pending".into());
    let used =
        value!({"metadata": {"deletionTimestamp": "x"}, "status": {"allocation": {}, "reservedFor": [{"uid": "1"}]}});
    assert_eq!(state(&used), "deleted,allocated,reserved".into());
}

#[test]
fn only_what_is_allocated_is_used() {
    let old = a_claim(value!({"name": "r"}));
    let mut new = old.clone();
    new.set(
        "status",
        value!({
            "reservedFor": [{"resource": "pods", "name": "p", "uid": "1"}],
            "devices": [{"driver": "d", "pool": "p", "device": "x"}]
        }),
    );
    assert_eq!(
        texts(&status::validate(&new, &old)),
        [UNALLOCATED, "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",]
    );
    let result = value!({"request": "r", "driver": "d", "pool": "p", "device": "x", "shareID": "1"});
    new.set_path(&["status", "allocation", "devices", "results"], vec![result]);
    assert_eq!(
        texts(&status::validate(&new, &old)),
        [
            UNALLOCATED,
            "status.allocation.devices.results[0].shareID: Invalid value: \"1\": error validating uid: invalid UUID length: 1",
        ]
    );
}

fn a_slice(device: Value) -> Value {
    value!({"spec": {
        "driver": "d", "pool": {"name": "p", "resourceSliceCount": 1}, "nodeName": "n", "devices": [device]
    }})
}

#[test]
fn a_slice_is_in_one_place() {
    assert!(slice::validate(&a_slice(value!({"name": "a"})), None).is_empty());
    let mut everywhere = a_slice(value!({"name": "a", "allNodes": true}));
    everywhere.set_path(&["spec", "allNodes"], true);
    everywhere.set_path(&["spec", "driver"], "D");
    let texts = texts(&slice::validate(&everywhere, None));
    assert_eq!(
        texts,
        [
            "spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set",
            "spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec",
        ]
    );
    assert_eq!(slice::warn(&everywhere).len(), 1);
}

#[test]
fn attributes_have_one_value_and_portions_fit() {
    let device = value!({
        "name": "a", "attributes": {"x": {"int": 1, "bool": true}, "1": {"version": "1.0"}},
        "allowMultipleAllocations": true,
        "capacity": {"mem": {"value": "10Gi", "requestPolicy": {"default": "3Gi", "validRange": {"min": "1Gi", "max": "11Gi", "step": "4Gi"}}}}
    });
    let found = texts(&slice::validate(&a_slice(device), None));
    let at = "spec.devices[0]";
    assert_eq!(
        found[0],
        format!("{at}.attributes[x]: Invalid value: {{\"int\":1,\"bool\":true}}: exactly one value must be specified")
    );
    assert!(found[1].starts_with(&format!("{at}.attributes: Invalid value: \"1\": a valid C identifier")));
    assert_eq!(
        found[2..],
        [
            format!(
                "{at}.attributes[1].version: Invalid value: \"1.0\": must be a string compatible with semver.org spec 2.0.0"
            ),
            format!(
                "{at}.capacity[mem].requestPolicy.validRange.max: Invalid value: \"11Gi\": max is larger than capacity value: 10Gi"
            ),
            format!(
                "{at}.capacity[mem].requestPolicy.validRange.step: Invalid value: \"3Gi\": value is not a multiple of a given step (4Gi) from (1Gi)"
            ),
            format!(
                "{at}.capacity[mem].requestPolicy.validRange.step: Invalid value: \"11Gi\": value is not a multiple of a given step (4Gi) from (1Gi)"
            ),
        ]
    );
}

#[test]
fn a_taint_is_dated_and_another_effect_starts_anew() {
    let rule = |effect: &str, at: &str| value!({"spec": {"taint": {"key": "k", "effect": effect, "timeAdded": at}}});
    let old = rule("NoSchedule", "2020-01-01T00:00:00Z");
    let mut new = rule("NoExecute", "2020-01-01T00:00:00Z");
    (taint::ROW.rules.prepare_update)(&mut new, &old, &context());
    assert_eq!(new.at_path(&["spec", "taint"]).str("timeAdded"), "2026-01-02T03:04:05Z");
    assert!((taint::ROW.rules.validate)(&new, &context()).is_empty());
    let mut undated = value!({"spec": {"taint": {"key": "k", "effect": "NoSchedule"}}});
    taint::ROW.dated.expect("it has a date by default")(&mut undated, context().now);
    assert_eq!(undated.at_path(&["spec", "taint"]).str("timeAdded"), "2026-01-02T03:04:05Z");
    assert_eq!(
        texts(&(taint::ROW.rules.validate)(&rule("Push", "x"), &context())),
        ["spec.taint.effect: Unsupported value: \"Push\": supported values: \"NoExecute\", \"NoSchedule\", \"None\""]
    );
}

#[test]
fn devices_that_are_given_back_are_forgotten_and_alpha_is_dropped() {
    let device = |name: &str| value!({"driver": "d", "pool": "p", "device": name});
    let with = |results: Vec<Value>, devices: Vec<Value>| value!({"spec": {}, "status": {"allocation": {"devices": {"results": results}}, "devices": devices}});
    let old = with(vec![device("a"), device("b")], vec![device("a"), device("b")]);
    let mut new = with(vec![device("b")], vec![device("a"), device("b")]);
    prepare::claim_status(&mut new, &old, &context());
    assert_eq!(new.at("status").list("devices"), [device("b")]);
    let mut slice = a_slice(value!({"name": "a", "attributes": {"x": {"ints": [1], "int": 1}}}));
    prepare::new_slice(&mut slice);
    assert_eq!(slice, a_slice(value!({"name": "a", "attributes": {"x": {"int": 1}}})));
}
