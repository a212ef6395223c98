//! Key operations: modular arithmetic, DSA and Diffie-Hellman without a session; `struct cryptkop`.
//!
//! Owns the form of a request, the numbers of inputs and outputs of each operation and the rules
//! for its parameters. Does not compute: `software::key_op` and the cards do.

use bitflags::bitflags;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::choice::DriverChoice;
use crate::registry::DriverId;
use crate::request::RequestId;

/// Most parameters of a key operation, inputs and outputs together; `CRK_MAXPARAM`.
pub const KEY_PARAMS_MAX: usize = 8;
/// Longest parameter, in bits.
pub const KEY_BITS_MAX: u32 = 65_536;

/// What a key operation computes; the codes `CRK_*`, those of NetBSD included.
///
/// A parameter that is a number is an unsigned integer, least significant byte first. The digest
/// of the DSA operations is not a number: it is the bytes that the hash function wrote, in their
/// order, as every consumer of `/dev/crypto` passes it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum KeyOp {
    /// Base, exponent, modulus; the power. `CRK_MOD_EXP`.
    ModExp = 0,
    /// p, q, base, d mod (p - 1), d mod (q - 1), 1/q mod p; base to the power of d modulo pq.
    /// `CRK_MOD_EXP_CRT`.
    ModExpCrt = 1,
    /// Digest, p, q, g, private key x; r and s of FIPS 186-4 section 4.6. `CRK_DSA_SIGN`.
    DsaSign = 2,
    /// Digest, p, q, g, public key y, r, s; nothing but whether the signature is right (FIPS 186-4
    /// section 4.7). `CRK_DSA_VERIFY`.
    DsaVerify = 3,
    /// Own private key, the other's public key, p; the shared secret. `CRK_DH_COMPUTE_KEY`.
    DhComputeKey = 4,
    /// a, b, m; a + b mod m. `CRK_MOD_ADD`.
    ModAdd = 5,
    /// a, m; -a mod m. `CRK_MOD_ADDINV`.
    ModAddInv = 6,
    /// a, b, m; a - b mod m. `CRK_MOD_SUB`.
    ModSub = 7,
    /// a, b, m; ab mod m. `CRK_MOD_MULT`.
    ModMult = 8,
    /// a, m; 1/a mod m. `CRK_MOD_MULTINV`.
    ModMultInv = 9,
    /// a, m; a mod m. `CRK_MOD`.
    Mod = 10,
}

impl KeyOp {
    /// Every operation, by code.
    pub const ALL: [Self; 11] = [
        Self::ModExp,
        Self::ModExpCrt,
        Self::DsaSign,
        Self::DsaVerify,
        Self::DhComputeKey,
        Self::ModAdd,
        Self::ModAddInv,
        Self::ModSub,
        Self::ModMult,
        Self::ModMultInv,
        Self::Mod,
    ];

    /// The operation with this code, if there is one.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }

    /// The code `CRK_*`.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// Number of inputs and of outputs.
    #[must_use]
    pub const fn params(self) -> (usize, usize) {
        match self {
            Self::ModExp | Self::DhComputeKey | Self::ModAdd | Self::ModSub | Self::ModMult => {
                (3, 1)
            }
            Self::ModExpCrt => (6, 1),
            Self::DsaSign => (5, 2),
            Self::DsaVerify => (7, 0),
            Self::ModAddInv | Self::ModMultInv | Self::Mod => (2, 1),
        }
    }
}

