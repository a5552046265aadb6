//! Certificates, tokens and who is believed.

use std::{
    io::ErrorKind,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Result, bail};
use api::{GroupResource, Value};
use auth::authenticate::{
    Authenticator, BootstrapTokens, Chain, Elsewhere, InTurn, Remembered, RequestHeader, ServiceAccounts,
    TokenAuthenticator, TokenFile, Webhook, X509,
    service_account::{Documents, Head, Issuer, KeySet, LegacyTokens, Lookup, SigningKey},
    x509::Authorities,
};
use auth::authorize::Index;
use certs::{
    Bundle,
    kubeconfig::{Credential, Entry},
    pem,
    pki::Pki,
    tls::{ServerCert, ServerSettings},
};
use registry::{Registry, openapi::ColumnTexts, outside::Outside, special::components::Component};
use server::{metrics::Metrics, outgoing::Outgoing};

use super::{elsewhere, issuers, legacy_tokens, settings};
use crate::flags::Apiserver;

/// How long a token that somebody elsewhere took counts without another look. Upstream: TokenSuccessCacheTTL.
const ACCEPTED_NANOS: i64 = 10_000_000_000;
/// Upstream: defaultRequestTimeout, and sharedLookupTimeout of all calls about a token.
const WEBHOOK_WITHIN: Duration = Duration::from_secs(30);

/// Objects that tokens are bound to, as the registry has them.
struct Bound(Arc<Registry>);

impl Lookup for Bound {
    fn head(&self, resource: &str, namespace: &str, name: &str) -> Option<Head> {
        let object = self.0.cluster.look.get(&GroupResource::new("", resource), namespace, name)?;
        let meta = api::meta::of(&object);
        let deleted_at = api::time::parse(meta.deletion_timestamp()).map(|at| at.as_second());
        Some(Head { uid: meta.uid().into(), deleted_at })
    }

    fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.0.cluster.look.get(&GroupResource::new("", resource), namespace, name).map(Arc::new)
    }
}

/// Everybody who can tell who asks, in upstream's order.
pub fn authenticators(
    flags: &Apiserver,
    pki: &Pki,
    registry: &Arc<Registry>,
    outgoing: &Arc<Outgoing>,
    metrics: &Metrics,
) -> Result<Chain> {
    let api_audiences = match flags.api_audiences.as_slice() {
        [] => vec![flags.service_account_issuer.clone()],
        given => given.to_vec(),
    };
    let bundle = bundle(&client_authorities(flags, pki)?, "client-ca-bundle", flags.client_ca_file.as_ref())?;
    let proxy = settings::front_proxy(flags, pki.front_proxy_ca.bundle_pem())?;
    let requests: Vec<Box<dyn Authenticator>> = vec![
        Box::new(RequestHeader {
            authorities: Authorities::new(Bundle::from_pem(&proxy.authority)?),
            allowed_names: proxy.allowed_names,
            headers: proxy.headers.clone(),
            api_audiences: api_audiences.clone(),
        }),
        Box::new(X509 { authorities: Authorities::new(bundle), tally: metrics.auth.clone() }),
    ];
    let mut tokens: Vec<Box<dyn TokenAuthenticator>> = Vec::new();
    if let Some(path) = &flags.token_auth_file {
        let name = path.display().to_string();
        tokens.push(Box::new(TokenFile::parse(&name, &read(path)?, api_audiences.clone())?));
    }
    let keys = Arc::new(token_keys(flags, pki)?);
    let issuers = vec![flags.service_account_issuer.clone()];
    let lookup = Arc::new(Bound(registry.clone()));
    tokens.push(Box::new(LegacyTokens {
        keys: keys.clone(),
        api_audiences: api_audiences.clone(),
        lookup: lookup.clone(),
        tally: metrics.auth.clone(),
        uses: Arc::new(legacy_tokens::Uses::new(registry)),
    }));
    let accounts = ServiceAccounts::new(issuers, keys, api_audiences.clone(), lookup.clone(), metrics.auth.clone());
    tokens.push(Box::new(accounts));
    if flags.enable_bootstrap_token_auth {
        tokens.push(Box::new(BootstrapTokens { api_audiences: api_audiences.clone(), lookup }));
    }
    let others = issuers::open(flags, outgoing, &registry.clock, &api_audiences, metrics)?;
    let mut all: Vec<Arc<dyn Elsewhere>> = Vec::new();
    all.extend(others.tokens.map(|tokens| tokens as Arc<dyn Elsewhere>));
    all.extend(webhook(flags, registry, outgoing, &api_audiences, metrics)?);
    let mut elsewhere: Vec<Arc<dyn Elsewhere>> = Vec::new();
    if !all.is_empty() {
        let (clock, tally) = (registry.clock.clone(), metrics.auth.clone());
        elsewhere.push(Arc::new(Remembered::new(Box::new(InTurn(all)), clock, tally, ACCEPTED_NANOS, 0)));
    }
    let anonymous = others.anonymous;
    Ok(Chain { api_audiences, requests, tokens, elsewhere, anonymous, proxy_headers: proxy.headers })
}

