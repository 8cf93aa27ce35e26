//! What a token endpoint's answer grants (RFC 6749 section 5.1).
//!
//! Knows the members of a token response, odd lifetimes and the JWT's `exp`. Does not know who asked, nor what an answer
//! that grants nothing means (`refusal`).

use std::time::{Duration, SystemTime};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{
    Failure, Fault,
    refusal::{self, media_type},
    token_request::Sent,
};
use crate::{secret::Secret, upstream::once::Answer};

/// The longest lifetime that is believed; whatever is beyond is a mistake, and no token lives for ever.
const LONGEST_LIFETIME: f64 = 10.0 * 365.0 * 86_400.0;
const SHORTEST_LIFETIME: f64 = 1.0;
/// The longest access token, in octets: a request that carries it has to fit the heads that servers take.
const LONGEST_TOKEN: usize = 32 << 10;

/// A usable answer.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The access token.
    pub access_token: Secret,
    /// `Bearer <access token>`, built once and marked sensitive; known to be b64token.
    pub authorization: HeaderValue,
    /// `expires_in`, else the JWT's `exp`, clamped to at least one second; `None` where neither says. Counted from the
    /// moment before the request was sent.
    pub lifetime: Option<Duration>,
    /// A refresh token, where the answer held one.
    pub refresh_token: Option<Secret>,
    /// The granted scope, where the answer said one.
    pub scope: Option<String>,
}

/// What has to be known of the request to read its answer.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The token endpoint's URL as it may be shown.
    pub place: &'a str,
    /// The secrets that were sent.
    pub sent: &'a Sent,
    /// The wall clock, for answers without a `Date`.
    pub now: SystemTime,
    /// Whether no token response of RFC 6749 is asked for: a missing `token_type` is usual there.
    pub bare: bool,
}

impl Granted {
    /// What is granted by an access token alone: its lifetime is what a JWT's `exp` says, seen from `now`.
    ///
    /// # Errors
    /// It is no b64token (RFC 6750 section 2.1), or longer than any field may be. The words do not hold it.
    pub fn bare(access_token: Secret, now: SystemTime) -> Result<Self, &'static str> {
        let (authorization, lifetime) = bearer(&access_token, now)?;
        Ok(Self { access_token, authorization, lifetime, refresh_token: None, scope: None })
    }
}

/// Reads the answer to a token request.
///
/// # Errors
/// It grants no token that can be used.
pub fn read(answer: &Answer, asked: Asked<'_>) -> Result<Granted, Failure> {
    if !matches!(answer.status, StatusCode::OK | StatusCode::CREATED) {
        return Err(refusal::of(answer, asked));
    }
    let unusable = |problem: &str| {
        Failure::new(
            Fault::Unusable,
            format!("{} answered {}, but {problem}", asked.place, answer.status.as_u16()),
        )
    };
    let mut members =
        object(answer).map_err(|problem| unusable(&format!("{problem}: is this the token endpoint?")))?;
    let refresh_token = secret(&mut members, "refresh_token").filter(|token| !token.is_empty());
    let Some(access_token) = secret(&mut members, "access_token") else {
        // Some servers say 200 with an OAuth error.
        return Err(refusal::oauth_error(&members, answer, asked)
            .unwrap_or_else(|| Failure { refresh_token, ..unusable("there is no access_token in it") }));
    };
    match usable(access_token, &members, answer, asked) {
        Ok(granted) => Ok(Granted { refresh_token, ..granted }),
        Err(problem) => Err(Failure { refresh_token, ..unusable(&problem) }),
    }
}

/// The JSON object that the answer's body is.
///
/// # Errors
/// It is none, in words that show nothing of it.
pub(super) fn object(answer: &Answer) -> Result<Map<String, Value>, String> {
    if let Some(coding) = answer.fields.get(header::CONTENT_ENCODING)
        && !coding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err("the answer is compressed, which was not asked for".to_owned());
    }
    serde_json::from_slice(&answer.body).map_err(|_| {
        let what =
            if answer.body.is_empty() { "an empty body".to_owned() } else { media_type(&answer.fields) };
        format!("with {what} instead of a JSON object")
    })
}

fn usable(
    access_token: Secret,
    members: &Map<String, Value>,
    answer: &Answer,
    asked: Asked<'_>,
) -> Result<Granted, String> {
    check_token_type(members.get("token_type"), asked)?;
    // Date is a whole second, and the answer was made within it: the end of it counts, or a JWT would be sent dead.
    let now = date(&answer.fields).map_or(asked.now, |date| date + Duration::from_secs(1));
    let mut granted = Granted::bare(access_token, now)?;
    granted.lifetime = members.get("expires_in").and_then(seconds).map(lifetime).or(granted.lifetime);
    granted.scope = members.get("scope").and_then(scope);
    Ok(granted)
}

