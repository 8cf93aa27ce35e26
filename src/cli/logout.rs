//! `bearward logout NAME`: takes back what a login brought (RFC 7009) where the server can, and forgets it.

use super::{
    ask,
    exit::{self, Exit},
    login,
};
use crate::config::Loaded;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The token's name in the configuration
    name: String,
}

pub(super) fn run(loaded: &Loaded, arguments: &Arguments) -> Result<(), Exit> {
    let name = &arguments.name;
    let account = login::account(loaded, name)?;
    let out = ask::runtime()?.block_on(account.log_out());
    let out = out.map_err(|error| Exit::unavailable(format!("not logged out of {name}: {error}")))?;
    exit::tell(&format!("{name}: {}", out.to_string().replace('\n', &format!("\n{name}: "))));
    Ok(())
}
