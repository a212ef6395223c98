//! A driver that does what a test says, and requests for it.
//!
//! Knows the public interface alone: the tests of the threaded way use it too.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use timebase::Time;

use crate::{
    Blocked, Buffer, Cipher, Completed, CryptoDriver, DriverError, DriverFlags, DriverOutput,
    DriverSession, Hint, Key, KeyBlocked, KeyCompleted, KeyDriverError, KeyOps, KeyRequest, Mode,
    OpenError, Operation, ProbeScore, Region, Request, RequestId, SessionFlags, SessionId,
    SessionParams,
};

pub(crate) const NOW: Time = Time::from_ps(1_000);

/// What a scripted driver did and shall do.
#[derive(Default)]
pub(crate) struct Script {
    /// Requests it takes before it refuses.
    pub(crate) room: usize,
    /// What it answers to every probe, if not what its kind says.
    pub(crate) score: Option<i32>,
    /// Whether it opens sessions only when told so.
    pub(crate) opens_late: bool,
    /// How openings end.
    pub(crate) open_result: Option<OpenError>,
    /// How `open_session` itself ends.
    pub(crate) open_now: Option<OpenError>,
    /// Whether it claims to have room at the very moment it refuses.
    pub(crate) unblocks_while_refusing: bool,
    /// Room it then has.
    pub(crate) room_after_refusing: usize,
    /// Whether it is gone, but `service` has not said so.
    pub(crate) dead: bool,
    /// Whether it waits with `lost` after `detach`.
    pub(crate) detaches_late: bool,
    /// Whether it writes over the data of requests it takes.
    pub(crate) scribbles: bool,
    pub(crate) generation: u64,
    pub(crate) held: VecDeque<(DriverSession, Box<Request>)>,
    pub(crate) output: DriverOutput,
    pub(crate) opening: Vec<DriverSession>,
    pub(crate) open: BTreeSet<u32>,
    pub(crate) last_session: u32,
    /// Ids in the order offered and taken, with their hints.
    pub(crate) taken: Vec<(RequestId, Hint)>,
    /// The session, id and submission of everything taken.
    pub(crate) seen: Vec<(SessionId, RequestId)>,
    pub(crate) flushes: usize,
    /// Whether `Hint::More` was the last word.
    pub(crate) holds_back: bool,
    pub(crate) detached: bool,
    /// Whether it does everything at once.
    pub(crate) gives_up: bool,
    pub(crate) closed: usize,
    /// The key operations it offers.
    pub(crate) key_ops: KeyOps,
    /// Key operations it takes before it refuses.
    pub(crate) key_room: usize,
    pub(crate) key_generation: u64,
    pub(crate) key_held: VecDeque<Box<KeyRequest>>,
    /// Whether it claims to have room for keys at the very moment it refuses.
    pub(crate) unblocks_keys_while_refusing: bool,
}

/// A script that driver and test both hold, perhaps in two threads.
#[derive(Clone, Default)]
pub(crate) struct Handle(pub(crate) Arc<Held<Script>>);

/// Something that one may change or several may look at.
#[derive(Default)]
pub(crate) struct Held<T>(RwLock<T>);

impl<T> Held<T> {
    pub(crate) fn borrow(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap()
    }

    pub(crate) fn borrow_mut(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap()
    }
}

impl Handle {
    /// Completes the `nth` request held, with `result`.
    pub(crate) fn complete_nth(&self, nth: usize, result: Result<(), DriverError>) {
        let mut script = self.0.borrow_mut();
        let (_, request) = script.held.remove(nth).unwrap();
        script.room += 1;
        script.generation += 1;
        script.output.completed.push(Completed { request, result });
    }

    pub(crate) fn complete_all(&self) {
        while self.held() > 0 {
            self.complete_nth(0, Ok(()));
        }
    }

    /// Completes the oldest key operation held, with `result`.
    pub(crate) fn complete_key(&self, result: Result<(), KeyDriverError>) {
        let mut script = self.0.borrow_mut();
        let request = script.key_held.pop_front().unwrap();
        script.key_room += 1;
        script.key_generation += 1;
        script.output.keys.push(KeyCompleted { request, result });
    }

