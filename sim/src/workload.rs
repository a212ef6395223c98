//! Consumers: they take pieces of the input, send each forward (encrypt or digest), check the
//! result, send it back (decrypt or verify), and check that it is the input again.
//!
//! A consumer behaves as crypto_request(9) asks: it reads the session's new name from a request
//! that ended with it and dispatches again; a request whose buffer is in doubt it makes anew from
//! its own data.

use std::collections::VecDeque;
use std::ops::Range;

use dma::Pool;
use framework::{
    Buffer, Key, Mode, Operation, Region, Request, RequestFlags, SessionFlags, SessionId,
    SessionParams,
};
use rand::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;
use timebase::Time;

use crate::input::{Cursor, Input};
use crate::reference::{Expected, Reference};
use crate::scenario::{Suite, Workload};

/// Parts of a scatter/gather buffer: uneven on purpose.
const CHAIN_PARTS: [usize; 4] = [1, 7, 48, usize::MAX];
/// Bytes of AAD that authenticated requests carry.
const AAD_LEN: usize = 20;

/// One consumer with one session.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) session: SessionId,
    pub(crate) ordered: bool,
    pub(crate) transparent: bool,
    pub(crate) suite: Suite,
    pub(crate) params: SessionParams,
    pub(crate) outstanding: u32,
    pub(crate) ready: VecDeque<Box<Request>>,
    /// What results are held against; `None` if cards make none.
    reference: Option<Reference>,
    jobs: Vec<Job>,
    idle_jobs: Vec<u32>,
    nonce: u64,
}

/// One piece on its way forward and back.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) phase: Phase,
    pub(crate) dispatched_at: Time,
    /// Length of the payload without the padding of the last block.
    pub(crate) bytes: u32,
    payload: Vec<u8>,
    aad: Vec<u8>,
    pub(crate) iv: [u8; 64],
    /// Counts the consumer's pieces.
    pub(crate) number: u64,
    expected: Expected,
    shape: Shape,
}

/// Where a piece is on its way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// Encrypt or compute.
    Forward,
    /// Verify a digest with a wrong bit: must be refused.
    Tampered,
    /// Decrypt or verify.
    Back,
}

/// How the buffers of a piece's requests look.
#[derive(Clone, Copy, Debug)]
struct Shape {
    separate_output: bool,
    kind: BufferKind,
    /// The IV stands in the buffer instead of apart.
    iv_in_buffer: bool,
}

#[derive(Clone, Copy, Debug)]
enum BufferKind {
    Pooled,
    Chain,
    Unpooled,
}

/// What a result was compared with.
#[derive(Debug)]
pub(crate) struct Compared {
    /// What the bytes are.
    pub(crate) what: &'static str,
    /// What came back.
    pub(crate) actual: Vec<u8>,
    /// What it must be.
    pub(crate) expected: Vec<u8>,
}

impl Consumer {
    /// Consumer number `index` with keys drawn from `chance`; its session is opened by the world.
    ///
    /// # Errors
    /// A message if a reference library cannot serve the suite.
    pub(crate) fn new(
        index: u32,
        suite: Suite,
        transparent: bool,
        chance: &mut Xoshiro256PlusPlus,
    ) -> Result<Self, String> {
        let params = session_params(suite, chance);
        let reference = Reference::new(&params)?;
        Ok(Self {
            session: SessionId::default(),
            ordered: index.is_multiple_of(2),
            transparent,
            suite,
            params,
            outstanding: 0,
            ready: VecDeque::new(),
            reference: Some(reference),
            jobs: Vec::new(),
            idle_jobs: Vec::new(),
            nonce: 0,
        })
    }

    /// Expects no results: the cards make none.
    pub(crate) fn expect_nothing(&mut self) {
        self.reference = None;
    }

    /// Whether results are made, and to be held against something.
    pub(crate) fn expects_results(&self) -> bool {
        self.reference.is_some()
    }

    /// The job a request belongs to.
    pub(crate) fn job(&mut self, number: u32) -> &mut Job {
        &mut self.jobs[number as usize]
    }

    /// Begins a piece; the forward request is put into `ready`.
    ///
    /// # Errors
    /// A message if the reference libraries disagree.
    pub(crate) fn begin(
        &mut self,
        workload: &Workload,
        source: &mut Source<'_>,
    ) -> Result<(), String> {
        let piece = source.cut(workload);
        let mut payload = source.input.bytes(piece).to_vec();
        let bytes = payload.len() as u32;
        let block = self.suite.cipher.map_or(1, framework::Cipher::block_len);
        payload.resize(payload.len().next_multiple_of(block).max(block), 0);
        if block == 1 {
            payload.truncate(bytes as usize);
        }
        let has_aad = matches!(self.params.mode, Mode::Aead | Mode::EncryptThenAuthenticate);
        let aad = if has_aad {
            source.random(AAD_LEN)
        } else {
            Vec::new()
        };
        self.nonce += 1;
        let mut iv = [0; 64];
        // A counter, so that no nonce repeats under a key; the block counter of CTR keeps clear of
        // it.
        iv[..8].copy_from_slice(&self.nonce.to_be_bytes());
        let expected = match &mut self.reference {
            Some(reference) => reference.forward(&iv, &aad, &payload)?,
            None => Expected {
                payload: payload.clone(),
                digest: vec![0; self.params.digest_len()],
            },
        };
        let shape = Shape::draw(workload, self.params.mode, source.chance);
        let job = Job {
            phase: Phase::Forward,
            dispatched_at: Time::ZERO,
            bytes,
            payload,
            aad,
            iv,
            number: self.nonce,
            expected,
            shape,
        };
        let number = if let Some(number) = self.idle_jobs.pop() {
            self.jobs[number as usize] = job;
            number
        } else {
            self.jobs.push(job);
            self.jobs.len() as u32 - 1
        };
        self.make(number, source.pool);
        Ok(())
    }

