//! Device authorization (RFC 8628): a device gets a user code, a person enters it, and the device asks until they have.
//!
//! Knows the interval and holds every device to it, expiry and denial. Does not issue tokens.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{Method, StatusCode, header};
use serde_json::{Map, Value, json};

use super::{
    Answer, Desk,
    authorization::scope_tokens,
    pages,
    tokens::{Login, fresh},
    wire::{Call, Parameters, Refusal},
};
use crate::clock::{Deadline, Moment};

/// The grant type (RFC 8628 section 3.4).
pub(super) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// How much longer the interval is after each question that came too early (RFC 8628 section 3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// A device authorization endpoint and the page for people. Clones share what is open at it.
#[derive(Clone, Debug)]
pub(super) struct Devices {
    /// Where the page is.
    pub(super) verification: &'static str,
    pub(super) interval: Duration,
    pub(super) lifetime: Duration,
    /// What an answer has in the place of its own members; null leaves one out.
    pub(super) members: Map<String, Value>,
    open: Arc<Mutex<Vec<Device>>>,
}

#[derive(Debug)]
struct Device {
    code: String,
    user_code: String,
    client_id: String,
    scope: Vec<String>,
    deadline: Deadline,
    interval: Duration,
    asked: Option<Moment>,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Pending,
    Allowed(String),
    Refused,
    Used,
}

impl Devices {
    pub(super) fn new(verification: &'static str) -> Self {
        Self {
            verification,
            interval: Duration::from_secs(5),
            lifetime: Duration::from_secs(600),
            members: Map::new(),
            open: Arc::default(),
        }
    }

    /// A device asks for a user code (RFC 8628 section 3.1).
    pub(super) fn begin(
        &self,
        call: &Call,
        parameters: &Parameters,
        client_id: String,
    ) -> Result<Answer, Refusal> {
        let scope = parameters.one("scope").filter(|scope| !scope.is_empty());
        let scope = scope.map(scope_tokens).transpose()?.unwrap_or_default();
        if client_id.is_empty() {
            return Err(Refusal::request("the parameter client_id is missing"));
        }
        let (code, user_code) = (fresh("device"), user_code());
        let page = call.origin() + self.verification;
        let mut content = json!({
            "device_code": code,
            "user_code": user_code,
            "verification_uri": page,
            "verification_uri_complete": format!("{page}?user_code={user_code}"),
            "expires_in": self.lifetime.as_secs(),
            "interval": self.interval.as_secs(),
        });
        super::overridden(&mut content, &self.members);
        self.open().push(Device {
            code,
            user_code,
            client_id,
            scope,
            deadline: call.at.after(self.lifetime),
            interval: self.interval,
            asked: None,
            state: State::Pending,
        });
        Ok(Answer::json(StatusCode::OK, &content).field(header::CACHE_CONTROL, "no-store"))
    }

    /// A device asks whether the person is done (RFC 8628 section 3.4).
    pub(super) fn redeem(
        &self,
        parameters: &Parameters,
        client_id: &str,
        desk: &mut Desk<'_>,
    ) -> Result<Login, Refusal> {
        let code = parameters.needed("device_code")?;
        let mut open = self.open();
        let device = open.iter_mut().find(|device| device.code == code && device.client_id == client_id);
        let device = device.ok_or_else(|| Refusal::grant("no such device code was given to this client"))?;
        if desk.now.reached(device.deadline) {
            return Err(Refusal::other("expired_token", "nobody came in time"));
        }
        let before = device.asked.replace(desk.now);
        if before.is_some_and(|before| desk.now.since(before) < device.interval) {
            device.interval += SLOWER;
            desk.record.counts.hasty_polls += 1;
            return Err(Refusal::other("slow_down", "the interval is not over"));
        }
        match std::mem::replace(&mut device.state, State::Used) {
            State::Allowed(subject) => Ok(Login { subject, scope: device.scope.clone() }),
            State::Used => Err(Refusal::grant("the device code was used before")),
            State::Pending => {
                device.state = State::Pending;
                Err(Refusal::other("authorization_pending", "nobody has entered the code yet"))
            }
            State::Refused => {
                device.state = State::Refused;
                Err(Refusal::other("access_denied", "the person refused"))
            }
        }
    }

    /// The page where a person enters the code, or what they decided on it (RFC 8628 section 3.3).
    pub(super) fn page(&self, call: &Call, desk: &mut Desk<'_>) -> Answer {
        match call.method {
            Method::GET => {
                let entered = call.query().into_iter().find(|(name, _)| name == "user_code");
                pages::device(self.verification, &entered.map(|(_, code)| code).unwrap_or_default())
            }
            Method::POST => match call.form() {
                Ok(form) => self.decided(&form, desk),
                Err(refusal) => pages::wrong(&refusal.description),
            },
            _ => Answer::status(StatusCode::METHOD_NOT_ALLOWED).field(header::ALLOW, "GET, POST"),
        }
    }

    fn decided(&self, form: &Parameters, desk: &mut Desk<'_>) -> Answer {
        let entered = plain(form.one("user_code").unwrap_or_default());
        let mut open = self.open();
        let waiting =
            |device: &&mut Device| device.state == State::Pending && !desk.now.reached(device.deadline);
        let device = open.iter_mut().filter(waiting).find(|device| plain(&device.user_code) == entered);
        let Some(device) = device else { return pages::wrong("no device waits with this code") };
        match (form.one("decision"), form.one("username").filter(|name| !name.is_empty())) {
            (Some("allow"), None) => pages::wrong("nobody is logged in: the login name is missing"),
            (Some("allow"), Some(username)) => {
                device.state = State::Allowed(username.to_owned());
                desk.record.counts.logins += 1;
                pages::told("Connected", "Your device goes on by itself; you can close this page.")
            }
            _ => {
                device.state = State::Refused;
                pages::told("Refused", "Your device was given nothing.")
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, Vec<Device>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Eight consonants in two groups, so that no word comes of it (RFC 8628 section 6.1).
fn user_code() -> String {
    let letter = || fastrand::choice(b"BCDFGHJKLMNPQRSTVWXZ".iter().copied()).map_or('B', char::from);
    let letters: String = std::iter::repeat_with(letter).take(8).collect();
    let (first, second) = letters.split_at(4);
    format!("{first}-{second}")
}

/// A user code without what people get wrong: case and punctuation.
fn plain(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}
