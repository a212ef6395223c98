//! A card whose driver is taken out in good order: its sessions leave it in turns, requests go on
//! meanwhile, and no key stays behind. Being pulled out on the way does no harm.

use std::collections::BTreeMap;

use device_model::Profile;
use framework::software::{SoftwareDriver, Transform};
use framework::{
    Buffer, Cipher, DriverChoice, Finished, Key, MigrationPolicy, Mode, Operation, Region, Request,
    RequestError, SessionId, SessionParams,
};
use sim::checker::KeyResidue;
use sim::recorder::Level;
use tests::Rig;

const PAYLOAD: usize = 64;
/// Most appointments before a test gives up.
const STEPS_MAX: usize = 200_000;

/// A card and software, with sessions on the card.
struct World {
    rig: Rig,
    sessions: Vec<SessionId>,
    asked: u64,
    done: BTreeMap<u64, Vec<u8>>,
    told: u32,
}

fn params(number: usize) -> SessionParams {
    let key = format!("key of {number:9}");
    SessionParams {
        cipher: Some(Cipher::AesCbc),
        cipher_key_len: 16,
        cipher_key: Some(Key::new(key.as_bytes())),
        iv_len: 16,
        ..SessionParams::of(Mode::Cipher)
    }
}

fn expected(number: usize) -> Vec<u8> {
    let buffer = Buffer::Memory(vec![0; PAYLOAD]);
    let mut request = ask(SessionId::default(), buffer);
    let mut transform = Transform::new(&params(number)).expect("valid parameters");
    transform.process(&mut request).expect("a valid request");
    bytes_of(&request)
}

fn ask(session: SessionId, buffer: Buffer) -> Box<Request> {
    let mut request = Request::new(session, Operation::Encrypt, buffer);
    request.iv = Some([3; 64]);
    request.payload = Region {
        start: 0,
        len: PAYLOAD,
    };
    request
}

fn bytes_of(request: &Request) -> Vec<u8> {
    let mut bytes = vec![0; PAYLOAD];
    request.buffer.copy_out(0, &mut bytes);
    bytes
}

impl World {
    fn new(sessions: usize, policy: MigrationPolicy) -> Self {
        let mut rig = Rig::new(Profile::reference(), 16, 1, Level::Off);
        let open = |number| {
            let (now, choice) = (rig.now(), DriverChoice::any());
            let opened = rig
                .framework
                .open_session(now, params(number), choice, policy);
            opened.expect("room on the card")
        };
        let sessions = (0..sessions).map(open).collect();
        while rig.step() {}
        rig.framework
            .register(Box::new(SoftwareDriver::new("soft0")));
        Self {
            rig,
            sessions,
            asked: 0,
            done: BTreeMap::new(),
            told: 0,
        }
    }

    /// Asks for something in the next session.
    fn dispatch(&mut self) {
        let number = self.asked;
        self.asked += 1;
        self.dispatch_as(number);
    }

    fn dispatch_as(&mut self, number: u64) {
        let session = self.sessions[number as usize % self.sessions.len()];
        let buffer = self.rig.pool.take(PAYLOAD).expect("pool memory");
        let mut request = ask(session, Buffer::Pooled(buffer));
        request.opaque = number;
        let now = self.rig.now();
        let accepted = self.rig.framework.dispatch(now, request);
        accepted.expect("room in the queue");
    }

    /// Takes what ended, and does again what the consumer was told to.
    fn collect(&mut self) {
        while let Some(Finished { request, result }) = self.rig.framework.take_finished() {
            let number = request.opaque;
            match result {
                Ok(()) => {
                    let before = self.done.insert(number, bytes_of(&request));
                    assert!(before.is_none(), "{number} ends once");
                }
                Err(RequestError::Moved(name) | RequestError::Interrupted(name)) => {
                    if result == Err(RequestError::Moved(name)) {
                        assert_eq!(bytes_of(&request), [0; PAYLOAD], "untouched");
                    }
                    self.told += 1;
                    let place = number as usize % self.sessions.len();
                    self.sessions[place] = name;
                    self.dispatch_as(number);
                }
                Err(error) => panic!("{number}: {error}"),
            }
        }
    }

    /// Steps until the card's driver is gone and everything ended; asks for something every few
    /// steps until then.
    fn run(&mut self) {
        let id = self.rig.driver;
        for step in 0..STEPS_MAX {
            let is_there = self.rig.framework.driver(id).is_some();
            if is_there && step % 5 == 0 {
                self.dispatch();
            }
            self.collect();
            if !self.rig.step() && !is_there {
                break;
            }
        }
        self.collect();
        assert!(self.rig.framework.driver(id).is_none(), "the driver left");
        assert_eq!(self.done.len() as u64, self.asked, "each request ends once");
        for (number, bytes) in &self.done {
            let session = *number as usize % self.sessions.len();
            assert_eq!(*bytes, expected(session), "request {number}");
        }
        assert_eq!(self.rig.port.borrow().windows().live(), 0);
    }

    /// How many of the sessions' keys are on the card, or in memory that it can reach.
    fn keys_left(&self) -> u64 {
        let mut check = KeyResidue::default();
        for number in 0..self.sessions.len() {
            let key = params(number).cipher_key.expect("a key");
            check.watch("a session", key.bytes());
        }
        let now = self.rig.now();
        let port = self.rig.port.borrow();
        if let Some(card) = port.card() {
            check.look_at_card(now, "the card", card);
        }
        check.look_at_pool(now, &self.rig.pool);
        check.findings.violations()
    }
}

#[test]
fn a_card_is_left_by_all_sessions_and_keys_while_requests_go_on() {
    for policy in [MigrationPolicy::Report, MigrationPolicy::Transparent] {
        const SESSIONS: usize = 300;
        let mut world = World::new(SESSIONS, policy);
        assert!(world.keys_left() >= SESSIONS as u64, "keys are found");
        // More than the ring has room for.
        for _ in 0..40 {
            world.dispatch();
        }
        let (now, id) = (world.rig.now(), world.rig.driver);
        world.rig.framework.unregister(now, id).expect("a driver");
        let moved = world.rig.framework.stats().migrations;
        assert!(moved < SESSIONS as u64 / 2, "{moved} moved at once");
        world.run();
        assert_eq!(world.keys_left(), 0, "{policy:?}");
        assert_eq!(world.rig.framework.stats().migrations, SESSIONS as u64);
        assert_eq!(world.told > 0, policy == MigrationPolicy::Report);
        for session in world.sessions {
            let driver = world.rig.framework.session_driver(session);
            assert!(driver.is_some_and(|driver| driver != id));
        }
    }
}

#[test]
fn a_card_that_is_pulled_out_on_its_way_out_loses_nothing() {
    for policy in [MigrationPolicy::Report, MigrationPolicy::Transparent] {
        for steps in (0..60).step_by(3) {
            let mut world = World::new(100, policy);
            for _ in 0..30 {
                world.dispatch();
            }
            let (now, id) = (world.rig.now(), world.rig.driver);
            world.rig.framework.unregister(now, id).expect("a driver");
            for _ in 0..steps {
                world.rig.step();
            }
            world.rig.port.borrow_mut().unplug().expect("a card");
            world.run();
            assert_eq!(world.keys_left(), 0, "{policy:?}, after {steps} steps");
        }
    }
}
