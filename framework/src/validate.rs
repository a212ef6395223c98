//! The rules for session parameters (`check_csp`) and requests (`crp_sanity`), checked in every
//! build.
//!
//! Owns no state: [`Rules`] is what dispatch needs of a session's parameters, in few enough bytes
//! to sit beside the session's other hot fields.

use crate::{
    Cipher, Digest, Lengths, Mode, Operation, ParamsError, Request, RequestInvalid, SessionFlags,
    SessionParams,
};

impl SessionParams {
    /// Checks every rule of crypto_session(9).
    ///
    /// # Errors
    /// [`ParamsError`] names the first rule that is broken.
    pub fn validate(&self) -> Result<(), ParamsError> {
        if !SessionFlags::all().contains(self.flags) {
            return Err(ParamsError::Flags(self.flags.bits()));
        }
        self.validate_flags()?;
        match self.mode {
            Mode::Cipher => {
                self.validate_cipher(false)?;
                self.validate_no_digest()?;
                self.validate_no_digest_len()?;
            }
            Mode::Digest => {
                self.validate_no_cipher()?;
                self.validate_digest()?;
            }
            Mode::Aead => {
                self.validate_cipher(true)?;
                self.validate_no_digest()?;
            }
            Mode::EncryptThenAuthenticate => {
                self.validate_cipher(false)?;
                self.validate_digest()?;
            }
            Mode::Compress(_) => {
                self.validate_no_cipher()?;
                self.validate_no_digest()?;
                self.validate_no_digest_len()?;
                if self.iv_len != 0 {
                    return Err(ParamsError::IvLength(self.iv_len));
                }
            }
        }
        check_key(self.cipher_key.as_ref(), self.cipher_key_len)?;
        check_key(self.auth_key.as_ref(), self.auth_key_len)
    }

    fn validate_flags(&self) -> Result<(), ParamsError> {
        let has_aad = matches!(self.mode, Mode::Aead | Mode::EncryptThenAuthenticate);
        if self.flags.contains(SessionFlags::SEPARATE_AAD) && !has_aad {
            return Err(ParamsError::SeparateAad);
        }
        let has_esn = self.mode == Mode::EncryptThenAuthenticate;
        if self.flags.contains(SessionFlags::ESN) && !has_esn {
            return Err(ParamsError::Esn);
        }
        let has_parts = self.mode == Mode::Digest && self.digest.is_none_or(Digest::takes_parts);
        if self.flags.contains(SessionFlags::PARTS) && !has_parts {
            return Err(ParamsError::Parts);
        }
        let has_output = !matches!(self.mode, Mode::Compress(_));
        if self.flags.contains(SessionFlags::SEPARATE_OUTPUT) && !has_output {
            return Err(ParamsError::SeparateOutput);
        }
        Ok(())
    }

    fn validate_cipher(&self, aead: bool) -> Result<(), ParamsError> {
        let Some(cipher) = self.cipher.filter(|cipher| cipher.is_aead() == aead) else {
            return Err(ParamsError::CipherKind);
        };
        let info = cipher.info();
        if !info.key.takes(self.cipher_key_len) {
            return Err(ParamsError::CipherKeyLength(self.cipher_key_len));
        }
        if !info.iv.takes(self.iv_len) {
            return Err(ParamsError::IvLength(self.iv_len));
        }
        if aead {
            self.validate_cut(info.tag)?;
        }
        Ok(())
    }

    fn validate_digest(&self) -> Result<(), ParamsError> {
        let info = self.digest.ok_or(ParamsError::DigestMissing)?.info();
        if !info.key.takes(self.auth_key_len) {
            return Err(ParamsError::AuthKeyLength(self.auth_key_len));
        }
        // A digest with a nonce shares the session's IV with the cipher, which was asked already.
        let is_alone = self.mode == Mode::Digest;
        if (is_alone || info.iv != Lengths::NONE) && !info.iv.takes(self.iv_len) {
            return Err(ParamsError::IvLength(self.iv_len));
        }
        self.validate_cut(info.cut)
    }

    /// The digest or tag is whole, or cut to a length that it may have.
    fn validate_cut(&self, cut: Lengths) -> Result<(), ParamsError> {
        if self.auth_digest_len != 0 && !cut.takes(self.auth_digest_len) {
            return Err(ParamsError::DigestLength(self.auth_digest_len));
        }
        Ok(())
    }

