//! The card as a PCI Express function: capabilities, BARs, MSI-X, power, errors.

use device_model::pci::{
    BarAccess, BusError, ConfigAccess, ErrorCause, ErrorMessage, PacketHeader, Width,
};
use device_model::{CardEvent, FaultKind};
use regs::pci::{
    ConfigRegister, MSIX_BAR, MSIX_BAR_LEN, MSIX_PENDING, MSIX_VECTOR_CONTROL, NOBODY, PAGES,
    REGISTER_BAR, RETRY_VENDOR, aer, express, header, msix, power,
};
use regs::{BAR0_LEN, DEVICE_ID, FunctionId, Register, RingRegister, Status, Vector};
use timebase::{Span, Time};

use crate::bench::{Bench, DATA, ENABLES, encrypt, eta_block, nop};

fn at(offset: u16, width: Width) -> ConfigAccess {
    ConfigAccess {
        function: FunctionId::PHYSICAL,
        offset,
        width,
    }
}

fn dword(bench: &mut Bench, offset: u16) -> u32 {
    let at = at(offset, Width::Dword);
    bench.card.config_read(bench.now, at, &mut bench.machine)
}

/// Places the BARs as a machine's firmware does.
fn place_bars(bench: &mut Bench) {
    bench.configure(header::BAR0_LOW, 0xE000_0000);
    bench.configure(header::BAR0_HIGH, 0x12);
    bench.configure(header::BAR2_LOW, 0xF000_0000);
}

/// Lets every error be told.
fn report_errors(bench: &mut Bench) {
    bench.configure(aer::CORRECTABLE_MASK, 0);
    bench.configure(aer::UNCORRECTABLE_MASK, 0);
    let control = bench.config(express::DEVICE_CONTROL);
    bench.configure(express::DEVICE_CONTROL, control | 0xF);
}

fn messages(bench: &mut Bench) -> Vec<ErrorMessage> {
    let log = std::mem::take(&mut bench.machine.log);
    log.into_iter()
        .filter_map(|(_, event)| match event {
            CardEvent::ErrorMessage { message, .. } => Some(message),
            _ => None,
        })
        .collect()
}

#[test]
fn a_bus_driver_finds_every_capability_once() {
    let mut bench = Bench::new();
    assert!(bench.is_set(header::STATUS, header::CAPABILITIES_LIST));
    let mut next = bench.config(header::CAPABILITIES_POINTER) as u16;
    let mut found = Vec::new();
    while next != 0 {
        assert!(found.len() < 48, "the list is a circle");
        found.push(dword(&mut bench, next) & 0xFF);
        next = (dword(&mut bench, next) >> 8) as u16 & 0xFC;
    }
    assert_eq!(found, [0x01, 0x11, 0x10, 0x09]);
    let mut next = 0x100;
    let mut found = Vec::new();
    while next != 0 {
        assert!(found.len() < 1000, "the list is a circle");
        found.push(dword(&mut bench, next) & 0xFFFF);
        next = (dword(&mut bench, next) >> 20) as u16;
    }
    assert_eq!(found[..2], [0x0001, 0x0003]);
}

#[test]
fn a_bus_driver_finds_the_size_of_each_bar() {
    let mut bench = Bench::new();
    for (low, high, len) in [
        (header::BAR0_LOW, header::BAR0_HIGH, BAR0_LEN),
        (header::BAR2_LOW, header::BAR2_HIGH, MSIX_BAR_LEN),
    ] {
        bench.configure(low, u32::MAX);
        bench.configure(high, u32::MAX);
        let bits = bench.config(low);
        assert_eq!(bits & 0xF, 0b0100, "64-bit memory");
        let mask = u64::from(bench.config(high)) << 32 | u64::from(bits & !0xF);
        assert_eq!((!mask).wrapping_add(1), u64::from(len));
    }
    for offset in [0x20, 0x24, 0x30] {
        let at = at(offset, Width::Dword);
        bench
            .card
            .config_write(bench.now, at, u32::MAX, &mut bench.machine);
        assert_eq!(dword(&mut bench, offset), 0, "no such BAR");
    }
}

