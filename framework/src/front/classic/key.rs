//! Key operations: `crypto_kdispatch`, `crypto_kdone`, `crypto_getfeat`.

use timebase::Time;

use super::{Callback, Classic, Crid, Done, Refused};
use crate::{
    DriverChoice, DriverFlags, Errno, KEY_PARAMS_MAX, KeyFinished, KeyOp, KeyOps, KeyParam,
    KeyRequest,
};

/// A key operation; `struct cryptkop`.
#[derive(Debug)]
pub struct Cryptkop {
    /// What to compute, `CRK_*`.
    pub krp_op: u32,
    /// How it ended, `None` for well.
    pub krp_status: Option<Errno>,
    /// Number of parameters that go in: the first of `krp_param`.
    pub krp_iparams: usize,
    /// Number of parameters that come out: those behind them.
    pub krp_oparams: usize,
    /// Which drivers may compute it.
    pub krp_crid: Crid,
    /// Number of the driver that did.
    pub krp_hid: Option<u32>,
    /// Inputs, then room for outputs. A number's least significant byte comes first.
    pub krp_param: Vec<KeyParam>,
    /// The consumer's own.
    pub krp_opaque: u64,
    /// Whom to tell.
    pub krp_callback: Option<Callback>,
}

impl Classic {
    /// Accepts a key operation. It comes out of [`take_done`](Self::take_done) exactly once;
    /// `krp_status` then is `EINVAL` for an unknown operation, wrong numbers of parameters or
    /// parameters without a result, `EFBIG` for more than eight, `ENODEV` without a driver that
    /// may and can compute it, `EBADMSG` for a wrong signature and `ERANGE` for a result that does
    /// not fit.
    ///
    /// # Errors
    /// [`Refused`] with `EINVAL` if there is no operation or nobody to call back.
    pub fn crypto_kdispatch(
        &mut self,
        now: Time,
        operation: Option<Box<Cryptkop>>,
    ) -> Result<(), Refused<Cryptkop>> {
        let errno = Errno::EINVAL;
        match operation {
            Some(operation) if operation.krp_callback.is_some() => {
                self.start_key(now, operation);
                self.collect(now);
                Ok(())
            }
            request => Err(Refused { errno, request }),
        }
    }

    fn start_key(&mut self, now: Time, mut operation: Box<Cryptkop>) {
        operation.krp_status = None;
        self.number_drivers();
        let request = match self.key_request(&mut operation) {
            Ok(request) => request,
            Err(errno) => return self.finish_key(operation, Some(errno)),
        };
        match self.framework.dispatch_key(now, request) {
            Ok(id) => {
                self.pending_keys.insert(id.0, operation);
            }
            Err(rejected) => {
                let mut request = rejected.request;
                give_back(&mut operation, &mut request);
                self.finish_key(operation, Some(rejected.reason.errno()));
            }
        }
    }

    /// The framework's request, with the operation's parameters.
    fn key_request(&mut self, operation: &mut Cryptkop) -> Result<Box<KeyRequest>, Errno> {
        let (inputs, outputs) = (operation.krp_iparams, operation.krp_oparams);
        let count = inputs.checked_add(outputs).ok_or(Errno::EFBIG)?;
        if count > KEY_PARAMS_MAX {
            return Err(Errno::EFBIG);
        }
        let op = KeyOp::from_code(operation.krp_op).ok_or(Errno::EINVAL)?;
        if (inputs, outputs) != op.params() || operation.krp_param.len() != count {
            return Err(Errno::EINVAL);
        }
        let choice = self.key_choice(operation.krp_crid).ok_or(Errno::ENODEV)?;
        let mut inputs = std::mem::take(&mut operation.krp_param);
        let outputs = inputs.split_off(operation.krp_iparams);
        let mut request = KeyRequest::new(op, inputs, outputs);
        request.choice = choice;
        Ok(request)
    }

    /// The drivers that may do key operations for `crid`: none that are software unless allowed.
    fn key_choice(&self, crid: Crid) -> Option<DriverChoice> {
        let soft = DriverFlags::SOFTWARE;
        let Some(kinds) = crid.kinds() else {
            let id = self.driver_of(crid.0)?;
            let flags = self.framework.driver(id)?.flags();
            let may = self.allow_soft || !flags.contains(soft);
            let only = DriverChoice::driver(id).falling_back_to(DriverFlags::empty());
            return may.then_some(only);
        };
        let kinds = if self.allow_soft { kinds } else { kinds - soft };
        Crid(kinds.bits()).choice(|_| None)
    }

    /// The key operations that somebody may ask for, a bit for each code.
    #[must_use]
    pub fn crypto_getfeat(&self) -> KeyOps {
        let choice = self.key_choice(Crid::ANY);
        choice.map_or(KeyOps::empty(), |choice| {
            self.framework.key_operations(choice)
        })
    }

    pub(super) fn collect_keys(&mut self) {
        while let Some(finished) = self.framework.take_finished_key() {
            let KeyFinished {
                mut request,
                result,
            } = finished;
            let Some(mut operation) = self.pending_keys.remove(&request.id.0) else {
                self.other_keys.push_back(KeyFinished { request, result });
                continue;
            };
            give_back(&mut operation, &mut request);
            operation.krp_hid = request.driver.map(|id| self.hid_of(id));
            self.finish_key(operation, result.err().map(|error| error.errno()));
        }
    }

    fn finish_key(&mut self, mut operation: Box<Cryptkop>, errno: Option<Errno>) {
        operation.krp_status = errno;
        self.done.push_back(Done::Key(operation));
    }
}

/// Gives an operation its parameters back.
fn give_back(operation: &mut Cryptkop, request: &mut KeyRequest) {
    operation.krp_param = std::mem::take(&mut request.inputs);
    operation.krp_param.append(&mut request.outputs);
}
