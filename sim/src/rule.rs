//! Rules on single messages between a driver and its card: which one, and what becomes of it.
//!
//! A rule counts the messages of its kind and place from the moment it is armed. The link asks here
//! before it carries a message; without a rule that is one branch. Knows no card: a kind, a place,
//! a count, a chance and a fate. Chance is drawn from the rule's own seed, so that a rule changes
//! nothing but what it strikes.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use rand::{Rng as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;
use timebase::Span;

/// What crosses the link, by who sends it and what it is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Message {
    /// A write to a doorbell.
    Doorbell,
    /// A write to any other register.
    Write,
    /// The answer to a register read.
    Read,
    /// An interrupt message of the card.
    Interrupt,
    /// A read of host memory by the card.
    DmaRead,
    /// A write to host memory by the card.
    DmaWrite,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It does not arrive. A read is answered with all ones, as when nobody answers.
    Lose,
    /// It arrives twice.
    Double,
    /// It arrives that much later. What is behind a register write waits for it, as it does on
    /// PCIe; what is behind a write to memory does not, which PCIe forbids. A read that is delayed
    /// stalls the processor that reads.
    Delay(Span),
    /// It arrives, and once more that much later.
    Again(Span),
    /// It arrives before the posted writes that were sent before it, which PCIe forbids.
    Overtake,
    /// Its lowest bit arrives wrong; an interrupt comes with the neighbouring vector.
    Flip,
    /// The host refuses it.
    Refuse,
    /// Its data arrives marked as bad.
    Poison,
    /// What the card read at the place before comes again, or zeros if it never read there: memory
    /// as it was before the driver wrote to it.
    Stale,
    /// A register answers with this value.
    Answer(u32),
    /// Nothing happens to it: a trigger that only counts.
    Carry,
}

/// Which messages meet which fate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rule {
    /// The kind of message.
    pub message: Message,
    /// Its first place: for a register its offset in BAR 0 in bytes, for an interrupt its vector,
    /// for memory the device address.
    pub first: u64,
    /// Its last place.
    pub last: u64,
    /// Length of the messages in bytes, for memory; `None` for any length.
    pub bytes: Option<u64>,
    /// What the message must say; `None` for anything.
    pub holds: Option<Holds>,
    /// Messages of the kind and place that go by first.
    pub skip: u64,
    /// Messages that are struck after that.
    pub count: u64,
    /// Of those that could be struck, one in so many is, by chance; 1 strikes each, 0 is taken for
    /// 1.
    pub one_in: u64,
    /// What becomes of them.
    pub fate: Fate,
}

impl Rule {
    /// Every place.
    pub const ANYWHERE: RangeInclusive<u64> = 0..=u64::MAX;

    /// The next message of a kind, wherever, meets `fate`.
    #[must_use]
    pub const fn next(message: Message, fate: Fate) -> Self {
        Self {
            message,
            first: *Self::ANYWHERE.start(),
            last: *Self::ANYWHERE.end(),
            bytes: None,
            holds: None,
            skip: 0,
            count: 1,
            one_in: 1,
            fate,
        }
    }
}

/// A word that the contents of a message must hold: what is written to or read from a register or
/// memory, such as a field of a descriptor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Holds {
    /// Where the word begins, in bytes from the beginning of the message; little endian.
    pub at: u32,
    /// Bytes from one such place to the next, as one message may be several descriptors; 0 if there
    /// is one place only.
    pub stride: u32,
    /// The bits that count.
    pub mask: u32,
    /// What they are.
    pub value: u32,
}

impl Holds {
    /// Whether one of the places in `contents` has the value.
    fn is_in(self, contents: &[u8]) -> bool {
        let mut rest = contents.get(self.at as usize..);
        while let Some(word) = rest.and_then(|rest| rest.first_chunk()) {
            if u32::from_le_bytes(*word) & self.mask == self.value {
                return true;
            }
            let stride = (self.stride != 0).then_some(self.stride as usize);
            rest = rest
                .zip(stride)
                .and_then(|(rest, stride)| rest.get(stride..));
        }
        false
    }
}

