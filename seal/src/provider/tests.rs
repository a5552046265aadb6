//! Every cipher there and back, rotated, moved and damaged.

use std::sync::atomic::{AtomicU8, Ordering};

use super::*;
use crate::{Kept, Secret};

/// Nothing here asks for the time.
struct Never;

impl api::time::Clock for Never {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
}

/// 1, 1, …, then 2, 2, …: two nonces are never the same.
#[derive(Default)]
struct Counting(AtomicU8);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed) + 1);
    }
}

struct Uncounted;

impl Tally for Uncounted {
    fn transformed(&self, _: &Transformation<'_>) {}

    fn kept(&self, _: &Kept<'_>) {}
}

fn passage<'a>(key: &'a str, random: &'a Counting) -> Passage<'a> {
    Passage { key, resource: "secrets", random, tally: &Uncounted }
}

fn key(name: &str, byte: u8, len: usize) -> Key {
    Key { name: name.into(), secret: Secret::new(vec![byte; len]) }
}

/// One of each kind, with each length of key.
fn each() -> Vec<Said> {
    let mut all = vec![Said::Identity, Said::Secretbox(vec![key("one", 1, 32)])];
    for len in [16, 24, 32] {
        all.extend([Said::AesCbc(vec![key("one", 1, len)]), Said::AesGcm(vec![key("one", 1, len)])]);
    }
    all
}

fn provider(said: &Said) -> Provider {
    let outside = Outside {
        random: Arc::new(Counting::default()),
        clock: Arc::new(Never),
        uid: Arc::new(String::new),
        tally: Arc::new(Uncounted),
        well: Arc::new(|| ()),
    };
    Provider::new(said, &outside).expect("a key is a key")
}

#[tokio::test]
async fn what_is_sealed_opens_again_whatever_its_length() {
    let random = Counting::default();
    for said in each() {
        let provider = provider(&said);
        for len in [0, 1, 15, 16, 17, 1000] {
            let plain = Bytes::from(vec![7; len]);
            let sealed = provider.seal(&plain, passage("/registry/secrets/a/b", &random)).expect("sealed");
            let opened = provider.open(&sealed, passage("/registry/secrets/a/b", &random)).await.expect("opened");
            assert_eq!((opened.value, opened.stale), (plain.clone(), false), "{said:?}");
            assert!(said == Said::Identity || len < 15 || !contains(&sealed, &plain), "{said:?} shows the value");
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn the_second_key_opens_and_says_that_the_value_is_stale() {
    let random = Counting::default();
    for of in [Said::AesCbc as fn(Vec<Key>) -> Said, Said::AesGcm, Said::Secretbox] {
        let old = provider(&of(vec![key("old", 1, 32)]));
        let both = provider(&of(vec![key("new", 2, 32), key("old", 1, 32)]));
        let sealed = old.seal(&"text".into(), passage("k", &random)).expect("sealed");
        let opened = both.open(&sealed, passage("k", &random)).await.expect("opened");
        assert_eq!((&opened.value[..], opened.stale), (&b"text"[..], true));
        // Two keys of one name: the one that does not fit is no reason not to try the other.
        let twins = provider(&of(vec![key("old", 2, 32), key("old", 1, 32)]));
        let sealed = old.seal(&"a longer text than a block has".into(), passage("k", &random)).expect("sealed");
        let opened = twins.open(&sealed, passage("k", &random)).await;
        // Without authentication a wrong key may open to nonsense, one time in 256.
        assert!(opened.is_ok_and(|opened| opened.stale), "{}", both.prefix());
    }
}

#[tokio::test]
async fn a_value_that_was_moved_opens_only_where_nothing_is_authenticated() {
    let random = Counting::default();
    let gcm = provider(&Said::AesGcm(vec![key("one", 1, 32)]));
    let sealed = gcm.seal(&"text".into(), passage("/registry/secrets/a/b", &random)).expect("sealed");
    let moved = gcm.open(&sealed, passage("/registry/secrets/a/c", &random)).await;
    assert_eq!(moved.err().map(|f| f.text).as_deref(), Some("cipher: message authentication failed"));
}

#[tokio::test]
async fn what_is_damaged_is_refused_in_upstreams_words() {
    let random = Counting::default();
    let refused = async |said: Said, damage: &dyn Fn(&mut Vec<u8>)| {
        let provider = provider(&said);
        let sealed = provider.seal(&"text".into(), passage("k", &random)).expect("sealed");
        let mut bytes = sealed.to_vec();
        damage(&mut bytes);
        provider.open(&bytes.into(), passage("k", &random)).await.err().map(|failure| failure.text)
    };
    let flip: &dyn Fn(&mut Vec<u8>) = &|bytes| *bytes.last_mut().expect("it is not empty") ^= 1;
    let cut = |len: usize| move |bytes: &mut Vec<u8>| bytes.truncate("one:".len() + len);
    let cbc = || Said::AesCbc(vec![key("one", 1, 32)]);
    let gcm = || Said::AesGcm(vec![key("one", 1, 32)]);
    let secretbox = || Said::Secretbox(vec![key("one", 1, 32)]);
    let short = Some("the stored data was shorter than the required size".to_string());
    assert_eq!(refused(cbc(), &cut(15)).await, short);
    assert_eq!(refused(gcm(), &cut(11)).await, short);
    assert_eq!(refused(secretbox(), &cut(39)).await, short);
    assert_eq!(refused(cbc(), &cut(17)).await.as_deref(), Some("the stored data is not a multiple of the block size"));
    assert_eq!(refused(cbc(), &cut(16)).await.as_deref(), Some("invalid PKCS7 data (empty or not padded)"));
    assert_eq!(refused(gcm(), flip).await.as_deref(), Some("cipher: message authentication failed"));
    let words = "output array was not large enough for encryption";
    assert_eq!(refused(secretbox(), flip).await.as_deref(), Some(words));
    let renamed: &dyn Fn(&mut Vec<u8>) = &|bytes| bytes[0] = b'x';
    let words = "no matching key was found for the provided AES transformer";
    assert_eq!(refused(gcm(), renamed).await.as_deref(), Some(words));
    let words = "no matching key was found for the provided Secretbox transformer";
    assert_eq!(refused(secretbox(), renamed).await.as_deref(), Some(words));
}

#[test]
fn a_key_shows_nothing_of_itself() {
    let shown = format!("{:?}", key("one", b'k', 32));
    assert_eq!(shown, "Key { name: \"one\", secret: Secret }");
}
