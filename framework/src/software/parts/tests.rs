//! Messages in parts against whole ones, and states that do not belong.

use timebase::Time;

use crate::software::SoftwareDriver;
use crate::{
    Buffer, DIGEST_STATE_LEN, Digest, DigestState, DriverChoice, DriverId, Framework, Key, Limits,
    MigrationPolicy, Mode, Operation, ParamsError, Region, Request, RequestError, RequestInvalid,
    SessionError, SessionFlags, SessionId, SessionParams,
};

const NOW: Time = Time::ZERO;
const DIGEST_ROOM: usize = 64;

fn params(digest: Digest, key: &[u8]) -> SessionParams {
    SessionParams {
        flags: SessionFlags::PARTS,
        digest: Some(digest),
        auth_key_len: key.len(),
        auth_key: (!key.is_empty()).then(|| Key::new(key)),
        ..SessionParams::of(Mode::Digest)
    }
}

type State = Option<Box<DigestState>>;

/// A framework with two software drivers and the session on the first.
struct Bench {
    crypto: Framework,
    drivers: [DriverId; 2],
    session: SessionId,
    digest: Digest,
}

impl Bench {
    fn new(digest: Digest, key: &[u8], policy: MigrationPolicy) -> Self {
        let mut crypto = Framework::new(Limits::default());
        let drivers =
            ["soft0", "soft1"].map(|name| crypto.register(Box::new(SoftwareDriver::new(name))));
        let choice = DriverChoice::any();
        let session = crypto
            .open_session(NOW, params(digest, key), choice, policy)
            .unwrap();
        Self {
            crypto,
            drivers,
            session,
            digest,
        }
    }

    fn request(&self, operation: Operation, bytes: &[u8], state: State) -> Box<Request> {
        let all = [bytes, &[0; DIGEST_ROOM]].concat();
        let mut request = Request::new(self.session, operation, Buffer::Memory(all));
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

    fn run(&mut self, request: Box<Request>) -> (Box<Request>, Result<(), RequestError>) {
        self.crypto.dispatch(NOW, request).unwrap();
        let finished = self.crypto.take_finished().unwrap();
        (finished.request, finished.result)
    }

    fn part(&mut self, operation: Operation, bytes: &[u8], state: State) -> State {
        let request = self.request(operation, bytes, state);
        let (request, result) = self.run(request);
        assert_eq!(result, Ok(()));
        request.state
    }

    fn end(&mut self, operation: Operation, bytes: &[u8], state: State) -> Vec<u8> {
        let request = self.request(operation, bytes, state);
        let (request, result) = self.run(request);
        assert_eq!(result, Ok(()));
        assert!(request.state.is_none(), "the state is used up");
        let mut digest = vec![0; self.digest.len()];
        request.copy_data(bytes.len(), &mut digest);
        digest
    }

    fn whole(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.end(Operation::ComputeDigest, bytes, None)
    }
}

fn key_of(digest: Digest) -> &'static [u8] {
    match digest.is_keyed() {
        true => b"a key that is longer than nothing",
        false => b"",
    }
}

fn in_parts() -> impl Iterator<Item = Digest> {
    Digest::ALL
        .into_iter()
        .filter(|digest| digest.takes_parts())
}

#[test]
fn every_split_of_a_message_gives_the_digest_of_the_whole() {
    let message: Vec<u8> = (0..300).map(|at| at as u8).collect();
    for digest in in_parts() {
        let mut bench = Bench::new(digest, key_of(digest), MigrationPolicy::Transparent);
        for len in [0, 1, 55, 64, 111, 128, 129, 300] {
            let message = &message[..len];
            let whole = bench.whole(message);
            for split in 0..=len {
                let (first, last) = message.split_at(split);
                let state = bench.part(Operation::BeginDigest, first, None);
                let middle = last.len() / 2;
                let state = bench.part(Operation::ContinueDigest, &last[..middle], state);
                let digest_of_parts = bench.end(Operation::EndDigest, &last[middle..], state);
                assert_eq!(digest_of_parts, whole, "{digest:?}, {len} bytes at {split}");
            }
        }
    }
}

