//! Key-encryption keys (KEKs): how cards come to share one, and the envelopes made with it.
//!
//! Two ways into a slot. A KEK is loaded in an envelope under the root key (AES key wrap, RFC
//! 3394), by somebody who has the root key. Or two cards agree on one with X25519 (RFC 7748), and
//! each proves to the other with the root key that it is of the same fleet; nobody else ever knows
//! that KEK, whoever learns the root key later included.
//!
//! The host carries offers and envelopes and is not trusted with what is in them: it can drop,
//! delay and repeat them, but neither read nor change one without being noticed. KEKs live in the
//! card's memory alone and are zeroed by every reset of the function and by loss of power.

use aes_kw::KwAes256;
use aes_kw::cipher::KeyInit;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use regs::{BLOB_VERSION, KEK_SLOTS, KekOffer, OFFER_MAGIC, Status, WRAPPED_KEK_LEN};
use sha2::Sha256;
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};
use zeroize::Zeroizing;

use crate::provisioning::Provisioning;
use crate::snapshot::{Check, check, is_plausible};

/// A key of this module: KEK, root key, or a secret of an agreement.
pub(super) type Key = Zeroizing<[u8; 32]>;

/// Most cards whose blobs one KEK tells apart.
const EXPORTERS_MAX: usize = 16;

/// Which blobs of one exporter were imported: the highest number, and a bit for each of the 64 up
/// to it (RFC 4303, 3.4.3).
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
struct Window {
    exporter: u64,
    highest: u64,
    seen: u64,
}

impl Window {
    const fn is_new(&self, sequence: u64) -> bool {
        match self.highest.checked_sub(sequence) {
            None => true,
            Some(age) => age < 64 && self.seen >> age & 1 == 0,
        }
    }

    fn note(&mut self, sequence: u64) {
        let ahead = sequence.saturating_sub(self.highest);
        self.seen =
            u32::try_from(ahead).map_or(0, |ahead| self.seen.checked_shl(ahead).unwrap_or(0));
        self.highest = self.highest.max(sequence);
        if let Ok(age) = u32::try_from(self.highest - sequence) {
            self.seen |= 1_u64.checked_shl(age).unwrap_or(0);
        }
    }
}

/// A key-encryption key.
#[derive(serde::Deserialize, serde::Serialize)]
pub(super) struct Kek {
    key: Key,
    id: [u8; 8],
    /// The one card at the other end, if it was agreed with one.
    peer: Option<u64>,
    exported: u64,
    imported: Vec<Window>,
}

impl Kek {
    fn new(key: Key, peer: Option<u64>) -> Self {
        let mut id = [0; 8];
        id.copy_from_slice(&derive(&*key, &[], b"ringside kek id")[..8]);
        Self {
            key,
            id,
            peer,
            exported: 0,
            imported: Vec::new(),
        }
    }

    pub(super) const fn id(&self) -> [u8; 8] {
        self.id
    }

    /// The key of one envelope: `header` names it, salt included.
    pub(super) fn envelope_key(&self, header: &[u8]) -> Key {
        derive(&*self.key, &[], header)
    }

    /// Counts a blob that is made.
    pub(super) const fn next_sequence(&mut self) -> u64 {
        self.exported += 1;
        self.exported
    }

    /// Whether a blob of `exporter` can have been made under this KEK.
    pub(super) fn knows(&self, exporter: u64) -> bool {
        match self.peer {
            Some(peer) => exporter == peer,
            None => {
                self.imported.len() < EXPORTERS_MAX
                    || self.imported.iter().any(|seen| seen.exporter == exporter)
            }
        }
    }

    pub(super) fn is_new(&self, exporter: u64, sequence: u64) -> bool {
        let seen = self.imported.iter().find(|seen| seen.exporter == exporter);
        sequence != 0 && seen.is_none_or(|seen| seen.is_new(sequence))
    }

