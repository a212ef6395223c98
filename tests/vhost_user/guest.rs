//! QEMU's `cryptodev-vhost-user` and a stock Linux guest over the served card.
//!
//! Boots from the folder with QEMU and a kernel that `RINGSIDE_GUEST` names, as `docs/testing.md`
//! describes it. The guest runs this very program.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use device_model::Latch;
use serve::Pacing;

use crate::served::Served;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// What the guest does first of all.
const INIT: &str = "#!/bin/sh
export PATH=/bin LD_LIBRARY_PATH=/lib64
/bin/busybox --install -s /bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
for module in virtio_crypto cbc algif_skcipher; do modprobe $module; done
cd /
(sh /script; echo exit $?) > /dev/ttyS1 2>&1
poweroff -f
";
/// What the guest is asked: its kernel's opinion of the device, and ours.
const SCRIPT: &str = "
grep -A 7 virtio_crypto_aes_cbc /proc/crypto | grep selftest
/bin/program --exact --ignored --nocapture --test-threads 1";

/// The tests that the guest runs.
const ALIKE: &str = "alg::in_a_guest_the_kernel_gets_the_same_from_the_device_as_from_its_own_code";
const COUNTED: &str = "alg::in_a_guest_requests_are_counted";

/// The folder with QEMU and a kernel, if there is one.
fn folder() -> PathBuf {
    let folder = std::env::var_os("RINGSIDE_GUEST").map(PathBuf::from);
    folder.expect("RINGSIDE_GUEST names a folder with QEMU and a kernel")
}

/// Copies this program and the libraries that it was loaded with.
fn copy_program(tree: &Path) {
    let program = std::env::current_exe().expect("a program");
    fs::copy(program, tree.join("bin/program")).expect("a copy");
    let maps = fs::read_to_string("/proc/self/maps").expect("a list");
    for line in maps.lines() {
        let file = line.split_whitespace().nth(5).map(Path::new);
        let Some((file, name)) = file.and_then(|file| Some((file, file.file_name()?))) else {
            continue;
        };
        if name.to_string_lossy().contains(".so") {
            fs::copy(file, tree.join("lib64").join(name)).expect("a library");
        }
    }
}

/// Boots a guest with `device` in it, and gives what its script says.
fn boot(folder: &Path, device: &[&str], test: &str) -> String {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("ringside-crypto-guest-{}-{number}", std::process::id());
    let place = std::env::temp_dir().join(name);
    let tree = place.join("tree");
    fs::create_dir_all(tree.join("bin")).expect("a folder");
    fs::create_dir_all(tree.join("lib64")).expect("a folder");
    fs::write(tree.join("init"), INIT).expect("a file");
    let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    fs::set_permissions(tree.join("init"), mode).expect("a program");
    fs::write(tree.join("script"), format!("{SCRIPT} {test}\n")).expect("a file");
    copy_program(&tree);
    let whole = place.join("initramfs");
    fs::copy(folder.join("base.cpio"), &whole).expect("an initramfs");
    let packed = Command::new("sh")
        .args(["-c", r#"find . | "$0" cpio -o -H newc"#])
        .arg(folder.join("busybox"))
        .current_dir(&tree)
        .stdout(File::options().append(true).open(&whole).expect("a file"))
        .stderr(Stdio::null())
        .status();
    assert!(packed.expect("a shell").success());
    let output = Command::new("timeout")
        .arg("300")
        .arg(folder.join("qemu"))
        .args(["-nodefaults", "-no-reboot", "-display", "none"])
        .args(["-accel", "tcg", "-cpu", "max", "-m", "512"])
        .args(["-machine", "q35,memory-backend=mem0"])
        .args(["-object", "memory-backend-memfd,id=mem0,size=512M,share=on"])
        .args(device)
        .arg("-kernel")
        .arg(folder.join("vmlinux"))
        .arg("-initrd")
        .arg(&whole)
        .args([
            "-append",
            "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check",
        ])
        .arg("-serial")
        .arg(format!("file:{}", place.join("console").display()))
        .args(["-serial", "stdio"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output();
    let output = String::from_utf8_lossy(&output.expect("QEMU").stdout).replace('\r', "");
    let console = fs::read_to_string(place.join("console")).unwrap_or_default();
    let _ = fs::remove_dir_all(&place);
    assert!(output.contains("exit "), "no end:\n{output}\n{console}");
    output
}

/// The arguments for a device over the socket `path`; `event_index` as a guest negotiates it.
fn boot_over(served: &Served, folder: &Path, event_index: &str, test: &str) -> String {
    let socket = format!("socket,id=crypto0,path={}", served.path().display());
    let device = format!("virtio-crypto-pci,cryptodev=dev0,event_idx={event_index}");
    let backend = "cryptodev-vhost-user,id=dev0,chardev=crypto0";
    let arguments = ["-chardev", &socket, "-object", backend, "-device", &device];
    boot(folder, &arguments, test)
}

#[test]
#[ignore = "boots a virtual machine from the folder that RINGSIDE_GUEST names"]
fn a_stock_guest_takes_the_device_and_gets_the_same_as_from_its_own_code() {
    let folder = folder();
    for event_index in ["on", "off"] {
        let served = Served::new();
        let output = boot_over(&served, &folder, event_index, ALIKE);
        assert!(output.contains("selftest     : passed"), "{output}");
        assert!(output.contains("alike 200"), "{output}");
        assert!(output.contains("exit 0"), "{output}");
        assert_eq!(served.end(), "the other end closed the socket");
    }
}

#[test]
#[ignore = "boots a virtual machine from the folder that RINGSIDE_GUEST names"]
fn a_card_that_gets_one_byte_wrong_does_not_pass_for_a_good_one() {
    let folder = folder();
    // The first result is the self-test's, a later one that of a message.
    for nth in [0, 100] {
        let served = Served::with(Pacing::Free, &[Latch::CorruptOutput { nth }]);
        let output = boot_over(&served, &folder, "on", ALIKE);
        assert!(!output.contains("alike 200"), "{output}");
        assert!(!output.contains("exit 0"), "{output}");
    }
}

#[test]
#[ignore = "prints figures, which mean something on a quiet machine only"]
fn a_guest_counts_requests_over_the_card_and_over_the_cipher_of_qemu() {
    let folder = folder();
    let served = Served::new();
    println!(
        "vhost-user:\n{}",
        boot_over(&served, &folder, "on", COUNTED)
    );
    let arguments = [
        "-object",
        "cryptodev-backend-builtin,id=dev0",
        "-device",
        "virtio-crypto-pci,cryptodev=dev0",
    ];
    println!("builtin:\n{}", boot(&folder, &arguments, COUNTED));
}
