//! What is to be done after a move, by the person who ordered it.
//!
//! Not here: the move, which does all that can be done from one machine.

use std::path::Path;

use crate::{
    app::moving::Loss,
    config::{Config, DatabasePlace},
    secret,
};

const RESTART: &str = "restart it; it refuses to start where database and files are not each other's";
const LIFT: &str = "lhfile settings set read_only false";

/// A URL as it is shown.
fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    // What follows the question mark may hold a password, too.
    let (rest, more) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?…"));
    match rest.rsplit_once('@') {
        Some((user, place)) => {
            format!("{scheme}://{}:…@{place}{more}", user.split(':').next().unwrap_or_default())
        }
        None => format!("{scheme}://{rest}{more}"),
    }
}

/// What another data folder needs besides, where the secret lies in the old one.
fn secret_too(config: &Config, folder: &str) -> Option<String> {
    (config.shared_secret().is_none() && config.data_dir != Path::new(folder)).then(|| {
        let secret = secret::path(&config.data_dir);
        format!("  and a copy of {} there (mode 0600), so that tokens and links stay valid", secret.display())
    })
}

/// After a move of the database.
pub(super) fn database(moved: &str, config: &Config, to: &str) -> String {
    if moved == "prepared" {
        return "the rows are copied as far as they were; the same command without --prepare copies the rest and switches"
            .to_owned();
    }
    let mut lines = vec![format!("{moved}: every row is there, and read_only is on on both sides. On each node:")];
    if to.starts_with("postgres") {
        lines.push(format!("  database_url = {:?}", shown(to)));
        if config.shared_secret().is_none() {
            lines.push(format!(
                "  secret_file = a copy of {} (mode 0600), so that tokens and links stay valid on every node",
                secret::path(&config.data_dir).display()
            ));
        }
    } else {
        lines.push("  database_url = \"sqlite\"".to_owned());
        if let Some(folder) = to.strip_prefix("sqlite://").or_else(|| to.strip_prefix("sqlite:")) {
            lines.push(format!("  data_dir = {folder:?}"));
            lines.extend(secret_too(config, folder));
        }
        lines.push("  and one node alone".to_owned());
    }
    lines.push(format!("Then {RESTART}. When every node runs so:"));
    lines.push(format!("  {LIFT}"));
    lines.push("The old database stays read_only; remove it when you need no way back.".to_owned());
    lines.join("\n")
}

/// After a move of the files.
pub(super) fn blobs(moved: &str, losses: &[Loss], config: &Config, to: &str) -> String {
    let mut lines = Vec::new();
    if !losses.is_empty() {
        lines.push(format!("{} could not be copied: restore them from a backup under these keys.", losses.len()));
    }
    if moved == "prepared" {
        lines.push(
            "the files are copied as far as they were; the same command without --prepare copies the rest and \
                    switches"
                .to_owned(),
        );
        return lines.join("\n");
    }
    lines.push(format!("{moved}: the database belongs to the new store, and read_only is on. On each node:"));
    if to.starts_with("s3://") {
        lines.push(format!("  blob_url = {to:?}"));
        lines.push("  and the section s3 as it was used here".to_owned());
    } else {
        let folder = to.strip_prefix("file://").or_else(|| to.strip_prefix("file:")).unwrap_or(to);
        lines.push("  blob_url = \"\"".to_owned());
        lines.push(format!("  data_dir = {folder:?}"));
        lines.extend(secret_too(config, folder));
        if config.database_url.place() == DatabasePlace::DataFolder && config.data_dir != Path::new(folder) {
            lines.push(format!(
                "  and before that, for the database lies in the data folder, too: lhfile migrate database --to sqlite://{folder}"
            ));
        }
    }
    lines.push(format!("Then {RESTART}. Not before every node runs so:"));
    lines.push(format!("  {LIFT}"));
    lines.push(
        "Nodes on the old store go on serving downloads until then, and do not start again on it. Remove it when you \
                need no way back."
            .to_owned(),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    #[test]
    fn no_password_is_shown() {
        assert_eq!(shown("postgres://me:se:cr@t@db.example/lhfile"), "postgres://me:…@db.example/lhfile");
        assert_eq!(shown("postgres://db.example/lhfile"), "postgres://db.example/lhfile");
        assert_eq!(shown("postgres://db.example/x?user=me&password=s@cret"), "postgres://db.example/x?…");
        assert_eq!(shown("postgres://me@db.example/x?password=secret"), "postgres://me:…@db.example/x?…");
    }

    #[test]
    fn what_is_lost_is_told_first() {
        let config = Config::load(None, &Overrides::default()).expect("the defaults hold");
        let loss = Loss { key: "00".repeat(16).parse().expect("a key"), why: "gone".to_owned(), may_come: false };
        let told = blobs("switched", &[loss], &config, "file:///srv/data");
        assert!(told.starts_with("1 could not be copied") && told.contains("data_dir = \"/srv/data\""), "{told}");
        assert!(told.contains("read_only false") && told.contains("--to sqlite:///srv/data"), "{told}");
    }
}
