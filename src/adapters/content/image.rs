//! Pixels of an image from its header. Nothing is decoded.
//!
//! imagesize reads one place only: what the walk over all frames saw (`trailing.rs`) counts if it is larger, so that
//! neither a second frame nor bytes that confuse one parser hide a pixel flood.

use std::io;

use imagesize::ImageType;

use super::frugal::Frugal;
use crate::{domain::media_type::Format, ports::ByteSource};

/// Width and height of an image as coded (of HEIC before its crop); `walked` is the largest that the walk saw.
pub fn pixels(source: &dyn ByteSource, format: Format, walked: Option<(u32, u32)>) -> io::Result<Option<(u32, u32)>> {
    let is_image = matches!(
        format,
        Format::Gif | Format::Jpeg | Format::Png | Format::Webp | Format::Bmp | Format::Heic | Format::Avif
    );
    if !is_image {
        return Ok(None);
    }
    let mut reader = Frugal::new(source)?;
    let kind = imagesize::reader_type(&mut reader);
    let size = kind.as_ref().ok().and_then(|kind| kind.reader_size(&mut reader).ok());
    reader.finish()?;
    let seen = size.and_then(|size| {
        let height = u32::try_from(size.height).ok()?;
        // a bitmap that is stored from the top has its height negated
        let height = if matches!(kind, Ok(ImageType::Bmp)) { height.cast_signed().unsigned_abs() } else { height };
        Some((u32::try_from(size.width).ok()?, height))
    });
    let count = |pixels: Option<(u32, u32)>| pixels.map_or(0, |(width, height)| u64::from(width) * u64::from(height));
    Ok(if count(walked) > count(seen) { walked } else { seen.or(walked) })
}
