//! Which modes decide, and what they decide by.
//!
//! Upstream: pkg/kubeapiserver/authorizer/config.go, pkg/kubeapiserver/options/authorization.go.

use std::sync::Arc;

use anyhow::{Result, bail};
use auth::authorize::{AlwaysAllow, AlwaysDeny, Authorizer, Index, Mode, Node, Rbac, Relations};
use registry::{Registry, special};

/// What is read from storage to decide by.
pub struct Policy {
    pub index: Arc<Index>,
    /// Where nodes have a mode of their own.
    relations: Option<Arc<Relations>>,
}

/// The modes of `--authorization-mode` in its order.
pub fn authorizer(names: &[String]) -> Result<(Authorizer, Policy)> {
    let mut policy = Policy { index: Arc::default(), relations: None };
    let mut modes: Vec<Box<dyn Mode>> = Vec::new();
    for name in names {
        modes.push(match name.as_str() {
            "Node" => {
                let relations = policy.relations.get_or_insert_default().clone();
                let rules = special::furniture::rules_of("system:node").map_err(|e| anyhow::anyhow!("{e}"))?;
                Box::new(Node { relations, rules: Arc::new(rules) })
            }
            "RBAC" => Box::new(Rbac { index: policy.index.clone() }),
            "AlwaysAllow" => Box::new(AlwaysAllow),
            "AlwaysDeny" => Box::new(AlwaysDeny),
            other => {
                bail!("--authorization-mode: {other} is not built yet; there are Node, RBAC, AlwaysAllow, AlwaysDeny")
            }
        });
    }
    Ok((Authorizer::new(modes), policy))
}

// === impl Policy ===

impl Policy {
    /// Reads what there is, and follows what comes.
    pub fn follow(&self, registry: &Arc<Registry>) {
        special::policy::follow(registry, &self.index);
        if let Some(relations) = &self.relations {
            special::relations::follow(registry, relations);
        }
    }
}
