//! Key operations on the CPU, with numbers of crypto-bigint.
//!
//! Exponents and private keys are zeroed after use. Odd moduli work in Montgomery form, in time
//! that does not depend on exponent or base; even ones, which no key has, by plain squaring.

use aws_lc_rs::hmac;
use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, ConcatenatingMul, NonZero, Resize};
use zeroize::Zeroizing;

use crate::{KeyDriverError, KeyOp, KeyParam, KeyRequest};

/// Longest number the CPU is asked to work on, in bits.
const BITS_MAX: u32 = 16_384;
/// Nonces to try before a DSA key is believed to be no key at all.
const NONCES_MAX: usize = 64;

/// Does what `request` asks for. Its outputs are written only if it succeeds.
///
/// # Errors
/// [`KeyDriverError::TooBig`] for parameters of more than 16384 bits,
/// [`KeyDriverError::Undefined`] if no result exists, [`KeyDriverError::NoRoom`] if it does not fit
/// and [`KeyDriverError::Mismatch`] for a wrong signature.
///
/// # Panics
/// If the request has not the numbers of parameters of its operation.
pub fn compute_key(request: &mut KeyRequest) -> Result<(), KeyDriverError> {
    let inputs = request.inputs.as_slice();
    if inputs.iter().any(|param| param.bits() > BITS_MAX) {
        return Err(KeyDriverError::TooBig);
    }
    let results = match request.op {
        KeyOp::ModExp => {
            let exponent = secret(&inputs[1]);
            vec![power(&number(&inputs[0]), &exponent, &modulus(&inputs[2])?)]
        }
        KeyOp::DhComputeKey => {
            let exponent = secret(&inputs[0]);
            vec![power(&number(&inputs[1]), &exponent, &modulus(&inputs[2])?)]
        }
        KeyOp::ModExpCrt => vec![power_of_parts(inputs)?],
        KeyOp::DsaSign => Dsa::new(inputs)?.sign(inputs)?.into(),
        KeyOp::DsaVerify => {
            Dsa::new(inputs)?.verify(inputs)?;
            Vec::new()
        }
        op => vec![reduce(op, inputs)?],
    };
    store(&mut request.outputs, &results)
}

/// Writes all results or none.
fn store(outputs: &mut [KeyParam], results: &[BoxedUint]) -> Result<(), KeyDriverError> {
    let fits = |(output, result): (&KeyParam, &BoxedUint)| result.bit_width() <= output.bits();
    if !outputs.iter().zip(results).all(fits) {
        return Err(KeyDriverError::NoRoom);
    }
    for (output, result) in outputs.iter_mut().zip(results) {
        let bytes = Zeroizing::new(result.to_le_bytes());
        assert!(output.store(&bytes), "room that was measured");
    }
    Ok(())
}

fn number(param: &KeyParam) -> BoxedUint {
    let bits = param.bits().max(1);
    BoxedUint::from_le_slice(param.bytes(), bits).expect("as many bytes as bits need")
}

fn secret(param: &KeyParam) -> Zeroizing<BoxedUint> {
    Zeroizing::new(number(param))
}

fn modulus(param: &KeyParam) -> Result<NonZero<BoxedUint>, KeyDriverError> {
    let number = number(param);
    let bits = number.bit_width().max(1);
    let value = number.resize_unchecked(bits).into_nz().into_option();
    value.ok_or(KeyDriverError::Undefined)
}

/// `base` to the power of `exponent`, modulo `m`.
fn power(base: &BoxedUint, exponent: &BoxedUint, m: &NonZero<BoxedUint>) -> BoxedUint {
    let base = base.rem(m);
    if let Some(odd) = m.as_ref().to_odd().into_option() {
        let params = BoxedMontyParams::new(odd);
        return BoxedMontyForm::new(base, &params).pow(exponent).retrieve();
    }
    let mut result = BoxedUint::one_with_precision(m.bits_precision()).rem(m);
    for bit in (0..exponent.bit_width()).rev() {
        result = result.mul_mod(&result, m);
        if exponent.bit_vartime(bit) {
            result = result.mul_mod(&base, m);
        }
    }
    result
}

