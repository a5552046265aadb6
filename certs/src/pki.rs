//! Everything one control plane keeps: two authorities, the certificates they issued, the key for tokens.
//!
//! The files have kubeadm's names, so that the directory of one can be handed to the other. Authorities are made once
//! and never replaced behind their owner's back: when one is damaged or has expired, opening fails and says so.
//! Certificates below them are reissued whenever they are due, damaged, or lack a name; nobody has to be asked.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::authority::{Authority, Issued, Profile, Subject, Usage, parse};
use crate::tls::KeyPair;
use crate::{Error, Names, PrivateKey, UnixSeconds, files, pem};

/// The keys and certificates of one control plane.
#[derive(Debug)]
pub struct Pki {
    directory: PathBuf,
    /// Signs serving certificates and clients' (`ca.crt`).
    pub ca: Authority,
    /// Signs the identity with which aggregated API servers are called (`front-proxy-ca.crt`).
    pub front_proxy_ca: Authority,
    /// The API server's own certificate.
    pub serving: Leaf,
    /// The administrator (`admin.crt`): `kubernetes-admin` in `system:masters`.
    pub admin: Leaf,
    /// The identity of the front proxy (`front-proxy-client.crt`).
    pub front_proxy_client: Leaf,
    /// The identity of the API server towards nodes (`apiserver-kubelet-client.crt`).
    pub kubelet_client: Leaf,
    /// Signs service account tokens (`sa.key`).
    pub service_account_key: PrivateKey,
}

/// A certificate below an authority that is kept on disk, and may be renewed while connections are made with it.
#[derive(Debug)]
pub struct Leaf {
    /// What connections show, read anew for each.
    pub pair: Arc<KeyPair>,
    kept: &'static Kept,
    names: Names,
    issued: RwLock<Arc<Issued>>,
}

/// Its file name, and what it says.
#[derive(Debug)]
struct Kept {
    file: &'static str,
    common_name: &'static str,
    organizations: &'static [&'static str],
    usage: Usage,
}

static SERVING: Kept =
    Kept { file: "apiserver", common_name: "kube-apiserver", organizations: &[], usage: Usage::Server };
static ADMIN: Kept =
    Kept { file: "admin", common_name: "kubernetes-admin", organizations: &["system:masters"], usage: Usage::Client };
static KUBELET_CLIENT: Kept = Kept {
    file: "apiserver-kubelet-client",
    common_name: "kube-apiserver-kubelet-client",
    organizations: &["system:masters"],
    usage: Usage::Client,
};
static FRONT_PROXY_CLIENT: Kept =
    Kept { file: "front-proxy-client", common_name: "front-proxy-client", organizations: &[], usage: Usage::Client };

// === impl Pki ===

impl Pki {
    /// As [`Pki::renew`] names the administrator's certificate.
    pub const ADMINISTRATOR: &str = "admin";

    /// Loads what is in `directory` and makes what is missing. `names` are the serving certificate's.
    pub fn open(directory: &Path, names: &Names, now: UnixSeconds) -> Result<Pki, Error> {
        files::make_directory(directory)?;
        let ca = open_authority(directory, "ca", "kubernetes", now)?;
        let front_proxy_ca = open_authority(directory, "front-proxy-ca", "front-proxy-ca", now)?;
        let none = Names::default();
        Ok(Pki {
            serving: Leaf::open(directory, &SERVING, &ca, names, now)?,
            admin: Leaf::open(directory, &ADMIN, &ca, &none, now)?,
            kubelet_client: Leaf::open(directory, &KUBELET_CLIENT, &ca, &none, now)?,
            front_proxy_client: Leaf::open(directory, &FRONT_PROXY_CLIENT, &front_proxy_ca, &none, now)?,
            service_account_key: open_service_account_key(directory)?,
            directory: directory.to_owned(),
            ca,
            front_proxy_ca,
        })
    }

