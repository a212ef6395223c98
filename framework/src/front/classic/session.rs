//! Sessions: `crypto_newsession`, `crypto_freesession`.
//!
//! A chain of one or two algorithms becomes a session of the framework. Requests of a session of
//! two may use one alone, or parts of the buffer that do not fit together: those go to a session of
//! that one algorithm, opened when it is first needed.

use std::collections::VecDeque;

use timebase::Time;

use super::sid::sid;
use super::{Classic, Crid, CryptoIni, Cryptop, EALG_MAX_BLOCK_LEN, crypto_sid_lid};
use crate::{
    Cipher, Compression, Digest, DriverChoice, DriverFlags, Errno, MigrationPolicy, Mode,
    SessionError, SessionId, SessionParams,
};

/// Which of a session's algorithms work together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// All.
    Whole,
    /// The cipher of two.
    Cipher,
    /// The digest of two.
    Digest,
}

/// The algorithms of a chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Suite {
    Cipher(Cipher),
    Digest(Digest),
    /// A cipher and a digest, each at its place of the chain.
    Both {
        cipher: (usize, Cipher),
        digest: (usize, Digest),
    },
    /// One algorithm that has two numbers, the cipher's at this place, its digest's at the other.
    Aead {
        cipher: (usize, Cipher),
        digest: usize,
    },
    Compress(Compression),
}

/// The IV that the next request of a chained session gets.
#[derive(Debug, Default)]
pub(super) struct IvChain {
    pub(super) last: Option<[u8; EALG_MAX_BLOCK_LEN]>,
    /// Whether a request is under way whose last block is the next IV.
    pub(super) busy: bool,
    pub(super) waiting: VecDeque<Box<Cryptop>>,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) sid: u64,
    pub(super) chain: Vec<CryptoIni>,
    pub(super) suite: Suite,
    /// Bytes of digest that a request writes.
    pub(super) digest_len: usize,
    choice: DriverChoice,
    /// The framework's session of all algorithms.
    pub(super) whole: SessionId,
    cipher: Option<SessionId>,
    digest: Option<SessionId>,
    pub(super) ivs: IvChain,
}

