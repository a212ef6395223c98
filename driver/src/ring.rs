//! Rings: the driver's half of the descriptor exchange, and the jobs in flight.
//!
//! Owns the memory of one ring pair, its indices, and a slab of records that hold what is in flight
//! (`J`) from post to reap. A command's slot and its record are different things: completions may
//! come in any order, so a record is found by cookie and a slot is free again when the card has
//! fetched it. At most `entries - 1` commands are in flight, so neither ring can overflow. Does not
//! look into jobs (`ocf`, `session`) and does not decide when to look (`card`).

mod answer;
mod mark;
mod museum;

use std::mem::{forget, replace};
use std::sync::atomic::{Ordering, fence};

use dma::Coherent;
use regs::{
    COMMAND_LEN, COMPLETION_LEN, Command, Completion, DeviceAddr, Doorbell, RingControl, RingId,
    RingRegister, Slot, Status, Vector,
};
use timebase::{Span, Time};

use self::museum::{Exhibit, capacity_of, on};
use crate::stats::Counters;
use crate::{BringUpError, Direction, DriverConfig, DriverEvent, Transport};

/// A piece of memory beside the ring that one command may use: segment lists, keys, session blocks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Area(u32);

impl Area {
    const NONE: Self = Self(u32::MAX);
}

/// How many areas a ring has, and how large they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AreaShape {
    pub(crate) len: usize,
    pub(crate) max_count: u32,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// The card said so.
    Card(Status),
    /// The card said something that means nothing.
    Nonsense,
    /// The card was reset or went away first.
    Lost,
}

/// The end of a job.
// Two words, so that it comes in registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) verdict: Verdict,
    /// Bytes that the card says it wrote, or would have written.
    pub(crate) output_len: u32,
}

impl End {
    /// The card did not come to it.
    pub(crate) const LOST: Self = Self {
        verdict: Verdict::Lost,
        output_len: 0,
    };
}

/// How far the watchdog has gone with a ring that stands still.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stall {
    /// It does not stand still, or nobody looked yet.
    None,
    /// Its doorbell was rung again.
    Rerung,
}

/// What the watchdog found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Finding {
    /// Nothing is in flight.
    Idle,
    /// Something moved; look again when it is `due`.
    Moves { due: Time },
    /// Nothing moved for the watchdog's time.
    Still,
    /// Nothing moved for that time again after the doorbell was rung again.
    Hung,
}

/// What a look at the completion ring found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Reaped {
    /// Entries taken, strange ones included.
    pub(crate) entries: u32,
    /// Jobs that ended.
    pub(crate) jobs: u32,
    /// Whether the budget ended before the entries did.
    pub(crate) is_exhausted: bool,
    /// Whether the last entry is not whole yet.
    pub(crate) is_torn: bool,
}

/// A command to post, and what the ring keeps of it until it completes.
#[derive(Debug)]
pub(crate) struct Post<J> {
    /// All but its cookie, which the ring fills in.
    pub(crate) command: Command,
    pub(crate) job: J,
    /// An area that the command uses, and how many bytes at its front are zeroed when it ends.
    pub(crate) area: Option<(Area, u32)>,
    /// The request it serves, for observers.
    pub(crate) request: Option<u64>,
}

/// Cookie of a record that holds nothing: names a record that no ring has.
const FREE: u64 = u64::MAX;
/// End of the list of free records.
const END: u32 = u32::MAX;

#[derive(Debug)]
struct Record<J> {
    /// What the command is known by, so that an old cookie is recognised; [`FREE`] without one.
    cookie: u64,
    area: Area,
    secret_len: u32,
    content: Content<J>,
}

#[derive(Debug)]
enum Content<J> {
    /// Nothing; `next` is free too, unless it is [`END`].
    Free { next: u32 },
    /// Work in flight.
    Job(J),
}

impl<J> Record<J> {
    /// Takes the job out of a record that is in use; `next` is the first of the free ones.
    #[inline(always)]
    fn empty(&mut self, next: u32) -> J {
        self.cookie = FREE;
        match replace(&mut self.content, Content::Free { next }) {
            Content::Job(job) => job,
            Content::Free { .. } => unreachable!("a record with a cookie has a job"),
        }
    }
}

/// What the card says by a `status` other than success.
#[cold]
fn verdict(status: u16) -> Verdict {
    Status::from_code(status).map_or(Verdict::Nonsense, Verdict::Card)
}

/// What a command is known by on the way back: record in bits 15..0, ring in 31..16, generation
/// above.
#[inline]
fn cookie(ring: RingId, record: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(ring.0) << 16 | u64::from(record)
}

/// The record that `cookie` names, if any.
#[inline]
fn record_of(cookie: u64) -> u32 {
    (cookie & 0xFFFF) as u32
}

