//! Certificates and their keys on disk, laid out as upstream's agent lays them out.
//!
//! A pair is one file with the time in its name; a link, `PREFIX-current.pem`, leads to the one that counts. The new link is
//! made beside the old one and then put in its place, so that there is always one. Upstream: client-go/util/certificate
//! certificate_store.go.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use certs::{Error, Names, PrivateKey, Subject, UnixSeconds, files, pem};
use jiff::Timestamp;

/// Where pairs of one purpose lie.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
    prefix: &'static str,
    /// Certificate and key that count until there is a pair of its own.
    given: Option<(PathBuf, PathBuf)>,
}

/// A certificate with its key, and what the certificate says. `Debug` shows no key.
#[derive(Debug)]
pub struct Pair {
    /// The node's own first.
    pub certificate_pem: String,
    pub key: PrivateKey,
    pub subject: Subject,
    pub names: Names,
    pub not_before: UnixSeconds,
    pub not_after: UnixSeconds,
}

// === impl Store ===

impl Store {
    /// Takes up what an exchange that was cut off has left. Upstream: fileStore.recover.
    pub fn open(directory: &Path, prefix: &'static str, given: Option<(PathBuf, PathBuf)>) -> Result<Store, Error> {
        let store = Store { directory: directory.to_owned(), prefix, given };
        let (current, updated) = (store.current_path(), store.path("updated"));
        if !current.exists() && is_link(&updated)? {
            fs::rename(&updated, &current).map_err(failed("cannot rename", &updated))?;
        }
        Ok(store)
    }

    /// The link to the pair that counts.
    pub fn current_path(&self) -> PathBuf {
        self.path("current")
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The pair that counts, whether or not it has expired; none, when there is none yet.
    pub fn current(&self) -> Result<Option<Pair>, Error> {
        if let Some(text) = files::read(&self.current_path())? {
            return Pair::read(&text, &text).map(Some).map_err(|error| error.in_file(&self.current_path()));
        }
        let of_its_name = [".crt", ".key"].map(|end| self.directory.join(format!("{}{end}", self.prefix)));
        let of_its_name = of_its_name.into();
        for (certificate, key) in self.given.iter().chain([&of_its_name]) {
            if let (Some(certificate_pem), Some(key_pem)) = (files::read(certificate)?, files::read(key)?) {
                return Pair::read(&certificate_pem, &key_pem).map(Some).map_err(|error| error.in_file(certificate));
            }
        }
        Ok(None)
    }

    /// Writes a pair that counts from `now` on. Upstream: fileStore.Update.
    pub fn update(&self, certificate_pem: &str, key: &PrivateKey, now: Timestamp) -> Result<Pair, Error> {
        let pair = Pair::read(certificate_pem, &key.to_pem())?;
        files::make_directory(&self.directory)?;
        let directory = self.directory.canonicalize().map_err(failed("cannot find", &self.directory))?;
        let file = directory.join(format!("{}-{}.pem", self.prefix, now.strftime("%Y-%m-%d-%H-%M-%S")));
        let chain: String =
            pem::certificates(certificate_pem)?.iter().map(|der| pem::write("CERTIFICATE", der)).collect();
        files::write(&file, &format!("{chain}{}", key.to_pem()))?;
        let (current, updated) = (self.current_path(), self.path("updated"));
        // What is no link was laid there by somebody, and is his.
        is_link(&current)?;
        if is_link(&updated)? {
            fs::remove_file(&updated).map_err(failed("cannot remove", &updated))?;
        }
        symlink(&file, &updated).map_err(failed("cannot make", &updated))?;
        fs::rename(&updated, &current).map_err(failed("cannot replace", &current))?;
        Ok(pair)
    }

    fn path(&self, what: &str) -> PathBuf {
        self.directory.join(format!("{}-{what}.pem", self.prefix))
    }
}

/// Whether there is a link; anything else in its place is an error.
fn is_link(path: &Path) -> Result<bool, Error> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => Ok(true),
        Ok(_) => Err(Error::Contents {
            path: path.to_owned(),
            reason: format!("expected {:?} to be a symlink but it is a file", path.display().to_string()),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("cannot look at", path)(error)),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::File { action, path, source }
}

// === impl Pair ===

impl Pair {
    /// Fails when the key is not the certificate's.
    pub fn read(certificate_pem: &str, key_pem: &str) -> Result<Pair, Error> {
        let chain = pem::certificates(certificate_pem)?;
        let key = PrivateKey::from_pem(key_pem)?;
        let said = certs::inspect::certificate(&chain[0])
            .ok_or_else(|| Error::Certificate("the node's certificate is damaged".to_owned()))?;
        if said.public_key != key.public_der() {
            return Err(Error::KeyMismatch);
        }
        Ok(Pair {
            certificate_pem: chain.iter().map(|der| pem::write("CERTIFICATE", der)).collect(),
            subject: Subject::of(&chain[0])?,
            names: certs::pki::names(&chain[0])?,
            not_before: said.not_before,
            not_after: said.not_after,
            key,
        })
    }

