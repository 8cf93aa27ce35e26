//! The metadata document of a simulated authorization server (RFC 8414, OpenID Connect Discovery 1.0).
//!
//! Knows the two well-known places of an issuer, with and without a path. What it says of the endpoints is given to it.

use serde_json::{Map, Value, json};

/// A document, before it is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Metadata {
    /// The issuer's path: empty, or `/tenant`.
    pub(super) issuer_path: String,
    /// What it says in the place of its own members, the issuer included; null leaves one out.
    pub(super) members: Map<String, Value>,
}

impl Metadata {
    /// Whether the document is at `path`: put before the issuer's path (RFC 8414 section 3.1), or after it (OpenID Connect
    /// Discovery 1.0 section 4.1).
    pub(super) fn is_at(&self, path: &str) -> bool {
        let issuer = &self.issuer_path;
        path == format!("/.well-known/oauth-authorization-server{issuer}")
            || path == format!("{issuer}/.well-known/openid-configuration")
    }

    /// The document of a server at `origin` with these endpoints, each by the name of its member.
    pub(super) fn document(&self, origin: &str, endpoints: &[(&str, &str)], more: Value) -> Value {
        let mut document = json!({ "issuer": format!("{origin}{}", self.issuer_path) });
        for (name, path) in endpoints {
            document[*name] = json!(format!("{origin}{path}"));
        }
        for (name, value) in more.as_object().into_iter().flatten() {
            document[name] = value.clone();
        }
        super::overridden(&mut document, &self.members);
        document
    }
}
