//! The pages that a browser sees at the end of a login.
//!
//! Knows HTML that holds nothing of others unescaped, runs no script and loads nothing. Does not know when which is shown.

use std::{fmt::Write, sync::LazyLock};

use aws_lc_rs::digest;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use super::{LoggedIn, LoginError};

const STYLE: &str = ":root{color-scheme:light dark}body{font:1.05rem/1.5 system-ui,sans-serif;margin:0;display:grid;\
                     min-height:100vh;place-items:center}main{max-width:34rem;padding:2rem}h1{font-size:1.5rem;\
                     line-height:1.25}p{overflow-wrap:anywhere}";

/// Nothing but our one style, known by its hash.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(digest::digest(&digest::SHA256, STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    // Base64 holds nothing that a field cannot.
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

/// What is said to the person in front of the browser.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    pub(super) words: String,
}

impl Page {
    /// How the login of `[tokens.NAME]` ended.
    pub(super) fn ended(name: &str, ended: &Result<LoggedIn, LoginError>) -> Self {
        match ended {
            Ok(_) => Self {
                status: StatusCode::OK,
                title: "You are logged in",
                words: format!("bearward has what it needs for {name}. You can close this page."),
            },
            Err(error) => Self::new(
                StatusCode::BAD_REQUEST,
                "You are not logged in",
                format!(
                    "For {name}: {error}. You can close this page and begin again where the login began."
                ),
            ),
        }
    }

    /// It belongs to no login, or to another one; the wait goes on.
    pub(super) fn another_login() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "This is not the login that bearward waits for",
            "What came belongs to another login, or is incomplete: its state or its code is missing or not the one that is \
             waited for. bearward still waits: open the address that it showed last, and log in there.",
        )
    }

    /// A second visit.
    pub(super) fn used() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "This login was already used",
            "A login is good once, and this one has been used. How it ended is said where it began. You can close this page.",
        )
    }

    pub(super) fn wrong_host() -> Self {
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "Nothing of that name is here",
            "The request names another host than the redirect URI does. It may be another site's doing.",
        )
    }

    pub(super) fn elsewhere() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Nothing is here", "bearward waits for a login on another path.")
    }

    pub(super) fn not_a_visit() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Only visits", "A browser comes back with GET.")
    }

    fn new(status: StatusCode, title: &'static str, words: impl Into<String>) -> Self {
        Self { status, title, words: words.into() }
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
             content=\"width=device-width\">\n<title>{title} · bearward</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
             <main>\n<h1>{title}</h1>\n<p>{words}</p>\n</main>\n</body>\n</html>\n",
            title = self.title,
            words = escaped(&self.words),
        );
        let mut response = Response::new(Full::new(Bytes::from(html)));
        *response.status_mut() = self.status;
        let fields = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            // The address of this page holds the code.
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ] {
            fields.insert(name, HeaderValue::from_static(value));
        }
        fields.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            fields.insert(header::ALLOW, HeaderValue::from_static("GET"));
        }
        response
    }
}

/// Text that says nothing to an HTML parser.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, letter| {
        match letter {
            '&' | '<' | '>' | '"' | '\'' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "&#{};", u32::from(letter));
            }
            letter => out.push(letter),
        }
        out
    })
}
