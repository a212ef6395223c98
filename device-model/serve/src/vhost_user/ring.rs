//! A ring of the client: where it is, who is told, and what is taken from it and put back.

use std::num::Wrapping;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{Ordering, fence};

use device_model::virtio::MAX_REQUEST;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use zeroize::Zeroizing;

use super::memory::Memory;
use super::wire::RingAddress;

/// Most entries of a ring.
pub(super) const MAX_ENTRIES: u16 = 32_768;
/// Bytes of a used ring before its entries, and of an entry; what follows them is where the device
/// says at which entry it wants to be kicked.
const USED_HEAD: u64 = 4;
const USED_ENTRY: u64 = 8;

/// A ring.
#[derive(Debug, Default)]
pub(super) struct Ring {
    entries: u16,
    base: u16,
    address: Option<RingAddress>,
    kick: Option<OwnedFd>,
    call: Option<OwnedFd>,
    error: Option<OwnedFd>,
    is_enabled: bool,
    has_event_index: bool,
    queue: Option<Queue>,
    /// Something was put back and nobody told.
    owes_call: bool,
}

/// A request that was taken from a ring, and where its result goes.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) head: u16,
    /// What it brings; nothing if it could not be read.
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) room: Room,
}

/// The writable parts of a request, in order.
#[derive(Debug, Default)]
pub(super) struct Room {
    parts: Vec<(GuestAddress, u32)>,
    len: u64,
}

impl Room {
    /// Bytes of room in all.
    pub(super) fn len(&self) -> usize {
        usize::try_from(self.len).unwrap_or(usize::MAX)
    }

    /// What it takes to remember it, in bytes.
    pub(super) fn cost(&self) -> usize {
        size_of_val(self.parts.as_slice())
    }

    /// Writes `bytes` from `at` on; what has no room or no memory behind it is left out.
    fn write(&self, at: u64, mut bytes: &[u8], memory: &GuestMemoryMmap) {
        let mut begin = 0;
        let mut at = at;
        for &(addr, len) in &self.parts {
            let end = begin + u64::from(len);
            if at < end && !bytes.is_empty() {
                let (now, later) = bytes.split_at(bytes.len().min((end - at) as usize));
                if let Some(addr) = addr.0.checked_add(at - begin) {
                    let _ = memory.write_slice(now, GuestAddress(addr));
                }
                at += now.len() as u64;
                bytes = later;
            }
            begin = end;
        }
    }

    /// Writes a result from the beginning on, and its status, if it has one, to the last byte;
    /// gives the length that goes to the used ring.
    pub(super) fn fill(&self, output: &[u8], status: Option<u8>, memory: &GuestMemoryMmap) -> u32 {
        let room = self.len() - usize::from(status.is_some() && self.len != 0);
        self.write(0, &output[..output.len().min(room)], memory);
        if let Some(status) = status
            && let Some(last) = self.len.checked_sub(1)
        {
            self.write(last, &[status], memory);
        }
        // Whoever reads the status at the end must believe all that is before it.
        u32::try_from(self.len).unwrap_or(u32::MAX)
    }
}

impl Ring {
    /// A ring before anything is known of it.
    pub(super) fn new() -> Self {
        Self {
            // QEMU never enables a ring; one that is disabled was disabled by a message.
            is_enabled: true,
            ..Self::default()
        }
    }

    /// Sets how many entries it has.
    pub(super) fn set_entries(&mut self, entries: u32) -> Result<(), Errno> {
        let entries = u16::try_from(entries).map_err(|_| Errno::INVAL)?;
        if !entries.is_power_of_two() || entries > MAX_ENTRIES || self.queue.is_some() {
            return Err(Errno::INVAL);
        }
        self.entries = entries;
        Ok(())
    }

    /// Sets at which entry it goes on.
    pub(super) fn set_base(&mut self, base: u32) -> Result<(), Errno> {
        if self.queue.is_some() {
            return Err(Errno::BUSY);
        }
        self.base = u16::try_from(base).map_err(|_| Errno::INVAL)?;
        Ok(())
    }

