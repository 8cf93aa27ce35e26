//! The ways to a token where no preset knows the API: what bearward can do, and what of it an issuer's metadata (RFC 8414) allows.
//!
//! Knows grants and client authentication as metadata names them. Fetches nothing, and asks nobody.

use super::presets::Way;
use crate::oauth::discovery::Metadata;

/// What an issuer and bearward both know.
#[derive(Clone, Debug)]
pub struct Discovered {
    /// The ways to a token, the usual one first; one at least.
    pub ways: Vec<Way>,
    /// How a client may authenticate, the usual one first; one at least.
    pub auth_methods: Vec<&'static str>,
    /// The endpoints that it names, by the names of their members, without queries.
    pub endpoints: Vec<(&'static str, String)>,
    /// Scopes that it names.
    pub scopes: Vec<String>,
}

/// A way, what its grant is called in metadata, and the endpoint that it needs besides the token endpoint.
struct Known {
    grant_type: &'static str,
    metadata: &'static str,
    endpoint: Option<&'static str>,
    about: &'static str,
    ask: &'static [&'static str],
}

/// The usual one first; the password grant last, for RFC 9700 section 2.4 forbids it.
const KNOWN: &[Known] = &[
    Known {
        grant_type: "client_credentials",
        metadata: "client_credentials",
        endpoint: None,
        about: "the application acts for itself, with the client's id and secret",
        ask: &[],
    },
    Known {
        grant_type: "authorization_code",
        metadata: "authorization_code",
        endpoint: Some("authorization_endpoint"),
        about: "a person logs in once, with a browser on this machine",
        ask: &[],
    },
    Known {
        grant_type: "device_code",
        metadata: "urn:ietf:params:oauth:grant-type:device_code",
        endpoint: Some("device_authorization_endpoint"),
        about: "a person logs in once, with a browser on any device",
        ask: &[],
    },
    Known {
        grant_type: "refresh_token",
        metadata: "refresh_token",
        endpoint: None,
        about: "a person has a refresh token already",
        ask: &["refresh_token"],
    },
    Known {
        grant_type: "password",
        metadata: "password",
        endpoint: None,
        about: "a user's name and password, where the server knows nothing better",
        ask: &["username", "password"],
    },
];

/// How a client may authenticate, the usual way first.
const AUTH_METHODS: &[&str] = &["client_secret_basic", "client_secret_post", "none"];
/// As many scopes as a person reads.
const MOST_SCOPES: usize = 20;

/// Every way that bearward knows; the endpoints are asked for unless an issuer names them.
pub fn ways(issuer: bool) -> Vec<Way> {
    KNOWN.iter().map(|known| known.way(issuer)).collect()
}

impl Discovered {
    /// What of the metadata bearward knows too.
    ///
    /// # Errors
    /// Nothing, and what the server knows instead.
    pub fn of(metadata: &Metadata) -> Result<Self, String> {
        let endpoints: Vec<_> =
            metadata.endpoints().map(|(member, shown)| (member, shown.to_owned())).collect();
        let names = |wanted| endpoints.iter().any(|(member, _)| *member == wanted);
        // What a server means that does not say: RFC 8414 section 2.
        let absent = ["authorization_code".to_owned(), "implicit".to_owned()];
        let grant_types = metadata.grant_types_supported.as_deref().unwrap_or(&absent);
        let absent_methods = ["client_secret_basic".to_owned()];
        let supported = metadata.token_endpoint_auth_methods_supported.as_deref().unwrap_or(&absent_methods);
        let auth_methods: Vec<_> = AUTH_METHODS
            .iter()
            .copied()
            .filter(|method| supported.iter().any(|supported| supported == method))
            .collect();
        // Client credentials are for clients that have some (RFC 6749 section 4.4).
        let public = auth_methods == ["none"];
        let ways: Vec<_> = KNOWN
            .iter()
            .filter(|known| grant_types.iter().any(|grant_type| grant_type == known.metadata))
            .filter(|known| known.endpoint.is_none_or(names))
            .filter(|known| !(public && known.grant_type == "client_credentials"))
            .map(|known| known.way(true))
            .collect();
        if !names("token_endpoint") {
            return Err(format!(
                "the metadata of {} names no token_endpoint that can be used",
                metadata.issuer
            ));
        }
        if ways.is_empty() {
            return Err(format!(
                "{} supports the grant types {}, and bearward none of these with the endpoints that it names",
                metadata.issuer,
                listed(grant_types)
            ));
        }
        if auth_methods.is_empty() {
            return Err(format!(
                "{} takes clients that authenticate by {}; bearward knows {}",
                metadata.issuer,
                listed(supported),
                AUTH_METHODS.join(", ")
            ));
        }
        let scopes = metadata.scopes_supported.iter().filter(|scope| is_scope(scope));
        Ok(Self { ways, auth_methods, endpoints, scopes: scopes.take(MOST_SCOPES).cloned().collect() })
    }
}

impl Known {
    fn way(&self, issuer: bool) -> Way {
        let mut ask = Vec::new();
        if !issuer {
            ask.extend(["token_endpoint"].into_iter().chain(self.endpoint));
        }
        ask.extend(["client_id", "client_secret"]);
        ask.extend(self.ask);
        ask.push("upstream.url");
        Way::new(self.grant_type, self.about, &ask, &["scope"])
    }
}

/// As a server's own words are shown: whatever stands in them.
fn listed(names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(MOST_SCOPES).map(|name| name.escape_debug().to_string()).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

/// RFC 6749 section 3.3.
fn is_scope(scope: &str) -> bool {
    !scope.is_empty()
        && scope.len() <= 100
        && scope.bytes().all(|c| matches!(c, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}
