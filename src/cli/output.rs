//! What a command prints: JSON by the proto's field names for programs, tables for people.
//!
//! Not here: failures (`failure.rs`). Nothing printed holds control characters, whoever made the text.

use std::{
    io::{self, Write as _},
    sync::LazyLock,
};

use comfy_table::{Table, presets};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use prost_types::Timestamp;

use super::failure::Failure;
use crate::rpc::{DESCRIPTOR_SET, pb};

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTOR_SET).expect("the compiled-in descriptor set decodes"));

/// The descriptor of a message of our package, by its short name.
pub fn descriptor(message: &str) -> MessageDescriptor {
    POOL.get_message_by_name(&format!("lhfile.v1.{message}")).expect("messages are named as in the proto")
}

/// A message of our package as one line of JSON: the proto's field names, 64-bit numbers as numbers, defaults shown.
pub fn json(name: &str, message: &impl Message) -> String {
    let mut dynamic = DynamicMessage::new(descriptor(name));
    dynamic.transcode_from(message).expect("a message is of its own descriptor");
    let options =
        SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false).skip_default_fields(false);
    let mut line = Vec::new();
    dynamic
        .serialize_with_options(&mut serde_json::Serializer::new(&mut line), &options)
        .expect("a message in memory becomes JSON");
    String::from_utf8(line).expect("JSON is UTF-8")
}

/// Prints a line on standard output.
///
/// # Errors
/// Standard output is closed or full.
pub fn line(text: &str) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{text}").map_err(Failure::failed("standard output"))
}

/// Prints a message: as JSON, or as `people` says.
pub fn one<M: Message>(
    as_json: bool,
    name: &str,
    message: &M,
    people: impl FnOnce(&M) -> String,
) -> Result<(), Failure> {
    line(&if as_json { json(name, message) } else { people(message) })
}

/// A table with a header row.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    table.trim_fmt()
}

/// Name and value, one below the other; empty values are left out.
pub fn facts(facts: &[(&str, String)]) -> String {
    let shown = facts.iter().filter(|(_, value)| !value.is_empty());
    let width = shown.clone().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<_> = shown.map(|(name, value)| format!("{name:width$}  {}", printable(value))).collect();
    lines.join("\n")
}

