//! The card as a PCI Express function: configuration space, BARs, messages, errors, resets.
//!
//! Owns the enables that gate everything else: without memory space the function answers no
//! register access, without bus mastering it reaches no host memory and sends no interrupt. The
//! layout is in [`regs::pci`]; here is what it does.
//!
//! Not modelled: end-to-end checksums, active-state power management, the time after which a read
//! counts as lost (a lost read is found out when its answer would have come), virtual channels.

mod access;
mod cells;
mod error;
mod mailbox;
mod msix;
mod reset;
mod space;

pub use access::{BarAccess, ConfigAccess, Width};
pub use error::{BusError, ErrorCause, ErrorMessage, PacketHeader};
pub use msix::Message;
pub(crate) use space::{ConfigSpace, TrafficSizes};
