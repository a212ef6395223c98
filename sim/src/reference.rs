//! What a result must be: the same work done by two independent libraries, outside any driver.
//!
//! One is the card's engine called directly, the other the software driver's. Both compute every
//! result, whichever driver served the request, so each driver is held against a library it does
//! not use.

use device_model::engine::{Context, Job, Operation};
use driver::{cipher_code, digest_code};
use framework::software::{Slices, Transform};
use framework::{Key, Mode, Operation as Request, SessionParams};
use regs::{CipherCode, DigestCode, SessionBlock};

/// References for the requests of one session.
#[derive(Debug)]
pub struct Reference {
    engine: Context,
    software: Transform,
    operation: Request,
    digest_len: usize,
}

/// What a forward request must give.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Expected {
    /// The payload after the request.
    pub payload: Vec<u8>,
    /// The digest.
    pub digest: Vec<u8>,
}

impl Reference {
    /// References for sessions with these parameters and keys.
    ///
    /// # Errors
    /// A message if one of the libraries cannot serve the parameters.
    pub fn new(params: &SessionParams) -> Result<Self, String> {
        let block = session_block(params)?;
        let engine = Context::new(&block).map_err(|status| format!("card engine: {status:?}"))?;
        let software = Transform::new(params).map_err(|error| format!("software: {error}"))?;
        let operation = match params.mode {
            Mode::Cipher => Request::Encrypt,
            Mode::Digest => Request::ComputeDigest,
            Mode::Aead | Mode::EncryptThenAuthenticate => Request::EncryptCompute,
            Mode::Compress(_) => return Err("the card does not compress".to_owned()),
        };
        Ok(Self {
            engine,
            software,
            operation,
            digest_len: params.digest_len(),
        })
    }

    /// What both libraries make of a forward request, or where they differ.
    ///
    /// # Errors
    /// A message if the libraries disagree or refuse the request.
    pub fn forward(
        &mut self,
        iv: &[u8; 64],
        aad: &[u8],
        payload: &[u8],
    ) -> Result<Expected, String> {
        let engine = self.by_engine(iv, aad, payload)?;
        let software = self.by_software(iv, aad, payload)?;
        if engine != software {
            return Err("the two reference libraries disagree".to_owned());
        }
        Ok(engine)
    }

    fn by_engine(&self, iv: &[u8; 64], aad: &[u8], payload: &[u8]) -> Result<Expected, String> {
        let mut payload = payload.to_vec();
        let mut digest = vec![0; self.digest_len];
        let job = Job {
            operation: Operation::Seal,
            iv,
            aad,
            esn: [0; 4],
            payload: &mut payload,
            digest: &mut digest,
        };
        self.engine
            .process(job)
            .map_err(|status| format!("card engine: {status:?}"))?;
        Ok(Expected { payload, digest })
    }

    fn by_software(
        &mut self,
        iv: &[u8; 64],
        aad: &[u8],
        payload: &[u8],
    ) -> Result<Expected, String> {
        let mut payload = payload.to_vec();
        let mut digest = vec![0; self.digest_len];
        let slices = Slices {
            operation: self.operation,
            iv: *iv,
            aad,
            payload: &mut payload,
            digest: &mut digest,
            esn: [0; 4],
            cipher_key: None,
            auth_key: None,
        };
        self.software
            .apply(slices)
            .map_err(|error| format!("software: {error}"))?;
        Ok(Expected { payload, digest })
    }
}

/// The parameters as the card's engine takes them.
fn session_block(params: &SessionParams) -> Result<SessionBlock, String> {
    let cipher = params.cipher.map_or(CipherCode::None, cipher_code);
    let digest = params.digest.map_or(DigestCode::None, digest_code);
    let mut block = SessionBlock::new(cipher, digest);
    block.digest_len = params.digest_len() as u8;
    block.iv_len = params.iv_len as u8;
    let bytes = |key: &Option<Key>| key.as_ref().map_or(Vec::new(), |key| key.bytes().to_vec());
    block
        .set_keys(&bytes(&params.cipher_key), &bytes(&params.auth_key))
        .map_err(|error| format!("card engine: {error:?}"))?;
    Ok(block)
}
