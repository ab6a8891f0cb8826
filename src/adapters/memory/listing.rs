//! Lists of files in memory: everything is looked at, whatever the filters, so a total is always exact and a page as
//! full as it can be.
//!
//! Not here: how far a page of a real engine may look (`adapters/sql/listing.rs`).

use super::{Tables, files::FileRow};
use crate::domain::{
    BlobState, Caller, CallerKind, FileState, FileView,
    file::MAX_CHATS_LISTED,
    listing::{FileFilter, FileQuery, Order, PAGE_SIZES, Page, Place, Total},
};

impl Tables {
    pub(super) fn list(&self, query: &FileQuery, caller: &Caller) -> Page<FileView> {
        let place = |row: &FileRow| Place {
            key: match query.order {
                Order::Newest | Order::Oldest => row.file.created_at.0,
                Order::Largest => self.size(row),
            },
            number: row.file.number,
        };
        let mut found: Vec<(Place, &FileRow)> =
            self.files.values().filter(|row| self.matches(row, query)).map(|row| (place(row), row)).collect();
        let rank = |place: &Place| match query.order {
            Order::Oldest => (place.key, place.number),
            Order::Newest | Order::Largest => (-place.key, -place.number),
        };
        found.sort_by_key(|(place, _)| rank(place));
        let total = query.with_total.then(|| Total::exactly(found.len() as u64));
        if let Some(after) = &query.after {
            found.retain(|(place, _)| rank(place) > rank(after));
        }
        let (smallest, largest, _) = PAGE_SIZES;
        let limit = query.limit.clamp(smallest, largest) as usize;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().map(|(place, _)| *place).filter(|_| more);
        let rows = found.into_iter().filter_map(|(_, row)| self.view(row, caller, MAX_CHATS_LISTED)).collect();
        Page { rows, next, total }
    }

    fn size(&self, row: &FileRow) -> i64 {
        self.blobs.get(&row.blob).map_or(0, |row| i64::try_from(row.blob.size).unwrap_or(i64::MAX))
    }

    fn matches(&self, row: &FileRow, query: &FileQuery) -> bool {
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
            min_size,
            max_size,
            from,
            before,
            verdict,
            visitor,
            origin,
        } = &query.filter;
        let (file, Some(blob)) = (&row.file, self.blobs.get(&row.blob).map(|row| &row.blob)) else { return false };
        let attached_to: Vec<_> =
            self.attachments.keys().filter(|(number, _)| *number == file.number).map(|(_, chat)| chat).collect();
        let lower = |name: &str| name.to_ascii_lowercase();
        let state = if query.deleted_after.is_some() { FileState::Deleted } else { FileState::Ready };
        file.state == state
            && query.deleted_after.is_none_or(|after| file.deleted_at.is_some_and(|at| at > after))
            && blob.state == BlobState::Active
            && query.scope.as_ref().is_none_or(|scope| attached_to.iter().any(|chat| scope.contains(chat)))
            && (chats.is_empty() || attached_to.iter().any(|chat| chats.contains(chat)))
            && (uploaders.is_empty() || uploaders.contains(&file.uploader))
            && (!visitors_only || file.uploader.kind() == CallerKind::Visitor)
            && name_contains.as_ref().is_none_or(|part| lower(file.display_name.as_str()).contains(&lower(part)))
            && persistent.is_none_or(|persistent| file.persistent == persistent)
            && attached.is_none_or(|attached| attached_to.is_empty() != attached)
            && extension.as_ref().is_none_or(|extension| file.extension.as_str() == extension)
            && media_type.as_ref().is_none_or(|media_type| file.media_type == *media_type)
            && sha256.is_none_or(|sha256| blob.sha256 == sha256)
            && min_size.is_none_or(|min| blob.size >= min)
            && max_size.is_none_or(|max| blob.size <= max)
            && from.is_none_or(|from| file.created_at >= from)
            && before.is_none_or(|before| file.created_at < before)
            && verdict.is_none_or(|verdict| blob.verdict.kind == verdict)
            && visitor.as_ref().is_none_or(|visitor| file.visitor_id.as_ref() == Some(visitor))
            && origin.is_none_or(|origin| file.origin == Some(origin))
    }
}
