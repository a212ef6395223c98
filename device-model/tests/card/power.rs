//! Surprise removal, and what is left of a card afterwards.

use regs::{CardSession, Status};
use timebase::{Span, Time};

use crate::bench::{Bench, DATA, encrypt, eta_block};

#[test]
fn a_card_without_power_keeps_nothing_and_does_nothing() {
    let mut bench = Bench::with_null_session(8);
    assert_eq!(bench.create(1, &eta_block()), Status::Success);
    for _ in 0..5 {
        bench.post(1, encrypt(DATA, 64));
    }
    bench.publish(1);
    bench.wait(Span::from_ns(700));
    let events = bench.machine.log.len();
    bench.card.pull_out();
    assert_eq!(bench.key_bytes_on_the_card(), 0);
    assert!(!bench.card.has_session(CardSession(1)));
    assert_eq!(bench.card.deadline(), Time::NEVER);
    assert_eq!(bench.card.next_internal(), Time::NEVER);
    bench.wait(Span::from_ms(10));
    assert_eq!(bench.machine.log.len(), events);
    assert_eq!(bench.reap(1), []);
    assert_eq!(bench.read(0), u32::MAX, "no memory decoding");
    assert!(bench.card.rings().all(|ring| !ring.is_running));
}

#[test]
fn a_card_that_comes_back_is_a_fresh_card() {
    let mut bench = Bench::with_null_session(8);
    bench.submit(1, encrypt(DATA, 64));
    bench.card.pull_out();
    bench.plug_in();
    bench.open(0, 8);
    bench.open(1, 8);
    assert_eq!(bench.status(1, encrypt(DATA, 64)), Status::BadSession);
    assert_eq!(bench.create(0, &eta_block()), Status::Success);
}
