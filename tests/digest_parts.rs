//! A message whose digest is half done goes on wherever its session goes: from card to card, from a
//! card to software and back. Once, and with no state left behind.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use device_model::{Card, Profile};
use dma::Pool;
use driver::{CardDriver, DriverConfig};
use framework::software::SoftwareDriver;
use framework::{
    Buffer, Digest, DigestState, DriverChoice, DriverId, Framework, Key, Limits, MigrationPolicy,
    Mode, Operation, Region, Request, RequestError, SessionFlags, SessionId, SessionParams,
};
use regs::DigestCode;
use sim::checker::Checkers;
use sim::link::{Clock, Delays, LinkTransport, Port};
use sim::recorder::{Level, Recorder};
use timebase::{Span, Time};

/// Room for a digest behind a part.
const ROOM: usize = 64;
const KEY: [u8; 70] = [0xA7; 70];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Card,
    Software,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Departure {
    /// The session is asked to move.
    Move,
    /// Its driver is taken out in good order.
    Unregister,
    /// Its card is pulled out, with a part in flight; of software, as `Unregister`.
    Loss,
}

/// A driver, and the slot of its card if it has one.
struct Seat {
    driver: DriverId,
    port: Option<Rc<RefCell<Port>>>,
    /// Whether the card is in its slot.
    alive: Rc<Cell<bool>>,
}

struct World {
    clock: Clock,
    crypto: Framework,
    seats: Vec<Seat>,
    session: SessionId,
    pool: Pool,
    digest: Digest,
    callbacks: u32,
}

fn params(digest: Digest, flags: SessionFlags, has_key: bool) -> SessionParams {
    let key_len = if digest.is_keyed() { KEY.len() } else { 0 };
    SessionParams {
        flags,
        digest: Some(digest),
        auth_key_len: key_len,
        auth_key: (has_key && key_len > 0).then(|| Key::new(&KEY)),
        ..SessionParams::of(Mode::Digest)
    }
}

impl World {
    fn new(places: [Place; 2], digest: Digest, policy: MigrationPolicy) -> Self {
        let clock: Clock = Rc::new(Cell::new(Time::ZERO));
        let mut crypto = Framework::new(Limits::default());
        let pool = Pool::new(4 << 20).expect("memory for the pool");
        let mut seats = Vec::new();
        let mut session = None;
        for (index, place) in (0..).zip(places) {
            seats.push(match place {
                Place::Card => card(index, &clock, &pool, &mut crypto),
                Place::Software => Seat {
                    driver: crypto.register(Box::new(SoftwareDriver::new("soft0"))),
                    port: None,
                    alive: Rc::default(),
                },
            });
            // Opened while there is only one.
            session.get_or_insert_with(|| {
                let params = params(digest, SessionFlags::PARTS, true);
                let opened = crypto.open_session(Time::ZERO, params, DriverChoice::any(), policy);
                opened.expect("both kinds of driver serve it")
            });
        }
        Self {
            clock,
            crypto,
            seats,
            session: session.expect("a session"),
            pool,
            digest,
            callbacks: 0,
        }
    }

    /// Goes to the next appointment of a card or a driver.
    fn step(&mut self) -> bool {
        let deadline = |seat: &Seat| {
            let port = seat.port.as_ref()?.borrow();
            // Nobody takes the interrupts of a driver that has left.
            Some(match self.crypto.driver(seat.driver).is_some() {
                true => port.card_deadline().min(port.interrupt_deadline()),
                false => port.card_deadline(),
            })
        };
        let of_cards = self.seats.iter().filter_map(deadline).min();
        let of_cards = of_cards.unwrap_or(Time::NEVER);
        let next = of_cards.min(self.crypto.deadline());
        if next == Time::NEVER {
            return false;
        }
        self.clock.set(self.clock.get().max(next));
        for port in self.seats.iter().filter_map(|seat| seat.port.as_ref()) {
            port.borrow_mut().advance();
        }
        for seat in &self.seats {
            self.crypto.service(self.clock.get(), seat.driver);
        }
        true
    }

    fn request(&self, operation: Operation, bytes: &[u8], state: State) -> Box<Request> {
        let mut memory = self.pool.take(bytes.len() + ROOM).expect("pool memory");
        memory[..bytes.len()].copy_from_slice(bytes);
        let mut request = Request::new(self.session, operation, Buffer::Pooled(memory));
        request.payload = Region {
            start: 0,
            len: bytes.len(),
        };
        if !operation.leaves_state() {
            request.digest_start = bytes.len();
        }
        request.state = state;
        request
    }

    /// Waits for the callback; dispatches again what is told of a new name.
    fn wait(&mut self) -> Box<Request> {
        for _ in 0..100_000 {
            if let Some(finished) = self.crypto.take_finished() {
                let mut request = finished.request;
                match finished.result {
                    Ok(()) => {
                        self.callbacks += 1;
                        return request;
                    }
                    Err(RequestError::Moved(name)) => {
                        (self.session, request.session) = (name, name);
                        self.dispatch(request);
                        continue;
                    }
                    Err(error) => panic!("{:?}: {error}", self.digest),
                }
            }
            assert!(self.step(), "a callback, or something left to happen");
        }
        panic!("{:?}: no callback", self.digest);
    }

