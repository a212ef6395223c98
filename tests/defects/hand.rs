//! A device that the test works by hand, and a framework around it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use framework::software::Transform;
use framework::{
    Blocked, Buffer, Cipher, Completed, CryptoDriver, DriverChoice, DriverError, DriverFlags,
    DriverId, DriverOutput, DriverSession, Framework, Hint, Key, KeyBlocked, KeyCompleted, KeyOp,
    KeyOps, KeyParam, KeyRequest, Limits, MigrationPolicy, Mode, OpenError, Operation, ProbeScore,
    Region, Request, RequestError, SessionId, SessionParams,
};
use timebase::Time;

pub(crate) const NOW: Time = Time::from_ps(1);

/// What the device has, did and shall do.
#[derive(Default)]
pub(crate) struct Hand {
    /// Requests it takes before it refuses.
    pub(crate) room: usize,
    pub(crate) generation: u64,
    /// Whether room comes at the very moment it refuses.
    pub(crate) unblocks_while_refusing: bool,
    pub(crate) held: VecDeque<(u32, Box<Request>)>,
    pub(crate) sessions: Vec<Option<Transform>>,
    /// Everything it was asked for, in order.
    pub(crate) calls: Vec<Call>,
    pub(crate) key_room: usize,
    pub(crate) key_generation: u64,
    pub(crate) keys: VecDeque<Box<KeyRequest>>,
    output: DriverOutput,
    detached: bool,
}

/// A call of seam 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Call {
    /// `process` took a request, by its `opaque`.
    Process(u64, Hint),
    Flush,
    Close,
    Detach,
}

impl Hand {
    /// Does the oldest request, and has room again.
    pub(crate) fn work(&mut self) {
        let (session, mut request) = self.held.pop_front().expect("a request");
        let transform = self.sessions[session as usize]
            .as_mut()
            .expect("an open session");
        let result = transform.process(&mut request);
        self.end(request, result);
    }

    /// Gives the oldest request back as it is.
    pub(crate) fn fail(&mut self, error: DriverError) {
        let (_, request) = self.held.pop_front().expect("a request");
        self.end(request, Err(error));
    }

    fn end(&mut self, request: Box<Request>, result: Result<(), DriverError>) {
        self.output.completed.push(Completed { request, result });
        self.room += 1;
        self.generation += 1;
    }

    pub(crate) fn work_on_key(&mut self) {
        let mut request = self.keys.pop_front().expect("a key operation");
        let result = framework::software::compute_key(&mut request);
        self.output.keys.push(KeyCompleted { request, result });
        self.key_room += 1;
        self.key_generation += 1;
    }

    /// The device is gone.
    pub(crate) fn die(&mut self) {
        while !self.held.is_empty() {
            self.fail(DriverError::Lost { untouched: true });
        }
        self.output.lost = true;
    }

    /// Requests that it took, by their `opaque`, in order.
    pub(crate) fn taken(&self) -> Vec<u64> {
        let taken = self.calls.iter().filter_map(|call| match call {
            Call::Process(number, _) => Some(*number),
            Call::Flush | Call::Close | Call::Detach => None,
        });
        taken.collect()
    }
}

struct HandDriver(String, Rc<RefCell<Hand>>);

impl CryptoDriver for HandDriver {
    fn name(&self) -> &str {
        &self.0
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
        params: &SessionParams,
    ) -> Result<DriverSession, OpenError> {
        let transform = Transform::new(params).map_err(|_| OpenError::Unsupported)?;
        let mut hand = self.1.borrow_mut();
        let session = DriverSession(u32::try_from(hand.sessions.len()).expect("few sessions"));
        hand.sessions.push(Some(transform));
        hand.output.opened.push((session, Ok(())));
        Ok(session)
    }

    fn close_session(&mut self, _now: Time, session: DriverSession) {
        let mut hand = self.1.borrow_mut();
        hand.sessions[session.0 as usize] = None;
        hand.calls.push(Call::Close);
    }

    fn process(
        &mut self,
        _now: Time,
        session: DriverSession,
        request: Box<Request>,
        hint: Hint,
    ) -> Result<(), Blocked> {
        let mut hand = self.1.borrow_mut();
        if hand.room == 0 {
            let generation = hand.generation;
            if hand.unblocks_while_refusing {
                hand.room += 1;
                hand.generation += 1;
            }
            return Err(Blocked {
                request,
                generation,
            });
        }
        hand.room -= 1;
        hand.calls.push(Call::Process(request.opaque, hint));
        hand.held.push_back((session.0, request));
        Ok(())
    }

    fn flush(&mut self, _now: Time) {
        self.1.borrow_mut().calls.push(Call::Flush);
    }

