//! What a container mounts, and what it may not.

use super::{super::tests::*, *};
use api::value;

async fn of(world: &World, source: Value, mount: Value, variables: &[(String, String)]) -> Result<Vec<Mount>, String> {
    let mut pod = pod(source);
    let mut mount = mount;
    mount.set("name", "v");
    mount.default("mountPath", "/v");
    pod.set_path(&["spec", "containers"], value!([{"name": "c", "volumeMounts": [mount]}]));
    let mounted = world.ensure(&pod).await.expect("is there");
    let images = BTreeMap::from([("v".to_owned(), ImageSpec { image: "sha256:1".into(), ..ImageSpec::default() })]);
    let context = Context { variables, recursive_read_only: false, images: &images, selinux: true };
    let container = &pod.at("spec").list("containers")[0];
    super::of(&world.volumes, &pod, container, &mounted, &context).map_err(|error| error.0)
}

fn empty() -> Value {
    value!({"emptyDir": {}})
}

#[tokio::test]
async fn a_mount_is_what_its_volume_and_itself_say() {
    let world = world();
    let plain = of(&world, empty(), value!({}), &[]).await.expect("is one").remove(0);
    let place = world.root.path().join("pods/u/volumes/kubernetes.io~empty-dir/v");
    assert_eq!(plain.host_path, place.to_string_lossy());
    assert!(!plain.readonly && plain.selinux_relabel && plain.propagation == Propagation::Private);
    let said = value!({"mountPath": "rel", "readOnly": true, "mountPropagation": "HostToContainer"});
    let said = of(&world, empty(), said, &[]).await.expect("is one").remove(0);
    assert_eq!((said.container_path.as_str(), said.readonly), ("/rel", true));
    assert_eq!(said.propagation, Propagation::HostToContainer);
    let host = of(&world, value!({"hostPath": {"path": "/tmp"}}), value!({}), &[]).await.expect("is one").remove(0);
    assert!(!host.selinux_relabel && host.host_path == "/tmp");
}

#[tokio::test]
async fn a_path_inside_is_made_and_bound() {
    let world = world();
    let variables = [("POD".to_owned(), "one".to_owned())];
    let made = of(&world, empty(), value!({"subPathExpr": "logs/$(POD)"}), &variables).await.expect("is one").remove(0);
    let place = world.root.path().join("pods/u/volume-subpaths/v/c/0");
    assert_eq!(made.host_path, place.to_string_lossy());
    assert!(world.root.path().join("pods/u/volumes/kubernetes.io~empty-dir/v/logs/one").is_dir());
    let refused = async |mount| of(&world, empty(), mount, &variables).await.expect_err("is refused");
    assert_eq!(refused(value!({"subPathExpr": "$(NO)"})).await, "missing value for NO");
    assert_eq!(refused(value!({"subPath": "/a"})).await, "error SubPath `/a` must not be an absolute path");
    assert_eq!(
        refused(value!({"subPath": "a/../b"})).await,
        "unable to provision SubPath `a/../b`: must not contain '..'"
    );
    let volume = world.root.path().join("pods/u/volumes/kubernetes.io~empty-dir/v");
    std::os::unix::fs::symlink("/etc", volume.join("out")).expect("links");
    let words = "failed to prepare subPath for volumeMount \"v\" of container \"c\"";
    assert_eq!(refused(value!({"subPath": "out"})).await, words);
}

/// What a pod says is a name and never a line of a shell, however it reads.
#[tokio::test]
async fn cve_2023_3676_cve_2023_3955_cve_2023_5528_paths_are_names_and_no_commands() {
    let world = world();
    let inside = world.root.path().join("pods/u/volumes/kubernetes.io~empty-dir/v");
    for path in
        ["$(touch${IFS}pwned)", "a;touch pwned", "`touch pwned`", "a&&touch pwned|x", "x\ntouch pwned", "$env:a"]
    {
        let made = of(&world, empty(), value!({"subPath": path}), &[]).await.expect("is one").remove(0);
        assert!(inside.join(path).is_dir(), "{path:?} is a directory of that name");
        assert_eq!(made.host_path, world.root.path().join("pods/u/volume-subpaths/v/c/0").to_string_lossy());
        let plain = world.root.path().join(path).to_string_lossy().into_owned();
        let source = value!({"hostPath": {"path": (plain.as_str()), "type": "DirectoryOrCreate"}});
        let bound = of(&world, source, value!({"mountPath": path}), &[]).await.expect("is one").remove(0);
        assert_eq!(bound.host_path, plain, "nothing of it is expanded");
    }
    let names: Vec<_> = std::fs::read_dir(world.root.path()).expect("is there").filter_map(Result::ok).collect();
    assert!(names.iter().all(|entry| entry.file_name() != "pwned"));
    assert!(!std::path::Path::new("pwned").exists());
}

#[tokio::test]
async fn an_images_files_are_the_runtimes() {
    let world = world();
    let source = value!({"image": {"reference": "r.io/a", "pullPolicy": "Always"}});
    let made = of(&world, source, value!({"subPath": "x"}), &[]).await.expect("is one").remove(0);
    assert_eq!(made.image.map(|image| image.image).as_deref(), Some("sha256:1"));
    assert_eq!((made.image_sub_path.as_str(), made.host_path.as_str(), made.readonly), ("x", "", true));
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let world = world();
    let refused = async |mount| of(&world, empty(), mount, &[]).await.expect_err("is refused");
    let recursive =
        "failed to resolve recursive read-only mode: volume \"v\" requested recursive read-only mode, but it is";
    assert_eq!(refused(value!({"recursiveReadOnly": "Enabled"})).await, format!("{recursive} not read-only"));
    let on = value!({"recursiveReadOnly": "Enabled", "readOnly": true});
    assert_eq!(refused(on).await, format!("{recursive} not supported by the runtime"));
    let shared = value!({"recursiveReadOnly": "Enabled", "readOnly": true, "mountPropagation": "Bidirectional"});
    assert_eq!(refused(shared).await, format!("{recursive} not compatible with propagation \"Bidirectional\""));
    assert_eq!(refused(value!({"mountPropagation": "X"})).await, "invalid MountPropagation mode: \"X\"");
    let possible = value!({"recursiveReadOnly": "IfPossible", "readOnly": true});
    assert!(!of(&world, empty(), possible, &[]).await.expect("is one")[0].recursive_read_only);
    let container = value!({"name": "c", "volumeMounts": [{"name": "x"}]});
    let images = BTreeMap::new();
    let context = Context { variables: &[], recursive_read_only: false, images: &images, selinux: false };
    let missing = super::of(&world.volumes, Value::NULL, &container, &Mounted::new(), &context);
    let words = "cannot find volume \"x\" to mount into container \"c\"";
    assert_eq!(missing.map_err(|error| error.0), Err(words.into()));
}
