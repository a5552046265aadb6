//! From one template to the next, a few nodes at a time.
//!
//! Upstream: pkg/controller/daemon/update.go rollingUpdate.

use std::sync::Arc;

use api::{Value, intstr};

use crate::pods;

use super::Sync;

type Pod = Arc<Value>;

pub(super) fn allows_surge(set: &Value) -> bool {
    surge(set, 1) > 0
}

fn surge(set: &Value, nodes: i64) -> i64 {
    let strategy = set.at("spec").at("updateStrategy");
    if strategy.str("type") != "RollingUpdate" {
        return 0;
    }
    intstr::scaled(strategy.at("rollingUpdate").at("maxSurge"), nodes, true).unwrap_or(0)
}

fn unavailable(set: &Value, nodes: i64) -> i64 {
    let rolling = set.at("spec").at("updateStrategy").at("rollingUpdate");
    intstr::scaled(rolling.at("maxUnavailable"), nodes, true).unwrap_or(0)
}

// === impl Sync ===

impl Sync<'_> {
    pub(super) fn roll(&mut self) {
        let wanted: Vec<String> = self.nodes.iter().filter(|(_, f)| f.should_run).map(|(n, _)| name(n)).collect();
        let desired = wanted.len() as i64;
        for node in wanted {
            self.pods.entry(node).or_default();
        }
        let (max_surge, mut max_unavailable) = (surge(&self.set, desired), unavailable(&self.set, desired));
        if desired > 0 && max_unavailable == 0 && max_surge == 0 {
            max_unavailable = 1;
        }
        let (make, delete) = if max_surge == 0 {
            (Vec::new(), self.replace(max_unavailable))
        } else {
            self.replace_with_surge(max_surge, desired)
        };
        if !make.is_empty() || !delete.is_empty() {
            self.plan.because = format!("{} pods are of an old template", make.len() + delete.len()).into();
        }
        self.make(&make, &delete);
        self.pods.retain(|_, pods| !pods.is_empty());
    }

    /// The new and the old pod among those of a node; none when there are several of a sort.
    fn pair(&self, pods: &[Pod]) -> Option<(Option<Pod>, Option<Pod>)> {
        let alive = pods.iter().filter(|p| !pods::is_terminating(p)).cloned();
        let (new, old): (Vec<Pod>, Vec<Pod>) = alive.partition(|p| self.is_updated(p));
        (new.len() <= 1 && old.len() <= 1).then(|| (new.into_iter().next(), old.into_iter().next()))
    }

    /// Old pods that may go now: those that are no use anyway, and as many more as may be missing.
    fn replace(&self, max_unavailable: i64) -> Vec<Pod> {
        let (mut gone, mut useless, mut candidates) = (0, Vec::new(), Vec::new());
        for pods in self.pods.values() {
            match self.pair(pods) {
                None | Some((None, None) | (Some(_), Some(_))) => gone += 1,
                Some((Some(new), None)) => gone += i64::from(!self.is_available(&new)),
                Some((None, Some(old))) if !self.is_available(&old) => {
                    useless.push(old);
                    gone += 1;
                }
                Some((None, Some(old))) => candidates.push(old),
            }
        }
        let more = usize::try_from(max_unavailable - gone).unwrap_or(0);
        useless.extend(candidates.into_iter().take(more));
        useless
    }

    /// Nodes that get a new pod beside their old one, and old pods that have been replaced.
    fn replace_with_surge(&self, max_surge: i64, desired: i64) -> (Vec<String>, Vec<Pod>) {
        let (mut delete, mut unwanted) = (Vec::new(), Vec::new());
        let (mut allowed, mut candidates) = (Vec::new(), Vec::new());
        let (mut surging, mut available) = (0, 0);
        for (node, pods) in &self.pods {
            let Some((new, old)) = self.pair(pods) else {
                surging += 1;
                continue;
            };
            available += i64::from(old.as_ref().or(new.as_ref()).is_some_and(|p| self.is_available(p)));
            let Some(old) = old else { continue };
            if let Some(new) = new {
                if self.is_available(&new) {
                    delete.push(old)
                } else {
                    surging += 1
                }
                continue;
            }
            let wanted = self.nodes.iter().any(|(n, fitness)| fitness.should_run && name(n) == *node);
            match (self.is_available(&old), wanted) {
                (false, false) => delete.push(old),
                (false, true) => allowed.push(node.clone()),
                (true, false) => unwanted.push(old),
                (true, true) => candidates.push(node.clone()),
            }
        }
        let may_go = usize::try_from(available - desired).unwrap_or(0);
        delete.extend(unwanted.into_iter().take(may_go));
        let room = usize::try_from(max_surge - surging).unwrap_or(0);
        allowed.extend(candidates.into_iter().take(room));
        (allowed, delete)
    }
}

fn name(node: &Value) -> String {
    api::meta::of(node).name().into()
}
