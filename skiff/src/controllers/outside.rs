//! A kubeconfig, and the way to the server it names.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use api::Value;
use base64::Engine as _;
use certs::{PrivateKey, tls::KeyPair};
use client::{Transport, https::Https};

/// What the current context of a kubeconfig says.
pub struct Kubeconfig {
    pub server: String,
    pub authority_pem: String,
    /// Certificate and key, as PEM.
    certificate: Option<(String, String)>,
    token: Option<String>,
}

// === impl Kubeconfig ===

impl Kubeconfig {
    pub fn read(path: &Path) -> Result<Kubeconfig> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new(".")).to_path_buf();
        parse(&text, &folder).with_context(|| format!("{} is no kubeconfig that can be used", path.display()))
    }

    /// One that says who asks by a token.
    pub fn with_token(server: &str, authority_pem: &str, token: String) -> Kubeconfig {
        let (server, authority_pem) = (server.to_owned(), authority_pem.to_owned());
        Kubeconfig { server, authority_pem, certificate: None, token: Some(token) }
    }

    /// Certificate and key, as PEM.
    pub fn certificate(&self) -> Option<(&str, &str)> {
        self.certificate.as_ref().map(|(certificate, key)| (certificate.as_str(), key.as_str()))
    }

    /// The same server, as somebody else.
    pub fn transport_as(&self, shown: Arc<KeyPair>) -> Result<Arc<dyn Transport>> {
        let tls = certs::tls::client_config(&self.authority_pem, Some(shown), true)?;
        Ok(Arc::new(Https::new(&self.server, Arc::new(tls), None)?))
    }

    pub fn transport(&self) -> Result<Arc<dyn Transport>> {
        let shown = match &self.certificate {
            Some((certificate, key)) => Some(Arc::new(KeyPair::new(certificate, &PrivateKey::from_pem(key)?)?)),
            None => None,
        };
        let tls = certs::tls::client_config(&self.authority_pem, shown, true)?;
        Ok(Arc::new(Https::new(&self.server, Arc::new(tls), self.token.as_deref())?))
    }
}

impl Kubeconfig {
    /// The same server, without a word about who asks.
    pub fn bare(&self) -> Result<Arc<dyn Transport>> {
        let tls = certs::tls::client_config(&self.authority_pem, None, true)?;
        Ok(Arc::new(Https::new(&self.server, Arc::new(tls), None)?))
    }
}

fn parse(text: &str, folder: &Path) -> Result<Kubeconfig> {
    let config = codec::yaml::any(text.as_bytes()).map_err(|e| anyhow::anyhow!("{e}"))?;
    let context = entry(&config, "contexts", "context", config.str("current-context"))?;
    let cluster = entry(&config, "clusters", "cluster", context.str("cluster"))?;
    let user = entry(&config, "users", "user", context.str("user"))?;
    let part = |of: &Value, name: &str| material(of, name, folder);
    let Some(authority_pem) = part(cluster, "certificate-authority")? else {
        bail!("its cluster names no certificate-authority, and a server cannot be trusted blindly");
    };
    let certificate = match (part(user, "client-certificate")?, part(user, "client-key")?) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => bail!("its user has a certificate without a key, or the other way round"),
    };
    let token = match (user.opt_str("token"), user.opt_str("tokenFile")) {
        (Some(token), _) => Some(token.to_string()),
        (None, Some(file)) => Some(file_text(&folder.join(file))?),
        _ => None,
    };
    Ok(Kubeconfig { server: cluster.str("server").into(), authority_pem, certificate, token })
}

pub(crate) fn entry<'a>(config: &'a Value, list: &str, member: &str, name: &str) -> Result<&'a Value> {
    let found = config.list(list).iter().find(|e| e.str("name") == name);
    found.map(|e| e.at(member)).with_context(|| format!("it has no {member} {name:?}"))
}

/// `NAME-data` in base64, or the file `NAME`.
pub(crate) fn material(of: &Value, name: &str, folder: &Path) -> Result<Option<String>> {
    if let Some(data) = of.opt_str(&format!("{name}-data")) {
        let bytes = base64::engine::general_purpose::STANDARD.decode(data.trim());
        let bytes = bytes.with_context(|| format!("its {name}-data is not base64"))?;
        return Ok(Some(String::from_utf8(bytes).with_context(|| format!("its {name}-data is not PEM"))?));
    }
    of.opt_str(name).map(|file| file_text(&folder.join(file))).transpose()
}

fn file_text(path: &PathBuf) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
current-context: b
contexts: [{name: a, context: {cluster: x, user: x}}, {name: b, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: 'https://h:1', certificate-authority-data: UEVN}}]
users: [{name: u, user: {token: t}}]
";

    #[test]
    fn the_current_context_counts() {
        let read = parse(TEXT, Path::new("/")).expect("it is whole");
        assert_eq!((read.server.as_str(), read.authority_pem.as_str()), ("https://h:1", "PEM"));
        assert_eq!((read.token.as_deref(), read.certificate.is_none()), (Some("t"), true));
        let without = TEXT.replace("certificate-authority-data: UEVN", "insecure-skip-tls-verify: true");
        assert!(parse(&without, Path::new("/")).is_err(), "nobody is trusted blindly");
        assert!(parse(&TEXT.replace("current-context: b", "current-context: a"), Path::new("/")).is_err());
    }
}
