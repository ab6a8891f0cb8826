//! Real files of every default extension, and files that are two things at once.

use std::io::{Cursor, Seek};

use bytes::Bytes;

use super::*;
use crate::{
    domain::media_type::{Disagreement, agrees},
    ports::ReadSeek,
};

const LIMITS: ArchiveLimits =
    ArchiveLimits { max_unpacked_bytes: 80 << 20, max_member_bytes: 20 << 20, max_members: 10_000, max_depth: 17 };

fn sample(extension: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/samples/sample.{extension}", env!("CARGO_MANIFEST_DIR"))).expect("a sample")
}

fn seen(bytes: impl Into<Bytes>) -> Observed {
    Inspector.inspect(&bytes.into(), Some(LIMITS)).expect("memory cannot fail")
}

fn with_tail(extension: &str, tail: &[u8]) -> Observed {
    seen([sample(extension), tail.to_vec()].concat())
}

const SAMPLES: &str =
    "gif jpg jpeg png webp zip svg rar xls xlsx doc docx pdf ogg m4a wav mp3 mp4 txt csv bmp heic pptx";

#[test]
fn real_file_of_every_default_extension_agrees_with_it() {
    for extension in SAMPLES.split(' ') {
        let observed = seen(sample(extension));
        assert_eq!(agrees(extension, &observed), Ok(()), "{extension}: {observed:?}");
        assert_eq!((observed.trailing, observed.archive), (None, None), "{extension}");
    }
}

#[test]
fn real_file_disagrees_with_extensions_of_other_kinds() {
    let alike = |a: &str, b: &str| {
        let same = |kinds: &[&str]| kinds.contains(&a) && kinds.contains(&b);
        same(&["jpg", "jpeg"])
            || same(&["txt", "csv"])
            || b == "zip" && ["docx", "xlsx", "pptx"].contains(&a)
            || (a, b) == ("m4a", "mp4")
    };
    for is in SAMPLES.split(' ') {
        let observed = seen(sample(is));
        for named in SAMPLES.split(' ').filter(|named| *named != is && !alike(is, named)) {
            assert!(agrees(named, &observed).is_err(), "a {is} named .{named}");
        }
    }
}

#[test]
fn pixels_are_read_from_every_image() {
    for extension in ["gif", "jpg", "png", "webp", "bmp"] {
        assert_eq!(seen(sample(extension)).pixels, Some((64, 48)), "{extension}");
    }
    // as coded: HEVC codes whole blocks of 64, and this picture is cut from one
    assert_eq!(seen(sample("heic")).pixels, Some((64, 64)));
}

#[test]
fn pixels_of_a_jpeg_are_found_behind_much_metadata() {
    let jpeg = sample("jpg");
    let segment = [b"\xFF\xE1\xFF\xFF".as_slice(), &[0; 65_533]].concat();
    let long = [&jpeg[..2], &segment, &segment, &segment, &jpeg[2..]].concat();
    assert_eq!(seen(long).pixels, Some((64, 48)));
}

