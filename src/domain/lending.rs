//! Rights that somebody passes on: to the person a service acts for, to a token, to a key. Never more than one holds.
//!
//! Not here: how one is asked (headers in `rpc/act_as.rs`, messages in `rpc/access_service.rs`), and how long a key may
//! live (`key.rs`).

use std::collections::BTreeSet;

use super::{
    Caller, CallerKind, Ceiling, ChatSet, Permission, Permissions, Person, Reason, Refusal, ServiceId,
    permission::ALL_PERMISSIONS,
};

/// Who is to be what, as asked, not yet judged.
#[derive(Debug, Clone)]
pub struct Asked {
    subject: Person,
    chats: Names,
    permissions: Names,
    vid: Option<String>,
    fields: Fields,
}

/// What is blamed for what cannot be read.
#[derive(Debug, Clone, Copy)]
pub struct Fields {
    /// The field or header with the subject.
    pub subject: &'static str,
    /// With the chats.
    pub chats: &'static str,
    /// With the permissions.
    pub permissions: &'static str,
    /// With the vid.
    pub vid: &'static str,
}

impl Fields {
    /// All in one.
    pub const fn one(field: &'static str) -> Self {
        Self { subject: field, chats: field, permissions: field, vid: field }
    }
}

/// `*`, or names. None at all is `These` of nothing.
#[derive(Debug, Clone)]
enum Names {
    All,
    These(Vec<String>),
}

/// The refusal of what cannot be read, blaming the field or header it was asked in.
pub fn malformed(field: &'static str, why: &str) -> Refusal {
    Refusal::argument(field, format!("{field}: {why}"))
}

impl Asked {
    /// As asked in fields or a header of these names.
    ///
    /// # Errors
    /// `BAD_ARGUMENT`: no subject, or a `*` that does not stand alone.
    pub fn new(
        fields: Fields,
        subject: &str,
        chats: Vec<String>,
        permissions: Vec<String>,
        vid: Option<String>,
    ) -> Result<Self, Refusal> {
        let names = |field, list: Vec<String>| match list.as_slice() {
            [star] if star == ALL_PERMISSIONS => Ok(Names::All),
            names if names.iter().any(|n| n == ALL_PERMISSIONS) => Err(malformed(field, "* stands alone")),
            _ => Ok(Names::These(list)),
        };
        let subject = subject.parse().map_err(|_: Refusal| malformed(fields.subject, "the subject must be KIND:ID"))?;
        let (chats, permissions) = (names(fields.chats, chats)?, names(fields.permissions, permissions)?);
        Ok(Self { subject, chats, permissions, vid, fields })
    }

    /// The rights asked for, each of which this caller holds itself.
    fn rights(&self, caller: &Caller) -> Result<(Permissions, ChatSet), Refusal> {
        let bad = |why: &str| malformed(self.fields.permissions, why);
        let bad_chats = |why| malformed(self.fields.chats, why);
        let visitor = self.subject.kind() == CallerKind::Visitor;
        let permissions = match &self.permissions {
            Names::These(names) if visitor && names.is_empty() => Permissions::NONE,
            Names::All | Names::These(_) if visitor => {
                return Err(bad("a visitor holds no permissions: leave them out"));
            }
            Names::All => caller.permissions,
            Names::These(names) => {
                let known = names
                    .iter()
                    .map(|n| Permission::find(n).ok_or_else(|| bad(&format!("there is no permission {n:?}"))));
                known.collect::<Result<_, _>>()?
            }
        };
        if let Some(beyond) = permissions.first_beyond(caller.permissions) {
            return Err(Refusal::new(Reason::MissingPermission)
                .because(format!(
                    "{} cannot lend the permission {}, which it does not hold",
                    caller.person,
                    beyond.name()
                ))
                .with("any_of", beyond.name()));
        }
        let chats = match &self.chats {
            Names::All if visitor => return Err(bad_chats("a visitor's chats must be named")),
            Names::All => caller.chats.clone(),
            Names::These(ids) => {
                let ids: Result<BTreeSet<_>, Refusal> = ids.iter().map(|id| id.parse()).collect();
                ChatSet::Only(ids.map_err(|_| bad_chats("a chat id is 1 to 64 of A-Z a-z 0-9 . _ ~ -"))?)
            }
        };
        if let Some(beyond) = chats.first_beyond(&caller.chats) {
            return Err(Refusal::new(Reason::MissingPermission)
                .because(format!(
                    "{} cannot lend access to a chat that its own credential does not name",
                    caller.person
                ))
                .with("chat_id", beyond));
        }
        Ok((permissions, chats))
    }

