//! Which files maintenance deletes by their age, and why it keeps the others: one pure function of plain values.
//!
//! Not here: which rows are looked at, the settings' own bounds (`settings.rs`), and the guard of a run.

use super::{
    AgesAs, FileState, Settings, Time,
    settings::{DeleteOwner, DeleteRelation},
};

/// A day, in seconds.
const DAY: i64 = 86_400;

/// The rule as the settings say it. None of its four choices is a default that deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rule {
    /// Files of visitors are deleted (`delete_owners`).
    pub visitors: bool,
    /// Files of operators are deleted (`delete_owners`).
    pub operators: bool,
    /// Files that are attached to no chat are chosen (`delete_relations`).
    pub unassigned: bool,
    /// Files that are attached to a chat are chosen (`delete_relations`). Neither chosen: both are.
    pub assigned: bool,
    /// Age at which a visitor's file goes, in days; 0: never.
    pub visitor_days: i64,
    /// Age at which an operator's file goes, in days; 0: never.
    pub operator_days: i64,
}

impl From<&Settings> for Rule {
    fn from(settings: &Settings) -> Self {
        Self {
            visitors: settings.delete_owners.contains(&DeleteOwner::Visitors),
            operators: settings.delete_owners.contains(&DeleteOwner::Operators),
            unassigned: settings.delete_relations.contains(&DeleteRelation::Unassigned),
            assigned: settings.delete_relations.contains(&DeleteRelation::Assigned),
            visitor_days: settings.visitor_days,
            operator_days: settings.operator_days,
        }
    }
}

/// What the rule asks of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Where it is in its life.
    pub state: FileState,
    /// Whose it is by the rule.
    pub owner: AgesAs,
    /// It is never deleted by the rule.
    pub persistent: bool,
    /// A hold keeps it.
    pub held: bool,
    /// It is attached to a chat.
    pub attached: bool,
    /// When it was uploaded.
    pub created_at: Time,
    /// When it was last restored, if it was.
    pub restored_at: Option<Time>,
}

/// Why a file is kept: the first of these that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is deleted already.
    Deleted,
    /// It is persistent.
    Persistent,
    /// A hold keeps it.
    Held,
    /// Files of its owner's kind are not deleted, or it is no one's.
    Owner,
    /// Files that are attached, or those that are not, are not chosen.
    Relation,
    /// No age is set for its owner's kind.
    NoAge,
    /// Until this moment, and in it.
    Young(Time),
}

/// Before which a file is older than so many days, a number above 0: its age counts from the later of upload and restore.
pub fn cut_off(now: Time, days: i64) -> Time {
    now.plus_secs(days.saturating_mul(DAY).saturating_neg())
}

