//! Posted register writes on their way down, and what a rule does to them and to reads.
//!
//! Owns their order: a posted write never overtakes another one, unless a rule asks for it. `A` is
//! what the link calls the place of a register.

use std::collections::VecDeque;

use timebase::{Span, Time};

use super::Delays;
use crate::rule::Fate;

/// A register write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PostedWrite<A> {
    pub(crate) arrives: Time,
    pub(crate) at: A,
    pub(crate) value: u64,
}

/// The writes under way on one link, in the order in which they arrive.
#[derive(Debug)]
pub(crate) struct Posted<A>(VecDeque<PostedWrite<A>>);

impl<A> Default for Posted<A> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<A: Copy> Posted<A> {
    /// When the next one arrives.
    #[inline]
    pub(crate) fn deadline(&self) -> Time {
        self.0.front().map_or(Time::NEVER, |write| write.arrives)
    }

    /// None of them arrives.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The next one that has arrived by `now`.
    #[inline]
    pub(crate) fn arrived(&mut self, now: Time) -> Option<PostedWrite<A>> {
        self.0.pop_front_if(|write| write.arrives <= now)
    }

    /// The next one that a read at `now` pushes before it: it arrives at the latest then.
    #[inline]
    pub(crate) fn pushed(&mut self, now: Time) -> Option<PostedWrite<A>> {
        let mut write = self.0.pop_front()?;
        write.arrives = write.arrives.min(now);
        Some(write)
    }

    /// Sends `write`, which arrives at its time at the earliest, to meet `fate`.
    pub(crate) fn post(
        &mut self,
        mut write: PostedWrite<A>,
        fate: Option<Fate>,
        delays: &mut Delays,
    ) {
        let mut copies = 1;
        match fate {
            Some(Fate::Lose) => return,
            Some(Fate::Double) => copies = 2,
            Some(Fate::Delay(delay)) => write.arrives += delay,
            Some(Fate::Flip) => write.value ^= 1,
            Some(Fate::Overtake) => {
                write.arrives = write.arrives.min(self.deadline());
                return self.0.push_front(write);
            }
            _ => {}
        }
        let last = self.0.back().map_or(Time::ZERO, |last| last.arrives);
        write.arrives = last.max(write.arrives + delays.of_a_write());
        self.0.extend(std::iter::repeat_n(write, copies));
    }
}

/// What a read that meets `fate` gives in place of `value`, where `ones` is what it gives if nobody
/// answers, and how long the reader stands still for it.
#[inline]
pub(crate) fn answer(fate: Option<Fate>, value: u64, ones: u64) -> (u64, Span) {
    match fate {
        Some(Fate::Lose) => (ones, Span::ZERO),
        Some(Fate::Flip) => (value ^ 1, Span::ZERO),
        Some(Fate::Answer(answer)) => (u64::from(answer) & ones, Span::ZERO),
        Some(Fate::Delay(stall)) => (value, stall),
        _ => (value, Span::ZERO),
    }
}
