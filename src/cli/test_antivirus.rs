//! `lhfile test-antivirus PATH`: scans a file as an upload would be; nothing is stored. Exit codes 0 clean,
//! 10 infected, 11 unscannable, 12 scanner down.
//!
//! Not here: how the scanner is in general (`scanner.rs`).

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::Args;

use super::{
    Context,
    failure::Failure,
    output,
    upload::{
        self,
        pieces::{self, Broken, Pieces},
    },
};
use crate::{
    domain::Reason,
    rpc::pb::{self, ScanResult, test_antivirus_request::Part},
};

const INFECTED: u8 = 10;
const UNSCANNABLE: u8 = 11;
const SCANNER_DOWN: u8 = 12;

/// Which file.
#[derive(Debug, Args)]
pub struct TestAntivirus {
    /// The file; `-` is standard input
    path: PathBuf,
    /// Also tell what was looked at, with what, and what it means
    #[arg(long)]
    explain: bool,
}

impl TestAntivirus {
    /// Prints the result; the exit code tells it too.
    pub async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        match self.scan(context).await {
            Ok(answer) => {
                output::one(context.json, "TestAntivirusResponse", &answer, people)?;
                exit_code(answer.result())
            }
            Err(failure) if failure.reason() == Some(Reason::ScannerDown.name()) => {
                eprintln!("{}", if context.json { failure.as_json() } else { failure.as_line() });
                Ok(ExitCode::from(SCANNER_DOWN))
            }
            Err(failure) => Err(failure),
        }
    }

    async fn scan(&self, context: &Context) -> Result<pb::TestAntivirusResponse, Failure> {
        let unreadable = || Failure::failed(format!("{} cannot be read", self.path.display()));
        let (source, size) = pieces::open(&self.path).await.map_err(unreadable())?;
        let mut maintenance = context.connection.maintenance().await?;
        let bar = upload::bar(size, &self.path.to_string_lossy(), context.json);
        let broken = Arc::new(Broken::default());
        let options = Part::Options(pb::TestAntivirusOptions { explain: self.explain });
        let wrap = |part| pb::TestAntivirusRequest { part: Some(part) };
        let stream = Pieces::new(source, Arc::clone(&broken), bar.clone()).stream(options, wrap);
        let answer = maintenance.test_antivirus(stream).await;
        bar.finish_and_clear();
        match broken.take() {
            Some(error) => Err(unreadable()(error)),
            None => Ok(answer?.into_inner()),
        }
    }
}

fn exit_code(result: ScanResult) -> Result<ExitCode, Failure> {
    match result {
        ScanResult::Clean => Ok(ExitCode::SUCCESS),
        ScanResult::Infected => Ok(ExitCode::from(INFECTED)),
        ScanResult::Unscannable => Ok(ExitCode::from(UNSCANNABLE)),
        ScanResult::Unspecified => output::expected(None),
    }
}

fn people(answer: &pb::TestAntivirusResponse) -> String {
    let result = match answer.result() {
        ScanResult::Clean => "clean".to_owned(),
        ScanResult::Infected => format!("INFECTED: {}", answer.signature),
        ScanResult::Unscannable => format!("UNSCANNABLE: {}", answer.cause),
        ScanResult::Unspecified => String::new(),
    };
    let took = answer.scan_duration.as_ref().map_or_else(String::new, |took| {
        let nanos = u32::try_from(took.nanos).unwrap_or(0);
        format!("{:?}", std::time::Duration::new(u64::try_from(took.seconds).unwrap_or(0), nanos))
    });
    let facts = output::facts(&[
        ("result", result),
        ("engine", answer.engine.clone()),
        ("signatures", answer.signature_version.clone()),
        ("took", took),
    ]);
    let explained: Vec<_> = answer.explanation.iter().map(|line| output::printable(line)).collect();
    [facts, explained.join("\n")].join("\n\n").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_has_its_exit_code() {
        let code = |result| format!("{:?}", exit_code(result).expect("a result"));
        assert_eq!(code(ScanResult::Clean), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(code(ScanResult::Infected), format!("{:?}", ExitCode::from(10)));
        assert_eq!(code(ScanResult::Unscannable), format!("{:?}", ExitCode::from(11)));
        assert!(exit_code(ScanResult::Unspecified).is_err(), "silence is not clean");
    }
}
