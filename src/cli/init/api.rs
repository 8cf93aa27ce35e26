//! Which API it is, and by which way its token is got.
//!
//! Knows the three ways to name an API: a preset, an issuer, which is asked for its metadata, or a token endpoint. Does not
//! know what else is asked.

use super::{Arguments, questions::Questions};
use crate::{
    app::{self, Undiscovered},
    cli::{
        ask,
        exit::{self, Exit},
    },
    config::{self, Discovered, Introduction, PRESETS, Way, draft::Draft},
};

const METHOD: &str = "token_endpoint_auth_method";
const ISSUER: &str = "The issuer of its authorization server: a URL, for example https://id.example (its documentation or metadata says it).";

/// Which API it is.
pub(super) enum Api {
    Preset(&'static str, Introduction),
    /// With what it says of itself, where it answered.
    Issuer(Option<Discovered>),
    Endpoint,
}

enum Named {
    Preset(&'static str, Introduction),
    Issuer(String),
    Endpoint,
}

/// The API, and a draft that names it and holds what was given.
pub(super) fn begin(
    arguments: &Arguments,
    given: &[(&str, &str)],
    questions: &mut Questions,
) -> Result<(Api, Draft), Exit> {
    let named = named(arguments, given, questions)?;
    let (name, about) = match &named {
        Named::Preset(name, preset) => (*name, preset.about.as_str()),
        Named::Issuer(_) | Named::Endpoint => ("api", "one API, and where its token comes from"),
    };
    let mut draft = Draft::new(arguments.name.as_deref().unwrap_or(name), about).map_err(Exit::usage)?;
    match &named {
        Named::Preset(name, _) => draft.set("preset", name),
        Named::Issuer(issuer) => draft.set("issuer", issuer),
        Named::Endpoint => Ok(()),
    }
    .map_err(Exit::usage)?;
    for (key, value) in given {
        draft.set(key, value).map_err(|problem| Exit::usage(format!("--set {key}: {problem}")))?;
    }
    let api = match named {
        Named::Preset(name, preset) => {
            if let Some(other) = draft.text("preset").filter(|other| *other != name) {
                let problem = format!("--preset {name} and --set preset={other} contradict each other");
                return Err(Exit::usage(problem));
            }
            Api::Preset(name, preset)
        }
        Named::Issuer(_) => Api::Issuer(discover(&mut draft, questions)?),
        Named::Endpoint => Api::Endpoint,
    };
    Ok((api, draft))
}

fn named(arguments: &Arguments, given: &[(&str, &str)], questions: &mut Questions) -> Result<Named, Exit> {
    let set =
        |wanted: &str| given.iter().find(|(key, _)| *key == wanted).map(|(_, value)| (*value).to_owned());
    let named = match arguments.preset.clone().or_else(|| set("preset")) {
        Some(named) => named,
        None => {
            if let Some(issuer) = arguments.issuer.clone().or_else(|| set("issuer")) {
                return Ok(Named::Issuer(issuer));
            }
            if set("token_endpoint").is_some() {
                return Ok(Named::Endpoint);
            }
            choose(questions)?
        }
    };
    match named.as_str() {
        "issuer" => {
            let issuer = questions.line("issuer", ISSUER)?;
            issuer.map(Named::Issuer).ok_or_else(|| Exit::usage("the issuer is missing: add --issuer URL"))
        }
        "endpoint" => Ok(Named::Endpoint),
        named => {
            let found = presets().find(|(name, _)| *name == named);
            found.map(|(name, preset)| Named::Preset(name, preset)).ok_or_else(|| {
                Exit::usage(format!(
                    "there is no preset {named:?}; there is {}, and --issuer URL",
                    PRESETS.join(", ")
                ))
            })
        }
    }
}

fn choose(questions: &mut Questions) -> Result<String, Exit> {
    let mut choices: Vec<_> = presets().map(|(name, preset)| (name.to_owned(), preset.about)).collect();
    choices.push(("issuer".into(), "another API, whose authorization server describes itself".into()));
    choices.push(("endpoint".into(), "another API, whose token endpoint you know".into()));
    questions.choose("Which API is it? Type its number or its name.", &choices, None)?.ok_or_else(|| {
        Exit::usage(format!(
            "which API is it? Add --preset with one of {}, or --issuer URL, or --set token_endpoint=URL",
            PRESETS.join(", ")
        ))
    })
}

fn presets() -> impl Iterator<Item = (&'static str, Introduction)> {
    PRESETS.iter().filter_map(|name| Some((*name, config::introduce(name)?)))
}

/// Asks the issuer for its metadata, and the person for another issuer where it is not usable. `None` where the issuer does
/// not answer now: the configuration is right all the same, if the person is.
fn discover(draft: &mut Draft, questions: &mut Questions) -> Result<Option<Discovered>, Exit> {
    let runtime = ask::runtime()?;
    loop {
        questions.tell("\nAsking it for its metadata …");
        let problem = match runtime.block_on(app::discover(draft)) {
            Ok(discovered) => {
                for (member, url) in &discovered.endpoints {
                    questions.tell(&format!("  {member:30}{url}"));
                    draft.note("issuer", &format!("Found there: {member} {url}"));
                }
                return Ok(Some(discovered));
            }
            Err(Undiscovered::Silent(problem)) => {
                exit::tell(&format!(
                    "The issuer does not answer: {problem}.\nThe configuration names it all the same, with nothing checked: \
                     bearward asks it again when it runs."
                ));
                return Ok(None);
            }
            Err(Undiscovered::Unusable(problem)) => problem,
        };
        if !questions.at_terminal() {
            return Err(Exit::usage(format!("nothing was written: {problem}")));
        }
        exit::tell(&problem);
        let issuer = questions.line("issuer", ISSUER)?;
        let issuer = issuer.ok_or_else(|| Exit::usage("nothing was written: the issuer is missing"))?;
        draft.set("issuer", &issuer).map_err(Exit::usage)?;
    }
}

/// The way to a token: what --set grant_type says, what a person at a terminal chooses, else the usual one.
pub(super) fn way(api: &Api, draft: &mut Draft, questions: &mut Questions) -> Result<Way, Exit> {
    let (ways, all) = match api {
        Api::Preset(_, preset) => (preset.ways.clone(), Vec::new()),
        Api::Issuer(Some(discovered)) => (discovered.ways.clone(), config::ways(true)),
        Api::Issuer(None) => (config::ways(true), Vec::new()),
        Api::Endpoint => (config::ways(false), Vec::new()),
    };
    let chosen = match draft.text("grant_type") {
        Some(grant_type) => grant_type.to_owned(),
        None if ways.len() > 1 && questions.at_terminal() => {
            let choices: Vec<_> =
                ways.iter().map(|way| (way.grant_type.clone(), way.about.clone())).collect();
            let usual = choices[0].0.clone();
            questions.choose("How is a token got?", &choices, Some(&usual))?.unwrap_or(usual)
        }
        None => ways[0].grant_type.clone(),
    };
    let named = |way: &&Way| way.grant_type == chosen;
    let way = match (ways.iter().find(named), all.iter().find(named)) {
        (Some(way), _) => way.clone(),
        (None, Some(way)) => {
            exit::tell(&format!(
                "The issuer's metadata does not speak of grant_type {chosen:?}; it is written as you said."
            ));
            way.clone()
        }
        (None, None) => {
            let names: Vec<_> = ways.iter().map(|way| way.grant_type.as_str()).collect();
            return Err(Exit::usage(format!(
                "init knows no grant_type {chosen:?} for this API; it knows {}. Others are written by hand",
                names.join(", ")
            )));
        }
    };
    draft.set("grant_type", &way.grant_type).map_err(Exit::usage)?;
    draft.note("grant_type", &format!("{}: {}.", way.grant_type, way.about));
    authentication(api, &way, draft, questions)?;
    Ok(way)
}

/// How the client authenticates, where neither a preset nor --set says.
fn authentication(api: &Api, way: &Way, draft: &mut Draft, questions: &mut Questions) -> Result<(), Exit> {
    let methods = match api {
        Api::Preset(..) => return Ok(()),
        Api::Issuer(Some(discovered)) => discovered.auth_methods.as_slice(),
        Api::Issuer(None) | Api::Endpoint => &["client_secret_basic", "none"],
    };
    if draft.has(METHOD) {
        return Ok(());
    }
    let mut usual = methods[0];
    // Client credentials are for clients that have some (RFC 6749 section 4.4).
    let undecided = usual != "none" && methods.contains(&"none") && way.grant_type != "client_credentials";
    if undecided && questions.at_terminal() {
        let choices = [
            ("yes".to_owned(), "it was registered with one, or the provider showed one".to_owned()),
            ("no".to_owned(), "a public client: an id is all it has".to_owned()),
        ];
        if questions.choose("Does the client have a secret?", &choices, Some("yes"))?.as_deref() == Some("no")
        {
            usual = "none";
        }
    }
    if matches!(api, Api::Issuer(Some(_))) || usual == "none" {
        draft.set(METHOD, usual).map_err(Exit::failure)
    } else {
        draft.suggest(METHOD, "\"client_secret_post\"").map_err(Exit::failure)
    }
}
