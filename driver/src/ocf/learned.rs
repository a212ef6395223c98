//! What the driver learned of its card, and what it offers because of that.
//!
//! The identity page is asked for once, when the driver is made; the card answers when it runs.
//! Until then, and if it does not, the driver offers what every card of this datasheet has.

use framework::{KeyOps, SessionParams};
use regs::{CipherCode, DigestCode, PUBLIC_KEY_BITS_MAX};

use super::params::{cipher_of, digest_of};
use crate::{AdminHandle, Identification, Ticket};

/// Kinds of entries in the table of algorithms.
const CIPHER: u8 = 1;
const DIGEST: u8 = 2;

/// What the driver learned.
#[derive(Debug, Default)]
pub(super) struct Learned {
    asked: Option<Ticket<Identification>>,
    known: Option<Identification>,
}

impl Learned {
    /// Asks the card.
    pub(super) fn asking(admin: &AdminHandle) -> Self {
        Self {
            asked: Some(admin.identify()),
            known: None,
        }
    }

    /// Looks for the answer.
    #[inline]
    pub(super) fn look(&mut self) {
        if self.asked.is_some() {
            self.look_closer();
        }
    }

    #[cold]
    fn look_closer(&mut self) {
        if let Some(answer) = self.asked.as_ref().and_then(Ticket::take) {
            self.asked = None;
            self.known = answer.ok();
        }
    }

    /// Whether the card has the algorithms of `params` with keys and IVs of these lengths.
    pub(super) fn has(&self, params: &SessionParams) -> bool {
        let Some(known) = &self.known else {
            return true;
        };
        let entry = |kind: u8, code: u8| {
            let mut entries = known.algorithms.iter();
            entries.find(move |entry| (entry.kind, entry.code) == (kind, code))
        };
        let (cipher, digest) = (cipher_of(params), digest_of(params));
        let has_cipher = cipher == CipherCode::None
            || entry(CIPHER, cipher as u8).is_some_and(|entry| {
                takes(entry.key, params.cipher_key_len) && takes(entry.iv, params.iv_len)
            });
        let has_digest = digest == DigestCode::None
            || entry(DIGEST, digest as u8)
                .is_some_and(|entry| takes(entry.key, params.auth_key_len));
        has_cipher && has_digest
    }

    /// Key operations that the card has.
    pub(super) fn key_operations(&self) -> KeyOps {
        let known = self.known.as_ref();
        known.map_or(KeyOps::all(), |known| {
            KeyOps::from_bits_truncate(known.identity.public_key_ops)
        })
    }

    /// Longest number of a key operation, in bits.
    pub(super) fn key_bits(&self) -> u16 {
        let known = self.known.as_ref().map(|known| known.identity);
        let bits = known.map_or(PUBLIC_KEY_BITS_MAX.into(), |known| known.public_key_bits);
        u16::try_from(bits).map_or(PUBLIC_KEY_BITS_MAX, |bits| bits.min(PUBLIC_KEY_BITS_MAX))
    }
}

/// Whether `len` is one of the lengths that an entry gives by shortest, longest and step.
fn takes([min, max, step]: [u8; 3], len: usize) -> bool {
    let (min, max) = (usize::from(min), usize::from(max));
    (min..=max).contains(&len) && (step == 0 || (len - min).is_multiple_of(step.into()))
}

#[cfg(test)]
mod tests {
    use regs::{AlgorithmEntry, Identity, algorithm_entries};

    use super::*;
    use crate::tests::cbc_params;

    fn learned(algorithms: Vec<AlgorithmEntry>) -> Learned {
        let identity = Identity {
            public_key_ops: KeyOps::MOD_EXP.bits(),
            public_key_bits: 2048,
            ..Identity::default()
        };
        Learned {
            asked: None,
            known: Some(Identification {
                identity,
                algorithms,
            }),
        }
    }

    #[test]
    fn a_card_is_offered_for_what_it_says_it_has() {
        let unknown = Learned::default();
        assert!(unknown.has(&cbc_params()));
        assert_eq!(unknown.key_operations(), KeyOps::all());
        assert_eq!(unknown.key_bits(), 8192);
        let whole = learned(algorithm_entries());
        assert!(whole.has(&cbc_params()));
        assert_eq!(whole.key_operations(), KeyOps::MOD_EXP);
        assert_eq!(whole.key_bits(), 2048);
        let mut entries = algorithm_entries();
        entries.retain(|entry| entry.code != CipherCode::AesCbc as u8);
        assert!(!learned(entries).has(&cbc_params()));
        let mut entries = algorithm_entries();
        for entry in &mut entries {
            entry.key = [32, 32, 1];
        }
        assert!(!learned(entries).has(&cbc_params()), "the key is shorter");
    }
}
