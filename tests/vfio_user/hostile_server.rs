//! Servers that do not keep to the protocol: the driver says what was wrong, or sees a card that
//! was pulled out, and never waits for ever.

use std::path::Path;

use device_model::Profile;
use dma::Pool;
use driver::Transport as _;
use driver::vfio_user::{ConnectError, VfioUser};
use protocol::Message;
use protocol::wire::Command;
use rand::{Rng as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;
use regs::Register;

use crate::between::{Between, Fate, Meddler, Memory};
use crate::served::{Doorbells, Served};

/// Answers in which random bytes are changed.
const STORIES: u64 = 300;

fn connect(path: &Path) -> Result<VfioUser, ConnectError> {
    VfioUser::connect(path, Pool::shared(1 << 20).expect("memory"))
}

/// A meddler that changes every answer to `command`.
fn changes(
    command: Command,
    mut change: impl FnMut(&mut Message) -> Fate + Send + 'static,
) -> Meddler {
    Box::new(move |asked, message| {
        if asked == command {
            change(message)
        } else {
            Fate::Passes
        }
    })
}

/// What a driver says of a server whose answers `meddler` changes.
fn complaint(meddler: Meddler) -> String {
    let served = Served::new(Profile::reference(), Doorbells::Shared);
    let between = Between::new(served.path(), Memory::WithFile, meddler);
    let error = connect(between.path()).expect_err("a server that lies");
    error.to_string()
}

#[test]
fn a_server_that_makes_no_sense_is_refused_with_what_was_asked() {
    type Change = fn(&mut Message) -> Fate;
    let cases: [(Command, Change, &str); 7] = [
        (
            Command::Version,
            |answer| {
                answer.payload[0] = 9;
                Fate::Passes
            },
            "the server's answer about a version makes no sense",
        ),
        (
            Command::Version,
            |answer| {
                answer.payload.truncate(1);
                Fate::Passes
            },
            "the server's answer about a version makes no sense",
        ),
        (
            Command::DeviceGetRegionInfo,
            // The offset of the region's file: the end of all that can be said.
            |answer| {
                answer.payload[24..32].fill(0xFF);
                Fate::Passes
            },
            "the server's answer about BAR 0 makes no sense",
        ),
        (
            Command::DeviceGetIrqInfo,
            |answer| {
                answer.payload[12..16].fill(0xFF);
                Fate::Passes
            },
            "the server's answer about interrupts makes no sense",
        ),
        (
            Command::DeviceGetIrqInfo,
            |answer| {
                answer.payload.clear();
                Fate::Passes
            },
            "the server's answer about interrupts makes no sense",
        ),
        (
            Command::DeviceSetIrqs,
            |_| Fate::Ends,
            "while asking for interrupts: the other end closed the socket",
        ),
        (
            Command::DmaMap,
            |_| Fate::IsDropped,
            "while asking for the DMA pool to be mapped: the other end did not take or give a whole \
             message within 2000 ms",
        ),
    ];
    for (command, change, said) in cases {
        assert_eq!(complaint(changes(command, change)), said, "{command:?}");
    }
}

#[test]
fn a_server_that_answers_what_nobody_asked_is_not_listened_to_for_ever() {
    let said = complaint(changes(Command::DmaMap, |_| Fate::Floods));
    assert_eq!(
        said,
        "while asking for the DMA pool to be mapped: the other end did not take or give a whole \
         message within 2000 ms"
    );
}

#[test]
fn a_server_that_ends_in_the_middle_is_a_card_that_was_pulled_out() {
    let served = Served::new(Profile::reference(), Doorbells::Trapped);
    let meddler = changes(Command::RegionRead, |_| Fate::Ends);
    let between = Between::new(served.path(), Memory::WithFile, meddler);
    let mut card = connect(between.path()).expect("a server");
    assert!(card.is_present());
    assert_eq!(card.read(Register::DeviceId.offset()), u32::MAX);
    assert!(!card.is_present());
}

#[test]
fn a_server_whose_answers_are_garbled_does_no_harm() {
    let served = Served::new(Profile::reference(), Doorbells::Shared);
    let (mut refused, mut taken) = (0, 0);
    for seed in 0..STORIES {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let meddler = Box::new(move |_, message: &mut Message| {
            let len = message.payload.len();
            match random.next_u32() % 4 {
                0 if len > 0 => {
                    let at = random.next_u64() as usize % len;
                    message.payload[at] = random.next_u64() as u8;
                }
                1 => message
                    .payload
                    .truncate(random.next_u64() as usize % (len + 1)),
                2 if random.next_u32().is_multiple_of(4) => message.fds.clear(),
                _ => {}
            }
            Fate::Passes
        });
        let between = Between::new(served.path(), Memory::WithFile, meddler);
        match connect(between.path()) {
            Ok(mut card) => {
                card.write(regs::DOORBELL_PAGE, 0);
                card.read(Register::DeviceId.offset());
                card.take_interrupts();
                taken += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(
        refused > STORIES / 4 && taken > STORIES / 20,
        "{refused} {taken}"
    );
}
