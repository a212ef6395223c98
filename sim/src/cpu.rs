//! The CPU as a crypto device: the software driver, charged for in virtual time.
//!
//! The work itself is done by the framework's own [`SoftwareDriver`]; this layer around seam 1 only
//! says when it is done. One core works on one request at a time.

use std::collections::VecDeque;

use framework::software::SoftwareDriver;
use framework::{
    Blocked, Completed, CryptoDriver, DriverFlags, DriverOutput, DriverSession, Hint, KeyBlocked,
    KeyCompleted, KeyOp, KeyOps, KeyParam, KeyRequest, OpenError, ProbeScore, Request,
    SessionParams,
};
use timebase::{Span, Time};

/// What a request costs whatever its size.
const PER_REQUEST: Span = Span::from_ns(300);
/// What a byte of payload costs: about 1.4 GB/s, one AES-CBC stream of a present-day core.
const PER_BYTE: Span = Span::from_ps(700);
/// What a product of two 64-bit words costs: about 1.3 ms for a 2048-bit power.
const PER_PRODUCT: Span = Span::from_ps(600);

/// What a key operation costs: a power takes a squaring for each bit, anything else one product.
fn key_cost(request: &KeyRequest) -> Span {
    let longest = request.inputs.iter().map(KeyParam::bits).max();
    let bits = u64::from(longest.unwrap_or_default());
    let words = bits.div_ceil(64);
    let squarings = match request.op {
        KeyOp::ModExp
        | KeyOp::ModExpCrt
        | KeyOp::DsaSign
        | KeyOp::DsaVerify
        | KeyOp::DhComputeKey => bits,
        KeyOp::ModAdd
        | KeyOp::ModAddInv
        | KeyOp::ModSub
        | KeyOp::ModMult
        | KeyOp::ModMultInv
        | KeyOp::Mod => 1,
    };
    PER_REQUEST + PER_PRODUCT * (words * words * squarings)
}

/// What the core works on.
#[derive(Debug)]
enum Work {
    Request(Completed),
    Key(KeyCompleted),
}

/// The software driver with a cost.
#[derive(Debug)]
pub struct CpuDriver {
    inner: SoftwareDriver,
    /// Requests that are done at their time, in order of time.
    working: VecDeque<(Time, Work)>,
    busy_until: Time,
    output: DriverOutput,
}

impl CpuDriver {
    /// A software driver called `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            inner: SoftwareDriver::new(name),
            working: VecDeque::new(),
            busy_until: Time::ZERO,
            output: DriverOutput::default(),
        }
    }

    /// Takes what the inner driver has finished and charges for it.
    fn charge(&mut self, now: Time) {
        self.inner.service(now, &mut self.output);
        for completed in self.output.completed.drain(..) {
            let cost = PER_REQUEST + PER_BYTE * completed.request.payload.len as u64;
            self.busy_until = self.busy_until.max(now) + cost;
            self.working
                .push_back((self.busy_until, Work::Request(completed)));
        }
        for completed in self.output.keys.drain(..) {
            let cost = key_cost(&completed.request);
            self.busy_until = self.busy_until.max(now) + cost;
            self.working
                .push_back((self.busy_until, Work::Key(completed)));
        }
    }
}

impl CryptoDriver for CpuDriver {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn flags(&self) -> DriverFlags {
        self.inner.flags() - DriverFlags::SYNC
    }

    fn probe_session(&self, params: &SessionParams) -> Option<ProbeScore> {
        self.inner.probe_session(params)
    }

    fn open_session(
        &mut self,
        now: Time,
        params: &SessionParams,
    ) -> Result<DriverSession, OpenError> {
        let session = self.inner.open_session(now, params)?;
        self.charge(now);
        Ok(session)
    }

    fn close_session(&mut self, now: Time, session: DriverSession) {
        self.inner.close_session(now, session);
    }

