//! `bearward ca init` and `bearward ca show`: the local CA is made, and its certificate printed.
//!
//! Knows which hosts the CA is made for, and how programs are told to trust it. Does not know what stands in a certificate.

use std::path::Path;

use super::exit::{self, Exit};
use crate::{
    ca::{Age, Authority, CaError, Files, Hosts, Overwrite},
    clock::Clock,
    config::{Config, Environment, default_authority},
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make the local CA of the forward proxy, which may speak for the configured https upstreams and for no other host
    Init {
        /// Replace the CA that is there; every program that trusts it has to trust the new one
        #[arg(long)]
        force: bool,
        /// Let it speak for every host: whoever gets hold of its key can pose as anybody to programs that trust it
        #[arg(long)]
        any_host: bool,
    },
    /// Print the certificate of the local CA (PEM)
    Show,
}

pub(super) fn run(arguments: &Arguments, file: Option<&Path>) -> Result<(), Exit> {
    let config = match file.is_some() || Config::is_there() {
        true => Some(super::load_for_proxy(file)?.config),
        false => None,
    };
    match arguments.command {
        Command::Init { force, any_host } => init(config.as_ref(), force, any_host),
        Command::Show => show(config.as_ref()),
    }
}

fn init(config: Option<&Config>, force: bool, any_host: bool) -> Result<(), Exit> {
    let hosts = if any_host { Hosts::any() } else { hosts(config)? };
    let files = files(config);
    let overwrite = if force { Overwrite::Force } else { Overwrite::Never };
    let authority =
        Authority::make(&files, &hosts, overwrite, &Clock::system()).map_err(|error| failed(&error))?;
    exit::tell(&made(&authority, &files, &hosts));
    Ok(())
}

fn show(config: Option<&Config>) -> Result<(), Exit> {
    let authority = Authority::open(&files(config), &Clock::system()).map_err(|error| failed(&error))?;
    if let Some(warning) = warning(&authority) {
        exit::tell(&format!("warning: {warning}"));
    }
    exit::print(&authority.certificate_pem())
}

/// The hosts whose TLS is opened: those of the https upstreams.
pub(super) fn https_hosts(config: &Config) -> impl Iterator<Item = &str> {
    config
        .upstreams
        .values()
        .map(|upstream| &upstream.origin)
        .filter(|origin| origin.is_https())
        .map(|origin| origin.host())
}

/// The hosts that a CA for this configuration may speak for.
pub(super) fn constraints(config: &Config) -> Result<Hosts, Exit> {
    Hosts::only(https_hosts(config))
        .map_err(|host| Exit::config(format!("no certificate can be made for the upstream host {host:?}")))
}

fn hosts(config: Option<&Config>) -> Result<Hosts, Exit> {
    let Some(config) = config else {
        return Err(Exit::usage(
            "there is no configuration, and so no upstreams that the CA could be constrained to: write one first (`bearward \
             init`), or make a CA that may speak for every host with --any-host",
        ));
    };
    let hosts = constraints(config)?;
    if hosts.is_empty() {
        return Err(Exit::usage(
            "no [upstreams.NAME] has an https:// url, so there is no host that a CA is needed for; --any-host makes one \
             that may speak for every host",
        ));
    }
    Ok(hosts)
}

/// Where the CA is kept.
fn files(config: Option<&Config>) -> Files {
    let env: Environment<'_> = &|name| std::env::var(name).ok();
    config.map_or_else(|| default_authority(env), |config| config.authority.clone())
}

pub(super) fn failed(error: &CaError) -> Exit {
    if error.is_there() { Exit::failure(error) } else { Exit::unavailable(error) }
}

/// What its owner should know of a CA that can be used.
pub(super) fn warning(authority: &Authority) -> Option<String> {
    match authority.age() {
        Age::EndsSoon => Some(format!(
            "the local CA ends on {}: make another with `bearward ca init --force`, and let your programs trust it",
            date(authority)
        )),
        Age::Unborn => Some("the local CA is not valid yet: correct this machine's clock".to_owned()),
        Age::Good | Age::Ended => None,
    }
}

fn date(authority: &Authority) -> String {
    let ends = jiff::Timestamp::try_from(authority.not_after());
    ends.map_or_else(|_| "an unknown date".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
}

fn made(authority: &Authority, files: &Files, hosts: &Hosts) -> String {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    format!(
        "made a local CA that may speak for {hosts} until {date}\n  \
           certificate  {certificate}\n  \
           key          {key}\n\
         Whoever has the key can pose as these hosts to programs that trust the CA: let nobody have it.\n\n\
         How programs trust it (`bearward exec -- COMMAND` sees to all of it for one command):\n  \
           curl     --cacert {certificate}\n  \
           Node     NODE_EXTRA_CA_CERTS={certificate}\n  \
           Java     keytool -importcert -noprompt -alias bearward -file {certificate} -keystore TRUSTSTORE\n  \
           Debian   install -m 644 {certificate} /usr/local/share/ca-certificates/bearward.crt && update-ca-certificates\n  \
           Fedora   trust anchor {certificate}\n\
         Python, Go, Ruby and git read the system's, or what SSL_CERT_FILE, REQUESTS_CA_BUNDLE or GIT_SSL_CAINFO name: a file of\n\
         the system's certificates with this one after them.",
        date = date(authority),
    )
}