#[test]
fn a_bus_address_leads_to_the_bar_that_has_it() {
    let mut bench = Bench::new();
    place_bars(&mut bench);
    let claim = |bench: &Bench, addr| bench.card.claim(addr);
    let register = BarAccess::physical(REGISTER_BAR, 0x1_0008);
    assert_eq!(claim(&bench, 0x12_E001_0008), Some(register));
    let pending = BarAccess::physical(MSIX_BAR, MSIX_PENDING);
    assert_eq!(claim(&bench, 0xF000_1000), Some(pending));
    assert_eq!(claim(&bench, 0xF000_2000), None);
    assert_eq!(claim(&bench, 0x12_DFFF_FFFC), None);
    bench.configure(header::COMMAND, header::BUS_MASTER.mask());
    assert_eq!(claim(&bench, 0xF000_1000), None, "no memory space");
}

#[test]
fn accesses_of_every_width_agree_and_others_read_as_ones() {
    let mut bench = Bench::new();
    let mut read = |offset, width| {
        let at = at(offset, width);
        bench.card.config_read(bench.now, at, &mut bench.machine)
    };
    for offset in (0..4096).step_by(4) {
        let whole = read(offset, Width::Dword);
        let words = [0, 2].map(|by| read(offset + by, Width::Word));
        let bytes = [0, 1, 2, 3].map(|by| read(offset + by, Width::Byte) as u8);
        assert_eq!(words[0] | words[1] << 16, whole);
        assert_eq!(u32::from_le_bytes(bytes), whole);
    }
    for (offset, width) in [
        (1, Width::Word),
        (2, Width::Dword),
        (4096, Width::Byte),
        (u16::MAX, Width::Byte),
        (4095, Width::Word),
    ] {
        assert_eq!(read(offset, width), width.mask(), "{offset} {width:?}");
    }
    let elsewhere = ConfigAccess {
        function: FunctionId(9),
        ..at(0, Width::Dword)
    };
    let read = bench
        .card
        .config_read(bench.now, elsewhere, &mut bench.machine);
    assert_eq!(read, NOBODY, "no such function");
}

#[test]
fn a_register_access_that_is_no_aligned_dword_is_aborted() {
    let mut bench = Bench::new();
    report_errors(&mut bench);
    messages(&mut bench);
    let narrow = BarAccess {
        width: Width::Word,
        ..BarAccess::physical(REGISTER_BAR, 0)
    };
    let read = bench.card.bar_read(bench.now, narrow, &mut bench.machine);
    assert_eq!(read, 0xFFFF);
    assert_eq!(bench.read(2), NOBODY);
    assert!(bench.is_set(aer::UNCORRECTABLE_STATUS, aer::COMPLETER_ABORT));
    assert!(bench.is_set(header::STATUS, header::SIGNALED_TARGET_ABORT));
    assert_eq!(messages(&mut bench), [ErrorMessage::Correctable; 2]);
    bench.write(Register::InterruptMask.offset() + 1, 5);
    assert_eq!(bench.read(Register::InterruptMask.offset()), 0);
    assert_eq!(messages(&mut bench), [ErrorMessage::NonFatal]);
}

