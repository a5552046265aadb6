//! Whose tokens are taken beside our own: by an AuthenticationConfiguration, or by flags that say the same of one issuer.
//!
//! Upstream: pkg/kubeapiserver/options/authentication.go, pkg/kubeapiserver/authenticator/config.go.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, anyhow, bail};
use api::{Value, time::Clock, value};
use auth::Tally;
use auth::authenticate::{
    Anonymous, Elsewhere, Jwt, Replaceable,
    jwt::{Configuration, Issuers, configuration::AnonymousWhere, token::ALGORITHMS},
};
use server::{metrics::Metrics, outgoing::Outgoing};

use super::{configured, elsewhere, identity::read};
use crate::flags::Apiserver;

/// What it takes to make authenticators of a configuration, at the start and when the file changes.
#[derive(Clone)]
pub struct Maker {
    outgoing: Arc<Outgoing>,
    clock: Arc<dyn Clock>,
    tally: Arc<dyn Tally>,
    api_audiences: Vec<String>,
    own_issuers: Vec<String>,
    algorithms: Vec<String>,
}

/// What the flags come to.
pub struct Opened {
    /// `None`: nobody else's tokens are taken, and none ever will.
    pub tokens: Option<Arc<Replaceable>>,
    pub anonymous: Option<Anonymous>,
}

/// Authenticators of one configuration, and the issuers among them, whose documents are still to be read.
struct Made {
    tokens: Arc<dyn Elsewhere>,
    all: Vec<Arc<Jwt>>,
}

/// The issuers that count, and the task that reads their documents at the start.
struct Now {
    all: Vec<Arc<Jwt>>,
    preparing: tokio::task::JoinHandle<()>,
}

const KIND: &str = "AuthenticationConfiguration";
/// An issuer that could not be reached is tried again after so long.
const AGAIN: Duration = Duration::from_secs(10);
/// Issuers of a file that has changed have to be reached within this time. Upstream: UpdateAuthenticationConfigTimeout.
const REACHED_WITHIN: Duration = Duration::from_secs(60);

pub fn open(
    flags: &Apiserver,
    outgoing: &Arc<Outgoing>,
    clock: &Arc<dyn Clock>,
    api_audiences: &[String],
    metrics: &Metrics,
) -> Result<Opened> {
    let mut maker = Maker {
        outgoing: outgoing.clone(),
        clock: clock.clone(),
        tally: metrics.auth.clone(),
        api_audiences: api_audiences.to_vec(),
        own_issuers: flags.service_account_issuer.clone(),
        algorithms: ALGORITHMS.map(str::to_owned).to_vec(),
    };
    let Some(path) = &flags.access.authentication_config else {
        let Some(tree) = tree_of_flags(flags)? else {
            return Ok(Opened { tokens: None, anonymous: anonymous(flags, None)? });
        };
        if flags.access.oidc_signing_algs.is_empty() {
            maker.algorithms = vec!["RS256".to_owned()];
        } else {
            maker.algorithms.clone_from(&flags.access.oidc_signing_algs);
        }
        if let Some(unknown) = maker.algorithms.iter().find(|one| !ALGORITHMS.contains(&one.as_str())) {
            bail!("oidc: unsupported signing alg: {}", api::field::quote(unknown));
        }
        let made = maker.make(maker.read(&tree)?)?;
        tokio::spawn(prepare(made.all));
        let tokens = Some(Arc::new(Replaceable::new(made.tokens)));
        return Ok(Opened { tokens, anonymous: anonymous(flags, None)? });
    };
    if flags.access.names_issuer() {
        bail!("authentication-config file and oidc-* flags are mutually exclusive");
    }
    let wrong = |why| {
        let path = api::field::quote(&path.display().to_string());
        anyhow!("failed to load authentication configuration from file {path}: {why}")
    };
    let text = read(path).map_err(wrong)?;
    let tree = configured::parse(&text, KIND).map_err(wrong)?;
    let configuration = maker.read(&tree)?;
    let opened = anonymous(flags, configuration.anonymous.as_ref())?;
    let made = maker.make(configuration)?;
    let tokens = Arc::new(Replaceable::new(made.tokens));
    let now = Now { preparing: tokio::spawn(prepare(made.all.clone())), all: made.all };
    let file = configured::Followed::new(path, &text, &configured::AUTHENTICATION, clock, metrics);
    tokio::spawn(follow(maker, file, text, tree.at("anonymous").clone(), tokens.clone(), now));
    Ok(Opened { tokens: Some(tokens), anonymous: opened })
}

