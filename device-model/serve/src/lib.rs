//! The card on a socket, in real time.
//!
//! The card itself is the pure state machine of `device-model`; this crate gives it what a machine
//! gives to a card in a slot: a clock, memory to reach, somebody who listens to its interrupts, and
//! somebody who reads and writes its registers. [`Slot`] is all of that but the wire;
//! [`vfio_user`] is the wire to QEMU and to drivers in other processes. [`vhost_user`] serves the
//! card's engines behind rings of virtio instead.
//!
//! What comes over a socket is not trusted: it is validated where it comes in, answered with the
//! errno of the specification, and neither memory nor time spent on it is without bound.

pub mod clock;
pub mod control;
pub mod doorbell;
pub mod interrupt;
pub mod listen;
pub mod memory;
pub mod recording;
pub mod slot;
pub mod vfio_user;
pub mod vhost_user;

pub use clock::{Clock, Pacing};
pub use slot::Slot;
