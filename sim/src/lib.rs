//! The world: the only owner of time and chance.
//!
//! Owns virtual time, the seed, the in-process link between driver and card, the DMA windows, the
//! consumers and the checkers; runs a [`scenario::Scenario`] to an [`outcome::Outcome`].

pub mod event;
pub mod outcome;
pub mod scenario;
