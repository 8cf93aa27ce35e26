//! The page at `/`: one HTML with its style and script in it, and the fields that keep it to itself.
//!
//! Knows that nothing is loaded from anywhere, that only this very style and script run (CSP Level 3, by hash), and that
//! nobody frames it. What it shows comes over `/events`; data is never markup.

use std::{fmt, io};

use aws_lc_rs::{digest, rand};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_FRAME_OPTIONS},
};

use crate::secret::Secret;

const HTML: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = concat!(
    include_str!("script/parts.js"),
    include_str!("script/times.js"),
    include_str!("script/tokens.js"),
    include_str!("script/logins.js"),
    include_str!("script/upstreams.js"),
    include_str!("script/exchanges.js"),
    include_str!("script/main.js"),
);

/// The page of this process.
pub(super) struct Page {
    html: Bytes,
    policy: HeaderValue,
}

impl Page {
    /// The page that knows `form_token`, of the run of bearward that is called `process`.
    #[expect(
        clippy::disallowed_methods,
        reason = "who has read the page may press its buttons: it carries the form token"
    )]
    pub(super) fn new(form_token: &Secret, process: &str) -> Self {
        let html = HTML
            .replace("{{process}}", process)
            .replace("{{form_token}}", form_token.expose())
            .replace("{{style}}", STYLE)
            .replace("{{script}}", SCRIPT);
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; connect-src 'self'; \
             form-action 'self'; frame-ancestors 'none'; base-uri 'none'; \
             require-trusted-types-for 'script'; trusted-types 'none'",
            hash(SCRIPT),
            hash(STYLE)
        );
        let policy = HeaderValue::try_from(policy)
            // Base64 and the text above are visible ASCII: this is never taken, and it allows nothing.
            .unwrap_or(HeaderValue::from_static("default-src 'none'"));
        Self { html: html.into(), policy }
    }

    pub(super) fn answer(&self) -> Response<Bytes> {
        let mut page = super::plain(StatusCode::OK, self.html.clone(), "text/html; charset=utf-8");
        let fields = page.headers_mut();
        fields.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        fields.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        fields.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
            fields.insert(HeaderName::from_static(name), HeaderValue::from_static("same-origin"));
        }
        page
    }
}

/// The page holds the form token: it is not printed.
impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").finish_non_exhaustive()
    }
}

/// 256 random bits as text.
///
/// # Errors
/// The machine has none.
pub(super) fn random_text() -> io::Result<String> {
    let mut octets = [0; 32];
    rand::fill(&mut octets).map_err(|_| io::Error::other("no random numbers are to be had"))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(octets))
}

/// A hash source of CSP Level 3.
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_embedded_ends_where_it_should_and_makes_no_markup_of_data() {
        for text in [STYLE, SCRIPT].map(str::to_ascii_lowercase) {
            for end in ["</script", "</style", "<!--", "{{"] {
                assert!(!text.contains(end), "{end}");
            }
        }
        for forbidden in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"]
        {
            assert!(!SCRIPT.contains(forbidden), "{forbidden}");
        }
        // Names of XML's namespaces are no addresses that anything is loaded from.
        let all = [HTML, STYLE, SCRIPT].concat().replace("http://www.w3.org/2000/svg", "");
        for elsewhere in ["https://", "http://", "url(", "@import", " src="] {
            assert!(!all.contains(elsewhere), "the page would load something: {elsewhere}");
        }
    }

    #[test]
    fn every_placeholder_is_filled() {
        let page = Page::new(&Secret::new("the-token"), "the-process");
        let html = String::from_utf8(page.html.to_vec()).unwrap();
        assert!(!html.contains("{{"), "{html}");
        assert!(html.contains("the-token") && html.contains("the-process"));
        assert!(!format!("{page:?}").contains("the-token"), "r146: {page:?}");
    }
}
