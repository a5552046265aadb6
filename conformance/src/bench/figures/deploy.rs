//! P13 measures a Deployment of 1,000 pods on simulated nodes: from the request that makes it until all of them are ready.
//!
//! Both control planes run whole and as they come, with their defaults: upstream's clients hold back after 20 to 50
//! requests a second. Each turn has a control plane of its own, which has made one pod before, since one that waits for its
//! turn is not without work.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::time::{Duration, sleep, timeout};

use super::LOAD_UNIT;
use crate::{
    bench::{
        Plan, Row, Side, Table, Who, fixture,
        fixture::PODS,
        load::{self, Request},
        side::Parts,
        table::Better,
    },
    suite::node::{Nodes, is_ready},
};

const COUNT: usize = 1_000;
/// Each takes 110.
const PODS_OF_A_NODE: usize = 100;
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/bench/deployments";
const NODES: &str = "/api/v1/nodes";
const NAME: &str = "many";
const JSON: &str = "application/json";
/// At scale 1.
const WITHIN: Duration = Duration::from_secs(900);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

const TIME: Row = Row {
    figure: "P13",
    what: "Deployment of 1,000 × scale pods, from apply to all ready",
    unit: "s",
    better: Better::Less,
    aim: "≥ 10×",
};
const CPU: Row = Row { what: "… the control plane's CPU", unit: "CPU s", aim: "", ..TIME };
const LOAD: Row = Row { what: "… the simulated nodes", unit: LOAD_UNIT, better: Better::Neither, ..CPU };

pub async fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    let count = plan.scaled(COUNT);
    let machines = u8::try_from(count.div_ceil(PODS_OF_A_NODE))
        .context("more simulated nodes than a network has addresses for")?;
    let within = WITHIN.mul_f64(plan.scale.max(1.0));
    for _ in 0..plan.rounds {
        for who in plan.who.iter().copied().filter(|who| *who != Who::Ceiling) {
            let mut side = Side::launch(plan, who, Parts::Whole)?;
            side.starts().await?;
            fixture::prepare(&side).await?;
            let _nodes = Nodes::start(side.kubeconfig(), machines).await?;
            welcome(&side, machines.into(), WITHIN).await?;
            deploy(&side, 1, within).await?;
            clear(&side, within).await?;
            let (_, used) = side.measure(deploy(&side, count, within)).await?;
            table.note(&TIME, plan.scale, who, used.wall_seconds);
            table.note(&CPU, plan.scale, who, used.cpu_seconds);
            table.note(&LOAD, plan.scale, who, used.load_percent());
        }
    }
    Ok(())
}

/// Waits until pods may go to every node.
pub(super) async fn welcome(side: &Side, machines: u32, within: Duration) -> Result<()> {
    let client = side.client().await?;
    for number in 1..=machines {
        let is_free = |node: &api::Value| is_ready(node) && node.at("spec").list("taints").is_empty();
        let name = format!("simulated-{number}");
        let waited = client.until_within(within, NODES, &name, |node| node.is_some_and(is_free)).await;
        waited.with_context(|| side.who.name())?;
    }
    Ok(())
}

pub(super) async fn deploy(side: &Side, count: usize, within: Duration) -> Result<()> {
    let body = format!(
        r#"{{"kind":"Deployment","apiVersion":"apps/v1","metadata":{{"name":"{NAME}"}},"spec":{{"replicas":{count},"selector":{{"matchLabels":{{"app":"{NAME}"}}}},"template":{{"metadata":{{"labels":{{"app":"{NAME}"}}}},"spec":{{"containers":[{{"name":"c","image":"registry.k8s.io/pause:3.10"}}]}}}}}}}}"#
    );
    let client = side.client().await?;
    let request = Request { method: "POST", path: DEPLOYMENTS.into(), content_type: JSON, body: body.into() };
    load::send(&client, request).await?;
    let is_ready = |found: &api::Value| found.at("status").int("readyReplicas") == count as i64;
    let waited = client.until_within(within, DEPLOYMENTS, NAME, |found| found.is_some_and(is_ready)).await;
    waited.with_context(|| side.who.name())
}

async fn clear(side: &Side, within: Duration) -> Result<()> {
    let body = Bytes::from_static(br#"{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background"}"#);
    let path = format!("{DEPLOYMENTS}/{NAME}");
    load::send(&side.client().await?, Request { method: "DELETE", path, content_type: JSON, body }).await?;
    gone(side, within).await
}

/// Waits until there are no pods, outside of what is measured.
async fn gone(side: &Side, within: Duration) -> Result<()> {
    let client = side.client().await?;
    let looks = async {
        loop {
            let list = client.send("GET", &format!("{PODS}?limit=1"), &[], Bytes::new()).await?;
            ensure!(list.status == 200, "{PODS}: {}", list.status);
            if list.json().list("items").is_empty() {
                return Ok(());
            }
            sleep(BETWEEN_LOOKS).await;
        }
    };
    timeout(within, looks).await.with_context(|| format!("{}: there are pods after {within:?}", side.who.name()))?
}
