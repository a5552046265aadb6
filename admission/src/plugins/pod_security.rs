//! Pods keep to the security standard that their namespace names.
//!
//! Enforcement refuses; what is only audited or warned of says so. Controllers of pods are never refused, since their
//! pods will be. Upstream: k8s.io/pod-security-admission/admission/admission.go.

mod baseline;
mod checks;
mod configuration;
mod level;
mod restricted;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use api::{GroupResource, Status, Value, field::Errors, meta};
use async_trait::async_trait;

use crate::{
    Cluster, Operation, Plugin, Request,
    tally::{Standing, Subject, Tally},
};

use checks::{Pod, Refusals};
pub use configuration::Configuration;
use level::{Level, Policy, Standard, Version};

/// How many pods a namespace's new level is tried on. Upstream: `defaultNamespaceMaxPodsToCheck`.
///
/// Upstream also stops after a second; this many checks take far less here.
const PODS_MAX: usize = 3000;

/// Subresources of pods through which the spec does not change. Any other is checked.
const IGNORED: [&str; 8] = ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];

/// Where kinds other than pods have their template.
const TEMPLATES: &[(&str, &str, &[&str])] = &[
    ("", "replicationcontrollers", &["spec", "template"]),
    ("", "podtemplates", &["template"]),
    ("apps", "replicasets", &["spec", "template"]),
    ("apps", "deployments", &["spec", "template"]),
    ("apps", "statefulsets", &["spec", "template"]),
    ("apps", "daemonsets", &["spec", "template"]),
    ("batch", "jobs", &["spec", "template"]),
    ("batch", "cronjobs", &["spec", "jobTemplate", "spec", "template"]),
];

pub struct PodSecurity {
    pub configuration: Configuration,
    pub tally: Arc<dyn Tally>,
}

#[async_trait]
impl Plugin for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let (group, resource) = (&*request.resource.group, &*request.resource.resource);
        if group.is_empty() && resource == "namespaces" {
            return self.namespace(request, cluster);
        }
        if group.is_empty() && resource == "pods" {
            return self.pod(request, cluster).await;
        }
        match TEMPLATES.iter().find(|(g, r, _)| *g == group && *r == resource) {
            Some((_, _, path)) => self.controller(request, cluster, path).await,
            None => Ok(()),
        }
    }
}

impl PodSecurity {
    /// The labels are right, and whoever makes them stricter hears which pods would not be let in now.
    fn namespace(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        if !request.subresource.is_empty() {
            return Ok(());
        }
        let defaults = self.configuration.defaults;
        let (new, wrong) = Policy::of(meta::of(&request.object).labels(), defaults);
        let name = meta::of(&request.object).name();
        if request.operation == Operation::Update {
            let (old, was_wrong) = Policy::of(meta::of(request.old).labels(), defaults);
            if !wrong.is_empty() && wrong != was_wrong {
                return wrong.into_status(&request.kind.group_kind(), name);
            }
            let (now, was) = (new.enforce, old.enforce);
            let is_relaxed = now.version == was.version && now.level <= was.level;
            if now == was || now.level == Level::Privileged || is_relaxed {
                return Ok(());
            }
        } else {
            wrong.into_status(&request.kind.group_kind(), name)?;
        }
        if self.configuration.exempts_namespace(name) {
            self.warn_of_exemption(request, name, &new);
        } else if request.operation == Operation::Update {
            self.pods_in(name, new.enforce, cluster).into_iter().for_each(|text| request.warn(text));
        }
        Ok(())
    }

    /// Upstream: `exemptNamespaceWarning`.
    fn warn_of_exemption(&self, request: &Request<'_>, name: &str, policy: &Policy) {
        if policy.is_privileged() || policy.is_like(&self.configuration.defaults) {
            return;
        }
        let labels = meta::of(&request.object).labels();
        let modes = [("enforce", policy.enforce), ("audit", policy.audit), ("warn", policy.warn)];
        let said = modes.iter().filter(|(mode, standard)| {
            standard.level != Level::Privileged
                && (labels.has(&level::label(mode)) || labels.has(&level::version_label(mode)))
        });
        let said: Vec<String> = said.map(|(mode, standard)| format!("{mode}={standard}")).collect();
        let (name, said) = (api::field::quote(name), said.join(", "));
        request.warn(format!("namespace {name} is exempt from Pod Security, and the policy ({said}) will be ignored"));
    }

