//! Directories in a volume at which a container mounts other volumes.
//!
//! The volume may be read-only when the runtime comes to mount, so they are there before. Upstream:
//! pkg/volume/util/nested_volumes.go.

use std::{fs, io, path::Path};

use api::Value;

/// Paths relative to the volume `name`, over all containers of the pod.
pub fn mountpoints(pod: &Value, name: &str) -> Result<Vec<String>, String> {
    let spec = pod.at("spec");
    let lists = ["initContainers", "containers", "ephemeralContainers"].map(|list| spec.list(list));
    let mut found = Vec::new();
    for container in lists.into_iter().flatten() {
        in_container(&mut found, container, name)?;
    }
    Ok(found)
}

fn in_container(found: &mut Vec<String>, container: &Value, name: &str) -> Result<(), String> {
    let mounts = container.list("volumeMounts");
    let cleaned = |mount: &Value| cleaned(mount.str("mountPath"));
    let mut all: Vec<String> = mounts.iter().map(cleaned).collect();
    all.sort_unstable();
    for own in mounts.iter().filter(|mount| mount.str("name") == name).map(cleaned) {
        if own.starts_with("../") {
            return Err(format!("invalid container mount point {own}"));
        }
        let inside = format!("{own}/");
        let mut nested: Vec<String> = Vec::new();
        for path in all.iter().filter_map(|path| path.strip_prefix(&inside)) {
            // What is mounted in a volume that is itself nested is that volume's affair.
            if !nested.iter().any(|outer| path.starts_with(&format!("{outer}/"))) {
                nested.push(path.to_owned());
            }
        }
        found.extend(nested);
    }
    Ok(())
}

/// The shortest path that means the same, without looking. Upstream: filepath.Clean.
fn cleaned(path: &str) -> String {
    let root = if path.starts_with('/') { "/" } else { "" };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match (part, parts.last()) {
            ("" | ".", _) => {}
            ("..", None) if !root.is_empty() => {}
            ("..", Some(last)) if *last != ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    format!("{root}{}", parts.join("/"))
}

/// Makes them.
pub fn make(inside: &[String], directory: &Path) -> io::Result<()> {
    for path in inside {
        fs::create_dir_all(directory.join(path)).map_err(|error| {
            io::Error::new(error.kind(), format!("unable to create nested volume mountpoints: {error}"))
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::value;

    #[test]
    fn only_the_outermost_are_made() {
        let mount = |name: &str, path: &str| value!({"name": name, "mountPath": path});
        let pod = value!({"spec": {"containers": [{"volumeMounts": [mount("v", "/dir"), mount("a", "/dir/nested"),
            mount("b", "/dir/nested/other"), mount("c", "/dir/nested-vol"), mount("d", "/dir2/x"),
            mount("e", "/dir/x/../y")]}], "initContainers": [{"volumeMounts": [mount("v", "/w/"), mount("a", "/w/z")]}]}});
        let found = mountpoints(&pod, "v").map(|mut found| {
            found.sort();
            found
        });
        assert_eq!(found, Ok(vec!["nested".to_owned(), "nested-vol".into(), "y".into(), "z".into()]));
        assert_eq!(mountpoints(&pod, "c"), Ok(vec![]));
    }

    #[test]
    fn nobody_is_led_out_of_the_root() {
        let pod = value!({"spec": {"containers": [{"volumeMounts": [{"name": "v", "mountPath": "../x"}]}]}});
        assert_eq!(mountpoints(&pod, "v"), Err("invalid container mount point ../x".into()));
    }
}
