//! What makes one card different from the next of its kind.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// What is burnt into a card when it is made, and stays through resets and loss of power.
///
/// The default is a card of number zero without a root key, which can draw random numbers and
/// cannot exchange keys with other cards.
#[derive(Clone, Default, Zeroize, ZeroizeOnDrop)]
pub struct Provisioning {
    /// Serial number.
    pub serial: u64,
    /// Key that the cards of one fleet share. No command reads it.
    pub root_key: Option<[u8; 32]>,
    /// Where the random numbers of the card begin.
    pub entropy_seed: [u8; 32],
}

impl std::fmt::Debug for Provisioning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provisioning")
            .field("serial", &self.serial)
            .field("has_root_key", &self.root_key.is_some())
            .finish_non_exhaustive()
    }
}
