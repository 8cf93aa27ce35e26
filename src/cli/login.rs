//! `bearward login NAME`: a person logs in, in the system's browser, with a code to copy, or on another device.
//!
//! Knows terminals, pipes and what to say. The URL is data and goes to stdout, alone on its line; everything else is said on
//! stderr. Shows no token and no code.

use std::{
    convert::Infallible,
    future::pending,
    io::{self, IsTerminal},
    path::Path,
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use super::{
    ask, browser,
    exit::{self, Exit},
    qr,
    stdin::Lines,
    token,
};
use crate::{
    app,
    config::{self, Loaded},
    login::{Account, Begun, Device, LoggedIn, LoginError, PATIENCE, Paste, Pasted, Redirect, Remedy},
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The token's name in the configuration
    name: String,
    /// Open no browser: the URL is printed in any case
    #[arg(long)]
    no_browser: bool,
    /// The code, or the whole address that the browser ended on, for the login that was begun before without an answer
    #[arg(long, value_name = "CODE", allow_hyphen_values = true)]
    code: Option<String>,
}

pub(super) fn run(loaded: &Loaded, arguments: &Arguments, file: Option<&Path>) -> Result<(), Exit> {
    let account = account(loaded, &arguments.name)?;
    let mut login = Session {
        account: &account,
        name: &arguments.name,
        command: command(&arguments.name, file),
        browser: !arguments.no_browser,
        lines: Lines::default(),
    };
    let logged_in = ask::runtime()?.block_on(async {
        match &arguments.code {
            Some(code) => login.with_code(code).await,
            None => login.run().await,
        }
    })?;
    exit::tell(&welcome(&arguments.name, &logged_in));
    Ok(())
}

/// The account behind `[tokens.NAME]`, whose tokens outlive this process.
///
/// # Errors
/// There is none, or its store is none that two processes share.
pub(super) fn account(loaded: &Loaded, name: &str) -> Result<Account, Exit> {
    if !loaded.config.tokens.contains_key(name) {
        return Err(token::unknown(&loaded.config, name));
    }
    if matches!(loaded.config.store, config::Store::Memory) {
        return Err(Exit::config(
            "the store is kind = \"memory\": this process has nothing of what a running bearward holds, and would forget a \
             login at its end. Set [store] kind = \"file\", or log in on the page of the running one ([admin] listen)",
        ));
    }
    let account = app::account(&loaded.config, name).map_err(Exit::unavailable)?;
    account.ok_or_else(|| token::unknown(&loaded.config, name))
}

/// How a login that did not succeed ends a command.
fn ended(name: &str, command: &str, error: &LoginError) -> Exit {
    match error.remedy() {
        Remedy::LogIn => Exit::login_required(format!("not logged in: {error}\nTo log in: {command}")),
        // A code that was sent may be used up, whatever came of it.
        Remedy::TryLater => {
            Exit::try_again(format!("not logged in: {error}\nTo begin again later: {command}"))
        }
        Remedy::MendThisMachine => Exit::unavailable(format!("not logged in: {error}")),
        Remedy::Reconfigure => Exit::failure(format!("not logged in: {error}")),
        Remedy::Nothing => Exit::usage(format!("{name}: {error}")),
    }
}

/// This command again, for a shell, on the same configuration.
fn command(name: &str, file: Option<&Path>) -> String {
    let file = file
        .map(|file| format!(" -c '{}'", file.to_string_lossy().replace('\'', "'\\''")))
        .unwrap_or_default();
    format!("bearward login {name}{file}")
}

/// How a question about a token that got no answer ends a command.
pub(super) fn unsaid(name: &str, error: &LoginError) -> Exit {
    let message = match error {
        LoginError::Failed(failure) => {
            format!("the authorization server did not say how {name} is: {failure}")
        }
        error => format!("{name}: {error}"),
    };
    match error.remedy() {
        Remedy::LogIn => Exit::login_required(message),
        Remedy::TryLater => Exit::try_again(message),
        Remedy::MendThisMachine => Exit::unavailable(message),
        Remedy::Reconfigure | Remedy::Nothing => Exit::failure(message),
    }
}

/// How a login ended that nothing on this side prevented.
type Ended = Result<LoggedIn, LoginError>;

struct Session<'a> {
    account: &'a Account,
    name: &'a str,
    /// What to type for another login.
    command: String,
    /// Whether the system's browser may be opened.
    browser: bool,
    lines: Lines,
}

