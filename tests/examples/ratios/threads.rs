//! The threaded way: what a second thread adds, what a batch saves, how long a wake-up takes.

use std::collections::VecDeque;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Instant;

use framework::runtime::{Config, Consumer, Runtime, Waker};
use framework::software::SoftwareDriver;
use framework::{
    Blocked, Buffer, Cipher, Completed, CryptoDriver, DriverChoice, DriverError, DriverFlags,
    DriverId, DriverOutput, DriverSession, Framework, Hint, Limits, MigrationPolicy, Mode,
    OpenError, Operation, ProbeScore, Region, Request, SessionId, SessionParams,
};
use timebase::Time;

use super::{Goal, Measure, ROUND_TIME, Row, ns_per_unit, params, row};

/// Does a piece of work and says how many requests it was.
type Work = Box<dyn FnMut() -> u64 + Send>;
/// What may go on side by side.
type Pair = [Work; 2];
/// Sessions of a card that dies.
const MANY: usize = 1 << 20;
/// Requests in a piece of work.
const PIECE: usize = 64;

pub(super) fn rows() -> Vec<Row> {
    let least = Goal::AtLeast(1.9);
    let shared = "dispatch, 2 threads / 1 thread, one driver for both";
    let dying = "card with 1,048,576 sessions dies, first request done";
    let leaving = "card with 1,048,576 sessions leaves, first request done";
    let without = "dispatch, one by one, without threads";
    let machine = "cores without a runtime, 2 threads / 1 thread";
    vec![
        row("dispatch, 2 threads / 1 thread", "", least, gain(each)),
        row(shared, "", Goal::None, gain(shared_by_both)),
        row(machine, "", Goal::None, gain(bare)),
        row("dispatch, one by one", "ns/request", Goal::None, cost(1)),
        row(without, "ns/request", Goal::None, bare_cost()),
        row(
            "dispatch, batches of 32",
            "ns/request",
            Goal::None,
            cost(32),
        ),
        row(dying, "µs", Goal::AtMost(100.0), going_card(die)),
        row(leaving, "µs", Goal::AtMost(100.0), going_card(leave)),
        row("unblocked to offered again", "ns", Goal::None, unblocking()),
    ]
}

fn null() -> SessionParams {
    params(Mode::Cipher, Cipher::Null, &[], 0)
}

fn request(session: SessionId) -> Box<Request> {
    let mut request = Request::new(session, Operation::Encrypt, Buffer::Memory(vec![0; 64]));
    request.payload = Region { start: 0, len: 64 };
    request
}

fn runtime() -> Runtime {
    let limits = Limits::default();
    Runtime::new(Config { shards: 2, limits })
}

fn open(consumer: &Consumer) -> SessionId {
    let (choice, policy) = (DriverChoice::any(), MigrationPolicy::Report);
    let opened = consumer.open_session(null(), choice, policy);
    opened.expect("a driver that serves it")
}

/// Dispatches batches of `len` and waits for them; a batch of one without the batch.
fn dispatcher(consumer: Consumer, len: usize) -> impl FnMut() -> u64 + Send {
    let session = open(&consumer);
    let mut batch: VecDeque<_> = (0..len).map(|_| request(session)).collect();
    move || {
        for _ in 0..PIECE / len {
            if let [_] = batch.make_contiguous() {
                let accepted = consumer.submit(batch.remove(0).expect("a request"));
                assert!(accepted.is_ok(), "{accepted:?}");
            } else {
                let accepted = consumer.submit_batch(&mut batch);
                assert!(accepted.is_ok(), "{accepted:?}");
            }
            while batch.len() < len {
                batch.push_back(consumer.wait().expect("a request under way").request);
            }
        }
        PIECE as u64
    }
}

/// Consumers of a runtime, which lives as long as they do.
fn pair(runtime: Runtime) -> Pair {
    let runtime = Arc::new(runtime);
    [(); 2].map(|()| {
        let (kept, mut work) = (Arc::clone(&runtime), dispatcher(runtime.consumer(), 1));
        let work: Work = Box::new(move || {
            let _ = &kept;
            work()
        });
        work
    })
}

fn each() -> Pair {
    let runtime = runtime();
    let registered = runtime.register_each(|_| SoftwareDriver::default());
    assert!(registered.is_ok());
    pair(runtime)
}

fn shared_by_both() -> Pair {
    let runtime = runtime();
    let registered = runtime.register(|_| Box::new(SoftwareDriver::default()));
    assert!(registered.is_ok());
    pair(runtime)
}