    pub fn has_expired(&self, now: UnixSeconds) -> bool {
        now > self.not_after
    }

    /// Whether it says that its owner is this and is called so; it may say more. Upstream: certSatisfiesTemplateLocked.
    pub fn is_for(&self, subject: &Subject, names: &Names) -> bool {
        let own = &self.subject;
        own.common_name == subject.common_name
            && subject.organizations.iter().all(|wanted| own.organizations.contains(wanted))
            && self.names.cover(names)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use certs::{Authority, Profile};

    use super::*;

    const NOW: i64 = 1_795_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("it is a time")
    }

    fn issued(authority: &Authority) -> certs::Issued {
        let profile = Profile::client(crate::certificates::subject("n"));
        authority.issue(&profile, NOW).expect("it is issued")
    }

    fn open(directory: &Path) -> Store {
        Store::open(directory, "kubelet-client", None).expect("it can be opened")
    }

    #[test]
    fn the_newest_pair_counts_and_nobody_else_reads_it() {
        let root = tempfile::tempdir().expect("a directory");
        let directory = root.path().join("pki");
        let authority = Authority::generate("ca", NOW).expect("it can be made");
        let store = open(&directory);
        assert!(store.current().expect("it can be read").is_none());
        for later in [0, 100] {
            let issued = issued(&authority);
            let made = store.update(&issued.certificate_pem, &issued.key, at(NOW + later)).expect("it is written");
            assert_eq!(made.subject.common_name, "system:node:n");
            let kept = open(&directory).current().expect("it can be read").expect("there is one");
            assert_eq!((&kept.certificate_pem, kept.not_after), (&issued.certificate_pem, issued.not_after));
            assert_eq!(kept.key.public_der(), issued.key.public_der());
        }
        let link = fs::read_link(store.current_path()).expect("it is a link");
        assert_eq!(link.file_name().expect("it has one"), "kubelet-client-2026-11-18-11-08-20.pem");
        let mode = fs::metadata(store.current_path()).expect("it leads somewhere").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = issued(&authority).key;
        let refused = store.update(&issued(&authority).certificate_pem, &other, at(NOW)).expect_err("not its key");
        assert!(matches!(refused, Error::KeyMismatch));
    }

    #[test]
    fn an_exchange_that_was_cut_off_is_finished() {
        let root = tempfile::tempdir().expect("a directory");
        let authority = Authority::generate("ca", NOW).expect("it can be made");
        let (store, issued) = (open(root.path()), issued(&authority));
        store.update(&issued.certificate_pem, &issued.key, at(NOW)).expect("it is written");
        fs::rename(store.current_path(), store.path("updated")).expect("it can be renamed");
        assert!(open(root.path()).current().expect("it can be read").is_some());
        fs::remove_file(store.current_path()).expect("it is there");
        fs::write(store.current_path(), "mine").expect("it can be written");
        let refused = store.update(&issued.certificate_pem, &issued.key, at(NOW)).expect_err("it is somebody's");
        assert!(refused.to_string().contains("to be a symlink but it is a file"), "{refused}");
    }

    #[test]
    fn what_was_given_counts_until_there_is_something_newer() {
        let root = tempfile::tempdir().expect("a directory");
        let authority = Authority::generate("ca", NOW).expect("it can be made");
        let (first, second) = (issued(&authority), issued(&authority));
        let (certificate, key) = (root.path().join("a.crt"), root.path().join("a.key"));
        fs::write(&certificate, &first.certificate_pem).expect("it can be written");
        fs::write(&key, first.key.to_pem()).expect("it can be written");
        let store = Store::open(root.path(), "kubelet-server", Some((certificate, key))).expect("it can be opened");
        let current = || store.current().expect("it can be read").expect("there is one").certificate_pem;
        assert_eq!(current(), first.certificate_pem);
        store.update(&second.certificate_pem, &second.key, at(NOW)).expect("it is written");
        assert_eq!(current(), second.certificate_pem);
    }
}
