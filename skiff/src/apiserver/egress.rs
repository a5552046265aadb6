//! Which way connections leave: the file that says so, the proxies that it names, and what is counted of them.
//!
//! Upstream: apiserver/pkg/server/options/egress_selector.go, server/egressselector/egress_selector.go.

mod counted;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc};

use anyhow::{Result, anyhow, bail};
use certs::{
    PrivateKey,
    tls::{self, KeyPair},
};
use egress::{
    Dialer, Proxy, Tally,
    configuration::{self, Connection, Files},
};
use server::metrics::Metrics;
use streaming::{
    dial::{Target, Way},
    egress::Egress,
};

use super::{configured, identity::read, outgoing};
use counted::Counted;
#[cfg(test)]
pub use counted::ROWS;

const KIND: &str = "EgressSelectorConfiguration";

/// What is wrong with the flag. Upstream: `EgressSelectorOptions.Validate`.
pub fn check(path: Option<&Path>) -> Option<String> {
    let missing = path.filter(|path| !path.exists())?;
    Some(format!("egress-selector-config-file {} does not exist", missing.display()))
}

/// The ways that a file says; what goes by proxies is counted.
pub fn open(path: Option<&Path>, metrics: &Metrics) -> Result<Egress> {
    let Some(path) = path else { return Ok(Egress::default()) };
    let shown = path.display().to_string();
    let text = read(path).map_err(|why| {
        let path = api::field::quote(&shown);
        anyhow!("unable to read egress selector configuration from {path} [{why}]")
    });
    let tree = text.and_then(|text| tree(&text));
    let tree = tree.map_err(|why| anyhow!("failed to read egress selector config: {why}"))?;
    let selections = configuration::read(&tree, &|path| Path::new(path).exists())
        .map_err(|errors| anyhow!("failed to validate egress selector configuration: {}", errors.message()))?;
    let Some(selections) = selections else { return Ok(Egress::default()) };
    let counted = Arc::new(Counted::default());
    let mut ways = std::collections::BTreeMap::new();
    for selection in selections {
        let name = api::field::quote(selection.network.word());
        let way = way(&selection.connection, &counted).map_err(|why| {
            anyhow!(
                "failed to setup egress selector with config {shown}: failed to create dialer for egressSelection {name}: {why}"
            )
        })?;
        ways.insert(selection.network, way);
    }
    metrics.collect(move |page| counted.write(page));
    Ok(Egress::new(ways))
}

fn tree(text: &str) -> Result<api::Value> {
    let found = configured::known(text)?;
    let tree = configured::strict(text, &found)?;
    if found.kind != KIND {
        bail!("unexpected config type: {}, Kind={}", tree.str("apiVersion"), found.kind);
    }
    Ok(tree)
}

fn way(connection: &Connection, counted: &Arc<Counted>) -> Result<Way> {
    let proxy = match connection {
        Connection::Direct => return Ok(Way::STRAIGHT),
        Connection::ConnectUnix(path) => Proxy::ConnectUnix(path.clone()),
        Connection::Grpc(path) => Proxy::Grpc(path.clone()),
        Connection::Connect { url, tls } => Proxy::Connect(target(url, tls.as_ref())?),
    };
    // Upstream's numbers are of 63 bits; what matters is that no two dials at a time have the same.
    let draw = Arc::new(|| i64::try_from(outgoing::number()).unwrap_or_default());
    let tally: Arc<dyn Tally> = counted.clone();
    Ok(Way::by(Arc::new(Dialer { proxy, tally, draw })))
}

/// Where a proxy is. Plain HTTP is spoken where the URL says so; upstream takes such a file and panics.
fn target(url: &str, files: Option<&Files>) -> Result<Target> {
    let quoted = api::field::quote(url);
    let uri: http::Uri = url.parse().map_err(|why| anyhow!("invalid proxy server url {quoted}: {why}"))?;
    let host = uri.host().unwrap_or_default();
    let Some(port) = uri.port_u16() else { bail!("address {host}: missing port in address") };
    let host = host.trim_matches(['[', ']']).to_owned();
    let name = files.map(|files| files.name.clone()).filter(|name| !name.is_empty());
    let tls = files.map(secured).transpose()?.map(Arc::new);
    Ok(Target { host, port, tls, name, public_only: false, way: Way::STRAIGHT })
}

fn secured(files: &Files) -> Result<rustls::ClientConfig> {
    let (certificate, key) = (Path::new(&files.certificate), Path::new(&files.key));
    let unread =
        |why: anyhow::Error| anyhow!("failed to read key pair {} & {}, got {why}", files.certificate, files.key);
    let pair = read(certificate).and_then(|certificate| {
        let key = PrivateKey::from_pem(&read(key)?)?;
        Ok(Arc::new(KeyPair::new(&certificate, &key)?))
    });
    let pair = pair.map_err(unread)?;
    let authorities = match files.authorities.as_str() {
        "" => outgoing::machine(),
        path => read(Path::new(path)).map_err(|why| anyhow!("failed to read cert file {path}, got {why}"))?,
    };
    tls::client_config(&authorities, Some(pair), false)
        .map_err(|why| anyhow!("failed to append CA cert to the cert pool: {why}"))
}
