//! The card's engines as the backend of a virtio crypto device, over vhost-user.
//!
//! [`Backend`] owns the device, its rings and the client's memory; [`Session`] is one client's
//! messages; [`Server`] listens, waits and lets both work. QEMU's `docs/interop/vhost-user.rst`,
//! with the messages for crypto sessions as QEMU has them in memory.
//!
//! Where QEMU's `cryptodev-vhost-user` departs from that text, this follows QEMU: a ring starts
//! with its kick, since it is never enabled; every ring is told where its driver has to kick again,
//! whether or not anybody said that it would look there; and indirect descriptors are always taken.
//! A frontend that asks for configuration space gets the whole device: the queue behind the last
//! data queue is then the control queue, and sessions of every service are opened there.

mod backend;
mod channel;
mod memory;
mod place;
mod ring;
mod server;
mod session;
mod wire;

pub use backend::Backend;
pub use memory::MemoryError;
pub use server::Server;
pub use session::{Ended, Session};
