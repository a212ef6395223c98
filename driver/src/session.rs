//! Sessions in card slots, and the admin ring that creates and destroys them.
//!
//! Owns a copy of each session's keys while it is open, so that a reset, which zeroes the card's
//! contexts, can be repaired without the framework: every live session is created again before
//! requests are taken. A slot is handed out again only when the card has confirmed its destruction.
//! Each session has at most one admin command queued or in flight, so the queue is bounded by the
//! table.

use std::collections::{BTreeSet, VecDeque};

use exhibit::{Exhibit, on};
use regs::{
    CardSession, CipherCode, Command, DeviceAddr, Opcode, RingId, SESSION_BLOCK_LEN, SessionBlock,
    SessionBlockFlags, Status,
};
use zeroize::Zeroize;

use crate::command::COMMAND_IV_LEN;
use crate::orders::OrderJob;
use crate::ring::{AreaShape, Post, Ring, Verdict};
use crate::stats::Counters;
use crate::{BringUpError, Transport};

/// Entries of the admin ring.
const ADMIN_ENTRIES: u32 = 64;

/// Whether requests of a session may be posted, and whether they may be plain ones.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Openness {
    /// None may be posted.
    #[default]
    Closed,
    /// All may be.
    Plain,
    /// All may be, but each has something besides its buffers: more IV than a command holds, a
    /// sequence number, the state of a digest, or a length that only the card knows.
    Special,
}

/// What the hot path needs to know of a session.
#[derive(Clone, Copy, Debug, Default)]
// One word: it is copied for every request.
#[repr(align(8))]
pub(crate) struct Facts {
    /// Which requests may be posted.
    pub(crate) openness: Openness,
    /// The payload is transformed, not only digested.
    pub(crate) has_cipher: bool,
    /// Index of the data ring that all its requests use, so that they stay in order.
    pub(crate) ring: u8,
    /// Bytes of digest.
    pub(crate) digest_len: u8,
    /// Bytes of IV.
    pub(crate) iv_len: u8,
    /// Bytes of cipher key of a request that brings keys.
    pub(crate) cipher_key_len: u8,
    /// Bytes of digest key of a request that brings keys.
    pub(crate) digest_key_len: u8,
    /// Messages may come in parts.
    pub(crate) in_parts: bool,
}

/// A session to open.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) block: SessionBlock,
    /// Messages may come in parts; the card need not be told.
    pub(crate) in_parts: bool,
}

/// Why a session was not opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// The table is full.
    NoRoom,
    /// The card refused the parameters.
    Unsupported,
    /// The card failed or is gone.
    Device,
}

/// Where a slot is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Life {
    /// Nobody's.
    Free,
    /// To be created; its opener waits.
    Opening,
    /// Created, and to be given its keys again; its opener waits.
    Rekeying,
    /// To be created again after a reset; it was open before.
    Restoring,
    /// Closed before its creation ended.
    Abandoned,
    /// On the card.
    Open,
    /// Could not be created again; every request fails until it is closed.
    Broken,
    /// To be destroyed.
    Closing,
}

impl Life {
    fn has_opener(self) -> bool {
        matches!(self, Self::Opening | Self::Rekeying)
    }
}

/// A command of the admin ring in flight.
#[derive(Debug)]
pub(crate) enum AdminJob {
    Session(SessionJob),
    Order(Box<OrderJob>),
}

/// The creation or destruction of a session in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionJob {
    session: CardSession,
    opcode: Opcode,
}

/// The session table and the admin ring.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(crate) ring: Ring<AdminJob>,
    facts: Vec<Facts>,
    lives: Vec<Life>,
    /// The parameters of sessions that are, or are to be, on the card. The keys of one are behind a
    /// pointer, so that a growing table leaves no copies behind.
    blocks: Vec<Option<SessionBlock>>,
    /// Sessions whose keys were imported: those of their block are zeroes.
    foreign: BTreeSet<u32>,
    free: Vec<CardSession>,
    queue: VecDeque<CardSession>,
    limit: u32,
    data_rings: u16,
    restoring: u32,
    /// A session that was created gets its keys a second time before it is used.
    rekeys: bool,
}

