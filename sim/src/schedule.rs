//! The schedule: which actor of the world acts next, and when.
//!
//! Every actor has at most one appointment. Order is by time; appointments at the same time are
//! taken in the order of a number drawn from the seed when they were made, then in the order they
//! were made. So every interleaving of simultaneous actors can be reached by some seed, and one
//! seed reaches the same one every time.
//!
//! A four-way heap that knows each actor's place in it: an appointment is moved where it stands, so
//! nothing stale is left behind and the heap never outgrows the number of actors.

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use timebase::Time;

/// Number of an actor.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Actor(pub u32);

/// Appointments of all actors.
#[derive(Debug)]
pub struct Schedule {
    heap: Vec<Appointment>,
    /// Where each actor's appointment stands in the heap, or [`NOWHERE`].
    places: Vec<u32>,
    /// Whether the root was kept: the next appointment that is made takes its place, which saves
    /// an actor that appoints itself again one way through the heap.
    root_is_kept: bool,
    made: u32,
    ties: Xoshiro256PlusPlus,
}

const NOWHERE: u32 = u32::MAX;
/// Children of a heap node: a shallow heap touches fewer cache lines.
const ARITY: usize = 4;

#[derive(Clone, Copy, Debug)]
struct Appointment {
    /// When, then the draw that breaks ties, then the number of the appointment: one number,
    /// because a comparison that is not a branch cannot be predicted wrongly.
    order: u128,
    actor: Actor,
}

impl Appointment {
    #[inline]
    const fn at(&self) -> Time {
        Time::from_ps((self.order >> 64) as u64)
    }
}

impl Schedule {
    /// A schedule for `actors` actors whose ties are broken by `seed`.
    #[must_use]
    pub fn new(actors: u32, seed: u64) -> Self {
        Self {
            heap: Vec::with_capacity(actors as usize),
            places: vec![NOWHERE; actors as usize],
            root_is_kept: false,
            made: 0,
            ties: Xoshiro256PlusPlus::seed_from_u64(seed),
        }
    }

    /// Makes `at` the actor's only appointment; [`Time::NEVER`] cancels it.
    #[inline]
    pub fn set(&mut self, actor: Actor, at: Time) {
        let place = self.places[actor.0 as usize];
        if place == NOWHERE {
            if at != Time::NEVER {
                self.add(actor, at);
            }
            return;
        }
        let place = place as usize;
        let before = self.heap[place].at();
        if at == Time::NEVER {
            self.places[actor.0 as usize] = NOWHERE;
            self.remove(place);
        } else if at != before {
            self.heap[place] = self.appoint(actor, at);
            if at < before {
                self.rise(place)
            } else {
                self.sink(place)
            };
        }
    }

    /// Makes `at` the actor's appointment unless it has an earlier one.
    #[inline]
    pub fn at_latest(&mut self, actor: Actor, at: Time) {
        let place = self.places[actor.0 as usize];
        if place == NOWHERE || at < self.heap[place as usize].at() {
            self.set(actor, at);
        }
    }

    /// The next appointment, which is thereby kept.
    #[inline]
    pub fn next_due(&mut self) -> Option<(Time, Actor)> {
        if std::mem::take(&mut self.root_is_kept) {
            self.remove(0);
        }
        let first = self.heap.first_mut()?;
        let due = (first.at(), first.actor);
        self.places[first.actor.0 as usize] = NOWHERE;
        // Nothing rises above it.
        first.order = 0;
        self.root_is_kept = true;
        Some(due)
    }

    #[inline]
    fn add(&mut self, actor: Actor, at: Time) {
        let appointment = self.appoint(actor, at);
        if std::mem::take(&mut self.root_is_kept) {
            self.heap[0] = appointment;
            self.sink(0);
        } else {
            self.heap.push(appointment);
            self.rise(self.heap.len() - 1);
        }
    }

    #[inline]
    fn appoint(&mut self, actor: Actor, at: Time) -> Appointment {
        self.made = self.made.wrapping_add(1);
        let order = u64::from(self.ties.next_u32()) << 32 | u64::from(self.made);
        let order = u128::from(at.as_ps()) << 64 | u128::from(order);
        Appointment { order, actor }
    }

    /// Takes an appointment out whose actor has none any more.
    fn remove(&mut self, place: usize) {
        self.heap.swap_remove(place);
        if place < self.heap.len() {
            // What came from the end may belong above or below.
            let settled = self.rise(place);
            self.sink(settled);
        }
    }

    /// Moves the appointment at `place` up to where it belongs; returns where that is.
    #[inline]
    fn rise(&mut self, mut place: usize) -> usize {
        let appointment = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / ARITY;
            if appointment.order >= self.heap[parent].order {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, appointment);
        place
    }

    /// Moves the appointment at `place` down to where it belongs; returns where that is.
    #[inline]
    fn sink(&mut self, mut place: usize) -> usize {
        let appointment = self.heap[place];
        loop {
            let first = (place * ARITY + 1).min(self.heap.len());
            let last = (first + ARITY).min(self.heap.len());
            let children = self.heap[first..last].iter().enumerate();
            let least = children.map(|(child, it)| (it.order, first + child));
            let Some((order, child)) = least.reduce(|a, b| if b.0 < a.0 { b } else { a }) else {
                break;
            };
            if order >= appointment.order {
                break;
            }
            self.put(place, self.heap[child]);
            place = child;
        }
        self.put(place, appointment);
        place
    }

    #[inline]
    fn put(&mut self, place: usize, appointment: Appointment) {
        self.heap[place] = appointment;
        self.places[appointment.actor.0 as usize] = place as u32;
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

    #[test]
    fn the_heap_agrees_with_a_plain_list() {
        let mut schedule = Schedule::new(20, 7);
        let mut list = [Time::NEVER; 20];
        let mut state = 1_u64;
        for _ in 0..20_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let (actor, draw) = ((state >> 33) as usize % 20, state >> 40);
            match draw % 4 {
                0 => {
                    let next = list.iter().min().copied().filter(|&at| at != Time::NEVER);
                    let due = schedule.next_due();
                    assert_eq!(due.map(|(at, _)| at), next);
                    if let Some((at, actor)) = due {
                        assert_eq!(list[actor.0 as usize], at);
                        list[actor.0 as usize] = Time::NEVER;
                    }
                }
                1 if draw % 3 == 0 => {
                    schedule.set(Actor(actor as u32), Time::NEVER);
                    list[actor] = Time::NEVER;
                }
                2 => {
                    let at = Time::from_ps(draw % 1000);
                    schedule.at_latest(Actor(actor as u32), at);
                    list[actor] = list[actor].min(at);
                }
                _ => {
                    let at = Time::from_ps(draw % 1000);
                    schedule.set(Actor(actor as u32), at);
                    list[actor] = at;
                }
            }
            assert_eq!(
                schedule.heap.len() - usize::from(schedule.root_is_kept),
                list.iter().filter(|&&at| at != Time::NEVER).count()
            );
        }
    }
}