    fn dispatch(&mut self, request: Box<Request>) {
        let dispatched = self.crypto.dispatch(self.clock.get(), request);
        dispatched.expect("a valid request");
    }

    fn part(&mut self, operation: Operation, bytes: &[u8], state: State) -> State {
        let request = self.request(operation, bytes, state);
        self.dispatch(request);
        self.wait().state
    }

    /// The digest of the message that `bytes` end.
    fn end(&mut self, bytes: &[u8], state: State) -> Vec<u8> {
        let request = self.request(Operation::EndDigest, bytes, state);
        self.dispatch(request);
        let done = self.wait();
        assert!(done.state.is_none(), "the state is used up");
        let mut digest = vec![0; self.digest.len()];
        done.copy_data(bytes.len(), &mut digest);
        digest
    }

    /// The session leaves the first driver while a part is on its way.
    fn leave(&mut self, departure: Departure) {
        let now = self.clock.get();
        let [from, to] = [0, 1].map(|at| self.seats[at].driver);
        match (departure, self.seats[0].port.clone()) {
            (Departure::Move, _) => {
                let moved = self.crypto.move_session(now, self.session, to);
                moved.expect("the other serves it");
            }
            (Departure::Loss, Some(port)) => {
                self.seats[0].alive.set(false);
                port.borrow_mut().unplug();
                self.crypto.service(now, from);
            }
            (Departure::Unregister, _) | (Departure::Loss, None) => {
                self.crypto.unregister(now, from).expect("a driver");
            }
        }
    }

    /// Whether any card shows these bytes somewhere.
    fn cards_show(&self, bytes: &[u8]) -> bool {
        let mut found = false;
        for port in self.seats.iter().filter_map(|seat| seat.port.as_ref()) {
            if let Some(card) = port.borrow().card() {
                card.visit_memory(&mut |_, memory| {
                    found |= memory.windows(bytes.len()).any(|window| window == bytes);
                });
            }
        }
        found
    }
}

type State = Option<Box<DigestState>>;

fn card(index: u16, clock: &Clock, pool: &Pool, crypto: &mut Framework) -> Seat {
    let recorder = Rc::new(RefCell::new(Recorder::new(Level::Off, Checkers::default())));
    let delays = Delays::new((Span::ZERO, Span::ZERO), Span::ZERO, 0);
    let port = Port::new(index, Rc::clone(clock), recorder, delays);
    let port = Rc::new(RefCell::new(port));
    let card = Card::new(Profile::reference()).expect("a valid profile");
    let config = DriverConfig {
        name: format!("card{index}"),
        ring_pairs: card.profile().ring_pairs,
        ring_entries: 16,
        sessions: 16,
        ..DriverConfig::default()
    };
    port.borrow_mut().plug(card);
    let alive = Rc::new(Cell::new(true));
    let transport = LinkTransport::new(Rc::clone(&port), pool.clone(), Rc::clone(&alive));
    let driver = CardDriver::new(transport, config).expect("the driver starts");
    Seat {
        driver: crypto.register(Box::new(driver)),
        port: Some(port),
        alive,
    }
}

fn in_parts() -> impl Iterator<Item = Digest> {
    let all = Digest::ALL.into_iter();
    all.filter(|digest| digest.takes_parts())
}

/// What the library that digests whole messages says.
fn whole(digest: Digest, message: &[u8]) -> Vec<u8> {
    let mut crypto = Framework::new(Limits::default());
    crypto.register(Box::new(SoftwareDriver::new("soft0")));
    let params = params(digest, SessionFlags::empty(), true);
    let (any, told) = (DriverChoice::any(), MigrationPolicy::Report);
    let session = crypto.open_session(Time::ZERO, params, any, told).unwrap();
    let buffer = Buffer::Memory([message, &[0; ROOM]].concat());
    let mut request = Request::new(session, Operation::ComputeDigest, buffer);
    (request.payload.len, request.digest_start) = (message.len(), message.len());
    crypto.dispatch(Time::ZERO, request).unwrap();
    let done = crypto.take_finished().unwrap();
    let mut bytes = vec![0; digest.len()];
    done.request.copy_data(message.len(), &mut bytes);
    bytes
}

/// Two cuts of a message, the same in every run.
fn cuts(seed: usize, len: usize) -> [usize; 3] {
    let first = seed * 7919 % (len + 1);
    let second = first + seed * 104_729 % (len - first + 1);
    let third = second + seed * 1_299_709 % (len - second + 1);
    [first, second, third]
}