#[test]
fn what_nobody_serves_is_an_unsupported_request_with_its_header() {
    let mut bench = Bench::new();
    place_bars(&mut bench);
    report_errors(&mut bench);
    messages(&mut bench);
    bench.configure(header::COMMAND, header::BUS_MASTER.mask());
    bench.write(Register::Control.offset(), 1);
    assert_eq!(messages(&mut bench), [ErrorMessage::NonFatal]);
    assert!(bench.is_set(aer::UNCORRECTABLE_STATUS, aer::UNSUPPORTED_REQUEST));
    assert!(bench.is_set(
        express::DEVICE_STATUS,
        express::UNSUPPORTED_REQUEST_DETECTED
    ));
    assert!(bench.is_set(express::DEVICE_STATUS, express::NON_FATAL_DETECTED));
    let log = [
        aer::HEADER_LOG_0,
        aer::HEADER_LOG_1,
        aer::HEADER_LOG_2,
        aer::HEADER_LOG_3,
    ];
    let logged = log.map(|register| bench.config(register));
    let expected = PacketHeader::of_request(true, 0x12_E000_0010, 0xF);
    assert_eq!(logged, expected.0);
    assert_eq!(bench.read(0), NOBODY);
    assert_eq!(messages(&mut bench), [ErrorMessage::Correctable]);
    bench.configure(aer::UNCORRECTABLE_STATUS, u32::MAX);
    assert_eq!(bench.config(aer::UNCORRECTABLE_STATUS), 0);
}

#[test]
fn a_failed_read_is_told_as_what_it_is() {
    for (kind, status, error, told) in [
        (
            FaultKind::Refused,
            header::RECEIVED_MASTER_ABORT,
            None,
            None,
        ),
        (
            FaultKind::Aborted,
            header::RECEIVED_TARGET_ABORT,
            None,
            None,
        ),
        (
            FaultKind::Poisoned,
            header::DETECTED_PARITY_ERROR,
            Some(aer::POISONED),
            Some(ErrorMessage::Correctable),
        ),
        (
            FaultKind::Unanswered,
            header::CAPABILITIES_LIST,
            Some(aer::COMPLETION_TIMEOUT),
            Some(ErrorMessage::NonFatal),
        ),
    ] {
        let mut bench = Bench::with_null_session(8);
        bench.machine.in_place = false;
        report_errors(&mut bench);
        messages(&mut bench);
        bench.machine.fault_kind = kind;
        bench.machine.no_read = DATA..DATA + 64;
        let ended = bench.status(1, encrypt(DATA, 64));
        assert_eq!(ended, Status::ReadFault, "{kind:?}");
        assert!(bench.is_set(header::STATUS, status), "{kind:?}");
        let seen = bench.config(aer::UNCORRECTABLE_STATUS);
        assert_eq!(seen, error.map_or(0, |field| field.mask()), "{kind:?}");
        assert_eq!(messages(&mut bench).first().copied(), told, "{kind:?}");
    }
}

#[test]
fn a_refused_write_is_posted_and_leaves_no_trace_in_configuration_space() {
    let mut bench = Bench::with_null_session(8);
    bench.machine.in_place = false;
    bench.machine.no_write = DATA..DATA + 64;
    let status = bench.config(header::STATUS);
    assert_eq!(bench.status(1, encrypt(DATA, 64)), Status::WriteFault);
    assert_eq!(bench.config(header::STATUS), status);
    assert_eq!(bench.config(aer::UNCORRECTABLE_STATUS), 0);
}

#[test]
fn the_link_can_report_any_error() {
    for cause in ErrorCause::ALL {
        let mut bench = Bench::new();
        report_errors(&mut bench);
        let error = BusError {
            cause,
            header: PacketHeader::default(),
            is_advisory: false,
        };
        messages(&mut bench);
        let physical = FunctionId::PHYSICAL;
        bench
            .card
            .bus_error(bench.now, physical, error, &mut bench.machine);
        assert_eq!(messages(&mut bench).len(), 1, "{cause:?}");
    }
}

#[test]
fn a_masked_vector_waits_in_the_pending_bits() {
    let mut bench = Bench::with_null_session(8);
    bench.machine.interrupts.clear();
    bench.set_vector(1, MSIX_VECTOR_CONTROL, 1);
    bench.submit(1, encrypt(DATA, 64));
    bench.settle();
    assert_eq!(bench.machine.interrupts, []);
    let pending = BarAccess::physical(MSIX_BAR, MSIX_PENDING);
    let read = |bench: &mut Bench| bench.card.bar_read(bench.now, pending, &mut bench.machine);
    assert_eq!(read(&mut bench), 0b10);
    bench.set_vector(1, MSIX_VECTOR_CONTROL, 0);
    let delay = bench.card.profile().interrupt_delay;
    assert_eq!(bench.machine.interrupts, [(bench.now + delay, Vector(1))]);
    assert_eq!(read(&mut bench), 0);
}

