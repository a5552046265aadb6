//! Every plugin, one file each, and the order in which they run.
//!
//! Upstream: pkg/kubeapiserver/options/plugins.go AllOrderedPlugins, DefaultOffAdmissionPlugins.

mod always_admit;
mod always_deny;
mod always_pull_images;
mod certificate_approval;
mod certificate_signing;
mod certificate_subject_restriction;
mod cluster_trust_bundle_attest;
mod default_ingress_class;
mod default_storage_class;
mod default_toleration_seconds;
mod deny_service_external_ips;
mod event_rate_limit;
mod extended_resource_toleration;
pub mod image_policy_webhook;
mod limit_pod_hard_anti_affinity_topology;
mod limit_ranger;
mod mutating_admission_policy;
mod mutating_admission_webhook;
mod namespace_auto_provision;
mod namespace_exists;
mod namespace_lifecycle;
mod node_declared_feature_validator;
mod node_restriction;
mod owner_references_permission_enforcement;
mod persistent_volume_claim_resize;
mod pod_group_protection;
mod pod_node_selector;
mod pod_resize_validator;
mod pod_security;
mod pod_toleration_restriction;
mod pod_topology_labels;
mod priority;
mod resource_quota;
mod runtime_class;
mod service_account;
mod storage_object_in_use_protection;
mod taint_nodes_by_condition;
mod validating_admission_policy;
mod validating_admission_webhook;

use std::{collections::BTreeMap, sync::Arc};

use api::{Value, field::quote};

#[cfg(test)]
pub(crate) use mutating_admission_policy::MutatingAdmissionPolicy;
#[cfg(test)]
pub(crate) use mutating_admission_webhook::MutatingAdmissionWebhook;
#[cfg(test)]
pub(crate) use validating_admission_policy::ValidatingAdmissionPolicy;
#[cfg(test)]
pub(crate) use validating_admission_webhook::ValidatingAdmissionWebhook;

use crate::{Chain, Plugin};

/// A plugin's line in the order.
pub struct Entry {
    pub name: &'static str,
    /// Whether it runs when nobody says anything.
    pub default_on: bool,
    /// Which sides it has a say on: only those are counted.
    pub mutates: bool,
    pub validates: bool,
    pub make: Make,
}

/// Makes a plugin, or says what is wrong with its configuration.
pub type Make = fn(&Settings) -> Result<Arc<dyn Plugin>, String>;

/// What plugins have to be told.
#[derive(Clone)]
pub struct Settings {
    /// `--default-not-ready-toleration-seconds`
    pub not_ready_toleration_seconds: i64,
    /// `--default-unreachable-toleration-seconds`
    pub unreachable_toleration_seconds: i64,
    /// The gate GenericWorkload.
    pub generic_workload: bool,
    /// The gate CompositePodGroup.
    pub composite_pod_group: bool,
    /// Five random characters that end a generated name.
    pub suffix: Arc<dyn Fn() -> String + Send + Sync>,
    /// What the two webhook plugins need.
    pub webhooks: crate::webhook::Outside,
    /// By which each of them calls, where it shows itself otherwise than the other.
    pub calls: BTreeMap<&'static str, Arc<dyn crate::webhook::Call>>,
    /// Finds the server that judges images.
    pub image_policy: image_policy_webhook::Find,
    /// The plugins' own configurations, by name, as `--admission-control-config-file` has them.
    pub configurations: BTreeMap<String, Value>,
}

impl Settings {
    /// Upstream's defaults.
    pub fn new(suffix: Arc<dyn Fn() -> String + Send + Sync>) -> Settings {
        Settings {
            not_ready_toleration_seconds: 300,
            unreachable_toleration_seconds: 300,
            generic_workload: false,
            composite_pod_group: false,
            suffix,
            webhooks: crate::webhook::Outside::default(),
            calls: BTreeMap::new(),
            image_policy: Arc::new(|_, _| Err("this server calls no webhooks".into())),
            configurations: BTreeMap::new(),
        }
    }

