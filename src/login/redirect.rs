//! A login whose browser comes back to us: the wait for it.
//!
//! Knows that one good return ends the wait, after its code was redeemed, and that no other return does. Does not know sockets
//! (`listener`), and judges nothing itself (`oauth::authorization`).

use std::{convert::Infallible, fmt, future::pending, time::Duration};

use tokio::sync::{mpsc, oneshot};

use super::{
    Account, LoggedIn, LoginError, PATIENCE,
    listener::{Listener, Visit},
    page::Page,
};
use crate::{
    clock::Deadline,
    oauth::grant::authorization_code::{AuthorizationRequest, Code, Refused},
};

/// A login whose browser comes back to us.
#[derive(Debug)]
pub struct Redirect {
    account: Account,
    request: AuthorizationRequest,
    listener: Listener,
    deadline: Deadline,
}

/// What a person pasted while the browser was waited for: it may run on another machine, where nobody listens.
pub struct Pasted {
    /// The address that the browser ended on, or the code in it.
    pub text: String,
    /// Is told why the text is not taken; the wait goes on then.
    pub refused: oneshot::Sender<String>,
}

/// A return that belongs to this login, and the browser that waits for its page.
struct Returned {
    brought: Result<Code, LoginError>,
    page: Option<oneshot::Sender<Page>>,
}

impl fmt::Debug for Pasted {
    /// Without the text, which holds the code.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pasted").finish_non_exhaustive()
    }
}

impl Redirect {
    pub(super) fn new(account: Account, request: AuthorizationRequest, listener: Listener) -> Self {
        let deadline = account.clock.now().after(PATIENCE);
        Self { account, request, listener, deadline }
    }

    /// Where the browser is sent.
    pub fn url(&self) -> &str {
        self.request.url()
    }

    /// The redirect URI that was sent, its port filled in.
    pub fn redirect_uri(&self) -> &str {
        self.listener.redirect_uri()
    }

    /// The same with another limit than [`PATIENCE`], counted from now.
    #[must_use]
    pub fn within(mut self, patience: Duration) -> Self {
        self.deadline = self.account.clock.now().after(patience);
        self
    }

    /// Waits for the browser, redeems the code at once and keeps what was granted. Dropping it ends the wait and closes the
    /// listener. Whatever does not belong to this login is refused, and the wait goes on.
    ///
    /// # Errors
    /// The person refused, or nothing usable came.
    pub async fn finish(self) -> Result<LoggedIn, LoginError> {
        let (_nobody, nothing) = mpsc::channel(1);
        self.finish_or_pasted(nothing).await
    }

    /// The same, where a person may paste what the browser would have brought.
    ///
    /// # Errors
    /// As [`Redirect::finish`].
    pub async fn finish_or_pasted(self, mut pasted: mpsc::Receiver<Pasted>) -> Result<LoggedIn, LoginError> {
        let Self { account, request, listener, deadline } = self;
        let mut open = listener.open();
        let returned = tokio::select! {
            returned = wait(&mut open.visits, &mut pasted, &request) => returned?,
            () = account.clock.sleep_until(deadline) => return Err(LoginError::TooLate),
        };
        let ended = match returned.brought {
            Ok(code) => {
                tokio::select! {
                    ended = account.redeem(request, code) => ended,
                    never = turn_away(&mut open.visits) => match never {},
                }
            }
            Err(refused) => Err(refused),
        };
        if let Some(page) = returned.page {
            // The browser may have been closed meanwhile; the login does not depend on it.
            let _ = page.send(Page::ended(&account.chain.name, &ended));
        }
        open.close().await;
        ended
    }
}

/// The first return that belongs to this login.
async fn wait(
    visits: &mut mpsc::Receiver<Visit>,
    pasted: &mut mpsc::Receiver<Pasted>,
    request: &AuthorizationRequest,
) -> Result<Returned, LoginError> {
    loop {
        // Whoever is told that it is not taken may have gone.
        tokio::select! {
            Some(Visit { query, page }) = visits.recv() => match brought(request.judge(&query)) {
                Ok(brought) => return Ok(Returned { brought, page: Some(page) }),
                Err(_) => drop(page.send(Page::another_login())),
            },
            Some(Pasted { text, refused }) = pasted.recv() => match brought(request.pasted(&text)) {
                Ok(brought) => return Ok(Returned { brought, page: None }),
                Err(why) => drop(refused.send(why.to_string())),
            },
            else => return Err(LoginError::Listen("the listener for the browser ended".to_owned())),
        }
    }
}

/// What ends this login, well or not.
///
/// # Errors
/// It is none of this login's, or nothing.
fn brought(judged: Result<Code, Refused>) -> Result<Result<Code, LoginError>, Refused> {
    match judged {
        Ok(code) => Ok(Ok(code)),
        Err(refused @ (Refused::WrongIssuer(_) | Refused::Error(_))) => {
            Ok(Err(LoginError::Refused(refused.to_string())))
        }
        Err(refused @ (Refused::WrongState | Refused::NoCode)) => Err(refused),
    }
}

/// Tells everybody who comes after the first that the login was used, for as long as it is polled. Never ends: what it is
/// raced with may have spent the code.
async fn turn_away(visits: &mut mpsc::Receiver<Visit>) -> Infallible {
    while let Some(visit) = visits.recv().await {
        let _ = visit.page.send(Page::used());
    }
    pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r146_what_a_browser_or_a_person_brings_is_not_shown() {
        let (page, _) = oneshot::channel();
        let visit = Visit { query: "code=canary".to_owned(), page };
        let (refused, _) = oneshot::channel();
        let pasted = Pasted { text: "canary".to_owned(), refused };
        let shown = format!("{visit:?} {pasted:?}");
        assert!(!shown.contains("canary"), "{shown}");
    }
}
