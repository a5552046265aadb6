//! Plugins of admission as the flags have them: which run, and what each is told by `--admission-control-config-file`.
//!
//! The file names a configuration for each plugin, in it or in a file of its own, of a kind of the plugin's own. Upstream:
//! apiserver/pkg/admission/config.go ReadAdmissionConfiguration, and the loaders of the plugins.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use admission::{
    Chain,
    plugins::{
        self, Settings,
        image_policy_webhook::{Find, Reviews},
    },
    webhook::Call,
};
use anyhow::{Result, anyhow, bail};
use api::{
    Value,
    field::{self, Errors, quote},
};
use async_trait::async_trait;
use auth::elsewhere::Reviewer as _;
use resources::pod::{Options, toleration};
use server::outgoing::{Outgoing, elsewhere::Webhook, introduced::Introduced};

use super::{
    configured::{self, Form, GROUP},
    elsewhere,
    identity::{read, why_not},
};
use crate::flags::Apiserver;

/// How a plugin is configured.
struct Row {
    plugin: &'static str,
    /// Kinds that it reads; none: any tree.
    forms: &'static [Form],
    /// Whether what nobody knows is refused.
    is_strict: bool,
}

const fn row(plugin: &'static str, is_strict: bool, forms: &'static [Form]) -> Row {
    Row { plugin, forms, is_strict }
}

const TOLERATIONS: &str = "PodTolerationRestriction";
const WEBHOOKS: [&str; 2] = ["MutatingAdmissionWebhook", "ValidatingAdmissionWebhook"];
const OF_WEBHOOKS: &[Form] = &[Form::new(GROUP, "WebhookAdmissionConfiguration", &["v1"], "v1")];
const OF_POLICIES: &[Form] = &[
    Form::new(GROUP, "ValidatingAdmissionPolicyConfiguration", &["v1"], "v1"),
    Form::new(GROUP, "MutatingAdmissionPolicyConfiguration", &["v1"], "v1"),
];

const ROWS: [Row; 10] = [
    row(
        "PodSecurity",
        true,
        &[Form::new(
            "pod-security.admission.config.k8s.io",
            "PodSecurityConfiguration",
            &["v1alpha1", "v1beta1", "v1"],
            "v1",
        )],
    ),
    row(
        "EventRateLimit",
        false,
        &[Form::new("eventratelimit.admission.k8s.io", "Configuration", &["v1alpha1"], "v1alpha1")],
    ),
    row(
        TOLERATIONS,
        false,
        &[Form::new("podtolerationrestriction.admission.k8s.io", "Configuration", &["v1alpha1"], "v1alpha1")],
    ),
    row(
        "ResourceQuota",
        true,
        &[
            Form::new(GROUP, "ResourceQuotaConfiguration", &["v1"], "v1"),
            Form {
                group: "resourcequota.admission.k8s.io",
                kind: "Configuration",
                versions: &["v1alpha1", "v1beta1"],
                is_of: (GROUP, "v1", "ResourceQuotaConfiguration"),
            },
        ],
    ),
    row(WEBHOOKS[0], true, OF_WEBHOOKS),
    row(WEBHOOKS[1], true, OF_WEBHOOKS),
    row("ValidatingAdmissionPolicy", true, OF_POLICIES),
    row("MutatingAdmissionPolicy", true, OF_POLICIES),
    row("PodNodeSelector", false, &[]),
    row("ImagePolicyWebhook", false, &[]),
];
/// Plugins whose configuration may be the whole file, and what it is known by.
const LEGACY: [(&str, &str); 2] =
    [("ImagePolicyWebhook", "imagePolicy"), ("PodNodeSelector", "podNodeSelectorPluginConfig")];
const KIND: &str = "AdmissionConfiguration";
/// How long a call of the webhook that judges images may take. Upstream: `defaultRequestTimeout` of webhooks.
const IMAGES_WITHIN: Duration = Duration::from_secs(30);

/// The plugins that run, with what they are told.
pub fn chain(flags: &Apiserver, outgoing: &Arc<Outgoing>, settings: Settings) -> Result<Chain> {
    let (enable, disable) = match &flags.serving.admission_control {
        Some(names) => plugins::of_names(names).map_err(anyhow::Error::msg)?,
        None => (flags.enable_admission_plugins.clone(), flags.disable_admission_plugins.clone()),
    };
    let running: Vec<&str> = plugins::enabled(&enable, &disable).map(|entry| entry.name).collect();
    let file = flags.serving.admission_control_config_file.as_deref();
    let configurations = configurations(file, &running)?;
    let calls = calls(&configurations, outgoing)?;
    let settings = Settings { configurations, calls, image_policy: judges(outgoing), ..settings };
    plugins::chain(&enable, &disable, &settings).map_err(anyhow::Error::msg)
}

/// What the plugins that run are told, by name.
fn configurations(file: Option<&Path>, running: &[&str]) -> Result<BTreeMap<String, Value>> {
    let Some(file) = file.filter(|file| !file.as_os_str().is_empty()) else { return Ok(BTreeMap::new()) };
    let failed = |why: anyhow::Error| anyhow!("failed to read plugin config: {why}");
    let text = read(file).map_err(|why| {
        let shown = quote(&file.display().to_string());
        failed(anyhow!("unable to read admission control configuration from {shown} [{why}]"))
    })?;
    let texts = match texts(&text, file) {
        Ok(texts) => texts,
        Err(why) => match codec::yaml::any(text.as_bytes()) {
            Ok(tree) if LEGACY.iter().any(|(_, member)| tree.has(member)) => {
                LEGACY.iter().map(|(plugin, _)| ((*plugin).to_owned(), Source::Here(text.clone()))).collect()
            }
            _ => return Err(failed(why)),
        },
    };
    let mut found = BTreeMap::new();
    for row in ROWS.iter().filter(|row| running.contains(&row.plugin)) {
        // Of several the first counts.
        let Some((_, source)) = texts.iter().find(|(plugin, _)| plugin == row.plugin) else { continue };
        let Some(text) = source.text()? else { continue };
        let tree = row.decode(&text).and_then(|tree| row.check(&tree).map(|()| tree));
        found.insert(row.plugin.to_owned(), tree.map_err(|why| of_plugin(row.plugin, &why))?);
    }
    Ok(found)
}

