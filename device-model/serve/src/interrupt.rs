//! Where interrupts go: the event descriptors that a client named, by VFIO's kinds.
//!
//! An event that comes while its interrupt is masked waits until it is not. The legacy interrupt is
//! a level: it masks itself when it is told, and is told again if it still stands when unmasked.

use std::os::fd::OwnedFd;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

/// A kind of interrupt, by VFIO's number of it (`VFIO_PCI_*_IRQ_INDEX`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The legacy interrupt.
    Intx,
    /// Messages without a table; the card has none.
    Msi,
    /// Messages with a table.
    Msix,
    /// The card told the root complex of an error that is not correctable.
    Error,
    /// The card is to be given back.
    Request,
}

impl Kind {
    /// All of them, in order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::Intx,
        Self::Msi,
        Self::Msix,
        Self::Error,
        Self::Request,
    ];
}

/// What a client wants of some interrupts of one kind.
#[derive(Debug)]
pub enum Action {
    /// Tell these descriptors when they come; one for each.
    Assign(Vec<OwnedFd>),
    /// Tell nobody any more.
    Unassign,
    /// Pretend that those came whose entry is `true`.
    Trigger(Vec<bool>),
    /// Keep those back whose entry is `true`.
    Mask(Vec<bool>),
    /// Let those through whose entry is `true`.
    Unmask(Vec<bool>),
}

/// One interrupt.
#[derive(Debug, Default)]
struct Line {
    event: Option<OwnedFd>,
    is_masked: bool,
    is_pending: bool,
}

impl Line {
    fn signal(&mut self) {
        if self.is_masked {
            self.is_pending = true;
            return;
        }
        self.is_pending = false;
        let Some(event) = &self.event else { return };
        // A descriptor that takes no more has been told often enough already.
        let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
    }

    fn unmask(&mut self) {
        self.is_masked = false;
        if self.is_pending {
            self.signal();
        }
    }
}

/// The interrupts of one card.
#[derive(Debug)]
pub struct Interrupts {
    /// By number of the kind.
    lines: [Vec<Line>; Kind::ALL.len()],
    /// Whether the card asserts the legacy interrupt.
    is_asserted: bool,
}

impl Interrupts {
    /// The interrupts of a card with `vectors` vectors. Nobody is told of them yet.
    #[must_use]
    pub fn new(vectors: u16) -> Self {
        let lines = |kind: Kind| {
            let count = match kind {
                Kind::Msi => 0,
                Kind::Msix => vectors,
                Kind::Intx | Kind::Error | Kind::Request => 1,
            };
            (0..count).map(|_| Line::default()).collect()
        };
        Self {
            lines: Kind::ALL.map(lines),
            is_asserted: false,
        }
    }

