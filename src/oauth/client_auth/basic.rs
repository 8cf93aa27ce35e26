//! `client_secret_basic`: client id and secret in the Authorization field (RFC 6749 section 2.3.1).
//!
//! Knows that RFC 6749 wants both form-encoded before they are joined, and that some servers do not decode them.

use std::{borrow::Cow, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use form_urlencoded::byte_serialize;
use http::HeaderValue;
use zeroize::Zeroizing;

use super::ClientAuthentication;
use crate::{
    oauth::{Keys, grant::Recipe, token_request::TokenRequest},
    secret::{SecretError, SecretSource},
};

#[derive(Debug)]
struct Basic {
    client_id: String,
    client_secret: SecretSource,
    raw: bool,
}

pub(super) fn from_keys(keys: &mut dyn Keys) -> Option<Arc<dyn ClientAuthentication>> {
    let client_id = keys.needed_text("client_id");
    let client_secret = keys.needed_secret("client_secret");
    let raw = match keys.text("basic_encoding").as_deref() {
        None | Some("rfc6749") => Some(false),
        Some("raw") => Some(true),
        Some(other) => {
            keys.wrong("basic_encoding", &format!("no such encoding: {other:?}"), "\"rfc6749\" or \"raw\"");
            None
        }
    };
    let (client_id, client_secret, raw) = (client_id?, client_secret?, raw?);
    if raw && client_id.contains(':') {
        let problem = "a colon ends the client id in a raw Basic field (RFC 7617 section 2)";
        keys.wrong(
            "client_id",
            problem,
            "basic_encoding = \"rfc6749\", or token_endpoint_auth_method = \"client_secret_post\"",
        );
        return None;
    }
    Some(Arc::new(Basic { client_id, client_secret, raw }))
}

impl ClientAuthentication for Basic {
    #[expect(
        clippy::disallowed_methods,
        reason = "the Authorization field of a token request is where it goes"
    )]
    fn authenticate(&self, request: &mut TokenRequest) -> Result<(), SecretError> {
        let secret = self.client_secret.read()?;
        let encoded = |text: &str| -> Zeroizing<String> {
            Zeroizing::new(if self.raw { text.to_owned() } else { byte_serialize(text.as_bytes()).collect() })
        };
        let (id, code) = (encoded(&self.client_id), encoded(secret.expose()));
        let joined = Zeroizing::new([id.as_str(), ":", code.as_str()].concat());
        let credentials = Zeroizing::new(BASE64_STANDARD.encode(joined.as_bytes()));
        let field = Zeroizing::new(["Basic ", credentials.as_str()].concat());
        let mut value = HeaderValue::from_str(&field)
            .unwrap_or_else(|problem| unreachable!("base64 is visible ASCII: {problem}"));
        value.set_sensitive(true);
        request.basic(value, &credentials, &secret);
        Ok(())
    }

    fn describe(&self, recipe: &mut Recipe) {
        let method: Cow<'_, str> =
            if self.raw { "client_secret_basic, raw".into() } else { "client_secret_basic".into() };
        recipe.manner("client authentication", &method);
        recipe.part("client_id", &self.client_id);
        recipe.rotating_secret("client_secret", &self.client_secret);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::oauth::{testing::Table, token_request::Encoding};

    fn field(table: serde_json::Value) -> String {
        let mut keys = Table::of(table);
        let method = from_keys(&mut keys).unwrap_or_else(|| panic!("{:?}", keys.problems));
        let mut request = TokenRequest::new("client_credentials");
        method.authenticate(&mut request).unwrap();
        let (fields, body, _) = request.encode(Encoding::Form);
        assert_eq!(&*body, b"grant_type=client_credentials", "nothing of it in the body (r125)");
        assert!(fields["authorization"].is_sensitive());
        fields["authorization"].to_str().unwrap().to_owned()
    }

    #[test]
    fn r125_id_and_secret_are_form_encoded_before_they_are_joined() {
        let table = json!({ "client_id": "a:b c", "client_secret": "p%ä" });
        let expected = format!("Basic {}", BASE64_STANDARD.encode("a%3Ab+c:p%25%C3%A4"));
        assert_eq!(field(table), expected);
    }

    #[test]
    fn raw_sends_them_as_they_are() {
        let table = json!({ "client_id": "a b", "client_secret": "p%:ä", "basic_encoding": "raw" });
        assert_eq!(field(table), format!("Basic {}", BASE64_STANDARD.encode("a b:p%:ä")));
    }

    #[test]
    fn all_that_is_missing_or_wrong_is_reported() {
        let mut keys = Table::of(json!({ "basic_encoding": "rot13" }));
        assert!(from_keys(&mut keys).is_none());
        assert_eq!(keys.problems.len(), 3, "{:?}", keys.problems);
        let mut keys =
            Table::of(json!({ "client_id": "a:b", "client_secret": "c", "basic_encoding": "raw" }));
        assert!(from_keys(&mut keys).is_none());
        assert_eq!(keys.problems.len(), 1);
    }
}
