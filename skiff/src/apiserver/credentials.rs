//! What this server shows to others and whom it believes, while both change: files that flags name are looked at again and
//! again, and certificates of its own are renewed before they end.
//!
//! A connection is made with what counts when it begins. What cannot be read, or does not fit together, leaves in use what
//! was there. Upstream: apiserver/pkg/server/dynamiccertificates.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use api::time::Clock;
use auth::authenticate::x509::Authorities;
use certs::{
    Bundle, PrivateKey,
    named::{ByName, Named, Secured},
    pem,
    pki::Pki,
    tls::{Choice, KeyPair, OldestVersion, ServerSettings},
};
use parking_lot::{Mutex, RwLock};
use registry::special::furniture::authentication;
use rustls::server::ResolvesServerCert;
use tokio::{sync::watch, time::interval};

use super::identity::read;
use crate::flags::Apiserver;

/// All of it.
pub struct Credentials {
    pub pki: Arc<Pki>,
    /// What this server shows to nodes, and to extension servers.
    pub kubelet_client: Arc<KeyPair>,
    pub front_proxy_client: Arc<KeyPair>,
    /// Whose clients, and whose front proxies, are believed.
    pub clients: Trusted,
    pub proxies: Trusted,
    shown: Shown,
    /// How connections are secured from now on.
    tls: watch::Sender<Arc<Secured>>,
    followed: Mutex<Vec<Followed>>,
}

/// What this server shows to its clients, and how it speaks.
struct Shown {
    serving: Arc<KeyPair>,
    named: Vec<Named>,
    choice: Choice,
    oldest_version: OldestVersion,
    http2: bool,
}

/// Authorities, and the text that they were read from.
pub struct Trusted {
    pub authorities: Arc<Authorities>,
    pem: RwLock<String>,
}

/// Files that are taken together.
struct Followed {
    paths: Vec<PathBuf>,
    /// What they said when they were last looked at.
    last: Vec<String>,
    of: Part,
}

/// What files are for.
enum Part {
    Pair(Arc<KeyPair>),
    Clients,
    Proxies,
}

/// How often files are looked at. Upstream is told by the system, and looks every minute.
const LOOK: Duration = Duration::from_secs(1);
const RENEW: Duration = Duration::from_secs(3600);
/// As errors name them. Upstream: dynamic_cafile_content.go NewDynamicCAContentFromFile's callers.
const CLIENTS: &str = "client-ca-bundle";
const PROXIES: &str = "request-header";

// === impl Trusted ===

impl Trusted {
    fn new(pem: &str, called: &str, path: Option<&PathBuf>) -> Result<Trusted> {
        Ok(Trusted { authorities: Authorities::new(bundle(pem, called, path)?), pem: RwLock::new(pem.to_owned()) })
    }

    fn replace(&self, pem: &str, called: &str, path: Option<&PathBuf>) -> Result<()> {
        self.authorities.replace(bundle(pem, called, path)?);
        pem.clone_into(&mut self.pem.write());
        Ok(())
    }
}

// === impl Credentials ===