#[test]
fn the_function_mask_and_lost_bus_mastering_hold_messages_back() {
    for (register, closed, open) in [
        (
            msix::MSIX_CONTROL,
            msix::ENABLE.mask() | msix::FUNCTION_MASK.mask(),
            msix::ENABLE.mask(),
        ),
        (header::COMMAND, header::MEMORY_SPACE.mask(), ENABLES),
    ] {
        let mut bench = Bench::with_null_session(8);
        bench.submit(1, encrypt(DATA, 64));
        bench.settle();
        bench.reap(1);
        bench.machine.interrupts.clear();
        bench.configure(register, closed);
        // A ring that fails tells of it on the admin ring's vector.
        bench.write_ring(2, RingRegister::RingControl, 1);
        assert_eq!(bench.machine.interrupts, []);
        bench.configure(register, open);
        assert_eq!(bench.machine.interrupts.len(), 1);
        assert_eq!(bench.machine.interrupts[0].1, Vector(0));
    }
}

#[test]
fn without_message_interrupts_causes_assert_the_line() {
    let mut bench = Bench::with_null_session(8);
    bench.configure(msix::MSIX_CONTROL, 0);
    bench.write(Register::InterruptStatus.offset(), u32::MAX);
    bench.machine.interrupts.clear();
    bench.machine.intx.clear();
    bench.submit(1, encrypt(DATA, 64));
    bench.settle();
    let levels = |bench: &Bench| -> Vec<bool> {
        bench.machine.intx.iter().map(|&(_, level)| level).collect()
    };
    assert_eq!(levels(&bench), [true]);
    assert!(bench.is_set(header::STATUS, header::INTX_STATUS));
    bench.configure(header::COMMAND, ENABLES | header::INTX_DISABLE.mask());
    assert_eq!(levels(&bench), [true, false]);
    assert!(bench.is_set(header::STATUS, header::INTX_STATUS));
    bench.configure(header::COMMAND, ENABLES);
    bench.write(Register::InterruptMask.offset(), u32::MAX);
    assert_eq!(levels(&bench), [true, false, true, false]);
    bench.write(Register::InterruptMask.offset(), 0);
    bench.write(Register::InterruptStatus.offset(), u32::MAX);
    assert_eq!(levels(&bench), [true, false, true, false, true, false]);
    assert!(!bench.is_set(header::STATUS, header::INTX_STATUS));
    assert_eq!(bench.machine.interrupts, []);
}

#[test]
fn a_sleeping_function_answers_in_configuration_space_alone() {
    let mut bench = Bench::with_null_session(8);
    assert_eq!(bench.create(1, &eta_block()), Status::Success);
    bench.submit(1, encrypt(DATA, 64));
    bench.configure(power::POWER_CONTROL, 2);
    assert_eq!(bench.config(power::POWER_CONTROL), 0, "no D2");
    bench.configure(power::POWER_CONTROL, 3);
    assert_eq!(bench.key_bytes_on_the_card(), 0);
    assert_eq!(bench.config(header::VENDOR_ID), 0x1DE5);
    assert_eq!(bench.config(header::COMMAND), ENABLES, "still there");
    assert_eq!(bench.read(0), NOBODY);
    assert!(bench.is_set(aer::CORRECTABLE_STATUS, aer::ADVISORY_NON_FATAL));
    let events = bench.machine.log.len();
    bench.wait(Span::from_ms(1));
    assert_eq!(bench.machine.log.len(), events, "nothing moves");
    bench.configure(power::POWER_CONTROL, 0);
    assert_eq!(bench.config(header::VENDOR_ID), RETRY_VENDOR.into());
    bench.settle();
    assert_eq!(bench.config(power::POWER_CONTROL), 0);
    assert_eq!(bench.config(header::COMMAND), 0, "uninitialised");
    bench.plug_in();
    assert_eq!(bench.read(0), DEVICE_ID);
}

