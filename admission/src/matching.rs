//! Which requests somebody wants to see, webhooks and policies alike: rules over resources, selectors over labels.
//!
//! Upstream: plugin/webhook/generic/webhook.go ShouldCallHook, plugin/policy/matching/matching.go.

mod rules;
mod select;

use api::{GroupResource, Gvk, Status, Value, selector::Selector};

use crate::{Cluster, Request};
use rules::Rule;

pub(crate) const GROUP: &str = "admissionregistration.k8s.io";

/// What a webhook, a policy or a binding says about the requests that it wants to see.
pub(crate) struct Criteria {
    /// None: any resource.
    rules: Option<Vec<Rule>>,
    excluded: Vec<Rule>,
    /// Whether a request to an equivalent resource counts as one that the rules name.
    equivalent: bool,
    /// Errors are texts about a selector that cannot be read.
    namespaces: Result<Selector, String>,
    objects: Result<Selector, String>,
}

/// As what a request is seen: the resource that the rules name, and the kind of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub resource: GroupResource,
    pub version: String,
    pub kind: Gvk,
}

// === impl Criteria ===

impl Criteria {
    /// Of a webhook, which sees nothing without a rule.
    pub fn of_hook(hook: &Value) -> Criteria {
        Criteria { rules: Some(rules(hook, "rules")), ..Criteria::selecting(hook) }
    }

    /// Of MatchResources, which mean any resource where they name none.
    pub fn of_match_resources(resources: &Value) -> Criteria {
        let named = rules(resources, "resourceRules");
        Criteria {
            rules: Some(named).filter(|rules| !rules.is_empty()),
            excluded: rules(resources, "excludeResourceRules"),
            ..Criteria::selecting(resources)
        }
    }

    fn selecting(said: &Value) -> Criteria {
        let selector = |member: &str| Selector::from_label_selector(said.at(member));
        Criteria {
            rules: None,
            excluded: Vec::new(),
            equivalent: said.str("matchPolicy") == "Equivalent",
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
        }
    }

    /// As what the request is seen; none when it is not wanted. `object` is the hub's, as it is by now.
    pub async fn wants(
        &self,
        request: &Request<'_>,
        object: &Value,
        cluster: &Cluster,
    ) -> Result<Option<Seen>, Status> {
        // Rules cost the least, and an error of a selector counts only where they want the request.
        let Some(seen) = self.sees(request, cluster) else { return Ok(None) };
        let namespace = self.selects_namespace(request, object, cluster).await;
        let selected = self.selects_object(request, object);
        if namespace == Ok(false) || selected == Ok(false) {
            return Ok(None);
        }
        namespace.and(selected)?;
        Ok(Some(seen))
    }
}

fn rules(said: &Value, member: &str) -> Vec<Rule> {
    said.list(member).iter().map(Rule::compile).collect()
}
