//! A shard: one core behind a lock, the thread that serves its drivers and the one that calls back.
//!
//! Whoever holds the lock hands on what ended before letting it go, so consumers see the order in
//! which the core ended things. Nothing is called back with the lock held.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use timebase::Time;

use super::bell::{Doorbell, Doorstep, Waker};
use super::inbox::Inbox;
use super::{Callbacks, Clock, lock};
use crate::sync::channel::{Receiver, Sender};
use crate::sync::{Arc, Mutex, thread_local};
use crate::{
    CryptoDriver, Delivery, DriverId, Finished, Framework, KeyFinished, Limits, RegisterError,
    RequestId, SessionId,
};

/// The core, with drivers that go from thread to thread.
pub(super) type SharedFramework = Framework<dyn CryptoDriver + Send>;

/// Who gets what ended.
#[derive(Clone)]
pub(super) enum Owner {
    /// Somebody who asks for it.
    Inbox(Arc<Inboxes>),
    /// Somebody who is called.
    Callbacks(Arc<dyn Callbacks>),
}

/// What a consumer without callbacks waits for.
pub(super) struct Inboxes {
    pub(super) requests: Inbox<Finished>,
    pub(super) keys: Inbox<KeyFinished>,
}

impl Default for Inboxes {
    fn default() -> Self {
        Self {
            requests: Inbox::new(),
            keys: Inbox::new(),
        }
    }
}

/// What ended and is to be called back.
pub(super) enum Ended {
    Request(Finished),
    Key(KeyFinished),
}

/// A callback to make.
pub(super) struct Return {
    to: Arc<dyn Callbacks>,
    what: Ended,
}

impl Return {
    fn call(self) {
        match self.what {
            Ended::Request(finished) => self.to.finished(finished),
            Ended::Key(finished) => self.to.key_finished(finished),
        }
    }
}

// A line of its own: what one shard's thread writes, another's must not wait for.
#[repr(align(128))]
pub(super) struct Shard {
    core: Mutex<Core>,
    doorbell: Doorbell,
}

/// What the lock guards.
pub(super) struct Core {
    pub(super) framework: SharedFramework,
    /// Who ends what a session asks for, by the session's place.
    owners: Vec<Option<Owner>>,
    key_owners: BTreeMap<RequestId, Owner>,
    drivers: Vec<(DriverId, Waker)>,
    /// How often a driver was served.
    serves: u64,
    /// When the dispatcher looks by itself.
    asleep_until: Time,
    /// Whether the dispatcher ends when the last driver is gone.
    is_stopping: bool,
    /// To the thread that calls back; `None` tells it to end.
    returns: Sender<Option<Return>>,
}

impl Shard {
    pub(super) fn new(
        limits: Limits,
        number: u8,
        returns: Sender<Option<Return>>,
    ) -> (Self, Doorstep) {
        let (doorbell, doorstep) = Doorbell::new();
        let core = Core {
            framework: Framework::with_number(limits, number),
            owners: Vec::new(),
            key_owners: BTreeMap::new(),
            drivers: Vec::new(),
            serves: 0,
            asleep_until: Time::NEVER,
            is_stopping: false,
            returns,
        };
        let core = Mutex::new(core);
        (Self { core, doorbell }, doorstep)
    }

    pub(super) fn waker(&self) -> Waker {
        Waker::new(self.doorbell.clone())
    }

    /// Does something with the core, and whatever follows from it.
    #[inline]
    pub(super) fn with<R>(&self, clock: &dyn Clock, act: impl FnOnce(&mut Core, Time) -> R) -> R {
        let (result, immediate) = {
            let mut core = lock(&self.core);
            let now = clock.now();
            let result = act(&mut core, now);
            let immediate = core.hand_on();
            core.set_alarm(&self.doorbell);
            (result, immediate)
        };
        if !immediate.is_empty() {
            call_at_once(immediate);
        }
        result
    }

    pub(super) fn register(
        &self,
        id: DriverId,
        waker: Waker,
        driver: Box<dyn CryptoDriver + Send>,
    ) -> Result<(), RegisterError> {
        let mut core = lock(&self.core);
        core.framework.register_as(id, driver)?;
        core.drivers.push((id, waker));
        // What was rung before the dispatcher knew the driver.
        self.doorbell.ring();
        Ok(())
    }

    /// Frees every session and takes every driver out. The dispatcher ends when they are gone.
    pub(super) fn stop(&self, clock: &dyn Clock) {
        self.with(clock, |core, now| {
            core.is_stopping = true;
            let sessions: Vec<SessionId> = core.framework.sessions().collect();
            for session in sessions {
                let freed = core.framework.close_session(now, session);
                assert!(freed.is_ok(), "a session that was listed");
            }
            for (driver, _) in &core.drivers {
                // One that is leaving already need not be told.
                let _ = core.framework.unregister(now, *driver);
            }
        });
        self.doorbell.ring();
    }

    /// Serves the drivers that were woken or are due. Returns how often anybody did so.
    pub(super) fn serve(&self, clock: &dyn Clock) -> u64 {
        self.with(clock, |core, now| {
            core.serve(now);
            core.serves
        })
    }

