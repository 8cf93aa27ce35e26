//! `static`: an access token that somebody else puts there, in a file that may change.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{Grant, Identity, Recipe, Start};
use crate::{
    clock::Clock,
    oauth::{Failure, Fault, Granted, Keys},
    secret::SecretSource,
};

#[derive(Debug)]
struct Static {
    access_token: SecretSource,
    clock: Clock,
}

pub(super) fn from_keys(keys: &mut dyn Keys) -> Option<Arc<dyn Grant>> {
    let access_token = keys.needed_secret("access_token")?;
    Some(Arc::new(Static { access_token, clock: Clock::system() }))
}

impl Grant for Static {
    fn identity(&self, subject: Option<&str>) -> Identity {
        let mut recipe = Recipe::new("static", None);
        recipe.first_secret("access_token", &self.access_token);
        recipe.part_if("subject", subject);
        recipe.identity()
    }

    fn endpoint(&self) -> Option<&str> {
        None
    }

    fn start<'a>(&'a self, with: Start<'a>) -> BoxFuture<'a, Result<Granted, Failure>> {
        Box::pin(async move {
            let access_token = self.access_token.read()?;
            if with.rejected == Some(&access_token) {
                let detail = "access_token is still the one that was rejected: put a new one in its place";
                return Err(Failure::new(Fault::Unchanged, detail));
            }
            Granted::bare(access_token, self.clock.now().wall())
                .map_err(|problem| Failure::new(Fault::Unusable, format!("the static token: {problem}")))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        oauth::testing::{grant, start},
        secret::Secret,
    };

    #[tokio::test]
    async fn the_file_is_read_at_each_start_and_a_rejected_token_is_not_handed_out_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "one\n").unwrap();
        let grant = grant(json!({ "grant_type": "static", "access_token": { "file": file } }));
        assert_eq!(start(&*grant).await.unwrap().authorization, "Bearer one");
        let rejected = Secret::new("one");
        let with = Start { rejected: Some(&rejected), ..Start::default() };
        assert_eq!(grant.start(with).await.unwrap_err().fault, Fault::Unchanged);
        std::fs::write(&file, "two\n").unwrap();
        assert_eq!(grant.start(with).await.unwrap().authorization, "Bearer two");
        assert_eq!(grant.endpoint(), None);
        std::fs::write(&file, "canary with spaces").unwrap();
        let failure = start(&*grant).await.unwrap_err();
        assert_eq!(failure.fault, Fault::Unusable);
        assert!(!failure.detail.contains("canary"), "{failure}");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(start(&*grant).await.unwrap_err().fault, Fault::Secret);
    }
}
