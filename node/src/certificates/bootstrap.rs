//! The first certificate of a node, for which somebody else's right is shown: a token's.
//!
//! A start that was cut off goes on where it was: the key waits in a file of its own, and the request's name follows from the
//! key, so that the same request is found again. Upstream: pkg/kubelet/certificate/bootstrap/bootstrap.go.

use std::{fs, io::ErrorKind, path::Path, time::Duration};

use api::time::Clock;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use certs::{Names, PrivateKey, Subject, files};
use client::Client;
use sha2::{Digest, Sha512_256};
use tokio::time;

use super::{
    Error, Pair, Purpose, Store, csr,
    csr::{Ask, Posted},
    subject,
};

const KEY_FILE: &str = "kubelet-client.key.tmp";
/// The server may take so long to come up. Upstream: waitForServer.
const SERVER: Duration = Duration::from_secs(60);
const SERVER_EVERY: Duration = Duration::from_secs(2);
/// Somebody may have to approve by hand. Upstream: requestNodeCertificate.
const WITHIN: Duration = Duration::from_secs(3600);

/// Asks for the node's client certificate with whatever right `client` has, and keeps it. Upstream: LoadClientCert.
pub async fn obtain(client: &Client, store: &Store, node: &str, clock: &dyn Clock) -> Result<Pair, Error> {
    let key = key(store)?;
    wait_for_server(client).await;
    let (subject, names) = (subject(node), Names::default());
    let name = name(&key, &subject);
    let ask = Ask { name: Some(&name), purpose: Purpose::Client, subject: &subject, names: &names, key: &key };
    let posted: Posted = csr::post(client, &ask, clock.now().as_second()).await?;
    tracing::info!(request = posted.name, "waiting for the client certificate to be issued");
    let certificate = csr::wait(client, &posted, WITHIN).await?;
    let pair = store.update(&certificate, &key, clock.now())?;
    let waiting = store.directory().join(KEY_FILE);
    if let Err(error) = fs::remove_file(&waiting).or_else(|e| (e.kind() == ErrorKind::NotFound).then_some(()).ok_or(e))
    {
        tracing::info!(%error, "a key that is not needed any more stays in {}", waiting.display());
    }
    Ok(pair)
}

/// The key of the pair that is there, which may have expired; else the one that waits, or a new one that does from now on.
fn key(store: &Store) -> Result<PrivateKey, Error> {
    if let Ok(Some(pair)) = store.current() {
        return Ok(pair.key);
    }
    waiting_key(&store.directory().join(KEY_FILE))
}

/// Upstream: keyutil.LoadOrGenerateKeyFile.
fn waiting_key(path: &Path) -> Result<PrivateKey, Error> {
    if let Some(text) = files::read(path)? {
        return PrivateKey::from_pem(&text).map_err(|error| error.in_file(path).into());
    }
    let made = PrivateKey::generate()?;
    if let Some(directory) = path.parent() {
        files::make_directory(directory)?;
    }
    files::write(path, &made.to_pem())?;
    Ok(made)
}

/// Each part stands apart from the next: `|` is in none of them. Upstream: digestedName.
fn name(key: &PrivateKey, subject: &Subject) -> String {
    let mut hash = Sha512_256::new();
    let mut write = |part: &[u8]| {
        hash.update(URL_SAFE_NO_PAD.encode(part));
        hash.update(b"|");
    };
    write(key.public_der());
    write(subject.common_name.as_bytes());
    subject.organizations.iter().for_each(|organization| write(organization.as_bytes()));
    Purpose::Client.usages(key.kind()).iter().for_each(|usage| write(usage.as_bytes()));
    format!("node-csr-{}", URL_SAFE_NO_PAD.encode(hash.finalize()))
}

/// A server that does not come up is found out by the request.
async fn wait_for_server(client: &Client) {
    let answers = async {
        while let Err(error @ client::Error::Unreachable(_)) = client.get_path("/healthz").await {
            tracing::info!(%error, "failed to connect to apiserver");
            time::sleep(SERVER_EVERY).await;
        }
    };
    if time::timeout(SERVER, answers).await.is_err() {
        tracing::warn!("timed out waiting to connect to apiserver");
    }
}

#[cfg(test)]
mod tests;
