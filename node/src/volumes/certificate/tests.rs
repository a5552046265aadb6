//! Requests for certificates, against stored objects: asked for once, renewed in time, refused for good.

use super::*;
use crate::objects::stored::Stored;

fn at(seconds: i64) -> Timestamp {
    Timestamp::new(1_700_000_000 + seconds, 0).expect("is a time")
}

fn pod() -> Value {
    value!({"metadata": {"namespace": "ns", "name": "p", "uid": "u"}, "spec": {"serviceAccountName": "sa"}})
}

fn world() -> (Arc<Stored>, Certificates) {
    let stored = Stored::new();
    stored.put(SERVICE_ACCOUNT, "ns", "sa", value!({"metadata": {"uid": "sa-uid"}}));
    let node = Node { name: "n".into(), uid: Arc::new(Mutex::new("n-uid".into())) };
    (stored.clone(), Certificates::new(stored, node))
}

async fn bundle(certificates: &Certificates, second: i64) -> Result<Bundle, String> {
    let source = value!({"signerName": "example.com/s", "keyType": "ED25519", "maxExpirationSeconds": 86400});
    certificates.bundle(&pod(), "v", 0, &source, at(second)).await
}

fn answer(stored: &Stored, name: &str, status: Value) {
    stored.put(CERTIFICATE_REQUEST, "ns", name, value!({"metadata": {"name": name}, "status": status}));
}

fn issued(text: &str, refresh: i64) -> Value {
    let chain = format!("junk\n{}", trust::encoded([text.as_bytes().to_vec()]));
    value!({"conditions": [{"type": "Issued"}], "certificateChain": chain,
        "beginRefreshAt": api::time::seconds(at(refresh))})
}

#[tokio::test]
async fn a_certificate_is_asked_for_once_and_anew_in_time() {
    let (stored, certificates) = world();
    let waiting = Err("credential bundle is not issued yet".to_owned());
    assert_eq!(bundle(&certificates, 0).await, waiting);
    assert_eq!(bundle(&certificates, 1).await, waiting);
    let asked = stored.asked();
    assert_eq!(asked.len(), 1);
    let spec = asked[0].at("spec");
    assert_eq!((spec.str("nodeUID"), spec.str("serviceAccountUID"), spec.str("podUID")), ("n-uid", "sa-uid", "u"));
    assert_eq!(spec.int("maxExpirationSeconds"), 86400);
    answer(&stored, "req-0", issued("one", 100));
    let first = bundle(&certificates, 2).await.expect("is issued");
    assert_eq!(first.chain, trust::encoded([b"one".to_vec()]));
    assert_eq!(bundle(&certificates, 99).await, Ok(first.clone()));
    assert_eq!(bundle(&certificates, 100).await, Ok(first.clone()), "the next is asked for");
    stored.be_away(true);
    assert_eq!(bundle(&certificates, 101).await, Ok(first.clone()));
    stored.be_away(false);
    answer(&stored, "req-1", issued("two", 200));
    let second = bundle(&certificates, 102).await.expect("is issued");
    assert_eq!(second.chain, trust::encoded([b"two".to_vec()]));
    assert_ne!(second.key, first.key);
}

#[tokio::test]
async fn what_is_refused_stays_refused() {
    let (stored, certificates) = world();
    assert!(bundle(&certificates, 0).await.is_err());
    answer(&stored, "req-0", value!({"conditions": [{"type": "Denied", "reason": "R", "message": "no \"you\""}]}));
    let refused = "PodCertificateRequest was permanently denied: reason=\"R\" message=\"no \\\"you\\\"\"";
    assert_eq!(bundle(&certificates, 1).await, Err(refused.into()));
    answer(&stored, "req-0", issued("one", 100));
    assert_eq!(bundle(&certificates, 2).await, Err(refused.into()));
    certificates.forget("u");
    assert_eq!(bundle(&certificates, 3).await, Err("credential bundle is not issued yet".into()));
    assert_eq!(stored.asked().len(), 2);
}

#[tokio::test]
async fn a_request_that_somebody_deleted_is_made_again() {
    let (stored, certificates) = world();
    assert!(bundle(&certificates, 0).await.is_err());
    stored.remove(CERTIFICATE_REQUEST, "ns", "req-0");
    let early = bundle(&certificates, 600).await.expect_err("is not issued");
    assert!(early.starts_with("while getting PodCertificateRequest \"ns/req-0\": "), "{early}");
    assert_eq!(bundle(&certificates, 601).await, Err("credential bundle is not issued yet".into()));
    assert_eq!(stored.asked().len(), 2);
}
