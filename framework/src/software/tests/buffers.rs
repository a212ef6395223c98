//! What must hold whatever the bytes are and wherever they lie.

use super::*;

/// The input as each kind of buffer, cut at `cuts`.
fn buffers(pool: &dma::Pool, bytes: &[u8], cuts: &[usize]) -> Vec<Buffer> {
    let pooled = |bytes: &[u8]| {
        let mut buffer = pool.take(bytes.len()).unwrap();
        buffer.copy_from_slice(bytes);
        buffer
    };
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    let parts = cuts.windows(2).map(|pair| pooled(&bytes[pair[0]..pair[1]]));
    vec![
        Buffer::Memory(bytes.to_vec()),
        Buffer::Pooled(pooled(bytes)),
        Buffer::Chain(parts.collect()),
    ]
}

proptest! {
    /// Header of 8, IV of 16 of which half is in the packet too, payload, 12 bytes of digest.
    #[test]
    fn all_kinds_of_buffer_give_the_same_bytes_and_come_back(
        blocks in 0_usize..5,
        cuts in prop::collection::vec(0_usize..200, 0..6),
        separate_aad: bool,
        separate_output: bool,
        spoil in prop::option::of(0_usize..24),
    ) {
        let pool = dma::Pool::new(1 << 20).unwrap();
        let plain: Vec<u8> = (0..24 + blocks * 16 + 12).map(|i| i as u8).collect();
        let mut transform = Transform::new(&eta_params()).unwrap();
        let payload = Region { start: 24, len: blocks * 16 };
        let ask = |buffer, operation, output| {
            let mut request = Request::new(SessionId::default(), operation, buffer);
            if separate_aad {
                request.separate_aad = Some(Buffer::Memory(plain[..8].to_vec()));
            } else {
                request.aad = Region { start: 0, len: 8 };
            }
            request.iv_start = 8;
            request.payload = payload;
            request.digest_start = payload.start + payload.len;
            request.payload_output_start = if separate_output { 24 } else { 0 };
            request.output = separate_output.then_some(output);
            request
        };
        let mut answers = Vec::new();
        for buffer in buffers(&pool, &plain, &cuts) {
            let output = Buffer::Memory(plain.clone());
            let mut request = ask(buffer, Operation::EncryptCompute, output);
            transform.process(&mut request).unwrap();
            if separate_output {
                prop_assert_eq!(&bytes_of(&request.buffer), &plain);
            }
            answers.push(bytes_of(request.output.as_ref().unwrap_or(&request.buffer)));
        }
        prop_assert!(answers.iter().all(|answer| *answer == answers[0]));
        let mut sealed = answers.swap_remove(0);
        prop_assert_eq!(&sealed[..24], &plain[..24]);
        // Header and IV are digested or not; a change in the header must show.
        if let Some(at) = spoil.filter(|&at| at < 8 && !separate_aad) {
            sealed[at] ^= 4;
        }
        let spoiled = spoil.is_some_and(|at| at < 8 && !separate_aad);
        for buffer in buffers(&pool, &sealed, &cuts) {
            let output = Buffer::Memory(vec![0xAB; plain.len()]);
            let mut request = ask(buffer, Operation::VerifyDecrypt, output);
            let outcome = transform.process(&mut request);
            let result = bytes_of(request.output.as_ref().unwrap_or(&request.buffer));
            if spoiled {
                prop_assert_eq!(outcome, Err(DriverError::DigestMismatch));
                let before = if separate_output { vec![0xAB; plain.len()] } else { sealed.clone() };
                prop_assert_eq!(result, before);
            } else {
                prop_assert_eq!(outcome, Ok(()));
                let end = payload.start + payload.len;
                prop_assert_eq!(&result[24..end], &plain[24..end]);
            }
        }
    }

    #[test]
    fn every_cipher_decrypts_what_it_encrypted(
        cipher in proptest::sample::select(&Cipher::ALL[..]), blocks in 0_usize..70,
        long: bool, key_byte: u8,
    ) {
        let info = cipher.info();
        let key_len = if long { info.key.max } else { info.key.min };
        let iv_len = if long { info.iv.max } else { info.iv.min };
        let key = vec![key_byte; usize::from(key_len)];
        let aead = cipher.is_aead();
        let mode = if aead { Mode::Aead } else { Mode::Cipher };
        let params = with_cipher(mode, cipher, &key, usize::from(iv_len));
        let (forth, back) = if aead {
            (Operation::EncryptCompute, Operation::VerifyDecrypt)
        } else {
            (Operation::Encrypt, Operation::Decrypt)
        };
        let plain: Vec<u8> = (0..blocks * 16).map(|i| (i * 7) as u8).collect();
        let (mut data, mut tag) = (plain.clone(), vec![0; params.digest_len()]);
        apply(&params, forth, (&[1; 24], &[2; 9]), &mut data, &mut tag).unwrap();
        prop_assert_eq!(data == plain, cipher == Cipher::Null || blocks == 0);
        apply(&params, back, (&[1; 24], &[2; 9]), &mut data, &mut tag).unwrap();
        prop_assert_eq!(data, plain);
    }
}
