//! What places where expressions stand bring along: an authorizer, objects that are made, names that are bound, foreign trees.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use cel::authz::{self, Authorizer, Decision, Question};
use cel::{Budget, Environment, EvalError, Extra, ListLike, MapLike, Mode, Object, Type, TypeProvider, Value, compile};

fn run(environment: &Environment, variables: &[(&str, Value)], text: &str) -> Result<Value, String> {
    let program = compile(environment, text).map_err(|issues| issues.to_string())?.program();
    let variables: BTreeMap<String, Value> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let program = program.map_err(|error| error.message)?;
    program.evaluate(&variables, &mut Budget { limit: 10_000_000, ..Budget::default() }).map_err(|error| error.message)
}

fn truth(environment: &Environment, variables: &[(&str, Value)], text: &str) -> Result<bool, String> {
    run(environment, variables, text).map(|value| value.as_bool() == Some(true))
}

/// Allows what is asked of "web", and remembers the question.
#[derive(Default)]
struct Remembers(Mutex<Vec<Question>>);

impl Authorizer for Remembers {
    fn authorize(&self, question: &Question) -> Decision {
        self.0.lock().expect("nobody panics with it").push(question.clone());
        let error = (question.verb == "fail").then(|| "no".to_owned());
        Decision { allowed: question.name == "web", reason: "by name".to_owned(), error }
    }
}

#[test]
fn the_authorizer_is_asked_what_the_expression_says() {
    let environment = Environment::new(Mode::NewExpressions)
        .variable("authorizer", authz::authorizer_type())
        .variable("authorizer.requestResource", authz::resource_check_type());
    let remembers = Arc::new(Remembers::default());
    let own = Question { resource: "pods".to_owned(), name: "web".to_owned(), ..Question::default() };
    let variables = [
        ("authorizer", authz::authorizer(remembers.clone())),
        ("authorizer.requestResource", authz::resource_check(remembers.clone(), own.clone())),
    ];
    let text = "authorizer.serviceAccount('ns', 'sa').group('apps').resource('deployments').subresource('scale')\
                .namespace('n').name('web').labelSelector('a=b').fieldSelector('c=d').check('get').allowed()";
    assert_eq!(truth(&environment, &variables, text), Ok(true));
    let word = |text: &str| text.to_owned();
    let asked = Question {
        service_account: Some((word("ns"), word("sa"))),
        verb: word("get"),
        path: String::new(),
        group: word("apps"),
        resource: word("deployments"),
        subresource: word("scale"),
        namespace: word("n"),
        name: word("web"),
        field_selector: word("c=d"),
        label_selector: word("a=b"),
    };
    assert_eq!(remembers.0.lock().expect("nobody panics with it").pop(), Some(asked));
    assert_eq!(truth(&environment, &variables, "authorizer.path('/x').check('get').allowed()"), Ok(false));
    assert_eq!(
        truth(&environment, &variables, "authorizer.requestResource.check('get').reason() == 'by name'"),
        Ok(true)
    );
    let last = remembers.0.lock().expect("nobody panics with it").pop();
    assert_eq!(last, Some(Question { verb: word("get"), ..own }));
    let failed = "authorizer.path('/x').check('fail').errored() && authorizer.path('/x').check('fail').error() == 'no'";
    assert_eq!(truth(&environment, &variables, failed), Ok(true));
    let refused = [
        ("authorizer.path(' ')", "path must not be empty"),
        ("authorizer.group('').resource('')", "resource must not be empty"),
        ("authorizer.serviceAccount('ns', 'A')", "Invalid service account name"),
        ("authorizer.serviceAccount('a.b', 'sa')", "Invalid service account namespace"),
    ];
    for (text, message) in refused {
        assert_eq!(run(&environment, &variables, text).err().as_deref(), Some(message), "{text}");
    }
}

#[test]
fn the_authorizer_is_dear() {
    let environment = Environment::new(Mode::NewExpressions).variable("authorizer", authz::authorizer_type());
    let text = "authorizer.path('/x').check('get').allowed()";
    let program = compile(&environment, text).expect("it is right").program().expect("it is constant nowhere");
    let variables: BTreeMap<String, Value> =
        [("authorizer".to_owned(), authz::authorizer(Arc::new(Remembers::default())))].into();
    let mut budget = Budget::default();
    program.evaluate(&variables, &mut budget).expect("it is within the limit");
    assert_eq!(budget.used, 350_003);
}

/// `Object` and what begins with it, as mutating policies make them: fields of any name and type.
struct Anything;

#[derive(Debug)]
struct Made(Arc<str>, Vec<(Arc<str>, Value)>);

impl TypeProvider for Anything {
    fn has_type(&self, name: &str) -> bool {
        name == "Object" || name.starts_with("Object.")
    }