impl Sessions {
    /// A table of up to `limit` sessions spread over `data_rings` rings.
    pub(crate) fn new<T: Transport>(
        transport: &mut T,
        limit: u32,
        data_rings: u16,
        shared: &mut Vec<DeviceAddr>,
    ) -> Result<Self, BringUpError> {
        let areas = AreaShape {
            len: SESSION_BLOCK_LEN,
            max_count: ADMIN_ENTRIES,
        };
        Ok(Self {
            ring: Ring::new(transport, RingId::ADMIN, ADMIN_ENTRIES, areas, shared)?,
            facts: Vec::new(),
            lives: Vec::new(),
            blocks: Vec::new(),
            foreign: BTreeSet::new(),
            free: Vec::new(),
            queue: VecDeque::new(),
            limit,
            data_rings,
            restoring: 0,
            rekeys: false,
        })
    }

    /// From now on gives every session that was created its keys a second time.
    pub(crate) fn rekey_created(&mut self) {
        self.rekeys = true;
    }

    /// What the hot path needs to know of `session`; closed if there is no such session.
    #[inline]
    pub(crate) fn facts(&self, session: CardSession) -> Facts {
        self.facts
            .get(session.0 as usize)
            .copied()
            .unwrap_or_default()
    }

    /// The stored keys of `session`.
    pub(crate) fn block(&self, session: CardSession) -> Option<&SessionBlock> {
        self.blocks.get(session.0 as usize)?.as_ref()
    }

    /// Whether the driver knows the keys of `session`, and not the card alone.
    pub(crate) fn knows_keys(&self, session: CardSession) -> bool {
        self.block(session).is_some() && !self.foreign.contains(&session.0)
    }

    /// An open session has imported keys on the card now, which only the card knows.
    pub(crate) fn forget_keys_of_open(&mut self, session: CardSession) {
        if let Some(block) = self.block(session) {
            let lens = (block.cipher_key().len(), block.digest_key().len());
            self.replace_keys(session, &vec![0; lens.0], &vec![0; lens.1], true);
        }
    }

    /// Remembers the keys that an open session has on the card now.
    pub(crate) fn set_keys(&mut self, session: CardSession, cipher: &[u8], digest: &[u8]) {
        self.replace_keys(session, cipher, digest, false);
    }

    fn replace_keys(
        &mut self,
        session: CardSession,
        cipher: &[u8],
        digest: &[u8],
        are_foreign: bool,
    ) {
        let at = session.0 as usize;
        if self.lives.get(at) == Some(&Life::Open)
            && let Some(block) = &mut self.blocks[at]
        {
            let is_set = block.set_keys(cipher, digest);
            is_set.expect("keys of the lengths that the card took");
            match are_foreign {
                true => self.foreign.insert(session.0),
                false => self.foreign.remove(&session.0),
            };
        }
    }

    /// Sessions that must be on the card again before requests are taken.
    pub(crate) fn restoring(&self) -> u32 {
        self.restoring
    }

    /// Whether no admin command is queued or in flight.
    pub(crate) fn is_quiet(&self) -> bool {
        self.queue.is_empty() && self.ring.in_flight() == 0
    }

    /// Takes a slot for what is wanted and queues its creation.
    pub(crate) fn open(&mut self, wanted: Wanted) -> Result<CardSession, Refusal> {
        let Wanted { block, in_parts } = wanted;
        let session = match self.free.pop() {
            Some(session) => session,
            None if self.lives.len() < self.limit as usize => {
                self.facts.push(Facts::default());
                self.lives.push(Life::Free);
                self.blocks.push(None);
                CardSession(self.lives.len() as u32 - 1)
            }
            None => return Err(Refusal::NoRoom),
        };
        let at = session.0 as usize;
        self.facts[at] = Facts {
            openness: Openness::Closed,
            has_cipher: block.cipher != CipherCode::None,
            ring: ring_of(session, self.data_rings),
            digest_len: block.digest_len,
            iv_len: block.iv_len,
            cipher_key_len: block.cipher_key().len() as u8,
            digest_key_len: block.digest_key().len() as u8,
            in_parts,
        };
        self.lives[at] = Life::Opening;
        self.blocks[at] = Some(block);
        self.queue.push_back(session);
        Ok(session)
    }

    /// Zeroes the keys of `session` and queues its destruction. A session that is not open is
    /// ignored.
    pub(crate) fn close(&mut self, session: CardSession) {
        let Some(life) = self.lives.get_mut(session.0 as usize) else {
            return;
        };
        match *life {
            Life::Free | Life::Closing | Life::Abandoned => return,
            Life::Opening => *life = Life::Abandoned,
            // What is queued is destroyed instead of rekeyed; what is in flight, afterwards.
            Life::Rekeying => {
                *life = match self.queue.contains(&session) {
                    true => Life::Closing,
                    false => Life::Abandoned,
                };
            }
            Life::Restoring => {
                *life = Life::Abandoned;
                self.restoring -= 1;
            }
            Life::Open => {
                *life = Life::Closing;
                self.queue.push_back(session);
            }
            Life::Broken => {
                self.release(session);
                return;
            }
        }
        self.forget_keys(session);
    }

