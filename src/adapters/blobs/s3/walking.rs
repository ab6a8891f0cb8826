//! The store walked as it is: its objects in the order of their names, and then its uploads in parts.
//!
//! Names below our prefix that are none of ours may be another store's, one of a longer prefix: they are told, and no name
//! with a slash in it is ever removed. Not here: the lists (`asking.rs`), and what is concluded from them (`app/`).

use std::io;

use object_store::{ObjectStoreExt as _, path::Path};

use super::{
    Bucket, PROBE, STORE_ID,
    asking::{Object, Open, moment},
    broken, failed, is_not_there,
    place::{ASKING, within},
};
use crate::{
    domain::{BlobKey, Time, consistency::StrangeName},
    ports::{BlobError, Found, MultipartId, Removal, WalkPage, WalkPlace},
};

/// Names that are ours and no keys.
const OWN: [&str; 2] = [STORE_ID, PROBE];

/// Where a walk is.
enum At {
    /// After the object of this name.
    Objects(String),
    /// After the upload in parts of this name and id.
    Uploads(String, String),
}

impl At {
    fn read(place: Option<&WalkPlace>) -> Option<Self> {
        let Some(WalkPlace(bytes)) = place else { return Some(Self::Objects(String::new())) };
        let text = std::str::from_utf8(bytes).ok()?;
        match text.split_at_checked(1)? {
            ("o", name) => Some(Self::Objects(name.to_owned())),
            ("u", rest) => {
                let (name, id) = rest.split_once('\0')?;
                Some(Self::Uploads(name.to_owned(), id.to_owned()))
            }
            _ => None,
        }
    }

    fn place(&self) -> WalkPlace {
        WalkPlace(match self {
            Self::Objects(name) => format!("o{name}").into_bytes(),
            Self::Uploads(name, id) => format!("u{name}\0{id}").into_bytes(),
        })
    }
}

/// The name is one that object_store asks for as it is.
fn is_plain(name: &str, path: &str) -> bool {
    !name.is_empty() && !name.contains('/') && Path::parse(path).is_ok_and(|parsed| parsed.as_ref() == path)
}

impl Bucket {
    /// What all names of ours begin with, slash included.
    fn begins(&self) -> String {
        if self.place.prefix.is_empty() { String::new() } else { format!("{}/", self.place.prefix) }
    }

    pub(super) async fn walk(&self, after: Option<&WalkPlace>, limit: usize) -> Result<WalkPage, BlobError> {
        let begins = self.begins();
        let lost = || broken(io::ErrorKind::InvalidInput, "the walk's place is none of this store");
        match At::read(after).ok_or_else(lost)? {
            At::Objects(after) => {
                let list = self.asking.objects(&begins, &after, limit).await?;
                let next = match list.contents.last() {
                    Some(last) if list.is_truncated => At::Objects(last.key.clone()),
                    Some(_) | None => At::Uploads(String::new(), String::new()),
                };
                let found =
                    list.contents.into_iter().filter_map(|object| self.object_found(&begins, object).transpose());
                Ok(WalkPage { found: found.collect::<Result<_, _>>()?, next: Some(next.place()) })
            }
            At::Uploads(name, id) => {
                let list = self.asking.uploads(&begins, (&name, &id), limit).await?;
                let marker = list.next_key_marker.filter(|_| list.is_truncated);
                let next = marker.map(|name| At::Uploads(name, list.next_upload_id_marker.unwrap_or_default()).place());
                let found = list.uploads.into_iter().filter_map(|open| upload_found(&begins, open).transpose());
                Ok(WalkPage { found: found.collect::<Result<_, _>>()?, next })
            }
        }
    }

    fn object_found(&self, begins: &str, object: Object) -> Result<Option<Found>, BlobError> {
        let Object { key: path, last_modified, size } = object;
        let Some(name) = path.strip_prefix(begins) else { return Ok(None) };
        if OWN.contains(&name) {
            return Ok(None);
        }
        let modified = moment(&last_modified)?;
        Ok(Some(match name.parse::<BlobKey>() {
            Ok(key) => Found::Bytes { key, size, modified },
            Err(_) => {
                let plain = is_plain(name, &path);
                Found::Strange { name: StrangeName(name.as_bytes().to_vec()), size, modified, plain }
            }
        }))
    }

    pub(super) async fn remove_strange(&self, name: &StrangeName, before: Time) -> Result<Removal, BlobError> {
        let Ok(name) = std::str::from_utf8(&name.0) else { return Ok(Removal::Refused) };
        let path = format!("{}{name}", self.begins());
        if !is_plain(name, &path) || OWN.contains(&name) || name.parse::<BlobKey>().is_ok() {
            return Ok(Removal::Refused);
        }
        let object = Path::parse(&path).map_err(|e| failed(e.into()))?;
        match within(ASKING, self.store.head(&object)).await? {
            Ok(meta) if Time(meta.last_modified.timestamp_micros()) >= before => return Ok(Removal::Young),
            Ok(_) => {}
            Err(error) if is_not_there(&error) => return Ok(Removal::Gone),
            Err(error) => return Err(failed(error)),
        }
        self.remove(&object).await?;
        Ok(Removal::Removed)
    }
}

/// Those to names that are none of ours are another's, or a probe's, which ends them itself.
fn upload_found(begins: &str, open: Open) -> Result<Option<Found>, BlobError> {
    let Open { key: path, upload_id, initiated } = open;
    let Some(Ok(key)) = path.strip_prefix(begins).map(str::parse::<BlobKey>) else { return Ok(None) };
    let untold =
        || broken(io::ErrorKind::InvalidData, "the list of uploads in parts does not say when they were begun");
    let begun = moment(&initiated.ok_or_else(untold)?)?;
    Ok(Some(Found::Parts { key, id: MultipartId(upload_id), begun }))
}
