//! What expressions may name, and what they may make.

use super::*;
use crate::environment::Mode;
use crate::value::Value;
use crate::{Budget, EvalError};

const PLACE: Declares = Declares { params: true, authorizer: true, patches: true };

#[test]
fn an_expression_names_what_its_place_declares() {
    let composer = Composer::default();
    let all = Declares { params: true, authorizer: true, patches: false };
    for text in [
        "object.metadata.name == 'a' && request.userInfo.groups.exists(g, g == 'b')",
        "request.kind.group == '' && request.options.dryRun == 'All'",
        "authorizer.requestResource.check('delete').allowed() || params.x == 1",
        "namespaceObject.metadata.labels['a'] == 'b'",
    ] {
        let compiled = composer.compile(text, Mode::NewExpressions, all, Returns::Bool);
        assert!(compiled.is_ok(), "{text}: {:?}", compiled.err().map(|refused| refused.detail));
    }
    for (text, why) in [
        ("params.x", "undeclared reference to 'params'"),
        ("authorizer.group('a')", "undeclared reference to 'authorizer'"),
        ("request.object", "undefined field 'object'"),
    ] {
        let refused = composer.compile(text, Mode::NewExpressions, Declares::default(), Returns::Anything).map(drop);
        let detail = refused.expect_err(text).detail;
        assert!(detail.contains(why), "{detail}");
    }
}

fn refused(composer: &Composer, text: &str, returns: Returns) -> String {
    composer.compile(text, Mode::NewExpressions, PLACE, returns).map(drop).expect_err(text).detail
}

fn value(composer: &Composer, text: &str) -> Result<Value, EvalError> {
    let compiled = composer.compile(text, Mode::NewExpressions, PLACE, Returns::Anything);
    let program = compiled.map_err(|refused| refused.detail).expect(text).program;
    program.evaluate(&(), &mut Budget::default())
}

#[test]
fn variables_may_be_named_after_they_were_declared() {
    let composer = Composer::new();
    let declare = |name: &str, text: &str| composer.variable(name, text, Mode::NewExpressions, PLACE).map(drop);
    let early = refused(&composer, "variables.list == []", Returns::Bool);
    assert!(early.contains("undefined field 'list'"), "{early}");
    for (name, text) in [("list", "[1, 2]"), ("quantity", "quantity('1')"), ("wrong", "object.")] {
        assert_eq!(declare(name, text).is_err(), name == "wrong", "{name}");
    }
    let typed = |text: &str| {
        let compiled = composer.compile(text, Mode::NewExpressions, PLACE, Returns::Anything);
        compiled.map_err(|refused| refused.detail).expect(text).expression.result_type().clone()
    };
    assert_eq!(typed("variables.list"), Type::list(Type::Int));
    // Of what is neither plain, list nor map, and of what was refused, nothing is known.
    assert_eq!((typed("variables.quantity"), typed("variables.wrong")), (Type::Dyn, Type::Dyn));
    let without = Composer::without_variables();
    assert!(refused(&without, "variables.x", Returns::Bool).contains("undeclared reference to 'variables'"));
}

#[test]
fn what_an_expression_comes_to_is_said_by_its_place() {
    let composer = Composer::new();
    for (text, returns, why) in [
        ("'a'", Returns::Bool, "must evaluate to bool but got string"),
        (
            "timestamp('2020-01-01T00:00:00Z')",
            Returns::Text,
            "must evaluate to string but got google.protobuf.Timestamp",
        ),
        ("1", Returns::TextOrNull, "must evaluate to one of [string null_type] but got int"),
        ("Object.spec{}", Returns::Configuration, "must evaluate to Object but got Object.spec"),
        ("[1]", Returns::Patches, "must evaluate to list(JSONPatch) but got list(int)"),
    ] {
        assert_eq!(refused(&composer, text, returns), why);
    }
    let plain = Declares { patches: false, ..PLACE };
    let unknown = composer.compile("Object{}", Mode::NewExpressions, plain, Returns::Anything);
    assert!(
        unknown.map(drop).expect_err("there are no patches here").detail.contains("undeclared reference to 'Object'")
    );
}

#[test]
fn objects_are_made_member_by_member() {
    let composer = Composer::new();
    let made = value(&composer, "Object{spec: Object.spec{a: 1, ?b: optional.none()}}").expect("it has a value");
    let made = made.downcast::<Made>().expect("it is an object");
    let spec = made.fields[0].1.downcast::<Made>().expect("so is its spec");
    assert_eq!((&*made.name, &*spec.name, spec.fields.len()), ("Object", "Object.spec", 1));
    assert_eq!(made.misnamed(), Vec::<String>::new());
    let wrong = value(&composer, "Object{spec: [Object.status{x: Object.spec.y{}}]}").expect("it has a value");
    let text = |found: &str, expected: &str| {
        format!(
            "unexpected type name \"{found}\", expected \"{expected}\", which matches field name path from root Object type"
        )
    };
    assert_eq!(
        wrong.downcast::<Made>().expect("it is an object").misnamed(),
        [text("Object.status", "Object.spec"), text("Object.spec.y", "Object.spec.x")]
    );
    for (text, holds) in [
        ("Object{a: 1} == Object{a: 1}", true),
        ("Object{a: 1} == Object{a: 2}", false),
        ("dyn(Object{}) == dyn(Object.a{})", false),
        ("optional.ofNonZeroValue(Object{}).hasValue()", false),
    ] {
        assert_eq!(value(&composer, text).ok().and_then(|v| v.as_bool()), Some(holds), "{text}");
    }
}

#[test]
fn patches_are_made_of_texts_and_a_value() {
    let composer = Composer::new();
    let patch = value(&composer, "JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('b/c'), value: {'x': 1}}");
    let patch = patch.expect("it has a value");
    let patch = patch.downcast::<JsonPatch>().expect("it is a patch");
    assert_eq!((patch.op.as_str(), patch.path.as_str(), patch.from.as_str()), ("add", "/a/b~1c", ""));
    assert!(matches!(&patch.value, Some(Value::Map(map)) if map.len() == 1));
    let same = value(&composer, "JSONPatch{op: 'add'}.op == 'add' && !has(JSONPatch{}.value)");
    assert_eq!(same.ok().and_then(|v| v.as_bool()), Some(true));
    assert!(refused(&composer, "JSONPatch{op: 1}", Returns::Anything).contains("expected type of field 'op'"));
    let unknown = refused(&composer, "JSONPatch{what: 1}", Returns::Anything);
    assert!(unknown.contains("expected type of field 'what' is '' but provided type is 'int'"), "{unknown}");
}
