//! What a container sees of its pod's volumes. Upstream: pkg/kubelet/kubelet_pods.go `makeMounts`.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use api::{Value, field::quote};

use super::{Mounted, Volume, Volumes, sub_path};
use crate::{
    environment::{self, ConfigError},
    runtime::{ImageSpec, Mount, Propagation},
};

/// What mounts depend on beside the pod and its volumes.
pub struct Context<'a> {
    /// The container's variables, for `subPathExpr`.
    pub variables: &'a [(String, String)],
    /// Whether the runtime can make everything below a mount read-only.
    pub recursive_read_only: bool,
    /// What the runtime calls the images of image volumes, by the volume's name.
    pub images: &'a BTreeMap<String, ImageSpec>,
    pub selinux: bool,
}

/// The mounts of a container, in its order, without what every container has beside them.
pub fn of(
    volumes: &Volumes,
    pod: &Value,
    container: &Value,
    mounted: &Mounted,
    context: &Context<'_>,
) -> Result<Vec<Mount>, ConfigError> {
    let mounts = container.list("volumeMounts").iter().enumerate();
    mounts
        .map(|(index, mount)| {
            let name = mount.str("name");
            let volume = mounted.get(name).ok_or_else(|| {
                let (volume, container) = (quote(name), quote(container.str("name")));
                ConfigError(format!("cannot find volume {volume} to mount into container {container}"))
            })?;
            let mut made = plain(mount, volume, context)?;
            let path = sub_path_of(mount, context.variables)?;
            if volume.image.is_some() {
                made.image = context.images.get(name).cloned();
                made.image_sub_path = path;
                return Ok(made);
            }
            made.host_path = volume.path.to_string_lossy().into_owned();
            if !path.is_empty() {
                made.host_path = inside(volumes, pod, container, index, volume, &path)?;
            }
            Ok(made)
        })
        .collect()
}

/// All but the place on the node.
fn plain(mount: &Value, volume: &Volume, context: &Context<'_>) -> Result<Mount, ConfigError> {
    let container_path = match mount.str("mountPath") {
        path if path.starts_with('/') => path.to_owned(),
        path => format!("/{path}"),
    };
    Ok(Mount {
        container_path,
        readonly: mount.bool("readOnly") || volume.read_only,
        recursive_read_only: recursive_read_only(mount, context.recursive_read_only)
            .map_err(|why| ConfigError(format!("failed to resolve recursive read-only mode: {why}")))?,
        selinux_relabel: context.selinux && volume.is_managed,
        propagation: propagation(mount)?,
        ..Mount::default()
    })
}

fn sub_path_of(mount: &Value, variables: &[(String, String)]) -> Result<String, ConfigError> {
    let path = match mount.str("subPathExpr") {
        "" => mount.str("subPath").to_owned(),
        expression => environment::expanded_path(expression, variables)?,
    };
    if path.starts_with('/') {
        return Err(ConfigError(format!("error SubPath `{path}` must not be an absolute path")));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(ConfigError(format!("unable to provision SubPath `{path}`: must not contain '..'")));
    }
    Ok(path)
}

/// A place inside the volume. What exactly is wrong with it is not told: it would tell of the node's files.
fn inside(
    volumes: &Volumes,
    pod: &Value,
    container: &Value,
    index: usize,
    volume: &Volume,
    path: &str,
) -> Result<String, ConfigError> {
    let mount = &container.list("volumeMounts")[index];
    let refused = |what: &str, error: std::io::Error| {
        tracing::error!(%error, volume = mount.str("name"), container = container.str("name"), "{what}");
        let (volume, container) = (quote(mount.str("name")), quote(container.str("name")));
        ConfigError(format!("failed to {what} for volumeMount {volume} of container {container}"))
    };
    sub_path::make(&volume.path, path).map_err(|error| refused("create subPath directory", error))?;
    let pod_dir = volumes.pod_dir(pod.at("metadata").str("uid"));
    let which = sub_path::Which { volume: mount.str("name"), container: container.str("name"), index };
    let place = sub_path::bind(&*volumes.mounter, &pod_dir, &which, &volume.path, path);
    Ok(place.map_err(|error| refused("prepare subPath", error))?.to_string_lossy().into_owned())
}

fn propagation(mount: &Value) -> Result<Propagation, ConfigError> {
    match mount.str("mountPropagation") {
        "" | "None" => Ok(Propagation::Private),
        "HostToContainer" => Ok(Propagation::HostToContainer),
        "Bidirectional" => Ok(Propagation::Bidirectional),
        other => Err(ConfigError(format!("invalid MountPropagation mode: {}", quote(other)))),
    }
}

/// Upstream: `resolveRecursiveReadOnly`.
fn recursive_read_only(mount: &Value, is_supported: bool) -> Result<bool, String> {
    let name = quote(mount.str("name"));
    let mode = match mount.str("recursiveReadOnly") {
        "" | "Disabled" => return Ok(false),
        mode => mode,
    };
    if !mount.bool("readOnly") {
        return Err(format!("volume {name} requested recursive read-only mode, but it is not read-only"));
    }
    if !matches!(mount.str("mountPropagation"), "" | "None") {
        let propagation = quote(mount.str("mountPropagation"));
        return Err(format!(
            "volume {name} requested recursive read-only mode, but it is not compatible with propagation {propagation}"
        ));
    }
    match mode {
        "IfPossible" => Ok(is_supported),
        "Enabled" if is_supported => Ok(true),
        "Enabled" => {
            Err(format!("volume {name} requested recursive read-only mode, but it is not supported by the runtime"))
        }
        other => Err(format!("unknown recursive read-only mode {}", quote(other))),
    }
}
