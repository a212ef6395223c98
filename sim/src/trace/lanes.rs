//! Tracks of a trace: which exist, what they are called, and who is on which lane.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use regs::RingId;

use super::json::{Track, Writer};
use super::ring_name;

/// Process of the consumers.
const CONSUMERS: u32 = 1;
/// Process of the framework.
const FRAMEWORK: u32 = 2;
/// Process of the first card.
const FIRST_CARD: u32 = 3;
/// Number of the first track; no process has this number, as that would make it a main thread.
const FIRST_THREAD: u32 = 100_000;

/// What a track shows.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Kind {
    /// Requests of a consumer, dispatch to callback.
    Consumer {
        /// Which.
        consumer: u32,
    },
    /// Drivers that come and go.
    Drivers,
    /// Times in which a driver is blocked.
    Blocked,
    /// Sessions that are opened and moved.
    Sessions,
    /// Requests that the framework resubmits.
    Resubmitted,
    /// Times in which a card is in its slot.
    Presence {
        /// Which.
        card: u16,
    },
    /// What a card's driver says.
    DriverEvents {
        /// Which.
        card: u16,
    },
    /// Register writes as they arrive.
    Writes {
        /// Where.
        card: u16,
    },
    /// Commands in the slots of a ring, post to reap.
    Ring {
        /// Of which card.
        card: u16,
        /// Which.
        ring: RingId,
    },
    /// A lane of an engine group.
    Engine {
        /// Of which card.
        card: u16,
        /// Of which group.
        group: u8,
        /// Which.
        lane: u8,
    },
    /// Completions that wait to be reaped.
    Completion {
        /// Of which card.
        card: u16,
        /// Of which ring.
        ring: RingId,
    },
    /// Interrupts sent and arrived.
    Interrupts {
        /// Of which card.
        card: u16,
    },
    /// Rare things that happen to a card.
    CardEvents {
        /// Which.
        card: u16,
    },
}

/// One of the tracks that show the same kind of thing side by side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Lane {
    /// The track.
    pub(super) track: Track,
    number: u32,
}

/// Lanes of a kind.
#[derive(Default)]
struct Lanes {
    tracks: Vec<Track>,
    free: BTreeSet<u32>,
}

/// Every track so far.
pub(super) struct Tracks {
    lanes: BTreeMap<Kind, Lanes>,
    next_thread: u32,
}

/// Process of the card in slot `card`.
pub(super) fn card_process(card: u16) -> u32 {
    FIRST_CARD + u32::from(card)
}

impl Tracks {
    /// No tracks yet; names the processes.
    pub(super) fn new<'a, W: Write>(
        out: &mut Writer<W>,
        cards: impl Iterator<Item = &'a str>,
    ) -> io::Result<Self> {
        out.process(CONSUMERS, "consumers")?;
        out.process(FRAMEWORK, "framework")?;
        for (card, name) in (0..).zip(cards) {
            out.process(card_process(card), name)?;
        }
        Ok(Self {
            lanes: BTreeMap::new(),
            next_thread: FIRST_THREAD,
        })
    }

    /// The one track of a kind that has no lanes.
    pub(super) fn fixed<W: Write>(&mut self, out: &mut Writer<W>, kind: Kind) -> io::Result<Track> {
        if let Some(&track) = self.lanes.get(&kind).and_then(|lanes| lanes.tracks.first()) {
            return Ok(track);
        }
        self.add(out, kind)
    }

    /// The first lane on which nothing is.
    pub(super) fn take<W: Write>(&mut self, out: &mut Writer<W>, kind: Kind) -> io::Result<Lane> {
        let lanes = self.lanes.entry(kind).or_default();
        if let Some(number) = lanes.free.pop_first() {
            return Ok(Lane {
                track: lanes.tracks[number as usize],
                number,
            });
        }
        let number = u32::try_from(lanes.tracks.len()).expect("fewer lanes than requests");
        Ok(Lane {
            track: self.add(out, kind)?,
            number,
        })
    }

    /// Says that nothing is on `lane` any more.
    pub(super) fn give_back(&mut self, kind: Kind, lane: Lane) {
        let lanes = self.lanes.get_mut(&kind).expect("a lane that was taken");
        assert!(lanes.free.insert(lane.number), "lane given back twice");
    }

    fn add<W: Write>(&mut self, out: &mut Writer<W>, kind: Kind) -> io::Result<Track> {
        let lanes = self.lanes.entry(kind).or_default();
        let track = Track {
            process: kind.process(),
            thread: self.next_thread,
        };
        self.next_thread += 1;
        let number = lanes.tracks.len();
        lanes.tracks.push(track);
        out.track(track, &kind.name(number), kind.position(number))?;
        Ok(track)
    }
}

impl Kind {
    fn process(self) -> u32 {
        match self {
            Self::Consumer { .. } => CONSUMERS,
            Self::Drivers | Self::Blocked | Self::Sessions | Self::Resubmitted => FRAMEWORK,
            Self::Presence { card }
            | Self::DriverEvents { card }
            | Self::Writes { card }
            | Self::Ring { card, .. }
            | Self::Engine { card, .. }
            | Self::Completion { card, .. }
            | Self::Interrupts { card }
            | Self::CardEvents { card } => card_process(card),
        }
    }

    /// The name of the `number`th lane.
    fn name(self, number: usize) -> String {
        match self {
            Self::Consumer { consumer } => format!("consumer {consumer:02}, request {number:02}"),
            Self::Drivers => "drivers".to_owned(),
            Self::Blocked => "blocked".to_owned(),
            Self::Sessions => "sessions".to_owned(),
            Self::Resubmitted => "resubmitted requests".to_owned(),
            Self::Presence { .. } => "card".to_owned(),
            Self::DriverEvents { .. } => "driver".to_owned(),
            Self::Writes { .. } => "register writes".to_owned(),
            Self::Ring { ring, .. } => format!("{}, command {number:02}", ring_name(ring)),
            Self::Engine { group, lane, .. } => format!("{} engine {lane:02}", group_name(group)),
            Self::Completion { ring, .. } => {
                format!("{}, completion {number:02}", ring_name(ring))
            }
            Self::Interrupts { .. } => "interrupts".to_owned(),
            Self::CardEvents { .. } => "card events".to_owned(),
        }
    }

    /// Where the `number`th lane stands in its process: in the order in which a request passes.
    fn position(self, number: usize) -> u32 {
        let of_ring = |ring: RingId, offset: u32| u32::from(ring.0) * 2_000_000 + offset;
        let first = match self {
            Self::Consumer { consumer } => consumer.saturating_mul(10_000),
            Self::Drivers | Self::Presence { .. } => 0,
            Self::Blocked | Self::CardEvents { .. } => 100_000,
            Self::Sessions | Self::DriverEvents { .. } => 200_000,
            Self::Resubmitted | Self::Writes { .. } => 300_000,
            Self::Ring { ring, .. } => of_ring(ring, 1_000_000),
            Self::Completion { ring, .. } => of_ring(ring, 2_000_000),
            Self::Engine { group, lane, .. } => {
                400_000 + u32::from(group) * 1_000 + u32::from(lane)
            }
            Self::Interrupts { .. } => 500_000,
        };
        first.saturating_add(u32::try_from(number).unwrap_or(u32::MAX))
    }
}

pub(crate) fn group_name(group: u8) -> &'static str {
    match group {
        0 => "cipher",
        1 => "digest",
        2 => "combined",
        3 => "public key",
        _ => "other",
    }
}