/// Without control characters, which a terminal might obey.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// `4 KiB`, `1.5 MiB`.
pub fn size(bytes: i64) -> String {
    let (mut whole, mut unit) = (bytes, 0);
    let mut rest = 0;
    while whole >= 1024 && unit < 4 {
        rest = (whole % 1024) * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    let unit = ["B", "KiB", "MiB", "GiB", "TiB"][unit];
    if rest == 0 { format!("{whole} {unit}") } else { format!("{whole}.{rest} {unit}") }
}

/// A time to the second; empty if there is none.
pub fn time(time: Option<&Timestamp>) -> String {
    time.map_or_else(String::new, |t| Timestamp { nanos: 0, ..*t }.to_string())
}

/// An enum's value without the enum's own name: `VERDICT_KIND_CLEAN` becomes `clean`.
pub fn short(value: &str, prefix: &str) -> String {
    value.strip_prefix(prefix).unwrap_or(value).to_lowercase()
}

/// A person as `operator:17`.
pub fn person(caller: Option<&pb::Caller>) -> String {
    caller.map_or_else(String::new, |c| format!("{}:{}", short(c.kind().as_str_name(), "CALLER_KIND_"), c.id))
}

/// Files, a row each.
pub fn file_table(files: &[pb::File]) -> String {
    // Those of a list are deleted, all or none.
    let deleted = files.iter().any(|file| file.purge_time.is_some());
    let rows = files.iter().map(|file| {
        let mut row = vec![
            file.file_id.clone(),
            file.display_name.clone(),
            size(file.size_bytes),
            person(file.uploader.as_ref()),
            file.chat_ids.join(" ") + if file.chat_ids_truncated { " …" } else { "" },
            if file.persistent { "yes".to_owned() } else { "no".to_owned() },
            verdict(file.verdict.as_ref()),
            time(file.create_time.as_ref()),
        ];
        if deleted {
            row.push(time(file.purge_time.as_ref()));
        }
        row
    });
    let columns =
        ["FILE_ID", "NAME", "SIZE", "UPLOADER", "CHATS", "PERSISTENT", "VERDICT", "UPLOADED", "RESTORABLE UNTIL"];
    table(&columns[..columns.len() - usize::from(!deleted)], rows)
}

/// All that is known of one file.
pub fn file_facts(file: &pb::File) -> String {
    let pixels = file.width.zip(file.height).map_or_else(String::new, |(w, h)| format!("{w} x {h}"));
    let engine = file.verdict.as_ref().map_or_else(String::new, |v| {
        [v.engine.clone(), v.signature_version.clone(), time(v.time.as_ref())].join(" ").trim().to_owned()
    });
    // Most files have none.
    let origin = match file.origin() {
        pb::Origin::Unspecified => String::new(),
        origin => short(origin.as_str_name(), "ORIGIN_"),
    };
    facts(&[
        ("file_id", file.file_id.clone()),
        ("name", file.display_name.clone()),
        ("media_type", file.media_type.clone()),
        ("size", format!("{} ({} bytes)", size(file.size_bytes), file.size_bytes)),
        ("pixels", pixels),
        ("sha256", file.sha256.clone()),
        ("uploader", person(file.uploader.as_ref())),
        ("uploaded", time(file.create_time.as_ref())),
        ("home_chat", file.home_chat_id.clone()),
        ("visitor_id", file.visitor_id.clone()),
        ("origin", origin),
        ("chats", file.chat_ids.join(" ") + if file.chat_ids_truncated { " …" } else { "" }),
        ("persistent", file.persistent.to_string()),
        ("verdict", verdict(file.verdict.as_ref())),
        ("engine", engine),
        ("message_code", file.message_code.clone()),
        ("etag", file.etag.clone()),
    ])
}

fn verdict(verdict: Option<&pb::Verdict>) -> String {
    verdict.map_or_else(String::new, |v| short(v.kind().as_str_name(), "VERDICT_KIND_"))
}

/// What an answer must hold, or the server is not one of ours.
pub fn expected<T>(part: Option<T>) -> Result<T, Failure> {
    part.ok_or_else(|| Failure::Failed("the server's answer lacks a part: is it of another version?".to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn file() -> pb::File {
        pb::File {
            file_id: "a".repeat(26),
            display_name: "report.pdf".to_owned(),
            size_bytes: 5_000_000_000,
            uploader: Some(pb::Caller { kind: pb::CallerKind::Operator.into(), id: "17".to_owned() }),
            verdict: Some(pb::Verdict { kind: pb::VerdictKind::Clean.into(), ..pb::Verdict::default() }),
            create_time: Some(Timestamp { seconds: 0, nanos: 1_000 }),
            ..pb::File::default()
        }
    }

    #[test]
    fn json_has_the_protos_names_numbers_and_defaults() {
        let value: Value = serde_json::from_str(&json("File", &file())).expect("JSON");
        assert_eq!(value["file_id"], json!("a".repeat(26)));
        assert_eq!(value["size_bytes"], json!(5_000_000_000_i64), "64 bits are a number");
        assert_eq!((&value["persistent"], &value["chat_ids"]), (&json!(false), &json!([])), "defaults are shown");
        assert_eq!(value["uploader"], json!({"kind": "CALLER_KIND_OPERATOR", "id": "17"}));
        assert_eq!(value["create_time"], json!("1970-01-01T00:00:00.000001Z"));
        assert!(!json("File", &file()).contains('\n'), "one object per line");
    }

    #[test]
    fn people_read_sizes_kinds_and_no_control_characters() {
        assert_eq!([size(0), size(1023), size(1536), size(20 << 20)], ["0 B", "1023 B", "1.5 KiB", "20 MiB"]);
        let hostile = pb::File { display_name: "a\u{1b}[31mb\n".to_owned(), ..file() };
        let text = file_table(std::slice::from_ref(&hostile)) + &file_facts(&hostile);
        assert!(text.contains("operator:17") && text.contains("clean") && text.contains("a\u{fffd}[31mb"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }
}
