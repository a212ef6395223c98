use device_model::Latch;

use super::*;

/// A case of `failover` in which a card also does `latch`.
fn broken(latch: Latch) -> Case {
    let mut scenario = Scenario::builtin("failover").expect("built in");
    scenario.workload.pieces = Some(2_000);
    scenario.pool_len = 8 << 20;
    scenario.faults.push(FaultSpec::new(
        Trigger::AfterRequests(300),
        Action::Latch { card: 1, latch },
    ));
    Case {
        scenario,
        seed: 77,
        data: Data::Noise(NOISE),
        exhibit: None,
    }
}

fn small(case: &Case) -> (Replay, Effort) {
    shrink(case.clone(), 20_000_000, &mut |_, _| {}).expect("a case that fails")
}

#[test]
fn a_wrong_byte_shrinks_to_one_request_and_one_fault() {
    let (replay, effort) = small(&broken(Latch::CorruptOutput { nth: 40 }));
    let scenario = &replay.case.scenario;
    assert_eq!(replay.check, "data right", "{}", replay.to_toml());
    assert_eq!(scenario.workload.pieces, Some(1), "{}", replay.to_toml());
    assert_eq!(scenario.workload.consumers, 1);
    assert_eq!(scenario.cards.len(), 1);
    assert_eq!(scenario.faults.len(), 1);
    assert!(effort.runs > 0 && effort.events > 0);
    let lines = replay.to_toml().lines().count();
    assert!(lines <= 30, "{lines} lines:\n{}", replay.to_toml());
}

#[test]
fn what_is_left_fails_again_to_the_bit_and_shrinks_no_further() {
    let (replay, _) = small(&broken(Latch::KeepKeysOnDestroy));
    let input = replay.case.data.read().expect("noise");
    let again = replay.case.run(&input, false).expect("a run");
    assert!(replay.is_same(&again));
    assert!(replay.signature().is_in(&again));
    let (twice, _) = small(&replay.case);
    assert_eq!(twice.case, replay.case);
}

#[test]
fn a_case_shrinks_to_the_same_one_every_time() {
    let case = broken(Latch::WriteOutsideWindow { nth: 9 });
    let (one, other) = (small(&case), small(&case));
    assert_eq!(one.0.to_toml(), other.0.to_toml());
    assert_eq!(one.1, other.1);
}

#[test]
fn a_case_that_passes_is_refused_by_name() {
    let mut case = broken(Latch::HangEngines);
    case.scenario.faults.clear();
    case.scenario.expect.clear();
    let error = shrink(case, 1_000_000, &mut |_, _| {}).expect_err("it passes");
    assert!(
        error.to_string().contains("`failover` with seed 77"),
        "{error}"
    );
}

#[test]
fn without_budget_the_case_stays_as_it_was() {
    let case = broken(Latch::CorruptOutput { nth: 0 });
    let (replay, effort) = shrink(case.clone(), 0, &mut |_, _| {}).expect("it fails");
    assert_eq!(replay.case, case);
    assert_eq!(effort, Effort::default());
}

#[test]
fn the_fault_behind_those_taken_out_waits_for_what_they_waited_for() {
    let us = Span::from_us;
    let fault = |trigger| FaultSpec::new(trigger, Action::Rebalance);
    let mut faults = vec![
        fault(Trigger::At(Time::ZERO + us(5))),
        fault(Trigger::AfterPrevious(us(3))),
        fault(Trigger::AfterPrevious(us(2))),
    ];
    remove_faults(&mut faults, 1..2);
    assert_eq!(faults[1].trigger, Trigger::AfterPrevious(us(5)));
    remove_faults(&mut faults, 0..1);
    assert_eq!(faults[0].trigger, Trigger::At(Time::ZERO + us(10)));
}
