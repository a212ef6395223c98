//! The timing model: link, front end and engine lanes. Cycles live here and nowhere else.
//!
//! Every resource is reserved in closed form when a command arrives; nothing ticks. A direction of
//! the link keeps its backlog: a packet reserved for later leaves no idle gap that earlier traffic
//! could not use. An engine lane keeps the time at which it is free again.
//!
//! Not modelled: flow-control credits, ordering between traffic classes, refresh of card memory.

pub(crate) mod service;

use timebase::{Span, Time};

use crate::engine::{Algorithm, BlockRounds, Group, RoundKind};
use crate::profile::{EngineGroup, Firmware, LinkTiming, Profile, Rate, Rounds};
use crate::snapshot::{Check, check};

/// Binary places of a fixed-point number of picoseconds.
const FRACTION_BITS: u32 = 32;
const PS_PER_SECOND: u128 = 1_000_000_000_000;

/// Fixed-point picoseconds of one unit, `per_second` units a second.
const fn ps_per_unit(per_second: u64) -> u64 {
    let per_second = if per_second == 0 { 1 } else { per_second };
    ((PS_PER_SECOND << FRACTION_BITS) / per_second as u128) as u64
}

#[inline]
const fn scale(units: u64, ps_per_unit: u64) -> Span {
    Span::from_ps(((units as u128 * ps_per_unit as u128) >> FRACTION_BITS) as u64)
}

/// One direction of the link.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
struct Pipe {
    busy_until: Time,
}

impl Pipe {
    /// Takes `duration` of the direction, asked for at `now`, beginning at `earliest` or later;
    /// gives the time at which the last byte leaves.
    #[inline]
    fn reserve(&mut self, now: Time, earliest: Time, duration: Span) -> Time {
        self.busy_until = self.busy_until.max(now) + duration;
        self.busy_until.max(earliest + duration)
    }
}

/// What a length takes on the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
struct WireTime {
    len: u32,
    time: Span,
}

/// How long the two directions of a link are taken. Cards behind one switch share it: whoever owns
/// them carries it from one to the next.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
pub struct LinkBacklog {
    up: Pipe,
    down: Pipe,
}

/// The link between card and host.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Link {
    up: Pipe,
    down: Pipe,
    ps_per_byte: u64,
    max_payload: u32,
    packet_overhead: u32,
    header: Span,
    latency: Span,
    /// What was asked for last of reads and of writes: neighbours are alike.
    read_time: WireTime,
    write_time: WireTime,
}

impl Link {
    pub(crate) fn new(timing: &LinkTiming) -> Self {
        let ps_per_byte = ps_per_unit(timing.bytes_per_second);
        let header = scale(u64::from(timing.packet_overhead), ps_per_byte);
        let nothing = WireTime {
            len: 0,
            time: header,
        };
        Self {
            up: Pipe::default(),
            down: Pipe::default(),
            ps_per_byte,
            max_payload: timing.max_payload.max(1),
            packet_overhead: timing.packet_overhead,
            header,
            latency: timing.latency,
            read_time: nothing,
            write_time: nothing,
        }
    }

    pub(crate) const fn backlog(&self) -> LinkBacklog {
        LinkBacklog {
            up: self.up,
            down: self.down,
        }
    }

    pub(crate) const fn set_backlog(&mut self, backlog: LinkBacklog) {
        self.up = backlog.up;
        self.down = backlog.down;
    }

    /// Time that a read of `len` bytes takes on the wire, headers included.
    #[inline]
    pub(crate) fn read_time(&mut self, len: u32) -> Span {
        if self.read_time.len != len {
            let time = self.count_wire_time(len);
            self.read_time = WireTime { len, time };
        }
        self.read_time.time
    }

    /// Time that a write of `len` bytes takes on the wire, headers included.
    #[inline]
    pub(crate) fn write_time(&mut self, len: u32) -> Span {
        if self.write_time.len != len {
            let time = self.count_wire_time(len);
            self.write_time = WireTime { len, time };
        }
        self.write_time.time
    }

    #[inline(never)]
    fn count_wire_time(&self, len: u32) -> Span {
        let packets = if len <= self.max_payload {
            1
        } else {
            len.div_ceil(self.max_payload)
        };
        let overhead = u64::from(packets) * u64::from(self.packet_overhead);
        scale(u64::from(len) + overhead, self.ps_per_byte)
    }

