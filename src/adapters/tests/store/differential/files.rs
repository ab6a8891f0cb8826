//! Random calls on files.
//!
//! Not here: the other calls (`uploads.rs`, `chats.rs`).

use super::{
    calls::{Side, plain, plain_view, sure},
    draw::Draw,
};
use crate::{
    domain::{FileView, HoldOn, Matter, StoreId, Time, listing::Page, name::DisplayName},
    ports::{AttachTo, FileChange, HoldQuery},
};

/// Pages taken of one list.
const PAGES: usize = 4;

impl Side {
    pub async fn find(&mut self, draw: &mut Draw) -> (String, String) {
        let ((file, by, _), caller) = (self.file(draw), draw.caller());
        let found = self.world.store.find_file(by, &caller).await;
        (format!("find {file} as {caller:?}"), sure(found.map(|found| found.map(plain_view))))
    }

    pub async fn list(&mut self, draw: &mut Draw, now: Time) -> (String, String) {
        let (mut query, caller) = (draw.query(now.0), draw.caller());
        let call = format!("list {query:?} as {caller:?}");
        let mut answers = Vec::new();
        for _ in 0..PAGES {
            let page = self.world.store.list_files(query.clone(), &caller).await;
            // Where it goes on is told by what comes then.
            query.after = page.as_ref().ok().and_then(|page| page.next);
            answers.push(sure(page.map(|Page { rows, next, total }| {
                let rows: Vec<FileView> = rows.into_iter().map(plain_view).collect();
                (rows, next.is_some(), total)
            })));
            if query.after.is_none() {
                break;
            }
        }
        (call, answers.join("\n"))
    }

    pub async fn attach(&mut self, draw: &mut Draw, now: Time) -> (String, String) {
        let ((file, by, _), caller, settings) = (self.file(draw), draw.caller(), draw.settings());
        let to: Vec<AttachTo> = draw
            .chats(3)
            .into_iter()
            .map(|chat| AttachTo { chat, message_id: draw.maybe(|draw| draw.of(&["m1", "m2"]).to_owned()) })
            .collect();
        let call = format!("attach {file} to {to:?} as {caller:?}");
        (call, plain(self.world.store.attach(by, to, &caller, &settings, now).await))
    }

    pub async fn detach(&mut self, draw: &mut Draw, now: Time) -> (String, String) {
        let ((file, by, _), caller, settings, chat) = (self.file(draw), draw.caller(), draw.settings(), draw.chat());
        let call = format!("detach {file} from {chat} as {caller:?}");
        (call, plain(self.world.store.detach(by, chat, &caller, &settings, now).await))
    }

    pub async fn update(&mut self, draw: &mut Draw, now: Time) -> (String, String) {
        let ((file, by, made), caller, settings) = (self.file(draw), draw.caller(), draw.settings());
        let (guarded, name) = (draw.once_in(2), draw.maybe(Draw::name));
        let change = FileChange {
            display_name: name.map(|name| DisplayName::new(name, "").expect("valid")),
            persistent: draw.maybe(|draw| draw.once_in(2)),
            // The first one, which is soon not the current one.
            etag: made.filter(|_| guarded).map(|made| made.etag),
        };
        let call = format!("update {file} {name:?} {:?} guarded {guarded} as {caller:?}", change.persistent);
        let updated = self.world.store.update_file(by, change, &caller, &settings, now).await;
        (call, plain(updated.map(plain_view)))
    }

    pub async fn restore(&mut self, draw: &mut Draw, now: Time) -> (String, String) {
        let ((file, by, _), caller, settings) = (self.file(draw), draw.caller(), draw.settings());
        let restored = self.world.store.restore_file(by, &caller, &settings, now).await;
        (format!("restore {file} as {caller:?}"), plain(restored.map(plain_view)))
    }

    /// After a grace that is over or one that never is: the clock that judges may be the engine's own.
    pub async fn purge(&mut self, draw: &mut Draw, now: Time) -> (String, String) {
        match draw.below(4) {
            0 => {
                let (grace, limit) = (draw.of(&[0, 0, 36_500 * 86_400]), draw.of(&[1, 2, 5]));
                let purged = self.world.store.purge_deleted(grace, limit, now).await;
                (format!("purge {limit} after {grace} s"), sure(purged))
            }
            1 => {
                let ((file, by, _), caller) = (self.file(draw), draw.caller());
                let purged = self.world.store.purge_file(by, &caller, now).await;
                let key = purged.map(|leaving| leaving.map(|blob| (blob.key, blob.size)));
                (format!("purge {file} as {caller:?}"), plain(key))
            }
            2 => {
                let limit = draw.of(&[1, 3, 100]);
                let listed = self.world.store.list_leaving(0, limit, 0, now).await;
                let keys = listed.map(|all| all.into_iter().map(|blob| (blob.key, blob.size)).collect::<Vec<_>>());
                (format!("{limit} that leave"), sure(keys))
            }
            _ => {
                let listed = self.world.store.list_leaving(0, 2, 0, now).await.expect("lists");
                let ids: Vec<i64> = listed.iter().map(|blob| blob.id).collect();
                // Whose the store is is drawn, too.
                let gone = self.world.store.delete_blobs(&ids, StoreId([draw.of(&[1, 2]); 16]), 0, now).await;
                ("end of rows of bytes".to_owned(), sure(gone.map(|gone| gone.len())))
            }
        }
    }

    /// Rather lifted than put: a world in which all is held changes little.
    pub async fn holds(&mut self, draw: &mut Draw, now: Time) -> (String, String) {
        let (file, _, made) = self.file(draw);
        let (what, on) = match (draw.below(4), made) {
            (0, Some(made)) => (file, HoldOn::File(made.id)),
            (1, _) => ("a visitor".to_owned(), HoldOn::Visitor(draw.of(&["v", "w"]).parse().expect("valid"))),
            (2, _) => ("an operator".to_owned(), HoldOn::Operator(draw.of(&["17", "18"]).parse().expect("valid"))),
            _ => {
                let chat = draw.chat();
                (format!("chat {chat}"), HoldOn::Chat(chat))
            }
        };
        let (caller, matter) = (draw.caller(), Matter::new(draw.of(&["x", "y"])).expect("valid"));
        let about = |way: &str| format!("{way} {what} for {matter:?} as {caller:?}");
        let plain_hold = |mut hold: crate::domain::Hold| {
            if let HoldOn::File(_) = hold.on {
                // Which file is told by the call.
                hold.on = HoldOn::File(crate::domain::FileId([0; 16]));
            }
            hold
        };
        match draw.below(6) {
            0 | 1 => {
                let put = self.world.store.put_hold(on, matter.clone(), &caller, now).await;
                (about("hold"), plain(put.map(plain_hold)))
            }
            2..5 => (about("lift"), plain(self.world.store.lift_hold(on, matter.clone(), &caller, now).await)),
            _ => {
                let query = HoldQuery { on: draw.maybe(|_| on), before: None, limit: 5 };
                let listed = self.world.store.list_holds(query, &caller).await;
                let listed = listed.map(|all| all.into_iter().map(|(_, hold)| plain_hold(hold)).collect::<Vec<_>>());
                (about("list"), plain(listed))
            }
        }
    }

    pub async fn delete(&mut self, draw: &mut Draw, now: Time) -> (String, String) {
        let ((file, by, _), caller, settings) = (self.file(draw), draw.caller(), draw.settings());
        let call = format!("delete {file} as {caller:?}");
        (call, plain(self.world.store.delete_file(by, &caller, &settings, now).await))
    }
}
