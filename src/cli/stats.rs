//! `lhfile stats`: what is stored, in numbers, and what the next run of maintenance would delete.
//!
//! Not here: the counting (the server does it).

use clap::Args;

use super::{Context, failure::Failure, output};
use crate::rpc::pb;

/// Nothing is to be said.
#[derive(Debug, Args)]
pub struct Stats {}

impl Stats {
    /// Prints all numbers.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self {} = self;
        let request = pb::GetStatsRequest {};
        let answer = context.connection.maintenance().await?.get_stats(request).await?.into_inner();
        output::one(context.json, "GetStatsResponse", &answer, people)
    }
}

fn people(stats: &pb::GetStatsResponse) -> String {
    let mut rows = vec![row("files", "", stats.ready.as_ref()), row("", "deleted", stats.deleted.as_ref())];
    let mut part = |title: &str, counts: Vec<(String, Option<&pb::StatsCount>)>| {
        for (i, (name, count)) in counts.into_iter().enumerate() {
            rows.push(row(if i == 0 { title } else { "" }, &name, count));
        }
    };
    let of = |stats: &pb::UploaderStats| output::short(stats.kind().as_str_name(), "CALLER_KIND_");
    part("uploaded by", stats.uploaders.iter().map(|s| (of(s), s.files.as_ref())).collect());
    part("from", stats.origins.iter().map(|s| (origin(s), s.files.as_ref())).collect());
    part("age", stats.ages.iter().map(|s| (age(s.under_days), s.files.as_ref())).collect());
    let mut extensions: Vec<_> = stats.extensions.iter().map(|s| (s.extension.clone(), s.files.as_ref())).collect();
    if stats.other_extensions.as_ref().is_some_and(|others| others.count > 0) {
        extensions.push(("others".to_owned(), stats.other_extensions.as_ref()));
    }
    part("extension", extensions);
    if let Some(blobs) = &stats.blobs {
        let named = |name: &str, count| (name.to_owned(), count);
        part(
            "blobs",
            vec![
                named("stored", blobs.stored.as_ref()),
                named("quarantined", blobs.quarantined.as_ref()),
                named("to be removed", blobs.purging.as_ref()),
                named("shared", blobs.shared.as_ref()),
            ],
        );
    }
    let mut guard = String::new();
    if let Some(due) = &stats.due {
        let mut groups = vec![("all".to_owned(), due.files.as_ref())];
        groups.extend(due.groups.iter().map(|group| (due_group(group), group.files.as_ref())));
        part("the next run deletes", groups);
        guard = format!("\na run deletes at most {} files unattended", due.guard_files);
    }
    let counted = output::time(stats.count_time.as_ref());
    format!("{}{guard}\ncounted at {counted}", output::table(&HEADER, rows))
}

const HEADER: [&str; 4] = ["WHAT", "OF WHICH", "COUNT", "SIZE"];

fn row(title: &str, name: &str, count: Option<&pb::StatsCount>) -> Vec<String> {
    let (many, bytes) = count.map_or((0, 0), |count| (count.count, count.size_bytes));
    vec![title.to_owned(), name.to_owned(), many.to_string(), output::size(bytes)]
}

fn origin(stats: &pb::OriginStats) -> String {
    match stats.origin() {
        pb::Origin::Unspecified => "not said".to_owned(),
        origin => output::short(origin.as_str_name(), "ORIGIN_"),
    }
}

fn age(under_days: i32) -> String {
    match under_days {
        0 => "older".to_owned(),
        1 => "under a day".to_owned(),
        days => format!("under {days} days"),
    }
}

fn due_group(group: &pb::DueGroup) -> String {
    let owner = output::short(group.owner().as_str_name(), "CALLER_KIND_");
    format!("{owner}, {}", if group.assigned { "assigned" } else { "unassigned" })
}
