//! Sessions, rings and clients that come and go; who is told when.

use device_model::Latch;
use regs::virtio::{CryptoOpcode, CryptoStatus, VirtioCipher};
use serve::Pacing;

use crate::frontend::{CONFIG, Chain, ENTRIES, EVENT_INDEX, Frontend, header};
use crate::served::{QUEUES, Served};
use crate::services::{cipher_data, cipher_message};

const INVALID_SESSION: u8 = CryptoStatus::InvalidSession as u8;

fn open(frontend: &mut Frontend) -> u64 {
    let message = cipher_message(VirtioCipher::AesCbc, &[7; 16], 1);
    u64::try_from(frontend.open(&message)).expect("a session")
}

/// A request of sixteen bytes, written as the entry `head`.
fn prepare(frontend: &Frontend, session: u64, (ring, head): (usize, u16), chain: Chain) {
    let header = header((CryptoOpcode::CipherEncrypt, session), &cipher_data(16, 16));
    frontend.chain((ring, head), &[&header, &[1; 32]], &[16, 1], chain);
}

fn status(frontend: &Frontend, ring: usize, head: u16) -> u8 {
    frontend.read(Frontend::data(ring, head) + 0x400 + 72 + 32 + 16, 1)[0]
}

#[test]
fn sessions_end_when_they_are_closed_and_a_closed_one_is_unknown() {
    let served = Served::new();
    let mut frontend = Frontend::start(served.path(), 1, 0, 0);
    let session = open(&mut frontend);
    let body = [1; 32];
    let encrypt = (CryptoOpcode::CipherEncrypt, session);
    let fixed = cipher_data(16, 16);
    assert_eq!(frontend.request(encrypt, &fixed, &body, 16).0, 0);
    assert_eq!(frontend.acked(27, &session.to_le_bytes(), &[]), 0);
    assert_eq!(
        frontend.request(encrypt, &fixed, &body, 16).0,
        INVALID_SESSION
    );
    assert_ne!(open(&mut frontend), session, "numbers do not come back");
    // What the device has not is refused with its status.
    let mut message = cipher_message(VirtioCipher::AesCbc, &[7; 16], 1);
    message.cipher = 10.into();
    assert_eq!(
        frontend.open(&message),
        -i64::from(CryptoStatus::NotSupported as u8)
    );
    message.cipher = 3.into();
    message.cipher_key_len = 17.into();
    assert_eq!(
        frontend.open(&message),
        -i64::from(CryptoStatus::Error as u8)
    );
    message.cipher_key_len = 65.into();
    assert_eq!(
        frontend.open(&message),
        -i64::from(CryptoStatus::Error as u8)
    );
}

#[test]
fn a_driver_that_looks_at_the_event_index_is_never_left_waiting() {
    // With the feature agreed on, and as QEMU's guests have it: without anybody having said so.
    for features in [EVENT_INDEX, 0] {
        let served = Served::new();
        let mut frontend = Frontend::start(served.path(), 1, features, 0);
        let session = open(&mut frontend);
        for round in 0..500_u16 {
            let head = round % (ENTRIES / 4) * 4;
            prepare(&frontend, session, (0, head), Chain::Indirect);
            frontend.publish(0, head);
            let mut waits = 0;
            // The device may be about to say where it looks next: it looks again then by itself.
            while !frontend.wants_kick(0) && frontend.used(0).is_none() {
                waits += 1;
                assert!(waits < 1_000_000, "neither wanted nor done: round {round}");
            }
            if frontend.rings[0].used != frontend.rings[0].available {
                frontend.kick(0);
                // Tell me of the next one.
                if features == 0 {
                    frontend.wait(0);
                } else {
                    while frontend.used(0).is_none() {
                        waits += 1;
                        assert!(waits < 10_000_000, "round {round}");
                    }
                }
            }
            assert_eq!(status(&frontend, 0, head), 0);
        }
    }
}

#[test]
fn a_stopped_ring_says_where_it_goes_on_and_goes_on_there() {
    for pacing in [Pacing::Free, Pacing::Timed] {
        let served = Served::with(pacing, &[]);
        let mut frontend = Frontend::start(served.path(), 2, 0, 0);
        let session = open(&mut frontend);
        for ring in [0, 1] {
            for head in 0..8 {
                prepare(&frontend, session, (ring, head * 4), Chain::Indirect);
                frontend.publish(ring, head * 4);
            }
        }
        // One ring is kicked, the other is not: its requests stay for later.
        frontend.kick(0);
        frontend.wait(0);
        let state = |ring: u32| [ring, 0].map(u32::to_le_bytes).concat();
        let base = |answer: Vec<u8>| u32::from_le_bytes(answer[4..8].try_into().unwrap());
        assert_eq!(base(frontend.ask(11, &state(0), &[])), 8);
        let mut done = 1;
        while frontend.used(0).is_some() {
            done += 1;
        }
        assert_eq!(done, 8, "what was taken is finished, once");
        let second = base(frontend.ask(11, &state(1), &[])) as u16;
        frontend.rings.clear();
        frontend.start_ring(0, 8);
        frontend.start_ring(1, second);
        let mut done = second;
        frontend.rings[1].available = 8;
        frontend.kick(1);
        while done < 8 {
            frontend.wait(1);
            done += 1;
        }
        prepare(&frontend, session, (0, 0), Chain::Direct);
        frontend.publish(0, 0);
        frontend.kick(0);
        assert_eq!(frontend.wait(0).head, 0);
        assert_eq!(frontend.used(0), None);
    }
}

