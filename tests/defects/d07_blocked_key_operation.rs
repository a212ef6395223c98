//! D7: a key operation that finds its driver full ends with the refusal as its error.
//!
//! The comment said that it would be submitted again. The code wrote ERESTART to the status, called
//! back, and took one off the count of the driver named in the request: driver 0 if none was, and
//! that too when there was no driver at all.

use framework::{DriverChoice, KeyError};

use crate::hand::{Bench, NOW, power};

const ERESTART: i32 = -1;
const ENODEV: i32 = 19;

/// The old end of a key operation: its status, and the counts of all drivers after it.
fn old_invoke(driver: Option<usize>, full: bool, mut counts: Vec<i32>) -> (i32, Vec<i32>) {
    let status = match driver {
        None => ENODEV,
        Some(driver) => {
            if !full {
                counts[driver] += 1;
            }
            if full { ERESTART } else { 0 }
        }
    };
    // The number in the request is zero until a driver has taken it.
    let noted = driver.filter(|_| !full).unwrap_or(0);
    counts[noted] -= 1;
    (status, counts)
}

#[test]
fn the_old_end_reports_a_refusal_and_miscounts() {
    assert_eq!(
        old_invoke(Some(1), true, vec![0, 0]),
        (ERESTART, vec![-1, 0])
    );
    assert_eq!(old_invoke(None, false, vec![0, 0]), (ENODEV, vec![-1, 0]));
}

#[test]
fn a_refused_key_operation_waits_and_ends_well() {
    let mut bench = Bench::new();
    bench
        .0
        .dispatch_key(NOW, power())
        .expect("valid parameters");
    let nobody = bench.0.take_finished_key().expect("at once");
    assert_eq!(nobody.result, Err(KeyError::NoDriver));
    let (_, hand) = bench.hand("card0", 0);
    for _ in 0..3 {
        bench
            .0
            .dispatch_key(NOW, power())
            .expect("valid parameters");
    }
    assert_eq!(hand.borrow().keys.len(), 1);
    for _ in 0..3 {
        assert!(bench.0.take_finished_key().is_none());
        hand.borrow_mut().work_on_key();
        bench.service();
        let done = bench.0.take_finished_key().expect("the one that was done");
        assert_eq!(
            (done.result, done.request.outputs[0].bytes()[0]),
            (Ok(()), 43)
        );
    }
    let offered = bench.0.key_operations(DriverChoice::any());
    assert!(!offered.is_empty());
}
