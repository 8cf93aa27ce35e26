//! Tables -> [`Config`]: what is needed, what refers to what, what contradicts what.
//!
//! Knows the meaning of tables. Does not know TOML or formats of single values: those are right already.

mod listeners;
mod outer;
mod proxy;
mod tls;
mod token_keys;
mod tokens;
mod upstreams;
mod url;

use std::{num::NonZeroUsize, ops::Range, sync::Arc};

use super::{
    Config, Limits, Log, LogFormat, Store,
    load::state_folder,
    problems::Problem,
    reader::{Reader, Table},
    source::is_name,
};
use crate::{
    ingress::http2,
    oauth::{Keys, discovery::Issuer},
};

/// The issuer of the only token of a file that is not whole yet. `None`, or problems in the reader, where it is wrong.
pub(super) fn issuer(reader: &mut Reader<'_>, file: &Table) -> Option<Arc<Issuer>> {
    let (_, table) = file.named("tokens").first()?;
    token_keys::TokenKeys::new(reader, table).issuer()?
}

/// Validates a whole file. `None`, or problems in the reader, where it is wrong.
pub(super) fn config(reader: &mut Reader<'_>, file: &Table) -> Option<Config> {
    let limits = limits(file.table("limits"));
    let log = log(file.table("log"));
    let store = store(reader, file.table("store"));
    let admin = listeners::own(reader, file, "admin");
    let gateway = listeners::own(reader, file, "gateway");
    let tokens = tokens::all(reader, file, &store);
    let upstreams = upstreams::all(reader, file);
    let authority = proxy::authority_files(reader, file);
    let proxy = proxy::proxy(reader, file, "proxy", upstreams.as_ref(), authority.as_ref());
    let transparent = proxy::proxy(reader, file, "transparent", upstreams.as_ref(), authority.as_ref());
    listeners::distinct(reader, file);
    let workers = usize::try_from(file.number("workers").unwrap_or(1)).ok()?;
    Some(Config {
        workers: NonZeroUsize::new(workers)?,
        log,
        admin,
        store,
        gateway,
        proxy,
        authority: authority?,
        transparent,
        tokens: tokens?,
        upstreams: upstreams?,
        limits,
    })
}

fn log(table: Option<&Table>) -> Log {
    let text = |key| table.and_then(|table| table.text(key));
    let level = text("level").and_then(|level| level.parse().ok()).unwrap_or(tracing::Level::INFO);
    let format = match text("format") {
        Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        _ => LogFormat::Auto,
    };
    Log { level, format }
}

fn store(reader: &mut Reader<'_>, table: Option<&Table>) -> Store {
    let written = table.and_then(|table| table.path("path"));
    if table.and_then(|table| table.text("kind")) == Some("memory") {
        if let Some(table) = table.filter(|table| table.has("path")) {
            let problem = Problem::error("`path` means nothing with kind = \"memory\"");
            reader.report(problem.fix("remove it, or set kind = \"file\""), table.at("path"), "");
        }
        return Store::Memory;
    }
    Store::File(written.cloned().unwrap_or_else(|| state_folder(reader.env)))
}

fn limits(table: Option<&Table>) -> Limits {
    let default = Limits::default();
    let Some(table) = table else { return default };
    let number = |key, default| table.number(key).and_then(|n| usize::try_from(n).ok()).unwrap_or(default);
    let small = |key, default| table.number(key).and_then(|n| u32::try_from(n).ok()).unwrap_or(default);
    let duration = |key, default| table.duration(key).unwrap_or(default);
    Limits {
        replay_memory: number("replay_memory", default.replay_memory),
        head_size: number("head_size", default.head_size),
        head_fields: number("head_fields", default.head_fields),
        http2: http2::Limits {
            streams: small("http2_streams", default.http2.streams),
            resets: small("http2_resets", default.http2.resets),
            control_frames: small("http2_control_frames", default.http2.control_frames),
            extended_connect: table.flag("extended_connect"),
        },
        refuse_underscores: table.text("underscores") == Some("refuse"),
        head_timeout: duration("head_timeout", default.head_timeout),
        idle_timeout: duration("idle_timeout", default.idle_timeout),
        body_timeout: duration("body_timeout", default.body_timeout),
        connections: number("connections", default.connections),
        requests: number("requests", default.requests),
        tunnel_idle_timeout: table.duration("tunnel_idle_timeout"),
        idle_connections: number("idle_connections", default.idle_connections),
        upstream_idle_timeout: duration("upstream_idle_timeout", default.upstream_idle_timeout),
        upstream_connection_age: duration("upstream_connection_age", default.upstream_connection_age),
        drain_timeout: duration("drain_timeout", default.drain_timeout),
    }
}

/// Reports that a table lacks a key.
fn missing(reader: &mut Reader<'_>, table: &Table, key: &str, fix: &str) {
    let title = format!("`{key}` is missing in [{}]", table.name);
    reader.report(Problem::error(title).fix(fix), table.at.clone(), "");
}

/// Names are labels of metrics and stand in answers.
fn check_name(reader: &mut Reader<'_>, name: &str, at: Range<usize>) {
    if name.is_empty() || !is_name(name) {
        let problem = Problem::error("this cannot be a name");
        reader.report(problem.fix("at most 40 letters, digits, _, - and . make one"), at, "");
    }
}
