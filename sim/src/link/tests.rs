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

/// A write of the card to memory under way: what a look at memory gives after each of three things
/// that may happen, and when the interrupt behind it comes.
#[test]
fn a_late_write_keeps_its_order_is_pushed_by_reads_and_overtaken_by_no_interrupt() {
    use crate::rule::Rules;
    use device_model::{Host as _, pci};
    use regs::FunctionId;

    let pool = Pool::new(1 << 16).unwrap();
    let mut windows = WindowTable::default();
    let block = pool.coherent(64).unwrap();
    let addr = windows
        .share(&block, driver::Direction::Bidirectional)
        .unwrap();
    let mut recorder = Recorder::new(Level::Check, Checkers::default());
    let delays = Delays::new((Span::ZERO, Span::ZERO), Span::ZERO, 3);
    let mut delays = delays.with_memory(Span::from_us(1));
    let (mut rules, mut upstream) = (Rules::default(), Upstream::default());
    let mut interrupts = VecDeque::new();
    let mut side = CardSide {
        card: 0,
        now: Time::ZERO,
        windows: &mut windows,
        interrupts: &mut interrupts,
        delays: &mut delays,
        rules: &mut rules,
        upstream: &mut upstream,
        recorder: &mut recorder,
    };
    let own = FunctionId::PHYSICAL;
    for number in 1..=20_u8 {
        side.write(own, addr, &[number]).unwrap();
    }
    assert_eq!(block.read_array(0), [0], "nothing has arrived");
    let message = pci::Message {
        function: own,
        addr: MESSAGES,
        data: 1,
    };
    side.interrupt(Time::ZERO, message);
    let last = side.upstream.last();
    assert_eq!(side.interrupts.front().map(|it| it.0), Some(last));
    assert!(last > Time::ZERO);
    // They arrive one after the other, the last one last.
    let mut seen = Vec::new();
    while let Some(late) = side.upstream.arrived(last) {
        side.land(&late);
        seen.extend(block.read_array::<1>(0));
    }
    assert!(seen.iter().copied().eq(1..=20), "{seen:?}");
    // What the card reads it finds as it wrote it.
    side.write(own, addr, &[99]).unwrap();
    let mut byte = [0];
    side.read(own, addr, &mut byte).unwrap();
    assert_eq!(byte, [99]);
    // An address that is none is known at once.
    assert!(side.write(own, addr.offset(60), &[0; 5]).is_err());
    assert_eq!(side.upstream.deadline(), Time::NEVER);
}
