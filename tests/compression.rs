//! The card compresses what software decompresses and the other way round, in every kind of buffer,
//! and no result leaves its room.

use device_model::{Latch, Profile};
use framework::software::Transform;
use framework::{
    Buffer, Compression, Mbuf, Mode, Operation, Region, Request, RequestError, SessionId,
    SessionParams,
};
use sim::recorder::Level;
use tests::Rig;

/// Payloads begin here, so that a start of zero is not taken for granted.
const START: usize = 5;

fn params() -> SessionParams {
    SessionParams::of(Mode::Compress(Compression::Deflate))
}

fn rig() -> (Rig, SessionId) {
    let mut rig = Rig::new(Profile::reference(), 64, 1, Level::Digest);
    let session = rig.open(params());
    (rig, session)
}

fn text(len: usize) -> Vec<u8> {
    let words = b"ring slot descriptor doorbell session request completion ";
    words.iter().copied().cycle().take(len).collect()
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(step).collect()
}

/// A buffer of each kind with `bytes` in it.
fn buffers(rig: &Rig, bytes: &[u8]) -> Vec<Buffer> {
    let pooled = |bytes: &[u8]| {
        let mut memory = rig.pool.take(bytes.len()).expect("pool memory");
        memory.copy_from_slice(bytes);
        memory
    };
    let half = bytes.len() / 2;
    let (first, second) = bytes.split_at(half);
    vec![
        Buffer::Memory(bytes.to_vec()),
        Buffer::Pooled(pooled(bytes)),
        Buffer::Chain(vec![pooled(first), pooled(second)]),
        Buffer::vectors(vec![first.to_vec(), second.to_vec()]),
    ]
}

fn request(session: SessionId, operation: Operation, buffer: Buffer, len: usize) -> Box<Request> {
    let mut request = Request::new(session, operation, buffer);
    request.payload = Region { start: START, len };
    request
}

/// Has the card do `request`, and gives it back with what became of it.
fn run(rig: &mut Rig, request: Box<Request>) -> (Box<Request>, Result<(), RequestError>) {
    rig.framework
        .dispatch(rig.now(), request)
        .expect("a valid request");
    loop {
        if let Some(finished) = rig.framework.take_finished() {
            return (finished.request, finished.result);
        }
        assert!(rig.step(), "a callback, or something left to happen");
    }
}

fn bytes_of(buffer: &Buffer) -> Vec<u8> {
    let mut bytes = vec![0; buffer.len()];
    buffer.copy_out(0, &mut bytes);
    bytes
}

/// `payload` behind the bytes before it, with `room` bytes behind it.
fn framed(payload: &[u8], room: usize) -> Vec<u8> {
    [&[0xEE; START], payload, &vec![0xDD; room]].concat()
}

#[test]
fn software_decompresses_what_the_card_compressed() {
    let (mut rig, session) = rig();
    let mut software = Transform::new(&params()).expect("valid parameters");
    for len in [200, 4000, 60_000] {
        let plain = framed(&text(len), 3);
        for buffer in buffers(&rig, &plain) {
            let compress = request(session, Operation::Compress, buffer, len);
            let (mut done, result) = run(&mut rig, compress);
            assert_eq!(result, Ok(()));
            assert!(done.result_len < len / 2, "{} of {len}", done.result_len);
            let after = bytes_of(&done.buffer);
            assert_eq!(after.len(), plain.len(), "what follows stays where it is");
            assert_eq!(after[..START], plain[..START]);
            assert_eq!(after[START + len..], plain[START + len..]);
            let mut whole = Request::new(session, Operation::Decompress, Buffer::Memory(after));
            whole.buffer = Buffer::Memory([bytes_of(&done.buffer), vec![0; len]].concat());
            whole.payload = Region {
                start: START,
                len: done.result_len,
            };
            software.process(&mut whole).expect("a deflate stream");
            assert_eq!(whole.result_len, len);
            assert_eq!(
                bytes_of(&whole.buffer)[START..][..len],
                plain[START..][..len]
            );

            done.operation = Operation::Decompress;
            done.payload.len = done.result_len;
            let (done, result) = run(&mut rig, done);
            assert_eq!((result, done.result_len), (Ok(()), len));
            assert_eq!(bytes_of(&done.buffer)[..START + len], plain[..START + len]);
        }
    }
}

#[test]
fn the_card_decompresses_what_software_compressed_and_a_chain_of_mbufs_grows() {
    let (mut rig, session) = rig();
    let mut software = Transform::new(&params()).expect("valid parameters");
    let plain = text(5000);
    let buffer = Buffer::Memory(framed(&plain, 0));
    let mut squeezed = request(session, Operation::Compress, buffer, plain.len());
    software.process(&mut squeezed).expect("software does it");
    let len = squeezed.result_len;
    let stream = bytes_of(&squeezed.buffer)[..START + len].to_vec();
    let mbuf = Mbuf::new(&stream, 0, 8192);
    let chain = Buffer::mbufs(vec![mbuf], 8192);
    let (done, result) = run(
        &mut rig,
        request(session, Operation::Decompress, chain, len),
    );
    assert_eq!((result, done.result_len), (Ok(()), plain.len()));
    assert_eq!(bytes_of(&done.buffer)[START..], plain);
}

#[test]
fn a_payload_that_does_not_get_shorter_stays_as_it_is() {
    let (mut rig, session) = rig();
    for len in [0, 1, 2, 700] {
        let plain = framed(&noise(len), 2);
        for buffer in buffers(&rig, &plain) {
            let compress = request(session, Operation::Compress, buffer, len);
            let (done, result) = run(&mut rig, compress);
            assert_eq!(result, Ok(()));
            assert!(done.result_len >= len);
            assert_eq!(bytes_of(&done.buffer), plain);
        }
    }
}

#[test]
fn a_bomb_and_what_is_no_stream_leave_everything_as_it_was() {
    let (mut rig, session) = rig();
    let bomb = {
        let mut software = Transform::new(&params()).expect("valid parameters");
        let zeros = Buffer::Memory(framed(&vec![0; 900_000], 0));
        let mut squeezed = request(session, Operation::Compress, zeros, 900_000);
        software.process(&mut squeezed).expect("software does it");
        bytes_of(&squeezed.buffer)[START..][..squeezed.result_len].to_vec()
    };
    let cases = [
        (bomb, RequestError::TooBig),
        (vec![0xFF; 40], RequestError::BadData),
        (Vec::new(), RequestError::BadData),
    ];
    for (payload, expected) in cases {
        let before = framed(&payload, 1000);
        for buffer in buffers(&rig, &before) {
            let decompress = request(session, Operation::Decompress, buffer, payload.len());
            let (done, result) = run(&mut rig, decompress);
            assert_eq!(result, Err(expected));
            assert_eq!(bytes_of(&done.buffer), before);
        }
    }
}

#[test]
fn a_card_that_hangs_while_it_compresses_loses_nothing() {
    let (mut rig, session) = rig();
    let plain = framed(&text(3000), 0);
    rig.port
        .borrow_mut()
        .card_mut()
        .expect("a card")
        .latch(Latch::HangEngines);
    for buffer in buffers(&rig, &plain) {
        let (done, result) = run(
            &mut rig,
            request(session, Operation::Compress, buffer, 3000),
        );
        match result {
            Ok(()) => assert!(done.result_len < 3000),
            Err(_) => assert_eq!(bytes_of(&done.buffer), plain),
        }
    }
}
