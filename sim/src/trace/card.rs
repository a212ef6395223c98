//! What happens at one card: commands in its rings, work on its engine lanes, completions.

use std::io::{self, Write};

use device_model::CardEvent;
use device_model::pci::ErrorMessage;
use driver::DriverEvent;
use regs::{RingId, Slot};
use timebase::Time;

use super::lanes::{self, Kind, Lane};
use super::{Tracer, command_name, ring_name};

/// A command between post and reap.
pub(super) struct Command {
    ring: RingId,
    lane: Lane,
    request: Option<u64>,
    completion: Option<Lane>,
}

/// An engine lane at work. Written when it ends, as a card that is pulled out ends it early.
pub(super) struct Work {
    start: Time,
    finish: Time,
    cookie: u64,
    request: Option<u64>,
    /// The flow that leads through here.
    pub(super) flow: Option<u64>,
}

/// A command as it was posted.
struct Posted {
    ring: RingId,
    slot: Slot,
    cookie: u64,
    request: Option<u64>,
}

impl<W: Write> Tracer<'_, W> {
    pub(super) fn driver_event(
        &mut self,
        at: Time,
        card: u16,
        event: DriverEvent,
    ) -> io::Result<()> {
        let kind = Kind::DriverEvents { card };
        let ring_arg = |ring: RingId| [("ring", u64::from(ring.0))];
        match event {
            DriverEvent::Posted {
                ring,
                slot,
                cookie,
                request,
            } => self.post(
                at,
                card,
                Posted {
                    ring,
                    slot,
                    cookie,
                    request,
                },
            ),
            DriverEvent::Reaped { cookie, .. } => self.end_command(at, (card, cookie), None),
            DriverEvent::Strange { ring, cookie } => {
                let args = [("ring", u64::from(ring.0)), ("cookie", cookie)];
                self.instant(at, kind, "strange completion", &args)
            }
            DriverEvent::Refused { ring } => self.instant(at, kind, "refused", &ring_arg(ring)),
            DriverEvent::Watchdog { ring } => self.instant(at, kind, "watchdog", &ring_arg(ring)),
            DriverEvent::Reset => {
                self.instant(at, kind, "reset", &[])?;
                self.abandon(at, card, "reset")
            }
            DriverEvent::Lost => {
                self.instant(at, kind, "lost", &[])?;
                self.abandon(at, card, "lost")
            }
        }
    }

    fn post(&mut self, at: Time, card: u16, posted: Posted) -> io::Result<()> {
        let Posted {
            ring,
            slot,
            cookie,
            request,
        } = posted;
        // A cookie that is posted twice is a mistake for the checkers; here the first ends.
        self.end_command(at, (card, cookie), Some("posted again"))?;
        let lane = self.tracks.take(&mut self.out, Kind::Ring { card, ring })?;
        let name = command_name(request);
        self.out.begin(
            lane.track,
            at,
            name,
            &[("slot", slot.0.into()), ("cookie", cookie)],
        )?;
        let command = Command {
            ring,
            lane,
            request,
            completion: None,
        };
        self.commands.insert((card, cookie), command);
        self.lead(at, request, (card, cookie))?;
        self.count(at, card, ring, 1)
    }

    /// Leads the flow of `request` from its consumer, if that is known yet, to command `key`.
    fn lead(&mut self, at: Time, request: Option<u64>, key: (u16, u64)) -> io::Result<()> {
        let Some(request) = request else {
            return Ok(());
        };
        let Some(flight) = self.flights.get_mut(&request) else {
            self.early.insert(request, key);
            return Ok(());
        };
        if !flight.has_flow {
            flight.has_flow = true;
            self.out.flow_start(flight.lane.track, at, request)?;
        }
        let track = self.commands[&key].lane.track;
        self.out.flow_step(track, at, request)
    }

    /// Leads the flow of a request on whose way to the card the log told of the card first.
    pub(super) fn lead_early(&mut self, at: Time, request: u64) -> io::Result<()> {
        let key = self.early.remove(&request);
        match key.filter(|key| {
            self.commands
                .get(key)
                .is_some_and(|of| of.request == Some(request))
        }) {
            Some(key) => self.lead(at, Some(request), key),
            None => Ok(()),
        }
    }

    fn end_command(&mut self, at: Time, key: (u16, u64), end: Option<&str>) -> io::Result<()> {
        let Some(command) = self.commands.remove(&key) else {
            return Ok(());
        };
        let (card, ring) = (key.0, command.ring);
        self.stop_works(at, |lane, work| lane.0 == card && work.cookie == key.1)?;
        if let Some(completion) = command.completion {
            self.out.end(completion.track, at, end)?;
            self.tracks
                .give_back(Kind::Completion { card, ring }, completion);
        }
        self.out.end(command.lane.track, at, end)?;
        self.tracks
            .give_back(Kind::Ring { card, ring }, command.lane);
        self.count(at, card, ring, -1)
    }

    /// Ends every command of a card.
    pub(super) fn abandon(&mut self, at: Time, card: u16, end: &str) -> io::Result<()> {
        let range = (card, 0)..=(card, u64::MAX);
        let keys: Vec<(u16, u64)> = self.commands.range(range).map(|(&key, _)| key).collect();
        keys.into_iter()
            .try_for_each(|key| self.end_command(at, key, Some(end)))
    }

    fn count(&mut self, at: Time, card: u16, ring: RingId, change: i32) -> io::Result<()> {
        let known = self.used.entry((card, ring));
        let (name, used) =
            known.or_insert_with(|| (format!("{} slots in use", ring_name(ring)), 0));
        *used = used.saturating_add_signed(change);
        let process = lanes::card_process(card);
        self.out.counter(process, at, name, (*used).into())
    }

    pub(super) fn card_event(&mut self, at: Time, card: u16, event: CardEvent) -> io::Result<()> {
        let kind = Kind::CardEvents { card };
        match event {
            CardEvent::Started {
                cookie,
                group,
                lane,
                finish,
                ..
            } => self.start(at, (card, group, lane), cookie, finish),
            CardEvent::Completed { cookie, status, .. } => self.complete(at, card, cookie, status),
            CardEvent::Interrupt { ring, vector } => {
                let args = [("ring", u64::from(ring.0)), ("vector", vector.0.into())];
                self.instant(at, Kind::Interrupts { card }, "sent", &args)
            }
            CardEvent::DmaFault {
                ring,
                addr,
                is_write,
            } => {
                let name = if is_write {
                    "DMA write fault"
                } else {
                    "DMA read fault"
                };
                self.instant(
                    at,
                    kind,
                    name,
                    &[("ring", ring.0.into()), ("address", addr.0)],
                )
            }
            CardEvent::SessionCreated { session } => {
                self.instant(at, kind, "session created", &[("session", session.into())])
            }
            CardEvent::SessionRekeyed { session } => {
                self.instant(at, kind, "session rekeyed", &[("session", session.into())])
            }
            CardEvent::SessionDestroyed { session } => self.instant(
                at,
                kind,
                "session destroyed",
                &[("session", session.into())],
            ),
            CardEvent::Reset => {
                self.stop_works(at, |lane, _| lane.0 == card)?;
                self.instant(at, kind, "function reset", &[])
            }
            CardEvent::FunctionReset { function } => {
                let args = [("function", function.0.into())];
                self.instant(at, kind, "virtual function reset", &args)
            }
            CardEvent::ErrorMessage { function, message } => {
                let name = match message {
                    ErrorMessage::Correctable => "correctable error",
                    ErrorMessage::NonFatal => "non-fatal error",
                    ErrorMessage::Fatal => "fatal error",
                };
                self.instant(at, kind, name, &[("function", function.0.into())])
            }
            // Doorbells are seen as register writes, and a fetch says little beside what follows
            // it.
            CardEvent::Doorbell { .. } | CardEvent::Fetched { .. } => Ok(()),
        }
    }

    fn start(
        &mut self,
        at: Time,
        lane: (u16, u8, u8),
        cookie: u64,
        finish: Time,
    ) -> io::Result<()> {
        self.stop_work(at, lane)?;
        let Some(command) = self.commands.get(&(lane.0, cookie)) else {
            return Ok(());
        };
        let request = command.request;
        let flow = self.flow(request);
        let work = Work {
            start: at,
            finish,
            cookie,
            request,
            flow,
        };
        self.works.insert(lane, work);
        Ok(())
    }

    /// Writes what a lane worked on, until `at` if it is not done by then.
    fn stop_work(&mut self, at: Time, lane: (u16, u8, u8)) -> io::Result<()> {
        let Some(work) = self.works.remove(&lane) else {
            return Ok(());
        };
        let (card, group, number) = lane;
        let track = self.tracks.fixed(
            &mut self.out,
            Kind::Engine {
                card,
                group,
                lane: number,
            },
        )?;
        let end = work.finish.min(at).max(work.start);
        let args = [("cookie", work.cookie)];
        self.out
            .complete(track, work.start..end, command_name(work.request), &args)?;
        match work.flow {
            Some(flow) => self.out.flow_step(track, work.start, flow),
            None => Ok(()),
        }
    }

    /// Stops the works that `is_meant` picks.
    pub(super) fn stop_works(
        &mut self,
        at: Time,
        is_meant: impl Fn(&(u16, u8, u8), &Work) -> bool,
    ) -> io::Result<()> {
        let meant = self
            .works
            .iter()
            .filter(|(lane, work)| is_meant(lane, work));
        let lanes: Vec<(u16, u8, u8)> = meant.map(|(&lane, _)| lane).collect();
        lanes
            .into_iter()
            .try_for_each(|lane| self.stop_work(at, lane))
    }

    /// The flow of `request`, if it has begun and not ended.
    fn flow(&self, request: Option<u64>) -> Option<u64> {
        request.filter(|request| {
            self.flights
                .get(request)
                .is_some_and(|flight| flight.has_flow)
        })
    }

    fn complete(
        &mut self,
        at: Time,
        card: u16,
        cookie: u64,
        status: regs::Status,
    ) -> io::Result<()> {
        let Some(command) = self.commands.get_mut(&(card, cookie)) else {
            return Ok(());
        };
        if command.completion.is_some() {
            return Ok(());
        }
        let ring = command.ring;
        let lane = self
            .tracks
            .take(&mut self.out, Kind::Completion { card, ring })?;
        command.completion = Some(lane);
        let mut unusual = None;
        self.out.begin(
            lane.track,
            at,
            if status == regs::Status::Success {
                "Success"
            } else {
                unusual.insert(format!("{status:?}"))
            },
            &[("cookie", cookie)],
        )?;
        let request = command.request;
        match self.flow(request) {
            Some(flow) => self.out.flow_step(lane.track, at, flow),
            None => Ok(()),
        }
    }
}
