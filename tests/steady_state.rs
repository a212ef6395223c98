//! The steady state allocates nothing, from dispatch to callback.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;

use device_model::Profile;
use framework::{Cipher, Digest, Key, Mode, Operation, Request, RequestFlags, SessionParams};
use sim::recorder::Level;
use tests::Rig;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: passes every call on to the system's allocator unchanged.
#[expect(unsafe_code, reason = "a global allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn params(mode: Mode, cipher: Cipher, digest: Option<Digest>) -> SessionParams {
    let key = |len: usize| (len > 0).then(|| Key::new(&vec![9; len]));
    let cipher_key_len = if cipher == Cipher::Null { 0 } else { 32 };
    let auth_key_len = if digest.is_some() { 32 } else { 0 };
    let iv_len = usize::from(cipher.info().iv.min);
    SessionParams {
        cipher: Some(cipher),
        digest,
        cipher_key_len,
        cipher_key: key(cipher_key_len),
        auth_key_len,
        auth_key: key(auth_key_len),
        iv_len,
        ..SessionParams::of(mode)
    }
}

/// Keeps 32 requests going for `bursts` bursts.
fn run(rig: &mut Rig, requests: &mut VecDeque<Box<Request>>, bursts: u32) {
    let count = requests.len();
    let mut back = VecDeque::with_capacity(count);
    for _ in 0..bursts {
        let now = rig.now();
        assert!(rig.framework.dispatch_batch(now, requests).is_ok());
        while back.len() < count {
            assert!(
                rig.step(),
                "requests outstanding and nothing left to happen"
            );
            while let Some(finished) = rig.framework.take_finished() {
                assert!(finished.result.is_ok(), "{:?}", finished.result);
                back.push_back(finished.request);
            }
        }
        std::mem::swap(requests, &mut back);
    }
}

fn allocations(params: SessionParams, operation: Operation, flags: RequestFlags) -> u64 {
    let iv_len = params.iv_len;
    let mut rig = Rig::new(Profile::reference(), 64, 8, Level::Digest);
    let session = rig.open(params);
    let mut requests: VecDeque<_> = (0..32)
        .map(|_| {
            let mut request = rig.request(session, operation, 1024);
            request.iv = (iv_len > 0).then_some([3; 64]);
            request.flags = flags;
            if operation == Operation::EncryptCompute {
                request.digest_start = 1024;
            }
            request
        })
        .collect();
    // Queues and tables reach their size.
    run(&mut rig, &mut requests, 60);
    let before = ALLOCATIONS.with(Cell::get);
    run(&mut rig, &mut requests, 200);
    // The vector of requests coming back is the test's own.
    ALLOCATIONS.with(Cell::get) - before - 1
}

#[test]
fn requests_in_steady_state_allocate_nothing() {
    for flags in [
        RequestFlags::default(),
        RequestFlags::ORDERED,
        RequestFlags::BATCH,
    ] {
        let null = params(Mode::Cipher, Cipher::Null, None);
        assert_eq!(
            allocations(null, Operation::Encrypt, flags),
            0,
            "null, {flags:?}"
        );
        let gcm = params(Mode::Aead, Cipher::AesGcm, None);
        assert_eq!(
            allocations(gcm, Operation::EncryptCompute, flags),
            0,
            "GCM, {flags:?}"
        );
        let cbc = params(Mode::Cipher, Cipher::AesCbc, None);
        assert_eq!(
            allocations(cbc, Operation::Encrypt, flags),
            0,
            "CBC, {flags:?}"
        );
        let eta = params(
            Mode::EncryptThenAuthenticate,
            Cipher::AesCtr,
            Some(Digest::HmacSha256),
        );
        assert_eq!(
            allocations(eta, Operation::EncryptCompute, flags),
            0,
            "ETA, {flags:?}"
        );
    }
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.with(Cell::get);
    let boxed = std::hint::black_box(Box::new(1_u64));
    assert_eq!(ALLOCATIONS.with(Cell::get), before + 1, "{boxed}");
}