/// What the machine has to give: two cores that know nothing of each other.
fn bare() -> Pair {
    [(); 2].map(|()| {
        let mut core = Framework::<dyn CryptoDriver + Send>::with_number(Limits::default(), 0);
        core.register(Box::new(SoftwareDriver::default()));
        let (choice, policy) = (DriverChoice::any(), MigrationPolicy::Report);
        let session = core.open_session(Time::ZERO, null(), choice, policy);
        let mut idle = Some(request(session.expect("a driver that serves it")));
        let work: Work = Box::new(move || {
            for _ in 0..PIECE {
                let request = idle.take().expect("a request");
                let accepted = core.dispatch(Time::ZERO, request);
                assert!(accepted.is_ok(), "{accepted:?}");
                idle = core.take_finished().map(|finished| finished.request);
            }
            PIECE as u64
        });
        work
    })
}

/// The rate of both at once, beside that of one alone. Means something on a machine that has two
/// CPUs to spare; the row without a runtime says whether it has.
fn gain(make: fn() -> Pair) -> Measure {
    let mut made = None;
    Box::new(move || {
        let pair = made.get_or_insert_with(make);
        let alone = 1.0 / ns_per_unit(&mut pair[0]);
        let start = Barrier::new(2);
        let rate = |work: &mut Work| {
            start.wait();
            1.0 / ns_per_unit(work)
        };
        let rates = thread::scope(|scope| {
            let [one, two] = pair;
            let beside = scope.spawn(|| rate(two));
            [rate(one), beside.join().expect("a thread that measures")]
        });
        (rates[0] + rates[1]) / alone
    })
}

fn bare_cost() -> Measure {
    let [mut work, _] = bare();
    Box::new(move || ns_per_unit(&mut work))
}

fn cost(len: usize) -> Measure {
    let mut made = None;
    Box::new(move || {
        let (_, work) = made.get_or_insert_with(|| {
            let runtime = runtime();
            let registered = runtime.register_each(|_| SoftwareDriver::default());
            assert!(registered.is_ok());
            let work = dispatcher(runtime.consumer(), len);
            (runtime, work)
        });
        ns_per_unit(work)
    })
}

/// A device with room for one request, which it has until it is told to let it go.
#[derive(Clone, Default)]
struct Gate {
    state: Arc<Mutex<Held>>,
    waker: Option<Waker>,
}

#[derive(Default)]
struct Held {
    request: Option<Box<Request>>,
    offered_at: Option<Instant>,
    output: DriverOutput,
    opened: u32,
    generation: u64,
    is_leaving: bool,
}

impl Gate {
    fn with<R>(&self, act: impl FnOnce(&mut Held) -> R) -> R {
        act(&mut self.state.lock().expect("no thread panicked"))
    }

    fn release(&self) {
        self.with(|held| {
            if let Some(request) = held.request.take() {
                let result = Ok(());
                held.output.completed.push(Completed { request, result });
                held.generation += 1;
            }
        });
        self.wake();
    }

    /// The device is gone, and what it held is untouched.
    fn die(&self) {
        self.with(|held| {
            let result = Err(DriverError::Lost { untouched: true });
            let dropped = held.request.take();
            let dropped = dropped.map(|request| Completed { request, result });
            held.output.completed.extend(dropped);
            held.is_leaving = true;
        });
    }

    fn wake(&self) {
        self.waker.iter().for_each(Waker::wake);
    }
}

impl CryptoDriver for Gate {
    fn name(&self) -> &str {
        "gate"
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
        let session = self.with(|held| {
            let session = DriverSession(held.opened);
            held.opened += 1;
            held.output.opened.push((session, Ok(())));
            session
        });
        self.wake();
        Ok(session)
    }

    fn close_session(&mut self, _now: Time, _session: DriverSession) {}

    #[expect(clippy::disallowed_methods, reason = "a benchmark measures wall time")]
    fn process(
        &mut self,
        _now: Time,
        _session: DriverSession,
        request: Box<Request>,
        _hint: Hint,
    ) -> Result<(), Blocked> {
        self.with(|held| {
            if held.request.is_some() {
                let generation = held.generation;
                return Err(Blocked {
                    request,
                    generation,
                });
            }
            held.offered_at = Some(Instant::now());
            held.request = Some(request);
            Ok(())
        })
    }

    fn flush(&mut self, _now: Time) {}

