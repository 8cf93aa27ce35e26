//! What a device authorization endpoint answers (RFC 8628 section 3.2): codes, where a person enters them, how often to ask.
//!
//! Knows which answers may be shown on a terminal, and how the interval grows. Does not ask.

use std::time::Duration;

use http::{StatusCode, Uri};
use serde_json::{Map, Value};

use super::{
    Failure, Fault, refusal,
    response::{self, Asked},
};
use crate::{
    clock::{Deadline, Moment},
    secret::Secret,
    upstream::{Origin, once::Answer},
};

/// The interval where the answer says none (section 3.2).
const INTERVAL: Duration = Duration::from_secs(5);
/// What `slow_down` adds (section 3.5).
const SLOW_DOWN: Duration = Duration::from_secs(5);
/// As long as an interval gets by being doubled: a person waits for it.
const LONGEST_DOUBLED: Duration = Duration::from_secs(60);
/// What is believed of `interval` and `expires_in`, in seconds.
const INTERVALS: (f64, f64) = (1.0, 300.0);
const LIFETIMES: (f64, f64) = (1.0, 86_400.0);
/// The longest user code and the longest address, in octets: a person types the one, a QR code carries the other.
const LONGEST_USER_CODE: usize = 100;
const LONGEST_URI: usize = 2000;

/// What the server answered to the device (RFC 8628 section 3.2).
#[derive(Debug)]
pub struct DeviceAuthorization {
    /// What the person enters. Visible characters only.
    pub user_code: String,
    /// Where: an `http` or `https` URL.
    pub verification_uri: String,
    /// The same with the code in it, for a QR code.
    pub verification_uri_complete: Option<String>,
    /// When the codes stop being good.
    pub expires: Deadline,
    /// How long to wait before the next question.
    pub interval: Duration,
    pub(super) device_code: Secret,
}

impl DeviceAuthorization {
    /// Reads the answer to a request that was sent at `sent_at`.
    pub(super) fn read(answer: &Answer, asked: Asked<'_>, sent_at: Moment) -> Result<Self, Failure> {
        if !matches!(answer.status, StatusCode::OK | StatusCode::CREATED) {
            return Err(refusal::of(answer, asked));
        }
        let unusable = |problem: String| {
            let detail = format!("{} answered {}, but {problem}", asked.place, answer.status.as_u16());
            Failure::new(Fault::Unusable, detail)
        };
        let mut members = response::object(answer)
            .map_err(|problem| unusable(format!("{problem}: is this the device authorization endpoint?")))?;
        if let Some(failure) = refusal::oauth_error(&members, answer, asked) {
            return Err(failure);
        }
        of(&mut members, sent_at).map_err(unusable)
    }

    /// The server finds that it is asked too often (section 3.5).
    pub(super) fn slow_down(&mut self) {
        self.interval = self.interval.saturating_add(SLOW_DOWN);
    }

    /// The server did not answer, or wants `wait` (section 3.5).
    pub(super) fn back_off(&mut self, wait: Option<Duration>) {
        let doubled = self.interval.saturating_mul(2).min(LONGEST_DOUBLED);
        self.interval = self.interval.max(doubled).max(wait.unwrap_or_default());
    }
}

fn of(members: &mut Map<String, Value>, sent_at: Moment) -> Result<DeviceAuthorization, String> {
    let device_code = match members.remove("device_code") {
        Some(Value::String(code)) if !code.is_empty() => Secret::new(code),
        _ => return Err("there is no device_code in it".to_owned()),
    };
    let user_code = text(members, "user_code").ok_or("there is no user_code in it")?;
    if user_code.len() > LONGEST_USER_CODE || !user_code.chars().all(is_visible) {
        return Err(
            "its user_code cannot be shown: it is too long, or holds characters that steer a terminal"
                .to_owned(),
        );
    }
    // Some servers still say it as a draft of RFC 8628 did.
    let verification_uri = text(members, "verification_uri").or_else(|| text(members, "verification_url"));
    let verification_uri =
        address("verification_uri", verification_uri.ok_or("there is no verification_uri in it")?)?;
    let complete = text(members, "verification_uri_complete");
    let verification_uri_complete =
        complete.map(|uri| address("verification_uri_complete", uri)).transpose()?;
    let lifetime = members.get("expires_in").and_then(response::seconds);
    let lifetime = lifetime.ok_or("it does not say when the code expires (expires_in)")?;
    let interval = members.get("interval").and_then(response::seconds);
    Ok(DeviceAuthorization {
        user_code,
        verification_uri,
        verification_uri_complete,
        expires: sent_at.after(within(lifetime, LIFETIMES)),
        interval: interval.map_or(INTERVAL, |seconds| within(seconds, INTERVALS)),
        device_code,
    })
}

/// A text that is there and not empty.
fn text(members: &Map<String, Value>, name: &str) -> Option<String> {
    members.get(name)?.as_str().filter(|text| !text.is_empty()).map(ToOwned::to_owned)
}

/// A person opens it: a URL of the web, and nothing in it that looks like another one on a terminal.
fn address(name: &str, text: String) -> Result<String, String> {
    let plain = text.len() <= LONGEST_URI && text.bytes().all(|octet| octet.is_ascii_graphic());
    let of_the_web = || text.parse::<Uri>().is_ok_and(|url| Origin::of(&url).is_ok());
    if plain && of_the_web() { Ok(text) } else { Err(format!("its {name} is no http or https URL")) }
}

fn is_visible(letter: char) -> bool {
    letter == ' ' || letter.is_ascii_graphic() || letter.is_alphanumeric()
}

fn within(seconds: f64, (least, most): (f64, f64)) -> Duration {
    Duration::from_secs_f64(seconds.clamp(least, most))
}
