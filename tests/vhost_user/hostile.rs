//! Frontends and drivers that lie. The server answers, refuses or lets them go, and serves others.

use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use regs::virtio::{CryptoOpcode, CryptoStatus, VirtioCipher};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use crate::frontend::{CONFIG, ENTRIES, Frontend, GUEST, MEMORY, NEED_REPLY, USER, header};
use crate::served::Served;
use crate::services::{cipher_data, cipher_message};

const ERROR: u8 = CryptoStatus::Error as u8;

/// Whether the server still serves.
fn is_well(served: &Served) {
    let mut frontend = Frontend::start(served.path(), 1, 0, 0);
    works(&mut frontend);
}

/// Whether a request still comes through.
fn works(frontend: &mut Frontend) {
    let session = frontend.open(&cipher_message(VirtioCipher::AesCbc, &[7; 16], 1));
    let encrypt = (CryptoOpcode::CipherEncrypt, u64::try_from(session).unwrap());
    let (status, _) = frontend.request(encrypt, &cipher_data(16, 16), &[1; 32], 16);
    assert_eq!(status, 0);
}

#[test]
fn messages_that_make_no_sense_are_refused_and_the_stream_stays_in_step() {
    let served = Served::new();
    let mut frontend = Frontend::start(served.path(), 1, 0, 0);
    let state = |ring: u32, value: u32| [ring, value].map(u32::to_le_bytes).concat();
    let region = |guest: u64, len: u64, user: u64, offset: u64| {
        [1, guest, len, user, offset].map(u64::to_le_bytes).concat()
    };
    for (request, payload) in [
        (0, vec![]),
        (99, vec![1; 100]),
        (2, u64::MAX.to_le_bytes().to_vec()),
        (2, vec![0; 7]),
        (16, u64::MAX.to_le_bytes().to_vec()),
        (5, vec![]),
        (5, [9_u64, 0, 0, 0, 0].map(u64::to_le_bytes).concat()),
        (5, region(0, 4096, 0, 0)),
        (8, state(0, 256)),
        (8, state(7, 256)),
        (8, state(u32::MAX, 256)),
        (9, vec![0xFF; 40]),
        (10, state(0, 5)),
        (12, 0_u64.to_le_bytes().to_vec()),
        (13, 0x1FF_u64.to_le_bytes().to_vec()),
        (14, u64::MAX.to_le_bytes().to_vec()),
        (18, state(9, 1)),
        (24, vec![0; 11]),
        (24, [0_u32, 4096, 0].map(u32::to_le_bytes).concat()),
        (26, vec![0; 1071]),
        (27, vec![0; 4]),
        (40, vec![0; 4096]),
    ] {
        assert_ne!(
            frontend.acked(request, &payload, &[]),
            0,
            "message {request}"
        );
    }
    // Memory that is not in its file, has no end, or lies where other memory is.
    let memory = frontend.memory.try_clone().unwrap();
    for payload in [
        region(0, MEMORY + 1, 0, 0),
        region(0, MEMORY, 0, u64::MAX - 5),
        region(u64::MAX - 5, MEMORY, 0, 0),
        region(0, MEMORY, u64::MAX - 5, 0),
        region(0, 0, 0, 0),
    ] {
        assert_ne!(frontend.acked(5, &payload, &[memory.as_fd()]), 0);
    }
    let twice = [2, 0, 8192, 0, 0, 4096, 8192, 0, 0]
        .map(u64::to_le_bytes)
        .concat();
    let fds = [memory.as_fd(), memory.as_fd()];
    assert_ne!(frontend.acked(5, &twice, &fds), 0);
    works(&mut frontend);
}

#[test]
fn memory_that_can_shrink_is_not_taken() {
    let served = Served::new();
    let frontend = Frontend::connect(served.path());
    let memory = memfd_create("guest", MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&memory, MEMORY).unwrap();
    frontend.send(5, 0, &Frontend::region(), &[memory.as_fd()]);
    assert!(served.end().contains("shrink"));
    is_well(&served);
}

