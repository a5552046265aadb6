//! Keeps namespaces within their ResourceQuotas, and notes what is used.
//!
//! What a request uses is added to the quota's status before the object is stored, guarded by the quota's
//! resourceVersion, so that two servers cannot give the same room away twice. In one server the requests of a namespace
//! take turns, and who has the turn charges all that wait with one write. When an object is not stored after all, the
//! quota's controller counts anew. Upstream: apiserver/pkg/admission/plugin/resourcequota.

mod check;
mod measure;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use api::{GroupResource, Status, Value, meta};
use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{Cluster, Operation, Plugin, Request, amounts::Amounts, plain};
use measure::Measure;

pub use check::Limited;

pub struct ResourceQuota {
    /// What may be used only where a quota covers it.
    limited: Vec<Limited>,
    lanes: Mutex<HashMap<String, Arc<Lane>>>,
}

/// The turn of a namespace.
#[derive(Default)]
struct Lane {
    waiting: Mutex<Vec<Arc<Charge>>>,
    turn: tokio::sync::Mutex<Written>,
}

/// Quotas as this server wrote them last: memory may be behind.
#[derive(Default)]
struct Written(BTreeMap<String, Value>);

/// A request that waits to be charged.
struct Charge {
    measure: Measure,
    resource: GroupResource,
    /// By which a refusal calls the object.
    name: String,
    operation: Operation,
    subresource: String,
    namespace: String,
    dry_run: bool,
    object: Value,
    old: Value,
    outcome: Mutex<Option<Result<(), Status>>>,
}

/// A quota, taken apart.
#[derive(Clone)]
struct Quota {
    object: Value,
    hard: Amounts,
    used: Amounts,
}

/// How often others may have been faster.
const RETRIES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(10);
/// Lanes that nobody uses are dropped when there are this many.
const LANES_MAX: usize = 1024;

/// Not stored, or never counted. Upstream: pkg/quota/v1/install ignoredResources.
const IGNORED: [(&str, &str); 10] = [
    ("", "bindings"),
    ("", "componentstatuses"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("", "events"),
    ("events.k8s.io", "events"),
];

impl ResourceQuota {
    /// `configuration` is upstream's: `{limitedResources: […]}`.
    pub fn new(configuration: &Value) -> Result<ResourceQuota, String> {
        let limited = configuration.list("limitedResources").iter().map(Limited::read).collect();
        let mut errors = api::field::Errors::new();
        for (i, limit) in configuration.list("limitedResources").iter().enumerate() {
            if limit.str("resource").is_empty() {
                errors.required(&api::field::Path::new("limitedResources").index(i).child("resource"), "");
            }
        }
        match errors.is_empty() {
            true => Ok(ResourceQuota { limited, lanes: Mutex::default() }),
            false => Err(errors.message()),
        }
    }

    fn lane(&self, namespace: &str) -> Arc<Lane> {
        let mut lanes = self.lanes.lock();
        if lanes.len() >= LANES_MAX {
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        }
        lanes.entry(namespace.into()).or_default().clone()
    }

    /// Waits for the turn and charges, unless who had it before has.
    async fn charge(&self, charge: Arc<Charge>, cluster: &Cluster) -> Result<(), Status> {
        let lane = self.lane(&charge.namespace);
        lane.waiting.lock().push(charge.clone());
        let mut written = lane.turn.lock().await;
        if let Some(outcome) = charge.outcome.lock().take() {
            return outcome;
        }
        let mut batch = std::mem::take(&mut *lane.waiting.lock());
        // Who took it along may have gone away before it was charged.
        if !batch.iter().any(|other| Arc::ptr_eq(other, &charge)) {
            batch.push(charge.clone());
        }
        self.charge_all(&batch, &mut written, cluster).await;
        charge.outcome.lock().take().unwrap_or(Ok(()))
    }

    /// Upstream: `checkQuotas`.
    async fn charge_all(&self, batch: &[Arc<Charge>], written: &mut Written, cluster: &Cluster) {
        let namespace = batch.first().map_or("", |c| &c.namespace);
        let mut quotas = written.newest(cluster.list("", "resourcequotas", namespace));
        for attempt in 0..=RETRIES {
            let before = quotas.clone();
            let charged = self.fit(batch, &mut quotas, cluster);
            let mut raced: Vec<(String, Status)> = Vec::new();
            for (quota, _) in quotas.iter().zip(&before).filter(|(new, old)| new.used != old.used) {
                if let Err(error) = written.write(quota, cluster).await {
                    raced.push((quota.name().into(), error));
                }
            }
            let Some((_, error)) = raced.last() else {
                charged.iter().for_each(|c| c.end(Ok(())));
                return;
            };
            if attempt == RETRIES {
                charged.iter().for_each(|c| c.end(Err(error.clone())));
                return;
            }
            // The quotas that were written have charged already; only the others are tried again.
            quotas = match again(namespace, &raced, cluster).await {
                Ok(found) => found,
                Err(error) => return charged.iter().for_each(|c| c.end(Err(error.clone()))),
            };
        }
    }

    /// Charges what fits and ends what does not or changes nothing; answers those that wait for the writes.
    fn fit(&self, batch: &[Arc<Charge>], quotas: &mut Vec<Quota>, cluster: &Cluster) -> Vec<Arc<Charge>> {
        let mut charged = Vec::new();
        for charge in batch.iter().filter(|c| c.outcome.lock().is_none()) {
            match check::check(charge, quotas, &self.limited, cluster) {
                Err(error) => charge.end(Err(error)),
                Ok(_) if charge.dry_run => charge.end(Ok(())),
                Ok(new) if new.iter().zip(&*quotas).all(|(n, q)| n.used == q.used) => charge.end(Ok(())),
                Ok(new) => {
                    *quotas = new;
                    charged.push(charge.clone());
                }
            }
        }
        charged
    }
}

#[async_trait]
impl Plugin for ResourceQuota {
    fn name(&self) -> &'static str {
        "ResourceQuota"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let resource = (request.resource.group.as_str(), request.resource.resource.as_str());
        if request.namespace.is_empty() || resource == ("", "namespaces") || IGNORED.contains(&resource) {
            return Ok(());
        }
        let measure = Measure::of(request.resource);
        if !measure.handles(request.operation, request.subresource, &request.object, request.old) {
            return Ok(());
        }
        if self.limited.is_empty() && cluster.list("", "resourcequotas", request.namespace).is_empty() {
            return Ok(());
        }
        let charge = Arc::new(Charge {
            measure,
            resource: request.resource.clone(),
            name: request.shown_name().into(),
            operation: request.operation,
            subresource: request.subresource.into(),
            namespace: request.namespace.into(),
            dry_run: request.dry_run,
            object: request.object.clone(),
            old: request.old.clone(),
            outcome: Mutex::new(None),
        });
        let charged = tokio::time::timeout(PATIENCE, self.charge(charge, cluster)).await;
        charged.unwrap_or_else(|_| Err(Status::internal("resource quota evaluation timed out")))
    }
}

