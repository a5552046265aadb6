//! Who can tell who asks, and the tokens that this server makes.

use std::{io::ErrorKind, net::IpAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Result, bail};
use api::{GroupResource, Value};
use auth::authenticate::{
    Authenticator, BootstrapTokens, Chain, Elsewhere, InTurn, Remembered, RequestHeader, ServiceAccounts,
    TokenAuthenticator, TokenFile, Webhook, X509,
    service_account::{Documents, Head, Issuer, KeySet, LegacyTokens, Lookup, SigningKey},
};
use auth::authorize::Index;
use certs::{
    kubeconfig::{Credential, Entry},
    pki::Pki,
};
use registry::{Registry, openapi::ColumnTexts, outside::Outside, special::components::Component};
use server::{metrics::Metrics, outgoing::Outgoing};

use super::{credentials::Credentials, elsewhere, issuers, legacy_tokens, settings};
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
    credentials: &Credentials,
    registry: &Arc<Registry>,
    outgoing: &Arc<Outgoing>,
    metrics: &Metrics,
) -> Result<Chain> {
    let api_audiences = match flags.api_audiences.as_slice() {
        [] => flags.service_account_issuer.clone(),
        given => given.to_vec(),
    };
    let proxy = settings::front_proxy(flags);
    let requests: Vec<Box<dyn Authenticator>> = vec![
        Box::new(RequestHeader {
            authorities: credentials.proxies.authorities.clone(),
            allowed_names: proxy.allowed_names,
            headers: proxy.headers.clone(),
            api_audiences: api_audiences.clone(),
        }),
        Box::new(X509 { authorities: credentials.clients.authorities.clone(), tally: metrics.auth.clone() }),
    ];
    let mut tokens: Vec<Box<dyn TokenAuthenticator>> = Vec::new();
    if let Some(path) = &flags.token_auth_file {
        let name = path.display().to_string();
        tokens.push(Box::new(TokenFile::parse(&name, &read(path)?, api_audiences.clone())?));
    }
    let keys = Arc::new(token_keys(flags, &credentials.pki)?);
    let issuers = flags.service_account_issuer.clone();
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
    let made = Documents::new(first_issuer(flags), flags.service_account_jwks_uri.as_deref(), address, &keys);
    Ok(made.inspect_err(|why| tracing::warn!("the issuer of tokens is not published: {why}")).ok())
}

/// In whose name tokens are made.
fn first_issuer(flags: &Apiserver) -> &str {
    flags.service_account_issuer.first().map_or("", String::as_str)
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
        issuer: Issuer::new(first_issuer(flags).to_owned(), key),
        extends_tokens: flags.serving.service_account_extend_token_expiration,
        token_seconds_max: flags.service_account_max_token_expiration.0 / 1_000_000_000,
        index: index.clone(),
        components,
        columns: ColumnTexts::new(Arc::new(super::texts::Upstream)),
    })
}

/// The administrator's way in.
pub fn write_kubeconfig(data_dir: &Path, pki: &Pki, address: IpAddr, port: u16) -> Result<()> {
    let admin = pki.admin.issued();
    let host = match address {
        address if address.is_unspecified() => "127.0.0.1".to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
        v4 => v4.to_string(),
    };
    let text = certs::kubeconfig::write(&Entry {
        name: "skiff",
        server: &format!("https://{host}:{port}"),
        authority_pem: pki.ca.bundle_pem(),
        credential: Credential::Certificate { certificate_pem: &admin.certificate_pem, key_pem: &admin.key.to_pem() },
    })?;
    certs::files::write(&data_dir.join("admin.kubeconfig"), &text)?;
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
