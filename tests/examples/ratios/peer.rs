//! The whole way beside DPDK's `crypto_null`, a driver that only moves pointers through a ring.
//!
//! Owns the way from the machine's own packages to a peer that runs: what of DPDK is missing is
//! fetched by apt into a folder of the build and not installed; `dpdk_null.c` is compiled against
//! it and asked for a round at a time. Where that cannot be had, one line says why, and the rows
//! are left out.

use std::cell::RefCell;
use std::fmt::{self, Display};
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;

use sim::recorder::Level;

use super::{Goal, Measure, ROUND_TIME, Row, row, whole_way};

/// What a row is about. The number is that of requests in a burst.
#[derive(Clone, Copy)]
enum Quantity {
    /// Nanoseconds of the peer's requests.
    Peer(Source, u32),
    /// Ours by the peer's.
    Ratio(Source, u32),
}

/// Where the peer has the requests of a burst from.
#[derive(Clone, Copy)]
enum Source {
    /// The same ones again, as they are. So does our own row.
    Kept,
    /// Taken from a pool, filled in and put back, as DPDK's own tool for measuring does.
    Pool,
}

const ROWS: [(&str, Goal, Quantity); 8] = {
    use Quantity::{Peer, Ratio};
    use Source::{Kept, Pool};
    let kept_32 = "whole way, 32 in flight / DPDK crypto_null burst 32, kept";
    let pool_32 = "whole way, 32 in flight / DPDK crypto_null burst 32, pool";
    let kept_1 = "whole way, 1 in flight / DPDK crypto_null burst 1, kept";
    let pool_1 = "whole way, 1 in flight / DPDK crypto_null burst 1, pool";
    let no = Goal::None;
    [
        ("DPDK crypto_null burst 32, kept", no, Peer(Kept, 32)),
        ("DPDK crypto_null burst 32, pool", no, Peer(Pool, 32)),
        (kept_32, no, Ratio(Kept, 32)),
        (pool_32, Goal::AtMost(5.0), Ratio(Pool, 32)),
        ("DPDK crypto_null burst 1, kept", no, Peer(Kept, 1)),
        ("DPDK crypto_null burst 1, pool", no, Peer(Pool, 1)),
        (kept_1, no, Ratio(Kept, 1)),
        (pool_1, Goal::AtMost(1.0), Ratio(Pool, 1)),
    ]
};

/// Those of the rows that are `wanted`; for none of them nothing is fetched or started.
pub(super) fn rows(wanted: impl Fn(&str) -> bool) -> Vec<Row> {
    if !ROWS.iter().any(|(name, ..)| wanted(name)) {
        return Vec::new();
    }
    let peer = match Peer::start() {
        Ok(peer) => Rc::new(RefCell::new(peer)),
        Err(reason) => {
            println!("no rows beside DPDK: {reason}");
            return Vec::new();
        }
    };
    let rows = ROWS.into_iter().filter(|(name, ..)| wanted(name));
    rows.map(|(name, goal, quantity)| {
        let peer = Rc::clone(&peer);
        match quantity {
            Quantity::Peer(source, burst) => {
                row(name, "ns/request", goal, rounds(peer, source, burst))
            }
            Quantity::Ratio(source, burst) => row(name, "", goal, ratio(peer, source, burst)),
        }
    })
    .collect()
}

fn rounds(peer: Rc<RefCell<Peer>>, source: Source, burst: u32) -> Measure {
    Box::new(move || {
        let answer = peer.borrow_mut().round(source, burst);
        answer.expect("a peer that answered before")
    })
}

fn ratio(peer: Rc<RefCell<Peer>>, source: Source, burst: u32) -> Measure {
    let mut ours = whole_way(burst, Level::Digest);
    let mut peers = rounds(peer, source, burst);
    Box::new(move || ours() / peers())
}

/// Why the peer cannot be had here.
#[derive(Debug)]
struct Missing(String);

impl Missing {
    fn new(what: impl Display, why: impl Display) -> Self {
        Self(format!("{what}: {why}"))
    }
}

impl Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `dpdk_null.c` at work. It ends when its input does, so with this process at the latest.
struct Peer {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Holds the pipe for its complaints.
    child: Child,
}