    /// What a plugin needs that calls webhooks.
    fn outside(&self, name: &str) -> crate::webhook::Outside {
        let call = self.calls.get(name).unwrap_or(&self.webhooks.call).clone();
        crate::webhook::Outside { call, ..self.webhooks.clone() }
    }

    fn configuration(&self, name: &str) -> &Value {
        self.configurations.get(name).unwrap_or(Value::NULL)
    }
}

macro_rules! entry {
    ($state:ident $side:ident $name:literal $make:expr) => {
        Entry {
            name: $name,
            default_on: entry!(@ $state),
            mutates: entry!(@ mutates $side),
            validates: entry!(@ validates $side),
            make: |settings| make($make, settings),
        }
    };
    (@ on) => { true };
    (@ off) => { false };
    (@ mutates validates) => { false };
    (@ validates mutates) => { false };
    (@ $asked:ident $side:ident) => { true };
}

/// All plugins, in the order in which they run.
pub const ALL: &[Entry] = &[
    entry!(off both "AlwaysAdmit" |_| Ok(always_admit::AlwaysAdmit)),
    entry!(off mutates "NamespaceAutoProvision" |_| Ok(namespace_auto_provision::NamespaceAutoProvision)),
    entry!(on mutates "NamespaceLifecycle" |_| Ok(namespace_lifecycle::NamespaceLifecycle::new())),
    entry!(off validates "NamespaceExists" |_| Ok(namespace_exists::NamespaceExists)),
    entry!(off validates "LimitPodHardAntiAffinityTopology" |_| {
        Ok(limit_pod_hard_anti_affinity_topology::LimitPodHardAntiAffinityTopology)
    }),
    entry!(on both "LimitRanger" |_| Ok(limit_ranger::LimitRanger)),
    entry!(on both "ServiceAccount" |s| Ok(service_account::ServiceAccount::new(s.suffix.clone()))),
    entry!(off mutates "NodeRestriction" |_| Ok(node_restriction::NodeRestriction)),
    entry!(on mutates "TaintNodesByCondition" |_| Ok(taint_nodes_by_condition::TaintNodesByCondition)),
    entry!(off both "AlwaysPullImages" |_| Ok(always_pull_images::AlwaysPullImages)),
    entry!(off validates "ImagePolicyWebhook" |s| {
        let configuration = s.configuration("ImagePolicyWebhook");
        image_policy_webhook::ImagePolicyWebhook::new(configuration, &s.image_policy)
    }),
    entry!(on validates "PodSecurity" |s| {
        let configuration = pod_security::Configuration::read(s.configuration("PodSecurity"))?;
        Ok(pod_security::PodSecurity { configuration, tally: s.webhooks.tally.clone() })
    }),
    entry!(off both "PodNodeSelector" |s| {
        Ok(pod_node_selector::PodNodeSelector::new(s.configuration("PodNodeSelector")))
    }),
    entry!(on both "Priority" |s| Ok(priority::Priority { pod_groups: s.generic_workload, composites: s.composite_pod_group })),
    entry!(on mutates "DefaultTolerationSeconds" |s| {
        Ok(default_toleration_seconds::DefaultTolerationSeconds {
            not_ready_seconds: s.not_ready_toleration_seconds,
            unreachable_seconds: s.unreachable_toleration_seconds,
        })
    }),
    entry!(off both "PodTolerationRestriction" |s| {
        let configuration = s.configuration("PodTolerationRestriction");
        Ok(pod_toleration_restriction::PodTolerationRestriction::new(configuration))
    }),
    entry!(off validates "EventRateLimit" |s| event_rate_limit::EventRateLimit::new(s.configuration("EventRateLimit"))),
    entry!(off mutates "ExtendedResourceToleration" |_| Ok(extended_resource_toleration::ExtendedResourceToleration)),
    entry!(on mutates "DefaultStorageClass" |_| Ok(default_storage_class::DefaultStorageClass)),
    entry!(on mutates "StorageObjectInUseProtection" |_| {
        Ok(storage_object_in_use_protection::StorageObjectInUseProtection)
    }),
    entry!(on mutates "PodGroupProtection" |s| Ok(pod_group_protection::PodGroupProtection { enabled: s.generic_workload })),
    entry!(off validates "OwnerReferencesPermissionEnforcement" |_| {
        Ok(owner_references_permission_enforcement::OwnerReferencesPermissionEnforcement)
    }),
    entry!(on validates "PersistentVolumeClaimResize" |_| Ok(persistent_volume_claim_resize::PersistentVolumeClaimResize)),
    entry!(on both "RuntimeClass" |_| Ok(runtime_class::RuntimeClass)),
    entry!(on validates "CertificateApproval" |_| Ok(certificate_approval::CertificateApproval)),
    entry!(on validates "CertificateSigning" |_| Ok(certificate_signing::CertificateSigning)),
    entry!(on validates "ClusterTrustBundleAttest" |_| Ok(cluster_trust_bundle_attest::ClusterTrustBundleAttest)),
    entry!(on validates "CertificateSubjectRestriction" |_| {
        Ok(certificate_subject_restriction::CertificateSubjectRestriction)
    }),
    entry!(on mutates "DefaultIngressClass" |_| Ok(default_ingress_class::DefaultIngressClass)),
    entry!(off validates "DenyServiceExternalIPs" |_| Ok(deny_service_external_ips::DenyServiceExternalIPs)),
    entry!(on mutates "PodTopologyLabels" |_| Ok(pod_topology_labels::PodTopologyLabels)),
    entry!(on validates "NodeDeclaredFeatureValidator" |_| {
        Ok(node_declared_feature_validator::NodeDeclaredFeatureValidator)
    }),
    entry!(on validates "PodResizeValidator" |_| Ok(pod_resize_validator::PodResizeValidator)),
    entry!(on mutates "MutatingAdmissionPolicy" |s| {
        Ok(mutating_admission_policy::MutatingAdmissionPolicy::new(s.webhooks.tally.clone()))
    }),
    entry!(on mutates "MutatingAdmissionWebhook" |s| {
        Ok(mutating_admission_webhook::MutatingAdmissionWebhook::new(s.outside("MutatingAdmissionWebhook")))
    }),
    entry!(on validates "ValidatingAdmissionPolicy" |s| {
        Ok(validating_admission_policy::ValidatingAdmissionPolicy::new(s.webhooks.tally.clone()))
    }),
    entry!(on validates "ValidatingAdmissionWebhook" |s| {
        Ok(validating_admission_webhook::ValidatingAdmissionWebhook::new(s.outside("ValidatingAdmissionWebhook")))
    }),
    entry!(on validates "ResourceQuota" |s| resource_quota::ResourceQuota::new(s.configuration("ResourceQuota"))),
    entry!(off both "AlwaysDeny" |_| Ok(always_deny::AlwaysDeny)),
];