#[test]
fn a_client_that_goes_takes_its_sessions_with_it_and_the_next_one_begins_anew() {
    let mut served = Served::new();
    let mut first = Frontend::start(served.path(), 1, 0, 0);
    let session = open(&mut first);
    for head in 0..8 {
        prepare(&first, session, (0, head * 4), Chain::Direct);
        first.publish(0, head * 4);
    }
    first.kick(0);
    first.wait(0);
    let memory = first.memory.try_clone().unwrap();
    drop(first);
    assert_eq!(served.end(), "the other end closed the socket");
    let mut second = Frontend::connect(served.path());
    // As a frontend that comes back: the same memory, and the rings where they were left.
    second.memory = memory;
    second.agree(0, 0);
    second.give_memory();
    let [_, _, used] = Frontend::places(0);
    let base = second.half(used + 2);
    assert_eq!(
        base, 8,
        "what was taken is finished in memory that is still there"
    );
    second.start_ring(0, base);
    prepare(&second, session, (0, 0), Chain::Direct);
    second.publish(0, 0);
    second.kick(0);
    second.wait(0);
    assert_eq!(status(&second, 0, 0), INVALID_SESSION);
    let other = open(&mut second);
    prepare(&second, other, (0, 4), Chain::Direct);
    second.publish(0, 4);
    second.kick(0);
    second.wait(0);
    assert_eq!(status(&second, 0, 4), 0);
    drop(second);
    served.end();
    assert_eq!(served.kill(), 0, "sessions that are left");
}

#[test]
fn several_queues_work_side_by_side_and_each_gets_its_own_back() {
    let served = Served::new();
    let rings = u64::from(QUEUES) + 1;
    let mut frontend = Frontend::start(served.path(), rings, 0, CONFIG);
    let session = open(&mut frontend);
    for round in 0..40_u16 {
        for ring in 0..usize::from(QUEUES) {
            let head = round % 16 * 4;
            prepare(&frontend, session, (ring, head), Chain::Direct);
            frontend.publish(ring, head);
            frontend.kick(ring);
        }
        for ring in 0..usize::from(QUEUES) {
            assert_eq!(frontend.wait(ring).head, u32::from(round % 16 * 4));
            assert_eq!(frontend.used(ring), None);
        }
    }
}

#[test]
fn a_ring_that_is_disabled_waits_and_one_without_a_kick_is_looked_at() {
    let served = Served::new();
    let mut frontend = Frontend::start(served.path(), 1, 0, 0);
    let session = open(&mut frontend);
    let state = |value: u32| [0, value].map(u32::to_le_bytes).concat();
    assert_eq!(frontend.acked(18, &state(0), &[]), 0);
    prepare(&frontend, session, (0, 0), Chain::Direct);
    frontend.publish(0, 0);
    frontend.kick(0);
    assert_eq!(frontend.acked(3, &[], &[]), 0);
    assert_eq!(frontend.used(0), None);
    assert_eq!(frontend.acked(18, &state(1), &[]), 0);
    frontend.wait(0);
    // No descriptor at all.
    assert_eq!(frontend.acked(12, &0x100_u64.to_le_bytes(), &[]), 0);
    prepare(&frontend, session, (0, 4), Chain::Direct);
    frontend.publish(0, 4);
    frontend.wait(0);
    assert_eq!(status(&frontend, 0, 4), 0);
}

#[test]
fn requests_that_hang_do_not_outlive_their_client() {
    let served = Served::with(Pacing::Free, &[Latch::HangEngines]);
    let mut frontend = Frontend::start(served.path(), 1, 0, 0);
    let session = open(&mut frontend);
    prepare(&frontend, session, (0, 0), Chain::Direct);
    frontend.publish(0, 0);
    frontend.kick(0);
    assert_eq!(frontend.acked(3, &[], &[]), 0);
    assert_eq!(frontend.used(0), None);
    drop(frontend);
    served.end();
    // Losing its client resets the device, which heals it.
    let mut frontend = Frontend::start(served.path(), 1, 0, 0);
    let session = open(&mut frontend);
    prepare(&frontend, session, (0, 0), Chain::Direct);
    frontend.publish(0, 0);
    frontend.kick(0);
    frontend.wait(0);
    assert_eq!(status(&frontend, 0, 0), 0);
}
