//! Shared helpers of the tests and benchmarks that cross crates.

pub mod hostile;

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::OnceLock;

use device_model::{Card, Profile};
use dma::Pool;
use driver::{AdminError, AdminHandle, CardDriver, DriverConfig, Ticket};
use framework::{
    Buffer, DriverChoice, DriverId, Framework, Limits, MigrationPolicy, Operation, Region, Request,
    SessionId, SessionParams,
};
use sim::checker::Checkers;
use sim::link::{Clock, Delays, LinkTransport, Port};
use sim::recorder::{Level, Recorder};
use sim::schedule::{Actor, Schedule};
use timebase::{Span, Time};

const CARD: Actor = Actor(0);
const DRIVER: Actor = Actor(1);

/// The program `ringside`, built as this test is, once.
///
/// # Panics
/// If it cannot be built.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built(&["--bin", "ringside"]).join("ringside"))
}

/// The static library for C, built as this test is, once.
///
/// # Panics
/// If it cannot be built.
pub fn static_library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| built(&["--lib"]).join("libringside_world.a"))
}

/// Has cargo build what `which` names. Returns the folder it is in.
fn built(which: &[&str]) -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let folder = test.ancestors().nth(2).expect("a folder of binaries");
    let mut build = Command::new(env!("CARGO"));
    // As the whole workspace is built, so that nothing is built twice.
    build.args(["build", "--quiet", "--workspace"]).args(which);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    build
        .arg("--target-dir")
        .arg(folder.parent().expect("a target folder"));
    if folder.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().expect("cargo").success());
    folder.to_owned()
}

/// One card, its driver and a framework on a virtual clock, without consumers: the whole way from
/// dispatch to callback, for benchmarks and tests that look at single requests.
#[derive(Debug)]
pub struct Rig {
    /// Virtual time.
    pub clock: Clock,
    /// The slot with the card.
    pub port: Rc<RefCell<Port>>,
    /// The framework; its one driver is the card's.
    pub framework: Framework,
    /// The card's driver.
    pub driver: DriverId,
    /// DMA memory.
    pub pool: Pool,
    /// Events and their digest.
    pub recorder: Rc<RefCell<Recorder>>,
    schedule: Schedule,
    /// Appointments kept so far.
    pub steps: u64,
    /// Asks the card what the framework has no word for.
    pub admin: AdminHandle,
}

impl Rig {
    /// A rig with a card of `profile`, rings of `ring_entries` and interrupts every
    /// `coalesce_count` completions.
    ///
    /// # Panics
    /// If the card does not come up.
    #[must_use]
    pub fn new(profile: Profile, ring_entries: u32, coalesce_count: u32, level: Level) -> Self {
        let card = Card::new(profile).expect("a valid profile");
        Self::around(card, ring_entries, coalesce_count, level)
    }

    /// A rig with this card.
    ///
    /// # Panics
    /// If the card does not come up.
    #[must_use]
    pub fn around(card: Card, ring_entries: u32, coalesce_count: u32, level: Level) -> Self {
        let clock: Clock = Rc::new(Cell::new(Time::ZERO));
        let recorder = Rc::new(RefCell::new(Recorder::new(level, Checkers::default())));
        let delays = Delays::new((Span::ZERO, Span::ZERO), Span::ZERO, 0);
        let port = Port::new(0, Rc::clone(&clock), Rc::clone(&recorder), delays);
        let port = Rc::new(RefCell::new(port));
        let pool = Pool::new(64 << 20).expect("memory for the pool");
        let config = DriverConfig {
            name: "card0".to_owned(),
            ring_pairs: card.profile().ring_pairs,
            ring_entries,
            coalesce_count,
            sessions: card.profile().session_capacity,
            coalesce_timer: Span::from_us(5),
            ..DriverConfig::default()
        };
        port.borrow_mut().plug(card);
        let alive = Rc::new(Cell::new(true));
        let transport = LinkTransport::new(Rc::clone(&port), pool.clone(), alive);
        let card_driver = CardDriver::new(transport, config).expect("the driver starts");
        let admin = card_driver.admin_handle();
        let mut framework = Framework::new(Limits {
            event_len: 0,
            ..Limits::default()
        });
        let driver = framework.register(Box::new(card_driver));
        let schedule = Schedule::new(2, 0);
        let mut rig = Self {
            clock,
            port,
            framework,
            driver,
            pool,
            recorder,
            schedule,
            steps: 0,
            admin,
        };
        rig.schedule.set(DRIVER, Time::ZERO);
        rig
    }

    /// Virtual time now.
    #[must_use]
    pub fn now(&self) -> Time {
        self.clock.get()
    }

    /// Keeps the next appointment; false if there is none.
    #[inline]
    pub fn step(&mut self) -> bool {
        self.settle();
        let Some((at, actor)) = self.schedule.next_due() else {
            return false;
        };
        self.steps += 1;
        self.clock.set(at);
        if actor == CARD {
            self.port.borrow_mut().advance();
        } else {
            self.framework.service(at, self.driver);
        }
        true
    }

    #[inline]
    fn settle(&mut self) {
        let now = self.now();
        let port = self.port.borrow();
        let wants = self
            .framework
            .driver_deadline(self.driver)
            .min(port.interrupt_deadline());
        self.schedule.set(CARD, port.card_deadline().max(now));
        self.schedule.at_latest(DRIVER, wants.max(now));
    }

    /// Opens a session and waits until it can be used.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub fn open(&mut self, params: SessionParams) -> SessionId {
        let now = self.now();
        let session = self
            .framework
            .open_session(now, params, DriverChoice::any(), MigrationPolicy::Report)
            .expect("the card serves the session");
        for _ in 0..1000 {
            if !self.step() {
                break;
            }
        }
        session
    }

    /// Waits for the card's answer.
    ///
    /// # Errors
    /// [`AdminError`] if it gives none.
    ///
    /// # Panics
    /// If nothing is left to happen, and the answer is not there.
    pub fn answer<T>(&mut self, ticket: &Ticket<T>) -> Result<T, AdminError> {
        loop {
            if let Some(answer) = ticket.take() {
                return answer;
            }
            assert!(self.step(), "an answer, or something left to happen");
        }
    }

    /// A request on a fresh pooled buffer: `len` bytes of payload, then room for a digest.
    ///
    /// # Panics
    /// If the pool is empty.
    #[must_use]
    pub fn request(&self, session: SessionId, operation: Operation, len: usize) -> Box<Request> {
        let buffer = self.pool.take(len + 64).expect("pool memory");
        let mut request = Request::new(session, operation, Buffer::Pooled(buffer));
        request.payload = Region { start: 0, len };
        request.digest_start = 0;
        request
    }
}
