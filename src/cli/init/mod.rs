//! `bearward init`: a commented configuration to start from, and the commands to run next.
//!
//! Knows what is asked and in which order: the API; at a terminal its way and where secrets go; then each value that is still
//! missing, as `--help` says. Does not know providers or how a configuration is written (`config`).

mod files;
mod next;
mod questions;

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
};

use self::questions::Questions;
use super::exit::{self, Exit};
use crate::{
    config::{
        self, Introduction, PRESETS, Way,
        draft::{self, Draft, Kept},
    },
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
    /// Another API, by its authorization server's issuer (RFC 8414, OpenID Connect Discovery)
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

/// Which API it is.
enum Api {
    Preset(&'static str, Introduction),
    Issuer(String),
    Endpoint,
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
    let api = api(arguments, &given, &mut questions)?;
    let mut draft = begin(arguments, &api, &given)?;
    let way = way(&api, &draft, &mut questions)?;
    let secrets = secrets(arguments, &mut questions)?;
    let kept = ask(&mut draft, &way, secrets, &mut questions)?;
    complete(&mut draft, &api, &way)?;
    draft.check(output).map_err(|problems| {
        Exit::usage(format!(
            "nothing was written, for the configuration would not be valid:\n\n{}",
            problems.render(exit::colour())
        ))
    })?;
    files::write(output, &draft, &kept, arguments.force)?;
    exit::tell(&format!("Wrote {}.", next::shown(output)));
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

fn api(arguments: &Arguments, given: &[(&str, &str)], questions: &mut Questions) -> Result<Api, Exit> {
    let list = || PRESETS.iter().filter_map(|name| Some((*name, config::introduce(name)?)));
    let set =
        |wanted: &str| given.iter().find(|(key, _)| *key == wanted).map(|(_, value)| (*value).to_owned());
    let named = arguments.preset.clone().or_else(|| set("preset"));
    if named.is_none() {
        if let Some(issuer) = arguments.issuer.clone().or_else(|| set("issuer")) {
            return Ok(Api::Issuer(issuer));
        }
        if set("token_endpoint").is_some() {
            return Ok(Api::Endpoint);
        }
    }
    let named = match named {
        Some(named) => named,
        None => {
            let mut choices: Vec<_> = list().map(|(name, preset)| (name.to_owned(), preset.about)).collect();
            choices.push(("issuer".into(), "another API, by its authorization server's issuer".into()));
            choices.push(("endpoint".into(), "another API, by its token endpoint".into()));
            questions.choose("Which API is it?", &choices, None)?.ok_or_else(|| {
                Exit::usage(format!(
                    "which API is it? Add --preset with one of {}, or --issuer URL, or --set token_endpoint=URL",
                    PRESETS.join(", ")
                ))
            })?
        }
    };
    if named == "issuer" {
        let issuer = questions.line("issuer", draft::doc("issuer"), None)?;
        return issuer.map(Api::Issuer).ok_or_else(|| Exit::usage("the issuer is missing: add --issuer URL"));
    }
    if named == "endpoint" {
        return Ok(Api::Endpoint);
    }
    let found = list().find(|(name, _)| *name == named);
    found.map(|(name, preset)| Api::Preset(name, preset)).ok_or_else(|| {
        Exit::usage(format!(
            "there is no preset {named:?}; there is {}, and --issuer URL",
            PRESETS.join(", ")
        ))
    })
}

fn begin(arguments: &Arguments, api: &Api, given: &[(&str, &str)]) -> Result<Draft, Exit> {
    let (name, about) = match api {
        Api::Preset(name, preset) => (*name, preset.about.as_str()),
        Api::Issuer(_) | Api::Endpoint => ("api", "an API"),
    };
    let mut draft = Draft::new(arguments.name.as_deref().unwrap_or(name), about).map_err(Exit::usage)?;
    match api {
        Api::Preset(name, _) => draft.set("preset", name),
        Api::Issuer(issuer) => draft.set("issuer", issuer),
        Api::Endpoint => Ok(()),
    }
    .map_err(Exit::usage)?;
    for (key, value) in given {
        draft.set(key, value).map_err(|problem| Exit::usage(format!("--set {key}: {problem}")))?;
    }
    if let (Api::Preset(name, _), Some(other)) = (api, draft.text("preset"))
        && other != *name
    {
        return Err(Exit::usage(format!("--preset {name} and --set preset={other} contradict each other")));
    }
    Ok(draft)
}

/// The way to a token: what --set grant_type says, what a person at a terminal chooses, else the usual one.
fn way(api: &Api, draft: &Draft, questions: &mut Questions) -> Result<Way, Exit> {
    let ways = match api {
        Api::Preset(_, preset) => preset.ways.clone(),
        Api::Issuer(_) => draft::ways(true),
        Api::Endpoint => draft::ways(false),
    };
    let names = || ways.iter().map(|way| way.grant_type.as_str()).collect::<Vec<_>>();
    let chosen = match draft.text("grant_type") {
        Some(grant_type) => grant_type.to_owned(),
        None if questions.at_terminal() && ways.len() > 1 => {
            let choices: Vec<_> =
                ways.iter().map(|way| (way.grant_type.clone(), way.about.clone())).collect();
            let usual = choices[0].0.clone();
            questions.choose("How is a token got?", &choices, Some(&usual))?.unwrap_or(usual)
        }
        None => ways[0].grant_type.clone(),
    };
    ways.iter().find(|way| way.grant_type == chosen).cloned().ok_or_else(|| {
        Exit::usage(format!(
            "init knows no grant_type {chosen:?} for this API; it knows {}. Others are written by hand",
            names().join(", ")
        ))
    })
}

fn secrets(arguments: &Arguments, questions: &mut Questions) -> Result<Secrets, Exit> {
    if let Some(secrets) = arguments.secrets {
        return Ok(secrets);
    }
    if !questions.at_terminal() {
        return Ok(Secrets::Env);
    }
    let choices = [
        ("file".to_owned(), format!("type them now: files that only you can read, in {}", files::FOLDER)),
        ("env".to_owned(), "the configuration names environment variables, which you set".to_owned()),
    ];
    let chosen = questions.choose("Where do secrets go?", &choices, Some("file"))?;
    Ok(if chosen.as_deref() == Some("env") { Secrets::Env } else { Secrets::File })
}

/// Asks for every key of the way that has no value yet, and names at once all that nobody gave.
fn ask(
    draft: &mut Draft,
    way: &Way,
    secrets: Secrets,
    questions: &mut Questions,
) -> Result<Vec<Kept0600>, Exit> {
    let mut kept = Vec::new();
    let mut missing = Vec::new();
    let public = draft.text("token_endpoint_auth_method") == Some("none");
    for key in way.ask.iter().filter(|key| !(public && *key == "client_secret")) {
        if draft.has(key) {
            continue;
        }
        let there = if draft::is_secret(key) {
            secret(draft, key, secrets, questions, &mut kept)?
        } else {
            let answer = questions.line(key, draft::doc(key), way.example(key))?;
            answer.map(|answer| draft.set(key, &answer)).transpose().map_err(Exit::usage)?.is_some()
        };
        if !there {
            missing.push(key.as_str());
        }
    }
    if !missing.is_empty() {
        return Err(unanswered(&missing));
    }
    for key in &way.may {
        // A password goes with its user's name.
        if draft::is_secret(key) {
            if draft.has("username") && !secret(draft, key, secrets, questions, &mut kept)? {
                return Err(unanswered(&[key]));
            }
        } else if questions.at_terminal() && !draft.has(key) {
            let answer = questions.optional(key, draft::doc(key))?;
            answer.map(|answer| draft.set(key, &answer)).transpose().map_err(Exit::usage)?;
        }
        let example = if draft::is_secret(key) {
            format!("{{ env = \"{}\" }}", draft.variable(key))
        } else {
            "\"…\"".to_owned()
        };
        draft.suggest(key, &example).map_err(Exit::failure)?;
    }
    Ok(kept)
}

fn unanswered(missing: &[&str]) -> Exit {
    let lines: Vec<_> = missing
        .iter()
        .map(|key| {
            if draft::is_secret(key) {
                format!("  {key}: a line on stdin, or --secrets env")
            } else {
                format!("  --set {key}=…   {}", draft::doc(key))
            }
        })
        .collect();
    Exit::usage(format!("nothing was written, for this is missing:\n{}", lines.join("\n")))
}

/// Gets a secret to where secrets go. Whether there is one.
fn secret(
    draft: &mut Draft,
    key: &str,
    secrets: Secrets,
    questions: &mut Questions,
    files: &mut Vec<Kept0600>,
) -> Result<bool, Exit> {
    let kept = if secrets == Secrets::Env {
        Kept::Env(draft.variable(key))
    } else {
        let Some(secret) = questions.secret(key, draft::doc(key))? else { return Ok(false) };
        match secrets {
            Secrets::Inline => Kept::Inline(secret),
            _ => {
                let path = format!("{}/{}.{key}", files::FOLDER, draft.name());
                files.push((path.clone(), secret));
                Kept::File(path)
            }
        }
    };
    draft.keep(key, kept).map_err(Exit::failure)?;
    Ok(true)
}

/// What needs no question.
fn complete(draft: &mut Draft, api: &Api, way: &Way) -> Result<(), Exit> {
    let mut set = |key: &str, value: &str| match draft.has(key) {
        true => Ok(()),
        false => draft.set(key, value).map_err(Exit::failure),
    };
    set("grant_type", &way.grant_type)?;
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
        ("upstream.path", "\"/api\""),
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
