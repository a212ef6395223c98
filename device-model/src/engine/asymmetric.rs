//! Public-key operations: modular arithmetic, DSA and Diffie-Hellman on long numbers.
//!
//! Knows no descriptor and no time; how much work an operation is, it says in products of two
//! 64-bit words. The numbers are those of num-bigint, whose time depends on their values, while a
//! card's would not: the model's time comes from their lengths alone. Its intermediate values are
//! registers of the engine, which no one sees, and are not zeroed.

use num_bigint::BigUint;
use regs::{PublicKeyOp, PublicKeyParams, Status};

/// Signatures to try before a DSA key is believed to be no key at all.
const TRIES_MAX: usize = 64;
/// More random bits than q has, so that the nonce shows no bias (FIPS 186-4, B.2.1).
const EXTRA_BYTES: usize = 8;
/// Bits of exponent that one multiplication serves.
const EXPONENT_WINDOW: u64 = 4;

/// Draws random bytes, or says why there are none.
pub type Draw<'a> = &'a mut dyn FnMut(&mut [u8]) -> Result<(), Status>;

/// Computes `op` on `inputs`, each of which is a number with its least significant byte first, or a
/// digest as it was written.
///
/// # Errors
/// [`Status::BadOperand`] if there is no result, [`Status::SignatureMismatch`] for a wrong
/// signature, and whatever `draw` fails with.
///
/// # Panics
/// If there are not as many inputs as `op` has.
pub fn compute(op: PublicKeyOp, inputs: &[&[u8]], draw: Draw<'_>) -> Result<Vec<BigUint>, Status> {
    assert_eq!(inputs.len(), op.inputs());
    let number = |at: usize| BigUint::from_bytes_le(inputs[at]);
    let modulus = |at: usize| {
        let modulus = number(at);
        let is_zero = modulus.bits() == 0;
        (!is_zero).then_some(modulus).ok_or(Status::BadOperand)
    };
    let result = match op {
        PublicKeyOp::ModExp => number(0).modpow(&number(1), &modulus(2)?),
        PublicKeyOp::DhComputeKey => number(1).modpow(&number(0), &modulus(2)?),
        PublicKeyOp::ModExpCrt => {
            let (p, q) = (modulus(0)?, modulus(1)?);
            let (m1, m2) = (
                number(2).modpow(&number(3), &p),
                number(2).modpow(&number(4), &q),
            );
            let difference = m1 + &p - &m2 % &p;
            number(5) * difference % p * q + m2
        }
        PublicKeyOp::DsaSign => {
            let dsa = Dsa::new(inputs)?;
            return dsa.sign(&number(4), draw).map(Into::into);
        }
        PublicKeyOp::DsaVerify => {
            Dsa::new(inputs)?.verify(&number(4), &number(5), &number(6))?;
            return Ok(Vec::new());
        }
        PublicKeyOp::ModAdd => (number(0) + number(1)) % modulus(2)?,
        PublicKeyOp::ModSub => {
            let m = modulus(2)?;
            (number(0) % &m + &m - number(1) % &m) % m
        }
        PublicKeyOp::ModMult => number(0) * number(1) % modulus(2)?,
        PublicKeyOp::ModAddInv => {
            let m = modulus(1)?;
            (&m - number(0) % &m) % m
        }
        PublicKeyOp::ModMultInv => inverse(&number(0), &modulus(1)?)?,
        PublicKeyOp::Mod => number(0) % modulus(1)?,
    };
    Ok(vec![result])
}

fn inverse(a: &BigUint, m: &BigUint) -> Result<BigUint, Status> {
    a.modinv(m).ok_or(Status::BadOperand)
}

/// A DSA group and a digest in it.
struct Dsa {
    p: BigUint,
    q: BigUint,
    g: BigUint,
    /// The digest's leftmost bits, as many as q has.
    z: BigUint,
}

impl Dsa {
    fn new(inputs: &[&[u8]]) -> Result<Self, Status> {
        let number = |at: usize| BigUint::from_bytes_le(inputs[at]);
        let (p, q, g) = (number(1), number(2), number(3));
        if p.bits() == 0 || q.bits() < 2 {
            return Err(Status::BadOperand);
        }
        let z = BigUint::from_bytes_be(inputs[0]);
        let excess = (inputs[0].len() as u64 * 8).saturating_sub(q.bits());
        let z = z >> excess;
        Ok(Self { p, q, g, z })
    }

