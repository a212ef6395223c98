//! Other people's devices: a model and its driver that have nothing to do with this project's card.
//!
//! A [`Device`] and a [`Driver`] are state machines without clock, thread or chance. A [`Bench`]
//! runs them against each other in virtual time, with the means that the card's own link has: DMA
//! windows, message rules, delays from the seed, removal and insertion, checkers, a digest of what
//! happened. Not here: configuration space, more than one BAR, functions.

mod bench;
mod link;

use timebase::Time;

pub use self::bench::{Bench, Fault, Trial};
pub use self::link::{Bus, Machine};
pub use device_model::{DmaFault, FaultKind};
pub use dma::{Coherent, Pool, PoolBuffer, PoolError};
pub use driver::{Direction, MapError, Mapped, Transport, Unmapped};
pub use regs::DeviceAddr;

/// Where an access to a device's registers goes, and how wide it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Access {
    /// First byte in BAR 0.
    pub offset: u32,
    /// Bytes: 1, 2, 4 or 8.
    pub len: u8,
}

impl Access {
    /// An access of four bytes, the usual.
    #[must_use]
    pub const fn word(offset: u32) -> Self {
        Self { offset, len: 4 }
    }

    /// An access of eight bytes.
    #[must_use]
    pub const fn double(offset: u32) -> Self {
        Self { offset, len: 8 }
    }

    /// What a read of this width gives where nobody answers.
    #[must_use]
    pub const fn ones(self) -> u64 {
        match self.len {
            0 => 0,
            1..=7 => (1 << (8 * self.len as u32)) - 1,
            _ => u64::MAX,
        }
    }
}

/// A model of a device.
///
/// Any value may come in any register, at any time; a device may be pulled out between any two
/// calls.
pub trait Device {
    /// A register is read. What is above the width of the access is cut off.
    fn read(&mut self, at: Access, machine: &mut Machine<'_>) -> u64;

    /// A register write arrives.
    fn write(&mut self, at: Access, value: u64, machine: &mut Machine<'_>);

    /// When it does something by itself next; [`Time::NEVER`] if it waits for its driver.
    fn deadline(&self) -> Time;

    /// The deadline is here: does what is due. Must move the deadline on.
    fn advance(&mut self, machine: &mut Machine<'_>);

    /// The bus resets it: back to the state of a device that was just put in.
    fn reset(&mut self);
}

/// A driver, with the work that it shall do.
pub trait Driver {
    /// Something may have happened: an interrupt, its own deadline, a device that came or went.
    /// Called at the beginning as well.
    fn service(&mut self, bus: &mut Bus<'_>);

    /// When it wants to be called though nothing happened; [`Time::NEVER`] if it does not.
    fn deadline(&self) -> Time;

    /// Units of work that are not finished. At zero the run is over.
    fn left(&self) -> u64;

    /// The run is over: ends what it began and takes all its memory back from the device.
    fn close(&mut self, bus: &mut Bus<'_>);
}

#[cfg(test)]
mod tests;
