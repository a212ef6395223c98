use device_model::CardEvent;
use driver::DriverEvent;
use regs::{Slot, Status, Vector};
use serde_json::Value;
use timebase::Span;

use super::*;
use crate::input::Input;
use crate::world::{self, RunOptions};

fn scenario() -> Scenario {
    Scenario::builtin("failover").expect("built in")
}

fn trace(log: &[Record]) -> Vec<Value> {
    let mut out = Vec::new();
    write(&mut out, &scenario(), log).expect("a vector takes all");
    let whole: Value = serde_json::from_slice(&out).expect("JSON");
    whole["traceEvents"].as_array().expect("a list").clone()
}

fn at(ns: u64, event: Event) -> Record {
    Record {
        at: Time::ZERO + Span::from_ns(ns),
        event,
    }
}

fn dispatch(ns: u64, request: u64) -> Record {
    at(
        ns,
        Event::Dispatch {
            request,
            consumer: 3,
            session: 9,
            bytes: 4_096,
        },
    )
}

fn callback(ns: u64, request: u64, outcome: u8) -> Record {
    at(
        ns,
        Event::Callback {
            request,
            consumer: 3,
            outcome,
        },
    )
}

fn posted(ns: u64, card: u16, cookie: u64, request: Option<u64>) -> Record {
    let (ring, slot) = (RingId(1), Slot(cookie as u32 % 8));
    at(
        ns,
        Event::Driver {
            card,
            event: DriverEvent::Posted {
                ring,
                slot,
                cookie,
                request,
            },
        },
    )
}

fn started(ns: u64, card: u16, cookie: u64, finish: u64) -> Record {
    let finish = Time::ZERO + Span::from_ns(finish);
    let event = CardEvent::Started {
        ring: RingId(1),
        cookie,
        group: 0,
        lane: 2,
        finish,
    };
    at(ns, Event::Card { card, event })
}

fn completed(ns: u64, card: u16, cookie: u64) -> Record {
    let (ring, slot, status) = (RingId(1), Slot(0), Status::Success);
    at(
        ns,
        Event::Card {
            card,
            event: CardEvent::Completed {
                ring,
                slot,
                cookie,
                status,
            },
        },
    )
}

fn reaped(ns: u64, card: u16, cookie: u64) -> Record {
    let (ring, slot) = (RingId(1), Slot(0));
    at(
        ns,
        Event::Driver {
            card,
            event: DriverEvent::Reaped { ring, slot, cookie },
        },
    )
}

/// Request 1 goes through card 0; request 2 is on card 0 when that is pulled out, and moves to card
/// 1.
fn failover() -> Vec<Record> {
    let (card, driver) = (0, 0);
    let ring = RingId(1);
    let sent = CardEvent::Interrupt {
        ring,
        vector: Vector(1),
    };
    let lost = DriverEvent::Lost;
    vec![
        at(0, Event::Registered { driver, card }),
        at(
            0,
            Event::Registered {
                driver: 2,
                card: SOFTWARE,
            },
        ),
        at(0, Event::SessionOpened { session: 9, driver }),
        dispatch(1_000, 1),
        dispatch(1_010, 2),
        posted(1_100, 0, 70, Some(1)),
        posted(1_150, 0, 71, Some(2)),
        at(1_160, Event::Blocked { driver }),
        at(1_200, written(0x1_0008)),
        started(2_000, 0, 70, 2_400),
        // The card's own time runs behind here.
        started(1_950, 0, 70, 2_000),
        started(2_400, 0, 71, 9_000),
        completed(2_500, 0, 70),
        at(2_600, Event::Card { card, event: sent }),
        at(2_700, Event::InterruptArrived { card, vector: 1 }),
        reaped(2_800, 0, 70),
        at(2_810, Event::Unblocked { driver }),
        callback(3_001, 1, 0),
        at(3_500, Event::Unplugged { card }),
        completed(3_600, 0, 71),
        at(4_000, Event::Driver { card, event: lost }),
        at(4_010, Event::DriverLost { driver }),
        at(4_020, moved(1)),
        at(4_030, Event::Resubmitted { request: 2 }),
        posted(4_100, 1, 70, Some(2)),
        started(4_500, 1, 70, 4_800),
        completed(4_900, 1, 70),
        reaped(5_000, 1, 70),
        callback(5_100, 2, 0),
        at(6_000, Event::Plugged { card }),
        dispatch(6_100, 3),
    ]
}