    fn is_in_group(&self, value: &BigUint) -> bool {
        value.bits() != 0 && value < &self.q
    }

    /// r and s (FIPS 186-4, 4.6).
    fn sign(&self, x: &BigUint, draw: Draw<'_>) -> Result<[BigUint; 2], Status> {
        if !self.is_in_group(x) {
            return Err(Status::BadOperand);
        }
        for _ in 0..TRIES_MAX {
            let k = nonce(&self.q, draw)?;
            let r = self.g.modpow(&k, &self.p) % &self.q;
            let s = inverse(&k, &self.q)? * (&self.z + x * &r) % &self.q;
            if r.bits() != 0 && s.bits() != 0 {
                return Ok([r, s]);
            }
        }
        Err(Status::BadOperand)
    }

    /// FIPS 186-4, 4.7.
    fn verify(&self, y: &BigUint, r: &BigUint, s: &BigUint) -> Result<(), Status> {
        if !self.is_in_group(r) || !self.is_in_group(s) {
            return Err(Status::SignatureMismatch);
        }
        let w = inverse(s, &self.q)?;
        let (u1, u2) = (&self.z * &w % &self.q, r * w % &self.q);
        let v = self.g.modpow(&u1, &self.p) * y.modpow(&u2, &self.p) % &self.p % &self.q;
        if &v == r {
            Ok(())
        } else {
            Err(Status::SignatureMismatch)
        }
    }
}

/// A random number of 1 to `order` - 1 (FIPS 186-4, B.2.1).
pub(super) fn nonce(order: &BigUint, draw: Draw<'_>) -> Result<BigUint, Status> {
    let mut bytes = zeroize::Zeroizing::new(vec![0; order.to_bytes_le().len() + EXTRA_BYTES]);
    draw(&mut bytes)?;
    let one = BigUint::from(1_u8);
    Ok(BigUint::from_bytes_le(&bytes) % (order - &one) + one)
}

/// How much work an operation is: products of two 64-bit words, for an engine that works in
/// Montgomery form, word by word, and whose time depends on lengths alone.
#[must_use]
pub fn word_products(params: &PublicKeyParams) -> u64 {
    let bits = |at: usize| u64::from(params.bits[at]);
    match params.op {
        PublicKeyOp::ModExp => power(bits(2), bits(1)),
        PublicKeyOp::DhComputeKey => power(bits(2), bits(0)),
        PublicKeyOp::ModExpCrt => {
            power(bits(0), bits(3)) + power(bits(1), bits(4)) + 2 * product(bits(0))
        }
        PublicKeyOp::DsaSign => power(bits(1), bits(2)) + inversion(bits(2)) + 2 * product(bits(2)),
        PublicKeyOp::DsaVerify => {
            2 * power(bits(1), bits(2)) + inversion(bits(2)) + 2 * product(bits(2))
        }
        PublicKeyOp::ModAdd | PublicKeyOp::ModSub => words(bits(2)),
        PublicKeyOp::ModAddInv => words(bits(1)),
        PublicKeyOp::ModMult => 2 * product(bits(2)),
        PublicKeyOp::ModMultInv => inversion(bits(1)),
        PublicKeyOp::Mod => words(bits(0)) * words(bits(1)),
    }
}

/// How much work a product with a point of Curve25519 is: a ladder of 255 steps of ten products
/// (RFC 7748, 5).
pub const X25519_WORD_PRODUCTS: u64 = 255 * 10 * product(256);

const fn words(bits: u64) -> u64 {
    if bits == 0 { 1 } else { bits.div_ceil(64) }
}

/// A product of two numbers modulo one of `bits`: word by word, and as much for the reduction.
pub(super) const fn product(bits: u64) -> u64 {
    let words = words(bits);
    2 * words * words + words
}

/// A square for each bit of the exponent, and a product for each window of it.
const fn power(bits: u64, exponent_bits: u64) -> u64 {
    let window = 1 << EXPONENT_WINDOW;
    (exponent_bits + exponent_bits.div_ceil(EXPONENT_WINDOW) + window) * product(bits)
}

/// Euclid's algorithm with shifts: two steps for each bit, each over four numbers.
const fn inversion(bits: u64) -> u64 {
    2 * (bits + 1) * 4 * words(bits)
}

#[cfg(test)]
mod tests;
