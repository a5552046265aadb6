//! What to ask: each resource in each version, from a server's own discovery, with samples to start from.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use api::{Gvk, Value, meta};
use bytes::Bytes;
use schema::TypeId;

use super::refusals;
use crate::http::Client;

/// A resource in one version.
#[derive(Clone, Debug)]
pub struct Target {
    /// `group/plural`, `core/pods`
    pub resource: Arc<str>,
    pub gvk: Gvk,
    pub plural: String,
    pub namespaced: bool,
    pub verbs: BTreeSet<String>,
    pub subresources: Vec<Subresource>,
    pub kind_type: TypeId,
    /// Valid objects; the first becomes the live one.
    pub samples: Vec<Arc<Value>>,
    /// Upstream's fixture: every field set, seldom valid.
    pub fixture: Option<Value>,
}

/// An endpoint below a resource.
#[derive(Clone, Debug)]
pub struct Subresource {
    pub name: String,
    pub gvk: Gvk,
    pub verbs: BTreeSet<String>,
}

/// The namespace that everything happens in.
pub const NAMESPACE: &str = "twin";

/// The namespace with an object that is larger than what is sent unpacked, and its resource.
pub const LARGE: (&str, &str) = ("twin-large", "core/configmaps");

const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

// === impl Target ===

impl Target {
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.contains(verb)
    }

    /// `/apis/apps/v1`
    pub fn root(&self) -> String {
        match self.gvk.group.as_str() {
            "" => format!("/api/{}", self.gvk.version),
            group => format!("/apis/{group}/{}", self.gvk.version),
        }
    }

    pub fn collection(&self) -> String {
        match self.namespaced {
            true => format!("{}/namespaces/{NAMESPACE}/{}", self.root(), self.plural),
            false => format!("{}/{}", self.root(), self.plural),
        }
    }

    /// The path of the live object.
    pub fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name())
    }

    pub fn name(&self) -> &str {
        self.samples.first().map_or("sample", |sample| meta::of(sample).name())
    }

    /// The fixture with the sample's metadata.
    pub fn dressed_fixture(&self) -> Option<Value> {
        Some(dressed(self.fixture.as_ref()?, self.samples.first().map_or(Value::NULL, |s| s.at("metadata"))))
    }

    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|sub| sub.name == name)
    }
}

/// An object with other metadata.
pub fn dressed(object: &Value, metadata: &Value) -> Value {
    let mut object = object.clone();
    object.set("metadata", metadata);
    object
}

/// Everything a server has, resource by resource, its versions together, in the order of its discovery; what is of no type
/// that is known goes to `unknown`.
pub async fn discover(
    client: &Client,
    samples: &[Value],
    fixtures: Option<&Path>,
    unknown: &mut Vec<String>,
) -> Result<Vec<Vec<Target>>> {
    let mut found: BTreeMap<Arc<str>, Vec<Target>> = BTreeMap::new();
    for path in ["/api", "/apis"] {
        let answer = client.send("GET", path, &[("accept", DISCOVERY)], Bytes::new()).await?;
        ensure!(answer.status == 200, "{path} answers {}", answer.status);
        let tree = answer.json();
        for group in tree.list("items") {
            for version in group.list("versions") {
                let gv = (meta::of(group).name(), version.str("version"));
                for resource in version.list("resources") {
                    match target(gv, resource, samples, fixtures) {
                        Some(target) => found.entry(target.resource.clone()).or_default().push(target),
                        None => unknown.push(format!("{}/{} {}", gv.0, gv.1, resource.str("resource"))),
                    }
                }
            }
        }
    }
    Ok(found.into_values().collect())
}

fn target(gv: (&str, &str), resource: &Value, samples: &[Value], fixtures: Option<&Path>) -> Option<Target> {
    let (group, version) = gv;
    let plural = resource.str("resource");
    let gvk = Gvk::new(group, version, resource.at("responseKind").str("kind"));
    let verbs = |value: &Value| value.list("verbs").iter().filter_map(Value::as_str).map(Into::into).collect();
    let subresource = |value: &Value| {
        let kind = value.at("responseKind");
        let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
        let gvk = Gvk::new(or(kind.str("group"), group), or(kind.str("version"), version), kind.str("kind"));
        Subresource { name: value.str("subresource").into(), gvk, verbs: verbs(value) }
    };
    let kind_type = schema::builtin().kind(&gvk)?;
    Some(Target {
        resource: format!("{}/{plural}", if group.is_empty() { "core" } else { group }).into(),
        plural: plural.into(),
        namespaced: resource.str("scope") == "Namespaced",
        verbs: verbs(resource),
        subresources: resource.list("subresources").iter().map(subresource).collect(),
        kind_type,
        samples: samples_of(&gvk, samples),
        fixture: fixtures.and_then(|directory| fixture(directory, &gvk)),
        gvk,
    })
}

/// Samples of a version; where it has none, those of another version of the kind, which most often fit.
fn samples_of(gvk: &Gvk, samples: &[Value]) -> Vec<Arc<Value>> {
    let own: Vec<_> = samples.iter().filter(|sample| meta::gvk(sample) == *gvk).cloned().map(Arc::new).collect();
    if !own.is_empty() {
        return own;
    }
    let same_kind = |sample: &&Value| {
        let other = meta::gvk(sample);
        other.group == gvk.group && other.kind == gvk.kind
    };
    let mut borrowed: Vec<Value> = samples.iter().filter(same_kind).cloned().collect();
    borrowed.iter_mut().for_each(|sample| meta::set_gvk(sample, gvk));
    borrowed.into_iter().map(Arc::new).collect()
}

/// Upstream's golden fixture of a kind.
pub fn fixture(directory: &Path, gvk: &Gvk) -> Option<Value> {
    let group = if gvk.group.is_empty() { "core" } else { &gvk.group };
    let text = std::fs::read(directory.join(format!("{group}.{}.{}.json", gvk.version, gvk.kind))).ok()?;
    codec::json::any(&text).ok().map(|decoded| decoded.value)
}

/// Where Go keeps upstream's fixtures; it fetches the module when it is not there yet.
pub fn fixtures() -> Result<PathBuf> {
    const MODULE: &str = "k8s.io/api";
    let version = refusals::version_of(MODULE)?;
    let mut go = Command::new("go");
    go.args(["mod", "download", "-json", &format!("{MODULE}@{version}")]).current_dir(std::env::temp_dir());
    let told = codec::json::any(&go.output().context("Go cannot be started")?.stdout)?.value;
    ensure!(told.str("Error").is_empty(), "{MODULE}: {}", told.str("Error"));
    Ok(PathBuf::from(told.str("Dir")).join("testdata/HEAD"))
}
