//! The timing model: link, front end and engine lanes. Cycles live here and nowhere else.
//!
//! Every resource is reserved in closed form when a command arrives; nothing ticks. A direction of
//! the link keeps its backlog: a packet reserved for later leaves no idle gap that earlier traffic
//! could not use. An engine lane keeps the time at which it is free again.
//!
//! Not modelled: flow-control credits, ordering between traffic classes, refresh of card memory.

mod lanes;
pub(crate) mod service;

use timebase::{Span, Time};

pub(crate) use self::lanes::Lane;
use self::lanes::Lanes;

use crate::engine::{Algorithm, BlockRounds, Group, RoundKind};
use crate::pci::TrafficSizes;
use crate::profile::{EngineGroup, Firmware, LinkTiming, Profile, Rate, Rounds};
use crate::snapshot::{Check, check, sequence};

/// Binary places of a fixed-point number of picoseconds.
const FRACTION_BITS: u32 = 32;
const PS_PER_SECOND: u128 = 1_000_000_000_000;
/// Most reads under way at once.
const TAGS_MAX: usize = 256;

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
    sizes: TrafficSizes,
    packet_overhead: u32,
    header: Span,
    latency: Span,
    /// When the read that had the tag was answered; tags are used in turn.
    #[serde(with = "sequence")]
    tags: [Time; TAGS_MAX],
    next_tag: u32,
    /// What was asked for last of contexts, of other reads and of writes: neighbours are alike.
    context_time: WireTime,
    read_time: WireTime,
    write_time: WireTime,
}