/// One ring pair.
#[derive(Debug)]
pub(crate) struct Ring<J> {
    id: RingId,
    entries: u32,
    /// Next slot to write a command to.
    tail: Slot,
    /// First slot the card does not know of.
    published: Slot,
    /// Next completion entry to look at.
    head: Slot,
    /// First completion entry that the card does not know to be reaped.
    acknowledged: Slot,
    /// Whether the card was told to send an interrupt, and may not have sent it.
    is_armed: bool,
    /// Phase bit of entries of the current lap.
    phase: bool,
    in_flight: u32,
    /// On a card that writes the status word early: the first entry that may have to be marked as
    /// consumed.
    to_mark: Option<Slot>,
    /// Counts posts.
    generation: u32,
    records: Vec<Record<J>>,
    /// The record freed last is used first.
    first_free: u32,
    free_areas: Vec<Area>,
    commands: Coherent,
    completions: Coherent,
    areas: Coherent,
    area_shape: AreaShape,
    command_addr: DeviceAddr,
    completion_addr: DeviceAddr,
    area_addr: DeviceAddr,
    /// When something last moved.
    pub(crate) progress_at: Time,
    /// What was done since about standing still.
    pub(crate) stall: Stall,
}

impl<J> Ring<J> {
    /// Takes and shares the memory of a pair of `entries` each; every address shared is added to
    /// `shared`, whether or not the rest succeeds.
    pub(crate) fn new<T: Transport>(
        transport: &mut T,
        id: RingId,
        entries: u32,
        area_shape: AreaShape,
        shared: &mut Vec<DeviceAddr>,
    ) -> Result<Self, BringUpError> {
        let capacity = capacity_of(entries);
        let area_count = capacity.min(area_shape.max_count);
        let mut block = |len: usize, direction| {
            let block = transport
                .pool()
                .coherent(len)
                .map_err(BringUpError::Memory)?;
            let addr = transport
                .share(&block, direction)
                .map_err(BringUpError::Map)?;
            shared.push(addr);
            Ok((block, addr))
        };
        let (commands, command_addr) = block(entries as usize * COMMAND_LEN, Direction::ToDevice)?;
        let (completions, completion_addr) =
            block(entries as usize * COMPLETION_LEN, Direction::FromDevice)?;
        let (areas, area_addr) = block(area_count as usize * area_shape.len, Direction::ToDevice)?;
        let record = |index| Record {
            cookie: FREE,
            area: Area::NONE,
            secret_len: 0,
            content: Content::Free {
                next: if index + 1 < capacity { index + 1 } else { END },
            },
        };
        Ok(Self {
            id,
            entries,
            tail: Slot(0),
            published: Slot(0),
            head: Slot(0),
            acknowledged: Slot(0),
            is_armed: true,
            phase: true,
            in_flight: 0,
            to_mark: None,
            generation: 0,
            records: (0..capacity).map(record).collect(),
            first_free: 0,
            free_areas: (0..area_count).rev().map(Area).collect(),
            commands,
            completions,
            areas,
            area_shape,
            command_addr,
            completion_addr,
            area_addr,
            progress_at: Time::ZERO,
            stall: Stall::None,
        })
    }

    /// Number of the pair.
    pub(crate) fn id(&self) -> RingId {
        self.id
    }

    /// Most commands in flight.
    #[inline]
    pub(crate) fn capacity(&self) -> u32 {
        capacity_of(self.entries)
    }

    /// Commands in flight, held back ones included.
    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// First slot the card does not know of.
    pub(crate) fn published(&self) -> Slot {
        self.published
    }

    /// Commands that may be posted now.
    #[inline]
    pub(crate) fn room(&self) -> u32 {
        self.capacity() - self.in_flight
    }

    /// Commands written that the card does not know of.
    #[inline]
    pub(crate) fn unpublished(&self) -> u32 {
        self.published.distance_to(self.tail, self.entries)
    }

    /// Puts both rings back to their start. The card is reset and nothing is in flight.
    pub(crate) fn rewind(&mut self) {
        assert_eq!(self.in_flight, 0, "a ring is rewound when it is empty");
        self.completions.zero();
        (self.tail, self.published, self.head) = (Slot(0), Slot(0), Slot(0));
        self.acknowledged = Slot(0);
        self.phase = true;
        self.stall = Stall::None;
        if self.to_mark.is_some() {
            self.mark_consumed_entries();
        }
    }

