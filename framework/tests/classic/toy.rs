//! A driver with the entry points of crypto(9) that works when it is told to.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use framework::front::classic::{
    ClassicDriver, CrpBuf, Cryptkop, CryptoDesc, CryptoIni, Cryptop, DescFlags, Port, Queues,
    Restart, crypto_sid_lid,
};
use framework::software::{Slices, Transform, compute_key};
use framework::{
    Buffer, Cipher, Compression, Digest, DriverError, Errno, KeyOp, KeyRequest, Mode, Operation,
    Request, SessionFlags, SessionId, SessionParams,
};
use timebase::Time;

/// What the driver did and shall do.
#[derive(Default)]
pub(crate) struct Toy {
    /// Requests it takes before it refuses.
    pub(crate) room: usize,
    /// Whether it says that it has room while it refuses.
    pub(crate) unblocks_while_refusing: bool,
    pub(crate) waiting: VecDeque<Box<Cryptop>>,
    pub(crate) keys: VecDeque<Box<Cryptkop>>,
    /// Sessions by their number here.
    pub(crate) sessions: BTreeMap<u32, Vec<CryptoIni>>,
    pub(crate) freed: Vec<u64>,
    /// What it says at the next interrupt.
    pub(crate) port: Port,
    /// Ends the next request with this instead of working.
    pub(crate) fails_with: Option<Errno>,
    /// Whether it says everything twice.
    pub(crate) stutters: bool,
}

impl Toy {
    /// Works on the oldest request, and has room for another.
    pub(crate) fn work(&mut self) {
        let mut request = self.waiting.pop_front().expect("a request");
        match self.fails_with.take() {
            Some(errno) => request.crp_etype = Some(errno),
            None => {
                let chain = &self.sessions[&crypto_sid_lid(request.crp_sid)];
                perform(chain, &mut request);
            }
        }
        if self.stutters {
            let again = Cryptop {
                crp_opaque: request.crp_opaque,
                ..Cryptop::default()
            };
            self.port.crypto_done(Box::new(again));
        }
        self.port.crypto_done(request);
        self.room += 1;
        self.port.crypto_unblock(Queues::SYMQ);
    }

    pub(crate) fn work_on_key(&mut self) {
        let mut operation = self.keys.pop_front().expect("a key operation");
        let mut inputs = std::mem::take(&mut operation.krp_param);
        let outputs = inputs.split_off(operation.krp_iparams);
        let op = KeyOp::from_code(operation.krp_op).expect("a known operation");
        let mut request = KeyRequest::new(op, inputs, outputs);
        if compute_key(&mut request).is_err() {
            operation.krp_status = Some(Errno::EINVAL);
        }
        operation.krp_param = [&request.inputs[..], &request.outputs].concat();
        self.port.crypto_kdone(operation);
        self.port.crypto_unblock(Queues::ASYMQ);
    }
}

/// The algorithm of a part, with its key.
fn ini_of<'a>(chain: &'a [CryptoIni], part: &'a CryptoDesc) -> &'a CryptoIni {
    let given = chain.iter().find(|ini| ini.cri_alg == part.crd_ini.cri_alg);
    if part.crd_flags.contains(DescFlags::KEY_EXPLICIT) {
        &part.crd_ini
    } else {
        given.expect("an algorithm of the session")
    }
}

/// Compresses or decompresses, and says how long the result is. What did not get shorter stays.
fn squeeze(request: &mut Cryptop) {
    let part = &request.crp_desc[0];
    let operation = if part.crd_flags.intersects(DescFlags::COMP) {
        Operation::Compress
    } else {
        Operation::Decompress
    };
    let mode = Mode::Compress(Compression::Deflate);
    let mut transform = Transform::new(&SessionParams::of(mode)).expect("valid parameters");
    let buffer = Buffer::Memory(request.crp_buf.to_vec());
    let mut work = Request::new(SessionId::default(), operation, buffer);
    (work.payload.start, work.payload.len) = (part.crd_skip, part.crd_len);
    match transform.process(&mut work) {
        Ok(()) => request.crp_olen = work.result_len,
        Err(DriverError::TooBig) => request.crp_etype = Some(Errno::E2BIG),
        Err(_) => request.crp_etype = Some(Errno::EINVAL),
    }
    let mut bytes = vec![0; work.buffer.len()];
    work.buffer.copy_out(0, &mut bytes);
    request.crp_buf = CrpBuf::Contiguous(bytes);
}

