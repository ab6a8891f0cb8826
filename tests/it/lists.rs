//! Lists of files: paging by place and not by count, filters, orders, tokens that belong to one list alone.
//!
//! Not here: who may list (`matrix.rs`) and the query plans (`src/adapters/sql`).

use std::collections::BTreeSet;

use tonic::{Code, Status};

use crate::harness::{
    Caller, Node, Operator, Service, Setup, Visitor, assert_refused,
    calls::request,
    pb::{self, File, FileOrder, ListFilesRequest, ListFilesResponse, VerdictKind},
    samples, shared,
};

async fn list(
    node: &Node,
    what: ListFilesRequest,
    caller: &(impl Caller + ?Sized),
) -> Result<ListFilesResponse, Status> {
    Ok(node.files().list_files(request(caller, what)).await?.into_inner())
}

/// All pages, one after the other; `between` runs between two pages.
async fn all_pages(node: &Node, what: ListFilesRequest, between: impl AsyncFn()) -> Vec<File> {
    let mut what = what;
    let mut found = Vec::new();
    loop {
        let page = list(node, what.clone(), &Service::all()).await.expect("the backend may");
        assert!(page.files.len() <= usize::try_from(what.page_size).expect("positive"));
        found.extend(page.files);
        if page.next_page_token.is_empty() {
            return found;
        }
        what.page_token = page.next_page_token;
        between().await;
    }
}

fn ids(files: &[File]) -> Vec<&str> {
    files.iter().map(|file| file.file_id.as_str()).collect()
}

