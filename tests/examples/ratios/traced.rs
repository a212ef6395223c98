//! What it costs to keep the events of a run and to write them, beside the run without.

use std::hint::black_box;
use std::io::{self, Cursor};

use sim::input::Input;
use sim::outcome::Outcome;
use sim::scenario::Scenario;
use sim::world::{self, RunOptions};
use sim::{trace, wave};

use super::{Goal, Measure, Row, ns_per_unit, row};

/// What a run with a record of it may take, as a multiple of the run without.
const GOAL: Goal = Goal::AtMost(1.15);

/// What is done with the events of a run.
#[derive(Clone, Copy)]
enum Record {
    Keep,
    Trace,
    Waves,
}

/// The rows of this file.
pub(super) fn rows() -> Vec<Row> {
    vec![
        row("run, events kept / not", "", GOAL, cost(Record::Keep)),
        row("run, trace written / not", "", GOAL, cost(Record::Trace)),
        row(
            "run, waveforms written / not",
            "",
            GOAL,
            cost(Record::Waves),
        ),
    ]
}

fn cost(record: Record) -> Measure {
    // Long enough that what a file costs by itself is little beside what its events cost.
    let mut scenario = Scenario::builtin("failover").expect("a built-in scenario");
    scenario.workload.pieces = Some(6_000);
    scenario.expect.clear();
    let plain = RunOptions::new(1, Input::project());
    let kept = RunOptions {
        keep_log: true,
        ..plain.clone()
    };
    let run = |scenario: &Scenario, options: &RunOptions| {
        world::run(scenario, options, &mut |_| {}).expect("a run that begins")
    };
    let mut file = Vec::new();
    Box::new(move || {
        let without = ns_per_unit(|| {
            black_box(run(&scenario, &plain));
            1
        });
        let with = ns_per_unit(|| {
            let outcome = run(&scenario, &kept);
            file = write(record, &scenario, &outcome, std::mem::take(&mut file));
            1
        });
        with / without
    })
}

/// Writes the record to nowhere, or into memory if its format has to seek: what a disk takes is not
/// ours.
fn write(record: Record, scenario: &Scenario, outcome: &Outcome, mut file: Vec<u8>) -> Vec<u8> {
    file.clear();
    assert!(!outcome.log.is_empty());
    match record {
        Record::Keep => file,
        Record::Trace => {
            trace::write(io::sink(), scenario, &outcome.log).expect("a sink takes all");
            file
        }
        Record::Waves => {
            let mut file = Cursor::new(file);
            let written = wave::write(&mut file, wave::Format::Fst, scenario, &outcome.log);
            written.expect("room in memory");
            file.into_inner()
        }
    }
}