impl Session<'_> {
    async fn run(&mut self) -> Result<LoggedIn, Exit> {
        loop {
            let begun =
                self.account.begin().await.map_err(|error| ended(self.name, &self.command, &error))?;
            let finished = match begun {
                Begun::Redirect(redirect) => self.redirect(redirect).await?,
                Begun::Paste(paste) => self.paste(paste).await?,
                Begun::Device(device) => self.device(device).await?,
            };
            match finished {
                Ok(logged_in) => return Ok(logged_in),
                // Somebody is there who can try again; what they began with is used up.
                Err(error)
                    if matches!(error.remedy(), Remedy::LogIn | Remedy::TryLater)
                        && self.somebody_answers() =>
                {
                    exit::tell(&format!("\nNot logged in: {error}"));
                    exit::tell("Press Enter for a new address (Ctrl-C gives up).");
                    if self.lines.next(PATIENCE).await.is_none() {
                        return Err(ended(self.name, &self.command, &error));
                    }
                }
                Err(error) => return Err(ended(self.name, &self.command, &error)),
            }
        }
    }

    /// The end of a login that another process began.
    async fn with_code(&self, code: &str) -> Result<LoggedIn, Exit> {
        let (name, command) = (self.name, &self.command);
        let paste = self.account.resume().await.map_err(|error| ended(name, command, &error))?;
        let paste = paste.ok_or_else(|| {
            Exit::login_required(format!(
                "no login of {name} waits for a code: none was begun in the last {}, or it was used already. A code belongs \
                 to the login it was asked for with (PKCE). Begin with: {command} --no-browser",
                minutes(PATIENCE)
            ))
        })?;
        paste.finish(code).await.map_err(|error| ended(name, command, &error))
    }

    async fn redirect(&mut self, redirect: Redirect) -> Result<Ended, Exit> {
        self.show(redirect.url())?;
        let back = redirect.redirect_uri();
        exit::tell(&format!(
            "Waiting for the browser to come back to {back} (at most {}).",
            minutes(PATIENCE)
        ));
        if !self.somebody_answers() {
            return Ok(redirect.finish().await);
        }
        exit::tell("Is it on another machine? Then paste the address it ends on here, and press Enter.");
        let (sender, pasted) = mpsc::channel(1);
        tokio::select! {
            ended = redirect.finish_or_pasted(pasted) => Ok(ended),
            never = self.pass_on(sender) => match never {},
        }
    }

    /// Passes on what is typed, for as long as it is polled.
    async fn pass_on(&mut self, to: mpsc::Sender<Pasted>) -> Infallible {
        while let Some(text) = self.lines.next(PATIENCE).await {
            if text.trim().is_empty() {
                continue;
            }
            let (refused, why) = oneshot::channel();
            if to.send(Pasted { text, refused }).await.is_err() {
                break;
            }
            if let Ok(why) = why.await {
                exit::tell(&format!("{why}."));
            }
        }
        pending().await
    }

    async fn paste(&mut self, paste: Paste) -> Result<Ended, Exit> {
        self.show(paste.url())?;
        let terminal = io::stdin().is_terminal();
        loop {
            if terminal {
                exit::tell(
                    "Then paste the code it shows, or the address it ends on, and press Enter. Be quick: a code may live a minute.",
                );
            }
            let Some(pasted) = self.lines.next(PATIENCE).await else { return Err(self.nobody(&paste).await) };
            match paste.check(&pasted) {
                Err(error) if terminal => exit::tell(&format!("{error}.")),
                _ => return Ok(paste.finish(&pasted).await),
            }
        }
    }

    /// Nobody is there to paste: what is needed to go on is kept for a process that is given the code.
    async fn nobody(&self, paste: &Paste) -> Exit {
        let command = &self.command;
        match paste.set_aside().await {
            Ok(()) => Exit::login_required(format!(
                "no code came on stdin. Open the address above, and within {} run: {command} --code CODE",
                minutes(PATIENCE)
            )),
            Err(error) => ended(self.name, command, &LoginError::Store(error)),
        }
    }

    async fn device(&self, device: Device) -> Result<Ended, Exit> {
        let code = device.user_code();
        let whole = device.verification_uri_complete().unwrap_or(device.verification_uri());
        exit::tell(&format!("On any device, open {} and enter the code {code}", device.verification_uri()));
        exit::print(&format!("{whole}\n"))?;
        if io::stderr().is_terminal()
            && let Some(picture) = qr::for_terminal(whole)
        {
            exit::tell(&picture);
        }
        let until = jiff::Timestamp::try_from(device.expires().wall())
            .map(|at| at.strftime("%H:%M:%S UTC").to_string());
        exit::tell(&format!(
            "Waiting for you there, until {}.",
            until.unwrap_or_else(|_| "the code expires".to_owned())
        ));
        if self.browser {
            browser::open(whole);
        }
        Ok(device.finish().await)
    }

    fn show(&self, url: &str) -> Result<(), Exit> {
        let opened = self.browser && browser::open(url);
        exit::tell(match opened {
            true => "Log in with the browser that opens now, or open this address yourself:",
            false => "Open this address in a browser and log in:",
        });
        exit::print(&format!("{url}\n"))
    }

    fn somebody_answers(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }
}

fn welcome(name: &str, logged_in: &LoggedIn) -> String {
    // The server's words, of which a terminal shows what a scope may hold (RFC 6749 section 3.3): neither orders to it nor
    // letters that turn a line round.
    let of_a_scope = |letter: &char| matches!(letter, ' ' | '!' | '#'..='[' | ']'..='~');
    let scope = logged_in.scope.as_deref().map(|scope| scope.chars().filter(of_a_scope).collect::<String>());
    let scope = scope.filter(|scope| !scope.is_empty());
    let scope = scope.map(|scope| format!(", for {scope}")).unwrap_or_default();
    let until = jiff::Timestamp::try_from(logged_in.expires_at)
        .map_or_else(|_| "in a far future".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
    match logged_in.lasting {
        true => format!(
            "Logged in: {name}{scope}. bearward refreshes it from now on; a running one uses it within a second."
        ),
        false => format!(
            "Logged in: {name}{scope}, until {until}. No refresh token came: somebody has to log in again then. Where the \
             server has a scope for it (often offline_access), add it to scope in [tokens.{name}]."
        ),
    }
}

fn minutes(span: Duration) -> String {
    format!("{} minutes", span.as_secs() / 60)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_scope_steers_no_terminal() {
        let scope = Some("read:a\u{1b}[2J \u{202e}b\r\n".to_owned());
        let logged_in = LoggedIn { scope, expires_at: SystemTime::UNIX_EPOCH, lasting: true };
        assert!(welcome("shop", &logged_in).starts_with("Logged in: shop, for read:a[2J b. "));
    }
}
