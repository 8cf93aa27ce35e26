//! `password`: with a user's name and password (RFC 6749 section 4.3). RFC 9700 section 2.4 advises against it; some
//! APIs have nothing else for programs.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{Grant, Identity, Start};
use crate::{
    oauth::{Failure, Granted, Keys, token_endpoint::TokenEndpoint, token_request::TokenRequest},
    secret::{Secret, SecretSource},
};

#[derive(Debug)]
struct Password {
    token_endpoint: TokenEndpoint,
    username: String,
    password: SecretSource,
}

pub(super) fn from_keys(keys: &mut dyn Keys) -> Option<Arc<dyn Grant>> {
    let token_endpoint = TokenEndpoint::from_keys(keys);
    let username = keys.needed_text("username");
    let password = keys.needed_secret("password");
    Some(Arc::new(Password { token_endpoint: token_endpoint?, username: username?, password: password? }))
}

impl Grant for Password {
    fn identity(&self, subject: Option<&str>) -> Identity {
        let mut recipe = self.token_endpoint.recipe("password");
        recipe.part("username", &self.username);
        recipe.rotating_secret("password", &self.password);
        recipe.part_if("subject", subject);
        recipe.identity()
    }

    fn endpoint(&self) -> Option<&str> {
        Some(self.token_endpoint.url())
    }

    fn start<'a>(&'a self, _: Start<'a>) -> BoxFuture<'a, Result<Granted, Failure>> {
        Box::pin(async {
            let mut request = TokenRequest::new("password");
            request.text("username", &self.username);
            request.secret("password", self.password.read()?);
            self.token_endpoint.request(request).await
        })
    }

    fn refresh<'a>(&'a self, refresh_token: &'a Secret) -> BoxFuture<'a, Result<Granted, Failure>> {
        Box::pin(self.token_endpoint.request(TokenRequest::refresh(refresh_token).without_scope()))
    }
}
