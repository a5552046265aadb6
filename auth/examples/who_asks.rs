//! A1 measures who asks and whether he may, in process: a request's credentials told and its rights decided, with 5,000
//! roles and 10,000 bindings; and signatures of service accounts' tokens, none of which was seen before.
//!
//! `cargo run --release -p auth --example who_asks [ROLES [BINDINGS]]`. On one core, as a request of a connection that is
//! there: its certificate was verified within the last minute, its token was seen before.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for whoever builds: it speaks on the terminal and reads its arguments"
)]

use std::{error::Error, hint::black_box, sync::Arc, time::Instant};

use api::{Attributes, User, Value, time::Clock, value};
use async_trait::async_trait;
use auth::{
    Authorizer, Chain, Credentials, Uncounted,
    authenticate::{
        BootstrapTokens, Elsewhere, Identity, Outcome, Peer, Remembered, RequestHeader, ServiceAccounts, Token,
        TokenAuthenticator as _, X509,
        service_account::{Grant, Head, Issuer, KeySet, LegacyTokens, Lookup, SigningKey},
        x509::Authorities,
    },
    authorize::{Index, Rbac, Refused},
};
use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa::{KeyPair as RsaKeyPair, KeySize},
};
use certs::{
    Authority, Bundle, PrivateKey, PublicKey,
    authority::{Profile, Subject},
    pem,
};
use futures::FutureExt as _;
use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;

const NOW: i64 = 1_795_000_000;
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const NAMESPACES: usize = 500;
const USERS: usize = 1_000;
const TEAMS: usize = 50;
/// One in so many roles and bindings is the cluster's.
const OF_CLUSTER: usize = 50;
const TURNS: usize = 200_000;
/// Tokens that are verified once by somebody who has seen none of them.
const TOKENS: usize = 5_000;
const PASSES: usize = 4;

/// A clock that stands.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(NOW).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// Every account is there.
struct Accounts;

impl Lookup for Accounts {
    fn head(&self, _: &str, _: &str, _: &str) -> Option<Head> {
        Some(Head { uid: "u1".into(), deleted_at: None })
    }

    fn object(&self, _: &str, _: &str, _: &str) -> Option<Arc<Value>> {
        None
    }
}

/// A server elsewhere that knows everybody; it is asked once.
struct Known;

#[async_trait]
impl Elsewhere for Known {
    async fn authenticate(&self, _: &Token<'_>) -> Outcome {
        Ok(Some(Identity { user: User::new("user-7", &["team-7"]), ..Identity::default() }))
    }
}

