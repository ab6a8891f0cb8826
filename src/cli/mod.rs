//! The command line: one file for each subcommand. All but `serve`, `token` and `doctor` are clients of the service
//! like any other.
//!
//! Not here: business rules. Go next to [`client`] (the connection), [`output`] (JSON and tables), [`failure`] (exit
//! codes).

use std::{ffi::OsString, process::ExitCode};

use clap::{Args, Parser, Subcommand};

pub mod client;
pub mod failure;
pub mod output;

mod arguments;
mod attach;
mod chat;
mod completions;
mod detach;
mod doctor;
mod download;
mod erase;
mod fsck;
mod hold;
mod key;
mod link;
mod ls;
mod maintenance;
mod migrate;
mod pages;
mod patience;
mod purge;
mod quarantine;
mod question;
mod restore;
mod results;
mod rm;
mod scanner;
mod serve;
mod settings;
mod show;
mod stats;
mod test_antivirus;
mod token;
mod update;
mod upload;

use client::Connection;
use failure::Failure;

/// The file service of a live chat: takes, scans, keeps and serves the files of its chats.
#[derive(Debug, Parser)]
#[command(name = "lhfile", version, after_help = EXIT_CODES, max_term_width = 120)]
pub struct Cli {
    #[command(flatten)]
    context: Context,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 usage, 3 refused by the server, 4 server not reachable; \
                          test-antivirus also 10 infected, 11 unscannable, 12 scanner down.";

/// What every subcommand may be told.
#[derive(Debug, Args)]
pub struct Context {
    #[command(flatten)]
    connection: Connection,
    /// For programs: one JSON object per line, with the proto's field names
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Serve),
    /// Mint a token with the secret of the data folder, and print it alone
    Token(token::Token),
    /// Make, list and retire opaque keys: credentials that live long
    #[command(subcommand)]
    Key(key::Key),
    /// Tell the server about chats
    #[command(subcommand)]
    Chat(chat::Chat),
    /// Upload files to a chat or to the library
    Upload(upload::Upload),
    /// Download a file, or a range of it
    Download(download::Download),
    /// Make a link that lets whoever holds it download the file
    Link(link::Link),
    /// List files
    Ls(ls::Ls),
    /// Show one file, by id or message code
    Show(show::Show),
    /// Rename a file, or set whether maintenance spares it
    Update(update::Update),
    /// Attach a file to chats
    Attach(attach::Attach),
    /// Take a file out of chats; the file stays
    Detach(detach::Detach),
    /// Delete files
    Rm(rm::Rm),
    /// Bring deleted files back
    Restore(restore::Restore),
    /// Remove files for good, deleted or not
    Purge(purge::Purge),
    /// Erase a visitor: its files for good, and its id from all that is told
    Erase(erase::Erase),
    /// Keep files from being deleted, as long as a matter needs them
    #[command(subcommand)]
    Hold(hold::Hold),
    /// Read and change what may be uploaded by whom
    #[command(subcommand)]
    Settings(settings::Settings),
    /// Delete files for their age and clear up: plan it, run it, look at its runs
    #[command(subcommand)]
    Maintenance(maintenance::Maintenance),
    /// What is stored, in numbers, and what the next run of maintenance would delete
    Stats(stats::Stats),
    /// Ask how the virus scanner is, or scan stored files again
    #[command(subcommand)]
    Scanner(scanner::Scanner),
    /// What was found infected: list it, serve it again
    #[command(subcommand)]
    Quarantine(quarantine::Quarantine),
    /// Scan a file as an upload would be, and store nothing
    TestAntivirus(test_antivirus::TestAntivirus),
    /// Move the database or the files elsewhere while the service goes on, or bring the tables up to date
    #[command(subcommand)]
    Migrate(migrate::Migrate),
    /// Check whether rows and bytes belong together, and repair what can be
    Fsck(fsck::Fsck),
    /// Check this machine's set-up, and say what to do next
    Doctor(doctor::Doctor),
    /// Print a completion script for a shell
    Completions(completions::Completions),
}

/// Reads the arguments, does what they say, and tells the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are not mistakes; a closed pipe is nobody's.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let Cli { context, command } = cli;
    let json = context.json;
    match dispatch(context, command) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{}", if json { failure.as_json() } else { failure.as_line() });
            ExitCode::from(failure.exit_code())
        }
    }
}

fn dispatch(context: Context, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Token(token) => return token.run().map(done),
        Command::Completions(completions) => return completions.run().map(done),
        _ => {}
    }
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::failed("the runtime does not start"))?;
    runtime.block_on(async {
        // The server ends by itself, in order; everything else is dropped, which removes partial files.
        if let Command::Serve(serve) = command {
            return serve.run().await.map(done);
        }
        // A move that is interrupted takes `read_only` back.
        if let Command::Migrate(migrate) = command {
            return migrate.run(&context).await;
        }
        tokio::select! {
            outcome = Box::pin(call(&context, command)) => outcome,
            _ = tokio::signal::ctrl_c() => Err(Failure::Failed("interrupted".to_owned())),
        }
    })
}

async fn call(context: &Context, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(serve) => serve.run().await.map(done),
        Command::Token(token) => token.run().map(done),
        Command::Completions(completions) => completions.run().map(done),
        Command::Key(key) => key.run(context).await.map(done),
        Command::Chat(chat) => chat.run(context).await.map(done),
        Command::Upload(upload) => upload.run(context).await.map(done),
        Command::Download(download) => download.run(context).await.map(done),
        Command::Link(link) => link.run(context).await.map(done),
        Command::Ls(ls) => ls.run(context).await.map(done),
        Command::Show(show) => show.run(context).await.map(done),
        Command::Update(update) => update.run(context).await.map(done),
        Command::Attach(attach) => attach.run(context).await.map(done),
        Command::Detach(detach) => detach.run(context).await.map(done),
        Command::Rm(rm) => rm.run(context).await.map(done),
        Command::Restore(restore) => restore.run(context).await.map(done),
        Command::Purge(purge) => purge.run(context).await.map(done),
        Command::Erase(erase) => erase.run(context).await.map(done),
        Command::Hold(hold) => hold.run(context).await.map(done),
        Command::Settings(settings) => settings.run(context).await.map(done),
        Command::Maintenance(maintenance) => maintenance.run(context).await,
        Command::Stats(stats) => stats.run(context).await.map(done),
        Command::Scanner(scanner) => scanner.run(context).await.map(done),
        Command::Quarantine(quarantine) => quarantine.run(context).await.map(done),
        Command::TestAntivirus(test) => test.run(context).await,
        Command::Migrate(migrate) => migrate.run(context).await,
        Command::Fsck(fsck) => fsck.run(context).await,
        Command::Doctor(doctor) => doctor.run(context).await,
    }
}

fn done((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests;
