//! Context table and context cache.
//!
//! The table owns the contexts; the cache is a timing model only (four ways, least recently used).
//! A session number below the capacity names its place in the table directly. A session that gets
//! other keys while commands with the old ones are on the card keeps the old context, retired,
//! until the last of them has run.

use std::collections::BTreeMap;
use std::ops::Range;

use exhibit::{Exhibit, on};
use regs::CardSession;
use timebase::Time;
use zeroize::Zeroize;

use crate::engine::Context;
use crate::snapshot::{Check, check};

/// Ways of the cache.
const WAYS: usize = 4;
/// Tag of an empty way.
const EMPTY: u32 = u32::MAX;
/// Most key strings that a card which forgets to clean can leave behind.
const RESIDUE_MAX: usize = 64;

/// What a session has beside parameters and keys, and takes along to another card.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Passport {
    /// Whose it is, as told when it was created.
    pub(crate) owner: u64,
    /// How often it has been given other keys.
    pub(crate) epoch: u32,
}

/// What every command needs to know of a place of the table.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
struct Place {
    /// Counts creations, so that a command cannot use a context made after it.
    generation: u32,
    /// Whether there is a context and it leaves payloads as they are.
    is_identity: bool,
}

/// A context whose session has a newer one.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
struct Retired {
    session: CardSession,
    generation: u32,
    context: Context,
    /// Commands that still need it.
    waiting: usize,
}

/// The contexts of a card.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct ContextTable {
    places: Vec<Place>,
    /// The context of each place. What is secret in one is behind a pointer, so that a growing
    /// table leaves no copies behind.
    contexts: Vec<Option<Context>>,
    /// Of sessions that have anything in theirs.
    passports: BTreeMap<u32, Passport>,
    retired: Vec<Retired>,
    capacity: u32,
    residue: Vec<Box<[u8]>>,
}

/// Why a context was not stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StoreError {
    /// The number is not below the capacity.
    OutOfTable,
    /// The place is taken.
    Taken,
}

impl ContextTable {
    pub(crate) const fn new(capacity: u32) -> Self {
        Self {
            places: Vec::new(),
            contexts: Vec::new(),
            passports: BTreeMap::new(),
            retired: Vec::new(),
            capacity,
            residue: Vec::new(),
        }
    }

    /// The context of `session` and its generation.
    #[inline]
    pub(crate) fn get(&self, session: CardSession) -> Option<(&Context, u32)> {
        let context = self.contexts.get(session.0 as usize)?.as_ref()?;
        Some((context, self.places[session.0 as usize].generation))
    }

    /// The context of `session` that a command was judged by; `None` if it is gone.
    #[inline]
    pub(crate) fn of_generation(&self, session: CardSession, generation: u32) -> Option<&Context> {
        let place = self.places.get(session.0 as usize)?;
        if place.generation == generation {
            return self.contexts[session.0 as usize].as_ref();
        }
        let is_it = |old: &&Retired| old.session == session && old.generation == generation;
        Some(&self.retired.iter().find(is_it)?.context)
    }

    /// The generation of the context of `session` if it leaves payloads as they are.
    #[inline]
    pub(crate) fn identity(&self, session: CardSession) -> Option<u32> {
        let place = self.places.get(session.0 as usize)?;
        place.is_identity.then_some(place.generation)
    }

    /// What the session has beside its context.
    pub(crate) fn passport(&self, session: CardSession) -> Passport {
        let passport = self.passports.get(&session.0);
        passport.copied().unwrap_or_default()
    }

    /// Gives a session that exists something beside its context.
    pub(crate) fn set_passport(&mut self, session: CardSession, passport: Passport) {
        if passport == Passport::default() {
            self.passports.remove(&session.0);
        } else if self.get(session).is_some() {
            self.passports.insert(session.0, passport);
        }
    }

    /// Whether `session` can be stored.
    pub(crate) fn check_free(&self, session: CardSession) -> Result<(), StoreError> {
        if session.0 >= self.capacity {
            Err(StoreError::OutOfTable)
        } else if self.get(session).is_some() {
            Err(StoreError::Taken)
        } else {
            Ok(())
        }
    }

