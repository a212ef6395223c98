//! Any accesses at all to configuration space and BARs: what must hold whatever happens.

use device_model::pci::{BarAccess, ConfigAccess, Width};
use proptest::collection::vec;
use proptest::prelude::*;
use regs::FunctionId;
use regs::pci::{CONFIG_LEN, ConfigRegister, FieldAccess, PAGES, header, msix, power, sriov};
use timebase::Span;

use crate::bench::Bench;

const WIDTHS: [Width; 3] = [Width::Byte, Width::Word, Width::Dword];
/// Longest reset that configuration space takes part in.
const RESET: Span = Span::from_ms(100);

#[derive(Clone, Debug)]
enum Step {
    Config(ConfigAccess, u32),
    Bar(BarAccess, u32),
    Wait(u32),
    HotReset,
}

fn width() -> impl Strategy<Value = Width> {
    (0..3usize).prop_map(|index| WIDTHS[index])
}

fn function() -> impl Strategy<Value = FunctionId> {
    prop_oneof![4 => Just(0u16), 2 => 0..6u16, 1 => any::<u16>()].prop_map(FunctionId)
}

/// Offsets of registers, of their neighbourhood, and of anything.
fn config_offset() -> impl Strategy<Value = u16> {
    let registers: Vec<u16> = registers().map(|register| register.offset).collect();
    let near = (0..registers.len(), 0..4u16).prop_map(move |(at, by)| registers[at] + by);
    prop_oneof![6 => near, 2 => 0..0x200u16, 1 => any::<u16>()]
}

fn value() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(0),
        Just(u32::MAX),
        0..16u32,
        (0..32u32).prop_map(|bit| 1 << bit),
        any::<u32>()
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let config = (function(), config_offset(), width(), value());
    let bar = (
        function(),
        (0..6u8, prop_oneof![0..0x100u32, 0..0x2_1000u32]),
        width(),
        value(),
    );
    prop_oneof![
        8 => config.prop_map(|(function, offset, width, value)| {
            Step::Config(ConfigAccess { function, offset, width }, value)
        }),
        3 => bar.prop_map(|(function, (bar, offset), width, value)| {
            Step::Bar(BarAccess { function, bar, offset, width }, value)
        }),
        2 => any::<u32>().prop_map(Step::Wait),
        1 => Just(Step::HotReset),
    ]
}

fn registers() -> impl Iterator<Item = &'static ConfigRegister> {
    PAGES.iter().flat_map(|page| page.registers)
}

fn take(bench: &mut Bench, step: Step) {
    match step {
        Step::Config(at, value) => {
            bench
                .card
                .config_write(bench.now, at, value, &mut bench.machine);
            let read = bench.card.config_read(bench.now, at, &mut bench.machine);
            assert!(read <= at.width.mask());
        }
        Step::Bar(at, value) => {
            bench
                .card
                .bar_write(bench.now, at, value, &mut bench.machine);
            bench.card.bar_read(bench.now, at, &mut bench.machine);
        }
        Step::Wait(ps) => bench.wait(Span::from_ps(ps.into())),
        Step::HotReset => bench.card.hot_reset(bench.now, &mut bench.machine),
    }
}

/// Bits of a register that software may change, or the card by itself.
fn changing(register: &ConfigRegister) -> u32 {
    let fields = register.fields.iter();
    fields
        .filter(|field| field.access != FieldAccess::ReadOnly)
        .fold(0, |mask, field| mask | field.mask())
}

proptest! {
    #[test]
    fn read_only_bits_never_change(steps in vec(step(), 1..60)) {
        let mut bench = Bench::new();
        let before: Vec<u32> = registers().map(|register| bench.config(*register)).collect();
        for step in steps {
            take(&mut bench, step);
        }
        bench.wait(RESET);
        for (register, before) in registers().zip(before) {
            let changed = bench.config(*register) ^ before;
            prop_assert_eq!(changed & !changing(register), 0, "{}", register.name);
        }
    }

    #[test]
    fn whatever_happens_the_sizes_of_bars_can_be_found(steps in vec(step(), 1..60)) {
        let mut bench = Bench::new();
        for step in steps {
            take(&mut bench, step);
        }
        bench.wait(RESET);
        bench.configure(sriov::SRIOV_CONTROL, 0);
        bench.configure(sriov::SYSTEM_PAGE_SIZE, 1);
        for (low, address) in [
            (header::BAR0_LOW, header::BAR0_ADDRESS),
            (header::BAR2_LOW, header::BAR2_ADDRESS),
            (sriov::VF_BAR0_LOW, sriov::VF_BAR0_ADDRESS),
            (sriov::VF_BAR2_LOW, sriov::VF_BAR2_ADDRESS),
        ] {
            bench.configure(low, u32::MAX);
            prop_assert_eq!(bench.config(low), address.mask() | 0b0100, "{}", low.name);
            bench.configure(low, 0);
            prop_assert_eq!(bench.config(low), 0b0100);
        }
    }

    #[test]
    fn a_one_clears_what_a_zero_leaves(
        steps in vec(step(), 1..60),
        ones in any::<u32>(),
    ) {
        let mut bench = Bench::new();
        for step in steps {
            take(&mut bench, step);
        }
        bench.wait(RESET);
        bench.configure(msix::MSIX_CONTROL, 0);
        let clearing = |access| {
            matches!(
                access,
                FieldAccess::WriteOneToClear | FieldAccess::StickyWriteOneToClear
            )
        };
        for register in registers() {
            let fields = register.fields.iter().filter(|field| clearing(field.access));
            let mask = fields.fold(0, |mask, field| mask | field.mask());
            let before = bench.config(*register);
            if mask == 0 {
                continue;
            }
            bench.configure(*register, ones);
            let after = bench.config(*register);
            prop_assert_eq!(after & mask, before & !ones & mask, "{}", register.name);
        }
    }

    #[test]
    fn a_card_after_any_of_it_comes_to_rest_and_can_be_used(steps in vec(step(), 1..60)) {
        let mut bench = Bench::new();
        for step in steps {
            take(&mut bench, step);
            prop_assert!(bench.card.next_internal() > bench.now);
        }
        bench.settle();
        bench.configure(power::POWER_CONTROL, 0);
        bench.settle();
        bench.card.hot_reset(bench.now, &mut bench.machine);
        bench.settle();
        bench.plug_in();
        bench.open(0, 8);
        let status = bench.status(0, crate::bench::nop());
        prop_assert_eq!(status, regs::Status::Success);
    }
}

#[test]
fn every_byte_of_configuration_space_answers() {
    let mut bench = Bench::new();
    for offset in 0..CONFIG_LEN as u16 {
        let at = ConfigAccess {
            function: FunctionId::PHYSICAL,
            offset,
            width: Width::Byte,
        };
        let read = bench.card.config_read(bench.now, at, &mut bench.machine);
        assert!(read <= 0xFF, "{offset:#x}");
    }
}
