//! What can go wrong with keys, certificates and the files that hold them.
//!
//! Every message names the file or the thing it is about: the binary prints it as it is and stops.

use std::path::PathBuf;

/// A failure of this crate. No variant carries key material, so that an error may be printed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{action} {}: {source}", path.display())]
    File { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{}: {reason}", path.display())]
    Contents { path: PathBuf, reason: String },
    #[error("no {0} found in the PEM text")]
    PemMissing(&'static str),
    #[error("the PEM text is damaged: {0}")]
    PemDamaged(String),
    #[error("the private key cannot be used: {0}")]
    Key(&'static str),
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    #[error("the certificate is not an authority's: it may not sign others")]
    NotAnAuthority,
    #[error("the authority's certificate expired at Unix time {0}")]
    AuthorityExpired(i64),
    #[error("{0:?} cannot stand in a certificate: names are ASCII and not empty")]
    BadName(String),
    #[error("the time {0} is outside of what a certificate can express")]
    Time(i64),
    #[error("{0}")]
    Request(String),
    #[error("signing failed: {0}")]
    Signing(String),
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the kubeconfig cannot be read: {0}")]
    Kubeconfig(String),
}

impl Error {
    /// Says which file a failure without a path is about.
    pub fn in_file(self, path: &std::path::Path) -> Error {
        match self {
            Error::File { .. } | Error::Contents { .. } => self,
            other => Error::Contents { path: path.to_owned(), reason: other.to_string() },
        }
    }
}
