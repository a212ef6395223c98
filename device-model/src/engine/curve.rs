//! ECDSA over NIST's prime curves (FIPS 186-5, 6.4; SP 800-186, 3.2.1).
//!
//! As `asymmetric`, it knows no time, works with num-bigint, and does not zero what is in between.

use num_bigint::BigUint;
use regs::Status;
use regs::virtio::Curve;

use super::asymmetric::{self, Draw};

/// Nonces to try before a key is believed to be none.
const TRIES_MAX: usize = 64;
/// Products of a step of a ladder: a point is doubled and another added.
const STEP_PRODUCTS: u64 = 20;
/// The mark of a point that is written with both coordinates (SEC 1, 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// The numbers of a curve y² = x³ - 3x + b modulo p; hexadecimal.
#[derive(Debug)]
pub struct Domain {
    bits: u64,
    p: &'static [u8],
    b: &'static [u8],
    n: &'static [u8],
    x: &'static [u8],
    y: &'static [u8],
}

/// A point; `None` is the one at infinity.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Point(Option<(BigUint, BigUint)>);

const P192: Domain = Domain {
    bits: 192,
    p: b"fffffffffffffffffffffffffffffffeffffffffffffffff",
    b: b"64210519e59c80e70fa7e9ab72243049feb8deecc146b9b1",
    n: b"ffffffffffffffffffffffff99def836146bc9b1b4d22831",
    x: b"188da80eb03090f67cbf20eb43a18800f4ff0afd82ff1012",
    y: b"07192b95ffc8da78631011ed6b24cdd573f977a11e794811",
};
const P224: Domain = Domain {
    bits: 224,
    p: b"ffffffffffffffffffffffffffffffff000000000000000000000001",
    b: b"b4050a850c04b3abf54132565044b0b7d7bfd8ba270b39432355ffb4",
    n: b"ffffffffffffffffffffffffffff16a2e0b8f03e13dd29455c5c2a3d",
    x: b"b70e0cbd6bb4bf7f321390b94a03c1d356c21122343280d6115c1d21",
    y: b"bd376388b5f723fb4c22dfe6cd4375a05a07476444d5819985007e34",
};
const P256: Domain = Domain {
    bits: 256,
    p: b"ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
    b: b"5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
    n: b"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
    x: b"6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
    y: b"4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
};
const P384: Domain = Domain {
    bits: 384,
    p: b"fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe\
         ffffffff0000000000000000ffffffff",
    b: b"b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875a\
         c656398d8a2ed19d2a85c8edd3ec2aef",
    n: b"ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf\
         581a0db248b0a77aecec196accc52973",
    x: b"aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a38\
         5502f25dbf55296c3a545e3872760ab7",
    y: b"3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c0\
         0a60b1ce1d7e819d7a431d7c90ea0e5f",
};
const P521: Domain = Domain {
    bits: 521,
    p: b"01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
         ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    b: b"0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e1\
         56193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00",
    n: b"01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa\
         51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
    x: b"00c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dba\
         a14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66",
    y: b"011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c\
         97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650",
};

impl Domain {
    /// The numbers of `curve`.
    #[must_use]
    pub const fn of(curve: Curve) -> &'static Self {
        match curve {
            Curve::P192 => &P192,
            Curve::P224 => &P224,
            Curve::P256 => &P256,
            Curve::P384 => &P384,
            Curve::P521 => &P521,
        }
    }

    /// Bytes of a coordinate.
    const fn len(&self) -> usize {
        self.bits.div_ceil(8) as usize
    }

    /// How much work a product of a point is: products of two 64-bit words.
    #[must_use]
    pub const fn word_products(&self) -> u64 {
        self.bits * STEP_PRODUCTS * asymmetric::product(self.bits)
    }

    /// The point in `bytes`, if it is on the curve: both coordinates, uncompressed.
    #[must_use]
    pub fn point(&self, bytes: &[u8]) -> Option<Point> {
        let (&mark, coordinates) = bytes.split_first()?;
        if mark != UNCOMPRESSED || coordinates.len() != 2 * self.len() {
            return None;
        }
        let (x, y) = coordinates.split_at(self.len());
        let (x, y) = (BigUint::from_bytes_be(x), BigUint::from_bytes_be(y));
        Field::of(self)
            .is_on_curve(&x, &y)
            .then_some(Point(Some((x, y))))
    }

    /// Whether `key`, least significant byte first, is a private key.
    #[must_use]
    pub fn is_private(&self, key: &[u8]) -> bool {
        let key = BigUint::from_bytes_le(key);
        key.bits() != 0 && key < hex(self.n)
    }

    /// The digest as a number: its leftmost bits, as many as n has.
    fn message(&self, digest: &[u8]) -> BigUint {
        let excess = (digest.len() as u64 * 8).saturating_sub(hex(self.n).bits());
        BigUint::from_bytes_be(digest) >> excess
    }

    /// Signs `digest` with the private key, least significant byte first.
    ///
    /// # Errors
    /// [`Status::BadOperand`] if it is no key, and whatever `draw` fails with.
    pub fn sign(
        &self,
        key: &[u8],
        digest: &[u8],
        draw: Draw<'_>,
    ) -> Result<(BigUint, BigUint), Status> {
        let (n, field) = (hex(self.n), Field::of(self));
        let key = BigUint::from_bytes_le(key);
        for _ in 0..TRIES_MAX {
            let k = asymmetric::nonce(&n, draw)?;
            let Point(Some((x, _))) = field.multiply(&field.base(), &k) else {
                continue;
            };
            let r = x % &n;
            let inverse = k.modinv(&n).ok_or(Status::BadOperand)?;
            let s = inverse * (self.message(digest) + &key * &r) % &n;
            if r.bits() != 0 && s.bits() != 0 {
                return Ok((r, s));
            }
        }
        Err(Status::BadOperand)
    }

    /// Checks the signature of `digest`.
    ///
    /// # Errors
    /// [`Status::SignatureMismatch`] if it is wrong.
    pub fn verify(
        &self,
        key: &Point,
        digest: &[u8],
        (r, s): (&BigUint, &BigUint),
    ) -> Result<(), Status> {
        let (n, field) = (hex(self.n), Field::of(self));
        let is_inside = |number: &BigUint| number.bits() != 0 && number < &n;
        if !is_inside(r) || !is_inside(s) {
            return Err(Status::SignatureMismatch);
        }
        let w = s.modinv(&n).ok_or(Status::SignatureMismatch)?;
        let u1 = self.message(digest) * &w % &n;
        let u2 = r * w % &n;
        let sum = field.add(
            &field.multiply(&field.base(), &u1),
            &field.multiply(key, &u2),
        );
        match sum {
            Point(Some((x, _))) if &(&x % &n) == r => Ok(()),
            Point(_) => Err(Status::SignatureMismatch),
        }
    }
}