/// The server's clock at the time of the answer, its fraction of a second cut off (RFC 9110 section 6.6.1).
pub(super) fn date(fields: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(fields.get(header::DATE)?.to_str().ok()?).ok()
}

/// Moves a text out of the answer, so that no unwiped copy of it stays behind.
fn secret(members: &mut Map<String, Value>, name: &str) -> Option<Secret> {
    match members.remove(name)? {
        Value::String(text) => Some(Secret::new(text)),
        _ => None,
    }
}

/// A token of an unknown type is not sent as Bearer (RFC 6749 section 7.1). Servers that forget the type mean Bearer.
fn check_token_type(token_type: Option<&Value>, asked: Asked<'_>) -> Result<(), String> {
    match token_type {
        None | Some(Value::Null) => {
            if !asked.bare {
                tracing::warn!(
                    token_endpoint = asked.place,
                    "the answer names no token_type; taken for Bearer"
                );
            }
            Ok(())
        }
        Some(Value::String(name)) if name.eq_ignore_ascii_case("bearer") => Ok(()),
        Some(Value::String(name)) => Err(format!(
            "its token_type is {:?}, and only Bearer can be sent",
            refusal::presentable(name, asked.sent)
        )),
        Some(_) => Err("its token_type is no text".to_owned()),
    }
}

/// The field that carries the token, and the lifetime that the token itself tells.
#[expect(clippy::disallowed_methods, reason = "the Authorization field is what an access token is for")]
fn bearer(access_token: &Secret, now: SystemTime) -> Result<(HeaderValue, Option<Duration>), &'static str> {
    let token = access_token.expose();
    if token.len() > LONGEST_TOKEN {
        return Err("its access_token is longer than 32 KiB, more than a request's head can carry");
    }
    if !is_b64token(token) {
        return Err("its access_token holds characters that no Bearer token may (RFC 6750 section 2.1)");
    }
    let field = Zeroizing::new(["Bearer ", token].concat());
    let mut authorization =
        HeaderValue::from_str(&field).map_err(|_| "its access_token cannot stand in a field")?;
    authorization.set_sensitive(true);
    Ok((authorization, jwt_lifetime(token, now)))
}

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._~+/".contains(&octet))
}

/// How long a JWT (RFC 7519 section 4.1.4) still lives. Its signature is not verified: bearward is not its audience and
/// decides nothing by it but when to ask for the next one, and it came from the server that is trusted to say so.
fn jwt_lifetime(token: &str, now: SystemTime) -> Option<Duration> {
    let mut parts = token.split('.');
    let (_, claims, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: Map<String, Value> = serde_json::from_slice(&claims).ok()?;
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    Some(lifetime(claims.get("exp")?.as_f64()? - now))
}

/// A number of seconds, or a text of one.
pub(super) fn seconds(value: &Value) -> Option<f64> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    seconds.is_finite().then_some(seconds)
}

fn lifetime(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(SHORTEST_LIFETIME, LONGEST_LIFETIME).floor())
}

