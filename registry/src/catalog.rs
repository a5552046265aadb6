//! Which resources there are: definitions by group, version and plural.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api::{EcoString, GroupResource};
use imbl::OrdMap;
use parking_lot::RwLock;

use crate::definition::{Definition, Served};

/// Keys about versions by their stage; a later one counts more.
const STAGES: [&str; 4] = ["api/all", "api/ga", "api/beta", "api/alpha"];
/// Groups of types that no server registers: of configurations, of documents, of what all groups share.
const NEVER_SERVED: [&str; 4] = ["apidiscovery.k8s.io", "apiserver.config.k8s.io", "audit.k8s.io", "meta.k8s.io"];
/// Versions that upstream still knows and whose types are not among ours.
const OF_OLD: [(&str, &str); 1] = [("apiregistration.k8s.io", "v1beta1")];

/// All definitions. It changes when a CustomResourceDefinition does; readers take a snapshot.
#[derive(Default)]
pub struct Catalog {
    current: RwLock<Arc<Resources>>,
    /// Feature gates that are on.
    gates: Vec<String>,
}

/// The definitions at one time: by group, then by plural, so that nothing is made to look one up.
#[derive(Default, Clone)]
pub struct Resources {
    groups: OrdMap<EcoString, OrdMap<EcoString, Found>>,
}

/// A definition, and which of its versions are served.
#[derive(Clone)]
struct Found {
    definition: Arc<Definition>,
    served: Arc<[EcoString]>,
}

/// What is served: upstream's `--runtime-config`.
#[derive(Clone, Debug, Default)]
pub struct RuntimeConfig {
    pairs: Vec<(String, bool)>,
    /// Feature gates that are on.
    gates: Vec<String>,
}

impl Catalog {
    pub fn new(definitions: impl IntoIterator<Item = Arc<Definition>>, config: &RuntimeConfig) -> Catalog {
        let mut resources = Resources::default();
        for definition in definitions {
            let is_on = |served: &&Served| {
                config.opens(definition.row.gate)
                    && config.says(served, &definition.row.plural).unwrap_or(served.version.on)
            };
            let served = definition.versions.iter().filter(is_on).map(|v| v.gvk.version.clone()).collect();
            resources.put(definition, served);
        }
        Catalog { current: RwLock::new(Arc::new(resources)), gates: config.gates.clone() }
    }

    /// Whether a feature gate is on.
    pub fn has_gate(&self, gate: &str) -> bool {
        self.gates.iter().any(|on| on == gate)
    }

    /// Serves a definition, or serves it anew, in these versions.
    pub fn put(&self, definition: Arc<Definition>, served: &[EcoString]) {
        Arc::make_mut(&mut self.current.write()).put(definition, served.into());
    }

    /// Serves a definition no more.
    pub fn remove(&self, resource: &GroupResource) {
        Arc::make_mut(&mut self.current.write()).forget(resource);
    }

    pub fn current(&self) -> Arc<Resources> {
        self.current.read().clone()
    }

    /// The definition and the place of its version, when it is served.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<(Arc<Definition>, usize)> {
        self.current().find(group, version, plural)
    }

    /// The definition, whatever versions of it are served.
    pub fn get(&self, resource: &GroupResource) -> Option<Arc<Definition>> {
        self.current.read().found(&resource.group, &resource.resource).map(|found| found.definition.clone())
    }
}

impl Resources {
    fn put(&mut self, definition: Arc<Definition>, served: Arc<[EcoString]>) {
        let GroupResource { group, resource } = &definition.resource;
        let group = self.groups.entry(group.clone()).or_default();
        group.insert(resource.clone(), Found { definition: definition.clone(), served });
    }

