//! What only threads can show.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread::{self, ThreadId};

use timebase::{Span, Time};

use crate::device::Device;
use crate::runtime::{Callbacks, Config, Consumer, PooledSoftware, Runtime, Waker, Workers};
use crate::software::SoftwareDriver;
use crate::testing::{Scripted, null_params, request};
use crate::{
    DriverChoice, DriverFlags, DriverId, Finished, KeyFinished, KeyOp, KeyOps, KeyParam,
    KeyRequest, Limits, MigrationPolicy, NoSuchDriver, RequestError, RequestFlags, RequestInvalid,
    SessionError, SessionId,
};

const REPORT: MigrationPolicy = MigrationPolicy::Report;

fn runtime(shards: usize) -> Runtime {
    let limits = Limits::default();
    Runtime::new(Config { shards, limits })
}

fn plug(runtime: &Runtime, slots: usize) -> (DriverId, Device) {
    let mut plugged = None;
    let id = runtime.register(|waker| {
        let device = Device::new(slots, waker);
        plugged = Some(device.clone());
        Box::new(device)
    });
    (id.unwrap(), plugged.unwrap())
}

fn software(runtime: &Runtime) -> DriverId {
    let registered = runtime.register_each(|_| SoftwareDriver::default());
    registered.unwrap()
}

fn open(consumer: &Consumer) -> SessionId {
    let opened = consumer.open_session(null_params(), DriverChoice::any(), REPORT);
    opened.unwrap()
}

/// What a callback was called with, and by whom.
struct Told {
    seen: Mutex<mpsc::Sender<(u64, ThreadId)>>,
}

impl Callbacks for Told {
    fn finished(&self, finished: Finished) {
        assert_eq!(finished.result, Ok(()));
        let told = (finished.request.opaque, thread::current().id());
        self.seen.lock().unwrap().send(told).unwrap();
    }

    fn key_finished(&self, finished: KeyFinished) {
        assert_eq!(finished.result, Ok(()));
        let told = (finished.request.opaque, thread::current().id());
        self.seen.lock().unwrap().send(told).unwrap();
    }
}

fn told() -> (Arc<dyn Callbacks>, mpsc::Receiver<(u64, ThreadId)>) {
    let (seen, heard) = mpsc::channel();
    let seen = Mutex::new(seen);
    (Arc::new(Told { seen }), heard)
}

#[test]
fn runtime_and_consumers_are_for_all_threads() {
    fn is_for_all<T: Send + Sync>() {}
    is_for_all::<Runtime>();
    is_for_all::<Consumer>();
    is_for_all::<Waker>();
}

#[test]
fn a_callback_comes_at_once_where_it_was_asked_for_and_from_a_worker_elsewhere() {
    let runtime = runtime(1);
    software(&runtime);
    let (callbacks, heard) = told();
    let consumer = runtime.consumer_with(callbacks);
    let session = open(&consumer);
    let me = thread::current().id();
    for (flags, at_once) in [
        (RequestFlags::CALLBACK_IMMEDIATE, true),
        (RequestFlags::CALLBACK_IF_SYNC, true),
        (RequestFlags::empty(), false),
        (RequestFlags::ORDERED, false),
    ] {
        let mut asked = request(session);
        asked.flags = flags;
        consumer.submit(asked).unwrap();
        let (_, by) = heard.recv().unwrap();
        assert_eq!(by == me, at_once, "{flags:?}");
    }
    assert!(consumer.wait().is_none(), "callbacks leave nothing to take");
}

#[test]
fn workers_call_back_in_the_order_in_which_requests_were_dispatched() {
    let runtime = runtime(2);
    let workers = Workers::new(3);
    let make = |waker: Waker| PooledSoftware::new("soft0", Arc::clone(&workers), waker);
    runtime.register_each(make).unwrap();
    let (callbacks, heard) = told();
    let consumer = runtime.consumer_with(callbacks);
    let session = open(&consumer);
    for number in 0..2_000 {
        let mut asked = request(session);
        asked.flags = RequestFlags::ASYNC | RequestFlags::ORDERED;
        asked.opaque = number;
        while let Err(rejected) = consumer.submit(asked) {
            assert_eq!(rejected.reason, RequestInvalid::QueueFull);
            asked = rejected.request;
            thread::yield_now();
        }
    }
    let numbers = (0..2_000).map(|_| heard.recv().unwrap().0);
    assert!(numbers.eq(0..2_000));
}

