//! Sessions between cards: blobs out, blobs in.
//!
//! A blob is a header that all can read, and the session block in an envelope: AES-256-GCM under a
//! key of its own, which the KEK and the header make, with the header as AAD. What comes in is
//! believed once the envelope has opened, and checked like any session block even then.

use regs::{
    BLOB_LEN, BLOB_MAGIC, BLOB_TAG_LEN, BLOB_VERSION, BlobHeader, CardSession, CipherCode,
    DigestCode, SESSION_BLOCK_LEN, SessionBlock, Status,
};

use super::admin::{read_block, refusal};
use super::context::{ContextTable, Passport};
use super::kek::{Kek, Key, Vault};
use crate::engine::{Context, Job, Operation, RandomSource};

/// The parts of a blob.
struct Parts<'a> {
    header: &'a mut [u8; BlobHeader::LEN],
    block: &'a mut [u8; SESSION_BLOCK_LEN],
    tag: &'a mut [u8; BLOB_TAG_LEN],
}

fn parts(blob: &mut [u8]) -> Result<Parts<'_>, Status> {
    let blob: &mut [u8; BLOB_LEN] = blob.try_into().map_err(|_| Status::BadLength)?;
    let (header, rest) = blob.split_first_chunk_mut().ok_or(Status::BadLength)?;
    let (block, tag) = rest.split_first_chunk_mut().ok_or(Status::BadLength)?;
    let tag = tag.try_into().map_err(|_| Status::BadLength)?;
    Ok(Parts { header, block, tag })
}

/// Seals or opens an envelope in place.
fn envelope(key: &Key, operation: Operation, parts: &mut Parts<'_>) -> Result<(), Status> {
    let mut params = SessionBlock::new(CipherCode::AesGcm, DigestCode::None);
    params.digest_len = BLOB_TAG_LEN as u8;
    params.iv_len = 12;
    params
        .set_keys(&**key, &[])
        .map_err(|_| Status::BadParameters)?;
    // The key is used once, so the IV may be the same for all.
    Context::new(&params)?.process(Job {
        operation,
        iv: &[0; 16],
        aad: parts.header,
        payload: parts.block,
        esn: [0; 4],
        digest: parts.tag,
    })
}

/// Writes `session` to `blob` under the KEK in `slot`.
pub(super) fn export(
    (contexts, session): (&ContextTable, CardSession),
    (vault, slot): (&mut Vault, u8),
    (random, is_stuck): (&mut RandomSource, bool),
    blob: &mut [u8],
) -> Result<(), Status> {
    let mut parts = parts(blob)?;
    let (context, _) = contexts.get(session).ok_or(Status::BadSession)?;
    let passport = contexts.passport(session);
    let exporter = vault.serial();
    let kek = vault.kek(slot)?;
    let salt = random.draw(is_stuck)?;
    context.block().write_to(parts.block);
    let mut algorithm = [0; 16];
    algorithm.copy_from_slice(&parts.block[..16]);
    let header = BlobHeader {
        magic: BLOB_MAGIC,
        version: BLOB_VERSION,
        exporter,
        sequence: kek.next_sequence(),
        owner: passport.owner,
        epoch: passport.epoch,
        block_len: SESSION_BLOCK_LEN as u32,
        algorithm,
        kek_id: kek.id(),
        salt: *salt,
    };
    *parts.header = header.to_bytes();
    let key = kek.envelope_key(parts.header);
    envelope(&key, Operation::Seal, &mut parts)
}

/// Makes `session` of `owner` from `blob` under the KEK in `slot`, in place of one that exists if
/// it `replaces`. The envelope is opened in place; the caller zeroes it.
pub(super) fn import(
    contexts: &mut ContextTable,
    (vault, slot): (&mut Vault, u8),
    (session, owner, replaces): (CardSession, u64, bool),
    blob: &mut [u8],
) -> Result<(), Status> {
    let mut parts = parts(blob)?;
    let header = BlobHeader::from_bytes(parts.header);
    if header.magic != BLOB_MAGIC
        || header.version != BLOB_VERSION
        || header.block_len != SESSION_BLOCK_LEN as u32
    {
        return Err(Status::BadVersion);
    }
    let kek = vault.kek(slot)?;
    let block = open(kek, &header, &mut parts)?;
    if header.owner != owner {
        return Err(Status::ForeignBlob);
    }
    if !kek.is_new(header.exporter, header.sequence) {
        return Err(Status::ReplayedBlob);
    }
    let passport = Passport {
        owner: header.owner,
        epoch: header.epoch,
    };
    if replaces {
        replace(contexts, session, &block, passport)?;
    } else {
        contexts.check_free(session).map_err(refusal)?;
        let context = Context::new(&block)?;
        contexts.store(session, context).map_err(refusal)?;
    }
    contexts.set_passport(session, passport);
    kek.note_import(header.exporter, header.sequence);
    Ok(())
}

/// Opens the envelope, if it can have been made under `kek`.
fn open(kek: &Kek, header: &BlobHeader, parts: &mut Parts<'_>) -> Result<SessionBlock, Status> {
    if header.kek_id != kek.id() || !kek.knows(header.exporter) {
        return Err(Status::ForeignBlob);
    }
    let key = kek.envelope_key(parts.header);
    envelope(&key, Operation::Open, parts).map_err(|_| Status::ForgedBlob)?;
    read_block(parts.block)
}

fn replace(
    contexts: &mut ContextTable,
    session: CardSession,
    block: &SessionBlock,
    passport: Passport,
) -> Result<(), Status> {
    let (old, _) = contexts.get(session).ok_or(Status::BadSession)?;
    if !old.differs_in_keys_alone(block) {
        return Err(Status::BadParameters);
    }
    if contexts.passport(session).owner != passport.owner {
        return Err(Status::ForeignBlob);
    }
    contexts.replace(session, Context::new(block)?);
    Ok(())
}
