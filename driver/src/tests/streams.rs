//! What a request looks like to the card: streams, directions, keys, copies.

use dma::PoolBuffer;
use framework::{
    Buffer, Cipher, Digest, DriverError, DriverSession, Key, Mode, Operation, Region, Request,
    SessionId, SessionParams,
};
use regs::{Command, CommandFlags, Segment, Status};

use super::{Bench, cbc_params, config, null_params, request_on};
use crate::Direction;

fn eta_params() -> SessionParams {
    SessionParams {
        mode: Mode::EncryptThenAuthenticate,
        digest: Some(Digest::HmacSha256),
        auth_key_len: 20,
        auth_key: Some(Key::new(&[0xAA; 20])),
        auth_digest_len: 12,
        ..cbc_params()
    }
}

fn bench_with(params: &SessionParams) -> (Bench, DriverSession) {
    Bench::running_with(config(8), params)
}

impl Bench {
    /// Posts `request` and gives the command as the card fetched it.
    fn post(&mut self, session: DriverSession, request: Box<Request>) -> Command {
        self.process(session, request).unwrap();
        self.card().fetch(1);
        let pending = &self.card().ring(1).pending;
        *pending.last().expect("a posted command")
    }

    fn source(&mut self, command: &Command) -> Vec<Segment> {
        let is_list = command.flags.contains(CommandFlags::SOURCE_SEGMENTS);
        self.card()
            .runs(command.source, command.source_len, is_list)
    }

    fn destination(&mut self, command: &Command) -> Vec<Segment> {
        let is_list = command.flags.contains(CommandFlags::DESTINATION_SEGMENTS);
        let (addr, len) = (command.destination, command.destination_len);
        self.card().runs(addr, len, is_list)
    }

    fn source_bytes(&mut self, command: &Command) -> Vec<u8> {
        let runs = self.source(command);
        let card = self.card();
        let bytes = runs
            .iter()
            .flat_map(|run| card.dma_read(run.addr, run.len as usize));
        bytes.collect()
    }

    /// The card writes `bytes` to the destination stream and completes the command.
    fn answer(&mut self, command: &Command, mut bytes: &[u8]) -> Box<Request> {
        for run in self.destination(command) {
            let (part, rest) = bytes.split_at(run.len as usize);
            self.card().dma_write(run.addr, part);
            bytes = rest;
        }
        assert!(bytes.is_empty(), "the destination is shorter");
        self.card().complete(1, 0, Status::Success);
        self.service();
        let done = self.output.completed.pop().unwrap();
        assert_eq!(done.result, Ok(()));
        assert_eq!(self.card().open_windows(), 0);
        done.request
    }

    fn chain(&mut self, parts: &[&[u8]]) -> Buffer {
        Buffer::Chain(parts.iter().map(|part| self.pooled(part)).collect())
    }
}

fn counting(len: u8) -> Vec<u8> {
    (0..len).collect()
}

fn bytes_of(buffer: &Buffer) -> Vec<u8> {
    let mut bytes = vec![0; buffer.len()];
    buffer.copy_out(0, &mut bytes);
    bytes
}

#[test]
fn a_pooled_request_is_worked_on_where_it_is() {
    let (mut bench, session) = bench_with(&cbc_params());
    let buffer = bench.pooled(&counting(64));
    let place = PoolBuffer::offset(&buffer);
    let mut request = request_on(7, Buffer::Pooled(buffer), 32);
    request.payload.start = 16;
    request.iv_start = 0;
    let command = bench.post(session, request);
    assert_eq!(command.source, command.destination);
    assert_eq!((command.source_len, command.destination_len), (32, 32));
    assert_eq!(command.payload_len, 32);
    assert_eq!(command.flags, CommandFlags::ENCRYPT);
    assert_eq!(command.iv.as_slice(), counting(16), "from the buffer");
    let direction = bench.card().direction_of(command.source);
    assert_eq!(direction, Direction::Bidirectional);
    let request = bench.answer(&command, &[0xEE; 32]);
    let Buffer::Pooled(buffer) = &request.buffer else {
        panic!("another kind of buffer came back");
    };
    assert_eq!(buffer.offset(), place, "the same memory");
    assert_eq!(buffer[16..48], [0xEE; 32]);
    assert_eq!(buffer[48..], counting(64)[48..]);
    assert_eq!(bench.stats().bounces, 0);
}

