//! A guest that was booted for a test, with what it says.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use sim::guest::cache::Cache;
use sim::guest::machine::{Guest, Line, Machine};

use crate::served::Served;

/// Longest silence of a guest: on a busy machine even the boot takes half a minute.
const PATIENCE: Duration = Duration::from_secs(150);

/// A guest and what it said so far.
pub(crate) struct Booted {
    guest: Guest,
    pub(crate) said: Vec<String>,
}

impl Booted {
    /// Boots a guest with `cards` in it that runs `script`.
    pub(crate) fn new(cards: &[&Served], script: &str) -> Self {
        Self::boot(cards, script, None)
    }

    /// Boots one from which cards can be taken, with the monitor on the socket `monitor`.
    pub(crate) fn with_monitor(cards: &[&Served], script: &str, monitor: &Path) -> Self {
        Self::boot(cards, script, Some(monitor.to_owned()))
    }

    fn boot(cards: &[&Served], script: &str, monitor: Option<PathBuf>) -> Self {
        let machine = Machine {
            cards: cards.iter().map(|card| card.path().to_owned()).collect(),
            program: Some(program().to_owned()),
            script: Some(script.to_owned()),
            has_ports: monitor.is_some(),
            monitor,
            arguments: Vec::new(),
        };
        Self {
            guest: machine.boot(cache()).expect("a guest"),
            said: Vec::new(),
        }
    }

    fn next(&mut self) -> Option<i32> {
        match self.guest.line(PATIENCE) {
            Line::Said(line) => {
                self.said.push(line);
                None
            }
            Line::Ended(status) => Some(status),
            what @ (Line::Gone | Line::Late) => {
                panic!("{what:?} after {:#?}\n{}", self.said, self.guest.log())
            }
        }
    }

    /// Waits until the guest says `line`.
    pub(crate) fn wait_for(&mut self, line: &str) {
        self.wait_until(|said| said == line);
    }

    /// Waits until `check` waits for what is done from outside.
    pub(crate) fn wait_until_it_waits(&mut self, check: &str) {
        self.wait_until(|said| {
            let said: Value = serde_json::from_str(said).unwrap_or_default();
            said["check"] == check && said["detail"] == ""
        });
    }

    fn wait_until(&mut self, is_it: impl Fn(&str) -> bool) {
        while !self.said.iter().any(|said| is_it(said)) {
            let status = self.next();
            assert_eq!(status, None, "ended: {:#?}", self.said);
        }
    }

    /// What the guest said, and the status that it ended with: the JSON objects but for those of a
    /// check that waits, and the verdict.
    pub(crate) fn findings(&mut self) -> (Vec<Value>, i32) {
        let status = loop {
            if let Some(status) = self.next() {
                break status;
            }
        };
        let is_told = |found: &Value| found["verdict"].is_null() && found["detail"] != "";
        (self.objects().filter(is_told).collect(), status)
    }

    fn objects(&self) -> impl Iterator<Item = Value> {
        self.said
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
    }

    /// The guest ends as it should; whether QEMU did. It gives up when a machine is switched off
    /// in which a card has lost its server, because memory cannot be mapped for it any more.
    pub(crate) fn switches_itself_off(&mut self) -> bool {
        let is_well = self.guest.power_off().expect("a process");
        let log = self.guest.log();
        assert!(log.contains("reboot: Power down"), "{log}");
        for trouble in ["Kernel panic", "BUG:", "Oops"] {
            assert!(!log.contains(trouble), "{log}");
        }
        is_well
    }
}

/// QEMU and a kernel, fetched once.
fn cache() -> &'static Cache {
    static CACHE: OnceLock<Cache> = OnceLock::new();
    CACHE.get_or_init(|| Cache::prepare(None).expect("QEMU and a kernel"))
}

/// The static program, built once.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(build)
}

/// Builds it beside everything else. Only the last step differs, so dependencies are shared.
fn build() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(&workspace).args([
        "rustc",
        "--quiet",
        "--locked",
        "--package",
        "sim",
        "--bin",
        "ringside",
    ]);
    cargo.args(["--features", "vfio", "--message-format", "json"]);
    cargo.args([
        "--",
        "-C",
        "target-feature=+crt-static",
        "-C",
        "strip=symbols",
    ]);
    let built = cargo.output().expect("cargo");
    let told = String::from_utf8_lossy(&built.stdout);
    let complaints = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{complaints}");
    let objects = told
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let program = objects
        .filter_map(|object: Value| Some(object["executable"].as_str()?.to_owned()))
        .next_back();
    // A copy: the next build of the usual program takes its place.
    let program = PathBuf::from(program.expect("a program"));
    let copy = program.with_file_name("ringside-guest");
    std::fs::copy(&program, &copy).expect("a copy");
    copy
}
