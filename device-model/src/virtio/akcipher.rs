//! Keys of two halves: RSA with the padding of PKCS #1 version 1.5 or none (RFC 8017), and ECDSA
//! over NIST's curves. Keys and signatures are DER, as RFC 8017, RFC 5915 and RFC 3279 have them.

use der::asn1::{AnyRef, OctetStringRef, UintRef};
use der::{Decode as _, Encode as _, Reader as _, SliceReader, Tagged as _};
use num_bigint::BigUint;
use regs::virtio::{
    AkcipherParams, CryptoOpcode, CryptoStatus, Curve, KeyHalf, RsaHash, RsaPadding, VirtioAkcipher,
};
use regs::{PUBLIC_KEY_BITS_MAX, PublicKeyFlags, PublicKeyOp, PublicKeyParams, Status};
use zeroize::Zeroizing;

use super::request::Request;
use crate::engine::{RandomSource, asymmetric, curve};

/// Most elements of a structure that a key is.
const MAX_ELEMENTS: usize = 16;
/// What PKCS #1 puts around a message, at least.
const PADDING_MIN: usize = 11;

/// A number that may be secret, least significant byte first.
type Number = Zeroizing<Vec<u8>>;

/// A key, and how it is used.
#[derive(Debug)]
pub(super) enum Key {
    Rsa(Rsa),
    Ecdsa {
        curve: &'static curve::Domain,
        half: Half,
    },
}

/// A half of a key of a curve.
pub(super) enum Half {
    /// A point.
    Public(curve::Point),
    /// A number.
    Private(Number),
}

impl std::fmt::Debug for Half {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Public(_) => "Public",
            Self::Private(_) => "Private",
        })
    }
}

/// A key of RSA.
pub(super) struct Rsa {
    modulus: Number,
    public: Number,
    /// p, q, d mod (p - 1), d mod (q - 1), 1/q mod p.
    private: Option<[Number; 5]>,
    padding: RsaPadding,
    hash: RsaHash,
}

impl std::fmt::Debug for Rsa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rsa")
            .field("padding", &self.padding)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// The key in `bytes`.
    pub(super) fn new(params: &AkcipherParams, bytes: &[u8]) -> Result<Self, CryptoStatus> {
        let algorithm = VirtioAkcipher::from_code(params.algorithm.get());
        let half = KeyHalf::from_code(params.half.get()).ok_or(CryptoStatus::Error)?;
        match algorithm.ok_or(CryptoStatus::NotSupported)? {
            VirtioAkcipher::Rsa => Rsa::new(params, half, bytes).map(Self::Rsa),
            VirtioAkcipher::Ecdsa | VirtioAkcipher::EcdsaOfLinux => {
                let code = Curve::from_code(params.padding_or_curve.get());
                let curve = curve::Domain::of(code.ok_or(CryptoStatus::NotSupported)?);
                let half = match half {
                    KeyHalf::Public => {
                        let point = curve.point(bytes).ok_or(CryptoStatus::Error)?;
                        Half::Public(point)
                    }
                    KeyHalf::Private => Half::Private(private_of_curve(curve, bytes)?),
                };
                Ok(Self::Ecdsa { curve, half })
            }
        }
    }

    /// How much work an operation is: products of two words.
    pub(super) fn word_products(&self) -> u64 {
        match self {
            Self::Rsa(rsa) => rsa.word_products(),
            Self::Ecdsa { curve, half } => match half {
                Half::Public(_) => 2 * curve.word_products(),
                Half::Private(_) => curve.word_products(),
            },
        }
    }

    /// Shows every number of it that is secret.
    pub(super) fn visit(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        let secrets = match self {
            Self::Rsa(rsa) => rsa.private.as_ref().map_or(&[][..], |numbers| numbers),
            Self::Ecdsa { half, .. } => match half {
                Half::Private(number) => std::slice::from_ref(number),
                Half::Public(_) => &[],
            },
        };
        for secret in secrets {
            visit("virtio session", secret);
        }
    }

    /// Does an operation; gives the result.
    pub(super) fn process(
        &self,
        opcode: CryptoOpcode,
        request: &Request,
        random: &mut RandomSource,
    ) -> Result<Vec<u8>, CryptoStatus> {
        let (source, signed) = request.source_and_signed();
        let output = match (self, opcode) {
            (Self::Rsa(rsa), _) => rsa.process(opcode, (source, signed), random)?,
            (
                Self::Ecdsa {
                    curve,
                    half: Half::Private(key),
                },
                CryptoOpcode::AkcipherSign,
            ) => {
                let draw = &mut |bytes: &mut [u8]| random.fill(bytes, false);
                let (r, s) = curve.sign(key, source, draw).map_err(status_of)?;
                signature(&r, &s).ok_or(CryptoStatus::Error)?
            }
            (
                Self::Ecdsa {
                    curve,
                    half: Half::Public(point),
                },
                CryptoOpcode::AkcipherVerify,
            ) => {
                let (r, s) = read_signature(source).ok_or(CryptoStatus::KeyRejected)?;
                let verified = curve.verify(point, signed, (&r, &s));
                verified.map_err(status_of)?;
                Vec::new()
            }
            _ => return Err(CryptoStatus::NotSupported),
        };
        if output.len() > request.lengths.destination {
            return Err(CryptoStatus::Error);
        }
        Ok(output)
    }
}