#[test]
fn bytes_that_are_no_messages_end_the_session() {
    let served = Served::new();
    for bytes in [
        [1_u32, 1, u32::MAX].map(u32::to_le_bytes).concat(),
        [1_u32, 1, 4097].map(u32::to_le_bytes).concat(),
        [1_u32, 2, 0].map(u32::to_le_bytes).concat(),
        vec![0xFF; 5000],
    ] {
        let mut frontend = Frontend::connect(served.path());
        frontend.socket.write_all(&bytes).unwrap();
        served.end();
    }
    // Too many descriptors, and a message that is cut short.
    let frontend = Frontend::connect(served.path());
    let memory = frontend.memory.as_fd();
    frontend.send(5, 0, &Frontend::region(), &[memory; 9]);
    served.end();
    let mut frontend = Frontend::connect(served.path());
    frontend.socket.write_all(&[1, 0, 0]).unwrap();
    drop(frontend);
    assert_eq!(
        served.end(),
        "the other end closed the socket within a message"
    );
    is_well(&served);
}

#[test]
fn a_message_in_pieces_is_one_and_one_that_never_ends_is_given_up() {
    let served = Served::new();
    let mut frontend = Frontend::connect(served.path());
    for byte in [1_u32, 1, 0].map(u32::to_le_bytes).concat() {
        frontend.socket.write_all(&[byte]).unwrap();
    }
    assert_eq!(frontend.answer(1).len(), 8);
    // Byte by byte, each well in time, but never whole.
    let dripping = frontend.socket.try_clone().unwrap();
    dripping
        .set_write_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let thread = std::thread::spawn(move || {
        let mut dripping = dripping;
        let header = [5_u32, 1, 4000].map(u32::to_le_bytes).concat();
        let _ = dripping.write_all(&header);
        let (_keep, wait) = std::sync::mpsc::channel::<()>();
        for _ in 0..100 {
            // Nobody sends: this is a pause.
            let _ = wait.recv_timeout(Duration::from_millis(100));
            if dripping.write_all(&[0]).is_err() {
                return;
            }
        }
    });
    assert!(served.end().contains("took longer"), "patience");
    thread.join().unwrap();
    is_well(&served);
}

#[test]
fn a_client_that_does_not_read_is_let_go() {
    let served = Served::new();
    let frontend = Frontend::connect(served.path());
    let message = cipher_message(VirtioCipher::AesCbc, &[7; 16], 1);
    let bytes = zerocopy::IntoBytes::as_bytes(&message);
    let header = [26_u32, 1, bytes.len() as u32]
        .map(u32::to_le_bytes)
        .concat();
    let mut socket = &frontend.socket;
    socket
        .set_write_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    while socket.write_all(&[&header[..], bytes].concat()).is_ok() {}
    assert!(served.end().contains("does not read"));
    is_well(&served);
}

#[test]
fn descriptors_that_lie_give_a_status_or_nothing_and_never_more() {
    let served = Served::new();
    let mut frontend = Frontend::start(served.path(), 1, 0, 0);
    let session = frontend.open(&cipher_message(VirtioCipher::AesCbc, &[7; 16], 1));
    let opcode = (CryptoOpcode::CipherEncrypt, session as u64);
    let good = header(opcode, &cipher_data(16, 16));
    let [table, ..] = Frontend::places(0);
    let data = Frontend::data(0, 0);
    let room = GUEST + data + 0x1000;
    frontend.write(data, &good);
    let run = |frontend: &mut Frontend, descriptors: &[Vec<u8>]| {
        frontend.write(data + 0x1000, &[0xEE; 64]);
        frontend.write(table, &descriptors.concat());
        frontend.publish(0, 0);
        frontend.kick(0);
        let used = frontend.wait(0);
        assert_eq!(used.head, 0);
        assert_eq!(frontend.used(0), None);
        frontend.read(data + 0x1000, 17)[16]
    };
    let d = Frontend::descriptor;
    let here = GUEST + data;
    for (what, descriptors) in [
        ("too short", vec![d(here, 71, 1, 1), d(room, 17, 2, 0)]),
        ("not in memory", vec![d(8, 104, 1, 1), d(room, 17, 2, 0)]),
        (
            "beyond the end",
            vec![d(GUEST + MEMORY - 50, 104, 1, 1), d(room, 17, 2, 0)],
        ),
        (
            "round the end of addresses",
            vec![d(u64::MAX - 10, 104, 1, 1), d(room, 17, 2, 0)],
        ),
        ("room first", vec![d(room, 17, 3, 1), d(here, 104, 0, 0)]),
    ] {
        assert_eq!(run(&mut frontend, &descriptors), ERROR, "{what}");
    }
    for (what, descriptors) in [
        ("no room", vec![d(here, 104, 0, 0)]),
        (
            "longer than a chain can be",
            vec![d(here, u32::MAX, 1, 1), d(room, 17, 2, 0)],
        ),
        (
            "room that is nowhere",
            vec![d(here, 104, 1, 1), d(8, 17, 2, 0)],
        ),
        ("a loop", vec![d(here, 4, 1, 0)]),
        ("a loop of two", vec![d(here, 4, 1, 1), d(here, 4, 1, 0)]),
        ("no such descriptor", vec![d(here, 104, 1, 9999)]),
        ("a table that is nowhere", vec![d(16, 64, 4, 0)]),
        ("a table of no length", vec![d(here, 0, 4, 0)]),
        ("a crooked table", vec![d(here, 33, 4, 0)]),
        ("a table in itself", vec![d(GUEST + table, 64, 4, 0)]),
    ] {
        assert_eq!(run(&mut frontend, &descriptors), 0xEE, "{what}");
    }
    works(&mut frontend);
}

