//! The vfio-user protocol: its messages as types, and a channel that keeps them in step.
//!
//! What server and driver have in common of the wire, and all of it. Knows no device. The text
//! followed is QEMU's `docs/interop/vfio-user.rst`.

mod channel;
pub mod wire;

pub use channel::{Channel, ChannelError, Deadline, Message};
