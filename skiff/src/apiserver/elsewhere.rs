//! Servers that this server's own flags name: webhooks by kubeconfigs, and issuers of tokens.
//!
//! Upstream: apiserver/pkg/util/webhook/webhook.go LoadKubeconfig.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use api::Value;
use auth::authenticate::jwt::configuration::Issuer;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use certs::{PrivateKey, careless, tls, tls::KeyPair};
use http::HeaderValue;
use rustls::ClientConfig;
use server::outgoing::{
    Outgoing, Trust,
    elsewhere::{Documents, FIRST_WAIT, Place, Webhook},
    introduced::{Introduction, Introductions},
};
use streaming::{dial::Way, egress::Network};

use super::{identity::why_not, outgoing::machine};
use crate::controllers::outside::{entry, material};

/// Makes a place of what a kubeconfig says of one.
type Making = fn(&str, Option<String>, Arc<ClientConfig>, Option<HeaderValue>) -> Result<Place, String>;

/// How long a webhook has that takes events. Upstream: `defaultRequestTimeout` of webhooks.
const EVENTS_WITHIN: Duration = Duration::from_secs(30);

/// The webhook that the current context of a kubeconfig names. All calls together have `altogether`, when that is said.
pub fn webhook(
    path: &Path,
    outgoing: &Arc<Outgoing>,
    within: Duration,
    altogether: Option<Duration>,
) -> Result<Webhook> {
    let place = read(path, Place::new)?;
    Ok(Webhook { outgoing: outgoing.clone(), place, within, altogether, first_wait: FIRST_WAIT })
}

/// The same of one that takes events of the audit, over plain HTTP as well.
pub fn events(path: &Path, outgoing: &Arc<Outgoing>) -> Result<Webhook> {
    let place = read(path, Place::even_plain)?;
    let (within, first_wait) = (EVENTS_WITHIN, FIRST_WAIT);
    Ok(Webhook { outgoing: outgoing.clone(), place, within, altogether: None, first_wait })
}

/// As whom this server shows itself to users' webhooks: each user of a kubeconfig is for the webhooks that his name fits.
pub fn introductions(path: &Path) -> Result<Introductions> {
    let config = tree(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut users = BTreeMap::new();
    for user in config.list("users") {
        let (name, user) = (user.str("name"), user.at("user"));
        for member in ["exec", "auth-provider", "as"] {
            if user.has(member) {
                bail!(
                    "{}: its user {} says who he is by {member}, which is not supported here",
                    path.display(),
                    api::field::quote(name)
                );
            }
        }
        users.insert(name.to_owned(), Introduction::new(shown(user, folder)?, authorization(user, folder)?));
    }
    let current = config.list("contexts").iter().find(|context| context.str("name") == config.str("current-context"));
    Ok(Introductions::new(users, current.map_or("", |context| context.at("context").str("user"))))
}

fn tree(path: &Path) -> Result<Value> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| anyhow!("stat {shown}: {}", why_not(&error)))?;
    server::outgoing::any(text.as_bytes())
        .map_err(|why| anyhow!("error loading config file {}: {why}", api::field::quote(&shown.to_string())))
}

fn read(path: &Path, make: Making) -> Result<Place> {
    let place = place(&tree(path)?, path.parent().unwrap_or(Path::new(".")), make);
    place.with_context(|| format!("{} is no kubeconfig of a webhook", path.display()))
}

/// The certificate by which a user of a kubeconfig shows who he is.
fn shown(user: &Value, folder: &Path) -> Result<Option<Arc<KeyPair>>> {
    match (material(user, "client-certificate", folder)?, material(user, "client-key", folder)?) {
        (Some(certificate), Some(key)) => Ok(Some(Arc::new(KeyPair::new(&certificate, &PrivateKey::from_pem(&key)?)?))),
        (None, None) => Ok(None),
        _ => bail!("its user has a certificate without a key, or the other way round"),
    }
}

/// How the documents of an issuer are read: its server is believed by its authorities, or as this machine does, and
/// reached straight, unless it is said by which way.
pub fn documents(issuer: &Issuer, outgoing: &Arc<Outgoing>) -> Result<Documents> {
    let trust = Trust::Authorities(issuer.authority.as_bytes().to_vec());
    let tls = outgoing.tls(&trust, false).map_err(|why| anyhow!("{why}"))?;
    let network = Network::ALL.into_iter().find(|network| network.word() == issuer.egress);
    let way = network.map_or(Way::STRAIGHT, |network| outgoing.egress().way(network));
    Ok(Documents { outgoing: outgoing.clone(), tls, way })
}

fn place(config: &Value, folder: &Path, make: Making) -> Result<Place> {
    let context = entry(config, "contexts", "context", config.str("current-context"))?;
    let cluster = entry(config, "clusters", "cluster", context.str("cluster"))?;
    let nobody = Value::object();
    let user = match context.str("user") {
        "" => &nobody,
        name => entry(config, "users", "user", name)?,
    };
    let shown = shown(user, folder)?;
    let config = match (cluster.bool("insecure-skip-tls-verify"), material(cluster, "certificate-authority", folder)?) {
        (true, Some(_)) => bail!("specifying a root certificates file with the insecure flag is not allowed"),
        (true, None) => careless::client_config_as(shown)?,
        (false, Some(authority)) => tls::client_config(&authority, shown, false)?,
        (false, None) => tls::client_config(&machine(), shown, false)?,
    };
    let name = cluster.opt_str("tls-server-name").map(str::to_owned);
    make(cluster.str("server"), name, Arc::new(config), authorization(user, folder)?).map_err(|why| anyhow!("{why}"))
}

fn authorization(user: &Value, folder: &Path) -> Result<Option<HeaderValue>> {
    let text = match (user.opt_str("token"), user.opt_str("tokenFile"), user.opt_str("username")) {
        (Some(token), ..) => format!("Bearer {token}"),
        (None, Some(file), _) => {
            let file = folder.join(file);
            let token = std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
            format!("Bearer {}", token.trim())
        }
        (None, None, Some(name)) => format!("Basic {}", STANDARD.encode(format!("{name}:{}", user.str("password")))),
        (None, None, None) => return Ok(None),
    };
    // The error would show the text.
    HeaderValue::from_str(&text).map(Some).map_err(|_| anyhow!("its user's credentials cannot stand in a header"))
}
