//! One driver for all shards: each has a handle, which is a driver of that shard's core.
//!
//! Owns the driver behind a lock of its own, which is held for one call at a time, and sorts what
//! the driver reports by the shard that it is for. One shard, the driver's home, looks after its
//! wakes and deadlines. Knows nothing of sessions and requests but whose they are.

use std::collections::BTreeMap;

use timebase::Time;

use super::bell::Waker;
use super::lock;
use crate::sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering};
use crate::{
    Blocked, Completed, CryptoDriver, DriverError, DriverFlags, DriverOutput, DriverSession, Hint,
    KeyBlocked, KeyCompleted, KeyDriverError, KeyOps, KeyRequest, OpenError, ProbeScore, Request,
    SessionParams,
};

/// What the handles of one driver share.
struct Shared {
    name: String,
    flags: DriverFlags,
    key_operations: KeyOps,
    state: Mutex<State>,
    /// The driver's deadline, in picoseconds, for its home.
    deadline: AtomicU64,
    home: usize,
    /// By shard.
    wakers: Vec<Waker>,
}

struct State {
    driver: Box<dyn CryptoDriver + Send>,
    /// Used again for every service, for its memory.
    output: DriverOutput,
    mail: Vec<Mail>,
    /// Who opens a session that the driver has not reported.
    openers: BTreeMap<u32, usize>,
    /// Shards that told the driver to detach. It is told when all did.
    detached: usize,
    is_lost: bool,
}

/// What one shard has not collected, and what it waits for.
#[derive(Default)]
struct Mail {
    output: DriverOutput,
    /// The unblock generations of refusals that may still stand.
    refused_at: Option<u64>,
    keys_refused_at: Option<u64>,
}

/// A shard's handle.
pub(super) struct Handle {
    shared: Arc<Shared>,
    shard: usize,
}

/// Makes a handle for each shard, in the order of `wakers`. The driver is woken by the waker of
/// `home`.
pub(super) fn share(
    driver: Box<dyn CryptoDriver + Send>,
    wakers: Vec<Waker>,
    home: usize,
) -> impl Iterator<Item = Handle> {
    let count = wakers.len();
    let shared = Arc::new(Shared {
        name: driver.name().to_owned(),
        flags: driver.flags(),
        key_operations: driver.key_operations(),
        deadline: AtomicU64::new(driver.deadline().as_ps()),
        home,
        wakers,
        state: Mutex::new(State {
            driver,
            output: DriverOutput::default(),
            mail: (0..count).map(|_| Mail::default()).collect(),
            openers: BTreeMap::new(),
            detached: 0,
            is_lost: false,
        }),
    });
    (0..count).map(move |shard| Handle {
        shared: Arc::clone(&shared),
        shard,
    })
}

impl State {
    /// Sorts what the driver reported into the mail of those it is for, and wakes them.
    fn sort(&mut self, wakers: &[Waker], reader: usize) {
        let output = &mut self.output;
        self.is_lost = std::mem::take(&mut output.lost);
        for completed in output.completed.drain(..) {
            let shard = usize::from(completed.request.id.framework());
            self.mail[shard].output.completed.push(completed);
        }
        for completed in output.keys.drain(..) {
            let shard = usize::from(completed.request.id.framework());
            self.mail[shard].output.keys.push(completed);
        }
        for (session, result) in output.opened.drain(..) {
            if let Some(shard) = self.openers.remove(&session.0) {
                self.mail[shard].output.opened.push((session, result));
            }
        }
        for (shard, (mail, waker)) in self.mail.iter_mut().zip(wakers).enumerate() {
            mail.output.lost |= self.is_lost;
            if shard != reader && mail.has_something() {
                waker.wake();
            }
        }
    }

    /// Wakes the shards that wait for room, if there is some.
    fn wake_refused(&mut self, wakers: &[Waker]) {
        let generation = self.driver.unblock_generation();
        let keys = self.driver.key_unblock_generation();
        for (mail, waker) in self.mail.iter_mut().zip(wakers) {
            let is_free = mail.refused_at.take_if(|at| *at != generation).is_some();
            let takes_keys = mail.keys_refused_at.take_if(|at| *at != keys).is_some();
            if is_free || takes_keys {
                waker.wake();
            }
        }
    }
}

