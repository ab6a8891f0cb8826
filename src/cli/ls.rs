//! `lhfile ls`: lists files, of one chat or over all.
//!
//! Not here: one file's row in full (`show.rs`). One chat and no other filter asks `ListChatFiles`, which a visitor and
//! a holder of `use_operator` may; one online visitor and no other filter asks `ListVisitorFiles`, which that visitor may;
//! `--deleted` asks `ListDeletedFiles`, which needs `file_restore`; anything else asks `ListFiles`, which needs
//! `file_list`.

use clap::Args;
use prost_types::Timestamp;

use super::{
    Context,
    arguments::{self, Origin, short_enum},
    failure::Failure,
    output, pages,
};
use crate::rpc::pb;

short_enum! {
    /// The order of a list.
    Order: pb::FileOrder {
        /// Latest upload first
        Newest,
        /// Earliest upload first
        Oldest,
        /// Most bytes first
        Largest,
    }
}
short_enum! {
    /// Why a file counts as harmless.
    Verdict: pb::VerdictKind {
        /// Scanned, nothing found
        Clean,
        /// The antivirus was off, or the uploader out of its scope
        NotScanned,
        /// Could not be scanned and was accepted
        UnscannableAccepted,
    }
}

/// What a list of deleted files does not filter by.
const NOT_OF_DELETED: [&str; 13] = [
    "visitor_id",
    "origin",
    "persistent",
    "attached",
    "extension",
    "media_type",
    "sha256",
    "min_size",
    "max_size",
    "after",
    "before",
    "verdict",
    "total",
];

/// Which files; filters are joined by AND.
#[derive(Debug, Args)]
pub struct Filter {
    /// Attached to this chat; may be repeated
    #[arg(long = "chat", value_name = "ID")]
    chats: Vec<String>,
    /// Uploaded by this operator; may be repeated
    #[arg(long = "operator", value_name = "ID")]
    operators: Vec<String>,
    /// Uploaded by visitors
    #[arg(long)]
    visitors: bool,
    /// Uploaded for this online visitor
    #[arg(long, value_name = "ID")]
    visitor_id: Option<String>,
    /// Of this origin
    #[arg(long, value_enum, ignore_case = true)]
    origin: Option<Origin>,
    /// The name contains this
    #[arg(long, value_name = "PART")]
    name: Option<String>,
    /// Persistent, or not
    #[arg(long, value_name = "true|false")]
    persistent: Option<bool>,
    /// Attached to some chat, or to none
    #[arg(long, value_name = "true|false")]
    attached: Option<bool>,
    /// This extension, lower case, without the dot
    #[arg(long)]
    extension: Option<String>,
    /// This media type
    #[arg(long, value_name = "TYPE")]
    media_type: Option<String>,
    /// Stored bytes of this SHA-256, in hex
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// At least this many bytes
    #[arg(long, value_name = "BYTES")]
    min_size: Option<i64>,
    /// At most this many bytes
    #[arg(long, value_name = "BYTES")]
    max_size: Option<i64>,
    /// Uploaded at this time or later, e.g. 2026-11-23T16:00:00Z
    #[arg(long, value_parser = arguments::time, value_name = "TIME")]
    after: Option<Timestamp>,
    /// Uploaded before this time
    #[arg(long, value_parser = arguments::time, value_name = "TIME")]
    before: Option<Timestamp>,
    /// This verdict
    #[arg(long, value_enum)]
    verdict: Option<Verdict>,
}

/// Which files, in which order.
#[derive(Debug, Args)]
pub struct Ls {
    #[command(flatten)]
    filter: Filter,
    /// Deleted files that can still be restored
    #[arg(long, conflicts_with_all = NOT_OF_DELETED)]
    deleted: bool,
    /// The order
    #[arg(long, value_enum, default_value = "newest")]
    order: Order,
    /// Most files
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Also tell how many match, exactly if no more than 100,000 files had to be looked at
    #[arg(long)]
    total: bool,
}

impl Ls {
    /// Prints a row for each file.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut files = context.connection.files().await?;
        let (limit, of_deleted) = (self.limit, self.deleted);
        let mut request = self.request();
        let mut total = None;
        // Decided once: a page's token belongs to its list.
        let deleted = of_deleted.then(|| deleted(&request));
        let one_chat = of_one_chat(&request);
        let one_visitor = of_one_visitor(&request);
        let (found, more) = pages::rows(limit, async |page_size, page_token| {
            if let Some(deleted) = &deleted {
                let request = pb::ListDeletedFilesRequest { page_size, page_token, ..deleted.clone() };
                let page = files.list_deleted_files(request).await?.into_inner();
                return Ok((page.files, page.next_page_token));
            }
            if let Some(chat) = &one_chat {
                let request = pb::ListChatFilesRequest { page_size, page_token, ..chat.clone() };
                let page = files.list_chat_files(request).await?.into_inner();
                return Ok((page.files, page.next_page_token));
            }
            if let Some(visitor) = &one_visitor {
                let request = pb::ListVisitorFilesRequest { page_size, page_token, ..visitor.clone() };
                let page = files.list_visitor_files(request).await?.into_inner();
                return Ok((page.files, page.next_page_token));
            }
            (request.page_size, request.page_token) = (page_size, page_token);
            let page = files.list_files(request.clone()).await?.into_inner();
            // Counted once, with the first page.
            request.with_total = false;
            total = total.or(page.total.map(|total| (total, page.total_is_lower_bound)));
            Ok((page.files, page.next_page_token))
        })
        .await?;
        if context.json {
            found.iter().try_for_each(|file| output::line(&output::json("File", file)))?;
        } else {
            output::line(&output::file_table(&found))?;
            if more {
                eprintln!("there are more: --limit {}", limit.saturating_mul(2));
            }
        }
        if let Some((total, is_lower_bound)) = total {
            output::line(&if context.json {
                serde_json::json!({ "total": total, "total_is_lower_bound": is_lower_bound }).to_string()
            } else {
                format!("total {total}{}", if is_lower_bound { " or more" } else { "" })
            })?;
        }
        Ok(())
    }

    fn request(self) -> pb::ListFilesRequest {
        pb::ListFilesRequest { order: self.order.into(), with_total: self.total, ..self.filter.request() }
    }
}

