use std::num::NonZero;
use std::ops::ControlFlow;

use device_model::Latch;
use timebase::{Span, Time};

use super::*;
use crate::scenario::{Action, FaultSpec, Trigger};

/// A small failover in which some seeds fail: a wrong byte in a command that not all of them have.
fn plan(count: u64, shard: u64, shards: u64) -> Plan {
    let mut scenario = Scenario::builtin("failover").expect("built in");
    scenario.workload.pieces = Some(30);
    scenario.pool_len = 4 << 20;
    scenario.expect.clear();
    scenario.faults = vec![FaultSpec::new(
        Trigger::At(Time::ZERO + Span::from_us(1)),
        Action::Latch {
            card: 0,
            latch: Latch::CorruptOutput { nth: 26 },
        },
    )];
    Plan {
        scenario,
        data: Data::Noise(16_384),
        first: 100,
        count,
        shard,
        shards,
        coverage: false,
    }
}

fn sweep(plan: &Plan, jobs: u16) -> Sweep {
    let mut results = Vec::new();
    let jobs = NonZero::new(jobs).expect("a number of threads");
    run(plan, 0, jobs, &mut |result| {
        results.push(result);
        ControlFlow::Continue(())
    })
    .expect("noise");
    let text: String = results.iter().map(SeedResult::line).collect();
    let text = Header::of(plan).line() + &text;
    Sweep::read(text.as_bytes()).expect("a results file")
}

#[test]
fn threads_do_not_show_in_the_results() {
    let one = sweep(&plan(24, 1, 1), 1);
    let failed = one.results.iter().filter(|it| it.finding.is_some()).count();
    assert!((1..24).contains(&failed), "{failed} of 24 failed");
    for jobs in [2, 5] {
        assert_eq!(sweep(&plan(24, 1, 1), jobs), one);
    }
}

#[test]
fn shards_together_are_the_sweep_in_one_piece() {
    let whole = sweep(&plan(10, 1, 1), 2);
    let shards: Vec<Sweep> = [3, 1, 2].map(|it| sweep(&plan(10, it, 3), 2)).into();
    let merged = merge(shards.clone()).expect("all shards");
    assert_eq!(merged.text(), whole.text());
    let refusal = |shards| merge(shards).expect_err("not all shards").to_string();
    assert_eq!(refusal(shards[..1].to_vec()), "missing of 3: shard 1, 2");
    let twice = vec![shards[0].clone(), shards[0].clone()];
    assert_eq!(refusal(twice), "shard 3 of 3 is there twice");
    let mut short = shards.clone();
    short[1].results.truncate(2);
    assert_eq!(
        refusal(short),
        "shard 1 of 3 is not complete: seed 106 is missing, and 1 more"
    );
    let mut huge = shards.clone();
    huge.truncate(1);
    (huge[0].header.shard, huge[0].header.shards) = (u64::MAX, u64::MAX);
    huge[0].results.clear();
    assert!(refusal(huge).starts_with("missing of 18446744073709551615: shard 1, 2, 3, "));
    let mut other = shards;
    other[2].header.data = "project".to_owned();
    assert_eq!(refusal(other), "shard 2 of 3 is of another sweep");
}

#[test]
fn a_results_file_that_was_interrupted_is_read_up_to_the_last_whole_line() {
    let whole = sweep(&plan(4, 1, 1), 1);
    let text = whole.text();
    assert_eq!(whole.whole, text.len() as u64);
    let header = whole.header.line().len();
    for len in header..text.len() {
        let part = Sweep::read(&text.as_bytes()[..len]).expect("a beginning");
        let lines = part.results.len();
        assert_eq!(part.results, whole.results[..lines]);
        assert_eq!(part.text(), text[..part.whole as usize]);
        assert_eq!(part.missing(), 4 - lines as u64);
    }
    assert!(Sweep::read(&text.as_bytes()[..header - 1]).is_err());
}

#[test]
fn a_results_file_of_another_kind_is_refused_with_its_line() {
    let text = sweep(&plan(3, 1, 1), 1).text();
    let complaint = |text: &str| {
        Sweep::read(text.as_bytes())
            .expect_err("refused")
            .to_string()
    };
    let other = complaint(&text.replacen("\"ringside_sweep\":1", "\"ringside_sweep\":2", 1));
    assert!(
        other.starts_with("line 1: version 2, expected version 1"),
        "{other}"
    );
    let other = complaint(&text.replacen("\"shard\":1", "\"shard\":0", 1));
    assert!(other.starts_with("line 1: shard 0 of 1, "), "{other}");
    let other = complaint(&text.replacen("\"first\":100", "\"first\":18446744073709551615", 1));
    assert!(
        other.contains("3 seeds from 18446744073709551615 on"),
        "{other}"
    );
    let other = complaint(&text.replacen("\"seed\":101", "\"seed\":109", 1));
    assert_eq!(other, "line 3: seed 109, expected seed 101");
    let other = complaint(&text.replacen("\"events\":", "\"evnets\":", 1));
    assert!(
        other.starts_with("line 2: unknown field `evnets`"),
        "{other}"
    );
    assert!(complaint("").starts_with("line 1: "));
}

#[test]
fn who_has_enough_gets_no_more_and_the_threads_end() {
    let mut taken = Vec::new();
    let jobs = NonZero::new(3_u16).expect("three");
    run(&plan(1_000_000, 1, 1), 0, jobs, &mut |result| {
        taken.push(result.seed);
        if result.finding.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .expect("noise");
    let first = plan(24, 1, 1);
    let first = sweep(&first, 1);
    let failing = first.results.iter().find(|it| it.finding.is_some());
    assert_eq!(taken.last(), failing.map(|it| &it.seed));
}

#[test]
fn failures_are_grouped_and_told_to_ci() {
    let sweep = sweep(&plan(24, 1, 1), 2);
    let failed = sweep
        .results
        .iter()
        .filter(|it| it.finding.is_some())
        .count();
    let groups = groups(sweep.results.iter());
    let counted: u64 = groups.iter().map(|group| group.count).sum();
    assert_eq!(counted, failed as u64);
    assert!(
        groups[0].signature.starts_with("data right: "),
        "{groups:?}"
    );
    let xml = junit("a & b", &sweep);
    assert!(
        xml.contains(r#"<testsuite name="a &amp; b" tests="24""#),
        "{xml}"
    );
    assert_eq!(xml.matches("<testcase ").count(), 24);
    assert_eq!(xml.matches("<failure ").count(), failed);
}

#[test]
fn faults_are_counted_in_each_seed_and_in_all() {
    let sweep = sweep(&plan(24, 1, 1), 2);
    let failed = sweep.results.iter().filter(|it| it.finding.is_some());
    let failed = failed.count() as u64;
    assert!(sweep.results.iter().all(|it| it.faults.len() == 1));
    let totals = fault_totals(&sweep);
    assert_eq!(totals.len(), 1);
    let total = &totals[0];
    assert_eq!((total.armed, total.fired), (24, 24), "{total:?}");
    // A flipped bit is noticed by nobody but a check.
    assert_eq!(total.observed, failed, "{total:?}");
    assert!(total.fault.contains("CorruptOutput"), "{total:?}");
    // Lines of older programs have no faults.
    let text = sweep.text().replace(",\"faults\":[[1,1,0]]", "");
    let older = Sweep::read(text.as_bytes()).expect("a results file");
    assert_eq!(fault_totals(&older)[0].armed, failed);
    // A header that was edited names no fault that is not there.
    let mut edited = sweep;
    edited.header.scenario = "nonsense".to_owned();
    assert_eq!(fault_totals(&edited), []);
}
