//! Revisions: the set of the present template, its number, and the way back to an earlier one.
//!
//! Upstream: pkg/controller/deployment/{sync,rollback}.go, util/deployment_util.go.

use api::{Value, value};

use crate::{
    claims::{DEPLOYMENT, REPLICA_SET},
    conditions,
    driver::plan::{Action, After, Event, Excuse, Plan, Tell},
    hash,
};

use super::{
    Rollout,
    rolling::annotate_sizes,
    sets::{DESIRED, HASH, MAX, is_same_template},
};

const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const ROLLBACK_TO: &str = "deprecated.deployment.rollback.to";
/// No longer does the history of a set become. Upstream: maxRevHistoryLengthInChars.
const HISTORY_CHARS_MAX: usize = 2000;
const NAME_LEN_MAX: usize = 253;
/// What is the deployment's alone. Upstream: annotationsToSkip.
const NOT_COPIED: [&str; 6] =
    ["kubectl.kubernetes.io/last-applied-configuration", REVISION, HISTORY, DESIRED, MAX, ROLLBACK_TO];

/// The number of a set; none when what stands there is no number.
pub(super) fn revision(set: &Value) -> Option<i64> {
    api::meta::of(set).annotation(REVISION).map_or(Some(0), |text| text.parse().ok())
}

/// Clients of old ask for a rollback by annotation.
pub(super) fn rollback_to(deployment: &Value) -> Option<i64> {
    api::meta::of(deployment).annotation(ROLLBACK_TO)?.parse().ok()
}

// === impl Rollout ===

impl Rollout<'_> {
    fn next_revision(&self) -> i64 {
        self.sets.old().filter_map(|s| revision(&s.object)).max().unwrap_or(0).max(0) + 1
    }

    /// The new set and the deployment learn the revision; answers why when that had to be written.
    /// Upstream: getNewReplicaSet, where the set exists.
    pub(super) fn sync_revision(&mut self) -> Option<String> {
        let set = self.sets.newest()?.object.clone();
        let mut new = Value::clone(&set);
        annotate(&mut new, &self.old, self.next_revision());
        conditions::int(new.entry("spec"), "minReadySeconds", self.spec().int("minReadySeconds"));
        if new != *set {
            self.plan.actions.push(Action::update(REPLICA_SET.resource, new));
            return Some("the new set is to know its revision".into());
        }
        if let Some(number) = api::meta::of(&set).annotation(REVISION) {
            self.new.set_path(&["metadata", "annotations", REVISION], number);
        }
        if self.deadline_seconds().is_some() && conditions::find(self.old.at("status"), "Progressing").is_none() {
            let message = format!("Found new replica set \"{}\"", api::meta::of(&set).name());
            let condition = self.condition("Progressing", "True", "FoundNewReplicaSet", &message);
            conditions::set(self.new.entry("status"), condition);
        }
        self.write_status().then(|| "the deployment is to know its revision".into())
    }

    /// Makes the set of the present template. Upstream: getNewReplicaSet, where there is none.
    pub(super) fn create_set(&mut self) -> String {
        let status = self.old.at("status");
        let hash = hash::of_template(self.world.settings, self.spec().at("template"), status.opt_int("collisionCount"));
        let name = set_name(self.name(), &hash);
        if self.world.get(REPLICA_SET.resource, &self.world.key.namespace, &name).is_some() {
            // Another's, or of another template: the hash collides.
            self.new.set_path(&["status", "collisionCount"], status.int("collisionCount") + 1);
            self.write_status();
            return "a set of that name is there already".into();
        }
        let (set, size) = self.new_set(&name, &hash);
        let done = (size > 0).then(|| ("ScalingReplicaSet", format!("Scaled up replica set {name} from 0 to {size}")));
        let failed = Some(("ReplicaSetCreateError", format!("Failed to create new replica set \"{name}\": {{}}")));
        let tell = Tell { regarding: self.old.clone(), done, failed };
        let create = Action::create(REPLICA_SET.resource, set).excuse(&[Excuse::NamespaceTerminating]).tell(tell);
        self.plan.actions.push(create);
        self.plan.after = Some(self.after_create(&name));
        "there is no set of this template".into()
    }

    fn new_set(&self, name: &str, hash: &str) -> (Value, i64) {
        let (spec, meta) = (self.spec(), api::meta::of(&self.old));
        let mut template = spec.at("template").clone();
        template.set_path(&["metadata", "labels", HASH], hash);
        let mut selector = spec.at("selector").clone();
        selector.set_path(&["matchLabels", HASH], hash);
        let size = self.size_of_new(0);
        let mut set = value!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": name, "namespace": meta.namespace(), "labels": template.at_path(&["metadata", "labels"]),
                "ownerReferences": [DEPLOYMENT.controller_reference(&self.old)]
            },
            "spec": {"replicas": size, "selector": selector, "template": template}
        });
        conditions::int(set.entry("spec"), "minReadySeconds", spec.int("minReadySeconds"));
        annotate(&mut set, &self.old, self.next_revision());
        annotate_sizes(&mut set, spec);
        (set, size)
    }

    fn after_create(&self, name: &str) -> After {
        let (old, has_deadline) = (self.old.clone(), self.deadline_seconds().is_some());
        let revision = self.next_revision().to_string();
        let created = format!("Created new replica set \"{name}\"");
        let created = self.condition("Progressing", "True", "NewReplicaSetCreated", &created);
        let failed = self.condition("Progressing", "False", "ReplicaSetCreateError", "");
        let name = name.to_string();
        After::new(move |came| {
            let mut new = Value::clone(&old);
            let condition = match came.failure {
                None => {
                    new.set_path(&["metadata", "annotations", REVISION], revision.as_str());
                    created.clone()
                }
                Some(error) => {
                    let mut failed = failed.clone();
                    failed.set("message", format!("Failed to create new replica set \"{name}\": {error}"));
                    failed
                }
            };
            if has_deadline {
                conditions::set(new.entry("status"), condition);
            }
            if new == *old { Vec::new() } else { vec![Action::update_status(DEPLOYMENT.resource, new)] }
        })
    }

    /// Upstream: rollback.
    pub(super) fn roll_back(&mut self, to: i64) -> String {
        let name = self.name().to_string();
        let mut new = Value::clone(&self.old);
        new.remove_path(&["metadata", "annotations", ROLLBACK_TO]);
        let target = if to == 0 { self.last_revision() } else { to };
        let found = self.sets.all().iter().find(|s| revision(&s.object) == Some(target)).cloned();
        let event = match found {
            _ if target == 0 => {
                Event::warning(&self.old, "DeploymentRollbackRevisionNotFound", "Unable to find last revision.")
            }
            None => {
                let message = "Unable to find the revision to rollback to.";
                Event::warning(&self.old, "DeploymentRollbackRevisionNotFound", message)
            }
            Some(set) if is_same_template(set.object.at("spec").at("template"), self.spec().at("template")) => {
                let message =
                    format!("The rollback revision contains the same template as current deployment \"{name}\"");
                Event::warning(&self.old, "DeploymentRollbackTemplateUnchanged", message)
            }
            Some(set) => {
                take_back(&mut new, &set.object);
                let message = format!("Rolled back deployment \"{name}\" to revision {target}");
                Event::normal(&self.old, "DeploymentRollback", message)
            }
        };
        self.plan = Plan { actions: vec![Action::update(DEPLOYMENT.resource, new)], ..Plan::default() };
        self.plan.events.push(event);
        "a rollback was asked for".into()
    }

    /// The one before the newest. Upstream: LastRevision.
    fn last_revision(&self) -> i64 {
        let mut all: Vec<i64> = self.sets.all().iter().filter_map(|s| revision(&s.object)).collect();
        all.sort_unstable();
        all.iter().rev().nth(1).copied().unwrap_or(0)
    }
}

