//! Definitions, as upstream judges them. Places are those of upstream's internal form.

use super::*;
use crate::testing::{context, texts};

fn a_definition(schema: Value) -> Value {
    let mut definition = value!({
        "metadata": {"name": "foos.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "foos", "kind": "Foo"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]
        }
    });
    default(&mut definition);
    prepare_create(&mut definition, &context());
    definition
}

fn wrong(schema: Value) -> Vec<String> {
    texts(&validate(&a_definition(schema), &context()))
}

#[test]
fn a_plain_definition_is_right() {
    let schema = value!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"size": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}}}
    }});
    assert_eq!(wrong(schema.clone()), Vec::<String>::new());
    let definition = a_definition(schema);
    assert_eq!(definition.at("spec").at("names").str("listKind"), "FooList");
    assert_eq!(served(&definition), "v1(storage)".into());
    assert!(validate_update(&definition, &definition, &context()).is_empty());
}

#[test]
fn schemas_are_structural() {
    let schema = value!({"type": "object", "properties": {
        "a": {"type": "array"},
        "b": {"description": "no type"}
    }, "anyOf": [{"properties": {"x": {"type": "string"}}}]});
    let at = "spec.validation.openAPIV3Schema";
    assert_eq!(
        wrong(schema),
        [
            format!("{at}.anyOf[0].properties[x].type: Forbidden: must be empty to be structural"),
            format!("{at}.properties[a].items: Required value: must be specified"),
            format!("{at}.properties[b].type: Required value: must not be empty for specified object fields"),
            format!("{at}.properties[x]: Required value: because it is defined in {at}.anyOf[0].properties[x]"),
        ]
    );
}

#[test]
fn lists_say_how_they_merge() {
    let schema = value!({"type": "object", "properties": {
        "a": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
              "items": {"type": "object", "properties": {"k": {"type": "string"}}}},
        "b": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}},
        "c": {"type": "string", "x-kubernetes-list-type": "heap"}
    }});
    let at = "spec.validation.openAPIV3Schema.properties";
    assert_eq!(
        wrong(schema),
        [
            format!(
                "{at}[a].items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            ),
            format!(
                "{at}[b].items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set"
            ),
            format!("{at}[c].type: Invalid value: \"string\": must be array if x-kubernetes-list-type is specified"),
            format!(
                "{at}[c].x-kubernetes-list-type: Unsupported value: \"heap\": supported values: \"atomic\", \"set\", \"map\""
            ),
        ]
    );
}

#[test]
fn names_and_versions_fit() {
    let mut definition = a_definition(value!({"type": "object"}));
    definition.set_path(&["metadata", "name"], "bars.example.com");
    definition.set_path(&["spec", "names", "listKind"], "Foo");
    definition.entry_path(&["spec", "versions"]).make_array()[0].set("storage", false);
    let found = texts(&validate(&definition, &context()));
    let wrong = DEFINITION.wrong_name(&definition, "bars.example.com", false);
    assert_eq!(wrong, ["must be spec.names.plural+\".\"+spec.group"]);
    assert!(found[0].ends_with("must have exactly one version marked as storage version"));
    assert_eq!(found[1], "spec.names.listKind: Invalid value: \"Foo\": kind and listKind may not be the same");
    assert_eq!(found.len(), 2);
}

#[test]
fn the_first_version_is_judged_in_both_its_places() {
    let mut definition = a_definition(value!({"type": "object"}));
    definition.entry_path(&["spec", "versions"]).make_array()[0].set("name", "V_1");
    let found = texts(&validate(&definition, &context()));
    let at = |text: &String| text.split(':').next().unwrap_or("").to_owned();
    let places: Vec<String> = found.iter().map(at).collect();
    assert_eq!(
        places,
        ["spec.versions[0].name", "spec.version", "status.storedVersions", "status.storedVersions[0]"],
        "{found:?}"
    );
    for (versions, shown) in [(value!([]), "[]"), (Value::Null, "null")] {
        definition.set_path(&["spec", "versions"], versions);
        let found = texts(&validate(&definition, &context()));
        let wanted =
            format!("spec.versions: Invalid value: {shown}: must have exactly one version marked as storage version");
        assert!(found.contains(&wanted), "{found:?}");
    }
}

#[test]
fn an_established_name_stays() {
    let mut old = a_definition(value!({"type": "object"}));
    old.set_path(&["status", "conditions"], value!([{"type": "Established", "status": "True"}]));
    let mut new = old.clone();
    new.set_path(&["spec", "scope"], "Cluster");
    assert_eq!(
        texts(&validate_update(&new, &old, &context())),
        ["spec.scope: Invalid value: \"Cluster\": field is immutable"]
    );
}

#[test]
fn groups_of_kubernetes_are_approved() {
    let mut definition = a_definition(value!({"type": "object"}));
    definition.set_path(&["spec", "group"], "example.k8s.io");
    definition.set_path(&["metadata", "name"], "foos.example.k8s.io");
    assert_eq!(
        texts(&validate(&definition, &context())),
        [
            "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111"
        ]
    );
    definition.set_path(&["metadata", "annotations", APPROVED], "unapproved, experimental");
    assert!(validate(&definition, &context()).is_empty());
}

