//! One vector, run through the engine in both directions.

use device_model::engine::{Context, Job, Operation};
use regs::{CipherCode, DigestCode, IV_MAX, SessionBlock, Status};

use crate::report::Report;

/// Lengths that are no vector's business are the largest that fit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Case {
    pub(crate) cipher: CipherCode,
    pub(crate) digest: DigestCode,
    pub(crate) key: Vec<u8>,
    pub(crate) digest_key: Vec<u8>,
    pub(crate) iv: Vec<u8>,
    pub(crate) aad: Vec<u8>,
    pub(crate) plain: Vec<u8>,
    /// What encryption gives; empty without a cipher.
    pub(crate) secret: Vec<u8>,
    pub(crate) tag: Vec<u8>,
    /// Whether tag and ciphertext belong together.
    pub(crate) is_forged: bool,
}

impl Case {
    /// Runs the case and counts how it ended.
    ///
    /// # Panics
    /// If the engine gives anything else than the vector says.
    pub(crate) fn run(&self, source: &str, report: &mut Report) {
        let name = self.name();
        if let Some(reason) = self.misfit() {
            assert_eq!(
                self.context().err(),
                Some(Status::BadParameters),
                "{self:?}"
            );
            report.count(&name, source, &format!("skipped, {reason}"));
            return;
        }
        let context = self
            .context()
            .unwrap_or_else(|status| panic!("{status:?} {self:?}"));
        let payload = if context.has_cipher() {
            &self.secret
        } else {
            &self.plain
        };
        if !context.takes_payload(payload.len()) {
            let ended = self
                .process(&context, Operation::Seal, payload, &self.tag)
                .0;
            assert_eq!(ended, Err(Status::BadLength), "{self:?}");
            report.count(&name, source, "skipped, the card takes no such payload");
            return;
        }
        if self.is_forged {
            self.open_forged(&context);
            report.count(&name, source, "forged and found out");
        } else {
            self.go_both_ways(&context);
            report.count(&name, source, "ran");
        }
    }

    fn name(&self) -> String {
        match (self.cipher, self.digest) {
            (CipherCode::None, digest) => format!("{digest:?}"),
            (cipher, DigestCode::None) => format!("{cipher:?}"),
            (cipher, digest) => format!("{cipher:?} + {digest:?}"),
        }
    }

    /// The first length that the card does not take.
    fn misfit(&self) -> Option<String> {
        let (cipher, digest) = (self.cipher.info(), self.digest.info());
        let tags = if self.cipher.is_aead() {
            cipher.tag
        } else {
            digest.digest
        };
        let nonces = if self.cipher == CipherCode::None {
            digest.iv
        } else {
            cipher.iv
        };
        [
            ("key", cipher.key, self.key.len()),
            ("digest key", digest.key, self.digest_key.len()),
            ("IV", nonces, self.iv.len()),
            ("tag", tags, self.tag.len()),
        ]
        .into_iter()
        .find(|(_, lengths, len)| !lengths.takes(*len))
        .map(|(what, _, len)| format!("{what} of {len} bytes"))
    }

    fn context(&self) -> Result<Context, Status> {
        let mut block = SessionBlock::new(self.cipher, self.digest);
        block.iv_len = self.iv.len().try_into().unwrap_or(u8::MAX);
        block.digest_len = self.tag.len() as u8;
        block
            .set_keys(&self.key, &self.digest_key)
            .map_err(|_| Status::BadParameters)?;
        Context::new(&block)
    }

    fn process(
        &self,
        context: &Context,
        operation: Operation,
        payload: &[u8],
        digest: &[u8],
    ) -> (Result<(), Status>, Vec<u8>, Vec<u8>) {
        let mut iv = [0xEE; IV_MAX];
        iv[..self.iv.len()].copy_from_slice(&self.iv);
        let (mut payload, mut digest) = (payload.to_vec(), digest.to_vec());
        let ended = context.process(Job {
            operation,
            iv: &iv,
            aad: &self.aad,
            esn: [0xEE; 4],
            payload: &mut payload,
            digest: &mut digest,
        });
        (ended, payload, digest)
    }

    fn go_both_ways(&self, context: &Context) {
        let secret = if context.has_cipher() {
            &self.secret
        } else {
            &self.plain
        };
        let blank = vec![0; self.tag.len()];
        let sealed = self.process(context, Operation::Seal, &self.plain, &blank);
        let expected = (Ok(()), secret.clone(), self.tag.clone());
        assert_eq!(sealed, expected, "{self:?}");
        let opened = self.process(context, Operation::Open, secret, &self.tag);
        let expected = (Ok(()), self.plain.clone(), self.tag.clone());
        assert_eq!(opened, expected, "{self:?}");
        if !self.tag.is_empty() {
            let mut wrong = self.tag.clone();
            wrong[self.tag.len() / 2] ^= 0x10;
            let refused = self.process(context, Operation::Open, secret, &wrong);
            let expected = (Err(Status::DigestMismatch), secret.clone(), wrong);
            assert_eq!(refused, expected, "{self:?}");
        }
    }

    fn open_forged(&self, context: &Context) {
        let secret = if context.has_cipher() {
            &self.secret
        } else {
            &self.plain
        };
        let (ended, payload, _) = self.process(context, Operation::Open, secret, &self.tag);
        assert_eq!(ended, Err(Status::DigestMismatch), "{self:?}");
        assert_eq!(&payload, secret, "a wrong digest changes nothing: {self:?}");
    }
}

/// The bytes that hexadecimal digits stand for; anything else is passed over.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let value = |digit: u8| (digit as char).to_digit(16).unwrap() as u8;
    let (pairs, rest) = digits.as_chunks::<2>();
    assert!(rest.is_empty(), "half a byte in {text}");
    let bytes = pairs
        .iter()
        .map(|&[high, low]| value(high) << 4 | value(low));
    bytes.collect()
}
