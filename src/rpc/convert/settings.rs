//! Settings, by reflection: the table in `domain/settings.rs` is their one declaration, and a test holds the proto to it.
//!
//! Not here: bounds (`domain/settings.rs`).

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value};

use super::{mask, timestamp};
use crate::{
    app::settings_etag,
    domain::{
        Refusal, Settings,
        settings::{SettingDef, SettingKind, SettingValue, TABLE},
    },
    ports::StoredSettings,
    rpc::{DESCRIPTOR_SET, pb},
};

static MESSAGE: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    DescriptorPool::decode(DESCRIPTOR_SET)
        .expect("the build made the descriptor set")
        .get_message_by_name("lhfile.v1.Settings")
        .expect("the proto declares Settings")
});

/// Told to clients in `GetUploadOptions`, and obeyed by nobody here.
const ONLY_TOLD: &[&str] = &["one_file_at_a_time", "voice_visitor", "voice_operator", "voice_max_seconds"];

fn field(def: &SettingDef) -> FieldDescriptor {
    MESSAGE.get_field_by_name(def.key).expect("a test finds each row of the table in the proto")
}

/// The prefix of an enum's values, from the one that every enum has: `…_UNSPECIFIED`.
fn prefix(choices: &EnumDescriptor) -> String {
    choices.default_value().name().trim_end_matches("UNSPECIFIED").to_owned()
}

/// All values.
pub fn settings(settings: &Settings) -> pb::Settings {
    let mut message = DynamicMessage::new(MESSAGE.clone());
    for def in TABLE {
        let field = field(def);
        let value = to_wire(&field, (def.get)(settings));
        message.set_field(&field, value);
    }
    message.transcode_to().expect("both are the message Settings")
}

fn to_wire(field: &FieldDescriptor, value: SettingValue) -> Value {
    let number = |choices: &EnumDescriptor, name: &str| {
        let value = choices.get_value_by_name(&format!("{}{name}", prefix(choices)));
        Value::EnumNumber(value.map_or(0, |v| v.number()))
    };
    match (value, field.kind()) {
        (SettingValue::Bool(b), _) => Value::Bool(b),
        (SettingValue::Int(n), _) => Value::I64(n),
        (SettingValue::Extensions(list) | SettingValue::Signatures(list), _) => {
            Value::List(list.into_iter().map(Value::String).collect())
        }
        (SettingValue::Choice(name), Kind::Enum(choices)) => number(&choices, &name),
        (SettingValue::Choices(list), Kind::Enum(choices)) => {
            Value::List(list.iter().map(|name| number(&choices, name)).collect())
        }
        (SettingValue::Choices(list), _) => Value::List(list.into_iter().map(Value::String).collect()),
        (SettingValue::Choice(text) | SettingValue::Cron(text), _) => Value::String(text),
    }
}

/// The changes that a request asks for.
///
/// # Errors
/// `BAD_ARGUMENT` for a mask that names nothing, or what is no setting. Values are judged later.
pub fn changes(request: pb::UpdateSettingsRequest) -> Result<Vec<(&'static str, SettingValue)>, Refusal> {
    let pb::UpdateSettingsRequest { settings, update_mask, etag: _ } = request;
    let keys: Vec<&'static str> = TABLE.iter().map(|def| def.key).collect();
    let wanted = mask(update_mask, &keys)?;
    let mut message = DynamicMessage::new(MESSAGE.clone());
    message.transcode_from(&settings.unwrap_or_default()).expect("both are the message Settings");
    let rows = TABLE.iter().filter(|def| wanted.contains(&def.key));
    Ok(rows.map(|def| (def.key, told(def, from_wire(&field(def), &message)))).collect())
}

/// The wire has one kind of list for two of ours.
fn told(def: &SettingDef, value: SettingValue) -> SettingValue {
    match (def.kind, value) {
        (SettingKind::Signatures, SettingValue::Extensions(list)) => SettingValue::Signatures(list),
        (_, value) => value,
    }
}