#[test]
fn an_iv_apart_from_the_buffer_is_cut_to_its_length() {
    let mut params = cbc_params();
    params.cipher = Some(Cipher::AesXts);
    params.cipher_key_len = 32;
    params.cipher_key = Some(Key::new(&[1; 32]));
    params.iv_len = 8;
    let (mut bench, session) = bench_with(&params);
    let mut request = bench.request(1);
    request.iv = Some([0x77; 64]);
    let command = bench.post(session, request);
    assert_eq!(command.iv[..8], [0x77; 8]);
    assert_eq!(command.iv[8..], [0; 8]);
}

#[test]
fn nothing_to_do_is_done_too() {
    let (mut bench, session) = bench_with(&null_params());
    for buffer in [Buffer::Memory(vec![]), Buffer::Chain(vec![])] {
        let command = bench.post(session, request_on(1, buffer, 0));
        assert_eq!((command.source_len, command.destination_len), (0, 0));
        bench.answer(&command, &[]);
    }
    let buffer = Buffer::Pooled(bench.pooled(&[]));
    let command = bench.post(session, request_on(1, buffer, 0));
    assert_eq!(command.source_len, 0);
    bench.answer(&command, &[]);
}

#[test]
fn neighbouring_regions_are_direct_and_others_are_lists() {
    let (mut bench, session) = bench_with(&eta_params());
    let buffer = Buffer::Pooled(bench.pooled(&counting(100)));
    let mut request = request_on(1, buffer, 32);
    request.operation = Operation::VerifyDecrypt;
    request.iv = Some([0; 64]);
    request.aad = Region { start: 8, len: 8 };
    request.payload.start = 16;
    request.digest_start = 48;
    let command = bench.post(session, request);
    assert_eq!(command.flags, CommandFlags::VERIFY, "one run");
    assert_eq!(command.source_len, 8 + 32 + 12);
    assert_eq!((command.aad_len, command.destination_len), (8, 32));
    assert_eq!(bench.source_bytes(&command), counting(60)[8..]);
    let mut request = bench.answer(&command, &[0xEE; 32]);

    request.operation = Operation::EncryptCompute;
    request.aad.start = 0;
    request.digest_start = 80;
    let command = bench.post(session, request);
    assert_eq!(bench.source(&command).len(), 2);
    assert_eq!(bench.destination(&command).len(), 2);
    let request = bench.answer(&command, &[&[0xDD; 32][..], &[0xCC; 12]].concat());
    let bytes = bytes_of(&request.buffer);
    assert_eq!(bytes[16..48], [0xDD; 32]);
    assert_eq!(bytes[80..92], [0xCC; 12]);
}

#[test]
fn a_digest_session_writes_the_digest_alone() {
    let params = SessionParams {
        mode: Mode::Digest,
        cipher: None,
        digest: Some(Digest::Sha256),
        ..null_params()
    };
    let (mut bench, session) = bench_with(&params);
    let buffer = Buffer::Pooled(bench.pooled(&counting(100)));
    let mut request = request_on(1, buffer, 60);
    request.operation = Operation::ComputeDigest;
    request.digest_start = 64;
    let command = bench.post(session, request);
    assert_eq!(command.flags, CommandFlags::ENCRYPT);
    assert_eq!((command.source_len, command.destination_len), (60, 32));
    let mut request = bench.answer(&command, &[5; 32]);
    request.operation = Operation::VerifyDigest;
    let command = bench.post(session, request);
    assert_eq!(command.destination_len, 0);
    let source = bench.source(&command);
    let direction = bench.card().direction_of(source[0].addr);
    assert_eq!(direction, Direction::ToDevice, "nothing is written");
}

