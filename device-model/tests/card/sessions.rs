//! What becomes of commands on the card when their session changes keys or goes.

use device_model::engine::{Context, Job, Operation};
use regs::{CardSession, Command, Opcode, RingControl, RingRegister, SessionBlock, Status};
use timebase::Span;

use crate::bench::{Bench, DATA, create, destroy, encrypt, eta_block};

const LEN: u32 = 0x8000;
const TAG: u32 = 16;
const BLOCK_AT: u64 = DATA + 0x3_0000;

fn new_block() -> SessionBlock {
    let mut block = eta_block();
    block.set_keys(&[0x2C; 16], &[0x2D; 20]).unwrap();
    block
}

/// A bench with session 0 and its block for the next rekey in place.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.open(0, 8);
    bench.open(1, 8);
    assert_eq!(bench.create(0, &eta_block()), Status::Success);
    bench.put(DATA, &[0; regs::SESSION_BLOCK_LEN]);
    stage(&mut bench, &new_block());
    bench
}

fn stage(bench: &mut Bench, block: &SessionBlock) {
    let mut bytes = [0; regs::SESSION_BLOCK_LEN];
    block.write_to(&mut bytes);
    bench.put(BLOCK_AT, &bytes);
}

fn rekey(session: u32) -> Command {
    Command {
        opcode: Opcode::SessionRekey as u8,
        source: regs::DeviceAddr(BLOCK_AT),
        ..create(session)
    }
}

fn seal(addr: u64) -> Command {
    Command {
        iv: [3; 16],
        destination_len: LEN + TAG,
        ..encrypt(addr, LEN)
    }
}

/// What the engine makes of zeros with the keys of `block`, tag included.
fn answer(block: &SessionBlock) -> Vec<u8> {
    let mut payload = vec![0; LEN as usize];
    let mut digest = vec![0; TAG as usize];
    Context::new(block)
        .unwrap()
        .process(Job {
            operation: Operation::Seal,
            iv: &[3; 16],
            aad: &[],
            esn: [0; 4],
            payload: &mut payload,
            digest: &mut digest,
        })
        .unwrap();
    [payload, digest].concat()
}

/// Bytes of the old keys anywhere on the card.
fn old_keys(bench: &Bench) -> usize {
    let mut found = 0;
    bench.card.visit_memory(&mut |_, memory| {
        found += memory
            .windows(16)
            .filter(|bytes| *bytes == [0xC1; 16])
            .count();
    });
    found
}

#[test]
fn each_command_sees_one_key_whole() {
    let mut bench = bench();
    let second = DATA + 0x1_0000;
    bench.submit(1, seal(DATA));
    // Decoded, on a lane for forty microseconds.
    bench.wait(Span::from_us(3));
    bench.submit(0, rekey(0));
    bench.wait(Span::from_us(5));
    let done = bench.reap(0);
    assert_eq!(done.len(), 1, "a rekey does not wait for commands");
    assert_eq!(done[0].status, Status::Success as u16);
    assert_eq!(bench.reap(1), []);
    assert_eq!(old_keys(&bench), 1, "a command still needs them");
    bench.submit(1, seal(second));
    bench.settle();
    assert!(bench.reap(1).iter().all(|done| done.status == 0));
    assert!(bench.get(DATA, (LEN + TAG) as usize) == answer(&eta_block()));
    assert!(bench.get(second, (LEN + TAG) as usize) == answer(&new_block()));
    assert_eq!(old_keys(&bench), 0, "zeroed with the last command");
}

#[test]
fn old_keys_of_an_idle_session_are_zeroed_at_once() {
    let mut bench = bench();
    assert_eq!(bench.status(0, rekey(0)), Status::Success);
    assert_eq!(old_keys(&bench), 0);
    assert_eq!(bench.status(1, seal(DATA)), Status::Success);
    assert!(bench.get(DATA, (LEN + TAG) as usize) == answer(&new_block()));
}

