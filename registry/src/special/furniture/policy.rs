//! Upstream's bootstrap policy: made at the first start, and made whole again at each later one. What was added to it
//! stays, and who wants it otherwise says so in an annotation.
//!
//! Upstream: component-helpers/auth/rbac/reconciliation, pkg/registry/rbac/rest/storage_rbac.go.

use api::{GroupResource, Reason, Status, Value, meta};
use auth::{authorize::Rule, escalate::uncovered};

use super::create;
use crate::{Registry, options::DeleteOptions};

/// On an object that is not to be mended.
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
/// How often somebody else may have a hand in it at the same moment.
const ATTEMPTS_MAX: usize = 4;

/// What has to be done about an object that is there.
#[derive(Debug, PartialEq)]
enum Step {
    Leave,
    Update(Value),
    /// What a binding binds to cannot be changed.
    MakeAnew,
}

/// Makes a role or binding, or gives back what it lacks.
pub(super) async fn keep(registry: &Registry, plural: &str, wanted: &Value) -> Result<(), Status> {
    let resource = GroupResource::new("rbac.authorization.k8s.io", plural);
    let (namespace, name) = (meta::of(wanted).namespace(), meta::of(wanted).name());
    let mut refused = None;
    for _ in 0..ATTEMPTS_MAX {
        let Some(found) = registry.cluster.look.get(&resource, namespace, name) else {
            return create(registry, &resource, wanted, "").await;
        };
        let done = match plan(&found, wanted) {
            Step::Leave => return Ok(()),
            Step::Update(mended) => registry.own_update(&resource, "", &mended).await.map(drop),
            Step::MakeAnew => {
                let ask = registry.own_ask("delete", &resource, "", namespace, name)?;
                let uid = Some(meta::of(&found).uid().to_owned());
                registry.remove(&ask, &DeleteOptions { uid, ..DeleteOptions::default() }).await.map(drop)
            }
        };
        match done {
            // Looked at once more: after a deletion to make it, after an update to find nothing left to do.
            Ok(()) => {}
            Err(error) if error.is(Reason::Conflict) || error.is(Reason::NotFound) => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    refused.map_or(Ok(()), Err)
}

/// Upstream: `computeReconciledRole`, `computeReconciledRoleBinding`.
fn plan(found: &Value, wanted: &Value) -> Step {
    if meta::of(found).annotation(AUTOUPDATE) == Some("false") {
        return Step::Leave;
    }
    if wanted.at("roleRef") != found.at("roleRef") {
        return Step::MakeAnew;
    }
    let mut mended = found.clone();
    for members in ["labels", "annotations"] {
        for (key, text) in wanted.at("metadata").strings(members) {
            mended.entry_path(&["metadata", members]).default(key, text);
        }
    }
    let rules = |object: &Value| object.list("rules").iter().map(Rule::from_value).collect::<Vec<_>>();
    append(&mut mended, &["rules"], uncovered(&rules(found), &rules(wanted)).iter().map(Rule::to_value).collect());
    let missing = |at: &[&str]| {
        let there = found.at_path(at).items();
        wanted.at_path(at).items().iter().filter(|one| !there.contains(one)).cloned().collect()
    };
    append(&mut mended, &["subjects"], missing(&["subjects"]));
    if wanted.has("aggregationRule") {
        let selectors = ["aggregationRule", "clusterRoleSelectors"];
        append(&mut mended, &selectors, missing(&selectors));
    } else {
        mended.remove("aggregationRule");
    }
    if mended == *found { Step::Leave } else { Step::Update(mended) }
}

fn append(object: &mut Value, at: &[&str], missing: Vec<Value>) {
    if !missing.is_empty() {
        object.entry_path(at).make_array().extend(missing);
    }
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::{Step, plan};

    fn mended(found: &api::Value, wanted: &api::Value) -> api::Value {
        match plan(found, wanted) {
            Step::Update(mended) => mended,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_covered_is_not_added_again() {
        let wanted = value!({"rules": [
            {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "services"]},
            {"verbs": ["get"], "nonResourceURLs": ["/version"]}
        ]});
        let wide = value!({"rules": [
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["pods", "services"]},
            {"verbs": ["get"], "nonResourceURLs": ["*"]}
        ]});
        assert_eq!(plan(&wide, &wanted), Step::Leave);
        assert_eq!(plan(&wanted, &wanted), Step::Leave);
        // Only what is missing comes back, in its smallest parts, behind what is there.
        let less = value!({"rules": [{"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["pods"]}]});
        let rules = mended(&less, &wanted);
        let expected = value!([
            {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["pods"]},
            {"verbs": ["get"], "apiGroups": [""], "resources": ["services"]},
            {"verbs": ["list"], "apiGroups": [""], "resources": ["services"]},
            {"verbs": ["get"], "nonResourceURLs": ["/version"]}
        ]);
        assert_eq!(rules.at("rules"), &expected);
    }

    #[test]
    fn a_role_is_aggregated_when_it_is_to_be() {
        let by = |label: &str| {
            let mut labels = api::Value::object();
            labels.set(label, "true");
            value!({"matchLabels": labels})
        };
        let wanted = value!({"aggregationRule": {"clusterRoleSelectors": [(by("a"))]}});
        let found = value!({"aggregationRule": {"clusterRoleSelectors": [(by("b"))]}, "rules": [{"verbs": ["get"]}]});
        let selectors = mended(&found, &wanted);
        let expected = value!({"clusterRoleSelectors": [(by("b")), (by("a"))]});
        assert_eq!(selectors.at("aggregationRule"), &expected);
        assert_eq!(selectors.at("rules"), found.at("rules"));
        assert!(!mended(&found, &value!({"rules": []})).has("aggregationRule"));
    }

    #[test]
    fn bindings_get_their_subjects_back() {
        let to = |role: &str, subjects: api::Value| value!({"roleRef": {"name": role}, "subjects": subjects});
        let found = to("a", value!([{"name": "mine"}]));
        let expected = value!([{"name": "mine"}, {"name": "theirs"}]);
        assert_eq!(mended(&found, &to("a", value!([{"name": "theirs"}]))).at("subjects"), &expected);
        assert_eq!(plan(&found, &to("b", value!([{"name": "mine"}]))), Step::MakeAnew);
    }

    #[test]
    fn labels_of_its_owner_stay_and_so_does_what_is_not_to_be_mended() {
        let wanted = value!({"metadata": {"labels": {"a": "1", "b": "2"}}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]});
        let found = value!({"metadata": {"labels": {"a": "mine"}}, "rules": (wanted.at("rules"))});
        let labels = mended(&found, &wanted);
        assert_eq!(labels.at_path(&["metadata", "labels"]), &value!({"a": "mine", "b": "2"}));
        let own = value!({"metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}});
        assert_eq!(plan(&own, &wanted), Step::Leave);
        let again = value!({"metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}}});
        assert!(matches!(plan(&again, &wanted), Step::Update(_)));
    }
}