bitflags! {
    /// A set of key operations: bit n stands for code n; `CRF_*`.
    #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
    pub struct KeyOps: u32 {
        /// [`KeyOp::ModExp`].
        const MOD_EXP = 1 << 0;
        /// [`KeyOp::ModExpCrt`].
        const MOD_EXP_CRT = 1 << 1;
        /// [`KeyOp::DsaSign`].
        const DSA_SIGN = 1 << 2;
        /// [`KeyOp::DsaVerify`].
        const DSA_VERIFY = 1 << 3;
        /// [`KeyOp::DhComputeKey`].
        const DH_COMPUTE_KEY = 1 << 4;
        /// [`KeyOp::ModAdd`].
        const MOD_ADD = 1 << 5;
        /// [`KeyOp::ModAddInv`].
        const MOD_ADDINV = 1 << 6;
        /// [`KeyOp::ModSub`].
        const MOD_SUB = 1 << 7;
        /// [`KeyOp::ModMult`].
        const MOD_MULT = 1 << 8;
        /// [`KeyOp::ModMultInv`].
        const MOD_MULTINV = 1 << 9;
        /// [`KeyOp::Mod`].
        const MOD = 1 << 10;
    }
}

impl From<KeyOp> for KeyOps {
    fn from(op: KeyOp) -> Self {
        Self::from_bits_retain(1 << op.code())
    }
}

/// One parameter; `struct crparam`. Zeroed when dropped; `Debug` shows the length only.
#[derive(Clone, Eq, PartialEq, Zeroize, ZeroizeOnDrop)]
pub struct KeyParam {
    bits: u32,
    bytes: Vec<u8>,
}

impl KeyParam {
    /// A parameter of `bits` bits as the man page has it. `bytes` hold them, the least significant
    /// byte first; whether they are as many as the bits need is checked by dispatch.
    #[must_use]
    pub fn new(bits: u32, bytes: Vec<u8>) -> Self {
        Self { bits, bytes }
    }

    /// A number, least significant byte first, with all its bits.
    #[must_use]
    pub fn from_le_bytes(bytes: &[u8]) -> Self {
        let bits = u32::try_from(bytes.len() * 8).unwrap_or(u32::MAX);
        Self::new(bits, bytes.to_vec())
    }

    /// A number, most significant byte first.
    #[must_use]
    pub fn from_be_bytes(bytes: &[u8]) -> Self {
        let mut param = Self::from_le_bytes(bytes);
        param.bytes.reverse();
        param
    }

    /// Room for a result of at most `bits` bits.
    #[must_use]
    pub fn room(bits: u32) -> Self {
        Self::new(bits, vec![0; bits.min(KEY_BITS_MAX).div_ceil(8) as usize])
    }

    /// Length in bits; `crp_nbits`. Leading zeroes count.
    #[must_use]
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// The bytes, least significant first unless they are a digest; `crp_p`.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes a result, least significant byte first, with zeroes above it. False, and nothing is
    /// written, if it has more significant bits than there is room for.
    #[must_use]
    pub fn store(&mut self, le_bytes: &[u8]) -> bool {
        let len = le_bytes.len() - le_bytes.iter().rev().take_while(|&&byte| byte == 0).count();
        let top = le_bytes[..len]
            .last()
            .map_or(0, |byte| byte.leading_zeros());
        if (len * 8).saturating_sub(top as usize) > self.bits as usize || len > self.bytes.len() {
            return false;
        }
        self.bytes.fill(0);
        self.bytes[..len].copy_from_slice(&le_bytes[..len]);
        true
    }

    fn check(&self) -> Result<(), KeyInvalid> {
        if self.bits > KEY_BITS_MAX {
            return Err(KeyInvalid::Bits(self.bits));
        }
        let (expected, actual) = (self.bits.div_ceil(8) as usize, self.bytes.len());
        if expected != actual {
            return Err(KeyInvalid::Bytes { expected, actual });
        }
        let used = self.bits % 8;
        if used != 0 && self.bytes.last().is_some_and(|top| top >> used != 0) {
            return Err(KeyInvalid::ExcessBits(self.bits));
        }
        Ok(())
    }
}

impl std::fmt::Debug for KeyParam {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyParam({} bits)", self.bits)
    }
}