    /// Makes the request of a job's present phase anew and puts it into `ready`.
    pub(crate) fn make(&mut self, number: u32, pool: &Pool) {
        let job = &self.jobs[number as usize];
        let mut request = job.request(self.session, &self.params, pool);
        request.flags.set(RequestFlags::ORDERED, self.ordered);
        request.opaque |= u64::from(number);
        self.ready.push_back(request);
    }

    /// Sends a job on to `phase`.
    pub(crate) fn go_on(&mut self, number: u32, phase: Phase, pool: &Pool) {
        self.jobs[number as usize].phase = phase;
        self.make(number, pool);
    }

    /// The piece is done.
    pub(crate) fn end(&mut self, number: u32) {
        self.idle_jobs.push(number);
    }

    /// Whether requests of this consumer carry a digest that can be falsified.
    pub(crate) fn verifies(&self) -> bool {
        self.params.digest_len() > 0
    }
}

/// Where pieces, chance and memory come from.
pub(crate) struct Source<'a> {
    pub(crate) input: &'a Input,
    pub(crate) cursor: &'a mut Cursor,
    pub(crate) chance: &'a mut Xoshiro256PlusPlus,
    pub(crate) pool: &'a Pool,
}

impl Source<'_> {
    fn cut(&mut self, workload: &Workload) -> Range<usize> {
        let total: u64 = workload
            .sizes
            .iter()
            .map(|&(_, weight)| u64::from(weight))
            .sum();
        let mut draw = below(self.chance, total.max(1));
        let mut len = workload.sizes.first().map_or(64, |&(bytes, _)| bytes);
        for &(bytes, weight) in &workload.sizes {
            if draw < u64::from(weight) {
                len = bytes;
                break;
            }
            draw -= u64::from(weight);
        }
        self.input.cut(self.cursor, len as usize)
    }

    fn random(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.chance.fill_bytes(&mut bytes);
        bytes
    }
}

impl Shape {
    fn draw(workload: &Workload, mode: Mode, chance: &mut Xoshiro256PlusPlus) -> Self {
        let kind = if percent(chance, workload.unpooled_percent) {
            BufferKind::Unpooled
        } else if percent(chance, workload.chain_percent) {
            BufferKind::Chain
        } else {
            BufferKind::Pooled
        };
        let separate_output =
            mode != Mode::Digest && percent(chance, workload.separate_output_percent);
        let iv_in_buffer = mode != Mode::Aead && percent(chance, 25);
        Self {
            separate_output,
            kind,
            iv_in_buffer,
        }
    }
}

impl Job {
    /// The input buffer is `[IV] ‖ AAD ‖ payload ‖ digest`.
    fn request(&self, session: SessionId, params: &SessionParams, pool: &Pool) -> Box<Request> {
        let iv_len = params.iv_len;
        let head = if self.shape.iv_in_buffer { iv_len } else { 0 };
        let aad = Region {
            start: if self.aad.is_empty() { 0 } else { head },
            len: self.aad.len(),
        };
        let payload = Region {
            start: head + aad.len,
            len: self.payload.len(),
        };
        let digest_len = params.digest_len();
        let mut bytes = Vec::with_capacity(payload.start + payload.len + digest_len);
        bytes.extend_from_slice(&self.iv[..head]);
        bytes.extend_from_slice(&self.aad);
        let (data, digest) = self.input_data(digest_len);
        bytes.extend_from_slice(data);
        bytes.extend_from_slice(&digest);

        let mut request = Request::new(
            session,
            self.operation(params.mode),
            self.buffer(&bytes, pool),
        );
        request.iv = (iv_len > 0 && !self.shape.iv_in_buffer).then_some(self.iv);
        request.aad = aad;
        request.payload = payload;
        request.digest_start = if digest_len > 0 {
            payload.start + payload.len
        } else {
            0
        };
        let computes = self.phase == Phase::Forward;
        if self.shape.separate_output {
            let output_len = payload.len + if computes { digest_len } else { 0 };
            request.output = Some(self.buffer(&vec![0; output_len.max(1)], pool));
            if computes && digest_len > 0 {
                request.digest_start = payload.len;
            }
        }
        if payload.len == 0 && params.digest_len() == 0 {
            request.payload.start = 0;
        }
        request
    }