/// Encrypts and computes a tag, or compares it and decrypts.
fn perform_aead(chain: &[CryptoIni], request: &mut Cryptop) {
    let numbers = request.crp_desc.iter().map(|part| part.crd_ini.cri_alg);
    let cipher_at = numbers.clone().position(is_aead).expect("a cipher");
    let (work, tag) = (
        &request.crp_desc[cipher_at],
        &request.crp_desc[1 - cipher_at],
    );
    let (ini, tag_ini) = (ini_of(chain, work), ini_of(chain, tag));
    assert_eq!(ini.cri_key, tag_ini.cri_key, "one key under two numbers");
    let mut transform = Transform::new(&SessionParams {
        cipher: Cipher::from_number(ini.cri_alg as u8),
        cipher_key_len: ini.cri_klen as usize / 8,
        cipher_key: ini.cri_key.clone(),
        iv_len: 12,
        auth_digest_len: chain.iter().map(|it| it.cri_mlen).max().unwrap_or(0),
        ..SessionParams::of(Mode::Aead)
    })
    .expect("valid parameters");
    let mut bytes = request.crp_buf.to_vec();
    let (front, digest) = bytes.split_at_mut(tag.crd_inject);
    let (aad, payload) = front.split_at_mut(work.crd_skip);
    let mut iv = [0; 64];
    iv[..16].copy_from_slice(&work.crd_ini.cri_iv);
    let done = transform.apply(Slices {
        operation: match work.crd_flags.contains(DescFlags::ENCRYPT) {
            true => Operation::EncryptCompute,
            false => Operation::VerifyDecrypt,
        },
        iv,
        aad: &aad[tag.crd_skip..][..tag.crd_len],
        payload: &mut payload[..work.crd_len],
        digest,
        esn: [0; 4],
        cipher_key: None,
        auth_key: None,
    });
    request.crp_etype = done.err().map(|_| Errno::EBADMSG);
    request.crp_buf = CrpBuf::Contiguous(bytes);
}

fn is_aead(number: u32) -> bool {
    matches!(number, 25 | 40)
}

/// Does what the descriptors say, one after the other, as hardware of this kind does.
fn perform(chain: &[CryptoIni], request: &mut Cryptop) {
    if chain.iter().any(|ini| is_aead(ini.cri_alg)) {
        return perform_aead(chain, request);
    }
    if chain[0].cri_alg == 17 {
        return squeeze(request);
    }
    let mut bytes = request.crp_buf.to_vec();
    for part in &request.crp_desc {
        let number = u8::try_from(part.crd_ini.cri_alg).expect("a known algorithm");
        let ini = ini_of(chain, part);
        let (cipher, digest) = (Cipher::from_number(number), Digest::from_number(number));
        let is_cipher = cipher.is_some();
        let key_len = ini.cri_klen as usize / 8;
        let params = SessionParams {
            mode: if is_cipher {
                Mode::Cipher
            } else {
                Mode::Digest
            },
            flags: SessionFlags::empty(),
            cipher,
            digest,
            cipher_key_len: if is_cipher { key_len } else { 0 },
            cipher_key: ini.cri_key.clone().filter(|_| is_cipher),
            auth_key_len: if is_cipher { 0 } else { key_len },
            auth_key: ini.cri_key.clone().filter(|_| !is_cipher),
            iv_len: cipher.map_or(0, |cipher| usize::from(cipher.info().iv.max)),
            auth_digest_len: ini.cri_mlen,
        };
        let mut transform = Transform::new(&params).expect("valid parameters");
        let mut digest = vec![0; params.digest_len()];
        let mut iv = [0; 64];
        iv[..16].copy_from_slice(&part.crd_ini.cri_iv);
        let operation = match (is_cipher, part.crd_flags.contains(DescFlags::ENCRYPT)) {
            (true, true) => Operation::Encrypt,
            (true, false) => Operation::Decrypt,
            (false, _) => Operation::ComputeDigest,
        };
        let range = part.crd_skip..part.crd_skip + part.crd_len;
        transform
            .apply(Slices {
                operation,
                iv,
                aad: &[],
                payload: &mut bytes[range],
                digest: &mut digest,
                esn: [0; 4],
                cipher_key: None,
                auth_key: None,
            })
            .expect("a transform that works");
        bytes[part.crd_inject..part.crd_inject + digest.len()].copy_from_slice(&digest);
    }
    request.crp_buf = CrpBuf::Contiguous(bytes);
}

/// The driver; tests keep a handle to the rest.
pub(crate) struct ToyDriver(pub(crate) Rc<RefCell<Toy>>);

impl ClassicDriver for ToyDriver {
    fn name(&self) -> &str {
        "toy0"
    }

    fn newsession(&mut self, _hid: u32, chain: &[CryptoIni]) -> Result<u32, Errno> {
        let mut toy = self.0.borrow_mut();
        let number = toy
            .sessions
            .last_key_value()
            .map_or(1, |(last, _)| last + 1);
        toy.sessions.insert(number, chain.to_vec());
        Ok(number)
    }

    fn freesession(&mut self, sid: u64) -> Result<(), Errno> {
        let mut toy = self.0.borrow_mut();
        toy.freed.push(sid);
        let known = toy.sessions.remove(&crypto_sid_lid(sid));
        known.map(drop).ok_or(Errno::ENOENT)
    }

    fn process(&mut self, port: &mut Port, request: Box<Cryptop>) -> Result<(), Restart<Cryptop>> {
        let mut toy = self.0.borrow_mut();
        if toy.room == 0 {
            if toy.unblocks_while_refusing {
                toy.room = 1;
                port.crypto_unblock(Queues::SYMQ);
            }
            return Err(Restart(request));
        }
        toy.room -= 1;
        toy.waiting.push_back(request);
        Ok(())
    }

    fn kprocess(
        &mut self,
        _port: &mut Port,
        operation: Box<Cryptkop>,
    ) -> Result<(), Restart<Cryptkop>> {
        let mut toy = self.0.borrow_mut();
        if !toy.keys.is_empty() {
            return Err(Restart(operation));
        }
        toy.keys.push_back(operation);
        Ok(())
    }

    fn interrupt(&mut self, _now: Time, port: &mut Port) {
        *port = std::mem::take(&mut self.0.borrow_mut().port);
    }
}
