//! How arguments become values: life times, permission names, ids, enums of the proto by their short names.
//!
//! Not here: the arguments themselves, which each subcommand declares.

use std::time::Duration;

use crate::{
    domain::{ChatId, Permission, permission::ALL_PERMISSIONS},
    rpc::pb,
};

/// `90s`, `30m`, `1h`, `2d`: a whole number above 0 and its unit.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: write 90s, 30m, 1h or 2d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number = &text[..text.len() - 1];
    let number: u64 = number.parse().ok().filter(|n| *n > 0 && !number.starts_with('+')).ok_or_else(wrong)?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// A permission's name, or `*`.
pub fn permission(text: &str) -> Result<String, String> {
    if text == ALL_PERMISSIONS || Permission::find(text).is_some() {
        return Ok(text.to_owned());
    }
    let known: Vec<_> = Permission::ALL.iter().map(|p| p.name()).collect();
    Err(format!("there is no such permission; known: *, {}", known.join(", ")))
}

/// A chat's id, or `*`.
pub fn chat_or_all(text: &str) -> Result<String, String> {
    if text == "*" { Ok(text.to_owned()) } else { chat(text) }
}

/// A chat's id.
pub fn chat(text: &str) -> Result<String, String> {
    text.parse::<ChatId>().map(|id| id.to_string()).map_err(|refusal| refusal.message.into_owned())
}

/// A time as RFC 3339 writes it: `2026-11-23T16:00:00Z`, or a date alone.
pub fn time(text: &str) -> Result<prost_types::Timestamp, String> {
    text.parse().map_err(|_| format!("{text:?} is no time: write 2026-11-23T16:00:00Z"))
}

/// Clap's reading of an enum of the proto by its short names, e.g. `closed` for `CHAT_STATUS_CLOSED`.
macro_rules! short_enum {
    ($(#[doc = $doc:literal])+ $name:ident: $pb:ty { $($(#[doc = $vdoc:literal])+ $variant:ident,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
        pub enum $name { $($(#[doc = $vdoc])+ $variant,)+ }

        impl From<$name> for i32 {
            fn from(value: $name) -> i32 { match value { $($name::$variant => <$pb>::$variant.into(),)+ } }
        }
    };
}
pub(super) use short_enum;

short_enum! {
    /// Where a file comes from.
    Origin: pb::Origin {
        /// Of what an online visitor sees: ages as a visitor's file
        Screenshot,
        /// Handed in with a form: ages as a visitor's file
        Form,
        /// Came with mail: never ages
        Mail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn life_time_is_a_number_and_its_unit() {
        for (text, seconds) in [("1h", 3_600), ("30m", 1_800), ("90s", 90), ("2d", 172_800)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)));
        }
        for bad in [
            "",
            "1",
            "h",
            "0s",
            "-1s",
            "+1s",
            "1.5h",
            "1w",
            "1 h",
            "99999999999999999999d",
            "1é",
            "300000000000000000d",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn unknown_permission_is_refused_naming_the_known_ones() {
        assert_eq!(permission("*").as_deref(), Ok("*"));
        let error = permission("root").expect_err("unknown");
        for known in Permission::ALL {
            assert_eq!(permission(known.name()).as_deref(), Ok(known.name()));
            assert!(error.contains(known.name()), "{error}");
        }
    }

    #[test]
    fn chat_id_is_of_the_alphabet() {
        assert!(chat("42").is_ok() && chat_or_all("*").is_ok());
        assert!(chat("*").is_err() && chat("a b").is_err() && chat("").is_err());
    }
}