    fn service(&mut self, _now: Time, output: &mut DriverOutput) {
        let mut hand = self.1.borrow_mut();
        let idle = hand.held.is_empty() && hand.keys.is_empty();
        hand.output.lost |= hand.detached && idle;
        std::mem::swap(output, &mut hand.output);
    }

    fn deadline(&self) -> Time {
        Time::NEVER
    }

    fn unblock_generation(&self) -> u64 {
        self.1.borrow().generation
    }

    fn key_operations(&self) -> KeyOps {
        KeyOps::MOD_EXP
    }

    fn process_key(&mut self, _now: Time, request: Box<KeyRequest>) -> Result<(), KeyBlocked> {
        let mut hand = self.1.borrow_mut();
        if hand.key_room == 0 {
            let generation = hand.key_generation;
            return Err(KeyBlocked {
                request,
                generation,
            });
        }
        hand.key_room -= 1;
        hand.keys.push_back(request);
        Ok(())
    }

    fn key_unblock_generation(&self) -> u64 {
        self.1.borrow().key_generation
    }

    fn detach(&mut self, _now: Time) {
        let mut hand = self.1.borrow_mut();
        hand.detached = true;
        hand.calls.push(Call::Detach);
    }
}

/// A framework and short ways to use it.
pub(crate) struct Bench(pub(crate) Framework);

impl Bench {
    pub(crate) fn new() -> Self {
        Self(Framework::new(Limits::default()))
    }

    /// A device with room for `room` requests.
    pub(crate) fn hand(&mut self, name: &str, room: usize) -> (DriverId, Rc<RefCell<Hand>>) {
        let hand = Rc::new(RefCell::new(Hand {
            room,
            key_room: 1,
            ..Hand::default()
        }));
        let driver = HandDriver(name.to_owned(), Rc::clone(&hand));
        (self.0.register(Box::new(driver)), hand)
    }

    /// An open session for AES-CBC with a key of its own.
    pub(crate) fn open(&mut self, choice: DriverChoice, policy: MigrationPolicy) -> SessionId {
        let session = self.0.open_session(NOW, aes_cbc(KEY), choice, policy);
        self.service();
        session.expect("a session")
    }

    pub(crate) fn dispatch(&mut self, session: SessionId, number: u64) {
        self.0
            .dispatch(NOW, block(session, number))
            .expect("a valid request");
    }

    pub(crate) fn service(&mut self) {
        let ids: Vec<DriverId> = self.0.drivers().map(|driver| driver.id).collect();
        for id in ids {
            self.0.service(NOW, id);
        }
    }

    /// What ended, by `opaque`, in the order of callbacks.
    pub(crate) fn ended(&mut self) -> Vec<(u64, Result<(), RequestError>)> {
        self.service();
        std::iter::from_fn(|| self.0.take_finished())
            .map(|finished| (finished.request.opaque, finished.result))
            .collect()
    }

    /// Like [`ended`](Self::ended), with the bytes.
    pub(crate) fn results(&mut self) -> Vec<(u64, Vec<u8>)> {
        self.service();
        std::iter::from_fn(|| self.0.take_finished())
            .map(|finished| (finished.request.opaque, bytes_of(&finished.request)))
            .collect()
    }
}

pub(crate) const KEY: [u8; 16] = [7; 16];

pub(crate) fn aes_cbc(key: [u8; 16]) -> SessionParams {
    SessionParams {
        cipher: Some(Cipher::AesCbc),
        cipher_key_len: 16,
        cipher_key: Some(Key::new(&key)),
        iv_len: 16,
        ..SessionParams::of(Mode::Cipher)
    }
}

/// A request to encrypt one block of zeroes.
pub(crate) fn block(session: SessionId, number: u64) -> Box<Request> {
    let mut request = Request::new(session, Operation::Encrypt, Buffer::Memory(vec![0; 16]));
    request.iv = Some([0; 64]);
    request.payload = Region { start: 0, len: 16 };
    request.opaque = number;
    request
}

/// A block of zeroes encrypted under `key`.
pub(crate) fn sealed(key: [u8; 16]) -> Vec<u8> {
    let mut transform = Transform::new(&aes_cbc(key)).expect("valid parameters");
    let mut request = block(SessionId::default(), 0);
    transform
        .process(&mut request)
        .expect("a request that works");
    bytes_of(&request)
}

pub(crate) fn bytes_of(request: &Request) -> Vec<u8> {
    let mut bytes = vec![0; request.buffer.len()];
    request.buffer.copy_out(0, &mut bytes);
    bytes
}

/// 3 to the power of 5, modulo 100.
pub(crate) fn power() -> Box<KeyRequest> {
    let number = |value: u64| KeyParam::from_le_bytes(&value.to_le_bytes());
    let inputs = vec![number(3), number(5), number(100)];
    KeyRequest::new(KeyOp::ModExp, inputs, vec![KeyParam::room(64)])
}
