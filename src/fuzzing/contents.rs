//! What comes from authorization servers, upstreams and the disk: nobody panics, and no secret is shown.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use zeroize::Zeroizing;

use crate::{
    config::Config,
    oauth::{
        response::{self, Asked},
        token_request::Sent,
    },
    proxy::rejection,
    token::store::Record,
    upstream::once::Answer,
    wire::fields::Fields,
};

/// Judges content as that of an answer, with the text before the first NUL as the JSON pointer.
///
/// # Panics
/// A verdict is not that of the JSON itself.
pub fn rejection(octets: &[u8]) {
    let end = octets.iter().position(|octet| *octet == 0).unwrap_or(0);
    let (pointer, content) = octets.split_at(end);
    let pointer = String::from_utf8_lossy(pointer);
    let says = rejection::says(content, &pointer, "token.invalid");
    assert!(
        !says || content.windows(5).any(|window| window == b"token" || window[0] == b'\\'),
        "it is not there"
    );
    let mut fields = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(content) {
        fields.append(header::CONTENT_TYPE, value.clone());
        fields.append(header::CONTENT_ENCODING, value);
    }
    rejection::is_plain_json(&Fields::from(&fields));
}

/// Reads challenges, one a line.
///
/// # Panics
/// An error is found where none stands.
pub fn challenge(octets: &[u8]) {
    let mut fields = HeaderMap::new();
    for line in octets.split(|octet| *octet == b'\n').take(20) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            fields.append(header::WWW_AUTHENTICATE, value);
        }
    }
    let lower = octets.to_ascii_lowercase();
    let has = |text: &[u8]| lower.windows(text.len()).any(|window| window == text);
    for error in rejection::bearer_errors(&Fields::from(&fields)) {
        assert!(has(b"bearer") && has(b"error"), "an error of no Bearer challenge");
        assert!(error.len() <= octets.len() * 3, "an error longer than the challenges");
    }
}

/// Reads a token response; the first octet tells the status.
///
/// # Panics
/// A lifetime is none, or a failure shows a secret that was sent.
pub fn token_response(octets: &[u8]) {
    let Some((first, body)) = octets.split_first() else { return };
    let statuses = [200, 201, 400, 401, 403, 429, 500, 503];
    let status = StatusCode::from_u16(statuses[usize::from(*first) % statuses.len()]).unwrap_or_default();
    let answer = Answer { status, fields: HeaderMap::new(), body: Zeroizing::new(body.to_vec()) };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    for bare in [false, true] {
        let asked = Asked { place: "https://id.example/token", sent: &Sent::default(), now, bare };
        match response::read(&answer, asked) {
            Ok(granted) => {
                let within = Duration::from_secs(1)..=Duration::from_secs(10 * 366 * 86_400);
                assert!(
                    granted.lifetime.is_none_or(|lifetime| within.contains(&lifetime)),
                    "a lifetime beyond ten years"
                );
                assert!(granted.authorization.is_sensitive(), "a token that would be shown");
            }
            Err(failure) => drop(failure.to_string()),
        }
    }
}

/// Reads a configuration in an empty environment, and shows what is wrong with it.
pub fn config_file(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    // A file that it names is read where it is there: nothing here waits for a device.
    if text.contains("/dev") || text.contains("/proc") {
        return;
    }
    if let Err(problems) = Config::parse_with(text, "bearward.toml", &|_| None) {
        drop(problems.to_string());
    }
}

/// Reads a record of the store; what is read is written back and read again.
///
/// # Panics
/// It is not the same.
pub fn store_file(octets: &[u8]) {
    let end = octets.iter().position(|octet| *octet == b'\n').unwrap_or(0);
    let chain = String::from_utf8_lossy(&octets[..end]);
    let Some(record) = Record::from_json(octets[end..].trim_ascii(), &chain) else { return };
    let written = record.to_json().unwrap_or_default();
    assert_eq!(Record::from_json(&written, &chain).as_ref(), Some(&record));
}
