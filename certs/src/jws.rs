//! Signatures beside a text (RFC 7515, appendix F), made with a secret that both sides know.
//!
//! Upstream: cluster-bootstrap/token/jws.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// HS256 over `content`, which is left out of the answer.
///
/// `key_id` is of a bootstrap token: letters and digits, which JSON takes as they are.
pub fn detached(content: &str, key_id: &str, secret: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"HS256","kid":"{key_id}"}}"#));
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
    format!("{header}..{}", URL_SAFE_NO_PAD.encode(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_upstream_makes_of_it() {
        // Upstream: jws_test.go TestComputeDetachedSig.
        assert_eq!(
            detached(
                "Hello from the other side. I must have called a thousand times.",
                "joshua",
                "my voice is my passcode"
            ),
            "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8"
        );
    }
}
