//! Sessions that move between cards, and the keys that wrap them.

use aes_kw::KwAes256;
use aes_kw::cipher::KeyInit;
use device_model::{Card, Latch, Provisioning};
use regs::{
    Argument, ArgumentFlags, BLOB_LEN, BLOB_VERSION, BlobHeader, CardSession, Command, Control,
    DeviceAddr, KEK_SLOTS, KekOffer, Opcode, Register, Status, WRAPPED_KEK_LEN,
};

use crate::bench::{Bench, DATA, create, destroy, encrypt, eta_block, profile};

const ROOT: [u8; 32] = [0x6B; 32];
const KEK: [u8; 32] = [0x4E; 32];
const OWNER: u64 = 0x0123_4567_89AB_CDEF;
const IN: u64 = DATA + 0x1_0000;
const OUT: u64 = DATA + 0x2_0000;
/// Bytes of keys of [`eta_block`].
const KEYS: usize = 36;

/// A bench with a card of this number and root key, its rings open.
fn bench(serial: u64, root_key: Option<[u8; 32]>) -> Bench {
    let provisioning = Provisioning {
        serial,
        root_key,
        entropy_seed: [serial as u8; 32],
    };
    let mut bench = Bench::around(Card::provisioned(profile(), &provisioning).unwrap());
    bench.open(0, 8);
    bench.open(1, 8);
    bench
}

/// Two cards of one fleet; the first has session 3.
fn pair() -> (Bench, Bench) {
    let mut cards = (bench(1, Some(ROOT)), bench(2, Some(ROOT)));
    let bytes = &mut [0; regs::SESSION_BLOCK_LEN];
    eta_block().write_to(bytes);
    cards.0.put(DATA, bytes);
    let argument = Argument {
        owner: OWNER,
        ..Argument::default()
    };
    let command = Command {
        iv: argument.to_bytes(),
        ..create(3)
    };
    assert_eq!(cards.0.status(0, command), Status::Success);
    cards.0.put(DATA, &[0; regs::SESSION_BLOCK_LEN]);
    cards
}

fn service(opcode: Opcode, source_len: usize, destination_len: usize) -> Command {
    Command {
        opcode: opcode as u8,
        source: DeviceAddr(IN),
        source_len: source_len as u32,
        destination: DeviceAddr(OUT),
        destination_len: destination_len as u32,
        ..Command::default()
    }
}

fn on_slot(kek: u8, command: Command) -> Command {
    let argument = Argument {
        kek,
        ..Argument::default()
    };
    Command {
        iv: argument.to_bytes(),
        ..command
    }
}

fn offer(bench: &mut Bench, slot: u8) -> Result<Vec<u8>, Status> {
    let command = on_slot(slot, service(Opcode::KekOffer, 0, KekOffer::LEN));
    match bench.status(0, command) {
        Status::Success => Ok(bench.get(OUT, KekOffer::LEN).to_vec()),
        status => Err(status),
    }
}

fn accept(bench: &mut Bench, slot: u8, offer: &[u8]) -> Status {
    bench.put(IN, offer);
    bench.status(
        0,
        on_slot(slot, service(Opcode::KekAccept, KekOffer::LEN, 0)),
    )
}

/// Lets both agree on a KEK, each in a slot of its own.
fn agree(first: (&mut Bench, u8), second: (&mut Bench, u8)) {
    let one = offer(first.0, first.1).unwrap();
    let other = offer(second.0, second.1).unwrap();
    assert_eq!(accept(first.0, first.1, &other), Status::Success);
    assert_eq!(accept(second.0, second.1, &one), Status::Success);
}

fn load(bench: &mut Bench, slot: u8, root: &[u8; 32], kek: &[u8; 32]) -> Status {
    let mut wrapped = [0; WRAPPED_KEK_LEN];
    KwAes256::new(root.into())
        .wrap_key(kek, &mut wrapped)
        .unwrap();
    bench.put(IN, &wrapped);
    bench.status(
        0,
        on_slot(slot, service(Opcode::KekLoad, WRAPPED_KEK_LEN, 0)),
    )
}

fn destroy_kek(bench: &mut Bench, slot: u8) -> Status {
    bench.status(0, on_slot(slot, service(Opcode::KekDestroy, 0, 0)))
}

