//! Whose turn it is to fetch: strict priority between classes, weighted round robin within one.
//!
//! Of the pairs that want to fetch, the one with the most credit left in this round goes first;
//! among equals the one that waited longest. When none of a class has credit, a new round begins
//! for those that want. Keeps no time and reaches no ring: it knows pairs by number.

use regs::RingArbitration;

use crate::snapshot::{Check, check, is_plausible};

/// Priorities that a pair can have.
const CLASSES: usize = 4;

/// A set of ring pairs, which fit one word.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub(crate) struct RingSet(u128);

impl RingSet {
    #[inline]
    pub(crate) fn set(&mut self, ring: usize, is_in: bool) {
        let bit = 1 << ring;
        if is_in {
            self.0 |= bit;
        } else {
            self.0 &= !bit;
        }
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its pair, if there is just one.
    const fn only(self) -> Option<usize> {
        if self.0.is_power_of_two() {
            Some(self.0.trailing_zeros() as usize)
        } else {
            None
        }
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn has(self, ring: usize) -> bool {
        self.0 >> ring & 1 != 0
    }

    /// Whether it has pairs below `rings` only.
    pub(crate) const fn fits(self, rings: usize) -> bool {
        self.0 >> rings == 0
    }

    pub(crate) fn iter(mut self) -> impl Iterator<Item = usize> {
        std::iter::from_fn(move || {
            let ring = (self.0 != 0).then(|| self.0.trailing_zeros() as usize)?;
            self.0 &= self.0 - 1;
            Some(ring)
        })
    }
}

/// A pair's place among the others.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
struct Seat {
    setting: RingArbitration,
    /// Fetches left in this round.
    credit: u8,
    /// Number of its last grant.
    granted: u64,
}

/// Arbitration between the pairs of a card.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Arbiter {
    wanting: RingSet,
    classes: [RingSet; CLASSES],
    /// Pairs with credit left.
    fresh: RingSet,
    seats: Vec<Seat>,
    /// Grants so far.
    grants: u64,
}

impl Arbiter {
    /// An arbiter of `rings` pairs, all as after reset.
    pub(crate) fn new(rings: usize) -> Self {
        let setting = RingArbitration::from_bits(regs::RingRegister::RingArbitration.reset_value());
        let mut arbiter = Self {
            wanting: RingSet::default(),
            classes: [RingSet::default(); CLASSES],
            fresh: RingSet::default(),
            seats: vec![
                Seat {
                    setting,
                    credit: 0,
                    granted: 0
                };
                rings
            ],
            grants: 0,
        };
        for ring in 0..rings {
            arbiter.configure(ring, setting);
        }
        arbiter
    }

    /// As after reset, for `rings` pairs.
    pub(crate) fn reset(&mut self, rings: usize) {
        *self = Self::new(rings);
    }

    /// From now on there are `rings` pairs. Those that stay keep their place, others are as after
    /// reset.
    pub(crate) fn resize(&mut self, rings: usize) {
        let fresh = Self::new(rings.max(self.seats.len()));
        for ring in rings..self.seats.len() {
            self.wanting.set(ring, false);
            self.fresh.set(ring, false);
            self.classes
                .iter_mut()
                .for_each(|pairs| pairs.set(ring, false));
        }
        let before = self.seats.len().min(rings);
        self.seats.truncate(rings);
        self.seats.extend_from_slice(&fresh.seats[before..rings]);
        for ring in before..rings {
            self.reset_one(ring);
        }
    }

    /// `ring` is as after reset.
    pub(crate) fn reset_one(&mut self, ring: usize) {
        self.wanting.set(ring, false);
        let reset = regs::RingRegister::RingArbitration.reset_value();
        self.configure(ring, RingArbitration::from_bits(reset));
    }

    pub(crate) fn setting(&self, ring: usize) -> RingArbitration {
        self.seats[ring].setting
    }

    /// Gives `ring` another priority and weight; its round begins anew.
    pub(crate) fn configure(&mut self, ring: usize, setting: RingArbitration) {
        let setting = RingArbitration::new()
            .with_priority(setting.priority())
            .with_weight(setting.weight());
        self.seats[ring].setting = setting;
        for (class, pairs) in self.classes.iter_mut().enumerate() {
            pairs.set(ring, class == usize::from(setting.priority()));
        }
        self.refill(ring);
    }