impl Credentials {
    pub fn open(flags: &Apiserver, pki: Arc<Pki>) -> Result<Credentials> {
        let mut followed = Vec::new();
        let own_text = |path: Option<&PathBuf>, own: &str| path.map_or(Ok(own.to_owned()), |path| read(path));
        let client_path = flags.client_ca_file.as_ref();
        let clients = own_text(client_path, pki.ca.bundle_pem())?;
        let proxy_path = flags.requestheader_client_ca_file.as_ref();
        let proxies = own_text(proxy_path, pki.front_proxy_ca.bundle_pem())?;
        for (path, text, of) in [(client_path, &clients, Part::Clients), (proxy_path, &proxies, Part::Proxies)] {
            followed.extend(path.map(|path| Followed { paths: vec![path.clone()], last: vec![text.clone()], of }));
        }
        // What is wrong with them is said before anything that is made of them.
        let trusted = (Trusted::new(&clients, CLIENTS, client_path)?, Trusted::new(&proxies, PROXIES, proxy_path)?);
        let mut pair = |files: Option<(PathBuf, PathBuf)>, own: &Arc<KeyPair>, flag: &'static str| match files {
            None => Ok(own.clone()),
            Some((certificate, key)) => {
                let last = vec![read(&certificate)?, read(&key)?];
                let pair = Arc::new(pair_of(&last).context(flag)?);
                followed.push(Followed { paths: vec![certificate, key], last, of: Part::Pair(pair.clone()) });
                anyhow::Ok(pair)
            }
        };
        let both = |certificate: &Option<PathBuf>, key: &Option<PathBuf>| certificate.clone().zip(key.clone());
        let named = match both(&flags.tls_cert_file, &flags.tls_private_key_file) {
            Some(named) => Some(named),
            None => match flags.cert_dir.as_deref().filter(|directory| !directory.as_os_str().is_empty()) {
                Some(directory) => pair_in(directory, &pki)?,
                None => None,
            },
        };
        let serving = pair(named, &pki.serving.pair, "--tls-private-key-file")?;
        let mut by_name = Vec::new();
        for given in &flags.serving.tls_sni_cert_key {
            let files = Some((given.certificate.clone(), given.key.clone()));
            let pair = pair(files, &pki.serving.pair, "failed to load SNI cert and key")?;
            by_name.push(Named { names: given.names.clone(), pair });
        }
        let named = both(&flags.kubelet_client_certificate, &flags.kubelet_client_key);
        let kubelet_client = pair(named, &pki.kubelet_client.pair, "--kubelet-client-key")?;
        let named = both(&flags.proxy_client_cert_file, &flags.proxy_client_key_file);
        let front_proxy_client = pair(named, &pki.front_proxy_client.pair, "--proxy-client-key-file")?;
        let groups = flags.serving.tls_curve_preferences.iter().filter_map(|group| u16::try_from(*group).ok());
        let shown = Shown {
            serving,
            named: by_name,
            choice: Choice { suites: flags.tls_cipher_suites.clone(), groups: groups.collect() },
            oldest_version: flags.tls_min_version.0,
            http2: !flags.serving.disable_http2_serving,
        };
        let tls = watch::Sender::new(Arc::new(shown.secured(&clients)?));
        Ok(Credentials {
            clients: trusted.0,
            proxies: trusted.1,
            pki,
            kubelet_client,
            front_proxy_client,
            shown,
            tls,
            followed: Mutex::new(followed),
        })
    }

    /// How connections are secured: the last that was sent counts.
    pub fn tls(&self) -> watch::Receiver<Arc<Secured>> {
        self.tls.subscribe()
    }

    /// What others are told to believe now.
    pub fn told(&self, settings: &authentication::Settings) -> authentication::Settings {
        let (client_ca, request_header_ca) = (self.clients.pem.read().clone(), self.proxies.pem.read().clone());
        authentication::Settings { client_ca, request_header_ca, ..settings.clone() }
    }

    /// Looks after all of it for ever; `administrator` is called when his certificate is another.
    pub async fn keep(self: Arc<Self>, clock: Arc<dyn Clock>, administrator: impl Fn(&Pki) -> Result<()>) {
        let (mut looks, mut renewals) = (interval(LOOK), interval(RENEW));
        loop {
            tokio::select! {
                _ = looks.tick() => self.look(),
                _ = renewals.tick() => match self.pki.renew(clock.now().as_second()) {
                    Ok(renewed) if renewed.contains(&Pki::ADMINISTRATOR) => {
                        if let Err(error) = administrator(&self.pki) {
                            tracing::error!("the administrator's kubeconfig cannot be written: {error:#}");
                        }
                    }
                    Ok(_) => {}
                    Err(error) => tracing::error!(%error, "certificates of this server cannot be renewed"),
                },
            }
        }
    }

    /// Takes what files say since they were last looked at.
    fn look(&self) {
        for followed in self.followed.lock().iter_mut() {
            // One that is being replaced is looked at again.
            let Ok(now) = followed.paths.iter().map(|path| read(path)).collect::<Result<Vec<String>>>() else {
                continue;
            };
            if now == followed.last {
                continue;
            }
            let shown = followed.paths[0].display();
            match self.take(&followed.of, &followed.paths, &now) {
                Ok(()) => tracing::info!("{shown} was read again"),
                Err(error) => tracing::error!("{shown} has changed, and what was there before stays in use: {error:#}"),
            }
            followed.last = now;
        }
    }

    fn take(&self, of: &Part, paths: &[PathBuf], texts: &[String]) -> Result<()> {
        match of {
            Part::Pair(pair) => {
                pair.replace(&texts[0], &PrivateKey::from_pem(&texts[1])?)?;
                // It may have other names.
                if self.shown.named.iter().any(|named| Arc::ptr_eq(&named.pair, pair)) {
                    self.secure(&self.clients.pem.read())?;
                }
            }
            Part::Proxies => self.proxies.replace(&texts[0], PROXIES, paths.first())?,
            Part::Clients => {
                self.clients.replace(&texts[0], CLIENTS, paths.first())?;
                self.secure(&texts[0])?;
            }
        }
        Ok(())
    }

    /// Connections are secured so from now on.
    fn secure(&self, clients: &str) -> Result<()> {
        self.tls.send_replace(Arc::new(self.shown.secured(clients)?));
        Ok(())
    }
}

