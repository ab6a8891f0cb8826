//! Chance that can be repeated: what is drawn from a seed, and the small sets it is drawn from.
//!
//! Not here: what is done with it (`calls.rs`).

use super::super::{acting, operator, service, visitor};
use crate::domain::{
    Caller, ChatId, Origin, Permission, Settings, VerdictKind, VisitorId,
    admission::Target,
    listing::{FileFilter, FileQuery, Order},
    settings::{OperatorDownload, VisitorDownload},
};

/// Random numbers: SplitMix64.
#[derive(Debug, Clone)]
pub struct Draw(u64);

impl Draw {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `most` - 1.
    pub fn below(&mut self, most: u64) -> u64 {
        self.bits() % most
    }

    /// One of these.
    pub fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize].clone()
    }

    /// Once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Something, half of the time.
    pub fn maybe<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.once_in(2) { Some(draw(self)) } else { None }
    }

    pub fn chat(&mut self) -> ChatId {
        self.of(&["a", "b", "c", "d"]).parse().expect("valid")
    }

    pub fn chats(&mut self, most: u64) -> Vec<ChatId> {
        (0..self.below(most + 1)).map(|_| self.chat()).collect()
    }

    pub fn online(&mut self) -> VisitorId {
        self.of(&["v", "w"]).parse().expect("valid")
    }

    pub fn origin(&mut self) -> Origin {
        self.of(&[Origin::Screenshot, Origin::Form, Origin::Mail])
    }

    pub fn target(&mut self) -> Target {
        match self.below(5) {
            0 => Target::Library,
            1 => Target::Visitor(self.online()),
            _ => Target::Chat(self.chat()),
        }
    }

    /// Callers of every kind and reach; some act for somebody.
    pub fn caller(&mut self) -> Caller {
        let some: &[&[&str]] = &[&[], &["a"], &["b", "c"], &["*"]];
        let chats = self.of(some);
        let rights: &[&[Permission]] = &[
            &[],
            &[Permission::UseOperator, Permission::UploadNewFile],
            &[Permission::UseOperator, Permission::UploadNewFile, Permission::FileDeleteChat],
            &[Permission::UseOperator, Permission::FileList, Permission::FileDelete, Permission::FileRestore],
            &[Permission::UseOperator, Permission::LegalHold],
            &[Permission::UseOperator, Permission::Erase],
        ];
        let caller = match self.below(5) {
            0 => Caller { vid: self.maybe(Self::online), ..visitor(self.of(&["v", "w"]), chats) },
            1 => service(chats),
            2 => service(&["*"]),
            _ => operator(self.of(&["17", "18"]), chats, self.of(rights)),
        };
        if self.once_in(5) { acting(caller, self.of(some)) } else { caller }
    }

    pub fn settings(&mut self) -> Settings {
        Settings {
            operator_extensions: vec!["txt".into(), "zzz".into()],
            visitor_extensions: vec!["txt".into()],
            visitor_download: self.of(&[
                VisitorDownload::WhileChatOpen,
                VisitorDownload::Link,
                VisitorDownload::Forever,
            ]),
            operator_download: self.of(&[OperatorDownload::ChatAccess, OperatorDownload::AnyOperator]),
            ..Settings::default()
        }
    }

    pub fn name(&mut self) -> &'static str {
        self.of(&["a.txt", "Report.txt", "100%_x.zzz", "Übung.txt", "b\u{308}_.ZZZ"])
    }

    pub fn verdict_kind(&mut self) -> VerdictKind {
        self.of(&[VerdictKind::Clean, VerdictKind::Clean, VerdictKind::NotScanned, VerdictKind::UnscannableAccepted])
    }

    /// A list's question; its times are around `now`.
    pub fn query(&mut self, now: i64) -> FileQuery {
        use super::super::sha;
        let time = |draw: &mut Self| crate::domain::Time(now).plus_secs(-(draw.below(600) as i64));
        let mut filter = FileFilter::default();
        // Few at once: all of them together let nothing through.
        for _ in 0..self.below(3) {
            match self.below(15) {
                0 => filter.chats = self.chats(3),
                1 => filter.uploaders = (0..self.below(3)).map(|_| self.caller().person).collect(),
                2 => filter.visitors_only = true,
                3 => {
                    filter.name_contains =
                        Some(self.of(&["rEPORT", "0%_", "R%t", "\\", "ü", "Ü", ".T", "_."]).to_owned());
                }
                4 => filter.persistent = Some(self.once_in(2)),
                5 => filter.attached = Some(self.once_in(2)),
                6 => filter.extension = Some(self.of(&["txt", "zzz", "pdf"]).to_owned()),
                7 => filter.media_type = Some(self.of(&["text/plain", "application/octet-stream"]).to_owned()),
                8 => filter.sha256 = Some(sha(self.below(5))),
                9 => filter.min_size = Some(10 + self.below(5)),
                10 => filter.max_size = Some(10 + self.below(5)),
                11 => (filter.from, filter.before) = (self.maybe(time), self.maybe(time)),
                12 => filter.visitor = Some(self.online()),
                13 => filter.origin = Some(self.origin()),
                _ => filter.verdict = Some(self.verdict_kind()),
            }
        }
        FileQuery {
            filter,
            scope: if self.once_in(4) { Some(self.chats(2)) } else { None },
            deleted_after: if self.once_in(4) { Some(time(self)) } else { None },
            order: self.of(&[Order::Newest, Order::Oldest, Order::Largest]),
            after: None,
            limit: self.of(&[0, 1, 3, 10, 1_000]),
            with_total: self.once_in(2),
        }
    }
}