    fn field(&self, _: &str, _: &str) -> Option<Type> {
        Some(Type::Dyn)
    }

    fn construct(&self, name: &str, fields: Vec<(Arc<str>, Value)>) -> Result<Value, EvalError> {
        Ok(Value::object(Made(name.into(), fields)))
    }
}

impl Object for Made {
    fn value_type(&self) -> Type {
        Type::object(&self.0)
    }

    fn equals(&self, _: &Value) -> Result<bool, EvalError> {
        Ok(false)
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

#[test]
fn objects_are_made_by_their_provider() {
    let environment = Environment::new(Mode::NewExpressions).types(Arc::new(Anything));
    let made = run(&environment, &[], "Object{spec: Object.spec{replicas: 3, ?left: optional.none()}, list: [1]}");
    let made = made.expect("it is made");
    let made: &Made = made.downcast().expect("the provider made it");
    assert_eq!(&*made.0, "Object");
    let names: Vec<&str> = made.1.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["spec", "list"]);
    let spec: &Made = made.1[0].1.downcast().expect("the provider made it");
    assert_eq!((&*spec.0, spec.1.len()), ("Object.spec", 1));
    let unknown = run(&environment, &[], "Other{}").expect_err("there is no such type");
    assert!(unknown.starts_with("ERROR: <input>:1:6: undeclared reference to 'Other' (in container '')"), "{unknown}");
}

#[test]
fn extras_are_there_where_they_are_asked_for() {
    let plain = Environment::new(Mode::NewExpressions);
    for text in ["cel.bind(a, 1 + 1, a * a) == 4", "jsonpatch.escapeKey('k8s.io/a~b') == 'k8s.io~1a~0b'"] {
        assert!(truth(&plain, &[], text).is_err(), "{text}");
    }
    let bind = Environment::new(Mode::NewExpressions).with(Extra::Bind);
    assert_eq!(truth(&bind, &[], "cel.bind(a, 1 + 1, a * a) == 4"), Ok(true));
    let unused = "cel.bind(a, 1 / 0, true)";
    assert_eq!(truth(&bind, &[], unused), Ok(true), "what is bound and not read is not evaluated");
    let patch = Environment::new(Mode::StoredExpressions).with(Extra::JsonPatch);
    assert_eq!(truth(&patch, &[], "jsonpatch.escapeKey('k8s.io/a~b') == 'k8s.io~1a~0b'"), Ok(true));
}

/// A list whose order does not matter, and a map whose every value is its key.
#[derive(Debug)]
struct Unordered(Vec<i64>);

#[derive(Debug)]
struct Echo;

impl ListLike for Unordered {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> Result<Value, EvalError> {
        match self.0[index] {
            13 => Err(EvalError::new("invalid data")),
            value => Ok(Value::Int(value)),
        }
    }

    fn equals(&self, other: &Value) -> Option<Result<bool, EvalError>> {
        let Value::List(other) = other else { return Some(Err(EvalError::new("no such overload"))) };
        let has =
            |value: &i64| other.iter().any(|item| item.is_ok_and(|item| item.equals(&Value::Int(*value)) == Ok(true)));
        Some(Ok(self.0.len() == other.len() && self.0.iter().all(has)))
    }
}

impl MapLike for Echo {
    fn len(&self) -> usize {
        1
    }

    fn get(&self, key: &Value) -> Result<Option<Value>, EvalError> {
        Ok(Some(key.clone()))
    }

    fn keys(&self) -> Vec<Value> {
        vec!["only".into()]
    }
}

#[test]
fn foreign_values_are_read_as_they_want() {
    let environment = Environment::new(Mode::NewExpressions)
        .variable("set", Type::list(Type::Int))
        .variable("bad", Type::list(Type::Int))
        .variable("echo", Type::map(Type::String, Type::String));
    let variables = [
        ("set", Value::foreign_list(Unordered(vec![1, 2, 3]))),
        ("bad", Value::foreign_list(Unordered(vec![1, 13]))),
        ("echo", Value::foreign_map(Echo)),
    ];
    let right = [
        "set == [3, 1, 2]",
        "set + [4] == [1, 2, 3, 4]",
        "set.map(e, e * 2) == [2, 4, 6]",
        "3 in set && set[1] == 2 && set.size() == 3",
        "echo.anything == 'anything' && echo['x'] == 'x'",
        "echo.map(k, k) == ['only']",
        "bad.exists(e, e == 1)",
        "has(echo.x) && set.sum() == 6 && sets.contains(set, [2])",
    ];
    for text in right {
        assert_eq!(truth(&environment, &variables, text), Ok(true), "{text}");
    }
    for text in ["bad[1] == 2", "bad.all(e, e > 0)", "bad.map(e, e).size() == 2"] {
        assert_eq!(run(&environment, &variables, text).err().as_deref(), Some("invalid data"), "{text}");
    }
}