/// A key operation with its parameters; `struct cryptkop`. Inputs are never written, and outputs
/// only if the operation succeeds.
#[derive(Debug)]
pub struct KeyRequest {
    /// Set by dispatch; numbered with the other requests.
    pub id: RequestId,
    /// What to compute; `krp_op`.
    pub op: KeyOp,
    /// Which drivers may compute it; `krp_crid`. A driver chosen by id must offer the operation.
    pub choice: DriverChoice,
    /// The driver that has or had the request; `krp_hid`. Set by the framework.
    pub driver: Option<DriverId>,
    /// Inputs, as [`KeyOp`] lists them.
    pub inputs: Vec<KeyParam>,
    /// Room for the outputs.
    pub outputs: Vec<KeyParam>,
    /// The consumer's own.
    pub opaque: u64,
    /// Times the framework submitted it again.
    pub(crate) attempts: u8,
}

impl KeyRequest {
    /// An operation that any driver may do.
    #[must_use]
    pub fn new(op: KeyOp, inputs: Vec<KeyParam>, outputs: Vec<KeyParam>) -> Box<Self> {
        Box::new(Self {
            id: RequestId::default(),
            op,
            choice: DriverChoice::any(),
            driver: None,
            inputs,
            outputs,
            opaque: 0,
            attempts: 0,
        })
    }

    /// Checks numbers and lengths of the parameters.
    pub(crate) fn check(&self) -> Result<(), KeyInvalid> {
        let (inputs, outputs) = (self.inputs.len(), self.outputs.len());
        if inputs + outputs > KEY_PARAMS_MAX {
            return Err(KeyInvalid::TooMany(inputs + outputs));
        }
        if (inputs, outputs) != self.op.params() {
            return Err(KeyInvalid::Count { inputs, outputs });
        }
        self.inputs.iter().try_for_each(KeyParam::check)?;
        self.outputs.iter().try_for_each(KeyParam::check)
    }
}

/// Why dispatch hands a key operation back.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyInvalid {
    /// More parameters than any operation has (EFBIG).
    #[error("{0} parameters are more than 8")]
    TooMany(usize),
    /// Not the operation's numbers of parameters (EINVAL).
    #[error("{inputs} inputs and {outputs} outputs do not fit the operation")]
    Count {
        /// Inputs given.
        inputs: usize,
        /// Outputs given.
        outputs: usize,
    },
    /// A parameter longer than any may be (EINVAL).
    #[error("a parameter of {0} bits is longer than 65536")]
    Bits(u32),
    /// A parameter whose memory is not as long as its bits need (EINVAL).
    #[error("a parameter of {actual} bytes where its bits need {expected}")]
    Bytes {
        /// Bytes that the bits need.
        expected: usize,
        /// Bytes given.
        actual: usize,
    },
    /// A parameter with bits set above its length (EINVAL).
    #[error("bits are set above the {0} of a parameter")]
    ExcessBits(u32),
    /// The framework's queue of key operations for this driver is full (ENOMEM).
    #[error("the queue is full")]
    QueueFull,
}

/// Dispatch hands the request back, untouched; no callback follows.
#[derive(Debug, thiserror::Error)]
#[error("key operation handed back: {reason}")]
pub struct KeyRejected {
    /// The request.
    pub request: Box<KeyRequest>,
    /// Which rule it breaks.
    pub reason: KeyInvalid,
}

/// The driver has no room for a key operation (ERESTART). Offer it again once
/// [`key_unblock_generation`](crate::CryptoDriver::key_unblock_generation) differs.
#[derive(Debug)]
#[must_use]
pub struct KeyBlocked {
    /// The request, untouched.
    pub request: Box<KeyRequest>,
    /// The driver's generation when it refused.
    pub generation: u64,
}

/// Why a driver failed a key operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyDriverError {
    /// The signature is wrong.
    #[error("the signature is wrong")]
    Mismatch,
    /// The operation has no result for these numbers: a modulus of zero, no inverse, a DSA key
    /// outside its group.
    #[error("the operation is not defined for its parameters")]
    Undefined,
    /// The result does not fit the room given.
    #[error("the result does not fit its parameter")]
    NoRoom,
    /// Beyond the driver's limits.
    #[error("the parameters are too long for the driver")]
    TooBig,
    /// The device reported an error.
    #[error("the device reported an error")]
    Device,
    /// The device went away or was reset. Nothing was written, so the framework goes elsewhere.
    #[error("the device went away")]
    Lost,
}

