//! What bytes are, what an extension promises, and whether the two agree.
//!
//! Here: the words for what was seen and the judgement on it, all pure. The table of extensions is
//! [`rules`]; how bytes are looked at is `adapters/content/`; what a disagreement means for an upload is
//! `admission.rs`.

pub mod rules;

use std::fmt;

pub use rules::CONTENT_RULES;

/// Most pixels an image may have, width times height, as its header tells.
pub const MAX_PIXELS: u64 = 100_000_000;

/// The media type of what we have no rule for: nothing is claimed about the bytes.
pub const OCTET_STREAM: &str = "application/octet-stream";

/// How far a look into archives may go: the scanner's own limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Most bytes that all members of all depths may unpack to, together.
    pub max_unpacked_bytes: u64,
    /// Most bytes that one member may unpack to.
    pub max_member_bytes: u64,
    /// Most members of all depths.
    pub max_members: u32,
    /// Deepest nesting; the file itself is depth 1, its members are depth 2.
    pub max_depth: u32,
}

macro_rules! formats {
    ($($(#[doc = $doc:literal])+ $variant:ident, $name:literal;)+) => {
        /// What bytes can be seen to be. Never taken from a name or from the client.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Format { $($(#[doc = $doc])+ $variant,)+ }

        impl Format {
            /// All of them.
            pub const ALL: &'static [Format] = &[$(Format::$variant,)+];

            /// A stable, lower-case name for messages and metadata.
            pub const fn name(self) -> &'static str { match self { $(Format::$variant => $name,)+ } }
        }
    };
}

formats! {
    /// GIF87a or GIF89a.
    Gif, "gif";
    /// JPEG.
    Jpeg, "jpeg";
    /// PNG, animated or not.
    Png, "png";
    /// WebP.
    Webp, "webp";
    /// Windows bitmap.
    Bmp, "bmp";
    /// HEIF with HEVC pictures, or of no named coding.
    Heic, "heic";
    /// HEIF with AV1 pictures.
    Avif, "avif";
    /// TIFF, and the raw formats built on it.
    Tiff, "tiff";
    /// XML text whose root element is `svg`.
    Svg, "svg";
    /// PDF: `%PDF-` within the first 1,024 bytes.
    Pdf, "pdf";
    /// A ZIP container that is none of the named ones below.
    Zip, "zip";
    /// A ZIP container with Word parts.
    Docx, "docx";
    /// A ZIP container with Excel parts.
    Xlsx, "xlsx";
    /// A ZIP container with PowerPoint parts.
    Pptx, "pptx";
    /// OpenDocument text.
    Odt, "odt";
    /// OpenDocument spreadsheet.
    Ods, "ods";
    /// OpenDocument presentation.
    Odp, "odp";
    /// A Java archive or an Android package.
    Jar, "jar";
    /// OLE compound file with a Word stream.
    OleDoc, "doc";
    /// OLE compound file with an Excel stream.
    OleXls, "xls";
    /// OLE compound file with a PowerPoint stream.
    OlePpt, "ppt";
    /// OLE compound file around an encrypted office document.
    OleEncrypted, "encrypted office document";
    /// Any other OLE compound file: installers, mails, thumbnails.
    Ole, "ole compound file";
    /// Rich text.
    Rtf, "rtf";
    /// RAR 4 or 5.
    Rar, "rar";
    /// 7z.
    SevenZip, "7z";
    /// gzip.
    Gzip, "gzip";
    /// tar.
    Tar, "tar";
    /// Another archive or compressed stream: xz, bzip2, zstd, cab, iso, …
    OtherArchive, "archive";
    /// Ogg with any codec.
    Ogg, "ogg";
    /// MPEG-4 with sound only.
    M4a, "m4a";
    /// RIFF WAVE.
    Wav, "wav";
    /// MPEG audio, or an ID3 tag.
    Mp3, "mp3";
    /// Free lossless audio.
    Flac, "flac";
    /// MPEG-4 or 3GP, not known to be sound only.
    Mp4, "mp4";
    /// Apple QuickTime.
    Mov, "mov";
    /// Matroska or WebM.
    Webm, "webm";
    /// HTML, as a browser would sniff it.
    Html, "html";
    /// XML that is not SVG.
    Xml, "xml";
    /// Text: see the rule of `txt`.
    Text, "text";
    /// A program: PE, DOS, ELF, Mach-O, Java class, WebAssembly, Dalvik.
    Executable, "executable";
    /// Known bytes of another kind.
    Other, "another format";
    /// Bytes of no known kind.
    Unknown, "unknown";
}

impl Format {
    /// Is it a ZIP container, whatever is in it?
    pub const fn is_zip(self) -> bool {
        matches!(self, Self::Zip | Self::Docx | Self::Xlsx | Self::Pptx | Self::Odt | Self::Ods | Self::Odp | Self::Jar)
    }
}

/// What was found behind the end of a file's own structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trailing {
    /// A ZIP archive: also a JAR or an office file.
    Zip,
    /// A PDF document.
    Pdf,
    /// HTML.
    Html,
    /// A Windows program.
    Pe,
}

impl Trailing {
    /// A stable name for messages and metadata.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::Pdf => "pdf",
            Self::Html => "html",
            Self::Pe => "executable",
        }
    }
}

