//! Nonces: no two messages are encrypted with the same key and the same nonce.
//!
//! For ciphers that a repeated nonce breaks: those that make a stream (SP 800-38A, 6.5; RFC 8439)
//! and the AEADs made of them (SP 800-38D, 8; SP 800-38C, 5.3). Doing the same message again, as
//! after an interruption, is no reuse.

use std::collections::BTreeMap;

use framework::{Cipher, Digest, SessionParams};
use timebase::Time;
use zeroize::Zeroizing;

use super::Findings;

/// Remembers which nonces each key was used with.
#[derive(Debug)]
pub struct NonceReuse {
    /// What it saw.
    pub findings: Findings,
    keys: Vec<Zeroizing<Vec<u8>>>,
    /// By consumer: its key among `keys`, and how it uses nonces; none if any nonce will do.
    consumers: Vec<Option<(usize, Kind)>>,
    /// By key and first nonce: the last nonce, and the message.
    used: BTreeMap<(usize, Nonce), (Nonce, Message)>,
}

/// A nonce, most significant byte first; what exceeds sixteen bytes stands in front.
type Nonce = (u64, u128);

/// A message: its consumer, and its number among the consumer's.
type Message = (u32, u64);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// The IV as it is.
    Whole,
    /// The IV is the first of as many counters as there are blocks.
    Counter,
}

impl Default for NonceReuse {
    fn default() -> Self {
        Self {
            findings: Findings::new("nonces"),
            keys: Vec::new(),
            consumers: Vec::new(),
            used: BTreeMap::new(),
        }
    }
}

impl NonceReuse {
    /// The next consumer has a session with `params`.
    pub fn watch(&mut self, params: &SessionParams) {
        let kind = kind(params);
        let key = params.cipher_key.as_ref().or(params.auth_key.as_ref());
        self.consumers.push(kind.zip(key).map(|(kind, key)| {
            let known = self.keys.iter().position(|known| **known == key.bytes());
            let index = known.unwrap_or_else(|| {
                self.keys.push(Zeroizing::new(key.bytes().to_vec()));
                self.keys.len() - 1
            });
            (index, kind)
        }));
    }

    /// A consumer has `message` of `len` bytes encrypted under `iv`.
    pub fn used(&mut self, at: Time, message: (u32, u64), iv: &[u8], len: usize) {
        let (consumer, number) = message;
        let Some(&Some((key, kind))) = self.consumers.get(consumer as usize) else {
            return;
        };
        self.findings.look();
        let first = nonce(iv);
        let blocks = match kind {
            Kind::Whole => 1,
            Kind::Counter => len.div_ceil(16).max(1) as u128,
        };
        let last = (first.0, first.1.saturating_add(blocks - 1));
        let mut before = self.used.range(..=(key, last)).rev();
        let other = before
            .next()
            .filter(|&(&(other, _), &(end, who))| other == key && end >= first && who != message);
        if let Some((_, &(_, (by, earlier)))) = other {
            self.findings.violation(at, || {
                format!(
                    "message {number} of consumer {consumer} has the key and a nonce of message \
                     {earlier} of consumer {by}"
                )
            });
        }
        let kept = self.used.entry((key, first)).or_insert((last, message));
        // The longer one covers more of what may come.
        if last > kept.0 {
            *kept = (last, message);
        }
    }
}

fn nonce(iv: &[u8]) -> Nonce {
    let (front, back) = iv.split_at(iv.len().saturating_sub(16));
    let front = front
        .iter()
        .fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    let back = back
        .iter()
        .fold(0, |sum, &byte| sum << 8 | u128::from(byte));
    (front, back)
}

