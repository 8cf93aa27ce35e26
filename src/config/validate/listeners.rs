//! `listen`: who may come in, and that no two ways in share an address.

use std::net::{Ipv4Addr, SocketAddr};

use http::{Uri, uri::Authority};

use super::{missing, tls};
use crate::{
    config::{
        Listen, Listener,
        problems::Problem,
        reader::{Reader, Table},
        values::Value,
    },
    ingress::users::Users,
    upstream::Origin,
};

/// The listener of `[admin]`, `[gateway]`, `[proxy]` or `[transparent]`, where the table is there.
pub(super) fn own(reader: &mut Reader<'_>, file: &Table, name: &str) -> Option<Listener> {
    let table = file.table(name)?;
    if !table.has("listen") {
        // `exec` opens one of its own, wherever this would be.
        if name == "proxy" && reader.proxy_is_added {
            let allow_origins = origins(reader, table)?;
            let address = Listen::Tcp((Ipv4Addr::LOCALHOST, 0).into());
            let (allow_hosts, allow_users) = (Vec::new(), Users::default());
            return Some(Listener { address, allow_hosts, allow_origins, tls: None, allow_users });
        }
        let port = match name {
            "admin" => 9901,
            "proxy" => 3128,
            "transparent" => 15001,
            _ => 8080,
        };
        missing(reader, table, "listen", &format!("add for example listen = \"127.0.0.1:{port}\""));
    }
    listener(reader, table, GUARDS)
}

/// What guards a listener.
const GUARDS: &[&str] = &["allow_hosts", "allow_origins", "allow_users", "expose", "listen_tls"];
/// The same where pages may also come in elsewhere.
const GUARDS_OF_THE_PORT: &[&str] = &["allow_hosts", "allow_users", "expose", "listen_tls"];

/// An upstream's own listener. `None` where it has none, or a problem was reported.
pub(super) fn of_upstream(reader: &mut Reader<'_>, file: &Table, table: &Table) -> Option<Listener> {
    listener(
        reader,
        table,
        if file.has("proxy") || file.has("transparent") || reader.proxy_is_added {
            GUARDS_OF_THE_PORT
        } else {
            GUARDS
        },
    )
}

/// A table's listener; without one, `guards` have nothing to guard. `None` where it has none, or a problem was reported.
fn listener(reader: &mut Reader<'_>, table: &Table, guards: &[&str]) -> Option<Listener> {
    if !table.has("listen") {
        alone(reader, table, guards);
        return None;
    }
    let hosts: Vec<_> =
        table.texts("allow_hosts").iter().map(|host| host_name(reader, table, "allow_hosts", host)).collect();
    let origins = origins(reader, table);
    let Some(Value::Listen(address)) = table.value("listen") else { return None };
    let exposed = matches!(address, Listen::Tcp(address) if !address.ip().is_loopback());
    if exposed && !table.flag("expose") {
        let title = format!("`listen` in [{}] reaches beyond this machine", table.name);
        let fix =
            "listen on 127.0.0.1, or set expose = true there: whoever reaches the port acts with the tokens";
        reader.report(Problem::error(title).fix(fix), table.at("listen"), "");
    }
    if !table.users("allow_users").is_empty() && !matches!(address, Listen::Unix(_)) {
        let problem = Problem::error("`allow_users` means nothing where `listen` is no Unix socket");
        let fix = "listen on \"unix:/path\": only there the system says whose a connection is";
        reader.report(problem.fix(fix), table.at("allow_users"), "");
    }
    let tls = tls::of_listener(reader, table);
    Some(Listener {
        address: address.clone(),
        allow_hosts: hosts.into_iter().collect::<Option<_>>()?,
        allow_origins: origins?,
        tls: tls?,
        allow_users: Users::new(table.users("allow_users")),
    })
}

/// `allow_origins`; `None` where a problem was reported.
pub(super) fn origins(reader: &mut Reader<'_>, table: &Table) -> Option<Vec<String>> {
    let origins: Vec<_> =
        table.texts("allow_origins").iter().map(|written| origin(reader, table, written)).collect();
    origins.into_iter().collect()
}