// === impl Shown ===

impl Shown {
    /// How connections are secured; clients are asked for certificates of these authorities.
    fn secured(&self, clients: &str) -> Result<Secured> {
        let with = |certificate: Arc<dyn ResolvesServerCert>| {
            let settings = ServerSettings {
                certificate,
                client_authorities_pem: clients.to_owned(),
                oldest_version: self.oldest_version,
                http2: self.http2,
            };
            certs::tls::server_config_with(settings, &self.choice)
        };
        if self.named.is_empty() {
            return Ok(with(self.serving.clone())?.into());
        }
        let by_name = ByName::new(&self.serving, &self.named);
        let mut secured = Secured::from(with(Arc::new(by_name.clone()))?);
        for (address, by_name) in by_name.by_address() {
            secured.by_address.insert(address, Arc::new(with(Arc::new(by_name))?));
        }
        Ok(secured)
    }
}

fn pair_of(texts: &[String]) -> Result<KeyPair> {
    Ok(KeyPair::new(&texts[0], &PrivateKey::from_pem(&texts[1])?)?)
}

/// The certificate and the key in a directory of certificates. Where there is neither, those that this server made are put
/// there, and it goes on with its own. Upstream: apiserver/pkg/server/options/serving.go `MaybeDefaultWithSelfSignedCerts`,
/// client-go/util/cert `CanReadCertAndKey`.
fn pair_in(directory: &Path, pki: &Pki) -> Result<Option<(PathBuf, PathBuf)>> {
    let [certificate, key] = ["apiserver.crt", "apiserver.key"].map(|name| directory.join(name));
    let can_be_read = |path: &Path| std::fs::File::open(path).is_ok();
    let unpaired = |path: &Path| {
        anyhow::anyhow!("error reading {}, certificate and key must be supplied as a pair", path.display())
    };
    match (can_be_read(&certificate), can_be_read(&key)) {
        (true, true) => Ok(Some((certificate, key))),
        (false, true) => Err(unpaired(&certificate)),
        (true, false) => Err(unpaired(&key)),
        (false, false) => {
            certs::files::make_directory(directory)?;
            for path in [certificate, key] {
                let own = pki.directory().join(path.file_name().unwrap_or_default());
                certs::files::write(&path, &read(&own)?)?;
            }
            Ok(None)
        }
    }
}

/// Those who are believed by a file that a flag names, which is called so in the error.
fn bundle(text: &str, called: &str, path: Option<&PathBuf>) -> Result<Bundle> {
    Bundle::from_pem(text).map_err(|error| match path {
        Some(path) if !pem::certificates(text).is_ok_and(|found| !found.is_empty()) => {
            let called = api::field::quote(&format!("{called}::{}", path.display()));
            anyhow::anyhow!(
                "error loading CA bundle for {called}: data does not contain any valid RSA or ECDSA certificates"
            )
        }
        _ => error.into(),
    })
}

#[cfg(test)]
mod tests {
    use certs::{Authority, Issued, Names, Profile, Subject};
    use clap::Parser as _;

    use super::*;
    use crate::flags::{Command, Skiff};

    const NOW: i64 = 1_795_000_000;

    fn flags(words: &[String]) -> Box<Apiserver> {
        let all = ["skiff".to_owned(), "apiserver".to_owned()].into_iter().chain(words.iter().cloned());
        match Skiff::try_parse_from(all).expect("flags").command {
            Command::Apiserver(flags) => flags,
            _ => unreachable!("it is that command"),
        }
    }

