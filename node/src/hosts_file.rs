//! The pod's name, and `/etc/hosts` as its containers see it. Upstream: pkg/kubelet/kubelet_pods.go.

#[cfg(test)]
mod tests;

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use api::{Value, field::quote, names};

use crate::{environment::ConfigError, runtime::Mount};

const CONTAINER_PATH: &str = "/etc/hosts";
const HEADER: &str = "# Kubernetes-managed hosts file.\n";
const HEADER_ON_HOST: &str = "# Kubernetes-managed hosts file (host network).\n";
const LOOPBACK: &str = "127.0.0.1\tlocalhost\n\
                        ::1\tlocalhost ip6-localhost ip6-loopback\n\
                        fe00::0\tip6-localnet\n\
                        fe00::0\tip6-mcastprefix\n\
                        fe00::1\tip6-allnodes\n\
                        fe00::2\tip6-allrouters\n";
const HOSTNAME_LEN_MAX: usize = 63;
const FQDN_LEN_MAX: usize = 64;

/// What a pod is called on the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodHost {
    pub name: String,
    /// Empty when the pod has no subdomain.
    pub domain: String,
}

impl PodHost {
    /// Upstream: `GeneratePodHostNameAndDomain`.
    pub fn of(pod: &Value, cluster_domain: &str) -> Result<PodHost, ConfigError> {
        let (meta, spec) = (pod.at("metadata"), pod.at("spec"));
        if let Some(name) = spec.opt_str("hostnameOverride") {
            valid("HostnameOverride", "DNS subdomain", name, names::dns1123_subdomain)?;
            return Ok(PodHost { name: truncated(meta.str("name"), name)?, domain: String::new() });
        }
        let name = match spec.str("hostname") {
            "" => meta.str("name"),
            said => {
                valid("Hostname", "DNS label", said, names::dns1123_label)?;
                said
            }
        };
        let name = truncated(meta.str("name"), name)?;
        let domain = match spec.str("subdomain") {
            "" => String::new(),
            subdomain => {
                valid("Subdomain", "DNS label", subdomain, names::dns1123_label)?;
                format!("{subdomain}.{}.svc.{cluster_domain}", meta.str("namespace"))
            }
        };
        Ok(PodHost { name, domain })
    }

    /// What the kernel is told. Upstream: `GetNodenameForKernel`.
    pub fn for_kernel(&self, pod: &Value) -> Result<String, ConfigError> {
        if self.domain.is_empty() || !pod.at("spec").bool("setHostnameAsFQDN") {
            return Ok(self.name.clone());
        }
        let whole = format!("{}.{}", self.name, self.domain);
        if whole.len() > FQDN_LEN_MAX {
            return Err(ConfigError(format!(
                "failed to construct FQDN from pod hostname and cluster domain, FQDN {whole} is too long \
                 ({FQDN_LEN_MAX} characters is the max, {} characters requested)",
                whole.len()
            )));
        }
        Ok(whole)
    }
}

fn valid(field: &str, what: &str, name: &str, rule: fn(&str) -> Vec<String>) -> Result<(), ConfigError> {
    match rule(name) {
        errors if errors.is_empty() => Ok(()),
        errors => {
            let why = errors.join(";");
            Err(ConfigError(format!("pod {field} {} is not a valid {what}: {why}", quote(name))))
        }
    }
}

fn truncated(pod: &str, name: &str) -> Result<String, ConfigError> {
    if name.len() <= HOSTNAME_LEN_MAX {
        return Ok(name.to_owned());
    }
    // Names are ASCII: they were checked.
    match name.get(..HOSTNAME_LEN_MAX).unwrap_or_default().trim_end_matches(['-', '.']) {
        "" => Err(ConfigError(format!("hostname for pod {} was invalid: {}", quote(pod), quote(name)))),
        short => Ok(short.to_owned()),
    }
}

/// Writes the file and answers its mount, where the container is to have one: it does not when it mounts something there
/// itself, nor before the pod has an address. `node_hosts` is the node's own file.
pub fn mount(
    pod_dir: &Path,
    pod: &Value,
    container: &Value,
    host: &PodHost,
    pod_ips: &[String],
    node_hosts: &Path,
) -> io::Result<Option<Mount>> {
    let on_host = pod.at("spec").bool("hostNetwork");
    let has_own = container.list("volumeMounts").iter().any(|mount| mount.str("mountPath") == CONTAINER_PATH);
    if has_own || pod_ips.is_empty() && !on_host {
        return Ok(None);
    }
    let text = match on_host {
        true => format!("{HEADER_ON_HOST}{}{}", fs::read_to_string(node_hosts)?, aliases(pod)),
        false => text(pod, host, pod_ips),
    };
    let path = place(pod_dir);
    // All containers of the pod have the same file: it is changed in place.
    if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
        fs::create_dir_all(pod_dir)?;
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    }
    Ok(Some(Mount {
        container_path: CONTAINER_PATH.to_owned(),
        host_path: path.to_string_lossy().into_owned(),
        ..Mount::default()
    }))
}

fn place(pod_dir: &Path) -> PathBuf {
    pod_dir.join("etc-hosts")
}

/// Upstream: `managedHostsFileContent`.
fn text(pod: &Value, host: &PodHost, pod_ips: &[String]) -> String {
    let mut text = format!("{HEADER}{LOOPBACK}");
    for ip in pod_ips {
        match host.domain.as_str() {
            "" => text.push_str(&format!("{ip}\t{}\n", host.name)),
            domain => text.push_str(&format!("{ip}\t{}.{domain}\t{}\n", host.name, host.name)),
        }
    }
    text.push_str(&aliases(pod));
    text
}

fn aliases(pod: &Value) -> String {
    let aliases = pod.at("spec").list("hostAliases");
    if aliases.is_empty() {
        return String::new();
    }
    let mut text = "\n# Entries added by HostAliases.\n".to_owned();
    for alias in aliases {
        let names: Vec<&str> = alias.list("hostnames").iter().filter_map(Value::as_str).collect();
        text.push_str(&format!("{}\t{}\n", alias.str("ip"), names.join("\t")));
    }
    text
}
