//! The bytes to another store, of either kind: `BlobsMove::run`.
//!
//! What is published at the target was hashed on its way and is there whole or not at all, so that a size tells what need
//! not be copied again. While it is filled, the target says so by its id ([`filling_id`]): no server starts on it, and a
//! later run may go on. The database belongs to the old store until it is told the new id, and to the old one never
//! again; then the target gets that id, and no run fills it any more. Not here: one blob (`one_blob.rs`), `read_only`
//! (`switch.rs`).

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use sha2::Digest as _;
use tokio::sync::Semaphore;

use super::{
    MoveError, Progress, ROUNDS, Switch, Until,
    one_blob::{self, Copied},
    refused,
};
use crate::{
    domain::{BlobKey, StoreId},
    ports::{BlobStore, BlobTarget, Lying, MovedStore, NamedBytes, Spool, StoreClaim},
};

/// Rows that are read at once.
const PAGE: i64 = 1_000;
/// Blobs on their way at once, and MiB of theirs in the spool.
const AT_ONCE: usize = 16;
const MIB_AT_ONCE: u32 = 1_024;
/// A round that copied no more than this is followed by the last one.
const FEW: u64 = 100;
/// The last step is taken again as often as its answer is lost.
const TRIES: u32 = 5;
const AGAIN: Duration = Duration::from_secs(1);

/// What a move of the bytes is made of.
pub struct BlobsMove<'m> {
    /// The database whose rows name them.
    pub store: Arc<dyn MovedStore>,
    /// The store that they lie in.
    pub from: Arc<dyn BlobStore>,
    /// The one that they are moved to, and how that place is called.
    pub to: Arc<dyn BlobTarget>,
    /// See `to`.
    pub place: String,
    /// Where they lie on their way.
    pub spool: Arc<dyn Spool>,
    /// Bytes that the target has room for, if that is known.
    pub room: Option<u64>,
    /// What lies at the target already is read again.
    pub verify: bool,
    /// `read_only` of the service.
    pub switch: &'m Switch,
    /// Who is told.
    pub progress: &'m dyn Progress,
}

/// Bytes that could not be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Which.
    pub key: BlobKey,
    /// What is the matter.
    pub why: String,
    /// They may come by trying again.
    pub may_come: bool,
}

/// How a move of the bytes ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobsMoved {
    /// Copied while the service went on; a next run goes on from here.
    Prepared(Vec<Loss>),
    /// The database belongs to the new store.
    Switched(Vec<Loss>),
    /// It did before.
    Before,
}

/// What a round did.
#[derive(Default)]
struct Round {
    copied: u64,
    bytes: u64,
    losses: Vec<Loss>,
    /// Keys that rows name.
    named: HashMap<BlobKey, u64>,
}

/// The id of a store that is filled from another one: the same for each run with this target.
fn new_id(old: StoreId, place: &str) -> StoreId {
    let hash = sha2::Sha256::new().chain_update("lhfile moves ").chain_update(old.0).chain_update(place).finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    StoreId(id)
}

/// The id of a store while it is filled to become the one with this id.
pub fn filling_id(id: StoreId) -> StoreId {
    let hash = sha2::Sha256::new().chain_update("lhfile fills ").chain_update(id.0).finalize();
    let mut filling = [0; 16];
    filling.copy_from_slice(&hash[..16]);
    StoreId(filling)
}

