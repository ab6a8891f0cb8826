//! Where a file ends by its own structure, and what hangs behind that end.
//!
//! PNG, JPEG, GIF and RIFF are walked from the front, a PDF's last end mark is searched from the back; formats without
//! an end of their own have none here. The tail of a motion photo is an MP4 and passes. A ZIP is also found from the
//! end of the file, wherever it begins (`zip/locate.rs`).

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use super::text;
use crate::{
    domain::media_type::{Format, Trailing},
    ports::{ByteSource, ReadSeek},
};

const BUFFER: usize = 256 * 1024;
/// How far into the tail a second file may begin.
const WINDOW: u64 = 4_096;
/// What HTML begins with behind other bytes; short tags would be found in noise.
const HTML: &[&[u8]] = &[b"<html", b"<!doctype html", b"<script", b"<body", b"<head", b"<iframe", b"<svg"];
const PDF_END: &[u8] = b"%%EOF";

/// What the walk through a file's structure showed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// The first byte behind its structure; `None` if it has no end of its own, or is broken before it.
    pub end: Option<u64>,
    /// Largest width and height of any frame met.
    pub pixels: Option<(u32, u32)>,
}

/// Does no honest file of this format hold the directory of a ZIP in its last 64 KiB, not even as an attachment?
pub fn never_holds_zip(format: Format) -> bool {
    matches!(
        format,
        Format::Gif
            | Format::Jpeg
            | Format::Png
            | Format::Webp
            | Format::Bmp
            | Format::Heic
            | Format::Mp3
            | Format::Wav
            | Format::Ogg
    )
}

/// Walks the structure of the file; one pass at most.
pub fn shape(reader: Box<dyn ReadSeek>, size: u64, format: Format) -> io::Result<Shape> {
    let mut walk = Walk { reader: BufReader::with_capacity(BUFFER, reader), at: 0, size, pixels: None };
    let end = match format {
        Format::Png => walk.png(),
        Format::Jpeg => walk.jpegs(),
        Format::Gif => walk.gif(),
        Format::Webp | Format::Wav => walk.riff(),
        Format::Pdf => return Ok(Shape { end: pdf_end(walk.reader, size)?, pixels: None }),
        _ => return Ok(Shape::default()),
    };
    match end {
        Ok(end) => Ok(Shape { end: Some(end), pixels: walk.pixels }),
        Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) => {
            Ok(Shape { end: None, pixels: walk.pixels })
        }
        Err(error) => Err(error),
    }
}

struct Walk {
    reader: BufReader<Box<dyn ReadSeek>>,
    at: u64,
    size: u64,
    pixels: Option<(u32, u32)>,
}

