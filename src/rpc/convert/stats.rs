//! What is stored, in numbers.
//!
//! Not here: the counting (`domain/stats.rs`).

use super::{count, runs::owner, timestamp};
use crate::{
    domain::{
        CallerKind, Origin,
        run::PlanGroup,
        stats::{AGES, Count, Stats},
    },
    rpc::pb,
};

fn told(counted: Count) -> Option<pb::StatsCount> {
    let Count { count: many, bytes } = counted;
    Some(pb::StatsCount { count: count(many), size_bytes: count(bytes) })
}

fn kind(kind: CallerKind) -> i32 {
    let kind = match kind {
        CallerKind::Visitor => pb::CallerKind::Visitor,
        CallerKind::Operator => pb::CallerKind::Operator,
        CallerKind::Service => pb::CallerKind::Service,
    };
    kind.into()
}

fn origin(origin: Option<Origin>) -> i32 {
    let origin = match origin {
        None => pb::Origin::Unspecified,
        Some(Origin::Screenshot) => pb::Origin::Screenshot,
        Some(Origin::Form) => pb::Origin::Form,
        Some(Origin::Mail) => pb::Origin::Mail,
    };
    origin.into()
}

/// All numbers.
pub fn stats(stats: &Stats) -> pb::GetStatsResponse {
    let (extensions, others) = stats.top_extensions();
    let Stats {
        at, ready, deleted, uploaders, origins, ages, extensions: _, active, quarantined, purging, shared, ..
    } = stats;
    let mut stored = *active;
    stored.add_all(*quarantined);
    stored.add_all(*purging);
    let days = AGES.iter().filter_map(|days| i32::try_from(*days).ok()).chain([0]);
    pb::GetStatsResponse {
        count_time: Some(timestamp(*at)),
        ready: told(*ready),
        deleted: told(*deleted),
        uploaders: uploaders.iter().map(|(k, n)| pb::UploaderStats { kind: kind(*k), files: told(*n) }).collect(),
        origins: origins.iter().map(|(o, n)| pb::OriginStats { origin: origin(*o), files: told(*n) }).collect(),
        ages: days.zip(ages).map(|(under_days, n)| pb::AgeStats { under_days, files: told(*n) }).collect(),
        extensions: extensions
            .into_iter()
            .map(|(extension, n)| pb::ExtensionStats { extension, files: told(n) })
            .collect(),
        other_extensions: told(others),
        blobs: Some(pb::BlobStats {
            stored: told(stored),
            quarantined: told(*quarantined),
            purging: told(*purging),
            shared: told(*shared),
        }),
        due: Some(due(stats)),
    }
}

fn due(stats: &Stats) -> pb::DueStats {
    let mut all = Count::default();
    let group = |group: &PlanGroup| {
        let PlanGroup { owner: whose, attached, files, bytes } = *group;
        let files = Count { count: files, bytes };
        all.add_all(files);
        pb::DueGroup { owner: owner(whose), assigned: attached, files: told(files) }
    };
    let groups = stats.due.iter().map(group).collect();
    pb::DueStats { files: told(all), groups, guard_files: count(stats.guard) }
}
