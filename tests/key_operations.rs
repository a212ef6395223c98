//! Card and software driver compute the same from the same long numbers, with two libraries.

use device_model::engine::RandomSource;
use device_model::engine::asymmetric::compute;
use framework::software::compute_key;
use framework::{KeyDriverError, KeyOp, KeyParam, KeyRequest};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use regs::{PublicKeyOp, Status};

/// Room for any result here, in bytes.
const ROOM: usize = 200;

/// What the card's engine makes of `inputs`, each result in a buffer of one length.
fn card(op: KeyOp, inputs: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Status> {
    let op = PublicKeyOp::from_code(op as u8).expect("the same codes");
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let mut random = RandomSource::new(&[5; 32]);
    let results = compute(op, &inputs, &mut |bytes| random.fill(bytes, false))?;
    let padded = results.iter().map(|result| {
        let mut bytes = result.to_bytes_le();
        bytes.resize(ROOM, 0);
        bytes
    });
    Ok(padded.collect())
}

/// What the software driver makes of them.
fn software(op: KeyOp, inputs: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Status> {
    let (_, outputs) = op.params();
    let inputs = inputs.iter().map(|bytes| KeyParam::from_le_bytes(bytes));
    let room = KeyParam::room(ROOM as u32 * 8);
    let mut request = KeyRequest::new(op, inputs.collect(), vec![room; outputs]);
    match compute_key(&mut request) {
        Ok(()) => Ok(request.outputs.iter().map(|o| o.bytes().to_vec()).collect()),
        Err(KeyDriverError::Undefined) => Err(Status::BadOperand),
        Err(KeyDriverError::Mismatch) => Err(Status::SignatureMismatch),
        Err(error) => panic!("{op:?}: {error}"),
    }
}

/// A number of up to 48 bytes; short ones, zeros and powers of two are frequent.
fn number(chance: &mut Xoshiro256PlusPlus) -> Vec<u8> {
    let len = chance.next_u32() as usize % 49;
    let mut bytes = vec![0; len];
    match chance.next_u32() % 8 {
        0 => {}
        1 => bytes.fill(0xFF),
        2 => {
            if let Some(top) = bytes.last_mut() {
                *top = 0x10;
            }
        }
        3 => bytes.truncate(2),
        _ => chance.fill_bytes(&mut bytes),
    }
    bytes
}

#[test]
fn results_agree_for_any_numbers() {
    let mut chance = Xoshiro256PlusPlus::seed_from_u64(11);
    for op in KeyOp::ALL {
        // What is signed has a nonce of chance in it, and is tested below.
        if op == KeyOp::DsaSign {
            continue;
        }
        let mut good = 0;
        for _ in 0..300 {
            let inputs: Vec<_> = (0..op.params().0).map(|_| number(&mut chance)).collect();
            let (card, software) = (card(op, &inputs), software(op, &inputs));
            good += u32::from(card.is_ok());
            assert_eq!(card, software, "{op:?} of {inputs:x?}");
        }
        assert!(good > 20 || op == KeyOp::DsaVerify, "{op:?}: {good}");
    }
}

/// p, q and g of a group of 512 and 160 bits (FIPS 186, appendix 5), least significant byte first.
fn group() -> [Vec<u8>; 3] {
    [
        "8df2a494492276aa3d25759bb06869cbeac0d83afb8d0cf7cbb8324f0d7882e5\
         d0762fc5b7210eafc2e9adac32ab7aac49693dfbf83724c2ec0736ee31c80291",
        "c773218c737ec8ee993b4f2ded30f48edace915f",
        "626d027839ea0a13413163a55b4cb500299d5522956cefcb3bff10f399ce2c2e\
         71cb9de5fa24babf58e5b79521925c9cc42e9f6f464b088cc572af53e6d78802",
    ]
    .map(|digits| {
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex digits");
        (0..digits.len()).step_by(2).rev().map(byte).collect()
    })
}

#[test]
fn each_believes_what_the_other_signed() {
    let [p, q, g] = group();
    let mut chance = Xoshiro256PlusPlus::seed_from_u64(12);
    for len in [1, 19, 20, 21, 32, 64] {
        let mut digest = vec![0; len];
        let mut x = vec![0; 20];
        chance.fill_bytes(&mut digest);
        chance.fill_bytes(&mut x[..19]);
        let power = vec![g.clone(), x.clone(), p.clone()];
        let y = software(KeyOp::ModExp, &power).expect("a power").remove(0);
        let sign = [&digest, &p, &q, &g, &x].map(Clone::clone);
        for signer in [card, software] {
            let [r, s] = signer(KeyOp::DsaSign, &sign)
                .expect("a signature")
                .try_into()
                .expect("two numbers");
            let mut verify = [&digest, &p, &q, &g, &y, &r, &s].map(Clone::clone);
            for verifier in [card, software] {
                assert_eq!(verifier(KeyOp::DsaVerify, &verify), Ok(Vec::new()));
            }
            verify[0][0] ^= 0x80;
            for verifier in [card, software] {
                let verified = verifier(KeyOp::DsaVerify, &verify);
                assert_eq!(verified, Err(Status::SignatureMismatch));
            }
        }
    }
}
