//! Registers: a driver uses them as the datasheet has them.
//!
//! Watches what the driver does at its end of the link, before anything happens to it on the way.

use driver::DriverEvent;
use regs::{Access, Control, Doorbell, RegisterInfo, RingControl, RingId, RingRegister, Target};
use timebase::Time;

use super::Findings;
use crate::event::{Event, Record};

/// What a driver does to BAR 0 of its card.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RegisterAccess {
    /// It reads the dword at `offset`, in bytes.
    Read {
        /// Where.
        offset: u32,
        /// What it gets.
        value: u32,
    },
    /// It writes the dword at `offset`, in bytes.
    Write {
        /// Where.
        offset: u32,
        /// What.
        value: u32,
    },
}

impl RegisterAccess {
    /// What it is about, on a card with rings up to `last_ring`; `None` for a hole.
    #[inline]
    pub(super) const fn target(self, last_ring: RingId) -> Option<Target> {
        let (Self::Read { offset, .. } | Self::Write { offset, .. }) = self;
        regs::decode(offset, last_ring)
    }
}

/// Holds register accesses against the register tables.
#[derive(Debug)]
pub struct RegisterLint {
    /// What it saw.
    pub findings: Findings,
    cards: Vec<View>,
}

/// What the driver of the card in a slot did so far.
#[derive(Debug, Default)]
struct View {
    /// It has found its card gone.
    is_lost: bool,
    /// Entries of each ring, in which slots are counted; zero for a ring that is off.
    entries: Vec<u32>,
    /// What was read last of each register in which ones clear, by offset.
    latched: Vec<(u32, u32)>,
}

impl Default for RegisterLint {
    fn default() -> Self {
        Self {
            findings: Findings::new("registers"),
            cards: Vec::new(),
        }
    }
}

impl RegisterLint {
    pub(super) fn observe(&mut self, record: &Record) {
        if let Event::Driver {
            card,
            event: DriverEvent::Lost,
        } = record.event
        {
            self.view(card).is_lost = true;
        }
    }

    /// Another card is in the slot, or the same one anew.
    pub(super) fn forget(&mut self, card: u16) {
        *self.view(card) = View::default();
    }

    /// The driver of the card in a slot made an access. `last_ring` is the last ring that the card
    /// has; it `answers` unless its memory space is off or it sleeps.
    pub fn accessed(
        &mut self,
        at: Time,
        card: u16,
        access: RegisterAccess,
        (last_ring, answers): (RingId, bool),
    ) {
        self.findings.look();
        let view = self.view(card);
        let complaint = if view.is_lost {
            Err("after it had found the card gone".to_owned())
        } else if !answers {
            Err("which is asleep or has its memory space off".to_owned())
        } else {
            view.judge(access, access.target(last_ring))
        };
        if let Err(complaint) = complaint {
            let what = match access {
                RegisterAccess::Read { offset, .. } => format!("read BAR 0 + {offset:#07x}"),
                RegisterAccess::Write { offset, value } => {
                    format!("wrote {value:#x} to BAR 0 + {offset:#07x}")
                }
            };
            self.findings.violation(at, || {
                format!("slot {card}: the driver {what}, {complaint}")
            });
        }
    }

    fn view(&mut self, card: u16) -> &mut View {
        let index = usize::from(card);
        if index >= self.cards.len() {
            self.cards.resize_with(index + 1, View::default);
        }
        &mut self.cards[index]
    }
}

impl View {
    fn judge(&mut self, access: RegisterAccess, target: Option<Target>) -> Result<(), String> {
        let hole = || "where no register is".to_owned();
        match (target.ok_or_else(hole)?, access) {
            (Target::CommandDoorbell(ring) | Target::CompletionDoorbell(ring), _) => {
                self.judge_doorbell(ring, access)
            }
            (Target::Control(register), RegisterAccess::Read { value, .. }) => {
                self.read(register.info(), value)
            }
            (Target::Ring(_, register), RegisterAccess::Read { value, .. }) => {
                self.read(register.info(), value)
            }
            (Target::Control(register), RegisterAccess::Write { value, .. }) => {
                if register == regs::Register::Control && Control::from_bits(value).reset() {
                    self.entries.clear();
                }
                self.write(register.info(), value)
            }
            (Target::Ring(ring, register), RegisterAccess::Write { value, .. }) => {
                self.configure(ring, register, value);
                self.write(register.info(), value)
            }
        }
    }

    /// Remembers what a doorbell is judged by.
    fn configure(&mut self, ring: RingId, register: RingRegister, value: u32) {
        let index = 2 * usize::from(ring.0);
        if index + 1 >= self.entries.len() {
            self.entries.resize(index + 2, 0);
        }
        // Beside each ring's entries stands what they will be when it turns on.
        match register {
            RingRegister::Entries => self.entries[index + 1] = value,
            RingRegister::RingControl => {
                let is_on = RingControl::from_bits(value).enabled();
                self.entries[index] = if is_on { self.entries[index + 1] } else { 0 };
            }
            _ => {}
        }
    }

    fn judge_doorbell(&self, ring: RingId, access: RegisterAccess) -> Result<(), String> {
        let RegisterAccess::Write { value, .. } = access else {
            return Err(format!(
                "a doorbell of ring {}, which reads as zero",
                ring.0
            ));
        };
        let entries = self.entries.get(2 * usize::from(ring.0));
        let entries = entries.copied().unwrap_or(0);
        let slot = Doorbell::from_bits(value).slot.0;
        if entries == 0 {
            Err(format!("a doorbell of ring {}, which is off", ring.0))
        } else if slot >= entries {
            Err(format!(
                "a doorbell of ring {}: slot {slot} of {entries}",
                ring.0
            ))
        } else {
            Ok(())
        }
    }

