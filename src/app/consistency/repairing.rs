//! What a check found, repaired: exactly what is stored of it, each thing judged again right before.
//!
//! What nobody needs is removed. Bytes that are missing or damaged nobody can make anew: it is said what a person can do.
//! One that is ended early is asked for again. Not here: the finding (`checking.rs`).

use std::sync::Arc;

use futures_util::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    super::{App, Error},
    ToldFinding,
    looking::Looked,
};
use crate::{
    domain::{
        Actor, BlobKey, Caller, CheckId, Permission, Reason, Refusal, Time,
        consistency::{
            Check, Dangling, DanglingRow, Finding, FindingKind, Place, Repair, StoredFinding, StrangeName, What,
            YOUNG_SECS,
        },
        hold::is_unbounded,
    },
    fault_point,
    faults::left_age,
    ports::{BlobError, Found, MultipartId, Removal, RowWalk},
};

/// Findings that are read at once.
const PAGE: u32 = 100;
/// Messages that wait for whoever reads them.
const WAITING: usize = 64;

/// What is told of a repair.
#[derive(Debug, Clone)]
pub enum RepairTold {
    /// What became of a finding.
    Repaired(Repaired),
    /// The end.
    Summary(RepairSummary),
}

/// What became of a finding.
#[derive(Debug, Clone)]
pub struct Repaired {
    /// The finding, as it was stored.
    pub told: ToldFinding,
    /// What became of it.
    pub outcome: Repair,
    /// For people: why, and what to do.
    pub explanation: String,
}

/// The end of a repair.
#[derive(Debug, Clone, Default)]
pub struct RepairSummary {
    /// How often each outcome came, in their order.
    pub outcomes: [u64; Repair::ALL.len()],
    /// Bytes that were removed.
    pub removed_bytes: u64,
}

impl App {
    /// Repairs what a check has stored, of these kinds; none: all but strange names. What it tells ends with the summary, or
    /// an error. Nothing more is begun once nobody listens.
    pub async fn repair_consistency(
        self: &Arc<Self>,
        caller: &Caller,
        id: CheckId,
        mut kinds: Vec<FindingKind>,
    ) -> Result<impl Stream<Item = Result<RepairTold, Error>> + Send + use<>, Error> {
        caller.need(&[Permission::Erase])?;
        if !is_unbounded(caller) {
            let all = "a repair is of all files: it needs a caller whose service may access all chats";
            let refusal = Refusal::new(Reason::MissingPermission).because(all);
            return Err(refusal.with("any_of", Permission::Erase.name()).into());
        }
        self.need_writable()?;
        let check = self.get_check(id).await?;
        if kinds.is_empty() {
            kinds = FindingKind::ALL.iter().copied().filter(|kind| *kind != FindingKind::StrangeName).collect();
        }
        let (tell, told) = mpsc::channel(WAITING);
        let actor = Actor::from(caller);
        self.spawn_until_stop(move |app| async move {
            if let Err(error) = app.repair(&check, &kinds, &actor, &tell).await {
                // Whoever asked may have left by now.
                let _ = tell.send(Err(error)).await;
            }
        });
        Ok(ReceiverStream::new(told))
    }

