//! Volumes in a directory of the test's: made, followed, told when they cannot be, and taken away.

use parking_lot::Mutex;

use super::{mounter::recorded::Recorded, *};
use crate::objects::{SERVICE_ACCOUNT, stored::Stored};
use api::value;
use jiff::Timestamp;

#[derive(Default)]
pub struct Ticking(Mutex<i64>);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        let mut seconds = self.0.lock();
        *seconds += 1;
        Timestamp::new(1_700_000_000 + *seconds, 0).expect("is a time")
    }
}

pub struct World {
    pub stored: Arc<Stored>,
    pub mounter: Arc<Recorded>,
    pub volumes: Volumes,
    pub root: tempfile::TempDir,
}

pub fn world() -> World {
    let root = tempfile::tempdir().expect("makes one");
    let (stored, mounter) = (Stored::new(), Arc::new(Recorded::default()));
    let clock = Arc::new(Ticking::default());
    let node = certificate::Node::default();
    let volumes = Volumes::new(root.path().to_owned(), stored.clone(), clock, mounter.clone(), node);
    World { stored, mounter, volumes, root }
}

/// A pod with one volume `v`, which its container mounts.
pub fn pod(source: Value) -> Value {
    let mut volume = source;
    volume.set("name", "v");
    value!({"metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"a": "b"}}, "spec": {
        "serviceAccountName": "sa", "volumes": [volume],
        "containers": [{"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}})
}

impl World {
    pub async fn ensure(&self, pod: &Value) -> Result<Mounted, Failed> {
        let allocatable = value!({"cpu": "2", "memory": "1Gi"});
        self.volumes.ensure(pod, &Around { allocatable: &allocatable }).await
    }

    async fn why(&self, pod: &Value) -> String {
        self.ensure(pod).await.expect_err("is refused").0[0].to_string()
    }

    fn read(&self, plugin: &str, file: &str) -> String {
        let place = self.root.path().join("pods/u/volumes").join(plugin).join("v").join(file);
        fs::read_to_string(&place).unwrap_or_else(|error| panic!("{}: {error}", place.display()))
    }
}

#[tokio::test]
async fn a_config_map_is_followed_while_the_pod_lives() {
    let world = world();
    let pod = pod(value!({"configMap": {"name": "m", "defaultMode": 420}}));
    let why = "MountVolume.SetUp failed for volume \"v\" : configmap \"m\" not found";
    assert_eq!(world.why(&pod).await, why);
    world.stored.put(CONFIG_MAP, "ns", "m", value!({"data": {"a": "1", "b": "2"}}));
    let mounted = world.ensure(&pod).await.expect("is there");
    assert!(mounted["v"].read_only && mounted["v"].is_managed);
    assert_eq!(world.read("kubernetes.io~configmap", "a"), "1");
    world.stored.put(CONFIG_MAP, "ns", "m", value!({"data": {"a": "3"}}));
    world.ensure(&pod).await.expect("is there");
    assert_eq!(world.read("kubernetes.io~configmap", "a"), "3");
    assert!(!mounted["v"].path.join("b").exists());
    assert!(world.mounter.told().is_empty(), "it may be on the disk");
}

#[tokio::test]
async fn a_secret_is_in_memory_and_may_be_optional() {
    let world = world();
    let pod = pod(value!({"secret": {"secretName": "s", "defaultMode": 256, "optional": true}}));
    world.ensure(&pod).await.expect("nothing is there, which is allowed");
    assert_eq!(world.mounter.told(), ["tmpfs size=1073741824,noswap"]);
    world.stored.put(SECRET, "ns", "s", value!({"data": {"k": "c2VjcmV0"}}));
    let mounted = world.ensure(&pod).await.expect("is there");
    assert_eq!(world.read("kubernetes.io~secret", "k"), "secret");
    let mode = fs::metadata(mounted["v"].path.join("k")).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o400);
    assert_eq!(world.mounter.told().len(), 1, "it is mounted once");
}

#[tokio::test]
async fn a_key_that_is_not_there_is_told() {
    let world = world();
    world.stored.put(SECRET, "ns", "s", value!({}));
    world.stored.put(CONFIG_MAP, "ns", "m", value!({}));
    let item = || value!([{"key": "z", "path": "z"}]);
    let secret = pod(value!({"secret": {"secretName": "s", "defaultMode": 420, "items": item()}}));
    let refused = "MountVolume.SetUp failed for volume \"v\" : references non-existent secret key: z";
    assert_eq!(world.why(&secret).await, refused);
    let map = pod(value!({"configMap": {"name": "m", "defaultMode": 420, "items": item()}}));
    let refused = "MountVolume.SetUp failed for volume \"v\" : configmap references non-existent config key: z";
    assert_eq!(world.why(&map).await, refused);
}

#[tokio::test]
async fn several_sources_stand_in_one_volume() {
    let world = world();
    *world.stored.expiration.lock() = "2033-01-01T00:00:00Z".into();
    world.stored.put(SERVICE_ACCOUNT, "ns", "sa", value!({}));
    world.stored.put(CONFIG_MAP, "ns", "m", value!({"data": {"x": "map", "ca.crt": "ca"}}));
    world.stored.put(SECRET, "ns", "s", value!({"data": {"x": "c2VjcmV0"}}));
    let pod = pod(value!({"projected": {"defaultMode": 420, "sources": [
        {"configMap": {"name": "m"}},
        {"secret": {"name": "s"}},
        {"downwardAPI": {"items": [{"path": "d/labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
    ]}}));
    world.ensure(&pod).await.expect("is there");
    let read = |file: &str| world.read("kubernetes.io~projected", file);
    assert_eq!((read("x"), read("ca.crt")), ("secret".into(), "ca".into()));
    assert_eq!((read("d/labels"), read("token")), ("a=\"b\"".into(), "token-1".into()));
}

#[tokio::test]
async fn what_lacks_in_a_projected_volume_is_told_together() {
    let world = world();
    let pod = pod(value!({"projected": {"defaultMode": 420, "sources": [
        {"configMap": {"name": "m"}}, {"secret": {"name": "s"}}]}}));
    let why = "MountVolume.SetUp failed for volume \"v\" : [configmap \"m\" not found, secret \"s\" not found]";
    assert_eq!(world.why(&pod).await, why);
}

#[tokio::test]
async fn the_pods_group_may_read() {
    use std::os::unix::fs::MetadataExt;
    let world = world();
    world.stored.put(CONFIG_MAP, "ns", "m", value!({"data": {"a": "1"}}));
    let mut pod = pod(value!({"configMap": {"name": "m", "defaultMode": 256}}));
    let group = fs::metadata(world.root.path()).expect("is there").gid();
    pod.set_path(&["spec", "securityContext"], value!({"fsGroup": i64::from(group)}));
    let mounted = world.ensure(&pod).await.expect("is there");
    let meta = |path: &Path| fs::metadata(path).expect("is there");
    let (file, root) = (meta(&mounted["v"].path.join("a")), meta(&mounted["v"].path));
    assert_eq!((file.mode() & 0o777, file.gid()), (0o440, group));
    assert_eq!(root.mode() & 0o2000, 0o2000);
}

#[tokio::test]
async fn only_what_a_container_uses_is_made() {
    let world = world();
    let mut pod = pod(value!({"configMap": {"name": "m", "defaultMode": 420}}));
    pod.set_path(&["spec", "containers"], value!([{"name": "c"}]));
    assert_eq!(world.ensure(&pod).await, Ok(Mounted::new()));
}

#[tokio::test]
async fn volumes_of_kinds_that_there_are_not_are_told_and_the_others_are_made() {
    let world = world();
    let mut pod = pod(value!({"nfs": {"server": "s", "path": "/"}}));
    let volumes = pod.path_mut(&["spec", "volumes"]).expect("is there").make_array();
    volumes.push(value!({"name": "e", "emptyDir": {}}));
    pod.set_path(
        &["spec", "containers"],
        value!([{"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "e", "mountPath": "/e"}]}]),
    );
    let failed = world.ensure(&pod).await.expect_err("one is not there");
    assert_eq!(failed.to_string(), "unmounted volumes=[v], unattached volumes=[], failed to process volumes=[]");
    assert!(failed.0[0].message.ends_with("err=no volume plugin matched"));
    assert!(world.root.path().join("pods/u/volumes/kubernetes.io~empty-dir/e").is_dir());
}

#[tokio::test]
async fn a_volume_inside_another_has_its_place_there() {
    let world = world();
    world.stored.put(CONFIG_MAP, "ns", "m", value!({"data": {"a": "1"}}));
    let mut pod = pod(value!({"configMap": {"name": "m", "defaultMode": 420}}));
    let mounts = value!([{"name": "v", "mountPath": "/v"}, {"name": "w", "mountPath": "/v/in/side"}]);
    pod.set_path(&["spec", "containers"], value!([{"name": "c", "volumeMounts": mounts}]));
    let mounted = world.ensure(&pod).await.expect("is there");
    assert!(mounted["v"].path.join("in/side").is_dir());
}

#[tokio::test]
async fn everything_goes_with_the_pod() {
    let world = world();
    let pod = pod(value!({"emptyDir": {"medium": "Memory"}}));
    let mounted = world.ensure(&pod).await.expect("is there");
    fs::write(mounted["v"].path.join("file"), "x").expect("writes");
    assert_eq!(world.volumes.pods_on_disk().expect("reads"), ["u"]);
    world.volumes.release("u").await.expect("removes");
    assert!(world.volumes.pods_on_disk().expect("reads").is_empty());
    assert!(world.mounter.mounts_below(world.root.path()).expect("reads").is_empty());
    world.volumes.release("u").await.expect("is gone already");
    assert!(world.volumes.release("../u").await.is_err() && world.volumes.release("").await.is_err());
}