const WAYS: [[Place; 2]; 3] = [
    [Place::Card, Place::Card],
    [Place::Card, Place::Software],
    [Place::Software, Place::Card],
];

#[test]
fn a_message_goes_on_wherever_its_session_goes() {
    let message: Vec<u8> = (0..700).map(|at| (at * 31 % 251) as u8).collect();
    let departures = [Departure::Move, Departure::Unregister, Departure::Loss];
    let policies = [MigrationPolicy::Transparent, MigrationPolicy::Report];
    let mut seed = 0;
    for digest in in_parts() {
        let expected = whole(digest, &message);
        for (places, departure) in WAYS
            .into_iter()
            .flat_map(|places| departures.map(|departure| (places, departure)))
        {
            for policy in policies {
                seed += 1;
                let mut world = World::new(places, digest, policy);
                let [a, b, c] = cuts(seed, message.len());
                let state = world.part(Operation::BeginDigest, &message[..a], None);
                let state = world.part(Operation::ContinueDigest, &message[a..b], state);
                // This one is on its way when the session leaves.
                let request = world.request(Operation::ContinueDigest, &message[b..c], state);
                world.dispatch(request);
                world.leave(departure);
                let state = world.wait().state;
                let known = state.as_ref().expect("a state").bytes()[16..48].to_vec();
                let found = world.end(&message[c..], state);
                let way = format!("{digest:?}: {places:?}, {departure:?}, {policy:?}");
                assert_eq!(found, expected, "{way}");
                assert_eq!(world.callbacks, 4, "{way}");
                let again = world.crypto.take_finished();
                assert!(again.is_none(), "{way}: called back twice");
                assert!(!world.cards_show(&known), "{way}: a state is left behind");
                world
                    .crypto
                    .close_session(world.clock.get(), world.session)
                    .unwrap();
                for _ in 0..100 {
                    world.step();
                }
                assert!(!world.cards_show(&KEY), "{way}: a key is left behind");
            }
        }
    }
    assert_eq!(seed, 16 * 9 * 2, "every digest that has parts");
}

#[test]
fn both_kinds_of_driver_make_the_same_state() {
    for digest in in_parts() {
        let states = [Place::Card, Place::Software].map(|place| {
            let places = [place, Place::Software];
            let mut world = World::new(places, digest, MigrationPolicy::Report);
            world.part(Operation::BeginDigest, &[5; 200], None)
        });
        assert_eq!(states[0], states[1], "{digest:?}");
    }
}

#[test]
fn a_state_s_code_is_the_card_s() {
    for digest in Digest::ALL {
        let code: DigestCode = driver::digest_code(digest);
        let expected = code.info().has_state.then_some(code as u8);
        assert_eq!(DigestState::code_of(digest), expected, "{digest:?}");
    }
}

#[test]
fn a_card_refuses_a_state_that_was_changed_and_the_message_begins_anew() {
    for digest in in_parts().filter(|digest| digest.is_keyed()) {
        let places = [Place::Card, Place::Software];
        let mut world = World::new(places, digest, MigrationPolicy::Transparent);
        let state = world.part(Operation::BeginDigest, b"abc", None).unwrap();
        let mut bytes = *state.bytes();
        bytes[40] ^= 1;
        let changed = Some(Box::new(DigestState::new(digest, &bytes)));
        let request = world.request(Operation::EndDigest, b"d", changed.clone());
        world.dispatch(request);
        let finished = loop {
            match world.crypto.take_finished() {
                Some(finished) => break finished,
                None => assert!(world.step()),
            }
        };
        assert_eq!(finished.result, Err(RequestError::BeginAnew));
        assert_eq!(finished.request.state, changed, "the state is untouched");
        assert_eq!(world.end(b"d", Some(state)), whole(digest, b"abcd"));
    }
}

#[test]
fn a_request_s_own_key_goes_with_every_part_of_any_buffer() {
    let digest = Digest::HmacSha384;
    let mut world = World::new(WAYS[0], digest, MigrationPolicy::Transparent);
    let keyless = params(digest, SessionFlags::PARTS, false);
    let any = DriverChoice::any();
    let opened =
        world
            .crypto
            .open_session(world.clock.get(), keyless, any, MigrationPolicy::Report);
    world.session = opened.unwrap();
    let mut state = None;
    for operation in [
        Operation::BeginDigest,
        Operation::ContinueDigest,
        Operation::EndDigest,
    ] {
        let mut request = world.request(operation, b"one, two ", state);
        request.auth_key = Some(Key::new(&KEY));
        let bytes = [b"one, ".to_vec(), [b"two ", &[0; ROOM][..]].concat()];
        request.buffer = Buffer::vectors(bytes.to_vec());
        world.dispatch(request);
        let done = world.wait();
        if operation == Operation::EndDigest {
            let mut found = vec![0; digest.len()];
            done.copy_data(9, &mut found);
            assert_eq!(found, whole(digest, b"one, two one, two one, two "));
        }
        state = done.state;
    }
}
