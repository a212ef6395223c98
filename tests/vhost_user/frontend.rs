//! A frontend and a driver in one: speaks the protocol and writes the rings, from the texts alone.
//! It reaches its memory through the file, so it needs no mapping.

use std::fs::File;
use std::io::{IoSlice, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use regs::virtio::{
    ControlHeader, ControlOpcode, Created, CryptoOpcode, DataHeader, SESSION_MESSAGE_LEN,
};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use zerocopy::{FromBytes as _, FromZeros as _, Immutable, IntoBytes};

/// Entries of a ring.
pub(crate) const ENTRIES: u16 = 64;
/// Bytes of memory.
pub(crate) const MEMORY: u64 = 8 << 20;
/// Where the device sees memory, and where the frontend would.
pub(crate) const GUEST: u64 = 0x1_0000_0000;
pub(crate) const USER: u64 = 0x7F00_0000_0000;
/// Bytes of each ring's page of descriptors, available ring and used ring.
const PAGE: u64 = 0x1000;
/// Where the data of entries begins, and how much each has.
const DATA: u64 = 0x10_0000;
const DATA_LEN: u64 = 0x8000;

pub(crate) const NEED_REPLY: u32 = 8;
pub(crate) const EVENT_INDEX: u64 = 1 << 29;
pub(crate) const CONFIG: u64 = 1 << 9;
const PROTOCOL_FEATURES: u64 = 1 << 30;
const MQ_REPLY_ACK_CRYPTO: u64 = 1 | 1 << 3 | 1 << 7;

/// How a request reaches the device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Chain {
    Direct,
    Indirect,
}

/// One ring, as its driver knows it.
#[derive(Debug)]
pub(crate) struct Ring {
    number: u64,
    pub(crate) available: u16,
    pub(crate) used: u16,
    kick: OwnedFd,
    call: OwnedFd,
}

/// A request that came back.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Used {
    pub(crate) head: u32,
    pub(crate) len: u32,
}

/// The other end of a backend.
#[derive(Debug)]
pub(crate) struct Frontend {
    pub(crate) socket: UnixStream,
    pub(crate) memory: File,
    pub(crate) rings: Vec<Ring>,
}

pub(crate) fn sealed(len: u64) -> File {
    let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC;
    let memory = memfd_create("guest", flags).expect("memory");
    ftruncate(&memory, len).expect("room");
    fcntl_add_seals(&memory, SealFlags::SHRINK).expect("a seal");
    File::from(memory)
}

impl Frontend {
    /// Connects, and says nothing.
    pub(crate) fn connect(path: &Path) -> Self {
        let socket = UnixStream::connect(path).expect("a server");
        let timeout = Some(Duration::from_secs(20));
        socket.set_read_timeout(timeout).expect("a timeout");
        Self {
            socket,
            memory: sealed(MEMORY),
            rings: Vec::new(),
        }
    }

    /// Connects and starts `rings` rings as QEMU does, with the features and with configuration
    /// space, if asked for.
    pub(crate) fn start(path: &Path, rings: u64, features: u64, protocol: u64) -> Self {
        let mut frontend = Self::connect(path);
        frontend.agree(features, protocol);
        frontend.give_memory();
        for ring in 0..rings {
            frontend.start_ring(ring, 0);
        }
        frontend
    }

    /// Goes, and comes back with nothing said.
    pub(crate) fn connect_after(before: Self, served: &crate::served::Served) -> Self {
        drop(before);
        served.end();
        Self::connect(served.path())
    }

    pub(crate) fn agree(&mut self, features: u64, protocol: u64) {
        let offered = u64::from_le_bytes(self.ask(1, &[], &[]).try_into().expect("a number"));
        assert_eq!(offered & features, features);
        let offered = u64::from_le_bytes(self.ask(15, &[], &[]).try_into().expect("a number"));
        let wanted = MQ_REPLY_ACK_CRYPTO | protocol;
        assert_eq!(offered & wanted, wanted);
        self.tell(16, &wanted.to_le_bytes(), &[]);
        self.tell(3, &[], &[]);
        self.tell(2, &(features | PROTOCOL_FEATURES).to_le_bytes(), &[]);
    }

