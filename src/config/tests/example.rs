//! The example shows every key and works; the schema that editors use is current.

use std::path::Path;

use serde_json::Value;

use crate::{
    ca::{Authority, Files, Hosts, Overwrite},
    clock::Clock,
    config::{Config, PRESETS, schema},
};

const EXAMPLE: &str = include_str!("../../../config.example.toml");
const SCHEMA: &str = include_str!("../../../schema/bearward.schema.json");

/// Puts the files that the example names beside it, made for this test, and gives the variables that it names.
fn load_example(folder: &Path) -> Result<crate::config::Loaded, crate::config::Problems> {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    let made = rcgen::generate_simple_self_signed(["api.example".to_owned()]).unwrap();
    write("ca.pem", &made.cert.pem());
    for name in ["client", "server"] {
        write(&format!("{name}.pem"), &made.cert.pem());
        write(&format!("{name}.key"), &made.signing_key.serialize_pem());
    }
    authority(folder);
    write("password", "from a file\n");
    write("token", "from-a-file\n");
    let env = |name: &str| {
        EXAMPLE.contains(&format!("env = \"{name}\"")).then(|| "from-the-environment".to_owned())
    };
    Config::parse_with(EXAMPLE, folder.join("bearward.toml").to_str().unwrap(), &env)
}

/// A local CA in a folder, and how `ca` names it.
fn authority(folder: &Path) -> String {
    let files = Files { certificate: folder.join("local-ca.pem"), key: folder.join("local-ca.key") };
    Authority::make(&files, &Hosts::any(), Overwrite::Never, &Clock::system()).unwrap();
    format!("{{ certificate = {:?}, key = {:?} }}", files.certificate, files.key)
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
}

/// Every key outside of tokens (whose grants are asked what they read) with a value that is not its default.
/// TLS with files that the test makes in FOLDER.
const SHOWN: &str = r#"{ certificate = "FOLDER/c.pem", key = "FOLDER/k.pem" }"#;

const EFFECTS: &[(&str, &str, &str)] = &[
    ("", "workers", "3"),
    ("log", "level", "\"trace\""),
    ("log", "format", "\"json\""),
    ("admin", "listen", "\"127.0.0.1:2\""),
    ("admin", "allow_hosts", "[\"a\"]"),
    ("admin", "allow_origins", "[\"https://a.example\"]"),
    ("admin", "allow_users", "[1]"),
    ("admin", "expose", "true"),
    ("admin", "listen_tls", SHOWN),
    ("gateway", "listen", "\"127.0.0.1:2\""),
    ("gateway", "allow_hosts", "[\"a\"]"),
    ("gateway", "allow_origins", "[\"https://a.example\"]"),
    ("gateway", "allow_users", "[1]"),
    ("gateway", "expose", "true"),
    ("gateway", "listen_tls", SHOWN),
    ("proxy", "listen", "\"127.0.0.1:2\""),
    ("proxy", "unmatched", "\"deny\""),
    ("proxy", "ca", "CA"),
    ("proxy", "allow_addresses", "[\"10.0.0.0/8\"]"),
    ("proxy", "proxy", "\"http://proxy.example:3128\""),
    ("proxy", "allow_origins", "[\"https://a.example\"]"),
    ("proxy", "allow_users", "[1]"),
    ("proxy", "expose", "true"),
    ("proxy", "listen_tls", SHOWN),
    ("transparent", "listen", "\"127.0.0.1:2\""),
    ("transparent", "unmatched", "\"deny\""),
    ("transparent", "ca", "CA"),
    ("transparent", "allow_addresses", "[\"10.0.0.0/8\"]"),
    ("transparent", "allow_origins", "[\"https://a.example\"]"),
    ("transparent", "expose", "true"),
    ("store", "kind", "\"memory\""),
    ("store", "path", "\"/tmp/other\""),
    ("limits", "http2_streams", "7"),
    ("limits", "http2_resets", "7"),
    ("limits", "http2_control_frames", "17"),
    ("limits", "extended_connect", "true"),
    ("limits", "replay_memory", "\"1MiB\""),
    ("limits", "head_size", "\"9KiB\""),
    ("limits", "head_fields", "9"),
    ("limits", "underscores", "\"refuse\""),
    ("limits", "head_timeout", "\"9s\""),
    ("limits", "idle_timeout", "\"9s\""),
    ("limits", "body_timeout", "\"9s\""),
    ("limits", "connections", "9"),
    ("limits", "requests", "9"),
    ("limits", "tunnel_idle_timeout", "\"9s\""),
    ("limits", "idle_connections", "9"),
    ("limits", "upstream_idle_timeout", "\"9s\""),
    ("limits", "upstream_connection_age", "\"9s\""),
    ("limits", "drain_timeout", "\"9s\""),
    ("upstreams.a", "preset", "\"inventorum\""),
    ("upstreams.a", "url", "\"https://b.example\""),
    ("upstreams.a", "token", "\"t\""),
    ("upstreams.a", "listen", "\"127.0.0.1:3\""),
    ("upstreams.a", "path", "\"/a\""),
    ("upstreams.a", "host", "\"a.local\""),
    ("upstreams.a", "headers", "{ accept = \"text/plain\" }"),
    ("upstreams.a", "http", "\"1\""),
    ("upstreams.a", "tls", "{ server_name = \"b.example\" }"),
    ("upstreams.a", "allow_cleartext", "true"),
    ("upstreams.a", "proxy", "\"http://proxy.example:3128\""),
    ("upstreams.a", "connect_timeout", "\"9s\""),
    ("upstreams.a", "response_timeout", "\"9s\""),
    ("upstreams.a", "token_timeout", "\"9s\""),
    ("upstreams.a", "replay_limit", "\"9KiB\""),
    ("upstreams.a", "allow_origins", "[\"https://a.example\"]"),
    ("upstreams.a", "allow_hosts", "[\"a\"]"),
    ("upstreams.a", "allow_users", "[1]"),
    ("upstreams.a", "expose", "true"),
    ("upstreams.a", "listen_tls", SHOWN),
    ("upstreams.a", "keep_authorization", "true"),
    ("upstreams.a", "preserve_host", "true"),
    ("upstreams.a", "upgrades", "false"),
    ("upstreams.a", "token_invalid", "\"never\""),
];