impl Suite {
    /// What a chain asks for.
    fn of(chain: &[CryptoIni]) -> Result<Self, Errno> {
        let number = |ini: &CryptoIni| u8::try_from(ini.cri_alg).map_err(|_| Errno::EINVAL);
        match chain {
            [only] => {
                let number = number(only)?;
                let compression = Compression::ALL.into_iter();
                let compression = compression.map(|it| (it.number(), Self::Compress(it)));
                let known = [
                    Cipher::from_number(number).map(Self::Cipher),
                    Digest::from_number(number).map(Self::Digest),
                    compression
                        .filter(|it| it.0 == number)
                        .map(|it| it.1)
                        .next(),
                ];
                known.into_iter().flatten().next().ok_or(Errno::EINVAL)
            }
            [first, second] => {
                let numbers = [number(first)?, number(second)?];
                Self::of_two(numbers, 0, 1)
                    .or_else(|| Self::of_two(numbers, 1, 0))
                    .ok_or(Errno::EINVAL)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// The suite if there is a cipher at one place and a digest that goes with it at the other.
    fn of_two(numbers: [u8; 2], cipher_at: usize, digest_at: usize) -> Option<Self> {
        let cipher = Cipher::from_number(numbers[cipher_at])?;
        let digest = Digest::from_number(numbers[digest_at])?;
        if !cipher.is_aead() {
            return Some(Self::Both {
                cipher: (cipher_at, cipher),
                digest: (digest_at, digest),
            });
        }
        let pair = matches!(
            (cipher, digest),
            (Cipher::AesGcm, Digest::AesGmac) | (Cipher::AesCcm, Digest::AesCcmMac)
        );
        pair.then_some(Self::Aead {
            cipher: (cipher_at, cipher),
            digest: digest_at,
        })
    }
}

/// Length of the IV that a cipher takes in this interface: a block, but for those that have none or
/// one of their own.
pub(super) const fn iv_len(cipher: Cipher) -> usize {
    match cipher {
        Cipher::Null => 0,
        Cipher::AesXts => 8,
        Cipher::AesCcm => 12,
        cipher => cipher.info().iv.max as usize,
    }
}

impl Session {
    /// Whether an IV has a place here at all.
    pub(super) fn cipher(&self) -> Option<Cipher> {
        match self.suite {
            Suite::Cipher(cipher) => Some(cipher),
            Suite::Both { cipher, .. } | Suite::Aead { cipher, .. } => Some(cipher.1),
            Suite::Digest(_) | Suite::Compress(_) => None,
        }
    }

    fn params(&self, part: Part) -> Result<SessionParams, Errno> {
        params(self.suite, &self.chain, part)
    }
}

/// Parameters of the framework's session for a part of a chain.
fn params(suite: Suite, chain: &[CryptoIni], part: Part) -> Result<SessionParams, Errno> {
    let mut params = SessionParams::of(Mode::Cipher);
    let (cipher, digest) = match suite {
        Suite::Cipher(cipher) => (Some((0, cipher)), None),
        Suite::Digest(digest) => (None, Some((0, digest))),
        Suite::Both { cipher, digest } => match part {
            Part::Whole => (Some(cipher), Some(digest)),
            Part::Cipher => (Some(cipher), None),
            Part::Digest => (None, Some(digest)),
        },
        Suite::Aead { cipher, digest } => {
            if chain[cipher.0].cri_klen != chain[digest].cri_klen {
                return Err(Errno::EINVAL);
            }
            params.auth_digest_len = chain[digest].cri_mlen;
            (Some(cipher), None)
        }
        Suite::Compress(_) => (None, None),
    };
    if let Some((place, cipher)) = cipher {
        params.cipher = Some(cipher);
        params.cipher_key_len = chain[place].key_len().ok_or(Errno::EINVAL)?;
        params.cipher_key = chain[place].cri_key.clone();
        params.iv_len = iv_len(cipher);
    }
    if let Some((place, digest)) = digest {
        params.digest = Some(digest);
        params.auth_key_len = chain[place].key_len().ok_or(Errno::EINVAL)?;
        params.auth_key = chain[place].cri_key.clone();
        params.auth_digest_len = chain[place].cri_mlen;
    }
    params.mode = match suite {
        Suite::Aead { .. } => Mode::Aead,
        Suite::Compress(compression) => Mode::Compress(compression),
        Suite::Cipher(_) | Suite::Digest(_) | Suite::Both { .. } => {
            match (params.cipher, params.digest) {
                (Some(_), Some(_)) => Mode::EncryptThenAuthenticate,
                (Some(_), None) => Mode::Cipher,
                (None, _) => Mode::Digest,
            }
        }
    };
    Ok(params)
}

/// What this interface says where the framework has no driver for a session.
fn errno_of(error: SessionError) -> Errno {
    match error {
        SessionError::NoDriver => Errno::EINVAL,
        error => error.errno(),
    }
}

impl Classic {
    /// Makes a session for a chain of algorithms, all of which one driver must serve, and returns
    /// its number.
    ///
    /// # Errors
    /// `EINVAL` for a chain that is empty, too long, has an algorithm twice or one that is unknown,
    /// a key that does not fit, or no driver; `ENOMEM` if there is no room; otherwise what the
    /// driver says.
    pub fn crypto_newsession(
        &mut self,
        now: Time,
        chain: &[CryptoIni],
        crid: Crid,
    ) -> Result<u64, Errno> {
        let suite = Suite::of(chain)?;
        let params = params(suite, chain, Part::Whole)?;
        self.number_drivers();
        let choice = crid.choice(|hid| self.driver_of(hid));
        let choice = choice.ok_or(Errno::EINVAL)?;
        let digest_len = params.digest_len();
        let whole = self
            .framework
            .open_session(now, params, choice, MigrationPolicy::Report)
            .map_err(errno_of)?;
        let lid = self.free_lid();
        let sid = self.sid_of(whole, lid, 0);
        let session = Session {
            sid,
            chain: chain.to_vec(),
            suite,
            digest_len,
            choice,
            whole,
            cipher: None,
            digest: None,
            ivs: IvChain::default(),
        };
        self.sessions.insert(lid, session);
        self.collect(now);
        Ok(sid)
    }

    /// Frees a session, under any number it had. Requests that wait end with `ECANCELED`; those in
    /// a driver finish first, and then the keys are zeroed.
    ///
    /// # Errors
    /// `ENOENT` if there is no such session.
    pub fn crypto_freesession(&mut self, now: Time, sid: u64) -> Result<(), Errno> {
        let session = self.sessions.remove(&crypto_sid_lid(sid));
        let session = session.ok_or(Errno::ENOENT)?;
        let names = [Some(session.whole), session.cipher, session.digest];
        for name in names.into_iter().flatten() {
            // Only a name that the framework never gave could be unknown.
            let _ = self.framework.close_session(now, name);
        }
        for request in session.ivs.waiting {
            self.finish(request, Some(Errno::ECANCELED));
        }
        self.collect(now);
        Ok(())
    }

    fn free_lid(&mut self) -> u32 {
        loop {
            self.last_lid = self.last_lid.wrapping_add(1);
            if !self.sessions.contains_key(&self.last_lid) {
                return self.last_lid;
            }
        }
    }

    /// Number of a session on the driver it has now, or on the one of `before` if it has none.
    fn sid_of(&mut self, name: SessionId, lid: u32, before: u64) -> u64 {
        let Some(id) = self.framework.session_driver(name) else {
            return before;
        };
        let flags = self.framework.driver(id).map(|driver| driver.flags());
        let hid = self.hid_of(id);
        sid(flags.unwrap_or(DriverFlags::empty()), hid, lid)
    }

    /// The session called `sid`, under the number it has now.
    pub(super) fn current(&mut self, sid: u64) -> Option<u64> {
        let lid = crypto_sid_lid(sid);
        let session = self.sessions.get(&lid)?;
        let (whole, before) = (session.whole, session.sid);
        let name = self.framework.session_current(whole).unwrap_or(whole);
        if name != whole {
            let sid = self.sid_of(name, lid, before);
            let session = self.sessions.get_mut(&lid)?;
            (session.whole, session.sid) = (name, sid);
        }
        Some(self.sessions.get(&lid)?.sid)
    }

    /// The framework's session for a part of a session, opened if it is needed for the first time.
    pub(super) fn part(&mut self, now: Time, lid: u32, part: Part) -> Result<SessionId, Errno> {
        let session = self.sessions.get_mut(&lid).ok_or(Errno::ENOENT)?;
        let known = match part {
            Part::Whole => return Ok(session.whole),
            Part::Cipher => session.cipher,
            Part::Digest => session.digest,
        };
        if let Some(name) = known {
            return Ok(name);
        }
        // Nobody is told when these move: the consumer knows only the whole.
        let (params, policy) = (session.params(part)?, MigrationPolicy::Transparent);
        let opened = self
            .framework
            .open_session(now, params, session.choice, policy);
        let name = opened.map_err(errno_of)?;
        match part {
            Part::Whole => {}
            Part::Cipher => session.cipher = Some(name),
            Part::Digest => session.digest = Some(name),
        }
        Ok(name)
    }
}
