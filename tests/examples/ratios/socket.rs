//! What a socket costs: the card in a process of its own beside bare event descriptors, and the
//! whole stack over a socket beside the same stack in one process.
//!
//! Here time is that on the wall: two processes take turns, and what one waits for the other is
//! what is asked. Where a wake-up is most of it, both ends are kept on one CPU: a scheduler that is
//! free puts them on one or on two as it likes, and the second costs several times the first.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use dma::{Coherent, Pool};
use driver::vfio_user::VfioUser;
use driver::{CardDriver, Direction, DriverConfig, Transport};
use framework::{
    Buffer, Cipher, DriverChoice, DriverId, Framework, Limits, MigrationPolicy, Mode, Operation,
    Region, Request, SessionId, SessionParams,
};
use regs::{Doorbell, Opcode, Register, RingControl, RingId, RingRegister, Slot};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use sim::recorder::Level;
use timebase::{Span, Time};

use super::{Flow, Goal, Measure, ROUND_TIME, Row, params, row};

/// Requests in flight of the rows about throughput.
const MANY: usize = 64;
/// Bytes of payload of these.
const BULK: usize = 4096;
/// Entries of the ring whose doorbell is timed.
const ENTRIES: u32 = 64;

pub(super) fn rows(wanted: impl Fn(&str) -> bool) -> Vec<Row> {
    let single = "socket, 1 in flight, over the socket / in one process";
    let many = "socket, 64 in flight, over the socket / in one process";
    type Make = fn() -> Measure;
    let rows: [(&'static str, &'static str, Make); 9] = [
        ("socket, bare eventfd there and back, one CPU", "µs", bare),
        ("socket, doorbell to interrupt, one CPU", "µs", doorbell),
        (
            "socket, doorbell to interrupt / bare eventfd, one CPU",
            "",
            doorbell_ratio,
        ),
        ("socket, null 64 B, 1 in flight", "µs", || over(1)),
        ("socket, in one process, 1 in flight", "µs", || within(1)),
        (single, "", || beside(1)),
        ("socket, GCM 4 KiB, 64 in flight", "µs", || over(MANY)),
        ("socket, in one process, 64 in flight", "µs", || {
            within(MANY)
        }),
        (many, "", || beside(MANY)),
    ];
    let rows = rows.into_iter().filter(|(name, ..)| wanted(name));
    rows.map(|(name, unit, make)| row(name, unit, Goal::None, make()))
        .collect()
}

/// Microseconds of a unit of `work`, by the clock on the wall.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn us_per_unit(mut work: impl FnMut() -> u64) -> f64 {
    let start = Instant::now();
    let mut units = 0;
    while start.elapsed() < ROUND_TIME {
        units += work();
    }
    start.elapsed().as_secs_f64() * 1e6 / units as f64
}

fn wait(end: BorrowedFd<'_>) {
    let mut polled = [PollFd::from_borrowed_fd(end, PollFlags::IN)];
    poll(&mut polled, None).expect("a descriptor to wait for");
}

fn signal(end: &OwnedFd, value: u64) {
    rustix::io::write(end, &value.to_ne_bytes()).expect("a descriptor");
}

fn take(end: &OwnedFd) -> u64 {
    let mut value = [0; 8];
    rustix::io::read(end, &mut value).expect("a value");
    u64::from_ne_bytes(value)
}

/// As long as it lives, this thread stays on the first of its CPUs, as do threads and processes
/// that it makes.
struct OnOneCpu(CpuSet);

impl OnOneCpu {
    fn new() -> Self {
        let before = sched_getaffinity(None).expect("the CPUs of this thread");
        let first = (0..CpuSet::MAX_CPU).find(|&cpu| before.is_set(cpu));
        let mut one = CpuSet::new();
        one.set(first.expect("a CPU that this runs on"));
        sched_setaffinity(None, &one).expect("a CPU of its own");
        Self(before)
    }
}

impl Drop for OnOneCpu {
    fn drop(&mut self) {
        let _ = sched_setaffinity(None, &self.0);
    }
}