    /// The subject with these rights.
    fn with(self, permissions: Permissions, chats: ChatSet, ceiling: Option<Ceiling>) -> Result<Caller, Refusal> {
        let Self { subject: person, vid, fields: Fields { vid: field, .. }, .. } = self;
        if person.kind() != CallerKind::Visitor && vid.is_some() {
            return Err(malformed(field, "vid is for visitors"));
        }
        let bad = |_: Refusal| malformed(field, "vid must be 1 to 64 of A-Z a-z 0-9 . _ ~ -");
        let vid = vid.map(|v| v.parse()).transpose().map_err(bad)?;
        Ok(Caller { person, permissions, chats, vid, ceiling })
    }
}

/// The service that this caller is, if it may act for others.
///
/// # Errors
/// `MISSING_PERMISSION`: it lacks the permission, or is no service.
pub fn lender(caller: &Caller) -> Result<&ServiceId, Refusal> {
    caller.need(&[Permission::ActAs])?;
    match &caller.person {
        Person::Service(service) => Ok(service),
        Person::Visitor(_) | Person::Operator(_) => {
            Err(Refusal::new(Reason::MissingPermission).because("only a service may act for somebody"))
        }
    }
}

/// The visitor or operator that a service acts for, within the service's own rights, now and later: its chats stay the
/// person's ceiling.
///
/// # Errors
/// As [`lender`]; `MISSING_PERMISSION` for more than the service holds; `BAD_ARGUMENT`.
pub fn lend(caller: &Caller, asked: Asked) -> Result<Caller, Refusal> {
    let service = lender(caller)?.clone();
    if asked.subject.kind() == CallerKind::Service {
        return Err(malformed(asked.fields.subject, "the subject must be visitor:ID or operator:ID"));
    }
    let (mut permissions, chats) = asked.rights(caller)?;
    if matches!(asked.permissions, Names::All) {
        // Only by its name: with it a token of minutes makes a key of a year.
        permissions = permissions.without(Permission::KeyManage);
    }
    asked.with(permissions, chats, Some(Ceiling { service, chats: caller.chats.clone() }))
}

