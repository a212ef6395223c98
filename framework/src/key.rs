//! Key bytes that are zeroed when nobody needs them.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A key. Zeroed when dropped; `Debug` shows the length only.
#[derive(Clone, Eq, PartialEq, Zeroize, ZeroizeOnDrop)]
pub struct Key(Box<[u8]>);

impl Key {
    /// Takes over key bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// One key after the other.
    pub(crate) fn joined(first: &Self, second: &Self) -> Self {
        Self([first.bytes(), second.bytes()].concat().into())
    }

    /// The key bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({} bytes)", self.0.len())
    }
}
