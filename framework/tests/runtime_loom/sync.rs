//! What the runtime takes from the system, with loom in the system's place: it tries each order of
//! the steps, and each value that a load may find where memory is weakly ordered.
//!
//! A [`Fault`] can be planted here, to show that a check would find it.

use std::cell::Cell;

pub(crate) use loom::sync::atomic::Ordering;
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
pub(crate) use loom::{thread, thread_local};

/// What the system does wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    None,
    /// No access to an atomic orders any other.
    Relaxed,
    /// There are no fences.
    NoFence,
    /// What reads and writes at once does so in two steps.
    Torn,
    /// One thread is told where all should be.
    OneIsTold,
}

std::thread_local! {
    // Loom runs all threads of a model in the thread of its check.
    static FAULT: Cell<Fault> = const { Cell::new(Fault::None) };
}

/// Has the system do something wrong from now on, in this thread's models.
pub(crate) fn plant(fault: Fault) {
    FAULT.set(fault);
}

/// A fence, unless nothing orders anything.
pub(crate) fn fence(asked: Ordering) {
    if FAULT.get() != Fault::Relaxed && FAULT.get() != Fault::NoFence {
        loom::sync::atomic::fence(asked);
    }
}

/// The order that an access really has.
fn order(asked: Ordering) -> Ordering {
    match FAULT.get() {
        Fault::Relaxed => Ordering::Relaxed,
        _ => asked,
    }
}

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        #[derive(Debug)]
        pub(crate) struct $name(loom::sync::atomic::$name);

        impl $name {
            pub(crate) fn new(value: $value) -> Self {
                Self(loom::sync::atomic::$name::new(value))
            }

            pub(crate) fn load(&self, asked: Ordering) -> $value {
                self.0.load(order(asked))
            }

            pub(crate) fn swap(&self, value: $value, asked: Ordering) -> $value {
                if FAULT.get() == Fault::Torn {
                    return self.tear(|_| value);
                }
                self.0.swap(value, order(asked))
            }

            /// Reads, and then writes what `next` makes of it.
            fn tear(&self, next: impl Fn($value) -> $value) -> $value {
                let before = self.0.load(Ordering::Acquire);
                self.0.store(next(before), Ordering::Release);
                before
            }
        }
    };
}

macro_rules! number {
    ($name:ident, $value:ty) => {
        atomic!($name, $value);

        impl $name {
            pub(crate) fn fetch_add(&self, count: $value, asked: Ordering) -> $value {
                if FAULT.get() == Fault::Torn {
                    return self.tear(|before| before.wrapping_add(count));
                }
                self.0.fetch_add(count, order(asked))
            }

            pub(crate) fn fetch_sub(&self, count: $value, asked: Ordering) -> $value {
                if FAULT.get() == Fault::Torn {
                    return self.tear(|before| before.wrapping_sub(count));
                }
                self.0.fetch_sub(count, order(asked))
            }
        }
    };
}

atomic!(AtomicBool, bool);
number!(AtomicU64, u64);
number!(AtomicUsize, usize);

#[derive(Debug)]
pub(crate) struct Condvar(loom::sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(loom::sync::Condvar::new())
    }

    pub(crate) fn wait<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
    ) -> loom::sync::LockResult<MutexGuard<'a, T>> {
        self.0.wait(guard)
    }

    pub(crate) fn notify_all(&self) {
        if FAULT.get() == Fault::OneIsTold {
            self.0.notify_one();
        } else {
            self.0.notify_all();
        }
    }
}

/// As much of `crossbeam_channel` as the checked pieces use.
pub(crate) mod channel {
    use std::collections::VecDeque;
    use std::time::Duration;

    use super::{Arc, Condvar, Mutex, Ordering};

    #[derive(Debug)]
    struct Channel<T> {
        queue: Mutex<VecDeque<T>>,
        arrival: Condvar,
        /// How many are in the queue. Looked at without the lock: that a channel is full is no
        /// promise about what else whoever hears it sees.
        len: loom::sync::atomic::AtomicUsize,
        room: usize,
    }

    #[derive(Debug)]
    pub(crate) struct Refused;

    #[derive(Debug)]
    pub(crate) struct Sender<T>(Arc<Channel<T>>);

    pub(crate) struct Receiver<T>(Arc<Channel<T>>);

    pub(crate) fn bounded<T>(room: usize) -> (Sender<T>, Receiver<T>) {
        let channel = Arc::new(Channel {
            queue: Mutex::new(VecDeque::new()),
            arrival: Condvar::new(),
            len: loom::sync::atomic::AtomicUsize::new(0),
            room,
        });
        (Sender(Arc::clone(&channel)), Receiver(channel))
    }

    pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
        bounded(usize::MAX)
    }

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Self {
            Self(Arc::clone(&self.0))
        }
    }

    impl<T> Sender<T> {
        pub(crate) fn send(&self, item: T) -> Result<(), Refused> {
            self.try_send(item)
        }

        pub(crate) fn try_send(&self, item: T) -> Result<(), Refused> {
            let Channel { queue, len, .. } = &*self.0;
            if len.load(Ordering::Relaxed) >= self.0.room {
                return Err(Refused);
            }
            let mut queue = queue.lock().unwrap();
            if queue.len() >= self.0.room {
                return Err(Refused);
            }
            queue.push_back(item);
            len.store(queue.len(), Ordering::Relaxed);
            self.0.arrival.notify_all();
            Ok(())
        }
    }

    impl<T> Receiver<T> {
        pub(crate) fn recv(&self) -> Result<T, Refused> {
            let mut queue = self.0.queue.lock().unwrap();
            loop {
                if let Some(item) = queue.pop_front() {
                    self.0.len.store(queue.len(), Ordering::Relaxed);
                    return Ok(item);
                }
                queue = self.0.arrival.wait(queue).unwrap();
            }
        }

        /// No check needs time to pass.
        pub(crate) fn recv_timeout(&self, _limit: Duration) -> Result<T, Refused> {
            self.recv()
        }
    }
}