    pub(crate) fn store(
        &mut self,
        session: CardSession,
        context: Context,
    ) -> Result<(), StoreError> {
        self.check_free(session)?;
        let index = session.0 as usize;
        if index >= self.places.len() {
            self.places.resize(index + 1, Place::default());
            self.contexts.resize_with(index + 1, || None);
        }
        self.renew(session, context);
        Ok(())
    }

    /// Puts a context into a place that there is; gives the one before it and its generation.
    fn renew(&mut self, session: CardSession, context: Context) -> (Option<Context>, u32) {
        let index = session.0 as usize;
        let Place { generation, .. } = self.places[index];
        self.places[index] = Place {
            generation: generation.wrapping_add(1),
            is_identity: context.is_identity(),
        };
        (self.contexts[index].replace(context), generation)
    }

    /// Gives `session` another context. The old one is retired; [`recount`](Self::recount) is to
    /// tell how many commands need it. Without a session nothing happens.
    pub(crate) fn replace(&mut self, session: CardSession, context: Context) {
        if self.get(session).is_none() {
            return;
        }
        if let (Some(old), generation) = self.renew(session, context) {
            self.retired.push(Retired {
                session,
                generation,
                context: old,
                waiting: usize::MAX,
            });
        }
    }

    /// How many of `sessions` there are.
    pub(crate) fn count(&self, sessions: Range<u32>) -> u32 {
        let contexts = self.contexts.iter().skip(sessions.start as usize);
        contexts.take(sessions.len()).flatten().count() as u32
    }

    /// How many contexts of `sessions` are retired and not yet zeroed.
    pub(crate) fn retired_count(&self, sessions: &Range<u32>) -> u32 {
        let retired = self.retired.iter();
        retired
            .filter(|old| sessions.contains(&old.session.0))
            .count() as u32
    }

    /// Whether a context is retired and not yet zeroed.
    #[inline]
    pub(crate) const fn has_retired(&self) -> bool {
        !self.retired.is_empty()
    }

    /// A command that was judged by this generation of `session` has run.
    #[cold]
    pub(crate) fn used(&mut self, session: CardSession, generation: u32) {
        for old in &mut self.retired {
            if old.session == session && old.generation == generation {
                old.waiting = old.waiting.saturating_sub(1);
            }
        }
        self.retired.retain(|old| old.waiting != 0);
    }

    /// Counts anew how many commands need each retired context.
    pub(crate) fn recount(&mut self, count: impl Fn(CardSession, u32) -> usize) {
        for old in &mut self.retired {
            old.waiting = count(old.session, old.generation);
        }
        self.retired.retain(|old| old.waiting != 0);
    }

    /// Zeroes a context and what is retired of its session; gives whether there was one. A card
    /// that keeps keys leaves them in its memory.
    pub(crate) fn destroy(&mut self, session: CardSession, keep_keys: bool) -> bool {
        let context = self.contexts.get_mut(session.0 as usize);
        let Some(context) = context.and_then(Option::take) else {
            return false;
        };
        self.places[session.0 as usize].is_identity = false;
        self.passports.remove(&session.0);
        self.retired.retain(|old| old.session != session);
        let keep_keys = keep_keys || on(Exhibit::KeyKeptOnDestroy);
        if keep_keys && self.residue.len() < RESIDUE_MAX {
            self.residue.push(context.raw_keys().into());
        }
        true
    }

    /// Zeroes everything.
    pub(crate) fn clear(&mut self) {
        self.places.clear();
        self.contexts.clear();
        self.passports.clear();
        self.retired.clear();
        for residue in &mut self.residue {
            residue.zeroize();
        }
        self.residue.clear();
    }

    /// Whether a table made as `fresh` was can be in this state.
    pub(crate) fn check(&self, fresh: &Self) -> Check {
        check(self.capacity == fresh.capacity, "sessions of the table")?;
        check(
            self.places.len() <= self.capacity as usize,
            "number of a session",
        )?;
        check(self.residue.len() <= RESIDUE_MAX, "keys left behind")?;
        check(self.places.len() == self.contexts.len(), "contexts")?;
        let is_open = |session: &u32| self.get(CardSession(*session)).is_some();
        check(self.passports.keys().all(is_open), "passport of a session")?;
        let mut places = self.places.iter().zip(&self.contexts);
        let agrees = places.all(|(place, context)| {
            place.is_identity == context.as_ref().is_some_and(Context::is_identity)
        });
        check(agrees, "a session that leaves payloads as they are")
    }

