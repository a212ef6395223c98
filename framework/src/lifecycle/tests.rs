use crate::testing::{Bench, NOW, null_params, request};
use crate::{
    DriverChoice, DriverFlags, MigrationPolicy, OpenError, ParamsError, RequestError,
    RequestInvalid, SessionError,
};

const REPORT: MigrationPolicy = MigrationPolicy::Report;
const SOFT: DriverFlags = DriverFlags::SOFTWARE;

#[test]
fn the_best_score_wins_then_fewest_sessions_then_the_lowest_id() {
    let mut bench = Bench::new();
    let (soft, _) = bench.driver("soft", SOFT);
    let (one, _) = bench.card("one");
    let (two, _) = bench.card("two");
    let drivers: Vec<_> = (0..4)
        .map(|_| {
            let session = bench.session(REPORT);
            bench.framework.session_driver(session).unwrap()
        })
        .collect();
    assert_eq!(drivers, [one, two, one, two]);
    let session = bench.session_with(DriverChoice::software_only(), REPORT);
    assert_eq!(bench.framework.session_driver(session), Some(soft));
    let session = bench.session_with(DriverChoice::driver(two), REPORT);
    assert_eq!(bench.framework.session_driver(session), Some(two));
}

#[test]
fn a_choice_nobody_meets_opens_no_session() {
    let mut bench = Bench::new();
    let (soft, _) = bench.driver("soft", SOFT);
    let mut open = |choice| {
        bench
            .framework
            .open_session(NOW, null_params(), choice, REPORT)
    };
    let hardware = open(DriverChoice::hardware_only());
    assert_eq!(hardware, Err(SessionError::NoDriver));
    assert!(open(DriverChoice::driver(soft)).is_ok());
    bench.framework.unregister(NOW, soft).unwrap();
    let named =
        bench
            .framework
            .open_session(NOW, null_params(), DriverChoice::driver(soft), REPORT);
    assert_eq!(named, Err(SessionError::NoDriver));
}

#[test]
fn invalid_parameters_and_the_session_limit_open_no_session() {
    let mut bench = Bench::with_limits(crate::Limits {
        sessions: 1,
        ..crate::Limits::default()
    });
    bench.card("card");
    let mut params = null_params();
    params.iv_len = 64;
    let (any, framework) = (DriverChoice::any(), &mut bench.framework);
    let opened = framework.open_session(NOW, params, any, REPORT);
    let expected = SessionError::Params(ParamsError::IvLength(64));
    assert_eq!(opened, Err(expected));
    let session = framework
        .open_session(NOW, null_params(), any, REPORT)
        .unwrap();
    let full = framework.open_session(NOW, null_params(), any, REPORT);
    assert_eq!(full, Err(SessionError::TooMany(1)));
    bench.service_all();
    bench.framework.close_session(NOW, session).unwrap();
    bench.session(REPORT);
}

#[test]
fn a_driver_that_fails_to_open_is_followed_by_the_next_best() {
    for at_once in [false, true] {
        let mut bench = Bench::new();
        let (_, card) = bench.card("card");
        let (soft, soft_handle) = bench.driver("soft", SOFT);
        if at_once {
            card.set(|script| script.open_now = Some(OpenError::NoRoom));
        } else {
            card.set(|script| script.open_result = Some(OpenError::NoRoom));
        }
        let session = bench
            .framework
            .open_session(NOW, null_params(), DriverChoice::any(), REPORT)
            .unwrap();
        bench.dispatch(session);
        bench.service_all();
        assert_eq!(bench.framework.session_driver(session), Some(soft));
        assert_eq!(bench.framework.session_current(session), Some(session));
        assert_eq!(soft_handle.taken(), [1]);
    }
}

#[test]
fn a_session_nobody_opens_ends_its_requests_and_asks_again_later() {
    let mut bench = Bench::new();
    let (id, card) = bench.card("card");
    card.set(|script| script.open_now = Some(OpenError::NoRoom));
    let opened = bench
        .framework
        .open_session(NOW, null_params(), DriverChoice::any(), REPORT);
    assert_eq!(opened, Err(SessionError::Open(OpenError::NoRoom)));
    card.set(|script| (script.open_now, script.open_result) = (None, Some(OpenError::Device)));
    let session = bench
        .framework
        .open_session(NOW, null_params(), DriverChoice::any(), REPORT)
        .unwrap();
    bench.dispatch(session);
    bench.framework.service(NOW, id);
    assert_eq!(bench.finished(), [(1, Err(RequestError::NoDriver))]);
    card.set(|script| script.open_result = None);
    bench.dispatch(session);
    bench.framework.service(NOW, id);
    assert_eq!(card.taken(), [2]);
}

#[test]
fn a_session_closed_while_opening_is_freed_when_the_driver_answers() {
    for result in [None, Some(OpenError::NoRoom)] {
        let mut bench = Bench::new();
        let (id, card) = bench.card("card");
        card.set(|script| (script.opens_late, script.open_result) = (true, result));
        let session = bench.session(REPORT);
        bench.dispatch(session);
        bench.framework.close_session(NOW, session).unwrap();
        assert_eq!(bench.finished(), [(1, Err(RequestError::Cancelled))]);
        assert_eq!(bench.framework.stats().sessions, 1);
        card.open_now();
        bench.framework.service(NOW, id);
        assert_eq!(bench.framework.stats().sessions, 0);
        assert_eq!(card.0.borrow().closed, usize::from(result.is_none()));
    }
}

#[test]
fn a_freed_name_stays_free_when_its_place_is_used_again() {
    let mut bench = Bench::new();
    bench.card("card");
    let old = bench.session(REPORT);
    bench.framework.close_session(NOW, old).unwrap();
    let new = bench.session(REPORT);
    assert_eq!(old.place(), new.place());
    let rejected = bench.framework.dispatch(NOW, request(old)).unwrap_err();
    assert_eq!(rejected.reason, RequestInvalid::NoSession);
    assert_eq!(bench.framework.session_current(old), None);
    assert_eq!(bench.framework.session_driver(old), None);
    bench.dispatch(new);
}
