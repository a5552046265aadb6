//! Other people's issuers: the document, the keys and the tokens of one.

use std::sync::{Arc, LazyLock};

use api::value;
use async_trait::async_trait;
use auth::{
    authenticate::{
        Elsewhere as _, Token,
        jwt::{Configuration, Issuers, token::ALGORITHMS},
    },
    elsewhere::{Fetch, Page},
    tally::Uncounted,
};
use aws_lc_rs::{rand::SystemRandom, signature};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{NOON, Noon, frames::now};

const URL: &str = "https://issuer.example";
const KEYS_URL: &str = "https://issuer.example/keys";
const DOCUMENT_URL: &str = "https://issuer.example/.well-known/openid-configuration";

/// A key, and the set that it is published in.
static SIGNER: LazyLock<(signature::EcdsaKeyPair, Vec<u8>)> = LazyLock::new(|| {
    let key = signature::EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let point = signature::KeyPair::public_key(&key).as_ref();
    let [x, y] = [&point[1..33], &point[33..]].map(|half| URL_SAFE_NO_PAD.encode(half));
    let set = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": x, "y": y}]}).to_string();
    (key, set.into_bytes())
});

/// What stands at each place.
struct Pages {
    document: Vec<u8>,
    keys: Vec<u8>,
    elsewhere: Vec<u8>,
}

#[async_trait]
impl Fetch for Pages {
    async fn get(&self, url: &str, _: Option<&str>) -> Result<Page, String> {
        let body = match url {
            DOCUMENT_URL => &self.document,
            KEYS_URL => &self.keys,
            _ => &self.elsewhere,
        };
        let (status, content_type) = ("200 OK".to_owned(), "application/json".to_owned());
        Ok(Page { code: 200, status, content_type, fresh_seconds: i64::MAX, body: body.clone() })
    }
}

/// Parts with a NUL between: a document, a set of keys, a token, or the claims of one, and what stands elsewhere. Nobody's
/// token is taken, and what a good key has signed comes to a user only when it is what was wanted.
pub fn issuers(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default().to_vec();
    let (document, keys, token, elsewhere) = (part(), part(), part(), part());
    let strange = Pages { document, keys, elsewhere: elsewhere.clone() };
    if let Ok(text) = std::str::from_utf8(&token) {
        assert_eq!(ask(strange, text), None, "nobody has signed it");
    }
    let document = json!({"issuer": URL, "jwks_uri": KEYS_URL}).to_string().into_bytes();
    let own = Pages { document, keys: SIGNER.1.clone(), elsewhere };
    if let Some(user) = ask(own, &signed(&token)) {
        let claims: Value = serde_json::from_slice(&token).expect("they were read");
        let time = |name: &str| claims[name].as_f64().or_else(|| claims[name].as_str()?.parse().ok());
        assert_eq!(claims["iss"], URL);
        assert!(claims["aud"] == "me" || claims["aud"].as_array().is_some_and(|all| all.contains(&"me".into())));
        assert!(time("exp").is_some_and(|until| until >= NOON as f64), "it is too old");
        assert!(user.name.starts_with("x:") && user.groups.iter().all(|group| group.starts_with("g:")));
    }
    if let Ok(claims) = serde_json::from_slice(&token) {
        let [issuer] = configuration(expressions()).issuers.try_into().unwrap_or_else(|_| panic!("there is one"));
        match issuer.mapping.user(&claims) {
            Ok(user) => assert!(!user.name.is_empty()),
            Err(why) => assert!(!why.is_empty()),
        }
    }
}

fn signed(claims: &[u8]) -> String {
    let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let message = format!("{}.{}", encode(br#"{"alg":"ES256"}"#), encode(claims));
    let signature = SIGNER.0.sign(&SystemRandom::new(), message.as_bytes()).expect("it can be signed");
    format!("{message}.{}", encode(signature.as_ref()))
}

/// Whose a token is.
fn ask(pages: Pages, text: &str) -> Option<api::User> {
    let issuers = configuration(names()).issuers.into_iter();
    let pages: Arc<dyn Fetch> = Arc::new(pages);
    let open = |issuer: auth::authenticate::jwt::configuration::Issuer| {
        Arc::new(issuer.open(ALGORITHMS.map(str::to_owned).to_vec(), pages.clone()))
    };
    let all: Vec<_> = issuers.map(open).collect();
    for jwt in &all {
        let prepared = now(jwt.prepare());
        assert_eq!(prepared, jwt.health());
        assert!(prepared.is_ok() || prepared.is_err_and(|why| !why.is_empty()));
    }
    let issuers = Issuers { all, api_audiences: Vec::new(), clock: Arc::new(Noon), tally: Arc::new(Uncounted) };
    match now(issuers.authenticate(&Token { text, audiences: &[], now: NOON })) {
        Ok(identity) => identity.map(|identity| identity.user),
        Err(refusal) => {
            assert!(!refusal.to_string().is_empty());
            None
        }
    }
}

fn configuration(mappings: api::Value) -> Configuration {
    let issuer = value!({"url": (URL), "audiences": ["me"]});
    let jwt = value!({"issuer": (issuer), "claimMappings": (mappings)});
    let read = Configuration::read(&value!({"jwt": [(jwt)]}));
    read.map_err(|errors| errors.message()).expect("it is right")
}

fn names() -> api::Value {
    value!({
        "username": {"claim": "sub", "prefix": "x:"}, "groups": {"claim": "groups", "prefix": "g:"},
        "uid": {"claim": "jti"}
    })
}

fn expressions() -> api::Value {
    value!({
        "username": {"expression": "claims.sub + '@' + claims.tenant.name"}, "groups": {"expression": "claims.roles"},
        "extra": [{"key": "example.org/tenant", "valueExpression": "claims.tenant.name"}]
    })
}