/// What machines read of a cluster before they join it.
const CARD: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";

/// Where nobody in particular may ask.
fn anonymous(flags: &Apiserver, said: Option<&AnonymousWhere>) -> Result<Option<Anonymous>> {
    let open = flags.authorization_modes().iter().any(|mode| mode == "AlwaysAllow")
        && flags.access.authorization_config.is_none();
    match (said, flags.access.anonymous_auth) {
        (Some(_), Some(_)) => bail!(
            "anonymous: Forbidden: --anonymous-auth flag cannot be set when anonymous field is configured in authentication configuration file"
        ),
        (Some(said), None) => Ok(said.authenticator()),
        (None, Some(true)) if open => {
            tracing::warn!(
                "AnonymousAuth is not allowed with the AlwaysAllow authorizer. Resetting AnonymousAuth to false. You should use a different authorizer"
            );
            Ok(None)
        }
        (None, Some(true)) => Ok(Some(Anonymous::default())),
        (None, Some(false)) => Ok(None),
        // A machine that joins cannot say who it is before it knows the cluster.
        (None, None) if flags.enable_bootstrap_token_auth && !open => {
            Ok(Some(Anonymous::on_default_paths().and_on(CARD)))
        }
        (None, None) => Ok(Some(Anonymous::on_default_paths())),
    }
}

/// The flags about an issuer as a configuration.
fn tree_of_flags(flags: &Apiserver) -> Result<Option<Value>> {
    let said = &flags.access;
    if !said.names_issuer() {
        return Ok(None);
    }
    let (Some(url), Some(client)) = (&said.oidc_issuer_url, &said.oidc_client_id) else {
        bail!("oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set");
    };
    let claim = said.oidc_username_claim.as_deref().unwrap_or("sub");
    let prefix = match said.oidc_username_prefix.as_deref().unwrap_or_default() {
        "" if claim != "email" => format!("{url}#"),
        "-" => String::new(),
        prefix => prefix.to_owned(),
    };
    let mut issuer = value!({"url": (url.as_str()), "audiences": [(client.as_str())]});
    if let Some(path) = &said.oidc_ca_file {
        issuer.set("certificateAuthority", read(path)?);
    }
    let mut mappings = value!({"username": {"claim": (claim), "prefix": (prefix)}});
    if let Some(groups) = &said.oidc_groups_claim {
        let prefix = said.oidc_groups_prefix.as_deref().unwrap_or_default();
        mappings.set("groups", value!({"claim": (groups.as_str()), "prefix": (prefix)}));
    }
    let rules = said.oidc_required_claim.iter().map(|pair| match pair.split_once('=') {
        Some((claim, wanted)) => Ok(value!({"claim": (claim.trim()), "requiredValue": (wanted.trim())})),
        None => {
            let pair = api::field::quote(pair);
            Err(anyhow!(
                "invalid argument {pair} for \"--oidc-required-claim\" flag: malformed pair, expect string=string"
            ))
        }
    });
    let rules = rules.collect::<Result<Vec<Value>>>()?;
    let jwt = value!({"issuer": (issuer), "claimMappings": (mappings), "claimValidationRules": (Value::array(rules))});
    Ok(Some(value!({"jwt": [(jwt)]})))
}

// === impl Maker ===

impl Maker {
    fn read(&self, tree: &Value) -> Result<Configuration> {
        let read = Configuration::read(tree);
        read.map_err(|errors| anyhow!("invalid authentication configuration: {}", errors.message()))
    }

