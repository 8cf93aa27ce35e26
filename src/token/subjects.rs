//! One recipe, one token per subject; and what a route takes its tokens from.
//!
//! Knows which subjects were seen lately. Each has a source like any other; the cache only stores and evicts.

use std::{fmt, sync::Arc};

use http::HeaderName;
use moka::{policy::EvictionPolicy, sync::Cache};

use super::{Engine, TokenSource, engine::Recipe};

/// One recipe, one token per subject. Cloning shares it.
#[derive(Clone)]
pub struct Subjects {
    engine: Engine,
    recipe: Recipe,
    header: HeaderName,
    sources: Cache<Arc<str>, TokenSource>,
}

impl Subjects {
    pub(super) fn new(engine: Engine, recipe: Recipe, header: HeaderName, most: u64) -> Self {
        let sources = Cache::builder().max_capacity(most).eviction_policy(EvictionPolicy::lru()).build();
        Self { engine, recipe, header, sources }
    }

    /// The recipe's name in the configuration.
    pub fn name(&self) -> &str {
        &self.recipe.name
    }

    /// The field that names the subject of a request.
    pub fn header(&self) -> &HeaderName {
        &self.header
    }

    /// The source for `subject`, made at its first use; the least recently used goes when there are too many.
    pub fn source(&self, subject: &str) -> TokenSource {
        if let Some(source) = self.sources.get(subject) {
            return source;
        }
        let subject: Arc<str> = Arc::from(subject);
        let recipe = Recipe { subject: Some(Arc::clone(&subject)), ..self.recipe.clone() };
        self.sources.get_with(subject, || self.engine.spawn(recipe))
    }

    /// The sources of the subjects seen lately, for looking at.
    pub fn each(&self) -> impl Iterator<Item = TokenSource> {
        self.sources.iter().map(|(_, source)| source)
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> u64 {
        self.sources.run_pending_tasks();
        self.sources.entry_count()
    }
}

impl fmt::Debug for Subjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subjects").field("name", &self.recipe.name).finish_non_exhaustive()
    }
}

/// What a route takes its tokens from.
#[derive(Clone, Debug)]
pub enum Supply {
    /// One token for every request.
    One(TokenSource),
    /// One per subject.
    PerSubject(Subjects),
}
