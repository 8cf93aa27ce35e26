//! `refresh_token`: begins with a refresh token that a person made (RFC 6749 section 6). There is no way to start afresh:
//! once the chain is lost, a person has to make another.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{Grant, Identity, Start};
use crate::{
    oauth::{Failure, Fault, Granted, Keys, token_endpoint::TokenEndpoint, token_request::TokenRequest},
    secret::{Secret, SecretError, SecretSource},
};

#[derive(Debug)]
struct RefreshToken {
    token_endpoint: TokenEndpoint,
    first: SecretSource,
}

pub(super) fn from_keys(keys: &mut dyn Keys) -> Option<Arc<dyn Grant>> {
    let token_endpoint = TokenEndpoint::from_keys(keys);
    let first = keys.needed_secret("refresh_token");
    Some(Arc::new(RefreshToken { token_endpoint: token_endpoint?, first: first? }))
}

impl Grant for RefreshToken {
    fn identity(&self, subject: Option<&str>) -> Identity {
        let mut recipe = self.token_endpoint.recipe("refresh_token");
        recipe.first_secret("refresh_token", &self.first);
        recipe.part_if("subject", subject);
        recipe.identity()
    }

    fn endpoint(&self) -> Option<&str> {
        Some(self.token_endpoint.url())
    }

    fn can_start(&self) -> bool {
        false
    }

    fn first_refresh_token(&self) -> Result<Option<Secret>, SecretError> {
        self.first.read().map(Some)
    }

    fn start<'a>(&'a self, _: Start<'a>) -> BoxFuture<'a, Result<Granted, Failure>> {
        Box::pin(async {
            Err(Failure::new(
                Fault::InvalidGrant,
                "only a refresh token helps here: have a new one made, and set refresh_token",
            ))
        })
    }

    fn refresh<'a>(&'a self, refresh_token: &'a Secret) -> BoxFuture<'a, Result<Granted, Failure>> {
        Box::pin(self.token_endpoint.request(TokenRequest::refresh(refresh_token)))
    }
}
