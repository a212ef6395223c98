use std::num::NonZero;
use std::ops::ControlFlow;

use super::*;
use crate::case::Data;
use crate::input::Input;
use crate::scenario::Scenario;
use crate::sweep::{self, Header, Plan, SeedResult, Sweep};
use crate::world::{self, RunOptions};

fn scenario(faults: &str) -> Scenario {
    let text = Scenario::builtin("single").expect("built in").to_toml();
    let mut scenario = Scenario::from_toml(&(text + faults), "test").expect("a scenario");
    scenario.cards[0].watchdog = Span::from_us(300);
    scenario
}

fn covered(faults: &str) -> Coverage {
    let options = RunOptions {
        coverage: true,
        ..RunOptions::new(3, Input::noise(1 << 16))
    };
    let outcome = world::run(&scenario(faults), &options, &mut |_| {}).expect("a run");
    outcome.coverage.expect("coverage was asked for")
}

const HANG: &str = "[[fault]]\nat_us = 30\nlatch = { card = \"card0\", kind = \"hang-engines\" }\n";

#[test]
fn a_hang_strikes_a_running_driver_and_leads_through_its_recovery() {
    let coverage = covered(HANG);
    let hang = "latch hang-engines";
    let at_work = [Card::Waiting, Card::Working, Card::Idle];
    let struck: Vec<u64> = at_work
        .iter()
        .map(|&card| coverage.visits((Driver::Running, card), hang))
        .collect();
    assert_eq!(struck.iter().sum::<u64>(), 1, "{coverage:#?}");
    for pair in [
        (Driver::Resetting, Card::Off),
        (Driver::Running, Card::Working),
        (Driver::Running, Card::Idle),
        (Driver::Stalled, Card::Waiting),
        (Driver::Restoring, Card::Idle),
        (Driver::Detaching, Card::Idle),
    ] {
        assert!(coverage.pairs().contains(&pair), "{pair:?}: {coverage:#?}");
    }
    // The card was never pulled out, and nothing struck while it was reset.
    for pair in [
        (Driver::Lost, Card::Absent),
        (Driver::Running, Card::Absent),
        (Driver::Restoring, Card::Absent),
    ] {
        assert!(coverage.never_entered().contains(&pair), "{pair:?}");
    }
    let never = coverage.never_struck(hang);
    assert!(never.contains(&(Driver::Resetting, Card::Off)), "{never:?}");
    assert_eq!(coverage.never_struck("unplug"), coverage.pairs());
}

#[test]
fn a_removal_is_seen_on_both_sides() {
    let coverage = covered(
        "[[fault]]\nat_us = 30\nunplug = \"card0\"\n\
         [[fault]]\nafter_previous_us = 40\nplug = \"card0\"\n",
    );
    let gone = [
        (Driver::Running, Card::Absent),
        (Driver::Lost, Card::Absent),
        (Driver::Absent, Card::Absent),
    ];
    for pair in gone {
        assert!(coverage.pairs().contains(&pair), "{pair:?}: {coverage:#?}");
    }
    assert_eq!(coverage.visits((Driver::Absent, Card::Absent), "plug"), 1);
    assert_eq!(coverage.visits((Driver::Absent, Card::Absent), "unplug"), 0);
}

#[test]
fn a_run_that_was_not_asked_has_no_coverage_and_the_same_digest() {
    let options = RunOptions::new(3, Input::noise(1 << 16));
    let plain = world::run(&scenario(HANG), &options, &mut |_| {}).expect("a run");
    assert!(plain.coverage.is_none());
    let options = RunOptions {
        coverage: true,
        ..options
    };
    let asked = world::run(&scenario(HANG), &options, &mut |_| {}).expect("a run");
    assert_eq!(asked.summary.digest, plain.summary.digest);
}

fn plan(shard: u64, shards: u64) -> Plan {
    let mut scenario = Scenario::builtin("swarm").expect("built in");
    scenario.workload.pieces = Some(100);
    scenario.expect.clear();
    Plan {
        scenario,
        data: Data::Noise(1 << 14),
        first: 7,
        count: 12,
        shard,
        shards,
        coverage: true,
    }
}

fn swept(plan: &Plan, jobs: u16) -> Sweep {
    let jobs = NonZero::new(jobs).expect("a number of threads");
    let mut text = Header::of(plan).line();
    sweep::run(plan, 0, jobs, &mut |result: SeedResult| {
        text += &result.line();
        ControlFlow::Continue(())
    })
    .expect("noise");
    Sweep::read(text.as_bytes()).expect("a results file")
}

#[test]
fn neither_threads_nor_shards_show_on_the_page() {
    let page = |sweep: &Sweep| render("swarm", &sweep.coverage().expect("asked for"));
    let one = swept(&plan(1, 1), 1);
    let two = swept(&plan(1, 1), 2);
    assert_eq!(page(&one), page(&two));
    let shards = [swept(&plan(2, 2), 2), swept(&plan(1, 2), 1)];
    let merged = sweep::merge(shards.into()).expect("both shards");
    assert_eq!(merged.text(), one.text());
    assert_eq!(page(&merged), page(&one));
    let coverage = one.coverage().expect("asked for");
    assert!(coverage.pairs().len() > 10, "{coverage:#?}");
}

#[test]
fn a_sweep_without_coverage_has_none_to_show() {
    let plan = Plan {
        coverage: false,
        count: 2,
        ..plan(1, 1)
    };
    let sweep = swept(&plan, 1);
    assert!(sweep.coverage().is_none());
    assert!(!sweep.text().contains("coverage"));
}

#[test]
fn the_page_shows_what_was_visited_and_lists_what_was_not() {
    let page = render("hang & co", &covered(HANG));
    assert!(page.contains("Coverage of hang &amp; co"));
    let (_, never) = page.split_once("Never visited").expect("the list");
    for said in [
        "<code>lost / absent</code>",
        "<code>unplug</code>",
        "latch hang-engines never struck in these pairs",
        "<code>resetting / off</code>",
    ] {
        assert!(never.contains(said), "{said}");
    }
    assert!(!never.contains("<code>latch hang-engines</code>"));
    for outside in ["http:", "https:", "src=", "href=", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn every_fault_of_the_swarm_is_of_a_kind_that_is_listed() {
    let kinds = kinds();
    let mut sorted = kinds.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), kinds.len(), "each once");
    for fault in Scenario::builtin("swarm").expect("built in").faults {
        let kind = kind(&fault.action);
        assert!(kinds.contains(&kind), "{kind}");
    }
}
