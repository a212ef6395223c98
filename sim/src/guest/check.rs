//! Whether the whole stack works with the cards there are: each check is one claim.
//!
//! Results are held against two libraries, those of the card's engine and of the software driver,
//! as in simulated runs.

use dma::Pool;
use serde::Serialize;
use timebase::{Span, Time};

use super::load::{Load, Order, Tally};
use super::path::Path;
use super::rig::Rig;
use crate::input::Input;
use crate::scenario::Suite;

/// What is tried, one load each: a cipher, a mode with a counter, a disk cipher, both kinds of
/// authenticated encryption, a hash, a keyed one, and a stream with a digest of its own.
const SUITES: [&str; 8] = [
    "aes-128-cbc",
    "aes-256-ctr",
    "aes-256-xts",
    "aes-128-gcm",
    "aes-256-gcm",
    "sha256",
    "hmac-sha512",
    "aes-128-cbc+hmac-sha256",
];
/// Pieces of each suite.
const PIECES: u64 = 24;
/// Requests in flight, far more than the ring's slots.
const DEEP: u32 = 192;
/// Slots of the rings that are checked; one stays empty.
pub(crate) const RING_ENTRIES: u32 = 32;

/// How the checks are done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// How long each check may take.
    pub(crate) patience: Span,
    /// Whether to wait for the loss of a card at the end.
    pub(crate) await_loss: bool,
    /// Whether to wait for another card after that.
    pub(crate) await_return: bool,
    pub(crate) seed: u64,
}

/// What one check found.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct Finding {
    /// What was checked.
    pub(crate) check: String,
    /// Whether it held.
    pub(crate) passed: bool,
    /// Requests that were called back.
    pub(crate) requests: u64,
    /// Interrupts in the meantime.
    pub(crate) interrupts: u64,
    /// Figures, or what was wrong.
    pub(crate) detail: String,
}

/// Does all checks; `tell` learns of each finding at once, and of a check that waits for somebody
/// outside to act by a finding that has not passed yet and no detail.
/// `look` gives a card that came into a slot since it looked last.
pub(crate) fn check(
    rig: &mut Rig,
    plan: Plan,
    look: &mut dyn FnMut(&Pool) -> Option<Path>,
    tell: &mut dyn FnMut(&Finding),
) -> bool {
    let input = Input::project();
    let mut checker = Checker {
        rig,
        plan,
        input: &input,
        tell,
        passed: true,
    };
    if !checker.brings_up() {
        return false;
    }
    for suite in SUITES {
        checker.serves(suite);
    }
    checker.refuses_when_full();
    checker.interrupts_arrive();
    checker.survives_a_reset();
    if plan.await_loss {
        checker.survives_a_loss();
    }
    if plan.await_return {
        checker.takes_a_card_back(look);
    }
    checker.passed
}

struct Checker<'a> {
    rig: &'a mut Rig,
    plan: Plan,
    input: &'a Input,
    tell: &'a mut dyn FnMut(&Finding),
    passed: bool,
}