    async fn repair(
        &self,
        check: &Check,
        kinds: &[FindingKind],
        actor: &Actor,
        tell: &mpsc::Sender<Result<RepairTold, Error>>,
    ) -> Result<(), Error> {
        let (mut after, mut summary) = (0, RepairSummary::default());
        loop {
            let page = self.store.list_findings(check.id, kinds, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.number;
            for stored in page.into_iter().filter(|stored| !stored.repaired) {
                self.need_writable()?;
                let (outcome, explanation) = match self.repair_one(check, &stored, actor).await {
                    Err(Error::Blob(error)) => {
                        tracing::warn!(check = %check.id, finding = stored.number, %error, "a finding is not repaired");
                        (Repair::Failed, "the store did not do it, the log says why; ask again".to_owned())
                    }
                    repaired => repaired?,
                };
                let Finding { what, .. } = &stored.finding;
                if outcome == Repair::Repaired {
                    summary.removed_bytes = summary.removed_bytes.saturating_add(what.size());
                }
                if let Some(count) = summary.outcomes.get_mut(outcome as usize) {
                    *count += 1;
                }
                let files = self.files_of(what).await?.first;
                let told = ToldFinding { finding: stored.finding, files, error: String::new() };
                let repaired = Repaired { told, outcome, explanation };
                if tell.send(Ok(RepairTold::Repaired(repaired))).await.is_err() {
                    return Ok(());
                }
            }
        }
        let _ = tell.send(Ok(RepairTold::Summary(summary))).await;
        Ok(())
    }

    async fn repair_one(&self, check: &Check, stored: &StoredFinding, by: &Actor) -> Result<(Repair, String), Error> {
        let Finding { what, node } = &stored.finding;
        let said = |outcome, why: &str| Ok((outcome, why.to_owned()));
        let cut = self.store.tell_time(self.clock.now()).await?.plus_secs(-left_age(YOUNG_SECS));
        let of_other_node = node != &self.node;
        match what {
            What::Blob { kind, id, key, files, .. } => {
                let blob = self.store.find_blob_to_check(*id).await?;
                let looked = match &blob {
                    Some(blob) => {
                        let read = matches!(kind, FindingKind::WrongHash | FindingKind::Unreadable);
                        self.look_at_blob(blob, read).await?
                    }
                    None => Looked::Leaving,
                };
                match looked {
                    Looked::Sound => said(Repair::Gone, "the bytes are as they should be"),
                    Looked::Leaving => said(Repair::Gone, "no file needs the bytes any more"),
                    Looked::Unreadable { .. } => {
                        let look = format!("look why the store does not give {key}, and let this service read it");
                        Ok((Repair::NeedsAPerson, format!("{look}, or purge the files that need it ({files})")))
                    }
                    Looked::Damaged(..) => {
                        let restore = format!("restore the bytes {key} from a backup of the store, with their sha256");
                        Ok((Repair::NeedsAPerson, format!("{restore}, or purge the files that need them ({files})")))
                    }
                }
            }
            What::Bytes { key, size, at } => {
                let lies = Found::Bytes { key: *key, size: *size, modified: *at };
                self.remove_if_unnamed(check, stored, by, (lies, Place::Blobs, cut)).await
            }
            What::Parts { key, id, at } => {
                let lies = Found::Parts { key: *key, id: MultipartId(id.clone()), begun: *at };
                self.remove_if_unnamed(check, stored, by, (lies, Place::Blobs, cut)).await
            }
            What::Spooled { .. } if of_other_node => {
                Ok((Repair::Skipped, format!("it lies in the spool of the node {node}: ask that node")))
            }
            What::Spooled { key, size, at } => {
                let lies = Found::Bytes { key: *key, size: *size, modified: *at };
                self.remove_if_unnamed(check, stored, by, (lies, Place::Spool, cut)).await
            }
            What::Strange { plain: false, .. } => {
                said(Repair::NeedsAPerson, "it is no plain file of this place: look at it, and remove it by hand")
            }
            What::Strange { place: Place::Spool, .. } if of_other_node => {
                Ok((Repair::Skipped, format!("it lies in the spool of the node {node}: ask that node")))
            }
            What::Strange { place, name, .. } => self.remove_strange(check, stored, by, *place, name, cut).await,
            What::Row(row) => self.repair_row(check, stored, by, row).await,
        }
    }

    /// Removes one thing if no row names it by now; it was found before `cut`.
    async fn remove_if_unnamed(
        &self,
        check: &Check,
        stored: &StoredFinding,
        by: &Actor,
        (lies, place, cut): (Found, Place, Time),
    ) -> Result<(Repair, String), Error> {
        let unnamed = self.find_unnamed(vec![lies], place, cut, true).await?;
        if unnamed.young > 0 {
            return Ok((Repair::Skipped, "it is younger than a day: it may be on its way".to_owned()));
        }
        let Some(what) = unnamed.old.first() else {
            return Ok((Repair::Gone, "a row names it by now".to_owned()));
        };
        fault_point!("M6");
        if !self.remove_unnamed(what).await? {
            return Ok((Repair::Gone, "it is not there any more".to_owned()));
        }
        fault_point!("M6-removed");
        self.store.note_repaired(check.id, stored.number, by.clone(), self.clock.now()).await?;
        Ok((Repair::Repaired, "it is removed".to_owned()))
    }

    /// Removes what no row names, and looks whether it is gone; `false`: it was not there. Strange names and rows stay.
    pub(in super::super) async fn remove_unnamed(&self, what: &What) -> Result<bool, Error> {
        match what {
            What::Bytes { key, .. } => {
                if self.blobs.size(*key).await?.is_none() {
                    return Ok(false);
                }
                self.blobs.delete(*key).await?;
                match self.blobs.size(*key).await? {
                    None => Ok(true),
                    Some(_) => {
                        Err(BlobError::Unavailable(std::io::Error::other("they are there after their removal")).into())
                    }
                }
            }
            What::Parts { key, id, .. } => self.remove_parts(*key, MultipartId(id.clone())).await,
            What::Spooled { key, .. } => Ok(self.spool.discard(*key).await?),
            What::Blob { .. } | What::Strange { .. } | What::Row(_) => Ok(false),
        }
    }

    /// One that the store began by half goes only with all that is under its key: where a row names that, it stays.
    async fn remove_parts(&self, key: BlobKey, id: MultipartId) -> Result<bool, Error> {
        match self.blobs.abort_parts(key, id.clone()).await? {
            Removal::Removed => return Ok(true),
            Removal::Gone | Removal::Young => return Ok(false),
            Removal::Refused => {}
        }
        let named = self.store.list_named(&[key], self.store_id, true).await?;
        if !named.is_empty() || self.blobs.size(key).await?.is_some() {
            let why = "the store does not end an upload in parts, and there are bytes under its key";
            return Err(BlobError::Unavailable(std::io::Error::other(why)).into());
        }
        self.blobs.discard(key, Some(id)).await?;
        Ok(true)
    }

    async fn remove_strange(
        &self,
        check: &Check,
        stored: &StoredFinding,
        by: &Actor,
        place: Place,
        name: &StrangeName,
        cut: Time,
    ) -> Result<(Repair, String), Error> {
        // Nothing is removed where nothing may be changed, or of a store that is another database's by now.
        self.store.list_named(&[], self.store_id, true).await?;
        let removal = match place {
            Place::Blobs => self.blobs.remove_strange(name, cut).await?,
            Place::Spool => self.spool.remove_strange(name, cut).await?,
        };
        let (outcome, why) = match removal {
            Removal::Removed => {
                self.store.note_repaired(check.id, stored.number, by.clone(), self.clock.now()).await?;
                (Repair::Repaired, "it is removed")
            }
            Removal::Gone => (Repair::Gone, "it is not there any more"),
            Removal::Young => (Repair::Skipped, "it was changed less than a day ago"),
            Removal::Refused => {
                (Repair::NeedsAPerson, "it is no plain file of this place: look at it, and remove it by hand")
            }
        };
        Ok((outcome, why.to_owned()))
    }

    async fn repair_row(
        &self,
        check: &Check,
        stored: &StoredFinding,
        by: &Actor,
        row: &DanglingRow,
    ) -> Result<(Repair, String), Error> {
        let walk = match row.rule {
            Dangling::FileWithoutBlob | Dangling::FileOfLeavingBlob => RowWalk::Files,
            Dangling::AttachmentWithoutFile | Dangling::AttachmentWithoutChat => RowWalk::Attachments,
            Dangling::PurgedFile => RowWalk::Stubs,
            Dangling::BlobWithoutFile => RowWalk::Blobs,
        };
        let (rows, _) = self.store.list_dangling(walk, row.number.saturating_sub(1), 1).await?;
        if !rows.contains(row) {
            return Ok((Repair::Gone, "the rows are as they should be".to_owned()));
        }
        let why = match row.rule {
            Dangling::AttachmentWithoutFile | Dangling::BlobWithoutFile => {
                let (id, now) = (check.id, self.clock.now());
                let done = if row.rule == Dangling::BlobWithoutFile {
                    "its bytes go with the next purge: no file needs them"
                } else {
                    "the attachment is removed: its file is not there"
                };
                let ended = self.store.delete_dangling(id, stored.number, row, by.clone(), now).await?;
                return Ok(match ended {
                    true => (Repair::Repaired, done.to_owned()),
                    false => (Repair::Gone, "the rows are as they should be".to_owned()),
                });
            }
            Dangling::FileWithoutBlob => {
                "restore the database from a backup, or purge the file (lhfile purge): nobody can read it any more"
            }
            Dangling::FileOfLeavingBlob => {
                "restore the database from a backup, or purge the file (lhfile purge), and its bytes go too: they stay as \
                 long as the file is there"
            }
            Dangling::AttachmentWithoutChat => "tell the chat again (PutChat), or detach the file",
            Dangling::PurgedFile => "purge the file once more (lhfile purge): it was brought back from outside",
        };
        Ok((Repair::NeedsAPerson, why.to_owned()))
    }
}
