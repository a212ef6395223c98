//! Whatever the input, a run ends well or says what is wrong.

use sim::input::Input;
use sim::outcome::Outcome;
use sim::scenario::Scenario;
use sim::world::{self, RunOptions};

fn run(input: Input) -> Outcome {
    let scenario = Scenario::builtin("single").expect("a built-in scenario");
    let mut scenario = scenario;
    scenario.workload.pieces = Some(100);
    scenario.expect.clear();
    world::run(&scenario, &RunOptions::new(1, input), &mut |_| {}).expect("a run that begins")
}

#[test]
fn no_input_is_a_correct_empty_run() {
    let outcome = run(Input::from_bytes(Vec::new()));
    assert!(outcome.passed(), "{:#?}", outcome.violations);
    assert_eq!((outcome.summary.requests, outcome.summary.bytes), (0, 0));
    assert_eq!(outcome.summary.latency.max_ns, 0);
}

#[test]
fn any_length_of_input_is_processed_whole() {
    for len in [1, 2, 15, 16, 17, 63, 64, 65, 4095, 4096, 4097, 100_000] {
        let data = (0..len).map(|byte| (byte * 7) as u8).collect();
        let outcome = run(Input::from_bytes(data));
        assert!(outcome.passed(), "{len} bytes: {:#?}", outcome.violations);
        assert_eq!(outcome.summary.pieces, 100, "{len} bytes");
    }
}
