//! Which resources there are: definitions by group, version and plural.

use std::sync::Arc;

use api::{EcoString, GroupResource};
use imbl::OrdMap;
use parking_lot::RwLock;

use crate::definition::{Definition, Served};

/// All definitions. It changes when a CustomResourceDefinition does; readers take a snapshot.
#[derive(Default)]
pub struct Catalog {
    current: RwLock<Arc<Resources>>,
}

/// The definitions at one time.
#[derive(Default, Clone)]
pub struct Resources {
    by_name: OrdMap<(String, String), Arc<Definition>>,
    /// Versions that are served, by group and version.
    served: OrdMap<(String, String), bool>,
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
            for served in &definition.versions {
                let group_version = (served.gvk.group.to_string(), served.gvk.version.to_string());
                let on = config.opens(definition.row.gate)
                    && config.says(served, &definition.row.plural).unwrap_or(served.version.on);
                let key = (format!("{}/{}", group_version.0, group_version.1), definition.row.plural.to_string());
                resources.served.insert(key, on);
            }
            resources.by_name.insert((definition.row.group.to_string(), definition.row.plural.to_string()), definition);
        }
        Catalog { current: RwLock::new(Arc::new(resources)) }
    }

    /// Serves a definition, or serves it anew, in these versions.
    pub fn put(&self, definition: Arc<Definition>, served: &[EcoString]) {
        let mut current = self.current.write();
        let resources = Arc::make_mut(&mut current);
        resources.forget(&definition.resource);
        for version in &definition.versions {
            let key = (version.gvk.api_version(), definition.row.plural.to_string());
            resources.served.insert(key, served.contains(&version.gvk.version));
        }
        resources.by_name.insert(key_of(&definition.resource), definition);
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
        self.current().by_name.get(&(resource.group.to_string(), resource.resource.to_string())).cloned()
    }
}

fn key_of(resource: &GroupResource) -> (String, String) {
    (resource.group.to_string(), resource.resource.to_string())
}

impl Resources {
    fn forget(&mut self, resource: &GroupResource) {
        let Some(old) = self.by_name.remove(&key_of(resource)) else { return };
        for version in &old.versions {
            self.served.remove(&(version.gvk.api_version(), old.row.plural.to_string()));
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.by_name.values()
    }

    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<(Arc<Definition>, usize)> {
        let definition = self.by_name.get(&(group.to_string(), plural.to_string()))?;
        let place = definition.versions.iter().position(|v| v.gvk.version == version)?;
        self.serves(definition, &definition.versions[place]).then(|| (definition.clone(), place))
    }

    pub fn serves(&self, definition: &Definition, served: &Served) -> bool {
        let key = (format!("{}/{}", served.gvk.group, served.gvk.version), definition.row.plural.to_string());
        self.served.get(&key).copied().unwrap_or(false)
    }
}

impl RuntimeConfig {
    /// Reads `api/all=true,batch/v1=false,apps/v1/deployments=true`.
    pub fn parse(text: &str) -> Result<RuntimeConfig, String> {
        let mut pairs = Vec::new();
        for part in text.split(',').filter(|p| !p.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, "true"));
            let on = match value {
                "true" | "" => true,
                "false" => false,
                _ => return Err(format!("--runtime-config: {key}={value}: the value is true or false")),
            };
            pairs.push((key.trim().to_string(), on));
        }
        Ok(RuntimeConfig { pairs, gates: Vec::new() })
    }

    /// With the feature gates that are on.
    pub fn with_gates(self, gates: impl IntoIterator<Item = String>) -> RuntimeConfig {
        RuntimeConfig { gates: gates.into_iter().collect(), ..self }
    }

    fn opens(&self, gate: &str) -> bool {
        gate.is_empty() || self.gates.iter().any(|on| on == gate)
    }

    /// What was said about a version: the most special key wins. Upstream: `MergeAPIResourceConfigs`.
    fn says(&self, served: &Served, plural: &str) -> Option<bool> {
        let gv = match served.gvk.group.as_str() {
            "" => served.gvk.version.to_string(),
            group => format!("{group}/{}", served.gvk.version),
        };
        let stage = match served.gvk.version.as_str() {
            v if v.contains("alpha") => "api/alpha",
            v if v.contains("beta") => "api/beta",
            _ => "api/ga",
        };
        [format!("{gv}/{plural}"), gv, stage.into(), "api/all".into()]
            .iter()
            .find_map(|key| self.pairs.iter().rev().find(|(k, _)| k == key).map(|(_, on)| *on))
    }
}
