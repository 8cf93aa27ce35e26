//! What can be wrong with a CA, and what to do about it.

use std::{fmt, io, path::PathBuf};

use super::files::Files;

/// Why there is no CA to use.
#[derive(Debug)]
pub struct CaError {
    pub(super) path: PathBuf,
    pub(super) problem: Problem,
}

#[derive(Debug)]
pub(super) enum Problem {
    /// There is none.
    Missing,
    /// There is one, which is to be kept.
    Exists,
    /// Reading or writing failed.
    Io(io::Error),
    /// Who it belongs to, or who may read it, makes it worthless.
    Unsafe(String),
    /// It is no CA, or not with this key.
    Unusable(String),
    /// It has ended.
    Ended,
}

impl CaError {
    pub(super) fn new(path: impl Into<PathBuf>, problem: Problem) -> Self {
        Self { path: path.into(), problem }
    }

    pub(super) fn io(path: impl Into<PathBuf>, error: io::Error) -> Self {
        let problem = match error.kind() {
            io::ErrorKind::NotFound => Problem::Missing,
            io::ErrorKind::AlreadyExists => Problem::Exists,
            _ => Problem::Io(error),
        };
        Self::new(path, problem)
    }

    pub(super) fn unmade(files: &Files, error: &rcgen::Error) -> Self {
        Self::new(&files.certificate, Problem::Unusable(format!("it could not be made: {error}")))
    }

    /// Whether there simply is no CA.
    pub fn is_missing(&self) -> bool {
        matches!(self.problem, Problem::Missing)
    }

    /// Whether there is a CA already.
    pub fn is_there(&self) -> bool {
        matches!(self.problem, Problem::Exists)
    }
}

impl fmt::Display for CaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.problem {
            Problem::Missing => {
                write!(f, "there is no local CA: {path} does not exist; make one with `bearward ca init`")
            }
            Problem::Exists => write!(
                f,
                "{path} is there already, and nothing was written: `bearward ca init --force` replaces it, and every \
                 program that trusts the old CA has to trust the new one"
            ),
            Problem::Io(error) => write!(f, "the local CA: {path}: {error}"),
            Problem::Unsafe(words) => write!(f, "the local CA's {path} is not used: {words}"),
            Problem::Unusable(words) => write!(
                f,
                "the local CA in {path} cannot be used: {words}; name another in [proxy].ca, or make one with \
                 `bearward ca init --force`"
            ),
            Problem::Ended => write!(
                f,
                "the local CA in {path} has ended: make another with `bearward ca init --force`, and let your programs \
                 trust it"
            ),
        }
    }
}

impl std::error::Error for CaError {}

/// Why there is no certificate for a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeafError {
    /// It is neither a DNS name nor an IP address.
    NotAHost,
    /// The CA may not speak for it, as the words say.
    NotPermitted(String),
    /// The CA has ended, or does not begin yet by this machine's clock.
    NotInForce,
    /// It could not be made, as the words say.
    Unmade(String),
}

impl fmt::Display for LeafError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAHost => f.write_str("it is neither a DNS name nor an IP address"),
            Self::NotPermitted(words) => write!(
                f,
                "the local CA may not speak for it ({words}): make one that may with `bearward ca init --force`, and let \
                 your programs trust it"
            ),
            Self::NotInForce => f.write_str(
                "the local CA has ended, or begins only later by this machine's clock: correct the clock, or make another with \
                 `bearward ca init --force` and let your programs trust it",
            ),
            Self::Unmade(words) => write!(f, "no certificate could be made: {words}"),
        }
    }
}

impl std::error::Error for LeafError {}
