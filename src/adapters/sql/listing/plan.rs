//! Which index a list walks, and the text of its statements.
//!
//! The choice is by what the filters name: a hash, an online visitor, one chat, one uploader, an extension, or nothing. The rest of the
//! filters are looked at row by row. Not here: how far a page walks (`super`).

use diesel::QueryableByName;

use super::super::{
    by_index, lower,
    rows::{blob_state_name, file_state_name, kind_name, origin_name, verdict_name},
    statement::Statement,
};
use crate::domain::{
    BlobState, CallerKind, ChatId, FileState, Person, Sha256, Time, VisitorId,
    listing::{FileFilter, FileQuery, Order, Place},
};

/// A place as a statement answers it.
#[derive(QueryableByName)]
pub(in super::super) struct Spot {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    key: i64,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    number: i64,
}

impl From<Spot> for Place {
    fn from(spot: Spot) -> Self {
        Place { key: spot.key, number: spot.number }
    }
}

/// What the walked index starts with.
#[derive(Clone, Copy)]
enum Along<'q> {
    All,
    Hash(Sha256),
    Visitor(&'q VisitorId),
    Chat(&'q ChatId),
    Uploader(&'q Person),
    Extension(&'q str),
}

/// A list's statements.
pub(in super::super::super) struct Plan<'q> {
    filter: &'q FileFilter,
    scope: Option<&'q [ChatId]>,
    deleted_after: Option<Time>,
    along: Along<'q>,
    order: Order,
}

impl<'q> Plan<'q> {
    pub(in super::super::super) fn new(query: &'q FileQuery) -> Self {
        let filter = &query.filter;
        let scope = query.scope.as_deref();
        let visitor = filter.visitor.as_ref();
        let along = match (filter.sha256, visitor, filter.chats.as_slice(), scope, filter.uploaders.as_slice()) {
            (Some(sha256), ..) => Along::Hash(sha256),
            (None, Some(visitor), ..) => Along::Visitor(visitor),
            (None, None, [chat], ..) | (None, None, _, Some([chat]), _) => Along::Chat(chat),
            (None, None, _, _, [person]) => Along::Uploader(person),
            _ => filter.extension.as_deref().map_or(Along::All, Along::Extension),
        };
        // Files of one hash are all of one size: any order of theirs is "largest first", so they need no index for it.
        let order = match (along, query.order) {
            (Along::Hash(_), Order::Largest) => Order::Newest,
            (_, order) => order,
        };
        Self { filter, scope, deleted_after: query.deleted_after, along, order }
    }

    fn state(&self) -> &'static str {
        file_state_name(if self.deleted_after.is_some() { FileState::Deleted } else { FileState::Ready })
    }

    fn by_size(&self) -> bool {
        self.order == Order::Largest
    }

    /// The columns of the order, in the table that is walked (`d`).
    const fn columns(&self) -> (&'static str, &'static str) {
        match (self.along, self.order) {
            (Along::Chat(_), Order::Largest) => ("d.file_size", "d.file_number"),
            (Along::Chat(_), Order::Newest | Order::Oldest) => ("d.file_created_at", "d.file_number"),
            (_, Order::Largest) => ("d.size", "d.number"),
            (_, Order::Newest | Order::Oldest) => ("d.created_at", "d.number"),
        }
    }

    /// The walked table with its index.
    fn table(&self) -> String {
        let (table, by_time, by_size) = match self.along {
            Along::All => ("files", "files_created", "files_size"),
            Along::Hash(_) => ("files", "files_sha256", "files_sha256"),
            Along::Visitor(_) => ("files", "files_visitor_created", "files_visitor_size"),
            Along::Chat(_) => ("attachments", "attachments_created", "attachments_size"),
            Along::Uploader(_) => ("files", "files_uploader_created", "files_uploader_size"),
            Along::Extension(_) => ("files", "files_extension_created", "files_extension_size"),
        };
        format!("{table} d{}", by_index(if self.by_size() { by_size } else { by_time }))
    }

    /// What the index answers: its first columns, and bounds on the column of the order.
    fn index_conditions(&self, s: &mut Statement) {
        s.sql(" WHERE ");
        match self.along {
            Along::Chat(chat) => {
                s.sql("d.chat_id = ").text(chat.as_str());
            }
            Along::All | Along::Hash(_) | Along::Visitor(_) | Along::Uploader(_) | Along::Extension(_) => {
                s.sql("d.state = ").text(self.state());
            }
        }
        match self.along {
            Along::All | Along::Chat(_) => {}
            Along::Hash(sha256) => {
                s.sql(" AND d.sha256 = ").bytes(&sha256.0);
            }
            Along::Visitor(id) => {
                s.sql(" AND d.visitor_id = ").text(id.as_str());
            }
            Along::Uploader(person) => {
                s.sql(" AND d.uploader_kind = ").text(kind_name(person.kind()));
                s.sql(" AND d.uploader_id = ").text(person.id());
            }
            Along::Extension(extension) => {
                s.sql(" AND d.extension = ").text(extension);
            }
        }
        let key = self.columns().0;
        if self.by_size() {
            self.sizes(key, s);
        } else {
            self.times(key, s);
        }
    }

    fn sizes(&self, column: &str, s: &mut Statement) {
        if let Some(min) = self.filter.min_size {
            s.sql(" AND ").sql(column).sql(" >= ").int(i64::try_from(min).unwrap_or(i64::MAX));
        }
        if let Some(max) = self.filter.max_size {
            s.sql(" AND ").sql(column).sql(" <= ").int(i64::try_from(max).unwrap_or(i64::MAX));
        }
    }

    fn times(&self, column: &str, s: &mut Statement) {
        if let Some(from) = self.filter.from {
            s.sql(" AND ").sql(column).sql(" >= ").int(from.0);
        }
        if let Some(before) = self.filter.before {
            s.sql(" AND ").sql(column).sql(" < ").int(before.0);
        }
    }

    /// After one place, up to another, both along the order.
    fn between(&self, after: Option<Place>, until: Option<Place>, s: &mut Statement) {
        let (key, number) = self.columns();
        let (past, to) = if self.order == Order::Oldest { (" > (", " <= (") } else { (" < (", " >= (") };
        for (place, compare) in [(after, past), (until, to)] {
            if let Some(place) = place {
                s.sql(" AND (").sql(key).sql(", ").sql(number).sql(")").sql(compare);
                s.int(place.key).sql(", ").int(place.number).sql(")");
            }
        }
    }

    fn in_order(&self, s: &mut Statement) {
        let (key, number) = self.columns();
        let way = if self.order == Order::Oldest { "" } else { " DESC" };
        s.sql(" ORDER BY ").sql(key).sql(way).sql(", ").sql(number).sql(way);
    }

    fn select(&self) -> Statement {
        let (key, number) = self.columns();
        let mut s = Statement::new("SELECT ");
        s.sql(key).sql(" AS key, ").sql(number).sql(" AS number FROM ").sql(&self.table());
        s
    }

    /// The last place of a window of `size` rows, if there are so many.
    pub(in super::super) fn window_end(&self, after: Option<Place>, size: i64) -> Statement {
        let mut s = self.select();
        self.index_conditions(&mut s);
        self.between(after, None, &mut s);
        self.in_order(&mut s);
        s.sql(" LIMIT 1 OFFSET ").int(size - 1);
        s
    }

    /// The places within a window that every filter lets through.
    pub(in super::super) fn page(&self, after: Option<Place>, until: Option<Place>, limit: i64) -> Statement {
        let mut s = self.select();
        self.joined(&mut s);
        self.between(after, until, &mut s);
        self.in_order(&mut s);
        s.sql(" LIMIT ").int(limit);
        s
    }

    /// How many there are, up to a place.
    pub(in super::super) fn total(&self, until: Option<Place>) -> Statement {
        let mut s = Statement::new("SELECT COUNT(*) AS total FROM ");
        s.sql(&self.table());
        self.joined(&mut s);
        self.between(None, until, &mut s);
        s
    }

    /// The joins with all conditions. `CROSS JOIN` keeps the walked table outermost on SQLite, so that the order is
    /// the index's.
    fn joined(&self, s: &mut Statement) {
        let along_chat = matches!(self.along, Along::Chat(_));
        if along_chat {
            s.sql(" CROSS JOIN files f");
        }
        s.sql(" CROSS JOIN blobs b");
        self.index_conditions(s);
        if along_chat {
            s.sql(" AND f.number = d.file_number AND f.state = ").text(self.state());
        }
        let f = if along_chat { "f" } else { "d" };
        s.sql(" AND b.id = ").sql(f).sql(".blob_id AND b.state = ").text(blob_state_name(BlobState::Active));
        self.residual(f, s);
    }

    /// The filters that are looked at row by row; one that the index answers already may be among them.
    fn residual(&self, f: &str, s: &mut Statement) {
        let FileFilter {
            chats,
            uploaders,
            visitors_only,
            name_contains,
            persistent,
            attached,
            extension,
            media_type,
            sha256,
            min_size: _,
            max_size: _,
            from: _,
            before: _,
            verdict,
            visitor,
            origin,
        } = self.filter;
        let chats = Some(chats.as_slice()).filter(|chats| !chats.is_empty());
        for set in [chats, self.scope].into_iter().flatten() {
            let walked = matches!(self.along, Along::Chat(chat) if [chat].into_iter().eq(set));
            if !walked {
                self.attached_to(f, Some(set), s);
            }
        }
        if !uploaders.is_empty() {
            for (i, person) in uploaders.iter().enumerate() {
                s.sql(if i == 0 { " AND ((" } else { " OR (" }).sql(f).sql(".uploader_kind = ");
                s.text(kind_name(person.kind())).sql(" AND ").sql(f).sql(".uploader_id = ").text(person.id()).sql(")");
            }
            s.sql(")");
        }
        if let Some(after) = self.deleted_after {
            s.sql(" AND ").sql(f).sql(".deleted_at > ").int(after.0);
        }
        let column = |s: &mut Statement, name: &str| {
            s.sql(" AND ").sql(f).sql(".").sql(name).sql(" = ");
        };
        if *visitors_only {
            column(s, "uploader_kind");
            s.text(kind_name(CallerKind::Visitor));
        }
        if let Some(persistent) = persistent {
            column(s, "persistent");
            s.bool(*persistent);
        }
        if let Some(extension) = extension {
            column(s, "extension");
            s.text(extension);
        }
        if let Some(media_type) = media_type {
            column(s, "media_type");
            s.text(media_type);
        }
        if let Some(sha256) = sha256 {
            column(s, "sha256");
            s.bytes(&sha256.0);
        }
        if let Some(visitor) = visitor {
            column(s, "visitor_id");
            s.text(visitor.as_str());
        }
        if let Some(origin) = origin {
            column(s, "origin");
            s.text(origin_name(*origin));
        }
        if let Some(part) = name_contains {
            s.sql(" AND ")
                .sql(&lower(&format!("{f}.display_name")))
                .sql(" LIKE ")
                .text(&like(part))
                .sql(" ESCAPE '\\'");
        }
        match attached {
            Some(true) => self.attached_to(f, None, s),
            Some(false) => {
                s.sql(" AND NOT EXISTS (SELECT 1 FROM attachments a WHERE a.file_number = ").sql(f).sql(".number)");
            }
            None => {}
        }
        if self.by_size() {
            self.times(&format!("{f}.created_at"), s);
        } else {
            self.sizes(&format!("{f}.size"), s);
        }
        if let Some(verdict) = verdict {
            s.sql(" AND b.verdict = ").text(verdict_name(*verdict));
        }
    }

    /// Attached to one of these chats, or to any.
    fn attached_to(&self, f: &str, chats: Option<&[ChatId]>, s: &mut Statement) {
        s.sql(" AND EXISTS (SELECT 1 FROM attachments a WHERE a.file_number = ").sql(f).sql(".number");
        if let Some(chats) = chats {
            s.sql(" AND a.chat_id IN ").texts(chats.iter().map(|id| id.as_str()));
        }
        s.sql(")");
    }
}

/// A pattern that matches names holding `part`, in lower case (ASCII), its wildcards escaped.
fn like(part: &str) -> String {
    let mut pattern = String::from("%");
    for c in part.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c.to_ascii_lowercase());
    }
    pattern.push('%');
    pattern
}
