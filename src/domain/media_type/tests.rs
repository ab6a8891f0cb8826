//! The table's invariants and the judgement on plain values.

use super::*;

/// The default lists of the settings.
const DEFAULTS: &str = "gif jpg jpeg png webp zip svg rar xls xlsx doc docx pdf ogg m4a wav mp3 mp4 txt csv";

#[test]
fn every_default_extension_has_exactly_one_rule() {
    for extension in DEFAULTS.split(' ') {
        assert_eq!(CONTENT_RULES.iter().filter(|r| r.extension == extension).count(), 1, "{extension}");
    }
    for row in CONTENT_RULES {
        assert_eq!(rule(row.extension), Some(row), "{} is there twice", row.extension);
        assert!(!row.accepts.is_empty() && !row.agrees.is_empty() && row.media_type.contains('/'));
        assert!(row.extension.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
    }
}

#[test]
fn only_png_bmp_gif_jpeg_webp_heic_are_inline() {
    let mut inline: Vec<_> = CONTENT_RULES.iter().filter(|r| r.inline).map(|r| r.media_type).collect();
    inline.sort_unstable();
    inline.dedup();
    assert_eq!(inline, ["image/bmp", "image/gif", "image/heic", "image/jpeg", "image/png", "image/webp"]);
}

#[test]
fn no_extension_accepts_programs_html_or_unknown_bytes() {
    for row in CONTENT_RULES {
        for bad in [Format::Executable, Format::Html, Format::Unknown, Format::Other] {
            assert!(!row.accepts.contains(&bad), "{}", row.extension);
        }
    }
}

#[test]
fn office_file_is_told_from_zip_in_one_direction_only() {
    assert!(agrees("zip", &Observed::plain(Format::Docx)).is_ok());
    let refused = agrees("docx", &Observed::plain(Format::Zip)).expect_err("a plain zip");
    assert_eq!(refused.found(), "zip");
    assert!(agrees("docx", &Observed::plain(Format::Xlsx)).is_err());
}

#[test]
fn second_file_behind_the_first_disagrees() {
    let observed = Observed { trailing: Some(Trailing::Html), ..Observed::plain(Format::Png) };
    assert_eq!(agrees("png", &observed), Err(Disagreement::Trailing(Trailing::Html)));
}

#[test]
fn extension_without_rule_is_not_judged_and_served_as_attachment() {
    assert!(agrees("xyz", &Observed::plain(Format::Executable)).is_ok());
    assert_eq!(served_as("xyz"), Served { media_type: OCTET_STREAM, inline: false });
    assert_eq!(served_as("svg"), Served { media_type: "image/svg+xml", inline: false });
}

#[test]
fn nameless_image_is_named_by_its_content_type() {
    assert_eq!(extension_for_image_type("image/png"), Some("png"));
    assert_eq!(extension_for_image_type("IMAGE/JPEG; q=1"), Some("jpg"));
    assert_eq!(extension_for_image_type("image/heic"), Some("heic"));
    assert_eq!(extension_for_image_type("text/html"), None);
    assert_eq!(extension_for_image_type("application/pdf"), None);
}

#[test]
fn pixel_cap_is_met_exactly_at_the_limit() {
    let at = Observed { pixels: Some((10_000, 10_000)), ..Observed::plain(Format::Png) };
    let over = Observed { pixels: Some((10_000, 10_001)), ..Observed::plain(Format::Png) };
    let flood = Observed { pixels: Some((u32::MAX, u32::MAX)), ..Observed::plain(Format::Png) };
    assert!(!at.has_too_many_pixels() && over.has_too_many_pixels() && flood.has_too_many_pixels());
}

#[test]
fn format_names_are_unique() {
    let mut names: Vec<_> = Format::ALL.iter().map(|f| f.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Format::ALL.len());
}
