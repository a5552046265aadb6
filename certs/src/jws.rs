//! Signatures beside a text (RFC 7515, appendix F), made with a secret that both sides know.
//!
//! Upstream: cluster-bootstrap/token/jws.

use aws_lc_rs::{constant_time, hmac};
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

/// Whether a signature is one over `content` by this secret. Upstream: DetachedTokenIsValid, which makes it anew.
pub fn is_valid(signature: &str, content: &str, key_id: &str, secret: &str) -> bool {
    let own = detached(content, key_id, secret);
    constant_time::verify_slices_are_equal(own.as_bytes(), signature.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_text_by_one_secret() {
        let made = detached("text", "abcdef", "0123456789abcdef");
        assert!(is_valid(&made, "text", "abcdef", "0123456789abcdef"));
        assert!(!is_valid(&made, "another text", "abcdef", "0123456789abcdef"));
        assert!(!is_valid(&made, "text", "abcdeg", "0123456789abcdef"));
        assert!(!is_valid(&made, "text", "abcdef", "0123456789abcdee"));
        assert!(!is_valid("", "text", "abcdef", "0123456789abcdef"));
    }

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