/// Why an archive cannot be scanned in full, or could be read in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArchiveTrouble {
    /// More members than the limit.
    TooManyMembers,
    /// All members together unpack to more than the limit.
    UnpacksTooLarge,
    /// One member unpacks to more than the limit.
    MemberTooLarge,
    /// Archives in archives, deeper than the limit.
    TooDeep,
    /// A member, or the document itself, is encrypted.
    Encrypted,
    /// A member is packed by something other than store or deflate.
    UnreadableMethod,
    /// Damaged, truncated, overlapping, with hidden members, or otherwise not the same to every reader.
    Malformed,
}

impl ArchiveTrouble {
    /// A stable, lower-case cause for messages and metadata.
    pub const fn cause(self) -> &'static str {
        match self {
            Self::TooManyMembers => "too many members",
            Self::UnpacksTooLarge => "unpacks to too many bytes",
            Self::MemberTooLarge => "a member unpacks to too many bytes",
            Self::TooDeep => "archives nested too deep",
            Self::Encrypted => "encrypted",
            Self::UnreadableMethod => "a member's compression method cannot be read",
            Self::Malformed => "malformed archive",
        }
    }
}

/// What was seen in the bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// What the bytes are.
    pub format: Format,
    /// Width and height in pixels, read from the header, of an image; the largest, if there are several.
    pub pixels: Option<(u32, u32)>,
    /// A second file behind the first.
    pub trailing: Option<Trailing>,
    /// Why the archive cannot be judged; never set when no archive limits were given.
    pub archive: Option<ArchiveTrouble>,
}

impl Observed {
    /// Nothing but a format.
    pub const fn plain(format: Format) -> Self {
        Self { format, pixels: None, trailing: None, archive: None }
    }

    /// Width times height, if there are any.
    pub fn pixel_count(&self) -> Option<u64> {
        self.pixels.map(|(width, height)| u64::from(width) * u64::from(height))
    }

    /// More pixels than [`MAX_PIXELS`]?
    pub fn has_too_many_pixels(&self) -> bool {
        self.pixel_count().is_some_and(|count| count > MAX_PIXELS)
    }
}

/// What one extension promises and how it is served. A row of [`CONTENT_RULES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRule {
    /// Lower case, without the dot.
    pub extension: &'static str,
    /// Bytes of these formats agree with it.
    pub accepts: &'static [Format],
    /// The media type we serve it as.
    pub media_type: &'static str,
    /// May it be shown in place, when asked? Everything else is an attachment.
    pub inline: bool,
    /// What "agrees" means, in one sentence.
    pub agrees: &'static str,
}

/// How a file is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// Our media type; never the client's.
    pub media_type: &'static str,
    /// May it be shown in place, when asked?
    pub inline: bool,
}

/// How bytes disagree with an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disagreement {
    /// The bytes are of another format.
    Format {
        /// The rule that does not hold.
        rule: &'static ContentRule,
        /// What the bytes are.
        found: Format,
    },
    /// A second file follows the first.
    Trailing(Trailing),
}

impl Disagreement {
    /// The name of what was found: for the metadata of a refusal.
    pub const fn found(&self) -> &'static str {
        match self {
            Self::Format { found, .. } => found.name(),
            Self::Trailing(trailing) => trailing.name(),
        }
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format { rule, found } => {
                write!(f, "the content of a .{} must be {}; found: {}", rule.extension, rule.agrees, found.name())
            }
            Self::Trailing(trailing) => write!(f, "the file goes on behind its end; found there: {}", trailing.name()),
        }
    }
}

/// The rule of an extension (lower case, without the dot), if we have one.
pub fn rule(extension: &str) -> Option<&'static ContentRule> {
    CONTENT_RULES.iter().find(|rule| rule.extension == extension)
}

/// Do the bytes agree with the extension? Without a rule nothing is promised, so everything agrees.
///
/// # Errors
/// The bytes are of another format, or a second file follows the first.
pub fn agrees(extension: &str, observed: &Observed) -> Result<(), Disagreement> {
    let Some(rule) = rule(extension) else { return Ok(()) };
    if !rule.accepts.contains(&observed.format) {
        return Err(Disagreement::Format { rule, found: observed.format });
    }
    match observed.trailing {
        Some(trailing) => Err(Disagreement::Trailing(trailing)),
        None => Ok(()),
    }
}

/// How a file of this extension is served. What the client declared plays no part.
pub fn served_as(extension: &str) -> Served {
    rule(extension).map_or(Served { media_type: OCTET_STREAM, inline: false }, |rule| Served {
        media_type: rule.media_type,
        inline: rule.inline,
    })
}

/// The extension that names a nameless image (`clipboard.png`) by its declared content type; parameters and case
/// do not matter. Only images that have a rule.
pub fn extension_for_image_type(content_type: &str) -> Option<&'static str> {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "image/jpeg" {
        return Some("jpg"); // three extensions have this type: the usual one
    }
    CONTENT_RULES
        .iter()
        .find(|rule| rule.media_type.starts_with("image/") && rule.media_type == essence)
        .map(|rule| rule.extension)
}

#[cfg(test)]
mod tests;
