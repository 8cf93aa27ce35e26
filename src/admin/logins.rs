//! Logins that were begun on the page: at most one a token, each a task on the control thread.
//!
//! Knows what the person has to do next and how it ended. What is granted goes into the store by [`crate::login`]; the
//! running source picks it up there. What is pasted is judged there too, and held for as long as its redemption takes.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    convert::Infallible,
    future::pending,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{Seen, snapshot::milliseconds};
use crate::{
    login::{Account, Begun, LoggedIn, LoginError, Paste, Pasted, Redirect},
    secret::Secret,
    token::login::Chain,
};

/// How long a code is waited for that a person shall paste.
const PASTE_WITHIN: Duration = Duration::from_secs(15 * 60);
/// How long a code that is being redeemed may take when bearward stops: a token request's own limit.
const LAST_REDEMPTION: Duration = Duration::from_secs(30);

/// The logins of every token.
#[derive(Clone, Debug)]
pub(super) struct Logins(Rc<Course>);

#[derive(Debug)]
struct Course {
    of: RefCell<BTreeMap<Arc<str>, Login>>,
    begun: Cell<u64>,
    changed: watch::Sender<()>,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Login {
    /// Tells it from one that took its place.
    number: u64,
    /// Whose it is. What a reload makes of the name may be another's.
    chain: Chain,
    shown: Shown,
    codes: mpsc::Sender<Secret>,
    /// Dropped, it ends the task.
    _ends_it: DropGuard,
}

/// Where a login stands, for the person.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub(super) enum Shown {
    /// The authorization server is being asked.
    Beginning,
    /// The person opens this; the browser comes back by itself, or the person brings the address that it could not open.
    Browser {
        url: String,
        /// Why the last one was not taken.
        refused: Option<String>,
    },
    /// The person opens this and brings back a code.
    Paste {
        url: String,
        /// Why the last one was not taken.
        refused: Option<String>,
    },
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
    /// The code is on its way: what it brings must not be lost.
    Redeeming,
}

impl Logins {
    pub(super) fn new(changed: watch::Sender<()>) -> Self {
        Self(Rc::new(Course {
            of: RefCell::default(),
            begun: Cell::new(0),
            changed,
            tasks: TaskTracker::new(),
        }))
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
        let (codes, pasted) = mpsc::channel(1);
        let ended = CancellationToken::new();
        let (chain, shown) = (account.chain.clone(), Shown::Beginning);
        let login = Login { number, chain, shown, codes, _ends_it: ended.clone().drop_guard() };
        of.insert(name.clone(), login);
        drop(of);
        let mine = Mine { course: self.0.clone(), name: name.clone(), number };
        self.0.tasks.spawn_local(async move {
            // What ends it also takes it off the list: there is nobody left to tell.
            let _ended = ended.run_until_cancelled(mine.carry(account, pasted)).await;
        });
        self.0.tell();
        Ok(())
    }

    /// Hands over what the person pasted: a code, or the address that holds it.
    ///
    /// # Errors
    /// Nobody waits for one.
    pub(super) fn paste(&self, name: &str, code: Secret) -> Result<(), Conflict> {
        let of = self.0.of.borrow();
        let wanted = |login: &&Login| matches!(login.shown, Shown::Browser { .. } | Shown::Paste { .. });
        let waiting = of.get(name).filter(wanted);
        let waiting = waiting.ok_or(Conflict::NoCodeWanted)?;
        waiting.codes.try_send(code).map_err(|_| Conflict::NoCodeWanted)
    }

    /// Ends the one under way, or takes the last one's outcome off the page.
    ///
    /// # Errors
    /// The code is being redeemed.
    pub(super) fn cancel(&self, name: &str) -> Result<(), Conflict> {
        let mut of = self.0.of.borrow_mut();
        if of.get(name).is_some_and(|login| login.shown == Shown::Redeeming) {
            return Err(Conflict::Redeeming);
        }
        of.remove(name);
        drop(of);
        self.0.tell();
        Ok(())
    }

    /// Ends those of tokens that are not there any more, or are another's now. A code that is being redeemed is not given up:
    /// what it brings goes into the store all the same.
    pub(super) fn keep_only(&self, seen: &Seen) {
        let there = |name: &Arc<str>, login: &Login| {
            let token = seen.tokens.iter().find(|token| token.name == *name);
            let account = token.and_then(|token| token.account.as_ref());
            account.is_some_and(|account| account.chain.identity == login.chain.identity)
        };
        self.0.of.borrow_mut().retain(|name, login| login.shown == Shown::Redeeming || there(name, login));
    }

    /// Returns when no code is being redeemed any more, or that takes too long. After [`Logins::keep_only`] of nothing.
    pub(super) async fn ended(&self) {
        self.0.tasks.close();
        if tokio::time::timeout(LAST_REDEMPTION, self.0.tasks.wait()).await.is_err() {
            tracing::warn!("a login under way did not end in time");
        }
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
    async fn carry(&self, account: Account, pasted: mpsc::Receiver<Secret>) {
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
        pasted: mpsc::Receiver<Secret>,
    ) -> Result<LoggedIn, LoginError> {
        match account.begin().await? {
            Begun::Redirect(redirect) => self.back_from(redirect, pasted).await,
            Begun::Paste(paste) => {
                let code = tokio::time::timeout(PASTE_WITHIN, self.code_for(&paste, pasted)).await;
                let code = code.ok().flatten().ok_or(LoginError::TooLate)?;
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

    /// Waits for the browser, or for what the person pastes where it cannot come back.
    async fn back_from(
        &self,
        redirect: Redirect,
        pasted: mpsc::Receiver<Secret>,
    ) -> Result<LoggedIn, LoginError> {
        let url = redirect.url().to_owned();
        self.show(Shown::Browser { url: url.clone(), refused: None });
        let (to, judged) = mpsc::channel(1);
        tokio::select! {
            ended = redirect.finish_or_pasted(judged) => ended,
            never = self.pass_on(url, pasted, to) => match never {},
        }
    }

    /// Passes on what is pasted, and shows what becomes of it, for as long as it is polled.
    async fn pass_on(
        &self,
        url: String,
        mut pasted: mpsc::Receiver<Secret>,
        to: mpsc::Sender<Pasted>,
    ) -> Infallible {
        while let Some(text) = pasted.recv().await {
            let (refused, why) = oneshot::channel();
            #[expect(
                clippy::disallowed_methods,
                reason = "what was pasted is read; words of a refusal hold none of it"
            )]
            let text = text.expose().to_owned();
            if to.send(Pasted { text, refused }).await.is_err() {
                break;
            }
            match why.await {
                Ok(why) => self.show(Shown::Browser { url: url.clone(), refused: Some(why) }),
                // No words: it was taken.
                Err(_) => {
                    self.show(Shown::Redeeming);
                    break;
                }
            }
        }
        pending().await
    }

    /// The first that can be redeemed: a typing error, or what belongs to another login, costs nothing.
    async fn code_for(&self, paste: &Paste, mut pasted: mpsc::Receiver<Secret>) -> Option<Secret> {
        let mut refused = None;
        loop {
            self.show(Shown::Paste { url: paste.url().to_owned(), refused });
            let code = pasted.recv().await?;
            #[expect(
                clippy::disallowed_methods,
                reason = "what was pasted is read; words of a refusal hold none of it"
            )]
            let judged = paste.check(code.expose());
            match judged {
                Ok(()) => return Some(code),
                Err(why) => refused = Some(why.to_string()),
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
