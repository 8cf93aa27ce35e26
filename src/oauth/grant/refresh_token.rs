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
        let mut recipe = self.token_endpoint.recipe_of_given_chain("refresh_token");
        recipe.first_secret("refresh_token", &self.first);
        recipe.part_if("subject", subject);
        recipe.identity()
    }

    fn endpoint(&self) -> Option<&str> {
        Some(self.token_endpoint.name())
    }

    fn token_endpoint(&self) -> Option<&TokenEndpoint> {
        Some(&self.token_endpoint)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::oauth::testing::{Server, grant, json as granting, start};

    /// Inventorum's newer apps: Basic, a form, a refresh token that a person made and that each refresh replaces.
    #[tokio::test]
    async fn r130_each_refresh_brings_the_next_refresh_token() {
        let server = Server::answering([granting(json!({
            "access_token": "t", "token_type": "Bearer", "expires_in": 36000, "refresh_token": "r2", "scope": "a b",
        }))])
        .await;
        let grant = grant(json!({
            "grant_type": "refresh_token", "token_endpoint": server.url("/api/auth/token/"), "client_id": "app",
            "client_secret": "s", "refresh_token": "r1",
        }));
        let first = grant.first_refresh_token().unwrap().unwrap();
        let granted = grant.refresh(&first).await.unwrap();
        assert_eq!(granted.refresh_token, Some(Secret::new("r2")));
        assert_eq!(granted.scope.as_deref(), Some("a b"));
        let [seen] = &server.seen()[..] else { panic!("one request") };
        assert_eq!(seen.line, "POST /api/auth/token/ HTTP/1.1");
        assert_eq!(seen.body, "grant_type=refresh_token&refresh_token=r1");
        assert_eq!(seen.field("authorization"), Some("Basic YXBwOnM="));
    }

    #[tokio::test]
    async fn there_is_no_way_to_start_afresh() {
        let grant = grant(json!({
            "grant_type": "refresh_token", "token_endpoint": "https://id.example/t", "client_id": "app",
            "client_secret": "s", "refresh_token": { "file": "/nowhere/refresh-token" },
        }));
        assert!(!grant.can_start());
        assert_eq!(start(&*grant).await.unwrap_err().fault, Fault::InvalidGrant);
        assert!(grant.first_refresh_token().unwrap_err().to_string().contains("/nowhere/refresh-token"));
    }

    #[test]
    fn r130_a_corrected_configuration_continues_the_chain_and_another_refresh_token_or_client_does_not() {
        let table = json!({
            "grant_type": "refresh_token", "token_endpoint": "https://id.example/t", "client_id": "app",
            "client_secret": "s", "refresh_token": "r1",
        });
        let original = grant(table.clone()).identity(None);
        for (key, value, same_chain) in [
            ("client_secret", json!("s2"), true),
            ("token_endpoint_auth_method", json!("client_secret_post"), true),
            ("basic_encoding", json!("raw"), true),
            ("encoding", json!("json"), true),
            ("scope", json!("a"), true),
            ("parameters", json!({ "audience": "x" }), true),
            ("refresh_token", json!("r2"), false),
            ("client_id", json!("app2"), false),
            ("token_endpoint", json!("https://id.example/t2"), false),
        ] {
            let mut table = table.clone();
            table[key] = value;
            let changed = grant(table).identity(None);
            assert_eq!(changed.chain == original.chain, same_chain, "{key}");
            assert_ne!(changed.recipe, original.recipe, "an access token is of the whole recipe: {key}");
        }
    }
}
