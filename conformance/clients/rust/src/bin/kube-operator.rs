//! An operator as people write them with kube-rs, and its user beside it: for each Gear a ConfigMap, and a word in its status.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    io::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::{
    api::core::v1::{ConfigMap, Namespace},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, CustomResource, CustomResourceExt, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::{
        Controller, WatchStreamExt,
        controller::Action,
        finalizer::{self, Event, finalizer},
        wait::{self, conditions},
        watcher,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(CustomResource, Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[kube(group = "skiff.test", version = "v1", kind = "Gear", namespaced, status = "GearStatus", shortname = "gr")]
struct GearSpec {
    #[schemars(range(min = 1))]
    teeth: u32,
    #[serde(default = "steel")]
    material: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
struct GearStatus {
    teeth: u32,
    material: String,
}

/// What the operator has beside the cluster.
struct Shop {
    client: Client,
    /// Gears that it has outside.
    outside: Mutex<BTreeMap<String, u32>>,
}

const FINALIZER: &str = "skiff.test/shop";
const OWNER: &str = "shop";

fn steel() -> String {
    "steel".to_owned()
}

fn equal<T: PartialEq + Debug>(found: T, wanted: T, what: &str) -> Result<()> {
    ensure!(found == wanted, "{what}: found {found:?}, wanted {wanted:?}");
    Ok(())
}

async fn reconcile(gear: Arc<Gear>, shop: Arc<Shop>) -> Result<Action, finalizer::Error<kube::Error>> {
    let namespace = gear.namespace().unwrap_or_default();
    let gears: Api<Gear> = Api::namespaced(shop.client.clone(), &namespace);
    finalizer(&gears, FINALIZER, gear, |event| async {
        match event {
            Event::Apply(gear) => apply(&gear, &namespace, &shop).await,
            Event::Cleanup(gear) => {
                shop.outside.lock().expect("nobody panics with it").remove(&gear.name_any());
                Ok(Action::await_change())
            }
        }
    })
    .await
}

async fn apply(gear: &Gear, namespace: &str, shop: &Shop) -> Result<Action, kube::Error> {
    let name = gear.name_any();
    shop.outside.lock().expect("nobody panics with it").insert(name.clone(), gear.spec.teeth);
    let maps: Api<ConfigMap> = Api::namespaced(shop.client.clone(), namespace);
    let owned = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "ownerReferences": [gear.controller_owner_ref(&())]},
        "data": {"teeth": gear.spec.teeth.to_string()}
    });
    let options = PatchParams::apply(OWNER).force();
    maps.patch(&name, &options, &Patch::Apply(owned)).await?;
    let status = GearStatus { teeth: gear.spec.teeth, material: gear.spec.material.clone() };
    if gear.status.as_ref() != Some(&status) {
        let gears: Api<Gear> = Api::namespaced(shop.client.clone(), namespace);
        let wanted = json!({"apiVersion": "skiff.test/v1", "kind": "Gear", "status": status});
        gears.patch_status(&name, &options, &Patch::Apply(wanted)).await?;
    }
    Ok(Action::await_change())
}

/// Waits until the gear is as it should be.
async fn until(gears: &Api<Gear>, name: &str, fits: impl Fn(&Gear) -> bool) -> Result<Gear> {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = Box::pin(watcher(gears.clone(), config).default_backoff().applied_objects());
    while let Some(gear) = events.try_next().await? {
        if fits(&gear) {
            return Ok(gear);
        }
    }
    anyhow::bail!("the watch ended")
}

async fn operate(client: Client) -> Result<()> {
    let kinds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definition = Gear::crd();
    kinds.create(&PostParams::default(), &definition).await?;
    wait::await_condition(kinds.clone(), &definition.name_any(), conditions::is_crd_established()).await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let wanted: Namespace = serde_json::from_value(json!({"metadata": {"generateName": "gears-"}}))?;
    let namespace = namespaces.create(&PostParams::default(), &wanted).await?.name_any();
    let gears: Api<Gear> = Api::namespaced(client.clone(), &namespace);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let shop = Arc::new(Shop { client: client.clone(), outside: Mutex::default() });
    let controller = Controller::new(gears.clone(), watcher::Config::default())
        .owns(maps.clone(), watcher::Config::default())
        .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(50)), shop.clone())
        .for_each(|_| std::future::ready(()));
    let working = tokio::spawn(controller);
    use_gears(&gears, &maps, &shop).await?;
    working.abort();
    namespaces.delete(&namespace, &DeleteParams::default()).await?;
    kinds.delete(&definition.name_any(), &DeleteParams::default()).await?;
    Ok(())
}

async fn use_gears(gears: &Api<Gear>, maps: &Api<ConfigMap>, shop: &Shop) -> Result<()> {
    let none = gears.create(&PostParams::default(), &Gear::new("none", GearSpec { teeth: 0, material: steel() })).await;
    let Err(kube::Error::Api(refused)) = none else { anyhow::bail!("a gear without teeth is none") };
    let words = "spec.teeth in body should be greater than or equal to 1";
    ensure!(refused.code == 422 && refused.message.contains(words), "{refused:?}");
    let wanted: Gear = serde_json::from_value(json!({
        "apiVersion": "skiff.test/v1", "kind": "Gear", "metadata": {"name": "one"}, "spec": {"teeth": 8, "material": "brass"}
    }))?;
    let made = gears.create(&PostParams::default(), &wanted).await?;
    let status = |teeth| Some(GearStatus { teeth, material: "brass".into() });
    let seen = until(gears, "one", |gear| gear.status == status(8)).await?;
    equal(seen.finalizers(), &[FINALIZER.to_owned()][..], "who holds it")?;
    let owned = maps.get("one").await?;
    equal(owned.owner_references().first().map(|owner| owner.uid.clone()), made.uid(), "the owner")?;
    gears.patch("one", &PatchParams::default(), &Patch::Merge(json!({"spec": {"teeth": 9}}))).await?;
    until(gears, "one", |gear| gear.status == status(9)).await?;
    let teeth = maps.get("one").await?.data.unwrap_or_default().remove("teeth");
    equal(teeth.as_deref(), Some("9"), "what it owns follows")?;
    // What somebody takes away comes back: the operator hears of what it owns.
    maps.delete("one", &DeleteParams::default()).await?;
    let before = owned.uid();
    let back = |found: Option<&ConfigMap>| found.is_some_and(|map| map.uid() != before);
    wait::await_condition(maps.clone(), "one", back).await?;
    let uid = made.uid().context("a uid")?;
    gears.delete("one", &DeleteParams::default()).await?;
    wait::await_condition(gears.clone(), "one", conditions::is_deleted(&uid)).await?;
    let left = shop.outside.lock().expect("nobody panics with it").clone();
    equal(left, BTreeMap::new(), "what is left outside")
}

#[tokio::main]
async fn main() -> Result<()> {
    let client = Client::try_default().await?;
    tokio::time::timeout(Duration::from_secs(180), operate(client)).await.context("it took too long")??;
    writeln!(std::io::stdout(), "kube-rs operator: all is as it should be")?;
    Ok(())
}
