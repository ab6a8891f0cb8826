//! Lists of files: keyset pages along an index that the filters choose, and never more than a bounded search.
//!
//! A page walks its index in windows that grow: a statement on the index alone finds where a window ends, a second one
//! applies all filters inside it. So a filter without an index looks at [`MAX_EXAMINED`] rows at most and then answers
//! a short page with the place to go on from. A total looks at [`MAX_COUNTED`] rows at most. Not here: the text of the
//! statements (`plan.rs`).

use std::collections::HashMap;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    Conn,
    rows::{BlobRow, ChatRow, FileRow},
    schema::{blobs, files},
    statement::Statement,
};
use crate::{
    domain::{
        Caller, Chat, ChatSet, File, FileView,
        file::MAX_CHATS_LISTED,
        listing::{FileQuery, MAX_COUNTED, MAX_EXAMINED, PAGE_SIZES, Page, Place, Total},
    },
    ports::StoreError,
};

#[path = "listing/plan.rs"]
pub(in super::super) mod plan;
use plan::{Plan, Spot};

/// How much larger each window is than the one before.
const GROWTH: i64 = 8;
/// Rows of the first window beyond the page: a few masked ones cost no second window.
const SPARE: i64 = 16;

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    total: i64,
}

/// A page of the files that match, as this caller sees them.
pub(in super::super) async fn list(
    conn: &mut Conn,
    query: FileQuery,
    caller: &Caller,
) -> Result<Page<FileView>, StoreError> {
    let (smallest, largest, _) = PAGE_SIZES;
    let limit = query.limit.clamp(smallest, largest) as usize;
    let plan = Plan::new(&query);
    let (spots, next) = walk(conn, &plan, query.after, limit).await?;
    let rows = load(conn, &spots, caller).await?;
    let total = if query.with_total { Some(count(conn, &plan, MAX_COUNTED).await?) } else { None };
    Ok(Page { rows, next, total })
}

/// How many match, among the first `most` rows of the index that is walked: a count holds a reader, of which there are
/// few, so it must end soon whatever is asked for.
pub(in super::super) async fn count(conn: &mut Conn, plan: &Plan<'_>, most: i64) -> Result<Total, StoreError> {
    let end = window_end(conn, plan, None, most).await?;
    let counted: Counted = plan.total(end).query().get_result(conn).await?;
    let is_lower_bound = match end {
        Some(_) => window_end(conn, plan, end, 1).await?.is_some(),
        None => false,
    };
    Ok(Total { files: counted.total.unsigned_abs(), is_lower_bound })
}

/// The last place of a window of so many rows of the index, if there are so many.
pub(in super::super) async fn window_end(
    conn: &mut Conn,
    plan: &Plan<'_>,
    after: Option<Place>,
    size: i64,
) -> Result<Option<Place>, StoreError> {
    let spot: Option<Spot> = plan.window_end(after, size).query().get_result(conn).await.optional()?;
    Ok(spot.map(Place::from))
}

/// The places of the page's rows, and where the next page starts.
async fn walk(
    conn: &mut Conn,
    plan: &Plan<'_>,
    after: Option<Place>,
    limit: usize,
) -> Result<(Vec<Place>, Option<Place>), StoreError> {
    let mut found: Vec<Place> = Vec::with_capacity(limit + 1);
    let mut from = after;
    let mut examined = 0;
    let mut window = limit as i64 + SPARE;
    loop {
        let size = window.min(MAX_EXAMINED - examined);
        let end = window_end(conn, plan, from, size).await?;
        let wanted = limit + 1 - found.len();
        let spots: Vec<Spot> = plan.page(from, end, wanted as i64).query().load(conn).await?;
        found.extend(spots.into_iter().map(Place::from));
        if found.len() > limit {
            found.truncate(limit);
            let next = found.last().copied();
            return Ok((found, next));
        }
        examined += size;
        if end.is_none() || examined >= MAX_EXAMINED {
            return Ok((found, end));
        }
        from = end;
        window *= GROWTH;
    }
}

