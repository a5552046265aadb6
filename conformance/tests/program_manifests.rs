//! `DIR/manifests`: what lies there is applied and kept in step, while the server runs and while it does not.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use api::{Value, meta};
use bytes::Bytes;
use conformance::{
    http::{Client, Watching},
    skiff::{self, Skiff},
};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn started(program: &Path, data: &Path) -> Result<(Skiff, Client)> {
    let skiff = Skiff::start(program, data, &["--parts", "apiserver"])?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&client).await?;
    Ok((skiff, client))
}

fn config_map(name: &str, value: &str) -> String {
    format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  a: \"{value}\"\n")
}

/// Puts a whole file there at once, as an editor does: half a manifest is another one.
fn put(folder: &Path, name: &str, text: &str) -> Result<()> {
    fs::write(folder.join(".new"), text)?;
    Ok(fs::rename(folder.join(".new"), folder.join(name))?)
}

/// Waits for a change of this kind to an object of this name, and returns it.
async fn until(watch: &mut Watching, kind: &str, name: &str) -> Result<Value> {
    loop {
        let event = watch.next().await?.with_context(|| format!("the watch ended before {name} was {kind}"))?;
        if event.str("type") == kind && meta::of(event.at("object")).name() == name {
            return Ok(event.at("object").clone());
        }
    }
}

/// Waits until an object is not there.
async fn until_gone(client: &Client, name: &str) -> Result<()> {
    let list = client.send("GET", CONFIG_MAPS, &[], Bytes::new()).await?.json();
    if list.list("items").iter().all(|object| meta::of(object).name() != name) {
        return Ok(());
    }
    let from = list.at("metadata").str("resourceVersion");
    until(&mut client.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={from}")).await?, "DELETED", name).await?;
    Ok(())
}

async fn is_there(client: &Client, name: &str) -> Result<bool> {
    Ok(client.send("GET", &format!("{CONFIG_MAPS}/{name}"), &[], Bytes::new()).await?.status == 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_kept_in_step() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (program, data) = (skiff::build()?, directory.path().join("data"));
    let folder = data.join("manifests");
    let (skiff, client) = started(&program, &data).await?;
    let mut watch = client.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion=0")).await?;
    fs::create_dir(&folder)?;

    // Added: two objects of one file, in its order.
    put(&folder, "a.yaml", &(config_map("one", "1") + &config_map("two", "1")))?;
    until(&mut watch, "ADDED", "one").await?;
    let two = until(&mut watch, "ADDED", "two").await?;
    ensure!(two.at("data").str("a") == "1", "{two:?}");

    // Changed, and an object dropped.
    put(&folder, "a.yaml", &config_map("one", "22"))?;
    let one = until(&mut watch, "MODIFIED", "one").await?;
    ensure!(one.at("data").str("a") == "22", "{one:?}");
    until(&mut watch, "DELETED", "two").await?;

    // One object in two files stays while one of them is there. A file that is no manifest is in nobody's way.
    put(&folder, "b.yaml", &(config_map("one", "22") + &config_map("three", "1")))?;
    put(&folder, "b-wrong.yaml", "kind: [")?;
    until(&mut watch, "ADDED", "three").await?;
    fs::remove_file(folder.join("a.yaml"))?;
    put(&folder, "c.yaml", &config_map("four", "1"))?;
    until(&mut watch, "ADDED", "four").await?;
    // Looks come one after the other: by this one the removal of the first file is done.
    put(&folder, "d.yaml", &config_map("five", "1"))?;
    until(&mut watch, "ADDED", "five").await?;
    ensure!(is_there(&client, "one").await?, "what a second file names was deleted with the first");
    fs::remove_file(folder.join("b.yaml"))?;
    until(&mut watch, "DELETED", "three").await?;
    until_gone(&client, "one").await?;

    // What somebody made by hand is not the directory's.
    let by_hand = Bytes::from_static(b"{\"metadata\":{\"name\":\"by-hand\"}}");
    let made = client.send("POST", CONFIG_MAPS, &[("content-type", "application/json")], by_hand).await?;
    ensure!(made.status == 201, "{made:?}");

    // Removed and changed while nothing runs.
    drop(watch);
    drop(skiff);
    fs::remove_file(folder.join("c.yaml"))?;
    put(&folder, "d.yaml", &config_map("six", "1"))?;
    let (_skiff, client) = started(&program, &data).await?;
    until_gone(&client, "four").await?;
    until_gone(&client, "five").await?;
    ensure!(is_there(&client, "six").await?, "a file that changed while nothing ran was not applied");
    ensure!(is_there(&client, "by-hand").await?, "an object of somebody else was deleted");
    Ok(())
}

/// A directory that is gone says nothing: a volume that was not mounted is not a wish to lose everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_gone_takes_nothing_along() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (program, data) = (skiff::build()?, directory.path().join("data"));
    let folder = data.join("manifests");
    fs::create_dir_all(&folder)?;
    put(&folder, "a.yaml", &config_map("one", "1"))?;
    let (skiff, client) = started(&program, &data).await?;
    let mut watch = client.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion=0")).await?;
    until(&mut watch, "ADDED", "one").await?;
    drop(skiff);
    fs::rename(&folder, data.join("elsewhere"))?;
    let (_skiff, client) = started(&program, &data).await?;
    fs::rename(data.join("elsewhere"), &folder)?;
    put(&folder, "b.yaml", &config_map("two", "1"))?;
    let mut watch = client.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion=0")).await?;
    until(&mut watch, "ADDED", "two").await?;
    ensure!(is_there(&client, "one").await?, "it was deleted");
    Ok(())
}