fn kind(params: &SessionParams) -> Option<Kind> {
    match (params.cipher, params.digest) {
        (Some(Cipher::AesCtr), _) => Some(Kind::Counter),
        (
            Some(
                Cipher::AesGcm
                | Cipher::AesCcm
                | Cipher::ChaCha20
                | Cipher::ChaCha20Poly1305
                | Cipher::XChaCha20Poly1305,
            ),
            _,
        )
        | (None, Some(Digest::AesGmac)) => Some(Kind::Whole),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use framework::{Key, Mode};

    fn params(cipher: Cipher, key: u8) -> SessionParams {
        SessionParams {
            cipher: Some(cipher),
            cipher_key: Some(Key::new(&[key; 16])),
            ..SessionParams::of(Mode::Cipher)
        }
    }

    fn check(consumers: &[SessionParams]) -> NonceReuse {
        let mut check = NonceReuse::default();
        consumers.iter().for_each(|params| check.watch(params));
        check
    }

    fn iv(last: u8) -> [u8; 12] {
        let mut iv = [0; 12];
        iv[11] = last;
        iv
    }

    #[test]
    fn a_nonce_of_another_message_is_found_and_the_same_message_again_is_not() {
        let mut check = check(&[params(Cipher::AesGcm, 1), params(Cipher::AesGcm, 2)]);
        for message in [(0, 1), (0, 1), (1, 1)] {
            check.used(Time::ZERO, message, &iv(7), 1 << 16);
        }
        check.used(Time::ZERO, (0, 2), &iv(8), 64);
        assert_eq!(check.findings.messages(), [""; 0]);
        check.used(Time::ZERO, (0, 3), &iv(7), 64);
        assert_eq!(
            check.findings.messages(),
            ["message 3 of consumer 0 has the key and a nonce of message 1 of consumer 0"]
        );
    }

    #[test]
    fn consumers_that_share_a_key_share_its_nonces() {
        let mut check = check(&[params(Cipher::AesGcm, 1), params(Cipher::AesGcm, 1)]);
        check.used(Time::ZERO, (0, 1), &iv(7), 64);
        check.used(Time::ZERO, (1, 1), &iv(7), 64);
        assert_eq!(check.findings.violations(), 1);
    }

    #[test]
    fn counters_that_run_into_each_other_are_found() {
        let mut check = check(&[params(Cipher::AesCtr, 1)]);
        let iv = |last| u128::to_be_bytes(last);
        check.used(Time::ZERO, (0, 1), &iv(100), 64);
        check.used(Time::ZERO, (0, 2), &iv(104), 64);
        check.used(Time::ZERO, (0, 3), &iv(96), 64);
        assert_eq!(check.findings.messages(), [""; 0]);
        check.used(Time::ZERO, (0, 4), &iv(103), 1);
        check.used(Time::ZERO, (0, 5), &iv(95), 17);
        assert_eq!(check.findings.violations(), 2);
        check.used(Time::ZERO, (0, 6), &iv(200), 64);
        check.used(Time::ZERO, (0, 7), &iv(200), 16);
        check.used(Time::ZERO, (0, 8), &iv(203), 16);
        assert_eq!(check.findings.violations(), 4, "the longer one is kept");
    }

    #[test]
    fn any_nonce_will_do_for_a_block_mode() {
        let mut check = check(&[params(Cipher::AesCbc, 1)]);
        check.used(Time::ZERO, (0, 1), &[0; 16], 64);
        check.used(Time::ZERO, (0, 2), &[0; 16], 64);
        assert_eq!((check.findings.violations(), check.findings.looked), (0, 0));
    }

    #[test]
    fn long_nonces_count_with_all_their_bytes() {
        let mut check = check(&[params(Cipher::XChaCha20Poly1305, 1)]);
        let mut iv = [0; 24];
        check.used(Time::ZERO, (0, 1), &iv, 64);
        iv[0] = 1;
        check.used(Time::ZERO, (0, 2), &iv, 64);
        assert_eq!(check.findings.violations(), 0);
        check.used(Time::ZERO, (0, 3), &iv, 64);
        assert_eq!(check.findings.violations(), 1);
    }
}