/// The quotas whose writes failed, as they are now; what is gone limits nothing.
async fn again(namespace: &str, raced: &[(String, Status)], cluster: &Cluster) -> Result<Vec<Quota>, Status> {
    let resource = GroupResource::new("", "resourcequotas");
    let mut found = Vec::new();
    for (name, _) in raced {
        found.extend(cluster.look.get_live(&resource, namespace, name).await?.map(Quota::read));
    }
    Ok(found)
}

// === impl Written ===

impl Written {
    /// Of each quota the newer: as memory has it or as it was written. Upstream: `checkCache`.
    fn newest(&mut self, found: Vec<Value>) -> Vec<Quota> {
        let version = |quota: &Value| meta::of(quota).resource_version().parse::<u64>().unwrap_or(0);
        self.0.retain(|name, own| {
            found.iter().any(|f| {
                let (own_meta, found_meta) = (meta::of(own), meta::of(f));
                found_meta.name() == name && found_meta.uid() == own_meta.uid() && version(own) > version(f)
            })
        });
        let newer = |quota: Value| self.0.get(meta::of(&quota).name()).cloned().unwrap_or(quota);
        found.into_iter().map(|quota| Quota::read(newer(quota))).collect()
    }

    async fn write(&mut self, quota: &Quota, cluster: &Cluster) -> Result<(), Status> {
        let mut object = quota.object.clone();
        object.set_path(&["status", "used"], quota.used.to_value());
        let stored = cluster.act.update_quota_status(object).await?;
        self.0.insert(quota.name().into(), stored);
        Ok(())
    }
}

// === impl Charge ===

impl Charge {
    fn end(&self, outcome: Result<(), Status>) {
        *self.outcome.lock() = Some(outcome);
    }

    fn forbid(&self, why: String) -> Status {
        Status::forbidden(&self.resource, &self.name, why)
    }

    fn fail(&self, why: String) -> Status {
        plain(why)
    }
}

// === impl Quota ===

impl Quota {
    fn read(object: Value) -> Quota {
        let status = object.at("status");
        Quota { hard: Amounts::of(status.at("hard")), used: Amounts::of(status.at("used")), object }
    }

    fn name(&self) -> &str {
        meta::of(&self.object).name()
    }
}
