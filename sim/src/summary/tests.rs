use super::*;
use crate::outcome::{CheckSummary, FaultSummary, Latency};

fn replay() -> Replay {
    Replay {
        scenario: "failover".to_owned(),
        seed: 7,
        input: None,
    }
}

fn empty() -> Outcome {
    Outcome {
        summary: Summary {
            scenario: "failover".to_owned(),
            seed: 7,
            timing_only: false,
            requests: 0,
            bytes: 0,
            pieces: 0,
            refusals: 0,
            blocks: 0,
            unblocks: 0,
            migrations: 0,
            moved: 0,
            interrupted: 0,
            resubmitted: 0,
            tampered_caught: 0,
            unplugs: 0,
            plugs: 0,
            elapsed_ps: 0,
            latency: Latency::default(),
            drivers: vec![driver("card0", 0), driver("software", 0)],
            checks: vec![CheckSummary {
                name: "ownership".to_owned(),
                looked: 0,
                violations: 0,
            }],
            faults: Vec::new(),
            events: 0,
            digest: "00000000deadbeef".to_owned(),
        },
        series: Vec::new(),
        marks: Vec::new(),
        log: Vec::new(),
        coverage: None,
        violations: Vec::new(),

        faults: Vec::new(),
    }
}

fn driver(name: &str, requests: u64) -> DriverSummary {
    DriverSummary {
        name: name.to_owned(),
        requests,
        bytes: requests * 4_096,
        refusals: requests / 10,
        utilisation_permille: if name == "software" { 0 } else { 831 },
        interrupts: requests / 4,
        bounced: 3,
    }
}

fn busy() -> Outcome {
    let mut outcome = empty();
    let summary = &mut outcome.summary;
    summary.requests = 41_230;
    summary.pieces = 20_000;
    summary.bytes = 41_230 * 4_096;
    summary.elapsed_ps = 50_000_000_000;
    summary.refusals = 1_204;
    summary.blocks = 1;
    summary.unblocks = 1;
    summary.tampered_caught = 12;
    summary.latency = Latency {
        p50_ns: 12_400,
        p90_ns: 30_100,
        p99_ns: 88_000,
        p999_ns: 120_000,
        max_ns: 1_500_000,
    };
    summary.drivers = vec![driver("card0", 30_000), driver("software", 11_230)];
    summary.checks[0].looked = 1_000_000;
    outcome
}

fn violation(message: &str) -> Violation {
    Violation {
        check: "ownership".to_owned(),
        at_ps: 1_500_000,
        message: message.to_owned(),
    }
}

#[test]
fn a_run_is_told_in_a_screenful() {
    assert_eq!(
        render_text(&busy(), &replay(), false),
        "failover, seed 7

  requests      41,230 called back, 20,000 pieces of input found right
  data          161 MiB in 50 ms of virtual time, 3.38 GB/s
  backpressure  1,204 refusals, 1 block, 1 unblock
  cards         0 unplugged, 0 plugged in
  sessions      0 migrations; requests: 0 resubmitted, 0 told to move, 0 interrupted and made anew
  tampering     12 falsified digests found out
  latency       p50 12.4 µs, p90 30.1 µs, p99 88 µs, p99.9 120 µs, max 1.5 ms

  driver    requests      data  share  refused   busy  interrupts  bounced
  card0       30,000   117 MiB  72.8%    3,000  83.1%       7,500        3
  software    11,230  43.9 MiB  27.2%        -      -           -        -

  checks
  held   ownership  looked 1,000,000 times

  trace digest  00000000deadbeef
  replay        ringside run failover --seed 7

PASSED  failover, seed 7: 1 check held, digest 00000000deadbeef
"
    );
}

#[test]
fn a_run_without_requests_has_a_summary_without_nonsense() {
    let text = render_text(&empty(), &replay(), false);
    assert!(text.contains("0 called back, 0 pieces"), "{text}");
    assert!(
        text.contains("0 B in 0 ps of virtual time, 0 B/s"),
        "{text}"
    );
    assert!(text.contains("none: no request called back"), "{text}");
    for nonsense in ["NaN", "inf", "-0"] {
        assert!(!text.contains(nonsense), "{text}");
    }
}

#[test]
fn what_went_wrong_is_told_and_cut_when_long() {
    let mut outcome = busy();
    outcome.violations = vec![violation("slot 3 reaped twice"); 23];
    outcome.summary.checks[0].violations = 23;
    let text = render_text(&outcome, &replay(), false);
    assert!(text.contains("broke  ownership"), "{text}");
    assert!(
        text.contains("at 1.500 µs, ownership: slot 3 reaped twice"),
        "{text}"
    );
    assert!(text.contains("and 3 more"), "{text}");
    assert!(text.ends_with("FAILED  failover, seed 7: 23 violations, digest 00000000deadbeef\n"));
}

#[test]
fn colour_is_only_added_when_asked_for() {
    assert!(!render_text(&busy(), &replay(), false).contains('\u{1b}'));
    let coloured = render_text(&busy(), &replay(), true);
    assert!(
        coloured.contains("\u{1b}[1;32mPASSED\u{1b}[0m"),
        "{coloured}"
    );
}

#[test]
fn machines_get_one_object_with_everything() {
    let mut outcome = busy();
    outcome.violations = vec![violation("a \"quoted\" story")];
    let json = render_json(&outcome, &replay());
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(value["passed"], false);
    assert_eq!(value["requests"], 41_230);
    assert_eq!(value["latency"]["p99_ns"], 88_000);
    assert_eq!(value["drivers"][1]["name"], "software");
    assert_eq!(value["violations"][0]["message"], "a \"quoted\" story");
    assert_eq!(value["replay"], "ringside run failover --seed 7");
}

#[test]
fn the_replay_command_survives_a_shell() {
    let mut replay = replay();
    replay.input = Some("traffic.pcap".into());
    assert_eq!(
        replay.to_string(),
        "ringside run failover --seed 7 --input traffic.pcap"
    );
    replay.input = Some("it's here/a b".into());
    assert_eq!(
        replay.to_string(),
        r"ringside run failover --seed 7 --input 'it'\''s here/a b'"
    );
}

#[test]
fn faults_are_told_with_how_far_they_came() {
    let mut outcome = busy();
    outcome.summary.faults = vec![
        FaultSummary {
            fault: "at 5 µs: pull card0 out".to_owned(),
            armed: 1,
            fired: 1,
            observed: 1_204,
            first_sign: Some("watchdog".to_owned()),
        },
        FaultSummary {
            fault: "at 9 µs: put card0 in".to_owned(),
            armed: 0,
            fired: 0,
            observed: 0,
            first_sign: None,
        },
    ];
    let text = render_text(&outcome, &replay(), false);
    let table = "  fault  armed  fired  observed
  1          1      1     1,204  at 5 µs: pull card0 out; first sign: watchdog
  2          0      0         0  at 9 µs: put card0 in
";
    assert!(text.contains(table), "{text}");
    let json = render_json(&outcome, &replay());
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(value["faults"][0]["observed"], 1_204);
    assert!(!render_text(&busy(), &replay(), false).contains("observed"));
}