impl BlobsMove<'_> {
    /// Moves them. What ends this in between is gone on from by the next run.
    ///
    /// # Errors
    /// See [`MoveError`].
    pub async fn run(self, until: Until) -> Result<BlobsMoved, MoveError> {
        let Some(own) = self.own_claim().await? else {
            self.open_target().await?;
            return Ok(BlobsMoved::Before);
        };
        let new = StoreClaim { id: new_id(own.id, &self.place), place: self.place.clone(), confirmed: true };
        let mut there = self.judge_target(&own, &new).await?;
        self.judge_room(&there).await?;
        self.to.clear().await.map_err(MoveError::Bytes)?;
        let mut round = Round::default();
        for number in 1..=ROUNDS {
            round = self.round(&mut there, false).await?;
            let Round { copied, bytes, losses, named } = &round;
            let told = format!("round {number}: {copied} of {} copied, {bytes} bytes", named.len());
            let lost = if losses.is_empty() { String::new() } else { format!("; {} could not be", losses.len()) };
            self.progress.tell(&(told + &lost));
            if *copied <= FEW {
                break;
            }
        }
        if self.verify {
            round = self.round(&mut there, true).await?;
            self.progress.tell(&format!("read again at the target: {} had to be copied anew", round.copied));
        }
        if until == Until::Prepared {
            return Ok(BlobsMoved::Prepared(round.losses));
        }
        self.switch.close(self.progress).await?;
        let Round { copied, losses, named, .. } = self.round(&mut there, false).await?;
        self.progress.tell(&format!("last round: {copied} copied"));
        let may_come = losses.iter().filter(|loss| loss.may_come).count();
        if let Some(loss) = losses.iter().find(|loss| loss.may_come) {
            return refused(format!(
                "{may_come} could not be read at the source ({}: {}), and may be there all the same: nothing is \
                 switched; try again",
                loss.key, loss.why
            ));
        }
        for key in there.keys().filter(|key| !named.contains_key(key)) {
            // Removed at the source since it was copied.
            self.to.delete(*key).await.map_err(MoveError::Bytes)?;
        }
        crate::fault_point!("M-filled");
        self.change_store(&own, new).await?;
        crate::fault_point!("M-changed");
        self.open_target().await?;
        Ok(BlobsMoved::Switched(losses))
    }

    /// The store that the database belongs to now is filled: servers may start on it, and no move goes on with it.
    async fn open_target(&self) -> Result<(), MoveError> {
        let Some(claim) = self.store.find_store_claim().await? else { return Ok(()) };
        if self.to.store_id().await.map_err(MoveError::Bytes)? == Some(filling_id(claim.id)) {
            self.to.put_store_id(claim.id).await.map_err(MoveError::Bytes)?;
        }
        Ok(())
    }

    /// What the database says of the store that is moved; `None` if the move was made before.
    async fn own_claim(&self) -> Result<Option<StoreClaim>, MoveError> {
        let Some(claim) = self.store.find_store_claim().await? else {
            return refused("no server has ever run on this database: there is nothing to move");
        };
        match self.from.store_id().await.map_err(MoveError::Source)? {
            Some(id) if id == claim.id => Ok(Some(claim)),
            Some(id) if new_id(id, &self.place) == claim.id => Ok(None),
            found => refused(format!(
                "the database belongs to the store of bytes {}, first used at {}, and the one that the configuration \
                 names {}: nothing is moved",
                claim.id,
                claim.place,
                found.map_or_else(|| "has no id".to_owned(), |id| format!("is {id}"))
            )),
        }
    }

    async fn judge_target(&self, own: &StoreClaim, new: &StoreClaim) -> Result<HashMap<BlobKey, u64>, MoveError> {
        let found = self.to.store_id().await.map_err(MoveError::Bytes)?;
        let filling = filling_id(new.id);
        if let Some(id) = found.filter(|id| *id != filling) {
            let whose = match id {
                id if id == own.id => "the store that is to be moved itself",
                id if id == new.id => {
                    "one that was moved to before, by another state of this database, and is in service"
                }
                _ => "another one",
            };
            return refused(format!("the target is the store of bytes {id}, {whose}: name an empty place"));
        }
        let Lying { bytes, strange } = self.to.list().await.map_err(MoveError::Bytes)?;
        if let Some((number, one)) = strange {
            return refused(format!("the target holds {number} things that are not ours ({one}): name an empty place"));
        }
        if found.is_none() {
            if !bytes.is_empty() {
                return refused(format!(
                    "the target holds {} files of another store: name an empty place",
                    bytes.len()
                ));
            }
            self.to.put_store_id(filling).await.map_err(MoveError::Bytes)?;
        } else if !bytes.is_empty() {
            self.progress.tell(&format!("the target has {} already: going on", bytes.len()));
        }
        Ok(bytes)
    }

    async fn judge_room(&self, there: &HashMap<BlobKey, u64>) -> Result<(), MoveError> {
        let (_, bytes) = self.store.count_bytes().await?;
        let wanted = bytes.saturating_sub(there.values().sum());
        match self.room.filter(|room| *room < wanted) {
            None => Ok(()),
            Some(room) => refused(format!(
                "{wanted} bytes are to be copied, and the target has room for {room} (beside spool.reserve_percent)"
            )),
        }
    }

    /// Copies what rows name and the target has not.
    async fn round(&self, there: &mut HashMap<BlobKey, u64>, verify: bool) -> Result<Round, MoveError> {
        let (blobs, bytes) = self.store.count_bytes().await?;
        self.progress.begin(if verify { "files read again" } else { "files" }, blobs, Some(bytes));
        let room = Semaphore::new(MIB_AT_ONCE as usize);
        let (mut round, mut after) = (Round::default(), 0);
        loop {
            let page = self.store.list_bytes(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            round.named.extend(page.iter().map(|named| (named.key, named.size)));
            let known = &*there;
            let works = page.into_iter().map(|named| self.bring(named, known.get(&named.key), verify, &room));
            let mut works = stream::iter(works).buffer_unordered(AT_ONCE);
            let (mut new, mut gone) = (Vec::new(), Vec::new());
            while let Some(work) = works.next().await {
                let (named, copied) = work?;
                self.progress.advance(1, named.size);
                if !matches!(copied, None | Some(Copied::There)) {
                    // What lay there was not the whole, and is removed.
                    gone.push(named.key);
                }
                match copied {
                    None => {}
                    Some(Copied::There) => {
                        round.copied += 1;
                        round.bytes += named.size;
                        new.push(named);
                        crate::fault_point!("M-bytes");
                    }
                    Some(Copied::Lost(why)) if !named.leaving && self.is_kept(&named).await? => {
                        round.losses.push(Loss { key: named.key, why, may_come: false });
                    }
                    Some(Copied::Unreadable(why)) => {
                        round.losses.push(Loss { key: named.key, why, may_come: true });
                    }
                    Some(Copied::Lost(_)) => {}
                }
            }
            drop(works);
            there.retain(|key, _| !gone.contains(key));
            there.extend(new.into_iter().map(|named| (named.key, named.size)));
        }
        self.progress.end();
        Ok(round)
    }

    /// The row is there, and its bytes have not been purged since it was read.
    async fn is_kept(&self, named: &NamedBytes) -> Result<bool, MoveError> {
        let now = self.store.list_bytes(named.id - 1, 1).await?;
        Ok(now.first().is_some_and(|row| row.id == named.id && !row.leaving))
    }

    /// One blob, unless it is there.
    async fn bring(
        &self,
        named: NamedBytes,
        there: Option<&u64>,
        verify: bool,
        room: &Semaphore,
    ) -> Result<(NamedBytes, Option<Copied>), MoveError> {
        let mib = u32::try_from((named.size >> 20) + 1).unwrap_or(u32::MAX).min(MIB_AT_ONCE);
        let _room = room.acquire_many(mib).await.expect("it is never closed");
        let whole = there == Some(&named.size);
        if whole && (!verify || one_blob::verify(named, &*self.to).await.map_err(MoveError::Bytes)?) {
            return Ok((named, None));
        }
        if there.is_some() {
            self.to.delete(named.key).await.map_err(MoveError::Bytes)?;
        }
        let copied = one_blob::copy(named, &*self.from, &*self.spool, &*self.to).await.map_err(MoveError::Bytes)?;
        Ok((named, Some(copied)))
    }

    /// The last step, taken again where its answer is lost: one that is under way is waited for.
    async fn change_store(&self, own: &StoreClaim, new: StoreClaim) -> Result<(), MoveError> {
        // From here on uploads must not go on, unless it is sure that nothing was switched.
        self.switch.complete();
        let mut tries = 0;
        loop {
            match self.store.change_store(own.id, new.clone()).await {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    self.switch.reopen();
                    return refused("the database belongs to another store of bytes since: nothing was switched");
                }
                Err(error) if tries < TRIES => {
                    tries += 1;
                    tracing::debug!(%error, "the answer of the switch was lost; it is made again");
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_store_is_known_again_by_its_source_and_its_place() {
        let (old, place) = (StoreId([7; 16]), "s3://b/p at x");
        assert_eq!(new_id(old, place), new_id(old, place));
        assert_ne!(new_id(old, place), old);
        assert_ne!(new_id(old, place), new_id(old, "s3://b/q at x"));
        assert_ne!(new_id(old, place), new_id(StoreId([8; 16]), place));
    }
}