impl Rsa {
    fn new(params: &AkcipherParams, half: KeyHalf, bytes: &[u8]) -> Result<Self, CryptoStatus> {
        let padding = RsaPadding::from_code(params.padding_or_curve.get());
        let hash = RsaHash::from_code(params.hash.get());
        let padding = padding.ok_or(CryptoStatus::NotSupported)?;
        let hash = match padding {
            RsaPadding::Raw => RsaHash::None,
            RsaPadding::Pkcs1 => hash.ok_or(CryptoStatus::NotSupported)?,
        };
        let numbers = numbers(bytes).ok_or(CryptoStatus::Error)?;
        let (modulus, public, private) = match (half, <[Number; 2]>::try_from(numbers)) {
            (KeyHalf::Public, Ok([modulus, public])) => (modulus, public, None),
            (KeyHalf::Private, Err(numbers)) => {
                // The version, n, e, d and what makes it fast.
                let numbers = <[Number; 9]>::try_from(numbers).map_err(|_| CryptoStatus::Error)?;
                let [version, modulus, public, _, p, q, dp, dq, inverse] = numbers;
                if version.as_slice() != [0] {
                    return Err(CryptoStatus::NotSupported);
                }
                (modulus, public, Some([p, q, dp, dq, inverse]))
            }
            _ => return Err(CryptoStatus::Error),
        };
        let n = BigUint::from_bytes_le(&modulus);
        let parts = private.iter().flatten();
        let fits = n.bits() <= PUBLIC_KEY_BITS_MAX.into()
            && n.bits() >= 8 * PADDING_MIN as u64
            && n.bit(0)
            && public.len() <= modulus.len()
            && parts.clone().all(|part| part.len() <= modulus.len());
        let is_product = private
            .as_ref()
            .is_none_or(|[p, q, ..]| BigUint::from_bytes_le(p) * BigUint::from_bytes_le(q) == n);
        if !fits || !is_product {
            return Err(CryptoStatus::Error);
        }
        Ok(Self {
            modulus,
            public,
            private,
            padding,
            hash,
        })
    }

    /// Bytes of a block.
    fn len(&self) -> usize {
        self.modulus.len()
    }

    fn word_products(&self) -> u64 {
        let bits = |number: &Number| (number.len() * 8).min(PUBLIC_KEY_BITS_MAX.into()) as u16;
        let mut params = PublicKeyParams {
            op: PublicKeyOp::ModExp,
            flags: PublicKeyFlags::empty(),
            bits: [0; 8],
        };
        match &self.private {
            None => params.bits[1..3].copy_from_slice(&[bits(&self.public), bits(&self.modulus)]),
            Some([p, q, dp, dq, _]) => {
                params.op = PublicKeyOp::ModExpCrt;
                let [p, q, dp, dq] = [p, q, dp, dq].map(bits);
                params.bits[..5].copy_from_slice(&[p, q, 0, dp, dq]);
            }
        }
        asymmetric::word_products(&params)
    }

