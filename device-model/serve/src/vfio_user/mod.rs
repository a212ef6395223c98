//! The card as a vfio-user device.
//!
//! [`Session`] is one client's: it answers messages one at a time and knows no socket loop, so that
//! tests and fuzzing drive it over a pair of sockets. [`Server`] listens, waits and lets the card
//! work. QEMU's `docs/interop/vfio-user.rst`, version 0.1.

mod far;
mod info;
mod server;
mod session;

pub use server::Server;
pub use session::{Ended, Session};