    /// The dispatcher: serves drivers until the shard was told to stop and the last one is gone.
    pub(super) fn run(&self, clock: &dyn Clock, doorstep: &Doorstep) {
        loop {
            let limit = self.with(clock, |core, now| {
                core.serve(now);
                core.sleep(now)
            });
            match limit {
                Sleep::Over => return,
                Sleep::No => {}
                Sleep::For(limit) => doorstep.wait(limit),
            }
        }
    }
}

/// What a dispatcher does next.
enum Sleep {
    /// It ends.
    Over,
    /// Something is due already.
    No,
    /// It waits to be rung, no longer than this.
    For(Option<Duration>),
}

impl Core {
    pub(super) fn own(&mut self, session: SessionId, owner: Owner) {
        let place = session.place();
        if self.owners.len() <= place {
            self.owners.resize_with(place + 1, || None);
        }
        self.owners[place] = Some(owner);
    }

    pub(super) fn own_key(&mut self, id: RequestId, owner: Owner) {
        self.key_owners.insert(id, owner);
    }

    /// Gives what ended to whom it belongs; returns what the caller is to call back at once.
    #[inline]
    fn hand_on(&mut self) -> Vec<Return> {
        let mut immediate = Vec::new();
        while let Some(finished) = self.framework.take_finished() {
            let owner = self.owners[finished.request.session.place()].as_ref();
            match owner.expect("a session that somebody opened") {
                Owner::Inbox(inbox) => inbox.requests.push(finished),
                Owner::Callbacks(to) => {
                    let is_immediate = finished.delivery() == Delivery::Immediate;
                    let (to, what) = (Arc::clone(to), Ended::Request(finished));
                    let back = Return { to, what };
                    if is_immediate {
                        immediate.push(back);
                    } else {
                        self.hand_to_worker(back);
                    }
                }
            }
        }
        if !self.key_owners.is_empty() {
            self.hand_on_keys();
        }
        immediate
    }

    fn hand_on_keys(&mut self) {
        while let Some(finished) = self.framework.take_finished_key() {
            let owner = self.key_owners.remove(&finished.request.id);
            match owner.expect("a key operation that somebody asked for") {
                Owner::Inbox(inbox) => inbox.keys.push(finished),
                Owner::Callbacks(to) => {
                    let what = Ended::Key(finished);
                    self.hand_to_worker(Return { to, what });
                }
            }
        }
    }

    fn hand_to_worker(&self, back: Return) {
        let sent = self.returns.send(Some(back));
        assert!(sent.is_ok(), "the worker outlives the shard");
    }

    /// Rings if something is due before the dispatcher would look.
    #[inline]
    fn set_alarm(&mut self, doorbell: &Doorbell) {
        let due = self.framework.deadline();
        if due < self.asleep_until {
            self.asleep_until = due;
            doorbell.ring();
        }
    }

    fn serve(&mut self, now: Time) {
        for (id, waker) in &self.drivers {
            if waker.take() || self.framework.driver_deadline(*id) <= now {
                self.framework.service(now, *id);
                self.serves += 1;
            }
        }
        let framework = &self.framework;
        self.drivers
            .retain(|(id, _)| framework.driver(*id).is_some());
    }

    fn sleep(&mut self, now: Time) -> Sleep {
        if self.is_stopping && self.drivers.is_empty() {
            return Sleep::Over;
        }
        let due = self.framework.deadline();
        self.asleep_until = due;
        if due <= now {
            Sleep::No
        } else if due == Time::NEVER {
            Sleep::For(None)
        } else {
            // A nanosecond more: to wake before the time is to wake in vain.
            Sleep::For(Some(Duration::from_nanos(due.since(now).as_ns() + 1)))
        }
    }
}

thread_local! {
    /// What this thread is still to call back; `None` while it calls nobody back.
    static PENDING: RefCell<Option<VecDeque<Return>>> = RefCell::default();
}

/// Ends the calling back, also if a callback panics.
struct Outermost;

impl Drop for Outermost {
    fn drop(&mut self) {
        PENDING.with(|pending| pending.take());
    }
}

/// Calls back in the caller's thread, in the order in which it ended. What ends within a callback
/// waits until that has returned: a consumer that submits from callback to callback needs no more
/// stack for a million requests than for two.
fn call_at_once(ended: Vec<Return>) {
    let is_within = PENDING.with(|pending| {
        let mut pending = pending.borrow_mut();
        let is_within = pending.is_some();
        pending.get_or_insert_default().extend(ended);
        is_within
    });
    if is_within {
        return;
    }
    let _outermost = Outermost;
    let next = || PENDING.with(|pending| pending.borrow_mut().as_mut()?.pop_front());
    while let Some(back) = next() {
        back.call();
    }
}

/// Calls back what needs a thread for it, in the order in which it ended.
pub(super) fn call_back(returns: &Receiver<Option<Return>>) {
    while let Ok(Some(back)) = returns.recv() {
        back.call();
    }
}
