//! Userspace driver of the native card.
//!
//! Owns bring-up, rings, sessions in card slots, interrupts, the watchdog and recovery. Knows the
//! datasheet (`regs`), never the model: a card is reached through [`Transport`] (seam 2). Only `ocf`
//! knows the framework.

mod transport;

pub use transport::{Direction, DriverEvent, MapError, Mapped, Transport, Unmapped};