    fn process(
        &self,
        opcode: CryptoOpcode,
        (source, signed): (&[u8], &[u8]),
        random: &mut RandomSource,
    ) -> Result<Vec<u8>, CryptoStatus> {
        let is_raw = self.padding == RsaPadding::Raw;
        match opcode {
            CryptoOpcode::AkcipherEncrypt if is_raw => self.raise(source, false),
            CryptoOpcode::AkcipherEncrypt => self.raise(&self.pad(source, random)?, false),
            CryptoOpcode::AkcipherDecrypt if is_raw => self.raise(source, true),
            CryptoOpcode::AkcipherDecrypt => {
                let block = Zeroizing::new(self.raise(source, true)?);
                unpad(&block).map(<[u8]>::to_vec)
            }
            CryptoOpcode::AkcipherSign if !is_raw => self.raise(&self.frame(source)?, true),
            CryptoOpcode::AkcipherVerify if !is_raw => {
                let block = self.raise(source, false);
                let is_right = block.is_ok_and(|block| self.frame(signed) == Ok(block));
                is_right.then(Vec::new).ok_or(CryptoStatus::KeyRejected)
            }
            _ => Err(CryptoStatus::NotSupported),
        }
    }

    /// `block` to the power of one half of the key, as long as the modulus.
    fn raise(&self, block: &[u8], is_private: bool) -> Result<Vec<u8>, CryptoStatus> {
        let base: Number = Zeroizing::new(block.iter().rev().copied().collect());
        let n = BigUint::from_bytes_le(&self.modulus);
        if BigUint::from_bytes_le(&base) >= n {
            return Err(CryptoStatus::Error);
        }
        let mut no_chance = |_: &mut [u8]| Err(Status::EntropyFailure);
        let result = match (&self.private, is_private) {
            (_, false) => {
                let inputs = [&base[..], &self.public, &self.modulus];
                asymmetric::compute(PublicKeyOp::ModExp, &inputs, &mut no_chance)
            }
            (Some([p, q, dp, dq, inverse]), true) => {
                let inputs = [&p[..], q, &base, dp, dq, inverse];
                asymmetric::compute(PublicKeyOp::ModExpCrt, &inputs, &mut no_chance)
            }
            (None, true) => return Err(CryptoStatus::NotSupported),
        };
        let result = result.map_err(status_of)?;
        let number = result.first().ok_or(CryptoStatus::Error)?.to_bytes_be();
        let zeros = self.len().checked_sub(number.len());
        let zeros = zeros.ok_or(CryptoStatus::Error)?;
        Ok([vec![0; zeros], number].concat())
    }

    /// A message as it is encrypted (RFC 8017, 7.2.1).
    fn pad(&self, message: &[u8], random: &mut RandomSource) -> Result<Number, CryptoStatus> {
        let filling = self.len().checked_sub(message.len() + 3);
        let filling = filling.filter(|&len| len + 3 >= PADDING_MIN);
        let mut filling = vec![0; filling.ok_or(CryptoStatus::Error)?];
        random.fill(&mut filling, false).map_err(status_of)?;
        // A zero would end the filling; what takes its place is a little less random.
        filling.iter_mut().for_each(|byte| *byte = (*byte).max(1));
        Ok(Zeroizing::new(
            [&[0, 2], &filling[..], &[0], message].concat(),
        ))
    }

    /// A digest as it is signed (RFC 8017, 9.2).
    fn frame(&self, digest: &[u8]) -> Result<Vec<u8>, CryptoStatus> {
        let (prefix, len) = digest_info(self.hash);
        if len.is_some_and(|len| len != digest.len()) {
            return Err(CryptoStatus::Error);
        }
        let filling = self.len().checked_sub(prefix.len() + digest.len() + 3);
        let filling = filling.filter(|&len| len >= PADDING_MIN - 3);
        let filling = vec![0xFF; filling.ok_or(CryptoStatus::Error)?];
        Ok([&[0, 1], &filling[..], &[0], prefix, digest].concat())
    }
}

