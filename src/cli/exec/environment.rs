//! The environment of a command that runs behind bearward: proxy variables, and what those programs need that look for none.
//!
//! Knows how programs find their proxy and which hosts they leave out. Nothing here is a secret.

use std::{
    ffi::{OsStr, OsString},
    fmt::Write as _,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::Path,
};

use hyper_util::client::proxy::matcher::Matcher;

use super::trust::Trust;

/// What programs reach without any proxy, where no upstream is there.
const THIS_MACHINE: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Variables to set.
pub(super) type Variables = Vec<(&'static str, OsString)>;

/// The variables for a command whose proxy listens at `proxy`. `upstreams`: names and origins (`https://host`) of what must come
/// through it. What is changed of the user's own settings is said with `tell`.
pub(super) fn variables(
    proxy: SocketAddr,
    upstreams: &[(String, String)],
    trust: &Trust,
    env: &dyn Fn(&str) -> Option<OsString>,
    tell: &mut dyn FnMut(String),
) -> Variables {
    let direct = direct(upstreams, env, tell);
    let url = OsString::from(format!("http://{proxy}"));
    let mut set: Variables = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"]
        .into_iter()
        .map(|name| (name, url.clone()))
        .collect();
    let list = OsString::from(direct.join(","));
    set.extend(["NO_PROXY", "no_proxy"].map(|name| (name, list.clone())));
    set.push(("NODE_USE_ENV_PROXY", "1".into()));
    set.extend(trust.variables().iter().map(|(name, path)| (*name, path.clone().into_os_string())));
    set.push(("NODE_OPTIONS", after(env("NODE_OPTIONS"), &node(trust.node()))));
    let mut java = java_proxy(proxy, &direct, upstreams);
    if let Some(store) = trust.java() {
        java += &java_trust(store, env("JAVA_TOOL_OPTIONS").as_deref(), tell);
    }
    set.push(("JAVA_TOOL_OPTIONS", after(env("JAVA_TOOL_OPTIONS"), &java)));
    set
}

/// What is reached without the proxy: what NO_PROXY says and this machine, without what would leave an upstream out.
fn direct(
    upstreams: &[(String, String)],
    env: &dyn Fn(&str) -> Option<OsString>,
    tell: &mut dyn FnMut(String),
) -> Vec<String> {
    let mut list: Vec<String> = Vec::new();
    for name in ["NO_PROXY", "no_proxy"] {
        let value = env(name).unwrap_or_default();
        for entry in value.to_string_lossy().split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            if list.iter().any(|known| known == entry) {
                continue;
            }
            match upstreams.iter().find(|(_, origin)| covers(entry, origin)) {
                Some((upstream, origin)) => tell(format!(
                    "NO_PROXY's {entry:?} would keep {origin} of [upstreams.{upstream}] from bearward: it is left out for the \
                     command; name other hosts that it stands for one by one"
                )),
                None => list.push(entry.to_owned()),
            }
        }
    }
    for entry in THIS_MACHINE {
        let taken = upstreams.iter().any(|(_, origin)| covers(entry, origin));
        if !taken && !list.iter().any(|known| known == entry) {
            list.push(entry.to_owned());
        }
    }
    list
}

/// Whether an entry of NO_PROXY stands for the host of `origin`, as curl reads it.
fn covers(entry: &str, origin: &str) -> bool {
    let matcher = Matcher::builder().all("http://proxy").no(entry).build();
    origin.parse().is_ok_and(|url| matcher.intercept(&url).is_none())
}

fn node(preload: &Path) -> String {
    format!("--require={}", quoted(preload))
}

/// Java's proxies. It reads `*` for any part of a name, and `|` between names.
fn java_proxy(proxy: SocketAddr, direct: &[String], upstreams: &[(String, String)]) -> String {
    let mut options = String::new();
    for scheme in ["http", "https"] {
        // Writing to a String cannot fail.
        let _ = write!(options, "-D{scheme}.proxyHost={} -D{scheme}.proxyPort={} ", proxy.ip(), proxy.port());
    }
    let networks = |entry: &&String| !entry.contains('/');
    let names: Vec<String> = direct.iter().filter(networks).flat_map(|entry| java_names(entry)).collect();
    options += "-Dhttp.nonProxyHosts=";
    // Java adds this machine's addresses to every list but an empty one.
    if upstreams.iter().any(|(_, origin)| java_takes_for_this_machine(origin)) {
        return options;
    }
    options + &names.join("|")
}

/// Java's trust store, unless it has another.
fn java_trust(store: &Path, present: Option<&OsStr>, tell: &mut dyn FnMut(String)) -> String {
    if present.is_some_and(|present| present.to_string_lossy().contains("-Djavax.net.ssl.trustStore=")) {
        tell(
            "JAVA_TOOL_OPTIONS names a trust store, which Java programs keep: they do not trust bearward's CA until it is \
             imported there (`bearward ca show | keytool -importcert …`)"
                .to_owned(),
        );
        return String::new();
    }
    format!(" -Djavax.net.ssl.trustStore={} -Djavax.net.ssl.trustStoreType=PKCS12", quoted(store))
}

fn java_takes_for_this_machine(origin: &str) -> bool {
    let Ok(url) = origin.parse::<http::Uri>() else { return false };
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn java_names(entry: &str) -> Vec<String> {
    let name = entry.trim_start_matches("*.").trim_start_matches('.');
    if name.parse::<Ipv6Addr>().is_ok() {
        vec![format!("[{name}]")]
    } else if name == "*" || name.parse::<IpAddr>().is_ok() {
        vec![name.to_owned()]
    } else {
        vec![name.to_owned(), format!("*.{name}")]
    }
}

/// A path as NODE_OPTIONS and JAVA_TOOL_OPTIONS take one with white space in it.
fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    if path.contains(char::is_whitespace) { format!("\"{path}\"") } else { path.into_owned() }
}

/// `options` after what is there.
fn after(present: Option<OsString>, options: &str) -> OsString {
    let mut all = present.filter(|present| !present.is_empty()).map_or_else(OsString::new, |mut present| {
        present.push(" ");
        present
    });
    all.push(options);
    all
}
