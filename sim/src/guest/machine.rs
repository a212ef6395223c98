//! A virtual machine with cards in it.
//!
//! Owns the command line of QEMU, the initramfs and the process. The CPU is always emulated: a
//! machine that offers KVM and cannot run this kernel would hang instead of failing. Memory is a
//! shared file, so that a server reaches it, and there is an IOMMU, without which the guest's
//! vfio-pci takes no card.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use super::cache::Cache;

/// First process of the guest.
const INIT: &str = include_str!("../../guest/init");
/// Memory of the guest, in MiB.
const MEMORY_MIB: u32 = 512;
/// Where programs find their libraries in the guest.
const LIBRARIES: &str = "lib64";

/// Virtio crypto devices that a guest may have: what serves them, and their slots.
pub(crate) const VIRTIO_CRYPTO: [(&str, &str); 2] = [("builtin", "1d"), ("vhost-user", "1e")];

/// Arguments for both: QEMU's own, and the one that is served on `socket`.
pub(crate) fn virtio_crypto(socket: &Path) -> Vec<String> {
    let [(_, builtin), (_, served)] = VIRTIO_CRYPTO;
    // A comma in an option is written twice.
    let socket = socket.display().to_string().replace(',', ",,");
    let arguments = [
        "-object",
        "cryptodev-backend-builtin,id=crypto0",
        "-device",
        &format!("virtio-crypto-pci,cryptodev=crypto0,addr=0x{builtin}"),
        "-chardev",
        &format!("socket,id=crypto1-socket,path={socket}"),
        "-object",
        "cryptodev-vhost-user,id=crypto1,chardev=crypto1-socket",
        "-device",
        &format!("virtio-crypto-pci,cryptodev=crypto1,addr=0x{served}"),
    ];
    arguments.map(str::to_owned).to_vec()
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Why there is no guest.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The initramfs could not be made.
    #[error("cannot make the initramfs: {what}")]
    Initramfs {
        /// Which step failed.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// QEMU does not start.
    #[error("cannot start QEMU")]
    Start(#[source] io::Error),
}

const fn initramfs(what: &'static str) -> impl FnOnce(io::Error) -> MachineError {
    move |source| MachineError::Initramfs { what, source }
}

/// What a guest is made with.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Sockets of the servers whose cards are in it.
    pub cards: Vec<PathBuf>,
    /// Program that is in it as `ringside`; its libraries come with it if it is this very program.
    pub program: Option<PathBuf>,
    /// Shell script that the guest runs before it switches itself off; without one a person gets a
    /// shell.
    pub script: Option<String>,
    /// Whether each card `n` sits behind a port `portn` of its own, which it can be taken from and
    /// put into.
    pub has_ports: bool,
    /// Where QEMU's monitor listens (QMP).
    pub monitor: Option<PathBuf>,
    /// More arguments for QEMU.
    pub arguments: Vec<String>,
}

impl Machine {
    /// Boots. The script's output comes through [`Guest::line`].
    ///
    /// # Errors
    /// [`MachineError`] if the initramfs cannot be made or QEMU does not start.
    pub fn boot(&self, cache: &Cache) -> Result<Guest, MachineError> {
        let folder = self.pack(cache)?;
        let mut qemu = self.command(cache, folder.path());
        let console = folder.path().join("console");
        let console = format!("file:{}", console.display());
        qemu.args(["-display", "none", "-serial", &console]);
        qemu.args(["-chardev", "stdio,id=out,signal=off"]);
        qemu.args(["-serial", "chardev:out"]);
        let log = File::create(folder.path().join("qemu")).map_err(MachineError::Start)?;
        qemu.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut process = qemu.spawn().map_err(MachineError::Start)?;
        let output = process.stdout.take();
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let Some(output) = output else { return };
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Guest {
            process,
            lines,
            folder,
        })
    }

    /// Boots with the guest's console on this terminal, and waits for the end.
    ///
    /// # Errors
    /// [`MachineError`] if the initramfs cannot be made or QEMU does not start.
    pub fn run_on_terminal(&self, cache: &Cache) -> Result<bool, MachineError> {
        let folder = self.pack(cache)?;
        let mut qemu = self.command(cache, folder.path());
        qemu.args(["-display", "none", "-serial", "mon:stdio"]);
        let status = qemu.status().map_err(MachineError::Start)?;
        Ok(status.success())
    }

    /// Card `number` with the server on the socket `card`, as QEMU takes it on its command line and
    /// from its monitor.
    #[must_use]
    pub fn device(number: usize, card: &Path) -> serde_json::Value {
        serde_json::json!({
            "driver": "vfio-user-pci",
            "id": format!("card{number}"),
            // A test machine may be busy: a server that is late is no reason to lose the card.
            "x-msg-timeout": 60_000,
            "socket": { "type": "unix", "path": card.to_string_lossy() },
        })
    }

    fn command(&self, cache: &Cache, folder: &Path) -> Command {
        let mut qemu = Command::new(cache.file("qemu"));
        let memory = format!("memory-backend-memfd,id=mem0,size={MEMORY_MIB}M,share=on");
        qemu.args(["-nodefaults", "-no-reboot", "-accel", "tcg,thread=multi"]);
        qemu.args(["-machine", "q35,memory-backend=mem0", "-cpu", "max"]);
        qemu.args(["-m", &MEMORY_MIB.to_string(), "-object", &memory]);
        qemu.args(["-device", "intel-iommu,intremap=on,caching-mode=on"]);
        if let Some(monitor) = &self.monitor {
            let socket = format!("unix:{},server=on,wait=off", monitor.display());
            qemu.args(["-qmp", &socket]);
        }
        for (number, card) in self.cards.iter().enumerate() {
            let mut device = Self::device(number, card);
            if self.has_ports {
                let (port, slot) = (format!("port{number}"), number + 1);
                let port_of = format!("pcie-root-port,id={port},chassis={slot},slot={slot}");
                qemu.args(["-device", &port_of]);
                device["bus"] = port.into();
            }
            qemu.args(["-device", &device.to_string()]);
        }
        qemu.arg("-kernel").arg(cache.file("vmlinux"));
        qemu.arg("-initrd").arg(folder.join("initramfs"));
        let kernel = "console=ttyS0 quiet panic=-1 mitigations=off intel_iommu=on";
        qemu.args(["-append", kernel]);
        qemu.args(&self.arguments);
        qemu
    }

    /// Makes the initramfs: what is in the cache, and after it what this guest brings.
    fn pack(&self, cache: &Cache) -> Result<Folder, MachineError> {
        let folder = Folder::new().map_err(initramfs("a folder"))?;
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("bin")).map_err(initramfs("a folder"))?;
        write_program(&tree.join("init"), INIT).map_err(initramfs("the first process"))?;
        if let Some(script) = &self.script {
            let script = format!("#!/bin/sh\n{script}\n");
            write_program(&tree.join("script"), &script).map_err(initramfs("the script"))?;
        }
        if let Some(program) = &self.program {
            copy_program(program, &tree).map_err(initramfs("the program"))?;
        }
        let whole = folder.path().join("initramfs");
        fs::copy(cache.file("base.cpio"), &whole).map_err(initramfs("its first part"))?;
        let whole = File::options().append(true).open(&whole);
        let whole = whole.map_err(initramfs("its second part"))?;
        let packed = Command::new("sh")
            .args(["-c", r#"find . | "$0" cpio -o -H newc"#])
            .arg(cache.file("busybox"))
            .current_dir(&tree)
            .stdout(whole)
            .stderr(Stdio::null())
            .status();
        let packed = packed.map_err(initramfs("its second part"))?;
        if !packed.success() {
            let source = io::Error::other(packed.to_string());
            return Err(initramfs("its second part")(source));
        }
        Ok(folder)
    }
}

/// Writes a program that may be run.
fn write_program(path: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o755)
        .open(path)?;
    file.write_all(text.as_bytes())
}

