//! D14: the rules for requests hold in debug builds alone.
//!
//! What a request must not do was written down as assertions that release builds leave out. There,
//! a region outside its buffer went to the device.

use framework::{DriverChoice, MigrationPolicy, Operation, Region, RequestInvalid};

use crate::hand::{Bench, NOW, block};

/// Whether the old check lets a region through.
fn old_check(end: usize, len: usize, invariants: bool) -> bool {
    !invariants || end <= len
}

#[test]
fn the_old_check_depends_on_the_build() {
    assert!(!old_check(17, 16, true));
    assert!(old_check(17, 16, false));
}

#[test]
fn every_rule_holds_in_this_build_whichever_it_is() {
    let mut bench = Bench::new();
    let (_, hand) = bench.hand("card0", 9);
    let session = bench.open(DriverChoice::any(), MigrationPolicy::Report);
    let refused = |bench: &mut Bench, change: &dyn Fn(&mut framework::Request)| {
        let mut request = block(session, 1);
        change(&mut request);
        bench
            .0
            .dispatch(NOW, request)
            .map_err(|rejected| rejected.reason)
            .unwrap_err()
    };
    for (start, len) in [(1, 16), (16, 16), (usize::MAX, 16), (0, 32)] {
        let reason = refused(&mut bench, &|request| {
            request.payload = Region { start, len }
        });
        assert_eq!(reason, RequestInvalid::Payload { start, len });
    }
    let digest = refused(&mut bench, &|request| request.digest_start = 1);
    assert_eq!(digest, RequestInvalid::Digest(1));
    let operation = Operation::VerifyDigest;
    let wrong = refused(&mut bench, &|request| request.operation = operation);
    assert_eq!(wrong, RequestInvalid::Operation(operation));
    let output = refused(&mut bench, &|request| {
        request.output = Some(framework::Buffer::Memory(vec![0; 16]));
    });
    assert_eq!(output, RequestInvalid::OutputForbidden);
    assert!(hand.borrow().calls.is_empty(), "none came to the driver");
}
