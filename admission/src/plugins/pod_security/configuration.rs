//! The plugin's configuration: defaults for namespaces without labels, and who is exempt.
//!
//! Upstream: k8s.io/pod-security-admission/admission/api (types, defaults, validation, load).

use std::collections::BTreeSet;

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use super::level::{Level, Policy, Standard, Version};

const VERSIONS: [&str; 3] = ["v1", "v1beta1", "v1alpha1"];

/// What `PodSecurityConfiguration` says.
#[derive(Debug)]
pub struct Configuration {
    pub defaults: Policy,
    namespaces: BTreeSet<String>,
    users: BTreeSet<String>,
    runtime_classes: BTreeSet<String>,
}

impl Configuration {
    /// Reads it; null is none, with upstream's defaults.
    pub fn read(said: &Value) -> Result<Configuration, String> {
        let of = |version: &str| format!("pod-security.admission.config.k8s.io/{version}");
        let api_version = said.str("apiVersion");
        if !said.is_null() && !VERSIONS.iter().any(|version| of(version) == api_version) {
            let (kind, version) = (api::field::quote(said.str("kind")), api::field::quote(api_version));
            return Err(format!("no kind {kind} is registered for version {version}"));
        }
        let mut errors = Errors::new();
        let [enforce, warn, audit] =
            ["enforce", "warn", "audit"].map(|mode| standard(said.at("defaults"), mode, &mut errors));
        let exemptions = said.at("exemptions");
        let namespaces = set(exemptions, "namespaces", &mut errors, names::dns1123_label);
        let runtime_classes = set(exemptions, "runtimeClasses", &mut errors, names::dns1123_subdomain);
        let users = set(exemptions, "usernames", &mut errors, |name| match name {
            "" => vec!["username must not be empty".into()],
            _ => Vec::new(),
        });
        match errors.is_empty() {
            true => Ok(Configuration { defaults: Policy { enforce, audit, warn }, namespaces, users, runtime_classes }),
            false => Err(format!("PodSecurity invalid: {}", errors.message())),
        }
    }

    pub fn exempts_namespace(&self, name: &str) -> bool {
        self.namespaces.contains(name)
    }

    pub fn exempts_user(&self, name: &str) -> bool {
        self.users.contains(name)
    }

    pub fn exempts_runtime_class(&self, spec: &Value) -> bool {
        self.runtime_classes.contains(spec.str("runtimeClassName"))
    }
}

fn standard(defaults: &Value, mode: &str, errors: &mut Errors) -> Standard {
    let said = |key: &str, default: &'static str| match defaults.str(key) {
        "" => default.to_string(),
        said => said.to_string(),
    };
    let version_key = format!("{mode}-version");
    let (level, version) = (said(mode, "privileged"), said(&version_key, "latest"));
    let at = Path::new("defaults");
    let read = Level::parse(&level).inspect_err(|why| errors.invalid(&at.child(mode), &*level, *why));
    let level = read.unwrap_or(Level::Restricted);
    let read = Version::parse(&version).inspect_err(|why| errors.invalid(&at.child(&version_key), &*version, *why));
    Standard { level, version: read.unwrap_or(Version::Latest) }
}

fn set(exemptions: &Value, key: &str, errors: &mut Errors, check: fn(&str) -> Vec<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (i, name) in exemptions.list(key).iter().filter_map(Value::as_str).enumerate() {
        let at = Path::new("exemptions").child(key).index(i);
        let wrong = check(name);
        if !wrong.is_empty() {
            errors.invalid(&at, name, wrong.join(", "));
        } else if !found.insert(name.to_string()) {
            errors.duplicate(&at, name);
        }
    }
    found
}
