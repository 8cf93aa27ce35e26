//! A person logs in, out, and looks at what is held: the course of it, whoever asks (a terminal or the page).
//!
//! Knows that a browser comes back to a loopback listener of ours (RFC 8252 section 7.3) or a person pastes a code, that a
//! device is waited for, and that what was granted goes into the store. Does not know how it is shown, and opens no browser.

use std::{fmt, sync::Arc, time::SystemTime};

use crate::{
    clock::{Clock, Deadline},
    oauth::{Failure, Grant, introspection::Introspected, revocation::Revoked},
    token::{Store, StoreError, login::Chain},
};

/// A token that a person logs in for. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its recipe.
    pub grant: Arc<dyn Grant>,
    /// Its place in the store.
    pub chain: Chain,
    /// The store.
    pub store: Store,
    /// The clocks.
    pub clock: Clock,
}

/// A login under way.
#[derive(Debug)]
pub enum Begun {
    /// The browser comes back to a listener of ours.
    Redirect(Redirect),
    /// The person copies a code.
    Paste(Paste),
    /// The person enters a code elsewhere.
    Device(Device),
}

impl Account {
    /// Begins a login.
    ///
    /// # Errors
    /// The recipe needs no person, the authorization server did not answer, or the redirect URI cannot be listened on.
    pub async fn begin(&self) -> Result<Begun, LoginError> {
        todo!()
    }

    /// Revokes what is held where the server can, and forgets it whether it could or not.
    ///
    /// # Errors
    /// The store cannot be written: nothing was revoked then.
    pub async fn log_out(&self) -> Result<LoggedOut, StoreError> {
        todo!()
    }

    /// Asks the authorization server about the stored access token; `None` where it has no introspection endpoint.
    ///
    /// # Errors
    /// None is stored, or the server did not say.
    pub async fn introspect(&self) -> Result<Option<Introspected>, LoginError> {
        todo!()
    }
}

/// A login whose browser comes back to us.
#[derive(Debug)]
pub struct Redirect {}

impl Redirect {
    /// Where the browser is sent.
    pub fn url(&self) -> &str {
        todo!()
    }

    /// Waits for the browser, redeems the code at once and keeps what was granted. Dropping it ends the wait and closes the
    /// listener. Whatever does not belong to this login is refused, and the wait goes on.
    ///
    /// # Errors
    /// The person refused, or nothing usable came.
    pub async fn finish(self) -> Result<LoggedIn, LoginError> {
        todo!()
    }
}

/// A login whose code a person copies.
#[derive(Debug)]
pub struct Paste {}

impl Paste {
    /// Where the browser is sent.
    pub fn url(&self) -> &str {
        todo!()
    }

    /// Redeems what the person pasted, at once, and keeps what was granted.
    ///
    /// # Errors
    /// It is no code, a used or late one, or nothing usable came.
    pub async fn finish(self, pasted: &str) -> Result<LoggedIn, LoginError> {
        let _ = pasted;
        todo!()
    }
}

/// A login on another device.
#[derive(Debug)]
pub struct Device {}

impl Device {
    /// What the person enters.
    pub fn user_code(&self) -> &str {
        todo!()
    }

    /// Where.
    pub fn verification_uri(&self) -> &str {
        todo!()
    }

    /// The address with the code in it, for a QR code.
    pub fn verification_uri_complete(&self) -> Option<&str> {
        todo!()
    }

    /// When the code stops being good.
    pub fn expires(&self) -> Deadline {
        todo!()
    }

    /// Asks until the person is done, and keeps what was granted.
    ///
    /// # Errors
    /// The person refused, nobody came in time, or the server refused.
    pub async fn finish(self) -> Result<LoggedIn, LoginError> {
        todo!()
    }
}

/// A login that succeeded and is in the store.
#[derive(Clone, Debug)]
pub struct LoggedIn {
    /// The granted scope, where the server said it.
    pub scope: Option<String>,
    /// When the access token expires.
    pub expires_at: SystemTime,
    /// Whether a refresh token came, so that nobody has to log in again then.
    pub lasting: bool,
}

/// What a logout could do.
#[derive(Debug)]
pub struct LoggedOut {
    /// What became of the refresh token; `None` where none was stored.
    pub refresh_token: Option<Result<Revoked, Failure>>,
    /// What became of the access token; `None` where none was stored.
    pub access_token: Option<Result<Revoked, Failure>>,
}

/// Why a login did not succeed. What was stored before is untouched.
#[derive(Debug)]
pub enum LoginError {
    /// The recipe needs no person.
    NoPerson,
    /// The redirect URI cannot be listened on.
    Listen(String),
    /// What came back is no code, or the person refused.
    Refused(String),
    /// Nobody came in time.
    TooLate,
    /// The authorization server granted nothing.
    Failed(Failure),
    /// What was granted could not be kept.
    Store(StoreError),
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}

impl std::error::Error for LoginError {}