/// Copies a program, and if it is the one that runs now, the libraries it was loaded with.
fn copy_program(program: &Path, tree: &Path) -> io::Result<()> {
    fs::copy(program, tree.join("bin/ringside"))?;
    if program.canonicalize()? != std::env::current_exe()?.canonicalize()? {
        return Ok(());
    }
    let libraries = tree.join(LIBRARIES);
    fs::create_dir_all(&libraries)?;
    for line in fs::read_to_string("/proc/self/maps")?.lines() {
        let file = line.split_whitespace().nth(5).map(Path::new);
        let file = file.filter(|file| is_library(file));
        if let Some((file, name)) = file.and_then(|file| Some((file, file.file_name()?))) {
            fs::copy(file, libraries.join(name))?;
        }
    }
    Ok(())
}

fn is_library(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.is_absolute() && (name.ends_with(".so") || name.contains(".so."))
}

/// A folder that goes when this does.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringside-guest-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What came of waiting for a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Line {
    /// The script said this.
    Said(String),
    /// The script ended, with this status.
    Ended(i32),
    /// The machine went without its script having ended.
    Gone,
    /// The time was over.
    Late,
}

/// A guest that runs. It is switched off when this is dropped.
#[derive(Debug)]
pub struct Guest {
    process: Child,
    lines: Receiver<String>,
    folder: Folder,
}

