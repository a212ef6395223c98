//! Memory that a card can reach.
//!
//! Owns one shared mapping ([`Pool`]) and deals it out in two kinds, the two that DMA interfaces
//! have:
//!
//! - [`PoolBuffer`]: *streaming* memory with one owner. Whoever holds the value may touch the
//!   bytes; posting it to a card moves the value away, so what is posted is not reachable.
//! - [`Coherent`]: memory that host and card touch at the same time (rings). Only volatile copies
//!   in and out, never a reference.
//!
//! Does not know device addresses: a transport maps a buffer and says where the card sees it.

mod coherent;
mod pool;

pub use coherent::Coherent;
pub use pool::{Pool, PoolBuffer, PoolError};
