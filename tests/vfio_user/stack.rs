//! The whole stack with the card behind a socket.

use std::path::Path;
use std::time::{Duration, Instant};

use device_model::Profile;
use dma::Pool;
use driver::vfio_user::VfioUser;
use driver::{CardDriver, DriverConfig, StatsHandle};
use framework::{
    Buffer, Cipher, Digest, DriverChoice, DriverId, Framework, Key, Limits, MigrationPolicy, Mode,
    Operation, Region, Request, RequestError, SessionId, SessionParams,
};
use timebase::{Span, Time};

use crate::between::{Between, Fate, Memory};
use crate::served::{Doorbells, Served};

/// Longest that a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A framework in real time, with cards behind sockets.
pub(crate) struct Stack {
    start: Instant,
    pub(crate) framework: Framework,
    drivers: Vec<DriverId>,
    stats: Vec<StatsHandle>,
    pool: Pool,
}

impl Stack {
    #[expect(
        clippy::disallowed_methods,
        reason = "a card on a socket lives in real time"
    )]
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            framework: Framework::new(Limits::default()),
            drivers: Vec::new(),
            stats: Vec::new(),
            pool: Pool::shared(64 << 20).expect("memory"),
        }
    }

    fn now(&self) -> Time {
        Time::from_ps(self.start.elapsed().as_nanos() as u64 * 1000)
    }

    pub(crate) fn add(&mut self, path: &Path, name: &str) -> DriverId {
        let transport = VfioUser::connect(path, self.pool.clone()).expect("a server");
        let config = DriverConfig {
            name: name.to_owned(),
            ring_pairs: 2,
            ring_entries: 64,
            coalesce_count: 8,
            sessions: 64,
            coalesce_timer: Span::from_us(50),
            // A machine that stands still for a moment is no card that hangs.
            watchdog: Span::from_ms(20_000),
            reset_timeout: Span::from_ms(20_000),
            ..DriverConfig::default()
        };
        let driver = CardDriver::new(transport, config).expect("a driver that starts");
        self.stats.push(driver.stats_handle());
        let driver = self.framework.register(Box::new(driver));
        self.drivers.push(driver);
        driver
    }

    /// Lets every driver do what is due.
    pub(crate) fn turn(&mut self) {
        for index in 0..self.drivers.len() {
            let now = self.now();
            self.framework.service(now, self.drivers[index]);
        }
        std::thread::yield_now();
        assert!(self.start.elapsed() < PATIENCE, "everything ends in time");
    }

    pub(crate) fn open(&mut self, params: SessionParams) -> SessionId {
        let now = self.now();
        let (choice, policy) = (DriverChoice::any(), MigrationPolicy::Transparent);
        let session = self.framework.open_session(now, params, choice, policy);
        session.expect("a card that serves the session")
    }

    pub(crate) fn request(
        &self,
        session: SessionId,
        operation: Operation,
        payload: &[u8],
    ) -> Box<Request> {
        let mut buffer = self.pool.take(payload.len() + 64).expect("memory");
        buffer[..payload.len()].copy_from_slice(payload);
        let mut request = Request::new(session, operation, Buffer::Pooled(buffer));
        request.payload = Region {
            start: 0,
            len: payload.len(),
        };
        if matches!(operation, Operation::ComputeDigest) {
            request.digest_start = payload.len();
        } else {
            request.iv = Some([5; 64]);
        }
        request
    }

    /// Sends one request.
    pub(crate) fn dispatch(&mut self, request: Box<Request>) {
        let now = self.now();
        let taken = self.framework.dispatch(now, request);
        taken.expect("a request that is taken");
    }

    /// The driver of a card that is gone is not served any more.
    pub(crate) fn forget(&mut self, driver: DriverId) {
        self.drivers.retain(|&known| known != driver);
    }

    /// Sends `requests`; gives each back with how it ended, in the order in which they did.
    fn run(
        &mut self,
        requests: impl ExactSizeIterator<Item = Box<Request>>,
    ) -> Vec<(Box<Request>, Result<(), RequestError>)> {
        let count = requests.len();
        let mut done = Vec::new();
        for request in requests {
            let now = self.now();
            self.framework
                .dispatch(now, request)
                .expect("a request that is taken");
            self.turn();
            self.take(&mut done);
        }
        while done.len() < count {
            self.turn();
            self.take(&mut done);
        }
        done
    }

    pub(crate) fn take(&mut self, done: &mut Vec<(Box<Request>, Result<(), RequestError>)>) {
        while let Some(finished) = self.framework.take_finished() {
            done.push((finished.request, finished.result));
        }
    }
}

pub(crate) fn cbc() -> SessionParams {
    SessionParams {
        cipher: Some(Cipher::AesCbc),
        cipher_key_len: 16,
        cipher_key: Some(Key::new(&[7; 16])),
        iv_len: 16,
        ..SessionParams::of(Mode::Cipher)
    }
}

