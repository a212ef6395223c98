//! The guest's side: its kernel's cipher over the device against the one without, through AF_ALG.
//!
//! Runs inside the guest only, as this very program.

use std::io::IoSlice;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::sockopt::AlgSetKey;
use nix::sys::socket::{
    AddressFamily, AlgAddr, ControlMessage, MsgFlags, SetSockOpt as _, SockFlag, SockType, bind,
    sendmsg, socket,
};
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;

/// The device's driver.
const DEVICE: &str = "virtio_crypto_aes_cbc";
/// One that has nothing to do with it.
const OTHER: &str = "cbc(aes-generic)";
/// Messages that are compared.
const MESSAGES: usize = 200;
/// Longest of them, in blocks.
const BLOCKS_MAX: usize = 2048;
/// How long each length is measured.
const MEASURED: Duration = Duration::from_secs(2);

/// What a kernel's socket for a cipher does.
#[derive(Clone, Copy)]
enum Way {
    Decrypt = 0,
    Encrypt = 1,
}

/// A socket with a key.
struct Cipher {
    _key: OwnedFd,
    operation: OwnedFd,
}

impl Cipher {
    fn new(driver: &str, key: &[u8]) -> Self {
        let flags = SockFlag::empty();
        let bound = socket(AddressFamily::Alg, SockType::SeqPacket, flags, None);
        let bound = bound.expect("a kernel with AF_ALG");
        let name = AlgAddr::new("skcipher", driver);
        bind(bound.as_raw_fd(), &name).unwrap_or_else(|error| panic!("{driver}: {error}"));
        AlgSetKey::default().set(&bound, &key).expect("a key");
        let operation = rustix::net::accept(&bound).expect("a socket");
        Self {
            _key: bound,
            operation,
        }
    }

    fn run(&self, way: Way, iv: &[u8; 16], bytes: &mut [u8]) {
        let parts = [IoSlice::new(bytes)];
        let operation = way as i32;
        let control = [
            ControlMessage::AlgSetIv(iv),
            ControlMessage::AlgSetOp(&operation),
        ];
        let fd = self.operation.as_raw_fd();
        let sent = sendmsg::<AlgAddr>(fd, &parts, &control, MsgFlags::empty(), None);
        assert_eq!(sent, Ok(bytes.len()));
        let mut done = 0;
        while done < bytes.len() {
            let read = rustix::io::read(&self.operation, &mut bytes[done..]);
            done += read.expect("a result");
        }
    }
}

#[test]
#[ignore = "runs in a guest, which the test of guests boots"]
fn in_a_guest_the_kernel_gets_the_same_from_the_device_as_from_its_own_code() {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    for _ in 0..MESSAGES {
        let mut key = vec![0; [16, 24, 32][random.random_range(0..3)]];
        let mut iv = [0; 16];
        let mut plain = vec![0; random.random_range(1..BLOCKS_MAX) * 16];
        random.fill_bytes(&mut key);
        random.fill_bytes(&mut iv);
        random.fill_bytes(&mut plain);
        let (device, other) = (Cipher::new(DEVICE, &key), Cipher::new(OTHER, &key));
        let (mut by_device, mut by_other) = (plain.clone(), plain.clone());
        device.run(Way::Encrypt, &iv, &mut by_device);
        other.run(Way::Encrypt, &iv, &mut by_other);
        assert!(by_device == by_other, "{} bytes encrypted", plain.len());
        device.run(Way::Decrypt, &iv, &mut by_device);
        assert!(by_device == plain, "{} bytes decrypted", plain.len());
    }
    println!("alike {MESSAGES}");
}

#[test]
#[ignore = "runs in a guest, for its figures"]
#[expect(
    clippy::disallowed_methods,
    reason = "a measurement, and not part of a run"
)]
fn in_a_guest_requests_are_counted() {
    let cipher = Cipher::new(DEVICE, &[7; 16]);
    for len in [16, 64, 1024, 16_384] {
        let mut bytes = vec![0; len];
        let start = Instant::now();
        let mut count = 0_u32;
        while start.elapsed() < MEASURED {
            cipher.run(Way::Encrypt, &[1; 16], &mut bytes);
            count += 1;
        }
        let each = start.elapsed() / count;
        println!("rate {len} {} {}", count / 2, each.as_nanos());
    }
}