#[test]
fn a_consumer_may_submit_from_its_callback() {
    struct Chain {
        left: AtomicUsize,
        consumer: Mutex<Option<Consumer>>,
        end: Mutex<mpsc::Sender<()>>,
    }
    impl Callbacks for Chain {
        fn finished(&self, finished: Finished) {
            if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
                self.end.lock().unwrap().send(()).unwrap();
                return;
            }
            let consumer = self.consumer.lock().unwrap().clone();
            consumer.unwrap().submit(finished.request).unwrap();
        }
    }
    let runtime = runtime(1);
    plug(&runtime, 4);
    let (end, ended) = mpsc::channel();
    let chain = Arc::new(Chain {
        left: AtomicUsize::new(1_000),
        consumer: Mutex::new(None),
        end: Mutex::new(end),
    });
    let consumer = runtime.consumer_with(Arc::clone(&chain) as Arc<dyn Callbacks>);
    let session = open(&consumer);
    *chain.consumer.lock().unwrap() = Some(consumer.clone());
    consumer.submit(request(session)).unwrap();
    ended.recv().unwrap();
}

#[test]
fn one_request_can_be_waited_for_and_nothing_is_waited_for_in_vain() {
    let runtime = runtime(1);
    plug(&runtime, 8);
    let consumer = runtime.consumer();
    assert!(consumer.wait().is_none(), "nothing is under way");
    let session = open(&consumer);
    let ids = [(); 3].map(|()| consumer.submit(request(session)).unwrap());
    for id in [ids[2], ids[0]] {
        assert_eq!(consumer.wait_for(id).unwrap().request.id, id);
    }
    assert!(consumer.wait_for(ids[0]).is_none(), "it was taken");
    assert_eq!(consumer.wait().unwrap().request.id, ids[1]);
    assert!(consumer.wait().is_none() && consumer.try_wait().is_none());
}

#[test]
fn what_waits_too_long_ends_by_the_real_clock() {
    let runtime = runtime(2);
    let (driver, handle) = Scripted::new("card", DriverFlags::HARDWARE, KeyOps::empty());
    handle.set(|script| script.room = 0);
    runtime
        .register(|waker| {
            // Its sessions are open at the next service.
            waker.wake();
            Box::new(driver)
        })
        .unwrap();
    let consumer = runtime.consumer();
    let session = open(&consumer);
    runtime.poll();
    let mut asked = request(session);
    asked.expires = Time::ZERO + Span::from_us(1);
    consumer.submit(asked).unwrap();
    assert_eq!(consumer.wait().unwrap().result, Err(RequestError::TimedOut));
}

#[test]
fn key_operations_are_done_by_workers_and_come_back_to_who_asked() {
    let number = |value: u64| KeyParam::from_le_bytes(&value.to_le_bytes());
    let power = || {
        let inputs = vec![number(3), number(5), number(100)];
        KeyRequest::new(KeyOp::ModExp, inputs, vec![KeyParam::room(64)])
    };
    let runtime = runtime(2);
    let workers = Workers::for_each_cpu();
    let make = |waker: Waker| PooledSoftware::new("soft0", Arc::clone(&workers), waker);
    runtime.register_each(make).unwrap();
    let (callbacks, heard) = told();
    let (waits, is_called) = (runtime.consumer(), runtime.consumer_with(callbacks));
    let id = waits.submit_key(power()).unwrap();
    is_called.submit_key(power()).unwrap();
    let finished = waits.wait_key().unwrap();
    assert_eq!((finished.request.id, finished.result), (id, Ok(())));
    assert_eq!(finished.request.outputs[0].bytes(), 43_u64.to_le_bytes());
    heard.recv().unwrap();
    assert!(waits.wait_key().is_none());
}