    /// Remembers a blob that was imported.
    pub(super) fn note_import(&mut self, exporter: u64, sequence: u64) {
        let seen = &mut self.imported;
        let known = seen.iter().position(|seen| seen.exporter == exporter);
        let place = known.unwrap_or_else(|| {
            seen.push(Window {
                exporter,
                ..Window::default()
            });
            seen.len() - 1
        });
        seen[place].note(sequence);
    }
}

/// A slot for a KEK.
#[derive(Default, serde::Deserialize, serde::Serialize)]
enum Slot {
    #[default]
    Empty,
    /// An offer was made with this secret.
    Offered(Key),
    Holds(Kek),
}

/// The KEKs of a card.
#[derive(serde::Deserialize, serde::Serialize)]
pub(super) struct Vault {
    serial: u64,
    root: Option<Key>,
    slots: [Slot; KEK_SLOTS as usize],
}

impl Vault {
    pub(super) fn new(provisioning: &Provisioning) -> Self {
        Self {
            serial: provisioning.serial,
            root: provisioning.root_key.map(Zeroizing::new),
            slots: Default::default(),
        }
    }

    pub(super) const fn serial(&self) -> u64 {
        self.serial
    }

    /// Whether a vault can be in this state.
    pub(super) fn check(&self) -> Check {
        self.slots.iter().try_for_each(|slot| match slot {
            Slot::Empty | Slot::Offered(_) => Ok(()),
            Slot::Holds(kek) => {
                check(is_plausible(kek.exported), "blobs of a KEK")?;
                check(kek.imported.len() <= EXPORTERS_MAX, "exporters of a KEK")
            }
        })
    }

    /// The KEK of a slot.
    pub(super) fn kek(&mut self, slot: u8) -> Result<&mut Kek, Status> {
        match self.slot(slot)? {
            Slot::Holds(kek) => Ok(kek),
            Slot::Empty | Slot::Offered(_) => Err(Status::NoKek),
        }
    }

    fn slot(&mut self, slot: u8) -> Result<&mut Slot, Status> {
        let slot = self.slots.get_mut(usize::from(slot));
        slot.ok_or(Status::BadParameters)
    }

    /// A slot that holds no KEK.
    fn free_slot(&mut self, slot: u8) -> Result<&mut Slot, Status> {
        match self.slot(slot)? {
            Slot::Holds(_) => Err(Status::KekExists),
            slot @ (Slot::Empty | Slot::Offered(_)) => Ok(slot),
        }
    }

    fn root(&self) -> Result<&Key, Status> {
        self.root.as_ref().ok_or(Status::NoKek)
    }

    /// Loads the KEK in the envelope `wrapped`.
    pub(super) fn load(&mut self, slot: u8, wrapped: &[u8]) -> Result<(), Status> {
        let mut key = Key::default();
        let wrapped = wrapped
            .first_chunk::<WRAPPED_KEK_LEN>()
            .ok_or(Status::BadLength)?;
        KwAes256::new((&**self.root()?).into())
            .unwrap_key(wrapped, &mut *key)
            .map_err(|_| Status::ForgedBlob)?;
        *self.free_slot(slot)? = Slot::Holds(Kek::new(key, None));
        Ok(())
    }

    /// Makes an offer whose secret is `secret`. It takes the place of an earlier one.
    pub(super) fn offer(&mut self, slot: u8, secret: Key) -> Result<KekOffer, Status> {
        let mut offer = KekOffer {
            magic: OFFER_MAGIC,
            version: BLOB_VERSION,
            serial: self.serial,
            public_key: x25519(*secret, X25519_BASEPOINT_BYTES),
            ..KekOffer::default()
        };
        let tag = self.tag(&offer)?.finalize();
        offer.tag.copy_from_slice(&tag.into_bytes());
        *self.free_slot(slot)? = Slot::Offered(secret);
        Ok(offer)
    }

