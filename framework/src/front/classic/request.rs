//! What consumers fill in: `cryptoini`, `cryptodesc`, `cryptop`.
//!
//! Fields have the names of the manual page. A linked list is a vector, a NULL pointer is `None`.

use bitflags::bitflags;
use dma::PoolBuffer;

use crate::{Errno, Key};

/// Longest IV of the classic interface, in bytes.
pub const EALG_MAX_BLOCK_LEN: usize = 16;

/// Most descriptors of one request.
const DESCRIPTORS_MAX: usize = 8;

/// An algorithm and its key; `struct cryptoini`.
#[derive(Clone, Debug, Default)]
pub struct CryptoIni {
    /// The algorithm's number, `CRYPTO_*` of crypto(7).
    pub cri_alg: u32,
    /// Length of the key, in bits.
    pub cri_klen: u32,
    /// Bytes of digest to write, zero for the whole digest.
    pub cri_mlen: usize,
    /// The key; `None` if every request brings its own.
    pub cri_key: Option<Key>,
    /// An explicit IV, left-aligned. Ignored when a session is made.
    pub cri_iv: [u8; EALG_MAX_BLOCK_LEN],
}

impl CryptoIni {
    /// An algorithm with a key of whole bytes.
    #[must_use]
    pub fn new(cri_alg: u32, key: &[u8]) -> Self {
        Self {
            cri_alg,
            cri_klen: u32::try_from(key.len() * 8).unwrap_or(u32::MAX),
            cri_key: (!key.is_empty()).then(|| Key::new(key)),
            ..Self::default()
        }
    }

    /// Length of the key in bytes, if it has whole bytes.
    pub(super) fn key_len(&self) -> Option<usize> {
        (self.cri_klen.is_multiple_of(8)).then_some(self.cri_klen as usize / 8)
    }
}

bitflags! {
    /// How one algorithm is applied; `crd_flags`.
    #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
    pub struct DescFlags: u32 {
        /// Encrypt; else decrypt. `CRD_F_ENCRYPT`.
        const ENCRYPT = 0x01;
        /// Do not write the IV, it is where it belongs. `CRD_F_IV_PRESENT`.
        const IV_PRESENT = 0x02;
        /// The IV is in `crd_ini`. `CRD_F_IV_EXPLICIT`.
        const IV_EXPLICIT = 0x04;
        /// The digest is that of a DSA signature: SHA-1 alone takes it. `CRD_F_DSA_SHA_NEEDED`.
        const DSA_SHA_NEEDED = 0x08;
        /// The key is in `crd_ini`, for this request alone. `CRD_F_KEY_EXPLICIT`.
        const KEY_EXPLICIT = 0x10;
        /// Compress; else decompress. Any of its bits counts: the header has it overlap four other
        /// flags, which mean nothing to a compression. `CRD_F_COMP`.
        const COMP = 0x0F;
    }
}

/// One algorithm applied to a part of the buffer; `struct cryptodesc`.
#[derive(Clone, Debug, Default)]
pub struct CryptoDesc {
    /// First byte of the part.
    pub crd_skip: usize,
    /// Its length in bytes.
    pub crd_len: usize,
    /// Where the IV stands or goes, or the digest goes.
    pub crd_inject: usize,
    /// How.
    pub crd_flags: DescFlags,
    /// The algorithm, as given to `crypto_newsession`, with an explicit IV or key.
    pub crd_ini: CryptoIni,
}

impl CryptoDesc {
    pub(super) fn has(&self, flag: DescFlags) -> bool {
        self.crd_flags.contains(flag)
    }

    /// One past the last byte of the part.
    pub(super) fn end(&self) -> Option<usize> {
        self.crd_skip.checked_add(self.crd_len)
    }
}

bitflags! {
    /// What a request wants; `crp_flags`.
    #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
    pub struct CryptoFlags: u32 {
        /// The buffer is an mbuf chain. `CRYPTO_F_IMBUF`.
        const IMBUF = 0x01;
        /// The buffer is a uio. `CRYPTO_F_IOV`.
        const IOV = 0x02;
        /// The result must be where the data was, not in another chain. `CRYPTO_F_REL`.
        const REL = 0x04;
        /// May wait for others. `CRYPTO_F_BATCH`.
        const BATCH = 0x08;
        /// Call back before those that do not mind. `CRYPTO_F_CBIMM`.
        const CBIMM = 0x10;
        /// Done. `CRYPTO_F_DONE`.
        const DONE = 0x20;
        /// The same if the driver is synchronous. `CRYPTO_F_CBIFSYNC`.
        const CBIFSYNC = 0x40;
    }
}

