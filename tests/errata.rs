//! Every erratum needs its work-around, the work-around is enough, and other cards do not notice.
//!
//! Each erratum has a scenario that meets its condition. It runs with a card that has not the
//! erratum, with one that has it, and with one whose driver is told to ignore it; what is counted
//! is what the driver and the generic checkers see.

use device_model::CardEvent;
use driver::DriverEvent;
use regs::{Errata, Erratum};
use sim::event::Event;
use sim::input::Input;
use sim::outcome::Outcome;
use sim::scenario::{Action, FaultSpec, Scenario, Trigger};
use sim::world::{self, RunOptions};
use timebase::{Span, Time};

/// One card, and the software driver in case it fails.
const MACHINE: &str = "
software = true
drain_within_us = 200_000
[[card]]
";

/// What can be seen of a card that does something wrong.
#[derive(Debug, Default, Eq, PartialEq)]
struct Trouble {
    /// Times that the driver's watchdog found a ring standing still.
    watchdog: u64,
    resets: u64,
    /// Completions that named nothing in flight.
    strange: u64,
    /// Cards that were given up.
    lost: u64,
    /// Commands that ended with a DMA fault.
    faults: u64,
    /// Checkers that complained.
    violations: Vec<String>,
}

impl Trouble {
    fn of(outcome: &Outcome) -> Self {
        let mut trouble = Self::default();
        for record in &outcome.log {
            match record.event {
                Event::Driver { event, .. } => match event {
                    DriverEvent::Watchdog { .. } => trouble.watchdog += 1,
                    DriverEvent::Reset => trouble.resets += 1,
                    DriverEvent::Strange { .. } => trouble.strange += 1,
                    DriverEvent::Lost => trouble.lost += 1,
                    _ => {}
                },
                Event::Card {
                    event: CardEvent::DmaFault { .. },
                    ..
                } => trouble.faults += 1,
                _ => {}
            }
        }
        let violations = outcome.violations.iter();
        trouble.violations = violations.map(|of| of.check.clone()).collect();
        trouble.violations.dedup();
        trouble
    }
}

/// The scenario in which `erratum` strikes.
fn scenario(erratum: Errata) -> Scenario {
    let (card, workload) = match erratum {
        Errata::INTERRUPT_SATURATION => (
            "ring_pairs = 1\ncoalesce_count = 16\ncoalesce_timer_us = 50",
            "consumers = 8\ndepth = 8",
        ),
        Errata::SPURIOUS_INTERRUPT => (
            "ring_pairs = 1\ncoalesce_count = 1",
            "consumers = 1\ndepth = 1",
        ),
        Errata::SHORT_LAST_SEGMENT => (
            "ring_pairs = 1",
            "consumers = 4\ndepth = 4\nchain_percent = 60\nseparate_output_percent = 30",
        ),
        Errata::DOORBELL_COLLISION => ("ring_pairs = 2", "consumers = 8\ndepth = 4"),
        Errata::EARLY_STATUS => (
            "ring_pairs = 1\ncoalesce_count = 1\nring_entries = 16",
            "consumers = 4\ndepth = 4",
        ),
        _ => ("ring_pairs = 2", "consumers = 8\ndepth = 4"),
    };
    let sizes = match erratum {
        Errata::SHORT_LAST_SEGMENT => "sizes = [{ bytes = 60 }]",
        _ => "sizes = [{ bytes = 512 }, { bytes = 2_048 }]",
    };
    let suites = "suites = [\"aes-128-ctr\", \"aes-256-gcm\", \"hmac-sha256\"]";
    let pieces = match erratum {
        Errata::STALE_CONTEXT => "pieces = 4_000",
        _ => "pieces = 400",
    };
    let faults = match erratum {
        Errata::STALE_PREFETCH | Errata::RESET_WHILE_ENABLED => {
            "[[fault]]\nat_us = 40\nlatch = { card = \"card0\", kind = \"hang-engines\" }"
        }
        Errata::STALE_CONTEXT => {
            "[[card]]
            [[fault]]\nat_us = 20\nunplug = \"card1\"
            [[fault]]\nafter_previous_us = 20\nplug = \"card1\"
            [[fault]]\nafter_previous_us = 120\nrebalance = true
            [[fault]]\nafter_previous_us = 60\nunplug = \"card1\""
        }
        _ => "",
    };
    let name = erratum.names().next().expect("one erratum");
    let text = format!(
        "name = \"{name}\"{MACHINE}{card}\n[workload]\n{workload}\n{sizes}\n{suites}\n{pieces}\n{faults}"
    );
    Scenario::from_toml(&text, "errata.rs").unwrap_or_else(|error| panic!("{error}"))
}

