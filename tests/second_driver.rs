//! Seam 1 is enough to write a driver that has nothing in common with the card's: no ring, one
//! request at a time. And the guide for authors of drivers shows that driver, and no other.

#[path = "second_driver/driver.rs"]
mod driver;

use std::collections::BTreeMap;

use driver::{DeskDriver, PAYLOAD_MAX, SESSIONS_MAX};
use framework::software::{SoftwareDriver, Transform};
use framework::{
    Buffer, Cipher, Digest, DriverChoice, DriverId, Finished, Framework, Key, KeyOp, KeyParam,
    KeyRequest, Limits, MigrationPolicy, Mode, Operation, Region, Request, RequestError,
    RequestFlags, SessionError, SessionId, SessionParams,
};
use timebase::Time;

fn params() -> SessionParams {
    SessionParams {
        cipher: Some(Cipher::AesCbc),
        digest: Some(Digest::HmacSha256),
        cipher_key_len: 16,
        cipher_key: Some(Key::new(&[1; 16])),
        auth_key_len: 32,
        auth_key: Some(Key::new(&[2; 32])),
        iv_len: 16,
        ..SessionParams::of(Mode::EncryptThenAuthenticate)
    }
}

/// Encrypts `blocks` blocks that depend on `number`.
fn request(session: SessionId, number: u64, blocks: usize) -> Box<Request> {
    let len = 16 * blocks;
    let byte = |at: usize| (number as usize * 31 + at) as u8;
    let bytes = (0..len).map(byte).chain([0; 32]).collect();
    let mut request = Request::new(session, Operation::EncryptCompute, Buffer::Memory(bytes));
    request.iv = Some([number as u8; 64]);
    request.payload = Region { start: 0, len };
    request.digest_start = len;
    request.opaque = number;
    request
}

fn bytes_of(request: &Request) -> Vec<u8> {
    let mut bytes = vec![0; request.buffer.len()];
    request.buffer.copy_out(0, &mut bytes);
    bytes
}

/// What a request should come to.
fn expected(number: u64, blocks: usize) -> Vec<u8> {
    let mut transform = Transform::new(&params()).expect("valid parameters");
    let mut request = request(SessionId::default(), number, blocks);
    transform
        .process(&mut request)
        .expect("a request that works");
    bytes_of(&request)
}

/// A framework, virtual time, and what came of everything.
struct World {
    framework: Framework,
    now: Time,
    ended: BTreeMap<u64, Finished>,
}

impl World {
    fn new() -> Self {
        Self {
            framework: Framework::new(Limits::default()),
            now: Time::ZERO,
            ended: BTreeMap::new(),
        }
    }

    fn open(&mut self, policy: MigrationPolicy) -> SessionId {
        self.framework
            .open_session(self.now, params(), DriverChoice::any(), policy)
            .expect("a session")
    }

    /// Goes to the next appointment; false if there is none.
    fn step(&mut self) -> bool {
        self.take_finished();
        let next = self.framework.deadline();
        if next == Time::NEVER {
            return false;
        }
        self.now = self.now.max(next);
        let ids: Vec<DriverId> = self.framework.drivers().map(|driver| driver.id).collect();
        for id in ids {
            self.framework.service(self.now, id);
        }
        self.take_finished();
        true
    }

    fn take_finished(&mut self) {
        while let Some(finished) = self.framework.take_finished() {
            let before = self.ended.insert(finished.request.opaque, finished);
            assert!(before.is_none(), "called back once");
        }
    }

    fn run(&mut self) {
        for _ in 0..10_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the world never comes to rest");
    }
}

#[test]
fn many_requests_wait_their_turn_at_one_desk_and_all_come_out_right() {
    let mut world = World::new();
    let (desk, _) = DeskDriver::new("desk0");
    world.framework.register(Box::new(desk));
    let session = world.open(MigrationPolicy::Report);
    let count = 100;
    for number in 0..count {
        let mut request = request(session, number, 1 + number as usize % 9);
        request.flags.set(RequestFlags::BATCH, number % 3 == 0);
        request.flags.set(RequestFlags::ORDERED, number % 2 == 0);
        world
            .framework
            .dispatch(world.now, request)
            .expect("room in the queue");
    }
    world.run();
    assert_eq!(world.ended.len(), count as usize);
    for (&number, Finished { request, result }) in &world.ended {
        assert_eq!(*result, Ok(()));
        assert_eq!(
            bytes_of(request),
            expected(number, 1 + number as usize % 9),
            "{number}"
        );
    }
    let stats = world.framework.stats();
    assert!(stats.refusals >= count - 1, "a desk has one place");
}

