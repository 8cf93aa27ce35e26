//! `bearward exec -- COMMAND`: a command whose requests come to bearward without a setting of its own.
//!
//! Knows in which order things begin and end: CA, proxy, command, drain. Does not know what programs look for (`environment`, `trust`)
//! or processes (`child`).

mod child;
mod environment;
mod pkcs12;
mod trust;

use std::{ffi::OsString, net::Ipv4Addr, path::Path, sync::Arc};

use tracing::Level;

use self::{child::Caught, trust::Trust};
use super::{
    ask, ca,
    exit::{self, Exit},
};
use crate::{
    app::App,
    ca::{Authority, Files, Overwrite},
    clock::Clock,
    config::{Config, Environment, Listen, Listener, Proxy},
    telemetry::logs::{self, Look},
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The command and its arguments, after --
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn run(arguments: &Arguments, file: Option<&Path>) -> Result<(), Exit> {
    let mut loaded = super::load_for_proxy(file)?;
    // The command's words are to be read, not ours.
    logs::start(Level::WARN, Look::Text);
    let authority = authority(&loaded.config)?;
    arrange(&mut loaded.config, authority.clone());
    let upstreams: Vec<_> = loaded
        .config
        .upstreams
        .iter()
        .map(|(name, upstream)| (name.to_string(), format!("{}/", upstream.origin)))
        .collect();
    let env = |name: &str| std::env::var_os(name);
    let mut tell = |words: String| exit::tell(&format!("bearward: {words}"));
    let trust = Trust::write(authority.as_deref(), &env, &mut tell)
        .map_err(|error| Exit::unavailable(format!("cannot write the files for the command: {error}")))?;
    // What they held is bearward's to know: the command gets tokens by asking, and no secret.
    let hidden = std::mem::take(&mut loaded.variables);
    let ended = ask::runtime()?.block_on(async {
        let caught = Caught::signals();
        let caught =
            caught.map_err(|error| Exit::unavailable(format!("cannot listen for signals: {error}")))?;
        let running = App::start_unwatched(loaded).map_err(Exit::unavailable)?;
        let Some(proxy) = running.address("proxy") else {
            return Err(Exit::failure("the proxy listens nowhere; this is a bug of bearward"));
        };
        let variables = environment::variables(proxy, &upstreams, &trust, &env, &mut tell);
        let ended = child::run(&arguments.command, &hidden, variables, caught).await;
        running.stop().await;
        ended
    });
    if let Err(error) = trust.remove() {
        exit::tell(&format!("bearward: the files for the command were left there: {error}"));
    }
    ended
}

/// The CA: the one that is there, else a new one, constrained to the configured hosts. None where no https upstream needs it.
fn authority(config: &Config) -> Result<Option<Arc<Authority>>, Exit> {
    if ca::https_hosts(config).next().is_none() {
        return Ok(None);
    }
    let clock = Clock::system();
    let files = &config.authority;
    let authority = match Authority::open(files, &clock) {
        Err(error) if error.is_missing() => made(config, files, &clock)?,
        opened => opened.map_err(|error| ca::failed(&error))?,
    };
    if let Some(warning) = ca::warning(&authority) {
        exit::tell(&format!("bearward: {warning}"));
    }
    for host in ca::https_hosts(config) {
        if let Err(error) = authority.server_config(host) {
            exit::tell(&format!("bearward: {host} cannot be reached by the command: {error}"));
        }
    }
    Ok(Some(Arc::new(authority)))
}

fn made(config: &Config, files: &Files, clock: &Clock) -> Result<Authority, Exit> {
    let hosts = ca::constraints(config)?;
    let made = Authority::make(files, &hosts, Overwrite::Never, clock);
    let authority = match made {
        // Another `exec` was quicker.
        Err(error) if error.is_there() => Authority::open(files, clock),
        made => made,
    };
    let authority = authority.map_err(|error| ca::failed(&error))?;
    exit::tell(&format!(
        "bearward: made a local CA in {}; it may speak for {hosts}, and only commands under `bearward exec` trust it",
        files.certificate.display()
    ));
    Ok(authority)
}

/// One way in, and no other: a forward proxy on a free port. Without a `[proxy]` in the configuration other hosts are reached as
/// if bearward were not there.
fn arrange(config: &mut Config, authority: Option<Arc<Authority>>) {
    config.admin = None;
    config.gateway = None;
    config.transparent = None;
    for upstream in config.upstreams.values_mut() {
        upstream.listen = None;
    }
    let env: Environment<'_> = &|name| std::env::var(name).ok();
    let written = config.proxy.take().unwrap_or_else(|| Proxy::added(env));
    let address = Listen::Tcp((Ipv4Addr::LOCALHOST, 0).into());
    let listener = Listener { allow_origins: written.listener.allow_origins, ..Listener::at(address) };
    config.proxy = Some(Proxy { listener, authority, certificate: None, ..written });
}
