//! Cards in processes of their own, which are killed, stopped, cut off, pulled out and put in
//! again; and what crossed their edge, replayed.

use std::path::Path;

use device_model::Profile;
use framework::{DriverId, Operation, Request, RequestError};
use rustix::process::Signal;

use crate::between::{Between, Fate, Memory};
use crate::program::{Process, run};
use crate::served::{Doorbells, Served, socket_path};
use crate::stack::{Stack, cbc, first_bytes, payload};

/// Requests that are under way when something happens to a card.
const IN_FLIGHT: usize = 1024;

fn served(more: &[&str]) -> Process {
    Process::new("vfio-user", more)
}

/// How many descriptors it has.
fn descriptors(process: &Process) -> usize {
    let folder = format!("/proc/{}/fd", process.child.id());
    std::fs::read_dir(folder).expect("a process").count()
}

/// Requests on their way, and what becomes of them.
struct Load {
    stack: Stack,
    sessions: Vec<framework::SessionId>,
    sent: usize,
    done: Vec<(Box<Request>, Result<(), RequestError>)>,
}

impl Load {
    /// Two cards that share `IN_FLIGHT` requests.
    fn new(first: &Path, second: &Path) -> (Self, DriverId) {
        let mut stack = Stack::new();
        let doomed = stack.add(first, "card0");
        stack.add(second, "card1");
        let sessions = (0..16).map(|_| stack.open(cbc())).collect();
        let mut load = Self {
            stack,
            sessions,
            sent: 0,
            done: Vec::new(),
        };
        load.send(IN_FLIGHT);
        (load, doomed)
    }

    /// Sends `count` requests, and waits for none.
    fn send(&mut self, count: usize) {
        for _ in 0..count {
            let session = self.sessions[self.sent % self.sessions.len()];
            let plain = payload(self.sent);
            let mut request = self.stack.request(session, Operation::Encrypt, &plain);
            request.opaque = self.sent as u64;
            self.stack.dispatch(request);
            self.sent += 1;
        }
    }

    /// Waits for all; each came back once, and right.
    fn settle(&mut self) {
        while self.done.len() < self.sent {
            self.stack.turn();
            self.stack.take(&mut self.done);
        }
        let mut seen = vec![0; self.sent];
        for (request, result) in &self.done {
            assert_eq!(*result, Ok(()), "sessions move by themselves");
            let number = request.opaque as usize;
            let plain = payload(number);
            assert!(first_bytes(request, plain.len()) != plain, "{number}");
            seen[number] += 1;
        }
        assert_eq!(seen, vec![1; self.sent]);
    }

    fn sessions_on(&self, driver: DriverId) -> usize {
        let on = self.sessions.iter().filter(|&&session| {
            let now = self.stack.framework.session_current(session);
            now.is_some_and(|now| self.stack.framework.session_driver(now) == Some(driver))
        });
        on.count()
    }

    /// A card comes on the socket `path`, and takes sessions.
    fn comes_back(&mut self, path: &Path) {
        let back = self.stack.add(path, "card2");
        for _ in 0..16 {
            let session = self.stack.open(cbc());
            self.sessions.push(session);
        }
        self.send(IN_FLIGHT);
        self.settle();
        assert!(self.sessions_on(back) > 0, "the card takes load again");
    }
}

#[test]
fn a_killed_process_loses_and_doubles_none_of_1024_requests_and_comes_back() {
    let (first, second) = (served(&[]), served(&[]));
    let socket = first.socket.clone();
    let (mut load, doomed) = Load::new(&socket, &second.socket);
    assert!(load.sessions_on(doomed) > 0);
    first.signal(Signal::KILL);
    load.settle();
    assert_eq!(load.sessions_on(doomed), 0);
    drop(first);
    let again = Process::at("vfio-user", &socket, &[]);
    load.comes_back(&again.socket);
}

#[test]
fn a_stopped_process_is_a_card_that_was_pulled_out() {
    let (first, second) = (served(&[]), served(&[]));
    let (mut load, doomed) = Load::new(&first.socket, &second.socket);
    first.signal(Signal::STOP);
    load.send(64);
    load.settle();
    assert_eq!(load.sessions_on(doomed), 0);
}

#[test]
fn a_socket_that_is_cut_is_a_card_that_was_pulled_out() {
    let first = Served::new(Profile::reference(), Doorbells::Trapped);
    let second = served(&[]);
    let between = Between::new(
        first.path(),
        Memory::WithFile,
        Box::new(|_, _| Fate::Passes),
    );
    let (mut load, doomed) = Load::new(between.path(), &second.socket);
    drop(between);
    load.settle();
    assert_eq!(load.sessions_on(doomed), 0);
}

#[test]
fn orders_pull_a_card_out_and_put_it_in_again_while_it_works() {
    // A server that looks at doorbells all the time has to look elsewhere too.
    let (first, second) = (served(&["--doorbells", "shared"]), served(&[]));
    let (mut load, doomed) = Load::new(&first.socket, &second.socket);
    let unplugged = first.order(&["unplug"]);
    assert_eq!(
        (unplugged.status.code(), &unplugged.stdout[..]),
        (Some(0), &b"ok\n"[..])
    );
    load.send(64);
    load.settle();
    assert_eq!(load.sessions_on(doomed), 0);
    let refused = first.order(&["unplug"]);
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&refused.stderr),
        "error: the server refused: there is no card in the slot\n"
    );
    assert_eq!(first.order(&["plug"]).status.code(), Some(0));
    load.stack.forget(doomed);
    load.comes_back(&first.socket);
    let stats = String::from_utf8(first.order(&["stats"]).stdout).expect("text");
    assert!(
        stats.starts_with("{\"profile\":\"reference\",\"is_present\":true"),
        "{stats}"
    );
}

