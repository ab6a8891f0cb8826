//! What bytes are: text and its markup by our own rules, everything else by file-format's signatures.
//!
//! ZIP containers do not come here: file-format allocates what a member of theirs declares (4 GiB), so `zip/locate`
//! tells them apart. OLE files are in `ole`.

use std::io;

use file_format::{FileFormat as F, Kind};

use super::{frugal::Frugal, ole, text};
use crate::{domain::media_type::Format, ports::ByteSource};

/// PDF readers look for the header in as many bytes.
const PDF_HEADER_WITHIN: usize = 1_024;

/// Is there a PDF header where PDF readers accept it?
pub fn has_pdf_header(head: &[u8]) -> bool {
    text::find(&head[..head.len().min(PDF_HEADER_WITHIN)], b"%PDF-").is_some()
}

/// What the bytes are, ZIP containers apart; `head` is their first 64 KiB.
pub fn of(source: &dyn ByteSource, head: &[u8]) -> io::Result<Format> {
    if head.is_empty() {
        return Ok(Format::Unknown);
    }
    if head.starts_with(b"%PDF-") {
        return Ok(Format::Pdf);
    }
    if head.starts_with(ole::MAGIC) {
        return ole::kind(source);
    }
    if text::looks_like_text(head) {
        if let Some(format) = text::markup(head) {
            return Ok(format);
        }
        if text::is_text(source, head)? {
            return Ok(Format::Text);
        }
    }
    let mut reader = Frugal::new(source)?;
    let found = F::from_reader(&mut reader);
    reader.finish()?;
    Ok(match found.map_or(Format::Unknown, name) {
        Format::Heic if has_brand(head, b"avif") && !has_brand(head, b"heic") => Format::Avif,
        Format::Mp3 if !head.starts_with(b"ID3") && !is_mpeg_frame(head) => Format::Unknown,
        Format::Unknown if head.get(4..8) == Some(b"ftyp") => Format::Mp4,
        Format::Unknown if has_pdf_header(head) => Format::Pdf,
        // file-format's guess at text looks at 16 lines only
        Format::Text => Format::Unknown,
        format => format,
    })
}

/// Is this among the brands of an ISO media file?
fn has_brand(head: &[u8], brand: &[u8]) -> bool {
    let length = head.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes) as usize);
    head.get(8..length.min(head.len())).is_some_and(|brands| brands.chunks(4).any(|found| found == brand))
}

/// A frame header of MPEG audio without reserved values: its sync alone is in every other binary file.
fn is_mpeg_frame(head: &[u8]) -> bool {
    matches!(head, [0xFF, second, third, ..] if second & 0xE0 == 0xE0
        && second & 0x18 != 0x08 && second & 0x06 != 0 && third & 0xF0 != 0xF0 && third & 0x0C != 0x0C)
}

/// file-format's many names in our few.
fn name(found: F) -> Format {
    match found {
        F::GraphicsInterchangeFormat => Format::Gif,
        F::JointPhotographicExpertsGroup => Format::Jpeg,
        F::PortableNetworkGraphics | F::AnimatedPortableNetworkGraphics => Format::Png,
        F::Webp => Format::Webp,
        F::WindowsBitmap => Format::Bmp,
        F::HighEfficiencyImageCoding
        | F::HighEfficiencyImageCodingSequence
        | F::HighEfficiencyImageFileFormat
        | F::HighEfficiencyImageFileFormatSequence => Format::Heic,
        F::Av1ImageFileFormat | F::Av1ImageFileFormatSequence => Format::Avif,
        F::TagImageFileFormat | F::CanonRaw2 | F::NikonElectronicFile | F::SonyAlphaRaw => Format::Tiff,
        F::PortableDocumentFormat | F::AdobeIllustratorArtwork => Format::Pdf,
        F::RoshalArchive => Format::Rar,
        F::SevenZip => Format::SevenZip,
        F::Gzip => Format::Gzip,
        F::TapeArchive => Format::Tar,
        F::OggFlac | F::OggMedia | F::OggMultiplexedMedia | F::OggOpus | F::OggSpeex | F::OggTheora | F::OggVorbis => {
            Format::Ogg
        }
        F::AppleItunesAudio
        | F::AppleItunesAudiobook
        | F::AppleItunesProtectedAudio
        | F::FlashMp4Audio
        | F::FlashMp4Audiobook
        | F::Mpeg4Part14Audio => Format::M4a,
        F::Mpeg4Part14
        | F::Mpeg4Part14Video
        | F::Mpeg4Part14Subtitles
        | F::AppleItunesVideo
        | F::FlashMp4Video
        | F::FlashMp4ProtectedVideo
        | F::ThirdGenerationPartnershipProject
        | F::ThirdGenerationPartnershipProject2 => Format::Mp4,
        F::AppleQuicktime => Format::Mov,
        F::WaveformAudio => Format::Wav,
        F::Mpeg12AudioLayer3 | F::Id3v2 => Format::Mp3,
        F::FreeLosslessAudioCodec => Format::Flac,
        F::Webm | F::MatroskaVideo | F::MatroskaAudio | F::Matroska3dVideo => Format::Webm,
        F::HypertextMarkupLanguage => Format::Html,
        F::ScalableVectorGraphics => Format::Svg,
        F::ExtensibleMarkupLanguage => Format::Xml,
        F::RichTextFormat => Format::Rtf,
        F::PlainText => Format::Text,
        F::Empty | F::ArbitraryBinaryData => Format::Unknown,
        other => match other.kind() {
            Kind::Executable => Format::Executable,
            Kind::Archive | Kind::Compressed | Kind::Disk | Kind::Package => Format::OtherArchive,
            _ => Format::Other,
        },
    }
}