impl Peer {
    fn start() -> Result<Self, Missing> {
        let dpdk = Dpdk::fetched()?;
        let program = dpdk.compile()?;
        let mut child = Command::new(&program)
            .env("LD_LIBRARY_PATH", &dpdk.libraries)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Missing::new(program.display(), error))?;
        let mut peer = Self {
            input: child.stdin.take().expect("a piped input"),
            output: BufReader::new(child.stdout.take().expect("a piped output")),
            child,
        };
        match peer.round(Source::Kept, 1) {
            Ok(_) => Ok(peer),
            Err(_) => Err(peer.last_words()),
        }
    }

    /// Has the peer measure one round; gives the nanoseconds of a request.
    fn round(&mut self, source: Source, burst: u32) -> io::Result<f64> {
        let source = match source {
            Source::Kept => "kept",
            Source::Pool => "pool",
        };
        writeln!(self.input, "{source} {burst} {}", ROUND_TIME.as_nanos())?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        answer.trim().parse().map_err(io::Error::other)
    }

    fn last_words(self) -> Missing {
        drop(self.input);
        match self.child.wait_with_output() {
            Ok(output) => Missing::new(output.status, complaint(&output.stderr)),
            Err(error) => Missing::new("the peer does not end", error),
        }
    }
}

/// DPDK's headers and libraries, in a folder of the build.
struct Dpdk {
    folder: PathBuf,
    /// Version of the binary interface, the end of the names of packages and libraries.
    version: String,
    headers: [PathBuf; 2],
    libraries: PathBuf,
}

impl Dpdk {
    /// Finds what an earlier run fetched, or fetches it.
    fn fetched() -> Result<Self, Missing> {
        let depends = run(Command::new("apt-cache").args(["depends", "libdpdk-dev"]))?;
        let version = interface_version(&depends)
            .ok_or_else(|| Missing::new("apt-cache", "libdpdk-dev has no crypto_null"))?;
        // This program is `examples/ratios` of a profile's folder.
        let program = std::env::current_exe().map_err(|error| Missing::new("own path", error))?;
        let build = program.ancestors().nth(3).expect("a program in its folder");
        let folder = build.join("dpdk").join(version);
        if !folder.exists() {
            fetch(version, &folder)?;
        }
        Self::in_folder(folder, version)
    }

    /// Headers and libraries stand in a folder named after the kind of machine.
    fn in_folder(folder: PathBuf, version: &str) -> Result<Self, Missing> {
        let usr = folder.join("root/usr");
        let mut names = files(&usr.join("lib"))?.into_iter();
        let libraries = names
            .find(|path| path.join("pkgconfig/libdpdk.pc").exists())
            .ok_or_else(|| Missing::new(folder.display(), "no libraries of DPDK"))?;
        let machine = libraries.file_name().expect("a folder with a name");
        let include = usr.join("include");
        Ok(Self {
            headers: [include.join("dpdk"), include.join(machine).join("dpdk")],
            libraries,
            version: version.to_owned(),
            folder,
        })
    }

    fn compile(&self) -> Result<PathBuf, Missing> {
        let source = self.folder.join("dpdk_null.c");
        let program = self.folder.join("dpdk_null");
        let written = fs::write(&source, include_str!("dpdk_null.c"));
        written.map_err(|error| Missing::new(source.display(), error))?;
        let mut compiler = Command::new("cc");
        compiler.args(["-O3", "-march=native", "-include", "rte_config.h", "-o"]);
        compiler.args([&program, &source]);
        for headers in &self.headers {
            compiler.arg("-I").arg(headers);
        }
        compiler.arg("-L").arg(&self.libraries);
        compiler.args(["-Xlinker", "-rpath-link", "-Xlinker"]);
        // Drivers announce themselves when they are loaded; nobody calls them by name.
        compiler.arg(&self.libraries).arg("-Wl,--no-as-needed");
        for library in [
            "eal",
            "mempool",
            "mempool_ring",
            "mbuf",
            "bus_vdev",
            "cryptodev",
            "crypto_null",
        ] {
            compiler.arg(format!("-l:librte_{library}.so.{}", self.version));
        }
        run(&mut compiler)?;
        Ok(program)
    }
}