    /// The device dies: everything comes back dropped.
    pub(crate) fn die(&self, untouched: bool) {
        self.reset(untouched);
        let mut script = self.0.borrow_mut();
        script.output.lost = true;
        script.dead = true;
    }

    /// The device is reset: everything comes back dropped.
    pub(crate) fn reset(&self, untouched: bool) {
        while self.held() > 0 {
            self.complete_nth(0, Err(DriverError::Lost { untouched }));
        }
        while !self.0.borrow().key_held.is_empty() {
            self.complete_key(Err(KeyDriverError::Lost));
        }
    }

    /// From now on it ends everything at once.
    pub(crate) fn give_up(&self) {
        self.set(|script| {
            (script.gives_up, script.detaches_late, script.opens_late) = (true, false, false);
            (script.room, script.key_room) = (1_000_000, 1_000_000);
            script.generation += 1;
            script.key_generation += 1;
        });
        self.open_now();
        self.complete_all();
        while !self.0.borrow().key_held.is_empty() {
            self.complete_key(Err(KeyDriverError::Device));
        }
    }

    pub(crate) fn open_now(&self) {
        let mut script = self.0.borrow_mut();
        let opening = std::mem::take(&mut script.opening);
        for session in opening {
            let result = script.open_result.map_or(Ok(()), Err);
            if result.is_ok() {
                script.open.insert(session.0);
            }
            script.output.opened.push((session, result));
        }
    }

    pub(crate) fn held(&self) -> usize {
        self.0.borrow().held.len()
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.0.borrow_mut());
    }

    pub(crate) fn taken(&self) -> Vec<u64> {
        self.0.borrow().taken.iter().map(|(id, _)| id.0).collect()
    }

    pub(crate) fn hints(&self) -> Vec<Hint> {
        self.0
            .borrow()
            .taken
            .iter()
            .map(|(_, hint)| *hint)
            .collect()
    }

    pub(crate) fn held_ids(&self) -> Vec<u64> {
        let script = self.0.borrow();
        script
            .held
            .iter()
            .map(|(_, request)| request.id.0)
            .collect()
    }
}

pub(crate) struct Scripted {
    name: String,
    flags: DriverFlags,
    handle: Handle,
}

impl Scripted {
    /// A driver with room for everything, and what tells it what to do.
    pub(crate) fn new(name: &str, flags: DriverFlags, key_ops: KeyOps) -> (Self, Handle) {
        let handle = Handle::default();
        handle.set(|script| {
            (script.room, script.key_room) = (1_000_000, 1_000_000);
            script.key_ops = key_ops;
        });
        let driver = Self {
            name: name.to_owned(),
            flags,
            handle: handle.clone(),
        };
        (driver, handle)
    }
}

impl CryptoDriver for Scripted {
    fn name(&self) -> &str {
        &self.name
    }

    fn flags(&self) -> DriverFlags {
        self.flags
    }

    fn probe_session(&self, _params: &SessionParams) -> Option<ProbeScore> {
        let score = self.handle.0.borrow().score.map(ProbeScore);
        Some(if let Some(score) = score {
            score
        } else if self.flags.contains(DriverFlags::HARDWARE) {
            ProbeScore::HARDWARE
        } else {
            ProbeScore::SOFTWARE
        })
    }

    fn open_session(
        &mut self,
        _now: Time,
        _params: &SessionParams,
    ) -> Result<DriverSession, OpenError> {
        let late = {
            let mut script = self.handle.0.borrow_mut();
            assert!(!script.detached, "no session opens on a detached driver");
            if let Some(error) = script.open_now {
                return Err(error);
            }
            script.last_session += 1;
            let session = DriverSession(script.last_session);
            script.opening.push(session);
            script.opens_late
        };
        if !late {
            self.handle.open_now();
        }
        Ok(DriverSession(self.handle.0.borrow().last_session))
    }

    fn close_session(&mut self, _now: Time, session: DriverSession) {
        let mut script = self.handle.0.borrow_mut();
        assert!(!script.detached, "no session closes on a detached driver");
        assert!(
            script.held.iter().all(|(of, _)| *of != session),
            "no request of a closed session is in flight"
        );
        assert!(script.open.remove(&session.0), "an open session");
        script.closed += 1;
    }