    fn process(
        &mut self,
        now: Time,
        session: DriverSession,
        request: Box<Request>,
        hint: Hint,
    ) -> Result<(), Blocked> {
        self.inner.process(now, session, request, hint)?;
        self.charge(now);
        Ok(())
    }

    fn flush(&mut self, now: Time) {
        self.inner.flush(now);
    }

    fn service(&mut self, now: Time, output: &mut DriverOutput) {
        self.charge(now);
        output.opened.append(&mut self.output.opened);
        while self
            .working
            .front()
            .is_some_and(|&(done_at, _)| done_at <= now)
        {
            match self.working.pop_front() {
                Some((_, Work::Request(completed))) => output.completed.push(completed),
                Some((_, Work::Key(completed))) => output.keys.push(completed),
                None => {}
            }
        }
        if self.working.is_empty() {
            output.lost |= std::mem::take(&mut self.output.lost);
        }
    }

    fn deadline(&self) -> Time {
        let done_at = self
            .working
            .front()
            .map_or(Time::NEVER, |&(done_at, _)| done_at);
        // What the inner driver or this layer has to report wants to be fetched at once.
        let is_gone = self.output.lost && self.working.is_empty();
        let has_news = !self.output.opened.is_empty() || is_gone;
        if has_news {
            Time::ZERO
        } else {
            done_at.min(self.inner.deadline())
        }
    }

    fn unblock_generation(&self) -> u64 {
        self.inner.unblock_generation()
    }

    fn key_operations(&self) -> KeyOps {
        self.inner.key_operations()
    }

    fn process_key(&mut self, now: Time, request: Box<KeyRequest>) -> Result<(), KeyBlocked> {
        self.inner.process_key(now, request)?;
        self.charge(now);
        Ok(())
    }

    fn detach(&mut self, now: Time) {
        self.inner.detach(now);
        self.charge(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use framework::{Buffer, Cipher, Mode, Operation, Region, SessionId};

    #[test]
    fn a_key_operation_takes_its_time_and_a_power_the_cube_of_its_length() {
        let power = |len: usize| {
            let inputs = vec![KeyParam::from_le_bytes(&vec![3; len]); 3];
            KeyRequest::new(KeyOp::ModExp, inputs, vec![KeyParam::room(8 * len as u32)])
        };
        let (short, long) = (key_cost(&power(128)), key_cost(&power(256)));
        assert_eq!(long - PER_REQUEST, (short - PER_REQUEST) * 8);
        let mut cpu = CpuDriver::new("cpu");
        assert!(cpu.process_key(Time::ZERO, power(128)).is_ok());
        assert_eq!(cpu.deadline(), Time::ZERO + short);
        let mut output = DriverOutput::default();
        cpu.service(Time::ZERO + short, &mut output);
        assert_eq!(output.keys.len(), 1);
    }

    #[test]
    fn requests_are_done_one_after_the_other() {
        let mut cpu = CpuDriver::new("cpu");
        let params = SessionParams {
            cipher: Some(Cipher::Null),
            ..SessionParams::of(Mode::Cipher)
        };
        let session = cpu.open_session(Time::ZERO, &params).unwrap();
        for _ in 0..2 {
            let buffer = Buffer::Memory(vec![0; 1000]);
            let mut request = Request::new(SessionId::default(), Operation::Encrypt, buffer);
            request.payload = Region {
                start: 0,
                len: 1000,
            };
            assert!(
                cpu.process(Time::ZERO, session, request, Hint::Last)
                    .is_ok()
            );
        }
        let one = PER_REQUEST + PER_BYTE * 1000;
        let mut output = DriverOutput::default();
        cpu.service(Time::ZERO, &mut output);
        assert!(output.completed.is_empty());
        assert_eq!(cpu.deadline(), Time::ZERO + one);
        cpu.service(Time::ZERO + one, &mut output);
        assert_eq!(output.completed.len(), 1);
        assert_eq!(cpu.deadline(), Time::ZERO + one * 2);
    }
}
