//! The cluster's card: a config map that says to anybody where the cluster is and who signs for it.
//!
//! One that is there stays as it is, since kubeadm or somebody's hand may have made it, unless its reader could not trust the
//! cluster by it or the address was said anew. Upstream: cmd/kubeadm/app/phases/bootstraptoken/clusterinfo, cmd/util/join.go.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use api::{Value, value};
use certs::{pem, pin};
use client::{Client, Resource};
use http::Uri;
use node::certificates::discovery::{Cluster, MAP, NAMESPACE, Token};

use super::rights;
use crate::{clock, controllers::outside::Kubeconfig};

/// Who does not answer within this time from here is not where nodes are sent.
const ANSWERS: Duration = Duration::from_secs(1);

/// What machines are told of the cluster.
pub struct Card(Cluster);

/// What stands in the cluster now, or will.
#[derive(Debug, PartialEq)]
enum Step {
    Keep(Cluster),
    Write(Cluster),
}

/// Whether nodes could be sent there.
pub fn check(server: &str) -> Result<()> {
    let uri: Uri = server.parse().with_context(|| format!("--server {server}"))?;
    if uri.scheme_str() != Some("https") || uri.host().is_none_or(str::is_empty) {
        bail!("--server {server}: it has to be a URL that begins with https://");
    }
    Ok(())
}

/// Sees to it that there is a card, and answers what it says. `server` is what the user says.
pub async fn ensure(client: &Client, kubeconfig: &Kubeconfig, server: Option<&str>) -> Result<Card> {
    rights::ensure(client, &rights::of_the_card()).await?;
    let maps = Resource::new("", "v1", "configmaps");
    let there = match client.get(maps.named(NAMESPACE, MAP)).await {
        Ok(map) => Some(map),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error).context("the cluster-info ConfigMap cannot be read"),
    };
    let own =
        Cluster { server: reached_at(client, kubeconfig).await?, authority_pem: kubeconfig.authority_pem.clone() };
    let cluster = match plan(there.as_ref(), own, server) {
        Step::Keep(cluster) => cluster,
        Step::Write(cluster) => {
            let map = map(there.as_ref(), &cluster)?;
            let written = match there {
                Some(_) => client.update(maps.named(NAMESPACE, MAP), &map).await,
                None => client.create(maps.within(NAMESPACE), &map).await,
            };
            written.context("the cluster-info ConfigMap cannot be written")?;
            cluster
        }
    };
    if host(&cluster.server).is_some_and(|host| host.is_loopback()) {
        let why = "the API server is reached by loopback alone: other machines cannot join; --server says where they reach it";
        clock::complain(&anyhow::anyhow!("{why}"));
    }
    Ok(Card(cluster))
}

/// What to do about the card that is there. `own` is the cluster as it is seen from here.
fn plan(there: Option<&Value>, own: Cluster, server: Option<&str>) -> Step {
    let known = there.and_then(|map| Cluster::read(map.at("data").str("kubeconfig")).ok());
    let wanted = Cluster { server: server.map_or(own.server, str::to_owned), ..own };
    match known {
        // Whoever went by another authority would not get in.
        Some(known) if known.authority_pem.trim() != wanted.authority_pem.trim() => Step::Write(wanted),
        Some(known) if server.is_none() || known.server == wanted.server => Step::Keep(known),
        _ => Step::Write(wanted),
    }
}

/// Where this machine's kubeconfig leads, but by an address that others reach too, when the server has one that answers.
async fn reached_at(client: &Client, kubeconfig: &Kubeconfig) -> Result<String> {
    if host(&kubeconfig.server).is_none_or(|host| !host.is_loopback()) {
        return Ok(kubeconfig.server.clone());
    }
    let slices = Resource::new("discovery.k8s.io", "v1", "endpointslices");
    let slice = match client.get(slices.named("default", "kubernetes")).await {
        Ok(slice) => slice,
        Err(error) if error.is_not_found() => Value::object(),
        Err(error) => return Err(error).context("the addresses of the API server cannot be read"),
    };
    for address in addresses(&slice) {
        let connecting = tokio::time::timeout(ANSWERS, tokio::net::TcpStream::connect(address));
        if connecting.await.is_ok_and(|connected| connected.is_ok()) {
            return Ok(format!("https://{address}"));
        }
    }
    Ok(kubeconfig.server.clone())
}

