//! A device and a driver that have nothing to do with this project's card run on its bench, and are
//! what their tutorial shows.

mod device;
mod driver;

use std::ops::RangeInclusive;

use device::Loopback;
use driver::LoopbackDriver;
use sim::foreign::{Bench, Fault, Trial};
use sim::rule::{Fate, Message, Rule};
use timebase::Span;

const PAGE: &str = include_str!("../../docs/tutorial-device.md");
const SOURCES: [&str; 3] = [
    include_str!("device.rs"),
    include_str!("driver.rs"),
    include_str!("main.rs"),
];

fn us(from: u64, to: u64) -> RangeInclusive<Span> {
    Span::from_us(from)..=Span::from_us(to)
}

fn messages(kind: Message, fate: Fate) -> Fault {
    Fault::Messages(Rule::next(kind, fate))
}

#[test]
fn a_thousand_seeds_with_faults_lose_no_packet() {
    let bench = Bench::new(Loopback::default, || LoopbackDriver::new(60))
        .interrupt_jitter(Span::ZERO, Span::from_us(2))
        .write_jitter(Span::from_ns(400))
        .fault(us(0, 0), messages(Message::DmaRead, Fate::Refuse))
        .fault(us(0, 5), messages(Message::Interrupt, Fate::Double))
        .fault(us(5, 30), Fault::Unplug)
        .fault(us(31, 60), Fault::Plug)
        .drain_within(Span::from_us(200));
    let mut restarts = 0;
    for seed in 0..1_000 {
        let trial = bench.run(seed);
        trial.assert_passed();
        restarts += trial.driver.restarts;
        if seed % 50 == 0 {
            assert_eq!(trial.digest, bench.run(seed).digest, "{seed}");
        }
    }
    assert!(restarts >= 2_000, "each run begins anew: {restarts}");
}

#[test]
fn an_interrupt_that_is_lost_costs_time_and_no_packet() {
    let bench = Bench::new(Loopback::default, || LoopbackDriver::new(60))
        .fault(us(0, 20), messages(Message::Interrupt, Fate::Lose));
    let trials: Vec<Trial<_>> = (0..100).map(|seed| bench.run(seed)).collect();
    trials.iter().for_each(Trial::assert_passed);
    let rescued: u64 = trials.iter().map(|trial| trial.driver.rescued).sum();
    assert!(rescued >= 100, "{rescued}");
}

/// The first seed in which the careless driver loses an interrupt.
fn careless() -> Trial<LoopbackDriver> {
    let bench = Bench::new(Loopback::default, || LoopbackDriver::careless(60))
        .interrupt_jitter(Span::ZERO, Span::from_us(2))
        .write_jitter(Span::from_ns(400))
        .drain_within(Span::from_us(200));
    bench.first_failure(0..1_000).expect("a seed that finds it")
}

#[test]
fn a_driver_that_does_not_look_again_is_found_and_its_seed_finds_it_again() {
    let (one, two) = (careless(), careless());
    assert_eq!((one.seed, &one.digest), (two.seed, &two.digest));
    let shown = format!("```text\n{}```\n", one.complaint());
    assert!(PAGE.contains(&shown), "the page does not show\n{shown}");
}

#[test]
fn the_tutorial_shows_the_code_that_runs() {
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let sources = SOURCES.map(squeeze);
    let blocks: Vec<_> = PAGE.split("```rust\n").skip(1).collect();
    assert!(blocks.len() >= 6, "a tutorial has examples");
    for block in blocks {
        let (block, _) = block.split_once("```").expect("a block that ends");
        let is_there = sources.iter().any(|text| text.contains(&squeeze(block)));
        assert!(is_there, "in none of the files:\n{block}");
    }
}
