//! Images that lie beside the data are there before anybody pulls: archives in `DIR/images`, for machines without a registry.
//!
//! CRI can pull and not take; containerd's own program does it, in the namespace that its CRI plugin looks into.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Where the CRI plugin of containerd keeps its images. Upstream: containerd, internal/cri/constants K8sContainerdNamespace.
const NAMESPACE: &str = "k8s.io";

/// Archives to load, and into which runtime.
#[derive(Default)]
pub struct Images {
    archives: Vec<PathBuf>,
    /// The runtime's socket.
    endpoint: String,
}

impl Images {
    /// `*.tar` of a directory, by name.
    pub fn of(directory: &Path, endpoint: Option<String>) -> Images {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut archives: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|kind| kind == "tar")).collect();
        archives.sort();
        Images { archives, endpoint: endpoint.unwrap_or_default() }
    }

    /// Loads them one after another; it takes as long as that takes. One that is not taken is said and left.
    pub fn load(&self) {
        for archive in &self.archives {
            let shown = archive.display();
            match import(archive, &self.endpoint) {
                Ok(()) => tracing::info!("{shown} is loaded"),
                Err(error) => tracing::warn!("{shown} is not loaded: {error}"),
            }
        }
    }
}

/// The error says what to do.
fn import(archive: &Path, endpoint: &str) -> Result<(), String> {
    let socket = endpoint.strip_prefix("unix://").unwrap_or(endpoint);
    let output = Command::new("ctr")
        .args(["--address", socket, "--namespace", NAMESPACE, "images", "import"])
        .arg(archive)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("containerd's program ctr, which loads it, cannot be started: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_found_by_name_and_what_is_none_is_left() {
        let place = tempfile::tempdir().expect("a directory");
        for name in ["b.tar", "a.tar", "notes.txt", "c.tar.gz"] {
            fs::write(place.path().join(name), "").expect("a file");
        }
        let found = Images::of(place.path(), None).archives;
        assert_eq!(found, ["a.tar", "b.tar"].map(|name| place.path().join(name)));
        assert!(Images::of(&place.path().join("nowhere"), None).archives.is_empty());
        let error = import(&found[0], "unix:///nowhere/containerd.sock").expect_err("nobody answers there");
        assert!(!error.is_empty());
    }
}