/// The data; `crp_buf`, of which `crp_flags` says what it is.
#[derive(Debug)]
pub enum CrpBuf {
    /// One run of memory, without a flag.
    Contiguous(Vec<u8>),
    /// A uio ([`CryptoFlags::IOV`]) of memory that cards can reach: worked on in place.
    Iov(Vec<PoolBuffer>),
    /// An mbuf chain ([`CryptoFlags::IMBUF`]). Unless [`CryptoFlags::REL`] is set the result is
    /// another chain.
    Mbuf(Vec<Vec<u8>>),
}

impl CrpBuf {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Contiguous(bytes) => bytes.len(),
            Self::Iov(parts) => parts.iter().map(|part| part.len()).sum(),
            Self::Mbuf(parts) => parts.iter().map(Vec::len).sum(),
        }
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All bytes, in order.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        match self {
            Self::Contiguous(bytes) => bytes.clone(),
            Self::Iov(parts) => parts.iter().flat_map(|part| part.iter()).copied().collect(),
            Self::Mbuf(parts) => parts.concat(),
        }
    }

    /// The flag that says what this is.
    pub(super) fn kind(&self) -> CryptoFlags {
        match self {
            Self::Contiguous(_) => CryptoFlags::empty(),
            Self::Iov(_) => CryptoFlags::IOV,
            Self::Mbuf(_) => CryptoFlags::IMBUF,
        }
    }

    /// Writes `bytes` to the front.
    pub(super) fn copy_in(&mut self, bytes: &[u8]) {
        let mut left = bytes;
        let mut put = |part: &mut [u8]| {
            let (now, later) = left.split_at(part.len().min(left.len()));
            part[..now.len()].copy_from_slice(now);
            left = later;
        };
        match self {
            Self::Contiguous(bytes) => put(bytes),
            Self::Iov(parts) => parts.iter_mut().for_each(|part| put(part)),
            Self::Mbuf(parts) => parts.iter_mut().for_each(|part| put(part)),
        }
    }
}

impl Default for CrpBuf {
    fn default() -> Self {
        Self::Contiguous(Vec::new())
    }
}

/// What to do when a request is done; `crp_callback`. The number is the consumer's own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Callback(pub u64);

/// A request; `struct cryptop`.
#[derive(Debug, Default)]
pub struct Cryptop {
    /// The session. Changed when the session moved.
    pub crp_sid: u64,
    /// Length of the data, in bytes.
    pub crp_ilen: usize,
    /// Length of the result, in bytes; set when done.
    pub crp_olen: usize,
    /// How it ended, `None` for well. [`Errno::EAGAIN`]: the session moved, the data is untouched,
    /// and the request may be dispatched again as it is.
    pub crp_etype: Option<Errno>,
    /// What it wants.
    pub crp_flags: CryptoFlags,
    /// The data, and the result.
    pub crp_buf: CrpBuf,
    /// The consumer's own.
    pub crp_opaque: u64,
    /// What to do, in this order.
    pub crp_desc: Vec<CryptoDesc>,
    /// Whom to tell.
    pub crp_callback: Option<Callback>,
    /// Where the digest goes instead of `crd_inject`; at least as long as the digest.
    pub crp_mac: Option<Vec<u8>>,
}

/// A request or key operation that was not accepted, with why. It comes back if there was one.
#[derive(Debug, thiserror::Error)]
#[error("not accepted: {errno}")]
pub struct Refused<T> {
    /// Why.
    pub errno: Errno,
    /// What was given.
    pub request: Option<Box<T>>,
}

/// A request with `descriptors` descriptors, or `None` if there can be none of so many.
#[must_use]
pub fn crypto_getreq(descriptors: usize) -> Option<Box<Cryptop>> {
    (descriptors <= DESCRIPTORS_MAX).then(|| {
        Box::new(Cryptop {
            crp_desc: vec![CryptoDesc::default(); descriptors],
            ..Cryptop::default()
        })
    })
}

/// Frees a request and its descriptors, with their keys zeroed. `None` is no mistake.
pub fn crypto_freereq(request: Option<Box<Cryptop>>) {
    drop(request);
}
