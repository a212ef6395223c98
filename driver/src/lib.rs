//! Userspace driver of the native card.
//!
//! Owns bring-up, rings, sessions in card slots, interrupts, the watchdog and recovery. Knows the
//! datasheet (`regs`), never the model: a card is reached through [`Transport`] (seam 2). Only
//! `ocf` knows the framework.
//!
//! A driver is made by [`CardDriver::new`] and advanced by the framework through `CryptoDriver`; it
//! has no clock and no thread.

mod admin;
mod card;
mod command;
mod config;
mod errata;
mod interrupt;
mod mapping;
mod museum;
mod ocf;
mod orders;
mod recovery;
mod ring;
mod session;
mod stats;
mod transport;

#[cfg(test)]
mod tests;

pub use admin::{AdminError, AdminHandle, CardStatistics, Errors, Identification, Ticket};
pub use card::DriverState;
pub use config::{BringUpError, ConfigError, DriverConfig};
pub use ocf::{CardDriver, RingOccupancy, cipher_code, compression_code, digest_code};
pub use stats::{DriverStats, StatsHandle};
#[cfg(any(feature = "vfio", feature = "vfio-user"))]
pub use transport::real::wait_for;
#[cfg(feature = "vfio")]
pub use transport::vfio;
#[cfg(feature = "vfio-user")]
pub use transport::vfio_user;
pub use transport::{Direction, DriverEvent, MapError, Mapped, Transport, Unmapped};
