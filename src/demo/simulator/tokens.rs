//! The tokens that a simulated authorization server has issued, and which of them are alive.
//!
//! Knows access tokens (scope, subject, expiry, revocation) and chains of refresh tokens, where a reused one kills its
//! chain (RFC 9700 section 4.14.2). Does not know how they are asked for or presented.

use std::{collections::HashMap, time::Duration};

use crate::clock::{Deadline, Moment};

/// Every token issued so far.
#[derive(Debug, Default)]
pub struct Tokens {
    access: HashMap<String, Access>,
    refresh: HashMap<String, usize>,
    chains: Vec<Chain>,
}

/// An access token.
#[derive(Clone, Debug)]
pub struct Access {
    /// Whom it acts for; empty where nobody is named.
    pub subject: String,
    /// What it allows.
    pub scope: Vec<String>,
    /// When it was issued.
    pub issued: Moment,
    /// From when on it is refused.
    pub deadline: Deadline,
    revoked: bool,
    chain: Option<usize>,
}

/// Successive refresh tokens that descend from one login.
#[derive(Debug)]
struct Chain {
    current: String,
    login: Login,
    dead: bool,
}

/// What a chain of refresh tokens stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// Who logged in; empty where nobody is named.
    pub subject: String,
    /// What was allowed.
    pub scope: Vec<String>,
}

impl Login {
    /// Of nobody in particular.
    pub fn of_nobody(scope: &[String]) -> Self {
        Self { subject: String::new(), scope: scope.to_vec() }
    }
}

/// What is known of an access token that was presented.
#[derive(Clone, Debug)]
pub enum Standing {
    /// It is good.
    Alive(Access),
    /// It was good once.
    Expired,
    /// It was taken back.
    Revoked,
    /// It was never issued.
    Unknown,
}

/// Why a refresh token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It was used before, or its chain is dead.
    Dead,
    /// It was never issued.
    Unknown,
}

impl Tokens {
    /// Issues `token` for `lifetime` from `now` on.
    pub fn issue(&mut self, token: &str, subject: &str, scope: &[String], now: Moment, lifetime: Duration) {
        let access = Access {
            subject: subject.to_owned(),
            scope: scope.to_vec(),
            issued: now,
            deadline: now.after(lifetime),
            revoked: false,
            chain: None,
        };
        self.access.insert(token.to_owned(), access);
    }

    /// Says that `token` came with `refresh_token`, and dies with its chain.
    pub fn bind(&mut self, token: &str, refresh_token: &str) {
        let chain = self.refresh.get(refresh_token).copied();
        if let Some(access) = self.access.get_mut(token) {
            access.chain = chain;
        }
    }

    /// Begins a chain with `refresh_token`.
    pub fn begin_chain(&mut self, refresh_token: &str, login: Login) {
        let chain = Chain { current: refresh_token.to_owned(), login, dead: false };
        self.refresh.insert(refresh_token.to_owned(), self.chains.len());
        self.chains.push(chain);
    }

    /// Uses `refresh_token` up and puts `next` in its place. What the chain stands for.
    ///
    /// # Errors
    /// It is not the chain's current one. One that was used before kills the chain: what it led to is taken back.
    pub fn rotate(&mut self, refresh_token: &str, next: &str) -> Result<Login, Refused> {
        let chain = self.living_chain(refresh_token)?;
        self.chains[chain].current = next.to_owned();
        self.refresh.insert(next.to_owned(), chain);
        Ok(self.chains[chain].login.clone())
    }

    /// What the chain of `refresh_token` stands for; the refresh token stays good.
    ///
    /// # Errors
    /// As [`Tokens::rotate`].
    pub fn reuse(&mut self, refresh_token: &str) -> Result<Login, Refused> {
        self.living_chain(refresh_token).map(|chain| self.chains[chain].login.clone())
    }

    /// What is known of `token` at `now`.
    pub fn standing(&self, token: &str, now: Moment) -> Standing {
        match self.access.get(token) {
            None => Standing::Unknown,
            Some(access) if access.revoked => Standing::Revoked,
            Some(access) if now.reached(access.deadline) => Standing::Expired,
            Some(access) => Standing::Alive(access.clone()),
        }
    }

    /// What the chain of `refresh_token` stands for, where that is good; it is not used by this.
    pub fn login(&self, refresh_token: &str) -> Option<&Login> {
        let chain = &self.chains[*self.refresh.get(refresh_token)?];
        (!chain.dead && chain.current == refresh_token).then_some(&chain.login)
    }

    /// Takes `token` back. Whether it was alive.
    pub fn revoke(&mut self, token: &str, now: Moment) -> bool {
        let alive = matches!(self.standing(token, now), Standing::Alive(_));
        if let Some(access) = self.access.get_mut(token) {
            access.revoked = true;
        }
        alive
    }

    /// Kills the chain that `refresh_token` belongs to, and takes back what it led to. Whether there is such a chain.
    pub fn end_chain(&mut self, refresh_token: &str) -> bool {
        let chain = self.refresh.get(refresh_token).copied();
        if let Some(index) = chain {
            self.kill(index);
        }
        chain.is_some()
    }

    /// The access tokens that are good at `now`, the oldest first.
    pub fn active(&self, now: Moment) -> Vec<String> {
        let alive = |access: &Access| !access.revoked && !now.reached(access.deadline);
        let mut active: Vec<_> = self.access.iter().filter(|(_, access)| alive(access)).collect();
        active.sort_by_key(|(_, access)| access.issued.wall());
        active.into_iter().map(|(token, _)| token.clone()).collect()
    }

    /// The refresh tokens that are good.
    pub fn active_refresh_tokens(&self) -> Vec<String> {
        self.chains.iter().filter(|chain| !chain.dead).map(|chain| chain.current.clone()).collect()
    }

    /// Kills every chain, as a person does who resets the login; access tokens live on.
    pub fn end_chains(&mut self) {
        for chain in &mut self.chains {
            chain.dead = true;
        }
    }

    fn living_chain(&mut self, refresh_token: &str) -> Result<usize, Refused> {
        let index = *self.refresh.get(refresh_token).ok_or(Refused::Unknown)?;
        let chain = &self.chains[index];
        if !chain.dead && chain.current == refresh_token {
            return Ok(index);
        }
        self.kill(index);
        Err(Refused::Dead)
    }

    fn kill(&mut self, index: usize) {
        self.chains[index].dead = true;
        for access in self.access.values_mut().filter(|access| access.chain == Some(index)) {
            access.revoked = true;
        }
    }
}

/// `prefix` and 32 random characters, all of them b64token's (RFC 6750 section 2.1).
pub fn fresh(prefix: &str) -> String {
    let random: String = std::iter::repeat_with(fastrand::alphanumeric).take(32).collect();
    format!("{prefix}-{random}")
}