    /// Zeroes the sessions of `range`. What a card that keeps keys left
    /// behind stays: nobody knows whose it is.
    pub(crate) fn clear_range(&mut self, range: Range<u32>) {
        let end = self.places.len().min(range.end as usize);
        for index in range.start as usize..end {
            self.places[index].is_identity = false;
            self.contexts[index] = None;
        }
        self.passports.retain(|session, _| !range.contains(session));
        self.retired.retain(|old| !range.contains(&old.session.0));
    }

    pub(crate) fn visit(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        for context in self.contexts.iter().flatten() {
            visit("context table", context.raw_keys());
        }
        for old in &self.retired {
            visit("retired context", old.context.raw_keys());
        }
        for residue in &self.residue {
            visit("context table", residue);
        }
    }
}

/// One context in the cache.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
struct Way {
    tag: u32,
    /// When it arrived, or will.
    since: Time,
}

const NO_WAY: Way = Way {
    tag: EMPTY,
    since: Time::ZERO,
};

/// Which contexts are close to the engines.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct ContextCache {
    /// Ways of each set, most recently used first.
    sets: Vec<[Way; WAYS]>,
    ways: usize,
    /// The context used last, which is the most recent of its set.
    last: Way,
}

/// Where a context was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Found {
    /// In the cache, since (or from) this time on.
    Cached(Time),
    /// In the table.
    Fetched,
}

impl ContextCache {
    /// A cache of `entries` contexts, rounded down to whole sets.
    pub(crate) fn new(entries: u32) -> Self {
        let ways = WAYS.min(entries as usize);
        let sets = (entries as usize).checked_div(ways).unwrap_or(0);
        Self {
            sets: vec![[NO_WAY; WAYS]; sets],
            ways,
            last: NO_WAY,
        }
    }

    /// Since when `session` is in the cache, if it is the one used last: using it again then
    /// changes nothing.
    #[inline]
    pub(crate) fn again(&self, session: CardSession) -> Option<Time> {
        (self.last.tag == session.0).then_some(self.last.since)
    }

    /// Uses `session`. If it has to be fetched, it is in the cache from `arrives` on.
    pub(crate) fn touch(&mut self, session: CardSession, arrives: Time) -> Found {
        let found = self.use_set(session, arrives);
        if let Some(index) = self.set_of(session) {
            self.last = self.sets[index][0];
        }
        found
    }

    fn use_set(&mut self, session: CardSession, arrives: Time) -> Found {
        let Some(index) = self.set_of(session) else {
            return Found::Fetched;
        };
        let set = &mut self.sets[index][..self.ways];
        if set[0].tag == session.0 {
            return Found::Cached(set[0].since);
        }
        let found = set.iter().position(|way| way.tag == session.0);
        let last = found.unwrap_or(set.len() - 1);
        set[..=last].rotate_right(1);
        if found.is_some() {
            return Found::Cached(set[0].since);
        }
        set[0] = Way {
            tag: session.0,
            since: arrives,
        };
        Found::Fetched
    }

    /// Whether a cache made as `fresh` was can be in this state.
    pub(crate) fn check(&self, fresh: &Self) -> Check {
        let is_like = self.sets.len() == fresh.sets.len() && self.ways == fresh.ways;
        check(is_like, "size of the context cache")
    }

    /// Whether `session` is in the cache.
    pub(crate) fn holds(&self, session: CardSession) -> bool {
        let set = self.set_of(session).map(|index| &self.sets[index]);
        set.is_some_and(|ways| ways.iter().any(|way| way.tag == session.0))
    }

    /// Forgets `session`.
    pub(crate) fn forget(&mut self, session: CardSession) {
        self.last = NO_WAY;
        if let Some(index) = self.set_of(session) {
            for way in &mut self.sets[index] {
                if way.tag == session.0 {
                    *way = NO_WAY;
                }
            }
        }
    }

