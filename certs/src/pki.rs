//! Everything one control plane keeps: two authorities, the certificates they issued, the key for tokens.
//!
//! The files have kubeadm's names, so that the directory of one can be handed to the other. Authorities are made once
//! and never replaced behind their owner's back: when one is damaged or has expired, opening fails and says so.
//! Certificates below them are reissued whenever they are due, damaged, or lack a name; nobody has to be asked.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::authority::{Authority, Issued, Profile, Subject, Usage, parse};
use crate::tls::ServerCert;
use crate::{Error, Names, PrivateKey, UnixSeconds, files, pem};

/// The keys and certificates of one control plane.
#[derive(Debug)]
pub struct Pki {
    directory: PathBuf,
    names: Names,
    /// Signs serving certificates and clients' (`ca.crt`).
    pub ca: Authority,
    /// Signs the identity with which aggregated API servers are called (`front-proxy-ca.crt`).
    pub front_proxy_ca: Authority,
    /// The API server's own certificate, which connections read anew each time: it may be renewed while serving.
    pub serving: Arc<ServerCert>,
    /// The administrator (`admin.crt`): `kubernetes-admin` in `system:masters`.
    pub admin: Issued,
    /// The identity of the front proxy (`front-proxy-client.crt`).
    pub front_proxy_client: Issued,
    /// The identity of the API server towards nodes (`apiserver-kubelet-client.crt`).
    pub kubelet_client: Issued,
    /// Signs service account tokens (`sa.key`).
    pub service_account_key: PrivateKey,
    serving_issued: Issued,
}

/// A certificate that is kept on disk: its file name and what it says.
struct Kept {
    file: &'static str,
    common_name: &'static str,
    organizations: &'static [&'static str],
    usage: Usage,
}

const SERVING: Kept =
    Kept { file: "apiserver", common_name: "kube-apiserver", organizations: &[], usage: Usage::Server };
const ADMIN: Kept =
    Kept { file: "admin", common_name: "kubernetes-admin", organizations: &["system:masters"], usage: Usage::Client };
const KUBELET_CLIENT: Kept = Kept {
    file: "apiserver-kubelet-client",
    common_name: "kube-apiserver-kubelet-client",
    organizations: &["system:masters"],
    usage: Usage::Client,
};
const FRONT_PROXY_CLIENT: Kept =
    Kept { file: "front-proxy-client", common_name: "front-proxy-client", organizations: &[], usage: Usage::Client };

// === impl Pki ===

impl Pki {
    /// Loads what is in `directory` and makes what is missing. `names` are the serving certificate's.
    pub fn open(directory: &Path, names: &Names, now: UnixSeconds) -> Result<Pki, Error> {
        files::make_directory(directory)?;
        let ca = open_authority(directory, "ca", "kubernetes", now)?;
        let front_proxy_ca = open_authority(directory, "front-proxy-ca", "front-proxy-ca", now)?;
        let none = Names::default();
        let serving_issued = open_leaf(directory, &SERVING, &ca, names, now)?;
        Ok(Pki {
            serving: Arc::new(ServerCert::new(&serving_issued.certificate_pem, &serving_issued.key)?),
            admin: open_leaf(directory, &ADMIN, &ca, &none, now)?,
            kubelet_client: open_leaf(directory, &KUBELET_CLIENT, &ca, &none, now)?,
            front_proxy_client: open_leaf(directory, &FRONT_PROXY_CLIENT, &front_proxy_ca, &none, now)?,
            service_account_key: open_service_account_key(directory)?,
            directory: directory.to_owned(),
            names: names.clone(),
            ca,
            front_proxy_ca,
            serving_issued,
        })
    }

    /// Reissues what is due and puts a new serving certificate into use at once. Returns the names of the files that
    /// changed. To be called about once an hour.
    pub fn renew(&mut self, now: UnixSeconds) -> Result<Vec<&'static str>, Error> {
        let none = Names::default();
        let mut renewed = Vec::new();
        if self.serving_issued.is_due(now) {
            self.serving_issued = make_leaf(&self.directory, &SERVING, &self.ca, &self.names, now)?;
            self.serving.replace(&self.serving_issued.certificate_pem, &self.serving_issued.key)?;
            renewed.push(SERVING.file);
        }
        let leaves = [
            (&mut self.admin, &ADMIN, &self.ca),
            (&mut self.kubelet_client, &KUBELET_CLIENT, &self.ca),
            (&mut self.front_proxy_client, &FRONT_PROXY_CLIENT, &self.front_proxy_ca),
        ];
        for (issued, kept, authority) in leaves {
            if issued.is_due(now) {
                *issued = make_leaf(&self.directory, kept, authority, &none, now)?;
                renewed.push(kept.file);
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
