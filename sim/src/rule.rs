//! Rules on single messages between a driver and its card: which one, and what becomes of it.
//!
//! A rule counts the messages of its kind from the moment it is armed. The link asks here before it
//! carries a message; without a rule that is one branch. Knows no card: a kind, a count and a fate.

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
    /// It arrives that much later; what is behind it in order waits for it.
    Delay(Span),
    /// Its lowest bit arrives wrong.
    Flip,
    /// The host refuses it.
    Refuse,
}

/// Which messages meet which fate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rule {
    /// The kind of message.
    pub message: Message,
    /// Messages of the kind that go by first.
    pub skip: u64,
    /// Messages that are struck after that.
    pub count: u64,
    /// What becomes of them.
    pub fate: Fate,
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

    /// Whether a message of the kind can meet `fate`: a read cannot arrive twice, nor can memory be
    /// accessed later than it is, because the card's own model of time is what delays it.
    #[must_use]
    pub const fn can(self, fate: Fate) -> bool {
        match fate {
            Fate::Lose => !matches!(self, Self::DmaRead),
            Fate::Double | Fate::Delay(_) => {
                matches!(self, Self::Doorbell | Self::Write | Self::Interrupt)
            }
            Fate::Flip => !matches!(self, Self::Interrupt),
            Fate::Refuse => matches!(self, Self::DmaRead | Self::DmaWrite),
        }
    }
}

impl Fate {
    /// The names of all fates in scenarios.
    pub const NAMES: [&str; 5] = ["lose", "double", "delay", "flip", "refuse"];

    /// The fate's name in scenarios.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lose => "lose",
            Self::Double => "double",
            Self::Delay(_) => "delay",
            Self::Flip => "flip",
            Self::Refuse => "refuse",
        }
    }
}

/// The rules of one link.
#[derive(Debug, Default)]
pub struct Rules(Vec<Armed>);

#[derive(Debug)]
struct Armed {
    rule: Rule,
    /// The fault of the scenario that it comes from.
    fault: usize,
    seen: u64,
    struck: u64,
}

impl Rules {
    /// Arms `rule`, which comes from the fault of this number in the scenario.
    pub fn arm(&mut self, fault: usize, rule: Rule) {
        self.0.push(Armed {
            rule,
            fault,
            seen: 0,
            struck: 0,
        });
    }

    /// What becomes of the next message of a kind; `None` if it is carried as it is. Of several
    /// rules that strike, the one armed first has its way.
    #[inline]
    pub fn fate(&mut self, message: Message) -> Option<Fate> {
        if self.0.is_empty() {
            return None;
        }
        self.strike(message)
    }

    #[cold]
    fn strike(&mut self, message: Message) -> Option<Fate> {
        let mut fate = None;
        for armed in &mut self.0 {
            if armed.rule.message != message {
                continue;
            }
            armed.seen += 1;
            let due = armed.seen > armed.rule.skip && armed.struck < armed.rule.count;
            if due && fate.is_none() {
                armed.struck += 1;
                fate = Some(armed.rule.fate);
            }
        }
        fate
    }

    /// Whether every message is carried as it is.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many messages the rule of a fault has struck; `None` if it is not armed.
    #[must_use]
    pub fn struck(&self, fault: usize) -> Option<u64> {
        let armed = self.0.iter().find(|armed| armed.fault == fault);
        armed.map(|armed| armed.struck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(skip: u64, count: u64, fate: Fate) -> Rule {
        Rule {
            message: Message::Doorbell,
            skip,
            count,
            fate,
        }
    }

    #[test]
    fn a_rule_counts_its_own_kind_and_strikes_as_often_as_it_says() {
        let mut rules = Rules::default();
        rules.arm(4, rule(1, 2, Fate::Lose));
        let doorbells: Vec<_> = (0..5)
            .map(|_| {
                assert_eq!(rules.fate(Message::Write), None);
                rules.fate(Message::Doorbell)
            })
            .collect();
        let lost = Some(Fate::Lose);
        assert_eq!(doorbells, [None, lost, lost, None, None]);
        assert_eq!(rules.struck(4), Some(2));
        assert_eq!(rules.struck(0), None);
    }

    #[test]
    fn of_two_rules_the_first_has_its_way_and_the_other_waits() {
        let mut rules = Rules::default();
        rules.arm(0, rule(0, 1, Fate::Flip));
        rules.arm(1, rule(0, 1, Fate::Double));
        assert_eq!(rules.fate(Message::Doorbell), Some(Fate::Flip));
        assert_eq!(rules.fate(Message::Doorbell), Some(Fate::Double));
        assert_eq!(rules.fate(Message::Doorbell), None);
    }
}