    pub(crate) fn region() -> Vec<u8> {
        let words = [1_u64, GUEST, MEMORY, USER, 0];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    pub(crate) fn give_memory(&mut self) {
        let memory = self.memory.try_clone().expect("a descriptor");
        assert_eq!(self.acked(5, &Self::region(), &[memory.as_fd()]), 0);
    }

    /// Where the parts of a ring are in memory: descriptors, available ring, used ring.
    pub(crate) fn places(ring: u64) -> [u64; 3] {
        [0, 1, 2].map(|page| (ring * 3 + page) * PAGE)
    }

    pub(crate) fn start_ring(&mut self, number: u64, base: u16) {
        let [descriptors, available, used] = Self::places(number).map(|at| USER + at);
        let state = |value: u32| [number as u32, value].map(u32::to_le_bytes).concat();
        self.tell(8, &state(ENTRIES.into()), &[]);
        self.tell(10, &state(base.into()), &[]);
        let address = [number, descriptors, used, available, 0];
        self.tell(9, &address.map(u64::to_le_bytes).concat(), &[]);
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let (kick, call) = (eventfd(0, flags), eventfd(0, flags));
        let (kick, call) = (kick.expect("an event"), call.expect("an event"));
        self.tell(13, &number.to_le_bytes(), &[call.as_fd()]);
        self.tell(12, &number.to_le_bytes(), &[kick.as_fd()]);
        self.rings.push(Ring {
            number,
            available: base,
            used: base,
            kick,
            call,
        });
    }

    pub(crate) fn send(&self, request: u32, flags: u32, payload: &[u8], fds: &[BorrowedFd<'_>]) {
        let header = [request, 1 | flags, payload.len() as u32].map(u32::to_le_bytes);
        let whole = [&header.concat()[..], payload].concat();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
        }
        let parts = [IoSlice::new(&whole)];
        let sent = sendmsg(&self.socket, &parts, &mut control, SendFlags::NOSIGNAL);
        assert_eq!(sent, Ok(whole.len()));
    }

    /// Sends a message that has no answer.
    pub(crate) fn tell(&mut self, request: u32, payload: &[u8], fds: &[BorrowedFd<'_>]) {
        self.send(request, 0, payload, fds);
    }

    pub(crate) fn answer(&mut self, request: u32) -> Vec<u8> {
        let mut header = [0; 12];
        self.socket.read_exact(&mut header).expect("an answer");
        let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("4 bytes"));
        assert_eq!((word(0), word(4)), (request, 5));
        let mut payload = vec![0; word(8) as usize];
        self.socket.read_exact(&mut payload).expect("all of it");
        payload
    }

    /// Sends a message, and gives the answer.
    pub(crate) fn ask(&mut self, request: u32, payload: &[u8], fds: &[BorrowedFd<'_>]) -> Vec<u8> {
        self.send(request, 0, payload, fds);
        self.answer(request)
    }

    /// Sends a message that is answered with zero or with an error.
    pub(crate) fn acked(&mut self, request: u32, payload: &[u8], fds: &[BorrowedFd<'_>]) -> u64 {
        self.send(request, NEED_REPLY, payload, fds);
        let answer = self.answer(request);
        u64::from_le_bytes(answer.try_into().expect("a number"))
    }

    /// Opens a session by message; gives its number, or the negative status.
    pub(crate) fn open(&mut self, message: &(impl IntoBytes + Immutable)) -> i64 {
        let answer = self.ask(26, message.as_bytes(), &[]);
        assert_eq!(answer.len(), SESSION_MESSAGE_LEN);
        assert!(
            answer[8..1064].iter().all(|&byte| byte == 0),
            "keys in an answer"
        );
        i64::from_le_bytes(answer[1064..].try_into().expect("8 bytes"))
    }

    pub(crate) fn write(&self, at: u64, bytes: &[u8]) {
        self.memory.write_all_at(bytes, at).expect("memory");
    }

    pub(crate) fn read(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.memory.read_exact_at(&mut bytes, at).expect("memory");
        bytes
    }

    pub(crate) fn half(&self, at: u64) -> u16 {
        u16::from_le_bytes(self.read(at, 2).try_into().expect("2 bytes"))
    }

    /// Where the data of the entry `head` is.
    pub(crate) fn data(ring: usize, head: u16) -> u64 {
        DATA + (ring as u64 * u64::from(ENTRIES) + u64::from(head)) * DATA_LEN
    }

    /// A descriptor as it stands in memory.
    pub(crate) fn descriptor(addr: u64, len: u32, flags: u16, next: u16) -> Vec<u8> {
        [
            &addr.to_le_bytes()[..],
            &len.to_le_bytes(),
            &flags.to_le_bytes(),
            &next.to_le_bytes(),
        ]
        .concat()
    }

    /// Writes a chain that reads `parts` and writes to `rooms`, from the entry `head` on.
    pub(crate) fn chain(
        &self,
        (ring, head): (usize, u16),
        parts: &[&[u8]],
        rooms: &[u32],
        chain: Chain,
    ) {
        let mut at = Self::data(ring, head) + 0x400;
        let mut list = Vec::new();
        for part in parts {
            self.write(at, part);
            list.push((at, part.len() as u32, 0));
            at += part.len() as u64;
        }
        for &room in rooms {
            list.push((at, room, 2));
            at += u64::from(room);
        }
        let first = if chain == Chain::Direct { head } else { 0 };
        let mut table = Vec::new();
        for (number, &(at, len, flags)) in list.iter().enumerate() {
            let more = u16::from(number + 1 < list.len());
            let next = first + number as u16 + 1;
            table.extend(Self::descriptor(GUEST + at, len, flags | more, next * more));
        }
        let [descriptors, ..] = Self::places(self.rings[ring].number);
        let place = descriptors + u64::from(head) * 16;
        if chain == Chain::Direct {
            self.write(place, &table);
        } else {
            let indirect = Self::data(ring, head);
            self.write(indirect, &table);
            let len = table.len() as u32;
            self.write(place, &Self::descriptor(GUEST + indirect, len, 4, 0));
        }
    }

    /// Puts `head` into the available ring, without a kick.
    pub(crate) fn publish(&mut self, ring: usize, head: u16) {
        let [_, available, _] = Self::places(self.rings[ring].number);
        let index = self.rings[ring].available;
        let place = available + 4 + u64::from(index % ENTRIES) * 2;
        self.write(place, &head.to_le_bytes());
        self.rings[ring].available = index.wrapping_add(1);
        self.write(available + 2, &index.wrapping_add(1).to_le_bytes());
    }

    pub(crate) fn kick(&self, ring: usize) {
        let kick = &self.rings[ring].kick;
        rustix::io::write(kick, &1_u64.to_ne_bytes()).expect("a kick");
    }

    /// Whether the device wants to be kicked for what was published last, as a driver that agreed
    /// on the event index would decide.
    pub(crate) fn wants_kick(&self, ring: usize) -> bool {
        let [_, _, used] = Self::places(self.rings[ring].number);
        let event = self.half(used + 4 + u64::from(ENTRIES) * 8);
        self.rings[ring].available.wrapping_sub(1) == event
    }

    /// Waits until the device calls.
    pub(crate) fn called(&self, ring: usize) -> bool {
        let call = &self.rings[ring].call;
        let timeout = Timespec {
            tv_sec: 20,
            tv_nsec: 0,
        };
        let mut polled = [PollFd::new(call, PollFlags::IN)];
        let is_called = poll(&mut polled, Some(&timeout)) == Ok(1);
        let _ = rustix::io::read(call, &mut [0; 8]);
        is_called
    }

    /// The next request that came back, if one did.
    pub(crate) fn used(&mut self, ring: usize) -> Option<Used> {
        let [_, _, used] = Self::places(self.rings[ring].number);
        let next = self.rings[ring].used;
        if self.half(used + 2) == next {
            return None;
        }
        let entry = self.read(used + 4 + u64::from(next % ENTRIES) * 8, 8);
        self.rings[ring].used = next.wrapping_add(1);
        let word = |at: usize| u32::from_le_bytes(entry[at..at + 4].try_into().expect("4 bytes"));
        Some(Used {
            head: word(0),
            len: word(4),
        })
    }

    /// Waits for the next request that comes back.
    pub(crate) fn wait(&mut self, ring: usize) -> Used {
        loop {
            if let Some(used) = self.used(ring) {
                return used;
            }
            assert!(self.called(ring), "no request came back");
        }
    }

    /// Does one request from beginning to end; gives what is in its room then.
    pub(crate) fn run(&mut self, ring: usize, parts: &[&[u8]], room: u32, chain: Chain) -> Vec<u8> {
        let head = 5;
        self.chain((ring, head), parts, &[room], chain);
        self.publish(ring, head);
        self.kick(ring);
        let used = self.wait(ring);
        assert_eq!(used.head, u32::from(head));
        assert_eq!(used.len, room);
        let brought: usize = parts.iter().map(|part| part.len()).sum();
        self.read(
            Self::data(ring, head) + 0x400 + brought as u64,
            room as usize,
        )
    }

    /// A request on a data queue: the status, and the `room` bytes of its result.
    pub(crate) fn request(
        &mut self,
        (opcode, session): (CryptoOpcode, u64),
        fixed: &(impl IntoBytes + Immutable),
        body: &[u8],
        room: usize,
    ) -> (u8, Vec<u8>) {
        let header = header((opcode, session), fixed);
        let mut result = self.run(0, &[&header, body], room as u32 + 1, Chain::Indirect);
        let status = result.pop().expect("a status");
        (status, result)
    }

    /// Opens a session on the control queue, which is the last ring.
    pub(crate) fn control(
        &mut self,
        opcode: ControlOpcode,
        fixed: &(impl IntoBytes + Immutable),
        keys: &[u8],
    ) -> Result<u64, u32> {
        let mut header = ControlHeader::new_zeroed();
        header.opcode = (opcode as u32).into();
        header.fixed[..size_of_val(fixed)].copy_from_slice(fixed.as_bytes());
        let ring = self.rings.len() - 1;
        let parts: &[&[u8]] = &[header.as_bytes(), keys];
        let created = self.run(ring, parts, 16, Chain::Direct);
        let created = Created::read_from_bytes(&created).expect("16 bytes");
        match created.status.get() {
            0 => Ok(created.session.get()),
            status => Err(status),
        }
    }
}

/// The header of a request on a data queue.
pub(crate) fn header(
    (opcode, session): (CryptoOpcode, u64),
    fixed: &(impl IntoBytes + Immutable),
) -> Vec<u8> {
    let mut header = DataHeader::new_zeroed();
    header.opcode = (opcode as u32).into();
    header.session = session.into();
    header.fixed[..size_of_val(fixed)].copy_from_slice(fixed.as_bytes());
    header.as_bytes().to_vec()
}