    fn service(&mut self, _now: Time, output: &mut DriverOutput) {
        self.with(|held| {
            output.completed.append(&mut held.output.completed);
            output.opened.append(&mut held.output.opened);
            output.lost |= held.is_leaving && held.request.is_none();
        });
    }

    fn deadline(&self) -> Time {
        Time::NEVER
    }

    fn unblock_generation(&self) -> u64 {
        self.with(|held| held.generation)
    }

    fn detach(&mut self, _now: Time) {
        self.with(|held| held.is_leaving = true);
    }
}

/// The framework hears that a card is gone.
fn die(core: &mut Framework, id: DriverId, card: &Gate) {
    card.die();
    core.service(Time::ZERO, id);
}

/// The framework is told to do without a card.
fn leave(core: &mut Framework, id: DriverId, _card: &Gate) {
    core.unregister(Time::ZERO, id).expect("a driver");
}

/// Microseconds from the moment that a card with a million sessions `goes`, of which one has a
/// request at work and one a request that waits, until the first of these is done by another card.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures wall time")]
fn going_card(goes: fn(&mut Framework, DriverId, &Gate)) -> Measure {
    let mut made = None;
    Box::new(move || {
        let (core, sessions, id, card) = made.get_or_insert_with(crowded_card);
        for &session in &sessions[MANY / 2..][..2] {
            let accepted = core.dispatch(Time::ZERO, request(session));
            assert!(accepted.is_ok(), "{accepted:?}");
        }
        let heir = Gate::default();
        let heir_id = core.register(Box::new(heir.clone()));
        let start = Instant::now();
        goes(core, *id, card);
        core.service(Time::ZERO, heir_id);
        heir.release();
        core.service(Time::ZERO, heir_id);
        let first = core.take_finished().expect("a request that was done");
        let took = start.elapsed();
        assert!(first.result.is_ok());
        for (driver, gate) in [(*id, &*card), (heir_id, &heir)] {
            gate.release();
            core.service(Time::ZERO, driver);
        }
        while core.deadline() != Time::NEVER {
            core.service(core.deadline(), heir_id);
        }
        assert!(core.driver(*id).is_none(), "the card left");
        while core.take_finished().is_some() {}
        (*id, *card) = (heir_id, heir);
        took.as_nanos() as f64 / 1e3
    })
}

/// A card with a million sessions.
fn crowded_card() -> (Framework, Vec<SessionId>, DriverId, Gate) {
    let mut core = Framework::new(Limits {
        event_len: 0,
        ..Limits::default()
    });
    let card = Gate::default();
    let id = core.register(Box::new(card.clone()));
    let mut open = || {
        let (choice, policy) = (DriverChoice::any(), MigrationPolicy::Transparent);
        let opened = core.open_session(Time::ZERO, null(), choice, policy);
        opened.expect("a card that serves it")
    };
    let sessions = (0..MANY).map(|_| open()).collect();
    core.service(Time::ZERO, id);
    (core, sessions, id, card)
}

/// Nanoseconds from the moment a device has room until the request that it refused is offered
/// again, by a dispatcher that was asleep.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures wall time")]
fn unblocking() -> Measure {
    let mut made = None;
    Box::new(move || {
        let (_, gate, consumer, session) = made.get_or_insert_with(|| {
            let runtime = runtime();
            let mut gate = None;
            let registered = runtime.register(|waker| {
                let (state, waker) = (Arc::default(), Some(waker));
                Box::new(gate.insert(Gate { state, waker }).clone())
            });
            assert!(registered.is_ok());
            let consumer = runtime.consumer();
            let session = open(&consumer);
            (runtime, gate.expect("made above"), consumer, session)
        });
        let (start, mut nanoseconds, mut rounds) = (Instant::now(), 0, 0);
        let mut idle = [request(*session), request(*session)];
        while start.elapsed() < ROUND_TIME {
            for request in idle {
                consumer.submit(request).expect("a valid request");
            }
            // A session that was still opening: the first of all must have arrived.
            while gate.with(|held| held.request.is_none()) {
                thread::yield_now();
            }
            let freed_at = Instant::now();
            gate.release();
            let first = consumer.wait().expect("a request under way").request;
            let offered_at = gate.with(|held| held.offered_at).expect("an offer");
            nanoseconds += offered_at.duration_since(freed_at).as_nanos();
            rounds += 1;
            gate.release();
            idle = [first, consumer.wait().expect("the other").request];
        }
        nanoseconds as f64 / f64::from(rounds)
    })
}
