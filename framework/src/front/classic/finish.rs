//! A request's way: dispatch, its steps, its end; `crypto_dispatch`, `crypto_done`.

use std::collections::VecDeque;

use timebase::Time;

use super::plan::{Plan, reads_iv, writes_iv};
use super::session::{Part, Suite, iv_len};
use super::{
    Classic, CrpBuf, CryptoFlags, Cryptop, DescFlags, Done, EALG_MAX_BLOCK_LEN, IvPolicy, Refused,
    crypto_sid_caps, crypto_sid_lid,
};
use crate::{
    Buffer, DriverFlags, Errno, Finished, Mode, Operation, Request, RequestError, SessionId,
};

/// Most requests of a session that wait for an IV.
const WAITING_MAX: usize = 1024;

/// A request that the framework has, apart from its data.
#[derive(Debug)]
pub(super) struct Pending {
    request: Box<Cryptop>,
    plan: Plan,
    iv: Option<[u8; 64]>,
    /// What the IV overwrote, and where.
    under_iv: Option<(usize, Vec<u8>)>,
    /// The data as it was given, if the framework has a copy.
    original: Option<CrpBuf>,
    /// Where the copy has room for the digest.
    mac_at: Option<usize>,
    /// Whether the next request of the session waits for this one's last block.
    chained: bool,
    /// Whether a step has written to the data.
    has_written: bool,
}

impl Classic {
    /// Accepts a request. It comes out of [`take_done`](Self::take_done) exactly once, perhaps as
    /// soon as this returns; everything that may be wrong with it is said there, in `crp_etype`:
    /// `ENOENT` for an unknown session, `EAGAIN` for one that moved, `EINVAL` for descriptors that
    /// do not fit the session, the data or each other, `ENOMEM` for a full queue.
    ///
    /// # Errors
    /// [`Refused`] with `EINVAL` if there is no request or nobody to call back.
    pub fn crypto_dispatch(
        &mut self,
        now: Time,
        request: Option<Box<Cryptop>>,
    ) -> Result<(), Refused<Cryptop>> {
        let errno = Errno::EINVAL;
        match request {
            Some(mut request) if request.crp_callback.is_some() => {
                request.crp_flags.remove(CryptoFlags::DONE);
                request.crp_etype = None;
                self.start(now, request);
                self.collect(now);
                Ok(())
            }
            request => Err(Refused { errno, request }),
        }
    }

    fn start(&mut self, now: Time, mut request: Box<Cryptop>) {
        let Some(current) = self.current(request.crp_sid) else {
            return self.finish(request, Some(Errno::ENOENT));
        };
        if current != request.crp_sid {
            request.crp_sid = current;
            return self.finish(request, Some(Errno::EAGAIN));
        }
        let kinds = CryptoFlags::IMBUF | CryptoFlags::IOV;
        let fits = request.crp_flags & kinds == request.crp_buf.kind()
            && request.crp_ilen <= request.crp_buf.len();
        let session = &self.sessions[&crypto_sid_lid(current)];
        match Plan::of(session, &request) {
            Ok(plan) if fits => self.start_planned(now, request, plan),
            Ok(_) => self.finish(request, Some(Errno::EINVAL)),
            Err(errno) => self.finish(request, Some(errno)),
        }
    }

    /// Starts a request whose descriptors are right, unless it must wait for its IV.
    fn start_planned(&mut self, now: Time, request: Box<Cryptop>, plan: Plan) {
        let lid = crypto_sid_lid(request.crp_sid);
        let session = self
            .sessions
            .get_mut(&lid)
            .expect("a session that was found");
        let descriptor = plan.cipher.map(|place| &request.crp_desc[place]);
        let generates = descriptor.is_some_and(|descriptor| {
            descriptor.has(DescFlags::ENCRYPT) && !descriptor.has(DescFlags::IV_EXPLICIT)
        });
        let len = session.cipher().map_or(0, iv_len);
        let chained = generates && len > 0 && self.ivs == IvPolicy::Chained;
        if chained && session.ivs.busy {
            if session.ivs.waiting.len() >= WAITING_MAX {
                return self.finish(request, Some(Errno::ENOMEM));
            }
            session.ivs.waiting.push_back(request);
            return;
        }
        session.ivs.busy |= chained;
        let mut iv = None;
        if let Some(descriptor) = descriptor.filter(|_| len > 0) {
            let mut bytes = [0; 64];
            let explicit = &descriptor.crd_ini.cri_iv;
            match session.ivs.last.as_ref().filter(|_| chained) {
                Some(last) => bytes[..len].copy_from_slice(&last[..len]),
                None if generates => (self.random)(&mut bytes[..len]),
                None if !reads_iv(descriptor) => bytes[..len].copy_from_slice(&explicit[..len]),
                None => {}
            }
            iv = Some(bytes);
        }
        self.start_with_iv(now, request, plan, (iv, len, chained));
    }

