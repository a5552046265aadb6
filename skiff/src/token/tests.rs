//! Secrets that are tokens, and how they are listed.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    create: Create,
}

fn now() -> jiff::Timestamp {
    api::time::parse("2026-01-02T03:04:05Z").expect("it is a time")
}

fn made(arguments: &[&str]) -> Result<Value, String> {
    let line = Line::try_parse_from([&["x"], arguments].concat()).map_err(|error| error.to_string())?;
    let token = Drawn::parse("abcdef.0123456789abcdef").expect("it is one");
    secret(&token, &line.create, now()).map_err(|error| error.to_string())
}

#[test]
fn a_token_is_a_secret_as_kubeadm_makes_it() {
    let secret = made(&["--description", "for one"]).expect("it is made");
    assert_eq!(api::meta::of(&secret).name(), "bootstrap-token-abcdef");
    assert_eq!((api::meta::of(&secret).namespace(), secret.str("type")), (NAMESPACE, TYPE));
    let data: Vec<(String, String)> = secret
        .at("data")
        .members()
        .map(|(key, value)| {
            let bytes = STANDARD.decode(value.as_str().expect("it is text")).expect("it is base64");
            (key.to_owned(), String::from_utf8(bytes).expect("it is text"))
        })
        .collect();
    let wanted = [
        ("token-id", "abcdef"),
        ("token-secret", "0123456789abcdef"),
        ("description", "for one"),
        ("expiration", "2026-01-03T03:04:05Z"),
        ("usage-bootstrap-signing", "true"),
        ("usage-bootstrap-authentication", "true"),
        ("auth-extra-groups", "system:bootstrappers:kubeadm:default-node-token"),
    ];
    assert_eq!(data, wanted.map(|(key, text)| (key.to_owned(), text.to_owned())));
    assert!(!made(&["--ttl", "0s"]).expect("it is made").at("data").has("expiration"), "it is good for ever");
}

#[test]
fn what_is_no_token_is_refused() {
    let why = |arguments: &[&str]| made(arguments).expect_err("it is wrong");
    assert_eq!(
        why(&["--usages", "signing,teleport"]),
        "--usages: invalid bootstrap token usage string: teleport, valid usage options: signing, authentication"
    );
    assert!(
        why(&["--groups", "system:masters"]).starts_with("--groups: bootstrap group \"system:masters\" is invalid")
    );
    assert!(why(&["--groups", "system:bootstrappers:"]).contains("is invalid"));
    assert_eq!(why(&["--ttl=-1s"]), "--ttl: a token cannot have ended before it is made");
}

#[test]
fn tokens_are_listed_as_kubeadm_lists_them() {
    let secret = made(&[]).expect("it is made");
    let mut for_ever = made(&["--ttl", "0s", "--usages", "signing", "--description", "d"]).expect("it is made");
    for_ever.set_path(&["metadata", "name"], "bootstrap-token-other");
    let text = table::of(&[secret, for_ever], now());
    assert_eq!(
        text,
        "bootstrap token name is not of the form 'bootstrap-token-(token-id)'. Actual: \"bootstrap-token-other\". \
         Expected: \"bootstrap-token-abcdef\"\n\
         TOKEN                     TTL       EXPIRES                USAGES                   DESCRIPTION   EXTRA GROUPS\n\
         abcdef.0123456789abcdef   1d        2026-01-03T03:04:05Z   authentication,signing   <none>        \
         system:bootstrappers:kubeadm:default-node-token\n"
    );
}

#[test]
fn drawn_tokens_have_the_form_of_tokens() {
    let (a, b) = (Random.token(), Random.token());
    assert_ne!(a, b);
    assert_eq!(Drawn::parse(&a.to_string()), Ok(a));
}