#[test]
fn a_long_key_is_hashed_first_in_parts_as_in_a_whole() {
    for digest in in_parts().filter(|digest| digest.is_keyed()) {
        let mut bench = Bench::new(digest, &[7; 200], MigrationPolicy::Transparent);
        let state = bench.part(Operation::BeginDigest, b"a", None);
        let whole = bench.whole(b"abc");
        assert_eq!(bench.end(Operation::EndDigest, b"bc", state), whole);
    }
}

#[test]
fn a_message_goes_on_after_its_session_moved() {
    for digest in in_parts() {
        for policy in [MigrationPolicy::Transparent, MigrationPolicy::Report] {
            let mut bench = Bench::new(digest, key_of(digest), policy);
            let [first, second] = bench.drivers;
            let whole = bench.whole(b"here and there and back");
            let mut state = bench.part(Operation::BeginDigest, b"here ", None);
            for (driver, bytes) in [(second, b"and there "), (first, b"and back__")] {
                bench
                    .crypto
                    .move_session(NOW, bench.session, driver)
                    .unwrap();
                if policy == MigrationPolicy::Report {
                    let stale = bench.request(Operation::ContinueDigest, b"", state);
                    let (request, result) = bench.run(stale);
                    let Err(RequestError::Moved(name)) = result else {
                        panic!("the session moved");
                    };
                    (state, bench.session) = (request.state, name);
                }
                if driver == second {
                    state = bench.part(Operation::ContinueDigest, bytes, state);
                }
            }
            assert_eq!(bench.end(Operation::EndDigest, b"and back", state), whole);
        }
    }
}

#[test]
fn a_message_goes_on_after_its_driver_was_unregistered() {
    let mut bench = Bench::new(Digest::Sha384, b"", MigrationPolicy::Transparent);
    let whole = bench.whole(b"half done");
    let state = bench.part(Operation::BeginDigest, b"half ", None);
    bench.crypto.unregister(NOW, bench.drivers[0]).unwrap();
    assert_eq!(bench.end(Operation::EndDigest, b"done", state), whole);
}

#[test]
fn a_wrong_digest_is_found_and_the_state_stays() {
    let mut bench = Bench::new(Digest::HmacSha256, b"key", MigrationPolicy::Transparent);
    let whole = bench.whole(b"abc");
    let state = bench.part(Operation::BeginDigest, b"ab", None);
    let request = bench.request(Operation::EndVerify, b"c", state);
    let (mut request, result) = bench.run(request);
    assert_eq!(result, Err(RequestError::DigestMismatch));
    request.copy_back(1, &whole);
    let (request, result) = bench.run(request);
    assert_eq!(result, Ok(()));
    assert!(request.state.is_none());
}

#[test]
fn a_state_of_no_or_another_digest_is_handed_back() {
    let mut bench = Bench::new(Digest::Sha256, b"", MigrationPolicy::Transparent);
    let foreign = DigestState::new(Digest::Sha224, &[0; 256]);
    for state in [None, Some(Box::new(foreign))] {
        for operation in [
            Operation::ContinueDigest,
            Operation::EndDigest,
            Operation::EndVerify,
        ] {
            let request = bench.request(operation, b"a", state.clone());
            let rejected = bench.crypto.dispatch(NOW, request).unwrap_err();
            assert_eq!(rejected.reason, RequestInvalid::State);
        }
    }
}

#[test]
fn what_software_cannot_read_makes_the_message_begin_anew() {
    for digest in in_parts() {
        let mut bench = Bench::new(digest, key_of(digest), MigrationPolicy::Transparent);
        let state = DigestState::new(digest, &[1; 256]);
        let request = bench.request(Operation::EndDigest, b"abc", Some(Box::new(state)));
        let (request, result) = bench.run(request);
        assert_eq!(result, Err(RequestError::BeginAnew), "{digest:?}");
        let mut bytes = [0xFF; 3 + DIGEST_ROOM];
        request.copy_data(0, &mut bytes);
        assert_eq!(bytes[..3], *b"abc");
        assert_eq!(bytes[3..], [0; DIGEST_ROOM], "nothing is written");
        assert!(request.state.is_some());
    }
}

