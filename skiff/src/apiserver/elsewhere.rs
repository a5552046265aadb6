//! Servers that this server's own flags name: webhooks by kubeconfigs, and issuers of tokens.
//!
//! Upstream: apiserver/pkg/util/webhook/webhook.go LoadKubeconfig.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use api::Value;
use auth::authenticate::jwt::configuration::Issuer;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use certs::{PrivateKey, careless, tls, tls::KeyPair};
use http::HeaderValue;
use rustls::ClientConfig;
use server::outgoing::{
    Outgoing, Trust,
    elsewhere::{Documents, Place, Webhook},
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
    Ok(Webhook { outgoing: outgoing.clone(), place, within, altogether })
}

/// The same of one that takes events of the audit, over plain HTTP as well.
pub fn events(path: &Path, outgoing: &Arc<Outgoing>) -> Result<Webhook> {
    let place = read(path, Place::even_plain)?;
    Ok(Webhook { outgoing: outgoing.clone(), place, within: EVENTS_WITHIN, altogether: None })
}

fn read(path: &Path, make: Making) -> Result<Place> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| anyhow!("stat {shown}: {}", why_not(&error)))?;
    let config = server::outgoing::any(text.as_bytes())
        .map_err(|why| anyhow!("error loading config file {}: {why}", api::field::quote(&shown.to_string())))?;
    let place = place(&config, path.parent().unwrap_or(Path::new(".")), make);
    place.with_context(|| format!("{shown} is no kubeconfig of a webhook"))
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
    let shown = match (material(user, "client-certificate", folder)?, material(user, "client-key", folder)?) {
        (Some(certificate), Some(key)) => Some(Arc::new(KeyPair::new(&certificate, &PrivateKey::from_pem(&key)?)?)),
        (None, None) => None,
        _ => bail!("its user has a certificate without a key, or the other way round"),
    };
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