    fn start_with_iv(
        &mut self,
        now: Time,
        mut request: Box<Cryptop>,
        plan: Plan,
        (mut iv, iv_len, chained): (Option<[u8; 64]>, usize, bool),
    ) {
        let session = &self.sessions[&crypto_sid_lid(request.crp_sid)];
        let goes_apart = request.crp_mac.as_ref().and(plan.digest);
        let mac_len = goes_apart.map(|_| session.digest_len);
        let data = std::mem::take(&mut request.crp_buf);
        let (mut buffer, original, mac_at) = take_data(data, mac_len);
        let mut under_iv = None;
        if let (Some(iv), Some(place)) = (&mut iv, plan.cipher) {
            let descriptor = &request.crp_desc[place];
            let at = descriptor.crd_inject;
            if reads_iv(descriptor) {
                buffer.copy_out(at, &mut iv[..iv_len]);
            } else if writes_iv(descriptor) {
                let mut old = vec![0; iv_len];
                buffer.copy_out(at, &mut old);
                buffer.copy_in(at, &iv[..iv_len]);
                under_iv = Some((at, old));
            }
        }
        let pending = Pending {
            request,
            plan,
            iv,
            under_iv,
            original,
            mac_at,
            chained,
            has_written: false,
        };
        self.submit(now, pending, buffer);
    }

    /// Gives the next step to the framework.
    fn submit(&mut self, now: Time, pending: Pending, buffer: Buffer) {
        let lid = crypto_sid_lid(pending.request.crp_sid);
        let part = *pending.plan.steps.front().expect("a step that is left");
        let name = match self.part(now, lid, part) {
            Ok(name) => name,
            // Freed between two steps.
            Err(Errno::ENOENT) => return self.end(now, pending, buffer, Some(Errno::ECANCELED)),
            Err(errno) => return self.end(now, pending, buffer, Some(errno)),
        };
        let target = self.request_for(lid, part, name, (&pending, buffer));
        match self.framework.dispatch(now, target) {
            Ok(id) => {
                self.pending.insert(id.0, pending);
            }
            Err(rejected) => {
                let errno = rejected.reason.errno();
                self.end(now, pending, rejected.request.buffer, Some(errno));
            }
        }
    }

    fn request_for(
        &self,
        lid: u32,
        part: Part,
        name: SessionId,
        (pending, buffer): (&Pending, Buffer),
    ) -> Box<Request> {
        let request = &pending.request;
        let flags = pending
            .plan
            .cipher
            .map(|place| request.crp_desc[place].crd_flags);
        let encrypts = flags.is_some_and(|flags| flags.contains(DescFlags::ENCRYPT));
        let compresses = flags.is_some_and(|flags| flags.intersects(DescFlags::COMP));
        let operation = match (self.sessions[&lid].suite, part) {
            (Suite::Compress(_), _) if compresses => Operation::Compress,
            (Suite::Compress(_), _) => Operation::Decompress,
            (Suite::Digest(_), _) | (Suite::Both { .. }, Part::Digest) => Operation::ComputeDigest,
            (Suite::Both { .. } | Suite::Aead { .. }, Part::Whole) if encrypts => {
                Operation::EncryptCompute
            }
            (Suite::Both { .. } | Suite::Aead { .. }, Part::Whole) => Operation::VerifyDecrypt,
            _ if encrypts => Operation::Encrypt,
            _ => Operation::Decrypt,
        };
        let mut target = Request::new(name, operation, buffer);
        if operation != Operation::ComputeDigest {
            target.iv = pending.iv;
        }
        pending
            .plan
            .fill(part, request, pending.mac_at, &mut target);
        target
    }

    /// Takes over what ended in the framework, until nothing is left.
    pub(super) fn collect(&mut self, now: Time) {
        while let Some(finished) = self.framework.take_finished() {
            match self.pending.remove(&finished.request.id.0) {
                Some(pending) => self.step_done(now, pending, finished),
                None => self.others.push_back(finished),
            }
        }
        self.collect_keys();
    }

    fn step_done(&mut self, now: Time, mut pending: Pending, finished: Finished) {
        let Finished { request, result } = finished;
        let buffer = request.buffer;
        match result {
            Ok(()) => {
                pending.plan.steps.pop_front();
                pending.has_written = true;
                pending.request.crp_olen = match self.mode_of(&pending) {
                    Some(Mode::Compress(_)) => request.result_len,
                    _ => pending.request.crp_ilen,
                };
                if pending.plan.steps.is_empty() {
                    self.end(now, pending, buffer, None);
                } else {
                    self.submit(now, pending, buffer);
                }
            }
            Err(RequestError::DigestMismatch) if pending.plan.compares => {
                // The data is untouched. Here the digest is only computed.
                pending.plan.compares = false;
                pending.plan.steps = Plan::digest_then_cipher();
                self.submit(now, pending, buffer);
            }
            Err(error) => {
                if let Some(current) = self.current(pending.request.crp_sid) {
                    pending.request.crp_sid = current;
                }
                self.end(now, pending, buffer, Some(error.errno()));
            }
        }
    }

