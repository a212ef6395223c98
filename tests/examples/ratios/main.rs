//! What the whole way costs, measured beside the bare library in one run.
//!
//! Every quantity is measured in rounds that take turns, so that a busy machine disturbs all alike;
//! the table shows the median, the 10th and 90th percentile, and the goal. Run with `cargo bench`,
//! which builds it as what ships is built; an argument chooses rows by name.

mod peer;
mod scale;
mod socket;
mod threads;
mod traced;

use std::collections::{BinaryHeap, VecDeque};
use std::hint::black_box;
use std::time::{Duration, Instant};

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use device_model::Profile;
use device_model::engine::{self, Context, Job};
use dma::Pool;
use framework::{
    Cipher, Key, Mode, Operation, Region, Request, RequestFlags, SessionId, SessionParams,
};
use regs::{CipherCode, DigestCode, SessionBlock};
use rustix::time::{ClockId, clock_gettime};
use sim::input::Input;
use sim::recorder::Level;
use sim::scenario::Scenario;
use sim::schedule::{Actor, Schedule};
use sim::world::{self, RunOptions};
use tests::Rig;
use timebase::Time;

const ROUNDS: usize = 15;
const ROUND_TIME: Duration = Duration::from_millis(60);

/// Measures one round of a quantity.
type Measure = Box<dyn FnMut() -> f64>;

/// One row of the table.
struct Row {
    name: &'static str,
    unit: &'static str,
    goal: Goal,
    measure: Measure,
}

/// What a row is held against.
#[derive(Clone, Copy)]
enum Goal {
    AtMost(f64),
    AtLeast(f64),
    None,
}

fn main() {
    let filter = std::env::args().nth(1);
    let wanted = |name: &str| filter.as_ref().is_none_or(|it| name.contains(it.as_str()));
    let mut rows = rows();
    rows.retain(|row| wanted(row.name));
    rows.extend(peer::rows(wanted));
    rows.extend(socket::rows(wanted));
    let mut samples = vec![Vec::with_capacity(ROUNDS); rows.len()];
    for round in 0..=ROUNDS {
        for (row, samples) in rows.iter_mut().zip(&mut samples) {
            let value = (row.measure)();
            // The first round warms caches and buffers.
            if round > 0 {
                samples.push(value);
            }
        }
    }
    println!(
        "{:<58} {:>10} {:>21}  goal",
        "quantity", "median", "p10 to p90"
    );
    for (row, samples) in rows.iter().zip(&mut samples) {
        samples.sort_by(f64::total_cmp);
        let at = |percent: usize| samples[(samples.len() - 1) * percent / 100];
        let goal = match row.goal {
            Goal::AtMost(most) => verdict(at(50) <= most, format!("<= {most}")),
            Goal::AtLeast(least) => verdict(at(50) >= least, format!(">= {least}")),
            Goal::None => String::new(),
        };
        let range = format!("{:.2} to {:.2}", at(10), at(90));
        println!(
            "{:<58} {:>10.2} {range:>21}  {goal} {}",
            row.name,
            at(50),
            row.unit
        );
    }
}

fn verdict(met: bool, goal: String) -> String {
    format!("{goal} {}", if met { "met" } else { "MISSED" })
}

fn row(name: &'static str, unit: &'static str, goal: Goal, measure: Measure) -> Row {
    Row {
        name,
        unit,
        goal,
        measure,
    }
}

fn rows() -> Vec<Row> {
    let mut rows = stack_rows();
    rows.extend(world_rows());
    rows.extend(scale::rows());
    rows.extend(threads::rows());
    rows.extend(traced::rows());
    rows
}

/// What the whole way costs, and how much of the bare library is left.
fn stack_rows() -> Vec<Row> {
    let way = |name, goal, depth, level| row(name, "ns/request", goal, whole_way(depth, level));
    let bulk = |name, len| row(name, "", Goal::AtLeast(0.90), bulk_efficiency(len));
    let null_32_on = "whole way, null 64 B, 32 in flight, digest on";
    let null_32_off = "whole way, null 64 B, 32 in flight, digest off";
    let null_1_on = "whole way, null 64 B, 1 in flight, digest on";
    let ready_made = "engine, AES-256-GCM 4 KiB, ours / aes-gcm crate";
    vec![
        way(null_32_on, Goal::AtMost(60.0), 32, Level::Digest),
        way(null_32_off, Goal::None, 32, Level::Off),
        way(null_1_on, Goal::None, 1, Level::Digest),
        bulk(
            "bulk efficiency, AES-256-GCM 4 KiB, stack / library",
            4 << 10,
        ),
        bulk(
            "bulk efficiency, AES-256-GCM 16 KiB, stack / library",
            16 << 10,
        ),
        row(ready_made, "", Goal::None, engine_ratio(4 << 10)),
        row(
            "stack, AES-256-GCM 16 KiB",
            "GB/s",
            Goal::None,
            stack_rate(16 << 10),
        ),
    ]
}

