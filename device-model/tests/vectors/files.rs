//! The vectors in `data/`: paragraphs of `name = value`, as NIST publishes them.

use std::collections::BTreeMap;
use std::path::Path;

use device_model::engine::Deflater;
use regs::{CipherCode as C, DigestCode as D};

use crate::case::{Case, hex};
use crate::report::Report;

type Fields = BTreeMap<String, String>;

pub(crate) fn run(report: &mut Report) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/data");
    let mut used = 0;
    for path in files_of(&folder) {
        let name = path.strip_prefix(&folder).unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        if name.contains("deflate") {
            streams(&text, report);
            continue;
        }
        let cases = cases_of(name, &text);
        assert!(!cases.is_empty(), "no vector in {name}");
        let source = name.split('/').next_back().unwrap();
        for case in cases {
            case.run(source, report);
        }
        used += 1;
    }
    assert!(used > 60, "only {used} files");
}

/// Streams of another compressor come apart; what the card compresses comes back.
fn streams(text: &str, report: &mut Report) {
    let mut deflater = Deflater::default();
    for record in records_of(text) {
        let message = bytes(&record, &["msg"]);
        let stream = bytes(&record, &["stream"]);
        let mut back = vec![0; message.len()];
        assert_eq!(deflater.decompress(&stream, &mut back), Ok(message.len()));
        assert_eq!(back, message);
        let mut own = vec![0; message.len() + 100];
        let len = deflater.compress(&message, &mut own).unwrap();
        back.fill(0);
        assert_eq!(
            deflater.decompress(&own[..len], &mut back),
            Ok(message.len())
        );
        assert_eq!(back, message);
        report.count("Deflate", "zlib.txt", "ran");
    }
}

fn files_of(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_of(&path));
        } else if path.extension().is_some_and(|extension| extension != "md") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// What a file is about, by its name.
fn cases_of(name: &str, text: &str) -> Vec<Case> {
    const CIPHERS: [(&str, C); 14] = [
        ("AES/CBC", C::AesCbc),
        ("AES/ECB", C::AesEcb),
        ("AES/CTR", C::AesCtr),
        ("AES/XTS", C::AesXts),
        ("AES/CCM", C::AesCcm),
        ("3DES/CBC", C::TripleDesCbc),
        ("Blowfish", C::BlowfishCbc),
        ("CAST5", C::Cast5Cbc),
        ("Camellia", C::CamelliaCbc),
        ("SM4", C::Sm4Cbc),
        ("ARC4", C::Arc4),
        ("ChaCha20/", C::ChaCha20),
        ("ChaCha20Poly1305", C::ChaCha20Poly1305),
        ("Skipjack", C::SkipjackCbc),
    ];
    const DIGESTS: [(&str, D); 20] = [
        ("hashes/MD5", D::Md5),
        ("hashes/SHA1", D::Sha1),
        ("SHA224", D::Sha224),
        ("SHA256", D::Sha256),
        ("SHA384", D::Sha384),
        ("SHA512", D::Sha512),
        ("hashes/ripemd160", D::Ripemd160),
        ("hashes/SM3", D::Sm3),
        ("blake2b", D::Blake2b),
        ("blake2s", D::Blake2s),
        ("2202-md5", D::HmacMd5),
        ("2202-sha1", D::HmacSha1),
        ("2286-ripemd160", D::HmacRipemd160),
        ("4231-sha224", D::HmacSha224),
        ("4231-sha256", D::HmacSha256),
        ("4231-sha384", D::HmacSha384),
        ("4231-sha512", D::HmacSha512),
        ("poly1305", D::Poly1305),
        ("kpdk-md5", D::Md5Kpdk),
        ("kpdk-sha1", D::Sha1Kpdk),
    ];
    let cipher = CIPHERS.iter().find(|(part, _)| name.contains(part));
    let digest = DIGESTS.iter().find(|(part, _)| name.contains(part));
    let records = records_of(text);
    match (cipher, digest) {
        (Some(&(_, code)), _) => {
            let cases = records
                .iter()
                .flat_map(|fields| cipher_cases(name, code, fields));
            cases.collect()
        }
        (None, Some(&(_, code))) => {
            let cases = records.iter().map(|fields| digest_case(code, fields));
            cases.collect()
        }
        (None, None) => panic!("nobody knows what {name} is about"),
    }
}

/// The paragraphs that hold a result, each with what the paragraphs before it have said for good.
fn records_of(text: &str) -> Vec<Fields> {
    let mut records = Vec::new();
    let mut lasting = Fields::new();
    for paragraph in text.split("\n\n") {
        let mut fields = Fields::new();
        for line in paragraph.lines().filter(|line| !line.starts_with('#')) {
            let line = line.trim_matches(['[', ']']);
            for entry in line.split(',') {
                if let Some((name, value)) = entry.split_once('=') {
                    fields.insert(name.trim().to_lowercase(), value.trim().to_owned());
                }
            }
        }
        if ["ciphertext", "ct", "md", "tag", "stream"]
            .iter()
            .any(|name| fields.contains_key(*name))
        {
            let mut record = lasting.clone();
            record.extend(fields);
            records.push(record);
        } else {
            lasting.extend(fields);
        }
    }
    records
}

fn bytes(fields: &Fields, names: &[&str]) -> Vec<u8> {
    let found = names.iter().find_map(|name| fields.get(*name));
    found.map(|text| hex(text)).unwrap_or_default()
}

