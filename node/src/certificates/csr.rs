//! Asking for a certificate: an object is made, and waited for until it has one.
//!
//! Upstream: client-go/util/certificate/csr/csr.go.

use std::time::Duration;

use api::{Value, value};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use certs::{Names, PrivateKey, Request, Subject, UnixSeconds, pem};
use client::{Client, Event, ListOptions, Resource, WatchOptions};
use tokio::time;

use super::{Error, Purpose};

/// Between attempts to follow a request.
const RETRY: Duration = Duration::from_secs(1);

/// What is asked for.
pub struct Ask<'a> {
    /// None: the server draws one.
    pub name: Option<&'a str>,
    pub purpose: Purpose,
    pub subject: &'a Subject,
    pub names: &'a Names,
    pub key: &'a PrivateKey,
}

/// A request that the server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    pub name: String,
    pub uid: String,
}

/// Makes the object. One of the same name that asks for the same with the same key is taken up. Upstream: RequestCertificate.
pub async fn post(client: &Client, ask: &Ask<'_>, now: UnixSeconds) -> Result<Posted, Error> {
    let request = Request::make(ask.key, ask.subject, ask.names)?;
    let mut object = value!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {},
        "spec": {
            "request": (STANDARD.encode(&request)), "signerName": (ask.purpose.signer()),
            "usages": (ask.purpose.usages(ask.key.kind()).to_vec())
        }
    });
    match ask.name {
        Some(name) => object.set_path(&["metadata", "name"], name),
        None => object.set_path(&["metadata", "generateName"], "csr-"),
    }
    let requests = requests();
    let stored = match (client.create(requests.all(), &object).await, ask.name) {
        (Ok(made), _) => made,
        (Err(error), Some(name)) if error.is_already_exists() => {
            let there = client.get(requests.named("", name)).await.map_err(Error::Retrieve)?;
            compatible(&there, ask, now).map_err(Error::Incompatible)?;
            there
        }
        (Err(error), _) => return Err(Error::Create(error)),
    };
    let meta = api::meta::of(&stored);
    Ok(Posted { name: meta.name().to_owned(), uid: meta.uid().to_owned() })
}

/// The certificate (PEM) that a request gets within a time. Upstream: WaitForCertificate.
pub async fn wait(client: &Client, posted: &Posted, within: Duration) -> Result<String, Error> {
    let waiting = async {
        loop {
            match follow(client, posted).await {
                Ok(Some(certificate)) => return Ok(certificate),
                // What is answered will be answered again; what broke off is begun anew.
                Err(Error::Watch(error))
                    if error.is_expired() || error.status().is_none_or(|status| status.code() >= 429) =>
                {
                    tracing::info!(%error, request = posted.name, "a request for a certificate cannot be followed");
                }
                Ok(None) => {}
                Err(error) => return Err(error),
            }
            time::sleep(RETRY).await;
        }
    };
    time::timeout(within, waiting).await.unwrap_or(Err(Error::TimedOut))
}

/// Follows a request until it has its certificate, or until the server ends the watch.
async fn follow(client: &Client, posted: &Posted) -> Result<Option<String>, Error> {
    let requests = requests();
    let fields = format!("metadata.name={}", posted.name);
    let options = ListOptions { fields: fields.clone(), ..ListOptions::default() };
    let list = client.list(requests.all(), &options).await.map_err(Error::Watch)?;
    let there = list.items.iter().find(|csr| api::meta::of(csr).name() == posted.name);
    let there = there.ok_or_else(|| deleted(posted))?;
    if let Some(certificate) = outcome(there, posted).map_err(Error::Refused)? {
        return Ok(Some(certificate));
    }
    let options = WatchOptions { fields, resource_version: list.resource_version, ..WatchOptions::default() };
    let mut watch = client.watch(requests.all(), &options).await.map_err(Error::Watch)?;
    while let Some(event) = watch.next().await.map_err(Error::Watch)? {
        match event {
            Event::Added(csr) | Event::Modified(csr) if api::meta::of(&csr).name() == posted.name => {
                if let Some(certificate) = outcome(&csr, posted).map_err(Error::Refused)? {
                    return Ok(Some(certificate));
                }
            }
            Event::Deleted(csr) if api::meta::of(&csr).name() == posted.name => return Err(deleted(posted)),
            Event::Failed(_) => return Ok(None),
            _ => {}
        }
    }
    Ok(None)
}