/// How fast the event kernel and a whole world go.
fn world_rows() -> Vec<Row> {
    let rate = "M events/s";
    let ratio = "kernel, 1,000 pending, ours / BinaryHeap";
    vec![
        row("kernel, 16 pending", rate, Goal::None, kernel_rate(16)),
        row("kernel, 1,000 pending", rate, Goal::None, kernel_rate(1000)),
        row(ratio, "", Goal::None, kernel_ratio(1000)),
        row(
            "simulated time, failover",
            "virtual s / s",
            Goal::None,
            simulated_time(),
        ),
    ]
}

/// Runs `work` for a round and gives nanoseconds per unit; `work` returns the units it did.
///
/// The clock on the wall ends the round. What is counted is the time of the processor: a busy
/// machine gives less of it to who asks for all of it than to who waits in between, as a peer does.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn ns_per_unit(mut work: impl FnMut() -> u64) -> f64 {
    let start = Instant::now();
    let before = processor_time();
    let mut units = 0;
    while start.elapsed() < ROUND_TIME {
        units += work();
    }
    (processor_time() - before).as_nanos() as f64 / units as f64
}

/// What this thread has had of a processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a time after the thread's beginning")
}

fn params(mode: Mode, cipher: Cipher, key: &[u8], iv_len: usize) -> SessionParams {
    SessionParams {
        cipher: Some(cipher),
        cipher_key_len: key.len(),
        cipher_key: (!key.is_empty()).then(|| Key::new(key)),
        iv_len,
        ..SessionParams::of(mode)
    }
}

/// A rig that keeps `depth` requests going.
struct Flow {
    rig: Rig,
    /// Requests between two bursts. Both queues keep their memory.
    idle: VecDeque<Box<Request>>,
    ready: VecDeque<Box<Request>>,
}

impl Flow {
    fn new(
        depth: u32,
        level: Level,
        params: SessionParams,
        operation: Operation,
        len: usize,
    ) -> Self {
        let mut rig = Rig::new(Profile::reference(), 256, depth.min(32), level);
        let session: SessionId = rig.open(params);
        let idle = (0..depth)
            .map(|_| {
                let mut request = rig.request(session, operation, len);
                request.digest_start = if operation == Operation::EncryptCompute {
                    len
                } else {
                    0
                };
                request.flags = RequestFlags::default();
                if operation == Operation::EncryptCompute {
                    request.iv = Some([7; 64]);
                    request.payload = Region { start: 0, len };
                }
                request
            })
            .collect();
        Self {
            rig,
            idle,
            ready: VecDeque::new(),
        }
    }

    /// Dispatches every idle request and waits for all callbacks; returns how many there were.
    fn burst(&mut self) -> u64 {
        let count = self.idle.len();
        std::mem::swap(&mut self.idle, &mut self.ready);
        let now = self.rig.now();
        let rejected = self.rig.framework.dispatch_batch(now, &mut self.ready);
        assert!(rejected.is_ok(), "{rejected:?}");
        while self.idle.len() < count {
            assert!(
                self.rig.step(),
                "requests outstanding and nothing left to happen"
            );
            while let Some(finished) = self.rig.framework.take_finished() {
                assert!(finished.result.is_ok(), "{:?}", finished.result);
                self.idle.push_back(finished.request);
            }
        }
        count as u64
    }
}

fn whole_way(depth: u32, level: Level) -> Measure {
    let params = params(Mode::Cipher, Cipher::Null, &[], 0);
    let mut flow = Flow::new(depth, level, params, Operation::Encrypt, 64);
    Box::new(move || ns_per_unit(|| (0..64).map(|_| flow.burst()).sum()))
}

fn gcm_flow(len: usize) -> Flow {
    let params = params(Mode::Aead, Cipher::AesGcm, &[5; 32], 12);
    Flow::new(32, Level::Digest, params, Operation::EncryptCompute, len)
}

