//! Deflate: raw streams of RFC 1951, into a bounded destination.
//!
//! A [`Deflater`] keeps the library's tables from one job to the next, about 300 KiB. It writes no
//! byte past its output and makes nothing longer elsewhere, whatever the input would expand to. Not
//! zeroed between jobs: the library's own window, which holds the tail of the last payload.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Bytes of a result that are made at a time only to learn how long it is.
const COUNTING: usize = 4096;

/// A compressor and a decompressor; each made when it is first needed.
#[derive(Debug, Default)]
pub struct Deflater {
    compress: Option<Box<Compress>>,
    decompress: Option<Box<Decompress>>,
}

/// Why there is no result.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DeflateError {
    /// It does not fit the output.
    #[error("a result of {needed:?} bytes is longer than its output")]
    TooLong {
        /// Its length in bytes; none for decompression, which ends where the output does.
        needed: Option<u64>,
    },
    /// The input to decompress is cut short, goes on behind its end, or is no deflate stream.
    #[error("the input is not one whole deflate stream")]
    BadStream,
}

impl Deflater {
    /// Compresses `input` into `output`; gives the length of the result.
    ///
    /// # Errors
    /// [`DeflateError::TooLong`] with the length that the result would have.
    pub fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, DeflateError> {
        let new = || Box::new(Compress::new(Compression::default(), false));
        let compress = self.compress.get_or_insert_with(new);
        compress.reset();
        let mut counting = [0; COUNTING];
        let mut is_whole = step(compress, input, output);
        while !is_whole {
            is_whole = step(compress, input, &mut counting);
        }
        match compress.total_out() {
            len if len <= output.len() as u64 => Ok(len as usize),
            len => Err(DeflateError::TooLong { needed: Some(len) }),
        }
    }

    /// Decompresses `input` into `output`; gives the length of the result.
    ///
    /// # Errors
    /// [`DeflateError::TooLong`] if the result is longer than `output`; it is not known by how
    /// much. [`DeflateError::BadStream`] if `input` is not one whole stream.
    pub fn decompress(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, DeflateError> {
        let new = || Box::new(Decompress::new(false));
        let decompress = self.decompress.get_or_insert_with(new);
        decompress.reset(false);
        let ended = decompress.decompress(input, output, FlushDecompress::Finish);
        let (used, made) = (decompress.total_in(), decompress.total_out());
        match ended {
            Ok(Status::StreamEnd) if used == input.len() as u64 => Ok(made as usize),
            Ok(Status::StreamEnd) | Err(_) => Err(DeflateError::BadStream),
            Ok(Status::Ok | Status::BufError) => {
                // Either the output is full or the input is at its end: one byte more tells.
                let mut more = [0];
                let rest = &input[used as usize..];
                let ended = decompress.decompress(rest, &mut more, FlushDecompress::Finish);
                let is_at_end = decompress.total_in() == input.len() as u64;
                match ended {
                    _ if decompress.total_out() > made => {
                        Err(DeflateError::TooLong { needed: None })
                    }
                    Ok(Status::StreamEnd) if is_at_end => Ok(made as usize),
                    Ok(_) | Err(_) => Err(DeflateError::BadStream),
                }
            }
        }
    }
}

/// Compresses what of `input` is not yet compressed; gives whether all of it is out.
fn step(compress: &mut Compress, input: &[u8], output: &mut [u8]) -> bool {
    let rest = &input[compress.total_in() as usize..];
    let ended = compress.compress(rest, output, FlushCompress::Finish);
    // An error is for streams that were set up wrongly; such a stream would never end.
    !matches!(ended, Ok(Status::Ok | Status::BufError))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(input: &[u8]) -> Vec<u8> {
        let mut output = vec![0; input.len() + 100];
        let len = Deflater::default().compress(input, &mut output).unwrap();
        output.truncate(len);
        output
    }

    #[test]
    fn what_is_compressed_comes_back_at_every_length() {
        let mut deflater = Deflater::default();
        let input: Vec<u8> = (0..70_000u32)
            .map(|at| (at.wrapping_mul(at) >> 9) as u8)
            .collect();
        for len in (0..200).chain([4095, 4096, 4097, 65_535, 65_536, 70_000]) {
            let (input, mut output) = (&input[..len], vec![0; len + 100]);
            let short = deflater.compress(input, &mut output).unwrap();
            let mut back = vec![0; len];
            assert_eq!(deflater.decompress(&output[..short], &mut back), Ok(len));
            assert_eq!(back, input);
        }
    }

    #[test]
    fn a_result_that_does_not_fit_says_how_long_it_is() {
        // A multiplicative generator: nothing for deflate to find.
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
            (state >> 56) as u8
        };
        let input: Vec<u8> = (0..20_000).map(|_| next()).collect();
        let whole = compressed(&input);
        assert!(whole.len() >= input.len(), "noise does not get shorter");
        let mut deflater = Deflater::default();
        for len in [0, 1, 4096, 19_999, whole.len() - 1] {
            let mut output = vec![0xEE; len + 1];
            let ended = deflater.compress(&input, &mut output[..len]);
            let needed = Some(whole.len() as u64);
            assert_eq!(ended, Err(DeflateError::TooLong { needed }));
            assert_eq!(output[len], 0xEE);
        }
        let mut output = vec![0; whole.len()];
        assert_eq!(deflater.compress(&input, &mut output), Ok(whole.len()));
    }

    #[test]
    fn a_bomb_ends_where_the_output_does() {
        let bomb = compressed(&vec![0; 1 << 24]);
        assert!(bomb.len() < 20_000);
        let mut deflater = Deflater::default();
        for len in [0, 1, 1000, 1 << 20] {
            let mut output = vec![0xEE; len + 1];
            let ended = deflater.decompress(&bomb, &mut output[..len]);
            assert_eq!(ended, Err(DeflateError::TooLong { needed: None }), "{len}");
            assert_eq!(output[len], 0xEE);
        }
        assert_eq!(
            deflater.decompress(&bomb, &mut vec![0; 1 << 24]),
            Ok(1 << 24)
        );
    }

    #[test]
    fn a_stream_that_is_cut_or_goes_on_or_is_none_is_refused() {
        let input = b"the same words, the same words, the same words".repeat(3);
        let whole = compressed(&input);
        let mut deflater = Deflater::default();
        let mut output = vec![0; input.len()];
        for len in 0..whole.len() {
            let ended = deflater.decompress(&whole[..len], &mut output);
            assert_eq!(ended, Err(DeflateError::BadStream), "cut at {len}");
        }
        let longer = [whole.as_slice(), &[0]].concat();
        let ended = deflater.decompress(&longer, &mut output);
        assert_eq!(ended, Err(DeflateError::BadStream));
        let ended = deflater.decompress(&[0xFF; 20], &mut output);
        assert_eq!(ended, Err(DeflateError::BadStream));
        assert_eq!(deflater.decompress(&whole, &mut output), Ok(input.len()));
        assert_eq!(output, input);
    }
}