/// Roles and bindings of people, teams and accounts in many namespaces.
fn policy(roles: usize, bindings: usize) -> Index {
    let home = |number: usize| match number.is_multiple_of(OF_CLUSTER) {
        true => String::new(),
        false => format!("ns-{}", number % NAMESPACES),
    };
    let index = Index::default();
    for number in 0..roles {
        let (namespace, name) = (home(number), format!("role-{number}"));
        let kind = if namespace.is_empty() { "ClusterRole" } else { "Role" };
        index.put(&value!({"kind": kind, "metadata": {"name": name, "namespace": namespace}, "rules": [
            {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["configmaps", "services", "endpoints"]},
            {"verbs": ["get", "list", "watch", "update"], "apiGroups": ["apps"], "resources": ["deployments", "replicasets"]},
            {"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "pods/log"]}
        ]}));
    }
    for number in 0..bindings {
        let (namespace, name, role) = (home(number), format!("binding-{number}"), number % roles);
        let of_cluster = namespace.is_empty();
        let kind = if of_cluster { "ClusterRoleBinding" } else { "RoleBinding" };
        let role_kind = if home(role).is_empty() { "ClusterRole" } else { "Role" };
        index.put(&value!({"kind": kind, "metadata": {"name": name, "namespace": (namespace.as_str())},
            "roleRef": {"kind": role_kind, "name": (format!("role-{role}"))},
            "subjects": [
                {"kind": "User", "name": (format!("user-{}", number % USERS))},
                {"kind": "Group", "name": (format!("team-{}", number % TEAMS))},
                {"kind": "ServiceAccount", "namespace": namespace, "name": "robot"}
            ]
        }));
    }
    index
}

/// Whoever can tell who asks, in the order in which a server asks them.
fn chain(authority: &Authority, keys: &Arc<KeySet>) -> Result<Chain, Box<dyn Error>> {
    let (audiences, lookup) = (vec![ISSUER.to_owned()], Arc::new(Accounts));
    let trust = || Bundle::from_pem(authority.bundle_pem()).map(Authorities::new);
    let remembered = Remembered::new(Box::new(Known), Arc::new(Still), Arc::new(Uncounted), i64::MAX, 0);
    Ok(Chain {
        api_audiences: audiences.clone(),
        requests: vec![
            Box::new(RequestHeader {
                authorities: trust()?,
                allowed_names: vec!["front-proxy-client".into()],
                headers: Default::default(),
                api_audiences: audiences.clone(),
            }),
            Box::new(X509 { authorities: trust()?, tally: Arc::new(Uncounted) }),
        ],
        tokens: vec![
            Box::new(LegacyTokens {
                keys: keys.clone(),
                api_audiences: audiences.clone(),
                lookup: lookup.clone(),
                tally: Arc::new(Uncounted),
                uses: Arc::new(()),
            }),
            Box::new(accounts(keys)),
            Box::new(BootstrapTokens { api_audiences: audiences, lookup }),
        ],
        elsewhere: vec![Arc::new(remembered)],
        anonymous: None,
        proxy_headers: Default::default(),
    })
}

fn accounts(keys: &Arc<KeySet>) -> ServiceAccounts {
    let (issuers, audiences) = (vec![ISSUER.to_owned()], vec![ISSUER.to_owned()]);
    ServiceAccounts::new(issuers, keys.clone(), audiences, Arc::new(Accounts), Arc::new(Uncounted))
}

fn bearer(token: &str) -> Result<HeaderMap, Box<dyn Error>> {
    let value = HeaderValue::from_str(&format!("Bearer {token}"))?;
    Ok(HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
}

fn issue(issuer: &Issuer, number: usize) -> Result<String, Box<dyn Error>> {
    let (audiences, id) = ([ISSUER.to_owned()], format!("jti-{number}"));
    let grant = Grant { namespace: "ns-7", name: "robot", uid: "u1", ..Grant::default() };
    Ok(issuer.issue(&Grant { audiences: &audiences, expiration_seconds: 3600, id: &id, ..grant }, NOW)?)
}

/// Microseconds that a request takes until it is allowed.
fn measure(
    chain: &Chain,
    authorizer: &Authorizer,
    headers: &HeaderMap,
    peer: Option<&Peer>,
) -> Result<f64, Box<dyn Error>> {
    let credentials = Credentials { headers, path: "/api/v1/namespaces/ns-7/pods/p", peer, audiences: None, now: NOW };
    let asked = Attributes {
        verb: "get".into(),
        is_resource: true,
        resource: "pods".into(),
        namespace: "ns-7".into(),
        name: "p".into(),
        ..Attributes::default()
    };
    let ask = || -> Result<(), Box<dyn Error>> {
        let found = chain.authenticate(&credentials).now_or_never().ok_or("nobody is waited for")?;
        let user = found.map_err(|refusal| refusal.to_string())?.ok_or("nobody")?.user;
        let admitted = authorizer.admit(&Arc::new(user), asked.clone()).now_or_never().ok_or("nobody is waited for")?;
        match black_box(admitted) {
            Ok(_) => Ok(()),
            Err(Refused::Forbidden { status, .. }) => Err(status.message().into()),
            Err(Refused::Undecided(why)) => Err(why.into()),
        }
    };
    for _ in 0..TURNS / 10 {
        ask()?;
    }
    let begun = Instant::now();
    for _ in 0..TURNS {
        ask()?;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / TURNS as f64)
}

fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|number| number.parse()).collect::<Result<_, _>>()?;
    let number = |place: usize, default| numbers.get(place).copied().unwrap_or(default).max(1);
    let (roles, bindings) = (number(0, 5_000), number(1, 10_000));
    let (authority, key) = (Authority::generate("kubernetes", NOW)?, PrivateKey::generate()?);
    let keys = Arc::new(KeySet::new(vec![PublicKey::from_der(key.public_der())?])?);
    let issuer = Issuer::new(ISSUER.into(), SigningKey::new(&key)?);
    let chain = chain(&authority, &keys)?;
    let authorizer = Authorizer::new(vec![Box::new(Rbac { index: Arc::new(policy(roles, bindings)) })]);
    let issued = authority.issue(&Profile::client(Subject::user("user-7", &["team-7"])), NOW)?;
    let peer = Peer::new(pem::certificates(&issued.certificate_pem)?).ok_or("a certificate")?;
    let certificate = measure(&chain, &authorizer, &HeaderMap::new(), Some(&peer))?;
    let account = measure(&chain, &authorizer, &bearer(&issue(&issuer, 0)?)?, None)?;
    let elsewhere = measure(&chain, &authorizer, &bearer("a-token-that-somebody-elsewhere-knows")?, None)?;
    println!(
        "A1: {roles} roles, {bindings} bindings: certificate {certificate:.2} µs, token {:.2} µs (an account's {account:.2}, one known elsewhere {elsewhere:.2})",
        account.max(elsewhere)
    );
    println!(
        "A1: ES256 {:.0} /s, RS256 {:.0} /s of {TOKENS} tokens, none seen before",
        verified(&key)?,
        verified(&rsa()?)?
    );
    Ok(())
}

/// As `kubeadm` and most others make them.
fn rsa() -> Result<PrivateKey, Box<dyn Error>> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
    let der: Pkcs8V1Der<'_> = pair.as_der()?;
    Ok(PrivateKey::from_pem(&pem::write("PRIVATE KEY", der.as_ref()))?)
}

/// Tokens of accounts that a core verifies in a second.
fn verified(key: &PrivateKey) -> Result<f64, Box<dyn Error>> {
    let keys = Arc::new(KeySet::new(vec![PublicKey::from_der(key.public_der())?])?);
    let issuer = Issuer::new(ISSUER.into(), SigningKey::new(key)?);
    let tokens: Vec<String> = (0..TOKENS).map(|number| issue(&issuer, number)).collect::<Result<_, _>>()?;
    let audiences = [ISSUER.to_owned()];
    let begun = Instant::now();
    for _ in 0..PASSES {
        let fresh = accounts(&keys);
        for text in &tokens {
            let found = fresh.authenticate(&Token { text, audiences: &audiences, now: NOW });
            black_box(found.map_err(|refusal| refusal.to_string())?.ok_or("nobody")?);
        }
    }
    Ok((TOKENS * PASSES) as f64 / begun.elapsed().as_secs_f64())
}
