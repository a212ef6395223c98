//! D13: a key given for one request stays, or is not looked at.
//!
//! Software expanded a request's key into the session, where the next request without a key found
//! it. In one version GCM did not look at a request's key at all. And a driver that called unblock
//! from inside its own entry point met the lock that its caller held.

use framework::{
    Buffer, Cipher, DriverChoice, Framework, Key, Limits, MigrationPolicy, Mode, Operation, Region,
    Request, SessionParams,
};

use crate::hand::{Bench, KEY, NOW, aes_cbc, block, bytes_of, sealed};

const OTHER: [u8; 16] = [9; 16];

struct Old {
    schedule: [u8; 16],
}

impl Old {
    fn process(&mut self, key: Option<[u8; 16]>) -> Vec<u8> {
        if let Some(key) = key {
            self.schedule = key;
        }
        sealed(self.schedule)
    }
}

#[test]
fn the_old_session_has_the_last_requests_key() {
    let mut old = Old { schedule: KEY };
    assert_eq!(old.process(None), sealed(KEY));
    assert_eq!(old.process(Some(OTHER)), sealed(OTHER));
    assert_eq!(
        old.process(None),
        sealed(OTHER),
        "which nobody gave for this one"
    );
}

#[test]
fn a_requests_key_is_used_for_it_and_for_nothing_else() {
    let mut framework = Framework::new(Limits::default());
    framework.register(Box::new(framework::software::SoftwareDriver::new("soft0")));
    let gcm = SessionParams {
        mode: Mode::Aead,
        cipher: Some(Cipher::AesGcm),
        iv_len: 12,
        ..aes_cbc(KEY)
    };
    let cases = [
        (aes_cbc(KEY), Operation::Encrypt),
        (gcm, Operation::EncryptCompute),
    ];
    for (params, operation) in cases {
        let (choice, policy) = (DriverChoice::any(), MigrationPolicy::Report);
        let session = framework
            .open_session(NOW, params, choice, policy)
            .expect("a session");
        let keys = [None, Some(OTHER), None];
        let results = keys.map(|key| {
            let mut request = Request::new(session, operation, Buffer::Memory(vec![0; 32]));
            request.payload = Region { start: 0, len: 16 };
            request.digest_start = if operation == Operation::Encrypt {
                0
            } else {
                16
            };
            request.iv = Some([0; 64]);
            request.cipher_key = key.map(|key| Key::new(&key));
            framework.dispatch(NOW, request).expect("a valid request");
            bytes_of(&framework.take_finished().expect("done at once").request)
        });
        assert_eq!(results[0], results[2], "{operation:?}");
        assert_ne!(results[0], results[1], "{operation:?}");
    }
}

#[test]
fn a_driver_may_find_room_inside_its_own_entry_point() {
    let mut bench = Bench::new();
    let (_, hand) = bench.hand("card0", 0);
    let session = bench.open(DriverChoice::any(), MigrationPolicy::Report);
    hand.borrow_mut().unblocks_while_refusing = true;
    bench
        .0
        .dispatch(NOW, block(session, 1))
        .expect("no lock to meet");
}
