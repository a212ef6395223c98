use crate::testing::{Bench, NOW, null_params};
use crate::{
    DriverChoice, DriverFlags, MigrationPolicy, NoSuchDriver, ProbeScore, RegisterError,
    SessionError,
};

#[test]
fn drivers_are_found_by_the_front_of_their_name_or_the_whole() {
    let mut bench = Bench::new();
    let (first, _) = bench.card("card10");
    let (second, _) = bench.card("card1");
    assert_eq!(bench.framework.find_driver("card1"), Some(first));
    assert_eq!(bench.framework.driver_named("card1"), Some(second));
    assert_eq!(bench.framework.find_driver(""), Some(first));
    assert_eq!(bench.framework.find_driver("card2"), None);
    assert_eq!(bench.framework.driver_named("card"), None);
}

#[test]
fn an_id_is_used_again_under_another_generation() {
    let mut bench = Bench::new();
    let (first, card) = bench.card("first");
    card.die(true);
    bench.service_all();
    let (second, _) = bench.card("second");
    let places = [first, second].map(|id| id.as_u32() & 0xFFFF);
    assert_eq!(places, [0, 0]);
    assert_ne!(first, second);
    assert!(bench.framework.driver(first).is_none());
    assert_eq!(
        bench.framework.unregister(NOW, first),
        Err(NoSuchDriver(first))
    );
}

#[test]
fn a_driver_is_of_hardware_or_of_software() {
    let mut bench = Bench::new();
    for flags in [
        DriverFlags::empty(),
        DriverFlags::SYNC,
        DriverFlags::ACCEL_SOFTWARE,
    ] {
        let driver = bench.scripted("odd", flags);
        assert_eq!(
            bench.framework.try_register(driver),
            Err(RegisterError::NoKind(flags))
        );
    }
    assert_eq!(bench.framework.drivers().count(), 0);
}

#[test]
fn a_score_that_is_not_negative_is_none_for_a_named_driver_too() {
    let mut bench = Bench::new();
    let (id, card) = bench.card("card");
    let mut open = |choice| {
        let policy = MigrationPolicy::Report;
        bench
            .framework
            .open_session(NOW, null_params(), choice, policy)
            .err()
    };
    for (score, expected) in [
        (0, Some(SessionError::NoDriver)),
        (22, Some(SessionError::NoDriver)),
        (-1, None),
    ] {
        card.set(|script| script.score = Some(score));
        for choice in [DriverChoice::any(), DriverChoice::driver(id)] {
            assert_eq!(open(choice), expected, "score {score}");
        }
    }
}

#[test]
fn special_instructions_are_preferred_to_plain_software_and_hardware_to_both() {
    let mut bench = Bench::new();
    let policy = MigrationPolicy::Report;
    let (plain, _) = bench.driver("plain", DriverFlags::SOFTWARE);
    let (special, handle) = bench.driver("special", DriverFlags::SOFTWARE);
    handle.set(|script| script.score = Some(ProbeScore::ACCEL_SOFTWARE.0));
    let of = |bench: &mut Bench, choice| {
        let session = bench.session_with(choice, policy);
        bench.framework.session_driver(session)
    };
    assert_eq!(of(&mut bench, DriverChoice::any()), Some(special));
    let (card, _) = bench.card("card");
    assert_eq!(of(&mut bench, DriverChoice::any()), Some(card));
    assert_eq!(of(&mut bench, DriverChoice::software_only()), Some(special));
    assert_eq!(of(&mut bench, DriverChoice::driver(plain)), Some(plain));
}