    /// How many interrupts there are of `kind`.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u32 {
        self.lines[kind as usize].len() as u32
    }

    /// Whether anybody is told of an interrupt of `kind`.
    #[must_use]
    pub fn is_assigned(&self, kind: Kind) -> bool {
        self.lines[kind as usize]
            .iter()
            .any(|line| line.event.is_some())
    }

    /// Does `action` to `count` interrupts of `kind` from `start` on.
    ///
    /// # Errors
    /// `EINVAL` if there are fewer, or the action is not about as many, or a kind that can not be
    /// masked should be. Nothing has changed then.
    pub fn set(
        &mut self,
        kind: Kind,
        (start, count): (u32, u32),
        action: Action,
    ) -> Result<(), Errno> {
        let lines = &mut self.lines[kind as usize];
        let (start, count) = (start as usize, count as usize);
        let end = start.checked_add(count).ok_or(Errno::INVAL)?;
        let lines = lines.get_mut(start..end).ok_or(Errno::INVAL)?;
        match action {
            Action::Assign(events) => {
                Self::assign(lines, events)?;
                // Whoever begins to listen learns of a line that stands already.
                if kind == Kind::Intx && self.is_asserted {
                    self.signal(Kind::Intx, 0);
                }
                Ok(())
            }
            Action::Unassign => {
                lines.fill_with(Line::default);
                Ok(())
            }
            Action::Trigger(which) => {
                Self::each(lines, &which, Line::signal)?;
                self.automask(kind);
                Ok(())
            }
            Action::Mask(_) | Action::Unmask(_) if matches!(kind, Kind::Error | Kind::Request) => {
                Err(Errno::INVAL)
            }
            Action::Mask(which) => Self::each(lines, &which, |line| line.is_masked = true),
            Action::Unmask(which) => {
                Self::each(lines, &which, Line::unmask)?;
                if kind == Kind::Intx && self.is_asserted {
                    self.signal(Kind::Intx, 0);
                }
                Ok(())
            }
        }
    }

    fn assign(lines: &mut [Line], events: Vec<OwnedFd>) -> Result<(), Errno> {
        if events.len() != lines.len() {
            return Err(Errno::INVAL);
        }
        for event in &events {
            // The server must never wait for its client to read.
            fcntl_setfl(event, fcntl_getfl(event)? | OFlags::NONBLOCK)?;
        }
        for (line, event) in lines.iter_mut().zip(events) {
            line.event = Some(event);
        }
        Ok(())
    }

    fn each(
        lines: &mut [Line],
        which: &[bool],
        mut act: impl FnMut(&mut Line),
    ) -> Result<(), Errno> {
        if which.len() != lines.len() {
            return Err(Errno::INVAL);
        }
        let chosen = lines
            .iter_mut()
            .zip(which)
            .filter(|&(_, &is_chosen)| is_chosen);
        chosen.for_each(|(line, _)| act(line));
        Ok(())
    }

    /// Interrupt `number` of `kind` comes. One that the card does not have goes nowhere.
    pub fn signal(&mut self, kind: Kind, number: u32) {
        if let Some(line) = self.lines[kind as usize].get_mut(number as usize) {
            line.signal();
        }
        self.automask(kind);
    }

    /// The legacy interrupt masks itself once it has been told.
    fn automask(&mut self, kind: Kind) {
        if kind == Kind::Intx {
            self.lines[Kind::Intx as usize][0].is_masked = true;
        }
    }

    /// The card asserts the legacy interrupt, or takes it back.
    pub fn set_intx(&mut self, is_asserted: bool) {
        let rises = is_asserted && !self.is_asserted;
        self.is_asserted = is_asserted;
        let line = &mut self.lines[Kind::Intx as usize][0];
        if !is_asserted {
            line.is_pending = false;
        } else if rises && !line.is_masked {
            self.signal(Kind::Intx, 0);
        }
    }

    /// Tells nobody of anything any more.
    pub fn clear(&mut self) {
        for line in self.lines.iter_mut().flatten() {
            *line = Line::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{EventfdFlags, eventfd};

    use super::*;

    /// An event descriptor and its twin.
    fn event() -> (OwnedFd, OwnedFd) {
        let ours = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an event");
        let theirs = ours.try_clone().expect("a twin");
        (ours, theirs)
    }

    /// How often it was told since it was looked at last.
    fn told(event: &OwnedFd) -> u64 {
        let mut count = [0; 8];
        rustix::io::read(event, &mut count).map_or(0, |_| u64::from_ne_bytes(count))
    }

    #[test]
    fn a_masked_vector_waits_and_is_told_once() {
        let mut interrupts = Interrupts::new(2);
        let (ours, theirs) = event();
        interrupts
            .set(Kind::Msix, (1, 1), Action::Assign(vec![theirs]))
            .unwrap();
        interrupts.signal(Kind::Msix, 0);
        assert_eq!(told(&ours), 0);
        interrupts.signal(Kind::Msix, 1);
        assert_eq!(told(&ours), 1);
        interrupts
            .set(Kind::Msix, (1, 1), Action::Mask(vec![true]))
            .unwrap();
        interrupts.signal(Kind::Msix, 1);
        interrupts.signal(Kind::Msix, 1);
        assert_eq!(told(&ours), 0);
        interrupts
            .set(Kind::Msix, (0, 2), Action::Unmask(vec![true, false]))
            .unwrap();
        assert_eq!(told(&ours), 0);
        interrupts
            .set(Kind::Msix, (0, 2), Action::Unmask(vec![true; 2]))
            .unwrap();
        assert_eq!(told(&ours), 1);
    }

    #[test]
    fn the_legacy_interrupt_is_a_level_that_masks_itself() {
        let mut interrupts = Interrupts::new(1);
        let (ours, theirs) = event();
        interrupts
            .set(Kind::Intx, (0, 1), Action::Assign(vec![theirs]))
            .unwrap();
        interrupts.set_intx(true);
        interrupts.set_intx(true);
        assert_eq!(told(&ours), 1);
        interrupts
            .set(Kind::Intx, (0, 1), Action::Unmask(vec![true]))
            .unwrap();
        assert_eq!(told(&ours), 1, "it still stands");
        interrupts.set_intx(false);
        interrupts
            .set(Kind::Intx, (0, 1), Action::Unmask(vec![true]))
            .unwrap();
        assert_eq!(told(&ours), 0);
        interrupts.set_intx(true);
        assert_eq!(told(&ours), 1);
    }

    #[test]
    fn whoever_begins_to_listen_learns_of_a_line_that_stands_already() {
        let mut interrupts = Interrupts::new(0);
        interrupts.set_intx(true);
        let (ours, theirs) = event();
        interrupts
            .set(Kind::Intx, (0, 1), Action::Unassign)
            .unwrap();
        interrupts
            .set(Kind::Intx, (0, 1), Action::Assign(vec![theirs]))
            .unwrap();
        assert_eq!(told(&ours), 1);
    }

    #[test]
    fn a_reader_that_never_reads_stops_nobody() {
        let mut interrupts = Interrupts::new(1);
        let ours = eventfd(0, EventfdFlags::CLOEXEC).expect("an event");
        rustix::io::write(&ours, &(u64::MAX - 1).to_ne_bytes()).unwrap();
        interrupts
            .set(Kind::Msix, (0, 1), Action::Assign(vec![ours]))
            .unwrap();
        for _ in 0..1_000 {
            interrupts.signal(Kind::Msix, 0);
        }
        assert!(interrupts.is_assigned(Kind::Msix));
    }

    #[test]
    fn what_is_not_there_can_not_be_set() {
        let mut interrupts = Interrupts::new(2);
        let mut set = |kind, range, action| interrupts.set(kind, range, action);
        assert_eq!(set(Kind::Msix, (1, 2), Action::Unassign), Err(Errno::INVAL));
        assert_eq!(
            set(Kind::Msix, (u32::MAX, 2), Action::Unassign),
            Err(Errno::INVAL)
        );
        assert_eq!(set(Kind::Msi, (0, 1), Action::Unassign), Err(Errno::INVAL));
        assert_eq!(
            set(Kind::Msix, (0, 2), Action::Assign(Vec::new())),
            Err(Errno::INVAL)
        );
        assert_eq!(
            set(Kind::Msix, (0, 2), Action::Mask(vec![true])),
            Err(Errno::INVAL)
        );
        assert_eq!(
            set(Kind::Error, (0, 1), Action::Mask(vec![true])),
            Err(Errno::INVAL)
        );
    }
}
