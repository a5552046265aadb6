//! Minting: what a TokenRequest answers with, and the tokens of secrets.
//!
//! Upstream: pkg/serviceaccount/claims.go Claims, legacy.go LegacyClaims, jwt.go JWTTokenGenerator.

use jsonwebtoken::Header;

use super::claims::{Audiences, Claims, Kubernetes, Reference};
use super::keys::{KeyError, SigningKey};
use super::legacy::{LEGACY_ISSUER, LegacyClaims};
use crate::UnixSeconds;
use crate::text::service_account_user;

/// A token bound to a pod that asks for exactly this long, as mounted ones do, and is for this server, lives for
/// [`EXTENDED_SECONDS`] instead; its use after the time it asked for is only noted. For clients that read their token
/// once. Upstream: WarnOnlyBoundTokenExpirationSeconds and `--service-account-extend-token-expiration`.
pub const WARN_ONLY_SECONDS: i64 = 60 * 60 + 7;
/// Upstream: ExpirationExtensionSeconds.
pub const EXTENDED_SECONDS: i64 = 24 * 365 * 60 * 60;

/// Signs tokens in the name of an issuer.
pub struct Issuer {
    issuer: String,
    key: SigningKey,
}

/// What a token says about its holder.
#[derive(Clone, Debug, Default)]
pub struct Grant<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    pub uid: &'a str,
    /// With which object the token dies.
    pub bound: Option<Bound<'a>>,
    /// The node that a bound pod runs on.
    pub node: Option<(&'a str, &'a str)>,
    pub audiences: &'a [String],
    pub expiration_seconds: i64,
    /// From when on the use of the token is noted as stale; 0 for never.
    pub warn_after_seconds: i64,
    /// Unique; a random UUID that is handed in.
    pub id: &'a str,
}

/// Name and uid of an object.
#[derive(Clone, Copy, Debug)]
pub enum Bound<'a> {
    Pod(&'a str, &'a str),
    Secret(&'a str, &'a str),
    Node(&'a str, &'a str),
}

// === impl Issuer ===

impl Issuer {
    pub fn new(issuer: String, key: SigningKey) -> Issuer {
        Issuer { issuer, key }
    }

    pub fn name(&self) -> &str {
        &self.issuer
    }

    /// A token that expires.
    pub fn issue(&self, grant: &Grant<'_>, now: UnixSeconds) -> Result<String, KeyError> {
        let reference = |(name, uid): (&str, &str)| Reference { name: name.to_owned(), uid: uid.to_owned() };
        let mut kubernetes = Kubernetes {
            namespace: grant.namespace.to_owned(),
            serviceaccount: reference((grant.name, grant.uid)),
            warn_after: (grant.warn_after_seconds != 0).then_some(now + grant.warn_after_seconds),
            ..Kubernetes::default()
        };
        match grant.bound {
            Some(Bound::Pod(name, uid)) => {
                kubernetes.pod = Some(reference((name, uid)));
                kubernetes.node = grant.node.map(reference);
            }
            Some(Bound::Secret(name, uid)) => kubernetes.secret = Some(reference((name, uid))),
            Some(Bound::Node(name, uid)) => kubernetes.node = Some(reference((name, uid))),
            None => {}
        }
        self.sign(&Claims {
            audiences: Audiences(grant.audiences.to_vec()),
            expiry: Some(now + grant.expiration_seconds),
            issued_at: Some(now),
            issuer: self.issuer.clone(),
            id: grant.id.to_owned(),
            kubernetes,
            not_before: Some(now),
            subject: service_account_user(grant.namespace, grant.name),
        })
    }

    /// A token without an end, which is valid as long as it stands in its secret.
    pub fn issue_for_secret(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        secret_name: &str,
    ) -> Result<String, KeyError> {
        self.sign(&LegacyClaims {
            issuer: LEGACY_ISSUER.to_owned(),
            namespace: namespace.to_owned(),
            secret_name: secret_name.to_owned(),
            account_name: name.to_owned(),
            account_uid: uid.to_owned(),
            subject: service_account_user(namespace, name),
        })
    }

    fn sign<T: serde::Serialize>(&self, claims: &T) -> Result<String, KeyError> {
        let mut header = Header::new(self.key.algorithm);
        header.typ = None;
        header.kid = Some(self.key.id.clone());
        Ok(jsonwebtoken::encode(&header, claims, &self.key.key)?)
    }
}
