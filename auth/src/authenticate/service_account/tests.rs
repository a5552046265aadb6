//! Tokens: minted, verified by us and by somebody else, and every reason to refuse one.

use std::collections::BTreeMap;

use api::value;
use certs::{PrivateKey, PublicKey};

use super::*;
use crate::tally::Noted;

const NOW: UnixSeconds = 1_795_000_000;
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Objects by resource, namespace and name.
#[derive(Default)]
struct Cluster(Mutex<BTreeMap<(String, String, String), Value>>);

impl Cluster {
    fn put(&self, resource: &str, namespace: &str, name: &str, object: Value) {
        self.0.lock().insert((resource.into(), namespace.into(), name.into()), object);
    }

    fn put_uid(&self, resource: &str, namespace: &str, name: &str, uid: &str) {
        self.put(resource, namespace, name, value!({"metadata": {"name": name, "uid": uid}}));
    }

    fn delete(&self, resource: &str, namespace: &str, name: &str) {
        self.0.lock().remove(&(resource.to_owned(), namespace.to_owned(), name.to_owned()));
    }
}

/// Says in a secret itself when it was used.
impl Uses for Cluster {
    fn used(&self, secret: &Value, now: UnixSeconds) {
        let mut seen = secret.clone();
        seen.set("used", now);
        self.put("secrets", "ns", "s", seen);
    }
}

impl Lookup for Cluster {
    fn head(&self, resource: &str, namespace: &str, name: &str) -> Option<Head> {
        let object = self.object(resource, namespace, name)?;
        let metadata = object.at("metadata");
        let deleted_at =
            metadata.opt_str("deletionTimestamp").and_then(|text| Some(api::time::parse(text)?.as_second()));
        Some(Head { uid: metadata.str("uid").to_owned(), deleted_at })
    }

    fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.0.lock().get(&(resource.to_owned(), namespace.to_owned(), name.to_owned())).cloned().map(Arc::new)
    }
}

struct World {
    cluster: Arc<Cluster>,
    issuer: Issuer,
    accounts: ServiceAccounts,
    legacy: LegacyTokens,
    keys: Arc<KeySet>,
    noted: Arc<Noted>,
}

fn world_with(key: &PrivateKey) -> World {
    let keys = Arc::new(KeySet::new(vec![PublicKey::from_der(key.public_der()).expect("read")]).expect("a set"));
    let cluster = Arc::new(Cluster::default());
    cluster.put_uid("serviceaccounts", "ns", "robot", "u1");
    let audiences = vec!["api".to_owned()];
    let noted = Arc::new(Noted::default());
    let (issuers, lookup) = (vec![ISSUER.to_owned()], cluster.clone());
    let accounts = ServiceAccounts::new(issuers, keys.clone(), audiences.clone(), lookup, noted.clone());
    let (lookup, tally) = (cluster.clone(), noted.clone());
    World {
        issuer: Issuer::new(ISSUER.to_owned(), SigningKey::new(key).expect("a key")),
        accounts,
        legacy: LegacyTokens { keys: keys.clone(), api_audiences: audiences, lookup, tally, uses: cluster.clone() },
        cluster,
        keys,
        noted,
    }
}

fn world() -> World {
    world_with(&PrivateKey::generate().expect("made"))
}

fn grant<'a>(bound: Option<Bound<'a>>, audiences: &'a [String]) -> Grant<'a> {
    let base = Grant { namespace: "ns", name: "robot", uid: "u1", ..Grant::default() };
    Grant { bound, audiences, expiration_seconds: 3600, id: "jti-1", ..base }
}

fn api() -> Vec<String> {
    vec!["api".to_owned()]
}

fn ask(world: &World, text: &str, now: UnixSeconds) -> Outcome {
    world.accounts.authenticate(&Token { text, audiences: &api(), now })
}

fn refusal(outcome: Outcome) -> String {
    outcome.expect_err("refused").to_string()
}

