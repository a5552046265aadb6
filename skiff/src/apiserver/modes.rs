//! Which modes decide, and what they decide by: by flags, or by an AuthorizationConfiguration that may change.
//!
//! Upstream: pkg/kubeapiserver/authorizer/{config,reload}.go, pkg/kubeapiserver/options/authorization.go.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Result, anyhow, bail};
use api::{Value, time::Clock};
use auth::{
    Tally,
    authorize::{
        Abac, AlwaysAllow, AlwaysDeny, Authorizer, Index, Mode, Node, Rbac, Relations, Verdict, Way, Webhook,
        configuration::{self, Configured, WebhookAt},
        webhook::Settings,
    },
};
use registry::{Registry, special};
use server::{metrics::Metrics, outgoing::Outgoing};

use super::{configured, elsewhere};
use crate::flags::{Apiserver, go::Span};

/// What is read from storage to decide by.
pub struct Policy {
    pub index: Arc<Index>,
    /// Where nodes have a mode of their own.
    relations: Option<Arc<Relations>>,
}

/// What modes are made of, also when a configuration changes: what was there at the start stays.
struct Maker {
    outgoing: Arc<Outgoing>,
    clock: Arc<dyn Clock>,
    tally: Arc<dyn Tally>,
    node: Option<Arc<dyn Mode>>,
    rbac: Arc<dyn Mode>,
    abac: Option<Arc<dyn Mode>>,
}

