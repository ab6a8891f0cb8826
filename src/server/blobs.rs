//! The store of bytes as configured, and that it is the one this database belongs to.
//!
//! A database whose rows name keys of another store would serve nothing and clean up what it must not, so each pair
//! shares an id: the database claims it, the store of bytes gets it, the database notes that it has it. Not here: how
//! either keeps it (`adapters/`).

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    adapters::{
        blobs::{DiskBlobs, Outside, S3Blobs, S3Place},
        sql::{PostgresStore, SqliteStore},
    },
    app::moving::filling_id,
    config::{BlobPlace, Config, DatabasePlace},
    domain::{BlobKey, StoreId},
    ports::{BlobError, BlobStore, INCOMPLETE_COPY, Ids, PairingStore, Spool, StoreClaim},
};

use super::{ServeError, database};

/// How long another node may take to give its store the id that it has claimed, and how often it is looked for.
const BEGUN_WITHIN: Duration = Duration::from_secs(30);
const BEGUN_PAUSE: Duration = Duration::from_millis(200);

/// The disk's store, or the one in the bucket that the configuration names. May read a small file.
pub(super) fn choose(
    config: &Config,
    spool: Arc<dyn Spool>,
    disk: DiskBlobs,
) -> Result<Arc<dyn BlobStore>, ServeError> {
    match place(config)? {
        None => Ok(Arc::new(disk)),
        Some(place) => Ok(Arc::new(S3Blobs::new(&place, spool).map_err(|e| ServeError::Blobs(e.to_string()))?)),
    }
}

/// The bucket of the configuration and who we are there; `None` for the data folder.
///
/// # Errors
/// A secret that cannot be read.
pub fn place(config: &Config) -> Result<Option<S3Place>, ServeError> {
    let bad = |e: crate::config::ConfigError| ServeError::Blobs(e.to_string());
    let s3 = &config.s3;
    Ok(match config.blob_place().map_err(bad)? {
        BlobPlace::DataFolder => None,
        BlobPlace::S3 { bucket, prefix } => Some(S3Place {
            endpoint: (!s3.endpoint.is_empty()).then(|| s3.endpoint.clone()),
            region: s3.region.clone(),
            bucket,
            prefix,
            access_key_id: s3.access_key_id.clone(),
            secret_access_key: s3.read_secret().map_err(bad)?,
            path_style: s3.path_style,
        }),
    })
}

/// What the two say of each other.
#[derive(Debug, PartialEq, Eq)]
enum Pair {
    /// They have the same id.
    Fits(StoreId),
    /// Neither has one: the first start, or the first of a version that gives them.
    New,
    /// The database has claimed one for this very store, which never got it: a start was killed in between.
    Unfinished(StoreId),
    /// Another node has claimed one for its store, which may be this one by another address, and is about to give it.
    Begun,
    /// Both have it, and the database has not noted that yet.
    Unconfirmed(StoreId),
    /// They are not each other's.
    Strangers(String),
}

fn judge(claim: Option<StoreClaim>, found: Option<StoreId>, own_place: &str) -> Pair {
    match (claim, found) {
        (None, None) => Pair::New,
        (Some(StoreClaim { place, .. }), _) if place.starts_with(INCOMPLETE_COPY) => Pair::Strangers(format!(
            "the database is {place}: finish `lhfile migrate database` with the configuration of that one, or set \
             database_url to it"
        )),
        (Some(StoreClaim { id, place, confirmed: false }), None) if place == own_place => Pair::Unfinished(id),
        (Some(StoreClaim { confirmed: false, .. }), None) => Pair::Begun,
        (Some(StoreClaim { id, confirmed, place: _ }), Some(found)) if id == found => {
            if confirmed {
                Pair::Fits(id)
            } else {
                Pair::Unconfirmed(id)
            }
        }
        (Some(StoreClaim { id, place, .. }), Some(found)) if found == filling_id(id) => Pair::Strangers(format!(
            "the files were moved to {place}, and the move was killed before its last step: run `lhfile migrate blobs` \
             with the old configuration once more"
        )),
        (Some(StoreClaim { id, place, .. }), None) => Pair::Strangers(format!(
            "the database belongs to the store of bytes {id}, first used at {place}, and this one, {own_place}, has no \
             id: another bucket, prefix or folder, or one that was emptied. Set blob_url (or data_dir) to the store with \
             that id"
        )),
        (Some(StoreClaim { id, place, .. }), Some(found)) => Pair::Strangers(format!(
            "the database belongs to the store of bytes {id}, first used at {place}, and this one is {found}: set blob_url (or data_dir) to \
             the store with the first id, or the database to the one that belongs to the second"
        )),
        (None, Some(found)) => Pair::Strangers(format!(
            "the database is new, and the store of bytes {found} belongs to another one: use that database (restore \
             it from its backup if it is lost), or give the new one a prefix or folder of its own"
        )),
    }
}

