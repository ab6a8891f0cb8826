//! Looks at bytes: what they are, how large a picture, what hangs behind their end, what an archive unpacks to.
//!
//! Nothing is decoded, extracted or kept, and nothing is judged against a name (`domain/media_type.rs`). A look takes
//! a fixed number of passes, each linear with one buffer: `format` (head, and text to its end), `image` (header),
//! `trailing` (end of the structure), `zip` (bounded by the limits).

mod format;
mod frugal;
mod image;
mod ole;
mod text;
mod trailing;
mod zip;

use std::io::{self, Read, SeekFrom};

use crate::{
    domain::media_type::{ArchiveLimits, ArchiveTrouble, Format, Observed, Trailing},
    ports::{ByteSource, ContentInspector},
};

/// The head that formats are told by.
const HEAD: u64 = 64 * 1024;

/// The one implementation of [`ContentInspector`]. It has no state.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inspector;

impl ContentInspector for Inspector {
    fn inspect(&self, source: &dyn ByteSource, limits: Option<ArchiveLimits>) -> io::Result<Observed> {
        let mut reader = source.reader()?;
        let mut head = Vec::new();
        reader.by_ref().take(HEAD).read_to_end(&mut head)?;
        let located = zip::locate::locate(&mut *reader, source.size())?;
        let format = if zip::is_archive(&head) {
            zip::locate::kind(&mut *reader, &head, located.as_ref())?
        } else {
            format::of(source, &head)?
        };
        reader.seek(SeekFrom::Start(0))?;
        let shape = trailing::shape(reader, source.size(), format)?;
        let behind = located.filter(|found| !format.is_zip() && (found.ends_file || trailing::never_holds_zip(format)));
        Ok(Observed {
            format,
            pixels: image::pixels(source, format, shape.pixels)?,
            trailing: match (behind, shape.end) {
                (Some(_), _) => Some(Trailing::Zip),
                (None, Some(end)) => trailing::find(source, end)?,
                (None, None) => None,
            },
            archive: match limits {
                None => None,
                Some(_) if format == Format::OleEncrypted => Some(ArchiveTrouble::Encrypted),
                Some(limits) if format.is_zip() => zip::judge(source, 0, 0, limits)?,
                Some(limits) => match behind.filter(|found| found.ends_file) {
                    Some(found) => zip::judge(source, found.start, found.origin, limits)?,
                    None => None,
                },
            },
        })
    }
}

#[cfg(test)]
mod tests;
