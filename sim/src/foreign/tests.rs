//! The bench finds what a device or a driver does wrong, and repeats itself.

use timebase::Span;

use super::*;
use crate::rule::{Fate, Message, Rule};

/// Squares what is written to register 0 and writes it to the address in register 8.
#[derive(Default)]
struct Squarer {
    to: u64,
    work: Option<(Time, u64)>,
    /// Goes wrong: interrupts nobody, or never gets on.
    is_mute: bool,
    is_stuck: bool,
}

impl Device for Squarer {
    fn read(&mut self, at: Access, _: &mut Machine<'_>) -> u64 {
        match at.offset {
            8 => self.to,
            _ => 0x1234_5678_9ABC,
        }
    }

    fn write(&mut self, at: Access, value: u64, machine: &mut Machine<'_>) {
        match at.offset {
            0 => self.work = Some((machine.now() + Span::from_us(1), value)),
            _ => self.to = value,
        }
    }

    fn deadline(&self) -> Time {
        self.work.map_or(Time::NEVER, |(at, _)| at)
    }

    fn advance(&mut self, machine: &mut Machine<'_>) {
        if self.is_stuck {
            return;
        }
        let Some((_, number)) = self.work.take() else {
            return;
        };
        let square = (number * number).to_le_bytes();
        if machine.write(DeviceAddr(self.to), &square).is_ok() && !self.is_mute {
            machine.interrupt(5);
        }
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Has numbers squared, one after the other.
struct Asker {
    block: Option<(Coherent, DeviceAddr)>,
    device: Option<u32>,
    asked: Option<u64>,
    next: u64,
    window: Direction,
    forgets: bool,
}

const NUMBERS: u64 = 20;

impl Asker {
    fn new() -> Self {
        Self {
            block: None,
            device: None,
            asked: None,
            next: 0,
            window: Direction::FromDevice,
            forgets: false,
        }
    }

    fn ask(&mut self, bus: &mut Bus<'_>) {
        if self.next < NUMBERS {
            bus.begin(self.next, 8);
            bus.write(0, self.next as u32);
            self.asked = Some(self.next);
            self.next += 1;
        }
    }
}

impl Driver for Asker {
    fn service(&mut self, bus: &mut Bus<'_>) {
        if bus.device() != self.device {
            self.device = bus.device();
            let (_, addr) = self.block.get_or_insert_with(|| {
                let block = bus.pool().coherent(8).unwrap();
                let addr = bus.share(&block, self.window).unwrap();
                (block, addr)
            });
            bus.write_wide(Access::double(8), addr.0);
            if let Some(number) = self.asked {
                bus.write(0, number as u32);
            }
        }
        if bus.take_interrupts() == 1 << 5
            && let (Some((block, _)), Some(number)) = (&self.block, self.asked.take())
        {
            let square = u64::from_le_bytes(block.read_array(0));
            if square != number * number {
                bus.wrong(format!("{number} squared is not {square}"));
            }
            bus.end(number);
        }
        if self.asked.is_none() && bus.is_present() {
            self.ask(bus);
        }
    }

    fn deadline(&self) -> Time {
        Time::NEVER
    }

    fn left(&self) -> u64 {
        NUMBERS - self.next + u64::from(self.asked.is_some())
    }

    fn close(&mut self, bus: &mut Bus<'_>) {
        if let Some(number) = self.asked.take() {
            bus.end(number);
        }
        if let Some((_, addr)) = self.block.take()
            && !self.forgets
        {
            bus.unshare(addr);
        }
    }
}

fn us(from: u64, to: u64) -> std::ops::RangeInclusive<Span> {
    Span::from_us(from)..=Span::from_us(to)
}

#[test]
fn a_device_and_a_driver_that_are_right_pass_and_repeat_themselves() {
    let bench = Bench::new(Squarer::default, Asker::new)
        .interrupt_jitter(Span::ZERO, Span::from_us(1))
        .write_jitter(Span::from_ns(90));
    let trial = bench.run(1);
    trial.assert_passed();
    assert_eq!(trial.driver.left(), 0);
    assert!(trial.events >= 4 * NUMBERS, "{}", trial.events);
    assert_eq!(trial.digest, bench.run(1).digest);
    assert_ne!(trial.digest, bench.run(2).digest);
}

#[test]
fn a_device_may_go_and_another_one_come() {
    let bench = Bench::new(Squarer::default, Asker::new)
        .fault(us(3, 9), Fault::Unplug)
        .fault(us(12, 20), Fault::Plug);
    assert!(bench.first_failure(0..200).is_none());
    // Without another one the work is left, and that is nobody's fault.
    let bench = Bench::new(Squarer::default, Asker::new).fault(us(3, 9), Fault::Unplug);
    let trial = bench.run(0);
    trial.assert_passed();
    assert!(trial.driver.left() > 0);
}

#[track_caller]
fn assert_found<E>(trial: &Trial<E>, check: &str, part: &str) {
    let found = |it: &crate::outcome::Violation| it.check == check && it.message.contains(part);
    assert!(trial.violations.iter().any(found), "{}", trial.complaint());
    assert!(trial.complaint().starts_with("seed 0 (digest "));
}

#[test]
fn what_either_does_wrong_is_found() {
    let mute = || Squarer {
        is_mute: true,
        ..Squarer::default()
    };
    assert_found(
        &Bench::new(mute, Asker::new).run(0),
        "liveness",
        "20 requests",
    );
    let stuck = || Squarer {
        is_stuck: true,
        ..Squarer::default()
    };
    assert_found(
        &Bench::new(stuck, Asker::new).run(0),
        "liveness",
        "stands still",
    );
    let reader = || Asker {
        window: Direction::ToDevice,
        ..Asker::new()
    };
    let trial = Bench::new(Squarer::default, reader).run(0);
    assert_found(&trial, "DMA windows", "against the window's direction");
    let forgetful = || Asker {
        forgets: true,
        ..Asker::new()
    };
    let trial = Bench::new(Squarer::default, forgetful).run(0);
    assert_found(&trial, "bench", "1 DMA windows are still open");
}

#[test]
fn messages_meet_their_fate() {
    let with = |message, fate| {
        let fault = Fault::Messages(Rule::next(message, fate));
        Bench::new(Squarer::default, Asker::new)
            .fault(us(0, 0), fault)
            .run(0)
    };
    assert_found(
        &with(Message::Interrupt, Fate::Lose),
        "liveness",
        "nothing left",
    );
    assert_found(
        &with(Message::Write, Fate::Lose),
        "liveness",
        "nothing left",
    );
    assert_found(
        &with(Message::DmaWrite, Fate::Flip),
        "driver",
        "squared is not",
    );
    assert_found(
        &with(Message::DmaWrite, Fate::Refuse),
        "liveness",
        "nothing left",
    );
    assert_found(
        &with(Message::DmaRead, Fate::Refuse),
        "bench",
        "struck no dma-read",
    );
    with(Message::Write, Fate::Delay(Span::from_us(3))).assert_passed();
}

#[test]
fn registers_have_widths_and_an_empty_slot_answers_with_ones() {
    let recorder = crate::recorder::Recorder::new(crate::recorder::Level::Off, Default::default());
    let delays = crate::link::Delays::new((Span::ZERO, Span::ZERO), Span::ZERO, 0);
    let pool = Pool::new(1 << 12).unwrap();
    let mut link = link::Link::new(pool, Span::from_ns(300), delays, recorder);
    let widths = [(1, 0xFF_u64), (2, 0xFFFF), (4, 0xFFFF_FFFF), (8, u64::MAX)];
    for (len, ones) in widths {
        let at = Access { offset: 0, len };
        assert_eq!(Bus::new(&mut link).read_wide(at), ones);
    }
    link.plug(Box::new(Squarer::default()));
    let mut bus = Bus::new(&mut link);
    for (len, mask) in widths {
        let at = Access { offset: 0, len };
        assert_eq!(bus.read_wide(at), 0x1234_5678_9ABC & mask, "{len}");
        let to = Access { offset: 8, len };
        bus.write_wide(to, u64::MAX);
        assert_eq!(
            bus.read_wide(Access::double(8)),
            mask,
            "{len}: a read pushes writes"
        );
    }
    bus.reset();
    assert_eq!(bus.read_wide(Access::double(8)), 0);
}