/// Keys that allow something and change nothing else; the mistakes hold them.
const PERMISSIONS: &[&str] = &["expose", "allow_cleartext", "allow_users"];

#[test]
fn every_key_has_an_effect() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (ca, other) = (authority(folder.path()), authority(other.path()));
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    std::fs::write(folder.path().join("c.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.path().join("k.pem"), made.signing_key.serialize_pem()).unwrap();
    let shown = |table: &str, key: &str, value: &str| {
        let mut file: toml::Table = toml::from_str(&format!(
            "[tokens.t]\ngrant_type = \"static\"\naccess_token = \"x\"\n[admin]\nlisten = \"127.0.0.1:0\"\n
             [proxy]\nlisten = \"127.0.0.1:0\"\nunmatched = \"tunnel\"\nca = {ca}\n[transparent]\nlisten = \"127.0.0.1:0\"\nunmatched = \"tunnel\"\nca = {ca}\n[gateway]\nlisten = \"127.0.0.1:0\"\n[store]\n[log]\n[limits]\n[upstreams.a]\nurl = \"https://a.example\"\nlisten = \"127.0.0.1:0\"\n",
        ))
        .unwrap();
        let value = if value == "CA" { &other } else { value };
        let setting: toml::Table =
            toml::from_str(&format!("{key} = {value}").replace("FOLDER", folder.path().to_str().unwrap()))
                .unwrap();
        let into = table
            .split('.')
            .filter(|name| !name.is_empty())
            .fold(&mut file, |table, name| table.get_mut(name).and_then(toml::Value::as_table_mut).unwrap());
        into.extend(setting);
        let loaded = super::parse(&file.to_string()).unwrap_or_else(|problems| panic!("{problems}"));
        format!("{:?}", loaded.config)
    };
    let unchanged = shown("", "workers", "1");
    for (table, key, value) in EFFECTS.iter().filter(|(_, key, _)| !PERMISSIONS.contains(key)) {
        assert_ne!(shown(table, key, value), unchanged, "{table}.{key} changes nothing");
    }
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    for (table, at) in [
        ("log", "/properties/log"),
        ("admin", "/properties/admin"),
        ("store", "/properties/store"),
        ("gateway", "/properties/gateway"),
        ("proxy", "/properties/proxy"),
        ("transparent", "/properties/transparent"),
        ("limits", "/properties/limits"),
        ("upstreams.a", "/properties/upstreams/additionalProperties"),
    ] {
        for key in schema.pointer(at).unwrap()["properties"].as_object().unwrap().keys() {
            let tried = EFFECTS.iter().any(|(tried, name, _)| *tried == table && name == key);
            assert!(tried, "no effect of {table}.{key} is tried");
        }
    }
}