pub(super) fn scope(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(words) => Some(words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn reading(answer: &Answer) -> Result<Granted, Failure> {
        let sent = Sent::default();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        read(answer, Asked { place: "https://id.example/token", sent: &sent, now, bare: false })
    }

    fn ok(body: impl Into<Vec<u8>>) -> Answer {
        Answer { status: StatusCode::OK, fields: HeaderMap::new(), body: Zeroizing::new(body.into()) }
    }

    fn granted(members: Value) -> Granted {
        let mut whole = json!({ "access_token": "t", "token_type": "Bearer" });
        whole.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        reading(&ok(whole.to_string())).unwrap()
    }

    fn jwt(claims: &Value) -> String {
        let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part("{\"alg\":\"none\"}"), part(&claims.to_string()), part("signature"))
    }

    fn in_seconds(granted: &Granted) -> Option<u64> {
        granted.lifetime.map(|lifetime| lifetime.as_secs())
    }

    #[test]
    fn r129_odd_lifetimes_are_clamped_and_unreadable_ones_are_none() {
        let ten_years = 315_360_000;
        for (expires_in, expected) in [
            (json!(600), Some(600)),
            (json!("600"), Some(600)),
            (json!(" 600 "), Some(600)),
            (json!(599.9), Some(599)),
            (json!("1e3"), Some(1000)),
            (json!(0), Some(1)),
            (json!("0"), Some(1)),
            (json!(0.2), Some(1)),
            (json!(-5), Some(1)),
            (json!(1e18), Some(ten_years)),
            (json!(u64::MAX), Some(ten_years)),
            (json!("99999999999999999999999999"), Some(ten_years)),
            (json!("NaN"), None),
            (json!("inf"), None),
            (json!("soon"), None),
            (json!(null), None),
            (json!([600]), None),
            (json!(true), None),
        ] {
            let granted = granted(json!({ "expires_in": expires_in }));
            assert_eq!(in_seconds(&granted), expected, "expires_in {expires_in}");
        }
        assert_eq!(in_seconds(&granted(json!({}))), None);
    }

    #[test]
    fn a_jwt_tells_its_lifetime_where_expires_in_does_not() {
        for (claims, expected) in [
            (json!({ "exp": NOW + 300 }), Some(300)),
            (json!({ "exp": (NOW as f64) + 300.5 }), Some(300)),
            (json!({ "exp": NOW - 300 }), Some(1)),
            (json!({ "exp": 1e300 }), Some(315_360_000)),
            (json!({ "exp": "soon" }), None),
            (json!({}), None),
            (json!([NOW]), None),
        ] {
            assert_eq!(in_seconds(&granted(json!({ "access_token": jwt(&claims) }))), expected, "{claims}");
        }
        let both = json!({ "access_token": jwt(&json!({ "exp": NOW + 300 })), "expires_in": 60 });
        assert_eq!(in_seconds(&granted(both)), Some(60));
        for not_one in ["a.b", "a.b.c", "a.eyJ.c.d", "..."] {
            assert_eq!(in_seconds(&granted(json!({ "access_token": not_one }))), None, "{not_one}");
        }
    }

    #[test]
    fn r145_a_jwt_is_measured_by_the_clock_of_the_server_that_made_it() {
        let token = jwt(&json!({ "exp": NOW + 31_536_000 + 300 }));
        let mut answer = ok(json!({ "access_token": token, "token_type": "Bearer" }).to_string());
        let date = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW + 31_536_000);
        answer.fields.insert(header::DATE, httpdate::fmt_http_date(date).parse().unwrap());
        let lifetime = in_seconds(&reading(&answer).unwrap());
        assert_eq!(lifetime, Some(299), "our clock is a year behind, and Date up to a second");
    }

    #[test]
    fn r126_unknown_members_and_odd_ones_beside_the_token_do_no_harm() {
        let granted = granted(json!({
            "id_token": {}, "scope": ["a", "b"], "refresh_token": "r", "error": null, "expires_in": 5,
        }));
        assert_eq!(granted.scope.as_deref(), Some("a b"));
        assert_eq!(granted.refresh_token, Some(Secret::new("r")));
        assert_eq!(granted.access_token, Secret::new("t"));
        assert_eq!(granted.authorization, "Bearer t");
        assert!(granted.authorization.is_sensitive());
    }

    #[test]
    fn r130_an_absent_or_empty_refresh_token_is_none() {
        for odd in [
            json!({}),
            json!({ "refresh_token": "" }),
            json!({ "refresh_token": null }),
            json!({ "refresh_token": 3 }),
        ] {
            assert_eq!(granted(odd).refresh_token, None);
        }
    }

    #[test]
    fn r130_a_refresh_token_beside_an_access_token_that_cannot_be_used_is_not_lost() {
        for odd in [
            json!({ "token_type": "mac", "access_token": "t" }),
            json!({ "token_type": "Bearer", "access_token": "a b" }),
            json!({ "token_type": "Bearer" }),
        ] {
            let mut body = odd.clone();
            body["refresh_token"] = json!("canary");
            let failure = reading(&ok(body.to_string())).unwrap_err();
            assert_eq!(failure.fault, Fault::Unusable);
            assert!(!format!("{failure:?} {failure}").contains("canary"), "{failure}");
            assert_eq!(failure.refresh_token, Some(Secret::new("canary")));
            assert_eq!(reading(&ok(odd.to_string())).unwrap_err().refresh_token, None);
        }
    }

    #[test]
    fn r127_only_bearer_is_sent_as_bearer() {
        for good in [json!("Bearer"), json!("bearer"), json!("BEARER"), json!(null)] {
            granted(json!({ "token_type": good }));
        }
        for bad in [json!("mac"), json!("DPoP"), json!(""), json!("Bearer "), json!(["Bearer"]), json!(1)] {
            let body = json!({ "access_token": "t", "token_type": bad }).to_string();
            let failure = reading(&ok(body)).unwrap_err();
            assert_eq!(failure.fault, Fault::Unusable, "{bad}");
            assert!(failure.detail.contains("token_type"), "{failure}");
        }
        assert!(reading(&ok(json!({ "access_token": "t" }).to_string())).is_ok());
    }

    #[test]
    fn r128_a_token_outside_b64token_is_refused_and_not_shown() {
        for good in ["a", "a=", "a==", "-._~+/", "Az09"] {
            granted(json!({ "access_token": good }));
        }
        let long = "canary".repeat(10_000);
        for bad in [
            "",
            "=",
            "a=b",
            "canary\r\nX: y",
            "canary b",
            "canary\0",
            "canaryü",
            "\"canary\"",
            "canary,",
            &long,
        ] {
            let body = json!({ "access_token": bad, "token_type": "Bearer" }).to_string();
            let failure = reading(&ok(body)).unwrap_err();
            assert_eq!(failure.fault, Fault::Unusable);
            assert!(!format!("{failure:?}").contains("canary"), "{failure}");
        }
    }

    #[test]
    fn what_is_no_json_object_with_a_token_is_unusable() {
        for body in [
            "",
            "<html>canary</html>",
            "[]",
            "[\"canary\"]",
            "null",
            "\"canary\"",
            "{",
            "{}",
            "{\"access_token\":3}",
            "{\"access_token\":\"t\"}}",
            "\u{feff}{}",
        ] {
            let mut answer = ok(body);
            answer.fields.insert(header::CONTENT_TYPE, "text/html; charset=canary".parse().unwrap());
            let failure = reading(&answer).unwrap_err();
            assert_eq!(failure.fault, Fault::Unusable, "{body}");
            assert!(!failure.detail.contains("canary"), "{failure}");
            assert!(failure.detail.contains("https://id.example/token answered 200"), "{failure}");
        }
    }

    #[test]
    fn a_body_that_is_json_is_read_whatever_it_is_called() {
        let mut answer = ok(json!({ "access_token": "t", "token_type": "Bearer" }).to_string());
        answer.fields.insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
        assert!(reading(&answer).is_ok());
    }

    #[test]
    fn r116_a_compressed_answer_is_not_read() {
        let mut answer = ok(json!({ "access_token": "t", "token_type": "Bearer" }).to_string());
        answer.fields.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        assert_eq!(reading(&answer).unwrap_err().fault, Fault::Unusable);
        answer.fields.insert(header::CONTENT_ENCODING, "identity".parse().unwrap());
        assert!(reading(&answer).is_ok());
    }

    #[test]
    fn r146_what_is_granted_shows_nothing_of_itself() {
        let granted = granted(json!({ "access_token": "canary", "refresh_token": "canary" }));
        assert!(!format!("{granted:?}").contains("canary"));
    }

    proptest! {
        #[test]
        fn r128_whatever_comes_nothing_panics_and_no_odd_token_goes_through(
            status in 100_u16..1000,
            body in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                (any::<String>(), any::<String>(), any::<f64>()).prop_map(|(token, kind, lifetime)| {
                    let kind = if kind.len() % 2 == 0 { "Bearer".to_owned() } else { kind };
                    json!({ "access_token": token, "token_type": kind, "expires_in": lifetime }).to_string().into()
                }),
                ("[!-~]{1,9}", any::<i64>()).prop_map(|(token, lifetime)| {
                    let lifetime = lifetime.to_string();
                    json!({ "access_token": token, "token_type": "bearer", "expires_in": lifetime }).to_string().into()
                }),
                any::<String>().prop_map(|claims| {
                    let token = format!("a.{}.c", BASE64_URL_SAFE_NO_PAD.encode(claims));
                    json!({ "access_token": token, "token_type": "bearer" }).to_string().into()
                }),
                (any::<String>(), any::<String>()).prop_map(|(error, description)| {
                    json!({ "error": error, "error_description": description }).to_string().into()
                }),
            ],
        ) {
            let answer = Answer { status: StatusCode::from_u16(status).unwrap(), ..ok(body) };
            match reading(&answer) {
                Ok(granted) => {
                    prop_assert!(status == 200 || status == 201);
                    let body = granted.access_token.expose().trim_end_matches('=');
                    prop_assert!(!body.is_empty());
                    prop_assert!(body.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._~+/".contains(letter)));
                    if let Some(lifetime) = granted.lifetime {
                        prop_assert!(lifetime >= Duration::from_secs(1));
                        prop_assert!(lifetime <= Duration::from_secs(315_360_000));
                    }
                }
                Err(failure) => prop_assert!(!failure.detail.chars().any(char::is_control)),
            }
        }
    }
}
