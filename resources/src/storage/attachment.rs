//! VolumeAttachments. Upstream: pkg/apis/storage/validation, pkg/registry/storage/volumeattachment.

use api::{
    Value,
    field::{Errors, Path},
    names::inclusive_range_error,
    value,
};

use super::GROUP;
use crate::{
    checks,
    core::volumes::{self, Place},
    names,
    pod::{claim::csi_driver_name, internal},
    row::{AGE, Column, Context, NAME, Row, Rules, StatusRules, Subresource, Version, column},
    strategy::{drop_status, keep_status, stored, text},
};

const METADATA_SIZE_MAX: usize = 256 * 1024;
const MESSAGE_LEN_MAX: usize = 1024;
const ONE_SOURCE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";

pub const ROW: Row = Row {
    group: GROUP,
    kind: "VolumeAttachment",
    plural: "volumeattachments",
    versions: &[Version::stable("v1", "io.k8s.api.storage.v1.VolumeAttachment")],
    stored: stored(GROUP, "v1", "volumeattachments"),
    unconditional_update: false,
    subresources: &[Subresource::Status(StatusRules { validate: validate_update, ..StatusRules::STATUS_ONLY })],
    reset: &["status"],
    columns: COLUMNS,
    rules: Rules { prepare_create: drop_status, prepare_update: keep_status, validate, validate_update, ..Rules::NONE },
    ..Row::CLUSTER
};

const COLUMNS: &[Column] = &[
    NAME,
    Column { format: "name", ..column("Attacher", "string", |a, _| text(a, &["spec", "attacher"])) },
    column("PV", "string", |a, _| text(a, &["spec", "source", "persistentVolumeName"])),
    column("Node", "string", |a, _| text(a, &["spec", "nodeName"])),
    column("Attached", "boolean", |a, _| a.at("status").bool("attached").into()),
    AGE,
];

fn validate(attachment: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (attachment.at("spec"), Path::new("spec"));
    csi_driver_name(spec.str("attacher"), &at.child("attacher"), &mut errs);
    validate_source(spec.at("source"), &at.child("source"), &mut errs);
    let node = spec.str("nodeName");
    checks::messages(&mut errs, &at.child("nodeName"), node, names::dns_subdomain(node, false));
    validate_status(attachment.at("status"), &Path::new("status"), &mut errs);
    if let Some(volume) = spec.at("source").opt_str("persistentVolumeName") {
        let at = at.children(&["source", "persistentVolumeName"]);
        checks::messages(&mut errs, &at, volume, names::dns_subdomain(volume, false));
    }
    errs
}

fn validate_source(source: &Value, at: &Path, errs: &mut Errors) {
    match (source.has("inlineVolumeSpec"), source.opt_str("persistentVolumeName")) {
        (false, None) => errs.required(at, ONE_SOURCE),
        (true, Some(_)) => errs.forbidden(at, ONE_SOURCE),
        (_, Some("")) => {
            errs.required(&at.child("persistentVolumeName"), "must specify non empty persistentVolumeName")
        }
        (true, None) => {
            let place = Place { inline: true, ..Place::default() };
            volumes::spec(source.at("inlineVolumeSpec"), place, &at.child("inlineVolumeSpec"), errs);
        }
        _ => {}
    }
}

fn validate_status(status: &Value, at: &Path, errs: &mut Errors) {
    let size: usize = status.strings("attachmentMetadata").map(|(k, v)| k.len() + v.len()).sum();
    if size > METADATA_SIZE_MAX {
        errs.too_long(&at.child("attachmentMetadata"), METADATA_SIZE_MAX as i64);
    }
    for member in ["attachError", "detachError"] {
        let (error, at) = (status.at(member), at.child(member));
        if error.str("message").len() > MESSAGE_LEN_MAX {
            errs.too_long(&at.child("message"), MESSAGE_LEN_MAX as i64);
        }
        if let Some(code) = error.opt_int("errorCode").filter(|code| *code < 0) {
            errs.invalid(&at.child("errorCode"), code, inclusive_range_error(0, i64::from(i32::MAX)));
        }
    }
}

fn validate_update(new: &Value, old: &Value, context: &Context<'_>) -> Errors {
    let mut errs = validate(new, context);
    let shown = |spec: &Value| {
        let source = spec.at("source");
        value!({
            "Attacher": (spec.str("attacher")),
            "Source": {
                "PersistentVolumeName": (source.at("persistentVolumeName")), "InlineVolumeSpec": (internal::shown("*PersistentVolumeSpec", source.at("inlineVolumeSpec")))
            },
            "NodeName": (spec.str("nodeName"))
        })
    };
    checks::immutable_shown(new.at("spec"), old.at("spec"), shown, &Path::new("spec"), &mut errs);
    errs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, texts};

    fn an_attachment(volume: &str) -> Value {
        value!({"spec": {"attacher": "a.b", "nodeName": "n", "source": {"persistentVolumeName": volume}}})
    }

    #[test]
    fn one_source_and_no_other_later() {
        assert!(validate(&an_attachment("pv"), &context()).is_empty());
        assert_eq!(
            texts(&validate(&value!({"spec": {"attacher": "a.b", "nodeName": "n"}}), &context())),
            ["spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"]
        );
        assert_eq!(
            texts(&validate_update(&an_attachment("pv2"), &an_attachment("pv"), &context())),
            [
                "spec: Invalid value: {\"Attacher\":\"a.b\",\"Source\":{\"PersistentVolumeName\":\"pv2\",\"InlineVolumeSpec\":null},\"NodeName\":\"n\"}: field is immutable"
            ]
        );
    }

    #[test]
    fn an_inline_volume_is_judged_and_shown_as_one() {
        let spec = value!({"accessModes": ["x"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/p"}});
        let inline =
            value!({"spec": {"attacher": "a.b", "nodeName": "n", "source": {"inlineVolumeSpec": (spec.clone())}}});
        let refused = texts(&validate_update(&inline, &an_attachment("pv"), &context()));
        assert_eq!(
            &refused[..3],
            [
                "spec.source.inlineVolumeSpec.capacity: Forbidden: may not be specified in the context of inline volumes",
                "spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline volumes",
                "spec.source.inlineVolumeSpec.accessModes: Unsupported value: \"x\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\""
            ]
        );
        assert!(refused[3].contains("\"InlineVolumeSpec\":{\"Capacity\":{\"storage\":\"1Gi\"},"), "{}", refused[3]);
    }

    #[test]
    fn a_code_is_not_negative() {
        let mut attachment = an_attachment("pv");
        attachment.set("status", value!({"attachError": {"errorCode": (-1)}}));
        assert_eq!(
            texts(&validate(&attachment, &context())),
            ["status.attachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive"]
        );
    }
}
