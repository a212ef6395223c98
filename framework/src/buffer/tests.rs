use super::*;

fn chain(parts: &[usize]) -> Buffer {
    let pool = dma::Pool::new(1 << 16).unwrap();
    Buffer::Chain(parts.iter().map(|&len| pool.take(len).unwrap()).collect())
}

fn mbufs(parts: &[usize], max_len: usize) -> Buffer {
    let mbuf = |(number, &len): (usize, &usize)| Mbuf::new(&vec![0; len], number, 2 * number);
    Buffer::mbufs(parts.iter().enumerate().map(mbuf).collect(), max_len)
}

fn pages(offset: usize, len: usize) -> Result<Buffer, BufferError> {
    let page = || vec![0; PAGE_SIZE].try_into().unwrap();
    Buffer::pages(vec![page(), page()], offset, len)
}

/// A buffer of every kind with ten bytes, in pieces of several lengths.
fn every_kind() -> Vec<Buffer> {
    let pool = dma::Pool::new(4096).unwrap();
    let mut buffers = vec![
        Buffer::Pooled(pool.take(10).unwrap()),
        Buffer::Memory(vec![0; 10]),
        Buffer::single_mbuf(Mbuf::new(&[0; 10], 3, 5)),
        pages(PAGE_SIZE - 4, 10).unwrap(),
    ];
    for parts in [&[10][..], &[1, 2, 3, 4], &[0, 5, 0, 5, 0]] {
        buffers.push(chain(parts));
        buffers.push(mbufs(parts, 0));
        buffers.push(Buffer::vectors(
            parts.iter().map(|&len| vec![0; len]).collect(),
        ));
    }
    buffers
}

fn bytes_of(buffer: &Buffer) -> Vec<u8> {
    let mut bytes = vec![0; buffer.len()];
    buffer.copy_out(0, &mut bytes);
    bytes
}

#[test]
fn every_range_of_every_kind_copies_in_and_out() {
    for mut buffer in every_kind() {
        assert_eq!(buffer.len(), 10);
        let data: Vec<u8> = (0..10).collect();
        buffer.copy_in(0, &data);
        for start in 0..=10 {
            for len in 0..=10 - start {
                let mut out = vec![0xFF; len];
                buffer.copy_out(start, &mut out);
                assert_eq!(out, data[start..start + len]);
                let expected = &data[start..start + len];
                if let Some(bytes) = buffer.contiguous(start, len) {
                    assert_eq!(bytes, expected);
                    assert_eq!(buffer.contiguous_mut(start, len).unwrap(), expected);
                } else {
                    assert!(len > 1 && buffer.contiguous_mut(start, len).is_none());
                }
            }
        }
        assert_eq!(buffer.contiguous(11, 0), None);
        assert_eq!(buffer.contiguous(9, usize::MAX), None);
        assert_eq!(bytes_of(&buffer.duplicate()), data);
    }
}

#[test]
fn cursors_read_and_write_every_kind_in_steps_of_any_length() {
    for step in 1..=10 {
        for mut buffer in every_kind() {
            let data: Vec<u8> = (0..10).collect();
            let mut writer = CursorMut::new(&mut buffer);
            data.chunks(step).for_each(|chunk| writer.copy_in(chunk));
            assert!(writer.segment().is_empty());
            let mut reader = Cursor::new(&buffer);
            for chunk in data.chunks(step) {
                let mut out = vec![0; chunk.len()];
                reader.peek(&mut out);
                assert_eq!(out, chunk);
                assert!(!reader.segment().is_empty());
                assert_eq!(reader.segment()[0], chunk[0]);
                reader.advance(chunk.len());
            }
            assert!(reader.segment().is_empty());
        }
    }
}

#[test]
fn applying_stops_at_the_first_failure() {
    let buffer = chain(&[1, 2, 3]);
    let mut seen = 0;
    let outcome = buffer.apply(0, 6, |part| {
        seen += part.len();
        if part.len() == 2 { Err("stop") } else { Ok(()) }
    });
    assert_eq!((outcome, seen), (Err("stop"), 3));
}

#[test]
fn pages_hold_what_they_are_said_to() {
    assert_eq!(
        pages(PAGE_SIZE, 0).err(),
        Some(BufferError::PageOffset(PAGE_SIZE))
    );
    let (offset, pages_len) = (1, 2);
    for len in [2 * PAGE_SIZE, usize::MAX] {
        let expected = BufferError::PageLength {
            offset,
            len,
            pages: pages_len,
        };
        assert_eq!(pages(offset, len).err(), Some(expected));
    }
    assert_eq!(
        pages(offset, 2 * PAGE_SIZE - 1).unwrap().len(),
        2 * PAGE_SIZE - 1
    );
}

#[test]
fn a_shorter_result_at_the_end_shortens_lists_and_nothing_else() {
    for mut buffer in every_kind() {
        let is_list = match &buffer {
            Buffer::Chain(_) => true,
            Buffer::Scattered(pieces) => pieces.is_cut(),
            Buffer::Pooled(_) | Buffer::Memory(_) => false,
        };
        buffer.put_result(4, 6, &[1, 2, 3]);
        let expected = if is_list { 7 } else { 10 };
        assert_eq!(buffer.len(), expected);
        assert_eq!(bytes_of(&buffer)[..7], [0, 0, 0, 0, 1, 2, 3]);
    }
    for mut buffer in every_kind() {
        buffer.put_result(4, 5, &[1, 2, 3]);
        assert_eq!(buffer.len(), 10, "something follows the payload and stays");
    }
}

#[test]
fn a_longer_result_makes_mbufs_grow_as_far_as_they_may() {
    let mut buffer = mbufs(&[4, 6], 5_000);
    assert_eq!(buffer.result_room(4), 4_996);
    let result: Vec<u8> = (0..4_996).map(|at| at as u8).collect();
    buffer.put_result(4, 6, &result);
    assert_eq!(bytes_of(&buffer)[4..], result);
    let Buffer::Scattered(pieces) = buffer else {
        unreachable!("still mbufs");
    };
    assert_eq!(pieces.into_mbufs().len(), 5, "two, and three clusters");
    let mut single = Buffer::single_mbuf(Mbuf::new(&[0; 10], 3, 5));
    assert_eq!(single.result_room(8), 7);
    single.put_result(8, 2, &[9; 7]);
    assert_eq!(single.len(), 15);
    for buffer in [
        Buffer::Memory(vec![0; 10]),
        pages(0, 10).unwrap(),
        chain(&[5, 5]),
    ] {
        assert_eq!(buffer.result_room(4), 6);
        assert_eq!(buffer.result_room(11), 0);
    }
}

#[test]
#[should_panic(expected = "range in the buffer")]
fn a_range_past_the_end_is_a_bug_of_the_caller() {
    chain(&[4, 4]).copy_out(7, &mut [0; 2]);
}

#[test]
#[should_panic(expected = "leaves its buffer")]
fn a_cursor_past_the_end_is_a_bug_of_the_caller() {
    Cursor::new(&chain(&[4, 4])).advance(9);
}
