//! The world: the only owner of time and chance.
//!
//! Owns virtual time, the seed, the in-process link between driver and card, the DMA windows, the
//! consumers and the checkers; runs a [`scenario::Scenario`] to an [`outcome::Outcome`].

pub mod case;
pub mod checker;
pub mod cli;
pub mod coverage;
pub mod cpu;
pub mod datasheet;
pub mod debug;
pub mod event;
pub mod foreign;
pub mod guest;
pub mod input;
pub mod link;
pub mod memory;
pub mod museum;
pub mod outcome;
pub mod profile;
pub mod recorder;
pub mod reference;
pub mod report;
pub mod rule;
pub mod scenario;
pub mod schedule;
pub mod series;
mod sign;
pub mod solo;
pub mod summary;
pub mod sweep;
pub mod trace;
pub mod wave;
mod workload;
pub mod world;

pub use world::World;