fn run(scenario: &Scenario) -> Outcome {
    let options = RunOptions {
        keep_log: true,
        ..RunOptions::new(1, Input::project())
    };
    world::run(scenario, &options, &mut |_| {}).expect("a run that begins")
}

/// The trouble with a card that has `has`, whose driver ignores `ignored`.
fn trouble(mut scenario: Scenario, has: Errata, ignored: Errata) -> Trouble {
    scenario.cards[0].profile.errata = has;
    scenario.cards[0].ignore_errata = ignored;
    let outcome = run(&scenario);
    assert!(outcome.summary.requests > 400, "{}", scenario.name);
    Trouble::of(&outcome)
}

/// Whether a driver that ignores `erratum` fails as the sheet says, compared with one `without`.
fn fails(erratum: Errata, without: &Trouble, seen: &Trouble) -> bool {
    match erratum {
        Errata::INTERRUPT_SATURATION
        | Errata::SPURIOUS_INTERRUPT
        | Errata::DOORBELL_COLLISION
        | Errata::RESET_CLEARS_VECTORS
        | Errata::VECTOR_ORDER => seen.watchdog > without.watchdog,
        Errata::STALE_PREFETCH => seen.strange > 0 || seen.resets > without.resets,
        Errata::SHORT_LAST_SEGMENT => seen.faults > 0 && !seen.violations.is_empty(),
        Errata::EARLY_STATUS => seen.strange > 0 && seen.resets > without.resets,
        Errata::EARLY_READY => seen.resets > without.resets && seen.lost > without.lost,
        Errata::RESET_WHILE_ENABLED | Errata::POLLED_RESET => seen.lost > without.lost,
        Errata::STALE_CONTEXT => seen.violations == ["data right"],
        other => panic!("no failure known of {other:?}"),
    }
}

#[test]
fn without_its_work_around_each_erratum_does_harm_and_with_it_none() {
    let mut broken = Vec::new();
    for erratum in Erratum::SHEET {
        let (name, flag) = (erratum.name, erratum.flag);
        let scenario = scenario(flag);
        let without = trouble(scenario.clone(), Errata::empty(), Errata::empty());
        assert!(without.violations.is_empty(), "{name}: {without:?}");
        let avoided = trouble(scenario.clone(), flag, Errata::empty());
        let ignored = trouble(scenario, flag, flag);
        println!("{name}:\n  without {without:?}\n  avoided {avoided:?}\n  ignored {ignored:?}");
        if avoided != without {
            broken.push(format!("{name} is not worked around: {avoided:?}"));
        }
        if !fails(flag, &without, &ignored) {
            broken.push(format!("{name} does no harm: {ignored:?}"));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn a_card_with_every_erratum_hangs_once_and_is_as_good_as_another() {
    let mut scenario = Scenario::builtin("errata").expect("a built-in scenario");
    let outcome = run(&scenario);
    let trouble = Trouble::of(&outcome);
    assert!(outcome.passed(), "{:#?}", outcome.violations);
    assert_eq!((trouble.resets, trouble.lost), (1, 1), "{trouble:?}");
    assert_eq!((trouble.strange, trouble.faults), (0, 0), "{trouble:?}");

    // The same without work-arounds: the driver gives up one card after the other.
    for card in &mut scenario.cards {
        assert_eq!(card.profile.errata, Errata::all());
        card.ignore_errata = Errata::all();
    }
    let trouble = Trouble::of(&run(&scenario));
    assert!(trouble.lost > 1, "{trouble:?}");
}

#[test]
fn a_card_with_every_erratum_can_be_pulled_out_at_any_moment() {
    let mut scenario = Scenario::builtin("errata").expect("a built-in scenario");
    scenario.workload.pieces = Some(60);
    scenario.expect.clear();
    for step in 0..150 {
        let at = Time::ZERO + Span::from_ps(step * 611_953);
        let actions = [
            (Trigger::At(at), Action::Unplug { card: 0 }),
            (
                Trigger::AfterPrevious(Span::from_us(3)),
                Action::Plug { card: 0 },
            ),
            (
                Trigger::AfterPrevious(Span::from_us(step % 90)),
                Action::Unplug { card: 1 },
            ),
        ];
        let faults = actions.map(|(trigger, action)| FaultSpec::new(trigger, action));
        scenario.faults = faults.to_vec();
        let outcome = run(&scenario);
        assert!(
            outcome.passed(),
            "pulled at {at}: {:#?}",
            outcome.violations
        );
        assert_eq!(outcome.summary.pieces, 60, "pulled at {at}");
    }
}
