//! The driver against a scripted card: what it promises whatever the card does.

mod backpressure;
mod bring_up;
mod completions;
mod errata;
mod fake;
mod recovery;
mod streams;
mod walk;

use dma::PoolBuffer;
use framework::{
    Blocked, Buffer, Cipher, Completed, CryptoDriver, DriverOutput, DriverSession, Hint, Key, Mode,
    Operation, Region, Request, RequestId, SessionFlags, SessionId, SessionParams,
};
use timebase::{Span, Time};

use self::fake::FakeCard;
use crate::{CardDriver, DriverConfig, DriverState, DriverStats};

/// Watchdog of the benches.
const WATCHDOG: Span = Span::from_us(100);
/// Reset timeout of the benches.
const RESET_TIMEOUT: Span = Span::from_us(200);

/// A driver on a scripted card, and a clock.
struct Bench {
    driver: CardDriver<FakeCard>,
    output: DriverOutput,
    now: Time,
}

fn config(ring_entries: u32) -> DriverConfig {
    DriverConfig {
        ring_entries,
        watchdog: WATCHDOG,
        reset_timeout: RESET_TIMEOUT,
        // The fake card has no pages.
        identify: false,
        ..DriverConfig::default()
    }
}

fn null_params() -> SessionParams {
    SessionParams {
        flags: SessionFlags::all() - SessionFlags::ESN - SessionFlags::PARTS,
        cipher: Some(Cipher::Null),
        ..SessionParams::of(Mode::Cipher)
    }
}

pub(crate) fn cbc_params() -> SessionParams {
    SessionParams {
        cipher: Some(Cipher::AesCbc),
        cipher_key_len: 16,
        cipher_key: Some(Key::new(b"0123456789abcdef")),
        iv_len: 16,
        ..null_params()
    }
}

impl Bench {
    fn new(config: DriverConfig) -> Self {
        Self::on(FakeCard::new(), config)
    }

    fn on(card: FakeCard, config: DriverConfig) -> Self {
        Self {
            driver: CardDriver::new(card, config).unwrap(),
            output: DriverOutput::default(),
            now: Time::ZERO,
        }
    }

    /// A running card with rings of `entries`, and one session of the null cipher.
    fn running(entries: u32) -> (Self, DriverSession) {
        Self::running_with(config(entries), &null_params())
    }

    fn running_with(config: DriverConfig, params: &SessionParams) -> (Self, DriverSession) {
        let mut bench = Self::new(config);
        bench.bring_up();
        let session = bench.open(params);
        (bench, session)
    }

    fn bring_up(&mut self) {
        for _ in 0..100 {
            if self.driver.state() == DriverState::Running {
                return;
            }
            self.advance();
            self.card().serve_admin();
        }
        panic!("the card does not come up: {:?}", self.driver.state());
    }

    fn open(&mut self, params: &SessionParams) -> DriverSession {
        let session = self.driver.open_session(self.now, params).unwrap();
        self.card().serve_admin();
        self.service();
        let opened = std::mem::take(&mut self.output.opened);
        assert_eq!(opened, [(session, Ok(()))]);
        session
    }

    fn card(&mut self) -> &mut FakeCard {
        self.driver.transport_mut()
    }

    fn stats(&self) -> DriverStats {
        self.driver.stats()
    }

    fn service(&mut self) {
        self.driver.service(self.now, &mut self.output);
    }

    /// Sleeps until the driver's deadline, then services it.
    fn advance(&mut self) {
        let deadline = self.driver.deadline();
        assert_ne!(deadline, Time::NEVER, "nothing would ever happen");
        self.now = self.now.max(deadline);
        self.service();
    }

    /// The card does everything there is to do, and the driver sees it.
    fn serve(&mut self) {
        self.card().serve();
        self.service();
    }

    fn process(&mut self, session: DriverSession, request: Box<Request>) -> Result<(), Blocked> {
        self.offer(session, request, Hint::Last)
    }

    fn offer(
        &mut self,
        session: DriverSession,
        request: Box<Request>,
        hint: Hint,
    ) -> Result<(), Blocked> {
        self.driver.process(self.now, session, request, hint)
    }

    fn pooled(&mut self, bytes: &[u8]) -> PoolBuffer {
        let mut buffer = self.card().pool.take(bytes.len()).unwrap();
        buffer.copy_from_slice(bytes);
        buffer
    }

    /// An in-place request on 64 bytes of pool memory.
    fn request(&mut self, id: u64) -> Box<Request> {
        let buffer = Buffer::Pooled(self.pooled(&[id as u8; 64]));
        request_on(id, buffer, 64)
    }

    /// Numbers and results of what completed since the last call.
    fn completed(&mut self) -> Vec<(u64, Result<(), framework::DriverError>)> {
        let completed = std::mem::take(&mut self.output.completed);
        let id_and_result = |done: Completed| (done.request.id.0, done.result);
        completed.into_iter().map(id_and_result).collect()
    }

    fn completed_ids(&mut self) -> Vec<u64> {
        self.completed().into_iter().map(|(id, _)| id).collect()
    }
}

fn request_on(id: u64, buffer: Buffer, len: usize) -> Box<Request> {
    let mut request = Request::new(SessionId::default(), Operation::Encrypt, buffer);
    request.id = RequestId(id);
    request.payload = Region { start: 0, len };
    request
}
