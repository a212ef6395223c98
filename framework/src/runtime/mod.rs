//! The threaded way to run the framework: the same core, with a real clock.
//!
//! Owns threads, locks and the present time, and decides nothing about requests. There are as many
//! [cores](crate::Framework) as CPUs, each behind a lock: a shard. A [`Consumer`] belongs to one
//! shard, so consumers on several threads do not meet. A driver is either one for all shards,
//! behind a lock of its own ([`Runtime::register`]), or one for each ([`Runtime::register_each`]).
//!
//! Each shard has a dispatcher, which serves drivers that were [woken](Waker) or whose deadline
//! has come, and a worker, which makes callbacks in the order in which things ended. The caller's
//! thread does what `crypto_dispatch` does in it: it hands the request to the driver.

mod bell;
mod clock;
mod consumer;
mod inbox;
mod pool;
mod shard;
mod shared;

use crate::sync::channel::{Sender, unbounded};
use crate::sync::thread::JoinHandle;
use crate::sync::{Arc, AtomicUsize, Mutex, MutexGuard, Ordering, spawn};
use timebase::Time;

use crate::listing::Listing;
use crate::{
    CryptoDriver, DriverId, DriverStats, FrameworkEvent, FrameworkStats, Limits, NoSuchDriver,
    Placement, Rebalance, RegisterError,
};
use shard::{Inboxes, Owner, Return, Shard};

pub use bell::Waker;
pub use clock::{Clock, SystemClock};
pub use consumer::{Callbacks, Consumer};
pub use pool::{PooledSoftware, Workers};

/// Most shards: their number is a byte of every request's.
const SHARDS_MAX: usize = 256;
/// Most drivers at one time.
const DRIVERS_MAX: usize = 0xFFFF;

/// How a runtime is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Config {
    /// Number of shards: 1 to 256.
    pub shards: usize,
    /// Bounds of each shard.
    pub limits: Limits,
}

impl Default for Config {
    /// A shard for each CPU this process may use.
    fn default() -> Self {
        Self {
            shards: cpus().min(SHARDS_MAX),
            limits: Limits::default(),
        }
    }
}

/// Number of CPUs this process may use; one if the system does not say.
fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The framework with threads. Dropping it shuts it down.
pub struct Runtime {
    inner: Arc<Inner>,
    dispatchers: Vec<JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
    /// Each worker's queue: the runtime says when it ends.
    returns: Vec<Sender<Option<Return>>>,
}

/// What consumers, dispatchers and the runtime share.
struct Inner {
    shards: Vec<Shard>,
    clock: Box<dyn Clock>,
    /// The last driver at each place. Held while one is registered.
    drivers: Mutex<Vec<DriverId>>,
    consumers: AtomicUsize,
}

impl Inner {
    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }
}

/// The lock is free of panics: whoever holds it breaks no promise, or ends the process.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panicked")
}

