//! THE table of extensions: what each promises, how it is served, what "agrees" means.
//!
//! Not here: the judgement ([`super::agrees`]). Sorted by kind; one row per extension; a test reads every row.

use super::{ContentRule, Format};

const fn image(
    extension: &'static str,
    accepts: &'static [Format],
    media_type: &'static str,
    agrees: &'static str,
) -> ContentRule {
    ContentRule { extension, accepts, media_type, inline: true, agrees }
}

const fn download(
    extension: &'static str,
    accepts: &'static [Format],
    media_type: &'static str,
    agrees: &'static str,
) -> ContentRule {
    ContentRule { extension, accepts, media_type, inline: false, agrees }
}

const JPEG: &str = "a JPEG image";
const HEIC: &str = "a HEIF image that is not AVIF";
const ZIP: &str = "a ZIP container, office files and JARs included: a DOCX named .zip is a ZIP";
const DOC: &str = "an OLE compound file with a Word stream, or RTF, which programs save under this name";
const DOCX: &str = "a ZIP container with Word parts, or its encrypted OLE form; a plain ZIP is not enough";
const XLSX: &str = "a ZIP container with Excel parts, or its encrypted OLE form; a plain ZIP is not enough";
const PPTX: &str = "a ZIP container with PowerPoint parts, or its encrypted OLE form; a plain ZIP is not enough";
const TEXT: &str = "text to its last byte: UTF-8, UTF-16 with a byte order mark, or an 8-bit encoding, without NUL and \
                    control characters (tab, line feed, form feed, carriage return, escape are allowed), that does \
                    not begin as HTML, XML, RTF or PDF";
const LIKE_TXT: &str = "text as for .txt";
const MP4: &str = "MPEG-4 or 3GP, also with sound only";

/// What each extension promises. An extension without a row is not judged, and is served as
/// `application/octet-stream`, attachment.
pub const CONTENT_RULES: &[ContentRule] = &[
    // images: the only ones shown in place, SVG never
    image("gif", &[Format::Gif], "image/gif", "a GIF image"),
    image("jpg", &[Format::Jpeg], "image/jpeg", JPEG),
    image("jpeg", &[Format::Jpeg], "image/jpeg", JPEG),
    image("jpe", &[Format::Jpeg], "image/jpeg", JPEG),
    image("png", &[Format::Png], "image/png", "a PNG image, animated or not"),
    image("webp", &[Format::Webp], "image/webp", "a WebP image"),
    image("bmp", &[Format::Bmp], "image/bmp", "a Windows bitmap"),
    image("heic", &[Format::Heic], "image/heic", HEIC),
    image("heif", &[Format::Heic], "image/heic", HEIC),
    download("svg", &[Format::Svg], "image/svg+xml", "XML text whose root element is svg"),
    // documents
    download("pdf", &[Format::Pdf], "application/pdf", "a PDF: %PDF- within the first 1,024 bytes"),
    download("doc", &[Format::OleDoc, Format::Rtf], "application/msword", DOC),
    download("xls", &[Format::OleXls], "application/vnd.ms-excel", "an OLE compound file with an Excel stream"),
    download(
        "ppt",
        &[Format::OlePpt],
        "application/vnd.ms-powerpoint",
        "an OLE compound file with a PowerPoint stream",
    ),
    download(
        "docx",
        &[Format::Docx, Format::OleEncrypted],
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        DOCX,
    ),
    download(
        "xlsx",
        &[Format::Xlsx, Format::OleEncrypted],
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        XLSX,
    ),
    download(
        "pptx",
        &[Format::Pptx, Format::OleEncrypted],
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        PPTX,
    ),
    download("odt", &[Format::Odt], "application/vnd.oasis.opendocument.text", "an OpenDocument text"),
    download("ods", &[Format::Ods], "application/vnd.oasis.opendocument.spreadsheet", "an OpenDocument spreadsheet"),
    download("odp", &[Format::Odp], "application/vnd.oasis.opendocument.presentation", "an OpenDocument presentation"),
    download("rtf", &[Format::Rtf], "application/rtf", "rich text: {\\rtf"),
    // text
    download("txt", &[Format::Text], "text/plain", TEXT),
    download("csv", &[Format::Text], "text/csv", TEXT),
    download("log", &[Format::Text], "text/plain", LIKE_TXT),
    download("json", &[Format::Text], "application/json", LIKE_TXT),
    // archives
    download(
        "zip",
        &[Format::Zip, Format::Docx, Format::Xlsx, Format::Pptx, Format::Odt, Format::Ods, Format::Odp, Format::Jar],
        "application/zip",
        ZIP,
    ),
    download("rar", &[Format::Rar], "application/vnd.rar", "a RAR archive, version 4 or 5"),
    download("7z", &[Format::SevenZip], "application/x-7z-compressed", "a 7z archive"),
    download("gz", &[Format::Gzip], "application/gzip", "a gzip stream"),
    download("tar", &[Format::Tar], "application/x-tar", "a tar archive with the ustar mark"),
    // sound and pictures that move
    download("ogg", &[Format::Ogg], "audio/ogg", "an Ogg stream of any codec"),
    download("m4a", &[Format::M4a], "audio/mp4", "MPEG-4 with sound only"),
    download("wav", &[Format::Wav], "audio/wav", "RIFF WAVE"),
    download("mp3", &[Format::Mp3], "audio/mpeg", "an ID3 tag or an MPEG audio frame at its start"),
    download("flac", &[Format::Flac], "audio/flac", "a FLAC stream"),
    download("mp4", &[Format::Mp4, Format::M4a], "video/mp4", MP4),
    download("mov", &[Format::Mov, Format::Mp4], "video/quicktime", "QuickTime or MPEG-4"),
    download("webm", &[Format::Webm], "video/webm", "WebM or Matroska"),
];
