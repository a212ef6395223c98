//! Descriptors come in: arbitration, fetch, and the reservation of link and lane.
//!
//! A pair has one fetch under way; up to [`MAX_FETCHES`] pairs share the fetch engine, in turn. A
//! command that waits at a fence keeps those behind it on the card, and the pair fetches no more
//! until the fence falls.

use exhibit::{Exhibit, on};
use regs::{COMMAND_LEN, CardSession, Command, CommandFlags, Opcode, RingId, SEGMENT_LEN, Status};
use timebase::{Span, Time};

use super::command::{
    Identity, Kind, Order, Plan, Task, Timed, Verdict, Work, judge, judge_identity,
};
use super::context::Found;
use super::schedule::Fetch;
use super::service;
use super::transfer::Bus;
use crate::card::Card;
use crate::engine::{Algorithm, Group};
use crate::host::{CardEvent, Host};
use crate::timing::Lane;

/// Most fetches under way at once.
pub(super) const MAX_FETCHES: usize = 4;

/// A point in time of one pair.
#[derive(Clone, Copy)]
struct Moment {
    now: Time,
    ring: usize,
}

/// Commands after which a bad engine hangs.
const HANGS_AFTER: u64 = 200;

/// A command with the IV of the next one of its session, which came before the engine began.
#[cold]
fn with_next_iv(bytes: &[u8; COMMAND_LEN], burst: &[[u8; COMMAND_LEN]]) -> [u8; COMMAND_LEN] {
    let command = Command::from_bytes(bytes);
    let next = burst.get(1).map(Command::from_bytes);
    let next = next.filter(|next| next.session == command.session);
    let iv = next.map_or(command.iv, |next| next.iv);
    Command { iv, ..command }.to_bytes()
}

impl Card {
    /// Looks whether `ring` has something to fetch now.
    #[inline]
    pub(crate) fn update_wanting(&mut self, ring: usize) {
        let pair = &self.rings[ring];
        let wants = pair.owner.is_enabled
            && !self.latches.scheduler_hangs
            && pair.fetch_size(self.profile.fetch_burst) != 0;
        self.arbiter.set_wanting(ring, wants);
    }

    /// Begins as many fetches as the fetch engine takes.
    #[inline]
    pub(crate) fn begin_fetches(&mut self, now: Time) {
        while self.agenda.fetches.len() < MAX_FETCHES
            && let Some(ring) = self.arbiter.grant()
        {
            let count = self.rings[ring].fetch_size(self.profile.fetch_burst);
            if count == 0 {
                continue;
            }
            self.rings[ring].fetching = count;
            let arrives = self.link.read(now, now, count * COMMAND_LEN as u32);
            // Completions of reads of one requester stay in order.
            self.agenda.last_fetch = self.agenda.last_fetch.max(arrives);
            self.agenda.fetches.push_back(Fetch {
                at: self.agenda.last_fetch,
                ring: ring as u16,
                count,
            });
            self.stats.fetches += 1;
        }
    }

    /// The next fetch arrives.
    pub(crate) fn fetch_arrives<H: Host>(&mut self, host: &mut H) {
        let Some(Fetch {
            at,
            ring: id,
            count,
        }) = self.agenda.fetches.pop_front()
        else {
            return;
        };
        let ring = usize::from(id);
        let mut buffer = std::mem::take(&mut self.descriptors);
        let bytes = &mut buffer[..count as usize * COMMAND_LEN];
        let mut bus = Bus {
            master: self.rings[ring].owner.master,
            host: &mut *host,
        };
        if let Err(fault) = bus.read(self.rings[ring].command_addr(), bytes) {
            self.observe_fault(at, ring, fault, host);
            self.fail_ring(at, ring, Status::ReadFault, host);
        } else {
            host.observe(
                at,
                CardEvent::Fetched {
                    ring: RingId(id),
                    first: self.rings[ring].command_head(),
                    count,
                },
            );
            if self.errata.has_prefetched() {
                self.use_prefetched(ring, bytes);
            }
            self.rings[ring].fetched(count);
            self.busy.set(ring, true);
            self.stats.commands += u64::from(count);
            if on(Exhibit::EngineHangs) && self.stats.commands > HANGS_AFTER {
                self.latches.engines_hang = true;
            }
            self.agenda.queue.reserve(count as usize);
            let (commands, _) = bytes.as_chunks::<COMMAND_LEN>();
            self.take_burst(Moment { now: at, ring }, commands, host);
        }
        self.descriptors = buffer;
        self.update_wanting(ring);
        self.begin_fetches(at);
    }

