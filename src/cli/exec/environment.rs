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
        // Some read white space between entries too, and Java's options would end at it.
        let between = |c: char| c == ',' || c.is_whitespace();
        for entry in value.to_string_lossy().split(between).filter(|entry| !entry.is_empty()) {
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

/// Whether an entry of NO_PROXY stands for `origin`, for whoever reads it most generously: with a port, with a `*` in front.
fn covers(entry: &str, origin: &str) -> bool {
    let Ok(url) = origin.parse::<http::Uri>() else { return false };
    let default = if url.scheme_str() == Some("https") { 443 } else { 80 };
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse::<u16>().ok()),
        _ => (entry, None),
    };
    if port.is_some_and(|port| port != url.port_u16().unwrap_or(default)) {
        return false;
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host == "*" { host } else { host.trim_start_matches('*') };
    Matcher::builder().all("http://proxy").no(host).build().intercept(&url).is_none()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_no_proxy_that_anybody_takes_for_an_upstream_covers_it() {
        for (entry, origin, covered) in [
            ("api.example", "https://api.example/", true),
            ("API.example", "https://api.example/", true),
            (".example", "https://api.example/", true),
            ("*.example", "https://api.example/", true),
            ("*", "https://api.example/", true),
            ("api.example:443", "https://api.example/", true),
            ("*.example:8443", "https://api.example:8443/", true),
            ("api.example:80", "https://api.example/", false),
            ("api.example:80", "http://api.example/", true),
            ("other.example", "https://api.example/", false),
            ("i.example", "https://api.example/", false),
            ("10.0.0.0/8", "https://10.1.2.3/", true),
            ("10.1.2.3:443", "https://10.1.2.3/", true),
            ("::1", "https://[::1]/", true),
            ("[::1]:443", "https://[::1]/", true),
            ("[::1]:444", "https://[::1]/", false),
        ] {
            assert_eq!(covers(entry, origin), covered, "{entry} {origin}");
        }
    }

    #[test]
    fn entries_with_white_space_between_them_are_several() {
        let env =
            |name: &str| (name == "no_proxy").then(|| OsString::from("a.example  b.example,\tc.example"));
        let direct = direct(&[], &env, &mut |words| panic!("{words}"));
        assert_eq!(direct[..3], ["a.example", "b.example", "c.example"]);
    }
}
