//! THE table of settings: each declared once, as a row from which come the struct, the defaults, the bounds, the
//! descriptions, the text form of the command line and what is stored.
//!
//! Not here: the process's configuration (`config.rs`) and the carrying out of a change (`app/settings.rs`).

use super::{Reason, Refusal, run::MOST_DAYS};

mod value;
pub use value::{Choice, SettingKind, SettingValue, SignatureNames};

const MIB: i64 = 1 << 20;
const GIB: i64 = 1 << 30;

/// Largest `max_file_bytes` while the antivirus is on: beyond it clamd's own limits end (2 GiB - 3).
pub const MAX_FILE_BYTES_SCANNED: i64 = GIB + GIB / 2;
/// Largest `max_file_bytes` with the antivirus off.
pub const MAX_FILE_BYTES: i64 = 4 * GIB;

/// One row of the table.
#[derive(Debug)]
pub struct SettingDef {
    /// Its name: the proto field's too.
    pub key: &'static str,
    /// What LHC calls it; empty if LHC has none.
    pub lhc_key: &'static str,
    /// Type and bounds.
    pub kind: SettingKind,
    /// What it does, for people.
    pub description: &'static str,
    /// Its default.
    pub default: fn() -> SettingValue,
    /// Reads it out of the struct.
    pub get: fn(&Settings) -> SettingValue,
    set: fn(&mut Settings, SettingValue) -> Result<(), Refusal>,
}

macro_rules! settings {
    ($($key:ident : $type:ty = $default:expr, $kind:expr, $lhc:literal, $doc:literal;)+) => {
        /// The behaviour of the service, as stored in the database.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Settings { $(#[doc = $doc] pub $key: $type,)+ }

        impl Default for Settings {
            fn default() -> Self { Self { $($key: $default,)+ } }
        }

        /// All settings, in the order of the reference page.
        pub static TABLE: &[SettingDef] = &[$(SettingDef {
            key: stringify!($key),
            lhc_key: $lhc,
            kind: $kind,
            description: $doc,
            default: || { let default: $type = $default; default.into() },
            get: |s| s.$key.clone().into(),
            set: |s, v| { s.$key = v.try_into().map_err(|()| wrong_type(stringify!($key)))?; Ok(()) },
        },)+];
    };
}

fn list(words: &str) -> Vec<String> {
    words.split_whitespace().map(str::to_owned).collect()
}

fn wrong_type(key: &'static str) -> Refusal {
    bad(key, format!("{key} has another type"))
}

fn bad(key: &'static str, why: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(Reason::BadSetting).because(why).with("setting", key)
}

macro_rules! choice {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $vdoc:literal])+ $variant:ident = $text:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[doc = $vdoc])+ $variant,)+ }

        impl Choice for $name {
            const NAMES: &'static [&'static str] = &[$($text,)+];
            fn name(self) -> &'static str { match self { $($name::$variant => $text,)+ } }
            fn find(name: &str) -> Option<Self> { match name { $($text => Some($name::$variant),)+ _ => None } }
        }

        impl From<$name> for SettingValue {
            fn from(v: $name) -> Self { SettingValue::Choice(v.name().to_owned()) }
        }

        impl TryFrom<SettingValue> for $name {
            type Error = ();
            fn try_from(v: SettingValue) -> Result<Self, ()> {
                match v { SettingValue::Choice(s) => $name::find(&s).ok_or(()), _ => Err(()) }
            }
        }

        impl From<Vec<$name>> for SettingValue {
            fn from(v: Vec<$name>) -> Self { SettingValue::Choices(v.iter().map(|one| one.name().to_owned()).collect()) }
        }

        impl TryFrom<SettingValue> for Vec<$name> {
            type Error = ();
            fn try_from(v: SettingValue) -> Result<Self, ()> {
                match v { SettingValue::Choices(list) => list.iter().map(|s| $name::find(s).ok_or(())).collect(), _ => Err(()) }
            }
        }
    };
}