/// Two event descriptors, and a thread that answers one by the other. Told the largest number, it
/// ends.
struct Echo {
    there: OwnedFd,
    back: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

const THE_END: u64 = 1 << 60;

impl Echo {
    fn new() -> Self {
        let fresh = || eventfd(0, EventfdFlags::CLOEXEC).expect("a descriptor");
        let (there, back) = (fresh(), fresh());
        let twins = (there.try_clone(), back.try_clone());
        let thread = thread::spawn(move || {
            let (Ok(there), Ok(back)) = twins else { return };
            loop {
                wait(there.as_fd());
                if take(&there) >= THE_END {
                    return;
                }
                signal(&back, 1);
            }
        });
        Self {
            there,
            back,
            thread: Some(thread),
        }
    }

    fn round(&self) {
        signal(&self.there, 1);
        wait(self.back.as_fd());
        take(&self.back);
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        signal(&self.there, THE_END);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn bare() -> Measure {
    let _pinned = OnOneCpu::new();
    let echo = Echo::new();
    Box::new(move || {
        let _pinned = OnOneCpu::new();
        us_per_unit(|| {
            echo.round();
            1
        })
    })
}

/// A server in a process of its own.
struct Server {
    process: Child,
    socket: PathBuf,
}

impl Server {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringside-bench-{}-{number}.sock", std::process::id());
        let socket = std::env::temp_dir().join(name);
        let mut serve = Command::new(tests::program());
        serve.args(["serve", "vfio-user", "--socket"]).arg(&socket);
        let serve = serve.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = serve.spawn().expect("a process");
        let mut said = String::new();
        let output = process.stdout.take().expect("a pipe");
        let read = BufReader::new(output).read_line(&mut said);
        assert!(read.is_ok() && !said.is_empty(), "a server that starts");
        Self { process, socket }
    }

    fn connect(&self, pool: &Pool) -> VfioUser {
        VfioUser::connect(&self.socket, pool.clone()).expect("a server")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// A ring pair of the card whose every command does nothing.
struct Bell {
    card: VfioUser,
    tail: u32,
    /// Memory of the rings, and the server, go after the card.
    _rings: [Coherent; 2],
    _server: Server,
}

impl Bell {
    const RING: RingId = RingId(1);

    fn new() -> Self {
        let server = Server::new();
        let pool = Pool::shared(1 << 20).expect("memory");
        let mut card = server.connect(&pool);
        let len = ENTRIES as usize * regs::COMMAND_LEN;
        let rings = [(); 2].map(|()| pool.coherent(len).expect("memory"));
        for slot in 0..ENTRIES as usize {
            let command = regs::Command {
                opcode: Opcode::Nop as u8,
                ..regs::Command::default()
            };
            rings[0].write(slot * regs::COMMAND_LEN, &command.to_bytes());
        }
        let both = Direction::Bidirectional;
        let at = rings
            .each_ref()
            .map(|ring| card.share(ring, both).expect("a window").0);
        let settings = [
            (RingRegister::CommandBaseLow, at[0] as u32),
            (RingRegister::CommandBaseHigh, (at[0] >> 32) as u32),
            (RingRegister::CompletionBaseLow, at[1] as u32),
            (RingRegister::CompletionBaseHigh, (at[1] >> 32) as u32),
            (RingRegister::Entries, ENTRIES),
            (RingRegister::RingVector, 1),
            (
                RingRegister::RingControl,
                RingControl::new().with_enabled(true).into_bits(),
            ),
        ];
        for (register, value) in settings {
            card.write(Self::RING.register(register), value);
        }
        let enabled = regs::Control::new().with_enabled(true).into_bits();
        card.write(Register::Control.offset(), enabled);
        Self {
            card,
            tail: 0,
            _rings: rings,
            _server: server,
        }
    }

    /// Rings, waits for the interrupt, and acknowledges.
    fn round(&mut self) {
        self.tail = (self.tail + 1) % ENTRIES;
        self.card.write(Self::RING.command_doorbell(), self.tail);
        while self.card.take_interrupts() & 0b10 == 0 {
            let end = self.card.ends().next().expect("a card that is there");
            wait(end);
        }
        let (slot, arm) = (Slot(self.tail), true);
        let acknowledged = Doorbell { slot, arm }.into_bits();
        let doorbell = Self::RING.completion_doorbell();
        self.card.write(doorbell, acknowledged);
    }
}

fn doorbell() -> Measure {
    let _pinned = OnOneCpu::new();
    let mut bell = Bell::new();
    Box::new(move || {
        let _pinned = OnOneCpu::new();
        us_per_unit(|| {
            bell.round();
            1
        })
    })
}

fn doorbell_ratio() -> Measure {
    let (mut ours, mut bare) = (doorbell(), bare());
    Box::new(move || ours() / bare())
}

/// What is sent with so many in flight: one by one it is the fixed cost that counts.
fn load(in_flight: usize) -> (SessionParams, Operation, usize) {
    match in_flight {
        1 => (
            params(Mode::Cipher, Cipher::Null, &[], 0),
            Operation::Encrypt,
            64,
        ),
        _ => (
            params(Mode::Aead, Cipher::AesGcm, &[5; 16], 12),
            Operation::EncryptCompute,
            BULK,
        ),
    }
}

/// The whole stack over a card in another process.
struct Stack {
    start: Instant,
    framework: Framework<CardDriver<VfioUser>>,
    card: DriverId,
    idle: VecDeque<Box<Request>>,
    _server: Server,
}

impl Stack {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    fn new(in_flight: usize) -> Self {
        let server = Server::new();
        let pool = Pool::shared(16 << 20).expect("memory");
        let config = DriverConfig {
            name: "card0".to_owned(),
            ring_pairs: 2,
            ring_entries: 256,
            coalesce_count: 8,
            coalesce_timer: Span::from_us(50),
            sessions: 64,
            // A machine that stands still for a moment is no card that hangs.
            watchdog: Span::from_ms(20_000),
            reset_timeout: Span::from_ms(20_000),
            ..DriverConfig::default()
        };
        let driver = CardDriver::new(server.connect(&pool), config).expect("a card");
        let mut framework = Framework::with_number(Limits::default(), 0);
        let card = framework.register(Box::new(driver));
        let mut stack = Self {
            start: Instant::now(),
            framework,
            card,
            idle: VecDeque::new(),
            _server: server,
        };
        let (params, operation, len) = load(in_flight);
        let (choice, policy) = (DriverChoice::any(), MigrationPolicy::Report);
        let now = stack.now();
        let session = stack.framework.open_session(now, params, choice, policy);
        let session = session.expect("a card that serves it");
        let requests = (0..in_flight).map(|_| request(&pool, session, operation, len));
        stack.idle.extend(requests);
        stack
    }

    fn now(&self) -> Time {
        Time::from_ps(self.start.elapsed().as_nanos() as u64 * 1000)
    }

    /// Dispatches every idle request and waits for all of them; how many there were.
    fn burst(&mut self) -> u64 {
        let count = self.idle.len();
        for request in std::mem::take(&mut self.idle) {
            let now = self.now();
            let taken = self.framework.dispatch(now, request);
            assert!(taken.is_ok(), "{taken:?}");
        }
        while self.idle.len() < count {
            let now = self.now();
            self.framework.service(now, self.card);
            let before = self.idle.len();
            while let Some(finished) = self.framework.take_finished() {
                assert!(finished.result.is_ok(), "{:?}", finished.result);
                self.idle.push_back(finished.request);
            }
            if self.idle.len() == before {
                self.sleep();
            }
        }
        count as u64
    }

    fn sleep(&self) {
        let now = self.now();
        let until = self.framework.deadline().min(now + Span::from_ms(100));
        let card = self
            .framework
            .driver(self.card)
            .expect("a card that is there");
        let ends: Vec<_> = card.transport().ends().collect();
        if until > now {
            driver::wait_for(&ends, until - now);
        }
    }
}

fn request(pool: &Pool, session: SessionId, operation: Operation, len: usize) -> Box<Request> {
    let buffer = pool.take(len + 64).expect("memory");
    let mut request = Request::new(session, operation, Buffer::Pooled(buffer));
    request.payload = Region { start: 0, len };
    if operation == Operation::EncryptCompute {
        request.digest_start = len;
        request.iv = Some([7; 64]);
    }
    request
}

fn over(in_flight: usize) -> Measure {
    let mut stack = Stack::new(in_flight);
    Box::new(move || us_per_unit(|| stack.burst()))
}

/// The same in one process and in virtual time, which costs real time too.
fn within(in_flight: usize) -> Measure {
    let (params, operation, len) = load(in_flight);
    let mut flow = Flow::new(in_flight as u32, Level::Off, params, operation, len);
    Box::new(move || us_per_unit(|| flow.burst()))
}

fn beside(in_flight: usize) -> Measure {
    let (mut over, mut within) = (over(in_flight), within(in_flight));
    Box::new(move || over() / within())
}
