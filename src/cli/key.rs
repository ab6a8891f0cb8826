//! `lhfile key create|ls|retire`: opaque keys, made and ended by the server.
//!
//! Not here: what a key may hold (the server decides), and JWTs that need no server (`token.rs`).

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Context, arguments, failure::Failure, output, pages};
use crate::rpc::pb;

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make a key, and print it alone: it is told this once
    Create(Create),
    /// List keys, the newest first, without their secrets
    Ls(Ls),
    /// End keys
    Retire(Retire),
}

/// For whom, with what, how long.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("holder").required(true)))]
pub struct Create {
    /// For this service
    #[arg(long, group = "holder", value_name = "ID")]
    service: Option<String>,
    /// For this operator
    #[arg(long, group = "holder", value_name = "ID")]
    operator: Option<String>,
    /// For this visitor
    #[arg(long, group = "holder", value_name = "ID")]
    visitor: Option<String>,
    /// A permission that you hold, or `*` for all of yours; may be repeated
    #[arg(long = "permission", value_name = "NAME", value_parser = arguments::permission)]
    permissions: Vec<String>,
    /// A chat that you may access, or `*` for all of yours; may be repeated
    #[arg(long = "chat", value_name = "ID", value_parser = arguments::chat_or_all)]
    chats: Vec<String>,
    /// The online visitor id, for visitors
    #[arg(long, value_name = "ID", conflicts_with_all = ["operator", "service"])]
    vid: Option<String>,
    /// For people: what it is for
    #[arg(long, default_value = "", hide_default_value = true)]
    label: String,
    /// How long it counts: 90s, 30m, 1h, 2d; at most 366d
    #[arg(long, default_value = "90d", value_parser = arguments::duration)]
    ttl: Duration,
}

/// Which keys.
#[derive(Debug, Args)]
pub struct Ls {
    /// Those that do not count any more, too
    #[arg(long)]
    all: bool,
    /// Most keys
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// Which keys.
#[derive(Debug, Args)]
pub struct Retire {
    /// Their ids, as `key ls` shows them
    #[arg(required = true, value_name = "KEY_ID")]
    keys: Vec<String>,
}

impl Key {
    /// Does it and prints the secret, the keys, or what was ended.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut access = context.connection.access().await?;
        match self {
            Key::Create(create) => {
                let answer = access.create_key(create.request()?).await?.into_inner();
                if context.json {
                    return output::line(&output::json("CreateKeyResponse", &answer));
                }
                let key = output::expected(answer.key)?;
                // Beside the secret, which a shell may be catching.
                eprintln!("key {} of {}, {}; it is not told again", key.key_id, holder(&key), state(&key));
                output::line(&answer.secret)
            }
            Key::Ls(Ls { all: show_ended, limit }) => {
                let (found, more) = pages::rows(limit, async |page_size, page_token| {
                    let request = pb::ListKeysRequest { show_ended, page_size, page_token };
                    let page = access.list_keys(request).await?.into_inner();
                    Ok((page.keys, page.next_page_token))
                })
                .await?;
                if context.json {
                    return found.iter().try_for_each(|key| output::line(&output::json("Key", key)));
                }
                output::line(&output::table(&HEADER, found.iter().map(|key| row(key).to_vec())))?;
                if more {
                    eprintln!("there are more: --limit N");
                }
                Ok(())
            }
            Key::Retire(Retire { keys }) => {
                for key_id in keys {
                    let answer = access.retire_key(pb::RetireKeyRequest { key_id }).await?.into_inner();
                    let key = output::expected(answer.key)?;
                    output::one(context.json, "Key", &key, |key| {
                        format!("{} of {} is retired", key.key_id, holder(key))
                    })?;
                }
                Ok(())
            }
        }
    }
}

impl Create {
    fn request(self) -> Result<pb::CreateKeyRequest, Failure> {
        let subject = match (&self.service, &self.operator, &self.visitor) {
            (Some(id), _, _) => format!("service:{id}"),
            (None, Some(id), _) => format!("operator:{id}"),
            (None, None, Some(id)) => format!("visitor:{id}"),
            (None, None, None) => return Err(Failure::Usage("say for whom: --service, --operator, --visitor".into())),
        };
        let seconds = i64::try_from(self.ttl.as_secs()).unwrap_or(i64::MAX);
        Ok(pb::CreateKeyRequest {
            subject,
            permissions: self.permissions,
            chats: self.chats,
            vid: self.vid,
            label: self.label,
            ttl: Some(prost_types::Duration { seconds, nanos: 0 }),
        })
    }
}

const HEADER: [&str; 7] = ["KEY_ID", "HOLDER", "PERMISSIONS", "CHATS", "LABEL", "CREATED", "STATE"];

fn row(key: &pb::Key) -> [String; 7] {
    [
        key.key_id.clone(),
        holder(key),
        key.permissions.join(" "),
        key.chats.join(" "),
        key.label.clone(),
        output::time(key.create_time.as_ref()),
        state(key),
    ]
}

fn holder(key: &pb::Key) -> String {
    let through = if key.acting_service.is_empty() { String::new() } else { format!(" by {}", key.acting_service) };
    output::person(key.holder.as_ref()) + &through
}

/// Until when it counts, or since when it does not.
fn state(key: &pb::Key) -> String {
    match &key.retire_time {
        Some(time) => format!("retired {}", output::time(Some(time))),
        None => format!("until {}", output::time(key.expire_time.as_ref())),
    }
}
