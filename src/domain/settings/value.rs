//! The types a setting can have, their bounds and their text form.
//!
//! Not here: the settings themselves (`super`).

use std::fmt;

use crate::domain::{Cron, name::is_extension, quarantine::is_signature};

/// An enum among the settings, by the names that stand in the proto without their prefix.
pub trait Choice: Sized + Copy {
    /// All names.
    const NAMES: &'static [&'static str];
    /// The name of this one.
    fn name(self) -> &'static str;
    /// By name.
    fn find(name: &str) -> Option<Self>;
}

/// A value of any setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingValue {
    /// On or off.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A list of extensions.
    Extensions(Vec<String>),
    /// One of a few names.
    Choice(String),
    /// Some of a few names.
    Choices(Vec<String>),
    /// When something is done: a [`Cron`] expression, or nothing.
    Cron(String),
    /// Names of signatures.
    Signatures(Vec<String>),
}

/// Names of signatures, as one setting has them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignatureNames(pub Vec<String>);

/// The type of a setting with its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingKind {
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds, both included.
    Int {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
        /// What is counted.
        unit: &'static str,
    },
    /// Extensions, each `[a-z0-9]{1,10}`, at most 200, none twice.
    Extensions,
    /// One of these names.
    Choice(&'static [&'static str]),
    /// Any of these names, none twice.
    Choices(&'static [&'static str]),
    /// A [`Cron`] expression, or nothing.
    Cron,
    /// Names of signatures, each 1 to 200 printable ASCII characters without blanks and commas, at most 200, none twice.
    Signatures,
}

/// Most extensions in one list, and most names of signatures.
const MAX_EXTENSIONS: usize = 200;

impl SettingKind {
    /// The type's name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            SettingKind::Bool => "bool",
            SettingKind::Int { .. } => "int",
            SettingKind::Extensions => "extensions",
            SettingKind::Choice(_) => "choice",
            SettingKind::Choices(_) => "choices",
            SettingKind::Cron => "cron",
            SettingKind::Signatures => "signatures",
        }
    }

    /// Says what is wrong with a value, if anything is.
    pub fn judge(self, value: &SettingValue) -> Result<(), String> {
        match (self, value) {
            (SettingKind::Bool, SettingValue::Bool(_)) => Ok(()),
            (SettingKind::Int { min, max, unit }, SettingValue::Int(n)) => {
                if (min..=max).contains(n) {
                    Ok(())
                } else {
                    Err(format!("must be {min} to {max} {unit}"))
                }
            }
            (SettingKind::Extensions, SettingValue::Extensions(list)) => judge_extensions(list),
            (SettingKind::Choice(names), SettingValue::Choice(name)) => {
                if names.contains(&name.as_str()) {
                    Ok(())
                } else {
                    Err(format!("must be one of {}", names.join(", ")))
                }
            }
            (SettingKind::Choices(names), SettingValue::Choices(list)) => {
                if list.iter().any(|name| !names.contains(&name.as_str())) {
                    return Err(format!("must be any of {}, or nothing", names.join(", ")));
                }
                let twice = (1..list.len()).any(|at| list[..at].contains(&list[at]));
                if twice { Err("names one twice".to_owned()) } else { Ok(()) }
            }
            (SettingKind::Cron, SettingValue::Cron(text)) => {
                if text.is_empty() {
                    Ok(())
                } else {
                    text.parse::<Cron>().map(drop)
                }
            }
            (SettingKind::Signatures, SettingValue::Signatures(list)) => judge_signatures(list),
            _ => Err(format!("must be a value of type {}", self.name())),
        }
    }

    /// Reads the text form: `true`, a number, `pdf png`, a name, several names, `0 3 * * *`.
    pub fn parse(self, text: &str) -> Result<SettingValue, String> {
        let value = match self {
            SettingKind::Bool => SettingValue::Bool(text.parse().map_err(|_| "must be true or false".to_owned())?),
            SettingKind::Int { .. } => {
                SettingValue::Int(text.parse().map_err(|_| "must be a whole number".to_owned())?)
            }
            SettingKind::Extensions => SettingValue::Extensions(words(text)),
            SettingKind::Choice(_) => SettingValue::Choice(text.to_owned()),
            SettingKind::Choices(_) => SettingValue::Choices(words(text)),
            SettingKind::Cron => SettingValue::Cron(text.to_owned()),
            SettingKind::Signatures => SettingValue::Signatures(words(text)),
        };
        self.judge(&value)?;
        Ok(value)
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| c.is_whitespace() || c == ',').filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

fn judge_signatures(list: &[String]) -> Result<(), String> {
    if list.len() > MAX_EXTENSIONS {
        return Err(format!("has at most {MAX_EXTENSIONS} names"));
    }
    if let Some(bad) = list.iter().position(|name| !is_signature(name)) {
        let must = "is not 1 to 200 printable ASCII characters without blanks and commas";
        return Err(format!("name number {} {must}", bad + 1));
    }
    let twice = (1..list.len()).any(|at| list[..at].contains(&list[at]));
    if twice { Err("names one twice".to_owned()) } else { Ok(()) }
}

fn judge_extensions(list: &[String]) -> Result<(), String> {
    if list.len() > MAX_EXTENSIONS {
        return Err(format!("has at most {MAX_EXTENSIONS} extensions"));
    }
    if let Some(bad) = list.iter().position(|e| !is_extension(e)) {
        return Err(format!("extension number {} is not 1 to 10 of a-z 0-9, without a dot", bad + 1));
    }
    let mut sorted: Vec<_> = list.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() == list.len() { Ok(()) } else { Err("names an extension twice".to_owned()) }
}

impl fmt::Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingValue::Bool(b) => write!(f, "{b}"),
            SettingValue::Int(n) => write!(f, "{n}"),
            SettingValue::Extensions(list) | SettingValue::Choices(list) | SettingValue::Signatures(list) => {
                f.write_str(&list.join(" "))
            }
            SettingValue::Choice(text) | SettingValue::Cron(text) => f.write_str(text),
        }
    }
}

macro_rules! conversions {
    ($($type:ty => $variant:ident,)+) => {$(
        impl From<$type> for SettingValue {
            fn from(v: $type) -> Self { SettingValue::$variant(v) }
        }
        impl TryFrom<SettingValue> for $type {
            type Error = ();
            fn try_from(v: SettingValue) -> Result<Self, ()> {
                match v { SettingValue::$variant(v) => Ok(v), _ => Err(()) }
            }
        }
    )+};
}

conversions! {
    bool => Bool,
    i64 => Int,
    Vec<String> => Extensions,
    String => Cron,
}

impl From<SignatureNames> for SettingValue {
    fn from(v: SignatureNames) -> Self {
        SettingValue::Signatures(v.0)
    }
}

impl TryFrom<SettingValue> for SignatureNames {
    type Error = ();
    fn try_from(v: SettingValue) -> Result<Self, ()> {
        match v {
            SettingValue::Signatures(v) => Ok(Self(v)),
            _ => Err(()),
        }
    }
}
