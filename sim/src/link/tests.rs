//! What a driver does at its end is shown to the checkers, whether a card is there or not.

use super::*;
use crate::checker::Checkers;
use crate::recorder::Level;
use device_model::Profile;
use dma::Pool;
use driver::{DriverEvent, Transport};
use regs::Register;

/// A card in a slot, with a driver's end of the link.
struct Bench {
    recorder: Rc<RefCell<Recorder>>,
    alive: Rc<Cell<bool>>,
    transport: LinkTransport,
}

impl Bench {
    fn new() -> Self {
        let recorder = Recorder::new(Level::Check, Checkers::default());
        let recorder = Rc::new(RefCell::new(recorder));
        let delays = Delays::new((Span::ZERO, Span::ZERO), Span::ZERO, 0);
        let clock = Rc::new(Cell::new(Time::ZERO));
        let mut port = Port::new(0, clock, Rc::clone(&recorder), delays);
        port.plug(Card::new(Profile::reference()).unwrap());
        let alive = Rc::new(Cell::new(true));
        let pool = Pool::new(1 << 16).unwrap();
        let transport = LinkTransport::new(Rc::new(RefCell::new(port)), pool, Rc::clone(&alive));
        Self {
            recorder,
            alive,
            transport,
        }
    }

    fn violations(&self) -> u64 {
        let mut recorder = self.recorder.borrow_mut();
        recorder.checkers().registers.findings.violations()
    }
}

#[test]
fn a_driver_that_misuses_a_register_is_seen_at_its_end_of_the_link() {
    let mut bench = Bench::new();
    bench.transport.read(Register::DeviceStatus.offset());
    assert_eq!(bench.violations(), 0);
    bench.transport.write(Register::DeviceStatus.offset(), 1);
    assert_eq!(bench.violations(), 1);
}

#[test]
fn a_driver_that_goes_on_after_it_found_its_card_gone_is_seen() {
    let mut bench = Bench::new();
    bench.alive.set(false);
    let gone = bench.transport.read(Register::DeviceStatus.offset());
    bench.transport.write(Register::Control.offset(), 0);
    assert_eq!((gone, bench.violations()), (u32::MAX, 0), "it did not know");
    bench.transport.observe(DriverEvent::Lost);
    bench.transport.read(Register::DeviceStatus.offset());
    bench.transport.write(Register::Control.offset(), 0);
    assert_eq!(bench.violations(), 2);
}
