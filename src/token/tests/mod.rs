//! The engine with a fake grant: paused time where nothing touches a disk, real time for the file store.

mod chains;
mod engine;
mod files;
mod logins;
mod persons;
mod rejections;
mod states;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures_util::future::BoxFuture;
use http::HeaderValue;
use tokio::runtime::Handle;

use super::*;
use crate::{
    clock::Clock,
    oauth::{Failure, Fault, Grant, Granted, Identity, Login, Start},
    secret::{Secret, SecretError},
    telemetry::TokenMetrics,
};

pub(super) const S: Duration = Duration::from_secs(1);

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// How the authorization server answers its `nth` request, from 1.
type Answer = dyn Fn(usize, Asked) -> Result<Granted, Failure> + Send + Sync;

/// What a token request carried.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub refresh_token: Option<String>,
    pub parent: Option<String>,
    pub subject: Option<String>,
    pub rejected: Option<String>,
}

/// A grant that answers as it is told and records when it was asked what.
pub(super) struct Fake {
    answer: Box<Answer>,
    pub asked: Mutex<Vec<(tokio::time::Instant, Asked)>>,
    pub under_way: AtomicUsize,
    pub chain: &'static str,
    pub endpoint: Option<&'static str>,
    pub can_start: bool,
    /// A grant that a person logs in for, whose way of it this one shows.
    pub login: Option<Arc<dyn Grant>>,
    pub first: Option<&'static str>,
    /// How long an answer takes.
    pub takes: Duration,
    pub stamp: Mutex<Option<String>>,
}

impl Fake {
    pub(super) fn new(
        answer: impl Fn(usize, Asked) -> Result<Granted, Failure> + Send + Sync + 'static,
    ) -> Self {
        Self {
            answer: Box::new(answer),
            asked: Mutex::default(),
            under_way: AtomicUsize::new(0),
            chain: "id.example-00",
            endpoint: Some("https://id.example/token"),
            can_start: true,
            login: None,
            first: None,
            takes: Duration::ZERO,
            stamp: Mutex::default(),
        }
    }

    /// Grants `t1`, `t2`, … of this lifetime.
    pub(super) fn granting(lifetime: Duration) -> Self {
        Self::new(move |nth, _| Ok(grant(&format!("t{nth}"), lifetime)))
    }

    pub(super) fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    pub(super) fn last(&self) -> Asked {
        self.asked.lock().unwrap().last().unwrap().1.clone()
    }

    fn ask(&self, asked: Asked) -> BoxFuture<'_, Result<Granted, Failure>> {
        let nth = {
            let mut all = self.asked.lock().unwrap();
            all.push((tokio::time::Instant::now(), asked.clone()));
            all.len()
        };
        Box::pin(async move {
            self.under_way.fetch_add(1, Ordering::SeqCst);
            if !self.takes.is_zero() {
                tokio::time::sleep(self.takes).await;
            }
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            (self.answer)(nth, asked)
        })
    }
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fake")
    }
}

impl Grant for Fake {
    fn identity(&self, subject: Option<&str>) -> Identity {
        let chain = subject.map_or(self.chain.to_owned(), |subject| format!("{}-{subject}", self.chain));
        Identity { chain, recipe: "recipe".to_owned(), secret_files: Vec::new() }
    }

    fn endpoint(&self) -> Option<&str> {
        self.endpoint
    }

    fn login(&self) -> Option<Login<'_>> {
        self.login.as_ref()?.login()
    }

    fn can_start(&self) -> bool {
        self.can_start
    }

    fn first_refresh_token(&self) -> Result<Option<Secret>, SecretError> {
        Ok(self.first.map(Secret::new))
    }

    fn secrets_stamp(&self) -> Option<String> {
        self.stamp.lock().unwrap().clone()
    }

    fn start<'a>(&'a self, with: Start<'a>) -> BoxFuture<'a, Result<Granted, Failure>> {
        self.ask(Asked {
            refresh_token: None,
            parent: with.parent.map(|value| value.to_str().unwrap().to_owned()),
            subject: with.subject.map(str::to_owned),
            rejected: with.rejected.map(|secret| secret.expose().to_owned()),
        })
    }

    fn refresh<'a>(&'a self, refresh_token: &'a Secret) -> BoxFuture<'a, Result<Granted, Failure>> {
        let refresh_token = Some(refresh_token.expose().to_owned());
        self.ask(Asked { refresh_token, ..Asked::default() })
    }
}

pub(super) fn grant(token: &str, lifetime: Duration) -> Granted {
    Granted {
        access_token: Secret::new(token),
        authorization: HeaderValue::from_str(&format!("Bearer {token}")).unwrap(),
        lifetime: Some(lifetime),
        refresh_token: None,
        scope: None,
    }
}

pub(super) fn with_refresh(token: &str, lifetime: Duration, refresh_token: &str) -> Granted {
    Granted { refresh_token: Some(Secret::new(refresh_token)), ..grant(token, lifetime) }
}

pub(super) fn fails(fault: Fault) -> Result<Granted, Failure> {
    Err(Failure::new(fault, "as the test told it"))
}

/// An engine on paused time with a memory store.
pub(super) struct Bench {
    pub clock: Clock,
    pub engine: Engine,
}

impl Bench {
    pub(super) fn new() -> Self {
        let clock = Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let engine = Engine::new(clock.clone(), Store::memory(), Handle::current());
        Self { clock, engine }
    }

    pub(super) fn eager(&self, fake: &Arc<Fake>) -> TokenSource {
        self.source(fake, true, None)
    }

    pub(super) fn lazy(&self, fake: &Arc<Fake>) -> TokenSource {
        self.source(fake, false, None)
    }

    pub(super) fn source(&self, fake: &Arc<Fake>, eager: bool, parent: Option<TokenSource>) -> TokenSource {
        source(&self.engine, fake, eager, parent)
    }
}

pub(super) fn source(
    engine: &Engine,
    fake: &Arc<Fake>,
    eager: bool,
    parent: Option<TokenSource>,
) -> TokenSource {
    let grant: Arc<dyn Grant> = Arc::clone(fake) as Arc<dyn Grant>;
    engine.source("shop".into(), grant, policy(eager), parent, Arc::new(TokenMetrics::default()))
}

pub(super) fn policy(eager: bool) -> Policy {
    Policy { refresh_at: 0.8, eager, default_lifetime: Duration::from_secs(300) }
}
