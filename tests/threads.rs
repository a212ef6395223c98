//! The threaded way loses and doubles nothing, on all CPUs at once, with a device that refuses, has
//! room again, leaves and is pulled out all the time.

#[path = "../framework/tests/runtime/device.rs"]
mod device;
#[path = "../framework/tests/runtime/sync.rs"]
mod sync;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

// What `crate::` means in the device's sources.
use framework::*;

use device::Device;
use framework::runtime::{Config, Consumer, Runtime};
use framework::software::SoftwareDriver;

/// Requests in all.
const REQUESTS: u64 = 10_000_000;
/// Requests that one consumer has under way.
const DEPTH: usize = 64;
/// Times the device leaves.
const DEPARTURES: u64 = 20;

fn params() -> SessionParams {
    SessionParams {
        cipher: Some(Cipher::Null),
        ..SessionParams::of(Mode::Cipher)
    }
}

/// One thread's work: its share of the requests, and how often each ended.
struct Share {
    consumer: Consumer,
    sessions: [SessionId; 3],
    /// By number of the request.
    ended: Vec<u8>,
    idle: VecDeque<Box<Request>>,
    asked: usize,
    moves: u64,
}

impl Share {
    fn new(consumer: Consumer, requests: usize) -> Self {
        let open = |choice, policy| consumer.open_session(params(), choice, policy).unwrap();
        let sessions = [
            open(DriverChoice::any(), MigrationPolicy::Transparent),
            open(DriverChoice::any(), MigrationPolicy::Report),
            open(DriverChoice::software_only(), MigrationPolicy::Report),
        ];
        let blank = |_| {
            let buffer = Buffer::Memory(vec![0; 16]);
            let mut request = Request::new(sessions[0], Operation::Encrypt, buffer);
            request.payload = Region { start: 0, len: 16 };
            request
        };
        Self {
            sessions,
            ended: vec![0; requests],
            idle: (0..DEPTH).map(blank).collect(),
            asked: 0,
            moves: 0,
            consumer,
        }
    }

    fn run(mut self, progress: &AtomicU64) -> Self {
        let mut batch = VecDeque::new();
        while self.asked < self.ended.len() || self.idle.len() < DEPTH {
            let before = self.asked;
            while self.asked < self.ended.len()
                && let Some(mut request) = self.idle.pop_front()
            {
                request.opaque = self.asked as u64;
                request.session = self.sessions[self.asked % 3];
                self.asked += 1;
                batch.push_back(request);
            }
            let outcome = self.consumer.submit_batch(&mut batch);
            assert!(outcome.is_ok(), "{outcome:?}");
            let mut next = self.consumer.wait();
            while let Some(finished) = next {
                self.take(finished);
                next = self.consumer.try_wait();
            }
            progress.fetch_add((self.asked - before) as u64, Ordering::Relaxed);
        }
        assert!(self.consumer.wait().is_none(), "nothing more comes");
        self
    }

    fn take(&mut self, finished: Finished) {
        let Finished { request, result } = finished;
        self.ended[request.opaque as usize] += 1;
        match result {
            Ok(()) => {}
            Err(RequestError::Moved(to)) => {
                self.moves += 1;
                self.sessions[1] = to;
            }
            Err(error) => panic!("{error}"),
        }
        self.idle.push_back(request);
    }
}

fn plug(runtime: &Runtime) -> (DriverId, Device) {
    let mut plugged = None;
    let id = runtime.register(|waker| {
        let device = Device::new(DEPTH / 2, waker);
        plugged = Some(device.clone());
        Box::new(device)
    });
    (id.unwrap(), plugged.unwrap())
}

/// Has the device come and go until all is done; returns how often it refused.
fn shake(runtime: &Runtime, progress: &AtomicU64) -> u64 {
    let mut refusals = 0;
    for departure in 0..DEPARTURES {
        let (id, device) = plug(runtime);
        runtime.rebalance(Rebalance::Onto(id));
        while progress.load(Ordering::Relaxed) < REQUESTS * (departure + 1) / (DEPARTURES + 1) {
            thread::yield_now();
        }
        if departure % 3 == 0 {
            runtime.unregister(id).unwrap();
        }
        refusals += device.unplug();
    }
    refusals
}

#[test]
fn ten_million_requests_end_once_each() {
    let runtime = Runtime::new(Config::default());
    let software = runtime.register_each(|_| SoftwareDriver::new("soft0"));
    assert!(software.is_ok());
    let threads = thread::available_parallelism()
        .map_or(2, usize::from)
        .max(2);
    let share = (REQUESTS as usize).div_ceil(threads);
    let progress = AtomicU64::new(0);
    let (shares, refusals) = thread::scope(|scope| {
        let work = |_| {
            let consumer = runtime.consumer();
            let progress = &progress;
            scope.spawn(move || Share::new(consumer, share).run(progress))
        };
        let working: Vec<_> = (0..threads).map(work).collect();
        let refusals = shake(&runtime, &progress);
        let shares = working.into_iter().map(|thread| thread.join().unwrap());
        (shares.collect::<Vec<_>>(), refusals)
    });
    for share in &shares {
        let wrong = share.ended.iter().position(|&times| times != 1);
        assert_eq!(wrong, None, "every request ends once");
    }
    let stats = runtime.stats();
    assert_eq!((stats.ops, stats.in_flight), ((share * threads) as u64, 0));
    let moves: u64 = shares.iter().map(|share| share.moves).sum();
    assert!(
        refusals > 0 && moves > 0 && stats.blocks > 0 && stats.migrations > 0,
        "{refusals} refusals, {moves} requests moved, {stats:?}"
    );
    runtime.shutdown();
}
