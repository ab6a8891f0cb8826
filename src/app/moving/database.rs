//! The database to another one, of either engine: `DatabaseMove::run`.
//!
//! Until it is complete, the target says of itself that it belongs to a store of bytes which nobody has
//! ([`INCOMPLETE_COPY`]): no server starts on it. Not here: the rows (`rows.rs`), `read_only` (`switch.rs`).

use std::sync::Arc;

use super::{
    MoveError, Progress, ROUNDS, Switch, Until, refused,
    rows::{Changed, Compared, Pair},
};
use crate::{
    domain::StoreId,
    ports::{INCOMPLETE_COPY, Ids, StoreClaim, Table, Tables},
};

/// Tables whose one row is there from the start: the versions of settings and keys, and how far maintenance's walks are.
const ONE_ROW: [&str; 4] = ["settings_version", "access_keys_version", "rescan", "check_place"];
/// A round that changed no more than this is followed by the last one.
const FEW: u64 = 1_000;

/// What a move of the database is made of.
pub struct DatabaseMove<'m> {
    /// The database that is moved.
    pub from: Box<dyn Tables>,
    /// The one that it is moved to, with its tables made.
    pub to: Box<dyn Tables>,
    /// The tables of both.
    pub tables: Vec<Table>,
    /// `read_only` of the database that is moved.
    pub switch: &'m Switch,
    /// New ids.
    pub ids: Arc<dyn Ids>,
    /// Who is told.
    pub progress: &'m dyn Progress,
}

/// How a move of the database ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseMoved {
    /// Copied while the service went on; a next run goes on from here.
    Prepared,
    /// Everything is there, and both sides are the same.
    Switched(Vec<Compared>),
    /// It had been moved before, and both sides are still the same.
    Before(Vec<Compared>),
}

/// What the target is.
enum Target {
    Incomplete,
    Complete,
}

impl DatabaseMove<'_> {
    /// Moves it. What ends this in between is gone on from by the next run.
    ///
    /// # Errors
    /// See [`MoveError`].
    pub async fn run(mut self, until: Until) -> Result<DatabaseMoved, MoveError> {
        let own = self.own_claim().await?;
        if let Target::Complete = self.judge_target(&own).await? {
            return self.compare_again().await;
        }
        let mut pair = Pair { from: self.from, to: self.to, tables: self.tables };
        for round in 1..=ROUNDS {
            let Changed { written, removed } = one_state(&mut pair, self.progress).await?;
            self.progress.tell(&format!("round {round}: {written} rows written, {removed} removed"));
            if written + removed <= FEW {
                break;
            }
        }
        if until == Until::Prepared {
            return Ok(DatabaseMoved::Prepared);
        }
        self.switch.close(self.progress).await?;
        pair.begin().await?;
        let Changed { written, removed } = pair.round(self.progress).await?;
        self.progress.tell(&format!("last round: {written} rows written, {removed} removed"));
        let compared = pair.compare(self.progress).await?;
        pair.end().await?;
        let differ: u64 = compared.iter().map(|table| table.differ).sum();
        if differ > 0 {
            return refused(format!("{differ} rows are not the same on both sides: does anybody else write there?"));
        }
        crate::fault_point!("M-compared");
        // From here on a server may start on the target: an answer that is lost changes nothing of that.
        self.switch.complete();
        pair.to.put_claim(own).await.map_err(MoveError::Target)?;
        Ok(DatabaseMoved::Switched(compared))
    }

    async fn own_claim(&mut self) -> Result<StoreClaim, MoveError> {
        match self.from.claim().await? {
            Some(claim) if claim.place.starts_with(INCOMPLETE_COPY) => refused(format!(
                "the database that is to be moved is {}: move the one that it was copied from",
                claim.place
            )),
            Some(claim) => Ok(claim),
            None => refused("no server has ever run on this database: there is nothing to move"),
        }
    }

    async fn judge_target(&mut self, own: &StoreClaim) -> Result<Target, MoveError> {
        match self.to.claim().await.map_err(MoveError::Target)? {
            Some(claim) if claim.place.starts_with(INCOMPLETE_COPY) => {
                self.progress.tell("the target is an incomplete copy: going on with it");
                return Ok(Target::Incomplete);
            }
            Some(claim) if claim.id == own.id => return Ok(Target::Complete),
            Some(claim) => {
                return refused(format!(
                    "the target belongs to the store of bytes {}, at {}, and the database that is to be moved to {}: \
                     name an empty one",
                    claim.id, claim.place, own.id
                ));
            }
            None => {}
        }
        for table in self.tables.iter().filter(|table| !ONE_ROW.contains(&table.name.as_str())) {
            let rows = self.to.count(table).await.map_err(MoveError::Target)?;
            if rows > 0 {
                return refused(format!("the target holds {rows} rows in {}: name an empty one", table.name));
            }
        }
        let place = format!("{INCOMPLETE_COPY} of the database of {}", own.place);
        let nobodys = StoreClaim { id: StoreId(self.ids.random()), place, confirmed: true };
        self.to.put_claim(nobodys).await.map_err(MoveError::Target)?;
        crate::fault_point!("M-begun");
        Ok(Target::Incomplete)
    }

    /// Never written to: a server may run on it already.
    async fn compare_again(self) -> Result<DatabaseMoved, MoveError> {
        let mut pair = Pair { from: self.from, to: self.to, tables: self.tables };
        pair.begin().await?;
        let compared = pair.compare(self.progress).await?;
        pair.end().await?;
        let differ: Vec<&str> = compared.iter().filter(|t| t.differ > 0).map(|t| t.table.as_str()).collect();
        if differ.is_empty() {
            return Ok(DatabaseMoved::Before(compared));
        }
        refused(format!(
            "the target is a complete copy, and one of the two was used since (they differ in {}): it is not written to. \
             Name an empty one to begin anew",
            differ.join(", ")
        ))
    }
}

/// One round over one state of the source.
async fn one_state(pair: &mut Pair, progress: &dyn Progress) -> Result<Changed, MoveError> {
    pair.begin().await?;
    let changed = pair.round(progress).await?;
    pair.end().await?;
    Ok(changed)
}
