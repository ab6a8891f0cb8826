//! `lhfile settings get|set|describe`: what may be uploaded by whom. Keys and types are read from the proto, so that a
//! new setting needs nothing here.
//!
//! Not here: what a setting means and its bounds (`domain/settings.rs`), which the server judges.

use clap::{Args, Subcommand};
use prost_reflect::{DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, ReflectMessage as _, Value};
use prost_types::FieldMask;
use serde_json::json;

use super::{Context, failure::Failure, output};
use crate::rpc::pb;

/// What to do with settings.
#[derive(Debug, Subcommand)]
pub enum Settings {
    /// Show all settings, or one
    Get(Get),
    /// Change a setting
    Set(Set),
    /// Tell of every setting its type, default, bounds and meaning
    Describe,
}

/// Which setting.
#[derive(Debug, Args)]
pub struct Get {
    /// The key; all, if it is not given
    key: Option<String>,
}

/// Which setting becomes what.
#[derive(Debug, Args)]
pub struct Set {
    /// The key
    key: String,
    /// The value; a list may have several, or '' for none
    #[arg(required = true, value_name = "VALUE", allow_negative_numbers = true)]
    values: Vec<String>,
    /// Only if the settings' etag is still this one
    #[arg(long)]
    etag: Option<String>,
}

impl Settings {
    /// Does it and prints the settings, the one asked for, or the descriptions.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Settings::Get(Get { key }) => {
                let field = key.as_deref().map(field).transpose()?;
                let mut config = context.connection.config().await?;
                let answer = config.get_settings(pb::GetSettingsRequest {}).await?.into_inner();
                let settings = dynamic(&output::expected(answer.settings.as_ref())?.clone());
                match field {
                    Some(field) => show(context.json, &settings, &field),
                    None if context.json => output::line(&output::json("GetSettingsResponse", &answer)),
                    None => {
                        let row = |field: FieldDescriptor| {
                            vec![field.name().to_owned(), text(&settings.get_field(&field), &field)]
                        };
                        output::line(&output::table(&["KEY", "VALUE"], settings.descriptor().fields().map(row)))
                    }
                }
            }
            Settings::Set(set) => {
                let field = field(&set.key)?;
                let request = set.request(&field)?;
                let mut config = context.connection.config().await?;
                let answer = config.update_settings(request).await?.into_inner();
                let settings = output::expected(answer.settings)?;
                show(context.json, &dynamic(&settings), &field)
            }
            Settings::Describe => {
                let mut config = context.connection.config().await?;
                let answer = config.describe_settings(pb::DescribeSettingsRequest {}).await?.into_inner();
                if context.json {
                    let mut told = answer.settings.iter();
                    return told.try_for_each(|one| output::line(&output::json("SettingDescription", one)));
                }
                let told: Vec<_> = answer.settings.iter().map(describe).collect();
                output::line(&told.join("\n\n"))
            }
        }
    }
}

impl Set {
    fn request(self, field: &FieldDescriptor) -> Result<pb::UpdateSettingsRequest, Failure> {
        let mut settings = dynamic(&pb::Settings::default());
        settings.set_field(field, parse(field, &self.values).map_err(Failure::Usage)?);
        let settings: pb::Settings = settings.transcode_to().expect("a message is of its own descriptor");
        let update_mask = Some(FieldMask { paths: vec![field.name().to_owned()] });
        Ok(pb::UpdateSettingsRequest { settings: Some(settings), update_mask, etag: self.etag })
    }
}

fn dynamic(settings: &pb::Settings) -> DynamicMessage {
    let mut dynamic = DynamicMessage::new(output::descriptor("Settings"));
    dynamic.transcode_from(settings).expect("a message is of its own descriptor");
    dynamic
}

fn field(key: &str) -> Result<FieldDescriptor, Failure> {
    output::descriptor("Settings").get_field_by_name(key).ok_or_else(|| {
        Failure::Usage(format!("there is no setting {}: `lhfile settings describe` lists them", output::printable(key)))
    })
}

/// The words of the command line as a value of the field's type. Bounds are the server's.
fn parse(field: &FieldDescriptor, words: &[String]) -> Result<Value, String> {
    if field.is_list() {
        let items = words.iter().flat_map(|word| word.split([' ', ','])).filter(|item| !item.is_empty());
        let items = items.map(|item| match field.kind() {
            Kind::Enum(choices) => choice(field.name(), &choices, item),
            _ => Ok(Value::String(item.to_owned())),
        });
        return Ok(Value::List(items.collect::<Result<_, _>>()?));
    }
    // An expression of several words, whether the shell kept them together or not.
    if field.kind() == Kind::String {
        return Ok(Value::String(words.join(" ")));
    }
    let [word] = words else { return Err(format!("{} takes one value", field.name())) };
    match field.kind() {
        Kind::Bool => word.parse().map(Value::Bool).map_err(|_| format!("{} is true or false", field.name())),
        Kind::Int64 => word.parse().map(Value::I64).map_err(|_| format!("{} is a whole number", field.name())),
        Kind::Enum(choices) => choice(field.name(), &choices, word),
        _ => Err(format!("{} cannot be set by this version", field.name())),
    }
}

/// One of an enum's values, by its name.
fn choice(key: &str, choices: &EnumDescriptor, word: &str) -> Result<Value, String> {
    let values: Vec<_> = choices.values().filter(|value| value.number() != 0).collect();
    let found = values.iter().find(|value| in_enum(value.name(), choices.name()).eq_ignore_ascii_case(word));
    found.map(|value| Value::EnumNumber(value.number())).ok_or_else(|| {
        let names: Vec<_> = values.iter().map(|value| in_enum(value.name(), choices.name())).collect();
        format!("{key} is one of {}", names.join(", "))
    })
}