    /// Puts the commands of one fetch on their way, in order.
    #[inline(never)]
    fn take_burst<H: Host>(
        &mut self,
        moment: Moment,
        commands: &[[u8; COMMAND_LEN]],
        host: &mut H,
    ) {
        if self.rings[moment.ring].is_aborting() {
            return self.abort_commands(moment.now, moment.ring, commands);
        }
        let owner = self.rings[moment.ring].owner;
        let is_data = !owner.is_admin();
        let mut is_short_way = is_data && self.rings[moment.ring].fenced.is_empty();
        for (index, bytes) in commands.iter().enumerate() {
            let mut command = Command::from_bytes(bytes);
            command.session = owner.session(command.session);
            if is_short_way && let Some(identity) = judge_identity(&command, &self.contexts) {
                self.dispatch_identity(moment, &command, identity, host);
            } else {
                let later = commands.len() - index;
                let shared = on(Exhibit::SharedIv).then(|| with_next_iv(bytes, &commands[index..]));
                self.accept(moment, shared.as_ref().unwrap_or(bytes), later as u32, host);
                let pair = &self.rings[moment.ring];
                is_short_way = is_data && pair.fenced.is_empty();
            }
        }
    }

    /// Puts the command in `bytes` on its way, or behind a fence if there is one or it is one.
    /// `later` counts it and the pair's commands after it.
    #[inline(never)]
    fn accept<H: Host>(
        &mut self,
        Moment { now, ring }: Moment,
        bytes: &[u8; COMMAND_LEN],
        later: u32,
        host: &mut H,
    ) {
        let mut command = Command::from_bytes(bytes);
        let is_fence = command.flags.contains(CommandFlags::FENCE);
        let pair = &mut self.rings[ring];
        command.session = pair.owner.session(command.session);
        let has_earlier = pair.outstanding > later;
        if !pair.fenced.is_empty() || (is_fence && has_earlier) {
            pair.fenced.push_back(command);
        } else {
            self.dispatch(now, ring, &command, host);
        }
    }

    /// Lets commands go that waited at a fence, if all before it are complete.
    #[cold]
    pub(crate) fn drop_fence<H: Host>(&mut self, now: Time, ring: usize, host: &mut H) {
        loop {
            let pair = &mut self.rings[ring];
            let before = pair.outstanding - pair.fenced.len() as u32;
            let is_fence = |command: &Command| command.flags.contains(CommandFlags::FENCE);
            if before != 0 && pair.fenced.front().is_some_and(is_fence) {
                return;
            }
            let Some(command) = pair.fenced.pop_front() else {
                return;
            };
            self.dispatch(now, ring, &command, host);
        }
    }

    /// Reserves everything `command` needs and notes when it finishes.
    #[inline(always)]
    fn dispatch<H: Host>(&mut self, now: Time, ring: usize, command: &Command, host: &mut H) {
        let moment = Moment { now, ring };
        let decoded = self.lines.decode(now);
        let (task, plan) = match judge(command, &self.rings[ring].owner, &self.contexts) {
            Verdict::Process(plan) if self.timing_only && plan.kind == Kind::Whole => {
                let timed = Timed {
                    session: command.session,
                    generation: plan.generation,
                    payload_len: command.payload_len,
                    output_len: plan.destination_len,
                };
                (Task::Timed(timed), plan)
            }
            Verdict::Process(plan) => {
                let order = Order {
                    command: *command,
                    plan,
                };
                (Task::Process(self.agenda.orders.add(order)), plan)
            }
            Verdict::Task(Task::Identity(identity)) => (Task::Identity(identity), identity.plan()),
            Verdict::Task(task) => {
                return self.put_in_order(moment, command, (decoded, task, Span::ZERO));
            }
            Verdict::Service(opcode) => {
                return self.dispatch_service(moment, decoded, (command, opcode), host);
            }
        };
        let finish = self.reserve(moment, decoded, (command, &plan), host);
        let written = match plan.destination_len {
            0 => Span::ZERO,
            len => self.link.write_time(len),
        };
        self.put_to_work(moment, command, (finish, task, written));
    }

    /// [`dispatch`](Self::dispatch) of a service command.
    #[cold]
    fn dispatch_service<H: Host>(
        &mut self,
        moment: Moment,
        decoded: Time,
        (command, opcode): (&Command, Opcode),
        host: &mut H,
    ) {
        let when = (moment.now, decoded);
        let (command, plan) = match service::judge(command, opcode) {
            Ok(judged) => judged,
            Err(status) => {
                let settled = (decoded, Task::Settled(status), Span::ZERO);
                return self.put_in_order(moment, command, settled);
            }
        };
        let reserved = self.reserve_service(when, moment.ring, (&command, &plan), host);
        let (finish, task, written) = match reserved {
            Ok(finish) => {
                let order = self.agenda.orders.add(Order { command, plan });
                (finish, Task::Service(order), plan.destination_len)
            }
            Err(status) => (decoded, Task::Settled(status), 0),
        };
        let written = match written {
            0 => Span::ZERO,
            len => self.link.write_time(len),
        };
        self.put_in_order(moment, &command, (finish, task, written));
    }

    /// [`put_to_work`](Self::put_to_work) of what needs no engine: the admin processor works on one
    /// command at a time, in order.
    #[cold]
    fn put_in_order(
        &mut self,
        moment: Moment,
        command: &Command,
        (finish, task, written): (Time, Task, Span),
    ) {
        let mut finish = finish;
        if self.rings[moment.ring].owner.is_admin() {
            finish = self.agenda.last_finish.max(finish);
            self.agenda.last_finish = finish;
        }
        if let Task::Settled(status) = task {
            let what = (command.opcode, command.cookie);
            self.note_failure((moment.now, moment.ring), what, (status, None));
        }
        self.put_to_work(moment, command, (finish, task, written));
    }

