//! Results that are shorter or longer than the payload.

use super::*;

fn compression() -> Transform {
    Transform::new(&SessionParams::of(Mode::Compress(Compression::Deflate))).unwrap()
}

/// A request to compress or decompress all of `buffer` but the bytes before `start`.
fn squeeze(operation: Operation, buffer: Buffer, start: usize) -> Box<Request> {
    let mut request = Request::new(SessionId::default(), operation, buffer);
    let len = request.buffer.len() - start;
    request.payload = Region { start, len };
    request
}

#[test]
fn compression_shortens_lists_and_decompression_makes_mbufs_grow_again() {
    let plain: Vec<u8> = b"so much of the same ".repeat(100);
    let chain = plain.chunks(300).map(|part| Mbuf::new(part, 7, 0));
    let buffer = Buffer::mbufs(chain.collect(), plain.len());
    let mut request = squeeze(Operation::Compress, buffer, 40);
    compression().process(&mut request).unwrap();
    assert!(request.result_len < 200, "{}", request.result_len);
    assert_eq!(request.buffer.len(), 40 + request.result_len);
    let mut request = squeeze(Operation::Decompress, request.buffer, 40);
    compression().process(&mut request).unwrap();
    assert_eq!(request.result_len, plain.len() - 40);
    assert_eq!(bytes_of(&request.buffer), plain);
}

#[test]
fn what_does_not_get_smaller_stays_and_says_how_long_it_would_be() {
    let noise: Vec<u8> = (0..64_u32)
        .map(|at| ((at * at * 40_503) >> 7) as u8)
        .collect();
    let mut request = squeeze(Operation::Compress, Buffer::Memory(noise.clone()), 0);
    compression().process(&mut request).unwrap();
    assert!(request.result_len >= noise.len());
    assert_eq!(bytes_of(&request.buffer), noise);
}

#[test]
fn a_bomb_ends_at_the_room_there_is_and_leaves_the_data_alone() {
    let mut request = squeeze(
        Operation::Compress,
        Buffer::vectors(vec![vec![0; 1 << 20]]),
        0,
    );
    compression().process(&mut request).unwrap();
    let bomb = bytes_of(&request.buffer);
    assert!(bomb.len() < 2_000);
    let chain = |max_len| Buffer::mbufs(vec![Mbuf::new(&bomb, 0, 0)], max_len);
    let mut request = squeeze(Operation::Decompress, chain((1 << 20) - 1), 0);
    assert_eq!(
        compression().process(&mut request),
        Err(DriverError::TooBig)
    );
    assert_eq!(bytes_of(&request.buffer), bomb);
    let mut request = squeeze(Operation::Decompress, chain(1 << 20), 0);
    compression().process(&mut request).unwrap();
    assert_eq!(request.buffer.len(), 1 << 20);
}

#[test]
fn what_is_no_compressed_data_is_refused_and_left_alone() {
    for bad in [vec![], vec![0xFF; 40], vec![3]] {
        let mut request = squeeze(Operation::Decompress, Buffer::Memory(bad.clone()), 0);
        let outcome = compression().process(&mut request);
        assert_eq!(outcome, Err(DriverError::BadData), "{bad:?}");
        assert_eq!(bytes_of(&request.buffer), bad);
    }
}

#[test]
fn every_kind_of_buffer_gives_the_same_result() {
    let plain: Vec<u8> = (0..96).collect();
    let page = |bytes: &[u8]| -> Page {
        let mut page = vec![0; PAGE_SIZE];
        page[PAGE_SIZE - bytes.len()..].copy_from_slice(bytes);
        page.try_into().unwrap()
    };
    let pool = dma::Pool::new(1 << 16).unwrap();
    let pooled = |bytes: &[u8]| {
        let mut buffer = pool.take(bytes.len()).unwrap();
        buffer.copy_from_slice(bytes);
        buffer
    };
    let (front, back) = plain.split_at(21);
    let second = {
        let mut whole = vec![0; PAGE_SIZE];
        whole[..75].copy_from_slice(back);
        whole
    };
    let buffers = [
        Buffer::Memory(plain.clone()),
        Buffer::Pooled(pooled(&plain)),
        Buffer::Chain(plain.chunks(7).map(pooled).collect()),
        Buffer::vectors(plain.chunks(11).map(<[u8]>::to_vec).collect()),
        Buffer::mbufs(
            plain.chunks(5).map(|part| Mbuf::new(part, 3, 9)).collect(),
            0,
        ),
        Buffer::single_mbuf(Mbuf::new(&plain, 1, 1)),
        Buffer::pages(
            vec![page(front), second.try_into().unwrap()],
            PAGE_SIZE - 21,
            96,
        )
        .unwrap(),
    ];
    let mut params = with_cipher(
        Mode::EncryptThenAuthenticate,
        Cipher::CamelliaCbc,
        &[4; 16],
        16,
    );
    params.flags = SessionFlags::ESN;
    (params.digest, params.auth_key_len) = (Some(Digest::HmacRipemd160), 20);
    params.auth_key = Some(Key::new(&[6; 20]));
    let mut results = buffers.map(|buffer| {
        let mut request = Request::new(SessionId::default(), Operation::EncryptCompute, buffer);
        // The IV stands in the buffer, and part of it is AAD too.
        (request.iv_start, request.aad) = (4, Region { start: 0, len: 12 });
        (request.payload, request.digest_start) = (Region { start: 20, len: 48 }, 70);
        request.esn = [1, 2, 3, 4];
        Transform::new(&params)
            .unwrap()
            .process(&mut request)
            .unwrap();
        let sealed = bytes_of(&request.buffer);
        request.operation = Operation::VerifyDecrypt;
        Transform::new(&params)
            .unwrap()
            .process(&mut request)
            .unwrap();
        assert_eq!(bytes_of(&request.buffer)[..70], plain[..70]);
        sealed
    });
    let first = results[0].clone();
    assert_ne!(first, plain);
    assert!(results.iter_mut().all(|result| *result == first));
}
