//! The authorities by which the API server is trusted stand in a ClusterTrustBundle, whose name tells them apart.
//!
//! Not a plan: with no bundle there is nothing to wake it, so it looks once by itself and then at every change.
//! Upstream: pkg/controller/certificates/clustertrustbundlepublisher.

use std::{sync::Arc, time::Duration};

use api::{Value, value};
use async_trait::async_trait;
use client::{Change, Client, DeleteOptions, Resource, mirror::Key};

use crate::{
    driver::{Failed, Spec, Steps, Wake, Work, world::World},
    hash,
};

const BUNDLES: &str = "certificates.k8s.io/v1/clustertrustbundles";
const NAMESPACES: &str = "v1/namespaces";
const SIGNER: &str = "kubernetes.io/kube-apiserver-serving";

pub const SPEC: Spec = Spec {
    name: "kube-apiserver-serving-clustertrustbundle-publisher-controller",
    alias: "",
    acts_for: "kube-apiserver-serving-clustertrustbundle-publisher",
    tells_as: "kube-apiserver-serving-clustertrustbundle-publisher",
    wakes_on: &[Wake::By(BUNDLES, ours), Wake::By(NAMESPACES, first)],
    workers: 1,
    work: Work::Steps(|_| Arc::new(Publisher)),
};

struct Publisher;

fn ours(_: &World<'_>, change: &Change) -> Vec<Key> {
    if is_ours(change.object()) { vec![Key::default()] } else { Vec::new() }
}

/// A cluster has this namespace: its coming is the beginning.
fn first(_: &World<'_>, change: &Change) -> Vec<Key> {
    let is_new = change.old.is_none() && api::meta::of(change.object()).name() == "kube-system";
    if is_new { vec![Key::default()] } else { Vec::new() }
}

fn is_ours(bundle: &Value) -> bool {
    bundle.at("spec").str("signerName") == SIGNER
}

/// Upstream: constructBundleName.
fn name(authorities: &str) -> String {
    format!("{}:{}", SIGNER.replace('/', ":"), &hash::sha256_hex(authorities)[..24])
}

#[async_trait]
impl Steps for Publisher {
    async fn step(&self, world: &World<'_>, client: &Client) -> Result<Option<Duration>, Failed> {
        let authorities = world.settings.root_ca.as_str();
        if authorities.is_empty() {
            return Ok(None);
        }
        let (resource, name) = (Resource::parse(BUNDLES).expect("it is a resource"), name(authorities));
        match world.get(BUNDLES, "", &name) {
            None => {
                let bundle = value!({
                    "apiVersion": "certificates.k8s.io/v1", "kind": "ClusterTrustBundle", "metadata": {"name": name.as_str()},
                    "spec": {"signerName": SIGNER, "trustBundle": authorities}
                });
                match client.create(resource.all(), &bundle).await {
                    Err(error) if !error.is_already_exists() => return Err(error.into()),
                    _ => {}
                }
            }
            Some(known) if known.at("spec").str("trustBundle") != authorities => {
                let mut new = Value::clone(&known);
                new.set_path(&["spec", "trustBundle"], authorities);
                client.update(resource.named("", &name), &new).await?;
            }
            Some(_) => {}
        }
        let all = world.mirror(BUNDLES).all();
        for old in all.iter().filter(|b| is_ours(b) && api::meta::of(b).name() != name) {
            match client.delete(resource.named("", api::meta::of(old).name()), &DeleteOptions::default()).await {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use client::fake::Fake;
    use jiff::Timestamp;

    use super::*;
    use crate::driver::Settings;

    const PATH: &str = "/apis/certificates.k8s.io/v1/clustertrustbundles";

    async fn asked(bundles: Value) -> (Arc<Fake>, Vec<String>) {
        let fake = Fake::new();
        let there = value!({"certificates.k8s.io/v1/clustertrustbundles": bundles});
        for bundle in there.list(BUNDLES) {
            fake.put(&format!("{PATH}/{}", api::meta::of(bundle).name()), bundle.clone());
        }
        let mirrors = crate::driver::cases::mirrors(&SPEC, &there);
        let settings = Settings { root_ca: "PEM".into(), ..Settings::default() };
        let key = Key::default();
        let world = World { key: &key, now: Timestamp::UNIX_EPOCH, mirrors: &mirrors, settings: &settings };
        Publisher.step(&world, &fake.client()).await.expect("nothing is in the way");
        let all = fake.writes();
        (fake, all)
    }

    #[tokio::test]
    async fn the_bundle_is_made_and_others_of_its_signer_go() {
        // The first twelve bytes of SHA-256 over "PEM".
        let name = "kubernetes.io:kube-apiserver-serving:384fb9a44fabe158be2757b9";
        let bundle = |name: &str, signer: &str, text: &str| value!({"metadata": {"name": name}, "spec": {"signerName": signer, "trustBundle": text}});
        let (_, all) = asked(value!([bundle("old", SIGNER, "OLD"), bundle("theirs", "example.com/x", "OLD")])).await;
        assert_eq!(all.len(), 2, "{all:?}");
        assert_eq!(all[0], format!("POST {PATH}"));
        assert!(all[1].starts_with(&format!("DELETE {PATH}/old")));
        let (fake, all) = asked(value!([bundle(&super::name("PEM"), SIGNER, "OTHER")])).await;
        assert_eq!(all, [format!("PUT {PATH}/{}", super::name("PEM"))]);
        assert_eq!(
            fake.get(&format!("{PATH}/{}", super::name("PEM"))).expect("it is there").at("spec").str("trustBundle"),
            "PEM"
        );
        assert_eq!(super::name("PEM"), name);
        let (_, all) = asked(value!([bundle(name, SIGNER, "PEM")])).await;
        assert!(all.is_empty());
    }
}