const KIND: &str = "AuthorizationConfiguration";
/// Upstream: defaultRequestTimeout.
const WITHIN: i64 = 30_000_000_000;
const ALLOWED: Span = Span(300_000_000_000);
const REFUSED: Span = Span(30_000_000_000);
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// The modes of the flags, in their order.
pub fn authorizer(
    flags: &Apiserver,
    outgoing: &Arc<Outgoing>,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> Result<(Arc<Authorizer>, Policy)> {
    let path = flags.access.authorization_config.as_ref();
    let text = path.map(|path| super::identity::read(path)).transpose()?;
    let modes = match &text {
        Some(text) => load(text, &[])?,
        None => of_flags(flags)?,
    };
    let mut policy = Policy { index: Arc::default(), relations: None };
    let mut maker = Maker {
        outgoing: outgoing.clone(),
        clock: clock.clone(),
        tally: metrics.auth.clone(),
        node: None,
        rbac: Arc::new(Rbac { index: policy.index.clone() }),
        abac: None,
    };
    if modes.iter().any(|mode| mode.mode == "Node") {
        let relations = Arc::new(Relations::counted(metrics.auth.clone()));
        policy.relations = Some(relations.clone());
        let rules = special::furniture::rules_of("system:node").map_err(|e| anyhow!("{e}"))?;
        maker.node = Some(Arc::new(Node { relations, rules: Arc::new(rules) }));
    }
    let wrong = |why| anyhow!("invalid authorization config: {why}");
    if modes.iter().any(|mode| mode.mode == "ABAC") {
        maker.abac = Some(Arc::new(abac(flags).map_err(wrong)?));
    }
    let lasting: Vec<String> = modes.iter().map(|mode| mode.mode.clone()).filter(|mode| mode != "Webhook").collect();
    let authorizer = Arc::new(Authorizer::of(maker.ways(modes).map_err(wrong)?).counted(metrics.auth.clone()));
    if let (Some(path), Some(text)) = (path, text) {
        let file = configured::Followed::new(path, &text, &configured::AUTHORIZATION, clock, metrics);
        tokio::spawn(follow(maker, authorizer.clone(), file, text, lasting));
    }
    Ok((authorizer, policy))
}

/// The modes of a file, which are right, and among which are those that have to stay.
fn load(text: &str, lasting: &[String]) -> Result<Vec<Configured>> {
    let tree = if text.is_empty() { Ok(Value::object()) } else { configured::parse(text, KIND) };
    let tree = tree.map_err(|why| anyhow!("failed to load AuthorizationConfiguration from file: {why}"))?;
    let look = |path: &str| match std::fs::metadata(path) {
        Ok(found) => Ok(found.is_file()),
        Err(error) => Err(format!("stat {path}: {}", super::identity::why_not(&error))),
    };
    let modes = configuration::read(&tree, &look).map_err(|errors| anyhow!("{}", errors.message()))?;
    configuration::check_modes(&modes, lasting).map_err(anyhow::Error::msg)?;
    Ok(modes)
}

fn of_flags(flags: &Apiserver) -> Result<Vec<Configured>> {
    let said = &flags.access;
    let webhook = || WebhookAt {
        settings: Settings {
            name: "default".to_owned(),
            version: said.authorization_webhook_version.clone().unwrap_or_else(|| "v1beta1".to_owned()),
            allowed_nanos: said.authorization_webhook_cache_authorized_ttl.unwrap_or(ALLOWED).0,
            refused_nanos: said.authorization_webhook_cache_unauthorized_ttl.unwrap_or(REFUSED).0,
            on_failure: Verdict::NoOpinion,
        },
        conditions: Vec::new(),
        timeout_nanos: WITHIN,
        kubeconfig: said.authorization_webhook_config_file.iter().map(|p| p.display().to_string()).collect(),
    };
    let modes = flags.authorization_modes().into_iter().map(|mode| {
        let webhook = (mode == "Webhook").then(webhook);
        let name = webhook.as_ref().map_or(mode.to_lowercase(), |webhook| webhook.settings.name.clone());
        Configured { mode, name, webhook }
    });
    Ok(modes.collect())
}

fn abac(flags: &Apiserver) -> Result<Abac> {
    let Some(path) = &flags.access.authorization_policy_file else {
        bail!("open : no such file or directory");
    };
    let text = super::identity::read(path)?;
    Ok(Abac::read(&path.display().to_string(), &text, server::outgoing::any)?)
}

// === impl Maker ===

impl Maker {
    fn ways(&self, modes: Vec<Configured>) -> Result<Vec<Way>> {
        modes.into_iter().map(|mode| self.way(mode)).collect()
    }

    fn way(&self, configured: Configured) -> Result<Way> {
        let new = |mode: &str| {
            anyhow!("authorizer type {mode} is not allowed if it was not enabled at initial server startup")
        };
        if let Some(webhook) = configured.webhook {
            return self.webhook(webhook);
        }
        Ok(Way::Here(match configured.mode.as_str() {
            "Node" => self.node.clone().ok_or_else(|| new("Node"))?,
            "RBAC" => self.rbac.clone(),
            "ABAC" => self.abac.clone().ok_or_else(|| new("ABAC"))?,
            "AlwaysAllow" => Arc::new(AlwaysAllow),
            "AlwaysDeny" => Arc::new(AlwaysDeny),
            other => bail!("unknown authorization mode {other} specified"),
        }))
    }

    fn webhook(&self, at: WebhookAt) -> Result<Way> {
        let WebhookAt { settings, conditions, timeout_nanos, kubeconfig } = at;
        if !VERSIONS.contains(&settings.version.as_str()) {
            let version = api::field::quote(&settings.version);
            bail!("unsupported webhook authorizer version {version}, supported versions are \"v1\", \"v1beta1\"");
        }
        if kubeconfig.is_empty() {
            bail!("this server runs in no pod: the connectionInfo of a webhook has to be a KubeConfigFile");
        }
        let within = Duration::from_nanos(u64::try_from(timeout_nanos).unwrap_or_default());
        let reviewer = Arc::new(elsewhere::webhook(&PathBuf::from(kubeconfig), &self.outgoing, within, None)?);
        let (clock, tally) = (self.clock.clone(), self.tally.clone());
        Ok(Way::Elsewhere(Arc::new(Webhook::new(settings, conditions, reviewer, clock, tally))))
    }
}

/// Follows the file. What is wrong changes nothing.
async fn follow(
    maker: Maker,
    authorizer: Arc<Authorizer>,
    file: Arc<configured::Followed>,
    mut last: String,
    lasting: Vec<String>,
) {
    loop {
        last = file.changed(&last).await;
        match load(&last, &lasting).and_then(|modes| maker.ways(modes)) {
            Ok(ways) => {
                authorizer.replace(ways);
                file.taken(&last);
                tracing::info!("reloaded authz config");
            }
            Err(error) => {
                file.refused();
                tracing::error!(%error, "reloading authorization config");
            }
        }
    }
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
