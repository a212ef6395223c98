//! Key residue: when a session is freed or its card is gone, its key bytes are nowhere: not on the
//! card, not in rings or staging areas, not in the DMA pool.

use device_model::Card;
use dma::Pool;
use memchr::memmem;
use timebase::Time;
use zeroize::Zeroizing;

use super::Findings;

/// Keys shorter than this may stand in data by chance; they are not looked for.
const SHORTEST: usize = 16;

/// Looks for key bytes in memory.
#[derive(Debug)]
pub struct KeyResidue {
    /// What it saw.
    pub findings: Findings,
    keys: Vec<(String, Zeroizing<Vec<u8>>)>,
}

impl Default for KeyResidue {
    fn default() -> Self {
        Self {
            findings: Findings::new("no key left behind"),
            keys: Vec::new(),
        }
    }
}

impl KeyResidue {
    /// Looks for this key from now on. `owner` says whose it is.
    pub fn watch(&mut self, owner: &str, key: &[u8]) {
        if key.len() >= SHORTEST {
            self.keys
                .push((owner.to_owned(), Zeroizing::new(key.to_vec())));
        }
    }

    /// Looks through a card's memory. `place` names it.
    pub fn look_at_card(&mut self, at: Time, place: &str, card: &Card) {
        let Self { findings, keys } = self;
        findings.look();
        card.visit_memory(&mut |part, bytes| {
            for (owner, key) in keys.iter() {
                if let Some(offset) = memmem::find(bytes, key) {
                    findings.violation(at, || {
                        format!("key of {owner} is left in {place}, {part}, byte {offset}")
                    });
                }
            }
        });
    }

    /// Looks through the whole DMA pool: rings, staging areas, buffers in use and released.
    pub fn look_at_pool(&mut self, at: Time, pool: &Pool) {
        self.findings.look();
        for (owner, key) in &self.keys {
            if let Some(offset) = pool.find(key) {
                self.findings.violation(at, || {
                    format!("key of {owner} is left in the DMA pool, byte {offset}")
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_the_pool_is_found() {
        let pool = Pool::new(1 << 16).unwrap();
        let mut check = KeyResidue::default();
        check.watch("consumer 3", b"0123456789abcdef");
        check.look_at_pool(Time::ZERO, &pool);
        assert_eq!(check.findings.violations(), 0);
        let mut buffer = pool.take(64).unwrap();
        buffer[5..21].copy_from_slice(b"0123456789abcdef");
        check.look_at_pool(Time::ZERO, &pool);
        assert!(check.findings.messages()[0].contains("key of consumer 3"));
    }
}
