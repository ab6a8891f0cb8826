//! THE table of permissions: the only place in the code that spells their names.
//!
//! Not here: which RPC asks for which (the access option in `proto/`), and what exactly a holder may do
//! (`access.rs`, `admission.rs`).

use std::fmt;

macro_rules! permissions {
    ($($(#[doc = $doc:literal])+ $variant:ident = $bit:literal, $name:literal;)+) => {
        /// One `lhfile` permission of Live Helper Chat, or of ours.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Permission { $($(#[doc = $doc])+ $variant = $bit,)+ }

        impl Permission {
            /// All of them.
            pub const ALL: &'static [Permission] = &[$(Permission::$variant,)+];

            /// The name in tokens, in the proto's access options and in refusals.
            pub const fn name(self) -> &'static str { match self { $(Permission::$variant => $name,)+ } }

            /// By name; `None` for a name that is not ours.
            pub fn find(name: &str) -> Option<Self> {
                match name { $($name => Some(Permission::$variant),)+ _ => None }
            }
        }
    };
}

permissions! {
    /// Read and change the upload configuration.
    Use = 0, "use";
    /// Operator uploads to a chat or for an online visitor; list a chat's files; attach, detach; rename; set or clear `persistent`.
    UseOperator = 1, "use_operator";
    /// Upload a library file.
    UploadNewFile = 2, "upload_new_file";
    /// List all files and read their rows.
    FileList = 3, "file_list";
    /// Delete any file.
    FileDelete = 4, "file_delete";
    /// Delete a file that I uploaded, or of my chat and attached to no chat of another owner.
    FileDeleteChat = 5, "file_delete_chat";
    /// See images nobody verified yet.
    DownloadUnverified = 6, "download_unverified";
    /// See images verified as sensitive.
    DownloadVerified = 7, "download_verified";
    /// Verify images.
    VerifyFile = 8, "verify_file";
    /// List files that came with mail.
    FileListMail = 9, "file_list_mail";
    /// Tell us about chats; delete a chat with its files.
    ChatSync = 10, "chat_sync";
    /// Plan and run maintenance, test the antivirus, read runs and statistics.
    MaintenanceRun = 11, "maintenance_run";
    /// See deleted files, undelete, release from quarantine.
    FileRestore = 12, "file_restore";
    /// Purge at once; erase a visitor; repair what a check of consistency found.
    Erase = 13, "erase";
    /// Put and lift a hold.
    LegalHold = 14, "legal_hold";
    /// Read the event log.
    Audit = 15, "audit";
    /// Act for a visitor or an operator.
    ActAs = 16, "act_as";
    /// Create, list, retire opaque keys.
    KeyManage = 17, "key_manage";
}

/// The name that stands for all of them in a token.
pub const ALL_PERMISSIONS: &str = "*";

/// A set of permissions.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Permissions(u32);

impl Permissions {
    /// None: silence denies.
    pub const NONE: Self = Self(0);

    /// All of them.
    pub fn all() -> Self {
        Permission::ALL.iter().copied().collect()
    }

    /// Holds this one.
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u32) != 0
    }

    /// Holds at least one of these.
    pub fn has_any(self, any_of: &[Permission]) -> bool {
        any_of.iter().any(|p| self.has(*p))
    }

    /// Everything in `self` is in `other` too.
    pub const fn is_subset_of(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The first permission of `self` that `other` lacks.
    pub fn first_beyond(self, other: Self) -> Option<Permission> {
        Permission::ALL.iter().copied().find(|p| self.has(*p) && !other.has(*p))
    }

    /// These but for one.
    pub const fn without(self, permission: Permission) -> Self {
        Self(self.0 & !(1 << permission as u32))
    }

    /// As bits, for a sealed link.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// From bits of ours; unknown bits are dropped.
    pub fn from_bits(bits: u32) -> Self {
        Permission::ALL.iter().copied().filter(|p| bits & (1 << *p as u32) != 0).collect()
    }

    /// From names; `*` is all. Names that are not ours grant nothing.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut set = Self::NONE;
        for name in names {
            if name == ALL_PERMISSIONS {
                return Self::all();
            }
            if let Some(permission) = Permission::find(name) {
                set.0 |= 1 << permission as u32;
            }
        }
        set
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(iter: I) -> Self {
        Self(iter.into_iter().fold(0, |bits, p| bits | 1 << p as u32))
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Permission::ALL.iter().filter(|p| self.has(**p)).map(|p| p.name())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_is_all_and_unknown_names_grant_nothing() {
        assert_eq!(Permissions::from_names(["*"]), Permissions::all());
        assert_eq!(Permissions::from_names(["root", "USE", ""]), Permissions::NONE);
    }

    #[test]
    fn every_name_finds_its_permission_and_bits_read_back() {
        for p in Permission::ALL {
            assert_eq!(Permission::find(p.name()), Some(*p));
            let set: Permissions = [*p].into_iter().collect();
            assert_eq!(Permissions::from_bits(set.bits()), set);
        }
    }
}