/// What the rule says of a file now: nothing, if it deletes it.
///
/// Its age counts from the later of upload and restore; a file is deleted when it is older than the days, not when it is
/// as old.
pub fn keeps(rule: &Rule, facts: &Facts, now: Time) -> Option<Kept> {
    if facts.state != FileState::Ready {
        return Some(Kept::Deleted);
    }
    if facts.persistent {
        return Some(Kept::Persistent);
    }
    if facts.held {
        return Some(Kept::Held);
    }
    let (chosen, days) = match facts.owner {
        AgesAs::Visitor => (rule.visitors, rule.visitor_days),
        AgesAs::Operator => (rule.operators, rule.operator_days),
        AgesAs::NoOne => (false, 0),
    };
    if !chosen {
        return Some(Kept::Owner);
    }
    let all = !rule.unassigned && !rule.assigned;
    let relation = if facts.attached { rule.assigned } else { rule.unassigned };
    if !(all || relation) {
        return Some(Kept::Relation);
    }
    if days <= 0 {
        return Some(Kept::NoAge);
    }
    let since = facts.restored_at.map_or(facts.created_at, |restored| restored.max(facts.created_at));
    let end = since.plus_secs(days.saturating_mul(DAY));
    (now <= end).then_some(Kept::Young(end))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const ALL: Rule = Rule {
        visitors: true,
        operators: true,
        unassigned: false,
        assigned: false,
        visitor_days: 30,
        operator_days: 60,
    };
    const NOW: Time = Time(1_000 * DAY * Time::SECOND);

    fn file(owner: AgesAs) -> Facts {
        Facts {
            state: FileState::Ready,
            owner,
            persistent: false,
            held: false,
            attached: false,
            created_at: Time(0),
            restored_at: None,
        }
    }

    fn deletes(rule: &Rule, facts: &Facts) -> bool {
        keeps(rule, facts, NOW).is_none()
    }

    /// The rule once more, as product.md writes it: one formula, no order of reasons.
    pub(crate) fn formula(rule: &Rule, f: &Facts, now: Time) -> bool {
        let c_empty = !rule.unassigned && !rule.assigned;
        let relation = c_empty || (rule.unassigned && !f.attached) || (rule.assigned && f.attached);
        let age = now.0 - f.created_at.0.max(f.restored_at.map_or(i64::MIN, |t| t.0));
        let older_than = |days: i64| age > days * DAY * Time::SECOND;
        !f.persistent
            && !f.held
            && f.state == FileState::Ready
            && relation
            && ((rule.operators
                && rule.operator_days > 0
                && f.owner == AgesAs::Operator
                && older_than(rule.operator_days))
                || (rule.visitors
                    && rule.visitor_days > 0
                    && f.owner == AgesAs::Visitor
                    && older_than(rule.visitor_days)))
    }

    #[test]
    fn rule_is_the_formula_for_every_combination_of_choices_facts_and_ages() {
        let both = [false, true];
        let mut cells = 0_u32;
        let mut rules = Vec::new();
        for bits in 0..16_u32 {
            let is = |bit: u32| bits & (1 << bit) != 0;
            for (visitor_days, operator_days) in [(0, 0), (0, 7), (7, 0), (7, 30), (-1, -1)] {
                let (visitors, operators, unassigned, assigned) = (is(0), is(1), is(2), is(3));
                rules.push(Rule { visitors, operators, unassigned, assigned, visitor_days, operator_days });
            }
        }
        // One second under, at and over each age, and one microsecond.
        let edges = [0, 7, 30].into_iter().flat_map(|days: i64| {
            [-Time::SECOND, -1, 0, 1, Time::SECOND].map(|off| Time(NOW.0 - days * DAY * Time::SECOND - off))
        });
        let edges: Vec<Time> = edges.collect();
        for rule in &rules {
            for owner in [AgesAs::Visitor, AgesAs::Operator, AgesAs::NoOne] {
                for state in [FileState::Ready, FileState::Deleted] {
                    for (persistent, held) in both.iter().flat_map(|p| both.map(|h| (*p, h))) {
                        for (attached, restored) in both.iter().flat_map(|a| both.map(|r| (*a, r))) {
                            for edge in &edges {
                                // The later of the two counts, whichever it is.
                                let long_ago = Time(edge.0 - 400 * DAY * Time::SECOND);
                                let (created_at, restored_at) =
                                    if restored { (long_ago, Some(*edge)) } else { (*edge, Some(long_ago)) };
                                let facts = Facts { state, owner, persistent, held, attached, created_at, restored_at };
                                let expected = formula(rule, &facts, NOW);
                                assert_eq!(deletes(rule, &facts), expected, "{rule:?} {facts:?}");
                                cells += 1;
                            }
                        }
                    }
                }
            }
        }
        assert_eq!(cells, 80 * 3 * 2 * 4 * 4 * 15);
    }

    #[test]
    fn files_uploaded_separately_survive() {
        // A library file is persistent unless its uploader said otherwise.
        assert_eq!(keeps(&ALL, &Facts { persistent: true, ..file(AgesAs::Operator) }, NOW), Some(Kept::Persistent));
        assert_eq!(keeps(&ALL, &file(AgesAs::NoOne), NOW), Some(Kept::Owner), "a service's is no one's");
    }

    #[test]
    fn rule_is_what_the_settings_say_and_by_default_deletes_nothing() {
        assert_eq!(Rule::from(&Settings::default()), Rule::default());
        let settings = Settings {
            delete_owners: vec![DeleteOwner::Operators],
            delete_relations: vec![DeleteRelation::Unassigned],
            operator_days: 60,
            visitor_days: 30,
            ..Settings::default()
        };
        let rule = Rule { operators: true, unassigned: true, operator_days: 60, visitor_days: 30, ..Rule::default() };
        assert_eq!(Rule::from(&settings), rule);
        let other = Settings {
            delete_owners: vec![DeleteOwner::Visitors],
            delete_relations: vec![DeleteRelation::Assigned],
            ..settings
        };
        let rule = Rule { visitors: true, operators: false, unassigned: false, assigned: true, ..rule };
        assert_eq!(Rule::from(&other), rule);
    }

    #[test]
    fn visitors_only_and_operators_only() {
        let visitors = Rule { operators: false, ..ALL };
        assert!(deletes(&visitors, &file(AgesAs::Visitor)) && !deletes(&visitors, &file(AgesAs::Operator)));
        let operators = Rule { visitors: false, ..ALL };
        assert!(deletes(&operators, &file(AgesAs::Operator)) && !deletes(&operators, &file(AgesAs::Visitor)));
    }

    #[test]
    fn unassigned_only_assigned_only_and_none_chosen_is_all() {
        let attached = Facts { attached: true, ..file(AgesAs::Visitor) };
        let free = file(AgesAs::Visitor);
        let told = |unassigned, assigned| {
            let rule = Rule { unassigned, assigned, ..ALL };
            (deletes(&rule, &free), deletes(&rule, &attached))
        };
        assert_eq!(told(true, false), (true, false));
        assert_eq!(told(false, true), (false, true));
        assert_eq!(told(true, true), (true, true));
        assert_eq!(told(false, false), (true, true));
    }

    #[test]
    fn days_of_each_kind_count_for_that_kind() {
        let aged = |owner, days: i64| Facts { created_at: NOW.plus_secs(-days * DAY), ..file(owner) };
        assert!(!deletes(&ALL, &aged(AgesAs::Visitor, 30)) && deletes(&ALL, &aged(AgesAs::Visitor, 31)));
        assert!(!deletes(&ALL, &aged(AgesAs::Operator, 60)) && deletes(&ALL, &aged(AgesAs::Operator, 61)));
        let end = NOW.plus_secs(DAY);
        assert_eq!(keeps(&ALL, &aged(AgesAs::Visitor, 29), NOW), Some(Kept::Young(end)), "it is told until when");
    }

    #[test]
    fn nothing_is_deleted_when_no_kind_is_chosen() {
        assert_eq!(keeps(&Rule::default(), &file(AgesAs::Visitor), NOW), Some(Kept::Owner));
        assert_eq!(keeps(&Rule { visitor_days: 0, ..ALL }, &file(AgesAs::Visitor), NOW), Some(Kept::NoAge));
    }

    #[test]
    fn restored_file_is_young_again_and_absurd_days_delete_nothing() {
        let restored = Facts { restored_at: Some(NOW.plus_secs(-30 * DAY)), ..file(AgesAs::Visitor) };
        assert_eq!(keeps(&ALL, &restored, NOW), Some(Kept::Young(NOW)));
        for visitor_days in [-1, i64::MIN, i64::MAX] {
            assert!(!deletes(&Rule { visitor_days, ..ALL }, &file(AgesAs::Visitor)), "{visitor_days}");
        }
    }
}
