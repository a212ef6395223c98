//! The card from outside: registers, rings, memory and interrupts, one promise a test.

mod bench;
mod coalescing;
mod commands;
mod deadlines;
mod drain;
mod faults;
mod migration;
mod numbers;
mod power;
mod registers;
mod rings;
mod sessions;
mod sized;
mod snapshot;
mod wild;