    fn validate_no_cipher(&self) -> Result<(), ParamsError> {
        if self.cipher.is_some() || self.cipher_key_len != 0 || self.cipher_key.is_some() {
            return Err(ParamsError::CipherForbidden);
        }
        Ok(())
    }

    fn validate_no_digest(&self) -> Result<(), ParamsError> {
        if self.digest.is_some() || self.auth_key_len != 0 || self.auth_key.is_some() {
            return Err(ParamsError::DigestForbidden);
        }
        Ok(())
    }

    fn validate_no_digest_len(&self) -> Result<(), ParamsError> {
        if self.auth_digest_len != 0 {
            return Err(ParamsError::DigestForbidden);
        }
        Ok(())
    }
}

fn check_key(key: Option<&crate::Key>, expected: usize) -> Result<(), ParamsError> {
    match key.map(|key| key.bytes().len()) {
        Some(actual) if actual != expected => Err(ParamsError::KeyMismatch { expected, actual }),
        Some(_) | None => Ok(()),
    }
}

/// What a request is checked against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    mode: Mode,
    digest: Option<Digest>,
    flags: SessionFlags,
    iv_len: u8,
    has_iv: bool,
    /// Zero in the modes without a digest, and only there.
    digest_len: u8,
    /// One less than the block's length, which is a power of two.
    block_mask: u8,
    /// A payload's length, in bytes, has no more bits.
    payload_len_bits: u8,
    /// A bit for each operation of the mode; none if requests must bring a key, or if their length
    /// is limited.
    plain_operations: u8,
    has_cipher_key: bool,
    has_auth_key: bool,
    cipher_key_len: u16,
    auth_key_len: u16,
}

impl Rules {
    /// The rules of `params`, which are valid.
    pub(crate) fn new(params: &SessionParams) -> Self {
        let small = |len: usize| u8::try_from(len).expect("a length within validated bounds");
        let key = |len: usize| u16::try_from(len).expect("a key length within validated bounds");
        let has_cipher_key = params.cipher_key.is_some() || params.cipher_key_len == 0;
        let has_auth_key = params.auth_key.is_some() || params.auth_key_len == 0;
        let operations = match params.mode {
            Mode::Cipher => [Operation::Encrypt, Operation::Decrypt],
            Mode::Digest => [Operation::ComputeDigest, Operation::VerifyDigest],
            Mode::Aead | Mode::EncryptThenAuthenticate => {
                [Operation::EncryptCompute, Operation::VerifyDecrypt]
            }
            Mode::Compress(_) => [Operation::Compress, Operation::Decompress],
        };
        let payload_len_bits = params
            .cipher
            .map_or(usize::BITS, |cipher| cipher.payload_len_bits(params.iv_len));
        let is_limited = payload_len_bits < usize::BITS;
        let plain_operations = if has_cipher_key && has_auth_key && !is_limited {
            operations.map(bit).iter().sum()
        } else {
            0
        };
        Self {
            mode: params.mode,
            digest: params.digest,
            flags: params.flags,
            iv_len: small(params.iv_len),
            has_iv: params.iv_len != 0,
            digest_len: small(params.digest_len()),
            block_mask: small(params.cipher.map_or(1, Cipher::block_len) - 1),
            payload_len_bits: payload_len_bits as u8,
            plain_operations,
            has_cipher_key,
            has_auth_key,
            cipher_key_len: key(params.cipher_key_len),
            auth_key_len: key(params.auth_key_len),
        }
    }

    /// Bytes of digest a request of this operation writes.
    pub(crate) fn written_digest_len(&self, operation: Operation) -> usize {
        if operation.verifies() || operation.leaves_state() {
            0
        } else {
            usize::from(self.digest_len)
        }
    }

    /// Checks every rule of crypto_request(9).
    #[inline(never)]
    pub(crate) fn check(&self, request: &Request) -> Result<(), RequestInvalid> {
        if self.is_plain_and_valid(request) {
            return Ok(());
        }
        self.check_each(request)
    }