#[test]
fn a_session_of_another_shard_is_unknown() {
    let runtime = runtime(2);
    software(&runtime);
    let [one, two] = [runtime.consumer(), runtime.consumer()];
    let (first, second) = (open(&one), open(&two));
    assert_eq!(first.place(), second.place());
    assert_ne!(first, second);
    let rejected = two.submit(request(first)).unwrap_err();
    assert_eq!(rejected.reason, RequestInvalid::NoSession);
    assert_eq!(two.close_session(first), Err(SessionError::NoSession));
    let ids = [(one, first), (two, second)]
        .map(|(consumer, session)| consumer.submit(request(session)).unwrap());
    assert_ne!(ids[0], ids[1], "numbers are unique in all shards");
}

#[test]
fn a_driver_has_one_id_in_all_shards_and_no_other_ever_has_it() {
    let runtime = runtime(3);
    let (gone, device) = plug(&runtime, 1);
    let stays = software(&runtime);
    device.unplug();
    while runtime.driver_stats(gone).is_some() {
        runtime.poll();
    }
    let (again, _) = plug(&runtime, 1);
    assert_eq!(again.as_u32(), gone.as_u32() + (1 << 16), "the same place");
    assert_eq!(runtime.unregister(gone), Err(NoSuchDriver(gone)));
    let listed = runtime.listing().drivers.into_iter().map(|it| it.id);
    assert!(listed.eq([again, stays]));
}

#[test]
fn counters_are_those_of_all_shards() {
    let runtime = runtime(2);
    let id = software(&runtime);
    for _ in 0..2 {
        let consumer = runtime.consumer();
        let session = open(&consumer);
        for _ in 0..3 {
            consumer.submit(request(session)).unwrap();
        }
    }
    assert_eq!((runtime.stats().ops, runtime.stats().sessions), (6, 2));
    assert_eq!(runtime.driver_stats(id).unwrap().ops, 6);
    let listing = runtime.listing();
    assert_eq!((listing.drivers.len(), listing.sessions.len()), (1, 2));
    assert_eq!(listing.drivers[0].stats.bytes, 6 * 64);
}

/// Submits again from each callback, as long as there is something left to ask for.
#[derive(Default)]
struct Chain {
    consumer: OnceLock<Consumer>,
    left: AtomicUsize,
    depth: AtomicUsize,
}

impl Callbacks for Chain {
    fn finished(&self, finished: Finished) {
        assert_eq!(finished.result, Ok(()));
        let depth = self.depth.fetch_add(1, Ordering::Relaxed);
        assert_eq!(depth, 0, "no callback within a callback");
        if self.left.load(Ordering::Relaxed) > 0 {
            self.left.fetch_sub(1, Ordering::Relaxed);
            let consumer = self.consumer.get().unwrap();
            consumer.submit(finished.request).unwrap();
        }
        self.depth.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn callbacks_that_submit_again_take_no_stack() {
    let runtime = runtime(1);
    software(&runtime);
    let chain = Arc::new(Chain::default());
    let callbacks: Arc<dyn Callbacks> = Arc::clone(&chain) as _;
    let consumer = runtime.consumer_with(callbacks);
    let session = open(&consumer);
    assert!(chain.consumer.set(consumer.clone()).is_ok());
    chain.left.store(100_000, Ordering::Relaxed);
    let small = thread::Builder::new().stack_size(128 << 10);
    let begun = small.spawn(move || {
        let mut first = request(session);
        first.flags = RequestFlags::CALLBACK_IMMEDIATE;
        consumer.submit(first).unwrap();
    });
    begun.unwrap().join().unwrap();
    assert_eq!(chain.left.load(Ordering::Relaxed), 0, "all within the call");
    runtime.shutdown();
}
