//! Known answers for every algorithm, and what the engine refuses.

mod answers;
mod combined;
mod lengths;
mod state;

use regs::{CipherCode, DigestCode, IV_MAX, Lengths, SessionBlock, Status};

use super::{Context, Job, Operation};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let value = |digit: u8| (digit as char).to_digit(16).unwrap() as u8;
    let (pairs, _) = digits.as_chunks::<2>();
    pairs
        .iter()
        .map(|&[high, low]| value(high) << 4 | value(low))
        .collect()
}

fn block(cipher: CipherCode, digest: DigestCode) -> SessionBlock {
    let mut block = SessionBlock::default();
    block.cipher = cipher;
    block.digest = digest;
    block.digest_len = cipher.info().tag.max.max(digest.len() as u8);
    let (ivs, nonces) = (cipher.info().iv, digest.info().iv);
    let both = ivs
        .iter()
        .filter(|&len| nonces == Lengths::NONE || nonces.takes(len));
    block.iv_len = both.last().unwrap_or(0) as u8;
    block
}

fn context(mut block: SessionBlock, cipher_key: &str, digest_key: &[u8]) -> Context {
    block.set_keys(&hex(cipher_key), digest_key).unwrap();
    Context::new(&block).unwrap()
}

struct Answer {
    payload: Vec<u8>,
    digest: Vec<u8>,
    ended: Result<(), Status>,
}

fn run(context: &Context, operation: Operation, iv: &str, input: (&[u8], &[u8], &[u8])) -> Answer {
    let mut full_iv = [0; IV_MAX];
    let iv = hex(iv);
    full_iv[..iv.len()].copy_from_slice(&iv);
    let mut answer = Answer {
        payload: input.1.to_vec(),
        digest: input.2.to_vec(),
        ended: Ok(()),
    };
    answer.digest.resize(context.digest_len(), 0);
    answer.ended = context.process(Job {
        operation,
        iv: &full_iv,
        aad: input.0,
        esn: [0; 4],
        payload: &mut answer.payload,
        digest: &mut answer.digest,
    });
    answer
}

const KEY_128: &str = "2b7e151628aed2a6abf7158809cf4f3c";
const KEY_256: &str = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";
