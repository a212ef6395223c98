//! Digests in parts: the state between them.

use regs::{CipherCode, DIGESTS, DigestCode, Status};

use super::super::{Context, DigestState, MessagePart, Operation};
use super::{KEY_128, block, context, hex, run};

/// Every digest that has a state outside, with a key if it takes one.
fn contexts_with_state() -> impl Iterator<Item = Context> {
    let infos = DIGESTS.into_iter().filter(|info| info.has_state);
    infos.map(|info| {
        let key: &[u8] = if info.key.max == 0 { &[] } else { b"some key" };
        context(block(CipherCode::None, info.code), "", key)
    })
}

fn begin(context: &Context, payload: &[u8]) -> DigestState {
    let part = MessagePart {
        state: None,
        payload,
    };
    context.digest_part(&part).unwrap()
}

fn end(context: &Context, state: &DigestState, payload: &[u8]) -> Result<Vec<u8>, Status> {
    let part = MessagePart {
        state: Some(state),
        payload,
    };
    let mut digest = vec![0; context.digest_len()];
    context
        .digest_end(&part, Operation::Seal, &mut digest)
        .map(|()| digest)
}

#[test]
fn a_digest_may_be_cut_anywhere() {
    let message: Vec<u8> = (0..300u32).map(|at| (at * 5) as u8).collect();
    for context in contexts_with_state() {
        let whole = run(&context, Operation::Seal, "", (&[], &message, &[])).digest;
        for cut in 0..=message.len() {
            let state = begin(&context, &message[..cut]);
            let last = &message[cut..];
            assert_eq!(
                end(&context, &state, last).as_ref(),
                Ok(&whole),
                "{context:?} {cut}"
            );
        }
    }
}

#[test]
fn a_state_is_laid_out_as_the_datasheet_says() {
    // SHA-256 after 70 bytes: one block is done, six bytes wait.
    let sha = context(block(CipherCode::None, DigestCode::Sha256), "", &[]);
    let state = begin(&sha, &[7; 70]);
    assert_eq!(state[..16], hex("0301 0000000000000000000000000000"));
    let body = &state[16..];
    assert_eq!(body[32..40], 1u64.to_le_bytes());
    assert_eq!(body[40..47], [6, 7, 7, 7, 7, 7, 7]);
    assert!(body[47..].iter().all(|&byte| byte == 0));
    let hashes = DIGESTS
        .into_iter()
        .filter(|info| info.has_state && info.key.max == 0);
    for info in hashes {
        let hash = context(block(CipherCode::None, info.code), "", &[]);
        let block_len = usize::from(info.block_len);
        let state = begin(&hash, &vec![1; 3 * block_len]);
        let number_at = 16
            + match info.code {
                DigestCode::Sha224 => 32,
                DigestCode::Sha384 => 64,
                code => code.len(),
            };
        assert_eq!(
            state[number_at..number_at + 8],
            3u64.to_le_bytes(),
            "{info:?}"
        );
    }
}

#[test]
fn a_changed_state_is_refused_or_harmless_and_a_sealed_one_always_refused() {
    for context in contexts_with_state() {
        let is_keyed = context.key_len() != 0;
        let good = begin(&context, &[9; 100]);
        for bit in 0..good.len() * 8 {
            let mut state = good;
            state[bit / 8] ^= 1 << (bit % 8);
            let ended = end(&context, &state, &[1; 300]);
            let is_body = (16..16 + regs::DIGEST_STATE_BODY).contains(&(bit / 8));
            if is_keyed || !is_body {
                assert_eq!(ended, Err(Status::BadState), "{context:?} bit {bit}");
            }
        }
        assert!(end(&context, &good, &[]).is_ok());
    }
}

#[test]
fn a_state_serves_only_its_own_key_and_algorithm() {
    let sha = context(block(CipherCode::None, DigestCode::Sha256), "", &[]);
    let other = context(block(CipherCode::None, DigestCode::Sha224), "", &[]);
    let first = context(block(CipherCode::None, DigestCode::HmacSha256), "", b"one");
    let second = context(block(CipherCode::None, DigestCode::HmacSha256), "", b"two");
    for (from, to) in [
        (&sha, &other),
        (&sha, &first),
        (&first, &sha),
        (&first, &second),
    ] {
        let state = begin(from, b"message");
        assert_eq!(end(to, &state, &[]), Err(Status::BadState));
    }
    let shorter = first.with_keys(b"one").unwrap();
    let state = begin(&shorter, b"message");
    assert!(
        end(&first, &state, &[]).is_ok(),
        "the same key is the same session"
    );
    let inner = begin(&sha, &[0x36 ^ b'o'; 64]);
    let sealed = begin(&first, &[]);
    assert_ne!(sealed[16..224], inner[16..224]);
    let cipher = context(block(CipherCode::AesCbc, DigestCode::Sha256), KEY_128, &[]);
    assert!(!cipher.has_state());
    let part = MessagePart {
        state: None,
        payload: &[],
    };
    assert_eq!(cipher.digest_part(&part), Err(Status::BadParameters));
}

#[test]
fn a_state_with_too_many_blocks_behind_it_is_refused() {
    for code in [DigestCode::Md5, DigestCode::Sha256, DigestCode::Sha512] {
        let hash = context(block(CipherCode::None, code), "", &[]);
        let number_at = 16 + code.len();
        for highest in 0..8 {
            let mut state = begin(&hash, &[0; 10]);
            state[number_at + highest] = 0xFF;
            let is_fine = highest < 6;
            assert_eq!(
                end(&hash, &state, &[0; 4096]).is_ok(),
                is_fine,
                "{code:?} {highest}"
            );
        }
    }
}
