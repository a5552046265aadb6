//! Whether two texts hold a certificate and a key, in the words of Go's `tls.X509KeyPair`.
//!
//! Only the outer form is looked at; whether the key is the certificate's is not.

use base64::{Engine, engine::general_purpose::STANDARD};

/// What is wrong with a pair.
pub fn key_pair(certificate: &[u8], key: &[u8]) -> Result<(), String> {
    let blocks = types(certificate);
    if !blocks.iter().any(|t| t == "CERTIFICATE") {
        return Err(match blocks.as_slice() {
            [] => "tls: failed to find any PEM data in certificate input".into(),
            [only] if only.ends_with("PRIVATE KEY") => "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched".into(),
            several => format!("tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: [{}]", several.join(" ")),
        });
    }
    let blocks = types(key);
    if !blocks.iter().any(|t| t == "PRIVATE KEY" || t.ends_with(" PRIVATE KEY")) {
        return Err(match blocks.as_slice() {
            [] => "tls: failed to find any PEM data in key input".into(),
            [only] if only == "CERTIFICATE" => {
                "tls: found a certificate rather than a key in the PEM for the private key".into()
            }
            several => format!(
                "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the following types: [{}]",
                several.join(" ")
            ),
        });
    }
    Ok(())
}

/// The types of the blocks that are whole.
fn types(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let mut types = Vec::new();
    let mut rest = text.as_ref();
    while let Some(start) = rest.find("-----BEGIN ") {
        let head = &rest[start + 11..];
        let Some((kind, body)) = head.split_once("-----") else { break };
        let Some((inner, after)) = body.split_once(&format!("-----END {kind}-----")) else {
            rest = body;
            continue;
        };
        if is_body(inner) {
            types.push(kind.to_string());
        }
        rest = after;
    }
    types
}

/// Base64, after headers if there are any.
fn is_body(inner: &str) -> bool {
    let lines = inner.lines().filter(|line| !line.contains(':'));
    let text: String = lines.flat_map(|line| line.chars().filter(|c| !c.is_whitespace())).collect();
    STANDARD.decode(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(kind: &str) -> String {
        format!("-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n")
    }

    #[test]
    fn both_halves_have_their_block() {
        let (certificate, key) = (block("CERTIFICATE"), block("EC PRIVATE KEY"));
        assert_eq!(key_pair(certificate.as_bytes(), key.as_bytes()), Ok(()));
        let switched = key_pair(key.as_bytes(), certificate.as_bytes());
        assert!(switched.is_err_and(|e| e.ends_with("PEM inputs may have been switched")));
        assert_eq!(key_pair(certificate.as_bytes(), b"x"), Err("tls: failed to find any PEM data in key input".into()));
        let parameters = format!("{}{}", block("EC PARAMETERS"), key);
        assert_eq!(key_pair(certificate.as_bytes(), parameters.as_bytes()), Ok(()));
    }
}