#[test]
fn a_desk_that_is_carried_away_takes_no_request_with_it() {
    for policy in [MigrationPolicy::Report, MigrationPolicy::Transparent] {
        for carried_away_after in 0..20 {
            let mut world = World::new();
            let (desk, is_there) = DeskDriver::new("desk0");
            world.framework.register(Box::new(desk));
            world
                .framework
                .register(Box::new(SoftwareDriver::new("soft0")));
            let mut session = world.open(policy);
            for number in 0..10 {
                let request = request(session, number, 4);
                world
                    .framework
                    .dispatch(world.now, request)
                    .expect("room in the queue");
            }
            for _ in 0..carried_away_after {
                world.step();
            }
            is_there.set(false);
            world.run();
            for number in 0..10 {
                let moved = world.ended[&number].result;
                if let Err(RequestError::Moved(name)) = moved {
                    assert_eq!(policy, MigrationPolicy::Report);
                    let mut again = world.ended.remove(&number).expect("one that ended").request;
                    session = name;
                    again.session = session;
                    world
                        .framework
                        .dispatch(world.now, again)
                        .expect("the new name");
                }
            }
            world.run();
            assert_eq!(world.ended.len(), 10);
            for (&number, Finished { request, result }) in &world.ended {
                assert_eq!(*result, Ok(()), "{policy:?} {carried_away_after}");
                assert_eq!(bytes_of(request), expected(number, 4));
            }
        }
    }
}

#[test]
fn a_desk_that_leaves_in_order_finishes_what_lies_on_it() {
    let mut world = World::new();
    let (desk, _) = DeskDriver::new("desk0");
    let id = world.framework.register(Box::new(desk));
    world
        .framework
        .register(Box::new(SoftwareDriver::new("soft0")));
    let session = world.open(MigrationPolicy::Transparent);
    for number in 0..5 {
        world
            .framework
            .dispatch(world.now, request(session, number, 2))
            .expect("room");
    }
    world.step();
    world.framework.unregister(world.now, id).expect("a driver");
    world.run();
    assert!(world.framework.driver(id).is_none());
    assert_eq!(world.ended.len(), 5);
    for (&number, Finished { request, result }) in &world.ended {
        assert_eq!((*result, bytes_of(request)), (Ok(()), expected(number, 2)));
    }
}

#[test]
fn what_a_desk_cannot_take_is_told_and_what_it_has_no_room_for_goes_elsewhere() {
    let mut world = World::new();
    let (desk, _) = DeskDriver::new("desk0");
    let id = world.framework.register(Box::new(desk));
    let sessions: Vec<SessionId> = (0..SESSIONS_MAX)
        .map(|_| world.open(MigrationPolicy::Report))
        .collect();
    let (choice, policy) = (DriverChoice::any(), MigrationPolicy::Report);
    let full = world
        .framework
        .open_session(world.now, params(), choice, policy);
    assert!(
        matches!(full, Err(SessionError::Open(_))),
        "the desk is the only driver"
    );
    let soft = world
        .framework
        .register(Box::new(SoftwareDriver::new("soft0")));
    let ninth = world.open(MigrationPolicy::Report);
    assert_eq!(world.framework.session_driver(ninth), Some(soft));
    assert_eq!(world.framework.session_driver(sessions[0]), Some(id));
    let big = request(sessions[0], 7, PAYLOAD_MAX / 16 + 1);
    let before = bytes_of(&big);
    world
        .framework
        .dispatch(world.now, big)
        .expect("room in the queue");
    world.run();
    assert_eq!(world.ended[&7].result, Err(RequestError::TooBig));
    assert_eq!(bytes_of(&world.ended[&7].request), before);
}

#[test]
fn key_operations_have_a_desk_of_their_own() {
    let mut world = World::new();
    let (desk, is_there) = DeskDriver::new("desk0");
    world.framework.register(Box::new(desk));
    world
        .framework
        .register(Box::new(SoftwareDriver::new("soft0")));
    let number = |value: u64| KeyParam::from_le_bytes(&value.to_le_bytes());
    for _ in 0..6 {
        let inputs = vec![number(3), number(5), number(100)];
        let operation = KeyRequest::new(KeyOp::ModExp, inputs, vec![KeyParam::room(64)]);
        world
            .framework
            .dispatch_key(world.now, operation)
            .expect("a valid operation");
    }
    world.step();
    is_there.set(false);
    world.run();
    for _ in 0..6 {
        let done = world.framework.take_finished_key().expect("one for each");
        assert_eq!(done.result, Ok(()));
        assert_eq!(done.request.outputs[0].bytes(), 43_u64.to_le_bytes());
    }
}

/// Lines of the guide's Rust, each block by itself.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once("```rust\n") {
        let (block, after) = after.split_once("```").expect("a block that ends");
        blocks.push(block.to_owned());
        rest = after;
    }
    blocks
}

#[test]
fn the_guide_shows_the_driver_that_runs() {
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let source = squeeze(include_str!("second_driver/driver.rs"));
    let blocks = blocks(include_str!("../docs/drivers.md"));
    assert!(blocks.len() >= 6, "a guide has examples");
    for block in blocks {
        assert!(
            source.contains(&squeeze(&block)),
            "not in the driver:\n{block}"
        );
    }
}