impl Walk {
    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn skip(&mut self, count: u64) -> io::Result<()> {
        if self.size.saturating_sub(self.at) < count {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.reader.seek_relative(count.cast_signed())?;
        self.at += count;
        Ok(())
    }

    fn see(&mut self, width: u16, height: u16) {
        let (width, height) = (u32::from(width), u32::from(height));
        if self.pixels.is_none_or(|(w, h)| u64::from(w) * u64::from(h) < u64::from(width) * u64::from(height)) {
            self.pixels = Some((width, height));
        }
    }

    fn png(&mut self) -> io::Result<u64> {
        self.skip(8)?;
        loop {
            let [a, b, c, d, name @ ..] = self.array::<8>()?;
            self.skip(u64::from(u32::from_be_bytes([a, b, c, d])) + 4)?;
            if &name == b"IEND" {
                return Ok(self.at);
            }
        }
    }

    /// One JPEG, or several end to end: cameras append previews and gain maps.
    fn jpegs(&mut self) -> io::Result<u64> {
        let mut end = self.jpeg()?;
        while self.reader.fill_buf()?.starts_with(b"\xFF\xD8\xFF") {
            match self.jpeg() {
                Ok(next) => end = next,
                Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) => {
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(end)
    }

    fn jpeg(&mut self) -> io::Result<u64> {
        self.skip(2)?;
        let mut marker = self.marker()?;
        loop {
            match marker {
                0xD9 => return Ok(self.at),
                0x01 | 0xD0..=0xD8 => marker = self.marker()?,
                _ => {
                    let length = u16::from_be_bytes(self.array()?).checked_sub(2).ok_or(io::ErrorKind::InvalidData)?;
                    let mut rest = u64::from(length);
                    if matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC) && rest >= 5 {
                        let [_, a, b, c, d] = self.array()?;
                        self.see(u16::from_be_bytes([c, d]), u16::from_be_bytes([a, b]));
                        rest -= 5;
                    }
                    self.skip(rest)?;
                    marker = if marker == 0xDA { self.scan()? } else { self.marker()? };
                }
            }
        }
    }

    fn marker(&mut self) -> io::Result<u8> {
        if self.byte()? != 0xFF {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.code()
    }

    /// The code behind a 0xFF; more of them are padding.
    fn code(&mut self) -> io::Result<u8> {
        loop {
            match self.byte()? {
                0xFF => {}
                code => return Ok(code),
            }
        }
    }

    /// Entropy-coded data, up to the marker that ends it.
    fn scan(&mut self) -> io::Result<u8> {
        loop {
            self.at += self.reader.skip_until(0xFF)? as u64;
            match self.code()? {
                0x00 | 0xD0..=0xD7 => {}
                code => return Ok(code),
            }
        }
    }

    fn gif(&mut self) -> io::Result<u64> {
        self.skip(6)?;
        let [a, b, c, d, flags, _, _] = self.array()?;
        self.see(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        self.colours(flags)?;
        loop {
            match self.byte()? {
                0x21 => self.skip(1)?,
                0x2C => {
                    let [_, _, _, _, a, b, c, d, flags] = self.array()?;
                    self.see(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
                    self.colours(flags)?;
                    self.skip(1)?;
                }
                0x3B => return Ok(self.at),
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
            loop {
                match self.byte()? {
                    0 => break,
                    length => self.skip(u64::from(length))?,
                }
            }
        }
    }

    fn colours(&mut self, flags: u8) -> io::Result<()> {
        if flags & 0x80 == 0 { Ok(()) } else { self.skip(3 << ((flags & 7) + 1)) }
    }

    fn riff(&mut self) -> io::Result<u64> {
        let [_, _, _, _, a, b, c, d] = self.array()?;
        let length = u64::from(u32::from_le_bytes([a, b, c, d]));
        self.skip(length + length % 2).or_else(|error| {
            // many writers leave the last padding byte out
            if self.at + length == self.size { self.skip(length) } else { Err(error) }
        })?;
        Ok(self.at)
    }
}

/// Behind the last end mark, searched backwards: honest files have it in the first step.
fn pdf_end(mut reader: impl Read + Seek, size: u64) -> io::Result<Option<u64>> {
    let overlap = PDF_END.len() as u64 - 1;
    let (mut to, mut buffer) = (size, Vec::with_capacity(BUFFER + PDF_END.len()));
    while to > 0 {
        let from = to.saturating_sub(BUFFER as u64);
        buffer.clear();
        reader.seek(SeekFrom::Start(from))?;
        reader.by_ref().take(to - from + overlap).read_to_end(&mut buffer)?;
        if let Some(at) = buffer.windows(PDF_END.len()).rposition(|window| window == PDF_END) {
            return Ok(Some(from + (at + PDF_END.len()) as u64));
        }
        to = from;
    }
    Ok(None)
}

/// What the tail is, if it is something that does not belong there.
pub fn find(source: &dyn ByteSource, end: u64) -> io::Result<Option<Trailing>> {
    if end >= source.size() {
        return Ok(None);
    }
    let mut reader = source.reader()?;
    let mut tail = Vec::new();
    reader.seek(SeekFrom::Start(end))?;
    reader.by_ref().take(WINDOW).read_to_end(&mut tail)?;
    if text::find(&tail, b"PK\x03\x04").is_some() {
        return Ok(Some(Trailing::Zip));
    }
    if text::find(&tail, b"%PDF-").is_some() {
        return Ok(Some(Trailing::Pdf));
    }
    if (0..tail.len()).any(|at| HTML.iter().any(|tag| text::has_prefix(&tail[at..], tag))) {
        return Ok(Some(Trailing::Html));
    }
    for (at, _) in tail.windows(2).enumerate().filter(|(_, window)| window == b"MZ") {
        let Some(field) = tail.get(at + 60..at + 64).and_then(|bytes| bytes.first_chunk()) else { continue };
        let mut signature = Vec::new();
        reader.seek(SeekFrom::Start(end + at as u64 + u64::from(u32::from_le_bytes(*field))))?;
        reader.by_ref().take(4).read_to_end(&mut signature)?;
        if signature == b"PE\0\0" {
            return Ok(Some(Trailing::Pe));
        }
    }
    Ok(None)
}