    fn make(&self, configuration: Configuration) -> Result<Made> {
        let mut all = Vec::new();
        for issuer in configuration.issuers {
            let egress = self.outgoing.egress();
            let ways = egress.selected().map(|ways| ways.keys().map(|network| network.word()).collect::<Vec<_>>());
            issuer.check(&self.own_issuers, ways.as_deref()).map_err(anyhow::Error::msg)?;
            let fetch = Arc::new(elsewhere::documents(&issuer, &self.outgoing)?);
            all.push(Arc::new(issuer.open(self.algorithms.clone(), fetch)));
        }
        let (clock, tally) = (self.clock.clone(), self.tally.clone());
        let issuers = Issuers { all: all.clone(), api_audiences: self.api_audiences.clone(), clock, tally };
        Ok(Made { tokens: Arc::new(issuers), all })
    }
}

/// Reads the documents of all issuers, as often as it takes.
async fn prepare(all: Vec<Arc<Jwt>>) {
    let mut open = all;
    loop {
        let mut left = Vec::new();
        for jwt in open {
            if let Err(error) = jwt.prepare().await {
                tracing::error!(%error, issuer = jwt.issuer(), "oidc authenticator: initializing plugin");
                left.push(jwt);
            }
        }
        if left.is_empty() {
            return;
        }
        open = left;
        tokio::time::sleep(AGAIN).await;
    }
}

/// Issuers that are not there any more.
fn gone<'a>(before: &'a [Arc<Jwt>], now: &'a [Arc<Jwt>]) -> impl Iterator<Item = &'a str> {
    let is_there = |issuer: &str| now.iter().any(|jwt| jwt.issuer() == issuer);
    before.iter().map(|jwt| jwt.issuer()).filter(move |issuer| !is_there(issuer))
}

/// Follows the file. What is wrong changes nothing, and neither does what cannot be reached.
async fn follow(
    maker: Maker,
    file: Arc<configured::Followed>,
    mut last: String,
    anonymous: Value,
    tokens: Arc<Replaceable>,
    mut now: Now,
) {
    loop {
        let text = file.changed(&last).await;
        last.clone_from(&text);
        let made = configured::parse(&text, KIND).and_then(|tree| {
            if *tree.at("anonymous") != anonymous {
                bail!("anonymous: Forbidden: changed from initial configuration file");
            }
            maker.make(maker.read(&tree)?)
        });
        let Made { tokens: next, all } = match made {
            Ok(made) => made,
            Err(error) => {
                file.refused();
                tracing::error!(%error, "failed to load authentication config");
                continue;
            }
        };
        if tokio::time::timeout(REACHED_WITHIN, prepare(all.clone())).await.is_err() {
            let why: Vec<String> = all.iter().filter_map(|jwt| jwt.health().err()).collect();
            file.refused();
            tracing::error!(why = why.join(", "), "failed to update authentication config");
            // It may be reached later.
            last.clear();
            continue;
        }
        now.preparing.abort();
        tokens.replace(next);
        let before = std::mem::replace(&mut now.all, all);
        gone(&before, &now.all).for_each(|issuer| maker.tally.issuer_gone(issuer));
        file.taken(&last);
        tracing::info!("reloaded authentication config");
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::flags;

    /// Where nobody in particular is known.
    fn paths(arguments: &[&str]) -> Option<Vec<String>> {
        let read = flags::Skiff::try_parse_from([&["skiff", "apiserver"], arguments].concat());
        let Ok(flags::Skiff { command: flags::Command::Apiserver(flags), .. }) = read else {
            panic!("they are flags of another command")
        };
        anonymous(&flags, None).expect("they are right").map(|anonymous| anonymous.paths)
    }

    #[test]
    fn machines_that_join_may_ask_for_one_thing_before_they_know_who_they_are() {
        let knows_card = |arguments: &[&str]| paths(arguments).is_some_and(|paths| paths.iter().any(|p| p == CARD));
        let (modes, tokens) = ("--authorization-mode=Node,RBAC", "--enable-bootstrap-token-auth");
        assert!(knows_card(&[modes, tokens]));
        assert!(!knows_card(&[modes]), "nobody joins");
        assert!(!knows_card(&[tokens]), "whoever is known may do everything");
        assert!(!knows_card(&[modes, tokens, "--anonymous-auth=false"]), "a flag says so");
        assert_eq!(paths(&[modes, tokens, "--anonymous-auth=true"]), Some(vec![]), "everywhere");
    }
}
