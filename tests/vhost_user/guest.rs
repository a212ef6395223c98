//! QEMU's `cryptodev-vhost-user` and a stock Linux guest over the served card.
//!
//! The guest runs this very program.

use std::time::Duration;

use device_model::Latch;
use serve::Pacing;
use sim::guest::cache::Cache;
use sim::guest::machine::{Line, Machine};

use crate::served::Served;

/// What the guest is asked: its kernel's opinion of the device, and ours.
const SCRIPT: &str = "
for module in virtio_crypto cbc algif_skcipher; do modprobe $module; done
grep -A 7 virtio_crypto_aes_cbc /proc/crypto | grep selftest
ringside --exact --ignored --nocapture --test-threads 1";
/// Longest silence of a guest.
const PATIENCE: Duration = Duration::from_secs(300);

/// The tests that the guest runs.
const ALIKE: &str = "alg::in_a_guest_the_kernel_gets_the_same_from_the_device_as_from_its_own_code";
const COUNTED: &str = "alg::in_a_guest_requests_are_counted";

/// Boots a guest with `device` in it that runs `test`; gives what it says, and its exit status.
fn boot(device: &[&str], test: &str) -> (String, i32) {
    let machine = Machine {
        program: Some(std::env::current_exe().expect("a program")),
        script: Some(format!("{SCRIPT} {test} 2>&1")),
        arguments: device.iter().map(ToString::to_string).collect(),
        ..Machine::default()
    };
    let cache = Cache::prepare(None).expect("QEMU and a kernel");
    let mut guest = machine.boot(&cache).expect("a guest");
    let mut said = String::new();
    loop {
        match guest.line(PATIENCE) {
            Line::Said(line) => said = said + &line + "\n",
            Line::Ended(status) => {
                assert!(guest.power_off().expect("a process"), "{}", guest.log());
                return (said, status);
            }
            what @ (Line::Gone | Line::Late) => panic!("{what:?} after {said}\n{}", guest.log()),
        }
    }
}

/// The arguments for a device over the socket `path`; `event_index` as a guest negotiates it.
fn boot_over(served: &Served, event_index: &str, test: &str) -> (String, i32) {
    let socket = format!("socket,id=crypto0,path={}", served.path().display());
    let device = format!("virtio-crypto-pci,cryptodev=dev0,event_idx={event_index}");
    let backend = "cryptodev-vhost-user,id=dev0,chardev=crypto0";
    let arguments = ["-chardev", &socket, "-object", backend, "-device", &device];
    boot(&arguments, test)
}

#[test]
#[ignore = "boots a guest"]
fn a_stock_guest_takes_the_device_and_gets_the_same_as_from_its_own_code() {
    for event_index in ["on", "off"] {
        let served = Served::new();
        let (output, status) = boot_over(&served, event_index, ALIKE);
        assert!(output.contains("selftest     : passed"), "{output}");
        assert!(output.contains("alike 200"), "{output}");
        assert_eq!(status, 0, "{output}");
        assert_eq!(served.end(), "the other end closed the socket");
    }
}

#[test]
#[ignore = "boots a guest"]
fn a_card_that_gets_one_byte_wrong_does_not_pass_for_a_good_one() {
    // The first result is the self-test's, a later one that of a message.
    for nth in [0, 100] {
        let served = Served::with(Pacing::Free, &[Latch::CorruptOutput { nth }]);
        let (output, status) = boot_over(&served, "on", ALIKE);
        assert!(!output.contains("alike 200"), "{output}");
        assert_ne!(status, 0, "{output}");
    }
}

#[test]
#[ignore = "prints figures, which mean something on a quiet machine only"]
fn a_guest_counts_requests_over_the_card_and_over_the_cipher_of_qemu() {
    let served = Served::new();
    println!("vhost-user:\n{}", boot_over(&served, "on", COUNTED).0);
    let arguments = [
        "-object",
        "cryptodev-backend-builtin,id=dev0",
        "-device",
        "virtio-crypto-pci,cryptodev=dev0",
    ];
    println!("builtin:\n{}", boot(&arguments, COUNTED).0);
}
