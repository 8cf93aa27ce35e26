//! Where the browser comes back to (RFC 6749 section 3.1.2, RFC 8252 section 7.3).
//!
//! Knows which URLs a redirect URI can be, and how a loopback one gets its port. Opens no listener.

use std::net::IpAddr;

use http::Uri;

use super::Keys;

const KEY: &str = "redirect_uri";

/// A configured redirect URI. Servers compare it letter by letter, so it is kept as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectUri {
    text: String,
    url: Uri,
}

impl RedirectUri {
    /// Reads `redirect_uri`; `Some(None)` where there is none, `None` where a problem was reported.
    #[expect(clippy::option_option, reason = "absent, wrong and right are three things")]
    pub(super) fn from_keys(keys: &mut dyn Keys) -> Option<Option<Self>> {
        let Some(text) = keys.text(KEY) else { return Some(None) };
        match Self::of(&text) {
            Ok(redirect_uri) => Some(Some(redirect_uri)),
            Err(problem) => {
                let fix = "write \"http://127.0.0.1:0/callback\" as it is registered there, or leave it out where the \
                           server's page shows the code";
                keys.wrong(KEY, problem, fix);
                None
            }
        }
    }

    fn of(text: &str) -> Result<Self, &'static str> {
        if text.contains('#') {
            return Err("a redirect URI has no fragment (RFC 6749 section 3.1.2)");
        }
        if !text.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err("a URL holds neither white space nor letters beyond ASCII");
        }
        let url: Uri = text.parse().map_err(|_| "this is no URL")?;
        if !matches!(url.scheme_str(), Some("http" | "https")) {
            return Err("it begins with http:// or https://");
        }
        let authority = url.authority().filter(|authority| !authority.host().is_empty());
        let authority = authority.ok_or("a host is needed")?.as_str();
        if authority.contains('@') {
            return Err("user information does not belong in the URL");
        }
        let redirect_uri = Self { text: text.to_owned(), url };
        match redirect_uri.written_port() {
            Some(port) if port.parse::<u16>().is_err() => Err("the port must be 0 to 65535"),
            Some("0") if !redirect_uri.is_loopback() => {
                Err("port 0 takes a free one on loopback, and nowhere else")
            }
            _ => Ok(redirect_uri),
        }
    }

    /// Exactly as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is a loopback one that we can serve ourselves: `http://`, and a loopback literal or `localhost`.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let loopback = host.eq_ignore_ascii_case("localhost")
            || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        loopback && self.url.scheme_str() == Some("http")
    }

    /// The host; an IPv6 literal keeps its brackets.
    pub fn host(&self) -> &str {
        self.url.host().unwrap_or_default()
    }

    /// The port; 0 where a free one is to be taken.
    pub fn port(&self) -> u16 {
        let default = if self.url.scheme_str() == Some("https") { 443 } else { 80 };
        self.written_port().and_then(|port| port.parse().ok()).unwrap_or(default)
    }

    /// The path, which at least is `/`.
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// The same with `port`, and nothing else of it changed.
    #[must_use]
    pub fn with_port(&self, port: u16) -> String {
        let authority = self.url.authority().map_or("", |authority| authority.as_str());
        self.text.replacen(authority, &format!("{}:{port}", self.host()), 1)
    }

    fn written_port(&self) -> Option<&str> {
        let authority = self.url.authority()?;
        authority.as_str()[authority.host().len()..].strip_prefix(':').filter(|port| !port.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_one_gets_its_port_and_stays_as_it_was_written_otherwise() {
        for (text, port, filled) in [
            ("http://127.0.0.1:0/callback", 0, "http://127.0.0.1:4711/callback"),
            ("http://[::1]:0/cb?a=b:0", 0, "http://[::1]:4711/cb?a=b:0"),
            ("http://localhost:0", 0, "http://localhost:4711"),
            ("http://LocalHost:8080/CallBack/", 8080, "http://LocalHost:4711/CallBack/"),
            ("http://127.0.0.1/callback", 80, "http://127.0.0.1:4711/callback"),
        ] {
            let redirect_uri = RedirectUri::of(text).unwrap();
            assert!(redirect_uri.is_loopback(), "{text}");
            assert_eq!(redirect_uri.as_str(), text);
            assert_eq!(redirect_uri.port(), port, "{text}");
            assert_eq!(redirect_uri.with_port(4711), filled);
        }
        assert_eq!(RedirectUri::of("http://localhost:0").unwrap().path(), "/");
        assert_eq!(RedirectUri::of("http://[::1]:0/cb?a").unwrap().path(), "/cb");
    }

    #[test]
    fn others_are_not_ours_to_serve() {
        for text in [
            "https://app.example/callback",
            "https://127.0.0.1:8443/callback",
            "http://127.0.0.1.example/callback",
            "http://localhost.example/callback",
            "http://10.0.0.1/callback",
            "http://app.localhost/callback",
        ] {
            assert!(!RedirectUri::of(text).unwrap().is_loopback(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_one_says_why() {
        for (text, problem) in [
            ("http://127.0.0.1:0/callback#x", "fragment"),
            ("http://127.0.0.1:0/call back", "white space"),
            ("http://127.0.0.1:0/\u{202e}", "ASCII"),
            ("urn:ietf:wg:oauth:2.0:oob", "no URL"),
            ("com.example.app://callback", "http://"),
            ("/callback", "http://"),
            ("http://user@127.0.0.1:0/", "user information"),
            ("http://127.0.0.1:65536/", "65535"),
            ("http://:0/", "a host is needed"),
            ("https://app.example:0/", "port 0"),
            ("https://127.0.0.1:0/", "port 0"),
        ] {
            let found = RedirectUri::of(text).unwrap_err();
            assert!(found.contains(problem), "{text}: {found}");
        }
    }
}
