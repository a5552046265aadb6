//! A pod's volumes: places on the node that its containers see.
//!
//! [`Volumes::ensure`] brings all of them to what the pod says, again and again: content that comes from the API is
//! written anew when it has changed, all else is made once. [`mounts::of`] says what of it a container sees, and
//! [`Volumes::release`] takes everything away. What is in files and mounts is all there is: a node agent that starts
//! anew finds it and goes on. Upstream: pkg/kubelet/volumemanager, pkg/volume.

mod atomic;
pub mod beneath;
pub mod certificate;
mod claim;
mod downward_api;
mod empty_dir;
mod host_path;
pub mod mounter;
pub mod mounts;
mod nested;
mod ownership;
mod payload;
mod projected;
mod sub_path;
#[cfg(test)]
mod tests;
mod tokens;
mod trust;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use api::{Value, field::quote, time::Clock};

use self::{
    mounter::Mounter,
    payload::{Payload, Shape},
};
use crate::{
    objects::{CONFIG_MAP, Kind, Objects, SECRET},
    security,
};

const NO_CONFIG_KEY: &str = "configmap references non-existent config key";
const NO_SECRET_KEY: &str = "references non-existent secret key";

/// A volume is not there yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume {} : {message}", quote(.volume))]
pub struct VolumeError {
    pub volume: String,
    pub message: String,
}

/// Volumes are not there yet; the others are. Each is told as an event of reason `FailedMount`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unmounted volumes=[{}], unattached volumes=[], failed to process volumes=[]", names(.0))]
pub struct Failed(pub Vec<VolumeError>);

fn names(errors: &[VolumeError]) -> String {
    errors.iter().map(|error| error.volume.as_str()).collect::<Vec<_>>().join(" ")
}

/// A pod's volumes, by name.
pub type Mounted = BTreeMap<String, Volume>;

/// A volume that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Where it is on the node; empty for an image's.
    pub path: PathBuf,
    pub read_only: bool,
    /// Whether its files are the node agent's own, so that it may relabel them.
    pub is_managed: bool,
    pub image: Option<ImageVolume>,
}

/// An image whose files are the volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageVolume {
    pub reference: String,
    pub pull_policy: String,
}

/// What volumes depend on beside their pod.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// The node's `status.allocatable`.
    pub allocatable: &'a Value,
}

pub struct Volumes {
    /// The node agent's own directory, in which `pods` is.
    root: PathBuf,
    objects: Arc<dyn Objects>,
    clock: Arc<dyn Clock>,
    mounter: Arc<dyn Mounter>,
    tokens: tokens::Tokens,
    certificates: certificate::Certificates,
}

/// How the plugin's part of a volume's path is called, and whether its files stay in memory.
struct Plugin {
    directory: &'static str,
    in_memory: bool,
}

const EMPTY_DIR: &str = "kubernetes.io~empty-dir";

/// A volume's kinds whose files are written from what the API says.
fn content_plugin(kind: &str) -> Option<Plugin> {
    let (directory, in_memory) = match kind {
        "configMap" => ("kubernetes.io~configmap", false),
        "secret" => ("kubernetes.io~secret", true),
        "downwardAPI" => ("kubernetes.io~downward-api", true),
        "projected" => ("kubernetes.io~projected", true),
        _ => return None,
    };
    Some(Plugin { directory, in_memory })
}

impl Volumes {
    pub fn new(
        root: PathBuf,
        objects: Arc<dyn Objects>,
        clock: Arc<dyn Clock>,
        mounter: Arc<dyn Mounter>,
        node: certificate::Node,
    ) -> Volumes {
        let tokens = tokens::Tokens::new(objects.clone());
        let certificates = certificate::Certificates::new(objects.clone(), node);
        Volumes { root, objects, clock, mounter, tokens, certificates }
    }

    /// The directory of a pod.
    pub fn pod_dir(&self, uid: &str) -> PathBuf {
        self.root.join("pods").join(uid)
    }

    /// The pods that have a directory, by uid: also those that nobody knows any more.
    pub fn pods_on_disk(&self) -> io::Result<Vec<String>> {
        match fs::read_dir(self.root.join("pods")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            entries => entries?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
        }
    }

