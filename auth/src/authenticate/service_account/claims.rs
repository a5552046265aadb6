//! What a token says. The members stand in the order in which upstream's encoder sorts them.

use serde::{Deserialize, Deserializer, Serialize};

use crate::UnixSeconds;

/// The claims of a token.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Claims {
    #[serde(rename = "aud", default, skip_serializing_if = "Audiences::is_empty")]
    pub audiences: Audiences,
    #[serde(rename = "exp", default, deserialize_with = "date", skip_serializing_if = "Option::is_none")]
    pub expiry: Option<UnixSeconds>,
    #[serde(rename = "iat", default, deserialize_with = "date", skip_serializing_if = "Option::is_none")]
    pub issued_at: Option<UnixSeconds>,
    #[serde(rename = "iss", default)]
    pub issuer: String,
    #[serde(rename = "jti", default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    #[serde(rename = "kubernetes.io", default)]
    pub kubernetes: Kubernetes,
    #[serde(rename = "nbf", default, deserialize_with = "date", skip_serializing_if = "Option::is_none")]
    pub not_before: Option<UnixSeconds>,
    #[serde(rename = "sub", default)]
    pub subject: String,
}

/// Whom a token is for: one, or several, or none.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
#[serde(transparent)]
pub(super) struct Audiences(pub Vec<String>);

/// Kubernetes' own claim: the account, and what the token is bound to.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Kubernetes {
    #[serde(rename = "mutatingwebhookconfiguration", default, skip_serializing_if = "Option::is_none")]
    pub mutating: Option<Reference>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    #[serde(default)]
    pub serviceaccount: Reference,
    #[serde(rename = "validatingwebhookconfiguration", default, skip_serializing_if = "Option::is_none")]
    pub validating: Option<Reference>,
    #[serde(rename = "warnafter", default, deserialize_with = "date", skip_serializing_if = "Option::is_none")]
    pub warn_after: Option<UnixSeconds>,
}

/// An object, told by name and uid.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Reference {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

impl Audiences {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Audiences {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Audiences, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            One(String),
            Several(Vec<String>),
            None(()),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::One(one) => Audiences(vec![one]),
            Form::Several(several) => Audiences(several),
            Form::None(()) => Audiences::default(),
        })
    }
}

/// Seconds, with a fraction that is cut off when there is one.
fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UnixSeconds>, D::Error> {
    let number = Option::<serde_json::Number>::deserialize(deserializer)?;
    Ok(number.and_then(|number| number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64))))
}
