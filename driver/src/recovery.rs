//! Transitions of the card's state: bring-up, watchdog, reset, detach, loss.
//!
//! Every wait here is bounded: a reset by its timeout, a ring that stands still by two watchdog
//! times, resets without a completion in between by their number, a detach by what is in flight.
//! Whatever ends badly ends in [`Phase::Lost`] with every job handed back once.

use exhibit::{Exhibit, on};
use regs::{
    CardSession, Control, DeviceStatus, INTERRUPT_LINK_ERROR, Register, RingId, RingRegister,
    RingStatus,
};
use timebase::{Span, Time};

use crate::card::{ALL_ONES, Card, Leave, Phase, Sink, Then};
use crate::museum::IMPATIENT;
use crate::orders::SLOW_ORDER;
use crate::ring::{End, Finding, Verdict};
use crate::session::{AdminJob, Refusal};
use crate::{DriverEvent, Transport};

/// Between two looks at a card that resets.
const RESET_POLL: Span = Span::from_us(10);
/// Resets without a completion in between after which a card is given up.
const MAX_FRUITLESS_RESETS: u32 = 3;

impl<T: Transport, J> Card<T, J> {
    /// Tells the card to reset.
    pub(crate) fn write_reset(&mut self) {
        self.prepare_reset();
        // Off first: some hardware does not survive a reset while it fetches.
        self.write_control(Control::new());
        self.write_control(Control::new().with_reset(true));
    }

    /// Stops the card in an orderly way; `service` does it.
    pub(crate) fn detach(&mut self) {
        self.phase = match self.phase {
            Phase::Lost | Phase::Detaching(_) => return,
            // The card has no sessions and no rings: there is nothing to be orderly about.
            Phase::Resetting { until, poll_at, .. } => Phase::Resetting {
                until,
                poll_at,
                then: Then::Leave,
            },
            Phase::Restoring | Phase::Running => Phase::Detaching(Leave::Draining),
        };
        self.publish();
        // Whoever waits for room learns at the next offer that there will be none.
        self.raise_generation();
    }

    /// Looks whether the reset is over.
    pub(crate) fn advance_reset<S: Sink<T, J>>(
        &mut self,
        until: Option<Time>,
        then: Then,
        sink: &mut S,
    ) {
        let until = until.unwrap_or(self.now + self.config.reset_timeout);
        if let Some(poll_at) = self.quirks.hands_off(self.now).filter(|_| self.now < until) {
            self.phase = Phase::Resetting {
                until: Some(until),
                poll_at: poll_at.min(until),
                then,
            };
            return;
        }
        let Some(status) = self.read_device_status() else {
            return self.lose(sink);
        };
        if status.ready() && !status.resetting() && self.is_awake() {
            self.hand_back(sink);
            return match then {
                Then::Use => self.bring_up(sink),
                Then::Leave => self.finish_detach(sink),
            };
        }
        if self.now >= until {
            self.counters.reset_timeouts.add(1);
            return self.lose(sink);
        }
        let next = self.quirks.next_look(self.now, RESET_POLL);
        self.phase = Phase::Resetting {
            until: Some(until),
            poll_at: (self.now + next).min(until),
            then,
        };
    }

    /// Programs a card that is ready and queues its sessions.
    fn bring_up<S: Sink<T, J>>(&mut self, sink: &mut S) {
        let pairs = self.transport.read(Register::RingPairs.offset());
        let capacity = self.transport.read(Register::SessionCapacity.offset());
        if matches!(pairs, 0 | ALL_ONES) || matches!(capacity, 0 | ALL_ONES) {
            return self.lose(sink);
        }
        let used = self.rings.len().min(pairs as usize);
        self.sessions.fit(capacity, used as u16, |session| {
            sink.opened(session, Err(Refusal::NoRoom));
        });
        self.sessions.on_reset();
        self.program(used);
        self.phase = if self.sessions.restoring() > 0 {
            Phase::Restoring
        } else {
            Phase::Running
        };
        self.post_admin();
    }

    /// Writes the registers of the admin ring and of `used` data rings, and arms them.
    fn program(&mut self, used: usize) {
        self.prepare_rings(used);
        let (transport, config, vectors) = (&mut self.transport, &self.config, self.vectors);
        self.sessions.ring.rewind();
        self.sessions
            .ring
            .program(transport, vectors.of(RingId::ADMIN), config);
        for ring in &mut self.rings[..used] {
            if !on(Exhibit::RewindForgotten) {
                ring.rewind();
            }
            ring.program(transport, vectors.of(ring.id()), config);
        }
        self.write_control(Control::new().with_enabled(true));
        self.sessions.ring.acknowledge(&mut self.transport, true);
        for ring in &mut self.rings[..used] {
            ring.acknowledge(&mut self.transport, true);
        }
    }

