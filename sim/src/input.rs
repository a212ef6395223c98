//! The data that consumers process: the project's own files, a file, a directory, or a pcap.
//!
//! Everything is read before the run begins; a run touches no file.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use etherparse::{LaxSlicedPacket, err::packet};
use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::{Block, PcapNgReader};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

mod project {
    include!(concat!(env!("OUT_DIR"), "/project_files.rs"));
}

/// Most bytes of input: a run keeps them in memory.
const MAX_LEN: u64 = 1 << 30;

/// Longest piece, in bytes: no link carries longer packets, but a capture may claim so, and a card
/// takes no longer payload. Longer ones are cut.
const MAX_PIECE: usize = 1 << 20;

/// Data to process.
#[derive(Clone, Debug)]
pub struct Input {
    data: Vec<u8>,
    /// Packet payloads of a pcap; empty if pieces are cut from the data as it stands.
    packets: Vec<Range<usize>>,
    /// Where the data came from, as on the command line; `None` for the project's own files.
    origin: Option<PathBuf>,
}

/// Why input cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// There is more data than a run keeps in memory.
    #[error("{} holds more than {} MiB, the most a run takes", path.display(), MAX_LEN >> 20)]
    TooLong {
        /// Which.
        path: PathBuf,
    },
    /// A capture file is damaged.
    #[error("{} is no valid capture after {packets} packets", path.display())]
    Capture {
        /// Which.
        path: PathBuf,
        /// Packets read before the damage.
        packets: usize,
        /// What is wrong with it.
        #[source]
        source: pcap_file::PcapError,
    },
    /// Neither a file nor a folder.
    #[error("{} is neither a file nor a folder", path.display())]
    Kind {
        /// Which.
        path: PathBuf,
    },
}

/// Where the next piece is cut.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    at: usize,
    lap: u64,
}

impl Cursor {
    /// How many times the whole input has been cut up.
    #[must_use]
    pub fn laps(&self) -> u64 {
        self.lap
    }
}

impl Input {
    /// The project's own source files, as they were when the program was built.
    #[must_use]
    pub fn project() -> Self {
        Self {
            data: project::FILES.concat(),
            packets: Vec::new(),
            origin: None,
        }
    }

    /// `len` bytes of noise, the same on every machine.
    #[must_use]
    pub fn noise(len: usize) -> Self {
        let mut data = vec![0; len];
        Xoshiro256PlusPlus::seed_from_u64(0).fill_bytes(&mut data);
        Self::from_bytes(data)
    }

    /// Bytes as they are, cut by the workload's size mix.
    #[must_use]
    pub fn from_bytes(data: Vec<u8>) -> Self {
        Self {
            data,
            packets: Vec::new(),
            origin: None,
        }
    }

    /// A file, every file below a folder (in order of path), or the packet payloads of a capture.
    ///
    /// # Errors
    /// [`InputError`] if something cannot be read, is damaged, or is longer than 1 GiB in all.
    pub fn from_path(path: &Path) -> Result<Self, InputError> {
        let read = |source| InputError::Read {
            path: path.to_owned(),
            source,
        };
        let kind = fs::metadata(path).map_err(read)?;
        let mut files = Vec::new();
        if kind.is_dir() {
            collect(path, &mut files)?;
            files.sort();
        } else if kind.is_file() {
            files.push(path.to_owned());
        } else {
            return Err(InputError::Kind {
                path: path.to_owned(),
            });
        }
        let mut data = Vec::new();
        for file in &files {
            let read = |source| InputError::Read {
                path: file.clone(),
                source,
            };
            let len = fs::metadata(file).map_err(read)?.len();
            if data.len() as u64 + len > MAX_LEN {
                return Err(InputError::TooLong {
                    path: path.to_owned(),
                });
            }
            data.extend(fs::read(file).map_err(read)?);
        }
        let origin = Some(path.to_owned());
        if kind.is_file() && is_capture(&data) {
            let (data, packets) = read_capture(path, &data)?;
            return Ok(Self {
                data,
                packets,
                origin,
            });
        }
        Ok(Self {
            data,
            packets: Vec::new(),
            origin,
        })
    }

