//! The card's random numbers: a deterministic simulation of an entropy source.
//!
//! What noise does in silicon, the key stream of ChaCha20 (RFC 8439) does here, under a seed that
//! the card is made with: one seed is one sequence, so a run can be repeated. It is as good as its
//! seed, and a card of the same seed draws the same keys. Keeps no time: how fast entropy comes is
//! the business of whoever asks.
//!
//! The health test is the repetition count test of SP 800-90B, 4.4.1, over samples of 64 bits and
//! with a cutoff of two: a sample like the one before fails it, until the next reset. Sound noise
//! fails it once in 2^64 samples.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use regs::Status;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of one sample.
const SAMPLE: usize = 8;

/// A source of random numbers.
pub struct RandomSource {
    seed: Zeroizing<[u8; 32]>,
    noise: ChaCha20,
    last: [u8; SAMPLE],
    has_failed: bool,
}

impl RandomSource {
    /// The source that `seed` makes.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        Self {
            seed: Zeroizing::new(*seed),
            noise: ChaCha20::new(seed.into(), &[0; 12].into()),
            last: [0; SAMPLE],
            has_failed: false,
        }
    }

    /// Fills `bytes`. A source `is_stuck` when its noise stands still.
    ///
    /// # Errors
    /// [`Status::EntropyFailure`] once the health test has failed; `bytes` are then zero.
    pub fn fill(&mut self, bytes: &mut [u8], is_stuck: bool) -> Result<(), Status> {
        for part in bytes.chunks_mut(SAMPLE) {
            let sample = self.sample(is_stuck);
            part.copy_from_slice(&sample[..part.len()]);
        }
        if self.has_failed {
            bytes.zeroize();
            return Err(Status::EntropyFailure);
        }
        Ok(())
    }

    /// `N` random bytes.
    ///
    /// # Errors
    /// As for [`fill`](Self::fill).
    pub fn draw<const N: usize>(&mut self, is_stuck: bool) -> Result<Zeroizing<[u8; N]>, Status> {
        let mut bytes = Zeroizing::new([0; N]);
        self.fill(&mut *bytes, is_stuck)?;
        Ok(bytes)
    }

    /// Forgets that the health test failed; what follows in the sequence stays the same.
    pub fn restart(&mut self) {
        self.has_failed = false;
    }

    fn sample(&mut self, is_stuck: bool) -> [u8; SAMPLE] {
        let mut sample = [0; SAMPLE];
        // The key stream has an end, 256 gigabytes on: there the noise stands still.
        if is_stuck || self.noise.try_apply_keystream(&mut sample).is_err() {
            sample = self.last;
        }
        self.has_failed |= sample == self.last;
        self.last = sample;
        sample
    }
}

/// What a source is made of again: seed, place in the sequence, and the health test.
#[derive(Deserialize, Serialize)]
struct Saved {
    seed: Zeroizing<[u8; 32]>,
    place: u64,
    last: [u8; SAMPLE],
    has_failed: bool,
}

impl Serialize for RandomSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = self.noise.try_current_pos();
        let saved = Saved {
            seed: self.seed.clone(),
            place: place.map_err(serde::ser::Error::custom)?,
            last: self.last,
            has_failed: self.has_failed,
        };
        saved.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RandomSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let saved = Saved::deserialize(deserializer)?;
        let mut source = Self::new(&saved.seed);
        let place = source.noise.try_seek(saved.place);
        place.map_err(serde::de::Error::custom)?;
        source.last = saved.last;
        source.has_failed = saved.has_failed;
        Ok(source)
    }
}

impl std::fmt::Debug for RandomSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RandomSource")
            .field("has_failed", &self.has_failed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_is_one_sequence() {
        let draw = |seed: u8| *RandomSource::new(&[seed; 32]).draw::<100>(false).unwrap();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        // RFC 8439, A.1, test vector 1: key stream of the zero key and nonce, block 0.
        let first = [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90];
        assert_eq!(draw(0)[..8], first);
    }

    #[test]
    fn noise_that_stands_still_fails_the_health_test_until_a_restart() {
        let mut source = RandomSource::new(&[7; 32]);
        let mut bytes = [1; 24];
        assert_eq!(source.fill(&mut bytes, true), Err(Status::EntropyFailure));
        assert_eq!(bytes, [0; 24], "nothing of it is used");
        assert_eq!(source.fill(&mut bytes, false), Err(Status::EntropyFailure));
        source.restart();
        assert_eq!(source.fill(&mut bytes, false), Ok(()));
        assert_eq!(source.fill(&mut bytes, true), Err(Status::EntropyFailure));
    }
}
