//! Secrets are filled once, for the account that they mean.

use api::value;
use client::fake::Fake;
use jiff::Timestamp;

use super::*;
use crate::driver::{SecretTokens, Settings};

const SECRET: &str = "/api/v1/namespaces/x/secrets/t";
const ACCOUNT: &str = "/api/v1/namespaces/x/serviceaccounts/web";

fn a_secret(uid: &str) -> Value {
    value!({"metadata": {"name": "t", "namespace": "x", "uid": "s", "resourceVersion": "1",
        "annotations": {"kubernetes.io/service-account.name": "web", "kubernetes.io/service-account.uid": uid}},
        "type": "kubernetes.io/service-account-token"})
}

fn an_account(secrets: Value) -> Value {
    value!({"metadata": {"name": "web", "namespace": "x", "uid": "u", "resourceVersion": "1"}, "secrets": secrets})
}

/// What is asked for the one key there is, when the mirrors have this.
async fn asked(fake: &Arc<Fake>, secrets: Value, accounts: Value) -> Vec<String> {
    let there = value!({"v1/secrets": secrets, "v1/serviceaccounts": accounts});
    let mirrors = crate::driver::cases::mirrors(&SPEC, &there);
    let make = SecretTokens::new(|account, secret| Ok(format!("{}+{secret}", api::meta::of(account).uid())));
    let settings = Settings { root_ca: "PEM".into(), secret_tokens: Some(make), ..Settings::default() };
    let key = Key::new("x", "t/web");
    let world = World { key: &key, now: Timestamp::UNIX_EPOCH, mirrors: &mirrors, settings: &settings };
    Tokens.step(&world, &fake.client()).await.expect("nothing is in the way");
    fake.writes()
}

#[test]
fn what_a_secret_lacks_is_added() {
    let account = an_account(value!([]));
    let new = filled(&a_secret(""), &account, "PEM", || Ok("T".into())).expect("it works").expect("it lacks all");
    let data = ["ca.crt", "namespace", "token"].map(|key| secrets::data(&new, key));
    assert_eq!(data, ["PEM", "x", "T"]);
    assert_eq!(api::meta::of(&new).annotation(ACCOUNT_UID), Some("u"));
    assert_eq!(filled(&new, &account, "PEM", || Err("no token is needed".into())), Ok(None));
    let again =
        filled(&new, &account, "NEW", || Err("no token is needed".into())).expect("it works").expect("a new CA");
    assert_eq!((secrets::data(&again, "ca.crt").as_str(), secrets::data(&again, "token").as_str()), ("NEW", "T"));
    let none = filled(&a_secret(""), &account, "", || Ok("T".into())).expect("it works").expect("it lacks a token");
    assert!(!none.at("data").has("ca.crt"), "without authorities there is nothing to say");
}

#[tokio::test]
async fn a_secret_of_nobody_goes_and_one_of_somebody_unseen_stays() {
    let fake = Fake::new();
    fake.put(SECRET, a_secret("u"));
    fake.put(ACCOUNT, an_account(value!([])));
    let all = asked(&fake, value!([a_secret("u")]), value!([])).await;
    assert_eq!(all, [format!("PUT {SECRET}")], "the server knew its account");
    let all = asked(&fake, value!([a_secret("another")]), value!([an_account(value!([]))])).await;
    assert_eq!(all.len(), 1);
    assert!(all[0].starts_with(&format!("DELETE {SECRET}")), "{all:?}");
}

#[tokio::test]
async fn a_secret_that_is_gone_goes_off_its_accounts_list() {
    let fake = Fake::new();
    let account = fake.put(ACCOUNT, an_account(value!([{"name": "t"}, {"name": "o"}])));
    let all = asked(&fake, value!([]), value!([account])).await;
    assert_eq!(all, [format!("PUT {ACCOUNT}")]);
    assert_eq!(fake.get(ACCOUNT).expect("it is there").list("secrets"), [value!({"name": "o"})]);
    assert!(asked(&fake, value!([]), value!([an_account(value!([{"name": "o"}]))])).await.is_empty());
}
