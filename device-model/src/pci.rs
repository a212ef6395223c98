//! Configuration space: a type-0 header, the MSI-X capability and the PCI Express capability.
//!
//! Owns the enables that gate everything else: without memory enable the card answers no register
//! access, without bus mastering it reaches no host memory and sends no interrupt.
//!
//! BAR 0 is a 64-bit memory BAR. The MSI-X table and its pending bits are reserved behind the ring
//! registers; their contents are not modelled, since a host traps them (as VFIO does) and the card
//! hands vectors, not messages, to seam 3. Not modelled: power management, function-level reset,
//! advanced error reporting.

use regs::{BAR0_LEN, PCI_DEVICE, PCI_VENDOR};

use crate::profile::Profile;

/// Command register: memory space enable.
pub const COMMAND_MEMORY: u32 = 1 << 1;
/// Command register: bus master enable.
pub const COMMAND_BUS_MASTER: u32 = 1 << 2;
/// Offset of the command and status dword.
pub const COMMAND_AT: u16 = 0x04;
/// Offset of the low half of BAR 0.
pub const BAR0_AT: u16 = 0x10;
/// Offset of the MSI-X capability.
pub const MSIX_AT: u16 = 0x40;
/// Offset of the PCI Express capability.
pub const EXPRESS_AT: u16 = 0x50;
/// Offset of the MSI-X table in BAR 0, in bytes.
pub const MSIX_TABLE: u32 = 0x8000;
/// Offset of the MSI-X pending bits in BAR 0, in bytes.
pub const MSIX_PENDING: u32 = 0xC000;

const COMMAND_INTX_DISABLE: u32 = 1 << 10;
const COMMAND_WRITABLE: u32 = COMMAND_MEMORY | COMMAND_BUS_MASTER | COMMAND_INTX_DISABLE;
const STATUS_CAPABILITIES: u32 = 1 << (16 + 4);
/// Encryption controller, other; revision 1.
const CLASS_REVISION: u32 = 0x1080_0001;
/// A 64-bit memory BAR, not prefetchable.
const BAR_KIND: u32 = 0b100;
const CAPABILITY_MSIX: u32 = 0x11;
const CAPABILITY_EXPRESS: u32 = 0x10;
const MSIX_WRITABLE: u32 = 0xC000_0000;
/// Device control: payload size, read size and error reporting.
const DEVICE_CONTROL_WRITABLE: u32 = 0x0000_70FF;
/// Eight lanes at 8 GT/s.
const LINK_SPEED_WIDTH: u32 = 3 | (8 << 4);

/// Configuration space of one function.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct ConfigSpace {
    command: u32,
    bar0: u64,
    msix_control: u32,
    device_control: u32,
    vectors: u16,
    payload_code: u32,
}

impl ConfigSpace {
    pub(crate) fn new(profile: &Profile) -> Self {
        Self {
            command: 0,
            bar0: 0,
            msix_control: 0,
            device_control: 0,
            vectors: profile.ring_pairs + 1,
            payload_code: profile.link.max_payload.max(128).ilog2() - 7,
        }
    }

    /// Back to the state after power-on.
    pub(crate) fn clear(&mut self) {
        self.command = 0;
        self.bar0 = 0;
        self.msix_control = 0;
        self.device_control = 0;
    }

    #[inline]
    pub(crate) const fn memory_enabled(&self) -> bool {
        self.command & COMMAND_MEMORY != 0
    }

    #[inline]
    pub(crate) const fn bus_master(&self) -> bool {
        self.command & COMMAND_BUS_MASTER != 0
    }

    /// Vectors the function has.
    pub(crate) const fn vectors(&self) -> u16 {
        self.vectors
    }