#[test]
fn separate_buffers_are_mapped_one_way() {
    let (mut bench, session) = bench_with(&eta_params());
    let buffer = Buffer::Pooled(bench.pooled(&counting(32)));
    let mut request = request_on(1, buffer, 32);
    request.operation = Operation::EncryptCompute;
    request.iv = Some([0; 64]);
    request.separate_aad = Some(Buffer::Pooled(bench.pooled(b"header")));
    request.output = Some(Buffer::Pooled(bench.pooled(&[0; 60])));
    request.payload_output_start = 4;
    request.digest_start = 40;
    let command = bench.post(session, request);
    assert_eq!(command.aad_len, 6);
    let expected = [b"header", &counting(32)[..]].concat();
    assert_eq!(bench.source_bytes(&command), expected);
    let destination = bench.destination(&command);
    let out = bench.card().direction_of(destination[0].addr);
    assert_eq!(out, Direction::FromDevice);
    for run in bench.source(&command) {
        let direction = bench.card().direction_of(run.addr);
        assert_eq!(direction, Direction::ToDevice);
    }
    let request = bench.answer(&command, &[&[0xDD; 32][..], &[0xCC; 12]].concat());
    let output = bytes_of(request.output.as_ref().unwrap());
    assert_eq!(output[4..36], [0xDD; 32]);
    assert_eq!(output[40..52], [0xCC; 12]);
    assert_eq!(bytes_of(&request.buffer), counting(32));
    assert_eq!(bytes_of(request.separate_aad.as_ref().unwrap()), b"header");
}

#[test]
fn plain_memory_is_copied_and_counted() {
    let (mut bench, session) = bench_with(&eta_params());
    let mut request = request_on(1, Buffer::Memory(counting(100)), 32);
    request.operation = Operation::EncryptCompute;
    request.iv = Some([0; 64]);
    request.aad = Region { start: 10, len: 6 };
    request.payload.start = 20;
    request.digest_start = 60;
    let command = bench.post(session, request);
    let expected = [&counting(100)[10..16], &counting(100)[20..52]].concat();
    assert_eq!(bench.source_bytes(&command), expected);
    let request = bench.answer(&command, &[&[0xDD; 32][..], &[0xCC; 12]].concat());
    let mut expected = counting(100);
    expected[20..52].fill(0xDD);
    expected[60..72].fill(0xCC);
    assert_eq!(bytes_of(&request.buffer), expected);
    assert_eq!(bench.stats().bounces, 1);
    let in_and_out = (72 - 10) + (32 + 12);
    assert_eq!(bench.stats().bounced_bytes, in_and_out);
}

#[test]
fn a_copy_that_failed_leaves_the_original_alone() {
    let (mut bench, session) = bench_with(&null_params());
    let request = request_on(1, Buffer::Memory(counting(64)), 64);
    let command = bench.post(session, request);
    bench.card().dma_write(command.destination, &[0xEE; 64]);
    bench.card().complete(1, 0, Status::Aborted);
    bench.service();
    let done = bench.output.completed.pop().unwrap();
    assert_eq!(done.result, Err(DriverError::Lost { untouched: true }));
    assert_eq!(bytes_of(&done.request.buffer), counting(64));
}

#[test]
fn a_plain_output_is_copied_out_only() {
    let (mut bench, session) = bench_with(&null_params());
    let mut request = request_on(1, Buffer::Memory(counting(64)), 16);
    request.output = Some(Buffer::Memory(vec![1; 40]));
    request.payload_output_start = 20;
    let command = bench.post(session, request);
    let request = bench.answer(&command, &[0xEE; 16]);
    let output = bytes_of(request.output.as_ref().unwrap());
    assert_eq!(output[..20], [1; 20]);
    assert_eq!(output[20..36], [0xEE; 16]);
    assert_eq!(bench.stats().bounces, 2);
    assert_eq!(bench.stats().bounced_bytes, 32);
}

#[test]
fn a_chain_keeps_its_parts_in_order() {
    let (mut bench, session) = bench_with(&null_params());
    let bytes = counting(30);
    let buffer = bench.chain(&[&bytes[..7], &[], &bytes[7..20], &bytes[20..]]);
    let mut request = request_on(1, buffer, 20);
    request.payload.start = 3;
    let command = bench.post(session, request);
    assert_eq!(bench.source(&command).len(), 3);
    assert_eq!(bench.source_bytes(&command), bytes[3..23]);
    let request = bench.answer(&command, &[0xEE; 20]);
    let mut expected = bytes;
    expected[3..23].fill(0xEE);
    assert_eq!(bytes_of(&request.buffer), expected);
    let Buffer::Chain(parts) = &request.buffer else {
        panic!("another kind of buffer came back");
    };
    let lens: Vec<_> = parts.iter().map(|part| part.len()).collect();
    assert_eq!(lens, [7, 0, 13, 10]);
}

