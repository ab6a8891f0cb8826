//! Holds: put, lifted, listed, and asked for before a file ends.
//!
//! Not here: who may ([`crate::domain::access`]), and what is refused for a held file (the transactions that end one).

use diesel::{prelude::*, sql_types::BigInt};
use diesel_async::RunQueryDsl;

use super::{
    Backend, Conn, change_holds, chats, events, files as rows_of_files, keep_holds,
    rows::{self, corrupt},
    schema::holds,
    statement::Statement,
};
use crate::{
    domain::{
        Actor, Caller, ChatId, EventKind, FileState, Hold, HoldOn, Matter, Person, Time, access, hold::is_unbounded,
        listing::FileRef,
    },
    ports::{HoldQuery, Stop, StoreError},
};

/// Whether a row of `files` is held, by any of the five ways.
pub(super) const HELD: &str = "(EXISTS (SELECT 1 FROM holds h WHERE h.file_number = files.number) \
     OR EXISTS (SELECT 1 FROM holds h WHERE h.what = files.uploader_kind AND h.target = files.uploader_id) \
     OR EXISTS (SELECT 1 FROM holds h WHERE h.what = 'VISITOR' AND h.target = files.visitor_id) \
     OR EXISTS (SELECT 1 FROM holds h WHERE h.what = 'CHAT' AND h.target = files.home_chat_id) \
     OR EXISTS (SELECT 1 FROM attachments a JOIN holds h ON h.what = 'CHAT' AND h.target = a.chat_id \
     WHERE a.file_number = files.number))";

#[derive(Queryable, Selectable)]
#[diesel(table_name = holds)]
struct HoldRow {
    number: i64,
    what: String,
    target: String,
    matter: String,
    by_kind: String,
    by_id: String,
    by_service: Option<String>,
    at: i64,
}

impl HoldRow {
    fn hold(self) -> Result<Hold, StoreError> {
        let bad = |column| corrupt("holds", column, self.number);
        let kind = rows::find_kind(&self.by_kind).ok_or_else(|| bad("by_kind"))?;
        let acting_service = self.by_service.as_deref().map(str::parse).transpose().map_err(|_| bad("by_service"))?;
        Ok(Hold {
            on: HoldOn::new(&self.what, &self.target).map_err(|_| bad("target"))?,
            matter: Matter::new(&self.matter).map_err(|_| bad("matter"))?,
            put_by: Actor { person: Some(Person::new(kind, &self.by_id).map_err(|_| bad("by_id"))?), acting_service },
            put_at: Time(self.at),
        })
    }
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// What is there for this caller to be held; the number of a file.
async fn reach(conn: &mut Conn, on: &HoldOn, caller: &Caller) -> Result<Option<i64>, Stop> {
    match on {
        HoldOn::File(id) => {
            let found = rows_of_files::find(conn, FileRef::Id(*id), caller).await?;
            Ok(Some(access::see_to_hold(caller, found.as_ref())?.file.number))
        }
        HoldOn::Chat(id) => {
            let found = chats::find(conn, id.clone()).await?;
            access::see_chat_to_hold(caller, id, found.as_ref())?;
            Ok(None)
        }
        HoldOn::Visitor(_) | HoldOn::Operator(_) => {
            access::see_persons_to_hold(caller)?;
            Ok(None)
        }
    }
}

#[diesel::dsl::auto_type(no_type_alias)]
fn of_one<'a>(on: &HoldOn, target: &'a str, matter: &'a Matter) -> _ {
    let kind: &'static str = on.kind();
    let matter: &'a str = matter.as_str();
    holds::table.filter(holds::what.eq(kind)).filter(holds::target.eq(target)).filter(holds::matter.eq(matter))
}