    fn shown(issued: &Issued) -> Vec<rustls::pki_types::CertificateDer<'static>> {
        pem::certificates(&issued.certificate_pem).expect("a certificate")
    }

    #[test]
    fn files_that_change_are_taken_and_those_that_are_wrong_are_not() -> Result<()> {
        let place = tempfile::tempdir()?;
        let at = |name: &str| place.path().join(name);
        let write = |name: &str, text: &str| std::fs::write(at(name), text);
        let authority = Authority::generate("first", NOW)?;
        let issue = || authority.issue(&Profile::client(Subject::user("front-proxy-client", &[])), NOW);
        let (first, second) = (issue()?, issue()?);
        write("ca", authority.bundle_pem())?;
        write("crt", &first.certificate_pem)?;
        write("key", &first.key.to_pem())?;
        let flag = |name: &str, file: &str| format!("--{name}={}", at(file).display());
        let flags = flags(&[
            flag("client-ca-file", "ca"),
            flag("requestheader-client-ca-file", "ca"),
            flag("proxy-client-cert-file", "crt"),
            flag("proxy-client-key-file", "key"),
        ]);
        let pki = Arc::new(Pki::open(&at("pki"), &Names::default(), NOW)?);
        let credentials = Credentials::open(&flags, pki)?;
        let (mut tls, settings) = (credentials.tls(), authentication::Settings::default());
        let believed = || (credentials.told(&settings).client_ca, credentials.told(&settings).request_header_ca);
        let of = |pem: &str| (pem.to_owned(), pem.to_owned());
        assert_eq!(believed(), of(authority.bundle_pem()));
        assert_eq!(credentials.front_proxy_client.chain(), shown(&first));

        // Half of a pair, and then the other.
        write("crt", &second.certificate_pem)?;
        credentials.look();
        assert_eq!(credentials.front_proxy_client.chain(), shown(&first));
        write("key", &second.key.to_pem())?;
        credentials.look();
        assert_eq!(credentials.front_proxy_client.chain(), shown(&second));
        assert!(!tls.has_changed()?, "who is asked for is the same");

        let other = Authority::generate("second", NOW)?;
        for wrong in ["", "no certificate"] {
            write("ca", wrong)?;
            credentials.look();
            assert_eq!(believed(), of(authority.bundle_pem()), "{wrong:?}");
        }
        std::fs::remove_file(at("ca"))?;
        credentials.look();
        write("ca", other.bundle_pem())?;
        credentials.look();
        assert_eq!(believed(), of(other.bundle_pem()));
        let believes = |trusted: &Trusted| format!("{:?}", trusted.authorities.current());
        let others = format!("{:?}", Bundle::from_pem(other.bundle_pem())?);
        assert_eq!((believes(&credentials.clients), believes(&credentials.proxies)), (others.clone(), others));
        assert!(tls.has_changed()?, "clients are asked for certificates of others");
        tls.mark_unchanged();
        credentials.look();
        assert!(!tls.has_changed()?);
        Ok(())
    }

    #[test]
    fn a_directory_of_certificates_has_both_or_gets_both() -> Result<()> {
        let place = tempfile::tempdir()?;
        let pki = Pki::open(&place.path().join("pki"), &Names::default(), 0)?;
        let directory = place.path().join("certs");
        assert_eq!(pair_in(&directory, &pki)?, None, "its own, which it knows how to renew");
        let [certificate, key] = ["apiserver.crt", "apiserver.key"].map(|name| directory.join(name));
        assert_eq!(read(&certificate)?, read(&pki.directory().join("apiserver.crt"))?);
        assert_eq!(pair_in(&directory, &pki)?, Some((certificate.clone(), key.clone())), "what is there");
        std::fs::remove_file(&key)?;
        let refused = pair_in(&directory, &pki).expect_err("half a pair is none").to_string();
        let words = format!("error reading {}, certificate and key must be supplied as a pair", key.display());
        assert_eq!(refused, words);
        std::fs::remove_file(&certificate)?;
        assert_eq!(pair_in(&directory, &pki)?, None);
        Ok(())
    }
}
