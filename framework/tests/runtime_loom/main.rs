//! Small pieces of the runtime in every order of their steps, with memory as weakly ordered as the
//! language allows: what Shuttle, for which memory is in order, cannot show.
//!
//! Each check runs again with faults planted in the system, and must find them: a wake-up that is
//! lost is a deadlock, and loom says so.

#![expect(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the sources of another crate, of which a part is used"
)]

// What `crate::` and `super::` mean in those sources.
use framework::runtime::{Callbacks, Clock};
use framework::*;
use timebase::Time;

#[path = "../../src/runtime/bell.rs"]
mod bell;
mod device;
#[path = "../../src/runtime/inbox.rs"]
mod inbox;
#[path = "../../src/testing/script.rs"]
mod script;
#[path = "../../src/runtime/shard.rs"]
mod shard;
#[path = "../../src/runtime/shared.rs"]
mod shared;
mod sync;

use bell::{Doorbell, Doorstep, Waker};
use device::{Device, Driver};
use inbox::Inbox;
use script::{null_params, request};
use shard::{Inboxes, Owner, Shard};
use sync::{Arc, Fault, Mutex, MutexGuard, Ordering, thread};

use loom::sync::atomic::AtomicUsize;

/// As the runtime's own.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panicked")
}

/// Runs a model in every way, but for those in which threads are interrupted more than `bound`
/// times; and again with each of `faults`, which it must find, in a process of its own: a model
/// that fails may end it.
fn explore(bound: usize, faults: &[Fault], model: fn()) {
    let planted = std::env::var("LOOM_PLANTED").ok();
    let is_planted = |fault: &&Fault| planted.as_deref() == Some(&*format!("{fault:?}"));
    sync::plant(
        faults
            .iter()
            .copied()
            .find(|it| is_planted(&it))
            .unwrap_or(Fault::None),
    );
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(bound);
    builder.check(model);
    if planted.is_some() {
        return;
    }
    let this = std::thread::current();
    let name = this.name().expect("a test has a name");
    for fault in faults {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again
            .args([name, "--exact"])
            .env("LOOM_PLANTED", format!("{fault:?}"));
        let found = again.env("RUST_BACKTRACE", "0").output().unwrap();
        assert!(!found.status.success(), "{fault:?} is found");
    }
}

/// What a dispatcher does until `is_done`: it sleeps, and `looks` when somebody woke it.
fn dispatch(
    doorstep: &Doorstep,
    waker: &Waker,
    mut looks: impl FnMut(),
    is_done: impl Fn() -> bool,
) {
    while !is_done() {
        doorstep.wait(None);
        if waker.take() {
            looks();
        }
    }
}

#[test]
fn what_happened_before_a_wake_is_seen_by_the_service_that_follows() {
    explore(2, &[Fault::Relaxed, Fault::Torn], || {
        let (doorbell, doorstep) = Doorbell::new();
        let waker = Waker::new(doorbell);
        let happened = [0, 1].map(|_| Arc::new(AtomicUsize::new(0)));
        for event in &happened {
            let (event, waker) = (Arc::clone(event), waker.clone());
            thread::spawn(move || {
                event.store(1, Ordering::Relaxed);
                waker.wake();
            });
        }
        let seen = std::cell::Cell::new(0);
        let looks = || {
            let events = happened.iter().map(|event| event.load(Ordering::Relaxed));
            seen.set(events.sum());
        };
        dispatch(&doorstep, &waker, looks, || seen.get() == 2);
    });
}

#[test]
fn two_drivers_at_one_bell_are_both_heard() {
    explore(2, &[Fault::Relaxed], || {
        let (doorbell, doorstep) = Doorbell::new();
        let wakers = [0, 1].map(|_| Waker::new(doorbell.clone()));
        for waker in &wakers {
            let waker = waker.clone();
            thread::spawn(move || waker.wake());
        }
        let mut heard = 0;
        while heard < 2 {
            doorstep.wait(None);
            heard += wakers.iter().filter(|waker| waker.take()).count();
        }
    });
}

