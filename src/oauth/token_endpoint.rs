//! The token endpoint (RFC 6749 section 3.2): one token request and its answer.
//!
//! Knows where tokens are asked for, how the client authenticates there, and what goes with every request. Does not know
//! grants: each brings its own parameters. The secrets go to the server's places and nowhere else, and are sent once.

use std::{fmt, sync::Arc, time::SystemTime};

use http::Method;
use serde_json::{Map, Value};

use super::{
    Failure, Fault, Granted, Keys,
    client_auth::{self, ClientAuthentication},
    discovery::{Issuer, Metadata},
    grant::Recipe,
    place::{Located, Place},
    response::{self, Asked},
    token_request::{Encoding, Sent, TokenRequest},
};
use crate::{secret::SecretError, upstream::once::Answer};

const PARAMETERS: &str = "parameters";
/// Parameters that have keys of their own, or that a grant sends.
const NOT_AMONG_PARAMETERS: &[&str] =
    &["grant_type", "client_id", "client_secret", "username", "password", "refresh_token"];

/// A token endpoint, and what goes with every request to it.
pub struct TokenEndpoint {
    place: Place,
    issuer: Option<Arc<Issuer>>,
    pub(super) introspection: Option<Place>,
    pub(super) introspection_refresh_token: bool,
    pub(super) revocation: Option<Place>,
    authentication: Arc<dyn ClientAuthentication>,
    encoding: Encoding,
    scope: Option<String>,
    scope_parameter: String,
    parameters: Map<String, Value>,
}

impl TokenEndpoint {
    /// Reads its keys; `None` where problems were reported.
    pub fn from_keys(keys: &mut dyn Keys) -> Option<Self> {
        let place = Place::from_keys(keys, "token_endpoint");
        let issuer = keys.issuer();
        let introspection = Place::optional(keys, "introspection_endpoint");
        let introspection_refresh_token = keys.flag("introspection_refresh_token");
        let revocation = Place::optional(keys, "revocation_endpoint");
        let authentication = client_auth::from_keys(keys);
        let encoding = encoding(keys);
        let scope = keys.words("scope").filter(|scope| !scope.is_empty());
        let scope_parameter = scope_parameter(keys);
        let parameters =
            parameters(keys, encoding, scope.is_some().then_some(scope_parameter.as_deref()).flatten());
        Some(Self {
            place: place?,
            issuer: issuer?,
            introspection: introspection?,
            introspection_refresh_token,
            revocation: revocation?,
            authentication: authentication?,
            encoding: encoding?,
            scope,
            scope_parameter: scope_parameter?,
            parameters: parameters?,
        })
    }

    /// Its name, which rate limits are shared by: the URL, or the issuer that names it.
    pub fn name(&self) -> &str {
        self.place.name()
    }

    /// The scope asked for.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// The parameter that carries the scope.
    pub fn scope_parameter(&self) -> &str {
        &self.scope_parameter
    }

    /// What the authorization server says of itself; `None` where no issuer is configured.
    ///
    /// # Errors
    /// It could not be fetched.
    pub async fn metadata(&self) -> Result<Option<Arc<Metadata>>, Failure> {
        match &self.issuer {
            Some(issuer) => issuer.metadata(self.place.timeout()).await.map(Some),
            None => Ok(None),
        }
    }

    /// Asks for a token: adds to `request` what goes with every request, sends it once, and reads the answer.
    ///
    /// # Errors
    /// A secret cannot be read, or no usable token came.
    pub async fn request(&self, request: TokenRequest) -> Result<Granted, Failure> {
        self.ask(request, response::read).await?
    }