    /// Writes the pair's registers and turns it on.
    pub(crate) fn program<T: Transport>(
        &self,
        transport: &mut T,
        vector: Vector,
        config: &DriverConfig,
    ) {
        use RingRegister as R;
        let coalesce_ns = u32::try_from(config.coalesce_timer.as_ns()).unwrap_or(u32::MAX);
        let on = RingControl::new().with_enabled(true);
        let values = [
            (R::CommandBaseLow, self.command_addr.0 as u32),
            (R::CommandBaseHigh, (self.command_addr.0 >> 32) as u32),
            (R::CompletionBaseLow, self.completion_addr.0 as u32),
            (R::CompletionBaseHigh, (self.completion_addr.0 >> 32) as u32),
            (R::Entries, self.entries),
            (R::CoalesceCount, config.coalesce_count),
            (R::CoalesceTimer, coalesce_ns),
            (R::RingVector, u32::from(vector.0)),
            (R::RingControl, on.into_bits()),
        ];
        for (register, value) in values {
            transport.write(self.id.register(register), value);
        }
    }

    /// Turns the pair off.
    pub(crate) fn stop<T: Transport>(&self, transport: &mut T) {
        let off = RingControl::new().into_bits();
        transport.write(self.id.register(RingRegister::RingControl), off);
    }

    /// An area for the next command, if one is left. Give it to [`post`](Self::post) or back.
    #[inline]
    pub(crate) fn take_area(&mut self) -> Option<Area> {
        self.free_areas.pop()
    }

    /// Where the card sees `area`.
    #[inline]
    pub(crate) fn area_addr(&self, area: Area) -> DeviceAddr {
        self.area_addr
            .offset(u64::from(area.0) * self.area_shape.len as u64)
    }