/// RSA with the private key in parts; RFC 8017 section 5.1.2.
fn power_of_parts(inputs: &[KeyParam]) -> Result<BoxedUint, KeyDriverError> {
    let (p, q) = (modulus(&inputs[0])?, modulus(&inputs[1])?);
    let base = number(&inputs[2]);
    let (dp, dq) = (secret(&inputs[3]), secret(&inputs[4]));
    let (m1, m2) = (power(&base, &dp, &p), power(&base, &dq, &q));
    let difference = m1.sub_mod(&m2.rem(&p), &p);
    let h = number(&inputs[5]).rem(&p).mul_mod(&difference, &p);
    let product = h.concatenating_mul(q.as_ref());
    let m2 = m2.resize_unchecked(product.bits_precision());
    Ok(product.wrapping_add(&m2))
}

/// One step of modular arithmetic.
fn reduce(op: KeyOp, inputs: &[KeyParam]) -> Result<BoxedUint, KeyDriverError> {
    let m = modulus(inputs.last().expect("a modulus"))?;
    let a = number(&inputs[0]).rem(&m);
    let b = || number(&inputs[1]).rem(&m);
    Ok(match op {
        KeyOp::ModAdd => a.add_mod(&b(), &m),
        KeyOp::ModAddInv => a.neg_mod(&m),
        KeyOp::ModSub => a.sub_mod(&b(), &m),
        KeyOp::ModMult => a.mul_mod(&b(), &m),
        KeyOp::ModMultInv => inverse(&a, &m)?,
        KeyOp::Mod => a,
        KeyOp::ModExp
        | KeyOp::ModExpCrt
        | KeyOp::DsaSign
        | KeyOp::DsaVerify
        | KeyOp::DhComputeKey => unreachable!("{op:?} is more than one step"),
    })
}

/// The inverse of `a`, which is below `m`.
fn inverse(a: &BoxedUint, m: &NonZero<BoxedUint>) -> Result<BoxedUint, KeyDriverError> {
    a.invert_mod(m)
        .into_option()
        .ok_or(KeyDriverError::Undefined)
}

/// A DSA group and a digest to sign in it.
struct Dsa {
    p: NonZero<BoxedUint>,
    q: NonZero<BoxedUint>,
    g: BoxedUint,
    /// The digest's leftmost bits, as many as q has, modulo q.
    z: BoxedUint,
}

impl Dsa {
    fn new(inputs: &[KeyParam]) -> Result<Self, KeyDriverError> {
        let (p, q) = (modulus(&inputs[1])?, modulus(&inputs[2])?);
        let g = number(&inputs[3]).rem(&p);
        let z = leftmost(inputs[0].bytes(), q.bit_width()).rem(&q);
        Ok(Self { p, q, g, z })
    }

    /// r and s with a nonce of RFC 6979, so that no chance is needed: the hash is that of the
    /// digest's length.
    fn sign(&self, inputs: &[KeyParam]) -> Result<[BoxedUint; 2], KeyDriverError> {
        let x = secret(&inputs[4]);
        if !self.is_in_group(&x) {
            return Err(KeyDriverError::Undefined);
        }
        let x = Zeroizing::new(x.rem(&self.q));
        let mut nonces = Nonces::new(self, &x, inputs[0].bytes().len());
        for _ in 0..NONCES_MAX {
            let k = nonces.next_nonce();
            if !self.is_in_group(&k) {
                continue;
            }
            let k = Zeroizing::new(k.rem(&self.q));
            let r = power(&self.g, &k, &self.p).rem(&self.q);
            let xr = x.mul_mod(&r, &self.q);
            let s = inverse(&k, &self.q)?.mul_mod(&self.z.add_mod(&xr, &self.q), &self.q);
            if !bool::from(r.is_zero() | s.is_zero()) {
                return Ok([r, s]);
            }
        }
        Err(KeyDriverError::Undefined)
    }

