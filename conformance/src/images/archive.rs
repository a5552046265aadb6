//! An image as an archive: one OCI image layout, its index naming every name of the image.
//!
//! Source: the OCI image specification 1.1, image-layout.md and config.md.

use std::{
    fs::{self, File},
    path::Path,
};

use anyhow::Result;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Image, root::Root};

const CREATED: &str = "2024-01-01T00:00:00Z";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Writes an archive that is there whole or not at all.
pub fn write(path: &Path, image: &Image, root: &Root) -> Result<()> {
    let layer = root.layer()?;
    let config = serde_json::to_vec(&config(image, &digest(&layer)))?;
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    }))?;
    let named = |name: &&str| {
        let mut descriptor = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        descriptor["annotations"] =
            json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name});
        descriptor["platform"] = json!({"architecture": "amd64", "os": "linux"});
        descriptor
    };
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": image.names.iter().map(named).collect::<Vec<Value>>(),
    });
    // Several tests may want the same one at the same time.
    let unfinished = path.with_extension(format!("part-{}", std::process::id()));
    let mut out = tar::Builder::new(File::create(&unfinished)?);
    add(&mut out, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    add(&mut out, "index.json", &serde_json::to_vec(&index)?)?;
    for blob in [&manifest, &config, &layer] {
        add(&mut out, &format!("blobs/sha256/{}", digest(blob)), blob)?;
    }
    out.into_inner()?;
    Ok(fs::rename(unfinished, path)?)
}

fn config(image: &Image, layer: &str) -> Value {
    let ports = image.ports.iter().map(|port| (format!("{port}/tcp"), json!({})));
    json!({
        "created": CREATED,
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "User": image.user,
            "Env": [PATH],
            "ExposedPorts": ports.collect::<serde_json::Map<String, Value>>(),
            "Entrypoint": image.entrypoint,
            "Cmd": image.command,
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
        "history": [{"created": CREATED, "created_by": image.archive}],
    })
}

fn descriptor(media: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media, "digest": format!("sha256:{}", digest(bytes)), "size": bytes.len()})
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn add(out: &mut tar::Builder<File>, path: &str, bytes: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(bytes.len() as u64);
    Ok(out.append_data(&mut header, path, bytes)?)
}
