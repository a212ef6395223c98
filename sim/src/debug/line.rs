//! An event as a line of words, made to be looked for: what has a name stands as `name=value`.

use device_model::CardEvent;
use driver::DriverEvent;
use regs::{RingId, Target};

use crate::event::{Event, OUTCOMES, Record};

/// The line of `record`; cards are called by `names`.
pub(crate) fn of(names: &[String], record: &Record) -> String {
    let name = |card: u16| match names.get(usize::from(card)) {
        Some(name) => name.as_str(),
        None => "software",
    };
    let what = match record.event {
        Event::Driver { card, event } => format!("{} driver {}", name(card), of_driver(event)),
        Event::Card { card, event } => format!("{} card {}", name(card), of_card(event)),
        Event::WriteArrived {
            card,
            offset,
            value,
        } => format!("{} write {} value={value:#x}", name(card), register(offset)),
        Event::InterruptArrived { card, vector } => {
            format!("{} interrupt vector={vector}", name(card))
        }
        Event::DmaRefused {
            card,
            addr,
            is_write,
            reason,
        } => {
            let access = if is_write { "write" } else { "read" };
            let addr = addr.0;
            format!(
                "{} refused access={access} address={addr:#x} reason={reason:?}",
                name(card)
            )
        }
        Event::Unplugged { card } => format!("{} unplugged", name(card)),
        Event::Plugged { card } => format!("{} plugged", name(card)),
        Event::Registered { driver, card } => {
            format!("{} registered driver={driver}", name(card))
        }
        other => of_framework(other),
    };
    format!("{:>14}  {what}", record.at.to_string())
}

fn of_framework(event: Event) -> String {
    match event {
        Event::Dispatch {
            request,
            consumer,
            session,
            bytes,
        } => {
            let by = format!("request={request} consumer={consumer}");
            format!("dispatch {by} session={session:#x} bytes={bytes}")
        }
        Event::Callback {
            request,
            consumer,
            outcome,
        } => {
            let outcome = OUTCOMES.get(usize::from(outcome)).unwrap_or(&"unknown");
            let outcome = outcome.replace(' ', "-");
            format!("callback request={request} consumer={consumer} outcome={outcome}")
        }
        Event::Blocked { driver } => format!("blocked driver={driver}"),
        Event::Unblocked { driver } => format!("unblocked driver={driver}"),
        Event::SessionOpened { session, driver } => {
            format!("opened session={session:#x} driver={driver}")
        }
        Event::SessionMoved {
            from,
            to,
            driver,
            reason,
            ..
        } => {
            format!("moved session={from:#x} to={to:#x} driver={driver} reason={reason:?}")
        }
        Event::Resubmitted { request } => format!("resubmitted request={request}"),
        Event::DriverLost { driver } => format!("lost driver={driver}"),
        other => format!("{other:?}"),
    }
}

fn of_driver(event: DriverEvent) -> String {
    match event {
        DriverEvent::Posted {
            ring,
            slot,
            cookie,
            request,
        } => {
            let request = request.map_or("admin".to_owned(), |id| format!("request={id}"));
            format!(
                "posted ring={} slot={slot} cookie={cookie:#x} {request}",
                ring.0
            )
        }
        DriverEvent::Reaped { ring, slot, cookie } => {
            format!("reaped ring={} slot={slot} cookie={cookie:#x}", ring.0)
        }
        DriverEvent::Strange { ring, cookie } => {
            format!("strange ring={} cookie={cookie:#x}", ring.0)
        }
        DriverEvent::Refused { ring } => format!("refused ring={}", ring.0),
        DriverEvent::Watchdog { ring } => format!("watchdog ring={}", ring.0),
        DriverEvent::Reset => "reset".to_owned(),
        DriverEvent::Lost => "lost".to_owned(),
    }
}

fn of_card(event: CardEvent) -> String {
    match event {
        CardEvent::Doorbell { ring, tail } => format!("doorbell ring={} tail={tail}", ring.0),
        CardEvent::Fetched { ring, first, count } => {
            format!("fetched ring={} first={first} count={count}", ring.0)
        }
        CardEvent::Started {
            ring,
            cookie,
            group,
            lane,
            finish,
        } => format!(
            "started ring={} cookie={cookie:#x} group={group} lane={lane} until={}",
            ring.0,
            finish.to_string().replace(' ', "")
        ),
        CardEvent::Completed {
            ring,
            slot,
            cookie,
            status,
        } => format!(
            "completed ring={} slot={slot} cookie={cookie:#x} status={status:?}",
            ring.0
        ),
        CardEvent::Interrupt { ring, vector } => {
            format!("interrupt ring={} vector={}", ring.0, vector.0)
        }
        CardEvent::DmaFault {
            ring,
            addr,
            is_write,
        } => {
            let access = if is_write { "write" } else { "read" };
            format!(
                "fault ring={} access={access} address={:#x}",
                ring.0, addr.0
            )
        }
        CardEvent::SessionCreated { session } => format!("created session={session}"),
        CardEvent::SessionRekeyed { session } => format!("rekeyed session={session}"),
        CardEvent::SessionDestroyed { session } => format!("destroyed session={session}"),
        CardEvent::Reset => "reset".to_owned(),
        CardEvent::FunctionReset { function } => format!("reset function={}", function.0),
        CardEvent::ErrorMessage { function, message } => {
            format!("error function={} message={message:?}", function.0)
        }
    }
}

fn register(offset: u32) -> String {
    match regs::decode(offset, RingId(u16::MAX)) {
        Some(Target::Control(register)) => format!("register={register:?}"),
        Some(Target::Ring(ring, register)) => format!("register={register:?} ring={}", ring.0),
        Some(Target::CommandDoorbell(ring)) => format!("register=CommandDoorbell ring={}", ring.0),
        Some(Target::CompletionDoorbell(ring)) => {
            format!("register=CompletionDoorbell ring={}", ring.0)
        }
        None => format!("offset={offset:#x}"),
    }
}
