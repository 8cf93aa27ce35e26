//! `[upstreams.NAME]`: where requests go, and that a way in reaches each.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue};

use super::{
    check_name, listeners, outer, tls,
    tokens::{TOKEN_TIMEOUT, unknown},
    url,
};
use crate::{
    config::{
        Upstream, presets,
        problems::Problem,
        reader::{Reader, Table},
        values::Value,
    },
    proxy::rejection::Rule,
    upstream::{Origin, Protocol},
};

/// Fields that belong to a connection or to bearward (RFC 9110 section 7.6.1).
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Reads every upstream; `None` where one is wrong.
pub(super) fn all(reader: &mut Reader<'_>, file: &Table) -> Option<BTreeMap<Arc<str>, Upstream>> {
    let named = file.named("upstreams");
    if named.is_empty() && !file.has("upstreams") {
        let problem = Problem::warning("there is no [upstreams.NAME]: nothing to forward to");
        reader.report(problem.fix("add one with `url` and `listen`"), 0..0, "");
    }
    let mut upstreams = Some(BTreeMap::new());
    for (name, written) in named {
        let mut table = written.clone();
        presets::under_upstream(&mut table);
        check_name(reader, name, table.at.clone());
        ways_in(reader, file, &table);
        match one(reader, file, &table) {
            Some(upstream) => {
                upstreams = upstreams.map(|mut upstreams| {
                    upstreams.insert(Arc::from(name.as_str()), upstream);
                    upstreams
                });
            }
            None => upstreams = None,
        }
    }
    distinct(reader, named);
    upstreams
}

fn one(reader: &mut Reader<'_>, file: &Table, table: &Table) -> Option<Upstream> {
    let destination = destination(reader, table);
    let token = token(reader, file, table);
    let listen = listeners::of_upstream(reader, file, table);
    let allow_origins = match &listen {
        Some(listener) => Some(listener.allow_origins.clone()),
        None if table.has("listen") => None,
        None => listeners::origins(reader, table),
    };
    let path = table.text("path").map(|path| prefix(reader, table, path));
    let host = table.text("host").map(|host| listeners::host_name(reader, table, "host", host));
    let headers = headers(reader, table);
    let tls = tls::settings(reader, table);
    let outer = outer::outer(reader, table);
    let (origin, base) = destination?;
    if !origin.is_https() && table.entry("tls").is_some() {
        let problem = Problem::error("`tls` means nothing with an http:// URL");
        reader.report(problem.fix("use https://, or remove `tls`"), table.at("tls"), "");
    }
    let tls = tls?;
    let connect_timeout = table.duration("connect_timeout").unwrap_or(Duration::from_secs(5));
    let outer = outer::towards(reader, table, &outer?, &origin)?;
    tls::endpoint(reader, table, &origin, &tls, protocol(table), connect_timeout, outer.clone())?;
    Some(Upstream {
        origin,
        base,
        token: token?,
        listen,
        allow_origins: allow_origins?,
        path: path.flatten(),
        host: host.flatten(),
        headers,
        protocol: protocol(table),
        tls,
        outer,
        connect_timeout,
        response_timeout: table.duration("response_timeout").unwrap_or(Duration::from_secs(60)),
        token_timeout: token_timeout(file, table),
        replay_limit: table
            .number("replay_limit")
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(64 << 10),
        keep_authorization: table.flag("keep_authorization"),
        preserve_host: table.flag("preserve_host"),
        upgrades: !table.has("upgrades") || table.flag("upgrades"),
        token_invalid: match table.value("token_invalid") {
            Some(Value::Rules(rules)) => rules.clone(),
            _ => Rule::defaults(),
        },
    })
}

fn destination(reader: &mut Reader<'_>, table: &Table) -> Option<(Origin, String)> {
    let (url, origin) = url::needed(reader, table, "url")?;
    if url.query().is_some() {
        let problem = Problem::error("`url` has a query, which the requests' own would collide with");
        reader.report(problem.fix("remove it from the first ? on"), table.at("url"), "");
        return None;
    }
    Some((origin, url.path().trim_end_matches('/').to_owned()))
}

