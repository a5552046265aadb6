//! Tokens of an issuer that answers from memory, good ones and bad.

use api::field::Errors;
use api::{User, value};
use aws_lc_rs::{rand::SystemRandom, rsa, signature};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::configuration::Issuer;
use super::*;
use crate::at_once;
use crate::tally::Noted;

struct Noon;

impl Clock for Noon {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
}

const NOW: UnixSeconds = 1_800_000_000;
const URL: &str = "https://issuer.example";

/// An issuer with one key of each kind, whose documents are served as they are now.
struct Publisher {
    document: Mutex<String>,
    keys: Mutex<String>,
    /// Other addresses, and what is there.
    others: Mutex<Vec<(String, String)>>,
    fresh_seconds: i64,
    asked: Mutex<Vec<String>>,
}

struct Signer {
    curve: signature::EcdsaKeyPair,
    rsa: signature::RsaKeyPair,
}

#[async_trait]
impl Fetch for Publisher {
    async fn get(&self, url: &str, _: Option<&str>) -> Result<Page, String> {
        self.asked.lock().push(url.to_owned());
        let body = match url {
            "https://issuer.example/.well-known/openid-configuration" => self.document.lock().clone(),
            "https://issuer.example/keys" => self.keys.lock().clone(),
            other => {
                let found = self.others.lock().iter().find(|(url, _)| url == other).map(|(_, text)| text.clone());
                found.ok_or_else(|| format!("Get {url}: no such host"))?
            }
        };
        let (status, content_type) = ("200 OK".to_owned(), "application/json".to_owned());
        Ok(Page { code: 200, status, content_type, fresh_seconds: self.fresh_seconds, body: body.into_bytes() })
    }
}

impl Signer {
    fn new() -> Signer {
        let curve = signature::EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        Signer { curve, rsa: signature::RsaKeyPair::generate(rsa::KeySize::Rsa2048).expect("a key") }
    }

