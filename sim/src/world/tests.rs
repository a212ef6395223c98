use memchr::memmem;

use super::*;
use crate::case::{Case, Data, Replay, story};
use crate::{report, summary, trace};

/// Bytes of data.
const LEN: usize = 1 << 16;

/// What is written of a run, by name.
fn written(scenario: &Scenario, outcome: &Outcome) -> Vec<(&'static str, Vec<u8>)> {
    let mut trace = Vec::new();
    trace::write(&mut trace, scenario, &outcome.log).unwrap();
    let how = summary::Replay {
        scenario: "single".to_owned(),
        seed: 3,
        input: None,
    };
    let mut all = vec![
        ("log", format!("{:?}", outcome.log).into_bytes()),
        ("marks", format!("{:?}", outcome.marks).into_bytes()),
        ("trace", trace),
        ("report", report::render(scenario, outcome, &how).into()),
        ("JSON", summary::render_json(outcome, &how).into()),
        ("text", summary::render_text(outcome, &how, false).into()),
    ];
    let case = Case {
        scenario: scenario.clone(),
        seed: 3,
        data: Data::Noise(LEN as u32),
        exhibit: None,
    };
    let replay = Replay::new(case, outcome).unwrap();
    all.push(("replay file", replay.to_toml().into()));
    all.push(("story", story::tell(&replay, outcome).into()));
    all
}

/// Where `secret` stands, as bytes, as hexadecimal digits or as a list of numbers.
fn places(secret: &[u8], written: &[(&'static str, Vec<u8>)]) -> Vec<&'static str> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = format!("{secret:?}");
    let list = list.trim_matches(['[', ']']).to_owned();
    let forms = [
        secret.to_vec(),
        hex.clone().into(),
        hex.to_uppercase().into(),
        list.into(),
    ];
    let has_any = |bytes: &[u8]| forms.iter().any(|form| memmem::find(bytes, form).is_some());
    let found = written.iter().filter(|(_, bytes)| has_any(bytes));
    found.map(|&(name, _)| name).collect()
}

#[test]
fn neither_keys_nor_data_stand_in_anything_that_is_written_of_a_run() {
    // A failure has its story told.
    let fault = "[[fault]]\nat_us = 5\n\
                 latch = { card = \"card0\", kind = \"corrupt-output\", nth = 1 }\n";
    let scenario = Scenario::builtin("single").unwrap().to_toml();
    let scenario = Scenario::from_toml(&(scenario + fault), "test").unwrap();
    let mut options = RunOptions::new(3, Input::noise(LEN));
    options.keep_log = true;
    let mut world = World::new(&scenario, &options).unwrap();
    let params = world.consumers.iter().map(|consumer| &consumer.params);
    let keys = params.flat_map(|params| [&params.cipher_key, &params.auth_key]);
    let mut secrets: Vec<_> = keys.flatten().map(|key| key.bytes().to_vec()).collect();
    secrets.retain(|key| key.len() >= 16);
    assert!(secrets.len() >= 5, "keys of consumers");
    secrets.extend((0..64).map(|at| options.input.bytes(at * 64..at * 64 + 16).to_vec()));
    world.work(&mut |_| {});
    world.close();
    let outcome = world.outcome(3);
    assert!(!outcome.passed());
    let mut written = written(&scenario, &outcome);
    for secret in &secrets {
        assert_eq!(places(secret, &written), [""; 0], "{secret:02x?}");
    }
    // It would be found.
    let mut leak = b"key = ".to_vec();
    leak.extend_from_slice(format!("{:?}", secrets[0]).as_bytes());
    written.push(("a leak", leak));
    assert_eq!(places(&secrets[0], &written), ["a leak"]);
}

/// How far the faults of a run came.
fn faults(text: &str) -> Vec<crate::outcome::FaultSummary> {
    let scenario = Scenario::builtin("single").unwrap().to_toml();
    let scenario = Scenario::from_toml(&(scenario + text), "test").unwrap();
    let options = RunOptions::new(3, Input::noise(LEN));
    run(&scenario, &options, &mut |_| {})
        .unwrap()
        .summary
        .faults
}

#[test]
fn a_fault_that_somebody_notices_is_observed_and_one_that_nobody_notices_is_not() {
    let lost = "[[fault]]\nat_us = 5\n\
        message = { card = \"card0\", kind = \"interrupt\", fate = \"lose\", count = 1000 }\n";
    let found = faults(lost);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].armed, 1);
    assert!(found[0].fired > 3, "{found:?}");
    assert!(found[0].observed > 0, "{found:?}");
    assert_eq!(found[0].first_sign.as_deref(), Some("watchdog"));
    let doubled = lost.replace("lose", "double");
    let found = faults(&doubled);
    assert!(found[0].fired > 3, "{found:?}");
    assert_eq!((found[0].observed, &found[0].first_sign), (0, &None));
}

#[test]
fn a_sign_goes_to_the_fault_that_struck_its_card_last() {
    let flip = "[[fault]]\nat_us = 5\n\
        latch = { card = \"card0\", kind = \"corrupt-output\", nth = 3 }\n";
    let stray = "[[fault]]\nat_us = 1\n\
        interrupt = { card = \"card0\", vector = 1, count = 1, every_ns = 100 }\n";
    let never = "[[fault]]\nat_us = 9\npercent = 0\nmay_idle = true\nunplug = \"card0\"\n";
    let found = faults(&format!("{stray}{flip}{never}"));
    let counts = |at: usize| {
        let fault: &crate::outcome::FaultSummary = &found[at];
        (fault.armed, fault.fired, fault.observed > 0)
    };
    assert_eq!(counts(0), (1, 1, false), "{found:#?}");
    assert_eq!(counts(1), (1, 1, true), "{found:#?}");
    assert_eq!(found[1].first_sign.as_deref(), Some("check broken"));
    assert_eq!(counts(2), (0, 0, false), "{found:#?}");
}

#[test]
fn removals_and_hangs_are_observed_by_the_driver() {
    let hang = "[[fault]]\nat_us = 30\nlatch = { card = \"card0\", kind = \"hang-engines\" }\n";
    let found = faults(hang);
    assert_eq!(
        found[0].first_sign.as_deref(),
        Some("watchdog"),
        "{found:?}"
    );
    let pulled = "[[fault]]\nat_us = 30\nunplug = \"card0\"\n\
        [[fault]]\nafter_previous_us = 40\nplug = \"card0\"\n";
    let found = faults(pulled);
    let first: Vec<_> = found.iter().map(|it| it.first_sign.as_deref()).collect();
    assert_eq!(
        first,
        [Some("driver finds the card gone"), Some("driver comes")],
        "{found:#?}"
    );
}