    fn read(&mut self, info: &RegisterInfo, value: u32) -> Result<(), String> {
        match info.access {
            Access::Doorbell => Err(format!("{}, which reads as zero", info.name)),
            Access::WriteOneToClear => {
                self.latched.retain(|&(offset, _)| offset != info.offset);
                self.latched.push((info.offset, value));
                Ok(())
            }
            Access::ReadOnly | Access::ReadWrite => Ok(()),
        }
    }

    fn write(&self, info: &RegisterInfo, value: u32) -> Result<(), String> {
        let reserved = value & !info.meaning_mask();
        if info.access == Access::ReadOnly {
            return Err(format!("{}, which is read-only", info.name));
        }
        if reserved != 0 {
            return Err(format!("{}: bits {reserved:#x} are reserved", info.name));
        }
        if info.access == Access::WriteOneToClear {
            let seen = self.latched.iter().find(|&&(at, _)| at == info.offset);
            let seen = seen.map_or(0, |&(_, value)| value);
            // What was read came back with a bit more: somebody meant to set that bit.
            if seen != 0 && value & seen == seen && value != seen && value != u32::MAX {
                return Err(format!(
                    "{}: ones clear there, and {seen:#x} was set when it was read",
                    info.name
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regs::{INTERRUPT_MAILBOX, Register};

    const LAST: RingId = RingId(2);

    struct Bench(RegisterLint);

    impl Bench {
        fn new() -> Self {
            Self(RegisterLint::default())
        }

        fn access(&mut self, access: RegisterAccess) -> &mut Self {
            self.0.accessed(Time::ZERO, 0, access, (LAST, true));
            self
        }

        fn write(&mut self, offset: u32, value: u32) -> &mut Self {
            self.access(RegisterAccess::Write { offset, value })
        }

        fn read(&mut self, offset: u32, value: u32) -> &mut Self {
            self.access(RegisterAccess::Read { offset, value })
        }

        fn turn_on(&mut self, entries: u32) -> &mut Self {
            let on = RingControl::new().with_enabled(true).into_bits();
            self.write(RingId(1).register(RingRegister::Entries), entries)
                .write(RingId(1).register(RingRegister::RingControl), on)
        }

        /// The only complaint ends like this.
        fn complains(&self, end: &str) {
            let messages = self.0.findings.messages();
            assert_eq!(messages.len(), 1, "{messages:?}");
            assert!(messages[0].ends_with(end), "{messages:?}");
        }
    }

    #[test]
    fn what_the_datasheet_allows_passes() {
        let doorbell = RingId(1).command_doorbell();
        let status = Register::InterruptStatus.offset();
        let mut bench = Bench::new();
        bench.turn_on(8).write(doorbell, 7).read(status, 6);
        bench.write(status, 6).write(status, 2);
        bench
            .write(status, u32::MAX)
            .read(Register::DeviceId.offset(), 0);
        assert_eq!(bench.0.findings.messages(), [""; 0]);
    }

    #[test]
    fn each_misuse_of_a_register_is_found() {
        let status = Register::DeviceStatus.offset();
        Bench::new()
            .write(status, 1)
            .complains("DeviceStatus, which is read-only");
        let control = Register::Control.offset();
        Bench::new()
            .write(control, 5)
            .complains("Control: bits 0x4 are reserved");
        Bench::new()
            .read(0x7FC, 0)
            .complains("where no register is");
        Bench::new()
            .read(control + 2, 0)
            .complains("where no register is");
        let beyond = RingId(3).register(RingRegister::Entries);
        Bench::new()
            .write(beyond, 8)
            .complains("where no register is");
        let send = Register::MailboxSend.offset();
        Bench::new()
            .read(send, 0)
            .complains("MailboxSend, which reads as zero");
    }

    #[test]
    fn each_misuse_of_a_doorbell_is_found() {
        let doorbell = RingId(1).command_doorbell();
        Bench::new()
            .write(doorbell, 1)
            .complains("ring 1, which is off");
        Bench::new()
            .turn_on(8)
            .write(doorbell, 8)
            .complains("slot 8 of 8");
        Bench::new()
            .turn_on(8)
            .read(doorbell, 0)
            .complains("reads as zero");
        let reset = Control::new().with_enabled(true).with_reset(true);
        let mut bench = Bench::new();
        bench
            .turn_on(8)
            .write(Register::Control.offset(), reset.into_bits());
        bench.write(doorbell, 1).complains("ring 1, which is off");
    }

    #[test]
    fn read_modify_write_where_ones_clear_is_found() {
        let status = Register::InterruptStatus.offset();
        let mut bench = Bench::new();
        bench
            .read(status, 0b110)
            .write(status, 0b110 | INTERRUPT_MAILBOX);
        bench.complains("ones clear there, and 0x6 was set when it was read");
    }

    #[test]
    fn a_card_that_is_gone_or_asleep_is_left_alone() {
        let mut lint = RegisterLint::default();
        let access = RegisterAccess::Read {
            offset: 0,
            value: u32::MAX,
        };
        lint.accessed(Time::ZERO, 0, access, (LAST, false));
        assert!(lint.findings.messages()[0].contains("asleep"));
        let event = Event::Driver {
            card: 0,
            event: DriverEvent::Lost,
        };
        let at = Time::ZERO;
        lint.observe(&Record { at, event });
        lint.accessed(at, 0, access, (LAST, true));
        assert!(lint.findings.messages()[1].contains("found the card gone"));
        lint.forget(0);
        lint.accessed(at, 0, access, (LAST, true));
        assert_eq!(lint.findings.violations(), 2);
    }
}