    /// A read of `len` bytes, decided at `now` and sent at `sent` or later: when the last byte is
    /// on the card.
    #[inline]
    pub(crate) fn read(&mut self, now: Time, sent: Time, len: u32) -> Time {
        let duration = self.read_time(len);
        self.read_for(now, sent, duration)
    }

    /// A read whose answer takes `duration` on the wire; otherwise as [`read`](Self::read).
    #[inline]
    pub(crate) fn read_for(&mut self, now: Time, sent: Time, duration: Span) -> Time {
        let asked = self.up.reserve(now, sent, self.header) + self.latency;
        self.down.reserve(now, asked, duration) + self.latency
    }

    /// A write that takes `duration` on the wire, begun at `now`: when the last byte is in memory.
    #[inline]
    pub(crate) fn write(&mut self, now: Time, duration: Span) -> Time {
        self.up.reserve(now, now, duration) + self.latency
    }

    /// What a write that takes `duration` needs at least, from its beginning to memory.
    #[inline]
    pub(crate) fn write_at_least(&self, duration: Span) -> Span {
        duration + self.latency
    }

    /// Whether a link made as `fresh` was can be in this state.
    pub(crate) fn check(&self, fresh: &Self) -> Check {
        let as_new = Self {
            up: fresh.up,
            down: fresh.down,
            read_time: fresh.read_time,
            write_time: fresh.write_time,
            ..self.clone()
        };
        check(as_new == *fresh, "profile of the link")?;
        let known = [self.read_time, self.write_time];
        let mut known = known.iter();
        let is_right = known.all(|known| known.time == self.count_wire_time(known.len));
        check(is_right, "time on the wire")
    }

    /// What any read needs at least.
    #[inline]
    pub(crate) fn round_trip(&self) -> Span {
        self.latency + self.latency
    }
}

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
struct Lanes {
    /// The first `count` entries are a ring. From `first` on they are the lanes in the order in
    /// which they get work: the one that is free first, the lowest number among equals.
    #[serde(with = "lanes_in_order")]
    order: [FreeLane; LANES_MAX],
    first: usize,
    count: usize,
    /// When the last of them is free.
    last: Time,
    ps_per_millicycle: u64,
    startup_millicycles: u64,
    millicycles_per_byte: u64,
}

/// The lanes of a snapshot, as a sequence.
mod lanes_in_order {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::{FreeLane, LANES_MAX};

    pub(super) fn serialize<S: Serializer>(
        lanes: &[FreeLane; LANES_MAX],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        lanes.as_slice().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[FreeLane; LANES_MAX], D::Error> {
        let lanes = Vec::deserialize(deserializer)?;
        let count = lanes.len();
        lanes
            .try_into()
            .map_err(|_| D::Error::invalid_length(count, &"64 lanes"))
    }
}

impl Lanes {
    fn new(group: &EngineGroup) -> Self {
        let mut lanes = Self {
            order: [FreeLane::default(); LANES_MAX],
            first: 0,
            count: usize::from(group.lanes).clamp(1, LANES_MAX),
            last: Time::ZERO,
            ps_per_millicycle: ps_per_unit(group.clock_hz.saturating_mul(1_000)),
            startup_millicycles: u64::from(group.rate.startup_cycles) * 1_000,
            millicycles_per_byte: u64::from(group.rate.millicycles_per_byte),
        };
        lanes.clear();
        lanes
    }

    fn clear(&mut self) {
        self.first = 0;
        self.last = Time::ZERO;
        for (number, lane) in self.order.iter_mut().enumerate() {
            *lane = FreeLane {
                at: Time::ZERO,
                number: number as u8,
            };
        }
    }

    /// What `len` bytes take on a lane, and `more` thousandths of a cycle.
    #[inline]
    fn duration(&self, len: u32, more: u64) -> Span {
        let bytes = self.millicycles_per_byte * u64::from(len);
        let millicycles = self.startup_millicycles + bytes + more;
        scale(millicycles, self.ps_per_millicycle)
    }