impl Message {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Doorbell,
        Self::Write,
        Self::Read,
        Self::Interrupt,
        Self::DmaRead,
        Self::DmaWrite,
    ];

    /// The kind's name in scenarios.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Doorbell => "doorbell",
            Self::Write => "write",
            Self::Read => "read",
            Self::Interrupt => "interrupt",
            Self::DmaRead => "dma-read",
            Self::DmaWrite => "dma-write",
        }
    }

    /// Whether a message of the kind can meet `fate`: a read cannot arrive twice, and how long the
    /// card waits for memory is for its own model of time to say.
    #[must_use]
    pub const fn can(self, fate: Fate) -> bool {
        match fate {
            Fate::Lose | Fate::Flip | Fate::Carry => true,
            Fate::Double => matches!(self, Self::Doorbell | Self::Write | Self::Interrupt),
            Fate::Delay(_) => !matches!(self, Self::DmaRead),
            Fate::Again(_) => matches!(self, Self::DmaWrite),
            Fate::Overtake => matches!(self, Self::Doorbell | Self::Write),
            Fate::Refuse => matches!(self, Self::DmaRead | Self::DmaWrite),
            Fate::Poison | Fate::Stale => matches!(self, Self::DmaRead),
            Fate::Answer(_) => matches!(self, Self::Read),
        }
    }

    /// Whether it says anything: an interrupt is its vector and nothing else.
    #[must_use]
    pub const fn has_contents(self) -> bool {
        !matches!(self, Self::Interrupt)
    }

    /// Whether it is an access to memory, which has a length.
    #[must_use]
    pub const fn is_memory(self) -> bool {
        matches!(self, Self::DmaRead | Self::DmaWrite)
    }
}

impl Fate {
    /// The names of all fates in scenarios.
    pub const NAMES: [&str; 10] = [
        "lose", "double", "delay", "again", "overtake", "flip", "refuse", "poison", "stale",
        "answer",
    ];

    /// The fate's name in scenarios.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lose => "lose",
            Self::Double => "double",
            Self::Delay(_) => "delay",
            Self::Again(_) => "again",
            Self::Overtake => "overtake",
            Self::Flip => "flip",
            Self::Refuse => "refuse",
            Self::Poison => "poison",
            Self::Stale => "stale",
            Self::Answer(_) => "answer",
            Self::Carry => "carry",
        }
    }
}

/// The rules of one link.
#[derive(Debug, Default)]
pub struct Rules {
    armed: Vec<Armed>,
    /// Faults whose trigger has counted far enough.
    told: Vec<usize>,
    /// The fault whose rule struck last, since somebody asked.
    latest: Option<usize>,
    /// What the card has read so far, if a rule may bring it again.
    seen: Option<Seen>,
}

/// Lines of memory as the card has read them.
#[derive(Debug, Default)]
struct Seen(BTreeMap<u64, [u8; LINE]>);

/// Bytes of a line.
const LINE: usize = 64;

impl Seen {
    /// Gives `old` for each line that `bytes` at `addr` touch, and keeps what is there now.
    fn exchange(&mut self, addr: u64, bytes: &mut [u8], is_stale: bool) {
        let mut at = addr;
        let mut rest = bytes;
        while !rest.is_empty() {
            let offset = (at % LINE as u64) as usize;
            let (part, behind) = rest.split_at_mut(rest.len().min(LINE - offset));
            let line = self.0.entry(at / LINE as u64).or_insert([0; LINE]);
            let old = &mut line[offset..offset + part.len()];
            if is_stale {
                part.copy_from_slice(old);
            } else {
                old.copy_from_slice(part);
            }
            at += part.len() as u64;
            rest = behind;
        }
    }
}

#[derive(Debug)]
struct Armed {
    rule: Rule,
    /// The fault of the scenario that it comes from.
    fault: usize,
    seen: u64,
    struck: u64,
    chance: Xoshiro256PlusPlus,
}

impl Armed {
    /// Whether the rule has its turn with a message of its kind and these `contents` at `place`.
    fn is_due(&mut self, place: u64, contents: &[u8]) -> bool {
        let bytes = contents.len() as u64;
        if !(self.rule.first..=self.rule.last).contains(&place)
            || self.rule.bytes.is_some_and(|wanted| wanted != bytes)
            || self.rule.holds.is_some_and(|holds| !holds.is_in(contents))
        {
            return false;
        }
        self.seen += 1;
        self.seen > self.rule.skip
            && self.struck < self.rule.count
            && (self.rule.one_in <= 1 || self.chance.next_u64().is_multiple_of(self.rule.one_in))
    }
}

