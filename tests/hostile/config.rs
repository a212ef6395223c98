//! Any accesses at all to configuration space.

use device_model::pci::{ConfigAccess, Message, Width};
use device_model::{Card, DmaFault, Host, Profile};
use regs::pci::{header, power};
use regs::{DeviceAddr, FunctionId};
use timebase::{Span, Time};

use super::Story;

/// Longest reset that configuration space takes part in.
const RESET: Span = Span::from_ms(100);

/// A machine without memory.
struct Nowhere;

impl Host for Nowhere {
    fn read(
        &mut self,
        _function: FunctionId,
        addr: DeviceAddr,
        _bytes: &mut [u8],
    ) -> Result<(), DmaFault> {
        Err(DmaFault::refused(addr))
    }

    fn write(
        &mut self,
        _function: FunctionId,
        addr: DeviceAddr,
        _bytes: &[u8],
    ) -> Result<(), DmaFault> {
        Err(DmaFault::refused(addr))
    }

    fn interrupt(&mut self, _at: Time, _message: Message) {}
}

/// Any access to the configuration space of any function.
pub(super) fn config_at(story: &mut Story<'_>) -> ConfigAccess {
    let (offset, kind) = (story.half(), story.byte());
    ConfigAccess {
        function: FunctionId(u16::from(kind >> 6)),
        // A few offsets lie beyond the end.
        offset: offset & 0x1FFF,
        width: [Width::Byte, Width::Word, Width::Dword][usize::from(kind % 3)],
    }
}

/// Reads and writes configuration space as the bytes say; gives the number of writes.
///
/// # Panics
/// If what must not change does: the identity, and a value that is read twice.
pub fn config(bytes: &[u8]) -> u64 {
    let mut card = Card::new(Profile::reference()).expect("the reference profile is a card");
    let mut now = Time::ZERO;
    let mut story = Story::new(bytes);
    let mut writes = 0;
    let constants = [
        header::VENDOR_ID,
        header::DEVICE_ID,
        header::REVISION_ID,
        header::BASE_CLASS,
        power::POWER_ID,
    ]
    .map(|register| ConfigAccess::of(FunctionId::PHYSICAL, register));
    let identity = constants.map(|at| card.config_read(now, at, &mut Nowhere));
    while !story.is_over() {
        let at = config_at(&mut story);
        let value = story.word();
        card.config_write(now, at, value, &mut Nowhere);
        writes += 1;
        let first = card.config_read(now, at, &mut Nowhere);
        let again = card.config_read(now, at, &mut Nowhere);
        assert_eq!(again, first, "a read changed {at:?}");
        assert!(first <= at.width.mask(), "{at:?} reads as {first:#x}");
        now += RESET;
        let read = constants.map(|at| card.config_read(now, at, &mut Nowhere));
        assert_eq!(read, identity, "a write to {at:?}");
    }
    writes
}
