//! A directory that lives as long as its pod, on the disk, in memory or on huge pages.
//! Upstream: pkg/volume/emptydir/empty_dir.go.

use std::{collections::BTreeSet, fs, io, os::unix::fs::PermissionsExt, path::Path};

use api::{Value, quantity::Quantity};

use super::mounter::Mounter;
use crate::qos;

/// Makes the directory. `memory_bytes` is how much a memory medium may hold; 0 is as much as the kernel lets it.
///
/// What was made to its end before (`was_finished`) and is still there is left alone. Answers whether anything was done.
pub fn make(
    mounter: &dyn Mounter,
    pod: &Value,
    source: &Value,
    directory: &Path,
    memory_bytes: i64,
    was_finished: bool,
) -> Result<bool, String> {
    let told = |error: io::Error| error.to_string();
    let medium = source.str("medium");
    let is_mounted = !medium.is_empty() && mounter.is_mounted(directory).map_err(told)?;
    if was_finished && (is_mounted || medium.is_empty() && directory.is_dir()) {
        return Ok(false);
    }
    fs::create_dir_all(directory).map_err(told)?;
    match medium {
        "" => {}
        _ if is_mounted => {}
        "Memory" => memory(mounter, directory, memory_bytes).map_err(told)?,
        _ if medium.starts_with("HugePages") => {
            let options = format!("pagesize={}", page_size(medium, pod)?);
            mounter.filesystem("hugetlbfs", directory, &options).map_err(told)?;
        }
        other => return Err(format!("unknown storage medium {}", api::field::quote(other))),
    }
    let mode = source.opt_int("mode").and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0o777);
    fs::set_permissions(directory, fs::Permissions::from_mode(mode & 0o1777)).map_err(told)?;
    Ok(true)
}

/// A filesystem in memory, of which nothing is swapped out where the kernel knows how.
pub fn memory(mounter: &dyn Mounter, directory: &Path, bytes: i64) -> io::Result<()> {
    let size = if bytes > 0 { format!("size={bytes}") } else { String::new() };
    let without_swap = if size.is_empty() { "noswap".to_owned() } else { format!("{size},noswap") };
    mounter.filesystem("tmpfs", directory, &without_swap).or_else(|_| mounter.filesystem("tmpfs", directory, &size))
}

/// The least of what the node has, what the pod may use and what the volume says.
/// Upstream: `calculateEmptyDirMemorySize`.
pub fn memory_bytes(pod: &Value, source: &Value, allocatable: &Value) -> i64 {
    let said = |value: &Value| if value.is_null() { 0 } else { Quantity::of(value).value() };
    let mut least = said(allocatable.at("memory"));
    let pod_limit = qos::pod_resources(pod).memory_limit_bytes;
    for other in [pod_limit, said(source.at("sizeLimit"))] {
        if other > 0 && (other <= least || least == 0) {
            least = other;
        }
    }
    least
}

/// Upstream: `getPageSizeMountOption`.
fn page_size(medium: &str, pod: &Value) -> Result<String, String> {
    let spec = pod.at("spec");
    let containers = ["containers", "initContainers"].map(|list| spec.list(list)).into_iter().flatten();
    let requests = containers.chain([spec]).flat_map(|of| of.at_path(&["resources", "requests"]).members());
    let sizes: BTreeSet<&str> = requests.filter_map(|(name, _)| name.strip_prefix("hugepages-")).collect();
    let wanted = medium.strip_prefix("HugePages-");
    let mut fit = sizes.iter().filter(|size| wanted.is_none_or(|wanted| is_same_size(wanted, size)));
    match (fit.next(), fit.next()) {
        (Some(_), Some(_)) => {
            Err(format!("medium: {medium} can't be used if container requests multiple huge page sizes"))
        }
        (Some(size), None) => Ok((*size).to_owned()),
        _ => Err(format!(
            "medium {medium}: hugePages storage requested, but there is no resource request for huge pages"
        )),
    }
}

fn is_same_size(a: &str, b: &str) -> bool {
    match (Quantity::parse(a), Quantity::parse(b)) {
        (Ok(a), Ok(b)) => a.value() == b.value(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::mounter::recorded::Recorded, *};
    use api::value;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("is there").permissions().mode() & 0o7777
    }

    #[test]
    fn on_the_disk_everybody_may_write_and_once_finished_it_is_left_alone() {
        let root = tempfile::tempdir().expect("makes one");
        let directory = root.path().join("a/b");
        let make = |was_finished| make(&Recorded::default(), Value::NULL, &value!({}), &directory, 0, was_finished);
        assert_eq!(make(false), Ok(true));
        assert_eq!(mode(&directory), 0o777);
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).expect("sets");
        assert_eq!(make(true), Ok(false));
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(make(false), Ok(true), "nobody knows how far it was");
        assert_eq!(mode(&directory), 0o777);
        let own = root.path().join("own");
        super::make(&Recorded::default(), Value::NULL, &value!({"mode": 960}), &own, 0, true).expect("makes");
        assert_eq!(mode(&own), 0o1700);
    }

    #[test]
    fn in_memory_it_is_mounted_once_with_its_size() {
        let root = tempfile::tempdir().expect("makes one");
        let mounter = Recorded::default();
        let make =
            |was_finished| make(&mounter, Value::NULL, &value!({"medium": "Memory"}), root.path(), 4096, was_finished);
        assert_eq!((make(false), make(false), make(true)), (Ok(true), Ok(true), Ok(false)));
        assert_eq!(mounter.told(), ["tmpfs size=4096,noswap"]);
        let other = root.path().join("other");
        let unknown = super::make(&mounter, Value::NULL, &value!({"medium": "Tape"}), &other, 0, false);
        assert_eq!(unknown, Err("unknown storage medium \"Tape\"".into()));
    }

    #[test]
    fn memory_is_bounded_by_node_pod_and_volume() {
        let node = value!({"memory": "8Gi"});
        let limited = value!({"spec": {"containers": [{"resources": {"limits": {"memory": "1Gi"}}}]}});
        assert_eq!(memory_bytes(&value!({}), &value!({}), &node), 8 << 30);
        assert_eq!(memory_bytes(&limited, &value!({}), &node), 1 << 30);
        assert_eq!(memory_bytes(&limited, &value!({"sizeLimit": "1Mi"}), &node), 1 << 20);
        assert_eq!(memory_bytes(&limited, &value!({"sizeLimit": "2Gi"}), &node), 1 << 30);
        assert_eq!(memory_bytes(&value!({}), &value!({"sizeLimit": "0"}), &node), 8 << 30);
    }

    #[test]
    fn huge_pages_are_of_the_size_that_the_pod_asks_for() {
        let pod = value!({"spec": {"containers": [{"resources": {"requests": {"hugepages-2Mi": "4Mi"}}}]}});
        let mut both = pod.clone();
        both.set_path(&["spec", "initContainers"], value!([{"resources": {"requests": {"hugepages-1Gi": "1Gi"}}}]));
        assert_eq!(page_size("HugePages", &pod), Ok("2Mi".into()));
        assert_eq!(page_size("HugePages-2048Ki", &both), Ok("2Mi".into()));
        assert!(page_size("HugePages", &both).is_err_and(|why| why.contains("multiple huge page sizes")));
        assert!(page_size("HugePages-1Gi", &pod).is_err_and(|why| why.contains("no resource request")));
    }
}
