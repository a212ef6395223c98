//! Cards that leave the work out take the same time for everything.

use sim::input::Input;
use sim::outcome::Outcome;
use sim::scenario::Scenario;
use sim::world::{self, RunOptions};

fn run(scenario: &Scenario) -> Outcome {
    let options = RunOptions::new(3, Input::project());
    world::run(scenario, &options, &mut |_| {}).expect("a run that begins")
}

#[test]
fn a_run_without_results_is_the_same_run() {
    let mut scenario = Scenario::builtin("single").expect("a built-in scenario");
    let worked = run(&scenario);
    scenario.timing_only = true;
    let timed = run(&scenario);
    assert!(timed.passed(), "{:#?}", timed.violations);
    assert!(timed.summary.timing_only && !worked.summary.timing_only);
    assert_eq!(timed.summary.digest, worked.summary.digest);
    assert_eq!(timed.summary.elapsed_ps, worked.summary.elapsed_ps);
    assert_eq!(timed.summary.requests, worked.summary.requests);
}
