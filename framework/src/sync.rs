//! What the threaded way takes from the system: locks, threads, channels.
//!
//! `framework/tests/runtime_shuttle` compiles the runtime with other ones, whose interleavings it
//! chooses.

pub(crate) use crossbeam_channel as channel;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard};
pub(crate) use std::{thread, thread_local};

/// Starts a thread with a name for people.
pub(crate) fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    let builder = thread::Builder::new().name(name);
    builder
        .spawn(work)
        .expect("the system has room for a thread")
}