fn of_plugin(plugin: &str, why: &anyhow::Error) -> anyhow::Error {
    anyhow!("couldn't init admission plugin {}: {why}", quote(plugin))
}

/// Where a plugin's configuration stands.
enum Source {
    Nowhere,
    Here(String),
    In(PathBuf),
}

/// What an AdmissionConfiguration says of each plugin, in its order.
fn texts(text: &str, file: &Path) -> Result<Vec<(String, Source)>> {
    let found = configured::known(text)?;
    if found.kind != KIND {
        bail!("unexpected type: *apiserver.{}", found.kind);
    }
    let tree = configured::strict(text, &found)?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let sources = tree.list("plugins").iter().map(|plugin| {
        let source = match (plugin.at("configuration"), plugin.str("path")) {
            (inside, _) if !inside.is_null() => Source::Here(codec::json::to_string(inside)),
            (_, "") => Source::Nowhere,
            (_, path) => Source::In(folder.join(path)),
        };
        (plugin.str("name").to_owned(), source)
    });
    Ok(sources.collect())
}

// === impl Source ===

impl Source {
    fn text(&self) -> Result<Option<String>> {
        match self {
            Source::Nowhere => Ok(None),
            Source::Here(text) => Ok(Some(text.clone())),
            Source::In(path) => std::fs::read_to_string(path).map(Some).map_err(|error| {
                let (shown, why) = (path.display(), why_not(&error));
                anyhow!("Couldn't open admission plugin configuration {shown}: {why}")
            }),
        }
    }
}

// === impl Row ===

impl Row {
    fn decode(&self, text: &str) -> Result<Value> {
        if self.forms.is_empty() {
            return codec::yaml::any(text.as_bytes()).map_err(|why| anyhow!("{why}"));
        }
        let found = configured::known_among(text, self.forms)?;
        if found.kind.contains("AdmissionPolicy") && !found.kind.starts_with(self.plugin) {
            bail!("unexpected type: *policyconfig.{}", found.kind);
        }
        if self.is_strict { configured::strict(text, &found) } else { configured::lenient(text, &found) }
    }

    /// What no plugin judges by itself. Upstream: apiserver/pkg/admission/plugin/webhook/config/kubeconfig.go LoadConfig.
    fn check(&self, tree: &Value) -> Result<()> {
        let file = tree.str("kubeConfigFile");
        if WEBHOOKS.contains(&self.plugin) && !file.is_empty() && !Path::new(file).is_absolute() {
            bail!("kubeConfigFile: Invalid value: {}: must be an absolute file path", quote(file));
        }
        if self.plugin == TOLERATIONS {
            check_tolerations(tree)?;
        }
        match tree.str("staticManifestsDir") {
            "" => Ok(()),
            _ => bail!("staticManifestsDir: Forbidden: what admission does is not read from manifests here"),
        }
    }
}

/// Upstream: plugin/pkg/admission/podtolerationrestriction/apis/podtolerationrestriction/validation.
fn check_tolerations(tree: &Value) -> Result<()> {
    let (mut wrong, at) = (Errors::new(), field::Path::new("podtolerationrestriction"));
    for list in ["default", "whitelist"] {
        toleration::tolerations(tree.list(list), &at.child(list), &Options::default(), &mut wrong);
    }
    let texts: Vec<String> = wrong.0.iter().map(ToString::to_string).collect();
    if !texts.is_empty() {
        bail!("invalid config: [{}]", texts.join(" "));
    }
    Ok(())
}

/// How the plugins that ask webhooks show themselves, where that is said.
fn calls(
    configurations: &BTreeMap<String, Value>,
    outgoing: &Arc<Outgoing>,
) -> Result<BTreeMap<&'static str, Arc<dyn Call>>> {
    let mut calls: BTreeMap<&'static str, Arc<dyn Call>> = BTreeMap::new();
    for plugin in WEBHOOKS {
        let file = configurations.get(plugin).map_or("", |said| said.str("kubeConfigFile"));
        if !file.is_empty() {
            let introductions = elsewhere::introductions(Path::new(file)).map_err(|why| of_plugin(plugin, &why))?;
            calls.insert(plugin, Arc::new(Introduced { outgoing: outgoing.clone(), introductions }));
        }
    }
    Ok(calls)
}

/// A webhook that judges images.
struct Judge(Webhook);

#[async_trait]
impl Reviews for Judge {
    async fn review(&self, review: &Value) -> Result<Value, String> {
        self.0.review(review).await.map_err(|failed| failed.why)
    }
}

/// Finds webhooks that judge images.
fn judges(outgoing: &Arc<Outgoing>) -> Find {
    let outgoing = outgoing.clone();
    Arc::new(move |kubeconfig, first_wait| {
        let found = elsewhere::webhook(Path::new(kubeconfig), &outgoing, IMAGES_WITHIN, None);
        let webhook = found.map_err(|why| format!("{why:#}"))?;
        let judge: Arc<dyn Reviews> = Arc::new(Judge(Webhook { first_wait, ..webhook }));
        Ok(judge)
    })
}
