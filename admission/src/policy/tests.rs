//! Both plugins, with policies and bindings as a store has them.

use std::{collections::BTreeMap, sync::Arc};

use api::{Reason, Status, Value, value};

use crate::{
    Chain, Plugin,
    fake::{Ask, World, run},
    plugins::{MutatingAdmissionPolicy, ValidatingAdmissionPolicy},
    tally::{self, Called, Checked, Conditions, Tally},
};

const VALIDATING: &str = "validatingadmissionpolicies.admissionregistration.k8s.io";
const MUTATING: &str = "mutatingadmissionpolicies.admissionregistration.k8s.io";

fn with(mut object: Value, more: &Value) -> Value {
    more.members().for_each(|(key, member)| object.set(key, member.clone()));
    object
}

fn everything() -> Value {
    value!({
        "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {},
        "resourceRules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "scope": "*"}]
    })
}

/// A policy of everything; `more` are other members of its spec.
fn policy(name: &str, more: Value) -> Value {
    let spec = value!({"failurePolicy": "Fail", "matchConstraints": (everything()), "reinvocationPolicy": "Never"});
    value!({"metadata": {"name": name}, "spec": (with(spec, &more))})
}

/// A binding `NAME-b` of a policy that denies.
fn binding(policy: &str, more: Value) -> Value {
    let spec = value!({"policyName": policy, "validationActions": ["Deny"]});
    value!({"metadata": {"name": (format!("{policy}-b"))}, "spec": (with(spec, &more))})
}

fn world() -> Arc<World> {
    World::new().with("namespaces", value!({"metadata": {"name": "ns", "labels": {"team": "a"}}}))
}

/// A world with a validating policy `p` and its binding.
fn validating(spec: Value, bound: Value) -> Arc<World> {
    put(world(), VALIDATING, policy("p", spec), binding("p", bound))
}

fn put(world: Arc<World>, policies: &str, policy: Value, binding: Value) -> Arc<World> {
    world.with(policies, policy).with(&policies.replace("policies.", "policybindings."), binding)
}

fn config_map() -> Ask {
    Ask::create("configmaps", "ConfigMap", value!({"metadata": {"name": "m", "namespace": "ns"}, "data": {"a": "1"}}))
}

/// A policy's key, why it could not be judged, and what came of it.
type Counted = (String, &'static str, Option<&'static str>);

/// What was counted: policy, error, what came of it.
#[derive(Default)]
struct Counts(parking_lot::Mutex<BTreeMap<Counted, usize>>);