impl Rules {
    /// Arms `rule`, which comes from the fault of this number in the scenario; its chance comes
    /// from `seed`.
    pub fn arm(&mut self, fault: usize, rule: Rule, seed: u64) {
        if rule.fate == Fate::Stale {
            self.seen.get_or_insert_default();
        }
        self.armed.push(Armed {
            rule,
            fault,
            seen: 0,
            struck: 0,
            chance: Xoshiro256PlusPlus::seed_from_u64(seed),
        });
    }

    /// What becomes of the next message of a kind at [`place`](Rule::first); `None` if it is
    /// carried as it is. Of several rules that strike, the one armed first has its way.
    #[inline]
    pub fn fate(&mut self, message: Message, place: u64) -> Option<Fate> {
        self.fate_of(message, place, &[])
    }

    /// The same for a message that says something: a value, or bytes of memory.
    #[inline]
    pub fn fate_of(&mut self, message: Message, place: u64, contents: &[u8]) -> Option<Fate> {
        if self.armed.is_empty() {
            return None;
        }
        self.strike(message, place, contents)
    }

    #[cold]
    fn strike(&mut self, message: Message, place: u64, contents: &[u8]) -> Option<Fate> {
        let mut fate = None;
        for armed in &mut self.armed {
            if armed.rule.message != message {
                continue;
            }
            if armed.is_due(place, contents) && (fate.is_none() || armed.rule.fate == Fate::Carry) {
                armed.struck += 1;
                if armed.rule.fate == Fate::Carry {
                    self.told.push(armed.fault);
                } else {
                    fate = Some(armed.rule.fate);
                    self.latest = Some(armed.fault);
                }
            }
        }
        fate
    }