#[test]
fn a_keyed_state_is_of_no_use_under_another_key() {
    for digest in in_parts().filter(|digest| digest.is_keyed()) {
        let mut bench = Bench::new(digest, b"one key", MigrationPolicy::Transparent);
        let state = bench.part(Operation::BeginDigest, b"abc", None);
        let mut other = Bench::new(digest, b"another", MigrationPolicy::Transparent);
        let request = other.request(Operation::EndDigest, b"d", state.clone());
        assert_eq!(other.run(request).1, Err(RequestError::BeginAnew));
        let whole = bench.whole(b"abcd");
        assert_eq!(bench.end(Operation::EndDigest, b"d", state), whole);
    }
}

#[test]
fn parts_are_for_sessions_and_digests_that_have_them() {
    let mut bench = Bench::new(Digest::Sha1, b"", MigrationPolicy::Transparent);
    for digest in Digest::ALL
        .into_iter()
        .filter(|digest| !digest.takes_parts())
    {
        let info = digest.info();
        let key = vec![1; usize::from(info.key.max)];
        let mut params = params(digest, &key);
        params.iv_len = usize::from(info.iv.max);
        let opened = bench.crypto.open_session(
            NOW,
            params,
            DriverChoice::any(),
            MigrationPolicy::Transparent,
        );
        assert_eq!(opened, Err(SessionError::Params(ParamsError::Parts)));
    }
    let mut whole_only = params(Digest::Sha1, b"");
    whole_only.flags = SessionFlags::empty();
    bench.session = bench
        .crypto
        .open_session(
            NOW,
            whole_only,
            DriverChoice::any(),
            MigrationPolicy::Transparent,
        )
        .unwrap();
    let operation = Operation::BeginDigest;
    let request = bench.request(operation, b"a", None);
    let rejected = bench.crypto.dispatch(NOW, request).unwrap_err();
    assert_eq!(rejected.reason, RequestInvalid::Operation(operation));
}

#[test]
fn any_changed_byte_of_a_sealed_state_makes_the_message_begin_anew() {
    for digest in in_parts() {
        let mut bench = Bench::new(digest, key_of(digest), MigrationPolicy::Transparent);
        let state = bench.part(Operation::BeginDigest, b"abc", None).unwrap();
        for at in 0..DIGEST_STATE_LEN {
            let mut bytes = *state.bytes();
            bytes[at] ^= 1;
            let changed = Some(Box::new(DigestState::new(digest, &bytes)));
            let request = bench.request(Operation::EndDigest, b"", changed);
            let (_, result) = bench.run(request);
            if digest.is_keyed() || !(16..224).contains(&at) {
                assert_eq!(
                    result,
                    Err(RequestError::BeginAnew),
                    "{digest:?}, byte {at}"
                );
            }
        }
    }
}

#[test]
fn states_that_count_too_much_are_refused() {
    for digest in in_parts().filter(|digest| !digest.is_keyed()) {
        let mut bench = Bench::new(digest, b"", MigrationPolicy::Transparent);
        let state = bench.part(Operation::BeginDigest, b"abc", None).unwrap();
        for at in 16..224 {
            let mut bytes = *state.bytes();
            bytes[at] = 0xFF;
            let state = Some(Box::new(DigestState::new(digest, &bytes)));
            let request = bench.request(Operation::ContinueDigest, &[7; 1000], state);
            let (_, result) = bench.run(request);
            assert!(matches!(result, Ok(()) | Err(RequestError::BeginAnew)));
        }
    }
}

#[test]
fn a_state_shows_no_bytes() {
    let state = DigestState::new(Digest::Sha1, &[9; 256]);
    assert_eq!(format!("{state:?}"), "DigestState(Sha1)");
}
