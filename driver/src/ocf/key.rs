//! Key operations: from the framework's parameters to the card's and back.
//!
//! They go to the card as orders of the admin desk, a few at a time; what the card has no lanes for
//! is no longer offered once it has said so. Numbers are least significant byte first on both
//! sides, and a digest is the bytes of a hash function on both.

use framework::{KeyBlocked, KeyCompleted, KeyDriverError, KeyOp, KeyOps, KeyParam, KeyRequest};
use regs::{PUBLIC_KEY_PARAMS_MAX, PublicKeyFlags, PublicKeyOp, PublicKeyParams, Status};
use zeroize::Zeroizing;

use crate::{AdminError, AdminHandle, Ticket};

/// Most key operations on the card at once.
const IN_FLIGHT_MAX: usize = 16;

/// An operation on the card.
struct Pending {
    request: Box<KeyRequest>,
    params: PublicKeyParams,
    ticket: Ticket<Zeroizing<Vec<u8>>>,
}

/// The key operations of one driver.
#[derive(Default)]
pub(super) struct Keys {
    pending: Vec<Pending>,
    ended: Vec<KeyCompleted>,
    generation: u64,
    has_refused: bool,
    /// The card said that it has no lanes for them.
    is_without: bool,
}

impl Keys {
    /// What the driver offers.
    pub(super) fn offered(&self) -> KeyOps {
        if self.is_without {
            KeyOps::empty()
        } else {
            KeyOps::all()
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether an operation ended without the card's help.
    #[inline]
    pub(super) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Hands an operation to the card, refuses it for now, or ends it if a number has more than
    /// `bits_max` bits.
    pub(super) fn process(
        &mut self,
        admin: &AdminHandle,
        request: Box<KeyRequest>,
        bits_max: u16,
    ) -> Result<(), KeyBlocked> {
        if self.pending.len() >= IN_FLIGHT_MAX {
            self.has_refused = true;
            return Err(KeyBlocked {
                request,
                generation: self.generation,
            });
        }
        let Some(params) = params_of(&request, bits_max) else {
            self.ended.push(KeyCompleted {
                request,
                result: Err(KeyDriverError::TooBig),
            });
            return Ok(());
        };
        let inputs = request.inputs.iter().map(KeyParam::bytes);
        let source = Zeroizing::new(inputs.collect::<Vec<_>>().concat());
        let ticket = admin.compute(&params, &source);
        self.pending.push(Pending {
            request,
            params,
            ticket,
        });
        Ok(())
    }

    /// Moves what ended to `output`.
    #[inline]
    pub(super) fn collect(&mut self, output: &mut Vec<KeyCompleted>) {
        if !self.pending.is_empty() || !self.ended.is_empty() {
            self.collect_any(output);
        }
    }

    #[inline(never)]
    fn collect_any(&mut self, output: &mut Vec<KeyCompleted>) {
        output.append(&mut self.ended);
        let before = output.len();
        let mut still = Vec::new();
        for mut pending in self.pending.drain(..) {
            let Some(answer) = pending.ticket.take() else {
                still.push(pending);
                continue;
            };
            self.is_without |= answer == Err(AdminError::Card(Status::BadOpcode));
            let result = match answer {
                Ok(bytes) => store(&mut pending.request, &pending.params, &bytes),
                Err(error) => Err(key_error(error)),
            };
            output.push(KeyCompleted {
                request: pending.request,
                result,
            });
        }
        self.pending = still;
        if self.has_refused && output.len() > before {
            self.has_refused = false;
            self.generation += 1;
        }
    }
}

/// What the card is to be told; `None` if a parameter is longer than it takes.
fn params_of(request: &KeyRequest, bits_max: u16) -> Option<PublicKeyParams> {
    let op = PublicKeyOp::from_code(u8::try_from(request.op.code()).ok()?)?;
    let mut bits = [0; PUBLIC_KEY_PARAMS_MAX];
    let all = request.inputs.iter().chain(&request.outputs);
    for (place, param) in bits.iter_mut().zip(all) {
        *place = u16::try_from(param.bits()).ok()?;
    }
    if matches!(request.op, KeyOp::DsaSign | KeyOp::DsaVerify) {
        // A digest is whole bytes, whatever the consumer says of its bits.
        bits[0] = u16::try_from(request.inputs[0].bytes().len() * 8).ok()?;
    }
    let fits = bits.iter().all(|&bits| bits <= bits_max);
    fits.then_some(PublicKeyParams {
        op,
        flags: PublicKeyFlags::empty(),
        bits,
    })
}

/// Writes the outputs, which stand one behind the other in `bytes`.
fn store(
    request: &mut KeyRequest,
    params: &PublicKeyParams,
    bytes: &[u8],
) -> Result<(), KeyDriverError> {
    let mut rest = bytes;
    for (output, &bits) in request.outputs.iter_mut().zip(params.output_bits()) {
        let len = usize::from(bits).div_ceil(8);
        let (number, after) = rest.split_at_checked(len).ok_or(KeyDriverError::Device)?;
        if !output.store(number) {
            return Err(KeyDriverError::NoRoom);
        }
        rest = after;
    }
    Ok(())
}

fn key_error(error: AdminError) -> KeyDriverError {
    match error {
        AdminError::Card(Status::SignatureMismatch) => KeyDriverError::Mismatch,
        AdminError::Card(Status::BadOperand) => KeyDriverError::Undefined,
        AdminError::Card(Status::ResultTooLarge) => KeyDriverError::NoRoom,
        // Another driver may do what this card cannot.
        AdminError::Card(Status::BadOpcode | Status::EntropyFailure)
        | AdminError::Lost
        | AdminError::NoMemory => KeyDriverError::Lost,
        AdminError::Card(_)
        | AdminError::Nonsense
        | AdminError::NoSession
        | AdminError::Length(_) => KeyDriverError::Device,
    }
}