    /// Reissues what is due and puts it into use at once. Returns the names of the files that changed. To be called about
    /// once an hour.
    pub fn renew(&self, now: UnixSeconds) -> Result<Vec<&'static str>, Error> {
        let leaves = [
            (&self.serving, &self.ca),
            (&self.admin, &self.ca),
            (&self.kubelet_client, &self.ca),
            (&self.front_proxy_client, &self.front_proxy_ca),
        ];
        let mut renewed = Vec::new();
        for (leaf, authority) in leaves {
            if leaf.renew(&self.directory, authority, now)? {
                renewed.push(leaf.kept.file);
            }
        }
        Ok(renewed)
    }

    /// A client certificate that is not kept: for a component of this process, or for a user who asked for one.
    pub fn client(&self, subject: Subject, now: UnixSeconds) -> Result<Issued, Error> {
        self.ca.issue(&Profile::client(subject), now)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

// === impl Leaf ===

impl Leaf {
    fn open(
        directory: &Path,
        kept: &'static Kept,
        authority: &Authority,
        names: &Names,
        now: UnixSeconds,
    ) -> Result<Leaf, Error> {
        let issued = open_leaf(directory, kept, authority, names, now)?;
        let pair = Arc::new(KeyPair::new(&issued.certificate_pem, &issued.key)?);
        Ok(Leaf { pair, kept, names: names.clone(), issued: RwLock::new(Arc::new(issued)) })
    }

    /// What is in use.
    pub fn issued(&self) -> Arc<Issued> {
        self.issued.read().clone()
    }

    /// Whether it was due.
    fn renew(&self, directory: &Path, authority: &Authority, now: UnixSeconds) -> Result<bool, Error> {
        if !self.issued().is_due(now) {
            return Ok(false);
        }
        let issued = make_leaf(directory, self.kept, authority, &self.names, now)?;
        self.pair.replace(&issued.certificate_pem, &issued.key)?;
        *self.issued.write() = Arc::new(issued);
        Ok(true)
    }
}

fn open_authority(directory: &Path, file: &str, common_name: &str, now: UnixSeconds) -> Result<Authority, Error> {
    let certificate_path = directory.join(format!("{file}.crt"));
    let key_path = directory.join(format!("{file}.key"));
    // The key is written first: one without a certificate is a first start that was cut off, and nobody trusts it yet.
    let Some(certificate) = files::read(&certificate_path)? else {
        let made = Authority::generate(common_name, now)?;
        files::write(&key_path, &made.key_pem())?;
        files::write(&certificate_path, made.bundle_pem())?;
        return Ok(made);
    };
    let Some(key) = files::read(&key_path)? else {
        let reason = format!("is missing beside {file}.crt; put it back, or remove both to start with a new authority");
        return Err(Error::Contents { path: key_path, reason });
    };
    PrivateKey::from_pem(&key).map_err(|error| error.in_file(&key_path))?;
    let authority = Authority::load(&certificate, &key).map_err(|error| error.in_file(&certificate_path))?;
    if authority.not_after() <= now {
        return Err(Error::AuthorityExpired(authority.not_after()).in_file(&certificate_path));
    }
    Ok(authority)
}

fn open_leaf(
    directory: &Path,
    kept: &Kept,
    authority: &Authority,
    names: &Names,
    now: UnixSeconds,
) -> Result<Issued, Error> {
    match load_leaf(directory, kept, authority, names)? {
        Some(issued) if !issued.is_due(now) && issued.not_before <= now => Ok(issued),
        _ => make_leaf(directory, kept, authority, names, now),
    }
}

fn make_leaf(
    directory: &Path,
    kept: &Kept,
    authority: &Authority,
    names: &Names,
    now: UnixSeconds,
) -> Result<Issued, Error> {
    let subject = Subject::user(kept.common_name, kept.organizations);
    let base = Profile::client(subject);
    let issued = authority.issue(&Profile { names: names.clone(), usage: kept.usage, ..base }, now)?;
    files::write_soon(&directory.join(format!("{}.key", kept.file)), &issued.key.to_pem())?;
    files::write_soon(&directory.join(format!("{}.crt", kept.file)), &issued.certificate_pem)?;
    Ok(issued)
}

/// What is on disk, if it is whole, signed by `authority` and says what it should; everything else can be reissued.
fn load_leaf(directory: &Path, kept: &Kept, authority: &Authority, names: &Names) -> Result<Option<Issued>, Error> {
    let certificate = files::read(&directory.join(format!("{}.crt", kept.file)))?;
    let key = files::read(&directory.join(format!("{}.key", kept.file)))?;
    let (Some(certificate), Some(key)) = (certificate, key) else { return Ok(None) };
    Ok(read_leaf(certificate, &key, authority, names).ok().flatten())
}

fn read_leaf(
    certificate_pem: String,
    key_pem: &str,
    authority: &Authority,
    names: &Names,
) -> Result<Option<Issued>, Error> {
    let der = pem::certificates(&certificate_pem)?.swap_remove(0);
    let key = PrivateKey::from_pem(key_pem)?;
    let parsed = parse(&der)?;
    let signer = parse(authority.certificate())?;
    let fits = parsed.public_key().raw == key.public_der()
        && parsed.verify_signature(Some(signer.public_key())).is_ok()
        && names_of(&parsed).cover(names);
    let (not_before, not_after) = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
    drop(parsed);
    Ok(fits.then_some(Issued { certificate_pem, key, not_before, not_after }))
}

/// The names that a certificate is for.
pub fn names(certificate: &rustls::pki_types::CertificateDer<'_>) -> Result<Names, Error> {
    Ok(names_of(&parse(certificate)?))
}

fn names_of(parsed: &x509_parser::certificate::X509Certificate<'_>) -> Names {
    use x509_parser::extensions::GeneralName;
    let mut names = Names::default();
    let Ok(Some(found)) = parsed.subject_alternative_name() else { return names };
    for name in &found.value.general_names {
        match name {
            GeneralName::DNSName(host) => drop(names.hosts.insert((*host).to_owned())),
            GeneralName::IPAddress(octets) => names.addresses.extend(address(octets)),
            _ => {}
        }
    }
    names
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

fn open_service_account_key(directory: &Path) -> Result<PrivateKey, Error> {
    let (key_path, public_path) = (directory.join("sa.key"), directory.join("sa.pub"));
    let key = match files::read(&key_path)? {
        Some(text) => PrivateKey::from_pem(&text).map_err(|error| error.in_file(&key_path))?,
        None => {
            let made = PrivateKey::generate()?;
            files::write(&key_path, &made.to_pem())?;
            made
        }
    };
    if files::read(&public_path)?.as_deref() != Some(&key.public_pem()) {
        files::write_soon(&public_path, &key.public_pem())?;
    }
    Ok(key)
}

#[cfg(test)]
mod tests;