    fn forget(&mut self, resource: &GroupResource) {
        let Some(group) = self.groups.get_mut(&resource.group) else { return };
        group.remove(&resource.resource);
        if group.is_empty() {
            self.groups.remove(&resource.group);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.groups.values().flat_map(OrdMap::values).map(|found| &found.definition)
    }

    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<(Arc<Definition>, usize)> {
        let Found { definition, served } = self.found(group, plural)?;
        let place = definition.versions.iter().position(|v| v.gvk.version == version)?;
        served.iter().any(|v| v == version).then(|| (definition.clone(), place))
    }

    pub fn serves(&self, definition: &Definition, served: &Served) -> bool {
        let found = self.found(&definition.row.group, &definition.row.plural);
        found.is_some_and(|found| found.served.contains(&served.gvk.version))
    }

    fn found(&self, group: &str, plural: &str) -> Option<&Found> {
        self.groups.get(group)?.get(plural)
    }
}

impl RuntimeConfig {
    /// Reads `api/all=true,batch/v1=false,apps/v1/deployments=true`; of a key that stands twice the last counts. The
    /// refusals are upstream's, those of a group first. Upstream: apiserver/pkg/server/options/api_enablement.go
    /// `Validate`, apiserver/pkg/server/resourceconfig/helpers.go `applyVersionAndResourcePreferences`.
    pub fn parse(text: &str) -> Result<RuntimeConfig, String> {
        let mut said = BTreeMap::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let key = match key.trim() {
                // A word of earlier days.
                "api/legacy" => continue,
                // Upstream takes all of these for the core group as a whole.
                "v1" | "api/v1" => "/v1",
                core if core.starts_with("v1/") || core.starts_with("api/v1/") => "/v1",
                other => other,
            };
            said.insert(key, value.trim());
        }
        if said.len() == 1 && said.get("api/all") == Some(&"false") {
            return Err("invalid runtime-config with only api/all=false".into());
        }
        let is_known = Registered::new();
        let mut unknown = Vec::new();
        for key in said.keys().filter(|key| !STAGES.contains(key)) {
            let (group, version, _) = parts_of(key).ok_or_else(|| format!("runtime-config invalid key {key}"))?;
            if !is_known.group(group) {
                unknown.push(format!("{group}/{version}"));
            }
        }
        unknown.dedup();
        if !unknown.is_empty() {
            return Err(format!("unknown api groups {}", unknown.join(",")));
        }
        let mut pairs = Vec::new();
        for key in STAGES {
            match said.remove(key) {
                None => {}
                Some("true") => pairs.push((key.to_owned(), true)),
                Some("false") => pairs.push((key.to_owned(), false)),
                Some(other) => return Err(format!("invalid value {key}={other}")),
            }
        }
        for (key, value) in said {
            pairs.push((key.to_owned(), preference(key, value, &is_known)?));
        }
        Ok(RuntimeConfig { pairs, gates: Vec::new() })
    }

    /// With the feature gates that are on.
    pub fn with_gates(self, gates: impl IntoIterator<Item = String>) -> RuntimeConfig {
        RuntimeConfig { gates: gates.into_iter().collect(), ..self }
    }

    /// What was said about exactly this key.
    pub fn said(&self, key: &str) -> Option<bool> {
        self.pairs.iter().find(|(known, _)| known == key).map(|(_, on)| *on)
    }

    fn opens(&self, gate: &str) -> bool {
        gate.is_empty() || self.gates.iter().any(|on| on == gate)
    }

    /// What was said about a version: the most special key wins. Upstream: `MergeAPIResourceConfigs`.
    fn says(&self, served: &Served, plural: &str) -> Option<bool> {
        let version = format!("{}/{}", served.gvk.group, served.gvk.version);
        let stage = match served.gvk.version.as_str() {
            v if v.contains("alpha") => "api/alpha",
            v if v.contains("beta") => "api/beta",
            _ => "api/ga",
        };
        [&format!("{version}/{plural}"), version.as_str(), stage, "api/all"].iter().find_map(|key| self.said(key))
    }
}

/// Which groups and versions upstream has types of.
struct Registered(BTreeSet<(EcoString, EcoString)>);

// === impl Registered ===

impl Registered {
    fn new() -> Registered {
        let kinds = schema::builtin().iter().flat_map(|(_, of)| of.gvks.iter());
        let kinds = kinds.map(|gvk| (gvk.group.clone(), gvk.version.clone()));
        let mut known: BTreeSet<_> = kinds.filter(|(group, _)| !NEVER_SERVED.contains(&group.as_str())).collect();
        known.extend(OF_OLD.map(|(group, version)| (group.into(), version.into())));
        Registered(known)
    }

    fn group(&self, group: &str) -> bool {
        self.0.iter().any(|(known, _)| known == group)
    }

    fn version(&self, group: &str, version: &str) -> bool {
        self.0.contains(&(group.into(), version.into()))
    }
}

/// `group/version` or `group/version/resource`; the core group has no name.
fn parts_of(key: &str) -> Option<(&str, &str, Option<&str>)> {
    let parts: Vec<&str> = key.split('/').collect();
    match parts[..] {
        [group, version] => Some((group, version, None)),
        [group, version, resource] => Some((group, version, Some(resource))),
        _ => None,
    }
}

/// What a key says about a version or about a resource of it.
fn preference(key: &str, value: &str, is_known: &Registered) -> Result<bool, String> {
    let (group, version, resource) = parts_of(key).ok_or_else(|| format!("invalid key {key}"))?;
    if !is_known.version(group, version) {
        return Err(match group {
            "" => format!("group version {version} that has not been registered"),
            _ => format!("group version {group}/{version} that has not been registered"),
        });
    }
    let on = match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
        "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
        other => {
            let quoted = api::field::quote(other);
            return Err(format!(
                "invalid value of {key}: {other}, err: strconv.ParseBool: parsing {quoted}: invalid syntax"
            ));
        }
    };
    match resource {
        Some(name) if name.chars().any(char::is_uppercase) => Err(format!(
            "invalid key {key}: group/version/resource and resource is always lowercase plural, not {}",
            api::field::quote(name)
        )),
        _ => Ok(on),
    }
}

#[cfg(test)]
mod tests;
