//! What a token response is taken for, and what is refused of it.

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
    for bad in
        ["", "=", "a=b", "canary\r\nX: y", "canary b", "canary\0", "canaryü", "\"canary\"", "canary,", &long]
    {
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
