//! What a client may ask for about interrupts, in whole and in part, and what it may not.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use device_model::Profile;
use protocol::wire::{Command, IrqSet};
use protocol::{Channel, Deadline};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use serde_json::json;
use vfio_bindings::bindings::vfio;
use zerocopy::IntoBytes as _;

use crate::qemu::{PATIENCE_MS, agreed};
use crate::served::{Doorbells, Served};

const NONE: u32 = vfio::VFIO_IRQ_SET_DATA_NONE;
const BOOL: u32 = vfio::VFIO_IRQ_SET_DATA_BOOL;
const EVENT: u32 = vfio::VFIO_IRQ_SET_DATA_EVENTFD;
const TRIGGER: u32 = vfio::VFIO_IRQ_SET_ACTION_TRIGGER;
const MASK: u32 = vfio::VFIO_IRQ_SET_ACTION_MASK;
const UNMASK: u32 = vfio::VFIO_IRQ_SET_ACTION_UNMASK;
const INTX: u32 = vfio::VFIO_PCI_INTX_IRQ_INDEX;
const MSI: u32 = vfio::VFIO_PCI_MSI_IRQ_INDEX;
const MSIX: u32 = vfio::VFIO_PCI_MSIX_IRQ_INDEX;
const ERROR: u32 = vfio::VFIO_PCI_ERR_IRQ_INDEX;
const REQUEST: u32 = vfio::VFIO_PCI_REQ_IRQ_INDEX;

/// Flags, and the kind of interrupt.
type How = (u32, u32);
/// First interrupt, and how many.
type Range = (u32, u32);

/// What is wrong with it, its data, and how many descriptors come along.
type Case = (&'static str, How, Range, &'static [u8], usize);

fn event() -> OwnedFd {
    eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an event")
}

/// A session, and an event for each of the first four vectors.
struct Client {
    channel: Channel,
    events: [OwnedFd; 4],
    /// Dropped last.
    _served: Served,
}

impl Client {
    /// Nobody is told of anything yet.
    fn new() -> Self {
        let served = Served::new(Profile::reference(), Doorbells::Trapped);
        let (channel, _) = agreed(&served, &json!({ "max_msg_fds": 8 }));
        Self {
            channel,
            events: [(); 4].map(|()| event()),
            _served: served,
        }
    }

    /// One whose vectors 0 to 3 are told.
    fn listening() -> Self {
        let mut client = Self::new();
        assert_eq!(client.listen(MSIX, (0, 4), 0..4), Ok(()));
        client
    }

    fn set(
        &mut self,
        (flags, index): How,
        (start, count): Range,
        data: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), Errno> {
        let set = IrqSet {
            argsz: ((size_of::<IrqSet>() + data.len()) as u32).into(),
            flags: flags.into(),
            index: index.into(),
            start: start.into(),
            count: count.into(),
        };
        let parts = [set.as_bytes(), data];
        let sent = self.channel.command(Command::DeviceSetIrqs, &parts, fds);
        let id = sent.expect("a server");
        let answer = self.channel.receive_by(Deadline::after(PATIENCE_MS));
        let answer = answer.expect("an answer").header;
        assert_eq!(answer.id.get(), id);
        answer.failure().map_or(Ok(()), Err)
    }

    /// Names these events for `range`.
    fn listen(
        &mut self,
        index: u32,
        range: Range,
        events: std::ops::Range<usize>,
    ) -> Result<(), Errno> {
        let twins = self.events[events].iter().map(OwnedFd::try_clone);
        let twins: Vec<_> = twins.collect::<Result<_, _>>().expect("descriptors");
        let fds: Vec<_> = twins.iter().map(|twin| twin.as_fd()).collect();
        self.set((EVENT | TRIGGER, index), range, &[], &fds)
    }

    fn trigger(&mut self, index: u32, range: Range) -> Result<(), Errno> {
        self.set((NONE | TRIGGER, index), range, &[], &[])
    }

