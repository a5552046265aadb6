//! What a container may do: the security contexts of pod and container, in the runtime's form.
//!
//! Upstream: pkg/kubelet/kuberuntime/security_context*.go, pkg/securitycontext/util.go.

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use api::{Value, field::quote, names};

use crate::{
    environment::ConfigError,
    runtime::{Namespace, Namespaces, Profile, SandboxSecurity, Security, Selinux, UserNamespace},
};

/// Files of `/proc` and `/sys` that a container does not see. Upstream: `defaultMaskedPaths`, to which the node adds the
/// throttles of the CPUs that it has.
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What security contexts depend on beside the pod.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Where profiles that a pod names are: `<root>/seccomp`.
    pub seccomp_root: PathBuf,
    /// Whether a pod that says nothing has the runtime's profile.
    pub seccomp_default: bool,
    pub masked_paths: Vec<String>,
}

/// Whom an image runs as, when nobody says otherwise. One that says nothing runs as root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageUser {
    pub uid: Option<i64>,
    pub username: String,
}

impl ImageUser {
    /// None when it is only known by name. Upstream: `getImageUser`.
    fn uid(&self) -> Option<i64> {
        self.uid.or(self.username.is_empty().then_some(0))
    }
}

/// The group that the pod's volumes are given to.
pub fn fs_group(pod: &Value) -> Option<u32> {
    pod.at_path(&["spec", "securityContext"]).opt_int("fsGroup").and_then(|group| u32::try_from(group).ok())
}

/// Whom the container runs as, if anybody says. Upstream: `DetermineEffectiveRunAsUser`.
pub fn run_as_user(pod: &Value, container: &Value) -> Option<i64> {
    effective(pod, container, "runAsUser").as_int()
}

/// The container's word, or else the pod's.
fn effective<'a>(pod: &'a Value, container: &'a Value, name: &str) -> &'a Value {
    match container.at("securityContext").at(name) {
        Value::Null => pod.at_path(&["spec", "securityContext"]).at(name),
        own => own,
    }
}

/// Refuses a container that may not run as root and would, or might. Upstream: `verifyRunAsNonRoot`.
pub fn verify_non_root(pod: &Value, container: &Value, image: &ImageUser) -> Result<(), ConfigError> {
    if effective(pod, container, "runAsNonRoot").as_bool() != Some(true) {
        return Ok(());
    }
    let meta = pod.at("metadata");
    let named = format!("{}_{}({})", meta.str("name"), meta.str("namespace"), meta.str("uid"));
    let whose = format!("(pod: {}, container: {})", quote(&named), container.str("name"));
    let refused = match (run_as_user(pod, container), image.uid()) {
        (Some(0), _) => format!("container's runAsUser breaks non-root policy {whose}"),
        (Some(_), _) => return Ok(()),
        (None, Some(0)) => format!("container has runAsNonRoot and image will run as root {whose}"),
        (None, Some(uid)) => match names::user_id(uid) {
            errors if errors.is_empty() => return Ok(()),
            errors => format!(
                "container has runAsNonRoot and image has an invalid user id ({uid}). (Must be 1-({})): {} {whose}",
                i32::MAX,
                errors.join("; ")
            ),
        },
        (None, None) => format!(
            "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root {whose}",
            image.username
        ),
    };
    Err(ConfigError(refused))
}

/// A container's security. `target` is the container whose processes it is to see, for one that came to debug.
/// Upstream: `determineEffectiveSecurityContext`.
pub fn of_container(
    pod: &Value,
    container: &Value,
    image: &ImageUser,
    host: &Host,
    users: Option<UserNamespace>,
    target: Option<&str>,
) -> Result<Security, ConfigError> {
    let own = container.at("securityContext");
    let word = |name: &str| effective(pod, container, name);
    let run_as_user = word("runAsUser").as_int();
    let is_unmasked = own.str("procMount") == "Unmasked";
    let strings = |list: &Value| list.items().iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let mut namespaces = namespaces(pod, users);
    if let (Some(id), Namespace::Container) = (target, &namespaces.pid) {
        namespaces.pid = Namespace::Target(id.to_owned());
    }
    let (supplemental_groups, strict_groups) = groups(pod)?;
    Ok(Security {
        add_capabilities: strings(own.at_path(&["capabilities", "add"])),
        drop_capabilities: strings(own.at_path(&["capabilities", "drop"])),
        privileged: own.bool("privileged"),
        namespaces,
        selinux: selinux(word("seLinuxOptions")),
        run_as_user: run_as_user.or(image.uid()),
        run_as_username: if run_as_user.is_none() { image.username.clone() } else { String::new() },
        run_as_group: word("runAsGroup").as_int(),
        readonly_rootfs: own.bool("readOnlyRootFilesystem"),
        supplemental_groups,
        strict_groups,
        no_new_privileges: own.opt_bool("allowPrivilegeEscalation") == Some(false),
        masked_paths: if is_unmasked { Vec::new() } else { host.masked_paths.clone() },
        readonly_paths: if is_unmasked { Vec::new() } else { READONLY_PATHS.map(str::to_owned).to_vec() },
        seccomp: Some(seccomp(word("seccompProfile"), host)?),
        apparmor: apparmor(pod, container)?,
    })
}

