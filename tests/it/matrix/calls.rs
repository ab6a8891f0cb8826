//! How each cell of the table is asked and answered.
//!
//! Not here: the blocks (`blocks.rs`), the fixtures (`world.rs`) and the words of the table (`table.rs`). A call that was
//! refused must have changed nothing: looked at by the backend.

use tonic::{Request, Status};

use super::{
    access,
    callers::Who,
    consistency, ending, holds, quarantine, runs, table,
    world::{FILES, World},
};
use crate::harness::pb::{
    self, ChatStatus, download_file_request, get_file_request, get_upload_options_request, upload_header::Target,
};

/// Asks one cell and writes down the answer.
pub async fn cell(world: &mut World, who: &Who, rpc: &str, column: &'static str) -> String {
    let about = format!("{rpc}, {column}, {}", who.name);
    let kind = FILES.iter().copied().find(|kind| *kind == column.split(", ").next().unwrap_or_default());
    let kind = match (rpc, column) {
        ("FileService/AttachFile", column) if column.starts_with("to ") => Some("library"),
        _ => kind,
    };
    let changes = matches!(
        rpc,
        "FileService/AttachFile"
            | "FileService/BatchAttachFile"
            | "FileService/DetachFile"
            | "FileService/UpdateFile"
            | "FileService/DeleteFile"
            | "FileService/UndeleteFile"
    );
    let file_id = match kind {
        Some(kind) => world.file(kind).await,
        None => String::new(),
    };
    let before = if changes { Some(world.print(&file_id).await.expect("the backend may")) } else { None };
    let answer = match rpc.split_once('/').expect("service and method") {
        ("FileService", method @ ("BatchDeleteFiles" | "PurgeFiles")) => {
            ending::ask(world, who, method, column, file_id.clone()).await
        }
        ("FileService", "EraseVisitor") => ending::erase(world, who).await,
        ("FileService", method) if changes => change(world, who, method, column, file_id.clone()).await,
        ("FileService", method) => read(world, who, method, column, file_id.clone()).await,
        ("ChatService", method) => chat(world, who, method, column).await,
        ("AccessService", method) => access::ask(world, who, method, column).await,
        (_, method) if method.contains("Hold") => holds::ask(world, who, method, column).await,
        (_, "ExplainFile") => runs::explain(world, who, file_id.clone()).await,
        (_, method) if consistency::METHODS.contains(&method) => consistency::ask(world, who, method, column).await,
        (_, method) if quarantine::METHODS.contains(&method) => quarantine::ask(world, who, method, column).await,
        (_, method) if runs::METHODS.contains(&method) => runs::ask(world, who, method, column).await,
        (_, method) => administration(world, who, method).await,
    };
    if let (Some(before), Some(kind)) = (before, kind) {
        let after = world.print(&file_id).await.expect("the backend may");
        match &answer {
            Ok(_) if before != after => world.spoil(kind),
            Ok(_) => {}
            Err(_) => assert_eq!(before, after, "refused, and yet it changed: {about}"),
        }
    }
    table::code(answer)
}

fn ok<T>(_: T) -> String {
    "OK".to_owned()
}

