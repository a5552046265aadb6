//! Files of the group `apiserver.config.k8s.io`, read strictly, and looked at again while the server runs.

use std::{path::Path, time::Duration};

use anyhow::{Result, anyhow, bail};
use api::{Gvk, Value};

const GROUP: &str = "apiserver.config.k8s.io";
/// Versions that upstream reads; all have the form of the last.
const VERSIONS: [&str; 3] = ["v1alpha1", "v1beta1", "v1"];
/// How often a file is looked at. Upstream is told by the system, and looks every minute.
const LOOK: Duration = Duration::from_secs(1);

/// The tree of a file of this kind, with nothing in it that nobody knows.
pub fn parse(text: &str, kind: &str) -> Result<Value> {
    if text.is_empty() {
        bail!("empty config data");
    }
    let loose = codec::yaml::any(text.as_bytes()).map_err(|e| anyhow!("couldn't get version/kind; {e}"))?;
    let (found, version) = (loose.str("kind"), loose.str("apiVersion"));
    let shown = || codec::json::to_string(&loose);
    match (found, version) {
        ("", _) => bail!("Object 'Kind' is missing in '{}'", shown()),
        (_, "") => bail!("Object 'apiVersion' is missing in '{}'", shown()),
        _ => {}
    }
    let known = version.strip_prefix(GROUP).and_then(|rest| rest.strip_prefix('/'));
    if found != kind || !known.is_some_and(|known| VERSIONS.contains(&known)) {
        let (found, version) = (api::field::quote(found), api::field::quote(version));
        bail!("no kind {found} is registered for version {version}");
    }
    let schemas = schema::builtin();
    let id = schemas.kind(&Gvk::new(GROUP, "v1", kind)).expect("the facts have the configurations of the API server");
    let read = codec::yaml::object(text.as_bytes(), id, schemas).map_err(|e| anyhow!("{e}"))?;
    if !read.strict.is_empty() {
        bail!("strict decoding error: {}", read.strict.join(", "));
    }
    Ok(read.value)
}

/// Waits until the file says something else than `last`, and returns what.
pub async fn changed(path: &Path, last: &str) -> String {
    loop {
        tokio::time::sleep(LOOK).await;
        match std::fs::read_to_string(path) {
            Ok(text) if text != last => return text,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "{} cannot be read", path.display()),
        }
    }
}