    /// Posts queued commands while the admin ring has room; true if any was posted.
    pub(crate) fn post<T: Transport>(&mut self, transport: &mut T, counters: &Counters) -> bool {
        let mut has_posted = false;
        while self.ring.room() > 0 {
            let Some(session) = self.queue.pop_front() else {
                break;
            };
            match self.lives[session.0 as usize] {
                Life::Opening | Life::Restoring => {
                    self.post_block(transport, session, Opcode::SessionCreate);
                }
                Life::Rekeying => self.post_block(transport, session, Opcode::SessionRekey),
                Life::Closing => self.post_destroy(transport, session),
                // Closed before its creation was posted: the card never knew of it.
                Life::Abandoned => {
                    self.release(session);
                    continue;
                }
                Life::Free | Life::Open | Life::Broken => continue,
            }
            counters.admin_posted.add(1);
            has_posted = true;
        }
        if has_posted {
            self.ring.publish(transport);
            counters.doorbells.add(1);
        }
        has_posted
    }

    fn post_block<T: Transport>(
        &mut self,
        transport: &mut T,
        session: CardSession,
        opcode: Opcode,
    ) {
        let area = self.ring.take_area().expect("as many areas as records");
        let block = self.block(session);
        let mut bytes = [0; SESSION_BLOCK_LEN];
        block
            .expect("a session to create has its block")
            .write_to(&mut bytes);
        self.ring.write_area(area, 0, &bytes);
        bytes.zeroize();
        let command = Command {
            opcode: opcode as u8,
            session,
            source: self.ring.area_addr(area),
            source_len: SESSION_BLOCK_LEN as u32,
            ..Command::default()
        };
        let post = Post {
            command,
            job: AdminJob::Session(SessionJob { session, opcode }),
            area: Some((area, SESSION_BLOCK_LEN as u32)),
            request: None,
        };
        self.ring.post(transport, post);
    }

    fn post_destroy<T: Transport>(&mut self, transport: &mut T, session: CardSession) {
        let opcode = Opcode::SessionDestroy;
        let command = Command {
            opcode: opcode as u8,
            session,
            ..Command::default()
        };
        let post = Post {
            command,
            job: AdminJob::Session(SessionJob { session, opcode }),
            area: None,
            request: None,
        };
        self.ring.post(transport, post);
    }

    /// Takes note of the end of an admin command; says what the opener of the session must hear.
    pub(crate) fn finish(
        &mut self,
        job: SessionJob,
        verdict: Verdict,
        counters: &Counters,
    ) -> Option<(CardSession, Result<(), Refusal>)> {
        let session = job.session;
        let result = admin_result(verdict);
        if result.is_err() {
            counters.admin_failed.add(1);
        }
        let at = session.0 as usize;
        if job.opcode == Opcode::SessionDestroy {
            self.release(session);
            return None;
        }
        match (self.lives[at], result) {
            (Life::Opening, Ok(())) if self.rekeys => {
                self.lives[at] = Life::Rekeying;
                self.queue.push_back(session);
                None
            }
            (Life::Opening | Life::Rekeying, Ok(())) => {
                self.set_open(session);
                Some((session, Ok(())))
            }
            (Life::Opening | Life::Rekeying, Err(refusal)) => {
                self.release(session);
                Some((session, Err(refusal)))
            }
            (Life::Restoring, result) => {
                self.restoring -= 1;
                match result {
                    Ok(()) => self.set_open(session),
                    Err(_) => self.lives[at] = Life::Broken,
                }
                None
            }
            (Life::Abandoned, Ok(())) => {
                self.lives[at] = Life::Closing;
                self.queue.push_back(session);
                None
            }
            (Life::Abandoned, Err(_)) => {
                self.release(session);
                None
            }
            (Life::Free | Life::Open | Life::Broken | Life::Closing, _) => None,
        }
    }