impl Mail {
    fn has_something(&self) -> bool {
        let DriverOutput {
            completed,
            keys,
            opened,
            lost,
        } = &self.output;
        *lost || !completed.is_empty() || !keys.is_empty() || !opened.is_empty()
    }
}

impl Handle {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }

    /// Ends a call that may have changed what others wait for.
    fn settle(&self, state: &mut State) {
        let Shared {
            wakers,
            deadline,
            home,
            ..
        } = &*self.shared;
        state.wake_refused(wakers);
        let due = if state.is_lost {
            Time::NEVER
        } else {
            state.driver.deadline()
        };
        let before = deadline.swap(due.as_ps(), Ordering::AcqRel);
        if due.as_ps() < before && self.shard != *home {
            wakers[*home].nudge();
        }
    }
}

impl CryptoDriver for Handle {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn flags(&self) -> DriverFlags {
        self.shared.flags
    }

    fn probe_session(&self, params: &SessionParams) -> Option<ProbeScore> {
        let state = self.lock();
        if state.is_lost {
            return None;
        }
        state.driver.probe_session(params)
    }

    fn open_session(
        &mut self,
        now: Time,
        params: &SessionParams,
    ) -> Result<DriverSession, OpenError> {
        let mut state = self.lock();
        if state.is_lost {
            return Err(OpenError::Device);
        }
        let session = state.driver.open_session(now, params)?;
        state.openers.insert(session.0, self.shard);
        self.settle(&mut state);
        Ok(session)
    }

    fn close_session(&mut self, now: Time, session: DriverSession) {
        let mut state = self.lock();
        if !state.is_lost {
            state.driver.close_session(now, session);
            self.settle(&mut state);
        }
    }

    fn process(
        &mut self,
        now: Time,
        session: DriverSession,
        request: Box<Request>,
        hint: Hint,
    ) -> Result<(), Blocked> {
        let mut state = self.lock();
        if state.is_lost {
            // The news is in this shard's mail, and this goes with it.
            let result = Err(DriverError::Lost { untouched: true });
            let mail = &mut state.mail[self.shard].output;
            mail.completed.push(Completed { request, result });
            return Ok(());
        }
        let outcome = state.driver.process(now, session, request, hint);
        if let Err(blocked) = &outcome {
            state.mail[self.shard].refused_at = Some(blocked.generation);
        }
        self.settle(&mut state);
        outcome
    }

    fn flush(&mut self, now: Time) {
        let mut state = self.lock();
        if !state.is_lost {
            state.driver.flush(now);
            self.settle(&mut state);
        }
    }

    fn service(&mut self, now: Time, output: &mut DriverOutput) {
        let mut state = self.lock();
        if !state.is_lost {
            let State { driver, output, .. } = &mut *state;
            driver.service(now, output);
            state.sort(&self.shared.wakers, self.shard);
            self.settle(&mut state);
        }
        let mail = &mut state.mail[self.shard].output;
        output.completed.append(&mut mail.completed);
        output.keys.append(&mut mail.keys);
        output.opened.append(&mut mail.opened);
        output.lost |= std::mem::take(&mut mail.lost);
    }

    fn deadline(&self) -> Time {
        if self.shard == self.shared.home {
            Time::from_ps(self.shared.deadline.load(Ordering::Acquire))
        } else {
            Time::NEVER
        }
    }

    fn unblock_generation(&self) -> u64 {
        self.lock().driver.unblock_generation()
    }

    fn key_operations(&self) -> KeyOps {
        self.shared.key_operations
    }

    fn process_key(&mut self, now: Time, request: Box<KeyRequest>) -> Result<(), KeyBlocked> {
        let mut state = self.lock();
        if state.is_lost {
            let result = Err(KeyDriverError::Lost);
            let mail = &mut state.mail[self.shard].output;
            mail.keys.push(KeyCompleted { request, result });
            return Ok(());
        }
        let outcome = state.driver.process_key(now, request);
        if let Err(blocked) = &outcome {
            state.mail[self.shard].keys_refused_at = Some(blocked.generation);
        }
        self.settle(&mut state);
        outcome
    }

    fn key_unblock_generation(&self) -> u64 {
        self.lock().driver.key_unblock_generation()
    }

    fn detach(&mut self, now: Time) {
        let mut state = self.lock();
        state.detached += 1;
        if state.detached == state.mail.len() && !state.is_lost {
            state.driver.detach(now);
            // The others wait for the end too.
            self.shared.wakers[self.shared.home].wake();
        }
    }
}
