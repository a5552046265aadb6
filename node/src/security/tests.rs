//! Whose word counts, and what is refused.

use super::*;
use api::value;

fn host() -> Host {
    let masked_paths = MASKED_PATHS.map(str::to_owned).to_vec();
    Host { seccomp_root: "/k/seccomp".into(), seccomp_default: false, masked_paths }
}

fn pod(context: Value) -> Value {
    value!({"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": {"securityContext": context}})
}

fn of(pod_context: Value, own: Value) -> Result<Security, ConfigError> {
    let container = value!({"name": "c", "securityContext": own});
    of_container(&pod(pod_context), &container, &ImageUser { uid: None, username: "web".into() }, &host(), None, None)
}

#[test]
fn the_containers_word_goes_before_the_pods() {
    let whole = value!({"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4],
        "seccompProfile": {"type": "RuntimeDefault"}, "supplementalGroupsPolicy": "Strict"});
    let own = value!({"runAsUser": 0, "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}, "privileged": true,
        "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false, "procMount": "Unmasked",
        "seccompProfile": {"type": "Localhost", "localhostProfile": "a/b.json"}});
    let made = of(whole, own).expect("is well formed");
    assert_eq!((made.run_as_user, made.run_as_group, made.run_as_username.as_str()), (Some(0), Some(2), ""));
    assert_eq!((made.supplemental_groups, made.strict_groups), (vec![3, 4], true));
    assert_eq!((made.add_capabilities, made.drop_capabilities), (vec!["NET_ADMIN".to_owned()], vec!["ALL".to_owned()]));
    assert!(made.privileged && made.readonly_rootfs && made.no_new_privileges);
    assert!(made.masked_paths.is_empty() && made.readonly_paths.is_empty());
    assert_eq!(made.seccomp, Some(Profile::Localhost("/k/seccomp/a/b.json".into())));
}

#[test]
fn what_says_nothing_is_the_images_user_without_a_profile() {
    let made = of(Value::Null, Value::Null).expect("is well formed");
    assert_eq!((made.run_as_user, made.run_as_username.as_str()), (None, "web"));
    assert_eq!(made.seccomp, Some(Profile::Unconfined));
    assert!(made.masked_paths.contains(&"/proc/kcore".to_owned()) && !made.no_new_privileges);
    let safe = Host { seccomp_default: true, ..host() };
    let made = of_container(&pod(Value::Null), &value!({}), &ImageUser::default(), &safe, None, None);
    assert_eq!(made.expect("is well formed").seccomp, Some(Profile::RuntimeDefault));
}

/// A profile of the node without a name is none, and the container must not run without one instead.
#[test]
fn cve_2023_2431_a_profile_without_a_name_is_refused() {
    for profile in [
        value!({"type": "Localhost"}),
        value!({"type": "Localhost", "localhostProfile": ""}),
        value!({"type": "Localhost", "localhostProfile": null}),
    ] {
        for (whole, own) in [
            (Value::Null, value!({"seccompProfile": (profile.clone())})),
            (value!({"seccompProfile": (profile.clone())}), Value::Null),
        ] {
            assert_eq!(
                of(whole, own).map_err(|e| e.0).err().as_deref(),
                Some("localhostProfile must be set if seccompProfile type is Localhost.")
            );
        }
    }
}

#[test]
fn profiles_that_are_not_whole_are_refused() {
    let missing = of(Value::Null, value!({"appArmorProfile": {"type": "Localhost"}}));
    assert_eq!(missing.map_err(|e| e.0).err().as_deref(), Some("missing localhost apparmor profile name"));
    let unknown = of(value!({"supplementalGroupsPolicy": "Some"}), Value::Null);
    assert_eq!(unknown.map_err(|e| e.0).err().as_deref(), Some("unsupported supplementalGroupsPolicy: Some"));
}

#[test]
fn an_annotation_stands_between_container_and_pod() {
    let mut pod = pod(value!({"appArmorProfile": {"type": "Unconfined"}}));
    let container = value!({"name": "c"});
    assert_eq!(apparmor(&pod, &container), Ok(Some(Profile::Unconfined)));
    let key = "container.apparmor.security.beta.kubernetes.io/c";
    pod.entry_path(&["metadata", "annotations"]).set(key, "localhost/mine");
    assert_eq!(apparmor(&pod, &container), Ok(Some(Profile::Localhost("mine".into()))));
    let own = value!({"name": "c", "securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}});
    assert_eq!(apparmor(&pod, &own), Ok(Some(Profile::RuntimeDefault)));
}

#[test]
fn root_is_refused_where_it_is_said_or_might_be() {
    let verify = |context: Value, uid: Option<i64>, username: &str| {
        let image = ImageUser { uid, username: username.into() };
        verify_non_root(&pod(context), &value!({"name": "c"}), &image).map_err(|error| error.0)
    };
    let strict = || value!({"runAsNonRoot": true});
    let whose = "(pod: \"p_ns(u)\", container: c)";
    assert_eq!(verify(Value::Null, Some(0), ""), Ok(()));
    assert_eq!(verify(strict(), Some(7), ""), Ok(()));
    assert_eq!(verify(value!({"runAsNonRoot": true, "runAsUser": 7}), Some(0), ""), Ok(()));
    let root = format!("container has runAsNonRoot and image will run as root {whose}");
    assert_eq!(verify(strict(), Some(0), ""), Err(root.clone()));
    assert_eq!(verify(strict(), None, ""), Err(root), "an image that says nothing runs as root");
    let said = format!("container's runAsUser breaks non-root policy {whose}");
    assert_eq!(verify(value!({"runAsNonRoot": true, "runAsUser": 0}), None, ""), Err(said));
    let named = "container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root";
    assert_eq!(verify(strict(), None, "web"), Err(format!("{named} {whose}")));
    let invalid = verify(strict(), Some(-1), "").expect_err("is no user");
    assert!(invalid.contains("image has an invalid user id (-1). (Must be 1-(2147483647)): "), "{invalid}");
}

#[test]
fn namespaces_are_the_pods_the_containers_or_the_nodes() {
    let of = |spec: Value| namespaces(&value!({"spec": spec}), None);
    assert_eq!(of(value!({})), Namespaces::default());
    let host = of(value!({"hostNetwork": true, "hostPID": true, "hostIPC": true, "shareProcessNamespace": true}));
    assert_eq!((host.network, host.pid, host.ipc), (Namespace::Node, Namespace::Node, Namespace::Node));
    assert_eq!(of(value!({"shareProcessNamespace": true})).pid, Namespace::Pod);
    let debug = of_container(&pod(Value::Null), &value!({}), &ImageUser::default(), &self::host(), None, Some("id"));
    assert_eq!(debug.expect("is well formed").namespaces.pid, Namespace::Target("id".into()));
}

#[test]
fn a_sandbox_is_privileged_when_one_container_is() {
    let mut pod = pod(value!({"runAsUser": 5, "sysctls": [{"name": "a.b", "value": "1"}]}));
    pod.set_path(&["spec", "initContainers"], value!([{"securityContext": {"privileged": true}}]));
    let made = of_sandbox(&pod, None).expect("is well formed");
    assert_eq!((made.privileged, made.run_as_user, made.seccomp), (true, Some(5), Some(Profile::RuntimeDefault)));
    assert_eq!(sysctls(&pod).get("a.b").map(String::as_str), Some("1"));
}
