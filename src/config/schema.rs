//! The JSON Schema of the configuration file, for editors and CI.
//!
//! Written from `keys`, so that it knows exactly what the reader knows.

use serde_json::{Map, Value, json};

use super::keys::{self, Key, Kind};
use crate::oauth::grant::GRANTS;

/// The JSON Schema (draft 2020-12) of `bearward.toml`, indented, with a newline at its end.
pub fn schema() -> String {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bearward.toml",
        "description": "The configuration of bearward.",
    });
    if let (Some(schema), Value::Object(file)) = (schema.as_object_mut(), table(keys::FILE)) {
        schema.extend(file);
    }
    format!("{schema:#}\n")
}

fn table(keys: &[Key]) -> Value {
    let properties: Map<_, _> = keys.iter().map(|key| (key.name.to_owned(), described(key))).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn described(key: &Key) -> Value {
    let mut value = if key.name == "grant_type" { grant_types() } else { shape(key.kind) };
    if let Some(value) = value.as_object_mut() {
        value.insert("description".to_owned(), Value::from(key.doc));
    }
    value
}

fn grant_types() -> Value {
    let names: Vec<_> = GRANTS.iter().map(|(name, _)| *name).collect();
    json!({ "enum": names })
}

fn shape(kind: Kind) -> Value {
    let text = || json!({ "type": "string", "minLength": 1 });
    match kind {
        Kind::Text | Kind::TokenName | Kind::Url | Kind::File | Kind::Listen => text(),
        Kind::Secret => json!({ "oneOf": [
            text(),
            {
                "type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
                "properties": { "env": text(), "file": text() },
            },
        ] }),
        Kind::Duration => {
            json!({ "type": "string", "pattern": "^[0-9][0-9a-z.]*$", "examples": ["30s", "5m", "1h30m"] })
        }
        Kind::Size { .. } => {
            json!({ "type": "string", "pattern": "^[0-9.]+ ?[kKmMgG]?i?[bB]?$", "examples": ["64KiB"] })
        }
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Integer { least, most } => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Share { least, most } => json!({ "type": "number", "minimum": least, "maximum": most }),
        Kind::Choice { now, .. } => json!({ "enum": now }),
        Kind::Words => json!({ "oneOf": [text(), { "type": "array", "items": text() }] }),
        Kind::Users => {
            json!({ "type": "array", "items": { "type": "integer", "minimum": 0, "maximum": u32::MAX - 1 } })
        }
        Kind::Texts => json!({ "type": "array", "items": text() }),
        Kind::Object => json!({ "type": "object" }),
        Kind::Fields => json!({ "type": "object", "additionalProperties": text() }),
        Kind::Rules => {
            let mut body = table(keys::RULE);
            if let Some(body) = body.as_object_mut() {
                body.insert("required".to_owned(), json!(["pointer", "equals"]));
            }
            let rule = json!({ "oneOf": [{ "enum": ["any-401", "challenge", "never"] }, body] });
            json!({ "oneOf": [rule, { "type": "array", "items": rule }] })
        }
        Kind::Table(keys) => table(keys),
        Kind::Named(keys) => json!({ "type": "object", "additionalProperties": table(keys) }),
    }
}