    /// Lets the card send interrupts, or has it keep them back as far as it can.
    pub(crate) fn set_interrupts(&mut self, are_wanted: bool) {
        let were_wanted = !std::mem::replace(&mut self.is_quiet, !are_wanted);
        if were_wanted || !are_wanted {
            return;
        }
        // A card that resets arms all its rings.
        if matches!(self.phase, Phase::Resetting { .. } | Phase::Lost) {
            return;
        }
        let transport = &mut self.transport;
        let mut told = u64::from(self.sessions.ring.arm(transport));
        for ring in &mut self.rings {
            told += u64::from(ring.arm(transport));
        }
        self.counters.completion_doorbells.add(told);
    }

    /// Looks into rings that made no progress for the watchdog's time.
    pub(crate) fn watch<S: Sink<T, J>>(&mut self, sink: &mut S) {
        if on(Exhibit::LostInterruptHangs) {
            self.watchdog_at = Time::NEVER;
            return;
        }
        let limit = match on(Exhibit::ImpatientWatchdog) {
            true => IMPATIENT,
            false => self.config.watchdog,
        };
        let now = self.now;
        let mut next = Time::NEVER;
        let patience = match self.slow_orders {
            0 => limit,
            _ => limit + SLOW_ORDER,
        };
        let mut findings = vec![self.sessions.ring.look_into(now, patience)];
        findings.extend(self.rings.iter_mut().map(|ring| ring.look_into(now, limit)));
        for (id, finding) in (0..).map(RingId).zip(findings) {
            match finding {
                Finding::Idle => continue,
                Finding::Moves { due } => {
                    next = next.min(due);
                    continue;
                }
                Finding::Still | Finding::Hung => {}
            }
            if on(Exhibit::DoorbellNotRungAgain) {
                next = next.min(now + limit);
                continue;
            }
            self.note_stall(id);
            let Some(status) = self.read_device_status() else {
                return self.lose(sink);
            };
            if finding == Finding::Hung || status.fatal() || self.read_ring_error(id) {
                return self.recover(sink);
            }
            if on(Exhibit::UnmapsEarly) {
                self.hand_back(sink);
            }
            self.ring_again(id);
            next = next.min(now + limit);
        }
        if next != Time::NEVER {
            next = next.min(now + self.quirks.patience(limit));
        }
        self.watchdog_at = next;
    }

    /// Rings the doorbells of `id` again: the last ones may not have arrived.
    fn ring_again(&mut self, id: RingId) {
        if id == RingId::ADMIN {
            self.sessions.ring.publish(&mut self.transport);
            self.sessions.ring.acknowledge(&mut self.transport, true);
        } else {
            let ring = &mut self.rings[usize::from(id.0) - 1];
            ring.publish(&mut self.transport);
            ring.acknowledge(&mut self.transport, true);
        }
        self.counters.rerung.add(1);
        self.counters.doorbells.add(1);
        self.counters.completion_doorbells.add(1);
    }

    /// Finds out whether an interrupt without a completion reports an error.
    pub(crate) fn read_error<S: Sink<T, J>>(&mut self, sink: &mut S) {
        let causes = self.transport.read(Register::InterruptStatus.offset());
        if causes == ALL_ONES && self.read_device_status().is_none() {
            return self.lose(sink);
        }
        if causes & INTERRUPT_LINK_ERROR == 0 {
            return;
        }
        let offset = Register::InterruptStatus.offset();
        self.transport.write(offset, INTERRUPT_LINK_ERROR);
        self.counters.card_errors.add(1);
        let Some(status) = self.read_device_status() else {
            return self.lose(sink);
        };
        let ring = self.transport.read(Register::ErrorRing.offset());
        let ring = u16::try_from(ring).ok().map(RingId);
        // A fault of one command ends in its completion; only a ring that stopped needs a reset.
        if status.fatal() || ring.is_some_and(|ring| self.read_ring_error(ring)) {
            self.recover(sink);
        }
    }

    /// Resets a card that hangs. What is in flight stays mapped until the reset is over, because
    /// the card may write until then.
    pub(crate) fn recover<S: Sink<T, J>>(&mut self, sink: &mut S) {
        self.counters.resets.add(1);
        self.fruitless_resets += 1;
        self.transport.observe(DriverEvent::Reset);
        self.write_reset();
        if self.fruitless_resets > MAX_FRUITLESS_RESETS || self.is_gone_in_reset() {
            return self.lose(sink);
        }
        // Nothing is awaited but the reset; then there is room for whoever was refused.
        self.is_waiting |= self.is_starved || self.refused != 0;
        self.is_starved = false;
        self.refused = 0;
        self.busy = 0;
        self.held_back = 0;
        self.count_posted();
        self.is_hungry = false;
        self.watchdog_at = Time::NEVER;
        let then = match self.phase {
            Phase::Detaching(_) => Then::Leave,
            Phase::Running | Phase::Restoring | Phase::Resetting { .. } | Phase::Lost => Then::Use,
        };
        self.phase = Phase::Resetting {
            until: Some(self.now + self.config.reset_timeout),
            poll_at: self.now + RESET_POLL,
            then,
        };
    }