    /// Whether [`check`](Self::check) finds nothing, for where a call would cost as much.
    #[inline]
    pub(crate) fn allow(&self, request: &Request) -> bool {
        self.is_plain_and_valid(request) || self.check_each(request).is_ok()
    }

    #[inline(never)]
    fn check_each(&self, request: &Request) -> Result<(), RequestInvalid> {
        let input_len = request.buffer.len();
        self.check_operation(request)?;
        self.check_state(request)?;
        self.check_aad(request, input_len)?;
        self.check_iv(request, input_len)?;
        self.check_payload(request, input_len)?;
        if !self.digest_fits(request, input_len) {
            return Err(RequestInvalid::Digest(request.digest_start));
        }
        self.check_keys(request)
    }

    /// Whether a request has a payload, works in place with the session's keys, as most do, and
    /// keeps every rule. Saves them the way through the typed errors, which costs several times as
    /// much.
    #[inline(always)]
    fn is_plain_and_valid(&self, request: &Request) -> bool {
        let input_len = request.buffer.len();
        let (start, len) = (request.payload.start, request.payload.len);
        let end = start.wrapping_add(len);
        let others = request.aad.start | request.aad.len | request.iv_start;
        let others = others | request.payload_output_start;
        self.plain_operations & bit(request.operation) != 0
            && request.output.is_none()
            && request.separate_aad.is_none()
            && request.cipher_key.is_none()
            && request.auth_key.is_none()
            // False for an empty payload too, which is not plain.
            && start < end
            && end <= input_len
            && self.is_whole_blocks(len)
            && self.plain_digest_fits(request.digest_start, input_len)
            && ((others == 0 && request.iv.is_some() == self.has_iv)
                || self.others_fit(request, input_len))
    }

    /// [`digest_fits`](Self::digest_fits) for a request without separate output.
    #[inline]
    fn plain_digest_fits(&self, start: usize, input_len: usize) -> bool {
        if self.digest_len == 0 {
            start == 0
        } else {
            start.saturating_add(usize::from(self.digest_len)) <= input_len
        }
    }

    /// Whether AAD and IV of a request without separate output are where they may be.
    #[inline(never)]
    fn others_fit(&self, request: &Request, input_len: usize) -> bool {
        request.payload_output_start == 0
            && self.aad_region_fits(request, input_len)
            && self.iv_fits(request, input_len)
            && (request.iv.is_some() || self.mode != Mode::Aead)
    }

    #[inline]
    fn has_aad(&self) -> bool {
        matches!(self.mode, Mode::Aead | Mode::EncryptThenAuthenticate)
    }

    #[inline]
    fn operation_fits(&self, operation: Operation) -> bool {
        match operation {
            Operation::Encrypt | Operation::Decrypt => self.mode == Mode::Cipher,
            Operation::ComputeDigest | Operation::VerifyDigest => self.mode == Mode::Digest,
            Operation::EncryptCompute | Operation::VerifyDecrypt => self.has_aad(),
            Operation::Compress | Operation::Decompress => {
                matches!(self.mode, Mode::Compress(_))
            }
            Operation::BeginDigest
            | Operation::ContinueDigest
            | Operation::EndDigest
            | Operation::EndVerify => self.flags.contains(SessionFlags::PARTS),
        }
    }

    #[inline]
    fn aad_region_fits(&self, request: &Request, input_len: usize) -> bool {
        let (start, len) = (request.aad.start, request.aad.len);
        if len == 0 {
            start == 0
        } else {
            self.has_aad() && region_fits(start, len, input_len)
        }
    }

    #[inline]
    fn iv_fits(&self, request: &Request, input_len: usize) -> bool {
        let (start, len) = (request.iv_start, usize::from(self.iv_len));
        if request.iv.is_some() {
            len != 0 && start == 0
        } else if len == 0 {
            start == 0
        } else {
            region_fits(start, len, input_len)
        }
    }

    /// By a mask: a division would cost more than any other rule.
    #[inline]
    fn is_whole_blocks(&self, len: usize) -> bool {
        len & usize::from(self.block_mask) == 0
    }