impl Tally for Counts {
    fn called(&self, _: &Called<'_>) {}

    fn conditions(&self, conditions: &Conditions<'_>) {
        let Conditions { of, name, side, operation, failed, .. } = conditions;
        let key = format!("{of} {name} {side} {operation} {failed}");
        *self.0.lock().entry((key, "conditions", None)).or_default() += 1;
    }

    fn checked(&self, checked: &Checked<'_>) {
        let Checked { policy, error, action, .. } = checked;
        *self.0.lock().entry((policy.to_string(), error, *action)).or_default() += 1;
    }
}

fn judge(world: &Arc<World>, ask: &Ask) -> Result<(), Status> {
    ask.validate(&ValidatingAdmissionPolicy::new(tally::nobody()), world)
}

/// What a policy with one validation says of a ConfigMap, after `… denied request: `.
fn says(spec: Value) -> Option<String> {
    refusal(judge(&validating(spec, value!({})), &config_map()))
}

fn refusal(outcome: Result<(), Status>) -> Option<String> {
    let status = outcome.err()?;
    let said = status.message().split_once(" denied request: ").map_or(status.message(), |(_, why)| why);
    Some(said.to_owned())
}

fn expects(expression: &str) -> Value {
    value!({"validations": [{"expression": expression}]})
}

#[test]
fn a_refusal_is_told_in_upstreams_words() {
    let refused = judge(&validating(expects("object.data.a == '2'"), value!({})), &config_map());
    let status = refused.expect_err("it does not hold");
    let text = "configmaps \"m\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p-b' denied request: failed expression: object.data.a == '2'";
    assert_eq!((status.message(), status.code(), status.reason()), (text, 422, Reason::Invalid));
    let details = status.to_value().at("details").clone();
    assert_eq!(details.list("causes").len(), 1);
    let cause = &text["configmaps \"m\" is forbidden: ".len()..];
    assert_eq!((details.str("name"), details.list("causes")[0].str("message")), ("m", cause));
    assert_eq!(judge(&validating(expects("object.data.a == '1'"), value!({})), &config_map()), Ok(()));
    for (reason, code) in [("Forbidden", 403), ("RequestEntityTooLarge", 413), ("Invalid", 422)] {
        let spec = value!({"validations": [{"expression": "false", "reason": reason, "message": " no "}]});
        let status = judge(&validating(spec, value!({})), &config_map()).expect_err(reason);
        assert_eq!((status.code(), status.reason().as_str()), (code, reason));
        assert!(status.message().ends_with("denied request: no"), "{status}");
    }
}

#[test]
fn a_message_may_be_an_expression() {
    let message = |expression: &str, message: &str| {
        let validation = value!({"expression": "false", "messageExpression": expression, "message": message});
        says(value!({"validations": [validation]})).expect("it is refused")
    };
    assert_eq!(message("'is ' + object.data.a", "m"), "is 1");
    // What is no message is none: the other text is taken, or the expression itself.
    for bad in [
        "'  '",
        "'two\\nlines'",
        "object.data.nothing",
        "string(object.data.a).split('').map(x, 'aaaaaaaaaa').join('') == 'x' ? 'a' : ''",
    ] {
        assert_eq!(message(bad, " m "), "m", "{bad}");
        assert_eq!(message(bad, ""), "failed expression: false", "{bad}");
    }
}

#[test]
fn what_goes_wrong_is_refused_or_passed_over() {
    let wrong = expects("object.nothing == 1");
    let text = "expression 'object.nothing == 1' resulted in error: no such key: nothing";
    assert_eq!(says(wrong.clone()).as_deref(), Some(text));
    assert_eq!(says(with(wrong, &value!({"failurePolicy": "Ignore"}))), None);
    let uncompiled = says(expects("object.")).expect("it is refused");
    assert!(
        uncompiled.starts_with("compilation error: compilation failed: ERROR: <input>:1:8: Syntax error"),
        "{uncompiled}"
    );
    // A no is a no, whatever the policy.
    assert!(says(with(expects("false"), &value!({"failurePolicy": "Ignore"}))).is_some());
}

#[test]
fn what_costs_too_much_is_not_evaluated_to_its_end() {
    let list = (0..120).map(|i| i.to_string()).collect::<Vec<_>>().join(",");
    let one = format!("[{list}].all(x, [{list}].all(y, [{list}].all(z, x + y + z >= 0)))");
    let text = format!("expression '{one}' resulted in error: operation cancelled: actual cost limit exceeded");
    assert_eq!(says(expects(&one)), Some(text));
    let many: Vec<Value> = (0..11).map(|_| value!({"expression": (one.as_str())})).collect();
    let all = says(value!({"validations": many}));
    let text = "validation failed due to running out of cost budget, no further validation rules will be run";
    assert_eq!(all.as_deref(), Some(text));
    let messages: Vec<Value> =
        (0..11).map(|_| value!({"expression": "true", "messageExpression": (format!("{one} ? 'a' : 'b'"))})).collect();
    assert_eq!(says(value!({"validations": messages})), Some(format!("failed messageExpression: {text}")));
}

#[test]
fn actions_say_what_becomes_of_a_refusal() {
    let spec = value!({
        "validations": [{"expression": "true"}, {"expression": "false", "message": "m"}],
        "auditAnnotations": [
            {"key": "a", "valueExpression": "'value ' + object.data.a"}, {"key": "b", "valueExpression": "null"},
            {"key": "c", "valueExpression": "'  '"}
        ]
    });
    let world = validating(spec, value!({"validationActions": ["Warn", "Audit"]}));
    let (ask, cluster) = (config_map(), world.cluster());
    let request = ask.request();
    assert_eq!(run(ValidatingAdmissionPolicy::new(tally::nobody()).validate(&request, &cluster)), Ok(()));
    assert_eq!(request.said.warnings(), ["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p-b': m"]);
    let notes: Vec<(String, String)> = request.said.annotations().into_iter().collect();
    let failure = "[{\"message\":\"m\",\"policy\":\"p\",\"binding\":\"p-b\",\"expressionIndex\":1,\"validationActions\":[\"Warn\",\"Audit\"]}]";
    assert_eq!(
        notes,
        [
            ("p/a".to_owned(), "value 1".to_owned()),
            ("validation.policy.admission.k8s.io/validation_failure".to_owned(), failure.to_owned())
        ]
    );
    // An annotation that goes wrong is a refusal, whatever the actions.
    let world = validating(
        value!({"auditAnnotations": [{"key": "a", "valueExpression": "string(object.nothing)"}]}),
        value!({"validationActions": ["Warn"]}),
    );
    assert!(judge(&world, &config_map()).is_err());
}

#[test]
fn variables_and_what_is_known_of_the_request_can_be_named() {
    for expression in [
        "variables.big == '1!'",
        "variables.who.startsWith('alice')",
        "namespaceObject.metadata.labels.team == 'a'",
        "request.operation == 'CREATE' && request.name == 'm' && request.resource.resource == 'configmaps'",
        "oldObject == null",
        "!authorizer.group('').resource('secrets').check('get').allowed()",
        "authorizer.requestResource.check('create').allowed()",
    ] {
        let spec = value!({
            "variables": [
                {"name": "first", "expression": "object.data.a"}, {"name": "big", "expression": "variables.first + '!'"},
                {"name": "who", "expression": "request.userInfo.username"}, {"name": "wrong", "expression": "object.nothing"}
            ],
            "validations": [{"expression": expression}]
        });
        let world = validating(spec, value!({})).allowing("alice create /configmaps m");
        assert_eq!(judge(&world, &config_map()), Ok(()), "{expression}");
    }
}

#[test]
fn deletions_are_judged_by_what_was_there() {
    let world = validating(expects("object == null && oldObject.data.a == '2'"), value!({}));
    let gone = Ask::delete(
        "configmaps",
        "ConfigMap",
        value!({"metadata": {"name": "m", "namespace": "ns"}, "data": {"a": "1"}}),
    );
    assert!(judge(&world, &gone).is_err());
    let world = validating(expects("object == null && oldObject.data.a == '1'"), value!({}));
    assert_eq!(judge(&world, &gone), Ok(()));
}

#[test]
fn constraints_say_what_a_policy_sees() {
    let rule = |more: Value| {
        let rule = value!({"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]});
        with(rule, &more)
    };
    let none = value!({"matchLabels": {"team": "b"}});
    let cases = [
        (value!({"resourceRules": [rule(value!({}))]}), true),
        (value!({"resourceRules": [rule(value!({"resources": ["pods"]}))]}), false),
        (value!({"resourceRules": [rule(value!({"operations": ["UPDATE"]}))]}), false),
        (value!({"resourceRules": [rule(value!({"resourceNames": ["m"]}))]}), true),
        (value!({"resourceRules": [rule(value!({"resourceNames": ["other"]}))]}), false),
        (value!({"excludeResourceRules": [rule(value!({}))]}), false),
        (value!({"excludeResourceRules": [rule(value!({"resourceNames": ["other"]}))]}), true),
        (value!({"namespaceSelector": (none.clone())}), false),
        (value!({"objectSelector": (none)}), false),
    ];
    for (i, (more, is_seen)) in cases.into_iter().enumerate() {
        let constraints = with(everything(), &more);
        // Of a policy and of its binding alike.
        let world =
            validating(with(expects("false"), &value!({"matchConstraints": (constraints.clone())})), value!({}));
        assert_eq!(judge(&world, &config_map()).is_err(), is_seen, "case {i}");
        let world = validating(expects("false"), value!({"matchResources": constraints}));
        assert_eq!(judge(&world, &config_map()).is_err(), is_seen, "case {i} of a binding");
    }
}

#[test]
fn conditions_say_whether_a_policy_is_concerned() {
    let with_condition = |condition: &str, policy: &str| {
        let conditions = value!([{"name": "c", "expression": condition}]);
        says(with(expects("false"), &value!({"matchConditions": conditions, "failurePolicy": policy})))
    };
    assert!(with_condition("object.data.a == '1'", "Fail").is_some());
    assert_eq!(with_condition("object.data.a == '2'", "Fail"), None);
    let text = "expression 'object.nothing' resulted in error: no such key: nothing";
    assert_eq!(with_condition("object.nothing == 1", "Fail"), Some(text.replace("nothing'", "nothing == 1'")));
    assert_eq!(with_condition("object.nothing == 1", "Ignore"), None);
}

#[test]
fn policies_without_bindings_and_bindings_without_policies_do_nothing() {
    let lone = world().with(VALIDATING, policy("p", expects("false")));
    assert_eq!(judge(&lone, &config_map()), Ok(()));
    let world = put(world(), VALIDATING, policy("p", expects("false")), binding("other", value!({})));
    assert_eq!(judge(&world, &config_map()), Ok(()));
}

#[test]
fn policies_see_neither_policies_nor_reviews() {
    let world = validating(expects("false"), value!({}));
    for (resource, kind) in [
        (VALIDATING, "ValidatingAdmissionPolicy"),
        ("mutatingadmissionpolicybindings.admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"),
        ("subjectaccessreviews.authorization.k8s.io", "SubjectAccessReview"),
    ] {
        let ask = Ask::create(resource, kind, value!({"metadata": {"name": "x"}}));
        assert_eq!(judge(&world, &ask), Ok(()), "{kind}");
    }
    let hooks = Ask::create(
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
        value!({"metadata": {"name": "x"}}),
    );
    assert!(judge(&world, &hooks).is_err(), "configurations of webhooks are seen");
}

fn limits(name: &str, most: i64) -> Value {
    value!({
        "apiVersion": "example.com/v1", "kind": "Limit",
        "metadata": {"name": name, "namespace": "ns", "labels": {"name": name}}, "most": most
    })
}

#[test]
fn parameters_are_found_by_name_and_by_labels() {
    let taking = |bound: Value| {
        let spec = value!({
            "paramKind": {"apiVersion": "example.com/v1", "kind": "Limit"},
            "validations": [{"expression": "params == null || int(object.data.a) <= params.most", "messageExpression": "string(params.most)"}]
        });
        validating(spec, bound)
            .with("limits.example.com", limits("none", 0))
            .with("limits.example.com", limits("some", 5))
    };
    let said = |reference: Value| {
        let bound = if reference.is_null() { value!({}) } else { value!({"paramRef": reference}) };
        refusal(judge(&taking(bound), &config_map()))
    };
    let missing = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction";
    let none = value!({"matchLabels": {"name": "none"}});
    for (reference, expected) in [
        (Value::Null, None),
        (value!({"name": "some", "parameterNotFoundAction": "Deny"}), None),
        (value!({"name": "none", "parameterNotFoundAction": "Deny"}), Some("0")),
        (value!({"name": "none", "namespace": "ns", "parameterNotFoundAction": "Deny"}), Some("0")),
        (value!({"name": "none", "namespace": "other", "parameterNotFoundAction": "Deny"}), Some(missing)),
        (value!({"name": "gone", "parameterNotFoundAction": "Deny"}), Some(missing)),
        (value!({"name": "gone", "parameterNotFoundAction": "Allow"}), None),
        (value!({"selector": (none), "parameterNotFoundAction": "Deny"}), Some("0")),
        // Each of them has to be content.
        (value!({"selector": {}, "parameterNotFoundAction": "Deny"}), Some("0")),
        (value!({"selector": {"matchLabels": {"name": "gone"}}, "parameterNotFoundAction": "Deny"}), Some(missing)),
    ] {
        assert_eq!(said(reference.clone()).as_deref(), expected, "{reference:?}");
    }
    let of_cluster = Ask::create("nodes", "Node", value!({"metadata": {"name": "n"}}));
    let world = taking(value!({"paramRef": {"name": "some", "parameterNotFoundAction": "Deny"}}));
    let text = "failed to configure binding: cannot use namespaced paramRef in policy binding that matches cluster-scoped resources";
    assert_eq!(refusal(judge(&world, &of_cluster)).as_deref(), Some(text));
}

#[test]
fn a_kind_of_parameters_that_nobody_serves_is_the_policys_fault() {
    let spec = with(expects("true"), &value!({"paramKind": {"apiVersion": "v1", "kind": "Nothing"}}));
    let refused = judge(&validating(spec.clone(), value!({})), &config_map()).expect_err("nobody serves it");
    let text = "configmaps \"m\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: failed to configure policy: failed to find resource referenced by paramKind: '/v1, Kind=Nothing'";
    assert_eq!((refused.message(), refused.code()), (text, 422));
    let ignoring = with(spec, &value!({"failurePolicy": "Ignore"}));
    assert_eq!(judge(&validating(ignoring, value!({})), &config_map()), Ok(()));
}

#[test]
fn a_kind_of_parameters_is_served_as_long_as_its_definition_is_there() {
    let spec = with(expects("true"), &value!({"paramKind": {"apiVersion": "example.com/v1", "kind": "Limit"}}));
    let (world, plugin) = (validating(spec, value!({})), ValidatingAdmissionPolicy::new(tally::nobody()));
    let judge = || config_map().validate(&plugin, &world);
    assert_eq!(judge(), Ok(()));
    world.serve("Limit", false);
    let refused = judge().expect_err("nobody serves it any more");
    assert!(refused.message().contains("failed to find resource referenced by paramKind"), "{}", refused.message());
    world.serve("Limit", true);
    assert_eq!(judge(), Ok(()));
}

#[test]
fn policies_are_compiled_once() {
    let world = validating(expects("object.data.a == '1'"), value!({}));
    let plugin = ValidatingAdmissionPolicy::new(tally::nobody());
    for _ in 0..3 {
        assert_eq!(config_map().validate(&plugin, &world), Ok(()));
    }
    assert_eq!(world.lists(), 2, "policies and bindings are read once");
    world.put(VALIDATING, policy("p", expects("false")));
    assert!(config_map().validate(&plugin, &world).is_err(), "and again when one of them is another");
    assert_eq!(world.lists(), 4);
}

// --- what changes something

fn mutating(specs: Vec<Value>) -> Arc<World> {
    let named = ["p", "q", "r"].into_iter().zip(specs);
    named.fold(world(), |world, (name, spec)| put(world, MUTATING, policy(name, spec), binding(name, value!({}))))
}

fn lays(expression: &str) -> Value {
    value!({"mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}]})
}

fn patches(expression: &str) -> Value {
    value!({"mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}]})
}

fn mutate(world: &Arc<World>, ask: &Ask) -> Result<Value, Status> {
    let chain = Chain::new(vec![Arc::new(MutatingAdmissionPolicy::new(tally::nobody()))], tally::nobody());
    let (mut request, cluster) = (ask.request(), world.cluster());
    run(chain.mutate(&mut request, &cluster))?;
    Ok(request.object)
}

#[test]
fn configurations_are_laid_over_and_patches_applied_one_after_the_other() {
    let world = mutating(vec![
        lays("Object{data: Object.data{b: object.data.a + '2'}}"),
        patches(
            "[JSONPatch{op: 'test', path: '/data/b', value: '12'}, JSONPatch{op: 'add', path: '/data/' + jsonpatch.escapeKey('c/d'), value: '3'}]",
        ),
        with(
            patches("[JSONPatch{op: 'add', path: '/data/e', value: object.data.b}]"),
            &value!({"matchConditions": [{"name": "c", "expression": "'c/d' in object.data"}]}),
        ),
    ]);
    let object = mutate(&world, &config_map()).expect("nothing is wrong");
    assert_eq!(object.at("data"), &value!({"a": "1", "b": "12", "c/d": "3", "e": "12"}));
}

#[test]
fn a_patch_whose_test_fails_is_left_out() {
    let world = mutating(vec![patches(
        "[JSONPatch{op: 'add', path: '/data/b', value: '2'}, JSONPatch{op: 'test', path: '/data/a', value: '9'}]",
    )]);
    assert_eq!(mutate(&world, &config_map()).map(|object| object.at("data").clone()), Ok(value!({"a": "1"})));
}

#[test]
fn mutations_that_do_not_work_are_told_in_upstreams_words() {
    let refused = |spec: Value| mutate(&mutating(vec![spec]), &config_map()).expect_err("it does not work");
    let status = refused(lays("Object{data: Object.wrong{}}"));
    let text = "policy 'p' with binding 'p-b' denied request: type mismatch: unexpected type name \"Object.wrong\", expected \"Object.data\", which matches field name path from root Object type";
    assert_eq!((status.message(), status.code(), status.reason()), (text, 403, Reason::Invalid));
    assert_eq!(status.to_value().at("details").list("causes")[0].str("message"), text);
    for (spec, why) in [
        (
            lays("Object{wrong: 1}"),
            "error applying patch: failed to convert patch object to typed object: .wrong: field not declared in schema",
        ),
        (
            lays("Object{data: object.nothing}"),
            "expression 'Object{data: object.nothing}' resulted in error: no such key: nothing",
        ),
        (
            lays("Object{data: Object.data{a: null}}"),
            "error applying patch: failed to convert patch object to typed object: .data.a: got structpb.NullValue",
        ),
        (
            patches("[JSONPatch{op: 'remove', path: '/nothing/x'}]"),
            "JSON Patch: remove operation does not apply: doc is missing path: \"/nothing/x\": missing value",
        ),
    ] {
        assert_eq!(refused(spec.clone()).message(), format!("policy 'p' with binding 'p-b' denied request: {why}"));
        let ignoring = with(spec, &value!({"failurePolicy": "Ignore"}));
        assert_eq!(mutate(&mutating(vec![ignoring]), &config_map()), Ok(config_map().object));
    }
    let unserved = refused(with(lays("Object{}"), &value!({"paramKind": {"apiVersion": "v1", "kind": "Nothing"}})));
    let text = "policy \"p\" denied request: failed to configure policy: failed to find resource referenced by paramKind: '/v1, Kind=Nothing'";
    assert_eq!((unserved.message(), unserved.reason()), (text, Reason::Forbidden));
    let nothing = Ask::create("nothings", "Nothing", value!({"metadata": {"name": "m", "namespace": "ns"}}));
    let status = mutate(&mutating(vec![lays("Object{}")]), &nothing).expect_err("nobody knows its type");
    assert_eq!((status.code(), status.reason()), (503, Reason::ServiceUnavailable));
}

#[test]
fn who_wants_to_looks_again_when_something_changes_after_him() {
    let counting = "[JSONPatch{op: 'replace', path: '/data/a', value: object.data.a + '+'}]";
    let again = with(patches(counting), &value!({"reinvocationPolicy": "IfNeeded"}));
    let once =
        |specs: Vec<Value>| mutate(&mutating(specs), &config_map()).expect("it works").at("data").str("a").to_owned();
    assert_eq!(once(vec![patches(counting), lays("Object{data: Object.data{b: 'x'}}")]), "1+");
    assert_eq!(once(vec![again, lays("Object{data: Object.data{b: 'x'}}")]), "1++");
}

#[test]
fn policies_are_told_who_owns_what() {
    let world = mutating(vec![lays("Object{data: Object.data{b: object.metadata.managedFields[0].manager}}")]);
    let (ask, cluster) = (config_map(), world.cluster());
    let mut request = ask.request();
    request.managed = Some(value!([{"manager": "me"}]));
    run(MutatingAdmissionPolicy::new(tally::nobody()).mutate(&mut request, &cluster)).expect("it works");
    assert_eq!(request.object.at("data").str("b"), "me");
    assert_eq!(request.managed, Some(value!([{"manager": "me"}])));
    assert!(!request.object.at("metadata").has("managedFields"));
}

#[test]
fn nothing_is_changed_of_what_is_deleted() {
    let world = mutating(vec![lays("Object{data: 1}")]);
    let gone = Ask::delete("configmaps", "ConfigMap", value!({"metadata": {"name": "m", "namespace": "ns"}}));
    assert_eq!(gone.mutate(&MutatingAdmissionPolicy::new(tally::nobody()), &world), Ok(Value::Null));
}

#[test]
fn what_comes_of_a_policy_is_counted() {
    let counted = |expression: &str, policy: Value, actions: Value| {
        let spec = with(value!({"validations": [{"expression": expression}]}), &policy);
        let world = validating(spec, value!({"validationActions": (actions)}));
        let counts = Arc::new(Counts::default());
        let _ = config_map().validate(&ValidatingAdmissionPolicy::new(counts.clone()), &world);
        counts.0.lock().keys().map(|(_, error, action)| (*error, action.unwrap_or(""))).collect::<Vec<_>>()
    };
    let (fail, ignore) = (value!({}), value!({"failurePolicy": "Ignore"}));
    assert_eq!(counted("true", fail.clone(), value!(["Deny"])), []);
    let both = counted("false", fail.clone(), value!(["Warn", "Audit"]));
    assert_eq!(both, [("invalid_error", "audit"), ("invalid_error", "warn")]);
    assert_eq!(counted("object.nothing == 1", fail.clone(), value!(["Deny"])), [("invalid_error", "deny")]);
    assert_eq!(counted("object.nothing == 1", ignore, value!(["Deny"])), [("invalid_error", "allow")]);
    assert_eq!(counted("nobody knows", fail, value!(["Deny"])), [("compile_error", "deny")]);
}

#[test]
fn conditions_that_do_not_all_hold_are_counted_for_policies_of_both_sides() {
    let counted = |plugin: &dyn Fn(Arc<Counts>) -> Arc<dyn Plugin>,
                   world: &dyn Fn(Value) -> Arc<World>,
                   expressions: &[&str]| {
        let conditions: Vec<Value> = expressions.iter().map(|e| value!({"name": "c", "expression": (*e)})).collect();
        let (counts, world) = (Arc::new(Counts::default()), world(value!({"matchConditions": conditions})));
        let chain = Chain::new(vec![plugin(counts.clone())], tally::nobody());
        let ask = config_map();
        let (mut request, cluster) = (ask.request(), world.cluster());
        let _ = run(chain.mutate(&mut request, &cluster));
        let _ = run(chain.validate(&request, &cluster));
        let of = |counted: &Counted| (counted.1 == "conditions").then(|| counted.0.clone());
        counts.0.lock().keys().filter_map(of).collect::<Vec<_>>()
    };
    let validates = |counts: Arc<Counts>| -> Arc<dyn Plugin> { Arc::new(ValidatingAdmissionPolicy::new(counts)) };
    let mutates = |counts: Arc<Counts>| -> Arc<dyn Plugin> { Arc::new(MutatingAdmissionPolicy::new(counts)) };
    let judged = |spec: Value| validating(with(expects("true"), &spec), value!({}));
    let changed = |spec: Value| mutating(vec![with(patches("[]"), &spec)]);
    for (expressions, failed) in [
        (&["true"][..], None),
        (&["false"], Some(0)),
        (&["object.nothing == 1", "object.less == 1"], Some(2)),
        (&["object.nothing == 1", "false", "object.less == 1"], Some(1)),
    ] {
        let expected = |name: &str| failed.map(|failed| format!("policy {name} validate CREATE {failed}"));
        assert_eq!(counted(&validates, &judged, expressions), Vec::from_iter(expected("p")), "{expressions:?}");
        assert_eq!(counted(&mutates, &changed, expressions), Vec::from_iter(expected("p")), "{expressions:?}");
    }
}