    fn published(&self, id: &str) -> String {
        let point = signature::KeyPair::public_key(&self.curve).as_ref()[1..].to_vec();
        let public = signature::KeyPair::public_key(&self.rsa);
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"keys": [
            {"kty": "EC", "crv": "P-256", "kid": id, "x": encode(&point[..32]), "y": encode(&point[32..])},
            {"kty": "RSA", "kid": format!("{id}-rsa"), "e": encode(public.exponent().big_endian_without_leading_zero()),
             "n": encode(public.modulus().big_endian_without_leading_zero())},
            {"kty": "oct", "kid": "secret", "k": "AAAA"}]})
        .to_string()
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let random = SystemRandom::new();
        let rsa = |how: &'static dyn signature::RsaEncoding| {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            self.rsa.sign(how, &random, message.as_bytes(), &mut signature).expect("signed");
            signature
        };
        let signature = match header["alg"].as_str().unwrap_or_default() {
            "ES256" => self.curve.sign(&random, message.as_bytes()).expect("signed").as_ref().to_vec(),
            "RS256" => rsa(&signature::RSA_PKCS1_SHA256),
            "RS512" => rsa(&signature::RSA_PKCS1_SHA512),
            "PS384" => rsa(&signature::RSA_PSS_SHA384),
            // As one would who takes the public key, which everybody has, for a secret.
            "HS256" => {
                let key = aws_lc_rs::hmac::Key::new(
                    aws_lc_rs::hmac::HMAC_SHA256,
                    signature::KeyPair::public_key(&self.rsa).as_ref(),
                );
                aws_lc_rs::hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
            }
            _ => Vec::new(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

struct World {
    signer: Signer,
    publisher: Arc<Publisher>,
    issuers: Issuers,
    noted: Arc<Noted>,
}

fn read(jwt: api::Value) -> Result<Configuration, Errors> {
    Configuration::read(&value!({"jwt": [(jwt)]}))
}

fn world_with(mappings: api::Value, claim_rules: api::Value, user_rules: api::Value, fresh_seconds: i64) -> World {
    let signer = Signer::new();
    let publisher = Arc::new(Publisher {
        document: Mutex::new(json!({"issuer": URL, "jwks_uri": "https://issuer.example/keys"}).to_string()),
        keys: Mutex::new(signer.published("k1")),
        others: Mutex::default(),
        fresh_seconds,
        asked: Mutex::default(),
    });
    let jwt = value!({"issuer": {"url": (URL), "audiences": ["me", "you"], "audienceMatchPolicy": "MatchAny"},
        "claimMappings": (mappings), "claimValidationRules": (claim_rules), "userValidationRules": (user_rules)});
    let read = read(jwt).map_err(|errors| errors.message()).expect("it is right");
    let open = |issuer: configuration::Issuer| {
        Arc::new(issuer.open(token::ALGORITHMS.map(str::to_owned).to_vec(), publisher.clone()))
    };
    let all: Vec<Arc<Jwt>> = read.issuers.into_iter().map(open).collect();
    let (noted, clock) = (Arc::new(Noted::default()), Arc::new(Noon));
    let issuers = Issuers { all, api_audiences: vec!["api".to_owned()], clock, tally: noted.clone() };
    World { signer, publisher, issuers, noted }
}

fn world() -> World {
    let mappings =
        value!({"username": {"claim": "sub", "prefix": "x:"}, "groups": {"claim": "groups", "prefix": "g:"}});
    let world = world_with(mappings, value!([]), value!([]), 3600);
    at_once(world.issuers.all[0].prepare()).expect("the document is there");
    world
}

fn claims() -> Value {
    json!({"iss": URL, "aud": "me", "sub": "jane", "exp": NOW + 60, "groups": ["a", "b"], "jti": "7"})
}

impl World {
    fn ask(&self, text: &str) -> Outcome {
        let audiences = ["api".to_owned()];
        at_once(self.issuers.authenticate(&Token { text, audiences: &audiences, now: NOW }))
    }

    fn signed(&self, algorithm: &str, id: &str, claims: &Value) -> String {
        self.signer.sign(&json!({"alg": algorithm, "kid": id}), claims)
    }

    fn user(&self, claims: &Value) -> Result<User, String> {
        let outcome = self.ask(&self.signed("ES256", "k1", claims));
        outcome.map(|found| found.expect("it is of this issuer").user).map_err(|why| why.to_string())
    }

    /// The refusal of otherwise good claims with this one changed.
    fn refused(&self, name: &str, changed: Value) -> String {
        let mut claims = claims();
        claims[name] = changed;
        self.user(&claims).expect_err("refused")
    }
}

#[test]
fn a_good_token_is_a_user_by_every_algorithm() {
    let world = world();
    for (algorithm, id) in
        [("ES256", "k1"), ("RS256", "k1-rsa"), ("RS512", "k1-rsa"), ("PS384", "k1-rsa"), ("ES256", "")]
    {
        let found = world.ask(&world.signed(algorithm, id, &claims())).expect("accepted").expect("known");
        assert_eq!((found.user.name.as_str(), found.audiences.as_slice()), ("x:jane", ["api".to_owned()].as_slice()));
        assert_eq!(found.user.groups, ["g:a", "g:b"]);
        assert_eq!(found.user.extra["authentication.kubernetes.io/credential-id"], ["JTI=7"]);
    }
    assert!(world.ask("no token").expect("not ours").is_none());
    let mut other = claims();
    other["iss"] = json!("https://other.example");
    assert!(world.ask(&world.signed("ES256", "k1", &other)).expect("not ours").is_none());
    let huge = format!("a.{}.b", "x".repeat(1 << 20));
    assert!(world.ask(&huge).expect("nobody's").is_none(), "a token of a megabyte is nobody's");
}

#[test]
fn nothing_is_signed_by_none_or_by_a_public_key_as_a_secret() {
    let world = world();
    let algorithms = r#"["ES256" "ES384" "ES512" "PS256" "PS384" "PS512" "RS256" "RS384" "RS512"]"#;
    for algorithm in ["none", "HS256", ""] {
        for id in ["k1", "k1-rsa", "secret", ""] {
            let why = world.ask(&world.signed(algorithm, id, &claims())).expect_err("refused").to_string();
            let head = "oidc: verify token: oidc: id token signed with unsupported algorithm, expected";
            assert_eq!(why, format!("{head} {algorithms} got \"{algorithm}\""));
        }
    }
    let failed = "oidc: verify token: failed to verify signature: failed to verify id token signature";
    let good = world.signed("ES256", "k1", &claims());
    let (head, rest) = good.split_at(good.len() - 9);
    let other = if rest.starts_with('x') { "y" } else { "x" };
    let forged = format!("{head}{other}{}", &rest[1..]);
    // A key of another kind, another key, another signature, and a header that asks for what nobody knows.
    let critical = world.signer.sign(&json!({"alg": "ES256", "kid": "k1", "crit": ["x"]}), &claims());
    let (kind, stranger) = (world.signed("RS256", "k1", &claims()), Signer::new());
    let others = stranger.sign(&json!({"alg": "ES256", "kid": "k1"}), &claims());
    for token in [forged, critical, kind, others] {
        assert_eq!(world.ask(&token).expect_err("refused").to_string(), failed);
    }
}

#[test]
fn claims_have_to_hold_in_upstreams_words() {
    let world = world();
    let cases = [
        ("aud", json!("they"), r#"oidc: expected audience in ["me" "you"] got ["they"]"#),
        ("aud", json!([]), r#"oidc: expected audience in ["me" "you"] got []"#),
        ("exp", json!(NOW - 1), "oidc: token is expired (Token Expiry: 2027-01-15 07:59:59 +0000 UTC)"),
        ("exp", Value::Null, "oidc: token is expired (Token Expiry: 0001-01-01 00:00:00 +0000 UTC)"),
        (
            "nbf",
            json!(NOW + 61),
            "oidc: current time 2027-01-15 08:00:00 +0000 UTC before the nbf (not before) time: 2027-01-15 08:01:01 +0000 UTC",
        ),
        (
            "aud",
            json!(7),
            "oidc: failed to unmarshal claims: json: cannot unmarshal number into Go struct field idToken.aud of type []string",
        ),
        ("_claim_names", json!({"x": "gone"}), "oidc: source does not exist"),
    ];
    for (name, changed, words) in cases {
        assert_eq!(world.refused(name, changed), format!("oidc: verify token: {words}"));
    }
    let unread = "oidc: failed to unmarshal claims: json: cannot unmarshal object into Go struct field idToken.sub of type string";
    assert_eq!(world.refused("sub", json!({})), format!("oidc: verify token: {unread}"));
    let misfit = "json: cannot unmarshal object into Go value of type string";
    assert_eq!(world.refused("groups", json!({})), format!("oidc: parse groups claim \"groups\": {misfit}"));
    let mut early = claims();
    early["nbf"] = json!(NOW + 60);
    early["groups"] = json!("one");
    assert_eq!(world.user(&early).expect("clocks differ by a minute").groups, ["g:one"]);
}

#[test]
fn an_issuer_is_believed_once_its_document_was_read() {
    let world = world_with(value!({"username": {"claim": "sub", "prefix": ""}}), value!([]), value!([]), 0);
    assert_eq!(world.user(&claims()).expect_err("refused"), "oidc: authenticator not initialized");
    *world.publisher.document.lock() = json!({"issuer": "https://evil.example", "jwks_uri": "https://x"}).to_string();
    let why = at_once(world.issuers.all[0].prepare()).expect_err("another's");
    let words = "oidc: issuer did not match the issuer returned by provider, expected";
    assert_eq!(why, format!("{words} \"{URL}\" got \"https://evil.example\""));
    assert_eq!(world.issuers.all[0].health(), Err(why));
}

#[test]
fn new_keys_are_read_when_they_are_needed_and_old_ones_no_longer_count() {
    let world = world_with(value!({"username": {"claim": "sub", "prefix": ""}}), value!([]), value!([]), 0);
    at_once(world.issuers.all[0].prepare()).expect("the document is there");
    assert!(world.user(&claims()).is_ok());
    let before = world.publisher.asked.lock().len();
    assert!(world.user(&claims()).is_ok());
    assert_eq!(world.publisher.asked.lock().len(), before, "keys that are known are not read again");
    let next = Signer::new();
    *world.publisher.keys.lock() = next.published("k2");
    let new = next.sign(&json!({"alg": "ES256", "kid": "k2"}), &claims());
    assert!(world.ask(&new).is_ok(), "a key that is not known is looked for");
    assert!(world.user(&claims()).is_err(), "the old one is gone");
    *world.publisher.keys.lock() = "{".to_owned();
    let why = world.user(&claims()).expect_err("refused");
    let head =
        "oidc: verify token: failed to verify signature: fetching keys oidc: failed to decode keys: got Content-Type";
    assert!(why.starts_with(head), "{why}");
    assert!(world.ask(&new).is_ok(), "what was known stays known");
    let reads = [true, true, true, false].map(|is_read| format!("keys of {URL}: {is_read} at {NOW}"));
    assert_eq!(world.noted.take(), reads);
}

#[test]
fn keys_that_are_fresh_are_not_read_again_for_a_bad_token() {
    let world = world();
    assert!(world.user(&claims()).is_ok());
    let before = world.publisher.asked.lock().len();
    assert!(world.ask(&world.signed("ES256", "unknown", &claims())).is_err());
    assert_eq!(world.publisher.asked.lock().len(), before);
}

#[test]
fn expressions_make_the_user_and_judge_it() {
    let mappings = value!({
        "username": {"expression": "claims.sub + '@' + claims.tenant.name"},
        "groups": {"expression": "claims.roles.split(',')"},
        "uid": {"expression": "claims.sub"},
        "extra": [{"key": "example.org/tenant", "valueExpression": "claims.tenant.name"}]
    });
    let claim_rules = value!([
        {"expression": "claims.exp - claims.iat <= 86400.0", "message": "too long a life"},
        {"claim": "hd", "requiredValue": "example.com"}
    ]);
    let user_rules = value!([{"expression": "!user.username.startsWith('system:')", "message": "reserved"}]);
    let world = world_with(mappings, claim_rules, user_rules, 3600);
    at_once(world.issuers.all[0].prepare()).expect("the document is there");
    let mut good = claims();
    for (name, value) in
        [("tenant", json!({"name": "t"})), ("roles", json!("a,,b")), ("iat", json!(NOW)), ("hd", json!("example.com"))]
    {
        good[name] = value;
    }
    let user = world.user(&good).expect("accepted");
    assert_eq!((user.name.as_str(), user.uid.as_str(), user.groups.join(" ")), ("jane@t", "jane", "a b".to_owned()));
    assert_eq!(user.extra["example.org/tenant"], ["t"]);
    let refused = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        world.user(&claims).expect_err("refused")
    };
    let rule = "oidc: error evaluating claim validation expression: validation expression";
    assert_eq!(
        refused("iat", json!(0)),
        format!("{rule} 'claims.exp - claims.iat <= 86400.0' failed: too long a life")
    );
    let rule = "oidc: error evaluating user info validation rule: validation expression";
    let why = format!("{rule} '!user.username.startsWith('system:')' failed: reserved");
    assert_eq!(refused("sub", json!("system:x")), why);
    assert_eq!(
        refused("hd", json!("evil.com")),
        "oidc: required claim hd value does not match. Got = evil.com, want = example.com"
    );
    assert!(refused("roles", json!(1)).starts_with("oidc: error evaluating group claim expression: expression"));
}

#[test]
fn a_claim_that_is_elsewhere_is_read_there() {
    let world = world();
    let mut inner = claims();
    inner["groups"] = json!(["far"]);
    world.publisher.others.lock().push(("https://far.example/g".to_owned(), world.signed("ES256", "k1", &inner)));
    let mut outer = claims();
    outer.as_object_mut().expect("an object").remove("groups");
    outer["_claim_names"] = json!({"groups": "s"});
    outer["_claim_sources"] = json!({"s": {"endpoint": "https://far.example/g", "access_token": "t"}});
    assert_eq!(world.user(&outer).expect("accepted").groups, ["g:far"]);
    outer["_claim_sources"] = json!({"s": {"endpoint": "https://gone.example/g"}});
    let words = "oidc: could not expand distributed claims: while getting distributed claim \"groups\": Get https://gone.example/g: no such host";
    assert_eq!(world.user(&outer).expect_err("refused"), words);
    assert_eq!(world.noted.take(), [format!("keys of {URL}: true at {NOW}")], "whose claims are read is not counted");
}

#[test]
fn emails_count_when_they_were_verified() {
    let mappings = value!({"username": {"claim": "email", "prefix": ""}});
    let world = world_with(mappings, value!([]), value!([]), 3600);
    at_once(world.issuers.all[0].prepare()).expect("the document is there");
    let mut claims = claims();
    claims["email"] = json!("a@b");
    assert!(world.user(&claims).is_ok(), "who says nothing about it is believed");
    claims["email_verified"] = json!(false);
    assert_eq!(world.user(&claims).expect_err("refused"), "oidc: email not verified");
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_in_upstreams_words() {
    let wrong = |jwt: api::Value| read(jwt).err().map(|errors| errors.message()).unwrap_or_default();
    let good = || value!({"issuer": {"url": (URL), "audiences": ["me"]}, "claimMappings": {"username": {"claim": "sub", "prefix": ""}}});
    assert_eq!(wrong(good()), "");
    let with = |path: &[&str], found: api::Value| {
        let mut jwt = good();
        jwt.set_path(path, found);
        wrong(jwt)
    };
    let cases = [
        (with(&["issuer", "url"], value!("")), "jwt[0].issuer.url: Required value"),
        (
            with(&["issuer", "url"], value!("http://x?q")),
            "[jwt[0].issuer.url: Invalid value: \"http://x?q\": URL scheme must be https, jwt[0].issuer.url: Invalid value: \"http://x?q\": URL must not contain a query]",
        ),
        (
            with(&["issuer", "discoveryURL"], value!("https://issuer.example/")),
            "jwt[0].issuer.discoveryURL: Invalid value: \"https://issuer.example/\": discoveryURL must be different from URL",
        ),
        (
            with(&["issuer", "audiences"], value!([])),
            "jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required",
        ),
        (
            with(&["issuer", "audiences"], value!(["a", "b"])),
            "jwt[0].issuer.audienceMatchPolicy: Invalid value: \"\": audienceMatchPolicy must be MatchAny for multiple audiences",
        ),
        (
            with(&["issuer", "certificateAuthority"], value!("x")),
            "jwt[0].issuer.certificateAuthority: Invalid value: \"<omitted>\": data does not contain any valid RSA or ECDSA certificates",
        ),
        (
            with(&["claimMappings", "username"], value!({"claim": "sub"})),
            "jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim is set. It can be set to an empty string to disable prefixing",
        ),
        (
            with(&["claimMappings", "username"], value!({"expression": "claims.email"})),
            "jwt[0].claimMappings.username.expression: Invalid value: \"claims.email\": claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression",
        ),
        (
            with(&["claimMappings", "extra"], value!([{"key": "x.k8s.io/a", "valueExpression": "claims.sub"}])),
            "jwt[0].claimMappings.extra[0].key: Invalid value: \"x.k8s.io/a\": k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use",
        ),
        (
            with(&["claimValidationRules"], value!([{"expression": "claims.sub"}])),
            "jwt[0].claimValidationRules[0].expression: Invalid value: \"claims.sub\": must evaluate to bool",
        ),
        (with(&["userValidationRules"], value!([{}])), "jwt[0].userValidationRules[0].expression: Required value"),
    ];
    for (found, words) in cases {
        assert_eq!(found, words);
    }
    let twice = Configuration::read(&value!({"jwt": [(good()), (good())]})).err().map(|e| e.message());
    assert_eq!(twice.as_deref(), Some("jwt[1].issuer.url: Duplicate value: \"https://issuer.example\""));
    let nowhere = value!({"anonymous": {"enabled": false, "conditions": [{"path": "/x"}]}});
    let nowhere = Configuration::read(&nowhere).err().map(|e| e.message());
    let words = "anonymous.conditions: Invalid value: [{\"Path\":\"/x\"}]: enabled should be set to true when conditions are defined";
    assert_eq!(nowhere.as_deref(), Some(words));
}

#[test]
fn nobody_is_an_issuer_whose_tokens_are_made_here() {
    let issuer = Issuer { url: "https://own.example".to_owned(), ..issuer_without_means() };
    let own = ["https://own.example".to_owned()];
    let words = "issuer.url: Invalid value: \"https://own.example\": URL must not overlap with disallowed issuers: [https://own.example]";
    assert_eq!(issuer.check(&own, None), Err(words.to_owned()));
    assert_eq!(issuer.check(&[], None), Ok(()));
    let elsewhere = Issuer { egress: "cluster".to_owned(), ..issuer };
    let words = "oidc: egress lookup required with egress selector type \"cluster\"";
    assert_eq!(elsewhere.check(&[], None), Err(words.to_owned()));
    let words = "oidc: egress lookup for \"cluster\" is not configured";
    assert_eq!(elsewhere.check(&[], Some(&["controlplane"])), Err(words.to_owned()));
    assert_eq!(elsewhere.check(&[], Some(&["cluster"])), Ok(()));
}

fn issuer_without_means() -> Issuer {
    let (url, discovery_url, authority, egress) = Default::default();
    Issuer { url, discovery_url, authority, egress, audiences: Vec::new(), mapping: Mapping::default() }
}
