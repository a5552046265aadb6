//! Files of kinds that are about the server itself, read strictly, and looked at again while it runs.
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

pub const GROUP: &str = "apiserver.config.k8s.io";
/// As it was called at first.
const LEGACY_GROUP: &str = "apiserver.k8s.io";
/// A kind of which a file may be, and whose form it has.
pub struct Form {
    pub group: &'static str,
    pub kind: &'static str,
    /// Those that upstream reads.
    pub versions: &'static [&'static str],
    /// Group, version and kind.
    pub is_of: (&'static str, &'static str, &'static str),
}

const V1: &[&str] = &["v1"];
const SINCE_ALPHA: &[&str] = &["v1alpha1", "v1beta1", "v1"];

/// All that are about the server itself. Upstream: apiserver/pkg/apis/apiserver/install.
const FORMS: [Form; 7] = [
    Form::new(GROUP, "AuthenticationConfiguration", SINCE_ALPHA, "v1"),
    Form::new(GROUP, "AuthorizationConfiguration", SINCE_ALPHA, "v1"),
    Form::new(GROUP, "TracingConfiguration", SINCE_ALPHA, "v1"),
    Form::new(GROUP, "EncryptionConfiguration", V1, "v1"),
    Form::new(GROUP, "AdmissionConfiguration", V1, "v1"),
    Form {
        group: LEGACY_GROUP,
        kind: "AdmissionConfiguration",
        versions: &["v1alpha1"],
        is_of: (GROUP, "v1", "AdmissionConfiguration"),
    },
    Form::new(LEGACY_GROUP, "EgressSelectorConfiguration", &["v1alpha1", "v1beta1"], "v1beta1"),
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
    match known(text)? {
        found if found.kind == kind => strict(text, &found),
        found => bail!("expected {kind}, got *apiserver.{}", found.kind),
    }
}

/// Of which kind a file is that is about the server itself, and whose form it has.
pub fn known(text: &str) -> Result<Gvk> {
    known_among(text, &FORMS)
}

/// The same of these kinds.
pub fn known_among(text: &str, forms: &[Form]) -> Result<Gvk> {
    let loose = codec::yaml::any(text.as_bytes()).map_err(|e| anyhow!("{e}"))?;
    let (found, said) = (loose.str("kind"), loose.str("apiVersion"));
    match (found, said) {
        ("", _) => bail!("Object 'Kind' is missing in '{text}'"),
        (_, "") => bail!("Object 'apiVersion' is missing in '{text}'"),
        _ => {}
    }
    let (group, version) = said.split_once('/').unwrap_or(("", said));
    let is_it = |form: &&Form| form.group == group && form.kind == found && form.versions.contains(&version);
    let Some(form) = forms.iter().find(is_it) else {
        let (found, said) = (api::field::quote(found), api::field::quote(said));
        bail!("no kind {found} is registered for version {said} in scheme \"pkg/runtime/scheme.go:111\"");
    };
    let (group, version, kind) = form.is_of;
    Ok(Gvk::new(group, version, kind))
}

/// The tree of a file of a kind that is known, with nothing in it that nobody knows.
pub fn strict(text: &str, kind: &Gvk) -> Result<Value> {
    let read = decoded(text, kind)?;
    if !read.strict.is_empty() {
        bail!("strict decoding error: {}", read.strict.join(", "));
    }
    Ok(read.value)
}

/// The same without what nobody knows.
pub fn lenient(text: &str, kind: &Gvk) -> Result<Value> {
    Ok(decoded(text, kind)?.value)
}

fn decoded(text: &str, kind: &Gvk) -> Result<codec::Decoded> {
    let schemas = schema::builtin();
    let id = schemas.kind(kind).expect("the facts have the configurations of the API server");
    codec::yaml::object(text.as_bytes(), id, schemas).map_err(|e| anyhow!("{e}"))
}

// === impl Form ===

impl Form {
    /// One that has the form of a version of its own.
    pub const fn new(
        group: &'static str,
        kind: &'static str,
        versions: &'static [&'static str],
        form: &'static str,
    ) -> Form {
        Form { group, kind, versions, is_of: (group, form, kind) }
    }
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
