//! Cards in processes of their own, which are killed, stopped, cut off, pulled out and put in
//! again; and what crossed their edge, replayed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use device_model::Profile;
use framework::{DriverId, Operation, Request, RequestError};
use rustix::process::{Pid, Signal, kill_process};

use crate::between::{Between, Fate, Memory};
use crate::served::{Doorbells, Served, socket_path};
use crate::stack::{Stack, cbc, first_bytes, payload};

/// Requests that are under way when something happens to a card.
const IN_FLIGHT: usize = 1024;

/// The program, built as this test is.
fn ringside() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let test = std::env::current_exe().expect("a path");
        let folder = test.ancestors().nth(2).expect("a folder of binaries");
        let mut build = Command::new(env!("CARGO"));
        // As the whole workspace is built, so that nothing is built twice.
        build.args(["build", "--quiet", "--workspace", "--bin", "ringside"]);
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        build
            .arg("--target-dir")
            .arg(folder.parent().expect("a target folder"));
        if folder.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo").success());
        folder.join("ringside")
    })
}

fn run(args: &[&str]) -> Output {
    let output = Command::new(ringside()).args(args).output();
    output.expect("a program that runs")
}

/// `ringside serve vfio-user` in a process.
#[derive(Debug)]
struct Process {
    child: Child,
    socket: PathBuf,
    control: PathBuf,
}

impl Process {
    fn new(more: &[&str]) -> Self {
        Self::at(&socket_path(), more)
    }

    fn at(socket: &Path, more: &[&str]) -> Self {
        let control = socket.with_extension("ctl");
        let mut serve = Command::new(ringside());
        serve.args(["serve", "vfio-user", "--socket"]).arg(socket);
        serve.arg("--control").arg(&control).args(more);
        let mut child = serve
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a process");
        // It says where it listens when it does.
        let mut said = [0; 1];
        let out = child.stdout.as_mut().expect("a pipe");
        std::io::Read::read_exact(out, &mut said).expect("a server that starts");
        Self {
            child,
            socket: socket.to_owned(),
            control,
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a process to tell");
    }

    fn order(&self, words: &[&str]) -> Output {
        let control = self.control.to_str().expect("text");
        run(&[&["ctl", "--socket", control], words].concat())
    }

    fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(folder).expect("a process").count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
        let _ = std::fs::remove_file(&self.control);
    }
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
    let (first, second) = (Process::new(&[]), Process::new(&[]));
    let socket = first.socket.clone();
    let (mut load, doomed) = Load::new(&socket, &second.socket);
    assert!(load.sessions_on(doomed) > 0);
    first.signal(Signal::KILL);
    load.settle();
    assert_eq!(load.sessions_on(doomed), 0);
    drop(first);
    let again = Process::at(&socket, &[]);
    load.comes_back(&again.socket);
}

#[test]
fn a_stopped_process_is_a_card_that_was_pulled_out() {
    let (first, second) = (Process::new(&[]), Process::new(&[]));
    let (mut load, doomed) = Load::new(&first.socket, &second.socket);
    first.signal(Signal::STOP);
    load.send(64);
    load.settle();
    assert_eq!(load.sessions_on(doomed), 0);
}

#[test]
fn a_socket_that_is_cut_is_a_card_that_was_pulled_out() {
    let first = Served::new(Profile::reference(), Doorbells::Trapped);
    let second = Process::new(&[]);
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
    let (first, second) = (Process::new(&[]), Process::new(&[]));
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
    let (first, second) = (Process::new(&[]), Process::new(&[]));
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
    let process = Process::new(&[]);
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
            before = process.descriptors();
        }
    }
    // The last client may not have been noticed yet.
    while order("stats\n").contains("\"ranges\":1") {}
    assert!(
        process.descriptors() <= before,
        "{} {before}",
        process.descriptors()
    );
}

#[test]
fn what_crossed_the_edge_of_a_card_is_replayed_to_the_bit() {
    let recording = socket_path().with_extension("bus");
    let file = recording.to_str().expect("text").to_owned();
    let (first, second) = (Process::new(&["--record", &file]), Process::new(&[]));
    let (mut load, _) = Load::new(&first.socket, &second.socket);
    load.settle();
    assert_eq!(
        first.order(&["fault", "corrupt-output", "3"]).status.code(),
        Some(0)
    );
    assert_eq!(first.order(&["unplug"]).status.code(), Some(0));
    assert_eq!(first.order(&["plug"]).status.code(), Some(0));
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
