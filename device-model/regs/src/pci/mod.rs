//! PCI configuration space and the layout of the BARs.
//!
//! Declares the header and every capability, byte by byte, as *PCI Express Base Specification* 5.0,
//! section 7.5 and the following, lays them out. What depends on the card (sizes, link, numbers) is
//! zero here and said so; the card fills it in.

mod capability;
mod extended;
mod map;
mod type0;

pub use capability::{express, msix, power, vendor};
pub use extended::{aer, ari, serial, sriov};
pub use map::{ConfigPage, ConfigRegister, Field, FieldAccess};
pub use type0::header;

use crate::register::BAR0_LEN;

/// Size of the configuration space of one function, in bytes.
pub const CONFIG_LEN: usize = 4096;
/// PCI vendor id. Chosen from the range that no vendor holds.
pub const PCI_VENDOR: u16 = 0x1DE5;
/// PCI device id of the physical function.
pub const PCI_DEVICE: u16 = 0x5249;
/// PCI device id of a virtual function.
pub const PCI_VF_DEVICE: u16 = 0x5256;

/// The BAR of the registers and doorbells.
pub const REGISTER_BAR: u8 = 0;
/// The BAR of the MSI-X table and its pending bits.
pub const MSIX_BAR: u8 = 2;
/// Size of BAR 2, in bytes.
pub const MSIX_BAR_LEN: u32 = 0x2000;
/// Offset of the MSI-X table in BAR 2, in bytes.
pub const MSIX_TABLE: u32 = 0;
/// Offset of the MSI-X pending bits in BAR 2, in bytes.
pub const MSIX_PENDING: u32 = 0x1000;
/// Size of an entry of the MSI-X table, in bytes.
pub const MSIX_ENTRY_LEN: u32 = 16;
/// Offset of the low half of the message address in an entry of the MSI-X table.
pub const MSIX_ADDRESS_LOW: u32 = 0;
/// Offset of the high half of the message address in an entry of the MSI-X table.
pub const MSIX_ADDRESS_HIGH: u32 = 4;
/// Offset of the message data in an entry of the MSI-X table.
pub const MSIX_DATA: u32 = 8;
/// Offset of the vector control in an entry of the MSI-X table; bit 0 masks the vector.
pub const MSIX_VECTOR_CONTROL: u32 = 12;

/// What a configuration read gives that no function, or no aligned place, answers: all ones.
pub const NOBODY: u32 = u32::MAX;
/// The vendor id that a function shows while a reset is under way ("request retry status", as a
/// root complex with software visibility presents it); everything else reads as all ones then.
pub const RETRY_VENDOR: u16 = 0x0001;

/// Every page of the physical function's configuration space, in order of offset.
pub const PAGES: [&ConfigPage; 9] = [
    &header::PAGE,
    &power::PAGE,
    &msix::PAGE,
    &express::PAGE,
    &vendor::PAGE,
    &aer::PAGE,
    &serial::PAGE,
    &ari::PAGE,
    &sriov::PAGE,
];

/// Every page of a virtual function's configuration space, in order of offset.
pub const VF_PAGES: [&ConfigPage; 6] = [
    &header::PAGE,
    &msix::PAGE,
    &express::PAGE,
    &vendor::PAGE,
    &aer::PAGE,
    &ari::PAGE,
];

// BAR sizes and the writable bits of the BARs are the same thing said twice.
const _: () = {
    assert!(header::BAR0_ADDRESS.mask() == !(BAR0_LEN - 1));
    assert!(header::BAR2_ADDRESS.mask() == !(MSIX_BAR_LEN - 1));
    assert!(sriov::VF_BAR0_ADDRESS.mask() == !(BAR0_LEN - 1));
    assert!(sriov::VF_BAR2_ADDRESS.mask() == !(MSIX_BAR_LEN - 1));
    assert!(MSIX_TABLE + MSIX_ENTRY_LEN * (crate::MAX_RING_PAIRS + 1) <= MSIX_PENDING);
};

/// Number of a function of one card: 0 is the physical function, from 1 on the virtual ones.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct FunctionId(pub u16);

impl FunctionId {
    /// The physical function.
    pub const PHYSICAL: Self = Self(0);

    /// The virtual function that is counted from zero.
    #[must_use]
    pub const fn of_virtual(index: u16) -> Self {
        Self(index + 1)
    }

    /// Number of a virtual function, counted from zero.
    #[must_use]
    pub const fn virtual_index(self) -> Option<u16> {
        self.0.checked_sub(1)
    }

    /// Whether it is the physical function.
    #[must_use]
    pub const fn is_physical(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_do_not_overlap() {
        let mut end = 0;
        for page in PAGES {
            let first = page.registers.first().unwrap();
            let last = page.registers.last().unwrap();
            assert!(first.offset >= end, "{}", page.name);
            end = last.offset + u16::from(last.width);
        }
        assert!(usize::from(end) <= CONFIG_LEN);
    }

    #[test]
    fn fields_know_their_bits() {
        assert_eq!(express::MAX_PAYLOAD.mask(), 0xE0);
        assert_eq!(express::MAX_PAYLOAD.of(0x5F), 2);
        assert_eq!(express::MAX_PAYLOAD.bits(9), 0x20, "cut to the field");
        assert_eq!(aer::HEADER_LOG_0_BITS.mask(), u32::MAX);
    }

    #[test]
    fn names_are_said_once() {
        let mut names: Vec<_> = PAGES.iter().flat_map(|page| page.registers).collect();
        let count = names.len();
        names.sort_by_key(|register| register.name);
        names.dedup_by_key(|register| register.name);
        assert_eq!(names.len(), count);
    }
}