/// Brings the headers, and what of the libraries the machine lacks, into `folder`.
fn fetch(version: &str, folder: &Path) -> Result<(), Missing> {
    let drivers = ["crypto-null", "mempool-ring"].map(|it| format!("librte-{it}{version}"));
    let install = ["install", "--simulate", "--no-install-recommends"];
    let simulation = run(Command::new("apt-get").args(install).args(&drivers))?;
    // A fetch that was cut short leaves only this behind.
    let part = folder.with_extension("part");
    let failed = |error| Missing::new(part.display(), error);
    if part.exists() {
        fs::remove_dir_all(&part).map_err(failed)?;
    }
    fs::create_dir_all(&part).map_err(failed)?;
    let mut download = Command::new("apt-get");
    download
        .current_dir(&part)
        .args(["download", "libdpdk-dev"]);
    download.args(lacking(&simulation));
    run(download.args([
        "-o",
        "Acquire::Retries=0",
        "-o",
        "Acquire::http::Timeout=10",
    ]))?;
    for package in files(&part)? {
        let mut unpack = Command::new("dpkg-deb");
        run(unpack.arg("-x").arg(package).arg(part.join("root")))?;
    }
    fs::rename(&part, folder).map_err(failed)
}

/// What is in `folder`.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Missing> {
    let entries = fs::read_dir(folder).and_then(|entries| {
        let paths = entries.map(|entry| entry.map(|it| it.path()));
        paths.collect()
    });
    entries.map_err(|error| Missing::new(folder.display(), error))
}

/// Runs a tool to its end; gives what it printed.
fn run(command: &mut Command) -> Result<String, Missing> {
    let tool = command.get_program().to_string_lossy().into_owned();
    let output = command
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| Missing::new(&tool, error))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Missing::new(tool, complaint(&output.stderr)))
    }
}

/// The line of a tool's complaints that says most: the first that calls itself an error, or the
/// last.
fn complaint(complaints: &[u8]) -> String {
    let text = String::from_utf8_lossy(complaints);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_error = |line: &&str| line.starts_with("E: ") || line.contains("error: ");
    let found = lines.clone().find(is_error).or(lines.next_back());
    found.unwrap_or("no reason given").to_owned()
}

/// What follows the name of the null driver in the list of what `libdpdk-dev` depends on.
fn interface_version(depends: &str) -> Option<&str> {
    let mut lines = depends.lines();
    lines.find_map(|line| line.trim().strip_prefix("Depends: librte-crypto-null"))
}

/// The packages that an installation would bring to this machine.
fn lacking(simulation: &str) -> impl Iterator<Item = &str> {
    let lines = simulation.lines();
    lines.filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_driver_the_headers_belong_to() {
        let depends = "libdpdk-dev\n  Depends: librte-common-mlx5-23\n  \
                       Depends: librte-crypto-null23\n  Recommends: dpdk\n";
        assert_eq!(interface_version(depends), Some("23"));
        assert_eq!(interface_version("libdpdk-dev\n  Depends: dpdk\n"), None);
    }

    #[test]
    fn what_an_installation_would_bring_is_lacking() {
        let simulation = "NOTE: This is only a simulation!\n\
                          Inst libfdt1 (1.6.1-4+b1 Debian:12 [amd64])\n\
                          Inst librte-eal23 [22.11.7] (22.11.11 Debian:12 [amd64])\n\
                          Conf libfdt1 (1.6.1-4+b1 Debian:12 [amd64])\n";
        let lacking: Vec<&str> = lacking(simulation).collect();
        assert_eq!(lacking, ["libfdt1", "librte-eal23"]);
    }

    #[test]
    fn a_complaint_is_the_first_error_or_the_last_line() {
        let apt = b"W: unsandboxed\nE: Unable to locate package x\nE: No packages found\n";
        assert_eq!(complaint(apt), "E: Unable to locate package x");
        let compiler = b"In file included from a.c:1:\na.c:2:1: error: no\ncompilation ended\n\n";
        assert_eq!(complaint(compiler), "a.c:2:1: error: no");
        assert_eq!(complaint(b"EAL: one\nEAL: two\n"), "EAL: two");
        assert_eq!(complaint(b""), "no reason given");
    }
}
