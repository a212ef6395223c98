//! Resets: what each clears, and how long it takes.
//!
//! Every reset of a function zeroes its contexts and keys and forgets what it had on the card; one
//! of the physical function takes the virtual ones along. They differ in what is left of
//! configuration space; the datasheet has the table.

use regs::FunctionId;
use timebase::{Span, Time};

use super::space::KEPT_WHILE_LINKED;
use crate::card::Card;
use crate::fault::Latches;
use crate::function::Function;
use crate::host::{CardEvent, Host};
use crate::native::ledger::Ledger;
use crate::native::ring::Ring;

/// Longest function-level reset. PCI Express Base Specification 6.6.2.
const FLR_MAX: Span = Span::from_ms(100);

impl Card {
    /// The reset of the control register: configuration space and the vector table stay.
    pub(crate) fn soft_reset<H: Host>(&mut self, now: Time, id: FunctionId, host: &mut H) {
        let until = match self.reset_goes_wrong(id, host) {
            true => now + self.profile.reset_time,
            false => Time::NEVER,
        };
        if !id.is_physical() {
            self.forget_function(now, id, host);
            return self.begin_reset(now, (id, until), host);
        }
        self.forget_everything();
        self.latches.reset();
        for id in (0..self.functions.len() as u16).rev() {
            self.begin_reset(now, (FunctionId(id), until), host);
        }
    }

    /// The reset of one function, its configuration space included. Virtual functions go when the
    /// physical one is reset.
    pub(super) fn function_level_reset<H: Host>(
        &mut self,
        now: Time,
        id: FunctionId,
        host: &mut H,
    ) {
        let until = now + self.profile.reset_time.min(FLR_MAX);
        if id.is_physical() {
            self.forget_everything();
            self.errata.clear();
            self.latches.reset();
            self.drop_functions(0);
        } else {
            self.errata
                .flush_all(&self.functions[usize::from(id.0)].rings);
            self.forget_function(now, id, host);
        }
        self.function_mut(id).pci.reset(&KEPT_WHILE_LINKED);
        self.begin_reset(now, (id, until), host);
    }

    /// A hot reset, which comes down the link: nothing but sticky fields is left of configuration
    /// space.
    pub fn hot_reset<H: Host>(&mut self, now: Time, host: &mut H) {
        self.advance(now, host);
        self.function_level_reset(now, FunctionId::PHYSICAL, host);
        self.functions[0].pci.reset(&[]);
        self.apply_configuration(now, host);
    }

    /// D3hot: the card stops at once, and only configuration space answers.
    pub(super) fn fall_asleep<H: Host>(&mut self, now: Time, host: &mut H) {
        self.forget_everything();
        self.errata.clear();
        self.ready_at = Time::NEVER;
        self.update_intx(now, FunctionId::PHYSICAL, host);
    }

    /// Virtual functions come, as many as `count`, or go. Those that come are ready after a reset.
    pub(super) fn set_virtual_functions<H: Host>(&mut self, now: Time, count: u16, host: &mut H) {
        for id in (1..self.functions.len() as u16).map(FunctionId) {
            self.forget_function(now, id, host);
        }
        self.drop_functions(count.into());
        let until = now + self.profile.reset_time.min(FLR_MAX);
        for index in 0..count {
            let mut function = Function::of_virtual(&self.profile, index);
            function.pci.reset(&[]);
            let rings = function.rings.clone();
            self.rings
                .extend(rings.map(|place| Ring::of(function.owner(place))));
            self.functions.push(function);
            self.begin_reset(now, (FunctionId::of_virtual(index), until), host);
        }
    }

    /// Only the physical function is left, with room for `count` others.
    fn drop_functions(&mut self, count: usize) {
        let pairs = usize::from(self.profile.virtual_ring_pairs) + 1;
        let rings = self.functions[0].rings.len();
        self.functions.truncate(1);
        self.errata.flush_all(&(rings..self.rings.len()));
        self.rings.truncate(rings);
        self.arbiter.resize(rings + count * pairs);
    }

    /// `id` is not ready before `until`.
    fn begin_reset<H: Host>(&mut self, now: Time, (id, until): (FunctionId, Time), host: &mut H) {
        let scheduler_hangs = self.latches.scheduler_hangs;
        let function = self.function_mut(id);
        function.resetting_until = Some(until);
        function.heartbeat(now, scheduler_hangs);
        function.ledger.reset(now);
        self.update_ready_at();
        self.tell_rings(id);
        self.update_intx(now, id, host);
        if id.is_physical() {
            self.stats.resets += 1;
            host.observe(now, CardEvent::Reset);
        } else {
            host.observe(now, CardEvent::FunctionReset { function: id });
        }
    }

    /// Resets that end at `now` or before are over.
    #[cold]
    pub(crate) fn end_resets(&mut self, now: Time) {
        for id in (0..self.functions.len() as u16).map(FunctionId) {
            let function = self.function_mut(id);
            if function.resetting_until.is_some_and(|until| until <= now) {
                function.resetting_until = None;
                function.pci.ready();
                self.tell_rings(id);
            }
        }
        self.update_ready_at();
    }

    /// When the next reset ends or the next late write is due.
    pub(crate) fn rare_at(&self) -> Time {
        let ends = self.functions.iter().filter_map(|f| f.resetting_until);
        ends.min().unwrap_or(Time::NEVER).min(self.errata.due())
    }

    pub(crate) fn update_ready_at(&mut self) {
        self.ready_at = self.rare_at();
    }

    /// Forgets what `id`, a virtual function, had on the card; configuration space is not touched.
    fn forget_function<H: Host>(&mut self, now: Time, id: FunctionId, host: &mut H) {
        let function = self.function_mut(id);
        function.forget();
        let (rings, sessions) = (function.rings.clone(), function.sessions.clone());
        for place in rings {
            self.stop_ring(place);
            self.rings[place] = self.rings[place].anew();
            self.arbiter.reset_one(place);
        }
        self.tell_rings(id);
        self.contexts.clear_range(sessions.clone());
        self.cache.forget_range(&sessions);
        self.recount_retired();
        self.update_intx(now, id, host);
        self.begin_fetches(now);
    }

    /// Forgets what was on the card; configuration space is not touched.
    pub(crate) fn forget_everything(&mut self) {
        self.agenda.clear();
        self.errata.forget();
        self.functions.iter_mut().for_each(Function::forget);
        for ring in &mut self.rings {
            *ring = ring.anew();
        }
        for id in (0..self.functions.len() as u16).map(FunctionId) {
            self.tell_rings(id);
        }
        self.contexts.clear();
        self.cache.clear();
        self.scratch.clear();
        self.admin.clear();
        self.descriptors.fill(0);
        self.lines.clear();
        self.service_lines.clear();
        self.busy = Default::default();
        self.arbiter.reset(self.rings.len());
    }

    /// Surprise removal: power is lost and nothing volatile survives, keys and configuration
    /// included. The counters stay with whoever counts.
    pub fn pull_out(&mut self) {
        self.forget_everything();
        self.drop_functions(0);
        let physical = &mut self.functions[0].pci;
        physical.clear();
        self.link.set_sizes(physical.traffic_sizes());
        let rings = self.functions[0].rings.len();
        self.functions[0].ledger = Ledger::new(rings, &self.stats);
        for ring in &mut self.rings {
            *ring = Ring::of(ring.owner);
        }
        self.admin.lose_power();
        self.tell_rings(FunctionId::PHYSICAL);
        self.latches = Latches::of(self.profile.errata);
        self.errata.clear();
        self.ready_at = Time::NEVER;
    }
}