    fn verify(&self, inputs: &[KeyParam]) -> Result<(), KeyDriverError> {
        let y = number(&inputs[4]);
        let (r, s) = (number(&inputs[5]), number(&inputs[6]));
        if !self.is_in_group(&r) || !self.is_in_group(&s) {
            return Err(KeyDriverError::Mismatch);
        }
        let (r, s) = (r.rem(&self.q), s.rem(&self.q));
        let w = inverse(&s, &self.q)?;
        let (u1, u2) = (self.z.mul_mod(&w, &self.q), r.mul_mod(&w, &self.q));
        let v = power(&self.g, &u1, &self.p).mul_mod(&power(&y, &u2, &self.p), &self.p);
        if v.rem(&self.q) == r {
            Ok(())
        } else {
            Err(KeyDriverError::Mismatch)
        }
    }

    /// Whether `value` lies between 0 and q.
    fn is_in_group(&self, value: &BoxedUint) -> bool {
        let bits = value.bits_precision().max(self.q.bits_precision());
        let q = self.q.as_ref().resize_unchecked(bits);
        !bool::from(value.is_zero()) && value.resize_unchecked(bits) < q
    }

    fn octets(&self, value: &BoxedUint) -> Zeroizing<Vec<u8>> {
        let len = self.q.bit_width().div_ceil(8) as usize;
        let bytes = Zeroizing::new(value.to_le_bytes());
        let octet = |at: usize| bytes.get(at).copied().unwrap_or_default();
        Zeroizing::new((0..len).rev().map(octet).collect())
    }
}

/// The number in the leftmost `bits` bits of `bytes`; bits2int of RFC 6979 section 2.3.2.
fn leftmost(bytes: &[u8], bits: u32) -> BoxedUint {
    let bytes = &bytes[..bytes.len().min(bits.div_ceil(8) as usize)];
    let len = u32::try_from(bytes.len() * 8).expect("no longer than a modulus");
    let value = BoxedUint::from_be_slice(bytes, len.max(1)).expect("as many bits as bytes have");
    value.shr(len.saturating_sub(bits))
}

/// The nonces of RFC 6979 section 3.2 for one key and digest.
struct Nonces {
    algorithm: hmac::Algorithm,
    bits: u32,
    k: Zeroizing<Vec<u8>>,
    v: Zeroizing<Vec<u8>>,
    first: bool,
}

impl Nonces {
    fn new(dsa: &Dsa, x: &BoxedUint, digest_len: usize) -> Self {
        let algorithm = match digest_len {
            20 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            28 => hmac::HMAC_SHA224,
            48 => hmac::HMAC_SHA384,
            64 => hmac::HMAC_SHA512,
            _ => hmac::HMAC_SHA256,
        };
        let len = algorithm.digest_algorithm().output_len();
        let mut nonces = Self {
            algorithm,
            bits: dsa.q.bit_width(),
            k: Zeroizing::new(vec![0; len]),
            v: Zeroizing::new(vec![1; len]),
            first: true,
        };
        let (x, z) = (dsa.octets(x), dsa.octets(&dsa.z));
        nonces.stir(0, &[&x, &z]);
        nonces.stir(1, &[&x, &z]);
        nonces
    }

    fn mac(&self, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
        let mut context = hmac::Context::with_key(&hmac::Key::new(self.algorithm, &self.k));
        for part in parts {
            context.update(part);
        }
        Zeroizing::new(context.sign().as_ref().to_vec())
    }

    fn stir(&mut self, tag: u8, parts: &[&[u8]]) {
        let (v, tag) = (self.v.clone(), [tag]);
        let all: Vec<&[u8]> = [&v[..], &tag]
            .into_iter()
            .chain(parts.iter().copied())
            .collect();
        self.k = self.mac(&all);
        self.v = self.mac(&[&v]);
    }

    fn next_nonce(&mut self) -> Zeroizing<BoxedUint> {
        if !std::mem::take(&mut self.first) {
            self.stir(0, &[]);
        }
        let mut bytes = Zeroizing::new(Vec::new());
        while bytes.len() * 8 < self.bits as usize {
            self.v = self.mac(&[&self.v]);
            bytes.extend_from_slice(&self.v);
        }
        Zeroizing::new(leftmost(&bytes, self.bits))
    }
}

#[cfg(test)]
mod tests;