#[test]
fn conversion_needs_a_webhook_that_is_understood() {
    let mut definition = a_definition(value!({"type": "object"}));
    let client = value!({"url": "https://a", "service": {"name": "a", "namespace": "b", "port": 443}});
    let webhook = value!({"clientConfig": client, "conversionReviewVersions": ["v7"]});
    definition.set_path(&["spec", "conversion"], value!({"strategy": "Webhook", "webhook": webhook}));
    assert_eq!(
        texts(&validate(&definition, &context())),
        [
            "spec.conversion.webhookClientConfig: Required value: exactly one of url or service is required",
            "spec.conversion.conversionReviewVersions: Invalid value: [\"v7\"]: must include at least one of v1, v1beta1",
        ]
    );
}

#[test]
fn selectable_fields_are_scalars_of_the_schema() {
    let schema =
        value!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}}});
    let mut definition = a_definition(schema);
    let fields = value!([{"jsonPath": ".spec.a"}, {"jsonPath": ".spec"}, {"jsonPath": ".spec.b"}]);
    definition.entry_path(&["spec", "versions"]).make_array()[0].set("selectableFields", fields);
    assert_eq!(
        texts(&validate(&definition, &context())),
        [
            "spec.selectableFields[1].jsonPath: Invalid value: \".spec\": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
            "spec.selectableFields[2].jsonPath: Invalid value: \".spec.b\": is an invalid path: does not refer to a valid field",
        ]
    );
}

#[test]
fn rules_and_formats_that_say_nothing_are_named() {
    let schema = value!({"type": "object", "x-kubernetes-validations": [{"rule": " "}], "properties": {"a": {"type": "string", "format": "poem"}}});
    let definition = a_definition(schema.clone());
    assert_eq!(warn(&definition, None), ["unrecognized format \"poem\""]);
    assert!(warn(&definition, Some(&definition)).is_empty());
    assert_eq!(
        wrong(schema),
        ["spec.validation.openAPIV3Schema.x-kubernetes-validations[0].rule: Required value: rule is not specified"]
    );
}

#[test]
fn rules_are_compiled_and_costed() {
    let rule = |rule: &str| value!({"rule": rule});
    let schema = value!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "a": {"type": "integer", "x-kubernetes-validations": [(rule("self > 0")), (rule("self == 'x'")), (rule("self + 1"))]},
        "b": {"type": "array", "items": {"type": "string", "x-kubernetes-validations": [(rule("self == oldSelf"))]}},
        "c": {"type": "array", "items": {"type": "string"}, "x-kubernetes-validations": [
            (rule("self.all(x, self.exists(y, x == y))"))
        ]}
    }}}});
    let at = "spec.validation.openAPIV3Schema.properties[spec].properties";
    let shown = r#"{"Rule":"self + 1","Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null}"#;
    let found = wrong(schema.clone());
    assert_eq!(found.len(), 8, "{found:?}");
    assert!(
        found[0].starts_with(&format!("{at}[a].x-kubernetes-validations[1].rule: Invalid value: {{\"Rule\":")),
        "{}",
        found[0]
    );
    assert!(found[0].contains(
        "compilation failed: ERROR: <input>:1:6: found no matching overload for '_==_' applied to '(int, string)'"
    ));
    assert_eq!(
        found[1],
        format!(
            "{at}[a].x-kubernetes-validations[2].rule: Invalid value: {shown}: cel expression must evaluate to a bool"
        )
    );
    let within = format!("{at}[b]");
    assert_eq!(
        found[3],
        format!(
            "{within}.items.x-kubernetes-validations[0].rule: Invalid value: \"self == oldSelf\": oldSelf cannot be used on the \
             uncorrelatable portion of the schema within {within}"
        )
    );
    let dear = "estimated rule cost exceeds budget by factor of more than 100x";
    assert!(
        found
            .iter()
            .any(|text| text.starts_with(&format!("{at}[c].x-kubernetes-validations[0].rule: Forbidden: {dear}")))
    );
    let whole = "spec.validation.openAPIV3Schema: Forbidden: x-kubernetes-validations estimated rule cost total";
    assert!(found[7].starts_with(whole), "{}", found[7]);
}

#[test]
fn a_schema_that_is_as_it_was_may_be_dear() {
    let schema = value!({"type": "array", "items": {"type": "integer"}, "maxItems": 3000, "x-kubernetes-validations": [
        {"rule": "self.all(x, self.exists(y, y == x))"}
    ]});
    let definition = a_definition(value!({"type": "object", "properties": {"spec": schema}}));
    let found = texts(&validate(&definition, &context()));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("Forbidden: estimated rule cost exceeds budget by factor of"), "{}", found[0]);
    assert_eq!(texts(&validate_update(&definition, &definition, &context())), Vec::<String>::new());
}
