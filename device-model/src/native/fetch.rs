//! Descriptors come in: arbitration, fetch, and the reservation of link and lane.
//!
//! A pair has one fetch under way; up to [`MAX_FETCHES`] pairs share the fetch engine, in turn. A
//! command that waits at a fence keeps those behind it on the card, and the pair fetches no more
//! until the fence falls.

use regs::{COMMAND_LEN, CardSession, Command, CommandFlags, RingId, SEGMENT_LEN, Status};
use timebase::Time;

use super::command::{Plan, Task, Work, judge};
use super::context::Found;
use super::schedule::Fetch;
use super::transfer::Bus;
use crate::card::Card;
use crate::host::{CardEvent, Host};

/// Most fetches under way at once.
const MAX_FETCHES: usize = 4;

/// A point in time of one pair.
#[derive(Clone, Copy)]
struct Moment {
    now: Time,
    ring: usize,
}

impl Card {
    /// Looks whether `ring` has something to fetch now.
    #[inline]
    pub(crate) fn update_wanting(&mut self, ring: usize) {
        let wants =
            self.is_scheduling() && self.rings[ring].fetch_size(self.profile.fetch_burst) != 0;
        self.wanting.set(ring, wants);
    }

    /// Begins as many fetches as the fetch engine takes.
    #[inline]
    pub(crate) fn begin_fetches(&mut self, now: Time) {
        while !self.wanting.is_empty() && self.agenda.fetches.len() < MAX_FETCHES {
            let Some(ring) = self.wanting.next_from(self.next_ring) else {
                return;
            };
            self.next_ring = ring + 1;
            self.wanting.set(ring, false);
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
            is_master: self.pci.bus_master(),
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
            self.rings[ring].fetched(count);
            self.busy.set(ring, true);
            self.stats.commands += u64::from(count);
            let (commands, _) = bytes.as_chunks::<COMMAND_LEN>();
            for (index, bytes) in commands.iter().enumerate() {
                let command = Command::from_bytes(bytes);
                let before = self.rings[ring].outstanding - (count - index as u32);
                self.accept(Moment { now: at, ring }, command, before, host);
            }
        }
        self.descriptors = buffer;
        self.update_wanting(ring);
        self.begin_fetches(at);
    }

    /// Puts `command` on its way, or behind a fence if there is one or it is one. `before` counts
    /// the pair's commands that came earlier and are not complete.
    #[inline]
    fn accept<H: Host>(
        &mut self,
        Moment { now, ring }: Moment,
        command: Command,
        before: u32,
        host: &mut H,
    ) {
        let is_fence = command.flags.contains(CommandFlags::FENCE);
        let fenced = &mut self.rings[ring].fenced;
        if !fenced.is_empty() || (is_fence && before != 0) {
            fenced.push_back(command);
        } else {
            self.dispatch(now, ring, command, host);
        }
    }

    /// Lets commands go that waited at a fence, if all before it are complete.
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
            self.dispatch(now, ring, command, host);
        }
    }

    /// Reserves everything `command` needs and notes when it finishes.
    #[inline]
    fn dispatch<H: Host>(&mut self, now: Time, ring: usize, command: Command, host: &mut H) {
        let decoded = self.lines.decode(now);
        let task = judge(&command, ring == 0, &self.contexts);
        let mut write_time = self.completion_time;
        let finish = match &task {
            Task::Settled(_) | Task::Destroy => decoded,
            Task::Create => {
                let listed = self.read_lists(now, decoded, &command);
                let len = regs::SESSION_BLOCK_LEN as u32;
                self.link.read(now, listed, len)
            }
            Task::Process(plan) => {
                if plan.destination_len != 0 {
                    write_time += self.link.wire_time(plan.destination_len);
                }
                self.reserve(Moment { now, ring }, decoded, (&command, plan), host)
            }
        };
        // The admin processor works on one command at a time, in order.
        let finish = if ring == 0 {
            self.agenda.last_finish = self.agenda.last_finish.max(finish);
            self.agenda.last_finish
        } else {
            finish
        };
        self.agenda.add(
            finish,
            Work {
                command,
                ring: ring as u16,
                task,
                write_time,
                outcome: None,
            },
        );
    }

    /// Reads segment lists, both at once.
    #[inline]
    fn read_lists(&mut self, now: Time, ready: Time, command: &Command) -> Time {
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
    #[inline]
    fn reserve<H: Host>(
        &mut self,
        Moment { now, ring }: Moment,
        decoded: Time,
        (command, plan): (&Command, &Plan),
        host: &mut H,
    ) -> Time {
        let ready = self.look_up(command.session, decoded);
        let lists = CommandFlags::SOURCE_SEGMENTS | CommandFlags::DESTINATION_SEGMENTS;
        let listed = if command.flags.intersects(lists) {
            self.read_lists(now, ready, command)
        } else {
            ready
        };
        let loaded = if plan.source_len == 0 {
            listed
        } else {
            self.link.read(now, listed, plan.source_len)
        };
        let work_len = u32::from(command.aad_len) + command.payload_len;
        let lane = self.lines.work(plan.group, loaded, work_len);
        let group = &mut self.stats.groups[plan.group as usize];
        group.commands += 1;
        group.busy += lane.finish - lane.start;
        host.observe(
            lane.start,
            CardEvent::Started {
                ring: RingId(ring as u16),
                cookie: command.cookie,
                group: plan.group as u8,
                lane: lane.number,
                finish: lane.finish,
            },
        );
        lane.finish
    }

    /// When the context of `session` is there for a command decoded at `decoded`. One that is
    /// already on its way is waited for.
    #[inline]
    fn look_up(&mut self, session: CardSession, decoded: Time) -> Time {
        let fetched = decoded + self.profile.context_miss;
        match self.cache.touch(session, fetched) {
            Found::Cached(since) => {
                self.stats.context_hits += 1;
                since.max(decoded + self.profile.context_hit)
            }
            Found::Fetched => {
                self.stats.context_misses += 1;
                fetched
            }
        }
    }
}
