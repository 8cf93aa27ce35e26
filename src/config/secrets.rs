//! `"text"`, `{ env = "NAME" }`, `{ file = "/path" }`: where a secret is written down, and whether it can be read.
//!
//! Knows that no message may repeat what stands where a secret belongs.

use std::path::{Path, PathBuf};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    problems::Problem,
    reader::Reader,
    source::{is_path, is_variable_name},
    values::{Value, article},
};
use crate::secret::{Secret, SecretSource};

const FIX: &str = "write \"…\", { env = \"NAME\" } or { file = \"/path\" }";

/// Reads a secret and tries whether it is there.
pub(super) fn read(reader: &mut Reader<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Value> {
    let source = match value.get_ref() {
        DeValue::String(text) => held(reader, key, text, value),
        DeValue::Table(table) => reference(reader, key, table, value),
        other => {
            let title = format!("`{key}` must be a secret, not {}", article(other));
            reader.report(Problem::error(title).fix(FIX), value.span(), "");
            None
        }
    };
    source.map(Value::Secret)
}

fn held(
    reader: &mut Reader<'_>,
    key: &str,
    text: &str,
    value: &Spanned<DeValue<'_>>,
) -> Option<SecretSource> {
    if text.is_empty() {
        reader.report(Problem::error(format!("`{key}` is empty")).fix(FIX), value.span(), "");
        return None;
    }
    Some(SecretSource::Held(Secret::new(text)))
}

fn reference(
    reader: &mut Reader<'_>,
    key: &str,
    table: &DeTable<'_>,
    value: &Spanned<DeValue<'_>>,
) -> Option<SecretSource> {
    let mut entries = table.iter();
    let (Some((kind, named)), None) = (entries.next(), entries.next()) else {
        let title = format!("`{key}` must name one place to read the secret from");
        reader.report(Problem::error(title).fix(FIX), value.span(), "");
        return None;
    };
    match (kind.get_ref().as_ref(), named.get_ref().as_str()) {
        ("env", Some(name)) => variable(reader, key, name, named),
        ("file", Some(path)) => file(reader, key, path, named),
        ("env" | "file", None) => {
            let title =
                format!("`{key}.{}` must be a text, not {}", kind.get_ref(), article(named.get_ref()));
            reader.report(Problem::error(title).fix(FIX), named.span(), "");
            None
        }
        (unknown, _) => {
            let title = format!("unknown key `{unknown}` in `{key}`");
            reader.report(Problem::error(title).fix(FIX), kind.span(), "");
            None
        }
    }
}

fn variable(
    reader: &mut Reader<'_>,
    key: &str,
    name: &str,
    at: &Spanned<DeValue<'_>>,
) -> Option<SecretSource> {
    match (reader.env)(name).map(Secret::new) {
        Some(secret) if !secret.is_empty() => {
            reader.variables.push(name.to_owned());
            return Some(SecretSource::Held(secret));
        }
        found => {
            let state = if found.is_some() { "empty" } else { "not set" };
            let problem = if is_variable_name(name) {
                Problem::error(format!("`{key}`: the environment variable {name} is {state}"))
                    .fix(format!("set {name} where bearward is started, or use {{ file = \"/path\" }}"))
            } else {
                Problem::error(format!("`{key}`: there is no such environment variable")).fix(
                    "`env` takes the name of a variable, such as \"SHOP_SECRET\", and not the secret itself",
                )
            };
            reader.report(problem, at.span(), "");
        }
    }
    None
}

fn file(reader: &mut Reader<'_>, key: &str, path: &str, at: &Spanned<DeValue<'_>>) -> Option<SecretSource> {
    let whole: PathBuf = reader.source.folder().join(path);
    let source = SecretSource::File(whole.clone());
    let problem = match source.read() {
        Ok(_) => {
            if is_readable_by_all(&whole) {
                let title = format!("`{key}`: every user of this machine can read {}", whole.display());
                let fix = format!("chmod 600 {}", whole.display());
                reader.report(Problem::warning(title).fix(fix), at.span(), "");
            }
            return Some(source);
        }
        Err(error) if is_path(path) => Problem::error(format!("`{key}`: {error}")).fix(
            "the file must be there, readable and not empty; a relative path starts from this file's folder",
        ),
        Err(_) => Problem::error(format!("`{key}`: there is no such file"))
            .fix("`file` takes a path, such as \"/run/secrets/shop\", and not the secret itself"),
    };
    reader.report(problem, at.span(), "");
    None
}

#[cfg(unix)]
fn is_readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn is_readable_by_all(_: &Path) -> bool {
    false
}
