//! The wall clock and fresh identifiers: what the other crates are handed.

use std::io::Write;

use api::time::Clock;
use aws_lc_rs::rand;
use node::certificates::discovery::Token;
use registry::Ids;

/// The wall's clock.
pub struct Wall;

impl Clock for Wall {
    #[allow(clippy::disallowed_methods)]
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

/// Random identifiers.
pub struct Random;

/// Of a bootstrap token. Upstream: validBootstrapTokenChars.
const TOKEN_LETTERS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// Bytes from here on would make some letters likelier than others. Upstream: maxByteValue of randBytes.
const TOKEN_BYTE_MAX: u8 = 252;

/// Letters of generated names: no vowels, no look-alikes. Upstream: `rand.String` of apimachinery.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

impl Ids for Random {
    fn uid(&self) -> String {
        let mut bytes = [0; 16];
        rand::fill(&mut bytes).expect("the kernel gives random bytes");
        // RFC 4122, version 4.
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let mut uid = String::with_capacity(36);
        for (place, byte) in bytes.into_iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                uid.push('-');
            }
            uid.extend([byte >> 4, byte & 0xf].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])));
        }
        uid
    }

    fn suffix(&self) -> String {
        let mut bytes = [0; 5];
        rand::fill(&mut bytes).expect("the kernel gives random bytes");
        bytes.iter().map(|b| char::from(LETTERS[usize::from(*b) % LETTERS.len()])).collect()
    }
}

// === impl Random ===

impl Random {
    /// A bootstrap token. Upstream: cluster-bootstrap/token/util GenerateBootstrapToken.
    pub fn token(&self) -> Token {
        Token { id: letters(6), secret: letters(16) }
    }

    /// From 0 to 1.
    pub fn chance(&self) -> f64 {
        let mut bytes = [0; 4];
        rand::fill(&mut bytes).expect("the kernel gives random bytes");
        f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
    }
}

fn letters(len: usize) -> String {
    let mut text = String::with_capacity(len);
    while text.len() < len {
        let mut byte = [0];
        rand::fill(&mut byte).expect("the kernel gives random bytes");
        if byte[0] < TOKEN_BYTE_MAX {
            text.push(char::from(TOKEN_LETTERS[usize::from(byte[0]) % TOKEN_LETTERS.len()]));
        }
    }
    text
}

/// Says to the person at the terminal why it did not work.
pub fn complain(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "skiff: {error:#}");
}

/// Says why the flags are no good, as upstream's programs do.
pub fn complain_about_flags(words: &str) {
    let _ = writeln!(std::io::stderr(), "Error: {words}");
}

/// Says something to the person at the terminal.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
