//! YAML against the answers of sigs.k8s.io/yaml.

use api::{Value, value};

use super::*;

fn read(text: &str) -> Value {
    any(text.as_bytes()).unwrap_or_else(|error| Value::from(error.to_string()))
}

#[test]
fn members_are_sorted_at_every_depth() {
    let value = value!({"kind": "X", "apiVersion": "v1", "spec": [{"b": 1, "a": {"d": 1, "c": 2}}]});
    assert_eq!(to_string(&value), "apiVersion: v1\nkind: X\nspec:\n- a:\n    c: 2\n    d: 1\n  b: 1\n");
    assert_eq!(codec_json(&read("b: 1\na: {d: 1, c: 2}")), r#"{"a":{"c":2,"d":1},"b":1}"#);
}

fn codec_json(value: &Value) -> String {
    crate::json::to_string(value)
}

/// Answers of sigs.k8s.io/yaml v1.6.0, `YAMLToJSON`.
#[test]
fn what_is_not_quoted_means_what_yaml_1_1_says() {
    let cases = [
        ("yes", "true"),
        ("'yes'", r#""yes""#),
        ("\"n\"", r#""n""#),
        ("n", "false"),
        ("Off", "false"),
        ("[y, N, on, NO, nO]", r#"[true,false,true,false,"nO"]"#),
        ("~", "null"),
        ("", "null"),
        ("'null'", r#""null""#),
        ("0x1F", "31"),
        ("0o17", "15"),
        ("017", "15"),
        ("08", "8"),
        ("1_000", "1000"),
        ("0b101", "5"),
        ("-0b101", "-5"),
        ("+1", "1"),
        ("1.0", "1"),
        ("1.5e3", "1500"),
        (".5", "0.5"),
        ("1e400", r#""1e400""#),
        ("2026-01-02", r#""2026-01-02""#),
        ("12:30:45", r#""12:30:45""#),
        ("!!str yes", r#""yes""#),
        ("!!str 12", r#""12""#),
        ("!!float 1", "1"),
        ("!!binary aGFsbG8=", r#""hallo""#),
        ("!other 12", r#""12""#),
        ("! 12", r#""12""#),
        ("{1: a, true: b, 1.5: c}", r#"{"1":"a","1.5":"c","true":"b"}"#),
        ("a: &x {b: 1}\nc: *x", r#"{"a":{"b":1},"c":{"b":1}}"#),
        ("a: &x {b: 1, d: 2}\nc: {<<: *x, b: 3}", r#"{"a":{"b":1,"d":2},"c":{"b":3,"d":2}}"#),
        ("a: &x {b: 1}\nc: {b: 3, <<: *x}", r#"{"a":{"b":1},"c":{"b":1}}"#),
        ("a: 1\na: 2", r#"{"a":2}"#),
        ("a: 1\n---\nb: 2", r#"{"a":1}"#),
        ("a: |\n  x\n  y\n", r#"{"a":"x\ny\n"}"#),
    ];
    for (text, wanted) in cases {
        assert_eq!(codec_json(&read(text)), wanted, "{text}");
    }
}

/// Errors of sigs.k8s.io/yaml v1.6.0, `YAMLToJSON`.
#[test]
fn errors_are_upstreams() {
    let cases = [
        ("a: [", "yaml: line 1: did not find expected node content"),
        ("a: b: c", "yaml: mapping values are not allowed in this context"),
        ("a: *x", "yaml: unknown anchor 'x' referenced"),
        ("a: \"x", "yaml: found unexpected end of stream"),
        ("\u{0}", "yaml: control characters are not allowed"),
        ("- a\nb: 1", "yaml: line 1: did not find expected '-' indicator"),
        ("a: &x [*x]", "yaml: anchor 'x' value contains itself"),
        ("a: 1\n\tb: 2", "yaml: line 2: found a tab character that violates indentation"),
        ("a: {<<: 1}", "yaml: map merge requires map or sequence of maps as the value"),
        ("[a]: 1", "yaml: invalid map key: []interface {}{\"a\"}"),
        ("{a}: 1", "yaml: invalid map key: map[interface {}]interface {}{\"a\":interface {}(nil)}"),
        ("~: 1", "unsupported map key of type: %!s(<nil>), key: <nil>, value: 1"),
        ("!!int x", "yaml: cannot decode !!str `x` as a !!int"),
        (".nan", "json: unsupported value: NaN"),
    ];
    for (text, wanted) in cases {
        assert_eq!(read(text).as_str(), Some(wanted), "{text}");
    }
}

#[test]
fn a_key_that_is_there_twice_is_told_to_the_strict() {
    let said = duplicates(b"a: 1\nb: {c: 1, c: 2}\na: 3\n").expect("it can be read");
    let wanted =
        "yaml: unmarshal errors:\n  line 2: key \"c\" already set in map\n  line 3: key \"a\" already set in map";
    assert_eq!(said.as_deref(), Some(wanted));
    assert_eq!(duplicates(b"a: 1").expect("it can be read"), None);
}

#[test]
fn what_is_written_reads_as_it_was() {
    let texts = [
        "yes",
        "n",
        "",
        "~",
        "12",
        "1e3",
        "0x1",
        "a: b",
        "- a",
        "#x",
        "a\nb",
        " a",
        "a ",
        "\t",
        "2026-01-02",
        "1:30",
        "é",
        "\u{0}",
        "{",
        "*a",
        "&a",
        "<<",
        "null",
        ".5",
        "'",
        "\"",
        "|",
        "a #b",
        "@x",
        "%x",
        "!x",
        "\u{feff}",
    ];
    for text in texts {
        let value = value!({"a": text, "b": [text]});
        let written = to_string(&value);
        assert_eq!(any(written.as_bytes()).ok(), Some(value), "{written}");
    }
    assert_eq!(
        to_string(&value!({"a": "yes", "b": true, "c": [], "d": {}, "e": null})),
        "a: \"yes\"\nb: true\nc: []\nd: {}\ne: null\n"
    );
}

#[test]
fn cve_2019_11253_cve_2019_11254_bombs_are_refused() {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for i in 1..9 {
        let before = format!("*a{}", i - 1);
        text += &format!("a{i}: &a{i} [{}]\n", vec![before; 10].join(","));
    }
    assert_eq!(read(&text).as_str(), Some("yaml: document contains excessive aliasing"));
    let deep = "[".repeat(100_000);
    assert_eq!(read(&deep).as_str(), Some("yaml: exceeded max depth of 10000"));
    assert_eq!(read(&format!("a:\n{deep}")).as_str(), Some("yaml: line 2: exceeded max depth of 10000"));
    let indents: String = (0..2000).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    assert!(read(&indents).as_str().is_some_and(|error| error.ends_with("exceeded max depth of 10000")));
}

/// What go-yaml v3.0.4 makes of nodes that came out of JSON, as gnostic v0.7.0 has it written.
#[test]
fn members_in_order_are_written_as_gnostic_does() {
    let cases = [
        (r#""word""#, "word\n"),
        (r#""""#, "\"\"\n"),
        (r#""two words""#, "two words\n"),
        (r#""yes""#, "yes\n"),
        (r#""n""#, "n\n"),
        (r#""true""#, "\"true\"\n"),
        (r#""null""#, "\"null\"\n"),
        (r#""12""#, "\"12\"\n"),
        (r#""0x1F""#, "\"0x1F\"\n"),
        (r#""1.5""#, "\"1.5\"\n"),
        (r#""1e3""#, "\"1e3\"\n"),
        (r#""2026-01-02""#, "\"2026-01-02\"\n"),
        (r#""12:30:45""#, "12:30:45\n"),
        (r#""<<""#, "<<\n"),
        (r#""~""#, "\"~\"\n"),
        (r#""a: b""#, "'a: b'\n"),
        (r#""a #b""#, "'a #b'\n"),
        (r#""- a""#, "'- a'\n"),
        (r#""-a""#, "-a\n"),
        (r#""*a""#, "'*a'\n"),
        (r#"" a""#, "' a'\n"),
        (r#""a ""#, "'a '\n"),
        (r#""a\nb""#, "|-\n    a\n    b\n"),
        (r#""a\nb\n""#, "|\n    a\n    b\n"),
        (r#""a\n\nb\n\n""#, "|+\n    a\n\n    b\n\n"),
        (r#"" a\nb""#, "|4-\n     a\n    b\n"),
        (r#""a \nb""#, "\"a \\nb\"\n"),
        (r#""a\tb""#, "\"a\\tb\"\n"),
        (r#""it's""#, "it's\n"),
        (r#""\"it\"""#, "'\"it\"'\n"),
        (r#""ü""#, "ü\n"),
        (r#""\u0001""#, "\"\\x01\"\n"),
        (r#""!x""#, "'!x'\n"),
        (r#""x!""#, "x!\n"),
        (r#""?""#, "'?'\n"),
        (r#""self.all(x, x.name != '')""#, "self.all(x, x.name != '')\n"),
        (r#""!has(self.a) || self.a == oldSelf.a""#, "'!has(self.a) || self.a == oldSelf.a'\n"),
        (
            r#""a very long text that goes on and on and on, well beyond the eighty columns at which others would break a line""#,
            "a very long text that goes on and on and on, well beyond the eighty columns at which others would break a line\n",
        ),
        ("true", "true\n"),
        ("null", "null\n"),
        ("5", "5\n"),
        ("-1", "-1\n"),
        ("1.5", "1.5\n"),
        ("1e+21", "1e+21\n"),
        ("[]", "[]\n"),
        ("{}", "{}\n"),
        (r#"["a","b"]"#, "- a\n- b\n"),
        (r#"[["a"],["b","c"]]"#, "- - a\n- - b\n  - c\n"),
        (r#"[{"group":"","kind":"Pod","version":"v1"}]"#, "- group: \"\"\n  kind: Pod\n  version: v1\n"),
        (r#"{"a":{"b":{"c":1}}}"#, "a:\n    b:\n        c: 1\n"),
        (r#"{"a":["x",{"b":"y","c":["z"]}]}"#, "a:\n    - x\n    - b: y\n      c:\n        - z\n"),
        (r#"[{"a":["x"],"b":{"c":"d"}}]"#, "- a:\n    - x\n  b:\n    c: d\n"),
        (
            r#"[{"discriminator":"type","fields-to-discriminateBy":{"a":"A","b":"B"}}]"#,
            "- discriminator: type\n  fields-to-discriminateBy:\n    a: A\n    b: B\n",
        ),
        (r#"[{"message":"one\ntwo","rule":"self"}]"#, "- message: |-\n    one\n    two\n  rule: self\n"),
        (r#"[["a\nb"],"c\nd"]"#, "- - |-\n    a\n    b\n- |-\n  c\n  d\n"),
        (r#"{"a":"b\nc","d":[]}"#, "a: |-\n    b\n    c\nd: []\n"),
        (r#"{"b":1,"a":{}}"#, "b: 1\na: {}\n"),
        ("[[],{}]", "- []\n- {}\n"),
        (r#"[[["deep"]]]"#, "- - - deep\n"),
    ];
    for (text, wanted) in cases {
        let value = crate::json::any(text.as_bytes()).expect("the cases are JSON").value;
        assert_eq!(in_order(&value), wanted, "{text}");
    }
}