#[test]
fn a_function_level_reset_takes_a_bounded_time_and_retries_meanwhile() {
    let mut profile = crate::bench::profile();
    profile.reset_time = Span::from_ms(5_000);
    let mut bench = Bench::with(profile);
    bench.open(0, 8);
    assert_eq!(bench.create(1, &eta_block()), Status::Success);
    bench.configure(express::DEVICE_CONTROL, express::INITIATE_FLR.mask());
    assert_eq!(bench.key_bytes_on_the_card(), 0);
    assert_eq!(dword(&mut bench, 0), 0xFFFF_0001);
    assert_eq!(bench.config(header::VENDOR_ID), RETRY_VENDOR.into());
    assert_eq!(dword(&mut bench, 0x34), NOBODY);
    assert_eq!(bench.read(0), NOBODY);
    bench.configure(header::COMMAND, ENABLES);
    let until = bench.card.deadline();
    assert_eq!(
        until,
        bench.now + Span::from_ms(100),
        "and not five seconds"
    );
    bench.now = Time::from_ps(until.as_ps() - 1);
    assert_eq!(dword(&mut bench, 0), 0xFFFF_0001);
    bench.now = until;
    assert_eq!(bench.config(header::VENDOR_ID), 0x1DE5);
    assert_eq!(bench.config(header::COMMAND), 0, "the write was dropped");
    bench.plug_in();
    assert_eq!(bench.read(0), DEVICE_ID);
}

#[test]
fn reads_under_way_are_pending_transactions() {
    let mut bench = Bench::with_null_session(8);
    let status = express::DEVICE_STATUS;
    assert!(!bench.is_set(status, express::TRANSACTIONS_PENDING));
    bench.submit(1, encrypt(DATA, 64));
    assert!(bench.is_set(status, express::TRANSACTIONS_PENDING));
    bench.settle();
    assert!(!bench.is_set(status, express::TRANSACTIONS_PENDING));
}

#[test]
fn small_packets_and_small_reads_take_longer() {
    let time = |sizes: u32| {
        let mut bench = Bench::with_null_session(8);
        let control = bench.config(express::DEVICE_CONTROL);
        let all = express::MAX_PAYLOAD.mask() | express::MAX_READ_REQUEST.mask();
        bench.configure(express::DEVICE_CONTROL, control & !all | sizes);
        let began = bench.now;
        bench.run(1, encrypt(DATA, 0x8000));
        bench.now - began
    };
    let sizes =
        |payload, read| express::MAX_PAYLOAD.bits(payload) | express::MAX_READ_REQUEST.bits(read);
    assert!(
        time(sizes(0, 5)) > time(sizes(1, 5)),
        "packets of 128 bytes"
    );
    assert!(time(sizes(1, 0)) > time(sizes(1, 5)), "reads of 128 bytes");
    assert_eq!(time(sizes(2, 5)), time(sizes(1, 5)), "no more than it can");
}

#[test]
fn a_write_changes_no_bit_that_is_not_declared() {
    let mut bench = Bench::new();
    let declared = |register: ConfigRegister| {
        register
            .fields
            .iter()
            .fold(0, |mask, field| mask | field.mask())
    };
    for register in PAGES.iter().flat_map(|page| page.registers) {
        let before = bench.config(*register);
        bench.configure(*register, u32::MAX);
        bench.settle();
        let changed = bench.config(*register) ^ before;
        assert_eq!(changed & !declared(*register), 0, "{}", register.name);
    }
    // It still works after all that.
    bench.configure(power::POWER_CONTROL, 0);
    bench.settle();
    bench.plug_in();
    bench.open(0, 8);
    assert_eq!(bench.status(0, nop()), Status::Success);
}