#[test]
fn pixel_flood_is_seen_in_header_and_in_a_later_frame() {
    let mut png = sample("png");
    png[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    assert!(seen(png).has_too_many_pixels());
    let mut gif = sample("gif");
    let trailer = gif.pop();
    gif.extend(b"\x2C\0\0\0\0\xFF\xFF\xFF\xFF\0\x02\0");
    gif.extend(trailer);
    assert_eq!(seen(gif).pixels, Some((65_535, 65_535)));
}

#[test]
fn bitmap_stored_from_the_top_has_its_true_height() {
    let mut bmp = sample("bmp");
    bmp[22..26].copy_from_slice(&(-48_i32).to_le_bytes());
    assert_eq!(seen(bmp).pixels, Some((64, 48)));
}

#[test]
fn second_file_behind_the_first_is_found() {
    let mut pe = vec![0; 128];
    pe[..2].copy_from_slice(b"MZ");
    pe[60] = 64;
    pe[64..68].copy_from_slice(b"PE\0\0");
    let html = b"\n<!DOCTYPE HTML><script>alert(1)</script>".to_vec();
    for (tail, found) in
        [(sample("zip"), Trailing::Zip), (sample("pdf"), Trailing::Pdf), (html, Trailing::Html), (pe, Trailing::Pe)]
    {
        for extension in ["png", "jpg", "gif", "webp", "wav", "pdf"] {
            if (extension, found) == ("pdf", Trailing::Pdf) {
                continue; // a PDF continued by a PDF is how PDFs are edited
            }
            let observed = with_tail(extension, &tail);
            assert_eq!(agrees(extension, &observed), Err(Disagreement::Trailing(found)), "{extension} + {found:?}");
        }
    }
}

#[test]
fn gif_that_is_a_jar_is_found_wherever_the_jar_begins() {
    let jar = include_bytes!("../../../tests/samples/zip/java.jar");
    for extension in ["gif", "mp3", "ogg", "bmp", "heic", "mp4", "doc", "rar"] {
        assert_eq!(with_tail(extension, jar).trailing, Some(Trailing::Zip), "{extension}");
    }
    // far behind the end, and padded, as lenient unzippers accept it
    let far = [vec![b'.'; 100_000], jar.to_vec(), vec![b'.'; 100]].concat();
    assert_eq!(with_tail("gif", &far).trailing, Some(Trailing::Zip));
}

#[test]
fn archive_behind_other_bytes_is_judged_too() {
    let mut encrypted = sample("zip");
    encrypted[6] |= 1;
    let observed = seen([vec![0x90; 5_000], encrypted].concat());
    assert_eq!((observed.format, observed.archive), (Format::Unknown, Some(ArchiveTrouble::Encrypted)));
    assert_eq!(seen([vec![0x90; 5_000], sample("zip")].concat()).archive, None);
}

#[test]
fn motion_photo_and_second_jpeg_pass() {
    for tail in [sample("mp4"), sample("jpg"), vec![0; 64]] {
        assert_eq!(agrees("jpg", &with_tail("jpg", &tail)), Ok(()));
    }
    let both = [sample("jpg"), b"<html>".to_vec()].concat();
    assert_eq!(with_tail("jpg", &both).trailing, Some(Trailing::Html));
}

#[test]
fn html_in_a_png_text_chunk_is_the_pngs_own() {
    let png = sample("png");
    let text = b"Comment\0<html><script>alert(1)</script>";
    let length = u32::try_from(text.len()).expect("small").to_be_bytes();
    let chunk = [&length, b"tEXt".as_slice(), text, &[0; 4]].concat();
    let observed = seen([&png[..33], &chunk, &png[33..]].concat());
    assert_eq!((observed.format, observed.trailing), (Format::Png, None));
}

#[test]
fn program_text_or_markup_under_an_image_name_disagrees() {
    for (bytes, format) in [
        (b"<?php system($_GET['c']); ?>".as_slice(), Format::Text),
        (b"  <!-- x --><HTML><body>", Format::Html),
        (b"\xEF\xBB\xBF<!doctype html>", Format::Html),
        (b"\xFF\xFE<\0h\0t\0m\0l\0>\0", Format::Html),
        (b"<?xml version='1.0'?><html xmlns='x'>", Format::Html),
        (b"<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY a 'b>'>]><svg:svg>", Format::Svg),
        (b"<?xml version='1.0'?><rss>", Format::Xml),
        (b"{\\rtf1 text}", Format::Rtf),
        (b"\x7FELF\x02\x01\x01\0\0\0\0\0\0\0\0\0", Format::Executable),
    ] {
        let observed = seen(bytes);
        assert_eq!(observed.format, format, "{}", String::from_utf8_lossy(bytes));
        assert!(agrees("jpg", &observed).is_err());
    }
}

#[test]
fn text_is_text_to_its_last_byte_in_any_encoding() {
    let (mut long, latin) = (vec![b'a'; 300_000], b"gr\xFC\xDFe;1\r\n\x1B[0m".as_slice());
    let wide: Vec<u8> = "\u{FEFF}wide \u{1F600}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [long.clone(), latin.to_vec(), wide.clone(), b"MZ;a;csv\n".to_vec(), b"BM and ID3".to_vec()] {
        assert_eq!(seen(bytes).format, Format::Text);
    }
    long.push(0);
    for bytes in [long, b"nul\0".to_vec(), b"bell\x07".to_vec(), wide[..wide.len() - 1].to_vec()] {
        assert_ne!(seen(bytes).format, Format::Text);
    }
}

#[test]
fn archive_is_closed_without_limits() {
    let mut encrypted = sample("zip");
    encrypted[6] |= 1;
    let closed = Inspector.inspect(&Bytes::from(encrypted.clone()), None).expect("memory cannot fail");
    assert_eq!((closed.format, closed.archive), (Format::Zip, None));
    assert_eq!(seen(encrypted).archive, Some(ArchiveTrouble::Encrypted));
}

#[test]
fn no_prefix_of_any_sample_panics() {
    for extension in SAMPLES.split(' ') {
        let whole = Bytes::from(sample(extension));
        for length in (0..whole.len()).step_by(1 + whole.len() / 200) {
            seen(whole.slice(..length));
        }
    }
}

/// A file that is nowhere: a head, then zeros up to its size.
struct Huge(Vec<u8>, u64);

impl ByteSource for Huge {
    fn size(&self) -> u64 {
        self.1
    }

    fn reader(&self) -> io::Result<Box<dyn ReadSeek>> {
        Ok(Box::new(HugeReader { head: Cursor::new(self.0.clone()), size: self.size() }))
    }
}

struct HugeReader {
    head: Cursor<Vec<u8>>,
    size: u64,
}

impl Read for HugeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // who reads everything into memory asks for ever larger pieces
        assert!(buffer.len() <= 1 << 20, "a read of {} bytes", buffer.len());
        match self.head.read(buffer)? {
            0 => {
                let left = self.size.saturating_sub(self.head.position());
                let count = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                buffer[..count].fill(0);
                self.head.set_position(self.head.position() + count as u64);
                Ok(count)
            }
            count => Ok(count),
        }
    }
}

impl Seek for HugeReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::End(by) => {
                self.head.set_position(self.size.saturating_add_signed(by));
                Ok(self.head.position())
            }
            to => self.head.seek(to),
        }
    }
}

#[test]
fn file_of_gigabytes_is_looked_at_in_small_reads() {
    // the picture's data never ends; the zip's member does not either
    let jpeg = sample("jpg");
    let scan = text::find(&jpeg, b"\xFF\xDA").expect("every JPEG has a scan");
    let observed =
        Inspector.inspect(&Huge(jpeg[..scan + 20].to_vec(), 3 << 29), Some(LIMITS)).expect("memory cannot fail");
    assert_eq!((observed.format, observed.pixels), (Format::Jpeg, Some((64, 48))));
    let stored = b"PK\x03\x04\x14\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0a1".to_vec();
    let observed = Inspector.inspect(&Huge(stored, 3 << 29), Some(LIMITS)).expect("memory cannot fail");
    assert_eq!((observed.format, observed.archive), (Format::Zip, Some(ArchiveTrouble::MemberTooLarge)));
    let observed =
        Inspector.inspect(&Huge(b"%PDF-1.7\n".to_vec(), 64 << 20), Some(LIMITS)).expect("memory cannot fail");
    assert_eq!((observed.format, observed.trailing), (Format::Pdf, None));
}
