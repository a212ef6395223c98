//! After the workload: everything is closed, and nothing may be left behind.

use framework::{DriverId, DriverState, Framework};

use super::machine::Slot;
use super::{World, setup};
use crate::outcome::{
    CheckSummary, DriverSummary, Mark, MarkKind, Outcome, Series, Summary, Violation,
};
use crate::scenario::Count;
use crate::series::Course;

impl World<'_> {
    /// Closes sessions, looks for keys on the cards, detaches the drivers, looks for keys in the
    /// pool.
    pub(super) fn close(&mut self) {
        let now = self.now();
        self.recorder
            .borrow_mut()
            .checkers()
            .exactly_once
            .finish(now);
        if self.stuck {
            return;
        }
        self.let_drivers_leave();
        for index in 0..self.consumers.len() {
            let session = self.consumers[index].session;
            if let Err(error) = self.framework.close_session(now, session) {
                self.report(&error);
            }
        }
        self.settle();
        let limit = self.now() + self.scenario.drain_within;
        while self.framework.stats().sessions > 0 && self.now() < limit && self.step() {}
        let (now, open) = (self.now(), self.framework.stats().sessions as u64);
        self.recorder
            .borrow_mut()
            .checkers()
            .liveness
            .sessions_left(now, open);
        self.drain_cards();
        self.look_for_keys();
        self.detach_all();
        self.consumers
            .iter_mut()
            .for_each(|consumer| consumer.ready.clear());
        let now = self.now();
        let mut recorder = self.recorder.borrow_mut();
        let checkers = recorder.checkers();
        checkers.key_residue.look_at_pool(now, &self.pool);
        let stats = (self.framework.stats(), &setup::limits());
        checkers.bounds.look_at_framework(now, stats, self.room());
        for (port, spec) in self.ports.iter().zip(&self.scenario.cards) {
            let open = port.borrow().windows().live();
            checkers.bounds.look_at_windows(now, &spec.name, open);
        }
    }

    /// Whoever was asked to leave has to, though sessions that he had may stay idle for ever.
    fn let_drivers_leave(&mut self) {
        let leaving = |framework: &Framework| {
            let drivers = framework.drivers();
            drivers.filter(|it| it.state != DriverState::Active).count() as u64
        };
        let limit = self.now() + self.scenario.drain_within;
        while leaving(&self.framework) > 0 && self.now() < limit && self.step() {}
        let (now, open) = (self.now(), leaving(&self.framework));
        let mut recorder = self.recorder.borrow_mut();
        recorder.checkers().liveness.drivers_left(now, open);
    }

    /// No session is left, so no key may be: not on a card, and not in a driver's memory.
    fn look_for_keys(&self) {
        let now = self.now();
        let mut recorder = self.recorder.borrow_mut();
        let key_residue = &mut recorder.checkers().key_residue;
        for (port, spec) in self.ports.iter().zip(&self.scenario.cards) {
            if let Some(card) = port.borrow().card() {
                let place = format!("the card in {}", spec.name);
                key_residue.look_at_card(now, &place, card);
            }
        }
        key_residue.look_at_pool(now, &self.pool);
    }

    /// Commands that all rings together hold.
    fn room(&self) -> usize {
        let cards = self.scenario.cards.iter();
        cards
            .map(|spec| usize::from(spec.profile.ring_pairs) * spec.ring_entries as usize)
            .sum()
    }

    /// Lets the cards finish what the drivers have told them.
    fn drain_cards(&mut self) {
        let limit = self.now() + self.scenario.drain_within;
        while self.slots.iter().any(|slot| slot.driver.is_some()) && self.now() < limit {
            if !self.step() {
                break;
            }
        }
    }

    fn detach_all(&mut self) {
        self.ledger.close();
        let now = self.now();
        let drivers: Vec<DriverId> = self.slots.iter().filter_map(|slot| slot.driver).collect();
        for driver in drivers {
            if let Err(error) = self.framework.unregister(now, driver) {
                self.report(&error);
            }
        }
        self.settle();
        let limit = now + self.scenario.drain_within;
        let is_there = |slot: &Slot| slot.driver.is_some();
        while self.slots.iter().any(is_there) && self.now() < limit && self.step() {}
        let open = self.slots.iter().filter(|slot| is_there(slot)).count() as u64;
        let mut recorder = self.recorder.borrow_mut();
        recorder.checkers().liveness.drivers_left(self.now(), open);
    }

    /// What the run leaves behind.
    pub(super) fn outcome(mut self, seed: u64) -> Outcome {
        self.is_cut = self.is_over();
        if !self.scenario.faults.is_empty() {
            self.notice();
        }
        let summary = self.summary(seed);
        let series = self.series();
        let (_, mut violations) = self.recorder.borrow_mut().checkers().results();
        violations.append(&mut self.other_violations);
        violations.extend(self.unmet_expectations());
        if self.expects_faults() {
            let at_ps = self.last_callback.as_ps();
            violations.extend(self.idle_faults().map(|message| Violation {
                check: "faults".to_owned(),
                at_ps,
                message,
            }));
        }
        violations.sort_by_key(|violation| violation.at_ps);
        for violation in &violations {
            let at = timebase::Time::from_ps(violation.at_ps);
            let text = format!("{}: {}", violation.check, violation.message);
            let driver = String::new();
            self.marks.push(Mark {
                at,
                kind: MarkKind::Violation,
                driver,
                text,
            });
        }
        let log = self.recorder.borrow_mut().take_log();
        let since = |at: timebase::Time| at.since(self.began);
        let faults = self.script.happened().map(|at| at.map(since)).collect();
        let coverage = self.coverage();
        Outcome {
            summary,
            coverage,
            series,
            marks: self.marks,
            log,
            violations,
            faults,
        }
    }

    fn summary(&self, seed: u64) -> Summary {
        let mut recorder = self.recorder.borrow_mut();
        let (checks, _) = recorder.checkers().results();
        let counts = &self.counts;
        let elapsed = self
            .first_dispatch
            .map_or(timebase::Span::ZERO, |at| self.last_callback - at);
        Summary {
            scenario: self.scenario.name.clone(),
            seed,
            timing_only: self.scenario.timing_only,
            requests: counts.requests,
            bytes: counts.bytes,
            pieces: counts.pieces,
            refusals: counts.refusals,
            blocks: counts.blocks,
            unblocks: counts.unblocks,
            migrations: counts.migrations,
            moved: counts.moved,
            interrupted: counts.interrupted,
            resubmitted: counts.resubmitted,
            tampered_caught: counts.tampered_caught,
            unplugs: counts.unplugs,
            plugs: counts.plugs,
            elapsed_ps: elapsed.as_ps(),
            latency: recorder.course().latency(),
            drivers: self.driver_summaries(recorder.course(), elapsed),
            checks: self.with_expectations(checks),
            faults: self.fault_summaries(),
            events: recorder.count(),
            digest: format!("{:016x}", recorder.digest()),
        }
    }

    fn driver_summaries(&self, course: &Course, elapsed: timebase::Span) -> Vec<DriverSummary> {
        let cards = self.scenario.cards.iter().enumerate().map(|(slot, spec)| {
            let (requests, bytes) = course.served(slot as u16);
            let counts = self.slot_counts(slot);
            let lane_time = u128::from(elapsed.as_ps()) * u128::from(counts.lanes);
            let busy = u128::from(counts.busy.as_ps()) * 1000;
            DriverSummary {
                name: spec.name.clone(),
                requests,
                bytes,
                refusals: self.slots[slot].refusals,
                utilisation_permille: busy.checked_div(lane_time).unwrap_or(0) as u64,
                interrupts: counts.interrupts,
                bounced: counts.bounced,
            }
        });
        let software = self.scenario.software.then(|| {
            let (requests, bytes) = course.served(Course::SOFTWARE);
            DriverSummary {
                name: "software".to_owned(),
                requests,
                bytes,
                refusals: 0,
                utilisation_permille: 0,
                interrupts: 0,
                bounced: 0,
            }
        });
        cards.chain(software).collect()
    }

    fn series(&self) -> Vec<Series> {
        let mut recorder = self.recorder.borrow_mut();
        let course = recorder.course();
        let end = self.last_callback;
        let cards = self.scenario.cards.iter().enumerate().map(|(slot, spec)| {
            let slots = u32::from(spec.profile.ring_pairs) * (spec.ring_entries - 1);
            course.series(slot as u16, &spec.name, slots, end)
        });
        let mut all: Vec<Series> = cards.collect();
        if self.scenario.software {
            all.push(course.series(Course::SOFTWARE, "software", 0, end));
        }
        all
    }

    fn with_expectations(&self, mut checks: Vec<CheckSummary>) -> Vec<CheckSummary> {
        if self.expects() {
            let looked = self.scenario.expect.len() as u64;
            let violations = self.unmet().count() as u64;
            checks.push(CheckSummary {
                name: "expectations".to_owned(),
                looked,
                violations,
            });
        }
        if self.expects_faults() && !self.scenario.faults.is_empty() {
            let armed = self.script.course().filter(|&(is_armed, _)| is_armed);
            checks.push(CheckSummary {
                name: "faults".to_owned(),
                looked: armed.count() as u64,
                violations: self.idle_faults().count() as u64,
            });
        }
        checks
    }

    /// A run without data, or one that something ended, has no messages to strike.
    fn expects_faults(&self) -> bool {
        !self.input.is_empty() && !self.stuck && !self.is_cut
    }

    /// A run without data cannot fill a ring, and one that a violation ended is not a whole one:
    /// they are held to the checkers alone.
    fn expects(&self) -> bool {
        !self.input.is_empty() && !self.scenario.expect.is_empty() && !self.is_cut
    }

    fn unmet(&self) -> impl Iterator<Item = String> + '_ {
        let expectations = if self.expects() {
            &self.scenario.expect[..]
        } else {
            &[]
        };
        expectations.iter().filter_map(|expectation| {
            let seen = self.count(expectation.count);
            let at_most = expectation.at_most.unwrap_or(u64::MAX);
            if (expectation.at_least..=at_most).contains(&seen) {
                return None;
            }
            let bound = match expectation.at_most {
                Some(most) => format!("{} to {most}", expectation.at_least),
                None => format!("at least {}", expectation.at_least),
            };
            Some(format!("{:?}: {seen}, expected {bound}", expectation.count))
        })
    }

    fn unmet_expectations(&self) -> Vec<Violation> {
        let check = "expectations".to_owned();
        let at_ps = self.last_callback.as_ps();
        self.unmet()
            .map(|message| Violation {
                check: check.clone(),
                at_ps,
                message,
            })
            .collect()
    }

    fn count(&self, count: Count) -> u64 {
        let counts = &self.counts;
        match count {
            Count::Requests => counts.requests,
            Count::Refusals => counts.refusals,
            Count::Blocks => counts.blocks,
            Count::Unblocks => counts.unblocks,
            Count::Migrations => counts.migrations,
            Count::Moved => counts.moved,
            Count::Resubmitted => counts.resubmitted,
            Count::Unplugs => counts.unplugs,
            Count::Plugs => counts.plugs,
        }
    }
}
