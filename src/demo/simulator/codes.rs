//! Authorization codes (RFC 6749 section 4.1.2): what each is bound to, and that it is good once.
//!
//! Knows redirect URIs, PKCE challenges (RFC 7636) and what a code has led to, so that a second use takes it back. Does not
//! know how a person was asked.

use std::{collections::HashMap, time::Duration};

use aws_lc_rs::digest;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{
    Desk,
    tokens::{Login, fresh},
    wire::{Parameters, Refusal},
};
use crate::clock::{Deadline, Moment};

/// Every code given out so far.
#[derive(Debug, Default)]
pub struct Codes(HashMap<String, Code>);

/// What a code is bound to.
#[derive(Clone, Debug, Default)]
pub struct Binding {
    /// The client it was given to.
    pub client_id: String,
    /// The redirect URI that the request named, which the token request has to repeat (RFC 6749 section 4.1.3).
    pub redirect_uri: Option<String>,
    /// The S256 challenge (RFC 7636 section 4.2).
    pub challenge: Option<String>,
}

#[derive(Debug)]
struct Code {
    binding: Binding,
    login: Login,
    deadline: Deadline,
    used: bool,
    given: Option<Given>,
}

/// The tokens that a code has led to.
#[derive(Debug)]
struct Given {
    token: String,
    refresh_token: Option<String>,
}

impl Codes {
    /// A new code, good for `lifetime` from `now` on.
    pub fn issue(&mut self, binding: Binding, login: Login, now: Moment, lifetime: Duration) -> String {
        let code = fresh("code");
        let deadline = now.after(lifetime);
        self.0.insert(code.clone(), Code { binding, login, deadline, used: false, given: None });
        code
    }

    /// Uses up the code of a token request of `client_id`, whether that succeeds or not.
    ///
    /// # Errors
    /// It is no code, another client's, too old, bound to something else, or was used before; what it had led to is taken
    /// back then.
    pub(super) fn redeem(
        &mut self,
        parameters: &Parameters,
        client_id: &str,
        desk: &mut Desk<'_>,
    ) -> Result<Login, Refusal> {
        let code = self.0.get_mut(parameters.needed("code")?);
        let code = code.filter(|code| code.binding.client_id == client_id);
        let code = code.ok_or_else(|| Refusal::grant("no such code was given to this client"))?;
        if std::mem::replace(&mut code.used, true) {
            desk.record.counts.used_codes_seen += 1;
            if let Some(given) = &code.given {
                given.take_back(desk);
            }
            return Err(Refusal::grant("the code was used before"));
        }
        if desk.now.reached(code.deadline) {
            return Err(Refusal::grant("the code is too old"));
        }
        let repeated = parameters.one("redirect_uri").filter(|uri| !uri.is_empty());
        if repeated != code.binding.redirect_uri.as_deref() {
            return Err(Refusal::grant("another redirect_uri than the one at the login"));
        }
        verify(code.binding.challenge.as_deref(), parameters.one("code_verifier"))?;
        Ok(code.login.clone())
    }

    /// Notes what `code` has led to.
    pub fn gave(&mut self, code: &str, token: &str, refresh_token: Option<&str>) {
        if let Some(code) = self.0.get_mut(code) {
            let refresh_token = refresh_token.map(str::to_owned);
            code.given = Some(Given { token: token.to_owned(), refresh_token });
        }
    }
}

impl Given {
    fn take_back(&self, desk: &mut Desk<'_>) {
        desk.tokens.revoke(&self.token, desk.now);
        if let Some(refresh_token) = &self.refresh_token {
            desk.tokens.end_chain(refresh_token);
        }
    }
}

/// RFC 7636 section 4.6. A verifier where no challenge was sent is refused too (RFC 9700 section 2.1.1): somebody took the
/// challenge off.
fn verify(challenge: Option<&str>, verifier: Option<&str>) -> Result<(), Refusal> {
    match (challenge, verifier) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(Refusal::grant("a code_verifier, and no code_challenge before")),
        (Some(_), None) => Err(Refusal::grant("the code_verifier is missing")),
        (Some(_), Some(verifier)) if !is_verifier(verifier) => {
            Err(Refusal::grant("the code_verifier is not 43 to 128 unreserved characters"))
        }
        (Some(challenge), Some(verifier)) => match challenge == s256(verifier) {
            true => Ok(()),
            false => Err(Refusal::grant("another code_verifier than the challenge's")),
        },
    }
}

/// RFC 7636 section 4.1.
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._~".contains(&octet))
}

/// The S256 challenge of a verifier (RFC 7636 section 4.2).
pub fn s256(verifier: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}