    /// As [`TokenEndpoint::request`], for a grant that reads more in the answer: `read` does.
    ///
    /// # Errors
    /// A secret cannot be read, or no answer came.
    pub(super) async fn ask<T>(
        &self,
        mut request: TokenRequest,
        read: impl FnOnce(&Answer, Asked<'_>) -> T,
    ) -> Result<T, Failure> {
        if let Some(scope) = self.scope.as_ref().filter(|_| request.wants_scope) {
            request.text(self.scope_parameter.clone(), scope);
        }
        let place = self.place.locate().await?;
        self.authentication.authenticate(&mut request)?;
        for (name, value) in &self.parameters {
            request.json(name.clone(), value.clone());
        }
        let (fields, body, sent) = request.encode(self.encoding);
        let answer = place.exchange(Method::POST, fields, body, self.place.timeout()).await?;
        Ok(read(&answer, Asked { place: &place.shown, sent: &sent, now: self.now(), bare: false }))
    }

    /// Sends a form to another endpoint of the same authorization server, with the client authentication of this one and
    /// nothing else added.
    ///
    /// # Errors
    /// A secret cannot be read, the place is not found, or no answer came.
    pub async fn post_to(&self, place: &Place, request: TokenRequest) -> Result<(Answer, Sent), Failure> {
        self.post_to_located(&place.locate().await?, request).await
    }

    /// As [`TokenEndpoint::post_to`], where it is known already where that is.
    pub(super) async fn post_to_located(
        &self,
        place: &Located,
        mut request: TokenRequest,
    ) -> Result<(Answer, Sent), Failure> {
        self.authentication.authenticate(&mut request)?;
        let (fields, body, sent) = request.encode(Encoding::Form);
        Ok((place.exchange(Method::POST, fields, body, self.place.timeout()).await?, sent))
    }

    /// What an answer is measured by that names no time.
    pub(super) fn now(&self) -> SystemTime {
        self.place.clock.now().wall()
    }

    /// A recipe with all that goes with every request to this endpoint. Another scope or parameter is another chain of
    /// refresh tokens, for what it was granted with stays with it.
    pub fn recipe(&self, grant_type: &str) -> Recipe {
        self.recipe_with(grant_type, Recipe::part)
    }

    /// As [`TokenEndpoint::recipe`], for a chain that a given refresh token names: whatever else is asked of it, it is one
    /// chain, and can be spent once.
    pub fn recipe_of_given_chain(&self, grant_type: &str) -> Recipe {
        self.recipe_with(grant_type, Recipe::manner)
    }

    fn recipe_with(&self, grant_type: &str, add: fn(&mut Recipe, &str, &str)) -> Recipe {
        let mut recipe = self.place.recipe(grant_type);
        self.authentication.describe(&mut recipe);
        recipe.manner("encoding", if self.encoding == Encoding::Json { "json" } else { "form" });
        if let Some(scope) = &self.scope {
            add(&mut recipe, "scope", scope);
            recipe.manner("scope_parameter", &self.scope_parameter);
        }
        add(&mut recipe, "parameters", &Value::Object(self.parameters.clone()).to_string());
        recipe
    }
}

impl fmt::Debug for TokenEndpoint {
    /// Without `parameters`, among which there may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEndpoint")
            .field("place", &self.place)
            .field("authentication", &self.authentication)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl From<SecretError> for Failure {
    fn from(problem: SecretError) -> Self {
        Self::new(Fault::Secret, problem.to_string())
    }
}

fn encoding(keys: &mut dyn Keys) -> Option<Encoding> {
    match keys.text("encoding").as_deref() {
        None | Some("form") => Some(Encoding::Form),
        Some("json") => Some(Encoding::Json),
        Some(other) => {
            keys.wrong("encoding", &format!("no such encoding: {other:?}"), "\"form\" or \"json\"");
            None
        }
    }
}

fn scope_parameter(keys: &mut dyn Keys) -> Option<String> {
    const KEY: &str = "scope_parameter";
    let name = keys.text(KEY).unwrap_or_else(|| "scope".to_owned());
    if name.is_empty() || NOT_AMONG_PARAMETERS.contains(&name.as_str()) {
        keys.wrong(
            KEY,
            &format!("{name:?} cannot carry the scope"),
            "\"scope\", or the name the server documents",
        );
        return None;
    }
    Some(name)
}

/// Whether `parameters` names nothing of what a grant sends itself, `names`; a problem is reported where it does.
pub(super) fn leaves_out(keys: &mut dyn Keys, names: &[&str]) -> bool {
    let parameters = keys.object(PARAMETERS).unwrap_or_default();
    let twice: Vec<_> = parameters.keys().filter(|name| names.contains(&name.as_str())).collect();
    for name in &twice {
        said_twice(keys, name);
    }
    twice.is_empty()
}

/// No parameter may be sent twice (RFC 6749 section 3.2).
fn parameters(
    keys: &mut dyn Keys,
    encoding: Option<Encoding>,
    scope: Option<&str>,
) -> Option<Map<String, Value>> {
    let parameters = keys.object(PARAMETERS).unwrap_or_default();
    let mut good = true;
    for (name, value) in &parameters {
        if NOT_AMONG_PARAMETERS.contains(&name.as_str()) || scope == Some(name.as_str()) {
            said_twice(keys, name);
            good = false;
        }
        let nested = match value {
            Value::Array(entries) => entries.iter().any(|entry| entry.is_object() || entry.is_array()),
            other => other.is_object(),
        };
        if nested && encoding == Some(Encoding::Form) {
            keys.wrong(
                PARAMETERS,
                &format!("{name:?} is a table, which a form cannot say"),
                "a text, or encoding = \"json\"",
            );
            good = false;
        }
    }
    good.then_some(parameters)
}

fn said_twice(keys: &mut dyn Keys, name: &str) {
    let problem = format!("{name:?} is sent already, and no parameter may be sent twice");
    keys.wrong(
        PARAMETERS,
        &problem,
        "take it out of parameters; it has a key of its own, or its value is not yours to choose",
    );
}

#[cfg(test)]
mod tests;