/// The stack beside the same library called directly on buffers like its own.
fn bulk_efficiency(len: usize) -> Measure {
    let mut flow = gcm_flow(len);
    let mut library = direct_engine(len);
    Box::new(move || {
        let stack = ns_per_unit(|| flow.burst());
        library() / stack
    })
}

/// The card's engine called directly, beside a ready-made AEAD over the same cipher library.
fn engine_ratio(len: usize) -> Measure {
    let mut engine = direct_engine(len);
    let cipher = Aes256Gcm::new(&[5; 32].into());
    let mut buffers = vec![vec![0_u8; len]; 32];
    Box::new(move || {
        let ours = engine();
        let ready_made = ns_per_unit(|| {
            for buffer in &mut buffers {
                let nonce = Nonce::from([7; 12]);
                let tag = cipher.encrypt_inout_detached(&nonce, &[], buffer.as_mut_slice().into());
                black_box(tag.expect("a short message"));
            }
            32
        });
        ready_made / ours
    })
}

/// Nanoseconds for one message of the card's engine, called directly on 32 buffers of the DMA pool
/// in turn as the stack does, so that caches see the same.
fn direct_engine(len: usize) -> Measure {
    let mut block = SessionBlock::new(CipherCode::AesGcm, DigestCode::None);
    (block.digest_len, block.iv_len) = (16, 12);
    block.set_keys(&[5; 32], &[]).expect("keys that fit");
    let context = Context::new(&block).expect("parameters the engine serves");
    let pool = Pool::new(64 << 20).expect("memory for the pool");
    let take = |_| pool.take(len + 64).expect("pool memory");
    let mut buffers: Vec<_> = (0..32).map(take).collect();
    Box::new(move || {
        ns_per_unit(|| {
            for buffer in &mut buffers {
                let mut digest = [0; 16];
                let job = Job {
                    operation: engine::Operation::Seal,
                    iv: &[7; 16],
                    aad: &[],
                    esn: [0; 4],
                    payload: &mut buffer[..len],
                    digest: &mut digest,
                };
                assert!(context.process(job).is_ok());
                black_box(digest);
            }
            32
        })
    })
}

fn stack_rate(len: usize) -> Measure {
    let mut flow = gcm_flow(len);
    Box::new(move || len as f64 / ns_per_unit(|| flow.burst()))
}

/// One event: take the next appointment, make another for the same actor.
fn kernel_ns(pending: u32) -> Measure {
    let mut schedule = Schedule::new(pending, 1);
    let mut state = 1_u64;
    for actor in 0..pending {
        schedule.set(Actor(actor), Time::from_ps(delay(&mut state)));
    }
    Box::new(move || {
        ns_per_unit(|| {
            for _ in 0..1000 {
                let (at, actor) = schedule.next_due().expect("every actor has an appointment");
                schedule.set(actor, Time::from_ps(at.as_ps() + delay(&mut state)));
            }
            1000
        })
    })
}

fn kernel_rate(pending: u32) -> Measure {
    let mut measure = kernel_ns(pending);
    Box::new(move || 1000.0 / measure())
}

fn kernel_ratio(pending: u32) -> Measure {
    let mut ours = kernel_ns(pending);
    let mut heap = BinaryHeap::new();
    let mut state = 1_u64;
    for number in 0..u64::from(pending) {
        heap.push(std::cmp::Reverse((delay(&mut state), number, 0_u32)));
    }
    let mut number = u64::from(pending);
    Box::new(move || {
        let peer = ns_per_unit(|| {
            for _ in 0..1000 {
                let std::cmp::Reverse((at, _, actor)) = heap.pop().expect("pending events");
                number += 1;
                heap.push(std::cmp::Reverse((at + delay(&mut state), number, actor)));
            }
            1000
        });
        peer / ours()
    })
}

/// A delay of 1 to 2,000 ticks from a cheap generator.
fn delay(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    1 + (*state >> 33) % 2000
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures wall time")]
fn simulated_time() -> Measure {
    let scenario = Scenario::builtin("failover").expect("a built-in scenario");
    let options = RunOptions::new(1, Input::project());
    Box::new(move || {
        let start = Instant::now();
        let outcome = world::run(&scenario, &options, &mut |_| {}).expect("a run that begins");
        outcome.summary.elapsed_ps as f64 / 1e12 / start.elapsed().as_secs_f64()
    })
}