/// The rows at these places, in their order, each with the chats that the caller may access: two statements a page.
async fn load(conn: &mut Conn, spots: &[Place], caller: &Caller) -> Result<Vec<FileView>, StoreError> {
    if spots.is_empty() {
        return Ok(Vec::new());
    }
    let numbers: Vec<i64> = spots.iter().map(|s| s.number).collect();
    let found: Vec<(FileRow, BlobRow)> = files::table
        .inner_join(blobs::table)
        .filter(files::number.eq_any(&numbers))
        .select((FileRow::as_select(), BlobRow::as_select()))
        .load(conn)
        .await?;
    let mut chats: HashMap<i64, Vec<Chat>> = HashMap::new();
    let attached: Vec<AttachedChat> = visible_chats(&numbers, caller).query().load(conn).await?;
    for row in attached {
        chats.entry(row.file_number).or_default().push(row.chat.try_into()?);
    }
    let mut views: HashMap<i64, FileView> = HashMap::new();
    for (file, blob) in found {
        let file = File::try_from(file)?;
        let mut chats = chats.remove(&file.number).unwrap_or_default();
        chats.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let chats_truncated = chats.len() > MAX_CHATS_LISTED;
        chats.truncate(MAX_CHATS_LISTED);
        views.insert(file.number, FileView { file, blob: blob.try_into()?, chats, chats_truncated });
    }
    Ok(numbers.iter().filter_map(|number| views.remove(number)).collect())
}

#[derive(QueryableByName)]
struct AttachedChat {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    file_number: i64,
    #[diesel(embed)]
    chat: ChatRow,
}

/// The chats of each file that the caller may access ([`Caller::may_access`], as SQL), at most one more each than is
/// shown.
fn visible_chats(numbers: &[i64], caller: &Caller) -> Statement {
    let ceiling = caller.ceiling.as_ref().map_or(&ChatSet::All, |c| &c.chats);
    let mut s = Statement::new(
        "SELECT file_number, id, status, owner, closed_at, upload_override, version, deleted, updated_at FROM ( \
         SELECT p.number AS file_number, c.id, c.status, c.owner, c.closed_at, c.upload_override, c.version, \
         c.deleted, c.updated_at, ROW_NUMBER() OVER (PARTITION BY p.number ORDER BY a.chat_id) AS place FROM ",
    );
    if caller.chats == ChatSet::All && *ceiling == ChatSet::All {
        // Everything is shown, so the first ones are known before they are joined: a file attached to a million chats
        // costs no more than one attached to a few.
        s.sql("(SELECT number, (SELECT o.chat_id FROM attachments o WHERE o.file_number = files.number ");
        s.sql("ORDER BY o.chat_id LIMIT 1 OFFSET ").int(MAX_CHATS_LISTED as i64);
        s.sql(") AS last FROM files WHERE number IN ").ints(numbers.iter().copied());
        s.sql(") p CROSS JOIN attachments a CROSS JOIN chats c WHERE a.file_number = p.number ");
        s.sql("AND a.chat_id <= COALESCE(p.last, ").text(&"~".repeat(65)).sql(")");
    } else {
        s.sql("(SELECT number FROM files WHERE number IN ").ints(numbers.iter().copied());
        s.sql(") p CROSS JOIN attachments a CROSS JOIN chats c WHERE a.file_number = p.number");
    }
    s.sql(" AND c.id = a.chat_id AND NOT c.deleted");
    if let ChatSet::Only(ids) = &caller.chats {
        s.sql(" AND (a.chat_id IN ").texts(ids.iter().map(|id| id.as_str()));
        if let Some(own) = caller.operator() {
            s.sql(" OR c.owner = ").text(own.as_str());
        }
        s.sql(")");
    }
    if let ChatSet::Only(ids) = ceiling {
        s.sql(" AND a.chat_id IN ").texts(ids.iter().map(|id| id.as_str()));
    }
    s.sql(") shown WHERE place <= ").int(MAX_CHATS_LISTED as i64 + 1);
    s
}
