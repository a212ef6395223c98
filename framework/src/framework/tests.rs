//! Promises that hold for every schedule: each accepted request ends exactly once, whatever drivers
//! and consumers do in whatever order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use timebase::{Span, Time};

use crate::testing::{Bench, Handle, NOW, null_params, request, settle};
use crate::{
    DriverChoice, DriverError, DriverFlags, DriverId, Finished, Limits, MigrationPolicy, Rebalance,
    Request, RequestError, RequestFlags, RequestId, RequestInvalid, SessionId,
};

/// One step of a schedule. Numbers pick among what exists.
#[derive(Clone, Debug)]
enum Step {
    Dispatch { session: usize, flags: u8 },
    Batch { sessions: Vec<usize> },
    Cancel { session: usize, nth: usize },
    Complete { driver: usize, nth: usize, how: u8 },
    Room { driver: usize, room: usize },
    Reset { driver: usize, untouched: bool },
    Die { driver: usize, untouched: bool },
    Unregister { driver: usize, late: bool },
    Plug { kind: u8 },
    Opened { driver: usize },
    Open { transparent: bool },
    Close { session: usize },
    Move { session: usize, driver: usize },
    Rebalance,
    Service { driver: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0_usize..8;
    let pick = || number.clone();
    prop_oneof![
        12 => (pick(), 0_u8..16).prop_map(|(session, flags)| Step::Dispatch { session, flags }),
        3 => prop::collection::vec(pick(), 1..6).prop_map(|sessions| Step::Batch { sessions }),
        3 => (pick(), pick()).prop_map(|(session, nth)| Step::Cancel { session, nth }),
        12 => (pick(), pick(), 0_u8..8)
            .prop_map(|(driver, nth, how)| Step::Complete { driver, nth, how }),
        6 => (pick(), 0_usize..5).prop_map(|(driver, room)| Step::Room { driver, room }),
        1 => (pick(), any::<bool>())
            .prop_map(|(driver, untouched)| Step::Reset { driver, untouched }),
        1 => (pick(), any::<bool>())
            .prop_map(|(driver, untouched)| Step::Die { driver, untouched }),
        1 => (pick(), any::<bool>()).prop_map(|(driver, late)| Step::Unregister { driver, late }),
        2 => (0_u8..4).prop_map(|kind| Step::Plug { kind }),
        4 => pick().prop_map(|driver| Step::Opened { driver }),
        3 => any::<bool>().prop_map(|transparent| Step::Open { transparent }),
        1 => pick().prop_map(|session| Step::Close { session }),
        2 => (pick(), pick()).prop_map(|(session, driver)| Step::Move { session, driver }),
        1 => Just(Step::Rebalance),
        8 => pick().prop_map(|driver| Step::Service { driver }),
    ]
}

/// A session and its number, which it keeps when it moves.
type Numbered = (u64, SessionId);

struct World {
    bench: Bench,
    drivers: Vec<(DriverId, Handle)>,
    sessions: Vec<Numbered>,
    opened: u64,
    asked: u64,
    /// Requests by what they carry: the session's number above, their own below.
    accepted: BTreeSet<u64>,
    ended: BTreeSet<u64>,
    ids: BTreeMap<u64, RequestId>,
    last_ordered: BTreeMap<u64, u64>,
}

/// Bits of what a request carries that are its own number.
const OWN_BITS: u32 = 32;

impl World {
    fn new() -> Self {
        let bench = Bench::wide(Limits {
            queue_len: 6,
            batch_len: 3,
            move_len: 1,
            ..Limits::default()
        });
        Self {
            bench,
            drivers: Vec::new(),
            sessions: Vec::new(),
            opened: 0,
            asked: 0,
            accepted: BTreeSet::new(),
            ended: BTreeSet::new(),
            ids: BTreeMap::new(),
            last_ordered: BTreeMap::new(),
        }
    }

    fn alive(&self, driver: usize) -> Option<(DriverId, Handle)> {
        let alive = self.drivers.iter().filter(|(id, handle)| {
            self.bench.framework.driver(*id).is_some() && !handle.0.borrow().dead
        });
        let alive: Vec<_> = alive.cloned().collect();
        (!alive.is_empty()).then(|| alive[driver % alive.len()].clone())
    }

