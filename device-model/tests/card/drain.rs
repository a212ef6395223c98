//! Pairs come to their end, take turns, and tell when they run dry.

use device_model::{Latch, Profile};
use regs::{
    CommandFlags, Completion, DeviceAddr, RingArbitration, RingControl, RingRegister, RingStatus,
    SEGMENT_LEN, Status,
};
use timebase::Span;

use crate::bench::{Bench, DATA, encrypt, nop, profile};

const ENTRIES: u32 = 16;

fn control(bench: &mut Bench, ring: u16, control: RingControl) {
    let bits = control.with_enabled(true).into_bits();
    bench.write_ring(ring, RingRegister::RingControl, bits);
}

fn drain(bench: &mut Bench) {
    control(bench, 1, RingControl::new().with_drain(true));
}

fn abort(bench: &mut Bench) {
    control(bench, 1, RingControl::new().with_abort(true));
}

fn status(bench: &mut Bench) -> RingStatus {
    RingStatus::from_bits(bench.read_ring(1, RingRegister::RingStatus))
}

fn statuses(completions: &[Completion]) -> Vec<Status> {
    let status = |entry: &Completion| Status::from_code(entry.status).unwrap();
    completions.iter().map(status).collect()
}

/// A bench with commands on the card that will not finish for a while.
fn busy() -> (Bench, Vec<u64>) {
    let mut bench = Bench::with_null_session(ENTRIES);
    let posted = (0..8).map(|_| bench.post(1, encrypt(DATA, 4096)));
    let posted = posted.collect();
    bench.publish(1);
    bench.wait(Span::from_us(2));
    (bench, posted)
}

#[test]
fn a_drain_completes_what_was_fetched_and_fetches_no_more() {
    let (mut bench, posted) = busy();
    drain(&mut bench);
    assert!(status(&mut bench).running() && status(&mut bench).draining());
    for _ in 0..3 {
        bench.post(1, nop());
    }
    bench.publish(1);
    bench.settle();
    let reaped = bench.reap(1);
    let cookies: Vec<u64> = reaped.iter().map(|entry| entry.cookie).collect();
    assert_eq!(cookies, posted);
    assert!(
        statuses(&reaped)
            .iter()
            .all(|&status| status == Status::Success)
    );
    let status = status(&mut bench);
    assert!(status.drained() && !status.running() && !status.draining());
    assert_eq!(
        bench.read_ring(1, RingRegister::CommandHead),
        8,
        "never fetched the rest"
    );
    assert_eq!(bench.read_ring(1, RingRegister::CommandTail), 11);
}

#[test]
fn a_drain_of_an_idle_pair_ends_at_once() {
    let mut bench = Bench::with_null_session(ENTRIES);
    drain(&mut bench);
    assert!(status(&mut bench).drained());
    bench.open(1, ENTRIES);
    assert!(status(&mut bench).running());
    assert_eq!(bench.status(1, nop()), Status::Success);
}

#[test]
fn a_drain_can_be_taken_back() {
    let (mut bench, _) = busy();
    drain(&mut bench);
    bench.submit(1, nop());
    control(&mut bench, 1, RingControl::new());
    bench.settle();
    assert_eq!(bench.reap(1).len(), 9);
    assert!(status(&mut bench).running());
}

#[test]
fn an_abort_completes_everything_at_once_and_leaves_data_alone() {
    let (mut bench, posted) = busy();
    bench.put(DATA, &[0x5A; 4096]);
    bench.card.latch(Latch::HangEngines);
    abort(&mut bench);
    bench.settle();
    let reaped = bench.reap(1);
    let mut cookies: Vec<u64> = reaped.iter().map(|entry| entry.cookie).collect();
    cookies.sort_unstable();
    assert_eq!(cookies, posted, "each once");
    assert!(statuses(&reaped).contains(&Status::Aborted));
    let aborted = reaped
        .iter()
        .filter(|entry| entry.status == Status::Aborted as u16);
    assert!(aborted.clone().all(|entry| entry.output_len == 0));
    assert!(aborted.count() >= 6, "a hung engine finishes none of them");
    assert!(status(&mut bench).drained());
    assert_eq!(bench.get(DATA, 4096), [0x5A; 4096]);
}

