//! Any bytes at all in place of a snapshot: refused, or a card that behaves.

use device_model::pci::Message;
use device_model::{Card, CardEvent, DmaFault, Host};
use regs::{DeviceAddr, FunctionId};
use timebase::Time;

/// More steps than any work on the card takes.
const PATIENCE: usize = 1 << 16;

/// Memory that takes everything and gives zeros.
struct Void;

impl Host for Void {
    fn read(
        &mut self,
        _function: FunctionId,
        _addr: DeviceAddr,
        bytes: &mut [u8],
    ) -> Result<(), DmaFault> {
        bytes.fill(0);
        Ok(())
    }

    fn write(
        &mut self,
        _function: FunctionId,
        _addr: DeviceAddr,
        _bytes: &[u8],
    ) -> Result<(), DmaFault> {
        Ok(())
    }

    fn interrupt(&mut self, _at: Time, _message: Message) {}

    fn observe(&mut self, _at: Time, _event: CardEvent) {}
}

/// Restores a card from `bytes` and lets it come to rest; gives one for each byte it was made of.
///
/// # Panics
/// If a card that was accepted gives other bytes back.
pub fn snapshot(bytes: &[u8]) -> u64 {
    let Ok(mut card) = Card::restore(bytes) else {
        return 0;
    };
    let again = card.snapshot();
    let same = Card::restore(&again).expect("a card's own snapshot");
    assert_eq!(*same.snapshot(), *again);
    for _ in 0..PATIENCE {
        let next = card.next_internal();
        if next == Time::NEVER {
            break;
        }
        card.advance(next, &mut Void);
    }
    bytes.len() as u64
}
