use super::*;
use crate::case::Data;
use crate::scenario::Scenario;

/// A case in which a card flips a bit.
fn case() -> Case {
    let fault = "[[fault]]\nat_us = 5\n\
                 latch = { card = \"card0\", kind = \"corrupt-output\", nth = 30 }\n";
    let scenario = Scenario::builtin("single").unwrap().to_toml();
    Case {
        scenario: Scenario::from_toml(&(scenario + fault), "test").unwrap(),
        seed: 3,
        data: Data::Noise(1 << 16),
        exhibit: None,
    }
}

fn debugger() -> Debugger {
    Debugger::new(case()).unwrap()
}

fn tell(debugger: &mut Debugger, line: &str) -> String {
    let order: Order = line.parse().unwrap();
    debugger
        .carry_out(&order)
        .unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn steps_lead_on_and_back_and_stop_at_the_ends() {
    let mut run = debugger();
    let (_, end) = run.position();
    assert!(end > 500);
    tell(&mut run, "step 7");
    let seventh = tell(&mut run, "where");
    tell(&mut run, "step 100");
    assert_eq!(run.position().0, 107);
    assert_eq!(tell(&mut run, "back 100"), seventh);
    tell(&mut run, "back 9999999");
    assert!(tell(&mut run, "where").starts_with("before the first of"));
    tell(&mut run, "step 18446744073709551615");
    assert_eq!(run.position(), (end, end));
}

#[test]
fn the_violation_is_where_the_run_ends() {
    let mut run = debugger();
    let said = tell(&mut run, "go violation");
    assert!(said.contains("FOUND by data right: request"), "{said}");
    let (position, end) = run.position();
    assert_eq!(position, end);
    // What it is about is found going back.
    let said = tell(&mut run, "back-until card0 started");
    assert!(said.contains("card0 card started"), "{said}");
    assert!(run.position().0 < end);
}

#[test]
fn words_find_the_events_of_one_request() {
    let mut run = debugger();
    let story = tell(&mut run, "find request=17");
    let lines: Vec<_> = story.lines().collect();
    assert_eq!(lines.len(), 3, "{story}");
    assert!(story.contains("dispatch") && story.contains("posted") && story.contains("callback"));
    let said = tell(&mut run, "until request=17 callback");
    assert!(said.contains("outcome=ok"), "{said}");
    // A word is a whole word.
    assert!(!tell(&mut run, "find request=1").contains("request=17"));
    let lost = run.carry_out(&"until no-such-word".parse().unwrap());
    assert!(matches!(lost, Err(DebugError::NoEvent("on"))));
}

#[test]
fn time_is_a_position_as_well() {
    let mut run = debugger();
    tell(&mut run, "until dispatch");
    let first = run.position().0;
    tell(&mut run, "go 1s");
    let (position, end) = run.position();
    assert_eq!(position, end);
    tell(&mut run, "go 0.5ns");
    assert!(run.position().0 < first);
}

#[test]
fn the_state_is_that_of_the_position_whichever_way_it_was_reached() {
    let mut run = debugger();
    tell(&mut run, "until card0 completed");
    tell(&mut run, "step 300");
    let there =
        ["card0", "framework", "consumers"].map(|name| tell(&mut run, &format!("print {name}")));
    assert!(there[0].contains("ring 1  runs"), "{}", there[0]);
    assert!(
        there[0].contains("completions") && there[0].contains("counters of its driver"),
        "{}",
        there[0]
    );
    assert!(there[1].contains("card0"), "{}", there[1]);
    assert!(there[2].contains("outstanding"), "{}", there[2]);
    tell(&mut run, "step 200");
    let later = tell(&mut run, "print card0");
    assert_ne!(later, there[0]);
    tell(&mut run, "back 200");
    let again =
        ["card0", "framework", "consumers"].map(|name| tell(&mut run, &format!("print {name}")));
    assert_eq!(again, there);
    let nobody = run.carry_out(&Order::Print("card7".to_owned()));
    let said = nobody.unwrap_err().to_string();
    assert_eq!(
        said,
        "no `card7`: there are framework, consumers and the cards card0"
    );
}

#[test]
fn a_run_that_takes_another_course_is_told_with_its_first_event_that_differs() {
    let mut run = debugger();
    tell(&mut run, "step 200");
    run.log[99].at = timebase::Time::NEVER;
    match run.carry_out(&Order::Print("card0".to_owned())) {
        Err(DebugError::Diverged { event, was, is }) => {
            assert_eq!(event, 100);
            assert_ne!(was, is);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn lines_that_are_no_orders_are_told_what_was_expected() {
    let said = |line: &str| line.parse::<Order>().unwrap_err().to_string();
    assert_eq!(said("jump 3"), "`jump` is no order; `help` lists them");
    assert_eq!(said(""), "`` is no order; `help` lists them");
    assert_eq!(
        said("step x"),
        "`step` takes a number of events, and `x` is none"
    );
    assert!(said("go 12 parsecs").contains("a number, a time or `violation`"));
    assert!(said("go 99999999999999999999s").contains("a time"));
    assert!(said("until").contains("words"));
    assert!(said("print").contains("a name"));
    assert!(said("list 3").contains("takes nothing"));
    assert_eq!("s 3".parse(), Ok(Order::Step(3)));
    assert_eq!("b".parse(), Ok(Order::Back(1)));
    assert_eq!(
        "go 12.5us".parse(),
        Ok(Order::GoToTime(timebase::Time::from_ps(12_500_000)))
    );
}
