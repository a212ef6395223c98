//! DMA windows: a card touches nothing outside a live window, nor in the wrong direction.

use device_model::CardEvent;

use super::Findings;
use crate::event::{Event, Record};
use crate::memory::FaultReason;

/// Watches refused DMA accesses, and counts completions as the accesses that were good.
#[derive(Debug)]
pub struct DmaWindow {
    /// What it saw.
    pub findings: Findings,
}

impl Default for DmaWindow {
    fn default() -> Self {
        Self {
            findings: Findings::new("DMA windows"),
        }
    }
}

impl DmaWindow {
    #[inline]
    pub(super) fn observe(&mut self, record: &Record) {
        match record.event {
            Event::Card {
                event: CardEvent::Completed { .. },
                ..
            } => self.findings.look(),
            Event::DmaRefused {
                card,
                addr,
                is_write,
                reason,
            } => {
                self.findings.look();
                self.findings.violation(record.at, || {
                    let verb = if is_write { "wrote to" } else { "read from" };
                    let why = match reason {
                        FaultReason::NeverMapped => "which was never mapped",
                        FaultReason::Stale => "after its window was closed",
                        FaultReason::Direction => "against the window's direction",
                        FaultReason::PastEnd => "past the window's end",
                    };
                    format!("slot {card}: the card {verb} {addr}, {why}")
                });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regs::DeviceAddr;
    use timebase::Time;

    #[test]
    fn a_refused_access_is_found_with_its_reason() {
        let mut check = DmaWindow::default();
        let addr = DeviceAddr(0x1000);
        let reason = FaultReason::Stale;
        let event = Event::DmaRefused {
            card: 2,
            addr,
            is_write: true,
            reason,
        };
        check.observe(&Record {
            at: Time::ZERO,
            event,
        });
        let message = check.findings.messages()[0];
        assert!(message.contains("slot 2: the card wrote to"), "{message}");
        assert!(message.contains("after its window was closed"), "{message}");
    }
}
