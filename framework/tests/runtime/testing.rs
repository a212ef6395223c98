//! What the core's own tests find under the name `testing`, with the threaded way in the place of
//! the core: the same names, and the same meaning but for threads.

#[path = "../../src/testing/bench.rs"]
mod bench;
#[path = "../../src/testing/script.rs"]
mod script;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use timebase::Time;

pub(crate) use bench::Bench;
pub(crate) use script::{Handle, NOW, Scripted, null_params, request};

use crate::listing::DriverListing;
use crate::runtime::{Config, Consumer, Runtime, Waker};
use crate::{
    CancelError, CryptoDriver, DriverChoice, DriverId, DriverStats, Finished, FrameworkEvent,
    FrameworkStats, KeyFinished, KeyOps, KeyRejected, KeyRequest, Limits, MigrationPolicy,
    NoSuchDriver, Placement, Rebalance, RegisterError, Rejected, Request, RequestId, SessionError,
    SessionId, SessionParams,
};

/// What the tests are about.
pub(crate) type Subject = Threads;
/// What a driver is known as there.
pub(crate) type AnyDriver = dyn CryptoDriver + Send;

/// Waits until every thread did what there is to do.
pub(crate) fn settle(subject: &mut Subject) {
    subject.runtime.poll();
}

/// A runtime of several shards.
pub(crate) fn wide(limits: Limits) -> Subject {
    Threads::with_shards(limits, 3)
}

/// A runtime with a consumer for each shard, of which sessions take turns, on a clock that goes
/// where the caller says, behind the face of a framework.
pub(crate) struct Threads {
    runtime: Runtime,
    consumers: Vec<Consumer>,
    opened: usize,
    clock: Arc<AtomicU64>,
    wakers: RefCell<Vec<(DriverId, Waker)>>,
    finished: RefCell<VecDeque<Finished>>,
}

impl Threads {
    pub(crate) fn new(limits: Limits) -> Self {
        Self::with_shards(limits, 1)
    }

    fn with_shards(limits: Limits, shards: usize) -> Self {
        let clock = Arc::new(AtomicU64::new(NOW.as_ps()));
        let hand = Arc::clone(&clock);
        let now = move || Time::from_ps(hand.load(Ordering::Acquire));
        let runtime = Runtime::with_clock(Config { shards, limits }, now);
        Self {
            consumers: (0..shards).map(|_| runtime.consumer()).collect(),
            opened: 0,
            runtime,
            clock,
            wakers: RefCell::default(),
            finished: RefCell::default(),
        }
    }

    /// A consumer of the shard that a session is in.
    fn of(&self, session: SessionId) -> &Consumer {
        &self.consumers[usize::from(session.framework())]
    }