/// The deployment gets the template of a set, and the annotations that came with it.
/// Upstream: rollbackToTemplate, SetDeploymentAnnotationsTo.
fn take_back(deployment: &mut Value, set: &Value) {
    let mut template = set.at("spec").at("template").clone();
    template.remove_path(&["metadata", "labels", HASH]);
    deployment.set_path(&["spec", "template"], template);
    let mut annotations = Value::object();
    for (key, text) in api::meta::of(deployment).0.strings("annotations").filter(|(k, _)| NOT_COPIED.contains(k)) {
        annotations.set(key, text);
    }
    for (key, text) in api::meta::of(set).0.strings("annotations").filter(|(k, _)| !NOT_COPIED.contains(k)) {
        annotations.set(key, text);
    }
    deployment.set_path(&["metadata", "annotations"], annotations);
}

/// Upstream: SetNewReplicaSetAnnotations.
fn annotate(set: &mut Value, deployment: &Value, revision: i64) {
    for (key, text) in api::meta::of(deployment).0.strings("annotations").filter(|(k, _)| !NOT_COPIED.contains(k)) {
        set.set_path(&["metadata", "annotations", key], text);
    }
    let old = api::meta::of(set).annotation(REVISION).unwrap_or("").to_string();
    let Ok(number) = (if old.is_empty() { Ok(0) } else { old.parse::<i64>() }) else { return };
    if number >= revision {
        return;
    }
    set.set_path(&["metadata", "annotations", REVISION], revision.to_string());
    if old.is_empty() {
        return;
    }
    let history = api::meta::of(set).annotation(HISTORY).unwrap_or("");
    let mut all: Vec<&str> = history.split(',').filter(|r| !r.is_empty()).collect();
    all.push(&old);
    let length = |all: &[&str]| all.iter().map(|r| r.len() + 1).sum::<usize>().saturating_sub(1);
    while length(&all) > HISTORY_CHARS_MAX {
        all.remove(0);
    }
    let history = all.join(",");
    set.set_path(&["metadata", "annotations", HISTORY], history);
}

/// Upstream: generateReplicaSetName.
fn set_name(deployment: &str, hash: &str) -> String {
    let most = NAME_LEN_MAX - 1 - hash.len();
    format!("{}-{hash}", &deployment[..deployment.len().min(most)])
}