#[test]
fn a_token_makes_a_user() {
    let world = world();
    world.cluster.put_uid("pods", "ns", "pod", "p1");
    let api = api();
    let grant = Grant { node: Some(("node", "n1")), ..grant(Some(Bound::Pod("pod", "p1")), &api) };
    let token = world.issuer.issue(&grant, NOW).expect("issued");
    let identity = ask(&world, &token, NOW).expect("accepted").expect("known");
    assert_eq!(identity.user.name, "system:serviceaccount:ns:robot");
    assert_eq!(identity.user.uid, "u1");
    assert_eq!(identity.user.groups, ["system:serviceaccounts", "system:serviceaccounts:ns"]);
    assert_eq!(identity.audiences, ["api"]);
    let extra: Vec<(&str, &str)> =
        identity.user.extra.iter().map(|(key, values)| (key.as_str(), values[0].as_str())).collect();
    assert_eq!(
        extra,
        [
            ("authentication.kubernetes.io/credential-id", "JTI=jti-1"),
            ("authentication.kubernetes.io/node-name", "node"),
            ("authentication.kubernetes.io/node-uid", "n1"),
            ("authentication.kubernetes.io/pod-name", "pod"),
            ("authentication.kubernetes.io/pod-uid", "p1"),
        ]
    );
}