fn export(bench: &mut Bench, slot: u8) -> Result<Vec<u8>, Status> {
    let command = Command {
        session: CardSession(3),
        ..on_slot(slot, service(Opcode::SessionExport, 0, BLOB_LEN))
    };
    let done = bench.run(0, command);
    match Status::from_code(done.status).unwrap() {
        Status::Success => {
            assert_eq!(done.output_len, BLOB_LEN as u32);
            Ok(bench.get(OUT, BLOB_LEN).to_vec())
        }
        status => Err(status),
    }
}

fn import_with(bench: &mut Bench, session: u32, argument: Argument, blob: &[u8]) -> Status {
    bench.put(IN, blob);
    let command = Command {
        session: CardSession(session),
        iv: argument.to_bytes(),
        ..service(Opcode::SessionImport, blob.len(), 0)
    };
    bench.status(0, command)
}

fn import(bench: &mut Bench, session: u32, slot: u8, blob: &[u8]) -> Status {
    let argument = Argument {
        kek: slot,
        owner: OWNER,
        ..Argument::default()
    };
    import_with(bench, session, argument, blob)
}

/// What a session makes of a piece of data.
fn sealed(bench: &mut Bench, session: u32) -> Vec<u8> {
    bench.put(DATA, &[7; 64]);
    let command = Command {
        session: CardSession(session),
        destination_len: 64 + 16,
        ..encrypt(DATA, 64)
    };
    assert_eq!(bench.status(1, command), Status::Success);
    bench.get(DATA, 80).to_vec()
}

fn has_key_in_memory(bench: &Bench) -> bool {
    let memory = &bench.machine.memory;
    let holds = |key: &[u8]| memory.windows(key.len()).any(|bytes| bytes == key);
    holds(&[0xC1; 16]) || holds(&[0xD1; 20]) || holds(&KEK)
}

#[test]
fn a_session_goes_on_at_another_card_and_its_keys_are_never_in_the_clear() {
    let (mut here, mut there) = pair();
    agree((&mut here, 0), (&mut there, 7));
    let blob = export(&mut here, 0).unwrap();
    assert_eq!(import(&mut there, 5, 7, &blob), Status::Success);
    assert_eq!(sealed(&mut there, 5), sealed(&mut here, 3));
    assert!(!has_key_in_memory(&here) && !has_key_in_memory(&there));
    assert_eq!(here.status(0, destroy(3)), Status::Success);
    assert_eq!(destroy_kek(&mut here, 0), Status::Success);
    assert_eq!(here.key_bytes_on_the_card(), 0);
}

#[test]
fn a_blob_tells_what_it_is_and_who_made_it() {
    let (mut here, mut there) = pair();
    agree((&mut here, 0), (&mut there, 0));
    for sequence in 1..4 {
        let blob = export(&mut here, 0).unwrap();
        let header = BlobHeader::from_bytes(blob.first_chunk().unwrap());
        assert_eq!((header.version, header.exporter), (BLOB_VERSION, 1));
        assert_eq!((header.sequence, header.owner), (sequence, OWNER));
        assert_eq!(header.epoch, 0);
        let mut block = [0; regs::SESSION_BLOCK_LEN];
        eta_block().write_to(&mut block);
        assert_eq!(header.algorithm, block[..16]);
    }
}

#[test]
fn rekeys_are_counted_across_cards() {
    let (mut here, mut there) = pair();
    agree((&mut here, 0), (&mut there, 0));
    let mut block = [0; regs::SESSION_BLOCK_LEN];
    eta_block().write_to(&mut block);
    let rekey = Command {
        opcode: Opcode::SessionRekey as u8,
        ..create(3)
    };
    here.put(DATA, &block);
    assert_eq!(here.status(0, rekey), Status::Success);
    let blob = export(&mut here, 0).unwrap();
    assert_eq!(import(&mut there, 3, 0, &blob), Status::Success);
    there.put(DATA, &block);
    assert_eq!(there.status(0, rekey), Status::Success);
    let blob = export(&mut there, 0).unwrap();
    let header = BlobHeader::from_bytes(blob.first_chunk().unwrap());
    assert_eq!((header.epoch, header.owner), (2, OWNER));
}

#[test]
fn a_blob_changed_in_any_byte_is_refused() {
    let (mut here, mut there) = pair();
    agree((&mut here, 0), (&mut there, 0));
    let blob = export(&mut here, 0).unwrap();
    for at in 0..BLOB_LEN {
        let mut forged = blob.clone();
        forged[at] ^= 1;
        let status = import(&mut there, 3, 0, &forged);
        // Magic, version, exporter, length and name of the KEK are looked at before the envelope.
        let expected = match at {
            0..8 | 36..40 => Status::BadVersion,
            8..16 | 56..64 => Status::ForeignBlob,
            _ => Status::ForgedBlob,
        };
        assert_eq!(status, expected, "byte {at}");
        assert!(!there.card.has_session(CardSession(3)));
    }
    assert_eq!(import(&mut there, 3, 0, &blob), Status::Success);
}

