//! Where objects name what nodes may read.

use std::collections::BTreeSet;

use api::value;

use super::*;

/// What is named, as `kind namespace/name`, and where it leads.
fn links(kind: Kind, object: &Value) -> Option<(String, BTreeSet<String>)> {
    let mut made = Vec::new();
    let text = |name: &Name<'_>| format!("{:?} {}/{}", name.kind, name.namespace, name.name);
    of(kind, object, &mut made).map(|links| (text(&links.to), links.named.iter().map(text).collect()))
}

fn named(kind: Kind, object: &Value) -> Vec<String> {
    links(kind, object).expect("it leads somewhere").1.into_iter().collect()
}

#[test]
fn pods_without_a_node_lead_nowhere() {
    let mut pod = value!({"metadata": {"namespace": "ns", "name": "p"}, "spec": {"serviceAccountName": "a"}});
    assert_eq!(links(Kind::Pod, &pod), None);
    pod.set_path(&["spec", "nodeName"], "n");
    assert_eq!(links(Kind::Pod, &pod), Some(("Node /n".into(), ["ServiceAccount ns/a".into()].into())));
}

#[test]
fn mirrors_give_nothing_beside_themselves() {
    let pod = value!({
        "metadata": {"namespace": "ns", "name": "p", "annotations": {"kubernetes.io/config.mirror": "x"}},
        "spec": {"nodeName": "n", "serviceAccountName": "a", "imagePullSecrets": [{"name": "s"}]}
    });
    assert_eq!(named(Kind::Pod, &pod), [""; 0]);
}

#[test]
fn pods_name_things_in_many_places() {
    let pod = value!({"metadata": {"namespace": "ns", "name": "p"}, "spec": {
        "nodeName": "n",
        "imagePullSecrets": [{"name": "pull"}],
        "initContainers": [{"envFrom": [{"configMapRef": {"name": "init"}}, {"secretRef": {"name": "init"}}]}],
        "containers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "env"}}}, {"name": "PLAIN"}]}],
        "ephemeralContainers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "late"}}}]}],
        "volumes": [{"configMap": {"name": "volume"}}, {"configMap": {"name": "env"}},
            {"projected": {"sources": [{"configMap": {"name": "part"}}, {"secret": {"name": "part"}}]}},
            {"persistentVolumeClaim": {"claimName": "claim"}}, {"name": "scratch", "ephemeral": {}}]
    }});
    let expected = [
        "Claim ns/claim",
        "Claim ns/p-scratch",
        "ConfigMap ns/env",
        "ConfigMap ns/init",
        "ConfigMap ns/part",
        "ConfigMap ns/volume",
        "Secret ns/init",
        "Secret ns/late",
        "Secret ns/part",
        "Secret ns/pull",
    ];
    assert_eq!(named(Kind::Pod, &pod), expected);
}

#[test]
fn claims_of_devices_are_named_by_spec_or_status() {
    let mut pod = value!({"metadata": {"namespace": "ns", "name": "p"}, "spec": {"nodeName": "n", "resourceClaims": [
        {"name": "given", "resourceClaimName": "given"},
        {"name": "made", "resourceClaimTemplateName": "t"},
        {"name": "not-needed", "resourceClaimTemplateName": "t"},
        {"name": "not-yet", "resourceClaimTemplateName": "t"}
    ]}});
    assert_eq!(named(Kind::Pod, &pod), ["ResourceClaim ns/given"]);
    let said = value!([{"name": "made", "resourceClaimName": "p-made"}, {"name": "not-needed"}]);
    pod.set_path(&["status", "resourceClaimStatuses"], said);
    pod.set_path(&["status", "extendedResourceClaimStatus", "resourceClaimName"], "extended");
    let expected = ["ResourceClaim ns/extended", "ResourceClaim ns/given", "ResourceClaim ns/p-made"];
    assert_eq!(named(Kind::Pod, &pod), expected);
}

#[test]
fn volumes_lead_to_their_claim() {
    let volume = |spec: Value| value!({"metadata": {"name": "v"}, "spec": spec});
    let bound = |source: &str, of_source: Value| {
        let mut volume = volume(value!({"claimRef": {"namespace": "ns", "name": "c"}}));
        volume.set_path(&["spec", source], of_source);
        let (to, named) = links(Kind::Volume, &volume).expect("it is bound");
        assert_eq!(to, "Claim ns/c");
        named.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(links(Kind::Volume, &volume(value!({"csi": {"nodeStageSecretRef": {"name": "s"}}}))), None);
    let reference = |namespace: &str| value!({"secretRef": {"name": "s", "namespace": namespace}});
    assert_eq!(bound("cephfs", reference("")), ["Secret ns/s"]);
    assert_eq!(bound("iscsi", reference("other")), ["Secret other/s"]);
    assert_eq!(bound("cinder", reference("other")), ["Secret other/s"]);
    assert_eq!(bound("azureFile", value!({"secretName": "s"})), ["Secret ns/s"]);
    assert_eq!(bound("azureFile", value!({"secretName": "s", "secretNamespace": "other"})), ["Secret other/s"]);
    let drivers = value!({"controllerExpandSecretRef": {"namespace": "d", "name": "controllers"},
        "nodeExpandSecretRef": {"namespace": "d", "name": "expand"}, "nodePublishSecretRef": {"namespace": "d", "name": "publish"}});
    assert_eq!(bound("csi", drivers), ["Secret d/expand", "Secret d/publish"]);
}

#[test]
fn slices_of_no_node_lead_nowhere() {
    let slice = |spec: Value| links(Kind::Slice, &value!({"metadata": {"name": "s"}, "spec": spec}));
    assert_eq!(slice(value!({"allNodes": true})), None);
    assert_eq!(slice(value!({"nodeName": "n"})), Some(("Node /n".into(), BTreeSet::new())));
}