/// Whom a key may stand for: whoever makes it, under the ceiling that it has itself; a person, as [`lend`] decides; another
/// service, if the maker is one that may act for others and has access to all chats, because a service has what it
/// uploaded besides its rights.
///
/// # Errors
/// As [`lend`].
pub fn grant(creator: &Caller, asked: Asked) -> Result<Caller, Refusal> {
    if asked.subject != creator.person {
        if asked.subject.kind() != CallerKind::Service {
            return lend(creator, asked);
        }
        lender(creator)?;
        if creator.chats != ChatSet::All {
            return Err(Refusal::new(Reason::MissingPermission)
                .because("only a service with access to all chats makes keys for another service")
                .with("chat_id", ALL_PERMISSIONS));
        }
    }
    let (permissions, chats) = asked.rights(creator)?;
    asked.with(permissions, chats, creator.ceiling.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMED: Fields = Fields { subject: "subject", chats: "chats", permissions: "permissions", vid: "vid" };

    fn caller(person: &str, permissions: &[&str], chats: &[&str]) -> Caller {
        Caller {
            person: person.parse().expect("valid"),
            permissions: Permissions::from_names(permissions.iter().copied()),
            chats: ChatSet::from_ids(chats.iter().copied()).expect("valid"),
            vid: None,
            ceiling: None,
        }
    }

    fn asked(subject: &str, permissions: &[&str], chats: &[&str], vid: Option<&str>) -> Asked {
        let owned = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
        let vid = vid.map(str::to_owned);
        Asked::new(NAMED, subject, owned(chats), owned(permissions), vid).expect("well formed")
    }

    fn reason(result: Result<Caller, Refusal>) -> Reason {
        result.expect_err("refused").reason
    }

    #[test]
    fn key_for_oneself_holds_at_most_ones_own_and_keeps_ones_ceiling() {
        let ceiling = Some(Ceiling { service: "b".parse().expect("valid"), chats: ChatSet::none() });
        let creator = Caller { ceiling, ..caller("operator:17", &["use", "file_list"], &["42"]) };
        let all = grant(&creator, asked("operator:17", &["*"], &["*"], None)).expect("its own");
        assert_eq!(all, creator);
        let less = grant(&creator, asked("operator:17", &["use"], &[], None)).expect("less");
        assert_eq!((less.permissions, less.chats), (Permissions::from_names(["use"]), ChatSet::none()));
        assert_eq!(less.ceiling, creator.ceiling);
        for (permissions, chats) in [(&["file_delete"][..], &[][..]), (&[], &["43"])] {
            let more = grant(&creator, asked("operator:17", permissions, chats, None));
            assert_eq!(reason(more), Reason::MissingPermission);
        }
    }

    #[test]
    fn key_for_a_person_is_lent_by_a_service_under_its_ceiling_and_by_nobody_else() {
        let backend = caller("service:b", &["act_as", "use"], &["42"]);
        let key = grant(&backend, asked("visitor:v", &[], &["42"], Some("x"))).expect("lent");
        assert_eq!(key.ceiling, Some(Ceiling { service: "b".parse().expect("valid"), chats: backend.chats.clone() }));
        let without = caller("service:b", &["use"], &["42"]);
        let operator = caller("operator:1", &["*"], &["*"]);
        for creator in [without, operator] {
            let refused = grant(&creator, asked("operator:17", &[], &[], None));
            assert_eq!(reason(refused), Reason::MissingPermission);
        }
    }

    #[test]
    fn all_that_a_service_holds_lends_no_right_to_make_keys_unless_it_is_named() {
        let backend = caller("service:b", &["*"], &["*"]);
        let all = lend(&backend, asked("operator:1", &["*"], &["*"], None)).expect("lent");
        assert_eq!(all.permissions, Permissions::all().without(Permission::KeyManage));
        let named = lend(&backend, asked("operator:1", &["key_manage"], &[], None)).expect("lent");
        assert!(named.has(Permission::KeyManage));
    }

    #[test]
    fn key_for_another_service_is_made_by_one_that_may_act_for_others_in_all_chats() {
        let other = || asked("service:other", &["use"], &["42"], None);
        let key = grant(&caller("service:admin", &["act_as", "use"], &["*"]), other()).expect("made");
        assert_eq!((key.person.to_string().as_str(), key.ceiling), ("service:other", None));
        for creator in [
            caller("service:admin", &["act_as", "use"], &["42"]),
            caller("service:admin", &["use"], &["*"]),
            caller("operator:1", &["*"], &["*"]),
        ] {
            assert_eq!(reason(grant(&creator, other())), Reason::MissingPermission);
        }
        grant(&caller("service:other", &["use"], &["42"]), other()).expect("for itself it needs neither");
    }

    #[test]
    fn what_cannot_be_read_blames_the_field() {
        let backend = caller("service:b", &["*"], &["*"]);
        for (bad, field) in [
            (asked("visitor:v", &["use"], &["42"], None), "permissions"),
            (asked("visitor:v", &["*"], &["42"], None), "permissions"),
            (asked("visitor:v", &[], &["*"], None), "chats"),
            (asked("visitor:v", &[], &["4/2"], None), "chats"),
            (asked("visitor:v", &[], &[], Some("a b")), "vid"),
            (asked("operator:1", &[], &[], Some("x")), "vid"),
            (asked("operator:1", &["root"], &[], None), "permissions"),
        ] {
            let refusal = grant(&backend, bad).expect_err("refused");
            assert_eq!((refusal.reason, refusal.get("field")), (Reason::BadArgument, Some(field)));
        }
        for (subject, chats) in
            [("root:1", vec![]), ("service", vec![]), ("operator:1", vec!["*".to_owned(), "1".to_owned()])]
        {
            Asked::new(NAMED, subject, chats, vec![], None).expect_err(subject);
        }
    }
}
