//! Lanes of an engine group: who works next, and how long.

use timebase::{Span, Time};

use super::{ps_per_unit, scale};
use crate::profile::EngineGroup;
use crate::snapshot::{Check, check, sequence};

/// A reservation of an engine lane.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Lane {
    pub(crate) number: u8,
    pub(crate) start: Time,
    pub(crate) finish: Time,
    pub(crate) duration: Span,
}

/// Most lanes of a group; a profile is held to it.
const LANES_MAX: usize = 64;

/// When a lane is free again.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
struct FreeLane {
    at: Time,
    number: u8,
}

/// The lanes of one engine group.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Lanes {
    /// The first `count` entries are a ring. From `first` on they are the lanes in the order in
    /// which they get work: the one that is free first, the lowest number among equals.
    #[serde(with = "sequence")]
    order: [FreeLane; LANES_MAX],
    first: usize,
    count: usize,
    /// When the last of them is free.
    last: FreeLane,
    ps_per_millicycle: u64,
    startup_millicycles: u64,
    millicycles_per_byte: u64,
}

impl Lanes {
    pub(super) fn new(group: &EngineGroup) -> Self {
        let mut lanes = Self {
            order: [FreeLane::default(); LANES_MAX],
            first: 0,
            count: usize::from(group.lanes).clamp(1, LANES_MAX),
            last: FreeLane::default(),
            ps_per_millicycle: ps_per_unit(group.clock_hz.saturating_mul(1_000)),
            startup_millicycles: u64::from(group.rate.startup_cycles) * 1_000,
            millicycles_per_byte: u64::from(group.rate.millicycles_per_byte),
        };
        lanes.clear();
        lanes
    }

    pub(super) fn clear(&mut self) {
        self.first = 0;
        self.last = FreeLane {
            at: Time::ZERO,
            number: (self.count - 1) as u8,
        };
        for (number, lane) in self.order.iter_mut().enumerate() {
            *lane = FreeLane {
                at: Time::ZERO,
                number: number as u8,
            };
        }
    }

    /// What `len` bytes take on a lane, and `more` thousandths of a cycle.
    #[inline]
    pub(super) fn duration(&self, len: u32, more: u64) -> Span {
        let bytes = self.millicycles_per_byte * u64::from(len);
        let millicycles = self.startup_millicycles + bytes + more;
        scale(millicycles, self.ps_per_millicycle)
    }

    /// Takes the lane that is free first for `duration`, at `ready` or later.
    #[inline]
    pub(super) fn reserve_for(&mut self, ready: Time, duration: Span) -> Lane {
        let lane = &mut self.order[self.first % LANES_MAX];
        let number = lane.number;
        let start = lane.at.max(ready);
        let finish = start + duration;
        // Work of one size finishes in order: what was the first place of the ring is the last now.
        lane.at = finish;
        self.first = self.after(self.first);
        let last = self.last;
        if finish > last.at || (finish == last.at && number > last.number) {
            self.last = FreeLane { at: finish, number };
        } else {
            self.sort_last();
        }
        Lane {
            number,
            start,
            finish,
            duration,
        }
    }

    /// Whether lanes made as `fresh` were can be in this state.
    pub(super) fn check(&self, fresh: &Self) -> Check {
        let as_new = Self {
            order: fresh.order,
            first: fresh.first,
            last: fresh.last,
            ..self.clone()
        };
        check(as_new == *fresh, "profile of the lanes")?;
        check(self.first < self.count, "place of the lanes")?;
        let lanes = self.order[..self.count].iter();
        let last = lanes.max_by_key(|lane| (lane.at, lane.number));
        check(last == Some(&self.last), "the last lane that is free")?;
        let mut numbers = [false; LANES_MAX];
        for lane in &self.order[..self.count] {
            let number = numbers.get_mut(usize::from(lane.number));
            *number.ok_or("number of a lane")? = true;
        }
        let is_each = numbers[..self.count].iter().all(|&is_there| is_there);
        check(is_each, "numbers of the lanes")
    }

    #[inline]
    const fn after(&self, place: usize) -> usize {
        if place + 1 == self.count {
            0
        } else {
            place + 1
        }
    }

    const fn before(&self, place: usize) -> usize {
        if place == 0 {
            self.count - 1
        } else {
            place - 1
        }
    }

    /// Moves the last lane before those that are free later.
    fn sort_last(&mut self) {
        let mut place = self.before(self.first);
        let free = self.order[place];
        while place != self.first {
            let before = self.order[self.before(place)];
            if (before.at, before.number) < (free.at, free.number) {
                break;
            }
            self.order[place] = before;
            place = self.before(place);
        }
        self.order[place] = free;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Rate;

    /// Puts `len` bytes on a lane of an algorithm without rounds.
    fn reserve(lanes: &mut Lanes, ready: Time, len: u32) -> Lane {
        let duration = lanes.duration(len, 0);
        lanes.reserve_for(ready, duration)
    }

    #[test]
    fn the_lane_that_is_free_first_works_and_ties_go_to_the_lowest() {
        let mut lanes = Lanes::new(&EngineGroup {
            lanes: 2,
            clock_hz: 1_000_000_000,
            rate: Rate {
                startup_cycles: 10,
                millicycles_per_byte: 500,
            },
        });
        let first = reserve(&mut lanes, Time::ZERO, 100);
        assert_eq!(first.number, 0);
        assert_eq!(first.finish, Time::ZERO + Span::from_ns(60));
        assert_eq!(reserve(&mut lanes, Time::ZERO, 0).number, 1);
        let third = reserve(&mut lanes, Time::ZERO, 0);
        assert_eq!(third.number, 1);
        assert_eq!(third.start, Time::ZERO + Span::from_ns(10));
    }

    #[test]
    fn lanes_get_work_in_the_order_in_which_they_are_free() {
        let mut lanes = Lanes::new(&EngineGroup {
            lanes: 5,
            clock_hz: 1_000_000_000,
            rate: Rate {
                startup_cycles: 1,
                millicycles_per_byte: 1_000,
            },
        });
        let mut free = [Time::ZERO; 5];
        for step in 0..2_000_u64 {
            let ready = Time::from_ps(step * step % 7 * 1_000 + step * 5_000);
            let lane = reserve(&mut lanes, ready, (step * 7 % 11 * 4) as u32);
            let first = *free.iter().min().unwrap();
            let number = free.iter().position(|&at| at == first).unwrap();
            assert_eq!(usize::from(lane.number), number, "step {step}");
            assert_eq!(lane.start, first.max(ready));
            free[number] = lane.finish;
        }
    }
}
