//! Any messages at all on a vfio-user socket.

use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use device_model::{Card, Profile};
use protocol::wire::{HEADER_LEN, Header, NO_REPLY, TYPE_REPLY};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serve::doorbell::DoorbellPage;
use serve::vfio_user::Session;
use serve::{Pacing, Slot};
use zerocopy::{FromBytes as _, IntoBytes as _};

use super::Story;

/// Most bytes that wait in a socket; more are not written before the server had its turn.
const MOST: usize = 4096;
const MEMORY: u64 = 0x4000;
/// A version that every server takes.
const VERSION: &[u8] = b"\0\0\x01\0{\"capabilities\":{\"twin_socket\":{\"supported\":true}}}\0";

/// One message: a command that is more often known than not, fields that are more often small than
/// not, and a size that is more often right than not.
fn message(story: &mut Story<'_>) -> Vec<u8> {
    let [command, kind, words, tail] = story.take();
    let mut payload = Vec::new();
    for _ in 0..words % 12 {
        let shape = story.byte();
        let value = match shape >> 6 {
            0 => u32::from(shape & 0x3F),
            1 => u32::from(story.half()),
            2 => story.word(),
            _ => u32::MAX - u32::from(shape & 0x3F),
        };
        payload.extend_from_slice(&value.to_le_bytes());
    }
    payload.extend_from_slice(story.run(usize::from(tail % 32)));
    let size = HEADER_LEN + payload.len();
    let size = match kind >> 5 {
        0 => size as u32 ^ u32::from(story.byte()),
        _ => size as u32,
    };
    let flags = match kind & 0xF {
        0 => TYPE_REPLY,
        1 => u32::from(story.half()),
        2 | 3 => NO_REPLY,
        _ => 0,
    };
    let header = Header {
        id: u16::from(words).into(),
        command: u16::from(command % 20).into(),
        size: size.into(),
        flags: flags.into(),
        error: 0.into(),
    };
    [header.as_bytes(), &payload].concat()
}

/// A descriptor that comes along: memory, an event, or something that is neither.
fn descriptor(kind: u8) -> Option<OwnedFd> {
    match kind % 8 {
        0 | 1 => {
            let file = memfd_create("memory", MemfdFlags::CLOEXEC).expect("a descriptor");
            ftruncate(&file, MEMORY).expect("memory");
            Some(file)
        }
        2 => Some(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an event")),
        3 => Some(UnixStream::pair().expect("a pair").0.into()),
        _ => None,
    }
}

fn send(socket: &UnixStream, bytes: &[u8], fd: Option<&OwnedFd>) {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = fd.map(AsFd::as_fd);
    if !fds.as_slice().is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds.as_slice()));
    }
    // A server that hung up has said why.
    let _ = sendmsg(
        socket,
        &[std::io::IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    );
}

/// Serves one client that says what the bytes say; gives the number of answers.
///
/// # Panics
/// If the server answers with something that is no message.
pub fn vfio_user(bytes: &[u8]) -> u64 {
    let profile = Profile::reference();
    let doorbells = DoorbellPage::new(profile.ring_pairs + 1).expect("a page");
    let card = Card::new(profile).expect("the reference profile is a card");
    let mut slot = Slot::new(card, Pacing::Free, Some(doorbells));
    let (mut client, server) = UnixStream::pair().expect("a pair");
    client.set_nonblocking(true).expect("a socket");
    let mut session = Session::new(server);
    let mut story = Story::new(bytes);
    let header = Header {
        command: 1.into(),
        size: ((HEADER_LEN + VERSION.len()) as u32).into(),
        ..Header::default()
    };
    // Some begin with what they like.
    if !story.byte().is_multiple_of(16) {
        send(&client, &[header.as_bytes(), VERSION].concat(), None);
    }
    let (mut answers, mut unread) = (0, Vec::new());
    while !story.is_over() {
        let (bytes, fd) = (message(&mut story), descriptor(story.byte()));
        for part in bytes.chunks(MOST) {
            send(&client, part, fd.as_ref());
        }
        let goes_on = serve(&mut session, &mut slot);
        let mut room = [0; MOST];
        while let Ok(count @ 1..) = client.read(&mut room) {
            unread.extend_from_slice(&room[..count]);
        }
        answers += whole_messages(&mut unread);
        if !goes_on {
            return answers;
        }
    }
    slot.release();
    answers
}

/// Lets the server do all that it can; `false` if the session is over.
fn serve(session: &mut Session, slot: &mut Slot) -> bool {
    loop {
        session.advance(slot);
        match session.serve(slot) {
            Ok(true) => {}
            Ok(false) => return true,
            Err(_) => return false,
        }
    }
}

/// Takes whole messages off the front of `bytes`; gives their number.
fn whole_messages(bytes: &mut Vec<u8>) -> u64 {
    let mut count = 0;
    while let Ok((header, _)) = Header::read_from_prefix(bytes.as_slice()) {
        let size = header.size.get() as usize;
        assert!(size >= HEADER_LEN, "an answer of {size} bytes");
        if size > bytes.len() {
            break;
        }
        bytes.drain(..size);
        count += 1;
    }
    count
}