    /// Takes the steps of restoring and detaching that need nothing but time.
    #[inline]
    pub(crate) fn settle<S: Sink<T, J>>(&mut self, sink: &mut S) {
        match self.phase {
            Phase::Running | Phase::Resetting { .. } | Phase::Lost => {}
            Phase::Restoring => {
                if self.sessions.restoring() == 0 {
                    self.phase = Phase::Running;
                }
            }
            Phase::Detaching(leave) => self.leave(leave, sink),
        }
    }

    fn leave<S: Sink<T, J>>(&mut self, leave: Leave, sink: &mut S) {
        if leave == Leave::Draining && on(Exhibit::DetachDoesNotWait) {
            self.hand_back(sink);
        }
        match leave {
            Leave::Draining if self.in_flight == 0 => {
                self.phase = Phase::Detaching(Leave::Closing);
                self.sessions
                    .close_all(|session| sink.opened(session, Err(Refusal::Device)));
                self.post_admin();
                self.leave(Leave::Closing, sink);
            }
            Leave::Closing if self.sessions.is_quiet() => {
                self.sessions.ring.stop(&mut self.transport);
                for ring in &self.rings {
                    ring.stop(&mut self.transport);
                }
                self.finish_detach(sink);
            }
            Leave::Draining | Leave::Closing => {}
        }
    }

    fn finish_detach<S: Sink<T, J>>(&mut self, sink: &mut S) {
        self.write_control(Control::new());
        // Memory may be taken back once the card has seen that.
        let _ = self.read_device_status();
        self.end(sink);
    }

    /// Gives the card up.
    pub(crate) fn lose<S: Sink<T, J>>(&mut self, sink: &mut S) {
        self.transport.observe(DriverEvent::Lost);
        self.hand_back(sink);
        self.end(sink);
    }

    /// Hands back every job: finished ones with their verdict, the others as lost.
    fn hand_back<S: Sink<T, J>>(&mut self, sink: &mut S) {
        self.count_posted();
        let (transport, counters) = (&mut self.transport, &*self.counters);
        for ring in &mut self.rings {
            let limit = ring.capacity() + 1;
            let mut finish = |transport: &mut T, job, end: End| {
                sink.finish(transport, counters, job, end);
            };
            let reaped = ring.reap(transport, limit, counters, &mut finish);
            counters.reaped.add(u64::from(reaped.jobs));
            ring.drain(transport, |transport, job| {
                let end = match on(Exhibit::ResetCompletesAsGood) {
                    true => End::GOOD,
                    false => End::LOST,
                };
                finish(transport, job, end);
            });
        }
        // What sessions were doing is told by the session table.
        let mut orders = Vec::new();
        let mut keep = |job, verdict| {
            if let AdminJob::Order(job) = job {
                orders.push((job, verdict));
            }
        };
        let ring = &mut self.sessions.ring;
        let limit = ring.capacity() + 1;
        ring.reap(transport, limit, counters, |_, job, end| {
            keep(job, end.verdict);
        });
        ring.drain(transport, |_, job| keep(job, Verdict::Lost));
        for (job, verdict) in orders {
            self.finish_order(*job, verdict);
        }
        self.in_flight = 0;
        self.busy = 0;
        self.held_back = 0;
        self.watchdog_at = Time::NEVER;
    }

    fn end<S: Sink<T, J>>(&mut self, sink: &mut S) {
        self.phase = Phase::Lost;
        self.sessions.clear(|session: CardSession| {
            sink.opened(session, Err(Refusal::Device));
        });
        for addr in self.shared.drain(..) {
            if !on(Exhibit::WindowsLeftOpen) {
                self.transport.unshare(addr);
            }
        }
        self.desk.close();
        self.raise_generation();
        sink.lost();
    }

    fn write_control(&mut self, control: Control) {
        let offset = Register::Control.offset();
        self.transport.write(offset, control.into_bits());
    }

    /// Whether nobody answers in a reset; the first look tells of a card that must not be asked.
    fn is_gone_in_reset(&mut self) -> bool {
        self.quirks.hands_off(self.now).is_none() && self.read_device_status().is_none()
    }

    /// The card's state, `None` if nobody answers: the reserved bits of this register are never
    /// ones.
    fn read_device_status(&mut self) -> Option<DeviceStatus> {
        match self.transport.read(Register::DeviceStatus.offset()) {
            ALL_ONES if !on(Exhibit::RemovalNotNoticed) => None,
            bits => Some(DeviceStatus::from_bits(bits)),
        }
    }

    fn read_ring_error(&mut self, ring: RingId) -> bool {
        if usize::from(ring.0) > self.rings.len() {
            return false;
        }
        let offset = ring.register(RingRegister::RingStatus);
        RingStatus::from_bits(self.transport.read(offset)).error()
    }
}