#[test]
fn a_blob_of_another_length_is_refused() {
    let (mut here, mut there) = pair();
    agree((&mut here, 0), (&mut there, 0));
    let blob = export(&mut here, 0).unwrap();
    for len in [0, 1, BlobHeader::LEN, BLOB_LEN - 1] {
        let status = import(&mut there, 3, 0, &blob[..len]);
        assert_eq!(status, Status::BadLength, "{len} bytes");
    }
    let mut longer = blob;
    longer.push(0);
    assert_eq!(import(&mut there, 3, 0, &longer), Status::BadLength);
}

#[test]
fn a_blob_is_imported_once() {
    let (mut here, mut there) = pair();
    agree((&mut here, 0), (&mut there, 0));
    let blobs: Vec<_> = (0..3).map(|_| export(&mut here, 0).unwrap()).collect();
    for (session, at) in [2, 0, 1].into_iter().enumerate() {
        let status = import(&mut there, session as u32, 0, &blobs[at]);
        assert_eq!(status, Status::Success, "in any order");
    }
    for blob in &blobs {
        assert_eq!(import(&mut there, 9, 0, blob), Status::ReplayedBlob);
    }
    assert_eq!(import(&mut here, 9, 0, &blobs[0]), Status::ForeignBlob);
}

#[test]
fn a_refused_import_does_not_use_the_blob_up() {
    let (mut here, mut there) = pair();
    agree((&mut here, 0), (&mut there, 0));
    let blob = export(&mut here, 0).unwrap();
    assert_eq!(import(&mut there, u32::MAX, 0, &blob), Status::BadSession);
    let argument = Argument {
        owner: OWNER + 1,
        ..Argument::default()
    };
    let status = import_with(&mut there, 3, argument, &blob);
    assert_eq!(status, Status::ForeignBlob, "somebody else's session");
    assert_eq!(import(&mut there, 3, 1, &blob), Status::NoKek);
    assert_eq!(
        import(&mut there, 3, KEK_SLOTS, &blob),
        Status::BadParameters
    );
    let argument = Argument {
        reserved: 1,
        ..Argument::default()
    };
    let status = import_with(&mut there, 3, argument, &blob);
    assert_eq!(status, Status::ReservedBits);
    assert_eq!(import(&mut there, 3, 0, &blob), Status::Success);
    let blob = export(&mut here, 0).unwrap();
    assert_eq!(import(&mut there, 3, 0, &blob), Status::SessionExists);
}

#[test]
fn an_import_may_take_the_place_of_a_session_of_the_same_kind_and_owner() {
    let (mut here, mut there) = pair();
    agree((&mut here, 0), (&mut there, 0));
    let argument = Argument {
        flags: ArgumentFlags::REPLACE.bits(),
        owner: OWNER,
        ..Argument::default()
    };
    let mut block = eta_block();
    block.set_keys(&[1; 16], &[2; 20]).unwrap();
    assert_eq!(there.create(3, &block), Status::Success);
    let blob = export(&mut here, 0).unwrap();
    let status = import_with(&mut there, 3, argument, &blob);
    assert_eq!(status, Status::ForeignBlob, "the session has no owner");
    assert_eq!(
        import_with(&mut there, 4, argument, &blob),
        Status::BadSession
    );
    assert_eq!(import(&mut there, 4, 0, &blob), Status::Success);
    let blob = export(&mut here, 0).unwrap();
    assert_eq!(import_with(&mut there, 4, argument, &blob), Status::Success);
    assert_eq!(sealed(&mut there, 4), sealed(&mut here, 3));
    block.digest_len = 12;
    assert_eq!(there.create(6, &block), Status::Success);
    let blob = export(&mut here, 0).unwrap();
    let status = import_with(&mut there, 6, argument, &blob);
    assert_eq!(status, Status::BadParameters, "another kind");
}

