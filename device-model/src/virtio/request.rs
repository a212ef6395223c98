//! What a request on a data queue brings, checked.

use regs::virtio::{
    AeadData, CipherData, CryptoOpcode, CryptoStatus, DataHeader, OP_CHAIN, PlainData,
};
use zerocopy::FromBytes as _;
use zeroize::Zeroizing;

use super::MAX_REQUEST;
use crate::engine::RandomSource;

const HEADER_LEN: usize = size_of::<DataHeader>();

/// A request whose lengths fit its bytes and its room.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) opcode: CryptoOpcode,
    pub(super) session: u64,
    pub(super) lengths: Lengths,
    /// The header, then IV, data, additional data.
    bytes: Zeroizing<Vec<u8>>,
}

/// Lengths of the parts of a request, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lengths {
    pub(super) iv: usize,
    pub(super) source: usize,
    pub(super) aad: usize,
    /// Behind the source: what was signed.
    pub(super) signed: usize,
    pub(super) destination: usize,
    /// A digest behind the destination, or in place of it.
    pub(super) result: usize,
    pub(super) tag: usize,
    pub(super) chain: Option<Chain>,
}

/// Which parts of the source a chain works on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    cipher: (usize, usize),
    digest: (usize, usize),
}

/// A request on its way through a session.
pub(super) struct Work<'a> {
    pub(super) request: Request,
    pub(super) random: &'a mut RandomSource,
}

/// The parts of a request's body.
pub(super) struct Parts<'a> {
    pub(super) iv: &'a [u8],
    pub(super) source: &'a mut [u8],
    pub(super) aad: &'a [u8],
}

impl Request {
    /// The request in `bytes`, which has `room` bytes for its result.
    pub(super) fn parse(bytes: Zeroizing<Vec<u8>>, room: usize) -> Result<Self, CryptoStatus> {
        if bytes.len() > MAX_REQUEST {
            return Err(CryptoStatus::Error);
        }
        let header = DataHeader::read_from_prefix(&bytes);
        let (header, body) = header.map_err(|_| CryptoStatus::Error)?;
        let opcode = CryptoOpcode::from_code(header.opcode.get());
        let opcode = opcode.ok_or(CryptoStatus::NotSupported)?;
        let lengths = Lengths::of(opcode, &header.fixed)?;
        let needed = lengths.needed();
        if lengths.brought() > body.len() || needed > room || needed > MAX_REQUEST {
            return Err(CryptoStatus::Error);
        }
        Ok(Self {
            opcode,
            session: header.session.get(),
            lengths,
            bytes,
        })
    }

    /// Everything that it brought.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes that an engine works on.
    pub(super) fn worked_on(&self) -> u32 {
        (self.lengths.source + self.lengths.aad) as u32
    }

    /// Bytes of the result.
    pub(super) fn result_len(&self) -> u32 {
        self.lengths.needed() as u32
    }

    pub(super) fn parts(&mut self) -> Parts<'_> {
        let Lengths {
            iv, source, aad, ..
        } = self.lengths;
        let (iv, rest) = self.bytes[HEADER_LEN..].split_at_mut(iv);
        let (source, rest) = rest.split_at_mut(source);
        Parts {
            iv,
            source,
            aad: &rest[..aad],
        }
    }

    /// The data, and for a signature that is checked what was signed.
    pub(super) fn source_and_signed(&self) -> (&[u8], &[u8]) {
        let (source, rest) = self.bytes[HEADER_LEN..].split_at(self.lengths.source);
        (source, &rest[..self.lengths.signed])
    }
}

impl Lengths {
    fn of(opcode: CryptoOpcode, fixed: &[u8; 48]) -> Result<Self, CryptoStatus> {
        match opcode {
            CryptoOpcode::CipherEncrypt | CryptoOpcode::CipherDecrypt => Self::of_cipher(fixed),
            CryptoOpcode::AeadEncrypt | CryptoOpcode::AeadDecrypt => {
                let data: AeadData = prefix(fixed)?;
                Ok(Self {
                    iv: data.iv_len.get() as usize,
                    source: data.source_len.get() as usize,
                    aad: data.aad_len.get() as usize,
                    destination: data.destination_len.get() as usize,
                    tag: data.tag_len.get() as usize,
                    ..Self::default()
                })
            }
            CryptoOpcode::Hash | CryptoOpcode::Mac => {
                let data: PlainData = prefix(fixed)?;
                Ok(Self {
                    source: data.source_len.get() as usize,
                    result: data.result_len.get() as usize,
                    ..Self::default()
                })
            }
            CryptoOpcode::AkcipherEncrypt
            | CryptoOpcode::AkcipherDecrypt
            | CryptoOpcode::AkcipherSign => {
                let data: PlainData = prefix(fixed)?;
                Ok(Self {
                    source: data.source_len.get() as usize,
                    destination: data.result_len.get() as usize,
                    ..Self::default()
                })
            }
            CryptoOpcode::AkcipherVerify => {
                let data: PlainData = prefix(fixed)?;
                Ok(Self {
                    source: data.source_len.get() as usize,
                    signed: data.result_len.get() as usize,
                    ..Self::default()
                })
            }
        }
    }

    fn of_cipher(fixed: &[u8; 48]) -> Result<Self, CryptoStatus> {
        let data: CipherData = prefix(fixed)?;
        let mut lengths = Self {
            iv: data.iv_len.get() as usize,
            source: data.source_len.get() as usize,
            destination: data.destination_len.get() as usize,
            ..Self::default()
        };
        if data.kind.get() == OP_CHAIN {
            let range = |at: u32, len: u32| (at as usize, len as usize);
            lengths.chain = Some(Chain {
                cipher: range(data.cipher_at.get(), data.cipher_len.get()),
                digest: range(data.digest_at.get(), data.digest_len.get()),
            });
            lengths.aad = data.aad_len.get() as usize;
            lengths.result = data.result_len.get() as usize;
        }
        Ok(lengths)
    }

    /// Bytes that the request must bring. The sum of a few 32-bit numbers does not overflow.
    fn brought(&self) -> usize {
        self.iv + self.source + self.aad + self.signed
    }

    /// Bytes of room that the request must have.
    fn needed(&self) -> usize {
        self.destination + self.result
    }
}

impl Chain {
    /// The part of `source` that the cipher works on.
    pub(super) fn ciphered<'a>(&self, source: &'a mut [u8]) -> Result<&'a mut [u8], CryptoStatus> {
        let (at, len) = self.cipher;
        let part = at.checked_add(len).and_then(|end| source.get_mut(at..end));
        part.ok_or(CryptoStatus::Error)
    }

    /// The part of `source` that is digested.
    pub(super) fn digested<'a>(&self, source: &'a [u8]) -> Result<&'a [u8], CryptoStatus> {
        let (at, len) = self.digest;
        let part = at.checked_add(len).and_then(|end| source.get(at..end));
        part.ok_or(CryptoStatus::Error)
    }
}

const _: () = assert!(
    usize::BITS >= 64,
    "sums of lengths are taken without a check"
);

/// The structure that `bytes` begin with.
pub(super) fn prefix<T>(bytes: &[u8]) -> Result<T, CryptoStatus>
where
    T: zerocopy::FromBytes,
{
    let read = T::read_from_prefix(bytes);
    read.map(|(value, _)| value)
        .map_err(|_| CryptoStatus::Error)
}
