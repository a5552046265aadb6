//! The keys that controllers sign with: for certificates, and for tokens in secrets.
//!
//! Flags name them; beside a server of this process the server's own take the place of those that are not named.
//! Upstream: cmd/kube-controller-manager/app/options csrsigningcontroller.go, serviceaccountcontroller.go.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use auth::authenticate::{Issuer, service_account::SigningKey};
use certs::{Authority, Pki, PrivateKey};
use clap::Args;
use controllers::SecretTokens;

type Signers = Vec<(&'static str, Arc<Authority>)>;

/// `--cluster-signing-*` and the key for tokens.
#[derive(Args)]
pub struct Keys {
    /// The authority that signs requests for certificates, whoever their signer of kubernetes.io is.
    #[arg(long)]
    pub cluster_signing_cert_file: Option<PathBuf>,
    #[arg(long)]
    pub cluster_signing_key_file: Option<PathBuf>,
    /// The authority for one signer. Not beside --cluster-signing-cert-file.
    #[arg(long)]
    pub cluster_signing_kubelet_serving_cert_file: Option<PathBuf>,
    #[arg(long)]
    pub cluster_signing_kubelet_serving_key_file: Option<PathBuf>,
    #[arg(long)]
    pub cluster_signing_kubelet_client_cert_file: Option<PathBuf>,
    #[arg(long)]
    pub cluster_signing_kubelet_client_key_file: Option<PathBuf>,
    #[arg(long)]
    pub cluster_signing_kube_apiserver_client_cert_file: Option<PathBuf>,
    #[arg(long)]
    pub cluster_signing_kube_apiserver_client_key_file: Option<PathBuf>,
    #[arg(long)]
    pub cluster_signing_legacy_unknown_cert_file: Option<PathBuf>,
    #[arg(long)]
    pub cluster_signing_legacy_unknown_key_file: Option<PathBuf>,
    /// Certificates are signed for no longer.
    #[arg(long, default_value = "8760h0m0s")]
    pub cluster_signing_duration: String,
    /// The key that makes the tokens of secrets; without one they are not filled.
    #[arg(long)]
    pub service_account_private_key_file: Option<PathBuf>,
}

/// What is at hand without flags.
#[derive(Default)]
pub struct Held {
    pub authority: Option<Authority>,
    pub tokens: Option<PrivateKey>,
}

/// The files of one signer: certificate and key.
type Files<'a> = (Option<&'a Path>, Option<&'a Path>);

// === impl Held ===

impl Held {
    /// A server's own.
    pub fn of(pki: &Pki) -> Result<Held> {
        Ok(Held {
            authority: Some(Authority::load(pki.ca.bundle_pem(), &pki.ca.key_pem())?),
            tokens: Some(PrivateKey::from_pem(&pki.service_account_key.to_pem())?),
        })
    }
}

// === impl Keys ===

impl Keys {
    /// The authorities by the names of their signers.
    pub fn signers(&self, held: Option<Authority>) -> Result<Signers> {
        let all: Files<'_> = (self.cluster_signing_cert_file.as_deref(), self.cluster_signing_key_file.as_deref());
        let each = self.each();
        let some = |files: &Files<'_>| files.0.is_some() || files.1.is_some();
        if some(&all) && each.iter().any(|(_, _, files)| some(files)) {
            bail!(
                "cannot specify --cluster-signing-{{cert,key}}-file and other --cluster-signing-*-file flags at the same time"
            );
        }
        let everyone = |authority: Authority| -> Signers {
            let authority = Arc::new(authority);
            controllers::signers().map(|name| (name, authority.clone())).collect()
        };
        if let (Some(certificate), Some(key)) = all {
            return Ok(everyone(load(certificate, key)?));
        }
        let mut signers = Signers::new();
        for (name, flag, files) in each {
            match files {
                (Some(certificate), Some(key)) => signers.push((name, Arc::new(load(certificate, key)?))),
                (None, None) => {}
                (None, Some(_)) => bail!("\"{flag}\": cannot specify key without cert"),
                (Some(_), None) => bail!("\"{flag}\": cannot specify cert without key"),
            }
        }
        let is_said = !signers.is_empty() || some(&all);
        Ok(held.filter(|_| !is_said).map(everyone).unwrap_or(signers))
    }

    /// Signers, what their flags begin with in messages, and their files.
    fn each(&self) -> [(&'static str, &'static str, Files<'_>); 4] {
        [
            (
                "kubernetes.io/kubelet-serving",
                "cluster-signing-kubelet-serving",
                (
                    self.cluster_signing_kubelet_serving_cert_file.as_deref(),
                    self.cluster_signing_kubelet_serving_key_file.as_deref(),
                ),
            ),
            (
                "kubernetes.io/kube-apiserver-client-kubelet",
                "cluster-signing-kube-apiserver-client",
                (
                    self.cluster_signing_kubelet_client_cert_file.as_deref(),
                    self.cluster_signing_kubelet_client_key_file.as_deref(),
                ),
            ),
            (
                "kubernetes.io/kube-apiserver-client",
                "cluster-signing-kube-apiserver",
                (
                    self.cluster_signing_kube_apiserver_client_cert_file.as_deref(),
                    self.cluster_signing_kube_apiserver_client_key_file.as_deref(),
                ),
            ),
            (
                "kubernetes.io/legacy-unknown",
                "cluster-signing-legacy-unknown",
                (
                    self.cluster_signing_legacy_unknown_cert_file.as_deref(),
                    self.cluster_signing_legacy_unknown_key_file.as_deref(),
                ),
            ),
        ]
    }

    /// What makes the tokens of secrets, if there is a key.
    pub fn secret_tokens(&self, held: Option<PrivateKey>) -> Result<Option<SecretTokens>> {
        let key = match &self.service_account_private_key_file {
            Some(path) => Some(PrivateKey::from_pem(&read(path)?)?),
            None => held,
        };
        let Some(key) = key else { return Ok(None) };
        let key = SigningKey::new(&key).map_err(|e| anyhow::anyhow!("the signing key of service accounts: {e}"))?;
        let issuer = Issuer::new(String::new(), key);
        Ok(Some(SecretTokens::new(move |account, secret| {
            let meta = api::meta::of(account);
            issuer.issue_for_secret(meta.namespace(), meta.name(), meta.uid(), secret).map_err(|e| e.to_string())
        })))
    }
}

fn load(certificate: &Path, key: &Path) -> Result<Authority> {
    let authority = Authority::load(&read(certificate)?, &read(key)?);
    authority.with_context(|| format!("{} and {} are no authority", certificate.display(), key.display()))
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        keys: Keys,
    }

    fn signers(arguments: &[&str], held: Option<Authority>) -> Result<Vec<&'static str>, String> {
        let line = Line::try_parse_from([&["x"], arguments].concat()).map_err(|e| e.to_string())?;
        let signers = line.keys.signers(held).map_err(|e| e.to_string())?;
        Ok(signers.iter().map(|(name, _)| *name).collect())
    }

    #[test]
    fn flags_say_who_signs_for_whom() {
        let held = || Some(Authority::generate("own", 1_795_000_000).expect("it can be made"));
        assert_eq!(signers(&[], None), Ok(vec![]));
        assert_eq!(signers(&[], held()).map(|s| s.len()), Ok(4));
        let one = "--cluster-signing-kubelet-serving-cert-file=a";
        assert_eq!(
            signers(&[one], held()),
            Err("\"cluster-signing-kubelet-serving\": cannot specify cert without key".into())
        );
        assert_eq!(
            signers(&[one, "--cluster-signing-key-file=b"], held()),
            Err("cannot specify --cluster-signing-{cert,key}-file and other --cluster-signing-*-file flags at the same time".into())
        );
        assert_eq!(signers(&["--cluster-signing-cert-file=a"], held()), Ok(vec![]), "half of a pair signs nothing");
    }

    #[test]
    fn files_are_authorities() {
        let folder = tempfile::tempdir().expect("there is room");
        let own = Authority::generate("own", 1_795_000_000).expect("it can be made");
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("c"), own.bundle_pem()).expect("it can be written");
        std::fs::write(path("k"), own.key_pem()).expect("it can be written");
        let [certificate, key] = ["cert", "key"].map(|half| format!("--cluster-signing-legacy-unknown-{half}-file"));
        let both = [format!("{certificate}={}", path("c")), format!("{key}={}", path("k"))];
        assert_eq!(signers(&[&both[0], &both[1]], None), Ok(vec!["kubernetes.io/legacy-unknown"]));
        let wrong = signers(&[&both[0], &format!("{key}={}", path("c"))], None).expect_err("it is no key");
        assert!(wrong.ends_with("are no authority"), "{wrong}");
    }
}
