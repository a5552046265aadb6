//! What expressions see and make.

use api::value;

use super::*;
use crate::fake::{Ask, World};

fn scene(object: Value) -> Scene {
    let null = cel::Value::Null;
    Scene {
        object: value_of(&Arc::new(object)),
        old: null.clone(),
        request: null.clone(),
        namespace: null.clone(),
        params: null.clone(),
        authorizer: null.clone(),
        own_check: null,
    }
}

/// A policy's variables and one expression that may name them.
fn policy(variables: &[(&str, &str)], text: &str) -> (Arc<[Variable]>, Expression) {
    let declares = Declares { authorizer: true, patches: true, ..Declares::default() };
    let (composer, mut needs) = (Composer::new(), Needs::default());
    let variables: Vec<Variable> = variables
        .iter()
        .map(|(name, text)| {
            Variable::new(name, composer.variable(name, text, Mode::StoredExpressions, declares), &mut needs)
        })
        .collect();
    let compiled = composer.compile(text, Mode::StoredExpressions, declares, Returns::Anything);
    (variables.into(), Expression::new(text, compiled, &mut needs))
}

/// What an expression comes to as JSON, and what it cost.
fn evaluate(object: Value, variables: &[(&str, &str)], text: &str) -> (Result<Value, String>, u64) {
    let (variables, expression) = policy(variables, text);
    let mut remaining = 10_000_000;
    let activation = Activation::with(scene(object), &variables);
    let value = expression.evaluate(&activation, &mut remaining).expect("it is cheap");
    (value.and_then(|value| tree_of(&value)), 10_000_000 - remaining)
}

fn value(object: Value, text: &str) -> Value {
    evaluate(object, &[], text).0.expect(text)
}

#[test]
fn objects_are_their_json() {
    let object = value!({"a": {"list": [1, 2.5, "x", null, true, {"b": []}]}, "m": {"k": "v", "l": "w"}});
    for (text, expected) in [
        ("object", object.clone()),
        ("object.a.list[1]", value!(2.5)),
        ("object.a.list.filter(x, type(x) == string)", value!(["x"])),
        ("object.a.list[5].b == [] && !has(object.b) && size(object.m) == 2", value!(true)),
        ("object.m.map(k, object.m[k])", value!(["v", "w"])),
        ("object.a == {'list': [dyn(1), dyn(2.5), dyn('x'), dyn(null), dyn(true), dyn({'b': []})]}", value!(true)),
        ("'k' in object.m && !('x' in object.m)", value!(true)),
    ] {
        assert_eq!(value(object.clone(), text), expected, "{text}");
    }
    let missing = evaluate(object, &[], "object.a.list[9]").0;
    assert_eq!(missing, Err("expression 'object.a.list[9]' resulted in error: index out of bounds: 9".into()));
}

#[test]
fn what_is_deep_is_read_as_what_is_not() {
    let mut object = value!({"end": [1, {"x": 2}]});
    let mut text = String::from("object");
    for _ in 0..30 {
        object = value!({"a": object});
        text.push_str(".a");
    }
    assert_eq!(value(object.clone(), &format!("{text}.end[1].x + {text}.end[0]")), value!(3));
    assert_eq!(value(object.clone(), "object"), object);
}

#[test]
fn what_was_made_has_jsons_form() {
    for (text, expected) in [
        ("Object{a: Object.a{b: [1u, 2u]}, c: {'d': null}}", value!({"a": {"b": [1, 2]}, "c": {"d": null}})),
        ("duration('90s')", value!("90s")),
        ("timestamp('2020-01-01T00:00:00Z')", value!("2020-01-01T00:00:00Z")),
        ("b'abc'", value!("YWJj")),
        // A reader of JSON would take it for another number.
        ("9007199254740993", value!("9007199254740993")),
    ] {
        assert_eq!(value(Value::Null, text), expected, "{text}");
    }
    assert_eq!(evaluate(Value::Null, &[], "{1: 2}").0, Err("a key of a map is not a string".into()));
    assert!(evaluate(Value::Null, &[], "quantity('1')").0.is_err());
}

#[test]
fn variables_are_evaluated_when_they_are_named_and_once() {
    let variables = &[("dear", "[1, 2, 3].all(x, x > 0)"), ("wrong", "object.nothing"), ("sum", "1 + 1")];
    let (named, cost) = evaluate(value!({}), variables, "variables.sum == 2");
    let (again, more) = evaluate(value!({}), variables, "variables.sum == 2 && variables.sum == 2");
    assert_eq!((named, again), (Ok(value!(true)), Ok(value!(true))));
    // What the variable cost counts once: the second time only its name does.
    let (_, plain) = evaluate(value!({}), variables, "2 == 2");
    assert!(cost > plain && more - cost < cost, "{plain} {cost} {more}");
    let (dear, dearer) = evaluate(value!({}), variables, "variables.dear");
    assert!(dear == Ok(value!(true)) && dearer > cost);
    let text = "expression 'variables.wrong' resulted in error: composited variable \"wrong\" fails to evaluate: no such key: nothing";
    assert_eq!(evaluate(value!({}), variables, "variables.wrong").0, Err(text.into()));
    assert_eq!(evaluate(value!({}), variables, "has(variables.sum)").0, Ok(value!(true)));
}

