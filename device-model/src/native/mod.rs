//! The native card's front: rings, admin commands, contexts, and the way of a command through them.
//!
//! A command is fetched and judged (`fetch`), reserved on link and lane, finished in order of time
//! (`schedule`), run (`execute`) and completed (`complete`).

pub(crate) mod admin;
pub(crate) mod arbiter;
pub(crate) mod command;
mod complete;
pub(crate) mod context;
mod drain;
pub(crate) mod errata;
pub(crate) mod execute;
mod fetch;
mod kek;
pub(crate) mod ledger;
mod migrate;
mod pages;
mod public_key;
mod queue;
pub(crate) mod ring;
pub(crate) mod schedule;
mod service;
mod sized;
mod transfer;

pub use command::MAX_PAYLOAD;
