//! Attribute-based access control: a file with one policy a line, read once.
//!
//! Upstream: pkg/auth/authorizer/abac/abac.go, pkg/apis/abac/{v0,v1beta1}/conversion.go.

use api::{Attributes, User, Value, user};

use super::{Decision, Mode, Rule, Rules};

/// Decides by a list of policies, the first of which that fits allows.
#[derive(Clone, Debug, Default)]
pub struct Abac {
    policies: Vec<Policy>,
}

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("error reading policy file {path}, line {line}: {text}: {why}")]
pub struct AbacError {
    path: String,
    line: usize,
    text: String,
    why: String,
}

/// Whom a policy is about, and what it allows. Texts may be empty, which fits what is empty, or `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Policy {
    user: String,
    group: String,
    readonly: bool,
    api_group: String,
    resource: String,
    namespace: String,
    path: String,
}

const ALL: &str = "*";
const VERSION: &str = "abac.authorization.kubernetes.io/v1beta1";
const READING: [&str; 3] = ["get", "list", "watch"];

// === impl Abac ===

impl Abac {
    /// Reads lines of JSON; empty ones and those that begin with `#` say nothing. `decode` reads one line.
    pub fn read(path: &str, text: &str, decode: impl Fn(&[u8]) -> Result<Value, String>) -> Result<Abac, AbacError> {
        let mut policies = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let policy = decode(line.as_bytes()).and_then(|tree| Policy::read(&tree));
            policies.push(policy.map_err(|why| AbacError {
                path: path.to_owned(),
                line: i + 1,
                text: line.to_owned(),
                why,
            })?);
        }
        Ok(Abac { policies })
    }
}

impl Mode for Abac {
    fn name(&self) -> &str {
        "abac"
    }

    fn word(&self) -> &'static str {
        "ABAC"
    }

    fn decide(&self, user: &User, attributes: &Attributes) -> Decision {
        match self.policies.iter().any(|policy| policy.allows(user, attributes)) {
            true => Decision::allow(""),
            false => Decision::no_opinion("No policy matched."),
        }
    }

    fn rules(&self, user: &User, namespace: &str) -> Rules {
        let mut rules = Rules::default();
        let fits = |policy: &&Policy| policy.is_about(user) && [ALL, namespace].contains(&policy.namespace.as_str());
        for policy in self.policies.iter().filter(fits) {
            let verbs = if policy.readonly { READING.map(str::to_owned).to_vec() } else { vec![ALL.to_owned()] };
            if !policy.resource.is_empty() {
                rules.resource.push(Rule {
                    verbs: verbs.clone(),
                    api_groups: vec![policy.api_group.clone()],
                    resources: vec![policy.resource.clone()],
                    ..Rule::default()
                });
            }
            if !policy.path.is_empty() {
                rules.non_resource.push(Rule {
                    verbs,
                    non_resource_urls: vec![policy.path.clone()],
                    ..Rule::default()
                });
            }
        }
        rules
    }
}

// === impl Policy ===

impl Policy {
    fn read(tree: &Value) -> Result<Policy, String> {
        let spec = match (tree.str("apiVersion"), tree.str("kind")) {
            ("", _) | (_, "") => return Ok(Policy::unversioned(tree)),
            (VERSION, "Policy") => tree.at("spec"),
            (version, kind) => {
                let (kind, version) = (api::field::quote(kind), api::field::quote(version));
                let scheme = "in scheme \"pkg/runtime/scheme.go:111\"";
                return Err(format!("no kind {kind} is registered for version {version} {scheme}"));
            }
        };
        let text = |name: &str| spec.str(name).to_owned();
        let mut policy = Policy {
            user: text("user"),
            group: text("group"),
            readonly: spec.bool("readonly"),
            api_group: text("apiGroup"),
            resource: text("resource"),
            namespace: text("namespace"),
            path: text("nonResourcePath"),
        };
        policy.everybody_is_authenticated();
        Ok(policy)
    }

    /// As policies were before they had a version: what is left out fits everything.
    fn unversioned(tree: &Value) -> Policy {
        let text = |name: &str| tree.str(name).to_owned();
        let or_all = |name: &str| Some(text(name)).filter(|text| !text.is_empty()).unwrap_or_else(|| ALL.to_owned());
        let mut policy = Policy {
            user: text("user"),
            group: text("group"),
            readonly: tree.bool("readonly"),
            api_group: ALL.to_owned(),
            resource: or_all("resource"),
            namespace: or_all("namespace"),
            path: String::new(),
        };
        if policy.user.is_empty() && policy.group.is_empty() {
            policy.group = user::AUTHENTICATED.to_owned();
        }
        policy.everybody_is_authenticated();
        if tree.str("namespace").is_empty() && tree.str("resource").is_empty() {
            policy.path = ALL.to_owned();
        }
        policy
    }