    /// Agrees with the card that made `offer`.
    pub(super) fn accept(&mut self, slot: u8, offer: &KekOffer) -> Result<(), Status> {
        if offer.magic != OFFER_MAGIC || offer.version != BLOB_VERSION {
            return Err(Status::BadVersion);
        }
        let tag = self.tag(offer)?;
        tag.verify_slice(&offer.tag)
            .map_err(|_| Status::ForgedBlob)?;
        let serial = self.serial;
        let slot = self.free_slot(slot)?;
        let Slot::Offered(secret) = slot else {
            return Err(Status::NoKek);
        };
        let own = x25519(**secret, X25519_BASEPOINT_BYTES);
        // A card does not agree with itself, whoever hands it its own words.
        if offer.serial == serial || offer.public_key == own {
            return Err(Status::ForeignBlob);
        }
        let shared = Zeroizing::new(x25519(**secret, offer.public_key));
        // RFC 7748, 6.1: a point of small order would make a secret that everybody knows.
        if shared.iter().all(|&byte| byte == 0) {
            return Err(Status::ForgedBlob);
        }
        let (low, high) = (own.min(offer.public_key), own.max(offer.public_key));
        let key = derive(&*shared, &[low, high].concat(), b"ringside kek");
        *slot = Slot::Holds(Kek::new(key, Some(offer.serial)));
        Ok(())
    }

    fn tag(&self, offer: &KekOffer) -> Result<Hmac<Sha256>, Status> {
        let key = derive(&**self.root()?, &[], b"ringside offer");
        let mac = Hmac::<Sha256>::new_from_slice(&*key).map_err(|_| Status::BadParameters)?;
        Ok(mac.chain_update(&offer.to_bytes()[..KekOffer::TAGGED]))
    }

    /// Zeroes what is in a slot.
    pub(super) fn destroy(&mut self, slot: u8) -> Result<(), Status> {
        match std::mem::take(self.slot(slot)?) {
            Slot::Empty => Err(Status::NoKek),
            Slot::Offered(_) | Slot::Holds(_) => Ok(()),
        }
    }

    /// Slots that hold a KEK.
    pub(super) fn count(&self) -> u32 {
        let holds = |slot: &&Slot| matches!(slot, Slot::Holds(_));
        self.slots.iter().filter(holds).count() as u32
    }

    /// Zeroes every slot.
    pub(super) fn clear(&mut self) {
        self.slots = Default::default();
    }

    pub(super) fn visit(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        for slot in &self.slots {
            match slot {
                Slot::Empty => {}
                Slot::Offered(secret) => visit("KEK slot", &**secret),
                Slot::Holds(kek) => visit("KEK slot", &*kek.key),
            }
        }
    }
}

/// HKDF with SHA-256 (RFC 5869).
fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Key {
    let mut key = Key::default();
    Hkdf::<Sha256>::new(Some(salt), secret)
        .expand(info, &mut *key)
        .expect("32 bytes are less than 255 digests");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_new_once_and_old_ones_are_not_believed() {
        let mut window = Window::default();
        for sequence in [1, 3, 2, 70, 69, 7] {
            assert!(window.is_new(sequence), "{sequence}");
            window.note(sequence);
            assert!(!window.is_new(sequence), "{sequence}");
        }
        assert!(!window.is_new(6), "64 behind the highest");
        assert!(!window.is_new(3), "forgotten, so not believed");
        assert!(window.is_new(8));
        window.note(u64::MAX);
        assert!(!window.is_new(70));
        assert!(!window.is_new(u64::MAX));
        assert!(window.is_new(u64::MAX - 63));
    }

    #[test]
    fn every_order_of_a_few_numbers_is_taken_once() {
        for first in 1..6 {
            for second in 1..6 {
                for third in 1..6 {
                    let mut window = Window::default();
                    let mut taken = Vec::new();
                    for sequence in [first, second, third] {
                        assert_eq!(window.is_new(sequence), !taken.contains(&sequence));
                        window.note(sequence);
                        taken.push(sequence);
                    }
                }
            }
        }
    }
}