#[test]
fn what_is_expected_and_what_is_taken_are_counted_together() {
    explore(2, &[Fault::Torn], || {
        let inbox = Arc::new(Inbox::new());
        inbox.expect(1);
        inbox.push(1);
        let other = Arc::clone(&inbox);
        let beside = thread::spawn(move || {
            other.expect(1);
            other.push(2);
        });
        let mut taken: Vec<i32> = std::iter::from_fn(|| inbox.take(|_| true)).collect();
        beside.join().unwrap();
        taken.extend(std::iter::from_fn(|| inbox.take(|_| true)));
        assert_eq!(taken, [1, 2]);
    });
}

#[test]
fn each_of_two_that_wait_at_one_inbox_gets_what_it_waits_for() {
    explore(2, &[Fault::OneIsTold], || {
        let inbox = Arc::new(Inbox::new());
        inbox.expect(2);
        let other = Arc::clone(&inbox);
        let beside = thread::spawn(move || other.take(|item| *item == 2));
        let sender = Arc::clone(&inbox);
        thread::spawn(move || {
            sender.push(2);
            sender.push(1);
        });
        assert_eq!(inbox.take(|item| *item == 1), Some(1));
        assert_eq!(beside.join().unwrap(), Some(2));
        assert_eq!(inbox.take(|_| true), None);
    });
}

/// A device's driver with a handle for each of two shards; the first is its home.
fn shared_by_two(device: &Device) -> [(shared::Handle, Waker, Doorstep); 2] {
    let ends = [0, 1].map(|_| {
        let (doorbell, doorstep) = Doorbell::new();
        (Waker::new(doorbell), doorstep)
    });
    let wakers = ends.iter().map(|(waker, _)| waker.clone()).collect();
    let mut handles = shared::share(Box::new(Driver(device.clone())), wakers, 0);
    ends.map(|(waker, doorstep)| (handles.next().unwrap(), waker, doorstep))
}

#[test]
fn a_shard_that_was_refused_hears_of_the_room_that_another_shards_thread_finds() {
    explore(2, &[Fault::Relaxed, Fault::Torn], || {
        let device = Device::full();
        let [home, other] = shared_by_two(&device);
        let (working, of_home) = (device.clone(), home.1.clone());
        thread::spawn(move || {
            of_home.wake();
            working.make_room();
            of_home.wake();
        });
        let (mut handle, waker, doorstep) = home;
        thread::spawn(move || {
            let mut output = DriverOutput::default();
            let saw_room = std::cell::Cell::new(false);
            let looks = || {
                // It has done its part when there was room before it serviced. Room that comes
                // after is for the ring that comes with it.
                saw_room.set(handle.unblock_generation() == 1);
                handle.service(Time::ZERO, &mut output);
            };
            dispatch(&doorstep, &waker, looks, || saw_room.get());
        });
        let (mut handle, waker, doorstep) = other;
        let session = DriverSession(0);
        let asked = request(SessionId::default());
        if let Err(blocked) = handle.process(Time::ZERO, session, asked, Hint::Last) {
            doorstep.wait(None);
            assert!(waker.take(), "the bell is this driver's");
            assert_ne!(handle.unblock_generation(), blocked.generation);
        }
    });
}

#[test]
fn a_deadline_that_another_shard_brings_forward_is_seen_at_home() {
    explore(2, &[Fault::Relaxed, Fault::NoFence], || {
        let device = Device::full();
        let [(home, waker, doorstep), (mut other, ..)] = shared_by_two(&device);
        // Somebody else's ring, which nobody has answered.
        waker.nudge();
        thread::spawn(move || {
            device.set_deadline();
            other.flush(Time::ZERO);
        });
        while home.deadline() == Time::NEVER {
            doorstep.wait(None);
        }
    });
}
