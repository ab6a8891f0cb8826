//! `lhfile token`: mints a JWT with the secret of the data folder, or of all nodes, or with the first configured HS256 key.
//!
//! Not here: what a token may say and how it is verified (`rpc/credential.rs`). No server is asked.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{arguments, failure::Failure, output};
use crate::{
    config::{Algorithm, Config, KeyMaterial, Overrides},
    domain::{CallerKind, Person},
    ports::{Clock as _, SystemClock},
    rpc::credential::{self, Claims},
    secret,
};

/// Who, what, which chats, how long.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("who").required(true)))]
pub struct Token {
    /// For this operator
    #[arg(long, group = "who", value_name = "ID")]
    operator: Option<String>,
    /// For this visitor
    #[arg(long, group = "who", value_name = "ID")]
    visitor: Option<String>,
    /// For this service
    #[arg(long, group = "who", value_name = "ID")]
    service: Option<String>,
    /// A permission, or `*` for all; may be repeated
    #[arg(long = "permission", value_name = "NAME", value_parser = arguments::permission)]
    permissions: Vec<String>,
    /// A chat it may access, or `*` for all; may be repeated
    #[arg(long = "chat", value_name = "ID", value_parser = arguments::chat_or_all)]
    chats: Vec<String>,
    /// The online visitor id, for visitors
    #[arg(long, value_name = "ID", conflicts_with_all = ["operator", "service"])]
    vid: Option<String>,
    /// How long it lives: 90s, 30m, 1h, 2d
    #[arg(long, default_value = "1h", value_parser = arguments::duration)]
    ttl: Duration,
    #[command(flatten)]
    place: Place,
}

/// Which configuration, which data folder.
#[derive(Debug, Clone, Default, Args)]
pub struct Place {
    /// The configuration file; examples/lhfile.toml explains every key
    #[arg(long, env = "LHFILE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The data folder, instead of the configuration's
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
}

impl Place {
    /// Reads the configuration.
    pub fn load(&self) -> Result<Config, Failure> {
        let overrides = Overrides { data_dir: self.data_dir.clone(), ..Overrides::default() };
        Config::load(self.config.as_deref(), &overrides).map_err(|error| Failure::Failed(error.to_string()))
    }
}

impl Token {
    /// Prints the token.
    pub fn run(self) -> Result<(), Failure> {
        output::line(&self.mint()?)
    }

    fn mint(&self) -> Result<String, Failure> {
        let person = self.person()?;
        if person.kind() == CallerKind::Visitor && self.chats.iter().any(|chat| chat == "*") {
            return Err(Failure::Usage("a visitor has its own chats only: name them by --chat ID".to_owned()));
        }
        let config = self.place.load()?;
        if self.ttl > Duration::from_secs(config.max_token_ttl_seconds) {
            return Err(Failure::Usage(format!(
                "--ttl is longer than max_token_ttl_seconds = {}, so the server would refuse the token",
                config.max_token_ttl_seconds
            )));
        }
        mint(&config, person, &self.permissions, &self.chats, self.vid.clone(), self.ttl)
    }

    fn person(&self) -> Result<Person, Failure> {
        let (kind, id) = match (&self.operator, &self.visitor, &self.service) {
            (Some(id), _, _) => (CallerKind::Operator, id),
            (None, Some(id), _) => (CallerKind::Visitor, id),
            (None, None, Some(id)) => (CallerKind::Service, id),
            (None, None, None) => return Err(Failure::Usage("say for whom: --operator, --visitor, --service".into())),
        };
        Person::new(kind, id).map_err(|refusal| Failure::Usage(refusal.message.into_owned()))
    }
}

/// A token of this installation; makes its secret if there is none yet.
pub(super) fn mint(
    config: &Config,
    sub: Person,
    permissions: &[String],
    chats: &[String],
    vid: Option<String>,
    ttl: Duration,
) -> Result<String, Failure> {
    let secret = signing_secret(config)?;
    let ttl = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
    let exp = SystemClock.now().secs().saturating_add(ttl);
    Ok(credential::mint(&secret, &Claims { sub, lhfile: permissions.to_vec(), chats: chats.to_vec(), vid, exp }))
}

fn signing_secret(config: &Config) -> Result<Vec<u8>, Failure> {
    if config.keys.is_empty() {
        let mut secrets = secret::obtain(config.shared_secret(), &config.data_dir)
            .map_err(|error| Failure::Failed(error.to_string()))?;
        return Ok(secrets.swap_remove(0));
    }
    let key = config.keys.iter().find(|key| key.algorithm == Algorithm::Hs256).ok_or_else(|| {
        Failure::Failed("the configured keys are public ones: mint the token where their private halves are".to_owned())
    })?;
    match key.read().map_err(|error| Failure::Failed(error.to_string()))? {
        KeyMaterial::Secret(secret) => Ok(secret),
        KeyMaterial::PublicPem(_) => Err(Failure::Failed(format!("key {} has no secret", key.kid))),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        token: Token,
    }

    fn mint(line: &str) -> Result<serde_json::Value, Failure> {
        let dir = tempfile::tempdir().expect("a folder");
        let words = std::iter::once("token").chain(line.split(' '));
        let mut token = Line::try_parse_from(words).expect(line).token;
        token.place.data_dir = Some(dir.path().join("data"));
        let jwt = token.mint()?;
        let claims = jwt.split('.').nth(1).expect("three parts");
        let claims = data_encoding::BASE64URL_NOPAD.decode(claims.as_bytes()).expect("base64");
        Ok(serde_json::from_slice(&claims).expect("JSON"))
    }

    #[test]
    fn token_says_who_what_which_chats_and_its_end() {
        let claims = mint("--operator 17 --permission use --permission * --chat 42 --ttl 1h").expect("minted");
        assert_eq!(claims["sub"], "operator:17");
        assert_eq!(claims["aud"], "lhfile");
        assert_eq!(claims["lhfile"], serde_json::json!(["use", "*"]));
        assert_eq!(claims["chats"], serde_json::json!(["42"]));
        let left = claims["exp"].as_i64().expect("a number") - SystemClock.now().secs();
        assert!((3_590..=3_600).contains(&left), "{left}");
        assert_eq!(mint("--visitor 9f2c --chat 42 --vid v1").expect("minted")["vid"], "v1");
    }

    #[test]
    fn impossible_tokens_are_usage() {
        for bad in ["--visitor 9f2c --chat *", "--operator a/b", "--service b --ttl 2d"] {
            assert_eq!(mint(bad).expect_err(bad).exit_code(), 2, "{bad}");
        }
        for bad in ["", "--operator 1 --visitor 2", "--operator 1 --permission root", "--operator 1 --vid v"] {
            Line::try_parse_from(std::iter::once("token").chain(bad.split_whitespace())).expect_err(bad);
        }
    }
}