#[test]
fn a_chain_that_runs_out_of_windows_halfway_is_put_back() {
    let (mut bench, session) = bench_with(&null_params());
    let request = bench.request(1);
    bench.process(session, request).unwrap();
    bench.card().max_windows = 3;
    let buffer = bench.chain(&[&[1; 5], &[2; 6], &[3; 7]]);
    let blocked = bench
        .process(session, request_on(2, buffer, 18))
        .unwrap_err();
    let expected = [&[1; 5][..], &[2; 6], &[3; 7]].concat();
    assert_eq!(bytes_of(&blocked.request.buffer), expected);
    assert_eq!(bench.card().open_windows(), 1);
}

#[test]
fn what_exceeds_the_card_is_too_big_and_comes_back_whole() {
    let (mut bench, session) = bench_with(&eta_params());
    let parts = vec![[1_u8].as_slice(); 33];
    let buffer = bench.chain(&parts);
    let chain = request_on(1, buffer, 33);
    let mut aad = request_on(2, Buffer::Memory(vec![0; 66_000]), 16);
    aad.aad = Region {
        start: 16,
        len: 65_536,
    };
    let payload = (1 << 20) + 16;
    let long = request_on(3, Buffer::Memory(vec![0; payload]), payload);
    for mut request in [chain, aad, long] {
        request.operation = Operation::EncryptCompute;
        request.iv = Some([0; 64]);
        let (id, len) = (request.id.0, request.buffer.len());
        let posted = bench.stats().posted;
        bench.process(session, request).unwrap();
        bench.service();
        let done = bench.output.completed.pop().unwrap();
        assert_eq!(
            (done.request.id.0, done.result),
            (id, Err(DriverError::TooBig))
        );
        assert_eq!(done.request.buffer.len(), len);
        assert_eq!(bench.stats().posted, posted);
    }
    assert_eq!(bench.stats().too_big, 3);
    assert_eq!(bench.card().open_windows(), 0);
}

#[test]
fn request_keys_come_first_and_are_zeroed_after() {
    let (mut bench, session) = bench_with(&eta_params());
    let mut request = bench.request(1);
    request.operation = Operation::EncryptCompute;
    request.payload.len = 32;
    request.digest_start = 32;
    request.iv = Some([0; 64]);
    request.cipher_key = Some(Key::new(b"only for this 1!"));
    let command = bench.post(session, request);
    assert!(command.flags.contains(CommandFlags::REQUEST_KEYS));
    let expected = [&b"only for this 1!"[..], &[0xAA; 20], &[1; 32]].concat();
    assert_eq!(
        bench.source_bytes(&command),
        expected,
        "the other is the session's"
    );
    assert!(bench.card().pool.find(b"only for this 1!").is_some());
    bench.answer(&command, &[0; 44]);
    assert_eq!(bench.card().pool.find(b"only for this 1!"), None);
}

#[test]
fn more_lists_than_areas_wait_for_one() {
    let (mut bench, session) = Bench::running(1024);
    for id in 0..256 {
        let buffer = bench.chain(&[&[1; 5], &[2; 6]]);
        bench.process(session, request_on(id, buffer, 11)).unwrap();
    }
    let buffer = bench.chain(&[&[1; 5], &[2; 6]]);
    let blocked = bench
        .process(session, request_on(256, buffer, 11))
        .unwrap_err();
    assert_eq!(bench.stats().refused_no_area, 1);
    bench.serve();
    bench.process(session, blocked.request).unwrap();
    bench.serve();
    assert_eq!(bench.completed_ids().len(), 257);
    assert_eq!(bench.stats().bounces, 0);
}

#[test]
fn the_card_session_and_its_requests_agree() {
    let (mut bench, first) = bench_with(&null_params());
    let second = bench.open(&null_params());
    assert_ne!(first, second);
    let request = Request::new(
        SessionId::default(),
        Operation::Decrypt,
        Buffer::Memory(vec![0; 8]),
    );
    let command = bench.post(second, request);
    assert_eq!(command.session.0, second.0);
    assert_eq!(command.flags, CommandFlags::empty());
}
