//! `bearward init`: a commented configuration to start from, and the commands to run next.
//!
//! Knows the order of the questions: the API; at a terminal its way and where secrets go; then each value that is still missing,
//! as `--help` says. Does not know providers or how a configuration is written (`config`).

mod api;
mod files;
mod missing;
mod next;
mod questions;

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
};

use self::{api::Api, questions::Questions};
use super::exit::{self, Exit};
use crate::{
    config::{Way, draft::Draft},
    secret::Secret,
};

/// Where the configuration is looked for first.
const OUTPUT: &str = "./bearward.toml";
/// The first ports that are tried, for the upstream and for the admin listener.
const PORTS: [u16; 2] = [8101, 9901];

/// Without a terminal nothing is prompted for. What no --set gives is then read from stdin where it is a pipe or a file, a line
/// each: the API, where neither --preset nor --issuer names it; then the preset's keys in the order in which it lists them
/// (`bearward init --preset NAME` without any names them). A secret is read so with `--secrets file` or `inline` alone.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The API: apicbase, cybrid, cymbio, inventorum or shopware
    #[arg(long, conflicts_with = "issuer")]
    preset: Option<String>,
    /// Another API, by its authorization server's issuer, which is asked for its metadata (RFC 8414, OpenID Connect
    /// Discovery)
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The file to write [default: the -c FILE, else ./bearward.toml]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What the token and the upstream are called [default: the preset's name, else api]
    #[arg(long)]
    name: Option<String>,
    /// A key of the token, or upstream.KEY, admin.KEY, store.KEY; `listen` is the upstream's. No secrets
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Where secrets go [default: env; a terminal asks]
    #[arg(long, value_enum)]
    secrets: Option<Secrets>,
    /// Overwrite files that are there
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Secrets {
    /// The configuration names environment variables
    Env,
    /// Files of mode 0600 in bearward-secrets beside the configuration
    File,
    /// In the configuration itself, whose mode is 0600 then
    Inline,
}

/// A secret that is to be written into a file of its own: the file as the configuration names it, and the secret.
type Kept0600 = (String, Secret);

pub(super) fn run(arguments: &Arguments, explicit: Option<&Path>) -> Result<(), Exit> {
    let output = arguments.output.as_deref().or(explicit).unwrap_or(Path::new(OUTPUT));
    if !arguments.force && output.symlink_metadata().is_ok() {
        return Err(files::there(output));
    }
    let mut questions = Questions::new();
    let given = given(&arguments.set)?;
    let (api, mut draft) = api::begin(arguments, &given, &mut questions)?;
    let way = api::way(&api, &mut draft, &mut questions)?;
    let secrets = secrets(arguments, &draft, &way, &mut questions)?;
    let kept = missing::ask(&mut draft, &api, &way, secrets, &mut questions)?;
    complete(&mut draft, &api, &way)?;
    draft.check(output).map_err(|problems| {
        Exit::usage(format!(
            "nothing was written, for the configuration would not be valid:\n\n{}",
            problems.render(exit::colour())
        ))
    })?;
    files::write(output, &draft, &kept, arguments.force)?;
    questions.tell("");
    exit::tell(&format!("Wrote {}.", next::shown(output)));
    if !kept.is_empty() {
        exit::tell(&format!(
            "The secrets are in {}/ beside it: keep that out of version control.",
            files::FOLDER
        ));
    }
    let path = match &api {
        Api::Preset(_, preset) => &preset.path,
        _ => "/",
    };
    exit::print(&next::commands(&draft, output, path))
}

fn given(set: &[String]) -> Result<Vec<(&str, &str)>, Exit> {
    set.iter()
        .map(|pair| {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| Exit::usage("--set takes KEY=VALUE, for example --set client_id=app"))?;
            Ok((if key == "listen" { "upstream.listen" } else { key }, value))
        })
        .collect()
}

fn secrets(
    arguments: &Arguments,
    draft: &Draft,
    way: &Way,
    questions: &mut Questions,
) -> Result<Secrets, Exit> {
    if let Some(secrets) = arguments.secrets {
        return Ok(secrets);
    }
    if !questions.at_terminal() || !missing::needs_secret(draft, way) {
        return Ok(Secrets::Env);
    }
    let choices = [
        (
            "file".to_owned(),
            format!("you type them now, into files that only you can read ({}/)", files::FOLDER),
        ),
        ("env".to_owned(), "you set environment variables before you start bearward".to_owned()),
    ];
    let chosen = questions.choose("Where are secrets kept?", &choices, Some("file"))?;
    Ok(if chosen.as_deref() == Some("env") { Secrets::Env } else { Secrets::File })
}

/// What needs no question.
fn complete(draft: &mut Draft, api: &Api, way: &Way) -> Result<(), Exit> {
    let mut set = |key: &str, value: &str| match draft.has(key) {
        true => Ok(()),
        false => draft.set(key, value).map_err(Exit::failure),
    };
    if way.grant_type == "authorization_code" && !matches!(api, Api::Preset(..)) {
        set("redirect_uri", "http://127.0.0.1:0/callback")?;
    }
    set("upstream.listen", &format!("127.0.0.1:{}", free_port(PORTS[0])))?;
    set("admin.listen", &format!("127.0.0.1:{}", free_port(PORTS[1])))?;
    let name = draft.name().to_owned();
    draft.set("upstream.token", &name).map_err(Exit::failure)?;
    if let Api::Preset(preset, introduction) = api {
        draft.set("upstream.preset", preset).map_err(Exit::failure)?;
        if let (false, false, Some(base)) =
            (introduction.knows_url, draft.has("upstream.url"), draft.text("base_url").map(str::to_owned))
        {
            draft.set("upstream.url", &base).map_err(Exit::failure)?;
        }
    }
    for (key, example) in [
        ("store.path", "\"/var/lib/bearward\""),
        ("refresh_at", "0.8"),
        ("upstream.response_timeout", "\"60s\""),
        ("upstream.replay_limit", "\"64KiB\""),
    ] {
        draft.suggest(key, example).map_err(Exit::failure)?;
    }
    Ok(())
}

/// The first port from `first` on that nobody listens on now; `first` where all are taken.
fn free_port(first: u16) -> u16 {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (first..first + 90).find(free).unwrap_or(first)
}
