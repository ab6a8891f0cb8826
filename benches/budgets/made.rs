//! The bytes that are uploaded: random, PDF, ZIP, PNG and text, made from a seed, no two files alike.
//!
//! They are what their extension promises, so that the product's checks pass and the scanner has its usual work. Not
//! here: sending them (`client.rs`).

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::DeflateEncoder, write::ZlibEncoder};

use crate::Fallible;

/// Bytes of a chunk of an upload: what performance.md found best.
pub const CHUNK: usize = 256 << 10;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Random,
    Pdf,
    Zip,
    Png,
    Text,
}

impl Kind {
    pub const ALL: [Kind; 5] = [Kind::Random, Kind::Pdf, Kind::Zip, Kind::Png, Kind::Text];

    /// Its extension. `bin` has no content rule and is in no default list: the bench adds it to the settings.
    pub fn extension(self) -> &'static str {
        match self {
            Kind::Random => "bin",
            Kind::Pdf => "pdf",
            Kind::Zip => "zip",
            Kind::Png => "png",
            Kind::Text => "txt",
        }
    }
}

/// Numbers that look random and come again from the same seed (splitmix64).
pub struct Noise(pub u64);

impl Noise {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.number().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }

    /// Words of a small vocabulary, in lines.
    fn text(&mut self, count: usize) -> Vec<u8> {
        const WORDS: [&str; 16] = [
            "order", "invoice", "hello", "customer", "please", "attached", "number", "thanks", "delivery", "late",
            "shirt", "colour", "refund", "today", "address", "phone",
        ];
        let mut text = Vec::with_capacity(count + 32);
        while text.len() < count {
            let draw = self.number();
            let word = WORDS[usize::from(draw.to_le_bytes()[0] & 15)];
            let end = if draw & 0x700 == 0 { '\n' } else { ' ' };
            write!(text, "{word}{}{end}", (draw >> 16) % 100).expect("memory takes all");
        }
        text.truncate(count);
        text
    }
}

/// A file to be uploaded: `head` once, then `body` over and over up to `size`.
#[derive(Clone)]
pub struct Content {
    head: Bytes,
    body: Bytes,
    pub size: u64,
}

impl Content {
    /// Random bytes of any size that cost nothing to make: a first chunk of its own, then always the same.
    pub fn random(body: &Bytes, size: u64, seed: u64) -> Self {
        let head = usize::try_from(size).unwrap_or(usize::MAX).min(CHUNK);
        let mut own = body[..head].to_vec();
        for (to, from) in own.iter_mut().zip(Noise(seed).bytes(16)) {
            *to = from;
        }
        Self { head: own.into(), body: body.clone(), size }
    }

    /// These bytes.
    pub fn of(bytes: Bytes) -> Self {
        Self { size: bytes.len() as u64, body: bytes.clone(), head: bytes }
    }

    /// Its chunks, each made when it is asked for. `body` is a multiple of [`CHUNK`] long, or never reached.
    pub fn chunks(&self) -> impl Iterator<Item = Bytes> + Send + use<> {
        let Self { head, body, size } = self.clone();
        let count = usize::try_from(size).unwrap_or(usize::MAX).div_ceil(CHUNK);
        (0..count).map(move |number| {
            let at = number * CHUNK;
            let length = usize::try_from(size - at as u64).unwrap_or(usize::MAX).min(CHUNK);
            match head.len() >= at + length {
                true => head.slice(at..at + length),
                false => body.slice(at % body.len()..at % body.len() + length),
            }
        })
    }
}

/// A whole file of about `size` bytes.
pub fn file(kind: Kind, size: usize, seed: u64) -> Fallible<Bytes> {
    let mut noise = Noise(seed);
    Ok(match kind {
        Kind::Random => noise.bytes(size),
        Kind::Text => noise.text(size),
        Kind::Pdf => pdf(size, &mut noise)?,
        Kind::Zip => zip(size, &mut noise)?,
        Kind::Png => png(size, &mut noise)?,
    }
    .into())
}

fn deflated(bytes: &[u8]) -> Fallible<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn zlib(bytes: &[u8]) -> Fallible<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn crc32(parts: &[&[u8]]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32IsoHdlc);
    for part in parts {
        digest.update(part);
    }
    u32::try_from(digest.finalize()).expect("the algorithm has 32 bits")
}

