//! The token sources of a configuration; those whose recipe did not change live on across a reload.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    config,
    telemetry::Metrics,
    token::{Engine, Supply, TokenSource},
};

/// How long a refresh under way may take to end when everything stops: a token request's own limit.
const LAST_REFRESH: Duration = Duration::from_secs(30);

/// Every supply of tokens, by the recipe's name.
#[derive(Debug)]
pub struct Sources {
    engine: Engine,
    by_name: BTreeMap<Arc<str>, Source>,
}

#[derive(Clone, Debug)]
struct Source {
    recipe: Recipe,
    supply: Arc<Supply>,
}

/// What must be the same for a source to live on.
#[derive(Clone, Debug, PartialEq)]
struct Recipe {
    written: config::Written,
    parent: Option<Box<Recipe>>,
}

impl Sources {
    /// Builds what `tokens` describe; what `previous` has with the same recipe is kept, held token and all.
    pub(super) fn build(
        tokens: &BTreeMap<Arc<str>, config::Token>,
        engine: &Engine,
        metrics: &Metrics,
        previous: Option<&Self>,
    ) -> Self {
        let mut sources = Self { engine: engine.clone(), by_name: BTreeMap::new() };
        for name in tokens.keys() {
            sources.add(name, tokens, metrics, previous);
        }
        sources
    }

    /// The supply of `[tokens.NAME]`.
    pub fn supply(&self, name: &str) -> Option<&Arc<Supply>> {
        self.by_name.get(name).map(|source| &source.supply)
    }

    /// Waits for refreshes under way, so that no rotated refresh token is lost, and stops.
    pub async fn stop(&self) {
        if !self.engine.shutdown(LAST_REFRESH).await {
            tracing::warn!("a token request under way did not end in time");
        }
    }

    /// Adds one source, its parent first. The configuration holds no cycle and no reference to nothing.
    fn add(
        &mut self,
        name: &Arc<str>,
        tokens: &BTreeMap<Arc<str>, config::Token>,
        metrics: &Metrics,
        previous: Option<&Self>,
    ) -> Option<(Recipe, Option<TokenSource>)> {
        if let Some(there) = self.by_name.get(name) {
            return Some((there.recipe.clone(), one(&there.supply)));
        }
        let token = tokens.get(name)?;
        let parent =
            token.authorize_with.as_ref().and_then(|parent| self.add(parent, tokens, metrics, previous));
        let (parent_recipe, parent) = parent.unzip();
        let recipe = Recipe { written: token.written.clone(), parent: parent_recipe.map(Box::new) };
        let kept =
            previous.and_then(|previous| previous.by_name.get(name)).filter(|kept| kept.recipe == recipe);
        let supply = match kept {
            Some(kept) => kept.supply.clone(),
            None => Arc::new(self.make(name, token, parent.flatten(), metrics)),
        };
        let single = one(&supply);
        self.by_name.insert(name.clone(), Source { recipe: recipe.clone(), supply });
        Some((recipe, single))
    }

    fn make(
        &self,
        name: &Arc<str>,
        token: &config::Token,
        parent: Option<TokenSource>,
        metrics: &Metrics,
    ) -> Supply {
        let (name, grant, policy) = (name.clone(), token.grant.clone(), token.policy.clone());
        let metrics = metrics.token(&name);
        match &token.subjects {
            None => Supply::One(self.engine.source(name, grant, policy, parent, metrics)),
            Some(subjects) => {
                let (header, most) = (subjects.header.clone(), subjects.most);
                Supply::PerSubject(self.engine.subjects(name, grant, policy, parent, metrics, header, most))
            }
        }
    }
}

/// What a child's requests are authorized with; a parent has no subjects.
fn one(supply: &Supply) -> Option<TokenSource> {
    match supply {
        Supply::One(source) => Some(source.clone()),
        Supply::PerSubject(_) => None,
    }
}
