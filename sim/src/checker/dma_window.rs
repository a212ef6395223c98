//! DMA windows: a card touches nothing outside a live window, nor in the wrong direction.

use device_model::CardEvent;
use regs::DeviceAddr;

use super::Findings;
use crate::event::{Event, Record};
use crate::memory::FaultReason;

/// Watches refused DMA accesses, and counts completions as the accesses that were good.
#[derive(Debug)]
pub struct DmaWindow {
    /// What it saw.
    pub findings: Findings,
    reason: Option<(u16, DeviceAddr, FaultReason)>,
}

impl Default for DmaWindow {
    fn default() -> Self {
        Self {
            findings: Findings::new("DMA windows"),
            reason: None,
        }
    }
}

impl DmaWindow {
    /// Why the fault that is about to be observed was one.
    pub fn explain(&mut self, card: u16, addr: DeviceAddr, reason: FaultReason) {
        self.reason = Some((card, addr, reason));
    }

    #[inline]
    pub(super) fn observe(&mut self, record: &Record) {
        let Event::Card { card, event } = record.event else {
            return;
        };
        match event {
            CardEvent::Completed { .. } => self.findings.look(),
            CardEvent::DmaFault {
                ring,
                addr,
                is_write,
            } => {
                self.findings.look();
                let reason = self
                    .reason
                    .take()
                    .filter(|&(c, a, _)| (c, a) == (card, addr));
                self.findings.violation(record.at, || {
                    let verb = if is_write { "wrote to" } else { "read from" };
                    let why = match reason.map(|(_, _, reason)| reason) {
                        Some(FaultReason::NeverMapped) => "which was never mapped",
                        Some(FaultReason::Stale) => "after its window was closed",
                        Some(FaultReason::Direction) => "against the window's direction",
                        Some(FaultReason::PastEnd) => "past the window's end",
                        None => "and was refused",
                    };
                    format!("slot {card}, ring {}: the card {verb} {addr} {why}", ring.0)
                });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regs::RingId;
    use timebase::Time;

    #[test]
    fn a_refused_access_is_found_with_its_reason() {
        let mut check = DmaWindow::default();
        let addr = DeviceAddr(0x1000);
        check.explain(2, addr, FaultReason::Stale);
        let event = CardEvent::DmaFault {
            ring: RingId(3),
            addr,
            is_write: true,
        };
        check.observe(&Record {
            at: Time::ZERO,
            event: Event::Card { card: 2, event },
        });
        let message = check.findings.messages()[0];
        assert!(
            message.contains("slot 2, ring 3: the card wrote to"),
            "{message}"
        );
        assert!(message.contains("after its window was closed"), "{message}");
    }
}
