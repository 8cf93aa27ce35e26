//! `bearward check`: everything that `run` does before it binds a socket.

use super::exit::{self, Exit};
use crate::config::Loaded;

pub(super) fn run(loaded: Loaded) -> Result<(), Exit> {
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    exit::tell(&format!(
        "{}: fine, {} and {}",
        loaded.path.display(),
        count(loaded.config.upstreams.len(), "upstream"),
        count(loaded.config.tokens.len(), "token"),
    ));
    Ok(())
}