    fn operation(&self, mode: Mode) -> Operation {
        match (mode, self.phase) {
            (Mode::Cipher, Phase::Forward) => Operation::Encrypt,
            (Mode::Cipher, _) => Operation::Decrypt,
            (Mode::Digest, Phase::Forward) => Operation::ComputeDigest,
            (Mode::Digest, _) => Operation::VerifyDigest,
            (Mode::Aead | Mode::EncryptThenAuthenticate, Phase::Forward) => {
                Operation::EncryptCompute
            }
            (Mode::Aead | Mode::EncryptThenAuthenticate, _) => Operation::VerifyDecrypt,
            (Mode::Compress(_), Phase::Forward) => Operation::Compress,
            (Mode::Compress(_), _) => Operation::Decompress,
        }
    }

    /// Payload and digest as they stand in the input buffer before the request.
    fn input_data(&self, digest_len: usize) -> (&[u8], Vec<u8>) {
        match self.phase {
            Phase::Forward => (&self.payload, vec![0; digest_len]),
            Phase::Back => (&self.expected.payload, self.expected.digest.clone()),
            Phase::Tampered => {
                let mut digest = self.expected.digest.clone();
                digest[0] ^= 0x80;
                (&self.expected.payload, digest)
            }
        }
    }

    fn buffer(&self, bytes: &[u8], pool: &Pool) -> Buffer {
        let part = |bytes: &[u8]| {
            let mut buffer = pool.take(bytes.len()).ok()?;
            buffer.copy_from_slice(bytes);
            Some(buffer)
        };
        let pooled = match self.shape.kind {
            BufferKind::Unpooled => None,
            BufferKind::Pooled => part(bytes).map(Buffer::Pooled),
            BufferKind::Chain => {
                let mut rest = bytes;
                let mut parts = Vec::new();
                for len in CHAIN_PARTS {
                    let (head, tail) = rest.split_at(len.min(rest.len()));
                    parts.push(part(head));
                    rest = tail;
                }
                parts
                    .into_iter()
                    .collect::<Option<Vec<_>>>()
                    .map(Buffer::Chain)
            }
        };
        // An exhausted pool is not the consumer's trouble: other memory is bounced.
        pooled.unwrap_or_else(|| Buffer::Memory(bytes.to_vec()))
    }

    /// What a request that ended well must have made.
    pub(crate) fn compare_result(&self, request: &Request) -> Vec<Compared> {
        let forward = self.phase == Phase::Forward;
        let (buffer, start) = match &request.output {
            Some(output) => (output, request.payload_output_start),
            None => (&request.buffer, request.payload.start),
        };
        let payload = if forward {
            &self.expected.payload
        } else {
            &self.payload
        };
        let mut compared = vec![compared("result", buffer, start, payload)];
        if forward && !self.expected.digest.is_empty() {
            compared.push(compared_digest(
                buffer,
                request.digest_start,
                &self.expected.digest,
            ));
        }
        if request.output.is_some() {
            compared.push(self.compare_input(request));
        }
        compared
    }

    /// What the input must be if nothing was to be written.
    pub(crate) fn compare_input(&self, request: &Request) -> Compared {
        let (data, _) = self.input_data(0);
        compared(
            "untouched input",
            &request.buffer,
            request.payload.start,
            data,
        )
    }
}

fn compared(what: &'static str, buffer: &Buffer, start: usize, expected: &[u8]) -> Compared {
    let mut actual = vec![0; expected.len()];
    if start + expected.len() <= buffer.len() {
        buffer.copy_out(start, &mut actual);
    } else {
        actual.clear();
    }
    Compared {
        what,
        actual,
        expected: expected.to_vec(),
    }
}

fn compared_digest(buffer: &Buffer, start: usize, expected: &[u8]) -> Compared {
    compared("digest", buffer, start, expected)
}

/// Parameters of a session of `suite` with keys drawn from `chance`.
pub(crate) fn session_params(suite: Suite, chance: &mut Xoshiro256PlusPlus) -> SessionParams {
    let mut key = |len: usize| {
        let mut bytes = vec![0; len];
        chance.fill_bytes(&mut bytes);
        (len > 0).then(|| Key::new(&bytes))
    };
    SessionParams {
        mode: suite.mode,
        flags: SessionFlags::SEPARATE_OUTPUT,
        cipher: suite.cipher,
        digest: suite.digest,
        cipher_key_len: suite.cipher_key_len,
        cipher_key: key(suite.cipher_key_len),
        auth_key_len: suite.auth_key_len,
        auth_key: key(suite.auth_key_len),
        iv_len: suite.iv_len,
        auth_digest_len: suite.auth_digest_len,
    }
}

/// A number below `bound`.
pub(crate) fn below(chance: &mut Xoshiro256PlusPlus, bound: u64) -> u64 {
    // The bias of a remainder is far below what a workload mix can show.
    chance.next_u64() % bound
}

/// True in `percent` of 100 draws.
pub(crate) fn percent(chance: &mut Xoshiro256PlusPlus, percent: u8) -> bool {
    below(chance, 100) < u64::from(percent)
}