async fn twelve_texts(node: &Node, chat: &str) -> Vec<File> {
    let mut files = Vec::new();
    for i in 0..12_usize {
        // Sizes that go up and down, two alike.
        let bytes = samples::text(100 + (i * 7 % 6) * 10, &format!("{chat} {i}"));
        files.push(node.upload(&format!("{i}.txt"), bytes).to_chat(chat).passes_by(&Operator::new()).await);
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_every_file_once_in_order_whatever_is_uploaded_meanwhile() {
    let node = shared().await;
    for order in [FileOrder::Newest, FileOrder::Oldest, FileOrder::Largest] {
        let chat = node.new_chat().await;
        let files = twelve_texts(node, &chat).await;
        let what = ListFilesRequest {
            chat_ids: vec![chat.clone()],
            order: order.into(),
            page_size: 5,
            ..ListFilesRequest::default()
        };
        let found = all_pages(node, what, async || {
            // Smaller than all others: it comes last in the order of sizes.
            node.upload("late.txt", samples::text(50, &chat)).to_chat(&chat).passes_by(&Operator::new()).await;
        })
        .await;
        let old: Vec<&File> = found.iter().filter(|file| file.display_name != "late.txt").collect();
        let mut wanted: Vec<&File> = files.iter().collect();
        match order {
            FileOrder::Newest => wanted.reverse(),
            FileOrder::Largest => wanted.sort_by_key(|file| std::cmp::Reverse(file.size_bytes)),
            _ => {}
        }
        let sizes = |files: &[&File]| files.iter().map(|file| file.size_bytes).collect::<Vec<_>>();
        if order == FileOrder::Largest {
            assert_eq!(sizes(&old), sizes(&wanted));
        } else {
            let names = |files: &[&File]| files.iter().map(|file| file.display_name.clone()).collect::<Vec<_>>();
            assert_eq!(names(&old), names(&wanted), "{order:?}");
        }
        let once: BTreeSet<&str> = ids(&found).into_iter().collect();
        assert_eq!(once.len(), found.len(), "none twice: {order:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_chat_go_on_when_the_file_where_they_ended_is_deleted() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let files = twelve_texts(node, &chat).await;
    let visitor = Visitor::of_chat(&chat);
    let page = |token: String| {
        let what = pb::ListChatFilesRequest {
            chat_id: chat.clone(),
            order: FileOrder::Oldest.into(),
            page_size: 5,
            page_token: token,
        };
        let visitor = visitor.clone();
        async move { node.files().list_chat_files(request(&visitor, what)).await.map(tonic::Response::into_inner) }
    };
    let first = page(String::new()).await.expect("its own chat");
    assert_eq!(ids(&first.files), ids(&files[..5]));
    for gone in [4, 5] {
        node.delete(&files[gone].file_id, &Service::all()).await.expect("the backend may");
    }
    let second = page(first.next_page_token).await.expect("its own chat");
    assert_eq!(ids(&second.files), ids(&files[6..11]));
    let third = page(second.next_page_token).await.expect("its own chat");
    assert_eq!((ids(&third.files), third.next_page_token.as_str()), (ids(&files[11..]), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_finds_what_it_says_and_no_more() {
    let node = shared().await;
    let (chat, second) = (node.new_chat().await, node.new_chat().await);
    let seventeen = Operator::with(&["use_operator", "upload_new_file"]);
    let eighteen = seventeen.clone().named("18");
    let backend = Service::all();
    let pdf = node.upload("100%_Größe.pdf", samples::sample("pdf")).to_chat(&chat).passes_by(&seventeen).await;
    let png = node.upload("a.png", samples::sample("png")).to_chat(&chat).passes_by(&Visitor::of_chat(&chat)).await;
    let kept = node.upload("kept.txt", samples::text(5_000, &chat)).to_chat(&chat);
    let kept = kept.with(|header| header.persistent = Some(true)).passes_by(&eighteen).await;
    let loose = node.upload("loose.txt", samples::text(6_000, &chat)).to_chat(&chat).passes_by(&eighteen).await;
    let detach = pb::DetachFileRequest { file_id: loose.file_id.clone(), chat_id: chat.clone() };
    node.files().detach_file(request(&backend, detach)).await.expect("the backend may");
    let attach = pb::AttachFileRequest { file_id: pdf.file_id.clone(), chat_id: second.clone(), ..Default::default() };
    node.files().attach_file(request(&backend, attach)).await.expect("the backend may");
    let all = [&pdf, &png, &kept, &loose];

    let since = pdf.create_time;
    let base = ListFilesRequest { created_after: since, page_size: 500, ..ListFilesRequest::default() };
    let both = vec![chat.clone(), second.clone()];
    let cases: Vec<(&str, ListFilesRequest, Vec<&File>)> = vec![
        ("no filter", base.clone(), all.to_vec()),
        ("chat", ListFilesRequest { chat_ids: vec![chat.clone()], ..base.clone() }, vec![&pdf, &png, &kept]),
        ("another chat", ListFilesRequest { chat_ids: vec![second.clone()], ..base.clone() }, vec![&pdf]),
        ("two chats, none twice", ListFilesRequest { chat_ids: both, ..base.clone() }, vec![&pdf, &png, &kept]),
        ("operator", ListFilesRequest { operator_ids: vec!["18".into()], ..base.clone() }, vec![&kept, &loose]),
        ("visitors", ListFilesRequest { visitor_only: true, ..base.clone() }, vec![&png]),
        ("name, either case", ListFilesRequest { name_contains: "gRÖSSE".into(), ..base.clone() }, vec![]),
        (
            "name, ASCII in either case",
            ListFilesRequest { name_contains: "größE.PDF".into(), ..base.clone() },
            vec![&pdf],
        ),
        ("name with %", ListFilesRequest { name_contains: "0%_G".into(), ..base.clone() }, vec![&pdf]),
        ("% is no wildcard", ListFilesRequest { name_contains: "%.png".into(), ..base.clone() }, vec![]),
        ("_ is no wildcard", ListFilesRequest { name_contains: "a_png".into(), ..base.clone() }, vec![]),
        ("persistent", ListFilesRequest { persistent: Some(true), ..base.clone() }, vec![&kept]),
        ("not persistent", ListFilesRequest { persistent: Some(false), ..base.clone() }, vec![&pdf, &png, &loose]),
        ("attached", ListFilesRequest { attached: Some(true), ..base.clone() }, vec![&pdf, &png, &kept]),
        ("not attached", ListFilesRequest { attached: Some(false), ..base.clone() }, vec![&loose]),
        ("extension", ListFilesRequest { extension: "txt".into(), ..base.clone() }, vec![&kept, &loose]),
        ("media type", ListFilesRequest { media_type: "image/png".into(), ..base.clone() }, vec![&png]),
        ("hash", ListFilesRequest { sha256: kept.sha256.clone(), ..base.clone() }, vec![&kept]),
        (
            "least size",
            ListFilesRequest { min_size_bytes: Some(6_000), extension: "txt".into(), ..base.clone() },
            vec![&loose],
        ),
        (
            "most size",
            ListFilesRequest { max_size_bytes: Some(5_000), extension: "txt".into(), ..base.clone() },
            vec![&kept],
        ),
        ("after", ListFilesRequest { created_after: kept.create_time, ..base.clone() }, vec![&kept, &loose]),
        ("before", ListFilesRequest { created_before: kept.create_time, ..base.clone() }, vec![&pdf, &png]),
        ("verdict", ListFilesRequest { verdict: VerdictKind::Clean.into(), ..base.clone() }, all.to_vec()),
        ("another verdict", ListFilesRequest { verdict: VerdictKind::NotScanned.into(), ..base.clone() }, vec![]),
    ];
    for (what, filter, wanted) in cases {
        let with_total = ListFilesRequest { with_total: true, ..filter };
        let page = list(node, with_total, &backend).await.expect(what);
        // Other tests upload to this server too: theirs are left out.
        let ours: BTreeSet<&str> =
            ids(&page.files).into_iter().filter(|id| all.iter().any(|f| f.file_id == *id)).collect();
        let wanted: BTreeSet<&str> = wanted.iter().map(|file| file.file_id.as_str()).collect();
        assert_eq!(ours, wanted, "{what}");
        assert!(page.total.is_some_and(|total| total >= page.files.len() as i64), "{what}: {:?}", page.total);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_belongs_to_one_person_filter_order_and_list() {
    let node = shared().await;
    let (chat, other) = (node.new_chat().await, node.new_chat().await);
    twelve_texts(node, &chat).await;
    twelve_texts(node, &other).await;
    let operator = Operator::with(&["use_operator", "file_list"]);
    let what = ListFilesRequest { chat_ids: vec![chat.clone()], page_size: 5, ..ListFilesRequest::default() };
    let token = list(node, what.clone(), &operator).await.expect("file_list").next_page_token;
    let with = ListFilesRequest { page_token: token.clone(), ..what.clone() };
    assert_eq!(list(node, with.clone(), &operator).await.expect("the next page").files.len(), 5);
    let larger = ListFilesRequest { page_size: 6, ..with.clone() };
    assert_eq!(list(node, larger, &operator).await.expect("another size is no other list").files.len(), 6);

    let of = |change: fn(&mut ListFilesRequest)| {
        let mut changed = with.clone();
        change(&mut changed);
        changed
    };
    let mut answers = vec![
        list(node, with.clone(), &operator.clone().named("18")).await,
        list(node, with.clone(), &Service::all()).await,
        list(node, of(|r| r.order = FileOrder::Oldest.into()), &operator).await,
        list(node, of(|r| r.extension = "txt".into()), &operator).await,
        list(node, of(|r| r.persistent = Some(false)), &operator).await,
        list(node, of(|r| r.page_token = r.page_token.to_uppercase()), &operator).await,
        list(node, of(|r| r.page_token.truncate(10)), &operator).await,
        list(node, of(|r| r.page_token.push('A')), &operator).await,
        list(node, of(|r| r.page_token = "1".into()), &operator).await,
        list(node, ListFilesRequest { chat_ids: vec![other.clone()], ..with.clone() }, &operator).await,
        list(node, ListFilesRequest { chat_ids: vec![chat.clone(), other.clone()], ..with.clone() }, &operator).await,
    ];
    let of_chat =
        pb::ListChatFilesRequest { chat_id: chat.clone(), page_size: 5, page_token: token, ..Default::default() };
    let answer = node.files().list_chat_files(request(&operator, of_chat)).await;
    answers.push(answer.map(|_| ListFilesResponse::default()));
    for (i, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.as_ref().err().map(Status::code), Some(Code::InvalidArgument), "case {i}");
        assert_refused(answer, Code::InvalidArgument, "BAD_PAGE_TOKEN");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_of_chats_is_opaque_and_bound_too() {
    let node = shared().await;
    let mine: Vec<String> = vec![node.new_chat().await, node.new_chat().await, node.new_chat().await];
    let chats: Vec<&str> = mine.iter().map(String::as_str).collect();
    let service = Service::with(&["chat_sync"]).of_chats(&chats);
    let page = |what: pb::ListChatsRequest, caller: Service| async move {
        node.chats().list_chats(request(&caller, what)).await.map(tonic::Response::into_inner)
    };
    let what = pb::ListChatsRequest { page_size: 2, ..Default::default() };
    let first = page(what.clone(), service.clone()).await.expect("chat_sync");
    assert_eq!(first.chats.len(), 2);
    let next = pb::ListChatsRequest { page_token: first.next_page_token.clone(), ..what };
    let second = page(next.clone(), service.clone()).await.expect("chat_sync");
    let found: BTreeSet<&str> = first.chats.iter().chain(&second.chats).map(|c| c.chat_id.as_str()).collect();
    assert_eq!(found, chats.iter().copied().collect());
    let another = Operator::with(&["chat_sync"]);
    let theirs = node.chats().list_chats(request(&another, next.clone())).await;
    assert_refused(theirs, Code::InvalidArgument, "BAD_PAGE_TOKEN");
    let filtered = pb::ListChatsRequest { owner_operator: "17".to_owned(), ..next.clone() };
    assert_refused(page(filtered, service.clone()).await, Code::InvalidArgument, "BAD_PAGE_TOKEN");
    let invented = pb::ListChatsRequest { page_token: chats[0].to_owned(), ..next };
    assert_refused(page(invented, service).await, Code::InvalidArgument, "BAD_PAGE_TOKEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn page_sizes_have_bounds_and_a_default() {
    let node = shared().await;
    for size in [-1, 501, i32::MAX, i32::MIN] {
        let what = ListFilesRequest { page_size: size, ..ListFilesRequest::default() };
        assert_refused(list(node, what, &Service::all()).await, Code::InvalidArgument, "BAD_ARGUMENT");
    }
    let chat = node.new_chat().await;
    let text = samples::text(100, &chat);
    for i in 0..51 {
        node.upload(&format!("{i}.txt"), text.clone()).to_chat(&chat).passes_by(&Operator::new()).await;
    }
    for (size, shown) in [(0, 50), (1, 1), (500, 51)] {
        let what = ListFilesRequest { page_size: size, chat_ids: vec![chat.clone()], ..ListFilesRequest::default() };
        assert_eq!(list(node, what, &Service::all()).await.expect("the backend may").files.len(), shown);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_never_shows_what_get_file_would_not() {
    let node = Node::start(Setup::new()).await;
    let (pdf, backend) = (samples::sample("pdf"), Service::all());
    for chat in ["1", "2", "3"] {
        node.put_chat(chat).await;
        node.upload(&format!("{chat}.pdf"), pdf.clone()).to_chat(chat).passes_by(&backend).await;
    }
    node.upload("library.pdf", pdf.clone()).to_library().passes_by(&backend).await;
    let deleted = node.upload("deleted.pdf", pdf.clone()).to_chat("1").passes_by(&backend).await;
    node.delete(&deleted.file_id, &backend).await.expect("the backend may");
    let callers: Vec<(Box<dyn Caller>, usize)> = vec![
        (Box::new(Operator::with(&["file_list"]).of_chats(&[])), 4),
        (Box::new(Operator::with(&["file_list", "use_operator"]).of_chats(&["1"])), 4),
        (Box::new(Service::all()), 4),
        (Box::new(Service::with(&["file_list"]).of_chats(&["1", "2"])), 2),
        (Box::new(Service::with(&["file_list"]).of_chats(&[])), 0),
    ];
    for (caller, shown) in callers {
        let what = ListFilesRequest { page_size: 500, with_total: true, ..ListFilesRequest::default() };
        let page = list(&node, what, caller.as_ref()).await.expect("file_list");
        assert_eq!((page.files.len(), page.total), (shown, Some(shown as i64)), "{:?}", caller.claims());
        for file in &page.files {
            let got = node.file(&file.file_id, caller.as_ref()).await.expect("what a list shows, GetFile shows");
            assert_eq!(got, *file);
        }
    }
}
