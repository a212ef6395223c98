//! Where a consumer without callbacks finds what ended.

use std::collections::VecDeque;

use super::lock;
use crate::sync::{AtomicUsize, Condvar, Mutex, Ordering};

/// What ended and was not taken, and how much is still to come.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    state: Mutex<State<T>>,
    arrival: Condvar,
    /// Accepted and not taken. Never less than what is ready.
    expected: AtomicUsize,
}

#[derive(Debug)]
struct State<T> {
    ready: VecDeque<T>,
    /// Whether somebody waits who was not told of an arrival.
    awaited: bool,
}

impl<T> Inbox<T> {
    pub(crate) fn new() -> Self {
        let state = State {
            ready: VecDeque::new(),
            awaited: false,
        };
        Self {
            state: Mutex::new(state),
            arrival: Condvar::new(),
            expected: AtomicUsize::new(0),
        }
    }

    /// Says that `count` more will come, before the first of them does.
    pub(crate) fn expect(&self, count: usize) {
        self.expected.fetch_add(count, Ordering::AcqRel);
    }

    pub(crate) fn push(&self, item: T) {
        let mut state = lock(&self.state);
        state.ready.push_back(item);
        if std::mem::take(&mut state.awaited) {
            self.arrival.notify_all();
        }
    }

    /// The first that `is_wanted`; `None` if there is none yet.
    pub(crate) fn try_take(&self, is_wanted: impl Fn(&T) -> bool) -> Option<T> {
        self.pick(&mut lock(&self.state), is_wanted)
    }

    /// Waits for one that `is_wanted`; `None` once nothing more is to come.
    pub(crate) fn take(&self, is_wanted: impl Fn(&T) -> bool) -> Option<T> {
        let mut state = lock(&self.state);
        loop {
            if let Some(item) = self.pick(&mut state, &is_wanted) {
                return Some(item);
            }
            if self.expected.load(Ordering::Acquire) == state.ready.len() {
                return None;
            }
            state.awaited = true;
            state = self.arrival.wait(state).expect("no thread panicked");
        }
    }

    fn pick(&self, state: &mut State<T>, is_wanted: impl Fn(&T) -> bool) -> Option<T> {
        let at = state.ready.iter().position(is_wanted)?;
        let item = state.ready.remove(at);
        self.expected.fetch_sub(1, Ordering::AcqRel);
        item
    }
}
