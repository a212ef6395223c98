//! Numbers of sessions and drivers.
//!
//! A session number (SID) is three in one: bits 63 to 56 are the driver's kind, bits 55 to 32 its
//! number (hid), bits 31 to 0 the session's own (lid). Here the lid stays when the session moves;
//! hid and kind change with the driver, so that an old SID tells itself from the new one.

use crate::{DriverChoice, DriverFlags, DriverId};

/// Most drivers that have a number: it has 24 bits.
pub(super) const HID_END: u32 = 1 << 24;

const HARDWARE: u32 = DriverFlags::HARDWARE.bits();
const SOFTWARE: u32 = DriverFlags::SOFTWARE.bits();

pub(super) fn sid(flags: DriverFlags, hid: u32, lid: u32) -> u64 {
    u64::from(flags.bits() & 0xFF00_0000 | hid & (HID_END - 1)) << 32 | u64::from(lid)
}

/// Number of the driver of a session; `CRYPTO_SESID2HID`.
#[must_use]
pub const fn crypto_sid_hid(sid: u64) -> u32 {
    (sid >> 32) as u32 & (HID_END - 1)
}

/// Kind of the driver of a session; `CRYPTO_SESID2CAPS`.
#[must_use]
pub const fn crypto_sid_caps(sid: u64) -> DriverFlags {
    DriverFlags::from_bits_retain((sid >> 32) as u32 & 0xFF00_0000)
}

/// The session's own number; `CRYPTO_SESID2LID`.
#[must_use]
pub const fn crypto_sid_lid(sid: u64) -> u32 {
    sid as u32
}

/// Which drivers may serve: kinds or one driver's number; `crid`, the last argument of
/// `crypto_newsession`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Crid(pub u32);

impl Crid {
    /// Hardware (`CRYPTOCAP_F_HARDWARE`).
    pub const HARDWARE: Self = Self(HARDWARE);
    /// Software (`CRYPTOCAP_F_SOFTWARE`).
    pub const SOFTWARE: Self = Self(SOFTWARE);
    /// Hardware, or else software.
    pub const ANY: Self = Self(HARDWARE | SOFTWARE);

    /// The argument as the oldest pages have it: hardware alone if above zero, software alone if
    /// below, any driver if zero.
    #[must_use]
    pub const fn from_hard(hard: i32) -> Self {
        match hard {
            1.. => Self::HARDWARE,
            0 => Self::ANY,
            _ => Self::SOFTWARE,
        }
    }

    /// The kinds, or `None` if this is a driver's number.
    pub(super) const fn kinds(self) -> Option<DriverFlags> {
        match self.0 & (HARDWARE | SOFTWARE) {
            0 => None,
            kinds => Some(DriverFlags::from_bits_retain(kinds)),
        }
    }

    /// The framework's choice, given what a number stands for.
    pub(super) fn choice(
        self,
        driver: impl FnOnce(u32) -> Option<DriverId>,
    ) -> Option<DriverChoice> {
        let Some(kinds) = self.kinds() else {
            return driver(self.0).map(DriverChoice::driver);
        };
        Some(if kinds == DriverFlags::HARDWARE {
            DriverChoice::hardware_only()
        } else if kinds == DriverFlags::SOFTWARE {
            DriverChoice::software_only()
        } else {
            DriverChoice::any()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_number_gives_back_its_three_parts() {
        let number = sid(
            DriverFlags::HARDWARE | DriverFlags::SYNC,
            0x12_3456,
            0x89AB_CDEF,
        );
        assert_eq!(number, 0x0512_3456_89AB_CDEF);
        assert_eq!(crypto_sid_hid(number), 0x12_3456);
        assert_eq!(
            crypto_sid_caps(number),
            DriverFlags::HARDWARE | DriverFlags::SYNC
        );
        assert_eq!(crypto_sid_lid(number), 0x89AB_CDEF);
    }

    #[test]
    fn the_old_argument_has_three_meanings() {
        assert_eq!(
            [1, 0, -1].map(Crid::from_hard),
            [Crid::HARDWARE, Crid::ANY, Crid::SOFTWARE]
        );
        assert_eq!(Crid(7).kinds(), None);
    }
}
