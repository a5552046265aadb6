//! Who is let in, and for how long that is remembered.

use client::fake::Fake;

use super::*;

/// A clock that stands where it is put.
struct At(Mutex<Timestamp>);

impl Clock for At {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

fn gate(server: &Arc<Fake>, anonymous: bool) -> (Arc<At>, Delegated) {
    let clock = Arc::new(At(Mutex::new(Timestamp::UNIX_EPOCH)));
    (clock.clone(), Delegated::new(server.client(), "n", None, anonymous, clock))
}

fn token(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::AUTHORIZATION, format!("Bearer {token}").parse().expect("a header"));
    headers
}

const TOKENS: &str = "POST /apis/authentication.k8s.io/v1/tokenreviews";
const REVIEWS: &str = "POST /apis/authorization.k8s.io/v1/subjectaccessreviews";

#[tokio::test]
async fn a_token_is_who_the_server_says_for_a_while() {
    let server = Fake::new();
    let (clock, gate) = gate(&server, true);
    let user = value!({"username": "u", "uid": "1", "groups": ["g"], "extra": {"k": ["v"]}});
    server.answer_next(TOKENS, 201, value!({"status": {"authenticated": true, "user": user}}));
    for _ in 0..2 {
        let caller = gate.authenticate(&[], &token("t")).await.expect("an answer").expect("it is known");
        assert_eq!((caller.name.as_str(), caller.groups.join(",")), ("u", "g,system:authenticated".into()));
        assert_eq!(caller.extra, [("k".to_owned(), vec!["v".to_owned()])]);
    }
    assert_eq!(server.writes().len(), 1, "the second time it was known");
    *clock.0.lock() += SignedDuration::from_mins(3);
    server.answer_next(TOKENS, 201, value!({"status": {"authenticated": false}}));
    assert_eq!(gate.authenticate(&[], &token("t")).await, Ok(None), "it is good no more, and is not nobody's");
    server.answer_next(TOKENS, 201, value!({"status": {"error": "it is no token"}}));
    assert_eq!(gate.authenticate(&[], &token("x")).await, Err("it is no token".into()));
    let nobody = gate.authenticate(&[], &HeaderMap::new()).await.expect("an answer").expect("they are let in");
    assert_eq!(nobody.name, "system:anonymous");
}

#[tokio::test]
async fn nobody_is_not_let_in_by_default() {
    let server = Fake::new();
    let (_, gate) = gate(&server, false);
    assert_eq!(gate.authenticate(&[], &HeaderMap::new()).await, Ok(None));
    assert_eq!(server.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn what_somebody_may_is_asked_once_for_each_question() {
    let server = Fake::new();
    let (clock, gate) = gate(&server, false);
    let caller = Caller { name: "u".into(), ..Caller::default() };
    server.answer_next(REVIEWS, 201, value!({"status": {"allowed": true}}));
    server.answer_next(REVIEWS, 201, value!({"status": {"allowed": false}}));
    for _ in 0..2 {
        assert_eq!(gate.authorize(&caller, "get", "stats", "/stats").await, Ok(true));
        assert_eq!(gate.authorize(&caller, "create", "proxy", "/exec").await, Ok(false));
    }
    assert_eq!(server.writes().len(), 2);
    // A no is forgotten sooner than a yes.
    *clock.0.lock() += SignedDuration::from_mins(1);
    server.answer_next(REVIEWS, 201, value!({"status": {"allowed": true}}));
    assert_eq!(gate.authorize(&caller, "create", "proxy", "/exec").await, Ok(true));
    assert_eq!(gate.authorize(&caller, "get", "stats", "/stats").await, Ok(true));
    assert_eq!(server.writes().len(), 1);
}
