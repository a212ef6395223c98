//! The whole state of a card as bytes, and back.
//!
//! A snapshot may be taken at any time; a card restored from it goes on to the bit. It holds the
//! keys of every session: treat it as a secret. Bytes may come from anywhere: what does not decode,
//! or decodes to a state that no card can be in, is refused. Snapshots belong to one version of the
//! card; there is no conversion between versions.
//!
//! What is not in it: host memory, and the buffers that hold payload for the length of one command.

use zeroize::Zeroizing;

use crate::card::Card;
use crate::native::execute::Scratch;
use crate::profile::ProfileError;

const MAGIC: [u8; 8] = *b"RINGSNAP";
/// Counts up when the state of a card changes shape.
const FORMAT: u16 = 1;
const HEADER_LEN: usize = MAGIC.len() + 2;

/// Why bytes are not a card.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SnapshotError {
    /// The bytes do not begin as a snapshot does.
    #[error("not a snapshot of a card: it should begin with RINGSNAP")]
    NotASnapshot,
    /// Another version of the card wrote it.
    #[error("the snapshot has format {found}, this card reads format {FORMAT}")]
    Format {
        /// Its format.
        found: u16,
    },
    /// The bytes are cut short, or do not decode.
    #[error("the snapshot does not decode: {0}")]
    Malformed(String),
    /// Something follows the end.
    #[error("{0} bytes follow the end of the snapshot")]
    TooLong(usize),
    /// Its profile describes no card.
    #[error("the profile in the snapshot describes no card")]
    Profile(#[from] ProfileError),
    /// The state contradicts itself.
    #[error("no card is in the state of the snapshot: {0}")]
    Inconsistent(&'static str),
}

/// What contradicts itself.
pub(crate) type Check = Result<(), &'static str>;

/// `Err(what)` unless `holds`.
pub(crate) fn check(holds: bool, what: &'static str) -> Check {
    if holds { Ok(()) } else { Err(what) }
}

/// A counter far enough from its end that nothing a card does reaches it.
pub(crate) const fn is_plausible(count: u64) -> bool {
    count < u64::MAX / 2
}

impl Card {
    /// The state of the card. It is zeroed when dropped.
    ///
    /// # Panics
    /// Never: every state has bytes.
    #[must_use]
    pub fn snapshot(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(FORMAT.to_le_bytes());
        let bytes = postcard::to_extend(self, bytes).expect("every state has bytes");
        Zeroizing::new(bytes)
    }

    /// The card that `bytes` are a snapshot of.
    ///
    /// # Errors
    /// [`SnapshotError`] if they are not a snapshot of a card of this version, or of a state that
    /// no card can be in.
    pub fn restore(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let header = bytes.split_at_checked(HEADER_LEN);
        let (header, state) = header.ok_or(SnapshotError::NotASnapshot)?;
        let (magic, format) = header.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(SnapshotError::NotASnapshot);
        }
        let found = u16::from_le_bytes([format[0], format[1]]);
        if found != FORMAT {
            return Err(SnapshotError::Format { found });
        }
        let (mut card, rest): (Self, _) = postcard::take_from_bytes(state)
            .map_err(|error| SnapshotError::Malformed(error.to_string()))?;
        if !rest.is_empty() {
            return Err(SnapshotError::TooLong(rest.len()));
        }
        let fresh = Self::new(card.profile.clone())?;
        card.check(&fresh).map_err(SnapshotError::Inconsistent)?;
        card.scratch = Scratch::default();
        card.descriptors = fresh.descriptors;
        Ok(card)
    }

    /// Whether the state is one that a card like `fresh` can be in.
    fn check(&self, fresh: &Self) -> Check {
        let rings = fresh.rings.len();
        check(self.rings.len() == rings, "number of ring pairs")?;
        check(self.busy.fits(rings), "busy ring pairs")?;
        check(
            self.completion_time == fresh.completion_time,
            "time of a completion",
        )?;
        self.arbiter.check(rings)?;
        self.agenda.check(rings)?;
        self.link.check(&fresh.link)?;
        self.lines.check(&fresh.lines)?;
        self.service_lines.check(&fresh.service_lines)?;
        self.contexts.check(&fresh.contexts)?;
        self.cache.check(&fresh.cache)?;
        self.stats.check(&fresh.stats)?;
        self.admin.check()?;
        for (index, ring) in self.rings.iter().enumerate() {
            let on_card = self.agenda.on_card(index);
            ring.check(index, on_card, self.profile.fetch_burst)?;
            check(
                self.busy.has(index) == (ring.outstanding != 0),
                "a pair that is busy or not",
            )?;
        }
        let held = self.rings.iter().flat_map(|ring| &ring.held);
        self.agenda.check_orders(held, &self.contexts)
    }
}
