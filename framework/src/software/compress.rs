//! Raw deflate (RFC 1951).

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_with_limit};

use crate::{Compression, DriverError};

/// Between speed and size as zlib's default is.
const LEVEL: u8 = 6;

/// Compresses `input`; the result may be longer.
pub(super) fn compress(algorithm: Compression, input: &[u8]) -> Vec<u8> {
    match algorithm {
        Compression::Deflate => compress_to_vec(input, LEVEL),
    }
}

/// Decompresses `input` to at most `limit` bytes, and takes no more memory than that.
///
/// # Errors
/// [`DriverError::TooBig`] if the result would be longer, [`DriverError::BadData`] if `input` is no
/// compressed data, or not all of it is.
pub(super) fn decompress(
    algorithm: Compression,
    input: &[u8],
    limit: usize,
) -> Result<Vec<u8>, DriverError> {
    match algorithm {
        Compression::Deflate => {
            decompress_to_vec_with_limit(input, limit).map_err(|error| match error.status {
                TINFLStatus::HasMoreOutput => DriverError::TooBig,
                _ => DriverError::BadData,
            })
        }
    }
}
