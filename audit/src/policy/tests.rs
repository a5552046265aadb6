use super::*;

fn policy(text: &str) -> Result<Policy, String> {
    let head = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";
    Policy::read(text.replace('+', head).as_bytes(), "policy.yaml")
}

fn user(name: &str, groups: &[&str]) -> User {
    User { name: name.into(), groups: groups.iter().map(ToString::to_string).collect(), ..User::default() }
}

fn asked(verb: &str, group: &str, resource: &str, below: &str, namespace: &str, name: &str) -> Attributes {
    Attributes {
        is_resource: true,
        verb: verb.into(),
        group: group.into(),
        resource: resource.into(),
        subresource: below.into(),
        namespace: namespace.into(),
        name: name.into(),
        ..Attributes::default()
    }
}

fn path(path: &str) -> Attributes {
    Attributes { verb: "get".into(), path: path.into(), ..Attributes::default() }
}

#[test]
fn what_is_wrong_is_said_in_upstreams_words() {
    for (text, words) in [
        ("+", "loaded illegal policy with 0 rules: from file policy.yaml"),
        (
            "+rules: [{level: Loud}, {}]",
            "[rules[0].level: Unsupported value: \"Loud\": supported values: \"None\", \"Metadata\", \"Request\", \"RequestResponse\", rules[1].level: Required value]: from file policy.yaml",
        ),
        (
            "+omitStages: [Late]\nrules: [{level: None, nonResourceURLs: [x, '/a*b'], namespaces: [d]}]",
            "[omitStages[0]: Invalid value: \"Late\": allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic, rules[0].nonResourceURLs[0]: Invalid value: \"x\": non-resource URL rules must begin with a '/' character, rules[0].nonResourceURLs[1]: Invalid value: \"/a*b\": non-resource URL wildcards '*' must be the final character of the rule, rules[0].nonResourceURLs: Invalid value: [\"x\",\"/a*b\"]: rules cannot apply to both regular resources and non-resource URLs]: from file policy.yaml",
        ),
        (
            "+rules: [{level: None, resources: [{group: rbac/v1, resourceNames: [a]}]}]",
            "[rules[0].resources.group: Invalid value: \"rbac/v1\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'), rules[0].resources.resourceNames: Invalid value: [\"a\"]: using resourceNames requires at least one resource]: from file policy.yaml",
        ),
    ] {
        assert_eq!(policy(text).err().as_deref(), Some(words), "{text}");
    }
}

#[test]
fn what_nobody_knows_in_a_policy_is_left_out() {
    assert!(policy("+foo: bar\nrules: [{level: None}]").is_ok());
}

#[test]
fn the_first_rule_that_matches_counts() {
    let read = policy(
        "+omitStages: [Panic]\nomitManagedFields: true\nrules:\n- {level: None, users: [quiet]}\n- {level: Metadata, userGroups: [devs], verbs: [get], omitStages: [RequestReceived], omitManagedFields: false}\n- {level: Request, resources: [{group: '', resources: [pods/log, '*/status', configmaps/*], resourceNames: []}, {group: apps}]}\n- {level: RequestResponse, namespaces: [d], resources: [{group: '', resources: [secrets], resourceNames: [s]}]}\n- {level: Metadata, nonResourceURLs: ['/healthz*', /version]}\n",
    )
    .expect("it is right");
    let level = |by: &User, attributes: &Attributes| read.rule(Some(by), attributes).level;
    let (quiet, dev, other) = (user("quiet", &["devs"]), user("d", &["devs"]), user("o", &[]));
    assert_eq!(level(&quiet, &path("/version")), Level::None);
    assert_eq!(level(&dev, &path("/anything")), Level::Metadata);
    assert_eq!(level(&other, &path("/anything")), Level::None);
    assert_eq!(level(&other, &path("/healthz/etcd")), Level::Metadata);
    assert_eq!(level(&other, &asked("get", "", "pods", "log", "d", "p")), Level::Request);
    assert_eq!(level(&other, &asked("get", "", "pods", "", "d", "p")), Level::None);
    assert_eq!(level(&other, &asked("get", "", "nodes", "status", "", "n")), Level::Request);
    assert_eq!(level(&other, &asked("get", "", "configmaps", "", "d", "c")), Level::Request);
    assert_eq!(level(&other, &asked("list", "apps", "deployments", "", "", "")), Level::Request);
    assert_eq!(level(&other, &asked("get", "", "secrets", "", "d", "s")), Level::RequestResponse);
    assert_eq!(level(&other, &asked("get", "", "secrets", "", "e", "s")), Level::None);
    assert_eq!(level(&other, &asked("get", "", "secrets", "", "d", "t")), Level::None);
    let rule = read.rule(Some(&dev), &path("/anything"));
    assert_eq!((rule.omit_stages, rule.omit_managed_fields), (vec![Stage::RequestReceived, Stage::Panic], false));
    // Nobody is in no list.
    assert_eq!(read.rule(None, &path("/version")).level, Level::Metadata);
}
