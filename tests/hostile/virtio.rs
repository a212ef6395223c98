//! Any messages, control requests and data requests at all for a virtio crypto device.

use std::collections::BTreeSet;

use device_model::virtio::VirtioCrypto;
use device_model::{Profile, Provisioning};
use regs::virtio::{
    ControlHeader, ControlOpcode, CryptoOpcode, CryptoStatus, DataHeader, SESSION_MESSAGE_LEN,
};
use timebase::{Span, Time};
use zerocopy::{FromZeros as _, IntoBytes as _};
use zeroize::Zeroizing;

use super::Story;

/// Sessions of the device.
const SESSIONS: u32 = 8;
/// Key lengths that something takes.
const KEYS: [u8; 6] = [8, 16, 20, 24, 32, 64];

struct Bench {
    device: VirtioCrypto,
    now: Time,
    tokens: u64,
    waiting: BTreeSet<u64>,
    /// Sessions opened and requests that ended well.
    reached: u64,
}

/// Does to a device what the bytes say, lets it come to rest and resets it; gives the number of
/// sessions opened and requests that ended well.
///
/// # Panics
/// If a request ends twice or never, or brings more than there is room for.
pub fn virtio(bytes: &[u8]) -> u64 {
    let profile = Profile {
        session_capacity: SESSIONS,
        ..Profile::reference()
    };
    let device = VirtioCrypto::new(profile, &Provisioning::default());
    let mut bench = Bench {
        device: device.expect("a small device"),
        now: Time::ZERO,
        tokens: 0,
        waiting: BTreeSet::new(),
        reached: 0,
    };
    let mut story = Story::new(bytes);
    while !story.is_over() {
        bench.step(&mut story);
    }
    while bench.device.next_internal() != Time::NEVER {
        bench.now = bench.now.max(bench.device.next_internal());
        bench.finish();
    }
    assert!(bench.waiting.is_empty(), "requests that never end");
    bench.device.reset();
    assert_eq!(bench.device.sessions() + bench.device.in_flight(), 0);
    bench.reached
}

impl Bench {
    fn step(&mut self, story: &mut Story<'_>) {
        match story.byte() & 7 {
            0 => {
                let len = usize::from(story.byte());
                let request = story.run(len).to_vec();
                self.device.control(&request, usize::from(story.byte()));
            }
            1 | 2 => self.control(story),
            3 => self.message(story),
            4 | 5 => self.submit(story),
            6 => {
                self.device.close(u64::from(story.byte()) % 16);
            }
            _ => {
                self.now += Span::from_ns(story.half().into());
                self.finish();
            }
        }
        assert!(self.device.sessions() <= SESSIONS as usize);
    }

    /// A request on the control queue whose numbers are small, as good ones are.
    fn control(&mut self, story: &mut Story<'_>) {
        let opcodes = ControlOpcode::ALL;
        let choice = usize::from(story.byte());
        // Ciphers more often than others: most requests are for one.
        let opcode = opcodes.get(choice).copied();
        let opcode = opcode.unwrap_or([opcodes[0], opcodes[choice % opcodes.len()]][choice & 1]);
        let mut header = ControlHeader::new_zeroed();
        header.opcode = (opcode as u32).into();
        for word in header.fixed.chunks_mut(4) {
            word[0] = story.byte() % 48;
        }
        // Where most sessions have the length of their key and their direction.
        let key_len = KEYS[usize::from(story.byte()) % KEYS.len()];
        if story.byte() & 7 != 0 {
            // Ciphers and hashes that there are have low numbers.
            header.fixed[0] = 1 + header.fixed[0] % 4;
            header.fixed[4] = key_len;
            header.fixed[8] = 1 + header.fixed[8] % 2;
            header.fixed[48] = 1 + header.fixed[48] % 8 / 7;
        }
        let len = usize::from(story.byte());
        let keys = story.run(len).to_vec();
        let mut request = [header.as_bytes(), &keys].concat();
        request.resize(request.len() + usize::from(key_len), 7);
        let answer = self.device.control(&request, 16);
        let is_opened = answer.len() == 16 && answer[8] == CryptoStatus::Ok as u8;
        self.reached += u64::from(is_opened);
    }

    fn message(&mut self, story: &mut Story<'_>) {
        let mut message = [0; SESSION_MESSAGE_LEN];
        message[0] = [2, 2, 4, story.byte()][usize::from(story.byte() & 3)];
        message[1] = if message[0] == 4 { 4 } else { 0 };
        for at in (8..40).step_by(4) {
            message[at] = story.byte() % 33;
        }
        message[32..36].copy_from_slice(&story.take::<4>().map(|byte| byte % 4));
        let at = 36 + usize::from(story.half()) % 900;
        let len = usize::from(story.byte() & 127);
        let run = story.run(len);
        message[at..at + run.len()].copy_from_slice(run);
        self.reached += u64::from(self.device.open(&message).is_ok());
    }

    fn submit(&mut self, story: &mut Story<'_>) {
        let opcodes = CryptoOpcode::ALL;
        let opcode = opcodes[usize::from(story.byte()) % opcodes.len()];
        let mut header = DataHeader::new_zeroed();
        header.opcode = (opcode as u32).into();
        header.session = (u64::from(story.byte()) % 16).into();
        let is_wild = story.byte() & 7 == 0;
        for word in header.fixed.chunks_mut(4) {
            if is_wild {
                word.copy_from_slice(&story.take::<4>());
            } else {
                word[0] = story.byte() & 0x30;
            }
        }
        header.fixed[40] = 1 + story.byte() % 2;
        let len = usize::from(story.byte());
        let body = story.run(len).to_vec();
        let mut request = [header.as_bytes(), &body].concat();
        let cut = usize::from(story.byte());
        let whole = if cut < 16 {
            4 * cut
        } else {
            request.len() + 200
        };
        request.resize(whole, 0);
        let token = self.tokens;
        self.tokens += 1;
        self.waiting.insert(token);
        let room = usize::from(story.byte());
        let request = Zeroizing::new(request);
        self.device.submit(self.now, token, request, room);
        self.now += Span::from_ns(1);
    }

    fn finish(&mut self) {
        while let Some(finished) = self.device.finish(self.now) {
            assert!(self.waiting.remove(&finished.token), "a request ends twice");
            let is_well = finished.status == CryptoStatus::Ok;
            assert!(is_well || finished.output.is_empty());
            assert!(
                finished.output.len() <= usize::from(u8::MAX),
                "beyond the room"
            );
            self.reached += u64::from(is_well);
        }
    }
}
