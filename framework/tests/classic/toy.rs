//! A driver with the entry points of crypto(9) that works when it is told to.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use framework::front::classic::{
    ClassicDriver, CrpBuf, Cryptkop, CryptoIni, Cryptop, DescFlags, Port, Queues, Restart,
    crypto_sid_lid,
};
use framework::software::{Slices, Transform, compute_key};
use framework::{
    Cipher, Digest, Errno, KeyOp, KeyRequest, Mode, Operation, SessionFlags, SessionParams,
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

/// Does what the descriptors say, one after the other, as hardware of this kind does.
fn perform(chain: &[CryptoIni], request: &mut Cryptop) {
    let mut bytes = request.crp_buf.to_vec();
    for part in &request.crp_desc {
        let number = u8::try_from(part.crd_ini.cri_alg).expect("a known algorithm");
        let given = chain.iter().find(|ini| ini.cri_alg == part.crd_ini.cri_alg);
        let ini = if part.crd_flags.contains(DescFlags::KEY_EXPLICIT) {
            &part.crd_ini
        } else {
            given.expect("an algorithm of the session")
        };
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
