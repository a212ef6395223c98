//! D11: keys go while a request that needs them is at work.
//!
//! The manual says it among its bugs: a session may be freed with requests in flight, and the
//! caller must see to it that this does no harm.

use framework::{DriverChoice, MigrationPolicy};

use crate::hand::{Bench, Call, KEY, NOW, sealed};

/// The old way: what the device works with when it gets to the request.
fn old_key_at_work(freed_before: bool) -> [u8; 16] {
    let mut session = KEY;
    if freed_before {
        session.fill(0);
    }
    session
}

#[test]
fn the_old_request_works_with_no_key() {
    assert_ne!(
        sealed(old_key_at_work(true)),
        sealed(old_key_at_work(false))
    );
}

#[test]
fn a_session_goes_when_its_last_request_is_back() {
    let mut bench = Bench::new();
    let (_, hand) = bench.hand("card0", 2);
    let session = bench.open(DriverChoice::any(), MigrationPolicy::Report);
    bench.dispatch(session, 1);
    bench.dispatch(session, 2);
    bench.0.close_session(NOW, session).expect("a session");
    for number in [1, 2] {
        assert!(
            !hand.borrow().calls.contains(&Call::Close),
            "{number} is at work"
        );
        hand.borrow_mut().work();
        assert_eq!(bench.results(), [(number, sealed(KEY))]);
    }
    assert_eq!(hand.borrow().calls.last(), Some(&Call::Close));
}