/// What the two hold at one moment: another node may make them a pair meanwhile, and a claim that is seen before it beside
/// an id that is seen after it would be strangers'. A claim changes twice in its life.
async fn look(
    store: &dyn PairingStore,
    blobs: &dyn BlobStore,
) -> Result<(Option<StoreClaim>, Option<StoreId>), ServeError> {
    let mut claim = store.find_store_claim().await?;
    loop {
        let found = blobs.store_id().await.map_err(unreadable)?;
        let since = store.find_store_claim().await?;
        if since == claim {
            return Ok((claim, found));
        }
        claim = since;
    }
}

/// What to say of a database that is to be paired with a store which holds none of the bytes that it names: it had
/// another one before it had an id, or this one was emptied.
async fn find_lost(
    keys: &[BlobKey],
    own_place: &str,
    held: impl AsyncFn(BlobKey) -> Result<bool, BlobError>,
) -> Result<Option<String>, BlobError> {
    for key in keys {
        if held(*key).await? {
            return Ok(None);
        }
    }
    Ok(keys.first().map(|key| {
        format!(
            "the database names bytes that are not in this store, {own_place}, such as {key}: another bucket, prefix or \
             folder, or one that was emptied. Set blob_url (or data_dir) to where they are, or bring them back from the \
             backup that goes with this database"
        )
    }))
}

/// What a start would refuse these two for, as far as it can be seen without changing either; `None` if nothing.
///
/// # Errors
/// One of them cannot be asked.
pub async fn find_strangers(config: &Config) -> Result<Option<String>, ServeError> {
    let (claim, keys) = match config.database_url.place() {
        DatabasePlace::Postgres(url) => PostgresStore::look_pairing(url).await?,
        DatabasePlace::DataFolder => {
            let file = database::file(config);
            if !file.exists() {
                return Ok(None);
            }
            let looked = tokio::task::spawn_blocking(move || SqliteStore::look_pairing(&file)).await;
            looked.map_err(|e| ServeError::Start(e.to_string()))??
        }
    };
    let outside = outside(config)?;
    let found = outside.store_id().await.map_err(unreadable)?;
    let own_place = told_place(config)?;
    match judge(claim, found, &own_place) {
        Pair::Strangers(why) => Ok(Some(why)),
        Pair::New | Pair::Unfinished(_) => {
            find_lost(&keys, &own_place, async |key| outside.holds(key).await).await.map_err(unreadable)
        }
        Pair::Fits(_) | Pair::Begun | Pair::Unconfirmed(_) => Ok(None),
    }
}

/// The store of the configuration, for a look.
///
/// # Errors
/// A secret that cannot be read.
pub fn outside(config: &Config) -> Result<Outside, ServeError> {
    Ok(place(config)?.map_or_else(|| Outside::Disk(config.data_dir.clone()), Outside::S3))
}

fn unreadable(error: BlobError) -> ServeError {
    ServeError::Blobs(format!("it cannot be asked what it holds: {error}"))
}

/// Where this node keeps its files, so that no other node's place is called the same. A folder is its machine's.
pub(super) fn told_place(config: &Config) -> Result<String, ServeError> {
    Ok(match place(config)? {
        Some(S3Place { endpoint, region, bucket, prefix, .. }) => {
            format!("s3://{bucket}/{prefix} at {}", endpoint.unwrap_or(region))
        }
        None => {
            let machine = rustix::system::uname();
            let folder = config.data_dir.canonicalize().unwrap_or_else(|_| config.data_dir.clone());
            format!("{} on {}", folder.display(), machine.nodename().to_string_lossy())
        }
    })
}