impl Filter {
    /// As a list asks for it, in no order in particular.
    pub fn request(self) -> pb::ListFilesRequest {
        pb::ListFilesRequest {
            chat_ids: self.chats,
            operator_ids: self.operators,
            visitor_only: self.visitors,
            name_contains: self.name.unwrap_or_default(),
            persistent: self.persistent,
            attached: self.attached,
            extension: self.extension.unwrap_or_default(),
            media_type: self.media_type.unwrap_or_default(),
            sha256: self.sha256.unwrap_or_default(),
            min_size_bytes: self.min_size,
            max_size_bytes: self.max_size,
            created_after: self.after,
            created_before: self.before,
            verdict: self.verdict.map_or(0, Into::into),
            order: 0,
            page_size: 0,
            page_token: String::new(),
            with_total: false,
            visitor_id: self.visitor_id.unwrap_or_default(),
            origin: self.origin.map_or(0, Into::into),
        }
    }
}

/// The same list, of deleted files.
fn deleted(request: &pb::ListFilesRequest) -> pb::ListDeletedFilesRequest {
    pb::ListDeletedFilesRequest {
        chat_ids: request.chat_ids.clone(),
        operator_ids: request.operator_ids.clone(),
        visitor_only: request.visitor_only,
        name_contains: request.name_contains.clone(),
        order: request.order,
        page_size: 0,
        page_token: String::new(),
    }
}

/// The same list as one of a chat's files, if that is all that is asked for.
fn of_one_chat(request: &pb::ListFilesRequest) -> Option<pb::ListChatFilesRequest> {
    let [chat_id] = request.chat_ids.as_slice() else { return None };
    let plain = pb::ListFilesRequest {
        chat_ids: request.chat_ids.clone(),
        order: request.order,
        ..pb::ListFilesRequest::default()
    };
    (*request == plain).then(|| pb::ListChatFilesRequest {
        chat_id: chat_id.clone(),
        order: request.order,
        ..pb::ListChatFilesRequest::default()
    })
}

/// The same list as one of a visitor's files, if that is all that is asked for.
fn of_one_visitor(request: &pb::ListFilesRequest) -> Option<pb::ListVisitorFilesRequest> {
    let pb::ListFilesRequest { visitor_id, order, .. } = request.clone();
    let plain = pb::ListFilesRequest { visitor_id: visitor_id.clone(), order, ..pb::ListFilesRequest::default() };
    let visitors = pb::ListVisitorFilesRequest { visitor_id, order, ..pb::ListVisitorFilesRequest::default() };
    (!visitors.visitor_id.is_empty() && *request == plain).then_some(visitors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_chat_without_other_filters_asks_for_the_chats_files() {
        let one = pb::ListFilesRequest { chat_ids: vec!["42".into()], order: 2, ..Default::default() };
        let asked = of_one_chat(&one).expect("one chat");
        assert_eq!((asked.chat_id.as_str(), asked.order), ("42", 2));
        for other in [
            pb::ListFilesRequest { name_contains: "x".into(), ..one.clone() },
            pb::ListFilesRequest { with_total: true, ..one.clone() },
            pb::ListFilesRequest { chat_ids: vec!["42".into(), "43".into()], ..one.clone() },
            pb::ListFilesRequest { chat_ids: Vec::new(), ..one },
        ] {
            assert_eq!(of_one_chat(&other), None);
        }
    }

    #[test]
    fn one_visitor_without_other_filters_asks_for_that_visitors_files() {
        let one = pb::ListFilesRequest { visitor_id: "v1".into(), order: 2, ..Default::default() };
        let asked = of_one_visitor(&one).expect("one visitor");
        assert_eq!((asked.visitor_id.as_str(), asked.order), ("v1", 2));
        for other in [
            pb::ListFilesRequest { origin: 1, ..one.clone() },
            pb::ListFilesRequest { chat_ids: vec!["42".into()], ..one.clone() },
            pb::ListFilesRequest { visitor_id: String::new(), ..one },
        ] {
            assert_eq!(of_one_visitor(&other), None);
        }
    }
}