    /// Brings every volume that a container of the pod uses to what the pod says.
    pub async fn ensure(&self, pod: &Value, around: &Around<'_>) -> Result<Mounted, Failed> {
        let (mut mounted, mut errors) = (Mounted::new(), Vec::new());
        let used = used(pod);
        for volume in pod.at("spec").list("volumes").iter().filter(|volume| used.contains(volume.str("name"))) {
            let name = volume.str("name").to_owned();
            match self.set_up(pod, volume, around).await {
                Ok(made) => {
                    mounted.insert(name, made);
                }
                Err(message) => errors.push(VolumeError { volume: name, message }),
            }
        }
        if errors.is_empty() { Ok(mounted) } else { Err(Failed(errors)) }
    }

    /// Takes the pod's volumes away. All its containers have ended; what they left to be read stays.
    pub async fn unmount(&self, pod_uid: &str) -> io::Result<()> {
        self.tokens.forget(pod_uid);
        self.certificates.forget(pod_uid);
        let directory = self.directory_to_remove(pod_uid)?;
        let mounter = self.mounter.clone();
        // What is bound out of a volume goes before the volume, and first of all that a volume is there.
        blocking(move || {
            ["plugins", "volume-subpaths", "volumes"]
                .iter()
                .try_for_each(|part| mounter::remove_tree(&*mounter, &directory.join(part)))
        })
        .await
    }

    /// Takes away everything that the pod has on the node.
    pub async fn release(&self, pod_uid: &str) -> io::Result<()> {
        self.unmount(pod_uid).await?;
        let (mounter, directory) = (self.mounter.clone(), self.pod_dir(pod_uid));
        blocking(move || mounter::remove_tree(&*mounter, &directory)).await
    }

    /// A uid that is none must not lead to another place.
    fn directory_to_remove(&self, pod_uid: &str) -> io::Result<PathBuf> {
        if pod_uid.is_empty() || pod_uid.contains('/') || pod_uid.starts_with('.') {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the uid of a pod"));
        }
        Ok(self.pod_dir(pod_uid))
    }

    async fn set_up(&self, pod: &Value, volume: &Value, around: &Around<'_>) -> Result<Volume, String> {
        let source = volume.members().find(|(member, source)| *member != "name" && !source.is_null());
        let (kind, source) = source.unwrap_or(("emptyDir", Value::NULL));
        if let Some(plugin) = content_plugin(kind) {
            let files = self.files(kind, pod, volume, around).await?;
            return self.write(pod, volume, plugin, files, around).await;
        }
        match kind {
            "emptyDir" => self.empty_dir(pod, volume, around).await,
            "hostPath" => {
                host_path::check(source)?;
                Ok(Volume { path: source.str("path").into(), ..Volume::default() })
            }
            "persistentVolumeClaim" | "ephemeral" => {
                let place = claim::place(&claim::find(&*self.objects, pod, volume).await?)?;
                if place.is_managed {
                    self.give(pod, &place).await.map_err(|error| error.to_string())?;
                }
                Ok(place)
            }
            "image" => {
                let image = ImageVolume {
                    reference: source.str("reference").to_owned(),
                    pull_policy: source.str("pullPolicy").to_owned(),
                };
                Ok(Volume { read_only: true, image: Some(image), ..Volume::default() })
            }
            _ => {
                let name = quote(volume.str("name"));
                Err(format!("failed to get Plugin from volumeSpec for volume {name} err=no volume plugin matched"))
            }
        }
    }

    async fn files(&self, kind: &str, pod: &Value, volume: &Value, around: &Around<'_>) -> Result<Payload, String> {
        let source = volume.at(kind);
        let optional = source.bool("optional");
        match kind {
            "configMap" => {
                let object = self.read(CONFIG_MAP, pod, source.str("name"), optional).await?;
                Shape::of(source, source)?.files(&payload::config_map(&object), NO_CONFIG_KEY)
            }
            "secret" => {
                let object = self.read(SECRET, pod, source.str("secretName"), optional).await?;
                Shape::of(source, source)?.files(&payload::secret(&object), NO_SECRET_KEY)
            }
            "downwardAPI" => downward_api::files(pod, source.list("items"), source, around.allocatable),
            _ => projected::files(self, pod, volume, around).await,
        }
    }

    /// An object that a volume is made of; an optional one that is not there reads as empty.
    async fn read(&self, kind: Kind, pod: &Value, name: &str, optional: bool) -> Result<Arc<Value>, String> {
        match self.objects.get(kind, pod.at("metadata").str("namespace"), name).await {
            Err(error) if error.is_not_found() && optional => Ok(Arc::new(Value::object())),
            read => read.map_err(|error| error.to_string()),
        }
    }