impl Runtime {
    /// A runtime without drivers on the system's clock.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self::with_clock(config, SystemClock::new())
    }

    /// The same on another clock. Threads that wait for a deadline wait as long as `clock` says at
    /// the beginning of the wait.
    ///
    /// # Panics
    /// If the number of shards is not from 1 to 256.
    #[must_use]
    pub fn with_clock(config: Config, clock: impl Clock + 'static) -> Self {
        assert!((1..=SHARDS_MAX).contains(&config.shards), "1 to 256 shards");
        let (mut shards, mut doorsteps) = (Vec::new(), Vec::new());
        let (mut workers, mut returns) = (Vec::new(), Vec::new());
        for number in 0..config.shards {
            let (sender, receiver) = unbounded();
            returns.push(sender.clone());
            let byte = u8::try_from(number).expect("a number below 256");
            let (shard, doorstep) = Shard::new(config.limits, byte, sender);
            shards.push(shard);
            doorsteps.push(doorstep);
            workers.push(spawn(format!("callback{number}"), move || {
                shard::call_back(&receiver);
            }));
        }
        let inner = Arc::new(Inner {
            shards,
            clock: Box::new(clock),
            drivers: Mutex::new(Vec::new()),
            consumers: AtomicUsize::new(0),
        });
        let run = |(number, doorstep): (usize, bell::Doorstep)| {
            let inner = Arc::clone(&inner);
            spawn(format!("dispatch{number}"), move || {
                inner.shards[number].run(inner.clock(), &doorstep);
            })
        };
        let dispatchers = doorsteps.into_iter().enumerate().map(run).collect();
        Self {
            inner,
            dispatchers,
            workers,
            returns,
        }
    }

    /// A consumer that [waits](Consumer::wait) for what it submitted. Consumers take turns at the
    /// shards.
    #[must_use]
    pub fn consumer(&self) -> Consumer {
        let inboxes = Inboxes::default();
        self.consumer_of(Owner::Inbox(Arc::new(inboxes)))
    }

    /// A consumer that is called back.
    #[must_use]
    pub fn consumer_with(&self, callbacks: Arc<dyn Callbacks>) -> Consumer {
        self.consumer_of(Owner::Callbacks(callbacks))
    }

    fn consumer_of(&self, owner: Owner) -> Consumer {
        let number = self.inner.consumers.fetch_add(1, Ordering::Relaxed);
        Consumer {
            shard: number % self.inner.shards.len(),
            inner: Arc::clone(&self.inner),
            owner,
        }
    }

    /// Adds one driver that serves all shards, one call at a time; `make` gets what wakes it.
    ///
    /// # Errors
    /// As [`Framework::try_register`](crate::Framework::try_register).
    pub fn register(
        &self,
        make: impl FnOnce(Waker) -> Box<dyn CryptoDriver + Send>,
    ) -> Result<DriverId, RegisterError> {
        let (id, _registering) = self.next_id()?;
        let wakers: Vec<Waker> = self.inner.shards.iter().map(Shard::waker).collect();
        // Drivers are spread, so that no dispatcher looks after all of them.
        let home = (id.as_u32() & 0xFFFF) as usize % wakers.len();
        let driver = make(wakers[home].clone());
        let handles = shared::share(driver, wakers.clone(), home);
        for ((shard, waker), handle) in self.inner.shards.iter().zip(wakers).zip(handles) {
            shard.register(id, waker, Box::new(handle))?;
        }
        Ok(id)
    }

    /// Adds a driver of which each shard has one of its own: no two consumers of different shards
    /// wait for each other. `make` is called once for each shard; all it makes have the same name
    /// and are of the same kind.
    ///
    /// # Errors
    /// As [`Framework::try_register`](crate::Framework::try_register).
    pub fn register_each<D: CryptoDriver + Send + 'static>(
        &self,
        mut make: impl FnMut(Waker) -> D,
    ) -> Result<DriverId, RegisterError> {
        let (id, _registering) = self.next_id()?;
        for shard in &self.inner.shards {
            let waker = shard.waker();
            shard.register(id, waker.clone(), Box::new(make(waker)))?;
        }
        Ok(id)
    }

    /// An id that means nothing in any shard, and the lock that keeps it so.
    fn next_id(&self) -> Result<(DriverId, MutexGuard<'_, Vec<DriverId>>), RegisterError> {
        let mut ids = lock(&self.inner.drivers);
        let is_vacant = |id: &DriverId| {
            self.each(|core, _| core.framework.is_vacant(*id))
                .all(|it| it)
        };
        let place = ids.iter().position(is_vacant).unwrap_or(ids.len());
        if place == DRIVERS_MAX {
            return Err(RegisterError::TooMany(place));
        }
        let number = match ids.get(place) {
            Some(last) => last.as_u32().wrapping_add(1 << 16),
            None => u32::try_from(place).expect("a place below the limit"),
        };
        let id = DriverId::from_u32(number);
        if place == ids.len() {
            ids.push(id);
        } else {
            ids[place] = id;
        }
        Ok((id, ids))
    }

    /// Takes a driver out in an orderly way, also while it works; see
    /// [`Framework::unregister`](crate::Framework::unregister).
    ///
    /// # Errors
    /// [`NoSuchDriver`] if no such driver is registered, or it is leaving already.
    pub fn unregister(&self, id: DriverId) -> Result<(), NoSuchDriver> {
        let mut outcome = Err(NoSuchDriver(id));
        for shard in &self.inner.shards {
            let clock = self.inner.clock();
            let left = shard.with(clock, |core, now| core.framework.unregister(now, id));
            outcome = outcome.or(left);
        }
        outcome
    }

    /// Lets a placement of its own say from now on where sessions of each shard go; see
    /// [`Framework::set_placement`](crate::Framework::set_placement).
    pub fn set_placement(&self, make: impl Fn() -> Box<dyn Placement>) {
        self.each(|core, _| core.framework.set_placement(make()))
            .for_each(drop);
    }

    /// Moves sessions to drivers where they are better off, in each shard by itself; see
    /// [`Framework::rebalance`](crate::Framework::rebalance).
    pub fn rebalance(&self, onto: Rebalance) -> usize {
        self.each(|core, now| core.framework.rebalance(now, onto))
            .sum()
    }

    /// Does what the dispatchers would do now, in the caller's time: for those who would rather
    /// poll than be interrupted. What the dispatchers are doing meanwhile is done too when this
    /// returns.
    pub fn poll(&self) {
        let clock = self.inner.clock();
        // One shard's driver may have news for another, whoever serves it. If nobody served any
        // shard since the round before, there was a moment at which no shard had anything to do.
        let mut before = None;
        loop {
            let serves: u64 = self.inner.shards.iter().map(|it| it.serve(clock)).sum();
            if before.replace(serves) == Some(serves) {
                return;
            }
        }
    }

    /// Counters of all shards together. The greatest numbers are the greatest of any shard.
    #[must_use]
    pub fn stats(&self) -> FrameworkStats {
        let all = self.each(|core, _| *core.framework.stats());
        all.fold(FrameworkStats::default(), FrameworkStats::together)
    }

    /// Counters of one driver in all shards together; `None` for one that is gone from all.
    #[must_use]
    pub fn driver_stats(&self, id: DriverId) -> Option<DriverStats> {
        let all = self.each(|core, _| core.framework.driver_stats(id));
        all.flatten().reduce(DriverStats::together)
    }

    /// Everything there is now, shard by shard: not all of it at the same moment.
    #[must_use]
    pub fn listing(&self) -> Listing {
        let all = self.each(|core, _| core.framework.listing());
        all.reduce(Listing::together).expect("a shard at least")
    }

    /// When something is due though nothing is heard from any driver; for those who
    /// [poll](Self::poll).
    #[must_use]
    pub fn deadline(&self) -> Time {
        let all = self.each(|core, _| core.framework.deadline());
        all.min().unwrap_or(Time::NEVER)
    }

    /// What happened since the last call: oldest first in each shard, one shard after the other.
    #[must_use]
    pub fn events(&self) -> Vec<FrameworkEvent> {
        self.each(|core, _| core.framework.events().collect::<Vec<_>>())
            .flatten()
            .collect()
    }

    /// What `ask` says of each shard.
    fn each<R>(&self, ask: impl Fn(&mut shard::Core, Time) -> R) -> impl Iterator<Item = R> {
        let shards = self.inner.shards.iter();
        shards.map(move |shard| shard.with(self.inner.clock(), &ask))
    }

    /// Ends everything in good order, and returns when it has: sessions are freed, what waits is
    /// cancelled, what drivers have finishes before they detach, and every callback is made. Each
    /// request ends exactly once; what consumers did not take stays in their inboxes.
    ///
    /// Waits for the drivers, which promise to become quiet. Must not be called from a callback.
    pub fn shutdown(self) {
        drop(self);
    }

    fn stop(&mut self) {
        for shard in &self.inner.shards {
            shard.stop(self.inner.clock());
        }
        let join = |threads: &mut Vec<JoinHandle<()>>| {
            for thread in threads.drain(..) {
                thread.join().expect("a thread that ends in good order");
            }
        };
        join(&mut self.dispatchers);
        for queue in self.returns.drain(..) {
            assert!(queue.send(None).is_ok(), "a worker ends when it is told");
        }
        join(&mut self.workers);
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // What panicked may be what a driver waits for.
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("shards", &self.inner.shards.len())
            .finish_non_exhaustive()
    }
}
