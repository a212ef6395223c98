//! The schedule: which actor of the world acts next, and when.
//!
//! Every actor has at most one appointment. Order is by time; appointments at the same time are taken
//! in the order of a number drawn from the seed when they were made, then in the order they were made.
//! So every interleaving of simultaneous actors can be reached by some seed, and one seed reaches the
//! same one every time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use timebase::Time;

/// Number of an actor.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Actor(pub u32);

/// Appointments of all actors.
#[derive(Debug)]
pub struct Schedule {
    heap: BinaryHeap<Reverse<(Time, u32, u32, Actor)>>,
    appointments: Vec<Appointment>,
    made: u32,
    ties: Xoshiro256PlusPlus,
}

#[derive(Clone, Copy, Debug)]
struct Appointment {
    at: Time,
    number: u32,
}

impl Schedule {
    /// A schedule for `actors` actors whose ties are broken by `seed`.
    #[must_use]
    pub fn new(actors: u32, seed: u64) -> Self {
        let none = Appointment {
            at: Time::NEVER,
            number: 0,
        };
        Self {
            heap: BinaryHeap::new(),
            appointments: vec![none; actors as usize],
            made: 0,
            ties: Xoshiro256PlusPlus::seed_from_u64(seed),
        }
    }

    /// Makes `at` the actor's only appointment; [`Time::NEVER`] cancels it.
    #[inline]
    pub fn set(&mut self, actor: Actor, at: Time) {
        let appointment = &mut self.appointments[actor.0 as usize];
        if appointment.at == at {
            return;
        }
        self.made = self.made.wrapping_add(1);
        *appointment = Appointment {
            at,
            number: self.made,
        };
        if at != Time::NEVER {
            self.heap
                .push(Reverse((at, self.ties.next_u32(), self.made, actor)));
        }
    }

    /// Makes `at` the actor's appointment unless it has an earlier one.
    #[inline]
    pub fn at_latest(&mut self, actor: Actor, at: Time) {
        if at < self.appointments[actor.0 as usize].at {
            self.set(actor, at);
        }
    }

    /// The next appointment, which is thereby kept.
    #[inline]
    pub fn next_due(&mut self) -> Option<(Time, Actor)> {
        while let Some(Reverse((at, _, number, actor))) = self.heap.pop() {
            let appointment = &mut self.appointments[actor.0 as usize];
            // An appointment that was moved leaves its old entry behind.
            if appointment.number == number && appointment.at == at {
                appointment.at = Time::NEVER;
                return Some((at, actor));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(seed: u64) -> Vec<u32> {
        let mut schedule = Schedule::new(8, seed);
        for actor in 0..8 {
            schedule.set(Actor(actor), Time::from_ps(u64::from(actor / 4)));
        }
        std::iter::from_fn(|| schedule.next_due())
            .map(|(_, actor)| actor.0)
            .collect()
    }

    #[test]
    fn time_comes_first_and_the_seed_breaks_ties() {
        let one = order(1);
        assert_eq!(one, order(1), "one seed, one order");
        assert!(
            one[..4].iter().all(|&actor| actor < 4),
            "earlier appointments first"
        );
        assert!(
            (2..50).any(|seed| order(seed) != one),
            "another seed, another order"
        );
    }

    #[test]
    fn a_moved_appointment_is_kept_once() {
        let mut schedule = Schedule::new(2, 0);
        schedule.set(Actor(0), Time::from_ps(10));
        schedule.set(Actor(0), Time::from_ps(5));
        schedule.set(Actor(1), Time::from_ps(7));
        schedule.at_latest(Actor(1), Time::from_ps(9));
        assert_eq!(schedule.next_due(), Some((Time::from_ps(5), Actor(0))));
        assert_eq!(schedule.next_due(), Some((Time::from_ps(7), Actor(1))));
        assert_eq!(schedule.next_due(), None);
    }

    #[test]
    fn a_cancelled_appointment_is_not_kept() {
        let mut schedule = Schedule::new(1, 0);
        schedule.set(Actor(0), Time::from_ps(10));
        schedule.set(Actor(0), Time::NEVER);
        assert_eq!(schedule.next_due(), None);
    }
}