choice! {
    /// When a visitor may download a file of its own chat.
    VisitorDownload {
        /// Pending, active or bot, or closed less than the grace ago.
        WhileChatOpen = "WHILE_CHAT_OPEN",
        /// Any status, only by a fresh link.
        Link = "LINK",
        /// Any status.
        Forever = "FOREVER",
    }
}
choice! {
    /// Which files an operator may download.
    OperatorDownload {
        /// Own uploads, library files, files attached to a chat it may access.
        ChatAccess = "CHAT_ACCESS",
        /// Any file, with `use_operator`.
        AnyOperator = "ANY_OPERATOR",
    }
}
choice! {
    /// Whose uploads are scanned.
    AntivirusScope {
        /// Every upload.
        Everyone = "EVERYONE",
        /// Visitors' uploads only.
        Visitors = "VISITORS",
    }
}
choice! {
    /// What happens to a file that the scanner cannot judge.
    AntivirusUnscannable {
        /// Refused.
        Refuse = "REFUSE",
        /// Taken, with that verdict.
        Accept = "ACCEPT",
    }
}
choice! {
    /// Whose files maintenance deletes for their age.
    DeleteOwner {
        /// Visitors'.
        Visitors = "VISITORS",
        /// Operators'.
        Operators = "OPERATORS",
    }
}
choice! {
    /// Which of their files.
    DeleteRelation {
        /// Those attached to no chat.
        Unassigned = "UNASSIGNED",
        /// Those attached to a chat.
        Assigned = "ASSIGNED",
    }
}