    fn process(
        &mut self,
        _now: Time,
        session: DriverSession,
        mut request: Box<Request>,
        hint: Hint,
    ) -> Result<(), Blocked> {
        let mut script = self.handle.0.borrow_mut();
        assert!(!script.detached, "no request goes to a detached driver");
        assert!(script.open.contains(&session.0), "the session is open");
        script.holds_back = hint == Hint::More;
        if script.dead {
            let result = Err(DriverError::Lost { untouched: true });
            script.output.completed.push(Completed { request, result });
            return Ok(());
        }
        if script.room == 0 {
            let generation = script.generation;
            if script.unblocks_while_refusing {
                script.generation += 1;
                script.room += script.room_after_refusing;
            }
            return Err(Blocked {
                request,
                generation,
            });
        }
        script.room -= 1;
        script.taken.push((request.id, hint));
        script.seen.push((request.session, request.id));
        if script.scribbles {
            let (start, len) = (request.payload.start, request.payload.len);
            request
                .buffer
                .for_each_part_mut(start, len, |part| part.fill(0xEE));
        }
        if self.flags.contains(DriverFlags::SYNC) || script.gives_up {
            script.room += 1;
            let result = Ok(());
            script.output.completed.push(Completed { request, result });
        } else {
            script.held.push_back((session, request));
        }
        Ok(())
    }

    fn flush(&mut self, _now: Time) {
        let mut script = self.handle.0.borrow_mut();
        script.flushes += 1;
        script.holds_back = false;
    }

    fn service(&mut self, _now: Time, output: &mut DriverOutput) {
        let mut script = self.handle.0.borrow_mut();
        output.completed.append(&mut script.output.completed);
        output.opened.append(&mut script.output.opened);
        output.keys.append(&mut script.output.keys);
        let is_quiet = script.held.is_empty() && script.key_held.is_empty();
        if script.detached && !script.detaches_late && is_quiet {
            script.output.lost = true;
        }
        output.lost |= std::mem::take(&mut script.output.lost);
    }

    fn deadline(&self) -> Time {
        let script = self.handle.0.borrow();
        let has_news = script.output.completed.len() + script.output.keys.len() > 0;
        if script.gives_up && has_news {
            return Time::ZERO;
        }
        Time::NEVER
    }

    fn unblock_generation(&self) -> u64 {
        self.handle.0.borrow().generation
    }

    fn key_operations(&self) -> KeyOps {
        self.handle.0.borrow().key_ops
    }

    fn process_key(&mut self, _now: Time, request: Box<KeyRequest>) -> Result<(), KeyBlocked> {
        let mut script = self.handle.0.borrow_mut();
        assert!(
            !script.detached,
            "no key operation goes to a detached driver"
        );
        if script.key_room == 0 {
            let generation = script.key_generation;
            script.key_generation += u64::from(script.unblocks_keys_while_refusing);
            return Err(KeyBlocked {
                request,
                generation,
            });
        }
        if script.gives_up {
            let result = Err(KeyDriverError::Device);
            script.output.keys.push(KeyCompleted { request, result });
            return Ok(());
        }
        script.key_room -= 1;
        script.key_held.push_back(request);
        Ok(())
    }

    fn key_unblock_generation(&self) -> u64 {
        self.handle.0.borrow().key_generation
    }

    fn detach(&mut self, _now: Time) {
        let mut script = self.handle.0.borrow_mut();
        let left = script.opening.len() + script.open.len() + script.held.len();
        assert_eq!(left, 0, "a driver that detaches has nothing of any session");
        script.detached = true;
    }
}

pub(crate) fn null_params() -> SessionParams {
    SessionParams {
        flags: SessionFlags::SEPARATE_OUTPUT,
        cipher: Some(Cipher::Null),
        cipher_key_len: 1,
        cipher_key: Some(Key::new(&[7])),
        ..SessionParams::of(Mode::Cipher)
    }
}

pub(crate) fn request(session: SessionId) -> Box<Request> {
    let buffer = Buffer::Memory((0..64).collect());
    let mut request = Request::new(session, Operation::Encrypt, buffer);
    request.payload = Region { start: 0, len: 64 };
    request
}
