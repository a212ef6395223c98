//! Guests: the whole stack inside a virtual machine, with cards that are served on sockets.
//!
//! One half runs on the host and makes the machine: [`cache`] has QEMU and a kernel, [`machine`]
//! boots them. The other half runs in the guest: `find` gives cards to vfio-pci, `rig` runs driver
//! and framework in real time, `check` and `bench` put them to work, `alg` is what a bench is
//! measured beside. Nothing here is part of a simulated run.

#[cfg(feature = "vfio")]
mod alg;
mod bench;
pub mod cache;
mod check;
#[cfg(feature = "vfio")]
mod find;
mod load;
pub mod machine;
mod path;
mod rig;

pub(crate) use bench::{Figure, bench, ratios};
pub(crate) use check::{Plan, RING_ENTRIES, check};
#[cfg(feature = "vfio")]
pub(crate) use find::{Found, find, give_to_vfio};
pub(crate) use path::Path;
pub(crate) use rig::{POOL_BYTES, Rig};
