//! The threaded way: the core's tests once more over it, and what only threads can show.

// What `crate::` means in the core's tests.
use framework::*;

mod device;
mod sync;
mod testing;
mod threads;

#[path = "../../src/completion/tests.rs"]
mod completion;
#[path = "../../src/dispatch/tests.rs"]
mod dispatch;
#[path = "../../src/framework/tests.rs"]
mod every_schedule;
#[path = "../../src/key_dispatch/tests.rs"]
mod key_dispatch;
#[path = "../../src/lifecycle/tests.rs"]
mod lifecycle;
#[path = "../../src/migration/tests.rs"]
mod migration;
#[path = "../../src/registry/tests.rs"]
mod registry;
#[path = "../../src/waiting/tests.rs"]
mod waiting;