    fn volume_dir(&self, pod: &Value, plugin: &str, volume: &Value) -> PathBuf {
        self.pod_dir(pod.at("metadata").str("uid")).join("volumes").join(plugin).join(volume.str("name"))
    }

    async fn empty_dir(&self, pod: &Value, volume: &Value, around: &Around<'_>) -> Result<Volume, String> {
        let told = |error: io::Error| error.to_string();
        let path = self.volume_dir(pod, EMPTY_DIR, volume);
        // The agent may end at any moment: only what it wrote down at last is known to be finished.
        let uid = pod.at("metadata").str("uid");
        let finished = self.pod_dir(uid).join("plugins").join(EMPTY_DIR).join(volume.str("name")).join("ready");
        let source = volume.at("emptyDir");
        let bytes = empty_dir::memory_bytes(pod, source, around.allocatable);
        let made = empty_dir::make(&*self.mounter, pod, source, &path, bytes, finished.exists())?;
        let volume = Volume { path, is_managed: true, ..Volume::default() };
        if made {
            self.give(pod, &volume).await.map_err(told)?;
            finished.parent().map_or(Ok(()), fs::create_dir_all).map_err(told)?;
            fs::write(&finished, "").map_err(told)?;
        }
        Ok(volume)
    }

    async fn give(&self, pod: &Value, volume: &Volume) -> io::Result<()> {
        let Some(group) = security::fs_group(pod) else { return Ok(()) };
        let on_mismatch = pod.at_path(&["spec", "securityContext"]).str("fsGroupChangePolicy") == "OnRootMismatch";
        let (path, read_only) = (volume.path.clone(), volume.read_only);
        blocking(move || match on_mismatch && ownership::is_given(&path, group, read_only) {
            true => Ok(()),
            false => ownership::give(&path, group, read_only),
        })
        .await
    }

    /// Writes a volume's files where what is there differs.
    async fn write(
        &self,
        pod: &Value,
        volume: &Value,
        plugin: Plugin,
        files: Payload,
        around: &Around<'_>,
    ) -> Result<Volume, String> {
        let path = self.volume_dir(pod, plugin.directory, volume);
        let bytes = empty_dir::memory_bytes(pod, Value::NULL, around.allocatable);
        let (mounter, group, now) = (self.mounter.clone(), security::fs_group(pod), self.clock.now());
        let directory = path.clone();
        let inside = nested::mountpoints(pod, volume.str("name"))?;
        let written = blocking(move || {
            prepare(&*mounter, &directory, plugin.in_memory.then_some(bytes))?;
            nested::make(&inside, &directory)?;
            // New links stand beside the new directory: all of the volume is given to the group.
            let settle = || group.map_or(Ok(()), |group| ownership::give(&directory, group, true));
            atomic::write(&directory, &files, now, settle)
        });
        written.await.map_err(|error| error.to_string())?;
        Ok(Volume { path, read_only: true, is_managed: true, image: None })
    }
}

/// The directory, in memory where a number of bytes is said.
fn prepare(mounter: &dyn Mounter, directory: &Path, memory_bytes: Option<i64>) -> io::Result<()> {
    let is_new = !directory.exists();
    fs::create_dir_all(directory)?;
    let due = match memory_bytes {
        Some(bytes) if !mounter.is_mounted(directory)? => {
            empty_dir::memory(mounter, directory, bytes)?;
            true
        }
        _ => is_new,
    };
    if due {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o777))?;
    }
    Ok(())
}

/// Disks may be slow, and other pods do not wait for them.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The volumes that containers mount or read variables from. Others are not even made. Upstream: `GetPodVolumeNames`.
fn used(pod: &Value) -> BTreeSet<&str> {
    let spec = pod.at("spec");
    let lists = ["initContainers", "containers", "ephemeralContainers"].map(|list| spec.list(list));
    let mut used = BTreeSet::new();
    for container in lists.into_iter().flatten() {
        used.extend(container.list("volumeMounts").iter().map(|mount| mount.str("name")));
        used.extend(container.list("volumeDevices").iter().map(|device| device.str("name")));
        let files = container.list("env").iter().map(|v| v.at_path(&["valueFrom", "fileKeyRef"]).str("volumeName"));
        used.extend(files);
    }
    used
}

/// Where the volumes are that have a place on the node.
pub fn paths(mounted: &Mounted) -> BTreeMap<String, PathBuf> {
    let placed = mounted.iter().filter(|(_, volume)| volume.image.is_none());
    placed.map(|(name, volume)| (name.clone(), volume.path.clone())).collect()
}