impl Link {
    pub(crate) fn new(timing: &LinkTiming, sizes: TrafficSizes) -> Self {
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
            sizes,
            packet_overhead: timing.packet_overhead,
            header,
            latency: timing.latency,
            tags: [Time::ZERO; TAGS_MAX],
            next_tag: 0,
            context_time: nothing,
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

    /// The host allows other sizes, from now on.
    pub(crate) fn set_sizes(&mut self, sizes: TrafficSizes) {
        self.sizes = sizes;
        let nothing = WireTime {
            len: 0,
            time: self.header,
        };
        self.context_time = nothing;
        self.read_time = nothing;
        self.write_time = nothing;
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
        self.packets_time(len, len.div_ceil(self.sizes.max_payload).max(1))
    }

    /// Time of `len` bytes in `packets` packets.
    fn packets_time(&self, len: u32, packets: u32) -> Span {
        let overhead = u64::from(packets) * u64::from(self.packet_overhead);
        scale(u64::from(len) + overhead, self.ps_per_byte)
    }

    /// A read of `len` bytes, decided at `now` and sent at `sent` or later: when the last byte is
    /// on the card.
    #[inline]
    pub(crate) fn read(&mut self, now: Time, sent: Time, len: u32) -> Time {
        let duration = self.read_time(len);
        self.read_for(now, sent, (len, duration))
    }

    /// [`read`](Self::read) of a context: between two of them comes payload, and all are of one
    /// length.
    pub(crate) fn read_context(&mut self, now: Time, sent: Time, len: u32) -> Time {
        if self.context_time.len != len {
            let time = self.count_wire_time(len);
            self.context_time = WireTime { len, time };
        }
        self.read_for(now, sent, (len, self.context_time.time))
    }

    /// A read of `len` bytes, which take `duration` on the wire if they are asked for at once;
    /// otherwise as [`read`](Self::read).
    #[inline]
    pub(crate) fn read_for(&mut self, now: Time, sent: Time, (len, duration): (u32, Span)) -> Time {
        if len > self.sizes.max_read {
            return self.read_in_parts(now, sent, (len, duration));
        }
        let tag = self.take_tag();
        let sent = sent.max(self.tags[tag]);
        let asked = self.up.reserve(now, sent, self.header) + self.latency;
        let done = self.down.reserve(now, asked, duration) + self.latency;
        self.tags[tag] = done;
        done
    }

    /// A read that is more than the card may ask for at once: each part has a header and a tag, and
    /// no more parts are under way than there are tags.
    #[cold]
    fn read_in_parts(&mut self, now: Time, sent: Time, (len, duration): (u32, Span)) -> Time {
        let TrafficSizes {
            max_payload,
            max_read,
            tags,
        } = self.sizes;
        let parts = len.div_ceil(max_read);
        let asking = self.packets_time(0, parts);
        let answering = if max_read < max_payload {
            self.packets_time(len, parts)
        } else {
            duration
        };
        let taken = parts.min(tags);
        let free = (0..taken).map(|ahead| self.tags[self.tag_after(ahead)]);
        let sent = free.fold(sent, Time::max);
        let asked = self.up.reserve(now, sent, asking) + self.latency;
        // The answer to the first part may come while the others are still asked for.
        let first = Time::from_ps(asked.as_ps() - asking.as_ps()) + self.header;
        let answered = self.down.reserve(now, first, answering) + self.latency;
        let rounds = u64::from(parts.div_ceil(tags));
        let done = answered
            .max(asked + self.latency)
            .max(sent + self.round_trip() * rounds);
        for _ in 0..taken {
            let tag = self.take_tag();
            self.tags[tag] = done;
        }
        done
    }

    /// The tag that is used `ahead` reads from now.
    #[inline]
    fn tag_after(&self, ahead: u32) -> usize {
        let tag = self.next_tag.wrapping_add(ahead) & (self.sizes.tags - 1);
        usize::from(tag as u8)
    }

    #[inline]
    fn take_tag(&mut self) -> usize {
        let tag = self.tag_after(0);
        self.next_tag = self.next_tag.wrapping_add(1);
        tag
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
            tags: fresh.tags,
            next_tag: fresh.next_tag,
            context_time: fresh.context_time,
            read_time: fresh.read_time,
            write_time: fresh.write_time,
            ..self.clone()
        };
        check(as_new == *fresh, "profile of the link")?;
        let known = [self.context_time, self.read_time, self.write_time];
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

    /// How long preparing a command of `len` bytes takes.
    fn prepares_for(&self, algorithm: Algorithm, len: u32) -> Span {
        let mut millicycles = self.fixed_millicycles(algorithm);
        if algorithm.is_aead() || algorithm.has_digest() {
            let each = u64::from(self.firmware.millicycles_per_digested_byte);
            millicycles += each * u64::from(len);
        }
        self.lanes.duration(0, millicycles)
    }

    /// How long preparing a command also holds its lane.
    fn holds_lane(&self, algorithm: Algorithm) -> Span {
        let share = u64::from(self.firmware.held_permille);
        let millicycles = self.fixed_millicycles(algorithm) * share / 1_000;
        self.lanes.duration(0, millicycles)
    }
}

/// How long a data command occupies what it needs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Needs {
    /// Of a processor.
    prepare: Span,
    /// Of a lane.
    work: Span,
}

/// What decides that, in one number: group, algorithm and bytes worked on.
#[inline]
const fn load(group: Group, algorithm: Algorithm, len: u32) -> u64 {
    let [cipher, digest] = [algorithm.cipher as u64, algorithm.digest as u64];
    let kind = cipher << 16 | digest << 8 | algorithm.key_len as u64;
    ((group as u64) << 24 | kind) << 32 | len as u64
}