#[test]
fn a_variable_that_does_not_compile_says_so_where_it_is_named() {
    let (outcome, _) = evaluate(value!({}), &[("bad", "object.")], "variables.bad == 1");
    let why = outcome.expect_err("it has no value");
    let start = "expression 'variables.bad == 1' resulted in error: composited variable \"bad\" fails to compile: compilation failed: ERROR:";
    assert!(why.starts_with(start), "{why}");
}

#[test]
fn chains_of_variables_have_an_end() {
    let names: Vec<String> = (0..600).map(|i| format!("v{i}")).collect();
    let texts: Vec<String> =
        (0..600).map(|i| if i == 0 { "1".to_owned() } else { format!("variables.v{} + 1", i - 1) }).collect();
    let variables: Vec<(&str, &str)> =
        names.iter().zip(&texts).map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(evaluate(value!({}), &variables, "variables.v300").0, Ok(value!(301)));
    let far = evaluate(value!({}), &variables, "variables.v599").0.expect_err("that is too far");
    assert!(far.ends_with("too many variables refer to one another"), "{far}");
    // The later of two of one name counts, and it names itself.
    let twice = evaluate(value!({}), &[("a", "1"), ("a", "variables.a + 1")], "variables.a").0;
    assert!(twice.expect_err("it has no end").ends_with("it refers to itself"));
}

#[test]
fn what_one_value_holds_many_times_does_not_grow_without_end() {
    let names: Vec<String> = (0..40).map(|i| format!("v{i}")).collect();
    let texts: Vec<String> = (0..40)
        .map(|i| if i == 0 { "[1]".to_owned() } else { format!("[variables.v{0}, variables.v{0}]", i - 1) })
        .collect();
    let variables: Vec<(&str, &str)> =
        names.iter().zip(&texts).map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(evaluate(value!({}), &variables, "variables.v39").0, Err("it is too large".into()));
}

#[test]
fn a_budget_is_for_all_together() {
    let (variables, expression) = policy(&[("list", "[1, 2, 3]")], "variables.list.all(x, x > 0)");
    let activation = Activation::with(scene(value!({})), &variables);
    let mut remaining = 100;
    assert_eq!(expression.evaluate(&activation, &mut remaining).map(|v| v.is_ok()), Ok(true));
    let spent = 100 - remaining;
    let mut remaining = spent - 1;
    let activation = Activation::with(scene(value!({})), &variables);
    assert_eq!(expression.evaluate(&activation, &mut remaining).map(drop), Err(OutOfBudget));
}

#[test]
fn a_scene_has_what_is_named() {
    let (ask, world) =
        (Ask::create("configmaps", "ConfigMap", value!({"metadata": {"name": "m", "namespace": "ns"}})), World::new());
    let (request, cluster) = (ask.request(), world.cluster());
    let stage = Stage::new(&request, &cluster);
    let seen = crate::matching::Seen {
        resource: ask.resource.clone(),
        version: "v2".into(),
        kind: api::Gvk::new("", "v2", "ConfigMap"),
    };
    let view = View { seen, object: Arc::new(ask.object.clone()), old: Arc::default() };
    let namespace = Arc::new(value!({
        "kind": "Namespace", "metadata": {"name": "ns", "managedFields": [{}]}, "status": {"phase": "Active"}
    }));
    let all = Needs { request: true, authorizer: true, namespace: true };
    let version =
        |scene: &Scene| tree_of(&scene.request).expect("it is a tree").at("resource").str("version").to_owned();
    let scene = stage.scene(&view, all, None, Some(&namespace));
    assert_eq!(version(&scene), "v2");
    let told = tree_of(&scene.namespace).expect("it is a tree");
    assert_eq!(told, value!({"status": {"phase": "Active"}, "metadata": {"name": "ns"}}));
    let conditions = stage.conditions_scene(&view, all, None);
    assert_eq!(version(&conditions), "v1", "conditions see the request as it was made");
    assert!(matches!(conditions.namespace, cel::Value::Null));
    let none = stage.scene(&view, Needs::default(), None, Some(&namespace));
    assert!([&none.request, &none.authorizer, &none.namespace].iter().all(|v| matches!(v, cel::Value::Null)));
}