/// The chain of `--enable-admission-plugins` and `--disable-admission-plugins`; the error is upstream's text.
pub fn chain(enable: &[String], disable: &[String], settings: &Settings) -> Result<Chain, String> {
    check(enable, disable)?;
    let made = enabled(enable, disable).map(|entry| {
        (entry.make)(settings).map_err(|e| format!("couldn't init admission plugin {}: {e}", quote(entry.name)))
    });
    Ok(Chain::new(made.collect::<Result<_, _>>()?, settings.webhooks.tally.clone()))
}

/// The plugins of these flags.
pub fn enabled(enable: &[String], disable: &[String]) -> impl Iterator<Item = &'static Entry> {
    ALL.iter().filter(move |entry| {
        let said = |list: &[String]| list.iter().any(|name| name == entry.name);
        said(enable) || entry.default_on && !said(disable)
    })
}

/// What `--admission-control` means by the other two flags: these, and no others. The error is upstream's text. Upstream:
/// pkg/kubeapiserver/options/admission.go computePluginNames.
pub fn of_names(names: &[String]) -> Result<(Vec<String>, Vec<String>), String> {
    let is_known = |name: &&String| ALL.iter().any(|entry| entry.name == **name);
    let unknown = names.iter().filter(|name| !is_known(name));
    let wrong: Vec<String> =
        unknown.map(|name| format!("admission-control plugin {} is unknown", quote(name))).collect();
    if !wrong.is_empty() {
        return Err(crate::aggregate(&wrong));
    }
    let others = ALL.iter().map(|entry| entry.name).filter(|name| !names.iter().any(|said| said == name));
    Ok((names.to_vec(), others.map(str::to_owned).collect()))
}

