//! Public-key commands: operations on long numbers, and how a descriptor names them.
//!
//! Byte 2 of the descriptor is the operation, byte 3 its flags, and bytes 48 to 63 are the lengths
//! of its parameters in bits: inputs first, then outputs, zero for what the operation does not
//! have. The source stream is the inputs one behind the other, the destination stream the outputs,
//! each in as many bytes as its bits need.

use crate::Command;
use crate::map::{codes, flags};

/// Longest parameter, in bits.
pub const PUBLIC_KEY_BITS_MAX: u16 = 8192;
/// Most parameters of an operation, inputs and outputs together.
pub const PUBLIC_KEY_PARAMS_MAX: usize = 8;
/// Most bytes of one `Random` command.
pub const RANDOM_MAX: u32 = 1 << 16;

codes! {
    /// What a public-key command computes: the codes `CRK_*` of crypto(9) and those of NetBSD.
    PublicKeyOp: u8 {
        /// Base, exponent, modulus; the power.
        ModExp = 0,
        /// p, q, base, d mod (p - 1), d mod (q - 1), 1/q mod p; base to the power of d modulo pq.
        ModExpCrt = 1,
        /// Digest, p, q, g, private key x; r and s (FIPS 186-4, 4.6).
        DsaSign = 2,
        /// Digest, p, q, g, public key y, r, s; the status says whether the signature is right
        /// (FIPS 186-4, 4.7).
        DsaVerify = 3,
        /// Own private key, the other's public key, p; the shared secret.
        DhComputeKey = 4,
        /// a, b, m; a + b mod m.
        ModAdd = 5,
        /// a, m; -a mod m.
        ModAddInv = 6,
        /// a, b, m; a - b mod m.
        ModSub = 7,
        /// a, b, m; ab mod m.
        ModMult = 8,
        /// a, m; 1/a mod m.
        ModMultInv = 9,
        /// a, m; a mod m.
        Mod = 10,
    }
}

flags! {
    /// Flags of a public-key command.
    PublicKeyFlags: u8 {
        /// Numbers are most significant byte first. Clear: least significant byte first.
        0 BIG_ENDIAN,
    }
}

impl PublicKeyOp {
    /// Number of inputs.
    #[must_use]
    pub const fn inputs(self) -> usize {
        match self {
            Self::ModExp | Self::DhComputeKey | Self::ModAdd | Self::ModSub | Self::ModMult => 3,
            Self::ModExpCrt => 6,
            Self::DsaSign => 5,
            Self::DsaVerify => 7,
            Self::ModAddInv | Self::ModMultInv | Self::Mod => 2,
        }
    }

    /// Number of outputs.
    #[must_use]
    pub const fn outputs(self) -> usize {
        match self {
            Self::DsaSign => 2,
            Self::DsaVerify => 0,
            _ => 1,
        }
    }

    /// Whether the first input is a digest: a string of bytes that no flag turns round.
    #[must_use]
    pub const fn begins_with_digest(self) -> bool {
        matches!(self, Self::DsaSign | Self::DsaVerify)
    }
}

/// What a public-key command names beside its streams.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PublicKeyParams {
    /// What to compute.
    pub op: PublicKeyOp,
    /// How.
    pub flags: PublicKeyFlags,
    /// Lengths of the parameters in bits, inputs first.
    pub bits: [u16; PUBLIC_KEY_PARAMS_MAX],
}

/// Why a descriptor names no public-key operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PublicKeyError {
    /// There is no such operation.
    Op(u8),
    /// A reserved flag is set, or a parameter has a length that the operation does not have.
    Reserved,
    /// A parameter is too long.
    Bits(u16),
}

impl PublicKeyParams {
    /// Writes them to `command`.
    pub fn write_to(&self, command: &mut Command) {
        command.aad_len = u16::from_le_bytes([self.op as u8, self.flags.bits()]);
        for (place, bits) in command.iv.chunks_exact_mut(2).zip(self.bits) {
            place.copy_from_slice(&bits.to_le_bytes());
        }
    }

    /// What `command` names.
    ///
    /// # Errors
    /// [`PublicKeyError`] if that is no operation with parameters of possible lengths.
    pub fn of(command: &Command) -> Result<Self, PublicKeyError> {
        let [op, flags] = command.aad_len.to_le_bytes();
        let op = PublicKeyOp::from_code(op).ok_or(PublicKeyError::Op(op))?;
        let flags = PublicKeyFlags::from_bits(flags).ok_or(PublicKeyError::Reserved)?;
        let mut bits = [0; PUBLIC_KEY_PARAMS_MAX];
        for (bits, place) in bits.iter_mut().zip(command.iv.chunks_exact(2)) {
            *bits = u16::from_le_bytes([place[0], place[1]]);
        }
        let params = op.inputs() + op.outputs();
        if bits[params..].iter().any(|&bits| bits != 0) {
            return Err(PublicKeyError::Reserved);
        }
        match bits.iter().find(|&&bits| bits > PUBLIC_KEY_BITS_MAX) {
            Some(&bits) => Err(PublicKeyError::Bits(bits)),
            None => Ok(Self { op, flags, bits }),
        }
    }

    /// Lengths of the inputs in bits.
    #[must_use]
    pub fn input_bits(&self) -> &[u16] {
        &self.bits[..self.op.inputs()]
    }

    /// Lengths of the outputs in bits.
    #[must_use]
    pub fn output_bits(&self) -> &[u16] {
        let inputs = self.op.inputs();
        &self.bits[inputs..inputs + self.op.outputs()]
    }

    /// Length of the source stream in bytes.
    #[must_use]
    pub fn source_len(&self) -> u32 {
        bytes_of(self.input_bits())
    }

    /// Length of the destination stream in bytes.
    #[must_use]
    pub fn destination_len(&self) -> u32 {
        bytes_of(self.output_bits())
    }
}

fn bytes_of(bits: &[u16]) -> u32 {
    bits.iter().map(|&bits| u32::from(bits).div_ceil(8)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> PublicKeyParams {
        PublicKeyParams {
            op: PublicKeyOp::ModExp,
            flags: PublicKeyFlags::BIG_ENDIAN,
            bits: [2048, 17, 2041, 2048, 0, 0, 0, 0],
        }
    }

    #[test]
    fn parameters_survive_the_descriptor() {
        let mut command = Command::default();
        params().write_to(&mut command);
        assert_eq!(PublicKeyParams::of(&command), Ok(params()));
        assert_eq!(params().source_len(), 256 + 3 + 256);
        assert_eq!(params().destination_len(), 256);
        let bytes = command.to_bytes();
        assert_eq!(bytes[2..4], [0, 1]);
        assert_eq!(bytes[48..52], [0, 8, 17, 0]);
    }

    #[test]
    fn descriptors_of_no_operation_are_told_apart() {
        let read = |change: fn(&mut Command)| {
            let mut command = Command::default();
            params().write_to(&mut command);
            change(&mut command);
            PublicKeyParams::of(&command).unwrap_err()
        };
        assert_eq!(read(|c| c.aad_len = 11), PublicKeyError::Op(11));
        assert_eq!(read(|c| c.aad_len = 0x200), PublicKeyError::Reserved);
        assert_eq!(read(|c| c.iv[8] = 1), PublicKeyError::Reserved);
        assert_eq!(read(|c| c.iv[1] = 0x21), PublicKeyError::Bits(0x2100));
    }

    #[test]
    fn every_operation_has_room_for_its_parameters() {
        for &op in PublicKeyOp::ALL {
            assert!(op.inputs() + op.outputs() <= PUBLIC_KEY_PARAMS_MAX);
        }
    }
}