/// Lets only each other's pass, and makes a pair of two that are new; answers the id that both have.
pub(super) async fn pair(
    store: &dyn PairingStore,
    blobs: &dyn BlobStore,
    own_place: &str,
    ids: &dyn Ids,
) -> Result<StoreId, ServeError> {
    let (mut claim, mut found) = look(store, blobs).await?;
    if matches!(judge(claim.clone(), found, own_place), Pair::New | Pair::Unfinished(_)) {
        let keys = store.list_newest_keys().await?;
        let held = async |key| blobs.size(key).await.map(|size| size.is_some());
        if let Some(why) = find_lost(&keys, own_place, held).await.map_err(unreadable)? {
            return Err(ServeError::Pair(why));
        }
    }
    if judge(claim.clone(), found, own_place) == Pair::New {
        // Of many nodes that start at once, one claim counts.
        store.claim_store_id(StoreId(ids.random()), own_place).await?;
        (claim, found) = look(store, blobs).await?;
    }
    let until = Instant::now() + BEGUN_WITHIN;
    while judge(claim.clone(), found, own_place) == Pair::Begun && Instant::now() < until {
        sleep(BEGUN_PAUSE).await;
        (claim, found) = look(store, blobs).await?;
    }
    let strange = |why: String| Err(ServeError::Pair(why));
    match judge(claim.clone(), found, own_place) {
        Pair::Fits(id) => Ok(id),
        Pair::Unfinished(id) => {
            crate::fault_point!("S1-claimed");
            blobs.put_store_id(id).await.map_err(unreadable)?;
            crate::fault_point!("S1-put");
            store.confirm_store_id().await?;
            Ok(id)
        }
        Pair::Unconfirmed(id) => {
            store.confirm_store_id().await?;
            Ok(id)
        }
        Pair::Begun => strange(format!(
            "a node has begun to pair the database with the store of bytes at {}, and has not ended: start that node \
             first, or give this one, {own_place}, the same blob_url (or data_dir) and s3.endpoint",
            claim.map(|claim| claim.place).unwrap_or_default()
        )),
        Pair::New => strange("the database did not keep the id that it claimed".to_owned()),
        Pair::Strangers(why) => strange(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: StoreId = StoreId([1; 16]);
    const B: StoreId = StoreId([2; 16]);

    fn claimed(id: StoreId, confirmed: bool) -> Option<StoreClaim> {
        Some(StoreClaim { id, place: "s3://ours".into(), confirmed })
    }

    #[test]
    fn only_each_others_pass_and_a_killed_start_is_finished() {
        let judge = |claim, found| judge(claim, found, "s3://ours");
        assert_eq!(judge(None, None), Pair::New);
        assert_eq!(judge(claimed(A, true), Some(A)), Pair::Fits(A));
        assert_eq!(judge(claimed(A, false), None), Pair::Unfinished(A));
        assert_eq!(judge(claimed(A, false), Some(A)), Pair::Unconfirmed(A));
        for (claim, found) in
            [(claimed(A, true), None), (claimed(A, true), Some(B)), (claimed(A, false), Some(B)), (None, Some(A))]
        {
            let Pair::Strangers(why) = judge(claim.clone(), found) else { panic!("{claim:?} {found:?}") };
            assert!(why.contains(&claim.map_or(A, |c| c.id).to_string()), "{why}");
        }
    }

    #[test]
    fn what_a_node_has_begun_elsewhere_is_not_finished_here() {
        assert_eq!(judge(claimed(A, false), None, "s3://other"), Pair::Begun);
        assert_eq!(
            judge(claimed(A, false), Some(A), "s3://other"),
            Pair::Unconfirmed(A),
            "the same store by another name"
        );
        let copy = StoreClaim { id: B, place: format!("{INCOMPLETE_COPY} of x"), confirmed: true };
        for found in [None, Some(A), Some(B)] {
            let Pair::Strangers(why) = judge(Some(copy.clone()), found, "s3://ours") else { panic!("{found:?}") };
            assert!(why.contains("migrate database"), "{why}");
        }
        let Pair::Strangers(why) = judge(claimed(A, true), None, "s3://other") else { panic!("they are strangers") };
        assert!(why.contains("s3://ours") && why.contains("s3://other"), "{why}");
    }
}
