//! D8: the last key operation is offered and nobody can find out.
//!
//! The loop that collects the operations for the feature mask stopped before the highest code. That
//! code is Diffie-Hellman.

use framework::software::SoftwareDriver;
use framework::{DriverChoice, Framework, KeyOp, KeyOps, Limits};

const CODE_MAX: u32 = 4;

fn old_features(offered: u32) -> u32 {
    (0..CODE_MAX).map(|code| offered & 1 << code).sum()
}

#[test]
fn the_old_mask_hides_diffie_hellman() {
    let all = (1 << (CODE_MAX + 1)) - 1;
    assert_eq!(old_features(all), all & !(1 << KeyOp::DhComputeKey.code()));
}

#[test]
fn every_operation_that_is_offered_is_shown() {
    let mut framework = Framework::new(Limits::default());
    framework.register(Box::new(SoftwareDriver::new("soft0")));
    let shown = framework.key_operations(DriverChoice::any());
    for op in KeyOp::ALL {
        assert!(shown.contains(KeyOps::from(op)), "{op:?}");
    }
}