#[test]
fn the_claims_are_laid_out_as_upstreams() {
    let world = world();
    let api = api();
    let grant = Grant { node: Some(("node", "n1")), ..grant(Some(Bound::Pod("pod", "p1")), &api) };
    let token = world.issuer.issue(&Grant { warn_after_seconds: 7, ..grant }, NOW).expect("issued");
    use base64::Engine as _;
    let part = |index: usize| {
        let part = token.split('.').nth(index).expect("three parts");
        String::from_utf8(base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("text")
    };
    assert_eq!(part(0), format!(r#"{{"alg":"ES256","kid":"{}"}}"#, world.keys.keys[0].id));
    assert_eq!(
        part(1),
        format!(
            r#"{{"aud":["api"],"exp":{},"iat":{NOW},"iss":"{ISSUER}","jti":"jti-1","kubernetes.io":{{"namespace":"ns","node":{{"name":"node","uid":"n1"}},"pod":{{"name":"pod","uid":"p1"}},"serviceaccount":{{"name":"robot","uid":"u1"}},"warnafter":{}}},"nbf":{NOW},"sub":"system:serviceaccount:ns:robot"}}"#,
            NOW + 3600,
            NOW + 7
        )
    );
}

#[test]
fn times_are_looked_at_with_a_minute_of_leeway() {
    let world = world();
    let token = world.issuer.issue(&grant(None, &api()), NOW).expect("issued");
    assert!(ask(&world, &token, NOW - 60).is_ok());
    assert!(ask(&world, &token, NOW + 3660).is_ok());
    assert_eq!(refusal(ask(&world, &token, NOW + 3661)), "service account token has expired");
    assert_eq!(refusal(ask(&world, &token, NOW - 61)), "service account token is not valid yet");
}

/// What `kubectl` users know from the log and from TokenReviews.
#[test]
fn a_chain_tells_of_expired_tokens_in_upstreams_words() {
    let world = world();
    let token = world.issuer.issue(&grant(None, &api()), NOW).expect("issued");
    let chain = crate::Chain {
        api_audiences: api(),
        requests: vec![],
        tokens: vec![Box::new(world.legacy), Box::new(world.accounts)],
        elsewhere: vec![],
        anonymous: None,
        proxy_headers: Default::default(),
    };
    let user = crate::at_once(chain.review(&token, &[], NOW)).expect("accepted").expect("known").user;
    assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]);
    let refusal = crate::at_once(chain.review(&token, &[], NOW + 10_000)).expect_err("refused").to_string();
    assert_eq!(refusal, "[invalid bearer token, service account token has expired]");
}

#[test]
fn audiences_have_to_meet() {
    let world = world();
    let token = world.issuer.issue(&grant(None, &["vault".to_owned(), "b".to_owned()]), NOW).expect("issued");
    let message = r#"token audiences ["vault" "b"] is invalid for the target audiences ["api"]"#;
    assert_eq!(refusal(ask(&world, &token, NOW)), message);
    let asked = ["b".to_owned(), "c".to_owned()];
    let outcome = world.accounts.authenticate(&Token { text: &token, audiences: &asked, now: NOW });
    assert_eq!(outcome.expect("accepted").expect("known").audiences, ["b"]);
}

#[test]
fn the_account_has_to_be_the_same_one() {
    let world = world();
    let token = world.issuer.issue(&grant(None, &api()), NOW).expect("issued");
    world.cluster.put_uid("serviceaccounts", "ns", "robot", "u2");
    assert_eq!(refusal(ask(&world, &token, NOW)), "service account UID (u2) does not match claim (u1)");
    world.cluster.delete("serviceaccounts", "ns", "robot");
    assert_eq!(refusal(ask(&world, &token, NOW)), "serviceaccounts \"robot\" not found");
    let gone = value!({"metadata": {"uid": "u1", "deletionTimestamp": "2020-01-01T00:00:00Z"}});
    world.cluster.put("serviceaccounts", "ns", "robot", gone);
    assert_eq!(refusal(ask(&world, &token, NOW)), "service account ns/robot has been deleted");
}

#[test]
fn bound_objects_have_to_live() {
    let bounds = [
        ("pods", "ns", "pod", Bound::Pod("x", "o1")),
        ("secrets", "ns", "secret", Bound::Secret("x", "o1")),
        ("nodes", "", "node", Bound::Node("x", "o1")),
    ];
    for (resource, namespace, word, bound) in bounds {
        let world = world();
        let token = world.issuer.issue(&grant(Some(bound), &api()), NOW).expect("issued");
        assert_eq!(refusal(ask(&world, &token, NOW)), "service account token has been invalidated");
        world.cluster.put_uid(resource, namespace, "x", "o1");
        assert!(ask(&world, &token, NOW).is_ok(), "{resource}");
        world.cluster.put_uid(resource, namespace, "x", "o2");
        let message = format!("{word} UID (o2) does not match service account {word} ref claim (o1)");
        assert_eq!(refusal(ask(&world, &token, NOW)), message);
        let gone = value!({"metadata": {"uid": "o1", "deletionTimestamp": "2020-01-01T00:00:00Z"}});
        world.cluster.put(resource, namespace, "x", gone);
        assert_eq!(refusal(ask(&world, &token, NOW)), "service account token has been invalidated");
    }
}

#[test]
fn what_is_not_ours_is_left_to_others() {
    let world = world();
    for text in ["", "a", "a.b", "a.b.c", "a.b.c.d", "{\"a\":1}", "e30.e30.", &"x.".repeat(100_000)] {
        assert_eq!(ask(&world, text, NOW), Ok(None), "{text:.20}");
    }
    let key = PrivateKey::generate().expect("made");
    let foreign = Issuer::new("https://elsewhere".to_owned(), SigningKey::new(&key).expect("a key"));
    let token = foreign.issue(&grant(None, &api()), NOW).expect("issued");
    assert_eq!(ask(&world, &token, NOW), Ok(None));
}

#[test]
fn forged_tokens_are_refused() {
    let world = world();
    let key = PrivateKey::generate().expect("made");
    let forger = Issuer::new(ISSUER.to_owned(), SigningKey::new(&key).expect("a key"));
    let token = forger.issue(&grant(None, &api()), NOW).expect("issued");
    assert_eq!(refusal(ask(&world, &token, NOW)), "invalid signature, no keys found");

    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let good = world.issuer.issue(&grant(None, &api()), NOW).expect("issued");
    let (message, signature) = good.rsplit_once('.').expect("three parts");
    let (header, payload) = message.split_once('.').expect("three parts");
    let broken = "go-jose/go-jose: error in cryptographic primitive";
    let claims = format!(r#"{{"iss":"{ISSUER}","sub":"system:serviceaccount:kube-system:admin"}}"#);
    let forged = [
        format!("{header}.{}.{signature}", encode(&claims)),
        format!("{header}.{payload}."),
        format!("{}.{payload}.", encode(r#"{"alg":"none"}"#)),
        format!("{}.{payload}.{signature}", encode(r#"{"alg":"HS256"}"#)),
    ];
    for token in forged {
        assert_eq!(refusal(ask(&world, &token, NOW)), broken, "{token}");
    }
    assert!(ask(&world, &good, NOW).is_ok());
}

#[test]
fn a_deleted_pod_ends_a_token_that_was_verified_before() {
    let world = world();
    world.cluster.put_uid("pods", "ns", "x", "o1");
    let token = world.issuer.issue(&grant(Some(Bound::Pod("x", "o1")), &api()), NOW).expect("issued");
    assert!(ask(&world, &token, NOW).is_ok());
    world.cluster.delete("pods", "ns", "x");
    assert!(ask(&world, &token, NOW).is_err());
}

#[test]
fn stale_tokens_are_noted() {
    let world = world();
    let token = world.issuer.issue(&Grant { warn_after_seconds: 10, ..grant(None, &api()) }, NOW).expect("issued");
    let notes = |now| ask(&world, &token, now).expect("accepted").expect("known").annotations;
    assert!(notes(NOW + 10).is_empty());
    assert_eq!(world.noted.take(), ["Valid"]);
    assert_eq!(
        notes(NOW + 15),
        [(
            "authentication.k8s.io/stale-token".to_owned(),
            "subject: system:serviceaccount:ns:robot, seconds after warning threshold: 5".to_owned()
        )]
    );
    assert_eq!(world.noted.take(), ["Stale"]);
}

#[test]
fn remembered_tokens_are_bounded() {
    let world = world();
    let token = world.issuer.issue(&grant(None, &api()), NOW).expect("issued");
    let claims = world.accounts.claims(&token).expect("accepted").expect("ours");
    for number in 0..VERIFIED_LEN_MAX as u64 {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_le_bytes());
        world.accounts.verified.lock().put(id, claims.clone(), i128::MAX);
    }
    let other = world.issuer.issue(&Grant { id: "jti-2", ..grant(None, &api()) }, NOW).expect("issued");
    assert!(ask(&world, &other, NOW).is_ok());
    assert_eq!(world.accounts.verified.lock().len(), VERIFIED_LEN_MAX);
}

#[test]
fn tokens_of_secrets() {
    let world = world();
    let token = world.issuer.issue_for_secret("ns", "robot", "u1", "s").expect("issued");
    let by = |world: &World| world.legacy.authenticate(&Token { text: &token, audiences: &api(), now: NOW });
    assert_eq!(refusal(by(&world)), "Token has been invalidated");
    use base64::Engine as _;
    let data = base64::engine::general_purpose::STANDARD.encode(&token);
    let secret = value!({"metadata": {"name": "s"}, "data": {"token": (data.as_str())}});
    world.cluster.put("secrets", "ns", "s", secret.clone());
    let used = |world: &World| world.cluster.object("secrets", "ns", "s").is_some_and(|s| s.int("used") == NOW);
    assert!(!used(&world), "what was refused was not used");
    let identity = by(&world).expect("accepted").expect("known");
    assert_eq!(identity.user.name, "system:serviceaccount:ns:robot");
    assert_eq!(identity.annotations[0].0, "authentication.k8s.io/legacy-token-manual-secret");
    assert!(used(&world));
    assert_eq!(world.noted.take(), ["Legacy", "Legacy", "Manual"], "one that was refused is one too");
    // The other authenticator does not know them.
    assert_eq!(ask(&world, &token, NOW), Ok(None));

    world.cluster.put("secrets", "ns", "s", value!({"data": {"token": "b3RoZXI="}}));
    assert_eq!(refusal(by(&world)), "Token does not match server's copy");
    let mut marked = secret.clone();
    marked.set_path(&["metadata", "labels", INVALID_SINCE], "2026-01-01");
    world.cluster.put("secrets", "ns", "s", marked);
    world.noted.take();
    assert!(refusal(by(&world)).starts_with("the token in secret ns/s for service account ns/robot has been marked"));
    assert_eq!(world.noted.take(), ["Legacy", "Invalidated"]);
    assert!(used(&world), "somebody still needs it");

    world.cluster.put("secrets", "ns", "s", secret);
    let account = value!({"metadata": {"uid": "u1"}, "secrets": [{"name": "s"}]});
    world.cluster.put("serviceaccounts", "ns", "robot", account);
    assert_eq!(by(&world).expect("accepted").expect("known").warnings.len(), 1);
    assert_eq!(world.noted.take(), ["Legacy", "Auto"]);
    world.cluster.put_uid("serviceaccounts", "ns", "robot", "u2");
    assert_eq!(refusal(by(&world)), "ServiceAccount UID (u2) does not match claim (u1)");
    world.cluster.delete("serviceaccounts", "ns", "robot");
    assert_eq!(refusal(by(&world)), "serviceaccounts \"robot\" not found");
}

const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";

/// An RSA key, as kubeadm makes one for service accounts, in PKCS#1.
fn rsa() -> PrivateKey {
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("made");
    let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = aws_lc_rs::encoding::AsDer::as_der(&pair).expect("encoded");
    let key = PrivateKey::from_pem(&certs::pem::write("PRIVATE KEY", pkcs8.as_ref())).expect("read");
    let pkcs1 = key.pkcs1().expect("it is RSA");
    PrivateKey::from_pem(&certs::pem::write("RSA PRIVATE KEY", &pkcs1)).expect("read")
}

#[test]
fn rsa_keys_sign_too() {
    let world = world_with(&rsa());
    let token = world.issuer.issue(&grant(None, &api()), NOW).expect("issued");
    assert!(ask(&world, &token, NOW).expect("accepted").is_some());
    let documents = Documents::new(ISSUER, None, "host:6443", &world.keys).expect("published");
    assert!(documents.configuration.contains(r#""id_token_signing_alg_values_supported":["RS256"]"#));
    assert!(documents.keys.contains(r#""kty":"RSA""#) && documents.keys.contains(r#""e":"AQAB""#));
}

/// Somebody who has only the published documents verifies a token.
#[test]
fn the_published_keys_verify_tokens() {
    for key in [PrivateKey::generate().expect("made"), rsa()] {
        let world = world_with(&key);
        let documents = Documents::new(ISSUER, None, "host:6443", &world.keys).expect("published");
        let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&documents.keys).expect("a key set");
        let token = world.issuer.issue(&grant(None, &api()), NOW).expect("issued");
        let header = jsonwebtoken::decode_header(&token).expect("a header");
        let jwk = keys.find(&header.kid.expect("an id")).expect("published");
        let mut validation = jsonwebtoken::Validation::new(header.alg);
        validation.validate_exp = false;
        validation.set_audience(&["api"]);
        validation.set_issuer(&[ISSUER]);
        let key = jsonwebtoken::DecodingKey::from_jwk(jwk).expect("a key");
        let claims = jsonwebtoken::decode::<Claims>(&token, &key, &validation).expect("verified").claims;
        assert_eq!(claims.subject, "system:serviceaccount:ns:robot");
    }
}

#[test]
fn the_configuration_is_upstreams() {
    let world = world();
    let documents = Documents::new(ISSUER, None, "host:6443", &world.keys).expect("published");
    let expected = r#"{"issuer":"https://kubernetes.default.svc.cluster.local","jwks_uri":"https://host:6443/openid/v1/jwks","response_types_supported":["id_token"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256"]}"#;
    assert_eq!(documents.configuration, expected);
    let refused = |issuer: &str, uri: Option<&str>, address: &str| {
        Documents::new(issuer, uri, address, &world.keys).expect_err("refused")
    };
    assert_eq!(refused("", None, "h"), "empty issuer URL");
    assert_eq!(refused("http://x", None, "h"), "issuer URL must use https scheme, got: http://x");
    assert_eq!(refused("https://x?a", None, "h"), "issuer URL may not include a query, got: https://x?a");
    assert_eq!(refused("https://x#a", None, "h"), "issuer URL may not include a fragment, got: https://x#a");
    assert_eq!(refused(ISSUER, Some("http://x"), "h"), "jwksURI requires https scheme, parsed as: http://x");
    let neither = "either the JWKS URI or the default external address, or both, must be set";
    assert_eq!(refused(ISSUER, None, ""), neither);
}