#[test]
fn an_abort_reaches_fences_and_fetches_under_way() {
    for delay in (0..3000).step_by(100) {
        let mut bench = Bench::with_null_session(ENTRIES);
        let mut posted = Vec::new();
        for index in 0..8 {
            let mut command = encrypt(DATA, 1024);
            command.flags.set(CommandFlags::FENCE, index % 3 == 2);
            posted.push(bench.post(1, command));
        }
        bench.publish(1);
        bench.wait(Span::from_ns(delay));
        let fetched_later = bench.read_ring(1, RingRegister::CommandHead) == 0;
        abort(&mut bench);
        bench.settle();
        let cookies: Vec<u64> = bench.reap(1).iter().map(|entry| entry.cookie).collect();
        assert!(
            cookies.len() == 8 || (cookies.is_empty() && fetched_later),
            "{delay} ns"
        );
        assert!(cookies.iter().all(|cookie| posted.contains(cookie)));
        assert!(status(&mut bench).drained(), "{delay} ns");
    }
}

#[test]
fn aborted_results_wait_for_room_as_others_do() {
    let mut bench = Bench::with_null_session(4);
    for _ in 0..3 {
        bench.post(1, nop());
    }
    bench.publish(1);
    bench.settle();
    assert_eq!(bench.reap(1).len(), 3);
    for _ in 0..3 {
        bench.post(1, encrypt(DATA, 64));
    }
    bench.publish(1);
    bench.wait(Span::from_us(2));
    abort(&mut bench);
    bench.settle();
    assert_eq!(bench.reap(1), []);
    assert!(status(&mut bench).completion_full() && status(&mut bench).draining());
    bench.acknowledge(1, false);
    bench.settle();
    assert_eq!(statuses(&bench.reap(1)), [Status::Aborted; 3]);
    assert!(status(&mut bench).drained());
}

#[test]
fn an_abort_cannot_be_taken_back_and_a_reset_ends_it() {
    let (mut bench, _) = busy();
    abort(&mut bench);
    control(&mut bench, 1, RingControl::new());
    assert!(!status(&mut bench).running() || status(&mut bench).draining());
    let reset = RingControl::new().with_reset(true).into_bits();
    bench.write_ring(1, RingRegister::RingControl, reset);
    let after = status(&mut bench);
    assert_eq!(after.into_bits(), 0);
    bench.open(1, ENTRIES);
    assert_eq!(bench.status(1, nop()), Status::Success);
}

#[test]
fn an_aborted_order_runs_no_more() {
    // Scattered commands keep an order beside them; the place goes to the next one.
    let mut bench = Bench::with_null_session(ENTRIES);
    let list = DATA + 0x8000;
    let mut scattered = encrypt(list, 2);
    scattered.flags |= CommandFlags::SOURCE_SEGMENTS | CommandFlags::DESTINATION_SEGMENTS;
    scattered.payload_len = 128;
    for (index, at) in [DATA, DATA + 0x100].into_iter().enumerate() {
        let segment = regs::Segment {
            addr: DeviceAddr(at),
            len: 64,
        };
        bench.put(list + (index * SEGMENT_LEN) as u64, &segment.to_bytes());
    }
    for _ in 0..6 {
        bench.post(1, scattered);
    }
    bench.publish(1);
    bench.wait(Span::from_us(1));
    abort(&mut bench);
    bench.settle();
    bench.reap(1);
    bench.open(1, ENTRIES);
    for _ in 0..6 {
        bench.post(1, scattered);
    }
    bench.publish(1);
    bench.settle();
    assert_eq!(statuses(&bench.reap(1)), [Status::Success; 6]);
}