    /// How often each event was told since the last look.
    fn told(&self) -> [u64; 4] {
        self.events.each_ref().map(|event| {
            let mut count = [0; 8];
            rustix::io::read(event, &mut count).map_or(0, |_| u64::from_ne_bytes(count))
        })
    }
}

#[test]
fn vectors_are_named_and_forgotten_in_part() {
    let mut client = Client::new();
    assert_eq!(client.listen(MSIX, (1, 2), 1..3), Ok(()));
    assert_eq!(client.trigger(MSIX, (0, 4)), Ok(()));
    assert_eq!(client.told(), [0, 1, 1, 0]);
    // Another event for one of them, and more vectors beside.
    assert_eq!(client.listen(MSIX, (2, 1), 0..1), Ok(()));
    assert_eq!(client.listen(MSIX, (3, 1), 3..4), Ok(()));
    assert_eq!(client.trigger(MSIX, (0, 4)), Ok(()));
    assert_eq!(client.told(), [1, 1, 0, 1]);
    // No descriptor at all is what a kernel says with -1.
    assert_eq!(client.listen(MSIX, (2, 2), 0..0), Ok(()));
    assert_eq!(client.trigger(MSIX, (0, 4)), Ok(()));
    assert_eq!(client.told(), [0, 1, 0, 0]);
    // What is not named any more is nobody's, and can be named again.
    assert_eq!(client.listen(MSIX, (2, 2), 2..4), Ok(()));
    assert_eq!(client.trigger(MSIX, (0, 4)), Ok(()));
    assert_eq!(client.told(), [0, 1, 1, 1]);
}

#[test]
fn all_vectors_are_forgotten_at_once_in_both_ways() {
    for flags in [NONE | TRIGGER, EVENT | TRIGGER] {
        let mut client = Client::listening();
        assert_eq!(client.set((flags, MSIX), (0, 0), &[], &[]), Ok(()));
        assert_eq!(client.trigger(MSIX, (0, 4)), Ok(()));
        assert_eq!(client.told(), [0; 4], "{flags:#x}");
        assert_eq!(client.listen(MSIX, (0, 4), 0..4), Ok(()));
        assert_eq!(client.trigger(MSIX, (3, 1)), Ok(()));
        assert_eq!(client.told(), [0, 0, 0, 1], "{flags:#x}");
    }
}

#[test]
fn bytes_choose_among_the_vectors_of_a_range() {
    let mut client = Client::listening();
    let chosen = client.set((BOOL | TRIGGER, MSIX), (1, 3), &[1, 0, 0xFF], &[]);
    assert_eq!((chosen, client.told()), (Ok(()), [0, 1, 0, 1]));
    let masked = client.set((BOOL | MASK, MSIX), (0, 3), &[0, 1, 1], &[]);
    assert_eq!(masked, Ok(()));
    for _ in 0..3 {
        assert_eq!(client.trigger(MSIX, (0, 4)), Ok(()));
    }
    assert_eq!(client.told(), [3, 0, 0, 3]);
    // What came while it was masked comes once.
    let unmasked = client.set((BOOL | UNMASK, MSIX), (0, 3), &[1, 0, 1], &[]);
    assert_eq!((unmasked, client.told()), (Ok(()), [0, 0, 1, 0]));
    assert_eq!(client.set((NONE | UNMASK, MSIX), (1, 1), &[], &[]), Ok(()));
    assert_eq!(client.told(), [0, 1, 0, 0]);
    assert_eq!(client.set((NONE | MASK, MSIX), (0, 4), &[], &[]), Ok(()));
    assert_eq!(client.trigger(MSIX, (0, 4)), Ok(()));
    assert_eq!(client.told(), [0; 4]);
    // A vector that is forgotten forgets its mask, and what came under it.
    assert_eq!(client.listen(MSIX, (0, 4), 0..0), Ok(()));
    assert_eq!(client.listen(MSIX, (0, 4), 0..4), Ok(()));
    assert_eq!(client.told(), [0; 4]);
    assert_eq!(client.trigger(MSIX, (0, 4)), Ok(()));
    assert_eq!(client.told(), [1; 4]);
}