fn written(offset: u32) -> Event {
    Event::WriteArrived {
        card: 0,
        offset,
        value: 2,
    }
}

fn moved(driver: u32) -> Event {
    Event::SessionMoved {
        from: 9,
        to: 9,
        driver,
        from_driver: 7,
        reason: framework::MoveReason::Asked,
    }
}

fn ns(value: &Value) -> i64 {
    (value.as_f64().expect("a number") * 1_000.0).round() as i64
}

/// What the checks below say of a trace that is in order.
#[derive(Debug, Default, Eq, PartialEq)]
struct Census {
    slices: usize,
    flows: usize,
}

/// Holds a trace against the rules of the format, as a viewer reads it: in order of time.
fn check(events: &[Value]) -> Census {
    let mut named = BTreeMap::new();
    for event in events.iter().filter(|event| event["ph"] == "M") {
        if event["name"] == "thread_name" {
            let name = event["args"]["name"].as_str().expect("a name").to_owned();
            named.insert((event["pid"].as_u64(), event["tid"].as_u64()), name);
        }
    }
    let mut timed: Vec<&Value> = events.iter().filter(|event| event["ph"] != "M").collect();
    timed.sort_by_key(|event| ns(&event["ts"]));

    let mut census = Census::default();
    let mut open: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
    let mut flows: BTreeMap<u64, bool> = BTreeMap::new();
    for event in timed {
        let now = ns(&event["ts"]);
        let phase = event["ph"].as_str().expect("a phase");
        if phase == "C" {
            assert!(event["args"]["value"].is_u64(), "{event}");
            continue;
        }
        let thread = event["tid"].as_u64().expect("a track");
        let key = (event["pid"].as_u64(), Some(thread));
        assert!(named.contains_key(&key), "a track without a name: {event}");
        let slices = open.entry(thread).or_default();
        // A slice of known length ends by itself; its end is kept, that of others is not yet known.
        let is_over = |end: &i64| *end < now || (*end == now && phase != "t");
        if slices.last().is_some_and(is_over) {
            slices.pop();
        }
        match phase {
            "B" | "X" => {
                assert!(slices.is_empty(), "slices overlap: {event}");
                let end = if phase == "X" {
                    now + ns(&event["dur"])
                } else {
                    i64::MAX
                };
                slices.push(end);
                census.slices += 1;
            }
            "E" => assert_eq!(
                slices.pop(),
                Some(i64::MAX),
                "an end without a beginning: {event}"
            ),
            "i" => {}
            "s" | "t" | "f" => {
                assert!(!slices.is_empty(), "a flow outside a slice: {event}");
                let id = event["id"].as_u64().expect("an id");
                let before = flows.insert(id, phase != "f");
                assert_eq!(before, (phase != "s").then_some(true), "{event}");
                census.flows += usize::from(phase == "f");
            }
            _ => panic!("unknown phase: {event}"),
        }
    }
    assert!(
        open.values().flatten().all(|&end| end < i64::MAX),
        "a slice without an end"
    );
    assert!(
        flows.values().all(|&is_open| !is_open),
        "a flow without an end"
    );
    census
}

#[test]
fn every_slice_ends_and_every_flow_arrives() {
    let census = check(&trace(&failover()));
    // Two presences of card0, one of card1; three requests; three commands with their engine work,
    // two completions; the work that ran in the past; one block.
    assert_eq!(
        census,
        Census {
            slices: 3 + 3 + 3 + 4 + 2 + 1,
            flows: 2
        }
    );
}

#[test]
fn a_trace_can_be_cut_anywhere() {
    let log = failover();
    for len in 0..=log.len() {
        check(&trace(&log[..len]));
    }
    for start in 0..log.len() {
        check(&trace(&log[start..]));
    }
}