settings! {
    visitor_upload_enabled: bool = true, SettingKind::Bool, "active_user_upload",
        "Visitors may upload. A chat's own override wins.";
    operator_upload_enabled: bool = true, SettingKind::Bool, "active_admin_upload",
        "Operators may upload.";
    operator_extensions: Vec<String> = list(
        "gif jpg jpeg png webp zip svg rar xls xlsx doc docx pdf ogg m4a wav mp3 mp4 txt csv"),
        SettingKind::Extensions, "ft_op",
        "Extensions that operators and services may upload.";
    visitor_extensions: Vec<String> = list("gif jpg jpeg png webp svg doc docx pdf mp3"),
        SettingKind::Extensions, "ft_us",
        "Extensions that visitors may upload.";
    bot_extensions: Vec<String> = Vec::new(), SettingKind::Extensions, "ft_us_bot",
        "Extensions that visitors may upload while the chat is in BOT status; empty means as visitors.";
    max_file_bytes: i64 = 20 * MIB, SettingKind::Int { min: 1, max: MAX_FILE_BYTES, unit: "bytes" }, "fs_max",
        "Largest file, in bytes; equal passes. At most 1.5 GiB while the antivirus is on.";
    one_file_at_a_time: bool = false, SettingKind::Bool, "one_file_upload",
        "Hint to the visitor's page, told in GetUploadOptions: offer one file at a time.";
    visitor_download: VisitorDownload = VisitorDownload::WhileChatOpen,
        SettingKind::Choice(VisitorDownload::NAMES), "chat_file_policy_v",
        "When a visitor may download files of its own chat: WHILE_CHAT_OPEN (or closed less than the grace ago), LINK (any status, only by a fresh link), FOREVER. What was uploaded for it as an online visitor counts as of an open chat.";
    operator_download: OperatorDownload = OperatorDownload::ChatAccess,
        SettingKind::Choice(OperatorDownload::NAMES), "chat_file_policy_o",
        "What an operator may download: CHAT_ACCESS (own uploads, library files, files attached to a chat it may access) or ANY_OPERATOR.";
    closed_chat_grace_seconds: i64 = 600, SettingKind::Int { min: 0, max: 366 * 86_400, unit: "seconds" }, "",
        "How long after closing a chat still counts as open for downloads, and for uploads that were under way.";
    link_ttl_seconds: i64 = 300, SettingKind::Int { min: 1, max: 7 * 86_400, unit: "seconds" }, "",
        "How long a download link lives at most.";
    antivirus_enabled: bool = true, SettingKind::Bool, "clamav_enabled",
        "Uploads are scanned. While they are, none is stored without a verdict of a scanner proved to work.";
    antivirus_scope: AntivirusScope = AntivirusScope::Everyone, SettingKind::Choice(AntivirusScope::NAMES), "",
        "Whose uploads are scanned: EVERYONE or VISITORS. Bytes that were found infected are refused to everybody.";
    antivirus_unscannable: AntivirusUnscannable = AntivirusUnscannable::Refuse,
        SettingKind::Choice(AntivirusUnscannable::NAMES), "",
        "What happens to a file that the scanner cannot judge (limits exceeded, encrypted): REFUSE or ACCEPT.";
    signature_max_age_days: i64 = 7, SettingKind::Int { min: 0, max: 3_650, unit: "days" }, "",
        "Signatures older than this are told as too old in the scanner's status; 0 is never.";
    voice_visitor: bool = false, SettingKind::Bool, "sound_messages",
        "Visitors may record voice messages: told in GetUploadOptions.";
    voice_operator: bool = false, SettingKind::Bool, "sound_messages_op",
        "Operators may record voice messages: told in GetUploadOptions.";
    voice_max_seconds: i64 = 30, SettingKind::Int { min: 1, max: 3_600, unit: "seconds" }, "sound_length",
        "Longest voice message: told in GetUploadOptions.";
    read_only: bool = false, SettingKind::Bool, "",
        "Every change but UpdateSettings is refused with READ_ONLY: for backups and moving.";
    deleted_grace_days: i64 = 7, SettingKind::Int { min: 0, max: 3_650, unit: "days" }, "",
        "How long a deleted file can be restored, in days; 0 is not at all.";
    delete_owners: Vec<DeleteOwner> = Vec::new(), SettingKind::Choices(DeleteOwner::NAMES), "mtype_delete",
        "Whose files maintenance deletes for their age: VISITORS, OPERATORS, both; empty is nobody's. Persistent and held files are never, nor those of services, but for screenshots and forms, which age as visitors'.";
    delete_relations: Vec<DeleteRelation> = Vec::new(), SettingKind::Choices(DeleteRelation::NAMES), "mtype_cdelete",
        "Which of them: UNASSIGNED (attached to no chat), ASSIGNED (attached to one); empty is all.";
    operator_days: i64 = 0, SettingKind::Int { min: 0, max: MOST_DAYS, unit: "days" }, "mdays_older",
        "Maintenance deletes an operator's file that is older, counted from the later of upload and restore; 0 is never.";
    visitor_days: i64 = 0, SettingKind::Int { min: 0, max: MOST_DAYS, unit: "days" }, "mdays_older_visitor",
        "Maintenance deletes a visitor's file that is older, counted from the later of upload and restore; 0 is never.";
    run_days: i64 = 400, SettingKind::Int { min: 1, max: 3_650, unit: "days" }, "",
        "How long runs of maintenance are remembered.";
    maintenance_cron: String = String::new(), SettingKind::Cron, "",
        "When maintenance runs by itself, in UTC: minute, hour, day, month, weekday as in a crontab, or six fields with the second first. Empty is never: an external scheduler calls RunMaintenance.";
    rescan_budget_bytes_per_hour: i64 = 10 * GIB, SettingKind::Int { min: MIB, max: 1 << 50, unit: "bytes" }, "",
        "How many bytes all nodes together scan anew in an hour, after the signatures changed; at least one file passes.";
    check_budget_bytes: i64 = 10 * GIB, SettingKind::Int { min: 0, max: 1 << 50, unit: "bytes" }, "",
        "How many bytes a run of maintenance reads and compares with their hashes, those first that were read longest ago; the next run goes on. 0: it looks for them alone.";
    event_days: i64 = 400, SettingKind::Int { min: 1, max: 3_650, unit: "days" }, "",
        "How long events are kept, and what says that a purged file was there.";
    ignored_signatures: SignatureNames = SignatureNames::default(), SettingKind::Signatures, "",
        "Names of signatures whose hits count as none; what they hit is served as RELEASED. It is the whole list: what it does not name counts again. For one false alarm `lhfile quarantine release` is better: it adds, with a reason and a date.";
}

impl Settings {
    /// Sets one of them by key; `BAD_SETTING` for a wrong type or a value out of bounds.
    pub fn set(&mut self, key: &str, value: SettingValue) -> Result<(), Refusal> {
        let def = find(key)?;
        def.kind.judge(&value).map_err(|why| bad(def.key, format!("{}: {why}", def.key)))?;
        (def.set)(self, value)
    }