    /// The short way of [`dispatch`](Self::dispatch): payload comes, stays as it is, and goes.
    #[inline(always)]
    fn dispatch_identity<H: Host>(
        &mut self,
        moment: Moment,
        command: &Command,
        identity: Identity,
        host: &mut H,
    ) {
        let decoded = self.lines.decode(moment.now);
        let group = Group::Cipher;
        let needs = self.lines.needs(group, Algorithm::IDENTITY, identity.len);
        let prepared = self.lines.prepare(needs, decoded);
        let ready = self.look_up(moment.now, identity.session, prepared);
        // What comes in goes out again, and takes as long.
        let wire = self.link.write_time(identity.len);
        let loaded = self.link.read_for(moment.now, ready, (identity.len, wire));
        let lane = self.lines.work(group, needs, loaded);
        let finish = self.put_on_lane(moment.ring, command.cookie, (group, lane), host);
        self.put_to_work(moment, command, (finish, Task::Identity(identity), wire));
    }

    /// Keeps `command`, which finishes at `at` and whose data takes `written` on the wire.
    #[inline(always)]
    fn put_to_work(
        &mut self,
        moment: Moment,
        command: &Command,
        (at, task, written): (Time, Task, Span),
    ) {
        self.agenda.queue.add(Work {
            at,
            cookie: command.cookie,
            write_time: self.completion_time + written,
            ring: moment.ring as u16,
            is_quiet: command.flags.contains(CommandFlags::NO_INTERRUPT),
            task,
        });
    }

    /// Reads segment lists, both at once.
    #[cold]
    pub(super) fn read_lists(&mut self, now: Time, ready: Time, command: &Command) -> Time {
        let mut listed = ready;
        for (flag, segments) in [
            (CommandFlags::SOURCE_SEGMENTS, command.source_len),
            (CommandFlags::DESTINATION_SEGMENTS, command.destination_len),
        ] {
            if command.flags.contains(flag) {
                let bytes = segments.min(regs::MAX_SEGMENTS) * SEGMENT_LEN as u32;
                listed = listed.max(self.link.read(now, ready, bytes));
            }
        }
        listed
    }

    /// Context, data and lane of one data command; gives its finish.
    #[inline(always)]
    fn reserve<H: Host>(
        &mut self,
        Moment { now, ring }: Moment,
        decoded: Time,
        (command, plan): (&Command, &Plan),
        host: &mut H,
    ) -> Time {
        let work_len = u32::from(command.aad_len) + command.payload_len;
        let needs = self.lines.needs(plan.group, plan.algorithm, work_len);
        let prepared = self.lines.prepare(needs, decoded);
        let ready = self.look_up(now, command.session, prepared);
        let listed = if command.flags.has_list() {
            self.read_lists(now, ready, command)
        } else {
            ready
        };
        let loaded = if plan.source_len == 0 {
            listed
        } else {
            self.link.read(now, listed, plan.source_len)
        };
        let lane = self.lines.work(plan.group, needs, loaded);
        self.put_on_lane(ring, command.cookie, (plan.group, lane), host)
    }

    /// Puts work that is complete on the card at `loaded` on a lane; gives its finish.
    #[inline(always)]
    fn put_on_lane<H: Host>(
        &mut self,
        ring: usize,
        cookie: u64,
        (group, lane): (Group, Lane),
        host: &mut H,
    ) -> Time {
        let stats = &mut self.stats.groups[group as usize];
        stats.commands += 1;
        stats.busy += lane.duration;
        host.observe(
            lane.start,
            CardEvent::Started {
                ring: RingId(ring as u16),
                cookie,
                group: group as u8,
                lane: lane.number,
                finish: lane.finish,
            },
        );
        lane.finish
    }

    /// When the context of `session` is there for a command decoded at `decoded`. One that is
    /// already on its way is waited for.
    #[inline]
    fn look_up(&mut self, now: Time, session: CardSession, decoded: Time) -> Time {
        if let Some(since) = self.cache.again(session) {
            self.stats.context_hits += 1;
            return since.max(decoded + self.profile.context_hit);
        }
        self.look_up_other(now, session, decoded)
    }

    #[inline(never)]
    fn look_up_other(&mut self, now: Time, session: CardSession, decoded: Time) -> Time {
        let fetched = decoded + self.profile.context_miss;
        match self.cache.touch(session, fetched) {
            Found::Cached(since) => {
                self.stats.context_hits += 1;
                since.max(decoded + self.profile.context_hit)
            }
            Found::Fetched => {
                self.stats.context_misses += 1;
                match self.profile.context_bytes {
                    0 => fetched,
                    bytes => self.link.read_context(now, fetched, bytes),
                }
            }
        }
    }
}
