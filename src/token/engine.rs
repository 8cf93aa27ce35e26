//! What builds sources and what they have in common.
//!
//! Knows the runtime that their tasks run on, the clock, the store and the endpoints' limits; ends them together. Does not
//! know what a task does.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use http::HeaderName;
use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Store, Subjects, TokenSource, limit::Limits, refresher, shared::Shared};
use crate::{clock::Clock, oauth::Grant, telemetry::TokenMetrics};

/// How a source keeps its token.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The share of the lifetime after which it is refreshed in the background, 0.1 to 0.95.
    pub refresh_at: f64,
    /// Whether it is got at start and kept fresh though nobody asks; false: at the first request, and not while idle.
    pub eager: bool,
    /// The lifetime where the answer says none.
    pub default_lifetime: Duration,
}

/// Builds sources; owns the runtime their tasks run on, the store, the clock and the endpoints' limits. Cloning shares it.
#[derive(Clone)]
pub struct Engine(Arc<Parts>);

/// What all sources of an engine share.
pub(super) struct Parts {
    pub clock: Clock,
    pub store: Store,
    pub runtime: Handle,
    pub limits: Limits,
    pub tasks: TaskTracker,
    pub stopping: CancellationToken,
    pub login_page: ArcSwapOption<String>,
}

/// What one source is made of.
#[derive(Clone)]
pub(super) struct Recipe {
    pub name: Arc<str>,
    pub grant: Arc<dyn Grant>,
    pub policy: Policy,
    pub parent: Option<TokenSource>,
    pub metrics: Arc<TokenMetrics>,
    pub subject: Option<Arc<str>>,
}

impl Engine {
    /// An engine whose tasks run on `runtime`, with time and blocking threads.
    pub fn new(clock: Clock, store: Store, runtime: Handle) -> Self {
        Self(Arc::new(Parts {
            clock,
            store,
            runtime,
            limits: Limits::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            login_page: ArcSwapOption::empty(),
        }))
    }

    /// A source for `grant`. `parent` is the source whose token authorizes this one's requests.
    pub fn source(
        &self,
        name: Arc<str>,
        grant: Arc<dyn Grant>,
        policy: Policy,
        parent: Option<TokenSource>,
        metrics: Arc<TokenMetrics>,
    ) -> TokenSource {
        self.spawn(Recipe { name, grant, policy, parent, metrics, subject: None })
    }

    /// A source per subject, at most `most` at once. Whatever `policy` says, each is got at its first request and not
    /// refreshed while it is idle.
    #[expect(clippy::too_many_arguments, reason = "the recipe of `source`, and the two settings of subjects")]
    pub fn subjects(
        &self,
        name: Arc<str>,
        grant: Arc<dyn Grant>,
        policy: Policy,
        parent: Option<TokenSource>,
        metrics: Arc<TokenMetrics>,
        header: HeaderName,
        most: u64,
    ) -> Subjects {
        let policy = Policy { eager: false, ..policy };
        Subjects::new(
            self.clone(),
            Recipe { name, grant, policy, parent, metrics, subject: None },
            header,
            most,
        )
    }

    /// Sets the URL of the page on which a person can log in; `None` where there is none. Sources name it, from now on, where
    /// only a person can help.
    pub fn login_page(&self, url: Option<String>) {
        self.0.login_page.store(url.map(Arc::new));
    }

    /// Ends every source: no new attempt begins, and those under way (they may be rotating a refresh token) are waited
    /// for, at most `limit`. Returns whether all ended.
    pub async fn shutdown(&self, limit: Duration) -> bool {
        self.0.stopping.cancel();
        self.0.tasks.close();
        tokio::time::timeout(limit, self.0.tasks.wait()).await.is_ok()
    }

    pub(super) fn spawn(&self, recipe: Recipe) -> TokenSource {
        let shared = Arc::new(Shared::new(Arc::clone(&self.0), recipe));
        self.0.tasks.spawn_on(refresher::run(Arc::clone(&shared)), &self.0.runtime);
        TokenSource::new(shared)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("tasks", &self.0.tasks.len()).finish_non_exhaustive()
    }
}
