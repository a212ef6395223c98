//! What the runtime takes from the system, with Shuttle in the system's place: it chooses who runs
//! next at each step.

pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
pub(crate) use shuttle::sync::{Arc, Condvar, Mutex, MutexGuard};
pub(crate) use shuttle::{thread, thread_local};

pub(crate) fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    let builder = thread::Builder::new().name(name);
    builder.spawn(work).unwrap()
}

/// As much of `crossbeam_channel` as the runtime uses.
pub(crate) mod channel {
    use std::collections::VecDeque;
    use std::time::Duration;

    use super::{Arc, Condvar, Mutex, thread};

    struct Channel<T> {
        state: Mutex<State<T>>,
        change: Condvar,
    }

    struct State<T> {
        queue: VecDeque<T>,
        room: usize,
        senders: usize,
    }

    #[derive(Debug)]
    pub(crate) struct Disconnected;

    pub(crate) struct Sender<T>(Arc<Channel<T>>);

    pub(crate) struct Receiver<T>(Arc<Channel<T>>);

    impl<T> std::fmt::Debug for Sender<T> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Sender")
        }
    }

    pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
        bounded(usize::MAX)
    }

    pub(crate) fn bounded<T>(room: usize) -> (Sender<T>, Receiver<T>) {
        let state = State {
            queue: VecDeque::new(),
            room,
            senders: 1,
        };
        let channel = Arc::new(Channel {
            state: Mutex::new(state),
            change: Condvar::new(),
        });
        (Sender(Arc::clone(&channel)), Receiver(channel))
    }

    impl<T> Sender<T> {
        /// Drops what has no room: nothing that the runtime sends is missed then.
        pub(crate) fn send(&self, item: T) -> Result<(), Disconnected> {
            let mut state = self.0.state.lock().unwrap();
            if state.queue.len() < state.room {
                state.queue.push_back(item);
                self.0.change.notify_one();
            }
            Ok(())
        }

        pub(crate) fn try_send(&self, item: T) -> Result<(), Disconnected> {
            self.send(item)
        }
    }

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Self {
            self.0.state.lock().unwrap().senders += 1;
            Self(Arc::clone(&self.0))
        }
    }

    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            let mut state = self.0.state.lock().unwrap();
            state.senders -= 1;
            if state.senders == 0 {
                self.0.change.notify_all();
            }
        }
    }

    impl<T> Clone for Receiver<T> {
        fn clone(&self) -> Self {
            Self(Arc::clone(&self.0))
        }
    }

    impl<T> Receiver<T> {
        pub(crate) fn recv(&self) -> Result<T, Disconnected> {
            let mut state = self.0.state.lock().unwrap();
            loop {
                if let Some(item) = state.queue.pop_front() {
                    return Ok(item);
                }
                if state.senders == 0 {
                    return Err(Disconnected);
                }
                state = self.0.change.wait(state).unwrap();
            }
        }

        /// Time passes whenever Shuttle lets it.
        pub(crate) fn recv_timeout(&self, _limit: Duration) -> Result<T, Disconnected> {
            thread::yield_now();
            let mut state = self.0.state.lock().unwrap();
            state.queue.pop_front().ok_or(Disconnected)
        }
    }
}
