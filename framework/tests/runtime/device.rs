//! A device with a thread of its own, and its driver: a ring of few slots, completions that come
//! when they come, and a plug that can be pulled.

use std::collections::VecDeque;

use timebase::Time;

use crate::runtime::Waker;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, spawn};
use crate::{
    Blocked, Completed, CryptoDriver, DriverError, DriverFlags, DriverOutput, DriverSession, Hint,
    OpenError, ProbeScore, Request, SessionParams,
};

/// A device that does nothing to the data.
#[derive(Clone)]
pub(crate) struct Device(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    waker: Waker,
}

#[derive(Default)]
struct State {
    slots: usize,
    ring: VecDeque<Box<Request>>,
    /// Requests that the device's thread has.
    in_work: usize,
    output: DriverOutput,
    last_session: u32,
    has_refused: bool,
    generation: u64,
    phase: Phase,
    refusals: u64,
}

#[derive(Clone, Copy, Default, Eq, PartialEq)]
enum Phase {
    #[default]
    Working,
    /// Finishes what it has.
    Leaving,
    /// Pulled out.
    Gone,
}

impl State {
    fn is_full(&self) -> bool {
        self.ring.len() + self.in_work >= self.slots
    }

    fn is_quiet(&self) -> bool {
        self.ring.is_empty() && self.in_work == 0
    }

    fn drop_ring(&mut self) {
        let result = Err(DriverError::Lost { untouched: true });
        for request in self.ring.drain(..) {
            self.output.completed.push(Completed { request, result });
        }
    }
}

impl Device {
    /// A device with `slots` slots, plugged in.
    pub(crate) fn new(slots: usize, waker: Waker) -> Self {
        let state = State {
            slots,
            ..State::default()
        };
        let device = Self(Arc::new(Shared {
            state: Mutex::new(state),
            work: Condvar::new(),
            waker,
        }));
        let working = device.clone();
        spawn("device".to_owned(), move || working.run());
        device
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// The device's thread: takes what is in the ring, and completes it.
    fn run(&self) {
        let mut taken = VecDeque::new();
        loop {
            let mut state = self.lock();
            while state.ring.is_empty() && state.phase == Phase::Working {
                state = self.0.work.wait(state).unwrap();
            }
            if state.ring.is_empty() {
                return;
            }
            std::mem::swap(&mut taken, &mut state.ring);
            state.in_work = taken.len();
            drop(state);
            let mut state = self.lock();
            state.in_work = 0;
            let result = match state.phase {
                Phase::Gone => Err(DriverError::Lost { untouched: true }),
                Phase::Working | Phase::Leaving => Ok(()),
            };
            for request in taken.drain(..) {
                state.output.completed.push(Completed { request, result });
            }
            if std::mem::take(&mut state.has_refused) {
                state.generation += 1;
            }
            drop(state);
            self.0.waker.wake();
        }
    }

    /// Pulls the device out, if it did not leave before. What it has comes back untouched. Returns
    /// how often it refused.
    pub(crate) fn unplug(&self) -> u64 {
        let mut state = self.lock();
        state.phase = Phase::Gone;
        state.drop_ring();
        let refusals = state.refusals;
        drop(state);
        self.0.work.notify_all();
        self.0.waker.wake();
        refusals
    }
}

impl CryptoDriver for Device {
    fn name(&self) -> &str {
        "device"
    }

    fn flags(&self) -> DriverFlags {
        DriverFlags::HARDWARE
    }

    fn probe_session(&self, _params: &SessionParams) -> Option<ProbeScore> {
        Some(ProbeScore::HARDWARE)
    }

    fn open_session(
        &mut self,
        _now: Time,
        _params: &SessionParams,
    ) -> Result<DriverSession, OpenError> {
        let mut state = self.lock();
        state.last_session += 1;
        let session = DriverSession(state.last_session);
        state.output.opened.push((session, Ok(())));
        drop(state);
        self.0.waker.wake();
        Ok(session)
    }

    fn close_session(&mut self, _now: Time, _session: DriverSession) {}

    fn process(
        &mut self,
        _now: Time,
        _session: DriverSession,
        request: Box<Request>,
        _hint: Hint,
    ) -> Result<(), Blocked> {
        let mut state = self.lock();
        if state.phase == Phase::Gone {
            state.ring.push_back(request);
            state.drop_ring();
            return Ok(());
        }
        if state.is_full() {
            (state.has_refused, state.refusals) = (true, state.refusals + 1);
            let generation = state.generation;
            return Err(Blocked {
                request,
                generation,
            });
        }
        state.ring.push_back(request);
        drop(state);
        self.0.work.notify_all();
        Ok(())
    }

    fn flush(&mut self, _now: Time) {}

    fn service(&mut self, _now: Time, output: &mut DriverOutput) {
        let mut state = self.lock();
        output.completed.append(&mut state.output.completed);
        output.opened.append(&mut state.output.opened);
        output.lost |= state.phase != Phase::Working && state.is_quiet();
    }

    fn deadline(&self) -> Time {
        Time::NEVER
    }

    fn unblock_generation(&self) -> u64 {
        self.lock().generation
    }

    fn detach(&mut self, _now: Time) {
        let mut state = self.lock();
        if state.phase == Phase::Working {
            state.phase = Phase::Leaving;
        }
        drop(state);
        self.0.work.notify_all();
        self.0.waker.wake();
    }
}