async fn read(
    world: &mut World,
    who: &Who,
    method: &str,
    column: &'static str,
    file_id: String,
) -> Result<String, Status> {
    let chat_id = column.split(", ").next().unwrap_or_default().to_owned();
    match method {
        "GetFile" => {
            let by = Some(get_file_request::By::FileId(file_id));
            world.files.get_file(who.request(pb::GetFileRequest { by })).await.map(ok)
        }
        "DownloadFile" => {
            let by = match world.links.get(column) {
                Some(link) => download_file_request::By::Link(link.clone()),
                None => download_file_request::By::FileId(file_id),
            };
            let request = pb::DownloadFileRequest { by: Some(by), ..Default::default() };
            let mut stream = world.files.download_file(who.request(request)).await?.into_inner();
            let mut messages = 0;
            while stream.message().await?.is_some() {
                messages += 1;
            }
            assert!(messages >= 2, "a header and chunks");
            Ok("OK".to_owned())
        }
        "CreateDownloadLink" => {
            let request = pb::CreateDownloadLinkRequest { file_id, ..Default::default() };
            world.files.create_download_link(who.request(request)).await.map(ok)
        }
        "ListFiles" => {
            let chat_ids = if column == "all" { Vec::new() } else { vec![chat_id] };
            let request = pb::ListFilesRequest { chat_ids, page_size: 500, ..Default::default() };
            let files = world.files.list_files(who.request(request)).await?.into_inner().files;
            Ok(table::shown(&world.letters(&files)))
        }
        "ListDeletedFiles" => {
            let chat_ids = if column == "all" { Vec::new() } else { vec![chat_id] };
            let request = pb::ListDeletedFilesRequest { chat_ids, page_size: 500, ..Default::default() };
            let files = world.files.list_deleted_files(who.request(request)).await?.into_inner().files;
            Ok(table::shown(&world.letters(&files)))
        }
        "ListChatFiles" => {
            let request = pb::ListChatFilesRequest { chat_id, page_size: 500, ..Default::default() };
            let files = world.files.list_chat_files(who.request(request)).await?.into_inner().files;
            Ok(table::shown(&world.letters(&files)))
        }
        "ListVisitorFiles" => {
            let request = pb::ListVisitorFilesRequest { visitor_id: chat_id, page_size: 500, ..Default::default() };
            let files = world.files.list_visitor_files(who.request(request)).await?.into_inner().files;
            Ok(table::shown(&world.letters(&files)))
        }
        "GetUploadOptions" => {
            use get_upload_options_request::Target;
            let target = match column {
                "library" => Target::Library(true),
                "v1" => Target::VisitorId(chat_id),
                _ => Target::ChatId(chat_id),
            };
            let request = pb::GetUploadOptionsRequest { target: Some(target) };
            let options = world.files.get_upload_options(who.request(request)).await?.into_inner();
            assert_eq!(options.allowed, options.reasons.is_empty(), "allowed, or reasons why not");
            let reasons: Vec<_> = options.reasons.iter().map(|reason| table::short(reason)).collect();
            Ok(if options.allowed { "OK".to_owned() } else { format!("no({})", reasons.join(" ")) })
        }
        "UploadFile" => {
            let target = match column {
                "library" => Target::Library(true),
                "v1" => Target::VisitorId(chat_id),
                _ => Target::ChatId(chat_id),
            };
            let name = if column.ends_with("txt") { "upload.txt" } else { "upload.pdf" };
            let persistent = column.ends_with("persistent").then_some(true);
            world.try_upload(who, name, target, |header| header.persistent = persistent).await.map(ok)
        }
        other => panic!("{other} has a block and no call"),
    }
}

async fn change(
    world: &mut World,
    who: &Who,
    method: &str,
    column: &'static str,
    file_id: String,
) -> Result<String, Status> {
    match method {
        "AttachFile" => {
            let chat_id = column.strip_prefix("to ").unwrap_or("mine").to_owned();
            let request = pb::AttachFileRequest { file_id, chat_id, ..Default::default() };
            world.files.attach_file(who.request(request)).await.map(ok)
        }
        "BatchAttachFile" => {
            let chat_ids = ["mine", "other", "gone", "unknown"].map(str::to_owned).to_vec();
            let request = pb::BatchAttachFileRequest { file_id, chat_ids };
            let results = world.files.batch_attach_file(who.request(request)).await?.into_inner().results;
            Ok(table::each(results.iter().map(|result| result.reason.as_str())))
        }
        "DetachFile" => {
            let chat_id = column.split_once(", ").map_or("mine", |(_, chat)| chat).to_owned();
            world.files.detach_file(who.request(pb::DetachFileRequest { file_id, chat_id })).await.map(ok)
        }
        "UpdateFile" => {
            let update_mask = Some(prost_types::FieldMask { paths: vec!["display_name".to_owned()] });
            let display_name = "renamed.pdf".to_owned();
            let request = pb::UpdateFileRequest { file_id, display_name, update_mask, ..Default::default() };
            world.files.update_file(who.request(request)).await.map(ok)
        }
        "DeleteFile" => world.files.delete_file(who.request(pb::DeleteFileRequest { file_id })).await.map(ok),
        "UndeleteFile" => world.files.undelete_file(who.request(pb::UndeleteFileRequest { file_id })).await.map(ok),
        other => panic!("{other} has a block and no call"),
    }
}