/// `bytes` cut to the length that `name` gives in units of `unit` bits: empty ones are written as
/// one zero.
fn cut(fields: &Fields, name: &str, unit: usize, mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(len) = fields.get(name) {
        bytes.truncate(len.parse::<usize>().unwrap() * unit / 8);
    }
    bytes
}

fn cipher_cases(name: &str, code: C, fields: &Fields) -> Vec<Case> {
    match code {
        C::AesCcm => ccm_cases(fields),
        C::AesXts => xts_cases(fields),
        C::TripleDesCbc => des_cases(fields),
        C::Arc4 => vec![arc4_case(fields)],
        _ => vec![plain_case(name, code, fields)],
    }
}

fn plain_case(name: &str, cipher: C, fields: &Fields) -> Case {
    let mut case = Case {
        cipher,
        key: bytes(fields, &["key"]),
        iv: bytes(fields, &["iv", "nonce"]),
        aad: bytes(fields, &["aad"]),
        plain: bytes(fields, &["plaintext"]),
        secret: bytes(fields, &["ciphertext"]),
        tag: bytes(fields, &["tag"]),
        is_forged: fields.contains_key("result"),
        ..Case::default()
    };
    if let Some(counter) = fields.get("initial_block_counter") {
        let counter = counter.parse::<u32>().unwrap().to_le_bytes();
        case.iv = [&counter, case.iv.as_slice()].concat();
    }
    // One block without chaining is one block of CBC behind an IV of zeroes.
    let block_len = usize::from(cipher.info().block_len);
    if name.contains("ecb") && cipher != C::AesEcb {
        case.iv = vec![0; block_len];
        case.plain.truncate(block_len);
        case.secret.truncate(block_len);
    }
    case
}

/// With three equal keys, triple DES is DES.
fn des_cases(fields: &Fields) -> Vec<Case> {
    let keys = bytes(fields, &["keys"]);
    let triple = if keys.is_empty() {
        ["key1", "key2", "key3"]
            .map(|name| bytes(fields, &[name]))
            .concat()
    } else {
        keys.repeat(3)
    };
    let mut case = plain_case("", C::TripleDesCbc, fields);
    case.key = triple;
    let mut cases = vec![case.clone()];
    if case.key[..8] == case.key[8..16] && case.key[..8] == case.key[16..] {
        case.cipher = C::DesCbc;
        case.key.truncate(8);
        cases.push(case);
    }
    cases
}

fn arc4_case(fields: &Fields) -> Case {
    let offset = fields["offset"].parse::<usize>().unwrap();
    let mut case = plain_case("", C::Arc4, fields);
    // What stands before the offset is not published; that it is the same both ways is checked.
    let key_stream = key_stream_of_arc4(&case.key, offset);
    case.plain = [vec![0; offset], case.plain].concat();
    case.secret = [key_stream, case.secret].concat();
    case
}

/// A second RC4, for the bytes between the published ones.
fn key_stream_of_arc4(key: &[u8], len: usize) -> Vec<u8> {
    let mut state: Vec<u8> = (0..=255).collect();
    let mut other = 0_usize;
    for at in 0..256 {
        other = (other + usize::from(state[at]) + usize::from(key[at % key.len()])) % 256;
        state.swap(at, other);
    }
    let (mut at, mut other) = (0_usize, 0_usize);
    let next = |_| {
        at = (at + 1) % 256;
        other = (other + usize::from(state[at])) % 256;
        state.swap(at, other);
        state[(usize::from(state[at]) + usize::from(state[other])) % 256]
    };
    (0..len).map(next).collect()
}

fn xts_cases(fields: &Fields) -> Vec<Case> {
    let bits = fields["dataunitlen"].parse::<usize>().unwrap();
    let case = Case {
        cipher: C::AesXts,
        key: bytes(fields, &["key"]),
        iv: bytes(fields, &["i"]),
        plain: bytes(fields, &["pt"]),
        secret: bytes(fields, &["ct"]),
        ..Case::default()
    };
    assert!(case.plain.len() * 8 >= bits);
    vec![case]
}

/// The tag stands behind the ciphertext. Without a payload it is the MAC's too.
fn ccm_cases(fields: &Fields) -> Vec<Case> {
    let tag_len = fields["tlen"].parse::<usize>().unwrap();
    let mut secret = bytes(fields, &["ct"]);
    let tag = secret.split_off(secret.len() - tag_len);
    let case = Case {
        cipher: C::AesCcm,
        key: bytes(fields, &["key"]),
        iv: bytes(fields, &["nonce"]),
        aad: cut(fields, "alen", 8, bytes(fields, &["adata"])),
        plain: cut(fields, "plen", 8, bytes(fields, &["payload"])),
        secret,
        tag,
        is_forged: fields.get("result").is_some_and(|result| result != "Pass"),
        ..Case::default()
    };
    let mac = case.secret.is_empty().then(|| Case {
        cipher: C::None,
        digest: D::AesCcmMac,
        key: Vec::new(),
        digest_key: case.key.clone(),
        aad: Vec::new(),
        plain: case.aad.clone(),
        ..case.clone()
    });
    [Some(case), mac].into_iter().flatten().collect()
}

fn digest_case(digest: D, fields: &Fields) -> Case {
    let message = bytes(fields, &["msg"]);
    // The length is that of the message in bits; those of HMAC are wrong in places.
    let is_hash = !fields.contains_key("key");
    Case {
        digest,
        digest_key: bytes(fields, &["key"]),
        plain: if is_hash {
            cut(fields, "len", 1, message)
        } else {
            message
        },
        tag: bytes(fields, &["md", "tag"]),
        ..Case::default()
    }
}