/// What has come of a request; none while it is undecided.
fn outcome(csr: &Value, posted: &Posted) -> Result<Option<String>, String> {
    let meta = api::meta::of(csr);
    if meta.uid() != posted.uid {
        return Err(format!("csr {:?} changed UIDs", meta.name()));
    }
    let mut is_approved = false;
    for condition in csr.at("status").list("conditions") {
        let (reason, message) = (condition.str("reason"), condition.str("message"));
        let refused = match condition.str("type") {
            "Denied" => "is denied",
            "Failed" => "failed",
            "Approved" => {
                is_approved = true;
                continue;
            }
            _ => continue,
        };
        return Err(format!("certificate signing request {refused}, reason: {reason}, message: {message}"));
    }
    let certificate = csr.at("status").str("certificate");
    if !is_approved || certificate.is_empty() {
        return Ok(None);
    }
    let text = STANDARD.decode(certificate).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.map(Some).ok_or_else(|| format!("the certificate of csr {:?} is no text", meta.name()))
}

/// Whether a request that is there is the one that would be made now. Upstream: ensureCompatible.
fn compatible(there: &Value, ask: &Ask<'_>, now: UnixSeconds) -> Result<(), String> {
    let text = STANDARD.decode(there.at("spec").str("request")).map_err(|error| error.to_string())?;
    let request = Request::from_pem(&text).map_err(|error| format!("unable to parse new csr: {error}"))?;
    let (subject, signer) = (ask.subject, ask.purpose.signer());
    if request.common_name != subject.common_name || request.organizations != subject.organizations {
        return Err(format!("csr subjects differ: new: {:?}, orig: {:?}", request.common_name, subject.common_name));
    }
    let theirs = there.at("spec").str("signerName");
    if theirs != signer {
        return Err(format!("csr signerNames differ: new {theirs:?}, orig: {signer:?}"));
    }
    if request.public_key().map_err(|error| error.to_string())? != ask.key.public_der() {
        return Err("error validating signature new CSR against old key: it is another's".to_owned());
    }
    let issued = STANDARD.decode(there.at("status").str("certificate")).unwrap_or_default();
    let issued = pem::certificates(&String::from_utf8_lossy(&issued)).unwrap_or_default();
    let ends = issued.iter().filter_map(|der| certs::inspect::certificate(der)).map(|said| said.not_after);
    match ends.min().filter(|end| now > *end) {
        Some(end) => Err(format!("one of the certificates for the CSR has expired: {end}")),
        None => Ok(()),
    }
}

fn deleted(posted: &Posted) -> Error {
    Error::Refused(format!("csr {:?} was deleted", posted.name))
}

fn requests() -> Resource {
    Resource::new("certificates.k8s.io", "v1", "certificatesigningrequests")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posted() -> Posted {
        Posted { name: "c".into(), uid: "u".into() }
    }

    fn csr(status: Value) -> Value {
        value!({"metadata": {"name": "c", "uid": "u"}, "status": status})
    }

    #[test]
    fn a_certificate_counts_once_it_is_approved() {
        let approved = || value!([{"type": "Approved"}]);
        assert_eq!(outcome(&csr(value!({})), &posted()), Ok(None));
        assert_eq!(outcome(&csr(value!({"conditions": (approved())})), &posted()), Ok(None));
        assert_eq!(outcome(&csr(value!({"certificate": "eA=="})), &posted()), Ok(None));
        let issued = csr(value!({"conditions": (approved()), "certificate": "eA=="}));
        assert_eq!(outcome(&issued, &posted()), Ok(Some("x".into())));
        let other = Posted { uid: "v".into(), ..posted() };
        assert_eq!(outcome(&issued, &other), Err("csr \"c\" changed UIDs".into()));
    }

    #[test]
    fn who_is_refused_hears_why() {
        let why = |kind: &str| {
            let condition = value!({"type": kind, "reason": "R", "message": "no"});
            outcome(&csr(value!({"conditions": (vec![value!({"type": "Approved"}), condition])})), &posted())
        };
        assert_eq!(why("Denied"), Err("certificate signing request is denied, reason: R, message: no".into()));
        assert_eq!(why("Failed"), Err("certificate signing request failed, reason: R, message: no".into()));
        assert_eq!(why("Other"), Ok(None));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_or_for_what_is_gone() {
        let fake = client::fake::Fake::new();
        let at = "/apis/certificates.k8s.io/v1/certificatesigningrequests/c";
        fake.put(at, csr(value!({})));
        let within = Duration::from_secs(5);
        assert!(matches!(wait(&fake.client(), &posted(), within).await, Err(Error::TimedOut)));
        let client = fake.client();
        let waiting = tokio::spawn(async move { wait(&client, &posted(), within).await });
        let _ = time::timeout(Duration::from_secs(1), std::future::pending::<()>()).await;
        fake.remove(at);
        let gone = waiting.await.expect("it ends").expect_err("it is gone");
        assert_eq!(gone.to_string(), "cannot watch on the certificate signing request: csr \"c\" was deleted");
    }
}
