//! Upstream's kube-proxy beside ours on the same cluster, each in a network namespace of its own: the same tables.
//!
//! Both run as the same node with the same settings. What may differ stands in a list with its reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use conformance::{
    http::Client,
    machine::{Machines, until},
    skiff, upstream,
};

const MANIFEST: &str = include_str!("upstream_proxy/services.yaml");

/// Lines of ours and theirs that stand in one table alone, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("comment \"martian packets to loopback\"", "a host with route_localnet would take them (CVE-2020-8558)"),
    ("comment \"helper for @no-endpoint-services / @no-endpoint-nodeports\"", "a chain's comment"),
    ("daddr @nodeport-ips", "ours asks whether an address of the listed networks is the node's when a packet comes"),
    ("flags interval", "so that its set holds networks, not the addresses that the node had at a time"),
    ("elements: 192.0.2.", "likewise"),
];

/// The lines of each chain, set and map of a table.
type Table = BTreeMap<String, Vec<String>>;

#[test]
fn tables_are_those_of_kube_proxy() -> Result<()> {
    if let Some(why) = Machines::are_missing() {
        anyhow::bail!("tables cannot be compared: {why}");
    }
    let directory = tempfile::tempdir()?;
    let machines = start(directory.path())?;
    for family in ["ip", "ip6"] {
        let compare = || {
            let ours = read(&machines.run("ours", &["nft", "list", "table", family, "kube-proxy"])?);
            let theirs = read(&machines.run("theirs", &["nft", "list", "table", family, "kube-proxy"])?);
            ensure!(family == "ip6" || theirs.len() > 30, "only {} chains and sets", theirs.len());
            Ok(differences(&ours, &theirs))
        };
        until("tables that are alike", compare, Vec::is_empty)?;
    }
    Ok(())
}

/// A cluster on the machine `ours`, with our proxy there and theirs on another.
fn start(directory: &Path) -> Result<Machines> {
    let mut machines = Machines::new("proxies", &["ours", "theirs"])?;
    machines.connect(("ours", "192.0.2.1/24"), ("theirs", "192.0.2.2/24"))?;
    let at = |name: &str| directory.join(name).to_string_lossy().into_owned();
    let (program, data) = (skiff::build()?.to_string_lossy().into_owned(), at("data"));
    std::fs::create_dir_all(directory.join("data/manifests"))?;
    std::fs::write(directory.join("data/manifests/services.yaml"), MANIFEST)?;
    let up = [&program, "up", "--parts", "apiserver", "--bind-address", "192.0.2.1", "--data-dir", &data];
    machines.start("ours", &up, &directory.join("skiff.log"))?;
    let make = [&program, "kubeconfig", "--data-dir", &data, "--user", "system:kube-proxy"];
    let text = until("a kubeconfig", || machines.run("ours", &make), |_| true)?;
    let kubeconfig = at("proxy.kubeconfig");
    std::fs::write(&kubeconfig, text)?;
    until("statuses", || machines.within("ours", || statuses(&directory.join("data/admin.kubeconfig"))), |()| true)?;
    let mut ours = vec![program.as_str(), "proxy", "--kubeconfig", &kubeconfig, "--hostname-override", "here"];
    ours.extend(["--cluster-cidr", "10.244.0.0/16", "--nodeport-addresses", "192.0.2.0/24"]);
    machines.start("ours", &ours, &directory.join("ours.log"))?;
    let config = format!(
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\nhostnameOverride: here\n\
         clusterCIDR: 10.244.0.0/16\ndetectLocalMode: ClusterCIDR\nnodePortAddresses: [192.0.2.0/24]\noomScoreAdj: 0\n\
         clientConnection: {{kubeconfig: {kubeconfig}}}\n\
         conntrack: {{maxPerCore: 0, min: 0, tcpCloseWaitTimeout: 0s, tcpEstablishedTimeout: 0s}}\n"
    );
    std::fs::write(at("config.yaml"), config)?;
    let stock = upstream::programs().join("kube-proxy").to_string_lossy().into_owned();
    machines.start("theirs", &[&stock, "--config", &at("config.yaml")], &directory.join("theirs.log"))?;
    Ok(machines)
}

/// What manifests cannot say: the node's address, and the address of a balancer.
fn statuses(kubeconfig: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Client::from_kubeconfig(kubeconfig).await?;
        let patches = [
            ("/api/v1/nodes/here/status", r#"{"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.1"}]}}"#),
            (
                "/api/v1/namespaces/default/services/balanced/status",
                r#"{"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.9"},{"ip":"203.0.113.8","ipMode":"Proxy"}]}}}"#,
            ),
        ];
        for (path, patch) in patches {
            let kind = [("content-type", "application/merge-patch+json")];
            let response = client.send("PATCH", path, &kind, Bytes::from(patch)).await?;
            ensure!(response.status == 200, "{path}: {}", response.status);
        }
        Ok(())
    })
}

fn differences(ours: &Table, theirs: &Table) -> Vec<String> {
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let may_differ = |line: &String| DIFFERENT.iter().any(|(known, _)| line.contains(known));
    let mut differences = Vec::new();
    for name in names {
        let kept = |table: &Table| -> Option<Vec<String>> {
            Some(table.get(name)?.iter().filter(|line| !may_differ(line)).cloned().collect())
        };
        let (ours, theirs) = (kept(ours), kept(theirs));
        if ours != theirs {
            differences.push(format!("{name}: ours {ours:#?}, theirs {theirs:#?}"));
        }
    }
    differences
}

/// Reads what `nft list table` prints; elements of one set become one line, in an order of its own.
fn read(text: &str) -> Table {
    let mut table = Table::new();
    let mut current: Option<String> = None;
    let mut elements: Option<String> = None;
    for line in text.lines() {
        if let Some(mut sofar) = elements.take() {
            sofar.push_str(line.trim());
            elements = Some(sofar);
        } else if let Some(name) =
            line.strip_prefix('\t').and_then(|l| l.strip_suffix(" {")).filter(|l| !l.starts_with('\t'))
        {
            current = Some(name.into());
            table.insert(name.into(), Vec::new());
        } else if let Some(first) = line.trim().strip_prefix("elements = { ") {
            elements = Some(first.into());
        } else if let Some(lines) = current.as_ref().and_then(|name| table.get_mut(name))
            && line.starts_with("\t\t")
        {
            lines.push(line.trim().into());
        }
        let Some(all) = elements.as_ref().and_then(|all| all.strip_suffix(" }")) else { continue };
        let all: BTreeSet<&str> = all.split(',').map(str::trim).collect();
        let line = format!("elements: {}", all.into_iter().collect::<Vec<_>>().join(", "));
        if let Some(lines) = current.as_ref().and_then(|name| table.get_mut(name)) {
            lines.push(line);
        }
        elements = None;
    }
    table
}

#[test]
fn tables_are_read_as_nft_prints_them() -> Result<()> {
    let text = "table ip kube-proxy {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.2,\n\t\t\t     10.0.0.1 }\n\t}\n\n\
                \tchain c {\n\t\tip daddr { 1.1.1.1 } drop\n\t}\n}\n";
    let table = read(text);
    ensure!(table.get("set s").context("a set")? == &["type ipv4_addr", "elements: 10.0.0.1, 10.0.0.2"]);
    ensure!(table.get("chain c").context("a chain")? == &["ip daddr { 1.1.1.1 } drop"]);
    let other = read(&text.replace("drop", "accept"));
    ensure!(differences(&table, &other).len() == 1 && differences(&table, &table).is_empty());
    Ok(())
}