    /// Writes `bytes` to `area`, from offset `at` on.
    pub(crate) fn write_area(&self, area: Area, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.area_shape.len, "inside the area");
        self.areas
            .write(area.0 as usize * self.area_shape.len + at, bytes);
    }

    /// Writes a command to the next slot. The card learns of it by [`publish`](Self::publish).
    ///
    /// # Panics
    /// If there is no [`room`](Self::room).
    // Inlined, so that job and command are built where they end up.
    #[inline(always)]
    pub(crate) fn post<T: Transport>(&mut self, transport: &mut T, post: Post<J>) {
        self.ring_early(transport);
        let index = self.first_free;
        let record = self.records.get_mut(index as usize);
        let record = record.expect("the caller checked for room");
        let Content::Free { next } = record.content else {
            unreachable!("a free record has no job");
        };
        self.first_free = next;
        self.generation = self.generation.wrapping_add(1);
        let cookie = cookie(self.id, index, self.generation);
        let slot = self.tail;
        let command = Command {
            cookie,
            ..post.command
        };
        self.commands
            .write_array(slot.0 as usize * COMMAND_LEN, &command.to_bytes());
        record.cookie = cookie;
        (record.area, record.secret_len) = post.area.unwrap_or((Area::NONE, 0));
        // A free record owns nothing: forgetting it spares the look.
        forget(replace(&mut record.content, Content::Job(post.job)));
        self.tail = self.after(slot);
        self.in_flight += 1;
        transport.observe(DriverEvent::Posted {
            ring: self.id,
            slot,
            cookie,
            request: post.request,
        });
    }

    /// Tells the card of every command written so far.
    #[inline]
    pub(crate) fn publish<T: Transport>(&mut self, transport: &mut T) {
        let (slot, arm) = (self.tail, false);
        let doorbell = Doorbell { slot, arm };
        // The card may fetch as soon as the doorbell arrives: the descriptors must be there first.
        transport.barrier();
        transport.write(self.id.command_doorbell(), doorbell.into_bits());
        self.published = self.tail;
    }

    /// Tells the card what was reaped; with `arm` it sends an interrupt for whatever comes next.
    #[inline]
    pub(crate) fn acknowledge<T: Transport>(&mut self, transport: &mut T, arm: bool) {
        if let Some(from) = self.to_mark {
            self.mark_consumed(from);
            transport.barrier();
        }
        let slot = self.slot_to_acknowledge();
        let doorbell = Doorbell { slot, arm };
        transport.write(self.id.completion_doorbell(), doorbell.into_bits());
        (self.acknowledged, self.is_armed) = (slot, arm);
    }

    /// Takes up to `budget` entries and gives each job that ended to `finish`.
    // Inlined, so that a job goes to `finish` from where it stands.
    #[inline(always)]
    pub(crate) fn reap<T: Transport>(
        &mut self,
        transport: &mut T,
        budget: u32,
        counters: &Counters,
        mut finish: impl FnMut(&mut T, J, End),
    ) -> Reaped {
        let mut reaped = Reaped::default();
        while let Some((cookie, status)) = self.next_entry() {
            if reaped.entries == budget {
                reaped.is_exhausted = true;
                break;
            }
            reaped.entries += 1;
            let slot = self.head;
            self.advance_head();
            let index = record_of(cookie);
            let record = self.records.get_mut(index as usize);
            let Some(record) = record.filter(|record| record.cookie == cookie) else {
                if self.to_mark.is_some() && cookie == FREE {
                    self.step_back(slot);
                    reaped.entries -= 1;
                    reaped.is_torn = true;
                    break;
                }
                counters.strange_completions.add(1);
                transport.observe(DriverEvent::Strange {
                    ring: self.id,
                    cookie,
                });
                continue;
            };
            transport.observe(DriverEvent::Reaped {
                ring: self.id,
                slot,
                cookie,
            });
            reaped.jobs += 1;
            let verdict = if status == Status::Success as u16 {
                Verdict::Card(Status::Success)
            } else {
                let verdict = verdict(status);
                if verdict == Verdict::Nonsense {
                    counters.strange_completions.add(1);
                    transport.observe(DriverEvent::Strange {
                        ring: self.id,
                        cookie,
                    });
                }
                verdict
            };
            let (area, secret_len) = (record.area, record.secret_len);
            let job = record.empty(self.first_free);
            self.free(index, area, secret_len);
            let at = slot.0 as usize * COMPLETION_LEN + Completion::OUTPUT_LEN_AT;
            let output_len = self.completions.read_u32(at);
            let end = End {
                verdict,
                output_len,
            };
            finish(transport, job, end);
        }
        reaped
    }

    /// Judges whether the ring stands still, given how long it may take `limit` to move. Counts a
    /// still ring as rung again: the caller does that.
    pub(crate) fn look_into(&mut self, now: Time, limit: Span) -> Finding {
        if self.in_flight == 0 {
            return Finding::Idle;
        }
        let due = self.progress_at + limit;
        if now < due {
            return Finding::Moves { due };
        }
        match self.stall {
            Stall::None => {
                self.stall = Stall::Rerung;
                self.progress_at = now;
                Finding::Still
            }
            Stall::Rerung => Finding::Hung,
        }
    }

    /// Takes every job in flight out, in the order they were posted, and zeroes every secret. The
    /// card no longer works on them.
    pub(crate) fn drain<T: Transport>(
        &mut self,
        transport: &mut T,
        mut take: impl FnMut(&mut T, J),
    ) {
        let mut order: Vec<u32> = (0..self.capacity()).collect();
        order.sort_by_key(|&index| {
            let generation = (self.records[index as usize].cookie >> 32) as u32;
            std::cmp::Reverse(self.generation.wrapping_sub(generation))
        });
        for index in order {
            let record = &mut self.records[index as usize];
            if record.cookie == FREE {
                continue;
            }
            let (area, secret_len) = (record.area, record.secret_len);
            let job = record.empty(self.first_free);
            self.free(index, area, secret_len);
            take(transport, job);
        }
        self.areas.zero();
        self.published = self.tail;
    }

    /// Cookie and status code of the entry at the head, if the card has written it.
    #[inline]
    fn next_entry(&self) -> Option<(u64, u16)> {
        let at = self.head.0 as usize * COMPLETION_LEN;
        let word = self.completions.read_u32(at + Completion::STATUS_AT);
        if (word & 1 != 0) != self.phase && !self.is_bad(Exhibit::PhaseIgnored) {
            return None;
        }
        // The status word is written last. Reading it first and the cookie after it is what makes
        // the cookie whole: one copy of the entry could have taken the front before the card wrote
        // it.
        fence(Ordering::Acquire);
        let mut bytes = [0; COMPLETION_LEN];
        let front = self.completions.read_array::<{ size_of::<u64>() }>(at);
        bytes[..front.len()].copy_from_slice(&front);
        bytes[Completion::STATUS_AT..].copy_from_slice(&word.to_le_bytes());
        let entry = Completion::from_bytes(&bytes);
        Some((entry.cookie, entry.status))
    }

    #[inline]
    fn advance_head(&mut self) {
        self.head = self.head.next(self.entries);
        if self.head == Slot(0) {
            self.phase = !self.phase;
        }
    }

    /// Frees a record that was emptied, and its area, whose secrets are zeroed.
    #[inline(always)]
    fn free(&mut self, index: u32, area: Area, secret_len: u32) {
        self.first_free = index;
        self.in_flight -= 1;
        if area != Area::NONE {
            self.release_area(area, secret_len as usize);
        }
    }

    #[inline(never)]
    fn release_area(&mut self, area: Area, secret_len: usize) {
        const ZEROES: [u8; regs::SESSION_BLOCK_LEN] = [0; regs::SESSION_BLOCK_LEN];
        if secret_len > 0 && !on(Exhibit::KeyInStaging) {
            self.write_area(area, 0, &ZEROES[..secret_len]);
        }
        self.free_areas.push(area);
    }

    /// Gives an area back that no command uses.
    pub(crate) fn return_area(&mut self, area: Area) {
        self.free_areas.push(area);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_names_ring_record_and_generation() {
        assert_eq!(cookie(RingId(2), 0x1234, 7), 0x0000_0007_0002_1234);
        assert_eq!(record_of(0x0000_0007_0002_1234), 0x1234);
    }
}
