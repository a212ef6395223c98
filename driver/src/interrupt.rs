//! Interrupts: which vector a ring gets, and which rings a set of vectors speaks of.
//!
//! A path may have fewer vectors than the card has rings; then rings share. Nothing is inferred
//! from the order of interrupts, and a vector that belongs to no ring is ignored.

use regs::{RingId, Vector};

/// The assignment of vectors to the rings of one card.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vectors {
    rings: u16,
    vectors: u16,
}

impl Vectors {
    /// For `rings` rings, the admin ring among them, over `vectors` vectors.
    pub(crate) fn new(rings: u16, vectors: u16) -> Self {
        assert!(vectors > 0, "bring-up refuses a path without vectors");
        Self { rings, vectors }
    }

    /// The vector of `ring`.
    pub(crate) fn of(self, ring: RingId) -> Vector {
        Vector(ring.0 % self.vectors)
    }

    /// Rings, bit `n` for ring `n`, that one of the `fired` vectors may speak of.
    #[inline]
    pub(crate) fn rings_of(self, fired: u128) -> u128 {
        let mut mask = fired & ones(self.vectors.min(self.rings));
        let mut width = self.vectors;
        // Ring n has vector n modulo their number: repeat the pattern until it covers all rings.
        while width < self.rings {
            mask |= mask << width;
            width *= 2;
        }
        mask & ones(self.rings)
    }
}

/// The lowest `count` bits.
fn ones(count: u16) -> u128 {
    u128::MAX
        .checked_shl(u32::from(count))
        .map_or(u128::MAX, |high| !high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vector_speaks_of_exactly_its_rings() {
        for rings in 1..=65 {
            for count in 1..=80 {
                let vectors = Vectors::new(rings, count);
                for vector in 0..count.min(127) {
                    let expected = (0..rings)
                        .filter(|&ring| vectors.of(RingId(ring)) == Vector(vector))
                        .fold(0, |mask, ring| mask | 1_u128 << ring);
                    assert_eq!(vectors.rings_of(1 << vector), expected, "{rings} {count}");
                }
            }
        }
    }

    #[test]
    fn a_vector_of_no_ring_is_ignored() {
        assert_eq!(Vectors::new(3, 3).rings_of(1 << 90), 0);
        assert_eq!(Vectors::new(3, 128).rings_of(u128::MAX), 0b111);
    }
}
