//! The virtio crypto front: requests of Virtual I/O Device 1.3, section 5.9, over the engine.
//!
//! [`VirtioCrypto`] owns the sessions and the time of requests: link, front end, engine groups and
//! public-key lanes are those that a native card of the same profile has. Knows no queue and no
//! memory: whoever has them hands in the bytes that a request brings and the length of its room,
//! and carries the result back. Latches pulled here act as on the native card, where they have a
//! meaning: wrong output, context errors, engines that hang, results that are lost.
//!
//! The bytes are not trusted. What they say is checked before memory or time is spent on it, and a
//! mistake is a [`CryptoStatus`].

mod akcipher;
mod request;
mod session;

use std::collections::BTreeMap;

use regs::virtio::{
    CREATED_LEN, ControlHeader, ControlOpcode, Created, CryptoConfig, CryptoStatus, HARDWARE_READY,
    SERVICES, SESSION_MESSAGE_LEN, VirtioAead, VirtioAkcipher, VirtioCipher, VirtioHash,
};
use timebase::Time;
use zerocopy::{FromBytes as _, FromZeros as _, IntoBytes as _};
use zeroize::Zeroizing;

use self::request::{Request, Work};
use self::session::Session;
use crate::engine::{Group, RandomSource};
use crate::fault::{Latch, Latches};
use crate::function::Function;
use crate::profile::{Profile, ProfileError};
use crate::provisioning::Provisioning;
use crate::stats::CardStats;
use crate::timing::service::ServiceLines;
use crate::timing::{Lines, Link};

/// Most bytes that a request may bring, its header included.
pub const MAX_REQUEST: usize = (1 << 20) + 4096;
/// Longest cipher key, in bytes.
pub const MAX_CIPHER_KEY: u32 = 64;
/// Longest digest key, in bytes.
pub const MAX_DIGEST_KEY: u32 = 512;
/// Longest key of two halves, in bytes: those of RSA with 8,192 bits fit.
pub const MAX_KEY: u32 = 8192;

/// How a request ended.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Finished {
    /// What it was handed in with.
    pub token: u64,
    /// How it ended.
    pub status: CryptoStatus,
    /// What goes to the beginning of its room; empty unless it ended well.
    pub output: Vec<u8>,
}

/// A request on the card.
#[derive(Debug)]
struct Pending {
    token: u64,
    work: Result<Request, CryptoStatus>,
}

/// By the time at which something happens, and in order of arrival among equals.
type Queue = BTreeMap<(Time, u64), Pending>;

/// A virtio crypto device in front of the engines of a card.
#[derive(Debug)]
pub struct VirtioCrypto {
    profile: Profile,
    sessions: BTreeMap<u64, Session>,
    next_session: u64,
    link: Link,
    lines: Lines,
    service_lines: ServiceLines,
    random: RandomSource,
    latches: Latches,
    stats: CardStats,
    /// Until an engine is done with them.
    working: Queue,
    /// Until their result is in memory.
    leaving: Queue,
    arrivals: u64,
}

impl VirtioCrypto {
    /// A device with the engines and the timing of `profile`.
    ///
    /// # Errors
    /// [`ProfileError`] if `profile` describes no card.
    pub fn new(profile: Profile, provisioning: &Provisioning) -> Result<Self, ProfileError> {
        profile.validate()?;
        let sizes = Function::physical(&profile, provisioning.serial)
            .pci
            .traffic_sizes();
        let mut stats = CardStats::default();
        let engines = &profile.engines;
        for (group, engine) in [
            (Group::Cipher, engines.cipher),
            (Group::Digest, engines.digest),
            (Group::Combined, engines.combined),
        ] {
            stats.groups[group as usize].lanes = engine.lanes;
        }
        Ok(Self {
            sessions: BTreeMap::new(),
            next_session: 0,
            link: Link::new(&profile.link, sizes),
            lines: Lines::new(&profile),
            service_lines: ServiceLines::new(&profile),
            random: RandomSource::new(&provisioning.entropy_seed),
            latches: Latches::default(),
            stats,
            working: Queue::new(),
            leaving: Queue::new(),
            arrivals: 0,
            profile,
        })
    }

    /// The device with `session` as the number of its next session, for one that takes the place of
    /// another whose numbers somebody may still have.
    #[must_use]
    pub const fn with_first_session(mut self, session: u64) -> Self {
        self.next_session = session;
        self
    }

    /// The number that the next session gets.
    #[must_use]
    pub const fn next_session(&self) -> u64 {
        self.next_session
    }

    /// The profile the device was made from.
    #[must_use]
    pub const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Counters since power-on; those of rings and of the bus stay zero.
    #[must_use]
    pub const fn stats(&self) -> &CardStats {
        &self.stats
    }

