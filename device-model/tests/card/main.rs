//! The card from outside: registers, rings, memory and interrupts, one promise a test.

mod bench;
mod coalescing;
mod commands;
mod configuration;
mod deadlines;
mod drain;
mod errata;
mod express;
mod faults;
mod migration;
mod numbers;
mod pages;
mod power;
mod registers;
mod resets;
mod rings;
mod sessions;
mod sized;
mod snapshot;
mod virtual_functions;
mod wild;