/// The message in a block that was encrypted.
fn unpad(block: &[u8]) -> Result<&[u8], CryptoStatus> {
    let body = block.strip_prefix(&[0, 2]).ok_or(CryptoStatus::Error)?;
    let end = body.iter().position(|&byte| byte == 0);
    let end = end.filter(|&at| at + 3 >= PADDING_MIN);
    Ok(&body[end.ok_or(CryptoStatus::Error)? + 1..])
}

/// What stands before a digest that is signed, and how long the digest is (RFC 8017, 9.2, note 1).
const fn digest_info(hash: RsaHash) -> (&'static [u8], Option<usize>) {
    match hash {
        RsaHash::None => (&[], None),
        RsaHash::Md5 => (
            b"\x30\x20\x30\x0c\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x05\x05\x00\x04\x10",
            Some(16),
        ),
        RsaHash::Sha1 => (
            b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14",
            Some(20),
        ),
        RsaHash::Sha224 => (
            b"\x30\x2d\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x04\x05\x00\x04\x1c",
            Some(28),
        ),
        RsaHash::Sha256 => (
            b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
            Some(32),
        ),
        RsaHash::Sha384 => (
            b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
            Some(48),
        ),
        RsaHash::Sha512 => (
            b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
            Some(64),
        ),
    }
}

/// The elements of the sequence that `bytes` begin with. Some drivers hand in keys with bytes
/// behind them, which do not count.
fn elements(bytes: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(bytes).ok()?;
    let body = AnyRef::decode(&mut reader).ok()?;
    if body.tag() != der::Tag::Sequence {
        return None;
    }
    let mut reader = SliceReader::new(body.value()).ok()?;
    let mut elements = Vec::new();
    while !reader.is_finished() {
        if elements.len() == MAX_ELEMENTS {
            return None;
        }
        elements.push(AnyRef::decode(&mut reader).ok()?);
    }
    Some(elements)
}

/// The numbers of a sequence of numbers.
fn numbers(bytes: &[u8]) -> Option<Vec<Number>> {
    let elements = elements(bytes)?;
    elements.iter().map(number).collect()
}

fn number(element: &AnyRef<'_>) -> Option<Number> {
    let number = element.decode_as::<UintRef<'_>>().ok()?;
    Some(Zeroizing::new(
        number.as_bytes().iter().rev().copied().collect(),
    ))
}

/// The private half in an `ECPrivateKey` (RFC 5915).
fn private_of_curve(curve: &curve::Domain, bytes: &[u8]) -> Result<Number, CryptoStatus> {
    let elements = elements(bytes).ok_or(CryptoStatus::Error)?;
    let key = elements.get(1).and_then(|key| {
        let key = key.decode_as::<&OctetStringRef>().ok()?;
        Some(Zeroizing::new(
            key.as_bytes().iter().rev().copied().collect::<Vec<_>>(),
        ))
    });
    key.filter(|key| curve.is_private(key))
        .ok_or(CryptoStatus::Error)
}

/// An `Ecdsa-Sig-Value` (RFC 3279, 2.2.3).
fn signature(r: &BigUint, s: &BigUint) -> Option<Vec<u8>> {
    let (r, s) = (r.to_bytes_be(), s.to_bytes_be());
    let numbers = [UintRef::new(&r).ok()?, UintRef::new(&s).ok()?];
    numbers.to_der().ok()
}

fn read_signature(bytes: &[u8]) -> Option<(BigUint, BigUint)> {
    let numbers = <[Number; 2]>::try_from(numbers(bytes)?).ok()?;
    let [r, s] = numbers.map(|number| BigUint::from_bytes_le(&number));
    Some((r, s))
}

fn status_of(status: Status) -> CryptoStatus {
    match status {
        Status::SignatureMismatch => CryptoStatus::KeyRejected,
        _ => CryptoStatus::Error,
    }
}