/// Upstream: `AdmissionOptions.Validate`.
fn check(enable: &[String], disable: &[String]) -> Result<(), String> {
    let mut wrong = Vec::new();
    for (flag, names) in [("enable", enable), ("disable", disable)] {
        for name in names.iter().filter(|name| !ALL.iter().any(|entry| entry.name == *name)) {
            wrong.push(format!("{flag}-admission-plugins plugin {} is unknown", quote(name)));
        }
    }
    let mut both: Vec<&str> = enable.iter().filter(|name| disable.contains(name)).map(String::as_str).collect();
    both.sort_unstable();
    both.dedup();
    if !both.is_empty() {
        let both = both.join(" ");
        wrong.push(format!("[{both}] in enable-admission-plugins and disable-admission-plugins overlapped"));
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(crate::aggregate(&wrong)),
    }
}

fn make<P: Plugin + 'static>(
    new: impl FnOnce(&Settings) -> Result<P, String>,
    settings: &Settings,
) -> Result<Arc<dyn Plugin>, String> {
    Ok(Arc::new(new(settings)?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Judges nothing.
    struct Nobody;

    #[async_trait::async_trait]
    impl image_policy_webhook::Reviews for Nobody {
        async fn review(&self, _: &Value) -> Result<Value, String> {
            Err("nobody is asked".into())
        }
    }

    fn settings() -> Settings {
        Settings::new(Arc::new(|| "abcde".into()))
    }

    fn names(enable: &[&str], disable: &[&str]) -> Result<Vec<&'static str>, String> {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        Ok(chain(&owned(enable), &owned(disable), &settings())?.names().collect())
    }

    /// v1.37.1's `AllOrderedPlugins`, with `-` before those of `DefaultOffAdmissionPlugins`.
    const UPSTREAMS: &str = "
        -AlwaysAdmit -NamespaceAutoProvision NamespaceLifecycle -NamespaceExists
        -LimitPodHardAntiAffinityTopology LimitRanger ServiceAccount -NodeRestriction TaintNodesByCondition
        -AlwaysPullImages -ImagePolicyWebhook PodSecurity -PodNodeSelector Priority DefaultTolerationSeconds
        -PodTolerationRestriction -EventRateLimit -ExtendedResourceToleration DefaultStorageClass
        StorageObjectInUseProtection PodGroupProtection -OwnerReferencesPermissionEnforcement
        PersistentVolumeClaimResize RuntimeClass CertificateApproval CertificateSigning
        ClusterTrustBundleAttest CertificateSubjectRestriction DefaultIngressClass -DenyServiceExternalIPs
        PodTopologyLabels NodeDeclaredFeatureValidator PodResizeValidator MutatingAdmissionPolicy
        MutatingAdmissionWebhook ValidatingAdmissionPolicy ValidatingAdmissionWebhook ResourceQuota
        -AlwaysDeny
    ";

    #[test]
    fn all_stand_in_upstreams_order() {
        let ours: Vec<String> =
            ALL.iter().map(|entry| format!("{}{}", if entry.default_on { "" } else { "-" }, entry.name)).collect();
        assert_eq!(ours, UPSTREAMS.split_whitespace().collect::<Vec<_>>());
        let by_default: Vec<&str> = UPSTREAMS.split_whitespace().filter(|name| !name.starts_with('-')).collect();
        assert_eq!(names(&[], &[]).expect("the defaults are right"), by_default);
    }

    #[test]
    fn every_plugin_stands_once_under_its_own_name() {
        let unique: BTreeSet<&str> = ALL.iter().map(|entry| entry.name).collect();
        assert_eq!((ALL.len(), unique.len()), (39, 39));
        assert_eq!(ALL.iter().filter(|entry| entry.default_on).count(), 25);
        let mut settings = settings();
        let limits = api::value!({"limits": [{"type": "Server", "qps": 1, "burst": 1}]});
        settings.configurations.insert("EventRateLimit".into(), limits);
        settings.configurations.insert("ImagePolicyWebhook".into(), api::value!({"imagePolicy": {}}));
        settings.image_policy = Arc::new(|_, _| {
            let nobody: Arc<dyn image_policy_webhook::Reviews> = Arc::new(Nobody);
            Ok(nobody)
        });
        for entry in ALL {
            assert_eq!((entry.make)(&settings).map(|plugin| plugin.name()).ok(), Some(entry.name));
        }
    }

    #[test]
    fn flags_add_and_take_away_without_changing_the_order() {
        let default = names(&[], &[]).expect("the defaults are right");
        assert_eq!(default.first(), Some(&"NamespaceLifecycle"));
        assert_eq!(default.last(), Some(&"ResourceQuota"));
        assert!(!default.contains(&"AlwaysPullImages"));
        // As upstream's; docs/security.md says who ought to have it.
        assert!(!default.contains(&"DenyServiceExternalIPs"));
        let changed =
            names(&["AlwaysDeny", "AlwaysPullImages", "Priority"], &["ServiceAccount"]).expect("they are known");
        let position = |name: &str| changed.iter().position(|n| *n == name);
        assert!(position("TaintNodesByCondition") < position("AlwaysPullImages"));
        assert!(position("AlwaysPullImages") < position("Priority"));
        assert_eq!(changed.last(), Some(&"AlwaysDeny"));
        assert_eq!(position("ServiceAccount"), None);
    }

    #[test]
    fn names_alone_are_all_that_runs() {
        let said = ["ResourceQuota", "AlwaysDeny"].map(str::to_owned);
        let (enable, disable) = of_names(&said).expect("they are known");
        let chain = chain(&enable, &disable, &settings()).expect("they are known");
        assert_eq!(chain.names().collect::<Vec<_>>(), ["ResourceQuota", "AlwaysDeny"]);
        assert_eq!(of_names(&["None".into()]), Err("admission-control plugin \"None\" is unknown".into()));
    }

    #[test]
    fn wrong_flags_are_named_in_upstreams_words() {
        let cases: [(&[&str], &[&str], &str); 5] = [
            (&["None"], &[], "enable-admission-plugins plugin \"None\" is unknown"),
            (&[], &["None"], "disable-admission-plugins plugin \"None\" is unknown"),
            (
                &["Priority"],
                &["Priority"],
                "[Priority] in enable-admission-plugins and disable-admission-plugins overlapped",
            ),
            (
                &["ImagePolicyWebhook"],
                &[],
                "couldn't init admission plugin \"ImagePolicyWebhook\": no config specified",
            ),
            (
                &["EventRateLimit"],
                &[],
                "couldn't init admission plugin \"EventRateLimit\": limits: Invalid value: null: must not be empty",
            ),
        ];
        for (enable, disable, why) in cases {
            assert_eq!(names(enable, disable), Err(why.into()));
        }
        assert!(names(&[], &["NodeRestriction", "PodSecurity"]).is_ok());
    }
}
