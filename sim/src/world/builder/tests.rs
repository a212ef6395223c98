//! What is built is a scenario, and says so when it is none.

use device_model::Latch;

use super::*;
use crate::rule::{Fate, Holds, Message};
use crate::scenario::Moment;

/// A card that goes and comes back.
fn a_departure() -> Builder {
    World::builder()
        .name("departure")
        .card(card("reference").ring_entries(8))
        .card(card("slow").named("left"))
        .sizes([64, 2_048])
        .pieces(60)
        .fault(after_requests(20), unplug("card0"))
        .fault(later(Span::from_us(40)), plug("card0"))
        .expect(Count::Unplugs, 1..=1)
}

#[test]
fn what_is_built_can_be_written_down_and_is_the_same_scenario() {
    let everything = a_departure()
        .software()
        .interrupt_jitter(Span::from_ns(100), Span::from_ns(400))
        .write_jitter(Span::from_ns(50))
        .memory_jitter(Span::from_ns(80))
        .drain_within(Span::from_ms(20))
        .consumers(3)
        .depth(2)
        .suites(["sha256", "aes-128-cbc"])
        .transparent_percent(100)
        .placement(Placement::Any)
        .card(
            card("ideal")
                .ring_pairs(2)
                .absent()
                .watchdog(Span::from_ms(1)),
        )
        .card(card("ideal").coalescing(1, Span::from_us(2)))
        .fault(at(Span::from_ns(700)), rebalance())
        .fault(ring_full("card0", 2), detach("left"))
        .fault(
            at(Span::from_us(5)),
            message("card0", Message::Interrupt, Fate::Delay(Span::from_ns(9)))
                .from_nth(2)
                .count(3)
                .one_in(4)
                .places(0, 1),
        )
        .fault(
            at(Span::from_us(6)),
            latch("left", Latch::named("drop-completion", 0).unwrap()),
        )
        .fault(on_event("card0", Moment::Completed, 3), reset("card0"))
        .in_percent(40)
        .may_idle()
        .fault(
            on_message("left", Message::DmaRead, 2)
                .bytes(64)
                .holding(Holds {
                    at: 0,
                    stride: 64,
                    mask: 0xFF,
                    value: 1,
                }),
            sleep("left"),
        )
        .fault(later(Span::from_us(9)), wake("left"))
        .fault(
            at(Span::from_us(7)),
            interrupts("card0", 1, 5, Span::from_ns(300)),
        )
        .fault(at(Span::from_us(8)), stray_write("card0", 0x40, 7));
    let scenario = everything.scenario().unwrap();
    assert_eq!((scenario.cards.len(), scenario.faults.len()), (4, 11));
    let with = |fault: &crate::scenario::FaultSpec| (fault.percent, fault.may_idle);
    let said: Vec<_> = scenario.faults[5..8].iter().map(with).collect();
    assert_eq!(said, [(100, false), (40, true), (100, false)]);
    assert_eq!(scenario.workload.suites.len(), 2);
    let written = Scenario::from_toml(&scenario.to_toml(), "written").unwrap();
    assert_eq!(written, scenario);
}

#[test]
fn a_built_scenario_runs_as_its_file_does() {
    let builder = a_departure().seed(3);
    let runs = builder.run().unwrap();
    runs.assert_passed();
    let text = builder.scenario().unwrap().to_toml();
    let case = Case {
        exhibit: None,
        scenario: Scenario::from_toml(&text, "text").unwrap(),
        seed: 3,
        data: Data::Noise(NOISE),
    };
    let outcome = case.run(&case.data.read().unwrap(), false).unwrap();
    assert_eq!(outcome.summary.digest, runs.outcomes()[0].summary.digest);
}

#[test]
fn seeds_are_runs_of_their_own() {
    let runs = a_departure().seeds(5..8).run().unwrap();
    let seeds: Vec<u64> = runs.outcomes().iter().map(|it| it.summary.seed).collect();
    assert_eq!(seeds, [5, 6, 7]);
    let digest = |at: usize| &runs.outcomes()[at].summary.digest;
    assert_ne!(digest(0), digest(1));
}

#[test]
fn a_failure_says_what_was_found_and_how_to_replay_it() {
    let wrong = Latch::named("corrupt-output", 0).unwrap();
    let builder = a_departure().fault(at(Span::ZERO), latch("card0", wrong));
    let runs = builder.seeds(2..4).run().unwrap();
    let panic = std::panic::catch_unwind(|| runs.assert_passed()).unwrap_err();
    let text = panic.downcast::<String>().unwrap();
    assert!(
        text.starts_with("2 of 2 seeds failed, the first is 2\n"),
        "{text}"
    );
    let (_, file) = text.split_once("# ringside replay").unwrap();
    let replay = Replay::from_toml(&format!("#{file}"), "panic").unwrap();
    assert_eq!(Some(&replay), runs.replay().as_ref());
    let outcome = replay
        .case
        .run(&replay.case.data.read().unwrap(), false)
        .unwrap();
    assert!(replay.is_same(&outcome));
}

#[test]
fn what_is_no_scenario_is_found_by_the_reader_of_scenarios() {
    let complaint = |builder: Builder| format!("{:?}", builder.run().unwrap_err());
    for (builder, expected) in [
        (World::builder(), "no driver"),
        (
            World::builder().card("refrence"),
            "did you mean `reference`?",
        ),
        (
            a_departure().suites(["aes-128-gmc"]),
            "unknown suite `aes-128-gmc`",
        ),
        (
            a_departure().fault(at(Span::ZERO), unplug("card1")),
            "card1",
        ),
        (a_departure().expect(Count::Plugs, 3..3), "at_least"),
        (a_departure().pieces(u64::MAX), "pieces"),
        (a_departure().toml("[[card"), ORIGIN),
        (a_departure().toml("colour = 1"), "colour"),
        (
            a_departure().card(card("slow").named("left")),
            "a second card `left`",
        ),
    ] {
        let text = complaint(builder);
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn what_has_no_method_is_said_as_in_a_file() {
    let text = "[workload]\nchain_percent = 25\n[[fault]]\nat_us = 3\nrebalance = true\n";
    let scenario = a_departure().toml(text).scenario().unwrap();
    assert_eq!(scenario.workload.chain_percent, 25);
    assert_eq!(
        (scenario.workload.pieces, scenario.faults.len()),
        (Some(60), 3)
    );
}
