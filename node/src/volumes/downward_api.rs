//! Files that tell a pod of itself. Upstream: pkg/volume/downwardapi/downwardapi.go `CollectData`.

use api::Value;

use super::{
    atomic::clean,
    payload::{self, Payload, Shape},
};
use crate::downward;

/// The files of `items`; `volume` has the default mode.
pub fn files(pod: &Value, items: &[Value], volume: &Value, allocatable: &Value) -> Result<Payload, String> {
    let (mut files, mut errors) = (Payload::new(), Vec::new());
    let shape = Shape::of(volume, volume)?;
    for item in items {
        let (field, resource) = (item.at("fieldRef"), item.at("resourceFieldRef"));
        let text = if !field.is_null() {
            downward::field(pod, field.str("fieldPath"))
        } else if !resource.is_null() {
            amount(pod, resource, allocatable)
        } else {
            Ok(String::new())
        };
        match text {
            Ok(text) => {
                files.insert(clean(item.str("path")), shape.file(item, text.into_bytes()));
            }
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(files) } else { Err(payload::aggregate(errors)) }
}

fn amount(pod: &Value, resource: &Value, allocatable: &Value) -> Result<String, String> {
    let container = downward::container(pod, resource.str("containerName"))?;
    downward::resource(resource, &downward::bounded(container, allocatable))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::value;

    #[test]
    fn fields_and_amounts_become_files() {
        let pod = value!({"metadata": {"name": "p", "labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}});
        let volume = value!({"defaultMode": 420, "items": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}, "mode": 256},
            {"path": "d//cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu", "divisor": "1m"}}]});
        let files = files(&pod, volume.list("items"), &volume, &value!({"cpu": "2"})).expect("is whole");
        assert_eq!((files["labels"].data.as_slice(), files["labels"].mode), (b"a=\"b\"".as_slice(), 0o400));
        assert_eq!(files["d/cpu"].data, b"2000");
    }

    #[test]
    fn every_error_is_told() {
        let item = |path: &str| value!({"path": path, "fieldRef": {"fieldPath": path}});
        let volume = value!({"defaultMode": 420, "items": [item("spec.a"), item("metadata.name"), item("spec.b")]});
        let told = files(&value!({}), volume.list("items"), &volume, Value::NULL);
        assert_eq!(told, Err("[unsupported fieldPath: spec.a, unsupported fieldPath: spec.b]".into()));
    }
}