#[test]
fn a_pair_that_runs_dry_tells_whatever_the_count() {
    for tells in [false, true] {
        let mut bench = Bench::with_null_session(ENTRIES);
        bench.write_ring(1, RingRegister::CoalesceCount, 8);
        control(
            &mut bench,
            1,
            RingControl::new().with_starve_interrupt(tells),
        );
        bench.machine.interrupts.clear();
        for _ in 0..3 {
            bench.post(1, nop());
        }
        bench.publish(1);
        assert!(!tells || bench.card.deadline() <= bench.card.next_internal() + Span::from_us(50));
        bench.settle();
        assert_eq!(bench.machine.interrupts.len(), usize::from(tells));
        assert_eq!(bench.reap(1).len(), 3);
        // Nothing waits once all is acknowledged, so there is nothing to tell.
        bench.acknowledge(1, true);
        bench.settle();
        assert_eq!(bench.machine.interrupts.len(), usize::from(tells));
    }
}

#[test]
fn a_drain_that_ends_tells_of_what_waits() {
    let mut bench = Bench::with_null_session(ENTRIES);
    bench.write_ring(1, RingRegister::CoalesceCount, 8);
    bench.machine.interrupts.clear();
    bench.submit(1, encrypt(DATA, 1024));
    bench.wait(Span::from_us(1));
    drain(&mut bench);
    bench.settle();
    assert_eq!(bench.machine.interrupts.len(), 1);
}

/// Commands of each of eight pairs that were fetched in the time of some, when all want more than
/// the fetch engine gives.
fn shares(setting_of_first: RingArbitration) -> Vec<u32> {
    const PAIRS: u16 = 8;
    let mut bench = Bench::with(Profile {
        ring_pairs: PAIRS,
        fetch_burst: 1,
        ..profile()
    });
    let bits = setting_of_first.into_bits();
    bench.write_ring(1, RingRegister::RingArbitration, bits);
    assert_eq!(bench.read_ring(1, RingRegister::RingArbitration), bits);
    for ring in 1..=PAIRS {
        bench.open(ring, 128);
        for _ in 0..120 {
            bench.post(ring, nop());
        }
    }
    (1..=PAIRS).for_each(|ring| bench.publish(ring));
    bench.wait(Span::from_us(60));
    let head = |ring| bench.read_ring(ring, RingRegister::CommandHead);
    (1..=PAIRS).map(head).collect()
}

#[test]
fn equal_pairs_share_the_fetch_engine() {
    let fetched = shares(RingArbitration::new().with_weight(1));
    let (least, most) = (fetched.iter().min().unwrap(), fetched.iter().max().unwrap());
    assert!(*least > 10 && most - least <= 1, "{fetched:?}");
}

#[test]
fn a_greater_weight_gets_more_and_starves_nobody() {
    let fetched = shares(RingArbitration::new().with_weight(4));
    let others = &fetched[1..];
    assert!(
        others.iter().all(|&count| fetched[0] >= 3 * count / 2),
        "{fetched:?}"
    );
    assert!(others.iter().all(|&count| count > 10), "{fetched:?}");
}

#[test]
fn a_higher_priority_never_waits_for_a_turn() {
    let equal = shares(RingArbitration::new().with_weight(1))[0];
    let fetched = shares(RingArbitration::new().with_priority(1).with_weight(1));
    assert!(
        fetched[0] > equal && fetched[1..].iter().all(|&count| fetched[0] > count),
        "{fetched:?}"
    );
}

#[test]
fn a_setting_keeps_only_the_bits_that_mean_something() {
    let mut bench = Bench::with_null_session(ENTRIES);
    bench.write_ring(1, RingRegister::RingArbitration, u32::MAX);
    assert_eq!(bench.read_ring(1, RingRegister::RingArbitration), 0xFF03);
    assert_eq!(bench.read_ring(2, RingRegister::RingArbitration), 0x100);
}