/// The sandbox's security. Upstream: `generatePodSandboxLinuxConfig`.
pub fn of_sandbox(pod: &Value, users: Option<UserNamespace>) -> Result<SandboxSecurity, ConfigError> {
    let context = pod.at_path(&["spec", "securityContext"]);
    let (supplemental_groups, strict_groups) = groups(pod)?;
    Ok(SandboxSecurity {
        namespaces: namespaces(pod, users),
        selinux: selinux(context.at("seLinuxOptions")),
        run_as_user: context.opt_int("runAsUser"),
        run_as_group: context.opt_int("runAsGroup"),
        readonly_rootfs: false,
        supplemental_groups,
        strict_groups,
        privileged: has_privileged(pod),
        // The sandbox's own process needs no more, whatever the containers are allowed.
        seccomp: Some(Profile::RuntimeDefault),
        apparmor: None,
    })
}

/// The sysctls that the pod sets.
pub fn sysctls(pod: &Value) -> crate::runtime::Words {
    let listed = pod.at_path(&["spec", "securityContext"]).list("sysctls").iter();
    listed.map(|sysctl| (sysctl.str("name").to_owned(), sysctl.str("value").to_owned())).collect()
}

fn has_privileged(pod: &Value) -> bool {
    let spec = pod.at("spec");
    let lists = ["initContainers", "containers", "ephemeralContainers"].map(|list| spec.list(list));
    lists.into_iter().flatten().any(|container| container.at("securityContext").bool("privileged"))
}

/// Which namespaces are whose. Upstream: `NamespacesForPod`.
pub fn namespaces(pod: &Value, users: Option<UserNamespace>) -> Namespaces {
    let spec = pod.at("spec");
    let or_node = |name: &str| if spec.bool(name) { Namespace::Node } else { Namespace::Pod };
    let pid = match (spec.bool("hostPID"), spec.bool("shareProcessNamespace")) {
        (true, _) => Namespace::Node,
        (false, true) => Namespace::Pod,
        (false, false) => Namespace::Container,
    };
    Namespaces { network: or_node("hostNetwork"), pid, ipc: or_node("hostIPC"), users }
}

/// The groups that processes have beside their own, and whether those of the image are left out.
fn groups(pod: &Value) -> Result<(Vec<i64>, bool), ConfigError> {
    let context = pod.at_path(&["spec", "securityContext"]);
    let listed = context.list("supplementalGroups").iter().filter_map(Value::as_int);
    let groups = context.opt_int("fsGroup").into_iter().chain(listed).collect();
    match context.str("supplementalGroupsPolicy") {
        "" | "Merge" => Ok((groups, false)),
        "Strict" => Ok((groups, true)),
        other => Err(ConfigError(format!("unsupported supplementalGroupsPolicy: {other}"))),
    }
}

fn selinux(options: &Value) -> Option<Selinux> {
    let word = |name: &str| options.str(name).to_owned();
    (!options.is_null()).then(|| Selinux {
        user: word("user"),
        role: word("role"),
        kind: word("type"),
        level: word("level"),
    })
}

/// Upstream: `fieldSeccompProfile`.
fn seccomp(profile: &Value, host: &Host) -> Result<Profile, ConfigError> {
    match (profile.str("type"), profile.str("localhostProfile")) {
        _ if profile.is_null() && host.seccomp_default => Ok(Profile::RuntimeDefault),
        ("RuntimeDefault", _) => Ok(Profile::RuntimeDefault),
        ("Localhost", "") => {
            Err(ConfigError("localhostProfile must be set if seccompProfile type is Localhost.".into()))
        }
        ("Localhost", path) => {
            let path = host.seccomp_root.join(path.trim_start_matches('/'));
            Ok(Profile::Localhost(path.to_string_lossy().into_owned()))
        }
        _ => Ok(Profile::Unconfined),
    }
}

/// The container's, what an old annotation says, the pod's. Upstream: `getAppArmorProfile`.
fn apparmor(pod: &Value, container: &Value) -> Result<Option<Profile>, ConfigError> {
    let annotation = format!("container.apparmor.security.beta.kubernetes.io/{}", container.str("name"));
    let annotated = pod.at_path(&["metadata", "annotations"]).opt_str(&annotation);
    let profile = match (container.at("securityContext").at("appArmorProfile"), annotated) {
        (Value::Null, Some("runtime/default")) => return Ok(Some(Profile::RuntimeDefault)),
        (Value::Null, Some("unconfined")) => return Ok(Some(Profile::Unconfined)),
        (Value::Null, Some(text)) if text.starts_with("localhost/") => {
            return Ok(Some(Profile::Localhost(text["localhost/".len()..].to_owned())));
        }
        (Value::Null, _) => pod.at_path(&["spec", "securityContext", "appArmorProfile"]),
        (own, _) => own,
    };
    match (profile.str("type"), profile.opt_str("localhostProfile")) {
        _ if profile.is_null() => Ok(None),
        ("RuntimeDefault", _) => Ok(Some(Profile::RuntimeDefault)),
        ("Unconfined", _) => Ok(Some(Profile::Unconfined)),
        ("Localhost", Some(name)) => Ok(Some(Profile::Localhost(name.to_owned()))),
        ("Localhost", None) => Err(ConfigError("missing localhost apparmor profile name".into())),
        (other, _) => Err(ConfigError(format!("unknown apparmor profile type: {}", quote(other)))),
    }
}
