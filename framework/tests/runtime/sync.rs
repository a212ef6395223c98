//! What the device takes from the system.

pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{Builder, JoinHandle};

pub(crate) fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    Builder::new().name(name).spawn(work).unwrap()
}