    /// Upstream: `EvaluatePodsInNamespace`.
    fn pods_in(&self, namespace: &str, enforce: Standard, cluster: &Cluster) -> Vec<String> {
        let mut pods = self.by_weight(cluster.list("", "pods", namespace));
        let total = pods.len();
        pods.truncate(PODS_MAX);
        let mut refused: BTreeMap<String, (String, usize)> = BTreeMap::new();
        for pod in &pods {
            let refusals = checks::evaluate(enforce, &Pod::of(pod));
            if refusals.is_empty() {
                continue;
            }
            let name = meta::of(pod).name();
            let (first, count) = refused.entry(refusals.reasons()).or_insert_with(|| (name.into(), 0));
            if name < first.as_str() {
                *first = name.into();
            }
            *count += 1;
        }
        let mut warnings = Vec::new();
        if pods.len() < total {
            let checked = pods.len();
            warnings.push(format!(
                "new PodSecurity enforce level only checked against the first {checked} of {total} existing pods"
            ));
        }
        if !refused.is_empty() {
            let (namespace, enforce) = (api::field::quote(namespace), api::field::quote(&enforce.to_string()));
            warnings.push(format!(
                "existing pods in namespace {namespace} violate the new PodSecurity enforce level {enforce}"
            ));
        }
        let mut by_pods: Vec<String> = refused.into_iter().map(|(why, (pod, count))| tell(&pod, count, &why)).collect();
        by_pods.sort();
        warnings.extend(by_pods);
        warnings
    }

    /// One pod of each controller before the others. Upstream: `prioritizePods`.
    fn by_weight(&self, pods: Vec<Value>) -> Vec<Value> {
        let mut controllers = HashSet::new();
        let (mut first, mut rest) = (Vec::new(), Vec::new());
        for pod in pods {
            if self.configuration.exempts_runtime_class(pod.at("spec")) {
                continue;
            }
            let owners = pod.at("metadata").list("ownerReferences").iter();
            let controller = owners.filter(|o| o.bool("controller")).map(|o| o.str("uid").to_string()).next();
            match controller.is_none_or(|uid| controllers.insert(uid)) {
                true => first.push(pod),
                false => rest.push(pod),
            }
        }
        first.extend(rest);
        first
    }

    async fn pod(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let subject = subject(request, "pod");
        if IGNORED.contains(&request.subresource) || self.exempts(request, &subject) {
            return Ok(());
        }
        let found = cluster.find("", "namespaces", "", request.namespace).await.ok().flatten();
        let Some(namespace) = found else {
            self.tally.unjudged(true, &subject);
            let why = format!("failed to lookup namespace {}", api::field::quote(request.namespace));
            return Err(Status::internal(why));
        };
        let (policy, wrong) = Policy::of(meta::of(&namespace).labels(), self.configuration.defaults);
        if wrong.is_empty() && policy.is_privileged() {
            request.annotate("pod-security.kubernetes.io/enforce-policy", "privileged:latest");
            self.stood(true, policy.enforce, "enforce", subject);
            return Ok(());
        }
        if request.operation == Operation::Update && !is_significant(&request.object, request.old) {
            return Ok(());
        }
        self.evaluate(request, &policy, &wrong, &Pod::of(&request.object), subject)
    }

    async fn controller(&self, request: &Request<'_>, cluster: &Cluster, path: &[&str]) -> Result<(), Status> {
        let subject = subject(request, "controller");
        if !request.subresource.is_empty() || self.exempts(request, &subject) {
            return Ok(());
        }
        let found = cluster.find("", "namespaces", "", request.namespace).await;
        let namespace = match found.and_then(|found| found.ok_or_else(|| missing(request.namespace))) {
            Ok(namespace) => namespace,
            Err(error) => {
                self.tally.unjudged(true, &subject);
                let namespace = api::field::quote(request.namespace);
                request.annotate(
                    "pod-security.kubernetes.io/error",
                    &format!("failed to lookup namespace {namespace}: {error}"),
                );
                return Ok(());
            }
        };
        let (policy, wrong) = Policy::of(meta::of(&namespace).labels(), self.configuration.defaults);
        let is_silent = policy.warn.level == Level::Privileged && policy.audit.level == Level::Privileged;
        let template = request.object.at_path(path);
        if (wrong.is_empty() && is_silent) || template.is_null() {
            return Ok(());
        }
        self.evaluate(request, &policy, &wrong, &Pod::of(template), subject)
    }

