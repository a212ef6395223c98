//! A pair comes to its end: drain, abort, and running dry.
//!
//! A drain lets what was fetched complete. An abort completes what has not finished as `Aborted`,
//! at once and without touching its data, whatever the engines do. Either ends with the pair
//! stopped and its indices readable, so that the driver knows what was never fetched.

use regs::{COMMAND_LEN, Command, CommandFlags, RingControl, Status};
use timebase::{Span, Time};

use super::command::{Task, Work};
use super::ring::Drain;
use crate::card::Card;
use crate::host::Host;

impl Card {
    /// The driver wrote `control` to a pair that runs.
    pub(crate) fn drain<H: Host>(
        &mut self,
        now: Time,
        ring: usize,
        control: RingControl,
        host: &mut H,
    ) {
        let drain = match (control.drain(), control.abort()) {
            (false, false) => Drain::No,
            (true, false) => Drain::Finish,
            (_, true) => Drain::Abort,
        };
        let was_aborting = self.rings[ring].is_aborting();
        self.rings[ring].set_drain(drain);
        if drain == Drain::Abort && !was_aborting {
            self.abort_work(now, ring);
        }
        self.ran_dry(now, ring, host);
        self.update_wanting(ring);
        self.begin_fetches(now);
    }

    /// Completes what `ring` has on the card and has not finished, as aborted.
    fn abort_work(&mut self, now: Time, ring: usize) {
        let pair = &mut self.rings[ring];
        let held = std::mem::take(&mut pair.held);
        let fenced = std::mem::take(&mut pair.fenced);
        let at_work = self.agenda.queue.take_at_work(ring);
        let aborted = held.into_iter().chain(at_work);
        for mut work in aborted {
            if let Task::Process(order) | Task::Service(order) = work.task {
                self.agenda.orders.remove(order);
            }
            work.task = Task::Settled(Status::Aborted);
            work.write_time = self.completion_time;
            self.abort(now, work);
        }
        for command in fenced {
            self.abort(now, aborted_work(ring, &command, self.completion_time));
        }
        self.recount_retired();
    }

    /// Completes commands that were on their way when their pair was aborted.
    #[cold]
    pub(crate) fn abort_commands(
        &mut self,
        now: Time,
        ring: usize,
        commands: &[[u8; COMMAND_LEN]],
    ) {
        for bytes in commands {
            let command = Command::from_bytes(bytes);
            self.abort(now, aborted_work(ring, &command, self.completion_time));
        }
    }

    /// Gives `work` its turn on the link, or lets it wait for room.
    fn abort(&mut self, now: Time, mut work: Work) {
        let pair = &mut self.rings[usize::from(work.ring)];
        if !pair.held.is_empty() || !pair.promise_room() {
            pair.held.push_back(work);
            return;
        }
        work.at = self.link.write(now, work.write_time);
        self.agenda.queue.add_result(work);
    }

    /// `ring` may have run dry: it may have to tell, and a drain may end.
    pub(crate) fn ran_dry<H: Host>(&mut self, now: Time, ring: usize, host: &mut H) {
        let pair = &mut self.rings[ring];
        if !pair.is_dry() {
            return;
        }
        let fires = pair.tells_when_dry() && pair.coalescer.fire_early();
        let drained = pair.end_drain();
        if fires || drained {
            self.timer_changed(ring);
        }
        if fires {
            self.raise_ring(now, ring, host);
        }
    }
}

const fn aborted_work(ring: usize, command: &Command, write_time: Span) -> Work {
    Work {
        at: Time::ZERO,
        cookie: command.cookie,
        write_time,
        ring: ring as u16,
        is_quiet: command.flags.contains(CommandFlags::NO_INTERRUPT),
        task: Task::Settled(Status::Aborted),
    }
}
