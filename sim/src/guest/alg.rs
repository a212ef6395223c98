//! The peers: the kernel's cipher over virtio crypto devices, through AF_ALG.
//!
//! The kernel has one driver for all such devices, and one name for its cipher. So all but one
//! device are taken from the driver while that one is measured.

use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::Command;

use nix::sys::socket::sockopt::AlgSetKey;
use nix::sys::socket::{
    AddressFamily, AlgAddr, ControlMessage, MsgFlags, SetSockOpt as _, SockFlag, SockType, bind,
    sendmsg, socket,
};

use super::machine::VIRTIO_CRYPTO;

/// Where the kernel lists the devices of its driver, and takes them from it.
const DRIVER: &str = "/sys/bus/virtio/drivers/virtio_crypto";
/// What the driver calls its cipher.
const CIPHER: &str = "virtio_crypto_aes_cbc";
/// Modules for all of that.
const MODULES: [&str; 2] = ["virtio_crypto", "algif_skcipher"];
/// Number of encryption in the kernel's interface.
const ENCRYPT: i32 = 1;

/// A virtio crypto device of this machine.
pub(crate) struct Device {
    /// What serves it.
    pub(crate) name: &'static str,
    /// What the kernel calls it.
    id: String,
}

/// Those that `ringside qemu --crypto` puts into a machine.
pub(crate) fn devices() -> Vec<Device> {
    for module in MODULES {
        // Without it there are no devices, or no cipher, which is told of then.
        let _ = Command::new("modprobe").arg(module).status();
    }
    let entries = fs::read_dir(DRIVER).into_iter().flatten().flatten();
    let known = entries.filter_map(|entry| {
        let place = fs::canonicalize(entry.path()).ok()?;
        let slot = place.parent()?.file_name()?.to_str()?;
        let served = VIRTIO_CRYPTO.iter();
        let (name, _) = served
            .clone()
            .find(|(_, number)| slot.ends_with(&format!(":{number}.0")))?;
        let id = entry.file_name().into_string().ok()?;
        Some(Device { name, id })
    });
    let mut known: Vec<_> = known.collect();
    known.sort_by_key(|device| device.name);
    known
}

/// Leaves the driver with the device `chosen`, and no other of `all`.
///
/// # Errors
/// If the kernel does not give or take a device.
pub(crate) fn choose(all: &[Device], chosen: &Device) -> io::Result<()> {
    let is_bound = |device: &Device| fs::exists(format!("{DRIVER}/{}", device.id));
    if !is_bound(chosen)? {
        fs::write(format!("{DRIVER}/bind"), &chosen.id)?;
    }
    for other in all.iter().filter(|device| device.id != chosen.id) {
        if is_bound(other)? {
            fs::write(format!("{DRIVER}/unbind"), &other.id)?;
        }
    }
    Ok(())
}

/// The kernel's AES-CBC with a key, over the device that the driver has.
pub(crate) struct Cipher(OwnedFd);

/// Does one request of a [`Cipher`] at a time.
pub(crate) struct Lane(OwnedFd);

impl Cipher {
    /// # Errors
    /// If the kernel has no such cipher, or the device refuses the key.
    pub(crate) fn new(key: &[u8]) -> io::Result<Self> {
        let (kind, flags) = (SockType::SeqPacket, SockFlag::SOCK_CLOEXEC);
        let bound = socket(AddressFamily::Alg, kind, flags, None)?;
        bind(bound.as_raw_fd(), &AlgAddr::new("skcipher", CIPHER))?;
        AlgSetKey::default().set(&bound, &key)?;
        Ok(Self(bound))
    }

    /// # Errors
    /// If the kernel has no more sockets.
    pub(crate) fn lane(&self) -> io::Result<Lane> {
        Ok(Lane(rustix::net::accept(&self.0)?))
    }
}

impl Lane {
    /// Encrypts `bytes`, whole blocks, in place.
    ///
    /// # Errors
    /// If the device fails, or gives less than it was given.
    pub(crate) fn encrypt(&self, iv: &[u8; 16], bytes: &mut [u8]) -> io::Result<()> {
        let control = [
            ControlMessage::AlgSetIv(iv),
            ControlMessage::AlgSetOp(&ENCRYPT),
        ];
        let parts = [IoSlice::new(bytes)];
        let fd = self.0.as_raw_fd();
        let sent = sendmsg::<AlgAddr>(fd, &parts, &control, MsgFlags::empty(), None)?;
        if sent != bytes.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let mut done = 0;
        while done < bytes.len() {
            match rustix::io::read(&self.0, &mut bytes[done..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => done += count,
            }
        }
        Ok(())
    }
}
