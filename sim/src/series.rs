//! The course of a run over virtual time: who served each request, how long it took, how full the
//! rings were.
//!
//! Collects raw samples while the run goes on and cuts them into equal steps at the end, when its
//! length is known.

use driver::DriverEvent;
use regs::RingId;
use timebase::{Span, Time};

use crate::event::{Event, Record};
use crate::outcome::{Latency, Sample, Series};

/// Steps a series has at most.
const STEPS: u64 = 240;

/// Raw samples of a run.
#[derive(Debug, Default)]
pub struct Course {
    /// Slot that a request was last posted to, by request number.
    slots: Vec<u16>,
    /// Commands in the rings of each slot now.
    in_rings: Vec<u32>,
    /// Each change of that, by slot.
    occupancy: Vec<(Time, u16, u32)>,
    finished: Vec<Finish>,
}

/// One request that called back well.
#[derive(Clone, Copy, Debug)]
struct Finish {
    at: Time,
    latency: Span,
    slot: u16,
    bytes: u32,
}

impl Course {
    /// Slot number of requests that no card served.
    pub const SOFTWARE: u16 = u16::MAX;

    #[inline]
    pub(crate) fn observe(&mut self, record: &Record) {
        let Event::Driver { card, event } = record.event else {
            return;
        };
        match event {
            DriverEvent::Posted { ring, request, .. } if ring != RingId::ADMIN => {
                if let Some(request) = request {
                    let index = request as usize;
                    if index >= self.slots.len() {
                        self.slots.resize(index + 1, Self::SOFTWARE);
                    }
                    self.slots[index] = card;
                }
                self.change(record.at, card, |count| count + 1);
            }
            DriverEvent::Reaped { ring, .. } if ring != RingId::ADMIN => {
                self.change(record.at, card, |count| count.saturating_sub(1));
            }
            DriverEvent::Reset | DriverEvent::Lost => self.change(record.at, card, |_| 0),
            _ => {}
        }
    }

    /// A request called back well.
    pub fn finished(&mut self, at: Time, request: u64, latency: Span, bytes: u32) {
        let slot = self
            .slots
            .get(request as usize)
            .copied()
            .unwrap_or(Self::SOFTWARE);
        self.finished.push(Finish {
            at,
            latency,
            slot,
            bytes,
        });
    }

    /// The slot that `request` was last posted to; none if it never was posted to a card.
    pub(crate) fn slot_of(&self, request: u64) -> Option<u16> {
        self.slots.get(request as usize).copied()
    }

    /// Requests and bytes that `slot` served.
    #[must_use]
    pub fn served(&self, slot: u16) -> (u64, u64) {
        let mine = self.finished.iter().filter(|finish| finish.slot == slot);
        mine.fold((0, 0), |(requests, bytes), finish| {
            (requests + 1, bytes + u64::from(finish.bytes))
        })
    }

    /// Latency percentiles of all requests.
    #[must_use]
    pub fn latency(&self) -> Latency {
        let mut all: Vec<Span> = self.finished.iter().map(|finish| finish.latency).collect();
        all.sort_unstable();
        let at = |permille: u64| percentile(&all, permille).as_ns();
        Latency {
            p50_ns: at(500),
            p90_ns: at(900),
            p99_ns: at(990),
            p999_ns: at(999),
            max_ns: at(1000),
        }
    }

    /// The series of `slot`, cut into equal steps up to `end`.
    #[must_use]
    pub fn series(&self, slot: u16, name: &str, ring_slots: u32, end: Time) -> Series {
        let step = Span::from_ps((end.as_ps() / STEPS + 1).max(1_000));
        let index = |at: Time| (at.as_ps() / step.as_ps()) as usize;
        let len = index(end) + 1;
        let mut latencies = vec![Vec::new(); len];
        let mut samples = vec![Sample::default(); len];
        for finish in self
            .finished
            .iter()
            .filter(|finish| finish.slot == slot && finish.at <= end)
        {
            let sample = &mut samples[index(finish.at)];
            sample.bytes += u64::from(finish.bytes);
            sample.requests += 1;
            latencies[index(finish.at)].push(finish.latency);
        }
        for (sample, latencies) in samples.iter_mut().zip(&mut latencies) {
            latencies.sort_unstable();
            sample.latency_p50 = percentile(latencies, 500);
            sample.latency_p99 = percentile(latencies, 990);
        }
        self.fill_occupancy(slot, &mut samples, |at| index(at.min(end)));
        Series {
            name: name.to_owned(),
            step,
            samples,
            ring_slots,
        }
    }

    fn fill_occupancy(&self, slot: u16, samples: &mut [Sample], index: impl Fn(Time) -> usize) {
        let (mut step, mut count) = (0, 0);
        for &(at, _, after) in self
            .occupancy
            .iter()
            .filter(|&&(_, other, _)| other == slot)
        {
            while step < index(at) {
                samples[step].occupancy_max = samples[step].occupancy_max.max(count);
                step += 1;
            }
            count = after;
            samples[step].occupancy_max = samples[step].occupancy_max.max(count);
        }
        for sample in &mut samples[step..] {
            sample.occupancy_max = sample.occupancy_max.max(count);
        }
    }

    fn change(&mut self, at: Time, card: u16, to: impl Fn(u32) -> u32) {
        let index = usize::from(card);
        if index >= self.in_rings.len() {
            self.in_rings.resize(index + 1, 0);
        }
        let count = to(self.in_rings[index]);
        self.in_rings[index] = count;
        self.occupancy.push((at, card, count));
    }
}

/// The value that `permille` of 1,000 of the sorted values do not exceed; zero if there are none.
fn percentile(sorted: &[Span], permille: u64) -> Span {
    let rank = (sorted.len() as u64 * permille).div_ceil(1000).max(1) as usize;
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use regs::Slot;

    #[test]
    fn percentiles_are_ranks() {
        let values: Vec<Span> = (1..=1000).map(Span::from_ps).collect();
        assert_eq!(percentile(&values, 500), Span::from_ps(500));
        assert_eq!(percentile(&values, 999), Span::from_ps(999));
        assert_eq!(percentile(&values, 1000), Span::from_ps(1000));
        assert_eq!(percentile(&values[..1], 1), Span::from_ps(1));
        assert_eq!(percentile(&[], 500), Span::ZERO);
    }

    #[test]
    fn occupancy_holds_between_changes() {
        let mut course = Course::default();
        let mut event = |at: u64, event: DriverEvent| {
            let at = Time::ZERO + Span::from_ns(at);
            course.observe(&Record {
                at,
                event: Event::Driver { card: 0, event },
            });
        };
        let (ring, slot) = (RingId(1), Slot(0));
        event(
            0,
            DriverEvent::Posted {
                ring,
                slot,
                cookie: 1,
                request: Some(1),
            },
        );
        event(
            10,
            DriverEvent::Posted {
                ring,
                slot,
                cookie: 2,
                request: Some(2),
            },
        );
        event(
            200,
            DriverEvent::Reaped {
                ring,
                slot,
                cookie: 1,
            },
        );
        let series = course.series(0, "card0", 4, Time::ZERO + Span::from_ns(300));
        let at = |ns: u64| {
            let step = (Span::from_ns(ns).as_ps() / series.step.as_ps()) as usize;
            series.samples[step].occupancy_max
        };
        assert_eq!((at(5), at(50), at(190), at(290)), (1, 2, 2, 1));
    }
}
