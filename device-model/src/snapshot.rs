//! The whole state of a card as bytes, and back.
//!
//! A snapshot may be taken at any time; a card restored from it goes on to the bit. It holds the
//! keys of every session: treat it as a secret. Bytes may come from anywhere: what does not decode,
//! or decodes to a state that no card can be in, is refused. Snapshots belong to one version of the
//! card; there is no conversion between versions.
//!
//! What is not in it: host memory, and the buffers that hold payload for the length of one command.

use regs::FunctionId;
use zeroize::Zeroizing;

use crate::card::Card;
use crate::function::Function;
use crate::profile::ProfileError;

const MAGIC: [u8; 8] = *b"RINGSNAP";
/// Counts up when the state of a card changes shape, or a card in it goes on in another way: a test
/// keeps a digest for each.
const FORMAT: u16 = 5;
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
        card.scratch = fresh.scratch;
        card.descriptors = fresh.descriptors;
        Ok(card)
    }

    /// Whether the functions are those of a card of this profile. Takes over what a snapshot does
    /// not hold of them.
    fn adopt_functions(&mut self) -> Check {
        let physical = self.functions.first().ok_or("no function")?;
        let serial = physical.pci.serial();
        let others = self.functions.len() - 1;
        let fresh = Function::physical(&self.profile, serial);
        self.functions[0].adopt(&fresh, others)?;
        let physical = &self.functions[0].pci;
        let expected = usize::from(physical.virtual_functions());
        check(others == expected, "number of functions")?;
        let parent = physical.as_parent();
        for (index, function) in (0..).zip(self.functions.iter_mut().skip(1)) {
            function.adopt(&Function::of_virtual(&self.profile, index), others)?;
            function.pci.set_parent(parent);
        }
        let rings = self.functions[others].rings.end;
        check(self.rings.len() == rings, "number of ring pairs")?;
        for id in (0..=others as u16).map(FunctionId) {
            self.tell_rings(id);
        }
        check(self.ready_at == self.rare_at(), "end of a reset")
    }

    /// Whether the state is one that a card like `fresh` can be in.
    fn check(&mut self, fresh: &Self) -> Check {
        self.adopt_functions()?;
        let rings = self.rings.len();
        check(self.busy.fits(rings), "busy ring pairs")?;
        check(
            self.completion_time == fresh.completion_time,
            "time of a completion",
        )?;
        self.arbiter.check(rings)?;
        self.agenda.check(rings)?;
        let mut link = fresh.link.clone();
        link.set_sizes(self.functions[0].pci.traffic_sizes());
        self.link.check(&link)?;
        self.lines.check(&fresh.lines)?;
        self.service_lines.check(&fresh.service_lines)?;
        self.contexts.check(&fresh.contexts)?;
        self.cache.check(&fresh.cache)?;
        self.stats.check(&fresh.stats)?;
        self.admin.check()?;
        self.errata.check(rings)?;
        for function in &self.functions {
            function.ledger.check(function.rings.len(), &self.stats)?;
            for (local, ring) in self.rings[function.rings.clone()].iter().enumerate() {
                ring.counters.check(function.ledger.base_of(local))?;
            }
        }
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

/// A long array of a snapshot, as a sequence.
pub(crate) mod sequence {
    use serde::de::{DeserializeOwned, Error as _};
    use serde::{Deserialize as _, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer, T: Serialize, const LEN: usize>(
        array: &[T; LEN],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        array.as_slice().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: DeserializeOwned, const LEN: usize>(
        deserializer: D,
    ) -> Result<[T; LEN], D::Error> {
        let array = Vec::deserialize(deserializer)?;
        let count = array.len();
        array
            .try_into()
            .map_err(|_| D::Error::invalid_length(count, &"as many as the card has"))
    }
}