    fn session(&self, session: usize) -> Option<Numbered> {
        let count = self.sessions.len();
        (count > 0).then(|| self.sessions[session % count])
    }

    /// A request as urgent as all of its session, whose order is checked.
    fn ask(&mut self, (number, session): Numbered) -> Box<Request> {
        let mut asked = request(session);
        self.asked += 1;
        asked.opaque = number << OWN_BITS | self.asked;
        asked.priority = (number % 3) as u8;
        asked
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Dispatch { session, flags } => self.dispatch(session, flags),
            Step::Batch { sessions } => self.batch(&sessions),
            Step::Cancel { session, nth } => {
                let open = self.accepted.difference(&self.ended).nth(nth);
                let id = open.and_then(|open| self.ids.get(open));
                if let (Some((_, session)), Some(&id)) = (self.session(session), id) {
                    let _ = self.bench.framework.cancel(session, id);
                }
            }
            Step::Complete { driver, nth, how } => self.complete(driver, nth, how),
            Step::Room { driver, room } => {
                if let Some((_, handle)) = self.alive(driver) {
                    handle.set(|script| {
                        (script.room, script.generation) = (room, script.generation + 1);
                    });
                }
            }
            Step::Reset { driver, untouched } => {
                if let Some((_, handle)) = self.alive(driver) {
                    handle.reset(untouched);
                }
            }
            Step::Die { driver, untouched } => {
                if let Some((_, handle)) = self.alive(driver) {
                    handle.die(untouched);
                }
            }
            Step::Unregister { driver, late } => {
                if let Some((id, handle)) = self.alive(driver) {
                    handle.set(|script| script.detaches_late = late);
                    let _ = self.bench.framework.unregister(NOW, id);
                }
            }
            Step::Plug { kind } => self.plug(kind),
            Step::Opened { driver } => {
                if let Some((_, handle)) = self.alive(driver) {
                    handle.open_now();
                }
            }
            Step::Open { transparent } => self.open(transparent),
            Step::Close { session } => {
                if let Some((number, id)) = self.session(session) {
                    let _ = self.bench.framework.close_session(NOW, id);
                    self.sessions.retain(|(other, _)| *other != number);
                }
            }
            Step::Move { session, driver } => {
                if let (Some((_, session)), Some((target, _))) =
                    (self.session(session), self.alive(driver))
                {
                    let _ = self.bench.framework.move_session(NOW, session, target);
                }
            }
            Step::Rebalance => drop(self.bench.framework.rebalance(NOW, Rebalance::Even)),
            Step::Service { driver } => {
                let count = self.drivers.len();
                if count > 0 {
                    let id = self.drivers[driver % count].0;
                    self.bench.framework.service(NOW, id);
                }
            }
        }
        self.check();
    }

    fn dispatch(&mut self, session: usize, flags: u8) {
        let Some(id) = self.session(session) else {
            return;
        };
        let mut asked = self.ask(id);
        let opaque = asked.opaque;
        asked.flags.set(RequestFlags::ORDERED, flags & 1 != 0);
        asked.flags.set(RequestFlags::BATCH, flags & 2 != 0);
        asked.flags.set(RequestFlags::ASYNC, flags & 4 != 0);
        // Whatever waits has waited too long.
        asked.expires = if flags & 8 != 0 { NOW } else { Time::NEVER };
        match self.bench.framework.dispatch(NOW, asked) {
            Ok(id) => {
                let others = self.ids.values();
                assert!(!others.into_iter().any(|it| *it == id), "ids are unique");
                self.accepted.insert(opaque);
                self.ids.insert(opaque, id);
            }
            Err(rejected) => assert_eq!(rejected.reason, RequestInvalid::QueueFull),
        }
    }

    fn batch(&mut self, sessions: &[usize]) {
        let ids = sessions.iter().filter_map(|&session| self.session(session));
        let ids: Vec<_> = ids.collect();
        let mut batch: VecDeque<_> = ids.into_iter().map(|id| self.ask(id)).collect();
        let asked: Vec<u64> = batch.iter().map(|asked| asked.opaque).collect();
        let outcome = self.bench.framework.dispatch_batch(NOW, &mut batch);
        let handed_back = usize::from(outcome.is_err());
        let accepted = asked.len() - batch.len() - handed_back;
        self.accepted.extend(&asked[..accepted]);
    }

