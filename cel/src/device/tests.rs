//! What a selector may say, and what it costs at most. Upstream's own cases are `resources`' `selectors.jsonl`.

use super::*;

fn cost(text: &str) -> u64 {
    compile(text, Mode::NewExpressions).map_err(|refused| refused.detail).expect(text).cost_max
}

fn refused(text: &str, mode: Mode) -> String {
    compile(text, mode).map(drop).expect_err(text).detail
}

/// The costs are those of upstream's compile_test.go.
#[test]
fn a_selector_costs_what_a_device_may_be_at_most() {
    let name = "device.attributes['dra.example.com'].name";
    let memory = "device.capacity['dra.example.com'].memory";
    for (text, most) in [
        (format!("{name} > 0"), 5),
        (format!("{name} == 'fish'"), 5),
        (format!("{name}.isGreaterThan(semver('0.0.1'))"), 6),
        (format!("{name}.isGreaterThan(semver('v0.0.1', true)) && isSemver('v1.0.0', true)"), 7),
        (format!("{memory}.isGreaterThan(quantity('1Ki'))"), 6),
        ("device.attributes.exists_one(x, x == 'dra.example.com')".to_owned(), 164),
        ("device.attributes['dra.example.com'].exists_one(x, x == 'services')".to_owned(), 133),
        ("device.attributes['dra.example.com'].services.split('example').size() >= 2".to_owned(), 19),
        ("device.attributes['dra.example.com'].services.matches('[^a]?sym')".to_owned(), 18),
        ("device.capacity.exists_one(x, x == 'dra.example.com')".to_owned(), 164),
        ("device.capacity['dra.example.com'].exists_one(x, x == 'memory')".to_owned(), 133),
        ("device.allowMultipleAllocations == true".to_owned(), 3),
    ] {
        assert_eq!(cost(&text), most, "{text}");
    }
}

#[test]
fn a_walk_within_walks_is_too_dear() {
    let ten = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]";
    let walks = (0..7).fold("true".to_owned(), |inner, depth| format!("{ten}.all(x{depth}, {inner})"));
    assert!(cost(&walks) > SELECTOR_COST_MAX);
}

#[test]
fn lists_are_for_what_is_stored() {
    let text = "device.attributes['dra.example.com'].ids.exists(id, id == 1)";
    let words = "expression of type 'any' cannot be range of a comprehension";
    assert!(refused(text, Mode::NewExpressions).contains(words));
    assert!(compile(text, Mode::StoredExpressions).is_ok());
    let text = "device.attributes['dra.example.com'].attr.includes('fish')";
    assert!(refused(text, Mode::NewExpressions).contains("undeclared reference to 'includes'"));
    let selector = compile(text, Mode::StoredExpressions).map_err(|refused| refused.detail).expect(text);
    assert_eq!(selector.cost_max, 68);
}

#[test]
fn a_selector_comes_to_a_bool_or_to_what_may_be_one() {
    for mode in [Mode::NewExpressions, Mode::StoredExpressions] {
        assert!(compile("device.attributes['a'].b", mode).is_ok());
        assert_eq!(refused("device.driver", mode), "must evaluate to bool or the unknown type, not string");
    }
    assert_eq!(
        refused("device.attributes", Mode::NewExpressions),
        "must evaluate to bool or the unknown type, not map(string, map(string, google.protobuf.Any))"
    );
    assert_eq!(refused("dyn(true)", Mode::NewExpressions), "must evaluate to bool or the unknown type, not dyn");
}
