//! `lhfile hold put|lift|ls`: what nobody may delete or detach.
//!
//! Not here: what a hold keeps (the server decides).

use clap::{Args, Subcommand};

use super::{Context, failure::Failure, output, pages};
use crate::rpc::pb::{self, hold_target::On};

/// What to do with holds.
#[derive(Debug, Subcommand)]
pub enum Hold {
    /// Keep a file, or all files of a chat or a person, from being deleted or detached
    Put(One),
    /// Lift a hold
    Lift(One),
    /// List holds, the newest first
    Ls(Ls),
}

/// What is held.
#[derive(Debug, Args)]
#[group(id = "target", multiple = false)]
pub struct Target {
    /// This file
    #[arg(long, value_name = "FILE_ID")]
    file: Option<String>,
    /// All files of this chat
    #[arg(long, value_name = "CHAT_ID")]
    chat: Option<String>,
    /// All files that this visitor uploaded, and those for the online visitor of this id
    #[arg(long, value_name = "ID")]
    visitor: Option<String>,
    /// All files that this operator uploaded
    #[arg(long, value_name = "ID")]
    operator: Option<String>,
}

/// Which hold.
#[derive(Debug, Args)]
#[command(mut_group("target", |group| group.required(true)))]
pub struct One {
    #[command(flatten)]
    target: Target,
    /// Why, such as a case's number; a hold is lifted by the same words
    #[arg(long, value_name = "TEXT")]
    matter: String,
}

/// Which holds.
#[derive(Debug, Args)]
pub struct Ls {
    #[command(flatten)]
    target: Target,
    /// Most holds
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

impl Hold {
    /// Does it and prints the hold, whether it was lifted, or all.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut maintenance = context.connection.maintenance().await?;
        match self {
            Hold::Put(One { target, matter }) => {
                let request = pb::PutHoldRequest { target: target.sent(), matter };
                let answer = maintenance.put_hold(request).await?.into_inner();
                output::one(context.json, "Hold", &output::expected(answer.hold)?, |hold| {
                    format!("{} is on hold for {}", on(hold.target.as_ref()), hold.matter)
                })
            }
            Hold::Lift(One { target, matter }) => {
                let request = pb::DeleteHoldRequest { target: target.sent(), matter };
                let answer = maintenance.delete_hold(request).await?.into_inner();
                output::one(context.json, "DeleteHoldResponse", &answer, |answer| {
                    if answer.lifted { "lifted".to_owned() } else { "there was no such hold".to_owned() }
                })
            }
            Hold::Ls(Ls { target, limit }) => {
                let target = target.sent();
                let (found, more) = pages::rows(limit, async |page_size, page_token| {
                    let request = pb::ListHoldsRequest { target: target.clone(), page_size, page_token };
                    let page = maintenance.list_holds(request).await?.into_inner();
                    Ok((page.holds, page.next_page_token))
                })
                .await?;
                if context.json {
                    return found.iter().try_for_each(|hold| output::line(&output::json("Hold", hold)));
                }
                output::line(&output::table(&HEADER, found.iter().map(|hold| row(hold).to_vec())))?;
                if more {
                    eprintln!("there are more: --limit N");
                }
                Ok(())
            }
        }
    }
}

impl Target {
    fn sent(self) -> Option<pb::HoldTarget> {
        let Self { file, chat, visitor, operator } = self;
        let on = file.map(On::FileId).or(chat.map(On::ChatId));
        let on = on.or(visitor.map(On::VisitorId)).or(operator.map(On::OperatorId));
        on.map(|on| pb::HoldTarget { on: Some(on) })
    }
}

const HEADER: [&str; 4] = ["ON", "MATTER", "BY", "SINCE"];

fn row(hold: &pb::Hold) -> [String; 4] {
    [
        on(hold.target.as_ref()),
        hold.matter.clone(),
        output::person(hold.creator.as_ref()),
        output::time(hold.create_time.as_ref()),
    ]
}

fn on(target: Option<&pb::HoldTarget>) -> String {
    match target.and_then(|target| target.on.as_ref()) {
        Some(On::FileId(id)) => format!("file:{id}"),
        Some(On::ChatId(id)) => format!("chat:{id}"),
        Some(On::VisitorId(id)) => format!("visitor:{id}"),
        Some(On::OperatorId(id)) => format!("operator:{id}"),
        None => String::new(),
    }
}