    fn complete(&mut self, driver: usize, nth: usize, how: u8) {
        let Some((_, handle)) = self.alive(driver) else {
            return;
        };
        let held = handle.held();
        if held == 0 {
            return;
        }
        let result = match how {
            0 => Err(DriverError::Lost { untouched: true }),
            1 => Err(DriverError::Device),
            2 => Err(DriverError::Lost { untouched: false }),
            _ => Ok(()),
        };
        handle.complete_nth(nth % held, result);
    }

    fn plug(&mut self, kind: u8) {
        if self.bench.framework.drivers().count() == 4 {
            return;
        }
        let flags = match kind {
            0 => DriverFlags::SOFTWARE | DriverFlags::SYNC,
            1 => DriverFlags::SOFTWARE,
            _ => DriverFlags::HARDWARE,
        };
        let driver = self.bench.driver("any", flags);
        let room = if kind == 0 { 1_000_000 } else { 2 };
        driver
            .1
            .set(|script| (script.room, script.opens_late) = (room, kind == 2));
        self.drivers.push(driver);
    }

    fn open(&mut self, transparent: bool) {
        let policy = if transparent {
            MigrationPolicy::Transparent
        } else {
            MigrationPolicy::Report
        };
        let opened =
            self.bench
                .framework
                .open_session(NOW, null_params(), DriverChoice::any(), policy);
        if let Ok(session) = opened {
            self.opened += 1;
            self.sessions.push((self.opened, session));
        }
    }

    /// Takes what ended and checks what must always hold.
    fn check(&mut self) {
        settle(&mut self.bench.framework);
        while let Some(Finished { request, result }) = self.bench.framework.take_finished() {
            let id = request.opaque;
            assert!(self.accepted.contains(&id), "{id} was accepted");
            assert!(self.ended.insert(id), "{id} ends once");
            if request.flags.contains(RequestFlags::ORDERED) {
                let last = self.last_ordered.insert(id >> OWN_BITS, id);
                assert!(last < Some(id), "{id} calls back in order");
            }
            if let Err(RequestError::Moved(new)) = result {
                assert_ne!(new, request.session, "a move has a new name");
                for (_, session) in &mut self.sessions {
                    if *session == request.session {
                        *session = new;
                    }
                }
            }
        }
        for (_, handle) in &self.drivers {
            let script = handle.0.borrow();
            assert!(
                !script.holds_back || script.dead,
                "a flush follows every hint"
            );
            let (mut first, mut seen) = (BTreeMap::new(), BTreeSet::new());
            for (session, id) in &script.seen {
                if seen.insert(*id) {
                    let last = first.insert(session.as_u64() as u32, *id);
                    assert!(last < Some(*id), "a session's requests keep their order");
                }
            }
        }
        let open = self.accepted.len() - self.ended.len();
        assert_eq!(self.bench.framework.stats().in_flight, open);
    }

    /// Lets everything run to its end.
    fn finish(&mut self) {
        for turn in 0..64 {
            let now = NOW + Span::from_ms(turn);
            for (id, handle) in self.drivers.clone() {
                handle.set(|script| {
                    script.room = 1_000_000;
                    script.generation += 1;
                    script.detaches_late = false;
                });
                handle.open_now();
                handle.complete_all();
                self.bench.framework.service(now, id);
            }
            self.check();
        }
        assert_eq!(self.ended, self.accepted, "every accepted request ended");
        for (_, session) in std::mem::take(&mut self.sessions) {
            let _ = self.bench.framework.close_session(NOW, session);
        }
        assert_eq!(self.bench.framework.stats().sessions, 0);
        for (id, handle) in &self.drivers {
            if self.bench.framework.driver(*id).is_some() {
                assert!(
                    handle.0.borrow().open.is_empty(),
                    "no session stays in a driver"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn every_accepted_request_ends_exactly_once(
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut world = World::new();
        world.plug(3);
        world.plug(1);
        world.open(false);
        world.open(true);
        for step in steps {
            world.run(step);
        }
        world.finish();
    }
}
