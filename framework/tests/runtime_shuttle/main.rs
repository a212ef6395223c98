//! The runtime under interleavings that Shuttle chooses: a lost wake-up is a deadlock, and each
//! request must end once in each of them.
//!
//! The runtime's sources are compiled here with Shuttle's locks, threads and atomics. That they can
//! be shows too that the runtime needs nothing of the core that others could not use.

#![expect(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the sources of another crate, of which a part is used"
)]

use std::collections::BTreeMap;

// What `crate::` means in those sources.
use framework::*;
use timebase::Time;

#[path = "../runtime/device.rs"]
mod device;
#[path = "../../src/runtime/mod.rs"]
mod runtime;
#[path = "../../src/testing/script.rs"]
mod script;
mod sync;

use device::Device;
use runtime::{Callbacks, Config, Consumer, PooledSoftware, Runtime, Waker, Workers};
use script::{null_params, request};
use software::SoftwareDriver;
use sync::{Arc, Mutex, thread};

/// Runs a scenario under `rounds` random interleavings, and under as many that switch threads
/// rarely, at the worst places.
fn explore(rounds: usize, scenario: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(scenario.clone(), rounds);
    shuttle::check_pct(scenario, rounds, 3);
}

/// A runtime whose clock stands still.
fn runtime(shards: usize) -> Runtime {
    let limits = Limits::default();
    Runtime::with_clock(Config { shards, limits }, || Time::ZERO)
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

fn open(consumer: &Consumer, policy: MigrationPolicy) -> SessionId {
    consumer
        .open_session(null_params(), DriverChoice::any(), policy)
        .unwrap()
}

/// Takes all that is to come, and checks that each of `ids` ended once.
fn collect(
    consumer: &Consumer,
    ids: Vec<RequestId>,
) -> BTreeMap<RequestId, Result<(), RequestError>> {
    let mut ended = BTreeMap::new();
    while let Some(finished) = consumer.wait() {
        let twice = ended.insert(finished.request.id, finished.result);
        assert!(twice.is_none(), "each ends once");
    }
    assert!(ended.keys().copied().eq(ids), "each ends");
    ended
}

#[test]
fn no_wake_up_is_lost_between_a_refusal_and_the_room_that_follows() {
    explore(1_000, || {
        let runtime = runtime(2);
        plug(&runtime, 1);
        let work = |consumer: Consumer| {
            let session = open(&consumer, MigrationPolicy::Report);
            let submit = |_| consumer.submit(request(session)).unwrap();
            let ids = (0..3).map(submit).collect();
            let ended = collect(&consumer, ids);
            assert!(ended.values().all(Result::is_ok));
        };
        let other = runtime.consumer();
        let beside = thread::spawn(move || work(other));
        work(runtime.consumer());
        beside.join().unwrap();
        runtime.shutdown();
    });
}

#[test]
fn a_request_that_is_cancelled_while_it_completes_ends_once() {
    explore(1_000, || {
        let runtime = runtime(1);
        plug(&runtime, 1);
        let consumer = runtime.consumer();
        let session = open(&consumer, MigrationPolicy::Report);
        let submit = |_| consumer.submit(request(session)).unwrap();
        let ids: Vec<_> = (0..3).map(submit).collect();
        let (canceller, to_cancel) = (consumer.clone(), ids.clone());
        let beside = thread::spawn(move || {
            let cancel = |id| canceller.cancel(session, id).is_ok();
            to_cancel.into_iter().filter(|id| cancel(*id)).count()
        });
        let ended = collect(&consumer, ids);
        let cancelled = beside.join().unwrap();
        let is_cancelled =
            |result: &&Result<(), RequestError>| **result == Err(RequestError::Cancelled);
        assert_eq!(ended.values().filter(is_cancelled).count(), cancelled);
        runtime.shutdown();
    });
}

#[test]
fn a_shutdown_ends_what_was_accepted_and_accepts_no_more() {
    explore(1_000, || {
        let runtime = runtime(2);
        plug(&runtime, 1);
        let work = |consumer: Consumer| {
            let params = (null_params(), DriverChoice::any(), MigrationPolicy::Report);
            let Ok(session) = consumer.open_session(params.0, params.1, params.2) else {
                return;
            };
            let submit = |_| consumer.submit(request(session)).ok();
            let ids: Vec<_> = (0..4).map_while(submit).collect();
            collect(&consumer, ids);
        };
        let threads = [runtime.consumer(), runtime.consumer()]
            .map(|consumer| thread::spawn(move || work(consumer)));
        let last = runtime.consumer();
        runtime.shutdown();
        let opened = last.open_session(null_params(), DriverChoice::any(), MigrationPolicy::Report);
        assert_eq!(opened, Err(SessionError::NoDriver));
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_device_that_is_pulled_out_under_two_shards_loses_nothing() {
    explore(1_000, || {
        let runtime = runtime(2);
        let (_, device) = plug(&runtime, 2);
        runtime
            .register_each(|_| SoftwareDriver::default())
            .unwrap();
        let work = |consumer: Consumer| {
            let session = open(&consumer, MigrationPolicy::Transparent);
            let submit = |_| consumer.submit(request(session)).unwrap();
            let ids = (0..3).map(submit).collect();
            let ended = collect(&consumer, ids);
            assert!(ended.values().all(Result::is_ok), "software goes on");
        };
        let threads = [runtime.consumer(), runtime.consumer()]
            .map(|consumer| thread::spawn(move || work(consumer)));
        device.unplug();
        for thread in threads {
            thread.join().unwrap();
        }
        runtime.shutdown();
    });
}

#[test]
fn a_driver_that_leaves_while_it_works_finishes_what_it_has() {
    explore(1_000, || {
        let runtime = runtime(2);
        let (id, _) = plug(&runtime, 2);
        let software = runtime.register_each(|_| SoftwareDriver::default());
        assert!(software.is_ok());
        let work = |consumer: Consumer| {
            let session = open(&consumer, MigrationPolicy::Report);
            let submit = |_| consumer.submit(request(session)).unwrap();
            let ids = (0..2).map(submit).collect();
            collect(&consumer, ids);
        };
        let threads = [runtime.consumer(), runtime.consumer()]
            .map(|consumer| thread::spawn(move || work(consumer)));
        assert_eq!(runtime.unregister(id), Ok(()));
        for thread in threads {
            thread.join().unwrap();
        }
        runtime.shutdown();
    });
}

/// Notes what it is called with.
#[derive(Default)]
struct Notes(Mutex<Vec<u64>>);

impl Callbacks for Notes {
    fn finished(&self, finished: Finished) {
        self.0.lock().unwrap().push(finished.request.opaque);
    }
}

#[test]
fn callbacks_of_ordered_requests_come_in_order_from_whatever_thread_does_the_work() {
    explore(500, || {
        let runtime = runtime(1);
        let workers = Workers::new(2);
        runtime
            .register_each(|waker| PooledSoftware::new("soft0", Arc::clone(&workers), waker))
            .unwrap();
        let notes = Arc::new(Notes::default());
        let consumer = runtime.consumer_with(Arc::clone(&notes) as Arc<dyn Callbacks>);
        let session = open(&consumer, MigrationPolicy::Report);
        for number in 0..3 {
            let mut asked = request(session);
            asked.flags = RequestFlags::ASYNC | RequestFlags::ORDERED;
            asked.opaque = number;
            consumer.submit(asked).unwrap();
        }
        runtime.shutdown();
        let called = notes.0.lock().unwrap().clone();
        assert_eq!(called, [0, 1, 2]);
    });
}
