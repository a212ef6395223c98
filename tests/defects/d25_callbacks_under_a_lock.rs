//! D25: a reset calls requests back while it holds the lock that their consumers need.
//!
//! A consumer answers a failed request with another one. Dispatch takes the driver's lock, which
//! the reset has taken.

use std::cell::RefCell;

use device_model::Latch;

use crate::card::{latch, open, rig, seal};

struct Old {
    queue: RefCell<Vec<u32>>,
}

impl Old {
    fn dispatch(&self, request: u32) -> Result<(), &'static str> {
        let mut queue = self.queue.try_borrow_mut().map_err(|_| "deadlock")?;
        queue.push(request);
        Ok(())
    }

    fn reset(
        &self,
        callback: impl Fn(u32) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        let mut queue = self.queue.borrow_mut();
        queue.drain(..).try_for_each(callback)
    }
}

#[test]
fn an_old_consumer_that_answers_meets_the_lock() {
    let old = Old {
        queue: RefCell::new(vec![1]),
    };
    assert_eq!(old.reset(|_| old.dispatch(2)), Err("deadlock"));
}

#[test]
fn consumers_answer_every_callback_of_a_reset_with_a_request() {
    let mut rig = rig(16);
    let mut session = open(&mut rig);
    latch(&rig, Latch::HangEngines);
    let total = 40;
    let mut next = 0;
    let mut dispatch = |rig: &mut tests::Rig, session| {
        if next < total {
            let (request, now) = (seal(rig, session, next, 1), rig.now());
            rig.framework
                .dispatch(now, request)
                .expect("room in the queue");
            next += 1;
        }
    };
    for _ in 0..20 {
        dispatch(&mut rig, session);
    }
    let mut called = 0;
    for _ in 0..100_000 {
        while let Some(finished) = rig.framework.take_finished() {
            called += 1;
            session = rig
                .framework
                .session_current(finished.request.session)
                .unwrap_or(session);
            dispatch(&mut rig, session);
        }
        if called == total || !rig.step() {
            break;
        }
    }
    assert_eq!(called, total);
}