#[test]
fn orders_make_a_card_misbehave_and_the_framework_hears_of_it() {
    let (first, second) = (served(&[]), served(&[]));
    let (mut load, _) = Load::new(&first.socket, &second.socket);
    load.settle();
    assert_eq!(
        first.order(&["fault", "hang-engines"]).status.code(),
        Some(0)
    );
    load.send(IN_FLIGHT);
    load.settle();
    let unknown = first.order(&["fault", "melt"]);
    assert_eq!(unknown.status.code(), Some(2));
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(
        said.contains("no fault is called `melt`; there are: keep-keys"),
        "{said}"
    );
    let nowhere = run(&["ctl", "--socket", "/nowhere/at/all", "stats"]);
    assert_eq!(nowhere.status.code(), Some(2));
}

#[test]
fn a_storm_of_1000_plugs_leaks_nothing() {
    let process = served(&[]);
    let control = process.control.clone();
    let order = |line: &str| {
        use std::io::{Read as _, Write as _};
        let mut socket = std::os::unix::net::UnixStream::connect(&control).expect("a server");
        socket.write_all(line.as_bytes()).expect("a server");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer");
        answer
    };
    let mut before = 0;
    for cycle in 0..1000 {
        let pool = dma::Pool::shared(1 << 20).expect("memory");
        let card = driver::vfio_user::VfioUser::connect(&process.socket, pool);
        let mut card = card.expect("a card");
        assert_eq!(order("unplug\n"), "ok\n");
        let id = regs::Register::DeviceId.offset();
        assert_eq!(driver::Transport::read(&mut card, id), u32::MAX);
        drop(card);
        assert_eq!(order("plug\n"), "ok\n");
        // The first rounds open what is kept.
        if cycle == 10 {
            before = descriptors(&process);
        }
    }
    // The last client may not have been noticed yet.
    while order("stats\n").contains("\"ranges\":1") {}
    assert!(
        descriptors(&process) <= before,
        "{} {before}",
        descriptors(&process)
    );
}

#[test]
fn what_crossed_the_edge_of_a_card_is_replayed_to_the_bit() {
    let recording = socket_path().with_extension("bus");
    let file = recording.to_str().expect("text").to_owned();
    let (first, second) = (served(&["--record", &file]), served(&[]));
    let (mut load, _) = Load::new(&first.socket, &second.socket);
    load.settle();
    assert_eq!(
        first.order(&["fault", "corrupt-output", "3"]).status.code(),
        Some(0)
    );
    assert_eq!(first.order(&["unplug"]).status.code(), Some(0));
    assert_eq!(first.order(&["plug"]).status.code(), Some(0));
    // Whoever asks has all in the file, also of a process that is killed.
    assert_eq!(first.order(&["stats"]).status.code(), Some(0));
    first.signal(Signal::KILL);
    drop(first);
    let replayed = run(&["serve", "replay", &file]);
    let said = String::from_utf8_lossy(&replayed.stdout).into_owned();
    assert_eq!(replayed.status.code(), Some(0), "{said}");
    assert!(said.starts_with("PASSED  "), "{said}");
    let inputs: u64 = said
        .split_whitespace()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .expect("a number");
    assert!(inputs > 100, "{said}");

    // Another byte in what a command read: what the card writes then is not what it wrote.
    let mut bytes = std::fs::read(&recording).expect("a recording");
    let needle = &payload(48)[..32];
    let at = bytes
        .windows(32)
        .position(|bytes| bytes == needle)
        .expect("a payload");
    bytes[at + 20] ^= 1;
    std::fs::write(&recording, &bytes).expect("a disk");
    let changed = run(&["serve", "replay", &file]);
    let said = String::from_utf8_lossy(&changed.stdout).into_owned();
    assert_eq!(changed.status.code(), Some(1), "{said}");
    assert!(said.starts_with("FAILED  event "), "{said}");

    std::fs::write(&recording, b"something else altogether").expect("a disk");
    let other = run(&["serve", "replay", &file]);
    assert_eq!(other.status.code(), Some(2));
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(
        said.contains("this is no recording of a card's bus"),
        "{said}"
    );
    let again = run(&[
        "serve",
        "vfio-user",
        "--socket",
        "unused.sock",
        "--record",
        &file,
    ]);
    assert_eq!(
        again.status.code(),
        Some(2),
        "a recording is never written over"
    );
    std::fs::remove_file(&recording).expect("a file");
}

#[test]
fn the_recording_of_a_card_that_has_nothing_to_do_does_not_grow() {
    let recording = socket_path().with_extension("bus");
    let file = recording.to_str().expect("text");
    // A server that looks at doorbells all the time.
    let first = served(&["--record", file, "--doorbells", "shared"]);
    let second = served(&[]);
    let (mut load, _) = Load::new(&first.socket, &second.socket);
    load.settle();
    let len_after_idling = || {
        // Each order is a round of the server, and writes out what there is.
        for _ in 0..50 {
            assert_eq!(first.order(&["stats"]).status.code(), Some(0));
        }
        std::fs::metadata(&recording).expect("a recording").len()
    };
    let before = len_after_idling();
    assert_eq!(len_after_idling(), before);
    load.send(IN_FLIGHT);
    load.settle();
    assert!(len_after_idling() > before);
    std::fs::remove_file(&recording).expect("a file");
}
