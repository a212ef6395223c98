//! The driver of the loopback device. Sends packets, and looks at what comes back.

use std::collections::VecDeque;

use sim::foreign::{Access, Bus, Coherent, DeviceAddr, Direction, Driver, Transport};
use timebase::{Span, Time};

use crate::device::{CAUSE, DESCRIPTOR, DONE, ENABLE, ENTRIES, FAILED, ID, MAGIC, MTU, RING, TAIL};

/// Slots of the ring; one stays empty.
const SLOTS: u32 = 8;
/// Bytes of a slot in memory: its descriptor, the packet that is sent, the one that comes back.
const SLOT: u64 = 4_096;
const SENT: u64 = 512;
const RECEIVED: u64 = 2_304;
/// Without a packet for this long, the driver looks by itself: an interrupt may be lost.
const PATIENCE: Span = Span::from_ms(1);

/// The driver, with packets to send.
pub(crate) struct LoopbackDriver {
    /// Packets to send in all.
    total: u64,
    /// Number of the packet that is sent next.
    next: u64,
    /// Packets that came back.
    back: u64,
    /// Packets under way: from `head` on, one a slot.
    under_way: VecDeque<u64>,
    head: u32,
    memory: Option<(Coherent, DeviceAddr)>,
    device: Option<u32>,
    deadline: Time,
    /// Whether it looks at the ring again after it has cleared the cause. It must.
    looks_again: bool,
    /// Packets that were found without an interrupt.
    pub(crate) rescued: u64,
    /// Times it began anew, on a device that was put in or had failed.
    pub(crate) restarts: u64,
}

impl LoopbackDriver {
    /// A driver that sends `total` packets.
    pub(crate) fn new(total: u64) -> Self {
        Self {
            total,
            next: 0,
            back: 0,
            under_way: VecDeque::new(),
            head: 0,
            memory: None,
            device: None,
            deadline: Time::NEVER,
            looks_again: true,
            rescued: 0,
            restarts: 0,
        }
    }

    /// One with a bug: an interrupt may be lost between its look at the ring and its clearing of
    /// the cause.
    pub(crate) fn careless(total: u64) -> Self {
        Self {
            looks_again: false,
            ..Self::new(total)
        }
    }

    /// Begins anew on a device that knows nothing: what was under way is sent again.
    fn start(&mut self, bus: &mut Bus<'_>) {
        if bus.read(ID) != MAGIC {
            return bus.wrong("this is another device");
        }
        let (memory, addr) = self.memory.get_or_insert_with(|| {
            let len = (SLOT * u64::from(SLOTS)) as usize;
            let block = bus.pool().coherent(len).expect("memory");
            let addr = bus.share(&block, Direction::Bidirectional);
            (block, addr.expect("a window"))
        });
        memory.zero();
        bus.write_wide(Access::double(RING), addr.0);
        bus.write(ENTRIES, SLOTS);
        bus.write(ENABLE, 1);
        self.restarts += 1;
        self.head = 0;
        for number in std::mem::take(&mut self.under_way) {
            self.put(number);
        }
    }

    /// Puts a packet into the next free slot.
    fn put(&mut self, number: u64) {
        let (memory, addr) = self.memory.as_ref().expect("a ring");
        let slot = (self.head + self.under_way.len() as u32) % SLOTS;
        let packet = packet(number);
        let [sent, received] = [SENT, RECEIVED].map(|part| u64::from(slot) * SLOT + part);
        memory.write(sent as usize, &packet);
        memory.write(received as usize, &[0; MTU]);
        let [from, to] = [sent, received].map(|part| addr.offset(part).0.to_le_bytes());
        let len = (packet.len() as u32).to_le_bytes();
        let descriptor = [&from[..], &to, &len, &[0; 4]].concat();
        memory.write((u64::from(slot) * DESCRIPTOR) as usize, &descriptor);
        self.under_way.push_back(number);
    }

    /// Takes packets that came back. Returns how many.
    fn take(&mut self, bus: &mut Bus<'_>) -> u64 {
        let before = self.back;
        while let (Some((memory, _)), Some(&number)) = (&self.memory, self.under_way.front()) {
            let descriptor = u64::from(self.head) * DESCRIPTOR;
            if memory.read_u32((descriptor + DONE) as usize) == 0 {
                break;
            }
            let expected = packet(number);
            let mut found = vec![0; expected.len()];
            memory.read(
                (u64::from(self.head) * SLOT + RECEIVED) as usize,
                &mut found,
            );
            if found != expected {
                bus.wrong(format!("packet {number} came back changed"));
            }
            self.under_way.pop_front();
            self.head = (self.head + 1) % SLOTS;
            self.back += 1;
            bus.end(number);
        }
        self.back - before
    }

    /// Fills the ring, and tells the device.
    fn fill(&mut self, bus: &mut Bus<'_>) {
        while self.next < self.total && (self.under_way.len() as u32) < SLOTS - 1 {
            bus.begin(self.next, packet(self.next).len() as u32);
            self.put(self.next);
            self.next += 1;
        }
        let tail = (self.head + self.under_way.len() as u32) % SLOTS;
        bus.barrier();
        bus.write(TAIL, tail);
    }

    /// Interrupted: takes what came back, and lets the device interrupt again.
    fn answer(&mut self, bus: &mut Bus<'_>) {
        let cause = bus.read(CAUSE);
        self.take(bus);
        bus.write(CAUSE, cause);
        if self.looks_again {
            // The write is on its way. A packet that arrives before it does interrupts nobody.
            bus.read(CAUSE);
            self.take(bus);
        }
        if cause & FAILED != 0 {
            bus.reset();
            self.start(bus);
        }
    }
}

impl Driver for LoopbackDriver {
    fn service(&mut self, bus: &mut Bus<'_>) {
        if bus.device() != self.device {
            self.device = bus.device();
            if self.device.is_some() {
                self.start(bus);
            }
        }
        if self.device.is_none() {
            self.deadline = Time::NEVER;
            return;
        }
        if bus.take_interrupts() != 0 {
            self.answer(bus);
        } else if self.deadline <= bus.now() {
            self.rescued += self.take(bus);
            self.answer(bus);
        }
        self.fill(bus);
        self.deadline = bus.now() + PATIENCE;
    }

    fn deadline(&self) -> Time {
        self.deadline
    }

    fn left(&self) -> u64 {
        self.total - self.back
    }

    fn close(&mut self, bus: &mut Bus<'_>) {
        bus.write(ENABLE, 0);
        // The write has arrived when the read is answered: nothing reaches the memory any more.
        bus.read(ENABLE);
        if let Some((_, addr)) = self.memory.take() {
            bus.unshare(addr);
        }
        for number in self.under_way.drain(..) {
            bus.end(number);
        }
    }
}

/// What packet `number` says.
fn packet(number: u64) -> Vec<u8> {
    let len = 60 + (number as usize * 389) % (MTU - 60);
    (0..len)
        .map(|at| (number as usize * 7 + at) as u8)
        .collect()
}