    /// Sets where it is.
    pub(super) fn set_address(&mut self, address: RingAddress) {
        self.address = Some(address);
    }

    /// Whether requests are taken from it.
    pub(super) const fn set_enabled(&mut self, is_enabled: bool) {
        self.is_enabled = is_enabled;
    }

    /// Whom to tell of results.
    pub(super) fn set_call(&mut self, call: Option<OwnedFd>) -> Result<(), Errno> {
        call.as_ref().map_or(Ok(()), never_block)?;
        self.call = call;
        Ok(())
    }

    /// Whom to tell that it is broken.
    pub(super) fn set_error(&mut self, error: Option<OwnedFd>) -> Result<(), Errno> {
        error.as_ref().map_or(Ok(()), never_block)?;
        self.error = error;
        Ok(())
    }

    /// Starts it. Without a descriptor it is looked at all the time.
    pub(super) fn start(
        &mut self,
        kick: Option<OwnedFd>,
        has_event_index: bool,
        memory: &Memory,
    ) -> Result<(), Errno> {
        kick.as_ref().map_or(Ok(()), never_block)?;
        self.kick = kick;
        self.has_event_index = has_event_index;
        if self.queue.is_none() {
            self.queue = Some(self.make(self.base, memory)?);
        }
        Ok(())
    }

    /// Finds it anew in memory that has changed; one that is not there any more is broken.
    pub(super) fn find_again(&mut self, memory: &Memory) {
        if let Some(queue) = &self.queue {
            self.queue = self.make(queue.next_avail(), memory).ok();
            if self.queue.is_none() {
                self.fail();
            }
        }
    }

    fn make(&self, base: u16, memory: &Memory) -> Result<Queue, Errno> {
        let address = self.address.ok_or(Errno::INVAL)?;
        let place = |user: u64| memory.translate(user).ok_or(Errno::FAULT);
        let halves = |addr: GuestAddress| (Some(addr.0 as u32), Some((addr.0 >> 32) as u32));
        let mut queue = Queue::new(MAX_ENTRIES).map_err(|_| Errno::INVAL)?;
        queue.set_size(self.entries);
        let (low, high) = halves(place(address.descriptors.get())?);
        queue.set_desc_table_address(low, high);
        let (low, high) = halves(place(address.available.get())?);
        queue.set_avail_ring_address(low, high);
        let (low, high) = halves(place(address.used.get())?);
        queue.set_used_ring_address(low, high);
        queue.set_event_idx(self.has_event_index);
        queue.set_ready(true);
        if queue.size() != self.entries || !queue.is_valid(&memory.guest) {
            return Err(Errno::FAULT);
        }
        let used = queue.used_idx(&memory.guest, Ordering::Acquire);
        queue.set_next_used(used.map_err(|_| Errno::FAULT)?.0);
        queue.set_next_avail(base);
        Ok(queue)
    }

    /// Stops it; gives the entry at which it goes on.
    pub(super) fn stop(&mut self) -> u16 {
        if let Some(queue) = self.queue.take() {
            self.base = queue.next_avail();
        }
        self.kick = None;
        self.base
    }

    /// Whether it is to be looked at without being kicked.
    pub(super) const fn is_polled(&self) -> bool {
        self.queue.is_some() && self.is_enabled && self.kick.is_none()
    }

