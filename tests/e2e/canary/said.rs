//! What bearward said, and the search of it for secrets, however they are written.

use std::{fmt::Write, sync::Mutex};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::TEXT;

/// What was said, by where it was said.
#[derive(Default)]
pub(super) struct Said(Mutex<Vec<(String, String)>>);

impl Said {
    pub(super) fn note(&self, place: impl Into<String>, words: impl Into<String>) {
        self.0.lock().unwrap().push((place.into(), words.into()));
    }

    pub(super) fn answer(&self, place: &str, answer: &Response<Bytes>) {
        let mut words = String::new();
        for (name, value) in answer.headers() {
            let _ = writeln!(words, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
        }
        words.push_str(&String::from_utf8_lossy(answer.body()));
        self.note(place, words);
    }

    pub(super) fn expect_none_of(&self, secrets: &[String]) {
        for secret in secrets {
            for form in forms(secret) {
                for (place, words) in self.0.lock().unwrap().iter() {
                    if let Some(at) = words.find(&form) {
                        let from = words[..at].rfind('\n').map_or(0, |end| end + 1);
                        let line = words[from..].lines().next().unwrap_or_default();
                        panic!("{place} shows {secret:?} as {form:?}:\n{line}");
                    }
                }
            }
        }
    }
}

/// Every way in which `secret` could be written.
fn forms(secret: &str) -> Vec<String> {
    let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let debug = format!("{secret:?}");
    let json = serde_json::Value::from(secret).to_string();
    let mut forms =
        vec![secret.to_owned(), percent.to_lowercase(), percent, debug[1..debug.len() - 1].to_owned()];
    forms.push(json[1..json.len() - 1].to_owned());
    for plain in [secret.to_owned(), form.clone()] {
        // However many octets stand before it: what of its base64 does not depend on its neighbours.
        for before in 0..3 {
            let encoded = BASE64_STANDARD.encode([&b"\0\0"[..before], plain.as_bytes()].concat());
            let start = if before == 0 { 0 } else { 4 };
            let core = encoded.trim_end_matches('=');
            forms.push(core[start..core.len() - 2].to_owned());
        }
    }
    forms.push(form);
    forms
}

#[test]
fn the_search_finds_a_secret_however_it_is_written() {
    for said in [
        TEXT.to_owned(),
        utf8_percent_encode(TEXT, NON_ALPHANUMERIC).to_string(),
        serde_json::json!({ "message": TEXT }).to_string(),
        format!("{:?}", Some(TEXT)),
        BASE64_STANDARD.encode(format!("app:{TEXT}")),
        BASE64_STANDARD
            .encode(format!("a:{}", form_urlencoded::byte_serialize(TEXT.as_bytes()).collect::<String>())),
    ] {
        assert!(forms(TEXT).iter().any(|form| said.contains(form)), "{said}");
    }
}