async fn chat(world: &mut World, who: &Who, method: &str, column: &'static str) -> Result<String, Status> {
    let chat_id = if column == "fresh" { world.fresh() } else { column.to_owned() };
    let told = |chat_id: &str| {
        // As the fixtures tell them, so that nothing changes but the version.
        let owner = if chat_id == "other" { "rival" } else { "owner" };
        let status = ChatStatus::Active.into();
        pb::Chat { chat_id: chat_id.to_owned(), status, owner_operator: owner.to_owned(), ..Default::default() }
    };
    let answer = match method {
        "PutChat" => world.chats.put_chat(who.request(pb::PutChatRequest { chat: Some(told(&chat_id)) })).await.map(ok),
        "BatchPutChats" => {
            let request = pb::BatchPutChatsRequest { chats: vec![told("mine"), told("other")] };
            world.chats.batch_put_chats(who.request(request)).await.map(|answer| {
                let results = answer.into_inner().results;
                table::each(results.iter().map(|result| result.reason.as_str()))
            })
        }
        "GetChat" => world.chats.get_chat(who.request(pb::GetChatRequest { chat_id })).await.map(ok),
        "ListChats" => {
            let request = pb::ListChatsRequest { page_size: 500, ..Default::default() };
            let chats = world.chats.list_chats(who.request(request)).await?.into_inner().chats;
            let fixtures = ["mine", "closed", "doomed", "other", "third"];
            let shown: Vec<_> = fixtures.iter().filter(|f| chats.iter().any(|c| c.chat_id == **f)).collect();
            Ok(table::shown(&shown.iter().map(|f| &f[..1]).collect::<String>()))
        }
        "DeleteChat" => {
            let request = pb::DeleteChatRequest { chat_id, version: 0 };
            world.chats.delete_chat(who.request(request)).await.map(ok)
        }
        other => panic!("{other} has a block and no call"),
    };
    match (method, &answer) {
        ("PutChat", Ok(_)) if column == "gone" => world.tell_chats().await,
        ("DeleteChat", Ok(_)) if column.starts_with("doomed") => world.put_chat(column, ChatStatus::Active).await,
        _ => {}
    }
    answer
}

async fn administration(world: &mut World, who: &Who, method: &str) -> Result<String, Status> {
    match method {
        "GetSettings" => world.config.get_settings(who.request(pb::GetSettingsRequest {})).await.map(ok),
        "UpdateSettings" => {
            let update_mask = Some(prost_types::FieldMask { paths: vec!["one_file_at_a_time".to_owned()] });
            let settings = Some(pb::Settings::default());
            let request = pb::UpdateSettingsRequest { settings, update_mask, etag: None };
            world.config.update_settings(who.request(request)).await.map(ok)
        }
        "DescribeSettings" => world.config.describe_settings(who.request(pb::DescribeSettingsRequest {})).await.map(ok),
        "TestAntivirus" => {
            use pb::test_antivirus_request::Part;
            let data = b"a clean text"[..].into();
            let parts = [
                Part::Options(pb::TestAntivirusOptions { explain: false }),
                Part::Chunk(pb::TestAntivirusChunk { data, crc32c: None }),
                Part::Commit(pb::TestAntivirusCommit { size_bytes: None }),
            ];
            let stream = tokio_stream::iter(parts.map(|part| pb::TestAntivirusRequest { part: Some(part) }));
            let request: Request<_> = who.request(stream);
            world.maintenance.test_antivirus(request).await.map(ok)
        }
        "GetStats" => world.maintenance.get_stats(who.request(pb::GetStatsRequest {})).await.map(ok),
        "GetScannerStatus" => {
            world.maintenance.get_scanner_status(who.request(pb::GetScannerStatusRequest {})).await.map(ok)
        }
        other => panic!("{other} has a block and no call"),
    }
}
