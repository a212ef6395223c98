//! D6: a session is closed on a device that has been forgotten.
//!
//! Unregistering wiped the driver's entry, device pointer and all, and kept only its counts. Moving
//! a session away later called the driver through that pointer to free it there.

use framework::{DriverChoice, MigrationPolicy};

use crate::hand::{Bench, Call, NOW};

struct Old {
    device: Option<Vec<u32>>,
}

impl Old {
    fn unregister(&mut self) {
        self.device = None;
    }

    /// Frees a session on the device; the device that is called, if there is one.
    fn free(&mut self, session: u32) -> Option<usize> {
        let device = self.device.as_mut()?;
        device.retain(|other| *other != session);
        Some(device.len())
    }
}

#[test]
fn the_old_order_calls_nobody() {
    let mut old = Old {
        device: Some(vec![1]),
    };
    old.unregister();
    assert_eq!(
        old.free(1),
        None,
        "a call through a pointer that was cleared"
    );
}

#[test]
fn sessions_are_closed_while_the_driver_is_there_and_never_after() {
    let mut bench = Bench::new();
    let (id, hand) = bench.hand("card0", 9);
    for _ in 0..3 {
        bench.open(DriverChoice::any(), MigrationPolicy::Report);
    }
    bench.hand("card1", 9);
    bench.0.unregister(NOW, id).expect("a driver that is there");
    bench.service();
    let calls = &hand.borrow().calls;
    assert_eq!(
        calls[..],
        [Call::Close, Call::Close, Call::Close, Call::Detach]
    );
}