    fn everybody_is_authenticated(&mut self) {
        if self.user == ALL || self.group == ALL {
            self.user = String::new();
            self.group = user::AUTHENTICATED.to_owned();
        }
    }

    fn allows(&self, user: &User, asked: &Attributes) -> bool {
        let fits = |own: &str, asked: &str| own == ALL || own == asked;
        if !self.is_about(user) || self.readonly && !READING.contains(&asked.verb.as_str()) {
            return false;
        }
        match asked.is_resource {
            true => {
                fits(&self.namespace, &asked.namespace)
                    && fits(&self.resource, &asked.resource)
                    && fits(&self.api_group, &asked.group)
            }
            false => fits(&self.path, &asked.path) || super::rule::covers_path(&self.path, &asked.path),
        }
    }

    /// Somebody has to be named, and all that is named has to fit.
    fn is_about(&self, user: &User) -> bool {
        let user_fits = self.user.is_empty() || self.user == user.name;
        let group_fits = self.group.is_empty() || user.is_in(&self.group);
        user_fits && group_fits && !(self.user.is_empty() && self.group.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    const FILE: &str = r##"
# comments and empty lines say nothing
{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":"alice","namespace":"*","resource":"*","apiGroup":"*"}}
{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":"bob","namespace":"a","resource":"pods","readonly":true}}
{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"group":"*","nonResourcePath":"/healthz*","readonly":true}}
{"user":"carol","resource":"pods"}
"##;

    fn abac() -> Abac {
        Abac::read("f", FILE, decode).expect("it is well-formed")
    }

    fn decode(line: &[u8]) -> Result<Value, String> {
        let json: serde_json::Value = serde_json::from_slice(line).map_err(|e| e.to_string())?;
        let mut tree = Value::object();
        for (key, value) in json.as_object().ok_or("no object")? {
            let mut inner = Value::object();
            match value {
                serde_json::Value::Object(members) => {
                    for (key, value) in members {
                        match value {
                            serde_json::Value::Bool(flag) => inner.set(key, *flag),
                            other => inner.set(key, other.as_str().unwrap_or_default()),
                        }
                    }
                }
                other => inner = other.as_str().unwrap_or_default().into(),
            }
            tree.set(key, inner);
        }
        Ok(tree)
    }

    fn allows(name: &str, groups: &[&str], verb: &str, resource: &str, namespace: &str) -> bool {
        let asked = Attributes {
            verb: verb.into(),
            is_resource: !resource.starts_with('/'),
            resource: resource.into(),
            path: resource.into(),
            namespace: namespace.into(),
            ..Attributes::default()
        };
        abac().decide(&User::new(name, groups), &asked).verdict == Verdict::Allow
    }

    #[test]
    fn the_first_policy_that_fits_allows() {
        let everybody = ["system:authenticated"];
        assert!(allows("alice", &[], "delete", "secrets", "x"));
        assert!(!allows("alice", &[], "get", "/healthz", ""), "a policy about resources is not about paths");
        assert!(allows("bob", &[], "list", "pods", "a"));
        assert!(!allows("bob", &[], "create", "pods", "a"));
        assert!(!allows("bob", &[], "list", "pods", "b"));
        assert!(allows("carol", &[], "create", "pods", "b"), "what has no version fits all that it does not say");
        assert!(allows("x", &everybody, "get", "/healthz/etcd", ""));
        assert!(!allows("x", &[], "get", "/healthz/etcd", ""), "everybody is everybody who is known");
    }

    #[test]
    fn rules_are_those_of_the_namespace() {
        let rules = abac().rules(&User::new("bob", &[]), "a");
        assert_eq!((rules.resource.len(), rules.resource[0].verbs.join(" ")), (1, "get list watch".to_owned()));
        assert!(!rules.incomplete && abac().rules(&User::new("bob", &[]), "b").resource.is_empty());
    }

    #[test]
    fn a_line_that_is_no_policy_is_named() {
        let wrong =
            Abac::read("f", "\n{\"apiVersion\":\"v9\",\"kind\":\"Policy\"}", decode).expect_err("unknown version");
        let words = "error reading policy file f, line 2: {\"apiVersion\":\"v9\",\"kind\":\"Policy\"}: no kind";
        assert!(wrong.to_string().starts_with(words), "{wrong}");
    }
}
