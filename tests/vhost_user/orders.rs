//! Orders to a served device, and recordings of one, through the program itself.

use regs::virtio::{CryptoOpcode, CryptoStatus, VirtioCipher};
use rustix::process::Signal;

use crate::frontend::{CONFIG, Chain, Frontend, header};
use crate::program::{Process, run};
use crate::served::socket_path;
use crate::services::{cipher_data, cipher_message, sha256, text};

const OK: u8 = CryptoStatus::Ok as u8;
const ERROR: u8 = CryptoStatus::Error as u8;

fn open(frontend: &mut Frontend) -> i64 {
    frontend.open(&cipher_message(VirtioCipher::AesCbc, &[7; 16], 1))
}

/// How a request of `plain` ends.
fn encrypt(frontend: &mut Frontend, session: i64, plain: &[u8]) -> (u8, Vec<u8>) {
    let opcode = (CryptoOpcode::CipherEncrypt, session as u64);
    let fixed = cipher_data(16, plain.len() as u32);
    let body = [&[1; 16], plain].concat();
    frontend.request(opcode, &fixed, &body, plain.len())
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn obeys(process: &Process, words: &[&str]) {
    let answer = process.order(words);
    assert_eq!(
        (answer.status.code(), said(&answer.stdout)),
        (Some(0), "ok\n".to_owned()),
        "{words:?}"
    );
}

fn refuses(process: &Process, words: &[&str], why: &str) {
    let answer = process.order(words);
    assert_eq!(answer.status.code(), Some(2), "{words:?}");
    let expected = format!("error: the server refused: {why}\n");
    assert_eq!(said(&answer.stderr), expected);
}

/// The first word of configuration space: whether the hardware is ready.
fn is_ready(frontend: &mut Frontend) -> bool {
    let asked = [0_u32, 4, 0].map(u32::to_le_bytes).concat();
    let answer = frontend.ask(24, &[&asked[..], &[0; 4]].concat(), &[]);
    answer[12..] == [1, 0, 0, 0]
}

#[test]
fn what_is_on_a_device_that_is_pulled_out_ends_with_errors_and_a_new_one_knows_no_session() {
    let process = Process::new("vhost-user-crypto", &[]);
    let mut frontend = Frontend::start(&process.socket, 2, 0, CONFIG);
    let session = open(&mut frontend);
    assert_eq!(encrypt(&mut frontend, session, &text(64)).0, OK);
    assert!(is_ready(&mut frontend));
    obeys(&process, &["fault", "hang-engines"]);
    let opcode = (CryptoOpcode::CipherEncrypt, session as u64);
    let head = header(opcode, &cipher_data(16, 16));
    for entry in [0, 4, 8, 12] {
        frontend.chain((0, entry), &[&head, &[1; 32]], &[16, 1], Chain::Direct);
        frontend.publish(0, entry);
    }
    frontend.kick(0);
    // They are on the device when this is answered: rings have their turn before messages.
    assert_eq!(frontend.acked(3, &[], &[]), 0);
    assert_eq!(frontend.acked(3, &[], &[]), 0);
    assert_eq!(frontend.used(0), None);
    obeys(&process, &["unplug"]);
    for entry in [0, 4, 8, 12] {
        assert_eq!(frontend.wait(0).head, u32::from(entry));
        let status = Frontend::data(0, entry) + 0x400 + 72 + 32 + 16;
        assert_eq!(frontend.read(status, 1), [ERROR]);
    }
    assert_eq!(frontend.used(0), None);
    assert!(!is_ready(&mut frontend));
    assert_eq!(encrypt(&mut frontend, session, &text(64)).0, ERROR);
    assert_eq!(open(&mut frontend), -i64::from(ERROR));
    let none = "there is no card in the slot";
    refuses(&process, &["unplug"], none);
    refuses(&process, &["fault", "hang-engines"], none);
    obeys(&process, &["plug"]);
    refuses(&process, &["plug"], "there is a card already");
    assert!(is_ready(&mut frontend));
    let (status, _) = encrypt(&mut frontend, session, &text(64));
    assert_eq!(status, CryptoStatus::InvalidSession as u8);
    let other = open(&mut frontend);
    assert_ne!(other, session, "a number that somebody may still have");
    assert_eq!(encrypt(&mut frontend, other, &text(64)).0, OK);
}

#[test]
fn orders_that_mean_nothing_to_a_virtio_device_are_refused_and_others_are_seen() {
    let process = Process::new("vhost-user-crypto", &[]);
    let mut frontend = Frontend::start(&process.socket, 1, 0, 0);
    let session = open(&mut frontend);
    let (_, right) = encrypt(&mut frontend, session, &text(64));
    refuses(&process, &["remove"], "this client can not be asked");
    for fault in ["stick-entropy", "hang-scheduler", "write-outside-window"] {
        refuses(&process, &["fault", fault], "this card has no such fault");
    }
    obeys(&process, &["fault", "corrupt-output", "2"]);
    assert_eq!(encrypt(&mut frontend, session, &text(64)).1, right);
    assert_ne!(encrypt(&mut frontend, session, &text(64)).1, right);
    assert_eq!(encrypt(&mut frontend, session, &text(64)).1, right);
    let stats = process.order(&["stats"]);
    let stats: serde_json::Value = serde_json::from_slice(&stats.stdout).expect("JSON");
    assert_eq!(stats["profile"], "reference");
    assert_eq!(stats["ranges"], 1);
    assert_eq!(stats["stats"]["completions"], 4);
}

/// A process that is recorded, driven through every kind of input, and killed; its recording.
fn recorded(pacing: &str) -> String {
    let recording = socket_path().with_extension("bus");
    let file = recording.to_str().expect("text").to_owned();
    let more = ["--record", &file, "--pacing", pacing, "--queues", "2"];
    let process = Process::new("vhost-user-crypto", &more);
    let mut frontend = Frontend::start(&process.socket, 3, 0, CONFIG);
    for round in 0..2 {
        let session = open(&mut frontend);
        for len in [16, 64, 4096] {
            assert_eq!(encrypt(&mut frontend, session, &text(len)).0, OK);
        }
        assert_eq!(sha256(&mut frontend, &text(1000)).len(), 32);
        let number = session.to_le_bytes();
        assert_eq!(frontend.acked(27, &number, &[]), 0);
        assert_ne!(encrypt(&mut frontend, session, &text(16)).0, OK);
        if round == 0 {
            obeys(&process, &["fault", "corrupt-output"]);
            let session = open(&mut frontend);
            assert_eq!(encrypt(&mut frontend, session, &text(32)).0, OK);
            obeys(&process, &["unplug"]);
            obeys(&process, &["plug"]);
        }
    }
    // Another client, whose coming resets the device.
    drop(frontend);
    let mut frontend = Frontend::start(&process.socket, 1, 0, 0);
    let session = open(&mut frontend);
    assert_eq!(encrypt(&mut frontend, session, &text(16)).0, OK);
    // Whoever asks has all in the file, also of a process that is killed.
    assert_eq!(process.order(&["stats"]).status.code(), Some(0));
    process.signal(Signal::KILL);
    file
}

#[test]
fn what_crossed_the_edge_of_a_virtio_device_is_replayed_to_the_bit() {
    for pacing in ["free", "timed"] {
        let file = recorded(pacing);
        let replayed = run(&["serve", "replay", &file]);
        let told = said(&replayed.stdout) + &said(&replayed.stderr);
        assert_eq!(replayed.status.code(), Some(0), "{told}");
        let inputs = told.split_whitespace().nth(1).map(str::parse::<u64>);
        // What the clients sent; how often the server looked in between is up to it.
        assert!(inputs.expect("a number").expect("a number") >= 20, "{told}");

        // Another byte in what a request brought: the device does not give what it gave.
        let mut bytes = std::fs::read(&file).expect("a recording");
        let needle = &text(1000)[..500];
        let at = bytes.windows(500).position(|bytes| bytes == needle);
        bytes[at.expect("a payload") + 20] ^= 1;
        std::fs::write(&file, &bytes).expect("a disk");
        let changed = run(&["serve", "replay", &file]);
        let told = said(&changed.stdout);
        assert_eq!(changed.status.code(), Some(1), "{told}");
        assert!(told.starts_with("FAILED  event "), "{told}");
        std::fs::remove_file(&file).expect("a file");
    }
}

/// How long a recording is after the server has looked around many times.
fn len_after_idling(process: &Process, file: &str) -> u64 {
    // Each order is a round of the server, and writes out what there is.
    for _ in 0..50 {
        assert_eq!(process.order(&["stats"]).status.code(), Some(0));
    }
    std::fs::metadata(file).expect("a recording").len()
}

#[test]
fn the_recording_of_a_device_that_has_nothing_to_do_does_not_grow() {
    let recording = socket_path().with_extension("bus");
    let file = recording.to_str().expect("text");
    let process = Process::new("vhost-user-crypto", &["--record", file]);
    let new = len_after_idling(&process, file);
    let mut frontend = Frontend::start(&process.socket, 1, 0, 0);
    // A ring without a kick is looked at all the time.
    assert_eq!(frontend.acked(12, &0x100_u64.to_le_bytes(), &[]), 0);
    let session = open(&mut frontend);
    assert_eq!(encrypt(&mut frontend, session, &text(64)).0, OK);
    let used = len_after_idling(&process, file);
    assert!(used > new, "{used} {new}");
    assert_eq!(len_after_idling(&process, file), used);
    // Nor with a request on the device that never ends.
    obeys(&process, &["fault", "hang-engines"]);
    let opcode = (CryptoOpcode::CipherEncrypt, session as u64);
    let head = header(opcode, &cipher_data(16, 16));
    frontend.chain((0, 4), &[&head, &[1; 32]], &[16, 1], Chain::Direct);
    frontend.publish(0, 4);
    let hung = len_after_idling(&process, file);
    assert!(hung > used, "{hung} {used}");
    assert_eq!(len_after_idling(&process, file), hung);
    assert_eq!(frontend.used(0), None);
    std::fs::remove_file(&recording).expect("a file");
}
