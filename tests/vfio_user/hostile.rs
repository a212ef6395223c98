//! Clients that do not keep to the protocol: each gets the errno it deserves, the stream stays in
//! step, and the server goes on.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use device_model::Profile;
use protocol::wire::{Command, ERROR, HEADER_LEN, Header, MAX_MESSAGE, NO_REPLY, TYPE_REPLY};
use rustix::io::Errno;
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::served::{Doorbells, Served};

struct Raw(UnixStream);

impl Raw {
    fn new(served: &Served) -> Self {
        Self(UnixStream::connect(served.path()).expect("a connection"))
    }

    /// A session with a version agreed on.
    fn agreed(served: &Served) -> Self {
        let mut raw = Self::new(served);
        raw.send(Command::Version as u16, &[0, 0, 1, 0]);
        let (header, payload) = raw.receive();
        assert_eq!(header.error.get(), 0);
        assert_eq!(payload[..4], [0, 0, 1, 0]);
        raw
    }

    fn header(command: u16, size: usize) -> Header {
        Header {
            id: 77.into(),
            command: command.into(),
            size: (size as u32).into(),
            ..Header::default()
        }
    }

    fn send(&mut self, command: u16, payload: &[u8]) {
        let header = Self::header(command, HEADER_LEN + payload.len());
        let whole = [header.as_bytes(), payload].concat();
        self.0.write_all(&whole).expect("a server that reads");
    }

    fn receive(&mut self) -> (Header, Vec<u8>) {
        let mut header = [0; HEADER_LEN];
        self.0.read_exact(&mut header).expect("an answer");
        let header = Header::read_from_bytes(&header).expect("a header");
        let mut payload = vec![0; header.size.get() as usize - HEADER_LEN];
        self.0.read_exact(&mut payload).expect("all of it");
        (header, payload)
    }

    /// Sends something wrong; gives the errno.
    fn refused(&mut self, command: u16, payload: &[u8]) -> Errno {
        self.send(command, payload);
        self.error()
    }

    fn error(&mut self) -> Errno {
        let (header, payload) = self.receive();
        assert_eq!(header.flags.get(), TYPE_REPLY | ERROR);
        assert_eq!((header.id.get(), payload.len()), (77, 0));
        header.failure().expect("a reason")
    }

    /// The stream is in step: a plain question gets its answer.
    fn is_in_step(&mut self) {
        let mut asked = [0; 16];
        asked[0] = 16;
        self.send(Command::DeviceGetInfo as u16, &asked);
        let (header, payload) = self.receive();
        assert_eq!((header.flags.get(), payload.len()), (TYPE_REPLY, 16));
        assert_eq!(payload[8], 9, "nine regions");
    }
}

fn served() -> Served {
    Served::new(Profile::reference(), Doorbells::Trapped)
}

fn region(offset: u64, region: u32, count: u32, data: &[u8]) -> Vec<u8> {
    let at = [
        &offset.to_le_bytes()[..],
        &region.to_le_bytes(),
        &count.to_le_bytes(),
    ];
    [&at.concat(), data].concat()
}

#[test]
fn wrong_accesses_are_refused_and_the_next_message_is_understood() {
    let served = served();
    let mut raw = Raw::agreed(&served);
    let (read, write) = (Command::RegionRead as u16, Command::RegionWrite as u16);
    let cases = [
        (read, region(0, 99, 4, &[])),
        (read, region(0, 1, 4, &[])),
        (read, region(u64::MAX, 0, 4, &[])),
        (read, region(0x2_0000, 0, 4, &[])),
        (read, region(0, 0, 0xFFFF_FFF0, &[])),
        (read, region(0, 7, 4097, &[])),
        (read, vec![0; 15]),
        (read, vec![0; 17]),
        (write, region(0, 99, 4, &[1; 4])),
        (write, region(0, 0, 8, &[1; 4])),
        (write, region(0, 0, 4, &[1; 40])),
        (write, region(u64::MAX - 1, 7, 4, &[1; 4])),
        (write, vec![]),
        (Command::RegionWriteMulti as u16, vec![9; 32]),
        (Command::DeviceSetIrqs as u16, vec![0xFF; 20]),
        (Command::DeviceSetIrqs as u16, vec![0; 19]),
        (Command::DeviceGetIrqInfo as u16, vec![0xFF; 16]),
        (Command::DeviceGetRegionInfo as u16, vec![0xFF; 32]),
        (Command::DmaMap as u16, vec![0xFF; 32]),
        (Command::DmaMap as u16, vec![0; 32]),
        (Command::DmaUnmap as u16, vec![0; 23]),
        (Command::DeviceReset as u16, vec![1]),
        (Command::DmaRead as u16, vec![0; 16]),
        (Command::Version as u16, vec![0, 0, 1, 0]),
        (0, vec![]),
        (14, vec![1; 100]),
        (999, vec![1; 5000]),
    ];
    for (command, payload) in cases {
        assert_eq!(
            raw.refused(command, &payload),
            Errno::INVAL,
            "command {command}"
        );
        raw.is_in_step();
    }
    assert_eq!(
        raw.refused(Command::DeviceFeature as u16, &[0; 8]),
        Errno::NOTSUP
    );
    raw.is_in_step();
}

