//! Files of the group `apiserver.config.k8s.io`, read strictly, and looked at again while the server runs.
//!
//! Upstream: apiserver/pkg/server/options/{authenticationconfig,authorizationconfig}/metrics, pkg/apis/apiserver/install.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Result, anyhow, bail};
use api::{Gvk, Value, time::Clock};
use parking_lot::Mutex;
use server::metrics::{Counter, Gauge, Kind, Labeled, Metrics, Page, Row, auth::digest_of};

/// A file that is looked at again and again, and what is counted of that.
pub struct Followed {
    path: PathBuf,
    rows: &'static Rows,
    clock: Arc<dyn Clock>,
    /// Of the server's own name.
    name_hash: String,
    total: Labeled<2, Counter>,
    last: Labeled<2, Gauge>,
    /// Of what counts now.
    hash: Mutex<String>,
}

/// The families of one sort of file.
pub struct Rows {
    total: Row,
    last: Row,
    info: Row,
}

const GROUP: &str = "apiserver.config.k8s.io";
/// Kinds of the group with the versions that upstream reads; all have the form of the last.
const KINDS: [(&str, &[&str]); 5] = [
    ("AuthenticationConfiguration", &["v1alpha1", "v1beta1", "v1"]),
    ("AuthorizationConfiguration", &["v1alpha1", "v1beta1", "v1"]),
    ("TracingConfiguration", &["v1alpha1", "v1beta1", "v1"]),
    ("AdmissionConfiguration", &["v1"]),
    ("EncryptionConfiguration", &["v1"]),
];
/// How often a file is looked at. Upstream is told by the system, and looks every minute.
const LOOK: Duration = Duration::from_secs(1);

const fn row(
    name: &'static str,
    kind: Kind,
    is_beta: bool,
    labels: &'static [&'static str],
    help: &'static str,
) -> Row {
    Row { name, kind, stability: if is_beta { "BETA" } else { "ALPHA" }, labels, help }
}

const BY_STATUS: &[&str] = &["apiserver_id_hash", "status"];
const BY_HASH: &[&str] = &["apiserver_id_hash", "hash"];

pub static AUTHENTICATION: Rows = Rows {
    total: row(
        "apiserver_authentication_config_controller_automatic_reloads_total",
        Kind::Counter,
        true,
        BY_STATUS,
        "Total number of automatic reloads of authentication configuration split by status and apiserver identity.",
    ),
    last: row(
        "apiserver_authentication_config_controller_automatic_reload_last_timestamp_seconds",
        Kind::Gauge,
        true,
        BY_STATUS,
        "Timestamp of the last automatic reload of authentication configuration split by status and apiserver identity.",
    ),
    info: row(
        "apiserver_authentication_config_controller_last_config_info",
        Kind::Gauge,
        false,
        BY_HASH,
        "Information about the last applied authentication configuration with hash as label, split by apiserver identity.",
    ),
};
pub static AUTHORIZATION: Rows = Rows {
    total: row(
        "apiserver_authorization_config_controller_automatic_reloads_total",
        Kind::Counter,
        true,
        BY_STATUS,
        "Total number of automatic reloads of authorization configuration split by status and apiserver identity.",
    ),
    last: row(
        "apiserver_authorization_config_controller_automatic_reload_last_timestamp_seconds",
        Kind::Gauge,
        true,
        BY_STATUS,
        "Timestamp of the last automatic reload of authorization configuration split by status and apiserver identity.",
    ),
    info: row(
        "apiserver_authorization_config_controller_last_config_info",
        Kind::Gauge,
        false,
        BY_HASH,
        "Information about the last applied authorization configuration with hash as label, split by apiserver identity.",
    ),
};

/// The tree of a file of this kind, with nothing in it that nobody knows.
pub fn parse(text: &str, kind: &str) -> Result<Value> {
    if text.is_empty() {
        bail!("empty config data");
    }
    let loose = codec::yaml::any(text.as_bytes()).map_err(|e| anyhow!("{e}"))?;
    let (found, version) = (loose.str("kind"), loose.str("apiVersion"));
    match (found, version) {
        ("", _) => bail!("Object 'Kind' is missing in '{text}'"),
        (_, "") => bail!("Object 'apiVersion' is missing in '{text}'"),
        _ => {}
    }
    let known = version.strip_prefix(GROUP).and_then(|rest| rest.strip_prefix('/'));
    let is_known =
        KINDS.iter().any(|(kind, versions)| *kind == found && known.is_some_and(|known| versions.contains(&known)));
    if !is_known {
        let (found, version) = (api::field::quote(found), api::field::quote(version));
        bail!("no kind {found} is registered for version {version} in scheme \"pkg/runtime/scheme.go:111\"");
    }
    if found != kind {
        bail!("expected {kind}, got *apiserver.{found}");
    }
    let schemas = schema::builtin();
    let id = schemas.kind(&Gvk::new(GROUP, "v1", kind)).expect("the facts have the configurations of the API server");
    let read = codec::yaml::object(text.as_bytes(), id, schemas).map_err(|e| anyhow!("{e}"))?;
    if !read.strict.is_empty() {
        bail!("strict decoding error: {}", read.strict.join(", "));
    }
    Ok(read.value)
}

// === impl Rows ===

impl Rows {
    #[cfg(test)]
    pub fn all(&self) -> [&Row; 3] {
        [&self.total, &self.last, &self.info]
    }
}

// === impl Followed ===

impl Followed {
    /// `text` is what counts at the start.
    pub fn new(
        path: &Path,
        text: &str,
        rows: &'static Rows,
        clock: &Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Arc<Followed> {
        let followed = Arc::new(Followed {
            path: path.to_owned(),
            rows,
            clock: clock.clone(),
            name_hash: digest_of(super::upkeep::own_name()),
            total: Labeled::default(),
            last: Labeled::default(),
            hash: Mutex::new(digest_of(text)),
        });
        let counted = followed.clone();
        metrics.collect(move |page| counted.write(page));
        followed
    }

    /// Waits until the file says something else than `last`, and returns what.
    pub async fn changed(&self, last: &str) -> String {
        loop {
            tokio::time::sleep(LOOK).await;
            match std::fs::read_to_string(&self.path) {
                Ok(text) if text != last => return text,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "{} cannot be read", self.path.display()),
            }
        }
    }

    /// This counts from now on.
    pub fn taken(&self, text: &str) {
        self.count("success");
        *self.hash.lock() = digest_of(text);
    }

    /// What is there is wrong, and changes nothing.
    pub fn refused(&self) {
        self.count("failure");
    }

    fn count(&self, status: &str) {
        self.total.get([&self.name_hash, status], Counter::default).add(1);
        self.last.get([&self.name_hash, status], Gauge::default).set(self.clock.now().as_second() as f64);
    }

    fn write(&self, page: &mut Page) {
        self.total.write(page, &self.rows.total);
        self.last.write(page, &self.rows.last);
        page.add(&self.rows.info, |family| family.number(&[&self.name_hash, &self.hash.lock()], 1.0));
    }
}