#[test]
fn old_keys_go_with_the_ring_whose_commands_needed_them() {
    let mut bench = bench();
    bench.submit(1, seal(DATA));
    bench.wait(Span::from_us(3));
    bench.submit(0, rekey(0));
    bench.wait(Span::from_us(5));
    assert_eq!(old_keys(&bench), 1);
    let reset = RingControl::new().with_reset(true).into_bits();
    bench.write_ring(1, RingRegister::RingControl, reset);
    assert_eq!(old_keys(&bench), 0);
}

#[test]
fn old_keys_go_when_the_commands_that_needed_them_are_aborted() {
    let mut bench = bench();
    bench.submit(1, seal(DATA));
    bench.wait(Span::from_us(3));
    bench.submit(0, rekey(0));
    bench.wait(Span::from_us(5));
    assert_eq!(old_keys(&bench), 1);
    let abort = RingControl::new().with_enabled(true).with_abort(true);
    bench.write_ring(1, RingRegister::RingControl, abort.into_bits());
    assert_eq!(old_keys(&bench), 0);
}

#[test]
fn two_rekeys_in_a_row_leave_each_command_its_own_key() {
    let mut bench = bench();
    let places = [DATA, DATA + 0x1_0000, DATA + 0x2_0000];
    let mut blocks = vec![eta_block()];
    for (at, key) in places.into_iter().zip([0x31, 0x32, 0x33]) {
        bench.submit(1, seal(at));
        bench.wait(Span::from_us(3));
        let mut block = new_block();
        block.set_keys(&[key; 16], &[key; 20]).unwrap();
        stage(&mut bench, &block);
        bench.submit(0, rekey(0));
        bench.wait(Span::from_us(3));
        blocks.push(block);
    }
    bench.settle();
    assert_eq!(bench.reap(1).len(), 3);
    for (at, block) in places.into_iter().zip(&blocks) {
        assert!(bench.get(at, (LEN + TAG) as usize) == answer(block));
    }
}

#[test]
fn a_destroyed_session_fails_its_commands_whatever_their_key() {
    let mut bench = bench();
    bench.submit(1, seal(DATA));
    bench.wait(Span::from_us(3));
    bench.submit(0, rekey(0));
    bench.wait(Span::from_us(3));
    bench.submit(1, seal(DATA + 0x1_0000));
    bench.submit(0, destroy(0));
    bench.wait(Span::from_us(5));
    assert_eq!(bench.key_bytes_on_the_card(), 0, "old and new keys");
    bench.settle();
    let done = bench.reap(1);
    let failed = Status::BadSession as u16;
    assert_eq!(done.len(), 2);
    assert!(done.iter().all(|done| done.status == failed));
    assert_eq!(bench.get(DATA, 64), [0; 64], "nothing was written");
}

#[test]
fn a_rekey_changes_keys_and_nothing_else() {
    let mut bench = bench();
    assert_eq!(bench.status(0, rekey(1)), Status::BadSession);
    assert_eq!(bench.status(0, rekey(u32::MAX)), Status::BadSession);
    assert_eq!(bench.status(1, rekey(0)), Status::BadOpcode);
    let mut longer = new_block();
    longer.set_keys(&[1; 32], &[2; 20]).unwrap();
    let mut shorter = new_block();
    shorter.digest_len = 8;
    for other in [longer, shorter] {
        stage(&mut bench, &other);
        assert_eq!(bench.status(0, rekey(0)), Status::BadParameters);
    }
    let short = Command {
        source_len: 255,
        ..rekey(0)
    };
    assert_eq!(bench.status(0, short), Status::BadLength);
    bench.machine.no_read = BLOCK_AT..BLOCK_AT + 1;
    assert_eq!(bench.status(0, rekey(0)), Status::ReadFault);
    assert!(bench.card.has_session(CardSession(0)));
    assert_eq!(bench.status(1, seal(DATA)), Status::Success);
    assert!(bench.get(DATA, (LEN + TAG) as usize) == answer(&eta_block()));
}