/// The webhook that knows tokens, when there is one.
fn webhook(
    flags: &Apiserver,
    registry: &Arc<Registry>,
    outgoing: &Arc<Outgoing>,
    api_audiences: &[String],
    metrics: &Metrics,
) -> Result<Option<Arc<dyn Elsewhere>>> {
    let Some(path) = &flags.access.authentication_token_webhook_config_file else { return Ok(None) };
    let version = flags.access.authentication_token_webhook_version.clone();
    if !["v1", "v1beta1"].contains(&version.as_str()) {
        let version = api::field::quote(&version);
        bail!("unsupported authentication webhook version {version}, supported versions are \"v1\", \"v1beta1\"");
    }
    let reviewer = Arc::new(elsewhere::webhook(path, outgoing, WEBHOOK_WITHIN, Some(WEBHOOK_WITHIN))?);
    let webhook = Webhook { reviewer, version, api_audiences: api_audiences.to_vec() };
    let kept = flags.access.authentication_token_webhook_cache_ttl.0;
    let (clock, tally) = (registry.clock.clone(), metrics.auth.clone());
    Ok(Some(Arc::new(Remembered::new(Box::new(webhook), clock, tally, kept, kept))))
}

/// By which keys tokens are verified.
fn token_keys(flags: &Apiserver, pki: &Pki) -> Result<KeySet> {
    let mut keys = certs::PublicKey::all_from_pem(&pki.service_account_key.public_pem())?;
    for path in &flags.service_account_key_file {
        keys.extend(certs::PublicKey::all_from_pem(&read(path)?)?);
    }
    KeySet::new(keys).map_err(|e| anyhow::anyhow!("{e}"))
}

/// What others need to verify tokens by themselves; none, and why in the log, when it cannot be published.
pub fn documents(flags: &Apiserver, pki: &Pki, address: &str) -> Result<Option<Documents>> {
    let keys = token_keys(flags, pki)?;
    let made = Documents::new(&flags.service_account_issuer, flags.service_account_jwks_uri.as_deref(), address, &keys);
    Ok(made.inspect_err(|why| tracing::warn!("the issuer of tokens is not published: {why}")).ok())
}

/// What the registry needs to make and to tell tokens.
pub fn outside(
    flags: &Apiserver,
    pki: &Pki,
    authenticators: &Arc<Chain>,
    index: &Arc<Index>,
    components: Vec<Component>,
) -> Result<Outside> {
    let key = match &flags.service_account_signing_key_file {
        Some(path) => SigningKey::new(&certs::PrivateKey::from_pem(&read(path)?)?),
        None => SigningKey::new(&pki.service_account_key),
    };
    let key = key.map_err(|e| anyhow::anyhow!("the signing key of service accounts: {e}"))?;
    Ok(Outside {
        api_audiences: authenticators.api_audiences.clone(),
        authenticators: authenticators.clone(),
        issuer: Issuer::new(flags.service_account_issuer.clone(), key),
        token_seconds_max: flags.service_account_max_token_expiration.0 / 1_000_000_000,
        index: index.clone(),
        components,
        columns: ColumnTexts::new(Arc::new(super::texts::Upstream)),
    })
}

pub fn client_authorities(flags: &Apiserver, pki: &Pki) -> Result<String> {
    match &flags.client_ca_file {
        Some(path) => read(path),
        None => Ok(pki.ca.bundle_pem().to_string()),
    }
}

/// How connections are secured.
pub fn tls(flags: &Apiserver, pki: &Pki) -> Result<rustls::ServerConfig> {
    let named = match (&flags.tls_cert_file, &flags.tls_private_key_file) {
        (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
        _ => match flags.cert_dir.as_deref().filter(|directory| !directory.as_os_str().is_empty()) {
            Some(directory) => pair_in(directory, pki)?,
            None => None,
        },
    };
    let certificate = match named {
        Some((certificate, key)) => {
            let key = certs::PrivateKey::from_pem(&read(&key)?)?;
            Arc::new(ServerCert::new(&read(&certificate)?, &key)?)
        }
        None => pki.serving.clone(),
    };
    let settings = ServerSettings {
        certificate,
        client_authorities_pem: client_authorities(flags, pki)?,
        oldest_version: flags.tls_min_version.0,
        http2: true,
    };
    Ok(certs::tls::server_config_with(settings, &flags.tls_cipher_suites)?)
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

/// The administrator's way in.
pub fn write_kubeconfig(flags: &Apiserver, pki: &Pki, address: IpAddr, port: u16) -> Result<()> {
    let host = match address {
        address if address.is_unspecified() => "127.0.0.1".to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
        v4 => v4.to_string(),
    };
    let text = certs::kubeconfig::write(&Entry {
        name: "skiff",
        server: &format!("https://{host}:{port}"),
        authority_pem: pki.ca.bundle_pem(),
        credential: Credential::Certificate {
            certificate_pem: &pki.admin.certificate_pem,
            key_pem: &pki.admin.key.to_pem(),
        },
    })?;
    certs::files::write(&flags.data_dir.join("admin.kubeconfig"), &text)?;
    Ok(())
}

/// The text of a file that a flag names. The error is Go's.
pub fn read(path: &Path) -> Result<String> {
    let what = |error: &std::io::Error| if error.kind() == ErrorKind::IsADirectory { "read" } else { "open" };
    std::fs::read_to_string(path)
        .map_err(|error| anyhow::anyhow!("{} {}: {}", what(&error), path.display(), why_not(&error)))
}

/// What Go says of an error of the system.
pub fn why_not(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file or directory".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::IsADirectory => "is a directory".to_owned(),
        ErrorKind::NotADirectory => "not a directory".to_owned(),
        _ => error.to_string(),
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
    use certs::Names;

    use super::*;

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
