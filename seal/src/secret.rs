//! Bytes that nobody prints.

use std::fmt;

/// A key. It can be compared and used, and shows nothing of itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

// === impl Secret ===

impl Secret {
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Secret {
        Secret(bytes.into())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    /// Shows that there is one, and no more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
