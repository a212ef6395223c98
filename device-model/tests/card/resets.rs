//! The datasheet's table of resets, row by row.

use device_model::pci::BarAccess;
use regs::pci::{
    MSIX_BAR, MSIX_DATA, MSIX_ENTRY_LEN, MSIX_PENDING, MSIX_VECTOR_CONTROL, aer, express, header,
    power,
};
use regs::{CardSession, Control, Register, RingControl, RingRegister, Status};
use timebase::Span;

use crate::bench::{Bench, DATA, ENABLES, encrypt, eta_block};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Reset {
    Ring,
    Soft,
    FunctionLevel,
    Sleep,
    Hot,
    PowerOn,
}

/// What is gone after a reset.
#[derive(Debug, PartialEq)]
struct Gone {
    command: bool,
    ring_indices: bool,
    ring_registers: bool,
    keys: bool,
    sessions: bool,
    control_page: bool,
    waiting_message: bool,
    vector_table: bool,
    configuration: bool,
    link_settings: bool,
    sticky: bool,
}

fn begin(bench: &mut Bench, reset: Reset) {
    match reset {
        Reset::Ring => {
            let control = RingControl::new().with_reset(true).into_bits();
            bench.write_ring(2, RingRegister::RingControl, control);
        }
        Reset::Soft => {
            let control = Control::new().with_reset(true).into_bits();
            bench.write(Register::Control.offset(), control);
        }
        Reset::FunctionLevel => {
            let control = bench.config(express::DEVICE_CONTROL);
            let flr = express::INITIATE_FLR.mask();
            bench.configure(express::DEVICE_CONTROL, control | flr);
        }
        Reset::Sleep => {
            bench.configure(power::POWER_CONTROL, 3);
            assert_eq!(bench.key_bytes_on_the_card(), 0, "on the way down");
            bench.configure(power::POWER_CONTROL, 0);
        }
        Reset::Hot => bench.card.hot_reset(bench.now, &mut bench.machine),
        Reset::PowerOn => bench.card.pull_out(),
    }
}

/// A card on which everything that a reset could clear is set.
fn prepared() -> Bench {
    let mut bench = Bench::with_null_session(8);
    bench.open(2, 8);
    assert_eq!(bench.create(1, &eta_block()), Status::Success);
    bench.configure(header::INTERRUPT_LINE, 9);
    bench.configure(express::LINK_CONTROL, express::COMMON_CLOCK.mask());
    bench.configure(aer::UNCORRECTABLE_MASK, 0x1000);
    bench.set_vector(2, MSIX_DATA, 0x77);
    bench.set_vector(1, MSIX_VECTOR_CONTROL, 1);
    bench.submit(1, encrypt(DATA, 64));
    bench.settle();
    bench.reap(1);
    bench.write_ring(2, RingRegister::CoalesceCount, 5);
    bench.write(Register::InterruptMask.offset(), 1 << 9);
    bench.submit(2, encrypt(DATA, 64));
    bench.wait(Span::from_ns(700));
    bench
}

fn gone_after(reset: Reset) -> Gone {
    let mut bench = prepared();
    begin(&mut bench, reset);
    let keys = bench.key_bytes_on_the_card() == 0;
    bench.settle();
    let command = bench.reap(2).is_empty();
    let configuration = bench.config(header::INTERRUPT_LINE) != 9;
    let link = [
        express::COMMON_CLOCK.of(bench.config(express::LINK_CONTROL)),
        express::MAX_PAYLOAD.of(bench.config(express::DEVICE_CONTROL)),
    ];
    assert_eq!(link[0], link[1], "one goes with the other");
    let sticky = bench.config(aer::UNCORRECTABLE_MASK) != 0x1000;
    bench.configure(header::COMMAND, ENABLES);
    let bar = |bench: &mut Bench, offset| {
        let at = BarAccess::physical(MSIX_BAR, offset);
        bench.card.bar_read(bench.now, at, &mut bench.machine)
    };
    Gone {
        command,
        ring_indices: bench.read_ring(2, RingRegister::CommandTail) == 0,
        ring_registers: bench.read_ring(2, RingRegister::CoalesceCount) != 5,
        keys,
        sessions: !bench.card.has_session(CardSession(0)),
        control_page: bench.read(Register::InterruptMask.offset()) == 0,
        waiting_message: bar(&mut bench, MSIX_PENDING) == 0,
        vector_table: bar(&mut bench, 2 * MSIX_ENTRY_LEN + MSIX_DATA) == 0,
        configuration,
        link_settings: link == [0, 0],
        sticky,
    }
}

#[test]
fn each_reset_clears_what_the_datasheet_says() {
    for reset in [
        Reset::Ring,
        Reset::Soft,
        Reset::FunctionLevel,
        Reset::Sleep,
        Reset::Hot,
        Reset::PowerOn,
    ] {
        let is_of_the_card = reset != Reset::Ring;
        let is_of_the_bus = is_of_the_card && reset != Reset::Soft;
        let expected = Gone {
            command: true,
            ring_indices: true,
            ring_registers: is_of_the_card,
            keys: is_of_the_card,
            sessions: is_of_the_card,
            control_page: is_of_the_card,
            waiting_message: is_of_the_card,
            vector_table: is_of_the_bus,
            configuration: is_of_the_bus,
            link_settings: matches!(reset, Reset::Hot | Reset::PowerOn),
            sticky: reset == Reset::PowerOn,
        };
        assert_eq!(gone_after(reset), expected, "{reset:?}");
    }
}

#[test]
fn whatever_was_reset_can_be_brought_up_again() {
    for reset in [
        Reset::Soft,
        Reset::FunctionLevel,
        Reset::Sleep,
        Reset::Hot,
        Reset::PowerOn,
    ] {
        let mut bench = prepared();
        begin(&mut bench, reset);
        bench.settle();
        bench.plug_in();
        bench.open(0, 8);
        bench.open(1, 8);
        let created = bench.create(0, &crate::bench::null_block());
        assert_eq!(created, Status::Success, "{reset:?}");
        assert_eq!(bench.status(1, encrypt(DATA, 64)), Status::Success);
    }
}
