//! How fast a real device's profile is simulated, and what many cards and many sessions cost.

use std::time::Instant;

use device_model::Profile;
use framework::{
    Cipher, DriverChoice, Key, MigrationPolicy, Mode, Operation, Request, SessionFlags, SessionId,
    SessionParams,
};
use sim::profile::{Device, Load, Machine, Speed};
use sim::recorder::Level;
use tests::Rig;

use super::{Goal, Measure, ROUND_TIME, Row, ns_per_unit, params, processor_time, row};

/// Sessions of the rows about many.
const MANY: u32 = 1 << 20;
/// Sessions whose memory is measured.
const WEIGHED: u32 = 1 << 17;

pub(super) fn rows() -> Vec<Row> {
    let pace = |name, suite, bytes, timing_only, goal| {
        let load = load(suite, bytes, 1);
        row(name, "virtual s / s", goal, pace(load, timing_only))
    };
    let least = Goal::AtLeast;
    vec![
        pace(
            "qat-c62x, AES-128-CBC 64 B, timing only",
            "aes-128-cbc",
            64,
            true,
            least(6.0),
        ),
        pace(
            "qat-c62x, AES-128-GCM 64 B, timing only",
            "aes-128-gcm",
            64,
            true,
            least(6.0),
        ),
        pace(
            "qat-c62x, AES-128-GCM 2 KiB, timing only",
            "aes-128-gcm",
            2048,
            true,
            least(6.0),
        ),
        pace(
            "qat-c62x, AES-128-GCM 2 KiB, with the work",
            "aes-128-gcm",
            2048,
            false,
            Goal::None,
        ),
        row("64 cards / 1 card, requests/s", "", least(0.9), crowd()),
        row(
            "random session of 1,048,576, null 64 B, added",
            "ns/request",
            Goal::AtMost(40.0),
            many_sessions(),
        ),
        row(
            "memory of a session, AES-128-GCM",
            "bytes",
            Goal::AtMost(512.0),
            weight(),
        ),
    ]
}

fn load(suite: &str, bytes: u32, cards: u32) -> Load {
    Load {
        suite: suite.parse().expect("a suite"),
        cards,
        threads: cards,
        depth: 128,
        burst: 32,
        bytes,
        aad: 0,
        shared_link: false,
    }
}

fn machine(load: Load) -> Machine {
    let device = Device::builtin("qat-c62x").expect("a built-in profile");
    Machine::new(&device.profile, device.host, load).expect("a machine")
}

/// Runs `machine` for a round; gives what it did, and in how many seconds of the processor.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn drive(machine: &mut Machine) -> (Speed, f64) {
    let (start, busy) = (Instant::now(), processor_time());
    let before = machine.total();
    while start.elapsed() < ROUND_TIME {
        machine.measure().expect("requests that end well");
    }
    // Not what was measured, but all of it: the first part of each run takes as long.
    let after = machine.total();
    let speed = Speed {
        requests: after.requests - before.requests,
        elapsed: after.elapsed - before.elapsed,
    };
    (speed, (processor_time() - busy).as_secs_f64())
}

/// Virtual seconds of a second.
fn pace(load: Load, timing_only: bool) -> Measure {
    let mut machine = None;
    Box::new(move || {
        let machine = machine.get_or_insert_with(|| {
            let mut machine = self::machine(load);
            machine.set_timing_only(timing_only);
            machine
        });
        let (speed, seconds) = drive(machine);
        speed.elapsed.as_ps() as f64 / 1e12 / seconds
    })
}

/// Requests a second of 64 cards in one thread, beside those of one.
fn crowd() -> Measure {
    let mut machines = None;
    Box::new(move || {
        let (one, many) = machines.get_or_insert_with(|| {
            let machine = |cards| self::machine(load("aes-128-cbc", 64, cards));
            (machine(1), machine(64))
        });
        let rate = |machine: &mut Machine| {
            let (speed, seconds) = drive(machine);
            speed.requests as f64 / seconds
        };
        rate(many) / rate(one)
    })
}

/// A card that takes `capacity` sessions.
fn roomy(capacity: u32) -> Profile {
    Profile {
        session_capacity: capacity,
        ..Profile::reference()
    }
}

fn open(rig: &mut Rig, params: &SessionParams, count: u32) -> Vec<SessionId> {
    let mut sessions = Vec::with_capacity(count as usize);
    for number in 0..count {
        let now = rig.now();
        let choice = DriverChoice::any();
        let policy = MigrationPolicy::Report;
        let session = rig
            .framework
            .open_session(now, params.clone(), choice, policy);
        sessions.push(session.expect("room for the session"));
        if number % 32 == 31 {
            while rig.step() {}
        }
    }
    while rig.step() {}
    sessions
}

/// What choosing a session by chance adds to a request, beside always the same.
fn many_sessions() -> Measure {
    let mut flow = None;
    Box::new(move || {
        let flow = flow.get_or_insert_with(Crowd::new);
        let same = ns_per_unit(|| flow.burst(|_| 0));
        let any = ns_per_unit(|| flow.burst(|state| *state >> 33));
        any - same
    })
}

/// A rig with many sessions of the null cipher, and 32 requests for any of them.
struct Crowd {
    rig: Rig,
    sessions: Vec<SessionId>,
    idle: std::collections::VecDeque<Box<Request>>,
    ready: std::collections::VecDeque<Box<Request>>,
    state: u64,
}

impl Crowd {
    fn new() -> Self {
        let mut rig = Rig::new(roomy(MANY), 256, 32, Level::Off);
        let params = params(Mode::Cipher, Cipher::Null, &[], 0);
        let sessions = open(&mut rig, &params, MANY);
        let request = |_| rig.request(sessions[0], Operation::Encrypt, 64);
        let idle = (0..32).map(request).collect();
        Self {
            rig,
            sessions,
            idle,
            ready: std::collections::VecDeque::new(),
            state: 1,
        }
    }

    /// Sends every request to the session that `choose` says, and waits for all of them.
    fn burst(&mut self, choose: impl Fn(&u64) -> u64) -> u64 {
        let count = self.idle.len();
        for mut request in self.idle.drain(..) {
            self.state = self
                .state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let chosen = choose(&self.state) as usize % self.sessions.len();
            request.session = self.sessions[chosen];
            self.ready.push_back(request);
        }
        let now = self.rig.now();
        let rejected = self.rig.framework.dispatch_batch(now, &mut self.ready);
        assert!(rejected.is_ok(), "{rejected:?}");
        while self.idle.len() < count {
            assert!(self.rig.step(), "requests in flight");
            while let Some(finished) = self.rig.framework.take_finished() {
                assert!(finished.result.is_ok(), "{:?}", finished.result);
                self.idle.push_back(finished.request);
            }
        }
        count as u64
    }
}

/// Resident bytes that a session of framework, driver and card takes.
fn weight() -> Measure {
    let mut weighed = None;
    Box::new(move || {
        *weighed.get_or_insert_with(|| {
            let mut rig = Rig::new(roomy(WEIGHED), 256, 32, Level::Off);
            let params = SessionParams {
                flags: SessionFlags::default(),
                cipher_key: Some(Key::new(&[5; 16])),
                ..params(Mode::Aead, Cipher::AesGcm, &[5; 16], 12)
            };
            let before = resident();
            let sessions = open(&mut rig, &params, WEIGHED);
            let grown = resident() - before;
            let own = (sessions.len() * size_of::<SessionId>()) as f64;
            (grown - own) / f64::from(WEIGHED)
        })
    })
}

/// Bytes of memory that this process has in use; zero where the system does not say.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1024.0
}
