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
        Some(self.token_endpoint.name())
    }

    fn token_endpoint(&self) -> Option<&TokenEndpoint> {
        Some(&self.token_endpoint)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::oauth::testing::{Server, grant, json as granting, problems, start};

    #[tokio::test]
    async fn a_users_name_and_password_go_along_where_they_are_set() {
        let server = Server::answering([granting(json!({
            "access_token": "t", "token_type": "bearer", "expires_in": 300, "refresh_token": "unasked",
        }))])
        .await;
        let grant = grant(json!({
            "grant_type": "client_credentials", "token_endpoint": server.url("/oauth/token"), "client_id": "a",
            "client_secret": "b", "username": "u@x", "password": "p", "scope": "read:orders",
            "token_endpoint_auth_method": "client_secret_post",
        }));
        let granted = start(&*grant).await.unwrap();
        assert_eq!(granted.refresh_token, None, "it is asked for afresh, always");
        assert!(grant.can_start());
        assert_eq!(
            server.seen()[0].body,
            "grant_type=client_credentials&username=u%40x&password=p&scope=read%3Aorders&client_id=a&client_secret=b"
        );
    }

    #[test]
    fn half_a_user_is_a_mistake() {
        let mut table = json!({
            "grant_type": "client_credentials", "token_endpoint": "https://id.example/t", "client_id": "a",
            "client_secret": "b", "username": "u",
        });
        assert_eq!(problems(table.clone()), ["password is missing"]);
        table.as_object_mut().unwrap().remove("username");
        table["password"] = json!("p");
        assert_eq!(problems(table), ["username is missing"]);
    }
}
