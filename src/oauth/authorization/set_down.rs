//! A login under way, as it lies in a store between two processes: the one that showed the URL and the one that is given the
//! code.
//!
//! Knows its JSON, which holds `state` and the verifier and is a secret as a whole. Does not know where it lies.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{AuthorizationRequest, ExpectedIssuer};
use crate::{oauth::pkce::Verifier, secret::Secret};

/// Secrets are borrowed, so that no copy of them is left in memory. They are base64url, which JSON does not escape.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    url: Cow<'a, str>,
    state: &'a str,
    verifier: &'a str,
    redirect_uri: Option<Cow<'a, str>>,
    /// The issuer's identifier, and whether it promises `iss`.
    issuer: Option<(Cow<'a, str>, bool)>,
}

impl AuthorizationRequest {
    /// What [`AuthorizationRequest::taken_up`] makes the same request of.
    #[expect(clippy::disallowed_methods, reason = "it goes into another secret")]
    pub fn set_down(&self) -> Secret {
        let written = Written {
            url: Cow::Borrowed(&self.url),
            state: self.state.expose(),
            verifier: self.verifier.secret().expose(),
            redirect_uri: self.redirect_uri.as_deref().map(Cow::Borrowed),
            issuer: self.issuer.as_ref().map(|issuer| (Cow::Borrowed(&*issuer.identifier), issuer.promised)),
        };
        // Texts can always be written as JSON.
        Secret::new(serde_json::to_string(&written).unwrap_or_default())
    }

    /// The request that was set down; `None` where this is none.
    #[expect(clippy::disallowed_methods, reason = "what is in it becomes secrets again")]
    pub fn taken_up(text: &Secret) -> Option<Self> {
        let Written { url, state, verifier, redirect_uri, issuer } =
            serde_json::from_str(text.expose()).ok()?;
        Some(Self {
            url: url.into_owned(),
            state: Secret::new(state),
            verifier: Verifier::of(Secret::new(verifier)),
            redirect_uri: redirect_uri.map(Cow::into_owned),
            issuer: issuer.map(|(identifier, promised)| ExpectedIssuer {
                identifier: identifier.into_owned(),
                promised,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::authorization::Says;

    #[test]
    fn r134_r135_a_request_that_was_set_down_is_the_same_request() {
        let endpoint = "https://id.example/authorize?tenant=\"a\"".replace('"', "%22").parse().unwrap();
        let says = Says {
            client_id: "app",
            redirect_uri: Some("http://127.0.0.1:4711/call\"back".to_owned()),
            scope: None,
            further: "",
            issuer: Some(ExpectedIssuer { identifier: "https://id.example".to_owned(), promised: true }),
        };
        let begun = AuthorizationRequest::new(&endpoint, says).unwrap();
        let text = begun.set_down();
        assert!(!format!("{text:?} {begun:?}").contains(begun.state.expose()), "r146");
        let taken_up = AuthorizationRequest::taken_up(&text).unwrap();
        assert_eq!((taken_up.url(), &taken_up.state), (begun.url(), &begun.state));
        assert_eq!(taken_up.verifier.challenge(), begun.verifier.challenge());
        assert_eq!((&taken_up.redirect_uri, &taken_up.issuer), (&begun.redirect_uri, &begun.issuer));
    }

    #[test]
    fn what_is_none_is_not_taken_up() {
        for text in ["", "{}", "eyJ.access.token", r#"{"url":"https://id.example","state":"x"}"#] {
            assert!(AuthorizationRequest::taken_up(&Secret::new(text)).is_none(), "{text}");
        }
    }
}