/// The part of a card between fetch and engine, and the engines' lanes.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Lines {
    front_free: Time,
    command_overhead: Span,
    processors: Option<Box<Processors>>,
    groups: [Lanes; Group::ALL.len()],
    rounds: RoundCosts,
    /// What was counted last, and for which load plus one: neighbours are most often alike.
    #[serde(skip)]
    known: (u64, Needs),
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
            known: (0, Needs::default()),
        }
    }

    /// When the front end is done with the next command, which is on the card since `arrived`.
    #[inline]
    pub(crate) fn decode(&mut self, arrived: Time) -> Time {
        self.front_free = self.front_free.max(arrived) + self.command_overhead;
        self.front_free
    }

    /// How long `group` needs for `len` bytes.
    #[inline]
    pub(crate) fn needs(&mut self, group: Group, algorithm: Algorithm, len: u32) -> Needs {
        if self.rounds.is_free && self.processors.is_none() {
            return Needs {
                prepare: Span::ZERO,
                work: self.groups[group as usize].duration(len, 0),
            };
        }
        let load = load(group, algorithm, len) + 1;
        if self.known.0 != load {
            self.known = (load, self.count_needs(group, algorithm, len));
        }
        self.known.1
    }

    #[inline(never)]
    fn count_needs(&self, group: Group, algorithm: Algorithm, len: u32) -> Needs {
        let rounds = self.rounds.millicycles(algorithm, len);
        let work = self.groups[group as usize].duration(len, rounds);
        let (prepare, held) = match &self.processors {
            None => (Span::ZERO, Span::ZERO),
            Some(processors) => (
                processors.prepares_for(algorithm, len),
                processors.holds_lane(algorithm),
            ),
        };
        Needs {
            prepare,
            work: work + held,
        }
    }

    /// When firmware, if the card has any, has prepared a data command that was decoded at
    /// `decoded`.
    #[inline]
    pub(crate) fn prepare(&mut self, needs: Needs, decoded: Time) -> Time {
        match &mut self.processors {
            None => decoded,
            Some(processors) => {
                let lane = processors.lanes.reserve_for(decoded, needs.prepare);
                lane.finish
            }
        }
    }

    /// Puts what is complete at `ready` on a lane of `group`.
    #[inline]
    pub(crate) fn work(&mut self, group: Group, needs: Needs, ready: Time) -> Lane {
        self.groups[group as usize].reserve_for(ready, needs.work)
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
        link_with(512, 256)
    }

    fn link_with(max_read: u32, tags: u32) -> Link {
        let timing = LinkTiming {
            latency: Span::from_ns(100),
            bytes_per_second: 1_000_000_000,
            max_payload: 256,
            packet_overhead: 20,
        };
        let sizes = TrafficSizes {
            max_payload: 256,
            max_read,
            tags,
        };
        Link::new(&timing, sizes)
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
    fn a_long_read_pays_for_every_request_and_every_packet() {
        let ns = |ns| Time::ZERO + Span::from_ns(ns);
        // Two requests of 20 bytes, of which the first is on its way while the second is asked for.
        let done = link_with(512, 256).read(Time::ZERO, Time::ZERO, 1024);
        assert_eq!(done, ns(20 + 100 + (1024 + 4 * 20) + 100));
        // The way up is taken by both.
        let mut link = link_with(512, 256);
        link.read(Time::ZERO, Time::ZERO, 1024);
        assert_eq!(link.write(Time::ZERO, Span::from_ns(10)), ns(40 + 10 + 100));
        // Reads smaller than a packet make packets as small.
        let done = link_with(128, 256).read(Time::ZERO, Time::ZERO, 1024);
        assert_eq!(done, ns(20 + 100 + (1024 + 8 * 20) + 100));
    }

    #[test]
    fn no_more_reads_are_under_way_than_there_are_tags() {
        let slow = |tags| {
            let mut link = link_with(512, tags);
            link.latency = Span::from_us(100);
            link
        };
        let (mut few, mut many) = (slow(32), slow(256));
        let first = few.read(Time::ZERO, Time::ZERO, 1);
        assert_eq!(first, many.read(Time::ZERO, Time::ZERO, 1));
        for _ in 1..32 {
            let done = few.read(Time::ZERO, Time::ZERO, 1);
            assert_eq!(done, many.read(Time::ZERO, Time::ZERO, 1));
        }
        assert!(many.read(Time::ZERO, Time::ZERO, 1) < first + Span::from_us(100));
        let waited = few.read(Time::ZERO, Time::ZERO, 1);
        assert!(waited > first + Span::from_us(200), "for a tag");
        // 256 parts: one round of 256, or eight of 32.
        let long = |mut link: Link| link.read(Time::ZERO, Time::ZERO, 512 * 256) - Time::ZERO;
        assert!(long(slow(32)) >= Span::from_us(8 * 200));
        assert!(long(slow(256)) < Span::from_us(8 * 200));
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
}
