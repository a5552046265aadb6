//! The certificate that a node serves with when it was given none: its own, kept beside its state.
//!
//! Upstream: cmd/kubelet/app/server.go initKubeletServer, which leaves `pki/kubelet.crt` and `kubelet.key`.

use std::{path::Path, sync::Arc};

use certs::{Authority, Error, Names, PrivateKey, Profile, files, tls::KeyPair};

/// The certificate in `directory`, made when there is none that names all of `names`, or when it is due.
pub fn own(directory: &Path, node: &str, names: &[String], now: i64) -> Result<Arc<KeyPair>, Error> {
    files::make_directory(directory)?;
    let (certificate_path, key_path) = (directory.join("kubelet.crt"), directory.join("kubelet.key"));
    let mut wanted = Names::default();
    names.iter().for_each(|name| wanted.add(name));
    if let (Some(certificate), Some(key)) = (files::read(&certificate_path)?, files::read(&key_path)?)
        && let Ok(Some(kept)) = kept(&certificate, &key, &wanted, now)
    {
        return Ok(kept);
    }
    let authority = Authority::generate(&format!("{node}-ca@{now}"), now)?;
    let issued = authority.issue(&Profile::server(&format!("{node}@{now}"), wanted), now)?;
    let chain = format!("{}{}", issued.certificate_pem, authority.bundle_pem());
    // The key first: one without a certificate is a start that was cut off.
    files::write(&key_path, &issued.key.to_pem())?;
    files::write(&certificate_path, &chain)?;
    Ok(Arc::new(KeyPair::new(&chain, &issued.key)?))
}

/// What was kept, if it still serves. A day before its end it is made anew: nobody restarts a node every day.
fn kept(certificate: &str, key: &str, wanted: &Names, now: i64) -> Result<Option<Arc<KeyPair>>, Error> {
    let chain = certs::pem::certificates(certificate)?;
    let Some(leaf) = chain.first() else { return Ok(None) };
    let fresh = certs::inspect::certificate(leaf).is_some_and(|said| said.not_after > now + 24 * 3600);
    if !fresh || !certs::pki::names(leaf)?.cover(wanted) {
        return Ok(None);
    }
    Ok(Some(Arc::new(KeyPair::new(certificate, &PrivateKey::from_pem(key)?)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_until_it_no_longer_fits() {
        let root = tempfile::tempdir().expect("a directory");
        let chain = |names: &[&str], now| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            own(root.path(), "n", &names, now).expect("it is made").chain()
        };
        let now = 1_780_000_000;
        let first = chain(&["n", "10.0.0.1"], now);
        assert_eq!(first.len(), 2, "its authority comes with it");
        assert_eq!(chain(&["n", "10.0.0.1"], now + 3600), first);
        assert_ne!(chain(&["n", "10.0.0.2"], now + 3600), first, "the node has another address");
        let second = chain(&["n"], now + 3600);
        assert_ne!(chain(&["n"], now + 400 * 24 * 3600), second, "it had ended");
    }
}
