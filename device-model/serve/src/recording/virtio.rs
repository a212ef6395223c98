//! The edge of a virtio crypto device: what queues and messages bring, and what it gives back.

use device_model::virtio::{Finished, VirtioCrypto};
use device_model::{Latch, Profile, ProfileError, Provisioning};
use regs::virtio::{CryptoStatus, SESSION_MESSAGE_LEN};
use serde::{Deserialize, Serialize};
use timebase::Time;
use zeroize::Zeroizing;

use super::{Event, Recorder};

/// How a device was made.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Made {
    profile: Profile,
    first_session: u64,
}

impl Made {
    /// The device, as new.
    pub(super) fn device(&self) -> Result<VirtioCrypto, ProfileError> {
        let device = VirtioCrypto::new(self.profile.clone(), &Provisioning::default())?;
        Ok(device.with_first_session(self.first_session))
    }
}

/// What is done to a device.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum VirtioInput {
    /// A request on a data queue: its token, what it brings, and the length of its room.
    Submit(u64, Zeroizing<Vec<u8>>, u64),
    /// A request on the control queue, and the length of its room.
    Control(Zeroizing<Vec<u8>>, u64),
    /// A message opens a session.
    Open(Zeroizing<Vec<u8>>),
    /// A message closes a session.
    Close(u64),
    /// Time passes.
    Advance,
    /// Somebody makes it misbehave.
    Latch(Latch),
    /// It is reset.
    Reset,
}

/// What a device answers to an input.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum VirtioAnswer {
    /// Nothing at once.
    Nothing,
    /// Whether there was anything to do it to.
    IsDone(bool),
    /// What goes to the room of a request.
    Bytes(Vec<u8>),
    /// The number of a session.
    Opened(Result<u64, CryptoStatus>),
    /// The requests that ended.
    Ended(Vec<Finished>),
}

impl VirtioInput {
    /// Gives it to `device` at `now`; what the device answers.
    pub(crate) fn give(self, device: &mut VirtioCrypto, now: Time) -> VirtioAnswer {
        match self {
            Self::Submit(token, bytes, room) => {
                let room = usize::try_from(room).unwrap_or(usize::MAX);
                device.submit(now, token, bytes, room);
            }
            Self::Control(bytes, room) => {
                let room = usize::try_from(room).unwrap_or(usize::MAX);
                return VirtioAnswer::Bytes(device.control(&bytes, room));
            }
            Self::Open(message) => {
                let message = <&[u8; SESSION_MESSAGE_LEN]>::try_from(message.as_slice());
                let opened = message.map_or(Err(CryptoStatus::Error), |it| device.open(it));
                return VirtioAnswer::Opened(opened);
            }
            Self::Close(session) => return VirtioAnswer::IsDone(device.close(session)),
            Self::Advance => {
                let ended = std::iter::from_fn(|| device.finish(now));
                return VirtioAnswer::Ended(ended.collect());
            }
            Self::Latch(latch) => return VirtioAnswer::IsDone(device.latch(latch)),
            Self::Reset => device.reset(),
        }
        VirtioAnswer::Nothing
    }

    /// It in words, without what it carries.
    pub(super) fn tell(&self) -> String {
        match self {
            Self::Submit(token, bytes, room) => {
                format!(
                    "request {token} of {} bytes with {room} of room",
                    bytes.len()
                )
            }
            Self::Control(bytes, _) => format!("a control request of {} bytes", bytes.len()),
            Self::Open(_) => "a session opened".to_owned(),
            Self::Close(session) => format!("session {session} closed"),
            Self::Advance => "time".to_owned(),
            Self::Latch(latch) => format!("{latch:?}"),
            Self::Reset => "a reset".to_owned(),
        }
    }
}

impl VirtioAnswer {
    /// It in words, without what it carries.
    pub(super) fn tell(&self) -> String {
        match self {
            Self::Nothing => "no answer".to_owned(),
            Self::IsDone(is_done) => format!("the answer {is_done}"),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Self::Opened(opened) => format!("the session {opened:?}"),
            Self::Ended(ended) => {
                let each = ended.iter().map(|end| {
                    let (token, len) = (end.token, end.output.len());
                    format!("{token} {:?} with {len} bytes", end.status)
                });
                format!("requests [{}]", each.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

impl Recorder {
    /// A device that was just made from its profile is there.
    pub(crate) fn begin_virtio(&mut self, device: &VirtioCrypto) {
        self.write(&Event::Virtio(Box::new(Made {
            profile: device.profile().clone(),
            first_session: device.next_session(),
        })));
    }

    /// Gives `input` to `device`, and writes down what comes of it.
    pub(crate) fn give_virtio(
        &mut self,
        input: VirtioInput,
        device: &mut VirtioCrypto,
        now: Time,
    ) -> VirtioAnswer {
        self.write(&Event::VirtioInput(now, input.clone()));
        let answer = input.give(device, now);
        self.write(&Event::VirtioAnswer(answer.clone()));
        answer
    }
}