    /// Takes the lane that is free first for `duration`, at `ready` or later.
    #[inline]
    fn reserve_for(&mut self, ready: Time, duration: Span) -> Lane {
        let lane = &mut self.order[self.first % LANES_MAX];
        let number = lane.number;
        let start = lane.at.max(ready);
        let finish = start + duration;
        // Work of one size finishes in order: what was the first place of the ring is the last now.
        lane.at = finish;
        self.first = self.after(self.first);
        if finish > self.last {
            self.last = finish;
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
    fn check(&self, fresh: &Self) -> Check {
        let as_new = Self {
            order: fresh.order,
            first: fresh.first,
            last: fresh.last,
            ..self.clone()
        };
        check(as_new == *fresh, "profile of the lanes")?;
        check(self.first < self.count, "place of the lanes")?;
        let last = self.order[..self.count].iter().map(|lane| lane.at).max();
        check(last == Some(self.last), "when the last lane is free")?;
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

/// What rounds cost, and whether they cost anything.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
struct RoundCosts {
    rounds: Rounds,
    is_free: bool,
}

impl RoundCosts {
    fn new(rounds: Rounds) -> Self {
        Self {
            rounds,
            is_free: rounds == Rounds::default(),
        }
    }

    /// Thousandths of a cycle for the rounds of `len` bytes; cipher and digest take turns.
    #[inline]
    fn millicycles(&self, algorithm: Algorithm, len: u32) -> u64 {
        if self.is_free {
            return 0;
        }
        let parts = [algorithm.cipher_rounds(), algorithm.digest_rounds()];
        parts
            .into_iter()
            .flatten()
            .map(|part| self.of(part, len))
            .sum()
    }

    fn of(&self, part: BlockRounds, len: u32) -> u64 {
        let each = match part.kind {
            RoundKind::Aes => self.rounds.aes,
            RoundKind::Des => self.rounds.des,
            RoundKind::Sm4 => self.rounds.sm4,
            RoundKind::Sha1 => self.rounds.sha1,
            RoundKind::Sha256 => self.rounds.sha256,
            RoundKind::Sha512 => self.rounds.sha512,
            RoundKind::Sm3 => self.rounds.sm3,
        };
        // 32 bits each of cost and length, and at most 80 rounds.
        let millicycles = u128::from(each) * u128::from(part.rounds) * u128::from(len);
        (millicycles / u128::from(part.block_len)) as u64
    }
}

/// The processors that prepare commands.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
struct Processors {
    firmware: Firmware,
    lanes: Lanes,
}

impl Processors {
    fn new(firmware: Firmware) -> Self {
        let lanes = Lanes::new(&EngineGroup {
            lanes: firmware.processors,
            clock_hz: firmware.clock_hz,
            rate: Rate {
                startup_cycles: 0,
                millicycles_per_byte: 0,
            },
        });
        Self { firmware, lanes }
    }

    /// Thousandths of a cycle for a command, whatever its size.
    fn fixed_millicycles(&self, algorithm: Algorithm) -> u64 {
        let Firmware {
            command_cycles,
            digest_cycles,
            aead_cycles,
            ..
        } = self.firmware;
        let mut cycles = u64::from(command_cycles);
        if algorithm.is_aead() {
            cycles += u64::from(aead_cycles);
        } else if algorithm.has_cipher() && algorithm.has_digest() {
            cycles += u64::from(digest_cycles);
        }
        cycles * 1_000
    }

    /// When a command of `len` bytes, there since `arrived`, is prepared.
    fn prepare(&mut self, algorithm: Algorithm, arrived: Time, len: u32) -> Time {
        let mut millicycles = self.fixed_millicycles(algorithm);
        if algorithm.is_aead() || algorithm.has_digest() {
            let each = u64::from(self.firmware.millicycles_per_digested_byte);
            millicycles += each * u64::from(len);
        }
        let duration = self.lanes.duration(0, millicycles);
        self.lanes.reserve_for(arrived, duration).finish
    }

    /// How long preparing a command also holds its lane.
    fn holds_lane(&self, algorithm: Algorithm) -> Span {
        let share = u64::from(self.firmware.held_permille);
        let millicycles = self.fixed_millicycles(algorithm) * share / 1_000;
        self.lanes.duration(0, millicycles)
    }
}

/// The part of a card between fetch and engine, and the engines' lanes.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Lines {
    front_free: Time,
    command_overhead: Span,
    processors: Option<Box<Processors>>,
    groups: [Lanes; Group::ALL.len()],
    rounds: RoundCosts,
}

impl Lines {
    pub(crate) fn new(profile: &Profile) -> Self {
        let engines = &profile.engines;
        let processors = profile.firmware.map(Processors::new).map(Box::new);
        Self {
            front_free: Time::ZERO,
            command_overhead: profile.command_overhead,
            processors,
            groups: [&engines.cipher, &engines.digest, &engines.combined].map(Lanes::new),
            rounds: RoundCosts::new(engines.rounds),
        }
    }

    /// When the front end is done with the next command, which is on the card since `arrived`.
    #[inline]
    pub(crate) fn decode(&mut self, arrived: Time) -> Time {
        self.front_free = self.front_free.max(arrived) + self.command_overhead;
        self.front_free
    }

    /// When firmware, if the card has any, has prepared a data command of `len` bytes that was
    /// decoded at `decoded`.
    #[inline]
    pub(crate) fn prepare(&mut self, algorithm: Algorithm, decoded: Time, len: u32) -> Time {
        match &mut self.processors {
            None => decoded,
            Some(processors) => processors.prepare(algorithm, decoded, len),
        }
    }

    /// Puts `len` bytes, complete at `ready`, on a lane of `group`.
    #[inline]
    pub(crate) fn work(
        &mut self,
        (group, algorithm): (Group, Algorithm),
        ready: Time,
        len: u32,
    ) -> Lane {
        let rounds = self.rounds.millicycles(algorithm, len);
        let lanes = &mut self.groups[group as usize];
        let mut duration = lanes.duration(len, rounds);
        if let Some(processors) = &self.processors {
            duration += processors.holds_lane(algorithm);
        }
        lanes.reserve_for(ready, duration)
    }

    /// Whether lines made as `fresh` were can be in this state.
    pub(crate) fn check(&self, fresh: &Self) -> Check {
        let overhead = self.command_overhead == fresh.command_overhead;
        check(overhead, "profile of the front end")?;
        check(self.rounds == fresh.rounds, "cost of rounds")?;
        match (&self.processors, &fresh.processors) {
            (None, None) => {}
            (Some(processors), Some(fresh)) => {
                check(processors.firmware == fresh.firmware, "firmware")?;
                processors.lanes.check(&fresh.lanes)?;
            }
            (None, Some(_)) | (Some(_), None) => return Err("processors"),
        }
        let mut groups = self.groups.iter().zip(&fresh.groups);
        groups.try_for_each(|(lanes, fresh)| lanes.check(fresh))
    }

    /// Forgets all reservations.
    pub(crate) fn clear(&mut self) {
        self.front_free = Time::ZERO;
        for lanes in &mut self.groups {
            lanes.clear();
        }
        if let Some(processors) = &mut self.processors {
            processors.lanes.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        Link::new(&LinkTiming {
            latency: Span::from_ns(100),
            bytes_per_second: 1_000_000_000,
            max_payload: 256,
            packet_overhead: 20,
        })
    }

    #[test]
    fn a_read_goes_up_and_comes_down() {
        let mut link = link();
        // 20 header bytes up, 64 + 20 bytes down, at one nanosecond a byte.
        let done = link.read(Time::ZERO, Time::ZERO, 64);
        assert_eq!(done, Time::ZERO + Span::from_ns(20 + 100 + 84 + 100));
    }

    #[test]
    fn long_writes_pay_for_every_packet() {
        assert_eq!(link().write_time(257), Span::from_ns(257 + 2 * 20));
        assert_eq!(link().write_time(256), Span::from_ns(256 + 20));
    }

    #[test]
    fn a_reservation_for_later_leaves_the_link_free_until_then() {
        let mut link = link();
        let late = link.read(Time::ZERO, Time::ZERO + Span::from_us(10), 64);
        let soon = link.read(Time::ZERO, Time::ZERO, 64);
        assert!(soon < Time::ZERO + Span::from_us(1), "{soon}");
        assert!(late > Time::ZERO + Span::from_us(10), "{late}");
    }

    #[test]
    fn writes_queue_behind_each_other() {
        let mut link = link();
        let first = link.write(Time::ZERO, Span::from_ns(50));
        let second = link.write(Time::ZERO, Span::from_ns(50));
        assert_eq!(second - first, Span::from_ns(50));
    }

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
