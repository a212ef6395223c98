//! Registers: a driver uses them as the datasheet has them.
//!
//! Watches what the driver does at its end of the link, before anything happens to it on the way.

use driver::DriverEvent;
use regs::{Access, RegisterInfo, RingId, Target};
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

    /// The driver of the card in a slot made an access. `side` is what it met: the last ring of its
    /// card, and whether the card answers; `None` if its card is gone.
    pub fn accessed(
        &mut self,
        at: Time,
        card: u16,
        access: RegisterAccess,
        side: Option<(RingId, bool)>,
    ) {
        self.findings.look();
        let view = self.view(card);
        let complaint = match side {
            _ if view.is_lost => Err("after it had found the card gone".to_owned()),
            // It can only find out by trying.
            None => Ok(()),
            Some((_, false)) => Err("which is asleep or has its memory space off".to_owned()),
            Some((last_ring, true)) => view.judge(access, access.target(last_ring)),
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
            (Target::CommandDoorbell(ring) | Target::CompletionDoorbell(ring), access) => {
                match access {
                    RegisterAccess::Read { .. } => Err(format!(
                        "a doorbell of ring {}, which reads as zero",
                        ring.0
                    )),
                    // What it says is up to ring ownership.
                    RegisterAccess::Write { .. } => Ok(()),
                }
            }
            (Target::Control(register), RegisterAccess::Read { value, .. }) => {
                self.read(register.info(), value)
            }
            (Target::Ring(_, register), RegisterAccess::Read { value, .. }) => {
                self.read(register.info(), value)
            }
            (Target::Control(register), RegisterAccess::Write { value, .. }) => {
                self.write(register.info(), value)
            }
            (Target::Ring(_, register), RegisterAccess::Write { value, .. }) => {
                self.write(register.info(), value)
            }
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
    use regs::{INTERRUPT_MAILBOX, Register, RingRegister};

    const LAST: RingId = RingId(2);

    struct Bench(RegisterLint);

    impl Bench {
        fn new() -> Self {
            Self(RegisterLint::default())
        }

        fn access(&mut self, access: RegisterAccess) -> &mut Self {
            self.0.accessed(Time::ZERO, 0, access, Some((LAST, true)));
            self
        }

        fn write(&mut self, offset: u32, value: u32) -> &mut Self {
            self.access(RegisterAccess::Write { offset, value })
        }

        fn read(&mut self, offset: u32, value: u32) -> &mut Self {
            self.access(RegisterAccess::Read { offset, value })
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
        bench.write(doorbell, 7).read(status, 6);
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
        Bench::new()
            .read(RingId(1).command_doorbell(), 0)
            .complains("a doorbell of ring 1, which reads as zero");
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
        lint.accessed(Time::ZERO, 0, access, None);
        assert_eq!(lint.findings.violations(), 0);
        lint.accessed(Time::ZERO, 0, access, Some((LAST, false)));
        assert!(lint.findings.messages()[0].contains("asleep"));
        let event = Event::Driver {
            card: 0,
            event: DriverEvent::Lost,
        };
        let at = Time::ZERO;
        lint.observe(&Record { at, event });
        for (number, side) in [(1, Some((LAST, true))), (2, None)] {
            lint.accessed(at, 0, access, side);
            assert!(lint.findings.messages()[number].contains("found the card gone"));
        }
        lint.forget(0);
        lint.accessed(at, 0, access, Some((LAST, true)));
        assert_eq!(lint.findings.violations(), 3);
    }
}
