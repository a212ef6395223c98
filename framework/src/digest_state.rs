//! A digest in the middle of a message, as it goes from one request to the next.
//!
//! Owns the state and zeroes it. Does not read it: a driver does.

use zeroize::Zeroizing;

use crate::Digest;
use crate::software::Running;

/// Length of a device's state, in bytes.
const DEVICE_LEN: usize = 256;

/// A digest in the middle of a message. A request leaves it in
/// [`Request::state`](crate::Request::state), and the next one of the message takes it up. A copy
/// begins a second message with the same bytes. Zeroed when dropped; `Debug` shows none of it.
///
/// A state is either software's or a device's, and only the same kind of driver reads it.
#[derive(Clone)]
pub struct DigestState {
    digest: Digest,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Software(Running),
    Device(Zeroizing<[u8; DEVICE_LEN]>),
}

impl DigestState {
    /// A state of `digest` as a device made it: 256 bytes, sealed if the digest has a key.
    ///
    /// # Errors
    /// [`StateLength`] if `bytes` are fewer or more.
    pub fn of_device(digest: Digest, bytes: &[u8]) -> Result<Self, StateLength> {
        let bytes = bytes.try_into().map_err(|_| StateLength(bytes.len()))?;
        let content = Content::Device(Zeroizing::new(bytes));
        Ok(Self { digest, content })
    }

    pub(crate) const fn of_software(digest: Digest, running: Running) -> Self {
        let content = Content::Software(running);
        Self { digest, content }
    }

    /// The digest it is of.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The bytes that a device made; `None` if it is software's.
    #[must_use]
    pub fn device_bytes(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Device(bytes) => Some(bytes.as_slice()),
            Content::Software(_) => None,
        }
    }

    pub(crate) const fn running(&self) -> Option<&Running> {
        match &self.content {
            Content::Software(running) => Some(running),
            Content::Device(_) => None,
        }
    }
}

impl std::fmt::Debug for DigestState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DigestState({:?})", self.digest)
    }
}

/// No digest state of a device has this many bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no digest state of a device has {0} bytes")]
pub struct StateLength(pub usize);
