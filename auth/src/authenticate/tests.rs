//! The whole chain: order, refusals, and who becomes anonymous.

use certs::{Authority, authority::Profile, authority::Subject, pem};
use http::HeaderName;

use super::x509::Authorities;
use super::*;

const NOW: UnixSeconds = 1_795_000_000;

fn authority() -> Authority {
    Authority::generate("test", NOW).expect("made")
}

fn trust(authority: &Authority) -> Arc<Authorities> {
    Authorities::new(Bundle::from_pem(authority.bundle_pem()).expect("a bundle"))
}

fn peer(authority: &Authority, subject: Subject) -> Peer {
    let issued = authority.issue(&Profile::client(subject), NOW).expect("issued");
    Peer::new(pem::certificates(&issued.certificate_pem).expect("a certificate")).expect("not empty")
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = name.parse::<HeaderName>().expect("a name");
        headers.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

fn chain(clients: &Authority, proxies: &Authority) -> Chain {
    let api_audiences = vec!["api".to_owned()];
    let tokens =
        TokenFile::parse("f", "secret,tom,7,\"cats,system:authenticated\"\nother,ann,8", api_audiences.clone());
    let request_header = RequestHeader {
        authorities: trust(proxies),
        allowed_names: vec!["front-proxy-client".to_owned()],
        headers: Default::default(),
        api_audiences: api_audiences.clone(),
    };
    Chain {
        api_audiences,
        requests: vec![
            Box::new(request_header),
            Box::new(X509 { authorities: trust(clients), tally: Arc::new(crate::Uncounted) }),
        ],
        tokens: vec![Box::new(tokens.expect("well-formed"))],
        elsewhere: vec![],
        anonymous: Some(Anonymous::on_default_paths()),
        proxy_headers: Default::default(),
    }
}

fn ask(chain: &Chain, headers: &HeaderMap, peer: Option<&Peer>, path: &str) -> Outcome {
    crate::at_once(chain.authenticate(&Credentials { headers, path, peer, audiences: None, now: NOW }))
}

#[test]
fn a_certificate_makes_a_user() {
    let (clients, proxies) = (authority(), authority());
    let chain = chain(&clients, &proxies);
    let peer = peer(&clients, Subject::user("alice", &["dev", "ops"]));
    let user = ask(&chain, &headers(&[]), Some(&peer), "/api").expect("accepted").expect("known").user;
    assert_eq!(user.name, "alice");
    assert_eq!(user.groups, ["dev", "ops", "system:authenticated"]);
    let id = &user.extra[x509::CREDENTIAL_ID][0];
    assert!(id.starts_with("X509SHA256=") && id.len() == 11 + 64, "{id}");
}

#[test]
fn a_bad_certificate_is_refused_and_not_anonymous() {
    let (clients, proxies) = (authority(), authority());
    let chain = chain(&clients, &proxies);
    let stranger = peer(&authority(), Subject::user("mallory", &["system:masters"]));
    let refusal = ask(&chain, &headers(&[]), Some(&stranger), "/healthz").expect_err("refused");
    let unknown = "x509: certificate signed by unknown authority";
    assert_eq!(refusal.to_string(), format!("[{unknown}, verifying certificate failed: {unknown}]"));
    // A good token beside it counts.
    let with_token = headers(&[("authorization", "Bearer secret")]);
    let user = ask(&chain, &with_token, Some(&stranger), "/api").expect("accepted").expect("known").user;
    assert_eq!(user.name, "tom");
}

#[test]
fn a_certificate_without_a_name_is_nobodys() {
    let (clients, proxies) = (authority(), authority());
    let peer = peer(&clients, Subject::user("", &["dev"]));
    assert!(ask(&chain(&clients, &proxies), &headers(&[]), Some(&peer), "/healthz").is_err());
}

#[test]
fn authorities_are_replaced_while_serving() {
    let (clients, proxies) = (authority(), authority());
    let authorities = trust(&clients);
    let x509 = X509 { authorities: authorities.clone(), tally: Arc::new(crate::Uncounted) };
    let peer = peer(&clients, Subject::user("alice", &[]));
    let headers = headers(&[]);
    let credentials = |now| Credentials { headers: &headers, path: "/", peer: Some(&peer), audiences: None, now };
    assert!(x509.authenticate(&credentials(NOW)).is_ok());
    authorities.replace(Bundle::from_pem(proxies.bundle_pem()).expect("a bundle"));
    assert!(x509.authenticate(&credentials(NOW)).is_err());
    authorities.replace(Bundle::from_pem(clients.bundle_pem()).expect("a bundle"));
    assert!(x509.authenticate(&credentials(NOW)).is_ok());
    // What is remembered about a connection does not outlive the certificate.
    assert!(x509.authenticate(&credentials(NOW + 366 * 86_400)).is_err());
}

#[test]
fn how_long_a_certificate_is_still_good_is_told_whether_or_not_it_is_believed() {
    let (clients, proxies) = (authority(), authority());
    let noted = Arc::new(crate::tally::Noted::default());
    let x509 = X509 { authorities: trust(&clients), tally: noted.clone() };
    let headers = headers(&[]);
    for (authority, is_believed) in [(&clients, true), (&proxies, false)] {
        let peer = peer(authority, Subject::user("alice", &[]));
        let until = peer.not_after().expect("it says so");
        for now in [NOW, until + 5] {
            let asked = Credentials { headers: &headers, path: "/", peer: Some(&peer), audiences: None, now };
            assert_eq!(x509.authenticate(&asked).is_ok(), is_believed && now == NOW);
            assert_eq!(noted.take(), [format!("shown {}", until - now)]);
        }
    }
    let nobody = Credentials { headers: &headers, path: "/", peer: None, audiences: None, now: NOW };
    assert_eq!((x509.authenticate(&nobody), noted.take().len()), (Ok(None), 0));
}

/// Says this of every token; none: it never says anything.
struct Says(Option<Outcome>);

#[async_trait]
impl Elsewhere for Says {
    async fn authenticate(&self, _: &Token<'_>) -> Outcome {
        match &self.0 {
            Some(outcome) => outcome.clone(),
            None => std::future::pending().await,
        }
    }
}

struct Noon;

impl api::time::Clock for Noon {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
}

#[test]
fn who_waits_for_somebody_elsewhere_is_counted_until_he_has_it_or_gives_up() {
    let noted = Arc::new(crate::tally::Noted::default());
    let remembered =
        |says: Option<Outcome>| Remembered::new(Box::new(Says(says)), Arc::new(Noon), noted.clone(), 1_000_000_000, 0);
    let token = Token { text: "t", audiences: &[], now: NOW };
    let known = Ok(Some(Identity::default()));
    let kept = remembered(Some(known.clone()));
    assert_eq!(crate::at_once(kept.authenticate(&token)), known);
    let all = ["Blocked +1", "InFlight +1", "InFlight -1", "fetched true", "remembered false", "Blocked -1"];
    assert_eq!(noted.take(), all);
    assert_eq!(crate::at_once(kept.authenticate(&token)), known);
    assert_eq!(noted.take(), ["remembered true"]);
    let silent = remembered(None);
    assert!(futures::FutureExt::now_or_never(silent.authenticate(&token)).is_none());
    assert_eq!(noted.take(), ["Blocked +1", "InFlight +1", "InFlight -1", "Blocked -1"]);
}

#[test]
fn a_front_proxy_is_believed_when_it_is_one() {
    let (clients, proxies) = (authority(), authority());
    let chain = chain(&clients, &proxies);
    let said = headers(&[
        ("X-Remote-User", "bob"),
        ("X-Remote-Group", "a"),
        ("X-Remote-Group", ""),
        ("X-Remote-Group", "b"),
        ("X-Remote-Uid", "9"),
        ("X-Remote-Extra-Acme.io%2fScope", "x"),
        ("X-Remote-Extra-acme.io%2fscope", "y"),
    ]);
    let proxy = peer(&proxies, Subject::user("front-proxy-client", &[]));
    let identity = ask(&chain, &said, Some(&proxy), "/api").expect("accepted").expect("known");
    assert_eq!(identity.user.name, "bob");
    assert_eq!(identity.user.uid, "9");
    assert_eq!(identity.user.groups, ["a", "b", "system:authenticated"]);
    assert_eq!(identity.user.extra["acme.io/scope"], ["x", "y"]);
    assert_eq!(identity.audiences, ["api"]);

    let client = peer(&clients, Subject::user("alice", &[]));
    let user = ask(&chain, &said, Some(&client), "/api").expect("accepted").expect("known").user;
    assert_eq!(user.name, "alice");

    let impostor = peer(&proxies, Subject::user("impostor", &[]));
    let refusal = ask(&chain, &said, Some(&impostor), "/api").expect_err("refused");
    assert_eq!(refusal.0[0], "x509: subject with cn=impostor is not in the allowed list");
    assert!(ask(&chain, &said, None, "/api").expect("not refused").is_none());
}

#[test]
fn front_proxy_headers_are_taken_out() {
    let mut headers = headers(&[("X-Remote-User", "bob"), ("x-remote-extra-a", "1"), ("accept", "x")]);
    request_header::HeaderNames::default().clear(&mut headers);
    assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
}

#[test]
fn tokens_are_tried_in_turn() {
    let (clients, proxies) = (authority(), authority());
    let chain = chain(&clients, &proxies);
    let by = |value: &str| ask(&chain, &headers(&[("authorization", value)]), None, "/api");
    let groups = |outcome: Outcome| outcome.expect("accepted").expect("known").user.groups;
    assert_eq!(groups(by("Bearer secret")), ["cats", "system:authenticated"]);
    assert_eq!(groups(by("bearer other")), ["system:authenticated"]);
    assert_eq!(by("Bearer wrong").expect_err("refused").to_string(), "invalid bearer token");
    assert_eq!(by("Basic c2VjcmV0"), Ok(None));
    assert_eq!(by("Bearer"), Ok(None));
}

#[test]
fn nobody_is_anonymous_everywhere() {
    let (clients, proxies) = (authority(), authority());
    let mut chain = chain(&clients, &proxies);
    let nothing = headers(&[]);
    for path in anonymous::DEFAULT_PATHS {
        let user = ask(&chain, &nothing, None, path).expect("accepted").expect("known").user;
        assert_eq!((user.name.as_str(), user.groups), ("system:anonymous", vec!["system:unauthenticated".to_owned()]));
    }
    for path in ["/", "/api", "/healthz/", "/healthz/etcd", "/version/x"] {
        assert_eq!(ask(&chain, &nothing, None, path), Ok(None), "{path}");
    }
    let bad = headers(&[("authorization", "Bearer wrong")]);
    assert!(ask(&chain, &bad, None, "/healthz").is_err());
    chain.anonymous = Some(Anonymous::default());
    assert!(ask(&chain, &nothing, None, "/api").expect("accepted").is_some());
    chain.anonymous = None;
    assert_eq!(ask(&chain, &nothing, None, "/healthz"), Ok(None));
}

#[test]
fn reviews_ask_the_same_chain() {
    let (clients, proxies) = (authority(), authority());
    let chain = chain(&clients, &proxies);
    let found = crate::at_once(chain.review("secret", &[], NOW)).expect("accepted").expect("known");
    assert_eq!((found.user.name.as_str(), found.audiences), ("tom", vec!["api".to_owned()]));
    assert!(crate::at_once(chain.review("secret", &["vault".to_owned()], NOW)).is_err());
    assert_eq!(
        crate::at_once(chain.review("a\nb", &[], NOW)).expect_err("refused").to_string(),
        "invalid bearer token"
    );
}