#[expect(clippy::option_option, reason = "absent, wrong and right are three things")]
fn token(reader: &mut Reader<'_>, file: &Table, table: &Table) -> Option<Option<Arc<str>>> {
    let Some(name) = table.text("token") else { return Some(None) };
    if file.has("tokens") && file.value("tokens").is_none() {
        return None;
    }
    let tokens = file.named("tokens");
    if tokens.iter().all(|(known, _)| known != name) {
        unknown(reader, name, tokens, table.at("token"));
        return None;
    }
    if table.flag("keep_authorization") {
        let problem = Problem::warning(format!(
            "`keep_authorization` has no effect in [{}]: its `token` is set instead",
            table.name
        ));
        reader.report(problem.fix("remove one of the two"), table.at("keep_authorization"), "");
    }
    Some(Some(Arc::from(name)))
}

fn token_timeout(file: &Table, table: &Table) -> Duration {
    let of_token = || {
        let name = table.text("token")?;
        file.named("tokens").iter().find(|(known, _)| known == name)?.1.duration("token_timeout")
    };
    table.duration("token_timeout").or_else(of_token).unwrap_or(TOKEN_TIMEOUT)
}

fn protocol(table: &Table) -> Protocol {
    match table.text("http") {
        Some("1") => Protocol::Http1,
        Some("2") => Protocol::Http2,
        _ => Protocol::Auto,
    }
}

fn headers(reader: &mut Reader<'_>, table: &Table) -> Vec<(HeaderName, HeaderValue)> {
    let Some(Value::Fields(fields)) = table.value("headers") else { return Vec::new() };
    for (name, _) in fields {
        let fix = match name.as_str() {
            "authorization" if table.has("token") => "remove it, or `token`",
            name if RESERVED.contains(&name) => "remove it",
            _ => continue,
        };
        let problem = Problem::error(format!("`headers` cannot set {name}: bearward does"));
        reader.report(problem.fix(fix), table.at("headers"), "");
    }
    fields.clone()
}

/// Ambiguous prefixes would let a request reach an upstream that was not meant (RFC 3986 section 6.2.2).
fn prefix(reader: &mut Reader<'_>, table: &Table, path: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,=:@/".contains(c);
    let clear = path.starts_with('/')
        && path.chars().all(plain)
        && !path.contains("//")
        && !path.split('/').any(|segment| segment == "." || segment == "..");
    if !clear {
        let problem = Problem::error("`path` is no plain path prefix");
        reader.report(problem.fix("write it like \"/shop\""), table.at("path"), "");
        return None;
    }
    Some(path.trim_end_matches('/').to_owned())
}

fn ways_in(reader: &mut Reader<'_>, file: &Table, table: &Table) {
    let name = table.name.rsplit('.').next().unwrap_or_default();
    if !file.has("gateway") {
        for key in ["path", "host"] {
            if let Some(entry) = table.entry(key) {
                let problem = Problem::error(format!("`{key}` in [{}] needs a [gateway]", table.name));
                let fix = "add [gateway] with listen = \"127.0.0.1:8080\", or give the upstream `listen`";
                reader.report(problem.fix(fix), entry.key_at.clone(), "");
            }
        }
    }
    if !["listen", "path", "host"].iter().any(|key| table.has(key))
        && !["proxy", "transparent"].iter().any(|way| file.has(way))
        && !reader.proxy_is_added
    {
        let problem = Problem::error(format!("no way in reaches [{}]", table.name));
        let fix = format!(
            "add listen = \"127.0.0.1:8101\", or path = \"/{name}\" and a [gateway], or a [proxy]; only `bearward exec` needs none"
        );
        reader.report(problem.fix(fix), table.at.clone(), "");
    }
}

/// The gateway tells upstreams apart by these.
fn distinct(reader: &mut Reader<'_>, named: &[(String, Table)]) {
    for key in ["path", "host"] {
        let mut seen: BTreeMap<String, &Table> = BTreeMap::new();
        for (_, table) in named {
            let Some(written) = table.text(key) else { continue };
            let canonical = match key {
                "path" => written.trim_end_matches('/').to_owned(),
                _ => written.to_ascii_lowercase(),
            };
            if let Some(first) = seen.get(&canonical) {
                let problem =
                    Problem::error(format!("[{}] and [{}] have the same `{key}`", first.name, table.name));
                let problem = problem.fix("the gateway could not tell them apart: change one");
                reader.report_both(problem, (table.at(key), ""), (first.at(key), "first here"));
            } else {
                seen.insert(canonical, table);
            }
        }
    }
}
