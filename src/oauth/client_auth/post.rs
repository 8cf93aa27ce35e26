//! `client_secret_post`: client id and secret in the body (RFC 6749 section 2.3.1).

use std::sync::Arc;

use super::ClientAuthentication;
use crate::{
    oauth::{Keys, grant::Recipe, token_request::TokenRequest},
    secret::{SecretError, SecretSource},
};

#[derive(Debug)]
struct Post {
    client_id: String,
    client_secret: SecretSource,
}

pub(super) fn from_keys(keys: &mut dyn Keys) -> Option<Arc<dyn ClientAuthentication>> {
    let client_id = keys.needed_text("client_id");
    let client_secret = keys.needed_secret("client_secret");
    Some(Arc::new(Post { client_id: client_id?, client_secret: client_secret? }))
}

impl ClientAuthentication for Post {
    fn authenticate(&self, request: &mut TokenRequest) -> Result<(), SecretError> {
        let secret = self.client_secret.read()?;
        request.text("client_id", &self.client_id);
        request.secret("client_secret", secret);
        Ok(())
    }

    fn describe(&self, recipe: &mut Recipe) {
        recipe.manner("client authentication", "client_secret_post");
        recipe.part("client_id", &self.client_id);
        recipe.rotating_secret("client_secret", &self.client_secret);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::oauth::{testing::Table, token_request::Encoding};

    #[test]
    fn r125_id_and_secret_stand_in_the_body_and_nowhere_else() {
        let mut keys = Table::of(json!({ "client_id": "app", "client_secret": "s" }));
        let method = from_keys(&mut keys).unwrap();
        let mut request = TokenRequest::new("client_credentials");
        method.authenticate(&mut request).unwrap();
        let (fields, body, _) = request.encode(Encoding::Form);
        assert_eq!(&*body, b"grant_type=client_credentials&client_id=app&client_secret=s");
        assert!(!fields.contains_key("authorization"));
    }
}
