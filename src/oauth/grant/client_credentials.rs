//! `client_credentials`: the client asks in its own name (RFC 6749 section 4.4).

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{Grant, Identity, Start};
use crate::{
    oauth::{Failure, Granted, Keys, token_endpoint::TokenEndpoint, token_request::TokenRequest},
    secret::SecretSource,
};

#[derive(Debug)]
struct ClientCredentials {
    token_endpoint: TokenEndpoint,
    /// Some servers want a user's name and password beside the client's.
    user: Option<(String, SecretSource)>,
}

pub(super) fn from_keys(keys: &mut dyn Keys) -> Option<Arc<dyn Grant>> {
    let token_endpoint = TokenEndpoint::from_keys(keys);
    let user = match (keys.text("username"), keys.secret("password")) {
        (None, None) => Some(None),
        (Some(username), Some(password)) => Some(Some((username, password))),
        (Some(_), None) => keys.needed_secret("password").and(None),
        (None, Some(_)) => keys.needed_text("username").and(None),
    };
    Some(Arc::new(ClientCredentials { token_endpoint: token_endpoint?, user: user? }))
}

impl Grant for ClientCredentials {
    fn identity(&self, subject: Option<&str>) -> Identity {
        let mut recipe = self.token_endpoint.recipe("client_credentials");
        if let Some((username, password)) = &self.user {
            recipe.part("username", username);
            recipe.rotating_secret("password", password);
        }
        recipe.part_if("subject", subject);
        recipe.identity()
    }

    fn endpoint(&self) -> Option<&str> {
        Some(self.token_endpoint.url())
    }

    fn start<'a>(&'a self, _: Start<'a>) -> BoxFuture<'a, Result<Granted, Failure>> {
        Box::pin(async {
            let mut request = TokenRequest::new("client_credentials");
            if let Some((username, password)) = &self.user {
                request.text("username", username);
                request.secret("password", password.read()?);
            }
            let mut granted = self.token_endpoint.request(request).await?;
            // None should come (section 4.4.3), and asking afresh is as good.
            granted.refresh_token = None;
            Ok(granted)
        })
    }
}