    #[inline]
    fn digest_fits(&self, request: &Request, input_len: usize) -> bool {
        if self.digest_len == 0 || request.operation.leaves_state() {
            return request.digest_start == 0;
        }
        let limit = match &request.output {
            Some(output) if !request.operation.verifies() => output.len(),
            Some(_) | None => input_len,
        };
        region_fits(request.digest_start, usize::from(self.digest_len), limit)
    }

    fn check_operation(&self, request: &Request) -> Result<(), RequestInvalid> {
        let operation = request.operation;
        if !self.operation_fits(operation) {
            return Err(RequestInvalid::Operation(operation));
        }
        if request.output.is_some() {
            if !self.flags.contains(SessionFlags::SEPARATE_OUTPUT) {
                return Err(RequestInvalid::OutputForbidden);
            }
            if matches!(operation, Operation::VerifyDigest | Operation::EndVerify) {
                return Err(RequestInvalid::VerifyOutput);
            }
        }
        Ok(())
    }

    fn check_state(&self, request: &Request) -> Result<(), RequestInvalid> {
        let digest = request.state.as_ref().map(|state| state.digest());
        if request.operation.takes_state() && digest != self.digest {
            return Err(RequestInvalid::State);
        }
        Ok(())
    }

    fn check_aad(&self, request: &Request, input_len: usize) -> Result<(), RequestInvalid> {
        let (start, len) = (request.aad.start, request.aad.len);
        if let Some(aad) = &request.separate_aad {
            let allowed = self.has_aad() && self.flags.contains(SessionFlags::SEPARATE_AAD);
            if !allowed || (start, len) != (0, 0) || aad.is_empty() {
                return Err(RequestInvalid::SeparateAad);
            }
        } else if !self.aad_region_fits(request, input_len) {
            return Err(RequestInvalid::Aad { start, len });
        }
        Ok(())
    }

    fn check_iv(&self, request: &Request, input_len: usize) -> Result<(), RequestInvalid> {
        if self.mode == Mode::Aead && request.iv.is_none() {
            return Err(RequestInvalid::IvNotSeparate);
        }
        if !self.iv_fits(request, input_len) {
            return Err(RequestInvalid::Iv(request.iv_start));
        }
        Ok(())
    }

    fn check_payload(&self, request: &Request, input_len: usize) -> Result<(), RequestInvalid> {
        let (start, len) = (request.payload.start, request.payload.len);
        if !region_fits(start, len, input_len) {
            return Err(RequestInvalid::Payload { start, len });
        }
        let output_start = request.payload_output_start;
        let output_fits = match &request.output {
            Some(output) if self.mode != Mode::Digest => {
                region_fits(output_start, len, output.len())
            }
            Some(_) | None => output_start == 0,
        };
        if !output_fits {
            return Err(RequestInvalid::PayloadOutput(output_start));
        }
        if !self.is_whole_blocks(len) {
            let block = usize::from(self.block_mask) + 1;
            return Err(RequestInvalid::BlockMultiple { len, block });
        }
        if u32::from(self.payload_len_bits) < usize::BITS && len >> self.payload_len_bits != 0 {
            let max = (1 << self.payload_len_bits) - 1;
            return Err(RequestInvalid::PayloadTooLong { len, max });
        }
        Ok(())
    }

    fn check_keys(&self, request: &Request) -> Result<(), RequestInvalid> {
        let pairs = [
            (
                &request.cipher_key,
                self.has_cipher_key,
                self.cipher_key_len,
            ),
            (&request.auth_key, self.has_auth_key, self.auth_key_len),
        ];
        for (key, session_has, expected) in pairs {
            match key {
                None if !session_has => return Err(RequestInvalid::KeyMissing),
                None => {}
                Some(key) => {
                    let len = key.bytes().len();
                    if expected == 0 || len != usize::from(expected) {
                        return Err(RequestInvalid::KeyLength(len));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The operation's bit in a set of operations; none for those on parts, which are never plain.
#[inline]
const fn bit(operation: Operation) -> u8 {
    (1_u16 << operation as u8) as u8
}

/// Whether `start..start + len` lies in `limit` bytes and does not begin at their end.
#[inline]
fn region_fits(start: usize, len: usize, limit: usize) -> bool {
    (start == 0 || start < limit) && start.checked_add(len).is_some_and(|end| end <= limit)
}

#[cfg(test)]
mod tests;