fn addresses(slice: &Value) -> Vec<SocketAddr> {
    let port = slice.list("ports").first().and_then(|port| u16::try_from(port.int("port")).ok()).unwrap_or(443);
    let addresses = slice.list("endpoints").iter().flat_map(|endpoint| endpoint.list("addresses"));
    let read = |address: &Value| address.as_str()?.parse::<IpAddr>().ok();
    addresses.filter_map(read).map(|address| SocketAddr::new(address, port)).collect()
}

fn host(server: &str) -> Option<IpAddr> {
    let uri: Uri = server.parse().ok()?;
    uri.host()?.trim_matches(['[', ']']).parse().ok()
}

/// The config map; signatures of a card that is not there any more go with it.
fn map(there: Option<&Value>, cluster: &Cluster) -> Result<Value> {
    let text = certs::kubeconfig::card(&cluster.server, &cluster.authority_pem)?;
    let mut map = there.cloned().unwrap_or_else(
        || value!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": MAP, "namespace": NAMESPACE}}),
    );
    map.set("data", value!({"kubeconfig": text.as_str()}));
    Ok(map)
}

// === impl Card ===

impl Card {
    /// What is to be run on a machine that joins. Upstream: GetJoinWorkerCommand.
    pub fn join_command(&self, token: &Token) -> Result<String> {
        let Card(Cluster { server, authority_pem }) = self;
        let authorities = pem::certificates(authority_pem).context("the cluster's authority is no certificate")?;
        let pins = authorities.iter().map(pin::of).collect::<Result<Vec<_>, _>>()?;
        let pins: String = pins.iter().map(|pin| format!(" --ca-cert-hash {pin}")).collect();
        Ok(format!("skiff node --server {server} --token {token}{pins}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(server: &str, authority_pem: &str) -> Cluster {
        Cluster { server: server.into(), authority_pem: authority_pem.into() }
    }

    #[test]
    fn a_card_stays_unless_it_is_wrong_or_another_is_wanted() {
        let own = || cluster("https://192.0.2.1:6443", "PEM");
        let there = map(None, &cluster("https://lb.example:6443", "PEM")).expect("it can be written");
        let kept = cluster("https://lb.example:6443", "PEM");
        assert_eq!(plan(None, own(), None), Step::Write(own()));
        assert_eq!(plan(Some(&there), own(), None), Step::Keep(kept.clone()));
        assert_eq!(plan(Some(&there), own(), Some("https://lb.example:6443")), Step::Keep(kept));
        let said = cluster("https://192.0.2.9:1", "PEM");
        assert_eq!(plan(Some(&there), own(), Some("https://192.0.2.9:1")), Step::Write(said));
        let another = cluster("https://192.0.2.1:6443", "another");
        assert_eq!(plan(Some(&there), another.clone(), None), Step::Write(another));
        let nonsense = value!({"data": {"kubeconfig": "["}});
        assert_eq!(plan(Some(&nonsense), own(), None), Step::Write(own()));
    }

    #[test]
    fn a_card_leads_to_a_url() {
        assert!(check("https://lb.example:6443").is_ok());
        for wrong in ["nourl", "http://lb.example", "https://", "https:// x"] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_servers_of_a_slice_are_found() {
        let slice = value!({
            "endpoints": [{"addresses": ["192.0.2.1"]}, {"addresses": ["2001:db8::1"]}], "ports": [{"port": 6443}]
        });
        let found: Vec<String> = addresses(&slice).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1:6443", "[2001:db8::1]:6443"]);
        assert_eq!(host("https://[::1]:6443").map(|host| host.is_loopback()), Some(true));
        assert_eq!(host("https://a.example:6443"), None);
    }

    #[test]
    fn the_command_says_what_joins() {
        let authority = certs::Authority::generate("ca", 1_795_000_000).expect("it can be made");
        let token = Token::parse("abcdef.0123456789abcdef").expect("it is one");
        let card = Card(cluster("https://192.0.2.1:6443", authority.bundle_pem()));
        let pin = pin::of(authority.certificate()).expect("it has a key");
        assert_eq!(
            card.join_command(&token).expect("it can be said"),
            format!("skiff node --server https://192.0.2.1:6443 --token abcdef.0123456789abcdef --ca-cert-hash {pin}")
        );
    }
}
