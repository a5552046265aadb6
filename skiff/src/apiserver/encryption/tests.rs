//! A file that is followed, over a store in memory.

use std::sync::Arc;

use clap::Parser;
use store::{Op, Range, Seal, Store, Txn, backends::memory::Memory};

use super::*;
use crate::flags::{Command, Skiff};

fn configuration(key: &str) -> String {
    let secret = [key; 32].concat();
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let secret = STANDARD.encode(secret);
    format!(
        "{{kind: EncryptionConfiguration, apiVersion: apiserver.config.k8s.io/v1, resources: [{{resources: [secrets], providers: [{{aesgcm: {{keys: [{{name: {key}, secret: {secret}}}]}}}}]}}]}}"
    )
}

fn flags(arguments: &[&str]) -> Box<Apiserver> {
    let all = ["skiff", "apiserver"].iter().chain(arguments);
    match Skiff::try_parse_from(all).map(|skiff| skiff.command) {
        Ok(Command::Apiserver(flags)) => flags,
        _ => panic!("{arguments:?} are no flags"),
    }
}

/// What the flags put around a store.
async fn around(flags: &Apiserver, store: Arc<dyn Store>) -> Result<Around> {
    let clock: Arc<dyn Clock> = Arc::new(clock::Wall);
    super::around(flags, store, &clock).await
}

fn put(key: &str, value: &'static str) -> Txn {
    let op = Op::Put { key: key.into(), value: value.into(), lease: 0 };
    Txn { guards: Vec::new(), ops: vec![op] }
}

#[tokio::test]
async fn a_reload_needs_a_file() {
    let refused = around(&flags(&["--encryption-provider-config-automatic-reload"]), Arc::new(Memory::new())).await;
    let words = "--encryption-provider-config-automatic-reload must be set with --encryption-provider-config";
    assert_eq!(refused.err().map(|error| error.to_string()).as_deref(), Some(words));
}

#[tokio::test]
async fn a_file_that_changes_counts_and_a_wrong_one_does_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("encryption.yaml");
    std::fs::write(&path, configuration("a")).expect("written");
    let inner = Arc::new(Memory::new());
    let flag = format!("--encryption-provider-config={}", path.display());
    let flags = flags(&[&flag, "--encryption-provider-config-automatic-reload"]);
    let (store, encryption) = around(&flags, inner.clone()).await.expect("the file is right");
    let encryption = encryption.expect("there is a file");
    store.commit(put("/registry/secrets/d/s", "plain")).await.expect("written");
    let sealed = inner.get("/registry/secrets/d/s").await.expect("read").0.expect("there");
    assert!(sealed.value.starts_with(b"k8s:enc:aesgcm:v1:a:"));
    assert!(!encryption.look().await.expect("the same file"));

    std::fs::write(&path, "kind: Foo").expect("written");
    assert!(encryption.look().await.is_err());
    let read = store.get("/registry/secrets/d/s").await.expect("read").0.expect("there");
    assert_eq!((&read.value[..], &read.seal), (&b"plain"[..], &Seal::Current));

    std::fs::write(&path, configuration("b")).expect("written");
    assert!(encryption.look().await.expect("another file"));
    let page = store.range(Range { prefix: "/registry/".into(), ..Range::default() }).await.expect("read");
    let words = "no matching key was found for the provided AES transformer";
    assert_eq!(page.entries[0].seal, Seal::Broken(words.into()));
    assert!(page.entries[0].value.is_empty());
}
