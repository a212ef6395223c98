//! What becomes of sessions and requests when drivers come and go.

use std::collections::VecDeque;

use timebase::Time;

use crate::testing::{Bench, Handle, NOW, null_params, request};
use crate::{
    CancelError, Candidate, DriverChoice, DriverFlags, DriverId, DriverState, Finished,
    FrameworkEvent, LeastLoaded, Limits, MigrationPolicy, MoveReason, NoSuchDriver, OpenError,
    Placement, Rebalance, RequestError, RequestFlags, RequestId, RequestInvalid, SessionError,
    SessionId, SessionParams,
};

#[path = "tests/asked.rs"]
mod asked;
#[path = "tests/left_behind.rs"]
mod left_behind;
#[path = "tests/lost.rs"]
mod lost;
#[path = "tests/unregistered.rs"]
mod unregistered;

const REPORT: MigrationPolicy = MigrationPolicy::Report;
const TRANSPARENT: MigrationPolicy = MigrationPolicy::Transparent;

/// Two cards, a session on the first with three requests in flight and two queued.
fn loaded(policy: MigrationPolicy) -> (Bench, SessionId, [(DriverId, Handle); 2]) {
    let mut bench = Bench::new();
    let one = bench.card("one");
    let two = bench.card("two");
    let session = bench.session(policy);
    one.1.set(|script| script.room = 3);
    for _ in 0..5 {
        bench.dispatch(session);
    }
    (bench, session, [one, two])
}