    pub(crate) fn set_placement<P: Placement + Clone + 'static>(&mut self, placement: Box<P>) {
        self.runtime.set_placement(|| placement.clone());
    }

    fn set(&self, now: Time) {
        self.clock.store(now.as_ps(), Ordering::Release);
    }

    pub(crate) fn register(&mut self, driver: Box<AnyDriver>) -> DriverId {
        self.try_register(driver).unwrap()
    }

    pub(crate) fn try_register(
        &mut self,
        driver: Box<AnyDriver>,
    ) -> Result<DriverId, RegisterError> {
        let mut kept = None;
        let id = self.runtime.register(|waker| {
            kept = Some(waker);
            driver
        })?;
        self.wakers.borrow_mut().push((id, kept.unwrap()));
        Ok(id)
    }

    pub(crate) fn unregister(&mut self, now: Time, id: DriverId) -> Result<(), NoSuchDriver> {
        self.set(now);
        self.runtime.unregister(id)
    }

    /// Has the driver woken, by whatever thread comes first, and waits until it was serviced.
    pub(crate) fn service(&mut self, now: Time, id: DriverId) {
        self.set(now);
        for (_, waker) in self.wakers.borrow().iter().filter(|(of, _)| *of == id) {
            waker.wake();
        }
        self.runtime.poll();
    }

    pub(crate) fn open_session(
        &mut self,
        now: Time,
        params: SessionParams,
        choice: DriverChoice,
        policy: MigrationPolicy,
    ) -> Result<SessionId, SessionError> {
        self.set(now);
        self.opened += 1;
        let consumer = &self.consumers[self.opened % self.consumers.len()];
        consumer.open_session(params, choice, policy)
    }

    pub(crate) fn close_session(&mut self, now: Time, id: SessionId) -> Result<(), SessionError> {
        self.set(now);
        self.of(id).close_session(id)
    }

    pub(crate) fn move_session(
        &mut self,
        now: Time,
        id: SessionId,
        target: DriverId,
    ) -> Result<(), SessionError> {
        self.set(now);
        self.of(id).move_session(id, target)
    }

    pub(crate) fn rebalance(&mut self, now: Time, onto: Rebalance) -> usize {
        self.set(now);
        self.runtime.rebalance(onto)
    }

    pub(crate) fn dispatch(
        &mut self,
        now: Time,
        request: Box<Request>,
    ) -> Result<RequestId, Rejected> {
        self.set(now);
        self.of(request.session).submit(request)
    }

    pub(crate) fn dispatch_batch(
        &mut self,
        now: Time,
        requests: &mut VecDeque<Box<Request>>,
    ) -> Result<usize, Rejected> {
        self.set(now);
        let offered = requests.len();
        while let Some(shard) = requests.front().map(|first| first.session.framework()) {
            let shards = requests.iter().map(|it| it.session.framework());
            let len = shards.take_while(|it| *it == shard).count();
            let mut run: VecDeque<_> = requests.drain(..len).collect();
            let outcome = self.consumers[usize::from(shard)].submit_batch(&mut run);
            if let Err(rejected) = outcome {
                run.append(requests);
                *requests = run;
                return Err(rejected);
            }
        }
        Ok(offered)
    }

    pub(crate) fn dispatch_key(
        &mut self,
        now: Time,
        request: Box<KeyRequest>,
    ) -> Result<RequestId, KeyRejected> {
        self.set(now);
        self.consumers[0].submit_key(request)
    }

    pub(crate) fn cancel(&mut self, session: SessionId, id: RequestId) -> Result<(), CancelError> {
        self.of(session).cancel(session, id)
    }

    pub(crate) fn take_finished(&mut self) -> Option<Finished> {
        let kept = self.finished.borrow_mut().pop_front();
        kept.or_else(|| self.consumers.iter().find_map(Consumer::try_wait))
    }

    pub(crate) fn finished_len(&self) -> usize {
        let mut kept = self.finished.borrow_mut();
        for consumer in &self.consumers {
            kept.extend(std::iter::from_fn(|| consumer.try_wait()));
        }
        kept.len()
    }

    pub(crate) fn take_finished_key(&mut self) -> Option<KeyFinished> {
        self.consumers[0].try_wait_key()
    }

    pub(crate) fn key_operations(&self, choice: DriverChoice) -> KeyOps {
        self.consumers[0].key_operations(choice)
    }

    /// That of any driver, as the runtime does not tell them apart.
    pub(crate) fn driver_deadline(&self, _id: DriverId) -> Time {
        self.runtime.deadline()
    }

    pub(crate) fn stats(&self) -> FrameworkStats {
        self.runtime.stats()
    }

    pub(crate) fn driver_stats(&self, id: DriverId) -> Option<DriverStats> {
        self.runtime.driver_stats(id)
    }

    pub(crate) fn drivers(&self) -> impl Iterator<Item = DriverListing> {
        self.runtime.listing().drivers.into_iter()
    }

    pub(crate) fn driver(&self, id: DriverId) -> Option<DriverListing> {
        self.drivers().find(|driver| driver.id == id)
    }

    pub(crate) fn find_driver(&self, prefix: &str) -> Option<DriverId> {
        let mut drivers = self.drivers();
        Some(drivers.find(|it| it.name.starts_with(prefix))?.id)
    }

    pub(crate) fn driver_named(&self, name: &str) -> Option<DriverId> {
        Some(self.drivers().find(|it| it.name == name)?.id)
    }

    pub(crate) fn session_driver(&self, id: SessionId) -> Option<DriverId> {
        self.of(id).session_driver(id)
    }

    pub(crate) fn session_current(&self, id: SessionId) -> Option<SessionId> {
        self.of(id).session_current(id)
    }

    pub(crate) fn events(&mut self) -> impl Iterator<Item = FrameworkEvent> {
        self.runtime.events().into_iter()
    }
}
