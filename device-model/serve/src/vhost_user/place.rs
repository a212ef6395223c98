//! Where the device is, or was: all that crosses its edge passes here, and may be written down.
//!
//! An empty place answers for the device that is gone: with errors, and at once.

use device_model::virtio::{Finished, VirtioCrypto, refusal};
use device_model::{Latch, Profile, ProfileError, Provisioning};
use regs::virtio::{CryptoConfig, CryptoStatus, SESSION_MESSAGE_LEN};
use timebase::Time;
use zerocopy::FromZeros as _;
use zeroize::Zeroizing;

use crate::recording::{Recorder, VirtioAnswer, VirtioInput};

/// The place of a device.
#[derive(Debug)]
pub(super) struct Place {
    profile: Profile,
    device: Option<VirtioCrypto>,
    /// The number that the next session of a new device gets: those of the old one are never given
    /// again to a client that still has them.
    next_session: u64,
    recorder: Option<Recorder>,
}

impl Place {
    /// A place with a device that is made from `profile`.
    pub(super) fn new(profile: Profile) -> Result<Self, ProfileError> {
        let mut place = Self {
            profile,
            device: None,
            next_session: 0,
            recorder: None,
        };
        place.plug()?;
        Ok(place)
    }

    /// Writes all that crosses the device's edge to `recorder` from now on; the device must be new.
    pub(super) fn record(&mut self, mut recorder: Recorder) {
        if let Some(device) = &self.device {
            recorder.begin_virtio(device);
        }
        self.recorder = Some(recorder);
    }

    pub(super) fn end_recording(&mut self) -> std::io::Result<()> {
        self.recorder.take().map_or(Ok(()), Recorder::end)
    }

    /// Hands to the system what is recorded so far.
    pub(super) fn flush(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.flush();
        }
    }

    pub(super) const fn profile(&self) -> &Profile {
        &self.profile
    }

    pub(super) const fn device(&self) -> Option<&VirtioCrypto> {
        self.device.as_ref()
    }

    /// Puts a new device in.
    pub(super) fn plug(&mut self) -> Result<(), ProfileError> {
        let device = VirtioCrypto::new(self.profile.clone(), &Provisioning::default())?;
        let device = device.with_first_session(self.next_session);
        if let Some(recorder) = &mut self.recorder {
            recorder.begin_virtio(&device);
        }
        self.device = Some(device);
        Ok(())
    }

    /// Takes the device out, with all that is on it.
    pub(super) fn pull_out(&mut self) {
        if let Some(device) = self.device.take() {
            self.next_session = device.next_session();
        }
    }

    fn give(&mut self, now: Time, input: VirtioInput) -> Option<VirtioAnswer> {
        let device = self.device.as_mut()?;
        Some(match &mut self.recorder {
            Some(recorder) => recorder.give_virtio(input, device, now),
            None => input.give(device, now),
        })
    }

    /// Whether the device takes the request; nobody does in an empty place.
    pub(super) fn submit(
        &mut self,
        now: Time,
        token: u64,
        bytes: Zeroizing<Vec<u8>>,
        room: usize,
    ) -> bool {
        let input = VirtioInput::Submit(token, bytes, room as u64);
        self.give(now, input).is_some()
    }

    /// Requests that have ended by `now`.
    pub(super) fn finish(&mut self, now: Time) -> Vec<Finished> {
        match self.give(now, VirtioInput::Advance) {
            Some(VirtioAnswer::Ended(ended)) => ended,
            _ => Vec::new(),
        }
    }

    /// Does what a request on the control queue asks for; gives what goes to its room.
    pub(super) fn control(&mut self, now: Time, bytes: Zeroizing<Vec<u8>>, room: usize) -> Vec<u8> {
        match self.give(now, VirtioInput::Control(bytes, room as u64)) {
            Some(VirtioAnswer::Bytes(bytes)) => bytes,
            _ => refusal(CryptoStatus::Error, room),
        }
    }

    pub(super) fn open(
        &mut self,
        now: Time,
        message: &[u8; SESSION_MESSAGE_LEN],
    ) -> Result<u64, CryptoStatus> {
        let message = Zeroizing::new(message.to_vec());
        match self.give(now, VirtioInput::Open(message)) {
            Some(VirtioAnswer::Opened(opened)) => opened,
            _ => Err(CryptoStatus::Error),
        }
    }

    pub(super) fn close(&mut self, now: Time, session: u64) {
        self.give(now, VirtioInput::Close(session));
    }

    pub(super) fn reset(&mut self, now: Time) {
        self.give(now, VirtioInput::Reset);
    }

    /// Makes the device misbehave; gives whether it can like that.
    pub(super) fn latch(&mut self, now: Time, latch: Latch) -> bool {
        let answer = self.give(now, VirtioInput::Latch(latch));
        answer == Some(VirtioAnswer::IsDone(true))
    }

    /// When the device does something by itself.
    pub(super) fn next_internal(&self) -> Time {
        let device = self.device.as_ref();
        device.map_or(Time::NEVER, VirtioCrypto::next_internal)
    }

    /// What is said of the device; without one only how many queues there are.
    pub(super) fn config(&self, data_queues: u32) -> CryptoConfig {
        match &self.device {
            Some(device) => device.config(data_queues),
            None => CryptoConfig {
                max_dataqueues: data_queues.into(),
                ..CryptoConfig::new_zeroed()
            },
        }
    }
}