    /// Forgets the sessions of `range`.
    pub(crate) fn forget_range(&mut self, range: &Range<u32>) {
        self.last = NO_WAY;
        for way in self.sets.as_flattened_mut() {
            if range.contains(&way.tag) {
                *way = NO_WAY;
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.sets.fill([NO_WAY; WAYS]);
        self.last = NO_WAY;
    }

    /// A multiplicative hash spreads neighbouring numbers; `None` without a cache.
    fn set_of(&self, session: CardSession) -> Option<usize> {
        let hash = u64::from(session.0.wrapping_mul(0x9E37_79B1));
        let index = (hash * self.sets.len() as u64) >> 32;
        (!self.sets.is_empty()).then_some(index as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regs::{CipherCode, SessionBlock};

    fn context() -> Context {
        let mut block = SessionBlock::default();
        block.cipher = CipherCode::AesCbc;
        block.iv_len = 16;
        block.set_keys(&[0x5A; 16], &[]).unwrap();
        Context::new(&block).unwrap()
    }

    #[test]
    fn a_place_is_taken_once_and_numbers_end_at_the_capacity() {
        let mut table = ContextTable::new(4);
        let session = CardSession(3);
        assert_eq!(table.store(session, context()), Ok(()));
        assert_eq!(table.store(session, context()), Err(StoreError::Taken));
        let outside = table.store(CardSession(4), context());
        assert_eq!(outside, Err(StoreError::OutOfTable));
        let first = table.get(session).unwrap().1;
        assert!(table.destroy(session, false));
        assert!(!table.destroy(session, false));
        assert_eq!(table.store(session, context()), Ok(()));
        assert_ne!(table.get(session).unwrap().1, first);
    }

    #[test]
    fn keys_are_seen_while_they_live_and_when_they_are_forgotten() {
        let seen = |table: &ContextTable| {
            let mut bytes = 0;
            table.visit(&mut |_, memory| bytes += memory.len());
            bytes
        };
        let mut table = ContextTable::new(4);
        table.store(CardSession(0), context()).unwrap();
        assert_eq!(seen(&table), 16);
        table.destroy(CardSession(0), false);
        assert_eq!(seen(&table), 0);
        table.store(CardSession(0), context()).unwrap();
        table.destroy(CardSession(0), true);
        assert_eq!(seen(&table), 16);
        table.clear();
        assert_eq!(seen(&table), 0);
    }

    #[test]
    fn the_least_recently_used_context_leaves_the_cache() {
        let mut cache = ContextCache::new(4);
        let mut touch = |session| {
            let session = CardSession(session);
            let again = cache.again(session);
            let found = cache.touch(session, Time::ZERO);
            assert!(again.is_none() || found == Found::Cached(Time::ZERO));
            assert_eq!(cache.again(session), Some(Time::ZERO));
            found != Found::Fetched
        };
        for session in 0..4 {
            assert!(!touch(session), "cold");
        }
        assert!(touch(0));
        assert!(!touch(4), "takes the place of 1");
        assert!(touch(0));
        assert!(!touch(1));
    }

    #[test]
    fn a_card_without_a_cache_always_misses() {
        let mut cache = ContextCache::new(0);
        assert_eq!(cache.touch(CardSession(1), Time::ZERO), Found::Fetched);
        assert_eq!(cache.touch(CardSession(1), Time::ZERO), Found::Fetched);
        assert_eq!(cache.again(CardSession(1)), None);
        cache.forget(CardSession(1));
    }

    #[test]
    fn a_destroyed_session_is_not_in_the_cache() {
        let mut cache = ContextCache::new(8);
        let at = Time::from_ps(7);
        assert_eq!(cache.touch(CardSession(9), at), Found::Fetched);
        assert_eq!(cache.touch(CardSession(9), Time::ZERO), Found::Cached(at));
        cache.forget(CardSession(9));
        assert_eq!(cache.again(CardSession(9)), None);
        assert_eq!(cache.touch(CardSession(9), at), Found::Fetched);
    }
}