    /// Nobody asks about this namespace or this user.
    fn exempts(&self, request: &Request<'_>, subject: &Subject<'_>) -> bool {
        let exempt = if self.configuration.exempts_namespace(request.namespace) {
            "namespace"
        } else if self.configuration.exempts_user(&request.user.name) {
            "user"
        } else {
            return false;
        };
        request.annotate("pod-security.kubernetes.io/exempt", exempt);
        self.tally.exempted(subject);
        true
    }

    /// Counts how something stands to a standard. Upstream: `PrometheusRecorder.RecordEvaluation`.
    fn stood(&self, is_allowed: bool, standard: Standard, mode: &'static str, subject: Subject<'_>) {
        let said;
        let version = match standard.version {
            // What is privileged is so in every version.
            _ if standard.level == Level::Privileged => "latest",
            Version::Latest => "latest",
            Version::Minor(minor) if minor > checks::MINOR_MAX => "future",
            Version::Minor(minor) => {
                said = format!("v1.{minor}");
                said.as_str()
            }
        };
        self.tally.stood(&Standing { is_allowed, level: standard.level.word(), version, mode, subject });
    }

    /// Upstream: `EvaluatePod`. Nobody is refused for the pods that he will make.
    fn evaluate(
        &self,
        request: &Request<'_>,
        policy: &Policy,
        wrong: &Errors,
        pod: &Pod<'_>,
        subject: Subject<'_>,
    ) -> Result<(), Status> {
        if self.configuration.exempts_runtime_class(pod.spec) {
            request.annotate("pod-security.kubernetes.io/exempt", "runtimeClass");
            self.tally.exempted(&subject);
            return Ok(());
        }
        if !wrong.is_empty() {
            let text = format!("Failed to parse policy: {}", wrong.message());
            request.annotate("pod-security.kubernetes.io/error", &text);
            self.tally.unjudged(false, &subject);
        }
        let told = |standard: Standard, refusals: &Refusals| {
            format!("PodSecurity {}: {}", api::field::quote(&standard.to_string()), refusals.details())
        };
        let mut refused = None;
        if subject.resource == "pod" {
            request.annotate("pod-security.kubernetes.io/enforce-policy", &policy.enforce.to_string());
            refused = Some(checks::evaluate(policy.enforce, pod)).filter(|r| !r.is_empty());
            self.stood(refused.is_none(), policy.enforce, "enforce", subject);
        }
        let audited = checks::evaluate(policy.audit, pod);
        if !audited.is_empty() {
            let text = format!("would violate {}", told(policy.audit, &audited));
            request.annotate("pod-security.kubernetes.io/audit-violations", &text);
            self.stood(false, policy.audit, "audit", subject);
        }
        if let Some(refusals) = refused {
            let why = format!("violates {}", told(policy.enforce, &refusals));
            return Err(Status::forbidden(request.resource, request.name_known(), why));
        }
        let warned = checks::evaluate(policy.warn, pod);
        if !warned.is_empty() {
            request.warn(format!("would violate {}", told(policy.warn, &warned)));
            self.stood(false, policy.warn, "warn", subject);
        }
        Ok(())
    }
}

fn subject<'r>(request: &'r Request<'_>, resource: &'static str) -> Subject<'r> {
    let operation = if request.operation == Operation::Update { "update" } else { "create" };
    Subject { operation, resource, subresource: request.subresource }
}

fn missing(namespace: &str) -> Status {
    Status::not_found(&GroupResource::new("", "namespaces"), namespace)
}

fn tell(pod: &str, count: usize, why: &str) -> String {
    match count {
        1 => format!("{pod}: {why}"),
        2 => format!("{pod} (and 1 other pod): {why}"),
        _ => format!("{pod} (and {} other pods): {why}", count - 1),
    }
}

/// Whether an update is about more than the standards look at: images may change, and with them who made the pod.
/// Upstream: `isSignificantPodUpdate`.
fn is_significant(new: &Value, old: &Value) -> bool {
    let (new, old) = (new.at("spec"), old.at("spec"));
    let changed = |list: &str| {
        let (new, old) = (new.list(list), old.list(list));
        new.len() != old.len() || new.iter().zip(old).any(|(new, old)| new.str("image") != old.str("image"))
    };
    let is_new = |c: &Value| {
        let was = old.list("ephemeralContainers").iter().find(|o| o.str("name") == c.str("name"));
        was.is_none_or(|was| was.str("image") != c.str("image"))
    };
    changed("containers") || changed("initContainers") || new.list("ephemeralContainers").iter().any(is_new)
}
