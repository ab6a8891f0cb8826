//! What the rules of runs need of a world beside its store: files of any age, guards and clocks that were otherwise.
//!
//! Not here: the rules (`runs.rs`). Changed behind the store's back, as time would.

use super::*;
use crate::domain::{PlanId, RunId};

fn hex(id: [u8; 16]) -> String {
    data_encoding::HEXLOWER.encode(&id)
}

impl World {
    /// An id as the engine writes bytes.
    fn bytes(&self, id: [u8; 16]) -> String {
        if self.database.is_some() { format!("'\\x{}'", hex(id)) } else { format!("x'{}'", hex(id)) }
    }

    /// The file was uploaded then.
    pub fn age(&self, view: &FileView, created_at: Time) {
        match &self.memory {
            Some(memory) => memory.age(view.file.id, created_at),
            None => {
                let id = self.bytes(view.file.id.0);
                self.execute(&format!("UPDATE files SET created_at = {} WHERE id = {id}", created_at.0));
            }
        }
    }

    /// The plan was made with this guard.
    pub fn set_guard(&self, id: PlanId, guard: u64) {
        match &self.memory {
            Some(memory) => memory.set_guard(id, guard),
            None => self.execute(&format!("UPDATE plans SET guard = {guard} WHERE id = {}", self.bytes(id.0))),
        }
    }

    /// The run was begun with this guard.
    pub fn set_run_guard(&self, id: RunId, guard: u64) {
        match &self.memory {
            Some(memory) => memory.set_run_guard(id, guard),
            None => {
                let number = format!("SELECT number FROM runs WHERE id = {}", self.bytes(id.0));
                self.execute(&format!("UPDATE run_tasks SET guard = {guard} WHERE run_number = ({number})"));
            }
        }
    }

    /// All plans were made so many seconds earlier.
    pub fn let_plans_end(&self, secs: i64) {
        match &self.memory {
            Some(memory) => memory.let_plans_end(secs),
            None => self.execute(&format!("UPDATE plans SET expires_at = expires_at - {}", secs * Time::SECOND)),
        }
    }

    /// The highest time that was seen.
    pub fn set_clock(&self, seen: Time) {
        match &self.memory {
            Some(memory) => memory.set_clock(seen),
            None => self.execute(&format!("UPDATE clock SET seen = {}", seen.0)),
        }
    }
}
