//! Logins that were begun on the page: at most one a token, each a task on the control thread.
//!
//! Knows what the person has to do next and how it ended. What is granted goes into the store by [`crate::login`]; the
//! running source picks it up there. A pasted code is held for as long as its redemption takes.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use tokio::{
    sync::{oneshot, watch},
    task::spawn_local,
};
use tokio_util::{sync::CancellationToken, sync::DropGuard};

use super::{Seen, snapshot::milliseconds};
use crate::{
    login::{Account, Begun, LoggedIn, LoginError},
    secret::Secret,
};

/// How long a code is waited for that a person shall paste.
const PASTE_WITHIN: Duration = Duration::from_secs(15 * 60);

/// The logins of every token.
#[derive(Clone, Debug)]
pub(super) struct Logins(Rc<Course>);

#[derive(Debug)]
struct Course {
    of: RefCell<BTreeMap<Arc<str>, Login>>,
    begun: Cell<u64>,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct Login {
    /// Tells it from one that took its place.
    number: u64,
    shown: Shown,
    code: Option<oneshot::Sender<Secret>>,
    /// Dropped, it ends the task.
    _ends_it: DropGuard,
}

/// Where a login stands, for the person.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub(super) enum Shown {
    /// The authorization server is being asked.
    Beginning,
    /// The person opens this; the browser comes back by itself.
    Browser { url: String },
    /// The person opens this and brings back a code.
    Paste { url: String },
    /// The code is being redeemed.
    Redeeming,
    /// The person enters a code elsewhere.
    Device { user_code: String, url: String, complete_url: Option<String>, expires_at: u64 },
    /// It is in the store.
    Done { scope: Option<String>, expires_at: u64, lasting: bool },
    /// It came to nothing; what was there before is untouched.
    Failed { detail: String },
}

impl Shown {
    fn is_over(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Failed { .. })
    }
}

/// Why something cannot be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    /// One is under way.
    UnderWay,
    /// None is under way, or it wants no code now.
    NoCodeWanted,
}

impl Logins {
    pub(super) fn new(changed: watch::Sender<()>) -> Self {
        Self(Rc::new(Course { of: RefCell::default(), begun: Cell::new(0), changed }))
    }

    pub(super) fn shown(&self, name: &str) -> Option<Shown> {
        self.0.of.borrow().get(name).map(|login| login.shown.clone())
    }

    /// Begins one.
    ///
    /// # Errors
    /// One is under way.
    pub(super) fn begin(&self, name: &Arc<str>, account: Account) -> Result<(), Conflict> {
        let mut of = self.0.of.borrow_mut();
        if of.get(name).is_some_and(|login| !login.shown.is_over()) {
            return Err(Conflict::UnderWay);
        }
        let number = self.0.begun.get() + 1;
        self.0.begun.set(number);
        let (code, pasted) = oneshot::channel();
        let ended = CancellationToken::new();
        let login =
            Login { number, shown: Shown::Beginning, code: Some(code), _ends_it: ended.clone().drop_guard() };
        of.insert(name.clone(), login);
        drop(of);
        let mine = Mine { course: self.0.clone(), name: name.clone(), number };
        spawn_local(async move {
            // What ends it also takes it off the list: there is nobody left to tell.
            let _ended = ended.run_until_cancelled(mine.carry(account, pasted)).await;
        });
        self.0.tell();
        Ok(())
    }

    /// Hands over the code that the person pasted.
    ///
    /// # Errors
    /// Nobody waits for one.
    pub(super) fn paste(&self, name: &str, code: Secret) -> Result<(), Conflict> {
        let mut of = self.0.of.borrow_mut();
        let waiting = of.get_mut(name).filter(|login| matches!(login.shown, Shown::Paste { .. }));
        let sender = waiting.and_then(|login| login.code.take()).ok_or(Conflict::NoCodeWanted)?;
        sender.send(code).map_err(|_| Conflict::NoCodeWanted)
    }

    /// Ends the one under way, or takes the last one's outcome off the page.
    pub(super) fn cancel(&self, name: &str) {
        let gone = self.0.of.borrow_mut().remove(name);
        drop(gone);
        self.0.tell();
    }

    /// Ends those of tokens that are not there any more.
    pub(super) fn keep_only(&self, seen: &Seen) {
        let there = |name: &Arc<str>| seen.tokens.iter().any(|token| token.name == *name);
        self.0.of.borrow_mut().retain(|name, _| there(name));
    }
}

impl Course {
    fn tell(&self) {
        self.changed.send_replace(());
    }
}

/// A login's own task.
struct Mine {
    course: Rc<Course>,
    name: Arc<str>,
    number: u64,
}

impl Mine {
    async fn carry(&self, account: Account, pasted: oneshot::Receiver<Secret>) {
        let shown = match self.through(&account, pasted).await {
            Ok(LoggedIn { scope, expires_at, lasting }) => {
                tracing::info!(token = &*self.name, "a person logged in on the page");
                Shown::Done { scope, expires_at: milliseconds(expires_at), lasting }
            }
            Err(error) => {
                tracing::warn!(token = &*self.name, %error, "a login on the page came to nothing");
                Shown::Failed { detail: error.to_string() }
            }
        };
        self.show(shown);
    }

    async fn through(
        &self,
        account: &Account,
        pasted: oneshot::Receiver<Secret>,
    ) -> Result<LoggedIn, LoginError> {
        match account.begin().await? {
            Begun::Redirect(redirect) => {
                self.show(Shown::Browser { url: redirect.url().to_owned() });
                redirect.finish().await
            }
            Begun::Paste(paste) => {
                self.show(Shown::Paste { url: paste.url().to_owned() });
                let Ok(Ok(code)) = tokio::time::timeout(PASTE_WITHIN, pasted).await else {
                    return Err(LoginError::TooLate);
                };
                self.show(Shown::Redeeming);
                #[expect(clippy::disallowed_methods, reason = "the code goes to the token endpoint")]
                let code = code.expose();
                paste.finish(code).await
            }
            Begun::Device(device) => {
                self.show(Shown::Device {
                    user_code: device.user_code().to_owned(),
                    url: device.verification_uri().to_owned(),
                    complete_url: device.verification_uri_complete().map(str::to_owned),
                    expires_at: milliseconds(device.expires().wall()),
                });
                device.finish().await
            }
        }
    }

    fn show(&self, shown: Shown) {
        let mut of = self.course.of.borrow_mut();
        if let Some(login) = of.get_mut(&self.name).filter(|login| login.number == self.number) {
            login.shown = shown;
        }
        drop(of);
        self.course.tell();
    }
}