    /// Takes the faults whose trigger has counted far enough since the last time.
    #[inline]
    pub fn take_told(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.told)
    }

    /// Takes the fault whose rule struck last since the last time, if one did.
    #[inline]
    pub fn take_latest(&mut self) -> Option<usize> {
        self.latest.take()
    }

    /// Whether a trigger has something to tell.
    #[must_use]
    #[inline]
    pub const fn has_news(&self) -> bool {
        !self.told.is_empty()
    }

    /// Shows what the card reads at `addr`; what it read there before takes its place if the read
    /// `is_stale`.
    #[inline]
    pub fn saw(&mut self, addr: u64, bytes: &mut [u8], is_stale: bool) {
        if let Some(seen) = &mut self.seen {
            seen.exchange(addr, bytes, is_stale);
        }
    }

    /// Whether every message is carried as it is.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.armed.is_empty()
    }

    /// How many messages the rule of a fault has struck; `None` if it is not armed.
    #[must_use]
    pub fn struck(&self, fault: usize) -> Option<u64> {
        let is_it = |armed: &&Armed| armed.fault == fault && armed.rule.fate != Fate::Carry;
        let armed = self.armed.iter().find(is_it);
        armed.map(|armed| armed.struck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(skip: u64, count: u64, fate: Fate) -> Rule {
        Rule {
            skip,
            count,
            ..Rule::next(Message::Doorbell, fate)
        }
    }

    #[test]
    fn a_rule_strikes_at_its_place_only() {
        let mut rules = Rules::default();
        let rule = Rule {
            first: 8,
            last: 11,
            count: 9,
            ..rule(1, 9, Fate::Lose)
        };
        rules.arm(0, rule, 1);
        let places = [7, 8, 12, 9, 7, 11, 0];
        let struck = places.map(|place| rules.fate(Message::Doorbell, place).is_some());
        assert_eq!(struck, [false, false, false, true, false, true, false]);
    }

    #[test]
    fn a_rule_of_chance_strikes_about_as_often_as_it_says_and_by_its_seed() {
        let struck = |seed| {
            let mut rules = Rules::default();
            let rule = Rule {
                one_in: 10,
                ..rule(0, 1 << 20, Fate::Lose)
            };
            rules.arm(0, rule, seed);
            let fates = (0..10_000).map(|_| rules.fate(Message::Doorbell, 0).is_some());
            fates.collect::<Vec<_>>()
        };
        let count = struck(1).iter().filter(|&&struck| struck).count();
        assert!((850..1150).contains(&count), "{count}");
        assert_eq!(struck(1), struck(1));
        assert_ne!(struck(1), struck(2));
    }

    #[test]
    fn a_rule_counts_its_own_kind_and_strikes_as_often_as_it_says() {
        let mut rules = Rules::default();
        rules.arm(4, rule(1, 2, Fate::Lose), 0);
        let doorbells: Vec<_> = (0..5)
            .map(|_| {
                assert_eq!(rules.fate(Message::Write, 0), None);
                rules.fate(Message::Doorbell, 0)
            })
            .collect();
        let lost = Some(Fate::Lose);
        assert_eq!(doorbells, [None, lost, lost, None, None]);
        assert_eq!(rules.struck(4), Some(2));
        assert_eq!((rules.take_latest(), rules.take_latest()), (Some(4), None));
        assert_eq!(rules.struck(0), None);
    }

    #[test]
    fn a_rule_for_a_length_strikes_no_other() {
        let mut rules = Rules::default();
        let rule = Rule {
            bytes: Some(32),
            count: 9,
            ..Rule::next(Message::DmaWrite, Fate::Flip)
        };
        rules.arm(0, rule, 0);
        let struck = [16, 32, 33].map(|len| {
            let contents = vec![0; len];
            rules.fate_of(Message::DmaWrite, 0, &contents).is_some()
        });
        assert_eq!(struck, [false, true, false]);
    }

    #[test]
    fn a_rule_on_contents_strikes_what_says_so_and_no_other() {
        let mut contents = [0; 24];
        contents[20..].copy_from_slice(&0xAB07_u32.to_le_bytes());
        let is_struck = |at, stride, value, contents: &[u8]| {
            let mut rules = Rules::default();
            let (mask, holds) = (0xFF, |mask| Holds {
                at,
                stride,
                mask,
                value,
            });
            let rule = Rule {
                holds: Some(holds(mask)),
                ..Rule::next(Message::DmaRead, Fate::Lose)
            };
            rules.arm(0, rule, 0);
            rules.fate_of(Message::DmaRead, 0, contents).is_some()
        };
        assert!(is_struck(20, 0, 7, &contents));
        assert!(!is_struck(20, 0, 8, &contents));
        assert!(!is_struck(4, 0, 7, &contents), "one place only");
        assert!(is_struck(4, 16, 7, &contents), "any of them");
        assert!(!is_struck(4, 12, 7, &contents));
        // A word that is not all there says nothing.
        assert!(!is_struck(21, 0, 0, &contents));
        assert!(!is_struck(u32::MAX, u32::MAX, 0, &contents));
        assert!(!is_struck(0, 0, 0, &[]));
    }

    #[test]
    fn a_stale_read_brings_what_was_read_before_and_zeros_where_nothing_was() {
        let mut rules = Rules::default();
        rules.arm(0, Rule::next(Message::DmaRead, Fate::Stale), 0);
        rules.saw(60, &mut [1, 2, 3, 4, 5, 6, 7, 8], false);
        let mut bytes = [9; 12];
        rules.saw(58, &mut bytes, true);
        assert_eq!(bytes, [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0]);
    }

    #[test]
    fn a_trigger_counts_tells_once_and_takes_no_other_rules_turn() {
        let mut rules = Rules::default();
        rules.arm(3, rule(1, 1, Fate::Carry), 0);
        rules.arm(4, rule(1, 1, Fate::Lose), 0);
        let fates = [(); 3].map(|()| rules.fate(Message::Doorbell, 0));
        assert_eq!(fates, [None, Some(Fate::Lose), None]);
        assert!(rules.has_news());
        assert_eq!(rules.take_told(), [3]);
        assert_eq!((rules.take_told(), rules.struck(3)), (Vec::new(), None));
    }

    #[test]
    fn of_two_rules_the_first_has_its_way_and_the_other_waits() {
        let mut rules = Rules::default();
        rules.arm(0, rule(0, 1, Fate::Flip), 0);
        rules.arm(1, rule(0, 1, Fate::Double), 0);
        assert_eq!(rules.fate(Message::Doorbell, 0), Some(Fate::Flip));
        assert_eq!(rules.fate(Message::Doorbell, 0), Some(Fate::Double));
        assert_eq!(rules.fate(Message::Doorbell, 0), None);
    }
}