    fn mode_of(&self, pending: &Pending) -> Option<Mode> {
        let session = self
            .sessions
            .get(&crypto_sid_lid(pending.request.crp_sid))?;
        match session.suite {
            Suite::Compress(compression) => Some(Mode::Compress(compression)),
            _ => None,
        }
    }

    /// Puts a request together again and ends it.
    fn end(&mut self, now: Time, pending: Pending, mut buffer: Buffer, errno: Option<Errno>) {
        let chained = pending
            .chained
            .then_some(crypto_sid_lid(pending.request.crp_sid));
        if let Some(lid) = chained
            && errno.is_none()
        {
            self.keep_last_block(lid, &pending, &buffer);
        }
        let mut request = pending.request;
        let untouched = errno.is_some_and(|errno| errno != Errno::EIO) && !pending.has_written;
        if let Some((at, old)) = pending.under_iv.filter(|_| untouched) {
            buffer.copy_in(at, &old);
        }
        request.crp_buf = match pending.original {
            None => data_of(buffer),
            Some(original) if errno.is_some() => original,
            Some(original) => {
                let mut bytes = data_of(buffer).to_vec();
                if let (Some(at), Some(room)) = (pending.mac_at, &mut request.crp_mac) {
                    let digest = bytes.split_off(at);
                    room[..digest.len()].copy_from_slice(&digest);
                }
                put_back(original, bytes, request.crp_flags)
            }
        };
        self.finish(request, errno);
        if let Some(lid) = chained {
            self.next_in_chain(now, lid);
        }
    }

    fn keep_last_block(&mut self, lid: u32, pending: &Pending, buffer: &Buffer) {
        let descriptor = pending
            .plan
            .cipher
            .map(|place| &pending.request.crp_desc[place]);
        let Some((session, descriptor)) = self.sessions.get_mut(&lid).zip(descriptor) else {
            return;
        };
        let len = session.cipher().map_or(0, iv_len);
        // Shorter than a block, it leaves the chain as it is.
        if let Some(from_start) = descriptor.crd_len.checked_sub(len) {
            let mut last = [0; EALG_MAX_BLOCK_LEN];
            buffer.copy_out(descriptor.crd_skip + from_start, &mut last[..len]);
            session.ivs.last = Some(last);
        }
    }

    /// Starts the next request that waited for the session's IV.
    fn next_in_chain(&mut self, now: Time, lid: u32) {
        let Some(session) = self.sessions.get_mut(&lid) else {
            return;
        };
        session.ivs.busy = false;
        if let Some(request) = session.ivs.waiting.pop_front() {
            self.start(now, request);
            // One that ended at once does not hold up those behind it.
            let session = self.sessions.get(&lid);
            if session.is_some_and(|session| !session.ivs.busy) {
                self.next_in_chain(now, lid);
            }
        }
    }

    /// Queues the callback.
    pub(super) fn finish(&mut self, mut request: Box<Cryptop>, errno: Option<Errno>) {
        request.crp_etype = errno;
        request.crp_flags |= CryptoFlags::DONE;
        let is_sync = crypto_sid_caps(request.crp_sid).contains(DriverFlags::SYNC);
        let at_once = request.crp_flags.contains(CryptoFlags::CBIMM)
            || (is_sync && request.crp_flags.contains(CryptoFlags::CBIFSYNC));
        let queue: &mut VecDeque<Done> = if at_once {
            &mut self.immediate
        } else {
            &mut self.done
        };
        queue.push_back(Done::Request(request));
    }
}

/// Makes the framework's buffer of a request's data. An mbuf chain, and data whose digest goes
/// elsewhere, are copied: to one run of memory, with room for the digest behind it.
fn take_data(data: CrpBuf, mac_len: Option<usize>) -> (Buffer, Option<CrpBuf>, Option<usize>) {
    match data {
        CrpBuf::Contiguous(bytes) if mac_len.is_none() => (Buffer::Memory(bytes), None, None),
        CrpBuf::Iov(parts) if mac_len.is_none() => (Buffer::Chain(parts), None, None),
        data => {
            let mut bytes = data.to_vec();
            let mac_at = mac_len.map(|_| bytes.len());
            bytes.resize(bytes.len() + mac_len.unwrap_or_default(), 0);
            (Buffer::Memory(bytes), Some(data), mac_at)
        }
    }
}

/// The data of a framework's buffer.
fn data_of(buffer: Buffer) -> CrpBuf {
    match buffer {
        Buffer::Memory(bytes) => CrpBuf::Contiguous(bytes),
        Buffer::Chain(parts) => CrpBuf::Iov(parts),
        Buffer::Pooled(_) | Buffer::Scattered(_) => unreachable!("a buffer made here"),
    }
}

/// Puts a result where the data was, or gives it as another chain.
fn put_back(mut original: CrpBuf, bytes: Vec<u8>, flags: CryptoFlags) -> CrpBuf {
    if matches!(original, CrpBuf::Mbuf(_)) && !flags.contains(CryptoFlags::REL) {
        return CrpBuf::Mbuf(vec![bytes]);
    }
    original.copy_in(&bytes);
    original
}
