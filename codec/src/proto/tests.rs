//! Upstream's golden fixtures, where the Go module that holds them is on this machine, and cases of our own.

use api::{Gvk, value};
use schema::builtin;

#[test]
fn a_pod_survives_the_wire() {
    let pod = value!({"kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": "a", "creationTimestamp": "2026-01-02T03:04:05Z", "labels": {"b": "1", "a": "2"}},
        "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "500m"}}}],
            "volumes": [{"name": "v", "emptyDir": {}}]}});
    let schemas = builtin();
    let gvk = Gvk::new("", "v1", "Pod");
    let bytes = super::write(&pod, &gvk, schemas).expect("pods have a protobuf form");
    let id = schemas.kind(&gvk).expect("core has pods");
    let mut back = super::object(&bytes, id, schemas).expect("it was written here").value;
    schema::normalise::object(&mut back, id, schemas);
    let mut pod = pod;
    schema::normalise::object(&mut pod, id, schemas);
    assert_eq!(crate::json::to_string(&back), crate::json::to_string(&pod));
}

#[test]
fn damaged_messages_are_errors() {
    let id = builtin().id("io.k8s.api.core.v1.Pod").expect("core has pods");
    for bytes in [&b""[..], b"k8s", b"k8s\0\x0a\xff", b"k8s\0\x12\x02\x0a\x05"] {
        assert!(super::object(bytes, id, builtin()).is_err(), "{bytes:?}");
    }
}

#[test]
fn bytes_of_which_there_are_none_arrive() {
    let schemas = builtin();
    let id = schemas.id("io.k8s.api.admissionregistration.v1.WebhookClientConfig").expect("it is a type");
    let mut bytes = Vec::new();
    super::write::message(&value!({"caBundle": ""}), id, schemas, &mut bytes);
    assert_eq!(bytes, [0x12, 0]);
    assert_eq!(super::read::message(&bytes, id, schemas).expect("it was written here"), value!({"caBundle": ""}));
}

#[test]
fn a_time_that_nobody_could_write_is_none() {
    let schemas = builtin();
    let id = schemas.id("io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry").expect("it is a type");
    let entry = |seconds: i64| {
        let mut time = vec![0x08];
        let mut rest = seconds as u64;
        while rest >= 0x80 {
            time.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        time.push(rest as u8);
        [&[0x22, time.len() as u8], &time[..]].concat()
    };
    let first = -62_167_219_200;
    let read = super::read::message(&entry(first), id, schemas).expect("year 0 has a form");
    assert_eq!(read.str("time"), "0000-01-01T00:00:00Z");
    assert!(super::read::message(&entry(first - 1), id, schemas).is_err());
}
