//! Data given in several parts, looked at as one row of 16-byte blocks.

use super::block::{BLOCK_LEN, Block};

/// Bytes of all parts together.
pub(super) fn len(parts: &[&[u8]]) -> usize {
    parts.iter().map(|part| part.len()).sum()
}

/// Hands the whole blocks of `parts`, joined, to `sink`. Gives what is left, filled up with zeroes,
/// and how many bytes that is: less than a block.
pub(super) fn in_blocks(parts: &[&[u8]], mut sink: impl FnMut(&[Block])) -> (Block, usize) {
    let mut rest = Block::default();
    let mut held = 0;
    for &part in parts {
        let mut part = part;
        if held != 0 {
            let (head, tail) = part.split_at(part.len().min(BLOCK_LEN - held));
            rest[held..held + head.len()].copy_from_slice(head);
            held += head.len();
            part = tail;
            if held == BLOCK_LEN {
                sink(&[rest]);
                held = 0;
            }
        }
        let (blocks, tail) = Block::slice_as_chunks(part);
        if !blocks.is_empty() {
            sink(blocks);
        }
        if !tail.is_empty() {
            rest[..tail.len()].copy_from_slice(tail);
            held = tail.len();
        }
    }
    rest[held..].fill(0);
    (rest, held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_wherever_they_are_cut() {
        let data: Vec<u8> = (0..70).collect();
        for first in 0..=data.len() {
            for second in first..=data.len() {
                let parts = [&data[..first], &data[first..second], &data[second..]];
                let mut seen = Vec::new();
                let (rest, held) = in_blocks(&parts, |blocks| {
                    seen.extend(blocks.iter().flatten().copied());
                });
                seen.extend(&rest[..held]);
                assert_eq!(seen, data, "cut at {first} and {second}");
                assert!(held < BLOCK_LEN && rest[held..].iter().all(|&byte| byte == 0));
                assert_eq!(len(&parts), data.len());
            }
        }
    }
}
