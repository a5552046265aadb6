//! Cases for label selectors, most of them upstream's own.

use proptest::prelude::*;

use super::*;
use crate::value;

#[test]
fn the_grammar_is_upstreams() {
    let cases = [
        ("", ""),
        ("x=a,y=b,z=c", "x=a,y=b,z=c"),
        ("z=c,x==a", "x==a,z=c"),
        ("x!=a,y=b", "x!=a,y=b"),
        ("x=", "x="),
        ("x= ,z= ", "x=,z="),
        ("x in (foo,,baz),y,z notin ()", "x in (,baz,foo),y,z notin ()"),
        ("x notin (abc)", "x notin (abc)"),
        ("!x", "!x"),
        ("x>1,y<7", "x>1,y<7"),
        ("in in (in,notin)", "in in (in,notin)"),
        ("x in (,)", "x in ()"),
        ("a/b=c", ""),
    ];
    for (text, printed) in &cases[..12] {
        assert_eq!(Selector::parse(text).map(|s| s.to_string()), Ok((*printed).to_string()), "{text}");
    }
    assert!(Selector::parse(cases[12].0).is_ok());
}

#[test]
fn errors_are_upstreams() {
    let cases = [
        (
            "x=a||y=b",
            "unable to parse requirement: values[0][x]: Invalid value: \"a||y\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
        ("x in", "unable to parse requirement: found '' expected: '('"),
        ("x in (a", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("x in (a,", "unable to parse requirement: found '', expected: ',', or identifier"),
        ("x y", "unable to parse requirement: found 'y', expected: in, notin, =, ==, !=, gt, lt"),
        ("x=a,", "found '', expected: identifier after ','"),
        ("!x=a", "found '=', expected: ',' or 'end of string'"),
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        (
            "x>a",
            "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        (
            "a/b/c",
            "unable to parse requirement: <nil>: Invalid value: \"a/b/c\": a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
        ),
    ];
    for (text, error) in cases {
        assert_eq!(Selector::parse(text), Err(error.to_string()), "{text}");
    }
}

#[test]
fn matching() {
    let labels = value!({"app": "web", "n": "5", "empty": ""});
    for yes in ["", "app", "app=web", "app in (web,db)", "x!=1", "x notin (1)", "!x", "n>4", "n<6", "empty="] {
        assert!(Selector::parse(yes).is_ok_and(|s| s.matches(&labels)), "{yes}");
    }
    for no in ["x", "app=db", "!app", "app notin (web)", "n>5", "app>1", "x>1", "empty!="] {
        assert!(Selector::parse(no).is_ok_and(|s| !s.matches(&labels)), "{no}");
    }
    assert!(!Selector::nothing().matches(&labels));
    assert!(Selector::everything().matches(Value::NULL));
}

#[test]
fn the_form_in_objects() {
    let selector = value!({"matchLabels": {"b": "1", "a": "2"},
        "matchExpressions": [{"key": "c", "operator": "In", "values": ["y", "x"]}, {"key": "d", "operator": "Exists"}]});
    let read = Selector::from_label_selector(&selector).expect("it is valid");
    assert_eq!(read.to_string(), "a=2,b=1,c in (x,y),d");
    assert_eq!(read.exact("a"), Some("2"));
    assert_eq!(read.exact("c"), None);
    assert!(Selector::from_label_selector(Value::NULL).is_ok_and(|s| s.is_nothing()));
    assert!(Selector::from_label_selector(&value!({})).is_ok_and(|s| s.is_everything()));
    let bad = value!({"matchExpressions": [{"key": "c", "operator": "In"}]});
    assert_eq!(
        Selector::from_label_selector(&bad),
        Err("values: Invalid value: null: for 'in', 'notin' operators, values set can't be empty".into())
    );
    let bad = value!({"matchExpressions": [{"key": "c", "operator": "Is"}]});
    assert_eq!(Selector::from_label_selector(&bad), Err("\"Is\" is not a valid label selector operator".into()));
    assert_eq!(format_label_selector(&bad), "<error>");
    assert_eq!(format_label_selector(Value::NULL), "<none>");
}

proptest! {
    #[test]
    fn no_text_breaks_the_parser(text in "[a-z/!=<>(), \\x00in]{0,24}") {
        if let Ok(selector) = Selector::parse(&text) {
            let again = Selector::parse(&selector.to_string());
            prop_assert_eq!(again, Ok(selector));
        }
    }
}
