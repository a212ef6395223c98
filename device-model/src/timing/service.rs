//! Time of what is not symmetric: public-key lanes, and the rate at which entropy comes.

use timebase::{Span, Time};

use super::{Lane, ps_per_unit, scale};
use crate::profile::{EntropySource, Profile, PublicKeyEngine};
use crate::snapshot::{Check, check};

/// Lanes that work on long numbers.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
struct PublicKeyLanes {
    free_at: Vec<Time>,
    ps_per_millicycle: u64,
    startup_millicycles: u64,
    millicycles_per_product: u64,
}

impl PublicKeyLanes {
    fn new(engine: &PublicKeyEngine) -> Self {
        Self {
            free_at: vec![Time::ZERO; usize::from(engine.lanes.max(1))],
            ps_per_millicycle: ps_per_unit(engine.clock_hz.saturating_mul(1_000)),
            startup_millicycles: u64::from(engine.startup_cycles) * 1_000,
            millicycles_per_product: u64::from(engine.millicycles_per_product),
        }
    }

    /// The lane that is free first, the lowest number among equals.
    fn reserve(&mut self, ready: Time, word_products: u64) -> Lane {
        let lanes = self.free_at.iter().copied().enumerate();
        let (number, at) = lanes.min_by_key(|&(_, at)| at).unwrap_or_default();
        let work = self.millicycles_per_product.saturating_mul(word_products);
        let millicycles = self.startup_millicycles.saturating_add(work);
        let duration = scale(millicycles, self.ps_per_millicycle);
        let start = at.max(ready);
        let finish = start + duration;
        self.free_at[number] = finish;
        Lane {
            number: number as u8,
            start,
            finish,
            duration,
        }
    }
}

/// A source that fills a buffer at its own rate.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
struct Entropy {
    ps_per_byte: u64,
    /// What the buffer takes to fill.
    buffer: Span,
    /// When everything that was asked for has come.
    busy_until: Time,
}

impl Entropy {
    fn new(source: &EntropySource) -> Self {
        let ps_per_byte = ps_per_unit(source.bytes_per_second);
        Self {
            ps_per_byte,
            buffer: scale(u64::from(source.buffer_len), ps_per_byte),
            busy_until: Time::ZERO,
        }
    }

    /// When `len` bytes, asked for at `now`, are there. After a pause the buffer is full.
    fn reserve(&mut self, now: Time, len: u32) -> Time {
        let since = Time::from_ps(now.as_ps().saturating_sub(self.buffer.as_ps()));
        let needs = scale(u64::from(len), self.ps_per_byte);
        self.busy_until = self.busy_until.max(since) + needs;
        self.busy_until.max(now)
    }
}

/// Everything of a card that takes time and is not symmetric.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub(crate) struct ServiceLines {
    public_key: Option<PublicKeyLanes>,
    entropy: Entropy,
}

impl ServiceLines {
    pub(crate) fn new(profile: &Profile) -> Self {
        Self {
            public_key: profile.public_key.as_ref().map(PublicKeyLanes::new),
            entropy: Entropy::new(&profile.entropy),
        }
    }

    /// Whether a card like `fresh` can be in this state.
    pub(crate) fn check(&self, fresh: &Self) -> Check {
        let lanes = |lines: &Self| lines.public_key.as_ref().map(|lanes| lanes.free_at.len());
        check(lanes(self) == lanes(fresh), "number of public-key lanes")?;
        let (mut own, mut other) = (self.clone(), fresh.clone());
        for lines in [&mut own, &mut other] {
            lines.clear();
            lines.entropy.busy_until = Time::ZERO;
        }
        check(own == other, "rates of public-key lanes and entropy")
    }

    /// Whether the card has public-key lanes.
    pub(crate) const fn has_public_key(&self) -> bool {
        self.public_key.is_some()
    }

    /// Puts work that is there at `ready` on a public-key lane; `None` if the card has none.
    pub(crate) fn public_key(&mut self, ready: Time, word_products: u64) -> Option<Lane> {
        let lanes = self.public_key.as_mut()?;
        Some(lanes.reserve(ready, word_products))
    }

    /// When `len` random bytes, asked for at `now`, are there.
    pub(crate) fn entropy(&mut self, now: Time, len: u32) -> Time {
        self.entropy.reserve(now, len)
    }

    /// Forgets what was put on lanes. What entropy was drawn stays drawn.
    pub(crate) fn clear(&mut self) {
        if let Some(lanes) = &mut self.public_key {
            lanes.free_at.fill(Time::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ns: u64) -> Time {
        Time::ZERO + Span::from_ns(ns)
    }

    #[test]
    fn entropy_comes_at_its_rate_and_a_pause_fills_the_buffer() {
        // One byte a microsecond, and a buffer of ten.
        let mut entropy = Entropy::new(&EntropySource {
            bytes_per_second: 1_000_000,
            buffer_len: 10,
        });
        assert_eq!(entropy.reserve(at(0), 4), at(4_000), "an empty buffer");
        assert_eq!(entropy.reserve(at(0), 4), at(8_000), "behind the first");
        assert_eq!(entropy.reserve(at(50_000), 10), at(50_000), "a full one");
        assert_eq!(entropy.reserve(at(50_000), 3), at(53_000));
        assert_eq!(entropy.reserve(at(1_000_000), 25), at(1_015_000));
    }

    #[test]
    fn long_numbers_wait_for_the_lane_that_is_free_first() {
        let mut lanes = PublicKeyLanes::new(&PublicKeyEngine {
            lanes: 2,
            clock_hz: 1_000_000_000,
            startup_cycles: 100,
            millicycles_per_product: 500,
        });
        let first = lanes.reserve(at(0), 1_000);
        assert_eq!((first.number, first.finish), (0, at(600)));
        assert_eq!(lanes.reserve(at(0), 0).number, 1);
        let third = lanes.reserve(at(0), 0);
        assert_eq!((third.number, third.start), (1, at(100)));
        assert_eq!(
            lanes.reserve(at(0), u64::MAX).number,
            1,
            "however much work"
        );
    }
}
