//! Copies of what a request overwrites, so that it can be submitted again after a card died
//! writing.
//!
//! Owns the memory of the copies and uses it again; a copy is zeroed before it is. Knows which
//! regions a request writes (crypto_request(9): the result of cipher or compression and a computed
//! digest, nothing else).

use zeroize::Zeroize;

use crate::validate::Rules;
use crate::{Buffer, FrameworkStats, Operation, Request};

/// Spare memory kept for copies, in number of buffers: more than rings have slots would not be
/// used.
const SPARE_MAX: usize = 4096;

/// The copies' memory.
#[derive(Debug, Default)]
pub(crate) struct UndoPool {
    spare: Vec<Vec<u8>>,
}

impl UndoPool {
    /// Keeps a copy of what `request` overwrites, in `request`.
    #[inline(never)]
    pub(crate) fn keep(&mut self, request: &mut Request, rules: Rules, stats: &mut FrameworkStats) {
        let mut copy = self.spare.pop().unwrap_or_default();
        let [payload, digest] = written(request, rules);
        // At once: memory that a growing vector leaves behind would keep data.
        copy.reserve(payload.1 + digest.1);
        let target = request.output.as_ref().unwrap_or(&request.buffer);
        for (start, len) in [payload, digest] {
            target.for_each_part(start, len, |part| copy.extend_from_slice(part));
        }
        stats.undo_copies += 1;
        stats.undo_bytes += copy.len() as u64;
        request.undo = Some(copy);
    }

    /// Puts the copy back. Returns whether there was one.
    pub(crate) fn restore(request: &mut Request, rules: Rules) -> bool {
        let Some(copy) = request.undo.take() else {
            return false;
        };
        let [payload, digest] = written(request, rules);
        let target: &mut Buffer = request.output.as_mut().unwrap_or(&mut request.buffer);
        let (payload_copy, digest_copy) = copy.split_at(payload.1);
        target.copy_in(payload.0, payload_copy);
        target.copy_in(digest.0, digest_copy);
        request.undo = Some(copy);
        true
    }

    /// Takes the copy's memory back, zeroed.
    #[inline]
    pub(crate) fn release(&mut self, request: &mut Request) {
        if request.undo.is_some() {
            self.release_copy(request);
        }
    }

    #[inline(never)]
    fn release_copy(&mut self, request: &mut Request) {
        if let Some(mut copy) = request.undo.take() {
            // Zeroes the bytes that were used and empties the vector; its memory stays.
            copy.as_mut_slice().zeroize();
            copy.clear();
            if self.spare.len() < SPARE_MAX {
                self.spare.push(copy);
            }
        }
    }
}

/// Start and length of the payload and digest that `request` writes to its output.
fn written(request: &Request, rules: Rules) -> [(usize, usize); 2] {
    let payload_start = if request.output.is_some() {
        request.payload_output_start
    } else {
        request.payload.start
    };
    let payload = match request.operation {
        Operation::ComputeDigest
        | Operation::VerifyDigest
        | Operation::BeginDigest
        | Operation::ContinueDigest
        | Operation::EndDigest
        | Operation::EndVerify => (0, 0),
        Operation::Encrypt
        | Operation::Decrypt
        | Operation::EncryptCompute
        | Operation::VerifyDecrypt
        | Operation::Compress => (payload_start, request.payload.len),
        // The result may reach as far as the buffer does.
        Operation::Decompress => (payload_start, request.buffer.len() - payload_start),
    };
    let digest_len = rules.written_digest_len(request.operation);
    let digest_start = if digest_len == 0 {
        0
    } else {
        request.digest_start
    };
    [payload, (digest_start, digest_len)]
}
