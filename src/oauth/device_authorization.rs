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

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::*;
    use serde_json::json;
    use zeroize::Zeroizing;

    use super::*;
    use crate::{clock::Clock, oauth::token_request::Sent};

    fn reading(status: u16, body: impl ToString) -> Result<DeviceAuthorization, Failure> {
        let now = Clock::system().now();
        let body = Zeroizing::new(body.to_string().into_bytes());
        let answer = Answer { status: StatusCode::from_u16(status).unwrap(), fields: HeaderMap::new(), body };
        let sent = Sent::default();
        let asked = Asked { place: "https://id.example/device", sent: &sent, now: now.wall(), bare: false };
        DeviceAuthorization::read(&answer, asked, now)
    }

    /// A good answer with some members changed; null takes one away.
    fn with(changes: Value) -> Result<DeviceAuthorization, Failure> {
        let mut whole = json!({
            "device_code": "canary", "user_code": "WDJB-MJHT", "verification_uri": "https://id.example/device",
            "expires_in": 600,
        });
        for (name, value) in changes.as_object().unwrap() {
            whole[name] = value.clone();
        }
        reading(200, whole)
    }

    fn left(authorization: &DeviceAuthorization) -> f64 {
        Clock::system().now().until(authorization.expires).as_secs_f64()
    }

    #[test]
    fn r137_what_is_not_said_is_what_the_rfc_says() {
        let read = with(json!({})).unwrap();
        assert_eq!(read.user_code, "WDJB-MJHT");
        assert_eq!(read.verification_uri, "https://id.example/device");
        assert_eq!(read.verification_uri_complete, None);
        assert_eq!(read.interval, Duration::from_secs(5));
        assert_eq!(read.device_code, Secret::new("canary"));
        assert!(left(&read) > 500.0 && left(&read) <= 600.0);
        assert!(!format!("{read:?}").contains("canary"));
    }

    #[test]
    fn r137_odd_numbers_are_clamped() {
        for (interval, expected) in [
            (json!(1), 1.0),
            (json!("7"), 7.0),
            (json!(2.5), 2.5),
            (json!(0), 1.0),
            (json!(-3), 1.0),
            (json!(1e18), 300.0),
            (json!("soon"), 5.0),
            (json!(null), 5.0),
        ] {
            let read = with(json!({ "interval": interval })).unwrap();
            assert_eq!(read.interval.as_secs_f64(), expected, "{interval}");
        }
        for (expires_in, most) in
            [(json!("60"), 60.0), (json!(0), 1.0), (json!(-5), 1.0), (json!(1e300), 86_400.0)]
        {
            let read = with(json!({ "expires_in": expires_in })).unwrap();
            assert!(left(&read) <= most && left(&read) > most - 60.0, "{expires_in}");
        }
        for expires_in in [json!(null), json!("soon"), json!("inf"), json!([600])] {
            let failure = with(json!({ "expires_in": expires_in })).unwrap_err();
            assert!(failure.detail.contains("expires_in"), "{failure}");
        }
    }

    #[test]
    fn what_would_steer_a_terminal_or_leads_elsewhere_is_refused() {
        for (name, value) in [
            ("user_code", "WD\u{1b}[2JB"),
            ("user_code", "WD\nJB"),
            ("user_code", "WD\u{202e}JB"),
            ("user_code", &"X".repeat(101)),
            ("verification_uri", "javascript:alert(1)"),
            ("verification_uri", "file:///etc/passwd"),
            ("verification_uri", "id.example/device"),
            ("verification_uri", "https://id.example/\u{1b}]8;;x"),
            ("verification_uri", "https://id.example/ device"),
            ("verification_uri", "https://id.example@evil.example/"),
            ("verification_uri", "https://id.ex\u{430}mple/"),
            ("verification_uri_complete", "ftp://id.example/"),
            ("verification_uri_complete", "https://id.example/\u{7}"),
            ("verification_uri_complete", &format!("https://id.example/{}", "x".repeat(2000))),
        ] {
            let failure = with(json!({ name: value })).unwrap_err();
            assert_eq!(failure.fault, Fault::Unusable);
            assert!(failure.detail.contains(&format!("its {name} ")), "{failure}");
            assert!(
                failure.detail.chars().all(|letter| letter.is_ascii_graphic() || letter == ' '),
                "{failure}"
            );
        }
    }

    #[test]
    fn what_some_servers_say_otherwise_is_understood() {
        let old = json!({ "verification_uri": null, "verification_url": "http://localhost:8080/d" });
        assert_eq!(with(old).unwrap().verification_uri, "http://localhost:8080/d");
        for none in [json!(null), json!("")] {
            assert_eq!(
                with(json!({ "verification_uri_complete": none })).unwrap().verification_uri_complete,
                None
            );
        }
        let complete = "https://id.example/device?user_code=WDJB-MJHT";
        let read = with(json!({ "verification_uri_complete": complete, "message": "x" })).unwrap();
        assert_eq!(read.verification_uri_complete.as_deref(), Some(complete));
    }

    #[test]
    fn what_is_no_device_authorization_says_why() {
        for name in ["device_code", "user_code", "verification_uri"] {
            for missing in [json!(null), json!(""), json!(3)] {
                let failure = with(json!({ name: missing })).unwrap_err();
                assert!(failure.detail.contains(&format!("no {name}")), "{failure}");
            }
        }
        for (status, body, fault, words) in [
            (401, "{\"error\":\"invalid_client\"}", Fault::Refused, "check client_id"),
            (200, "{\"error\":\"unauthorized_client\"}", Fault::Refused, "may not use this grant_type"),
            (400, "{\"error\":\"invalid_scope\"}", Fault::Refused, "check scope"),
            (404, "<html>", Fault::Unusable, "answered 404"),
            (200, "<html>", Fault::Unusable, "is this the device authorization endpoint?"),
            (302, "", Fault::Unusable, "redirects are not followed"),
            (429, "", Fault::Limited, "too many"),
        ] {
            let failure = reading(status, body).unwrap_err();
            assert_eq!(failure.fault, fault, "{failure}");
            assert!(failure.detail.contains(words), "{failure}");
        }
    }

    #[test]
    fn r137_slow_down_adds_five_seconds_each_time_and_silence_doubles() {
        let mut read = with(json!({})).unwrap();
        let mut seconds = |step: fn(&mut DeviceAuthorization)| {
            step(&mut read);
            read.interval.as_secs()
        };
        assert_eq!(seconds(DeviceAuthorization::slow_down), 10);
        assert_eq!(seconds(DeviceAuthorization::slow_down), 15);
        assert_eq!(seconds(|read| read.back_off(None)), 30);
        assert_eq!(seconds(|read| read.back_off(None)), 60);
        assert_eq!(seconds(|read| read.back_off(None)), 60, "a person waits for it");
        assert_eq!(seconds(DeviceAuthorization::slow_down), 65, "what the server wants it gets");
        assert_eq!(seconds(|read| read.back_off(None)), 65, "it never gets shorter");
        assert_eq!(seconds(|read| read.back_off(Some(Duration::from_secs(90)))), 90);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic_or_shows_what_it_should_not(
            status in 200_u16..600, user_code in ".{0,120}", uri in ".{0,40}", number in any::<f64>(), text in ".*",
        ) {
            let good = with(json!({ "user_code": user_code, "verification_uri": format!("https://{uri}"), "interval": number, "expires_in": number }));
            for read in [good, reading(status, text)] {
                match read {
                    Ok(read) => {
                        let shown = format!("{}{}", read.user_code, read.verification_uri);
                        let odd = |letter: char| letter.is_control() || letter == '\u{202e}';
                        prop_assert!(!shown.contains(odd));
                        prop_assert!(read.interval >= Duration::from_secs(1));
                    }
                    Err(failure) => prop_assert!(!failure.detail.chars().any(char::is_control)),
                }
            }
        }
    }
}
