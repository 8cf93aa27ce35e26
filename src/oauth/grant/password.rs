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
        Some(self.token_endpoint.name())
    }

    fn token_endpoint(&self) -> Option<&TokenEndpoint> {
        Some(&self.token_endpoint)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::oauth::testing::{Server, grant, json as granting, start};

    /// Shopware's admin user: a public client, JSON, and a scope that is called otherwise.
    #[tokio::test]
    async fn a_public_client_starts_with_the_password_and_refreshes_without_it() {
        let answer = |token: &str, refresh_token: &str| {
            granting(json!({
                "access_token": token, "token_type": "Bearer", "expires_in": 600, "refresh_token": refresh_token,
            }))
        };
        let server = Server::answering([answer("t1", "r1"), answer("t2", "r2")]).await;
        let grant = grant(json!({
            "grant_type": "password", "token_endpoint": server.url("/api/oauth/token"), "client_id": "administration",
            "token_endpoint_auth_method": "none", "encoding": "json", "scope": "write", "scope_parameter": "scopes",
            "username": "admin", "password": "p",
        }));
        let refresh_token = start(&*grant).await.unwrap().refresh_token.unwrap();
        assert_eq!(refresh_token, Secret::new("r1"));
        assert_eq!(grant.refresh(&refresh_token).await.unwrap().refresh_token, Some(Secret::new("r2")));
        let [first, second] = &server.seen()[..] else { panic!("two requests") };
        let expected = json!({
            "client_id": "administration", "grant_type": "password", "scopes": "write", "username": "admin", "password": "p",
        });
        assert_eq!(first.json(), expected);
        let expected =
            json!({ "grant_type": "refresh_token", "client_id": "administration", "refresh_token": "r1" });
        assert_eq!(second.json(), expected);
        assert!(grant.can_start() && grant.first_refresh_token().unwrap().is_none());
    }

    #[test]
    fn another_scope_is_another_chain_for_a_refresh_keeps_the_scope_it_was_granted_with() {
        let table = |scope: &str| {
            json!({
                "grant_type": "password", "token_endpoint": "https://id.example/t", "client_id": "app",
                "client_secret": "s", "username": "u", "password": "p", "scope": scope,
            })
        };
        assert_ne!(grant(table("a")).identity(None).chain, grant(table("b")).identity(None).chain);
    }
}