/// A value as `settings set` takes it.
fn text(value: &Value, field: &FieldDescriptor) -> String {
    match (value, field.kind()) {
        (Value::Bool(value), _) => value.to_string(),
        (Value::I64(value), _) => value.to_string(),
        (Value::String(value), _) => value.clone(),
        (Value::List(items), _) => items.iter().map(|item| text(item, field)).collect::<Vec<_>>().join(" "),
        (Value::EnumNumber(number), Kind::Enum(choices)) => choices
            .get_value(*number)
            .map_or_else(|| number.to_string(), |value| in_enum(value.name(), choices.name()).to_owned()),
        (other, _) => format!("{other:?}"),
    }
}

/// `VISITOR_DOWNLOAD_LINK` of `VisitorDownload` is `LINK`.
fn in_enum<'v>(value: &'v str, of: &str) -> &'v str {
    let prefix = of.len() + of.chars().skip(1).filter(char::is_ascii_uppercase).count() + 1;
    value.get(prefix..).unwrap_or(value)
}

fn show(as_json: bool, settings: &DynamicMessage, field: &FieldDescriptor) -> Result<(), Failure> {
    let value = settings.get_field(field);
    if !as_json {
        return output::line(&text(&value, field));
    }
    let value = match value.as_ref() {
        Value::Bool(value) => json!(value),
        Value::I64(value) => json!(value),
        Value::List(items) => json!(items.iter().map(|item| text(item, field)).collect::<Vec<_>>()),
        other => json!(text(other, field)),
    };
    let mut object = serde_json::Map::new();
    object.insert(field.name().to_owned(), value);
    output::line(&serde_json::Value::Object(object).to_string())
}

fn describe(setting: &pb::SettingDescription) -> String {
    let kind = output::short(setting.r#type().as_str_name(), "SETTING_TYPE_");
    let mut bounds = Vec::new();
    bounds.extend(setting.min.map(|min| format!("from {min}")));
    bounds.extend(setting.max.map(|max| format!("to {max}")));
    bounds.extend((!setting.unit.is_empty()).then(|| setting.unit.clone()));
    bounds.extend((!setting.choices.is_empty()).then(|| setting.choices.join(", ")));
    let lhc = if setting.lhc_key.is_empty() { String::new() } else { format!("\n    LHC: {}", setting.lhc_key) };
    let told = if setting.enforced { "" } else { " (told to clients, not enforced)" };
    format!(
        "{}  {kind} {}\n    {}{told}\n    default: {}{lhc}",
        setting.key,
        bounds.join(" "),
        setting.description,
        setting.default_value
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::settings::TABLE;

    fn set(key: &str, values: &[&str]) -> Result<pb::Settings, Failure> {
        let set = Set { key: key.into(), values: values.iter().map(|v| (*v).to_owned()).collect(), etag: None };
        let request = set.request(&field(key)?)?;
        assert_eq!(request.update_mask.expect("a mask").paths, [key]);
        Ok(request.settings.expect("settings"))
    }

    #[test]
    fn words_become_values_of_the_settings_type() {
        assert_eq!(set("max_file_bytes", &["123"]).expect("a number").max_file_bytes, 123);
        assert!(set("read_only", &["true"]).expect("a bool").read_only);
        assert_eq!(
            set("visitor_extensions", &["png", "jpg,gif"]).expect("a list").visitor_extensions,
            ["png", "jpg", "gif"]
        );
        assert!(set("bot_extensions", &[""]).expect("empty").bot_extensions.is_empty());
        let link = set("visitor_download", &["link"]).expect("a choice").visitor_download();
        assert_eq!(link, pb::VisitorDownload::Link);
        let both = set("delete_owners", &["visitors,OPERATORS"]).expect("two names");
        assert_eq!(both.delete_owners, [pb::DeleteOwner::Visitors as i32, pb::DeleteOwner::Operators as i32]);
        let names = set("ignored_signatures", &["Test.One", "Test.Two,Test.Three"]).expect("names");
        assert_eq!(names.ignored_signatures, ["Test.One", "Test.Two", "Test.Three"]);
        for words in [&["0 3 * * *"][..], &["0", "3", "*", "*", "*"]] {
            assert_eq!(set("maintenance_cron", words).expect("an expression").maintenance_cron, "0 3 * * *");
        }
    }

    #[test]
    fn word_of_another_type_and_unknown_key_are_usage() {
        for (key, words) in [
            ("nope", vec!["1"]),
            ("max_file_bytes", vec!["x"]),
            ("max_file_bytes", vec!["1", "2"]),
            ("read_only", vec!["yes"]),
            ("visitor_download", vec!["UNSPECIFIED"]),
            ("delete_owners", vec!["visitors", "services"]),
        ] {
            assert_eq!(set(key, &words).expect_err(key).exit_code(), 2, "{key}");
        }
    }

    #[test]
    fn every_default_reads_back_from_its_text() {
        for def in TABLE {
            let field = field(def.key).expect("the proto has every setting");
            let default = (def.default)().to_string();
            let value = parse(&field, std::slice::from_ref(&default)).expect(def.key);
            assert_eq!(text(&value, &field), default, "{}", def.key);
        }
    }
}