#[test]
fn a_ring_that_lies_is_broken_and_told_so_alone() {
    let served = Served::new();
    let mut frontend = Frontend::start(served.path(), 2, 0, CONFIG);
    let flags = rustix::event::EventfdFlags::CLOEXEC;
    let error: OwnedFd = rustix::event::eventfd(0, flags).unwrap();
    assert_eq!(
        frontend.acked(14, &0_u64.to_le_bytes(), &[error.as_fd()]),
        0
    );
    // More requests than the ring has entries.
    let [_, available, _] = Frontend::places(0);
    frontend.write(available + 2, &(ENTRIES + 1).to_le_bytes());
    frontend.kick(0);
    let mut polled = [PollFd::new(&error, PollFlags::IN)];
    assert_eq!(poll(&mut polled, None), Ok(1));
    // An entry that the ring has not; it is started anew first.
    let state = |value: u32| [0, value].map(u32::to_le_bytes).concat();
    frontend.write(available + 2, &1_u16.to_le_bytes());
    frontend.write(available + 4, &60_000_u16.to_le_bytes());
    assert_eq!(frontend.acked(10, &state(0), &[]), 0);
    let kick: OwnedFd = rustix::event::eventfd(1, flags).unwrap();
    assert_eq!(frontend.acked(12, &0_u64.to_le_bytes(), &[kick.as_fd()]), 0);
    assert_eq!(frontend.acked(3, &[], &[]), 0);
    // Parts of a ring that are nowhere.
    let mut frontend = Frontend::connect_after(frontend, &served);
    frontend.agree(0, 0);
    frontend.give_memory();
    assert_eq!(frontend.acked(8, &state(ENTRIES.into()), &[]), 0);
    for place in [0, USER + MEMORY - 16, u64::MAX - 8] {
        let address = [0, place, USER, USER, 0].map(u64::to_le_bytes).concat();
        assert_eq!(frontend.acked(9, &address, &[]), 0);
        frontend.send(12, NEED_REPLY, &0_u64.to_le_bytes(), &[kick.as_fd()]);
        assert_ne!(frontend.answer(12), [0; 8]);
    }
    drop(frontend);
    served.end();
    is_well(&served);
}

#[test]
fn requests_that_are_too_big_are_refused_whatever_memory_they_lie_in() {
    let served = Served::new();
    let mut frontend = Frontend::start(served.path(), 1, 0, 0);
    let session = frontend.open(&cipher_message(VirtioCipher::AesCbc, &[7; 16], 1));
    let opcode = (CryptoOpcode::CipherEncrypt, session as u64);
    let [table, ..] = Frontend::places(0);
    let data = Frontend::data(0, 0);
    frontend.write(data, &header(opcode, &cipher_data(16, u32::MAX - 15)));
    // Memory over and over, as often as a ring has entries.
    let mut descriptors = Vec::new();
    for entry in 0..ENTRIES - 1 {
        descriptors.extend(Frontend::descriptor(GUEST, MEMORY as u32, 1, entry + 1));
    }
    let room = GUEST + data + 0x1000;
    descriptors.extend(Frontend::descriptor(room, 1, 2, 0));
    frontend.write(table, &descriptors);
    frontend.publish(0, 0);
    frontend.kick(0);
    frontend.wait(0);
    assert_eq!(frontend.read(data + 0x1000, 1), [ERROR]);
    // A header that promises more than there is.
    let (status, _) = frontend.request(opcode, &cipher_data(16, u32::MAX - 15), &[1; 32], 16);
    assert_eq!(status, ERROR);
    assert_eq!(frontend.rings[0].used, 2);
    works(&mut frontend);
}