    /// Number of sessions.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Number of requests on the card.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.working.len() + self.leaving.len()
    }

    /// Shows every byte array of the device that holds keys, or payload of a request on the card,
    /// with the name of the memory it is in.
    pub fn visit_memory(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        for session in self.sessions.values() {
            session.visit(visit);
        }
        for pending in self.working.values().chain(self.leaving.values()) {
            if let Ok(request) = &pending.work {
                visit("virtio request", request.bytes());
            }
        }
    }

    /// Makes the silicon misbehave. Latches about rings, interrupts, entropy and stray writes have
    /// no meaning here, and nor has leaving keys behind; gives whether this one has.
    pub fn latch(&mut self, latch: Latch) -> bool {
        let has_meaning = matches!(
            latch,
            Latch::HangEngines
                | Latch::DropCompletion { .. }
                | Latch::CorruptOutput { .. }
                | Latch::ContextError { .. }
        );
        if has_meaning {
            self.latches.pull(latch);
        }
        has_meaning
    }

    /// Forgets every session and every request, and zeroes what was in them; heals what hangs.
    pub fn reset(&mut self) {
        self.sessions.clear();
        self.working.clear();
        self.leaving.clear();
        self.lines.clear();
        self.latches.reset();
        self.stats.resets += 1;
    }

    /// What the device says of itself to a driver that has `data_queues` data queues.
    #[must_use]
    pub fn config(&self, data_queues: u32) -> CryptoConfig {
        let bits =
            |codes: &mut dyn Iterator<Item = u32>| codes.fold(0, |mask, bit| mask | 1 << bit);
        let hashes = bits(&mut VirtioHash::ALL.iter().map(|&code| code as u32));
        let has_keys = self.service_lines.has_public_key();
        let services = if has_keys { SERVICES } else { SERVICES >> 1 };
        let akciphers = VirtioAkcipher::ALL.iter().map(|&code| code as u32);
        CryptoConfig {
            status: HARDWARE_READY.into(),
            max_dataqueues: data_queues.into(),
            crypto_services: services.into(),
            cipher_low: bits(&mut VirtioCipher::ALL.iter().map(|&code| code as u32)).into(),
            hash: hashes.into(),
            mac_low: hashes.into(),
            aead: bits(&mut VirtioAead::ALL.iter().map(|&code| code as u32)).into(),
            max_cipher_key: MAX_CIPHER_KEY.into(),
            max_auth_key: MAX_DIGEST_KEY.into(),
            akcipher: bits(&mut akciphers.filter(|_| has_keys)).into(),
            max_size: (1 << 20).into(),
            ..CryptoConfig::new_zeroed()
        }
    }

    /// Opens the session that a message of vhost-user asks for; gives its number.
    ///
    /// # Errors
    /// [`CryptoStatus`] if it asks for what the device has not, or makes no sense.
    pub fn open(&mut self, message: &[u8; SESSION_MESSAGE_LEN]) -> Result<u64, CryptoStatus> {
        self.keep(|| Session::from_message(message))
    }

    /// Closes a session and zeroes its keys; gives whether there was one. Its requests on the card
    /// end with [`CryptoStatus::InvalidSession`].
    pub fn close(&mut self, session: u64) -> bool {
        self.sessions.remove(&session).is_some()
    }

    fn keep(
        &mut self,
        make: impl FnOnce() -> Result<Session, CryptoStatus>,
    ) -> Result<u64, CryptoStatus> {
        if self.sessions.len() >= self.profile.session_capacity as usize {
            return Err(CryptoStatus::NoSpace);
        }
        let session = make()?;
        if session.word_products().is_some() && !self.service_lines.has_public_key() {
            return Err(CryptoStatus::NotSupported);
        }
        let number = self.next_session;
        self.next_session += 1;
        self.sessions.insert(number, session);
        Ok(number)
    }

    /// Does what a request on the control queue asks for, and gives what goes to its `room` bytes
    /// of room.
    pub fn control(&mut self, request: &[u8], room: usize) -> Vec<u8> {
        let Ok((header, rest)) = ControlHeader::read_from_prefix(request) else {
            return refusal(CryptoStatus::Error, room);
        };
        let Some(opcode) = ControlOpcode::from_code(header.opcode.get()) else {
            return refusal(CryptoStatus::NotSupported, room);
        };
        match opcode {
            ControlOpcode::CipherDestroy
            | ControlOpcode::HashDestroy
            | ControlOpcode::MacDestroy
            | ControlOpcode::AeadDestroy
            | ControlOpcode::AkcipherDestroy => {
                let session = header.fixed.first_chunk().copied().map(u64::from_le_bytes);
                let is_closed = session.is_some_and(|session| self.close(session));
                let status = if is_closed {
                    CryptoStatus::Ok
                } else {
                    CryptoStatus::Error
                };
                vec![status as u8]
            }
            ControlOpcode::CipherCreate
            | ControlOpcode::HashCreate
            | ControlOpcode::MacCreate
            | ControlOpcode::AeadCreate
            | ControlOpcode::AkcipherCreate => {
                let opened = self.keep(|| Session::from_control(opcode, &header.fixed, rest));
                opened.map_or_else(
                    |status| created(0, status),
                    |session| created(session, CryptoStatus::Ok),
                )
            }
        }
    }

    /// Takes the bytes of a request on a data queue, which has `room` bytes for its result beside
    /// the status. [`finish`](Self::finish) gives it back with `token`.
    pub fn submit(&mut self, now: Time, token: u64, bytes: Zeroizing<Vec<u8>>, room: usize) {
        let brought = bytes.len() as u32;
        let loaded = self.link.read(now, now, brought);
        let decoded = self.lines.decode(loaded);
        let work = Request::parse(bytes, room);
        let at = match &work {
            Ok(request) => self.reserve(decoded, request),
            Err(_) => decoded,
        };
        self.stats.commands += 1;
        self.arrivals += 1;
        let place = (at, self.arrivals);
        self.working.insert(place, Pending { token, work });
    }

    /// Reserves a lane for a request that is complete at `ready`; gives when the work is done.
    fn reserve(&mut self, ready: Time, request: &Request) -> Time {
        let Some(session) = self.sessions.get(&request.session) else {
            return ready;
        };
        if let Some(products) = session.word_products() {
            let lane = self.service_lines.public_key(ready, products);
            return lane.map_or(ready, |lane| {
                self.stats.public_key.commands += 1;
                self.stats.public_key.busy += lane.duration;
                lane.finish
            });
        }
        let Some((group, algorithm)) = session.engine() else {
            return ready;
        };
        let needs = self.lines.needs(group, algorithm, request.worked_on());
        let prepared = self.lines.prepare(needs, ready);
        let lane = self.lines.work(group, needs, prepared);
        let stats = &mut self.stats.groups[group as usize];
        stats.commands += 1;
        stats.busy += lane.duration;
        lane.finish
    }

    /// The next instant at which anything happens here; [`Time::NEVER`] when idle.
    #[must_use]
    pub fn next_internal(&self) -> Time {
        let first = |queue: &Queue| queue.first_key_value().map_or(Time::NEVER, |(at, _)| at.0);
        let working = if self.latches.engines_hang {
            Time::NEVER
        } else {
            first(&self.working)
        };
        working.min(first(&self.leaving))
    }

    /// The next request that has ended by `now`.
    pub fn finish(&mut self, now: Time) -> Option<Finished> {
        loop {
            self.let_leave(now);
            let entry = self.leaving.first_entry()?;
            if entry.key().0 > now {
                return None;
            }
            let pending = entry.remove();
            let finished = self.run(pending);
            if !self.latches.drop_completion.strikes() {
                return Some(finished);
            }
        }
    }

    /// Sends the results of work that is done by `now`, and before anything that is on its way
    /// arrives, so that the link is taken in order of time.
    fn let_leave(&mut self, now: Time) {
        while !self.latches.engines_hang
            && let Some(entry) = self.working.first_entry()
            && entry.key().0 <= now
        {
            let ((at, number), pending) = entry.remove_entry();
            let len = pending.work.as_ref().map_or(0, Request::result_len) + 1;
            let duration = self.link.write_time(len);
            let visible = self.link.write(at, duration);
            self.leaving.insert((visible, number), pending);
        }
    }

    fn run(&mut self, Pending { token, work }: Pending) -> Finished {
        let ended = work.and_then(|request| self.work(request));
        let (status, mut output) = match ended {
            Ok(output) => (CryptoStatus::Ok, output),
            Err(status) => (status, Vec::new()),
        };
        if !output.is_empty() && self.latches.corrupt_output.strikes() {
            output[0] ^= 1;
        }
        self.stats.completions += 1;
        self.stats.endings.count(as_native(status));
        self.stats.output_bytes += output.len() as u64;
        Finished {
            token,
            status,
            output,
        }
    }

    fn work(&mut self, request: Request) -> Result<Vec<u8>, CryptoStatus> {
        let session = self.sessions.get(&request.session);
        let session = session.ok_or(CryptoStatus::InvalidSession)?;
        if self.latches.context_error.strikes() && !self.latches.context_error_is_corrected {
            return Err(CryptoStatus::Error);
        }
        self.stats.payload_bytes += u64::from(request.worked_on());
        session.process(Work {
            request,
            random: &mut self.random,
        })
    }
}

/// How the opening of a session ended, as the driver reads it.
fn created(session: u64, status: CryptoStatus) -> Vec<u8> {
    let created = Created {
        session: session.into(),
        status: u32::from(status as u8).into(),
        padding: 0.into(),
    };
    created.as_bytes().to_vec()
}

/// What goes to the `room` bytes of room of a request on the control queue that is refused: the
/// room tells whether the driver expects the number of a session.
#[must_use]
pub fn refusal(status: CryptoStatus, room: usize) -> Vec<u8> {
    if room < CREATED_LEN {
        vec![status as u8]
    } else {
        created(0, status)
    }
}

/// The native status that counts as `status` does.
const fn as_native(status: CryptoStatus) -> regs::Status {
    match status {
        CryptoStatus::Ok => regs::Status::Success,
        CryptoStatus::BadMessage => regs::Status::DigestMismatch,
        CryptoStatus::KeyRejected => regs::Status::SignatureMismatch,
        CryptoStatus::InvalidSession => regs::Status::BadSession,
        CryptoStatus::Error | CryptoStatus::NotSupported | CryptoStatus::NoSpace => {
            regs::Status::BadParameters
        }
    }
}

#[cfg(test)]
mod tests;
