//! The example shows every key and works; the schema that editors use is current.

use std::path::Path;

use serde_json::Value;

use crate::config::{Config, PRESETS, schema};

const EXAMPLE: &str = include_str!("../../../config.example.toml");
const SCHEMA: &str = include_str!("../../../schema/bearward.schema.json");

/// Puts the files that the example names beside it, made for this test, and gives the variables that it names.
fn load_example(folder: &Path) -> Result<crate::config::Loaded, crate::config::Problems> {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    let made = rcgen::generate_simple_self_signed(["api.example".to_owned()]).unwrap();
    write("ca.pem", &made.cert.pem());
    write("client.pem", &made.cert.pem());
    write("client.key", &made.signing_key.serialize_pem());
    write("password", "from a file\n");
    write("token", "from-a-file\n");
    let env = |name: &str| {
        EXAMPLE.contains(&format!("env = \"{name}\"")).then(|| "from-the-environment".to_owned())
    };
    Config::parse_with(EXAMPLE, folder.join("bearward.toml").to_str().unwrap(), &env)
}

#[test]
fn the_example_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = load_example(folder.path()).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(loaded.config.tokens.len() >= 5 && loaded.config.upstreams.len() >= 3);
}

#[test]
fn the_example_shows_every_key_and_every_preset() {
    let document: toml::Value = toml::from_str(EXAMPLE).unwrap();
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let mut absent = Vec::new();
    absent_keys(&schema, &[&document], "", &mut absent);
    assert!(absent.is_empty(), "config.example.toml shows no {absent:?}");
    for preset in PRESETS {
        assert!(EXAMPLE.contains(&format!("\"{preset}\"")), "config.example.toml shows no preset {preset}");
    }
}

/// What the schema knows and none of `tables` has.
fn absent_keys(schema: &Value, tables: &[&toml::Value], path: &str, absent: &mut Vec<String>) {
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        let found: Vec<_> = tables.iter().filter_map(|table| table.get(name)).collect();
        if found.is_empty() {
            absent.push(path);
            continue;
        }
        absent_keys(inner, &found, &path, absent);
        if inner["additionalProperties"].is_object() {
            let named: Vec<_> =
                found.iter().filter_map(|table| table.as_table()).flat_map(|table| table.values()).collect();
            absent_keys(&inner["additionalProperties"], &named, &format!("{path}/*"), absent);
        }
    }
}

#[test]
fn the_example_is_toml_1_0() {
    // TOML 1.1 allows line breaks within { }; editors of 1.0 do not.
    for line in EXAMPLE.lines().filter(|line| !line.trim_start().starts_with('#')) {
        assert_eq!(line.matches('{').count(), line.matches('}').count(), "{line}");
    }
}

#[test]
fn the_checked_in_schema_is_current() {
    assert!(schema() == SCHEMA, "write it anew: cargo run -- schema > schema/bearward.schema.json");
}

#[test]
fn the_schema_knows_what_the_reader_knows() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let token = &schema["properties"]["tokens"]["additionalProperties"];
    assert_eq!(token["additionalProperties"], Value::Bool(false));
    let methods = token["properties"]["token_endpoint_auth_method"]["enum"].as_array().unwrap();
    let known: Vec<_> =
        crate::oauth::client_auth::METHODS.iter().map(|(name, _)| Value::from(*name)).collect();
    assert_eq!(*methods, known);
    assert!(token["properties"].get("issuer").is_none(), "a later version's key is no key of this one");
}