#[test]
fn a_line_masks_itself_and_the_card_is_asked_back_and_fails_through_events_of_their_own() {
    let mut client = Client::new();
    for (index, event) in [(INTX, 0), (ERROR, 1), (REQUEST, 2)] {
        assert_eq!(client.listen(index, (0, 1), event..event + 1), Ok(()));
    }
    for index in [INTX, ERROR, REQUEST] {
        assert_eq!(client.trigger(index, (0, 1)), Ok(()));
        assert_eq!(client.trigger(index, (0, 1)), Ok(()));
    }
    assert_eq!(client.told(), [1, 2, 2, 0]);
    assert_eq!(client.set((NONE | UNMASK, INTX), (0, 1), &[], &[]), Ok(()));
    assert_eq!(client.told(), [1, 0, 0, 0]);
    for index in [ERROR, REQUEST] {
        let refused = client.set((NONE | MASK, index), (0, 1), &[], &[]);
        assert_eq!(refused, Err(Errno::INVAL));
    }
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let mut client = Client::listening();
    let all = vfio_vectors();
    let spare = [event(), event()];
    let fds = spare.each_ref().map(|event| event.as_fd());
    let cases: [Case; 17] = [
        ("too few events", (EVENT | TRIGGER, MSIX), (0, 4), &[], 2),
        ("too many", (EVENT | TRIGGER, MSIX), (0, 1), &[], 2),
        ("events for all", (EVENT | TRIGGER, MSIX), (0, 0), &[], 2),
        ("one too far", (NONE | TRIGGER, MSIX), (all, 1), &[], 0),
        ("beyond", (NONE | TRIGGER, MSIX), (all + 1, 0), &[], 0),
        ("round about", (NONE | TRIGGER, MSIX), (2, u32::MAX), &[], 0),
        ("no such", (NONE | TRIGGER, MSI), (0, 1), &[], 0),
        ("no kind", (NONE | TRIGGER, 5), (0, 1), &[], 0),
        ("too few bytes", (BOOL | TRIGGER, MSIX), (0, 4), &[1; 3], 0),
        ("too many bytes", (BOOL | MASK, MSIX), (0, 4), &[1; 5], 0),
        ("bytes of none", (NONE | MASK, MSIX), (0, 4), &[1; 4], 0),
        ("events of none", (NONE | TRIGGER, MSIX), (0, 2), &[], 2),
        (
            "events of bytes",
            (BOOL | TRIGGER, MSIX),
            (0, 2),
            &[1; 2],
            2,
        ),
        (
            "two kinds of data",
            (NONE | BOOL | TRIGGER, MSIX),
            (0, 4),
            &[1; 4],
            0,
        ),
        ("two actions", (NONE | MASK | TRIGGER, MSIX), (0, 4), &[], 0),
        ("no action", (NONE, MSIX), (0, 4), &[], 0),
        (
            "an unknown flag",
            (NONE | TRIGGER | 1 << 9, MSIX),
            (0, 4),
            &[],
            0,
        ),
    ];
    for (what, how, range, data, events) in cases {
        let refused = client.set(how, range, data, &fds[..events]);
        assert_eq!(refused, Err(Errno::INVAL), "{what}");
        assert_eq!(client.told(), [0; 4], "{what}");
        assert_eq!(client.trigger(MSIX, (0, 4)), Ok(()));
        assert_eq!(client.told(), [1; 4], "{what}");
    }
    // Nobody here unmasks by itself.
    for action in [MASK, UNMASK] {
        let refused = client.set((EVENT | action, MSIX), (0, 2), &[], &fds);
        assert_eq!(refused, Err(Errno::NOTSUP));
    }
}

/// Vectors of the card, the admin ring's included.
fn vfio_vectors() -> u32 {
    u32::from(Profile::reference().ring_pairs) + 1
}