/// Why a key operation failed, as its callback sees it; `krp_status`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// The signature is wrong (EBADMSG).
    #[error("the signature is wrong")]
    Mismatch,
    /// No result exists for these numbers (EINVAL).
    #[error("the operation is not defined for its parameters")]
    Undefined,
    /// The result does not fit the room given (ERANGE).
    #[error("the result does not fit its parameter")]
    NoRoom,
    /// The driver cannot take parameters of this length (E2BIG).
    #[error("the parameters are too long for the driver")]
    TooBig,
    /// The driver or the card failed (EIO).
    #[error("the device failed the operation")]
    Device,
    /// No accepted driver offers the operation (ENODEV).
    #[error("no accepted driver offers the operation")]
    NoDriver,
}

/// A key operation that a driver returns, and how it ended there.
#[derive(Debug)]
pub struct KeyCompleted {
    /// The request.
    pub request: Box<KeyRequest>,
    /// How it ended.
    pub result: Result<(), KeyDriverError>,
}

/// A key operation that is done; the callback's view.
#[derive(Debug)]
pub struct KeyFinished {
    /// The request, with its outputs.
    pub request: Box<KeyRequest>,
    /// How it ended.
    pub result: Result<(), KeyError>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_sets_agree_for_every_operation() {
        for (code, op) in (0..).zip(KeyOp::ALL) {
            assert_eq!((op.code(), KeyOp::from_code(code)), (code, Some(op)));
            assert!(KeyOps::all().contains(op.into()));
            let (inputs, outputs) = op.params();
            assert!(inputs + outputs <= KEY_PARAMS_MAX);
        }
        assert_eq!(KeyOp::from_code(11), None);
        assert_eq!(KeyOps::all().bits().count_ones(), 11);
    }

    #[test]
    fn a_result_is_stored_if_its_significant_bits_fit() {
        let mut param = KeyParam::room(12);
        assert!(param.store(&[0xFF, 0x0F, 0, 0]));
        assert_eq!(param.bytes(), [0xFF, 0x0F]);
        assert!(!param.store(&[0, 0x10]));
        assert_eq!(
            param.bytes(),
            [0xFF, 0x0F],
            "a result that does not fit leaves no trace"
        );
        assert!(param.store(&[1]));
        assert_eq!(param.bytes(), [1, 0]);
        assert!(KeyParam::room(0).store(&[]));
    }

    #[test]
    fn every_rule_for_parameters_is_checked() {
        let number = |bits, bytes: &[u8]| KeyParam::new(bits, bytes.to_vec());
        let check = |inputs: Vec<KeyParam>, outputs: Vec<KeyParam>| {
            KeyRequest::new(KeyOp::Mod, inputs, outputs).check()
        };
        let one = || number(8, &[1]);
        assert_eq!(check(vec![one(), one()], vec![one()]), Ok(()));
        let count = KeyInvalid::Count {
            inputs: 1,
            outputs: 1,
        };
        assert_eq!(check(vec![one()], vec![one()]), Err(count));
        assert_eq!(
            check(vec![one(); 8], vec![one()]),
            Err(KeyInvalid::TooMany(9))
        );
        let long = number(65_537, &[0; 8193]);
        assert_eq!(
            check(vec![long, one()], vec![one()]),
            Err(KeyInvalid::Bits(65_537))
        );
        let short = KeyInvalid::Bytes {
            expected: 2,
            actual: 1,
        };
        assert_eq!(check(vec![number(9, &[1]), one()], vec![one()]), Err(short));
        let excess = Err(KeyInvalid::ExcessBits(7));
        assert_eq!(check(vec![number(7, &[0x80]), one()], vec![one()]), excess);
    }
}
