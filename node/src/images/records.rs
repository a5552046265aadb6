//! With whose credentials the node pulled an image, so that another pod does not use it without having any.
//!
//! A record is a file, written before the image is handed out, and read again after a restart. An image without a record
//! was not pulled by this node agent: it was put on the machine, and everybody may use it. No secret stands in a record, but
//! a digest of it. Upstream: pkg/kubelet/images/pullmanager, policy `NeverVerifyPreloadedImages`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use api::{Value, value};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::runtime::Credentials;

pub struct Records {
    directory: PathBuf,
    known: Mutex<BTreeMap<String, Option<Record>>>,
}

/// Who may use an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Record {
    for_all: bool,
    digests: BTreeSet<String>,
}

impl Records {
    pub fn new(directory: PathBuf) -> Records {
        Records { directory, known: Mutex::default() }
    }

    /// Whether a pod with these credentials may use the image without pulling it.
    pub fn may_use(&self, image: &str, reference: &str, credentials: &[Credentials]) -> bool {
        let Some(record) = self.of(reference) else { return true };
        record.for_all || credentials.iter().any(|own| record.digests.contains(&digest(image, own)))
    }

    /// The image was pulled, with `credentials` if it took any.
    pub fn pulled(&self, image: &str, reference: &str, credentials: Option<&Credentials>) {
        let mut record = self.of(reference).unwrap_or_default();
        match credentials {
            Some(own) => record.digests.insert(digest(image, own)),
            None => std::mem::replace(&mut record.for_all, true),
        };
        // Without the file, the next start of the node agent lets everybody use the image: it is told.
        if let Err(error) = self.write(reference, &record) {
            tracing::error!(%error, image, "who may use an image cannot be written down");
        }
        self.known.lock().insert(reference.to_owned(), Some(record));
    }

    fn of(&self, reference: &str) -> Option<Record> {
        let mut known = self.known.lock();
        known.entry(reference.to_owned()).or_insert_with(|| read(&self.place(reference))).clone()
    }

    fn place(&self, reference: &str) -> PathBuf {
        self.directory.join(hex(&Sha256::digest(reference)))
    }

    fn write(&self, reference: &str, record: &Record) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let digests: Vec<&str> = record.digests.iter().map(String::as_str).collect();
        let text = value!({"imageRef": reference, "nodePodsAccessible": record.for_all, "credentialHashes": digests});
        let place = self.place(reference);
        let next = place.with_extension("tmp");
        fs::write(&next, codec::json::to_string(&text))?;
        fs::rename(next, place)
    }
}

/// A record that is there and cannot be read lets nobody in: the image is pulled again.
fn read(place: &Path) -> Option<Record> {
    let text = match fs::read(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        text => text.unwrap_or_default(),
    };
    let read = codec::json::any(&text).map(|decoded| decoded.value).unwrap_or_default();
    let digests = read.list("credentialHashes").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    Some(Record { for_all: read.bool("nodePodsAccessible"), digests })
}

fn digest(image: &str, own: &Credentials) -> String {
    let mut hash = Sha256::new();
    for part in [image, &own.username, &own.password, &own.auth, &own.identity_token, &own.registry_token] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(username: &str) -> Credentials {
        Credentials { username: username.into(), password: "secret".into(), ..Credentials::default() }
    }

    #[test]
    fn who_has_not_pulled_it_may_not_use_it() {
        let directory = tempfile::tempdir().expect("makes one");
        let records = Records::new(directory.path().join("pulled"));
        assert!(records.may_use("i", "sha256:1", &[]), "it was there before");
        records.pulled("i", "sha256:1", Some(&own("a")));
        assert!(records.may_use("i", "sha256:1", &[own("b"), own("a")]));
        assert!(!records.may_use("i", "sha256:1", &[own("b")]) && !records.may_use("i", "sha256:1", &[]));
        assert!(!records.may_use("other", "sha256:1", &[own("a")]), "the same image by another name");
        let again = Records::new(directory.path().join("pulled"));
        assert!(again.may_use("i", "sha256:1", &[own("a")]) && !again.may_use("i", "sha256:1", &[]));
        again.pulled("i", "sha256:1", None);
        assert!(again.may_use("i", "sha256:1", &[]));
    }

    #[test]
    fn no_secret_is_written_and_a_damaged_record_lets_nobody_in() {
        let directory = tempfile::tempdir().expect("makes one");
        let records = Records::new(directory.path().to_owned());
        records.pulled("i", "r", Some(&own("a")));
        let place = records.place("r");
        assert!(!fs::read_to_string(&place).expect("is there").contains("secret"));
        fs::write(&place, "{").expect("writes");
        let again = Records::new(directory.path().to_owned());
        assert!(!again.may_use("i", "r", &[own("a")]));
    }
}