impl Guest {
    /// The next line of the script's output; waits for it, at most for `time`.
    pub fn line(&mut self, time: Duration) -> Line {
        match self.lines.recv_timeout(time) {
            Ok(line) => match line.strip_prefix("exit ").map(str::parse) {
                Some(Ok(status)) => Line::Ended(status),
                _ => Line::Said(line),
            },
            Err(RecvTimeoutError::Timeout) => Line::Late,
            Err(RecvTimeoutError::Disconnected) => Line::Gone,
        }
    }

    /// What kernel and QEMU said so far, for people who look for what went wrong.
    #[must_use]
    pub fn log(&self) -> String {
        let read = |name: &str| {
            let bytes = fs::read(self.folder.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        format!("console:\n{}\nQEMU:\n{}", read("console"), read("qemu"))
    }

    /// Waits until the machine has switched itself off; whether QEMU was content.
    ///
    /// # Errors
    /// If the process cannot be waited for.
    pub fn power_off(&mut self) -> io::Result<bool> {
        Ok(self.process.wait()?.success())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_known_by_its_name() {
        for name in [
            "/lib64/ld-linux-x86-64.so.2",
            "/usr/lib/libc.so.6",
            "/a/libm.so",
        ] {
            assert!(is_library(Path::new(name)), "{name}");
        }
        for name in ["/usr/bin/ringside", "[heap]", "/lib/locale.so-not/x"] {
            assert!(!is_library(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn a_card_is_given_to_qemu_by_its_socket_whatever_that_is_called() {
        let machine = Machine {
            cards: vec![PathBuf::from("a \"card\".sock")],
            ..Machine::default()
        };
        let cache = Cache::at(Path::new("cache"));
        let command = machine.command(&cache, Path::new("folder"));
        let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
        let card = arguments.iter().find(|a| a.contains("vfio-user-pci"));
        let card: serde_json::Value = serde_json::from_str(card.expect("a card")).expect("JSON");
        assert_eq!(card["socket"]["path"], "a \"card\".sock");
        assert!(card["bus"].is_null(), "nobody asked for a port");
        assert!(!arguments.iter().any(|a| a.contains("kvm")));
    }

    #[test]
    fn a_card_that_can_be_unplugged_sits_behind_a_port_of_its_own() {
        let machine = Machine {
            cards: ["a.sock", "b.sock"].map(PathBuf::from).to_vec(),
            has_ports: true,
            ..Machine::default()
        };
        let cache = Cache::at(Path::new("cache"));
        let command = machine.command(&cache, Path::new("folder"));
        let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
        for number in 0..2 {
            let port = format!("pcie-root-port,id=port{number},");
            let port = arguments.iter().position(|a| a.starts_with(&port));
            let card = arguments
                .iter()
                .position(|a| a.contains(&format!("\"card{number}\"")));
            assert!(port.expect("a port") < card.expect("a card"));
            let card: serde_json::Value =
                serde_json::from_str(&arguments[card.expect("a card")]).expect("JSON");
            assert_eq!(card["bus"], format!("port{number}"));
        }
    }
}