#[test]
fn a_message_may_come_a_byte_at_a_time_and_two_at_once() {
    let served = served();
    let mut raw = Raw::agreed(&served);
    let asked = region(0, 7, 4, &[]);
    let header = Raw::header(Command::RegionRead as u16, HEADER_LEN + asked.len());
    let whole = [header.as_bytes(), &asked].concat();
    for byte in &whole {
        raw.0.write_all(&[*byte]).expect("a server that reads");
    }
    let first = raw.receive().1;
    raw.0
        .write_all(&[whole.clone(), whole].concat())
        .expect("a server that reads");
    assert_eq!(raw.receive().1, first);
    assert_eq!(raw.receive().1, first);
    raw.is_in_step();
}

#[test]
fn a_message_that_is_too_long_is_thrown_away_and_memory_stays_bounded() {
    let served = served();
    let mut raw = Raw::agreed(&served);
    let len = 64 << 20;
    let header = Raw::header(Command::RegionWrite as u16, len + HEADER_LEN);
    raw.0
        .write_all(header.as_bytes())
        .expect("a server that reads");
    let block = vec![0; 1 << 20];
    for _ in 0..len >> 20 {
        raw.0.write_all(&block).expect("a server that reads");
    }
    assert_eq!(raw.error(), Errno::MSGSIZE);
    raw.is_in_step();
    const { assert!(MAX_MESSAGE < 2 << 20, "what is kept of one message") };
}

#[test]
fn a_client_without_a_version_or_with_a_strange_one_is_sent_away() {
    let served = served();
    let text = |text: &str| [&[0, 0, 1, 0], text.as_bytes()].concat();
    let cases = [
        (Command::DeviceGetInfo as u16, vec![0; 16], Errno::INVAL),
        (Command::Version as u16, vec![], Errno::INVAL),
        (Command::Version as u16, vec![1, 0, 0, 0], Errno::NOTSUP),
        (Command::Version as u16, text("{}"), Errno::INVAL),
        (
            Command::Version as u16,
            text("{\"capabilities\":7}\0"),
            Errno::INVAL,
        ),
        (Command::Version as u16, text("\u{0}\u{0}"), Errno::INVAL),
        (
            Command::Version as u16,
            text(&"[".repeat(4000)),
            Errno::INVAL,
        ),
    ];
    for (command, payload, error) in cases {
        let mut raw = Raw::new(&served);
        assert_eq!(raw.refused(command, &payload), error);
        assert_eq!(raw.0.read(&mut [0]).expect("an end"), 0);
        served.end();
    }
    Raw::agreed(&served).is_in_step();
}

#[test]
fn a_header_that_is_shorter_than_itself_ends_the_session() {
    let served = served();
    let mut raw = Raw::agreed(&served);
    let header = Raw::header(Command::DeviceReset as u16, 3);
    raw.0
        .write_all(header.as_bytes())
        .expect("a server that reads");
    assert_eq!(raw.0.read(&mut [0]).expect("an end"), 0);
    assert_eq!(
        served.end(),
        "a message of 3 bytes, but its header alone has 16"
    );
    Raw::agreed(&served).is_in_step();
}

#[test]
fn a_client_that_goes_within_a_message_is_forgotten() {
    let served = served();
    let mut raw = Raw::agreed(&served);
    let header = Raw::header(Command::RegionWrite as u16, 116);
    raw.0
        .write_all(header.as_bytes())
        .expect("a server that reads");
    drop(raw);
    assert_eq!(
        served.end(),
        "the other end closed the socket 100 bytes before the end of a message"
    );
    Raw::agreed(&served).is_in_step();
}

#[test]
fn a_client_that_never_rests_does_not_keep_the_server_from_its_end() {
    // Seconds of work, of which the socket holds a part that outlasts every pause of the flood.
    const BURSTS: usize = 2000;
    for doorbells in [Doorbells::Trapped, Doorbells::Shared] {
        let mut served = Served::new(Profile::reference(), doorbells);
        let mut raw = Raw::agreed(&served);
        let mut header = Raw::header(Command::DeviceReset as u16, HEADER_LEN);
        header.flags = NO_REPLY.into();
        let burst = header.as_bytes().repeat(256);
        let (begun, wait) = std::sync::mpsc::channel();
        let flood = std::thread::spawn(move || {
            for number in 0..BURSTS {
                if raw.0.write_all(&burst).is_err() {
                    return true;
                }
                // The server is at work, and the socket full.
                if number == 200 {
                    begun.send(()).expect("a listener");
                }
            }
            false
        });
        wait.recv().expect("a flood");
        served.kill();
        assert!(flood.join().expect("no panic"), "the flood came first");
    }
}
