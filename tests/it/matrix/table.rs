//! The words of the table: short codes for answers, blocks of rows and columns, and the legend.
//!
//! Not here: where the answers come from (`calls.rs`).

use tonic::{Code, Status};

use crate::harness::reason_of;

/// The codes for the answers that are here all the time: gRPC code, reason, what the table writes.
const SHORT: &[(Code, &str, &str)] = &[
    (Code::Unauthenticated, "BAD_CREDENTIAL", "AUTH"),
    (Code::PermissionDenied, "MISSING_PERMISSION", "PERM"),
    (Code::PermissionDenied, "DOWNLOAD_NOT_ALLOWED", "NODOWN"),
    (Code::NotFound, "NOT_FOUND", "404"),
    (Code::NotFound, "CHAT_UNKNOWN", "CHAT?"),
    (Code::FailedPrecondition, "CHAT_CLOSED", "CLOSED"),
    (Code::InvalidArgument, "BAD_ARGUMENT", "ARG"),
    (Code::InvalidArgument, "TYPE_NOT_ALLOWED", "TYPE"),
];

/// A reason in the table's words.
pub fn short(reason: &str) -> &str {
    SHORT.iter().find(|(_, known, _)| *known == reason).map_or(reason, |(.., short)| short)
}

/// An answer in the table's words. An unknown combination stands as it is, to be seen.
pub fn code(answer: Result<String, Status>) -> String {
    let status = match answer {
        Ok(text) => return text,
        Err(status) => status,
    };
    let reason = reason_of(&status);
    match SHORT.iter().find(|(code, known, _)| *code == status.code() && *known == reason) {
        Some((.., short)) => (*short).to_owned(),
        None => format!("{:?}:{reason}", status.code()),
    }
}

/// What a list shows.
pub fn shown(letters: &str) -> String {
    if letters.is_empty() { "OK -".to_owned() } else { format!("OK {letters}") }
}

/// The answers of a batch, one by one.
pub fn each<'r>(reasons: impl Iterator<Item = &'r str>) -> String {
    let words: Vec<_> = reasons.map(|reason| if reason.is_empty() { "ok" } else { short(reason) }).collect();
    format!("({})", words.join(" "))
}

/// The head of the file.
pub fn legend(files: &str) -> String {
    let mut text = String::from(
        "Who may call what: every RPC, every caller, every relation. Made by the test generated_permission_table\n\
         from the running server (make bless); to be read as a diff.\n\n\
         OK     done; after a list the first letters of the files or chats shown, - for none\n\
         (..)   an answer for each of a batch\n",
    );
    for (code, reason, short) in SHORT {
        text += &format!("{short:6} {code:?} {reason}\n");
    }
    text + "\nFiles, as seen by the visitor and by operator 17 with the chat `mine`:\n" + files
}

/// One block: a row for each caller, those last together that get one answer in every column.
pub fn block(rpc: &str, about: &str, columns: &[&str], rows: &[(String, Vec<String>)]) -> String {
    let (alike, own): (Vec<_>, Vec<_>) = rows.iter().partition(|(_, cells)| is_refused_everywhere(cells));
    let names = own.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(i, column)| own.iter().map(|(_, cells)| cells[i].len()).max().unwrap_or(0).max(column.len()))
        .collect();
    let line = |name: &str, cells: &[&str]| {
        let cells: Vec<_> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{name:names$}  {}", cells.join("  ")).trim_end().to_owned() + "\n"
    };
    let about = if about.is_empty() { String::new() } else { format!(": {about}") };
    let mut text = format!("\n\n{rpc}{about}\n\n{}", line("", columns));
    for (name, cells) in own {
        text += &line(name, &cells.iter().map(String::as_str).collect::<Vec<_>>());
    }
    for code in ["AUTH", "PERM", "ARG", "404"] {
        let same = alike.iter().filter(|(_, cells)| cells[0] == code).map(|(name, _)| name.as_str());
        text += &together(code, &same.collect::<Vec<_>>());
    }
    text
}

fn is_refused_everywhere(cells: &[String]) -> bool {
    let refused = ["AUTH", "PERM", "ARG", "404"].contains(&cells[0].as_str());
    refused && cells.iter().all(|cell| *cell == cells[0])
}

/// `PERM everywhere: …`, in lines of at most 120.
fn together(code: &str, names: &[&str]) -> String {
    let mut text = String::new();
    let mut line = format!("{code} everywhere:");
    for (i, name) in names.iter().enumerate() {
        let word = format!(" {name}{}", if i + 1 < names.len() { ";" } else { "" });
        if line.len() + word.len() > 120 {
            text += &format!("{line}\n");
            line = "   ".to_owned();
        }
        line += &word;
    }
    if names.is_empty() { text } else { text + &line + "\n" }
}