    /// Reads one of them by key.
    pub fn get(&self, key: &str) -> Result<SettingValue, Refusal> {
        Ok((find(key)?.get)(self))
    }

    /// What binds several of them together. Single bounds were judged by `set`.
    pub fn judge_together(&self) -> Result<(), Refusal> {
        if self.antivirus_enabled && self.max_file_bytes > MAX_FILE_BYTES_SCANNED {
            return Err(bad(
                "max_file_bytes",
                format!("max_file_bytes is at most {MAX_FILE_BYTES_SCANNED} while antivirus_enabled is true"),
            )
            .with("limit_bytes", MAX_FILE_BYTES_SCANNED));
        }
        Ok(())
    }
}

/// The row of a key.
pub fn find(key: &str) -> Result<&'static SettingDef, Refusal> {
    TABLE.iter().find(|d| d.key == key).ok_or_else(|| {
        Refusal::new(Reason::BadSetting)
            .because("there is no such setting: `lhfile settings describe` lists them")
            .with("setting", key.chars().take(64).collect::<String>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_within_their_own_bounds_and_read_back_from_text() {
        let settings = Settings::default();
        for def in TABLE {
            let value = (def.get)(&settings);
            assert_eq!(value, (def.default)(), "{}", def.key);
            assert_eq!(def.kind.judge(&value), Ok(()), "{}", def.key);
            assert_eq!(def.kind.parse(&value.to_string()), Ok(value), "{}", def.key);
        }
        assert_eq!(settings.judge_together(), Ok(()));
    }

    #[test]
    fn a_value_out_of_bounds_or_of_another_type_is_refused_and_names_the_setting() {
        let mut settings = Settings::default();
        for (key, value) in [
            ("max_file_bytes", SettingValue::Int(0)),
            ("max_file_bytes", SettingValue::Int(MAX_FILE_BYTES + 1)),
            ("max_file_bytes", SettingValue::Bool(true)),
            ("closed_chat_grace_seconds", SettingValue::Int(-1)),
            ("visitor_extensions", SettingValue::Extensions(vec!["p/f".into()])),
            ("antivirus_scope", SettingValue::Choice("NOBODY".into())),
            ("delete_owners", SettingValue::Choices(vec!["SERVICES".into()])),
            ("delete_owners", SettingValue::Choices(vec!["VISITORS".into(), "VISITORS".into()])),
            ("delete_relations", SettingValue::Choice("ASSIGNED".into())),
            ("visitor_days", SettingValue::Int(36_501)),
            ("run_days", SettingValue::Int(0)),
            ("maintenance_cron", SettingValue::Cron("0 0 30 2 *".into())),
        ] {
            let refusal = settings.set(key, value).expect_err(key);
            assert_eq!((refusal.reason, refusal.get("setting")), (Reason::BadSetting, Some(key)));
        }
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn several_names_and_an_expression_read_back_from_text_and_nothing_is_none() {
        let mut settings = Settings::default();
        for (key, text) in [
            ("delete_owners", "OPERATORS VISITORS"),
            ("delete_relations", "ASSIGNED"),
            ("maintenance_cron", "0 3 * * *"),
            ("delete_owners", ""),
            ("maintenance_cron", ""),
        ] {
            let value = find(key).and_then(|def| def.kind.parse(text).map_err(|why| bad(def.key, why))).expect(key);
            settings.set(key, value).expect(key);
            assert_eq!(settings.get(key).expect(key).to_string(), text);
        }
        assert_eq!(settings.delete_relations, [DeleteRelation::Assigned]);
    }

    #[test]
    fn more_than_the_scanner_can_take_needs_the_antivirus_off() {
        let mut settings = Settings { max_file_bytes: MAX_FILE_BYTES, ..Settings::default() };
        assert_eq!(settings.judge_together().expect_err("too large").reason, Reason::BadSetting);
        settings.antivirus_enabled = false;
        assert_eq!(settings.judge_together(), Ok(()));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert_eq!(Settings::default().get("nope").expect_err("unknown").reason, Reason::BadSetting);
    }
}
