//! `none`: a public client, which has no secret (RFC 6749 section 2.1); its id, if it has one, stands in the body.

use std::sync::Arc;

use super::ClientAuthentication;
use crate::{
    oauth::{Keys, grant::Recipe, token_request::TokenRequest},
    secret::SecretError,
};

#[derive(Debug)]
struct Public {
    client_id: Option<String>,
}

pub(super) fn from_keys(keys: &mut dyn Keys) -> Option<Arc<dyn ClientAuthentication>> {
    Some(Arc::new(Public { client_id: keys.text("client_id") }))
}

impl ClientAuthentication for Public {
    fn authenticate(&self, request: &mut TokenRequest) -> Result<(), SecretError> {
        if let Some(client_id) = &self.client_id {
            request.text("client_id", client_id);
        }
        Ok(())
    }

    fn describe(&self, recipe: &mut Recipe) {
        recipe.manner("client authentication", "none");
        recipe.part_if("client_id", self.client_id.as_deref());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::oauth::{testing::Table, token_request::Encoding};

    #[test]
    fn r125_a_public_client_sends_at_most_its_id() {
        for (table, body) in [
            (json!({ "client_id": "administration" }), "grant_type=password&client_id=administration"),
            (json!({}), "grant_type=password"),
        ] {
            let mut request = TokenRequest::new("password");
            from_keys(&mut Table::of(table)).unwrap().authenticate(&mut request).unwrap();
            let (fields, sent, _) = request.encode(Encoding::Form);
            assert_eq!(&*sent, body.as_bytes());
            assert!(!fields.contains_key("authorization"));
        }
    }
}