    pub(crate) fn read(&self, offset: u16) -> u32 {
        const EXPRESS_DEVICE: u16 = EXPRESS_AT + 0x04;
        const EXPRESS_CONTROL: u16 = EXPRESS_AT + 0x08;
        const EXPRESS_LINK: u16 = EXPRESS_AT + 0x0C;
        const EXPRESS_LINK_STATUS: u16 = EXPRESS_AT + 0x10;
        match offset & !3 {
            0x00 => (u32::from(PCI_DEVICE) << 16) | u32::from(PCI_VENDOR),
            COMMAND_AT => STATUS_CAPABILITIES | self.command,
            0x08 => CLASS_REVISION,
            BAR0_AT => self.bar0 as u32 | BAR_KIND,
            0x14 => (self.bar0 >> 32) as u32,
            0x2C => (u32::from(PCI_DEVICE) << 16) | u32::from(PCI_VENDOR),
            0x34 => u32::from(MSIX_AT),
            MSIX_AT => {
                let size = u32::from(self.vectors - 1) << 16;
                CAPABILITY_MSIX | (u32::from(EXPRESS_AT) << 8) | size | self.msix_control
            }
            0x44 => MSIX_TABLE,
            0x48 => MSIX_PENDING,
            // Version 2, endpoint, end of the list.
            EXPRESS_AT => CAPABILITY_EXPRESS | (2 << 16),
            EXPRESS_DEVICE => self.payload_code,
            EXPRESS_CONTROL => self.device_control,
            EXPRESS_LINK => LINK_SPEED_WIDTH,
            EXPRESS_LINK_STATUS => LINK_SPEED_WIDTH << 16,
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, offset: u16, value: u32) {
        const BAR_HIGH_AT: u16 = BAR0_AT + 4;
        const EXPRESS_CONTROL: u16 = EXPRESS_AT + 0x08;
        const LOW: u64 = 0xFFFF_FFFF;
        match offset & !3 {
            COMMAND_AT => self.command = value & COMMAND_WRITABLE,
            BAR0_AT => {
                let base = u64::from(value & !(BAR0_LEN - 1));
                self.bar0 = (self.bar0 & !LOW) | base;
            }
            BAR_HIGH_AT => self.bar0 = (u64::from(value) << 32) | (self.bar0 & LOW),
            MSIX_AT => self.msix_control = value & MSIX_WRITABLE,
            EXPRESS_CONTROL => self.device_control = value & DEVICE_CONTROL_WRITABLE,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> ConfigSpace {
        ConfigSpace::new(&Profile::reference())
    }

    #[test]
    fn a_bus_driver_finds_the_size_of_the_bar() {
        let mut space = space();
        space.write(BAR0_AT, u32::MAX);
        space.write(BAR0_AT + 4, u32::MAX);
        let low = space.read(BAR0_AT);
        assert_eq!(low & 0xF, 0b0100, "a 64-bit memory BAR");
        let mask = (u64::from(space.read(BAR0_AT + 4)) << 32) | u64::from(low & !0xF);
        assert_eq!((!mask).wrapping_add(1), u64::from(BAR0_LEN));
    }

    #[test]
    fn the_capability_list_ends() {
        let space = space();
        assert_ne!(space.read(COMMAND_AT) & STATUS_CAPABILITIES, 0);
        let mut at = space.read(0x34) as u16 & 0xFC;
        let mut found = Vec::new();
        while at != 0 {
            assert!(found.len() < 48, "the list is a circle");
            found.push(space.read(at) & 0xFF);
            at = (space.read(at) >> 8) as u16 & 0xFC;
        }
        assert_eq!(found, [CAPABILITY_MSIX, CAPABILITY_EXPRESS]);
        assert_eq!((space.read(MSIX_AT) >> 16) & 0x7FF, 4, "five vectors");
    }

    #[test]
    fn the_vector_table_overlaps_no_register() {
        let last = regs::RingId(regs::MAX_RING_PAIRS as u16);
        let end = last.register(regs::RingRegister::RingVector) + 4;
        assert!(end <= MSIX_TABLE);
        const { assert!(MSIX_TABLE + 16 * 65 <= MSIX_PENDING) };
        const { assert!(MSIX_PENDING + 16 <= regs::DOORBELL_PAGE) };
    }

    #[test]
    fn only_writable_bits_change() {
        let mut space = space();
        for offset in (0..0x100).step_by(4) {
            space.write(offset, u32::MAX);
        }
        assert_eq!(space.read(0x00), 0x5249_1DE5);
        assert_eq!(space.read(COMMAND_AT) & 0xFFFF, COMMAND_WRITABLE);
        assert_eq!(space.read(0x08), CLASS_REVISION);
        assert!(space.memory_enabled() && space.bus_master());
        space.clear();
        assert!(!space.memory_enabled() && !space.bus_master());
    }
}