fn hmac() -> SessionParams {
    SessionParams {
        digest: Some(Digest::HmacSha256),
        auth_key_len: 32,
        auth_key: Some(Key::new(&[9; 32])),
        ..SessionParams::of(Mode::Digest)
    }
}

pub(crate) fn payload(number: usize) -> Vec<u8> {
    let len = 16 + number * 48 % 4096;
    (0..len).map(|at| (at * 31 + number) as u8).collect()
}

pub(crate) fn first_bytes(request: &Request, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    request.buffer.copy_out(0, &mut bytes);
    bytes
}

/// Encrypts or signs with the card on the socket `path`, and takes it back again.
pub(crate) fn encrypted_comes_back(path: &Path) {
    const COUNT: usize = 300;
    let mut stack = Stack::new();
    stack.add(path, "card0");
    let (ciphers, digests) = (stack.open(cbc()), stack.open(hmac()));
    let requests = (0..COUNT).map(|number| {
        let (session, operation) = match number % 3 {
            0 => (digests, Operation::ComputeDigest),
            _ => (ciphers, Operation::Encrypt),
        };
        let mut request = stack.request(session, operation, &payload(number));
        request.opaque = number as u64;
        request
    });
    let requests: Vec<_> = requests.collect();
    let done = stack.run(requests.into_iter());
    let back = done.into_iter().map(|(mut request, result)| {
        assert_eq!(result, Ok(()));
        let plain = payload(request.opaque as usize);
        let is_plain = first_bytes(&request, plain.len()) == plain;
        assert_eq!(is_plain, request.operation == Operation::ComputeDigest);
        request.operation = match request.operation {
            Operation::Encrypt => Operation::Decrypt,
            _ => Operation::VerifyDigest,
        };
        request
    });
    let mut seen = vec![0; COUNT];
    for (request, result) in stack.run(back) {
        assert_eq!(result, Ok(()));
        let plain = payload(request.opaque as usize);
        assert!(first_bytes(&request, plain.len()) == plain);
        seen[request.opaque as usize] += 1;
    }
    assert_eq!(seen, [1; COUNT]);
    // A doorbell that is lost costs no request, only the watchdog's time.
    let stalls = stack.stats.iter().map(|card| card.get().watchdog_firings);
    assert_eq!(stalls.sum::<u64>(), 0);
}

#[test]
fn data_goes_to_a_card_behind_a_socket_and_back_with_trapped_doorbells() {
    let served = Served::new(Profile::reference(), Doorbells::Trapped);
    encrypted_comes_back(served.path());
}

#[test]
fn data_goes_to_a_card_behind_a_socket_and_back_with_shared_doorbells() {
    let served = Served::new(Profile::reference(), Doorbells::Shared);
    encrypted_comes_back(served.path());
}

/// The card has to ask for all of the client's memory.
fn encrypted_comes_back_by_messages(memory: Memory) {
    let served = Served::new(Profile::reference(), Doorbells::Trapped);
    let between = Between::new(served.path(), memory, Box::new(|_, _| Fate::Passes));
    encrypted_comes_back(between.path());
    // A command, its payload both ways and its completion take at least four.
    assert!(between.asked() > 4 * 600, "asked {} times", between.asked());
}

#[test]
fn memory_without_a_file_is_asked_for_on_the_same_socket() {
    encrypted_comes_back_by_messages(Memory::Asked);
}

#[test]
fn memory_without_a_file_is_asked_for_on_a_twin_socket() {
    encrypted_comes_back_by_messages(Memory::AskedOnTwin);
}

#[test]
fn a_card_that_is_killed_with_requests_in_flight_loses_and_doubles_none() {
    const COUNT: usize = 400;
    let mut first = Served::new(Profile::reference(), Doorbells::Trapped);
    let second = Served::new(Profile::reference(), Doorbells::Trapped);
    let mut stack = Stack::new();
    let doomed = stack.add(first.path(), "card0");
    stack.add(second.path(), "card1");
    let sessions: Vec<_> = (0..8).map(|_| stack.open(cbc())).collect();
    let mut done = Vec::new();
    for number in 0..COUNT {
        if number == COUNT / 2 {
            first.kill();
        }
        let session = sessions[number % sessions.len()];
        let mut request = stack.request(session, Operation::Encrypt, &payload(number));
        request.opaque = number as u64;
        let now = stack.now();
        stack
            .framework
            .dispatch(now, request)
            .expect("a request that is taken");
        if number % 16 == 0 {
            stack.turn();
            stack.take(&mut done);
        }
    }
    while done.len() < COUNT {
        stack.turn();
        stack.take(&mut done);
    }
    let mut seen = vec![0; COUNT];
    for (request, result) in done {
        assert_eq!(result, Ok(()), "the framework moves sessions by itself");
        seen[request.opaque as usize] += 1;
    }
    assert_eq!(seen, [1; COUNT]);
    for session in sessions {
        let now = stack.framework.session_current(session).expect("a session");
        assert_ne!(stack.framework.session_driver(now), Some(doomed));
    }
}