/// What is held is looked for under the lock: a transaction that ends it has ended before, or sees this hold.
pub(super) async fn put(conn: &mut Conn, on: HoldOn, matter: Matter, caller: &Caller, now: Time) -> Result<Hold, Stop> {
    change_holds(conn).await?;
    let file_number = reach(conn, &on, caller).await?;
    let target = on.id();
    let there: Option<HoldRow> =
        of_one(&on, &target, &matter).select(HoldRow::as_select()).first(conn).await.optional()?;
    if let Some(there) = there {
        return Ok(there.hold()?);
    }
    let hold = Hold { on, matter, put_by: Actor::from(caller), put_at: now };
    diesel::insert_into(holds::table)
        .values((
            holds::what.eq(hold.on.kind()),
            holds::target.eq(&target),
            holds::file_number.eq(file_number),
            holds::matter.eq(hold.matter.as_str()),
            holds::by_kind.eq(rows::kind_name(caller.kind())),
            holds::by_id.eq(caller.person.id()),
            holds::by_service.eq(hold.put_by.acting_service.as_ref().map(|service| service.as_str())),
            holds::at.eq(now.0),
        ))
        .execute(conn)
        .await?;
    events::write(conn, &hold.on.event(EventKind::HoldPut, caller), now).await?;
    Ok(hold)
}

pub(super) async fn lift(
    conn: &mut Conn,
    on: HoldOn,
    matter: Matter,
    caller: &Caller,
    now: Time,
) -> Result<bool, Stop> {
    if !is_unbounded(caller) {
        reach(conn, &on, caller).await?;
    }
    let target = on.id();
    let lifted = diesel::delete(of_one(&on, &target, &matter)).execute(conn).await? > 0;
    if lifted {
        events::write(conn, &on.event(EventKind::HoldLifted, caller), now).await?;
    }
    Ok(lifted)
}

pub(in super::super) async fn list(
    conn: &mut Conn,
    query: HoldQuery,
    caller: &Caller,
) -> Result<Vec<(i64, Hold)>, Stop> {
    let HoldQuery { on, before, limit } = query;
    if !is_unbounded(caller) {
        match &on {
            Some(on) => drop(reach(conn, on, caller).await?),
            None => return Err(access::names_what_it_reaches().into()),
        }
    }
    let mut list = holds::table
        .select(HoldRow::as_select())
        .filter(holds::number.lt(before.unwrap_or(i64::MAX)))
        .order(holds::number.desc())
        .limit(i64::from(limit))
        .into_boxed::<Backend>();
    if let Some(on) = on {
        list = list.filter(holds::what.eq(on.kind())).filter(holds::target.eq(on.id()));
    }
    let found: Vec<HoldRow> = list.load(conn).await?;
    found.into_iter().map(|row| Ok((row.number, row.hold()?))).collect::<Result<_, StoreError>>().map_err(Stop::from)
}

async fn any(conn: &mut Conn, found: Statement) -> Result<bool, StoreError> {
    let found: Vec<Found> = found.query().load(conn).await?;
    Ok(found.iter().any(|row| row.number >= 0))
}

/// A file is held, and no hold is put until this transaction ends.
pub(super) async fn is_held(conn: &mut Conn, file_number: i64) -> Result<bool, StoreError> {
    keep_holds(conn).await?;
    let mut found = Statement::new("SELECT files.number FROM files WHERE files.number = ");
    found.int(file_number).sql(" AND ").sql(HELD);
    any(conn, found).await
}

/// A chat is held, or a file that its end would delete or detach; and no hold is put until this transaction ends.
pub(super) async fn is_chat_held(conn: &mut Conn, id: &ChatId) -> Result<bool, StoreError> {
    keep_holds(conn).await?;
    let own = holds::table.filter(holds::what.eq("CHAT")).filter(holds::target.eq(id.as_str()));
    if diesel::select(diesel::dsl::exists(own)).get_result(conn).await? {
        return Ok(true);
    }
    let mut found =
        Statement::new("SELECT files.number FROM files WHERE files.number IN (SELECT f.number FROM files f ");
    found.sql("WHERE f.home_chat_id = ").text(id.as_str()).sql(" UNION ALL SELECT file_number FROM attachments ");
    found.sql("WHERE chat_id = ").text(id.as_str()).sql(") AND files.state = ");
    found.text(rows::file_state_name(FileState::Ready)).sql(" AND (NOT ").sql(chats::ATTACHED_ELSEWHERE);
    found.text(id.as_str()).sql(") OR EXISTS (SELECT 1 FROM attachments a WHERE a.file_number = files.number ");
    found.sql("AND a.chat_id = ").text(id.as_str()).sql(")) AND ").sql(HELD).sql(" LIMIT 1");
    any(conn, found).await
}
