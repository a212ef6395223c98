//! Public-key commands: numbers out of the source stream, results into the destination stream.

use regs::{Command, PublicKeyError, PublicKeyFlags, PublicKeyParams, Status};
use zeroize::Zeroize;

use crate::engine::asymmetric::{Draw, compute};

/// What `command` asks for.
pub(super) fn params_of(command: &Command) -> Result<PublicKeyParams, Status> {
    PublicKeyParams::of(command).map_err(|error| match error {
        PublicKeyError::Op(_) => Status::BadParameters,
        PublicKeyError::Reserved => Status::ReservedBits,
        PublicKeyError::Bits(_) => Status::BadLength,
    })
}

/// Computes what `command` asks for. Numbers of `input` are turned round in place; the caller
/// zeroes it.
pub(super) fn answer(
    command: &Command,
    input: &mut [u8],
    output: &mut [u8],
    draw: Draw<'_>,
) -> Result<(), Status> {
    let params = params_of(command)?;
    let is_big = params.flags.contains(PublicKeyFlags::BIG_ENDIAN);
    let mut inputs: Vec<&[u8]> = Vec::with_capacity(params.input_bits().len());
    let mut rest = input;
    for (index, &bits) in params.input_bits().iter().enumerate() {
        let len = usize::from(bits).div_ceil(8);
        let (bytes, after) = rest.split_at_mut_checked(len).ok_or(Status::BadLength)?;
        let is_digest = index == 0 && params.op.begins_with_digest();
        if is_digest && bits % 8 != 0 {
            return Err(Status::BadLength);
        }
        if is_big && !is_digest {
            bytes.reverse();
        }
        let unused = (8 - bits % 8) % 8;
        if bytes
            .last()
            .is_some_and(|top| top.leading_zeros() < u32::from(unused))
        {
            return Err(Status::ReservedBits);
        }
        inputs.push(bytes);
        rest = after;
    }
    let results = compute(params.op, &inputs, draw)?;
    let mut rest = output;
    for (result, &bits) in results.iter().zip(params.output_bits()) {
        if result.bits() > u64::from(bits) {
            return Err(Status::ResultTooLarge);
        }
        let len = usize::from(bits).div_ceil(8);
        let (place, after) = rest.split_at_mut_checked(len).ok_or(Status::BadLength)?;
        let mut bytes = result.to_bytes_le();
        // Zero is one byte long, whatever room there is for it.
        let count = bytes.len().min(len);
        place[..count].copy_from_slice(&bytes[..count]);
        place[count..].fill(0);
        bytes.zeroize();
        if is_big {
            place.reverse();
        }
        rest = after;
    }
    Ok(())
}