/// A curve's arithmetic.
struct Field<'a> {
    domain: &'a Domain,
    p: BigUint,
}

impl<'a> Field<'a> {
    fn of(domain: &'a Domain) -> Self {
        Self {
            domain,
            p: hex(domain.p),
        }
    }

    fn base(&self) -> Point {
        Point(Some((hex(self.domain.x), hex(self.domain.y))))
    }

    fn is_on_curve(&self, x: &BigUint, y: &BigUint) -> bool {
        let p = &self.p;
        let right = x * x * x + hex(self.domain.b);
        x < p && y < p && y * y % p == (right + (p - x) * 3_u8) % p
    }

    fn minus(&self, a: &BigUint, b: &BigUint) -> BigUint {
        (a + &self.p - b % &self.p) % &self.p
    }

    fn add(&self, Point(one): &Point, Point(other): &Point) -> Point {
        let (Some((x1, y1)), Some((x2, y2))) = (one, other) else {
            return Point(one.clone().or_else(|| other.clone()));
        };
        let p = &self.p;
        let (rise, run) = if x1 != x2 {
            (self.minus(y2, y1), self.minus(x2, x1))
        } else if y1 == y2 && y1.bits() != 0 {
            let square = x1 * x1 * 3_u8;
            (self.minus(&square, &3_u8.into()), y1 * 2_u8 % p)
        } else {
            return Point(None);
        };
        let Some(inverse) = run.modinv(p) else {
            return Point(None);
        };
        let slope = rise * inverse % p;
        let x = self.minus(&(&slope * &slope), &(x1 + x2));
        let y = self.minus(&(slope * self.minus(x1, &x)), y1);
        Point(Some((x, y)))
    }

    fn multiply(&self, point: &Point, times: &BigUint) -> Point {
        let mut sum = Point(None);
        for bit in (0..times.bits()).rev() {
            sum = self.add(&sum, &sum);
            if times.bit(bit) {
                sum = self.add(&sum, point);
            }
        }
        sum
    }
}

fn hex(digits: &[u8]) -> BigUint {
    BigUint::parse_bytes(digits, 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_base_point_is_on_its_curve_and_has_the_order_that_is_written() {
        for &curve in Curve::ALL {
            let domain = Domain::of(curve);
            let field = Field::of(domain);
            assert_eq!(field.p.bits(), domain.bits);
            let Point(Some((x, y))) = field.base() else {
                panic!("a point");
            };
            assert!(field.is_on_curve(&x, &y), "{curve:?}");
            let product = field.multiply(&field.base(), &hex(domain.n));
            assert_eq!(product, Point(None), "{curve:?}");
        }
    }

    #[test]
    fn what_is_signed_is_verified_and_nothing_else() {
        for &curve in Curve::ALL {
            let domain = Domain::of(curve);
            let field = Field::of(domain);
            let key = [7, 1, 2, 3];
            let public = field.multiply(&field.base(), &BigUint::from_bytes_le(&key));
            let mut random = super::super::RandomSource::new(&[1; 32]);
            let draw = &mut |bytes: &mut [u8]| random.fill(bytes, false);
            let (r, s) = domain.sign(&key, &[0xA5; 64], draw).unwrap();
            assert_eq!(domain.verify(&public, &[0xA5; 64], (&r, &s)), Ok(()));
            let wrong = Err(Status::SignatureMismatch);
            assert_eq!(domain.verify(&public, &[0xA4; 64], (&r, &s)), wrong);
            assert_eq!(domain.verify(&public, &[0xA5; 64], (&s, &r)), wrong);
            assert_eq!(domain.verify(&public, &[0xA5; 64], (&r, &hex(b"0"))), wrong);
        }
    }
}