    /// What becomes readable when the client kicks.
    pub(super) fn kick(&self) -> Option<BorrowedFd<'_>> {
        self.kick.as_ref().map(AsFd::as_fd)
    }

    /// Forgets that it was kicked. What can not be read can not kick.
    pub(super) fn calm(&mut self) {
        let Some(kick) = &self.kick else { return };
        let mut count = [0; 8];
        match rustix::io::read(kick, &mut count) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(len) if len == count.len() => {}
            Ok(_) | Err(_) => self.fail(),
        }
    }

    /// The next request, and whether there may be more. Before it says that there is none it tells
    /// the driver to kick again, and looks once more.
    pub(super) fn take(&mut self, memory: &GuestMemoryMmap) -> Option<Taken> {
        if !self.is_enabled {
            return None;
        }
        let taken = self.take_from_queue(memory);
        taken.unwrap_or_else(|_| {
            self.fail();
            None
        })
    }

    fn take_from_queue(
        &mut self,
        memory: &GuestMemoryMmap,
    ) -> Result<Option<Taken>, virtio_queue::Error> {
        let Some(queue) = &mut self.queue else {
            return Ok(None);
        };
        let waiting = |queue: &Queue| -> Result<u16, virtio_queue::Error> {
            let published = queue.avail_idx(memory, Ordering::Acquire)?;
            let waiting = published - Wrapping(queue.next_avail());
            if waiting.0 > queue.size() {
                return Err(virtio_queue::Error::InvalidAvailRingIndex);
            }
            Ok(waiting.0)
        };
        if waiting(queue)? == 0 {
            let entries = u64::from(queue.size()) * USED_ENTRY;
            let event = queue.used_ring().checked_add(USED_HEAD + entries);
            let event = event.ok_or(virtio_queue::Error::AddressOverflow)?;
            let next = queue.next_avail().to_le();
            memory
                .store(next, GuestAddress(event), Ordering::Relaxed)
                .map_err(virtio_queue::Error::GuestMemory)?;
            fence(Ordering::SeqCst);
            if waiting(queue)? == 0 {
                return Ok(None);
            }
        }
        let chain = queue.iter(memory)?.next();
        let chain = chain.ok_or(virtio_queue::Error::InvalidChain)?;
        Ok(Some(Self::read(chain, memory)))
    }

    fn read(chain: DescriptorChain<&GuestMemoryMmap>, memory: &GuestMemoryMmap) -> Taken {
        let head = chain.head_index();
        let mut room = Room::default();
        let mut sources = Vec::new();
        let mut len = 0;
        let mut is_good = true;
        for descriptor in chain {
            let part = (descriptor.addr(), descriptor.len());
            if descriptor.is_write_only() {
                room.parts.push(part);
                room.len += u64::from(part.1);
            } else {
                // What is read comes first.
                is_good &= room.parts.is_empty();
                len += part.1 as usize;
                sources.push(part);
            }
        }
        is_good &= len <= MAX_REQUEST;
        // Memory that grew would leave keys behind where it was.
        let mut bytes = Zeroizing::new(vec![0; if is_good { len } else { 0 }]);
        let mut at = 0;
        for (addr, len) in sources {
            let end = at + len as usize;
            is_good = is_good && memory.read_slice(&mut bytes[at..end], addr).is_ok();
            at = end;
        }
        if !is_good {
            bytes.fill(0);
            bytes.clear();
        }
        Taken { head, bytes, room }
    }

    /// Puts a request back, whose room has `len` bytes of result.
    pub(super) fn put(&mut self, head: u16, len: u32, memory: &GuestMemoryMmap) {
        if let Some(queue) = &mut self.queue {
            if queue.add_used(memory, head, len).is_err() {
                self.fail();
            } else {
                self.owes_call = true;
            }
        }
    }

    /// Tells the client of what was put back, if it wants to know.
    pub(super) fn tell(&mut self, memory: &GuestMemoryMmap) {
        if !std::mem::take(&mut self.owes_call) {
            return;
        }
        let Some(queue) = &mut self.queue else { return };
        if queue.needs_notification(memory).unwrap_or(true) {
            signal(self.call.as_ref());
        }
    }

    fn fail(&mut self) {
        self.stop();
        signal(self.error.as_ref());
    }
}

/// The server must never wait for its client.
fn never_block(fd: &OwnedFd) -> Result<(), Errno> {
    fcntl_setfl(fd, fcntl_getfl(fd)? | OFlags::NONBLOCK)
}

fn signal(event: Option<&OwnedFd>) {
    // A descriptor that takes no more has been told often enough already.
    let _ = event.map(|event| rustix::io::write(event, &1_u64.to_ne_bytes()));
}
