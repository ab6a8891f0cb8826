//! A key that nobody reads is a mistake: found before anything else, named with its source and its neighbours.
//!
//! Not here: the keys inside a `[[keys]]` entry, which serde refuses itself.

use figment::{
    Figment,
    providers::{Format as _, Toml},
    value::{Dict, Value},
};

use super::{ConfigError, DEFAULTS};

/// Refuses a layer that holds a key the defaults lack. `between` joins the parts of a key, as that source writes them.
pub(super) fn refuse_unknown_keys(layer: &Figment, source: &str, between: &str) -> Result<(), ConfigError> {
    let read = |figment: &Figment| figment.extract::<Dict>().map_err(|error| error.to_string());
    let given = read(layer).map_err(|error| ConfigError::new(format!("{source} cannot be read: {error}")))?;
    let known = read(&Figment::from(Toml::string(DEFAULTS))).expect("the shipped defaults are TOML");
    compare(&given, &known, source, between, "")
}

fn compare(given: &Dict, known: &Dict, source: &str, between: &str, before: &str) -> Result<(), ConfigError> {
    for (key, value) in given {
        let path = format!("{before}{key}");
        match (known.get(key), value) {
            (None, _) => {
                let names: Vec<_> = known.keys().map(String::as_str).collect();
                let place = before.strip_suffix(between).map_or(String::new(), |p| format!(" in {p}"));
                return Err(ConfigError::new(format!(
                    "{source}: unknown key {path}; known{place}: {}. Remove it, or see examples/lhfile.toml",
                    names.join(", ")
                )));
            }
            (Some(Value::Dict(_, known)), Value::Dict(_, given)) => {
                compare(given, known, source, between, &format!("{path}{between}"))?;
            }
            (Some(_), _) => {}
        }
    }
    Ok(())
}
