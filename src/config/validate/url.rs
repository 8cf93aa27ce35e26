//! URLs of token endpoints and upstreams: absolute, without user information, https unless the network is trusted.

use http::Uri;

use super::missing;
use crate::{
    config::{
        problems::Problem,
        reader::{Reader, Table},
    },
    upstream::Origin,
};

/// A key's URL, made absolute by `base_url`. `None` where a problem was reported, or the key is absent.
pub(super) fn absolute(reader: &mut Reader<'_>, table: &Table, key: &str) -> Option<(Uri, Origin)> {
    let text = table.text(key)?;
    if !text.starts_with('/') {
        return parse(reader, table, key, text);
    }
    let Some(base) = table.text("base_url") else {
        if !table.has("base_url") {
            let preset = table.entry(key).is_some_and(|entry| entry.preset);
            let title = match table.text("preset").filter(|_| preset) {
                Some(preset) => format!("the preset {preset} needs a `base_url` in [{}]", table.name),
                None => format!("`{key}` is relative, and [{}] has no `base_url`", table.name),
            };
            let fix = "add for example base_url = \"https://shop.example\"";
            reader.report(Problem::error(title).fix(fix), table.at(key), "");
        }
        return None;
    };
    parse(reader, table, "base_url", base)?;
    parse(reader, table, key, &format!("{}{text}", base.trim_end_matches('/')))
}

/// A key's URL, which has to be there.
pub(super) fn needed(reader: &mut Reader<'_>, table: &Table, key: &str) -> Option<(Uri, Origin)> {
    if !table.has(key) {
        missing(reader, table, key, &format!("add for example {key} = \"https://api.example\""));
    }
    absolute(reader, table, key)
}

/// The host of a key's URL, lowercased; `None` where it has none. Reports nothing.
pub(super) fn host(table: &Table, key: &str) -> Option<String> {
    let text = table.text(key)?;
    let text = if text.starts_with('/') { table.text("base_url")? } else { text };
    let origin = Origin::of(&text.parse().ok()?).ok()?;
    Some(origin.host().to_owned())
}

fn parse(reader: &mut Reader<'_>, table: &Table, key: &str, text: &str) -> Option<(Uri, Origin)> {
    let result = match text.parse::<Uri>() {
        _ if text.contains('#') => Err("a fragment (#…) does not belong in the URL"),
        _ if text.contains(|c: char| c.is_whitespace()) => Err("white space does not belong in the URL"),
        Ok(url) => Origin::of(&url).map(|origin| (url, origin)),
        Err(_) => Err("this is no URL"),
    };
    let (url, origin) = match result {
        Ok(parsed) => parsed,
        Err(problem) => {
            let problem = Problem::error(format!("`{key}`: {problem}"));
            reader.report(problem.fix("write it like \"https://api.example/path\""), table.at(key), "");
            return None;
        }
    };
    if !origin.is_https() && !origin.is_loopback() && !table.flag("allow_cleartext") {
        let title =
            format!("`{key}` is http:// beyond loopback: secrets and tokens would be readable on the way");
        let fix = format!(
            "use https://, or set allow_cleartext = true in [{}] if that network is trusted",
            table.name
        );
        reader.report(Problem::error(title).fix(fix), table.at(key), "");
        return None;
    }
    Some((url, origin))
}