#[test]
fn a_flow_leads_from_consumer_over_ring_and_engine_back_to_the_consumer() {
    let events = trace(&failover());
    let mut names = BTreeMap::new();
    for event in events.iter().filter(|event| event["name"] == "thread_name") {
        names.insert(
            event["tid"].as_u64(),
            event["args"]["name"].as_str().expect("a name"),
        );
    }
    let mut steps: Vec<&Value> = events
        .iter()
        .filter(|event| event["cat"] == "request" && event["id"] == 2)
        .collect();
    steps.sort_by_key(|event| ns(&event["ts"]));
    let way: Vec<&str> = steps
        .iter()
        .map(|event| names[&event["tid"].as_u64()])
        .collect();
    assert_eq!(
        way,
        [
            "consumer 03, request 01",
            "ring 1, command 01",
            "cipher engine 02",
            "ring 1, command 00",
            "cipher engine 02",
            "ring 1, completion 00",
            "consumer 03, request 01",
        ]
    );
}

#[test]
fn a_flow_begins_even_if_the_dispatch_is_told_after_the_post() {
    let log = [
        posted(1_000, 0, 70, Some(1)),
        dispatch(1_000, 1),
        started(1_500, 0, 70, 1_900),
        completed(2_000, 0, 70),
        reaped(2_500, 0, 70),
        callback(2_500, 1, 0),
    ];
    let census = check(&trace(&log));
    // Two presences, and request, command, work and completion.
    assert_eq!(
        census,
        Census {
            slices: 6,
            flows: 1
        }
    );
}

#[test]
fn a_card_that_is_pulled_out_stops_its_engines_at_once() {
    let events = trace(&failover());
    let is_cut = |event: &&Value| event["ph"] == "X" && event["name"] == "request 2";
    let cut = events.iter().find(is_cut).expect("work on request 2");
    assert_eq!((ns(&cut["ts"]), ns(&cut["dur"])), (2_400, 1_100));
}

#[test]
fn nanoseconds_survive() {
    let events = trace(&failover());
    let end = events
        .iter()
        .find(|event| event["args"]["end"] == "ok")
        .expect("a callback");
    assert_eq!(end["ts"].to_string(), "3.001");
}

#[test]
fn names_are_quoted() {
    let mut scenario = scenario();
    scenario.cards[0].name = "a\"b\\c".to_owned();
    let mut out = Vec::new();
    write(&mut out, &scenario, &failover()).expect("a vector takes all");
    let whole: Value = serde_json::from_slice(&out).expect("JSON");
    let events = whole["traceEvents"].as_array().expect("a list");
    assert!(
        events
            .iter()
            .any(|event| event["args"]["name"] == "a\"b\\c")
    );
}

#[test]
fn a_log_of_any_order_gives_a_trace_in_order() {
    let log = failover();
    for step in [3, 7, 11, 13] {
        let mixed: Vec<Record> = (0..log.len())
            .map(|at| log[at * step % log.len()])
            .collect();
        check(&trace(&mixed));
        let untimed: Vec<Record> = mixed
            .iter()
            .map(|record| Record {
                at: Time::ZERO,
                ..*record
            })
            .collect();
        check(&trace(&untimed));
    }
}

#[test]
fn real_runs_give_traces_in_order() {
    for scenario in crate::scenario::builtins() {
        let mut short = scenario;
        let most = short.workload.pieces.unwrap_or(u64::MAX).min(400);
        short.workload.pieces = Some(most);
        let options = RunOptions {
            keep_log: true,
            ..RunOptions::new(1, Input::project())
        };
        let outcome = world::run(&short, &options, &mut |_| ()).expect("a run");
        let mut out = Vec::new();
        write(&mut out, &short, &outcome.log).expect("a vector takes all");
        let whole: Value = serde_json::from_slice(&out).expect("JSON");
        let census = check(whole["traceEvents"].as_array().expect("a list"));
        let by_cards = outcome
            .summary
            .drivers
            .iter()
            .filter(|driver| driver.name != "software");
        let by_cards: u64 = by_cards.map(|driver| driver.requests).sum();
        assert!(
            census.flows as u64 >= by_cards,
            "{}: {census:?}",
            short.name
        );
    }
}