    /// The card was reset and knows no session: whatever is wanted is queued for creation again.
    pub(crate) fn on_reset(&mut self) {
        self.queue.clear();
        self.restoring = 0;
        for at in 0..self.lives.len() {
            if on(Exhibit::SessionsNotRestored) && self.lives[at] == Life::Open {
                continue;
            }
            let session = CardSession(at as u32);
            self.facts[at].openness = Openness::Closed;
            match self.lives[at] {
                Life::Free => {}
                Life::Closing | Life::Abandoned => self.release(session),
                Life::Opening | Life::Rekeying => {
                    self.lives[at] = Life::Opening;
                    self.queue.push_back(session);
                }
                // Its keys were imported, and went with the card.
                Life::Open | Life::Broken if self.foreign.contains(&session.0) => {
                    self.lives[at] = Life::Broken;
                }
                Life::Open | Life::Broken | Life::Restoring => {
                    self.lives[at] = Life::Restoring;
                    self.restoring += 1;
                    self.queue.push_back(session);
                }
            }
        }
    }

    /// The card turned out to hold `capacity` sessions and to have `data_rings` rings to use. Tells
    /// `refused` of each session that cannot be opened after all.
    pub(crate) fn fit(
        &mut self,
        capacity: u32,
        data_rings: u16,
        mut refused: impl FnMut(CardSession),
    ) {
        self.limit = self.limit.min(capacity);
        self.data_rings = data_rings;
        let limit = self.limit;
        self.queue.retain(|session| session.0 < limit);
        self.free.retain(|session| session.0 < limit);
        for at in limit as usize..self.lives.len() {
            if self.lives[at].has_opener() {
                refused(CardSession(at as u32));
            }
        }
        self.lives.truncate(limit as usize);
        self.blocks.truncate(limit as usize);
        self.facts.truncate(limit as usize);
        for (at, facts) in self.facts.iter_mut().enumerate() {
            facts.ring = ring_of(CardSession(at as u32), data_rings);
        }
    }

    /// Queues the destruction of every session; tells `unopened` of those whose opener still waits.
    pub(crate) fn close_all(&mut self, mut unopened: impl FnMut(CardSession)) {
        for at in 0..self.lives.len() {
            let session = CardSession(at as u32);
            if self.lives[at].has_opener() {
                unopened(session);
            }
            self.close(session);
        }
    }

    /// Drops every session at once: the card is gone. Tells `unopened` of those whose opener waits.
    pub(crate) fn clear(&mut self, mut unopened: impl FnMut(CardSession)) {
        for (at, life) in self.lives.iter().enumerate() {
            if life.has_opener() {
                unopened(CardSession(at as u32));
            }
        }
        self.lives.clear();
        self.blocks.clear();
        self.foreign.clear();
        self.facts.clear();
        self.free.clear();
        self.queue.clear();
        self.restoring = 0;
        self.limit = 0;
    }

    /// Whether an open session digests a sequence number behind the payload.
    pub(crate) fn takes_esn(&self, session: CardSession) -> bool {
        let block = self.block(session);
        block.is_some_and(|block| block.flags.contains(SessionBlockFlags::ESN))
    }

    fn set_open(&mut self, session: CardSession) {
        let at = session.0 as usize;
        self.lives[at] = Life::Open;
        let block = self.block(session);
        let is_special = block.is_some_and(|block| {
            usize::from(block.iv_len) > COMMAND_IV_LEN
                || block.flags.contains(SessionBlockFlags::ESN)
                || block.cipher == CipherCode::Deflate
                || self.facts[at].in_parts
        });
        self.facts[at].openness = match is_special {
            true => Openness::Special,
            false => Openness::Plain,
        };
    }

    fn forget_keys(&mut self, session: CardSession) {
        let at = session.0 as usize;
        self.facts[at] = Facts::default();
        self.blocks[at] = None;
        self.foreign.remove(&session.0);
    }

    fn release(&mut self, session: CardSession) {
        let at = session.0 as usize;
        self.lives[at] = Life::Free;
        self.forget_keys(session);
        self.free.push(session);
    }
}

fn ring_of(session: CardSession, data_rings: u16) -> u8 {
    (session.0 % u32::from(data_rings)) as u8
}

fn admin_result(verdict: Verdict) -> Result<(), Refusal> {
    match verdict {
        Verdict::Card(Status::Success) => Ok(()),
        Verdict::Card(Status::BadParameters) => Err(Refusal::Unsupported),
        Verdict::Card(_) | Verdict::Nonsense | Verdict::Lost => Err(Refusal::Device),
    }
}
