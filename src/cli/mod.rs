//! The commands: one file each. Data goes to stdout, messages to stderr, the exit status says what kind of end it was.
//!
//! Knows arguments and exit statuses. Does not know how anything works.

mod ask;
mod browser;
mod ca;
mod check;
mod completions;
mod demo;
mod exec;
mod exit;
mod init;
mod login;
mod logout;
mod qr;
mod run;
mod schema;
mod status;
mod stdin;
mod token;
mod wait;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use self::exit::Exit;
use crate::config::{Config, Loaded, Problems};

/// A proxy beside an application that cannot do OAuth: it puts a valid bearer token on each request.
#[derive(Debug, Parser)]
#[command(name = "bearward", version, arg_required_else_help = true, max_term_width = 100)]
struct Arguments {
    /// The configuration file [default: $BEARWARD_CONFIG, ./bearward.toml, $XDG_CONFIG_HOME/bearward/bearward.toml,
    /// /etc/bearward/bearward.toml]
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a commented configuration to start from
    Init(init::Arguments),
    /// Run the proxy: SIGTERM and SIGINT drain and stop, SIGHUP or a changed file reloads
    Run,
    /// Read and validate the configuration: exit 0, or 78 with every error
    Check,
    /// A self-contained tour: simulated providers, bearward and an app in one process
    Demo(demo::Arguments),
    /// Print a valid access token, for curl and scripts
    Token(token::Arguments),
    /// Log in as a person: in the browser, with a code to copy, or on another device
    Login(login::Arguments),
    /// Revoke what a login brought, where the server can, and forget it
    Logout(logout::Arguments),
    /// What a running bearward says of itself
    Status(status::Arguments),
    /// Return when a running bearward is ready
    Wait(wait::Arguments),
    /// Run a command whose requests come to bearward: proxy variables and CA are set for it, its exit status is the command's
    Exec(exec::Arguments),
    /// Make the local CA of the forward proxy, or print its certificate
    Ca(ca::Arguments),
    /// Print the JSON Schema of the configuration
    Schema,
    /// Print a completion script for a shell
    Completions(completions::Arguments),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run::silence_panics();
    // A command that we run may leave one: limits are inherited, what we do besides is not.
    run::leave_no_core(!matches!(arguments.command, Command::Exec(_)));
    let ended = match arguments.command {
        Command::Init(init) => init::run(&init, arguments.config.as_deref()),
        Command::Run => load(arguments.config.as_deref()).and_then(run::run),
        Command::Check => load(arguments.config.as_deref()).and_then(check::run),
        Command::Demo(demo) => demo::run(&demo),
        Command::Token(token) => {
            load(arguments.config.as_deref()).and_then(|config| token::run(config, &token))
        }
        Command::Login(login) => {
            let file = arguments.config.as_deref();
            load(file).and_then(|config| login::run(&config, &login, file))
        }
        Command::Logout(logout) => {
            load(arguments.config.as_deref()).and_then(|config| logout::run(&config, &logout))
        }
        Command::Status(status) => {
            load(arguments.config.as_deref()).and_then(|config| status::run(&config, &status))
        }
        Command::Wait(wait) => load(arguments.config.as_deref()).and_then(|config| wait::run(&config, &wait)),
        Command::Exec(exec) => exec::run(&exec, arguments.config.as_deref()),
        Command::Ca(ca) => ca::run(&ca, arguments.config.as_deref()),
        Command::Schema => schema::run(),
        Command::Completions(completions) => completions::run(&completions),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report(),
    }
}

/// Reads the configuration, and shows its problems as a compiler would.
fn load(explicit: Option<&Path>) -> Result<Loaded, Exit> {
    shown(Config::load(explicit))
}

/// The same for a command with a forward proxy of its own.
fn load_for_proxy(explicit: Option<&Path>) -> Result<Loaded, Exit> {
    shown(Config::load_for_proxy(explicit))
}

fn shown(read: Result<Loaded, Problems>) -> Result<Loaded, Exit> {
    let loaded = read.map_err(|problems| Exit::config(problems.render(exit::colour())))?;
    if !loaded.warnings.is_empty() {
        exit::tell(&loaded.warnings.render(exit::colour()));
    }
    Ok(loaded)
}
