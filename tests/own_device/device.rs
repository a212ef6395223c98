//! A network card with a plug that leads back into it: every packet that is sent is received.
//!
//! Registers of BAR 0, and one ring of descriptors in host memory. Nothing of this project's card.

use sim::foreign::{Access, Device, DeviceAddr, DmaFault, Machine};
use timebase::{Span, Time};

/// What register [`ID`] reads.
pub(crate) const MAGIC: u32 = 0x4C4F_4F50;

/// Says that this is the device. Read only.
pub(crate) const ID: u32 = 0x00;
/// One lets the device look at its ring, zero stops it. From zero to one it begins at slot 0.
pub(crate) const ENABLE: u32 = 0x04;
/// Where the ring is. Eight bytes wide.
pub(crate) const RING: u32 = 0x08;
/// Descriptors in the ring.
pub(crate) const ENTRIES: u32 = 0x10;
/// First slot that the device may not look at yet.
pub(crate) const TAIL: u32 = 0x14;
/// Why the device interrupted: [`LOOPED`], [`FAILED`]. Write a one to clear a bit.
pub(crate) const CAUSE: u32 = 0x18;

/// A packet went round. Interrupts when it turns from zero to one.
pub(crate) const LOOPED: u32 = 1;
/// Memory could not be reached; the device stopped. Interrupts too.
pub(crate) const FAILED: u32 = 2;

/// Bytes of a descriptor: source and destination (8 each), length (4), done (4).
pub(crate) const DESCRIPTOR: u64 = 24;
/// Where the word is that turns one when the packet has arrived.
pub(crate) const DONE: u64 = 20;
/// Longest packet, in bytes.
pub(crate) const MTU: usize = 1_500;

/// The device.
#[derive(Default)]
pub(crate) struct Loopback {
    is_enabled: bool,
    ring: u64,
    entries: u32,
    tail: u32,
    head: u32,
    cause: u32,
    /// What is on the wire, and when it arrives.
    wire: Option<(Time, Packet)>,
}

struct Packet {
    descriptor: DeviceAddr,
    to: DeviceAddr,
    bytes: Vec<u8>,
}

impl Device for Loopback {
    fn read(&mut self, at: Access, _: &mut Machine<'_>) -> u64 {
        match at.offset {
            ID => MAGIC.into(),
            ENABLE => self.is_enabled.into(),
            RING => self.ring,
            ENTRIES => self.entries.into(),
            TAIL => self.tail.into(),
            CAUSE => self.cause.into(),
            _ => 0,
        }
    }

    fn write(&mut self, at: Access, value: u64, machine: &mut Machine<'_>) {
        let word = value as u32;
        match at.offset {
            ENABLE if word == 0 => self.stop(),
            ENABLE if self.entries > 0 && !self.is_enabled => {
                (self.is_enabled, self.head, self.tail) = (true, 0, 0);
            }
            RING if !self.is_enabled => self.ring = value,
            ENTRIES if !self.is_enabled => self.entries = word,
            TAIL if self.is_enabled && word < self.entries => {
                self.tail = word;
                self.send(machine);
            }
            CAUSE => self.cause &= !word,
            _ => {}
        }
    }

    fn deadline(&self) -> Time {
        self.wire.as_ref().map_or(Time::NEVER, |(at, _)| *at)
    }

    fn advance(&mut self, machine: &mut Machine<'_>) {
        let Some((_, packet)) = self.wire.take() else {
            return;
        };
        match receive(&packet, machine) {
            Ok(()) => {
                self.head = (self.head + 1) % self.entries;
                self.tell(LOOPED, machine);
                self.send(machine);
            }
            Err(_) => self.fail(machine),
        }
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

impl Loopback {
    /// Puts the next packet on the wire, if it is free and there is one.
    fn send(&mut self, machine: &mut Machine<'_>) {
        if !self.is_enabled || self.wire.is_some() || self.head == self.tail {
            return;
        }
        let slot = u64::from(self.head) * DESCRIPTOR;
        match fetch(DeviceAddr(self.ring.wrapping_add(slot)), machine) {
            Ok(packet) => {
                // A gigabyte a second, and the way to the plug and back.
                let time = Span::from_ns(100 + packet.bytes.len() as u64);
                self.wire = Some((machine.now() + time, packet));
            }
            Err(_) => self.fail(machine),
        }
    }

    fn stop(&mut self) {
        self.is_enabled = false;
        self.wire = None;
    }

    fn fail(&mut self, machine: &mut Machine<'_>) {
        self.stop();
        self.tell(FAILED, machine);
    }

    fn tell(&mut self, cause: u32, machine: &mut Machine<'_>) {
        if self.cause & cause == 0 {
            self.cause |= cause;
            machine.interrupt(0);
        }
    }
}

fn fetch(descriptor: DeviceAddr, machine: &mut Machine<'_>) -> Result<Packet, DmaFault> {
    let mut bytes = [0; DESCRIPTOR as usize];
    machine.read(descriptor, &mut bytes)?;
    let [from, to] = [0, 8].map(|at| bytes[at..at + 8].try_into().expect("8 bytes"));
    let [from, to] = [from, to].map(|it| DeviceAddr(u64::from_le_bytes(it)));
    let len = u32::from_le_bytes(bytes[16..20].try_into().expect("4 bytes"));
    let mut bytes = vec![0; MTU.min(len as usize)];
    machine.read(from, &mut bytes)?;
    Ok(Packet {
        descriptor,
        to,
        bytes,
    })
}

fn receive(packet: &Packet, machine: &mut Machine<'_>) -> Result<(), DmaFault> {
    machine.write(packet.to, &packet.bytes)?;
    machine.write(packet.descriptor.offset(DONE), &1_u32.to_le_bytes())
}