/// Guards of a listener that is not there guard nothing.
fn alone(reader: &mut Reader<'_>, table: &Table, guards: &[&str]) {
    for key in guards {
        let Some(entry) = table.entry(key) else { continue };
        if table.flag(key)
            || !table.texts(key).is_empty()
            || table.table(key).is_some()
            || !table.users(key).is_empty()
        {
            let title = format!("`{key}` means nothing in [{}] without `listen`", table.name);
            let fix = "add `listen`, or write it in [gateway] for what comes in there";
            reader.report(Problem::error(title).fix(fix), entry.key_at.clone(), "");
        }
    }
}

/// A host name without a port, lowercased.
pub(super) fn host_name(reader: &mut Reader<'_>, table: &Table, key: &str, written: &str) -> Option<String> {
    let authority = written.parse::<Authority>().ok();
    let bare = authority.filter(|authority| authority.host() == written && authority.as_str() == written);
    if bare.is_none() {
        let problem = Problem::error(format!("`{key}` takes host names, without scheme, port and path"));
        reader.report(problem.fix("for example \"shop.local\""), table.at(key), "");
    }
    bare.map(|_| written.to_ascii_lowercase())
}

fn origin(reader: &mut Reader<'_>, table: &Table, written: &str) -> Option<String> {
    let url = written.parse::<Uri>().ok().filter(|url| url.path_and_query().is_none_or(|path| path == "/"));
    let origin = url.and_then(|url| Origin::of(&url).ok()).map(|origin| origin.to_string());
    if origin.is_none() {
        let problem = Problem::error("`allow_origins` takes origins: scheme, host and port");
        reader.report(problem.fix("for example \"https://app.example\""), table.at("allow_origins"), "");
    }
    origin
}

/// No two listeners of the file may have one address.
pub(super) fn distinct(reader: &mut Reader<'_>, file: &Table) {
    let own = ["admin", "gateway", "proxy", "transparent"].iter().filter_map(|name| file.table(name));
    let tables = own.chain(file.named("upstreams").iter().map(|(_, table)| table));
    let mut tables: Vec<_> = tables.collect();
    tables.sort_by_key(|table| table.at("listen").start);
    let mut seen: Vec<(&Listen, &Table)> = Vec::new();
    for table in tables {
        let Some(Value::Listen(address)) = table.value("listen") else { continue };
        if let Some((_, first)) = seen.iter().find(|(taken, _)| overlap(taken, address)) {
            let title = format!("[{}] and [{}] listen on one address", first.name, table.name);
            let problem = Problem::error(title).fix("give each a port of its own");
            reader.report_both(problem, (table.at("listen"), ""), (first.at("listen"), "taken here"));
        }
        seen.push((address, table));
    }
}

/// Port 0 is a free one each time; an unspecified address is every address.
fn overlap(one: &Listen, other: &Listen) -> bool {
    match (one, other) {
        (Listen::Unix(one), Listen::Unix(other)) => one == other,
        (Listen::Tcp(one), Listen::Tcp(other)) => {
            one.port() != 0
                && one.port() == other.port()
                && (one.ip() == other.ip() || covers(one, other) || covers(other, one))
        }
        _ => false,
    }
}

fn covers(wide: &SocketAddr, narrow: &SocketAddr) -> bool {
    wide.ip().is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_overlap_where_a_bind_would_fail() {
        let tcp = |text: &str| Listen::Tcp(text.parse().unwrap());
        assert!(overlap(&tcp("127.0.0.1:80"), &tcp("127.0.0.1:80")));
        assert!(overlap(&tcp("0.0.0.0:80"), &tcp("127.0.0.1:80")));
        assert!(overlap(&tcp("127.0.0.1:80"), &tcp("[::]:80")));
        assert!(!overlap(&tcp("127.0.0.1:0"), &tcp("127.0.0.1:0")));
        assert!(!overlap(&tcp("127.0.0.1:80"), &tcp("127.0.0.2:80")));
        assert!(!overlap(&tcp("0.0.0.0:80"), &tcp("[::1]:80")));
        assert!(overlap(&Listen::Unix("/a".into()), &Listen::Unix("/a".into())));
    }
}