    /// Where the data came from; `None` for the project's own files.
    #[must_use]
    pub fn origin(&self) -> Option<&Path> {
        self.origin.as_deref()
    }

    /// Whether there is nothing to process.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        if self.packets.is_empty() {
            self.data.is_empty()
        } else {
            false
        }
    }

    /// Length of the data in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Most pieces one lap can give if none is shorter than `len` bytes but the last.
    #[must_use]
    pub fn pieces_at_most(&self, len: usize) -> u64 {
        if self.packets.is_empty() {
            self.data.len().div_ceil(len.max(1)) as u64
        } else {
            self.packets.len() as u64
        }
    }

    /// Cuts the next piece, `len` bytes or what is left of this lap; a packet payload is taken
    /// whole.
    ///
    /// # Panics
    /// If the input is empty.
    pub fn cut(&self, cursor: &mut Cursor, len: usize) -> Range<usize> {
        assert!(!self.is_empty(), "an empty input has no pieces");
        if self.packets.is_empty() {
            let end = (cursor.at + len.max(1)).min(self.data.len());
            let piece = cursor.at..end;
            cursor.at = if end == self.data.len() { 0 } else { end };
            cursor.lap += u64::from(cursor.at == 0);
            piece
        } else {
            let piece = self.packets[cursor.at].clone();
            cursor.at = (cursor.at + 1) % self.packets.len();
            cursor.lap += u64::from(cursor.at == 0);
            piece
        }
    }

    /// The bytes of a piece.
    #[must_use]
    pub fn bytes(&self, piece: Range<usize>) -> &[u8] {
        &self.data[piece]
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), InputError> {
    let read = |source| InputError::Read {
        path: folder.to_owned(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        // A link could lead out of the folder, or round in circles.
        let kind = entry.file_type().map_err(read)?;
        if kind.is_dir() {
            collect(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Whether the data begins as a capture does: pcap in either byte order and resolution, or pcapng.
fn is_capture(data: &[u8]) -> bool {
    const MAGIC: [[u8; 4]; 5] = [
        [0xA1, 0xB2, 0xC3, 0xD4],
        [0xD4, 0xC3, 0xB2, 0xA1],
        [0xA1, 0xB2, 0x3C, 0x4D],
        [0x4D, 0x3C, 0xB2, 0xA1],
        [0x0A, 0x0D, 0x0D, 0x0A],
    ];
    data.get(..4)
        .is_some_and(|start| MAGIC.iter().any(|magic| start == magic))
}

type Packets = (Vec<u8>, Vec<Range<usize>>);

fn read_capture(path: &Path, file: &[u8]) -> Result<Packets, InputError> {
    let mut data = Vec::new();
    let mut packets = Vec::new();
    let mut keep = |payload: &[u8]| {
        // A packet without payload is a piece too.
        for start in (0..payload.len().max(1)).step_by(MAX_PIECE) {
            let part = &payload[start..payload.len().min(start + MAX_PIECE)];
            let at = data.len();
            data.extend_from_slice(part);
            packets.push(at..data.len());
        }
    };
    let mut count = 0;
    let mut read = || -> Result<(), pcap_file::PcapError> {
        if file[0] == 0x0A {
            let mut reader = PcapNgReader::new(file)?;
            while let Some(block) = reader.next_block() {
                match block? {
                    Block::EnhancedPacket(packet) => keep(payload(&packet.data, true)),
                    Block::SimplePacket(packet) => keep(payload(&packet.data, true)),
                    _ => continue,
                }
                count += 1;
            }
        } else {
            let mut reader = PcapReader::new(file)?;
            let is_ethernet = reader.header().datalink == DataLink::ETHERNET;
            while let Some(packet) = reader.next_packet() {
                keep(payload(&packet?.data, is_ethernet));
                count += 1;
            }
        }
        Ok(())
    };
    let result = read();
    match result {
        Ok(()) => Ok((data, packets)),
        Err(source) => Err(InputError::Capture {
            path: path.to_owned(),
            packets: count,
            source,
        }),
    }
}

/// What a packet carries: above UDP, TCP or IP if it has them, the whole frame otherwise.
fn payload(frame: &[u8], is_ethernet: bool) -> &[u8] {
    let sliced: Result<LaxSlicedPacket<'_>, packet::SliceError> = if is_ethernet {
        LaxSlicedPacket::from_ethernet(frame).map_err(packet::SliceError::Len)
    } else {
        return LaxSlicedPacket::from_ip(frame).map_or(frame, |packet| innermost(&packet, frame));
    };
    sliced.map_or(frame, |packet| innermost(&packet, frame))
}

fn innermost<'a>(packet: &LaxSlicedPacket<'a>, frame: &'a [u8]) -> &'a [u8] {
    use etherparse::TransportSlice;
    match &packet.transport {
        Some(TransportSlice::Udp(udp)) => udp.payload(),
        Some(TransportSlice::Tcp(tcp)) => tcp.payload(),
        Some(TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_)) | None => {
            packet.ip_payload().map_or(frame, |ip| ip.payload)
        }
        _ => frame,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_brings_its_own_input() {
        let input = Input::project();
        assert!(input.len() > 10_000, "{} bytes", input.len());
        assert!(memchr::memmem::find(&input.data, b"register_map!").is_some());
    }

    #[test]
    fn cutting_loses_no_byte() {
        let input = Input::from_bytes((0..=255).collect());
        let mut cursor = Cursor::default();
        let mut all = Vec::new();
        while cursor.laps() == 0 {
            let piece = input.cut(&mut cursor, 100);
            all.extend_from_slice(input.bytes(piece));
        }
        assert_eq!(all, input.data);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = Input::from_path(Path::new("no/such/file")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read no/such/file");
        let error = Input::from_path(Path::new("/dev/null")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/dev/null is neither a file nor a folder"
        );
    }

    fn udp_frame(payload: &[u8]) -> Vec<u8> {
        let builder = etherparse::PacketBuilder::ethernet2([1; 6], [2; 6])
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .udp(1, 2);
        let mut frame = Vec::new();
        builder.write(&mut frame, payload).unwrap();
        frame
    }

    fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
        let header = pcap_file::pcap::PcapHeader {
            snaplen: u32::MAX,
            ..Default::default()
        };
        let mut file = Vec::new();
        let mut writer = pcap_file::pcap::PcapWriter::with_header(&mut file, header).unwrap();
        for frame in frames {
            let packet = pcap_file::pcap::PcapPacket::new(
                std::time::Duration::ZERO,
                frame.len() as u32,
                frame,
            );
            writer.write_packet(&packet).unwrap();
        }
        file
    }

    #[test]
    fn a_capture_gives_one_piece_for_each_payload() {
        let file = capture(&[udp_frame(b"first"), udp_frame(b""), udp_frame(b"the third")]);
        assert!(is_capture(&file));
        let (data, packets) = read_capture(Path::new("x.pcap"), &file).unwrap();
        let payloads: Vec<&[u8]> = packets.iter().map(|range| &data[range.clone()]).collect();
        assert_eq!(payloads, [&b"first"[..], b"", b"the third"]);
    }

    #[test]
    fn a_payload_longer_than_a_card_takes_is_cut() {
        let frame = vec![7; MAX_PIECE + 5];
        let (data, packets) = read_capture(Path::new("x.pcap"), &capture(&[frame])).unwrap();
        assert_eq!(packets, [0..MAX_PIECE, MAX_PIECE..MAX_PIECE + 5]);
        assert_eq!(data.len(), MAX_PIECE + 5);
    }

    #[test]
    fn a_damaged_capture_says_how_far_it_is_good() {
        let mut file = capture(&[udp_frame(b"first"), udp_frame(b"second")]);
        file.truncate(file.len() - 3);
        let error = read_capture(Path::new("x.pcap"), &file).unwrap_err();
        assert_eq!(
            error.to_string(),
            "x.pcap is no valid capture after 1 packets"
        );
    }

    #[test]
    fn hostile_captures_never_panic() {
        let good = capture(&[udp_frame(b"payload")]);
        for len in 4..good.len() {
            let _ = read_capture(Path::new("x"), &good[..len]);
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0xFF;
            if is_capture(&bad) {
                let _ = read_capture(Path::new("x"), &bad);
            }
        }
    }
}