impl Checker<'_> {
    fn end(&self) -> Time {
        self.rig.now() + self.plan.patience
    }

    /// Tells what came of a check that began with so many interrupts.
    fn conclude(&mut self, check: &str, tally: &Tally, interrupts: u64, detail: String) {
        let passed = tally.mistakes.is_empty();
        let (admin, data) = self.rig.interrupts();
        self.passed &= passed;
        (self.tell)(&Finding {
            check: check.to_owned(),
            passed,
            requests: tally.requests,
            // A card that was lost took its count along.
            interrupts: (admin + data).saturating_sub(interrupts),
            detail: if passed {
                detail
            } else {
                tally.mistakes.join("; ")
            },
        });
    }

    fn interrupts(&self) -> u64 {
        let (admin, data) = self.rig.interrupts();
        admin + data
    }

    fn brings_up(&mut self) -> bool {
        let mut tally = Tally::default();
        let end = self.end();
        let serve = self.rig.bring_up(end);
        if !serve {
            tally.mistake("not every card came out of its reset".to_owned());
        }
        let count = self.rig.cards();
        self.conclude("bring-up", &tally, 0, format!("cards: {count}"));
        serve
    }

    fn order(&self, suites: &[&str], depth: u32, pieces: u64) -> Order {
        let suites = suites.iter();
        Order {
            suites: suites
                .map(|name| name.parse().expect("a suite that is named"))
                .collect::<Vec<Suite>>(),
            depth,
            pieces,
            seed: self.plan.seed,
        }
    }

    /// Runs a load; `midway` acts once half of it is done.
    fn run(&mut self, order: &Order, midway: impl FnOnce(&mut Self)) -> Tally {
        let end = self.end();
        let mut load = match Load::open(self.rig, self.input, order) {
            Ok(load) => load,
            Err(message) => return Tally::failed(message),
        };
        while load.ended() < order.pieces / 2 && !load.is_done() && self.rig.now() < end {
            load.turn(self.rig);
        }
        midway(self);
        let mut tally = load.finish(self.rig, end);
        if tally.mistakes.is_empty() && tally.pieces != order.pieces {
            let message = format!("{} of {} pieces were right", tally.pieces, order.pieces);
            tally.mistake(message);
        }
        tally
    }

    fn serves(&mut self, suite: &str) {
        let before = self.interrupts();
        let order = self.order(&[suite], 8, PIECES);
        let tally = self.run(&order, |_| {});
        let detail = format!("{} false digests found out", tally.tampered);
        self.conclude(suite, &tally, before, detail);
    }

    fn refuses_when_full(&mut self) {
        let before = self.interrupts();
        let full = |rig: &Rig| rig.total(|stats| stats.refused_ring_full);
        let refused = full(self.rig);
        let order = self.order(&["aes-128-gcm", "sha256", "aes-256-ctr"], DEEP, 600);
        let mut tally = self.run(&order, |_| {});
        let refused = full(self.rig) - refused;
        if refused == 0 {
            tally.mistake("no ring was ever full".to_owned());
        }
        let detail = format!("{refused} refusals");
        self.conclude("ring-full", &tally, before, detail);
    }

    /// After the loads so far: there were interrupts, and no completion had to be looked for.
    fn interrupts_arrive(&mut self) {
        let mut tally = Tally::default();
        let (admin, data) = self.rig.interrupts();
        let polled = self.rig.total(|stats| stats.polled_completions);
        // Rings that share their one vector with the admin ring have none of their own.
        let is_shared = self
            .rig
            .drivers()
            .all(|it| it.transport().interrupts.len() == 1);
        if admin == 0 || (data == 0 && !is_shared) {
            tally.mistake(format!("admin rings: {admin}, data rings: {data}"));
        }
        if polled > 0 {
            tally.mistake(format!("{polled} completions came without one"));
        }
        let detail = format!("admin rings: {admin}, data rings: {data}");
        self.conclude("interrupts", &tally, 0, detail);
    }

    fn survives_a_reset(&mut self) {
        let before = self.interrupts();
        let resets = |rig: &Rig| rig.total(|stats| stats.resets);
        let earlier = resets(self.rig);
        let order = self.order(&["aes-128-cbc", "hmac-sha512"], 16, 200);
        let mut tally = self.run(&order, |checker| checker.rig.reset());
        let resets = resets(self.rig) - earlier;
        if resets == 0 {
            tally.mistake("no driver noticed that its card was reset".to_owned());
        }
        let detail = format!("{} requests made anew", tally.interrupted);
        self.conclude("reset", &tally, before, detail);
    }

    /// Keeps the cards busy until one is lost; the others take its sessions over.
    fn survives_a_loss(&mut self) {
        let before = self.interrupts();
        (self.tell)(&Finding {
            check: "loss".to_owned(),
            ..Finding::default()
        });
        let end = self.end();
        let order = self.order(&["aes-128-cbc", "aes-128-gcm", "sha256"], 16, u64::MAX);
        let mut tally = match Load::open(self.rig, self.input, &order) {
            Ok(mut load) => {
                while self.rig.now() < end && self.rig.serving() == self.rig.cards() {
                    load.turn(self.rig);
                }
                load.stop();
                load.finish(self.rig, end)
            }
            Err(message) => Tally::failed(message),
        };
        let left = self.rig.serving();
        if left == self.rig.cards() {
            tally.mistake("no card was lost".to_owned());
        }
        self.conclude("loss", &tally, before, format!("cards left: {left}"));
    }

    /// Keeps the cards that are left busy until another comes, which then gets its share of the
    /// sessions that are opened.
    fn takes_a_card_back(&mut self, look: &mut dyn FnMut(&Pool) -> Option<Path>) {
        let before = self.interrupts();
        (self.tell)(&Finding {
            check: "return".to_owned(),
            ..Finding::default()
        });
        let end = self.end();
        let suites = ["aes-128-cbc", "aes-128-gcm", "sha256"];
        let order = self.order(&suites, 16, u64::MAX);
        let mut come = None;
        let mut tally = match Load::open(self.rig, self.input, &order) {
            Ok(mut load) => {
                while self.rig.now() < end && come.is_none() {
                    load.turn(self.rig);
                    come = look(&self.rig.pool);
                }
                load.stop();
                load.finish(self.rig, end)
            }
            Err(message) => Tally::failed(message),
        };
        match come.map(|path| self.rig.add(path)) {
            None => tally.mistake("no card came".to_owned()),
            Some(Err(error)) => tally.mistake(error.to_string()),
            Some(Ok(())) => {
                self.rig.bring_up(end);
                let order = self.order(&[suites, suites].concat(), 16, 300);
                let more = self.run(&order, |_| {});
                tally.add(more);
            }
        }
        let taken = self.rig.posted_to_last();
        if taken == 0 {
            tally.mistake("the card that came was given nothing to do".to_owned());
        }
        let detail = format!("{taken} commands for the card that came");
        self.conclude("return", &tally, before, detail);
    }
}