#[test]
fn a_kek_loaded_by_both_serves_as_well() {
    let (mut here, mut there) = pair();
    assert_eq!(load(&mut here, 2, &ROOT, &KEK), Status::Success);
    assert_eq!(load(&mut there, 3, &ROOT, &KEK), Status::Success);
    let blob = export(&mut here, 2).unwrap();
    assert_eq!(import(&mut there, 3, 3, &blob), Status::Success);
    assert_eq!(sealed(&mut there, 3), sealed(&mut here, 3));
    assert!(!has_key_in_memory(&here) && !has_key_in_memory(&there));
    assert_eq!(load(&mut here, 2, &ROOT, &KEK), Status::KekExists);
    assert_eq!(load(&mut here, 4, &[9; 32], &KEK), Status::ForgedBlob);
    assert_eq!(load(&mut here, 4, &ROOT, &[5; 32]), Status::Success);
    let blob = export(&mut here, 4).unwrap();
    assert_eq!(import(&mut there, 4, 3, &blob), Status::ForeignBlob);
}

#[test]
fn a_card_without_a_root_key_exchanges_none() {
    let mut bench = bench(1, None);
    assert_eq!(load(&mut bench, 0, &ROOT, &KEK), Status::NoKek);
    assert_eq!(offer(&mut bench, 0), Err(Status::NoKek));
}

#[test]
fn offers_of_strangers_are_refused() {
    let (mut here, mut there) = pair();
    let mut stranger = bench(3, Some([1; 32]));
    let own = offer(&mut here, 0).unwrap();
    let good = offer(&mut there, 0).unwrap();
    let foreign = offer(&mut stranger, 0).unwrap();
    assert_eq!(accept(&mut here, 0, &foreign), Status::ForgedBlob);
    assert_eq!(accept(&mut here, 0, &own), Status::ForeignBlob, "a mirror");
    for at in 0..KekOffer::LEN {
        let mut forged = good.clone();
        forged[at] ^= 0x40;
        let expected = if at < 8 {
            Status::BadVersion
        } else {
            Status::ForgedBlob
        };
        assert_eq!(accept(&mut here, 0, &forged), expected, "byte {at}");
    }
    assert_eq!(
        accept(&mut here, 1, &good),
        Status::NoKek,
        "nothing offered"
    );
    assert_eq!(export(&mut here, 0), Err(Status::NoKek), "nothing agreed");
    assert_eq!(accept(&mut here, 0, &good), Status::Success);
    assert_eq!(accept(&mut here, 0, &good), Status::KekExists);
    assert_eq!(offer(&mut here, 0), Err(Status::KekExists));
    assert_eq!(offer(&mut here, KEK_SLOTS), Err(Status::BadParameters));
}

#[test]
fn every_reset_and_loss_of_power_zeroes_what_wraps() {
    for loses_power in [false, true] {
        let (mut here, mut there) = pair();
        agree((&mut here, 0), (&mut there, 0));
        offer(&mut here, 1).unwrap();
        assert!(here.key_bytes_on_the_card() > KEYS + 32);
        if loses_power {
            here.card.pull_out();
        } else {
            let reset = Control::new().with_reset(true).into_bits();
            here.write(Register::Control.offset(), reset);
        }
        assert_eq!(here.key_bytes_on_the_card(), 0);
        here.settle();
        here.plug_in();
        here.open(0, 8);
        assert_eq!(here.create(3, &eta_block()), Status::Success);
        assert_eq!(export(&mut here, 0), Err(Status::NoKek));
        assert_eq!(destroy_kek(&mut here, 0), Status::NoKek);
    }
}

#[test]
fn nothing_is_wrapped_with_noise_that_stands_still() {
    let (mut here, mut there) = pair();
    agree((&mut here, 0), (&mut there, 0));
    here.card.latch(Latch::StickEntropy);
    here.put(OUT, &[0; BLOB_LEN]);
    assert_eq!(export(&mut here, 0), Err(Status::EntropyFailure));
    assert_eq!(offer(&mut here, 1), Err(Status::EntropyFailure));
    assert_eq!(here.get(OUT, BLOB_LEN), [0; BLOB_LEN]);
    assert!(sealed(&mut here, 3).len() == 80, "payload needs no noise");
}

#[test]
fn services_belong_on_the_admin_ring() {
    let (mut here, _) = pair();
    for opcode in [
        Opcode::SessionExport,
        Opcode::SessionImport,
        Opcode::KekLoad,
        Opcode::KekOffer,
        Opcode::KekAccept,
        Opcode::KekDestroy,
    ] {
        let status = here.status(1, service(opcode, 0, 0));
        assert_eq!(status, Status::BadOpcode, "{opcode:?}");
    }
}