fn from_wire(field: &FieldDescriptor, message: &DynamicMessage) -> SettingValue {
    let name = |choices: &EnumDescriptor, number: i32| {
        // A number that is no value, and UNSPECIFIED, become names that the setting's bounds refuse.
        let name = choices.get_value(number).map_or_else(|| number.to_string(), |v| v.name().to_owned());
        name.trim_start_matches(&prefix(choices)).to_owned()
    };
    match (message.get_field(field).into_owned(), field.kind()) {
        (Value::Bool(b), _) => SettingValue::Bool(b),
        (Value::I64(n), _) => SettingValue::Int(n),
        (Value::List(list), Kind::Enum(choices)) => {
            let numbers = list.iter().filter_map(Value::as_enum_number);
            SettingValue::Choices(numbers.map(|number| name(&choices, number)).collect())
        }
        (Value::List(list), _) => {
            SettingValue::Extensions(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        }
        (Value::EnumNumber(number), Kind::Enum(choices)) => SettingValue::Choice(name(&choices, number)),
        (Value::String(text), _) => SettingValue::Cron(text),
        (other, _) => SettingValue::Choice(other.to_string()),
    }
}

/// The answer to `GetSettings`.
pub fn stored(stored: &StoredSettings) -> pb::GetSettingsResponse {
    let StoredSettings { settings: values, version, updated_at } = stored;
    pb::GetSettingsResponse {
        settings: Some(settings(values)),
        etag: settings_etag(*version),
        version: *version,
        update_time: updated_at.map(timestamp),
    }
}

/// The answer to `UpdateSettings`: the same.
pub fn updated(after: &StoredSettings) -> pb::UpdateSettingsResponse {
    let pb::GetSettingsResponse { settings, etag, version, update_time } = stored(after);
    pb::UpdateSettingsResponse { settings, etag, version, update_time }
}

/// All rows of the table.
pub fn descriptions() -> pb::DescribeSettingsResponse {
    pb::DescribeSettingsResponse { settings: TABLE.iter().map(description).collect() }
}

fn description(def: &SettingDef) -> pb::SettingDescription {
    let (kind, bounds, unit, choices): (_, _, _, &[&str]) = match def.kind {
        SettingKind::Bool => (pb::SettingType::Bool, None, "", &[]),
        SettingKind::Int { min, max, unit } => (pb::SettingType::Integer, Some((min, max)), unit, &[]),
        SettingKind::Extensions => (pb::SettingType::Extensions, None, "", &[]),
        SettingKind::Choice(names) => (pb::SettingType::Enum, None, "", names),
        SettingKind::Choices(names) => (pb::SettingType::Enums, None, "", names),
        SettingKind::Cron => (pb::SettingType::Cron, None, "", &[]),
        SettingKind::Signatures => (pb::SettingType::Signatures, None, "", &[]),
    };
    pb::SettingDescription {
        key: def.key.to_owned(),
        r#type: kind.into(),
        default_value: (def.default)().to_string(),
        min: bounds.map(|(min, _)| min),
        max: bounds.map(|(_, max)| max),
        unit: unit.to_owned(),
        description: def.description.to_owned(),
        lhc_key: def.lhc_key.to_owned(),
        enforced: !ONLY_TOLD.contains(&def.key),
        choices: choices.iter().map(|name| (*name).to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use prost_types::FieldMask;

    use super::*;
    use crate::domain::settings::{DeleteOwner, DeleteRelation, OperatorDownload, SignatureNames, VisitorDownload};

    #[test]
    fn every_row_of_the_table_is_a_field_of_its_type_and_every_field_a_row() {
        for def in TABLE {
            let field = MESSAGE.get_field_by_name(def.key).unwrap_or_else(|| panic!("{} is not in the proto", def.key));
            let fits = match (def.kind, field.kind()) {
                (SettingKind::Bool, Kind::Bool) | (SettingKind::Int { .. }, Kind::Int64) => !field.is_list(),
                (SettingKind::Extensions | SettingKind::Signatures, Kind::String) => field.is_list(),
                (SettingKind::Cron, Kind::String) => !field.is_list(),
                (SettingKind::Choice(names) | SettingKind::Choices(names), Kind::Enum(choices)) => {
                    let prefix = prefix(&choices);
                    let declared: Vec<_> =
                        choices.values().skip(1).map(|v| v.name().replacen(&prefix, "", 1)).collect();
                    field.is_list() == matches!(def.kind, SettingKind::Choices(_)) && declared == names
                }
                _ => false,
            };
            assert!(fits, "{}", def.key);
        }
        for field in MESSAGE.fields() {
            assert!(TABLE.iter().any(|def| def.key == field.name()), "{} is not in the table", field.name());
        }
        assert!(ONLY_TOLD.iter().all(|key| TABLE.iter().any(|def| def.key == *key)));
    }

    #[test]
    fn settings_read_back_from_the_wire() {
        let mut there = Settings { max_file_bytes: 7, bot_extensions: vec!["pdf".into()], ..Settings::default() };
        there.visitor_download = VisitorDownload::Forever;
        there.operator_download = OperatorDownload::AnyOperator;
        there.delete_owners = vec![DeleteOwner::Operators, DeleteOwner::Visitors];
        there.maintenance_cron = "0 3 * * *".to_owned();
        there.ignored_signatures = SignatureNames(vec!["Test.One".to_owned()]);
        let request = pb::UpdateSettingsRequest {
            settings: Some(settings(&there)),
            update_mask: Some(FieldMask { paths: vec!["*".into()] }),
            etag: None,
        };
        let mut back =
            Settings { read_only: true, delete_relations: vec![DeleteRelation::Assigned], ..Settings::default() };
        for (key, value) in changes(request).expect("a good mask") {
            back.set(key, value).expect(key);
        }
        assert_eq!(back, there);
    }

    #[test]
    fn only_what_the_mask_names_changes_and_unknown_names_are_refused() {
        let request = |paths: &[&str]| pb::UpdateSettingsRequest {
            settings: None,
            update_mask: Some(FieldMask { paths: paths.iter().map(|p| (*p).into()).collect() }),
            etag: None,
        };
        assert_eq!(changes(request(&["read_only"])), Ok(vec![("read_only", SettingValue::Bool(false))]));
        assert!(changes(request(&["readOnly"])).is_err() && changes(request(&[])).is_err());
    }

    #[test]
    fn an_enum_that_is_not_told_or_does_not_exist_is_a_bad_setting() {
        for number in [0, 99, -1] {
            let settings =
                pb::Settings { visitor_download: number, delete_owners: vec![1, number], ..Default::default() };
            let request = pb::UpdateSettingsRequest {
                settings: Some(settings),
                update_mask: Some(FieldMask { paths: vec!["visitor_download".into(), "delete_owners".into()] }),
                etag: None,
            };
            let sent = changes(request).expect("a good mask");
            assert_eq!(sent.len(), 2);
            for (key, value) in sent {
                let refusal = Settings::default().set(key, value).expect_err("refused");
                assert_eq!(refusal.reason, crate::domain::Reason::BadSetting);
            }
        }
    }

    #[test]
    fn descriptions_are_in_the_order_of_the_fields() {
        let keys: Vec<_> = descriptions().settings.into_iter().map(|d| d.key).collect();
        let fields: Vec<_> = MESSAGE.fields().map(|f| f.name().to_owned()).collect();
        assert_eq!(keys, fields);
    }
}