/// Pages of compressed text, and as many bytes of compressed picture.
fn pdf(size: usize, noise: &mut Noise) -> Fallible<Vec<u8>> {
    let mut pdf = b"%PDF-1.7\n%\xE2\xE3\xCF\xD3\n".to_vec();
    let mut offsets = Vec::new();
    while pdf.len() < size {
        let bytes = if offsets.len() % 2 == 0 { noise.text(48 << 10) } else { noise.bytes(16 << 10) };
        let stream = zlib(&bytes)?;
        offsets.push(pdf.len());
        write!(pdf, "{} 0 obj\n<< /Length {} /Filter /FlateDecode >>\nstream\n", offsets.len(), stream.len())?;
        pdf.extend_from_slice(&stream);
        pdf.extend_from_slice(b"\nendstream\nendobj\n");
    }
    offsets.push(pdf.len());
    let catalog = offsets.len();
    write!(pdf, "{catalog} 0 obj\n<< /Type /Catalog /Pages {} 0 R >>\nendobj\n", catalog + 1)?;
    offsets.push(pdf.len());
    write!(pdf, "{} 0 obj\n<< /Type /Pages /Kids [] /Count 0 >>\nendobj\n", catalog + 1)?;
    let table = pdf.len();
    write!(pdf, "xref\n0 {}\n0000000000 65535 f \n", offsets.len() + 1)?;
    for offset in &offsets {
        writeln!(pdf, "{offset:010} 00000 n ")?;
    }
    let count = offsets.len() + 1;
    write!(pdf, "trailer\n<< /Size {count} /Root {catalog} 0 R >>\nstartxref\n{table}\n%%EOF\n")?;
    Ok(pdf)
}

/// Deflated members of 64 KiB, text and noise in turn.
fn zip(size: usize, noise: &mut Noise) -> Fallible<Vec<u8>> {
    let (mut zip, mut directory, mut members) = (Vec::new(), Vec::new(), 0_u16);
    while zip.len() < size {
        let bytes = if members.is_multiple_of(2) { noise.text(64 << 10) } else { noise.bytes(64 << 10) };
        let packed = deflated(&bytes)?;
        let name = format!("member{members:04}.dat");
        // Version, flags, method, time, date; CRC, sizes, length of the name, no extra field.
        let mut entry = Vec::new();
        for half in [20_u16, 0, 8, 0, 0x5A21] {
            entry.extend_from_slice(&half.to_le_bytes());
        }
        for word in [crc32(&[&bytes]), u32::try_from(packed.len())?, u32::try_from(bytes.len())?] {
            entry.extend_from_slice(&word.to_le_bytes());
        }
        entry.extend_from_slice(&u16::try_from(name.len())?.to_le_bytes());
        entry.extend_from_slice(&[0, 0]);
        let offset = u32::try_from(zip.len())?;
        zip.extend_from_slice(b"PK\x03\x04");
        zip.extend_from_slice(&entry);
        zip.extend_from_slice(name.as_bytes());
        zip.extend_from_slice(&packed);
        directory.extend_from_slice(b"PK\x01\x02\x14\x00");
        directory.extend_from_slice(&entry);
        // No comment, first disk, no attributes.
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(name.as_bytes());
        members += 1;
    }
    let (start, length) = (u32::try_from(zip.len())?, u32::try_from(directory.len())?);
    zip.extend_from_slice(&directory);
    zip.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    zip.extend_from_slice(&members.to_le_bytes());
    zip.extend_from_slice(&members.to_le_bytes());
    zip.extend_from_slice(&length.to_le_bytes());
    zip.extend_from_slice(&start.to_le_bytes());
    zip.extend_from_slice(&[0, 0]);
    Ok(zip)
}

/// A picture of noise, which no compression makes smaller.
fn png(size: usize, noise: &mut Noise) -> Fallible<Vec<u8>> {
    const WIDTH: u32 = 1024;
    let row = 1 + 3 * WIDTH as usize;
    let height = u32::try_from(size.div_ceil(row))?.max(1);
    let mut pixels = noise.bytes(row * height as usize);
    // Each row starts with its filter: none.
    pixels.chunks_mut(row).for_each(|row| row[0] = 0);
    let mut header = Vec::new();
    header.extend_from_slice(&WIDTH.to_be_bytes());
    header.extend_from_slice(&height.to_be_bytes());
    header.extend_from_slice(&[8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in [(b"IHDR", header), (b"IDAT", zlib(&pixels)?), (b"IEND", Vec::new())] {
        png.extend_from_slice(&u32::try_from(data.len())?.to_be_bytes());
        png.extend_from_slice(name);
        png.extend_from_slice(&data);
        png.extend_from_slice(&crc32(&[name, &data]).to_be_bytes());
    }
    Ok(png)
}