    #[inline]
    pub(crate) fn set_wanting(&mut self, ring: usize, wants: bool) {
        self.wanting.set(ring, wants);
    }

    /// The pair whose turn it is, which wants no more; `None` if nobody wants.
    pub(crate) fn grant(&mut self) -> Option<usize> {
        let wanting = self.wanting;
        if wanting.is_empty() {
            return None;
        }
        let mut classes = self.classes.iter().rev().map(|&pairs| pairs.and(wanting));
        let candidates = classes.find(|pairs| !pairs.is_empty())?;
        if candidates.and(self.fresh).is_empty() {
            candidates.iter().for_each(|ring| self.refill(ring));
        }
        let rank = |&ring: &usize| {
            let seat = &self.seats[ring];
            (u8::MAX - seat.credit, seat.granted)
        };
        let fresh = candidates.and(self.fresh);
        let ring = match fresh.only() {
            Some(ring) => ring,
            None => fresh.iter().min_by_key(rank)?,
        };
        self.grants += 1;
        let seat = &mut self.seats[ring];
        seat.granted = self.grants;
        seat.credit -= 1;
        if seat.credit == 0 {
            self.fresh.set(ring, false);
        }
        self.wanting.set(ring, false);
        Some(ring)
    }

    /// Whether an arbiter of `rings` pairs can be in this state.
    pub(crate) fn check(&self, rings: usize) -> Check {
        check(self.seats.len() == rings, "number of seats")?;
        check(
            self.wanting.fits(rings) && self.fresh.fits(rings),
            "pairs that want to fetch",
        )?;
        check(is_plausible(self.grants), "number of grants")?;
        for (ring, seat) in self.seats.iter().enumerate() {
            check(
                !self.fresh.has(ring) || seat.credit != 0,
                "credit of a pair",
            )?;
            for (class, pairs) in self.classes.iter().enumerate() {
                let belongs = class == usize::from(seat.setting.priority());
                check(
                    pairs.has(ring) == belongs && pairs.fits(rings),
                    "class of a pair",
                )?;
            }
        }
        Ok(())
    }

    fn refill(&mut self, ring: usize) {
        let seat = &mut self.seats[ring];
        seat.credit = seat.setting.weight().max(1);
        self.fresh.set(ring, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who is granted, if every pair of `weights` always wants.
    fn grants(settings: &[(u8, u8)], count: usize) -> Vec<usize> {
        let mut arbiter = Arbiter::new(settings.len());
        for (ring, &(priority, weight)) in settings.iter().enumerate() {
            let setting = RingArbitration::new().with_priority(priority);
            arbiter.configure(ring, setting.with_weight(weight));
        }
        let turns = (0..count).map(|_| {
            (0..settings.len()).for_each(|ring| arbiter.set_wanting(ring, true));
            arbiter.grant().expect("all want")
        });
        turns.collect()
    }

    #[test]
    fn equals_take_turns() {
        assert_eq!(grants(&[(0, 1), (0, 1), (0, 1)], 7), [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn weights_share_a_round() {
        let granted = grants(&[(0, 3), (0, 1), (0, 0)], 500);
        let count = |ring| granted.iter().filter(|&&granted| granted == ring).count();
        assert_eq!([count(0), count(1), count(2)], [300, 100, 100]);
    }

    #[test]
    fn a_higher_priority_goes_first_always() {
        assert_eq!(grants(&[(0, 9), (2, 1), (1, 1)], 4), [1, 1, 1, 1]);
    }

    #[test]
    fn who_does_not_want_is_not_granted_and_holds_nobody_up() {
        let mut arbiter = Arbiter::new(65);
        assert_eq!(arbiter.grant(), None);
        for _ in 0..5 {
            arbiter.set_wanting(64, true);
            assert_eq!(arbiter.grant(), Some(64));
        }
        arbiter.set_wanting(3, true);
        arbiter.set_wanting(3, false);
        assert_eq!(arbiter.grant(), None);
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set = RingSet::default();
        for ring in [4, 127, 1] {
            set.set(ring, true);
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), [1, 4, 127]);
        set.set(127, false);
        assert_eq!(set.iter().collect::<Vec<_>>(), [1, 4]);
    }
}
