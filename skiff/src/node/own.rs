//! The certificate of a node beside a server of this process: signed by the server's authority, without a request.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use api::time::Clock as _;
use certs::{Authority, Issued, Names, Pki, Profile, Usage, tls::KeyPair};
use node::certificates;

use crate::clock::Wall;

const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// The certificate, and what makes the next.
pub struct Own {
    pub certificate: Arc<KeyPair>,
    authority: Authority,
    profile: Profile,
    issued: Issued,
}

// === impl Own ===

impl Own {
    pub fn new(pki: &Pki, node: &str, ips: &[String]) -> Result<Own> {
        let mut names = Names::default();
        std::iter::once(node).chain(ips.iter().map(String::as_str)).for_each(|name| names.add(name));
        let subject = certificates::subject(node);
        let profile = Profile { names, usage: Usage::Server, ..Profile::client(subject) };
        let authority = Authority::load(pki.ca.bundle_pem(), &pki.ca.key_pem())?;
        let issued = authority.issue(&profile, Wall.now().as_second())?;
        let certificate = Arc::new(KeyPair::new(&issued.certificate_pem, &issued.key)?);
        Ok(Own { certificate, authority, profile, issued })
    }

    /// Exchanges it in time, for ever.
    pub async fn keep(mut self) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            if let Err(error) = self.renew(Wall.now().as_second()) {
                tracing::error!(%error, "the certificate of this machine's node cannot be exchanged");
            }
        }
    }

    fn renew(&mut self, now: certs::UnixSeconds) -> Result<()> {
        if self.issued.is_due(now) {
            let issued = self.authority.issue(&self.profile, now)?;
            self.certificate.replace(&issued.certificate_pem, &issued.key)?;
            self.issued = issued;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_of_the_clusters_authority_and_exchanged_in_time() {
        let folder = tempfile::tempdir().expect("a directory");
        let now = Wall.now().as_second();
        let pki = Pki::open(folder.path(), &Names::default(), now).expect("it can be opened");
        let mut own = Own::new(&pki, "n", &["192.0.2.1".into()]).expect("it is issued");
        let shown = || own.certificate.chain().first().expect("there is one").clone();
        let first = shown();
        let mut wanted = Names::default();
        ["n", "192.0.2.1"].iter().for_each(|name| wanted.add(name));
        assert_eq!(certs::pki::names(&first).expect("it can be read"), wanted);
        let kept = own.certificate.clone();
        own.renew(now + 3600).expect("nothing is due");
        assert_eq!(kept.chain().first(), Some(&first));
        own.renew(now + 300 * 24 * 3600).expect("it is issued");
        assert_ne!(kept.chain().first(), Some(&first));
    }
}
