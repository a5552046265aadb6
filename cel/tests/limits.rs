//! Nesting: what upstream takes is taken on a small stack, what it refuses is refused in its words, and nothing overflows.

use std::collections::BTreeMap;
use std::thread;

use cel::{Budget, Environment, ErrorKind, Mode, Type, Value, compile};

/// What a worker of the server has.
const STACK: usize = 2 << 20;

/// The issues of an expression, or its value or error.
fn outcome(text: &str) -> Result<Result<Value, String>, String> {
    let environment = Environment::new(Mode::NewExpressions).variable("l", Type::list(Type::Int));
    let environment = environment.variable("x", Type::Dyn).variable("b", Type::Bool);
    let program = compile(&environment, text).map_err(|issues| issues.to_string())?.program();
    let variables: BTreeMap<String, Value> =
        [("l".to_owned(), Value::list(vec![1i64.into()])), ("b".to_owned(), true.into())].into();
    let program = match program {
        Ok(program) => program,
        Err(error) => return Ok(Err(error.message)),
    };
    Ok(program.evaluate(&variables, &mut Budget::default()).map_err(|error| error.message))
}

fn on_small_stack(text: String) -> Result<Result<Value, String>, String> {
    let run = thread::Builder::new().stack_size(STACK).spawn(move || outcome(&text));
    run.expect("a thread starts").join().expect("it ends without a fault")
}

fn nested(before: &str, inner: &str, after: &str, depth: usize) -> String {
    format!("{}{inner}{}", before.repeat(depth), after.repeat(depth))
}

/// A form, how deep it may be, and what is said beyond.
const FORMS: &[(&str, &str, &str, usize, &str)] = &[
    ("(", "1", ")", 249, "expression recursion limit exceeded: 250"),
    ("[", "1", "]", 249, "expression recursion limit exceeded: 250"),
    ("{'a': ", "1", "}", 249, "expression recursion limit exceeded: 250"),
    ("1 + (", "1", ")", 124, "expression recursion limit exceeded: 250"),
    ("1 + 1 * (", "1", ")", 83, "expression recursion limit exceeded: 250"),
    ("!(", "b", ")", 249, "expression recursion limit exceeded: 250"),
    ("dyn(", "1", ")", 249, "expression recursion limit exceeded: 250"),
    ("b ? 1 : ", "1", "", 249, "expression recursion limit exceeded: 250"),
    ("l.map(e, ", "1", ")", 249, "expression recursion limit exceeded: 250"),
    ("", "x", ".a", 250, "max recursion depth exceeded"),
    ("", "1", " + 1", 250, "max recursion depth exceeded"),
    ("", "l", ".map(e, e)", 250, "max recursion depth exceeded"),
    ("", "l", "[0]", 250, "max recursion depth exceeded"),
];

#[test]
fn what_upstream_takes_fits_on_a_small_stack() {
    for (before, inner, after, depth, _) in FORMS {
        let said = on_small_stack(nested(before, inner, after, *depth));
        let refused = said.as_ref().err().is_some_and(|issues| issues.contains("recursion"));
        assert!(!refused, "{before}{inner}{after} {depth} times: {said:?}");
    }
}

#[test]
fn what_is_deeper_is_refused() {
    for (before, inner, after, depth, message) in FORMS {
        let expected = format!("ERROR: <input>:-1:0: {message}");
        for depth in [depth + 1, 5000] {
            let said = on_small_stack(nested(before, inner, after, depth));
            assert_eq!(said.err(), Some(expected.clone()), "{before}{inner}{after} {depth} times");
        }
    }
}

#[test]
fn a_megabyte_of_parentheses_is_an_error() {
    let said = on_small_stack("(".repeat(1 << 20)).err();
    let expected = "ERROR: <input>:-1:0: expression code point size exceeds limit: size: 1048576, limit 100000";
    assert_eq!(said.as_deref(), Some(expected));
    for text in ["(", ")", "[", "{", "!", "-", "a.", "a[", "1 ", "'", "`", "#", "?", "a?", ","] {
        let broken = text.repeat(99_000 / text.len());
        assert!(on_small_stack(broken).is_err(), "{text}");
    }
}

#[test]
fn what_costs_too_much_or_is_interrupted_ends() {
    let environment = Environment::new(Mode::NewExpressions);
    let dear = "lists.range(1000).map(a, lists.range(1000).map(b, a * b)).size() > 0 || true";
    let program = compile(&environment, dear).expect("it is right").program().expect("it is constant nowhere");
    let mut budget = Budget::default();
    let error = program.evaluate(&(), &mut budget).expect_err("it is too dear");
    assert_eq!(error.message, "operation cancelled: actual cost limit exceeded");
    assert_eq!(error.kind, ErrorKind::CostLimit);
    assert!(budget.used > Budget::PER_CALL && budget.used < Budget::PER_CALL + 1000, "{}", budget.used);
    let stop = || true;
    let mut budget = Budget { interrupt: Some(&stop), ..Budget::default() };
    let error = program.evaluate(&(), &mut budget).expect_err("it is interrupted");
    assert_eq!((error.message.as_str(), error.kind), ("operation interrupted", ErrorKind::Interrupted));
}
