//! The values that only the user knows: asked for one by one, and named all at once where nobody answers.
//!
//! Knows where secrets go. Does not know which values a way to a token needs.

use super::{Kept0600, Secrets, api::Api, files, questions::Questions};
use crate::{
    cli::exit::Exit,
    config::{
        Way,
        draft::{self, Draft, Kept},
    },
};

/// Asks for every key of the way that has no value yet.
pub(super) fn ask(
    draft: &mut Draft,
    api: &Api,
    way: &Way,
    secrets: Secrets,
    questions: &mut Questions,
) -> Result<Vec<Kept0600>, Exit> {
    let mut kept = Vec::new();
    let mut missing = Vec::new();
    let keys: Vec<_> = needed(draft, way).collect();
    for key in keys {
        let there = if draft::is_secret(key) {
            secret(draft, key, secrets, questions, &mut kept)?
        } else {
            line(draft, key, &words(key, way), questions)?
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
            optional(draft, api, key, way, questions)?;
        }
        let example = if draft::is_secret(key) {
            format!("{{ env = \"{}\" }}", draft.variable(key))
        } else {
            "\"…\"".to_owned()
        };
        draft.suggest(key, &example).map_err(Exit::failure)?;
    }
    if let Some(scopes) = scopes(api) {
        draft.note("scope", &scopes);
    }
    Ok(kept)
}

/// Whether a secret is among what is asked for, or may be.
pub(super) fn needs_secret(draft: &Draft, way: &Way) -> bool {
    needed(draft, way).chain(&way.may).any(|key| draft::is_secret(key))
}

fn needed<'a>(draft: &Draft, way: &'a Way) -> impl Iterator<Item = &'a String> {
    let public = draft.text("token_endpoint_auth_method") == Some("none");
    way.ask.iter().filter(move |key| !(draft.has(key) || public && *key == "client_secret"))
}

/// One value; asked for again at a terminal while it is not right. Whether there is one.
fn line(draft: &mut Draft, key: &str, words: &str, questions: &mut Questions) -> Result<bool, Exit> {
    while let Some(answer) = questions.line(key, words)? {
        draft.set(key, &answer).map_err(Exit::usage)?;
        match draft.wrong(key) {
            Some(problem) if questions.at_terminal() => questions.tell(&problem),
            _ => return Ok(true),
        }
    }
    Ok(false)
}

fn optional(
    draft: &mut Draft,
    api: &Api,
    key: &str,
    way: &Way,
    questions: &mut Questions,
) -> Result<(), Exit> {
    let scopes = scopes(api).filter(|_| key == "scope").map(|scopes| format!(" {scopes}"));
    let words = format!("{}{}", words(key, way), scopes.unwrap_or_default());
    let answer = questions.optional(key, &words)?;
    answer.map_or(Ok(()), |answer| draft.set(key, &answer)).map_err(Exit::usage)
}

/// What an issuer says of its scopes.
fn scopes(api: &Api) -> Option<String> {
    let Api::Issuer(Some(discovered)) = api else { return None };
    let named = discovered.scopes.join(" ");
    let offline = if discovered.scopes.iter().any(|scope| scope == "offline_access") {
        ". With offline_access it gives a refresh token"
    } else {
        ""
    };
    (!named.is_empty()).then(|| format!("The server names {named}{offline}."))
}

/// The question for a key.
fn words(key: &str, way: &Way) -> String {
    let (words, example) = match key {
        "base_url" => ("The address of the server.", "https://id.example"),
        "token_endpoint" => ("The token endpoint's URL.", "https://id.example/oauth/token"),
        "authorization_endpoint" => {
            ("The URL where a person's browser is sent.", "https://id.example/oauth/authorize")
        }
        "device_authorization_endpoint" => {
            ("The URL where a device asks for a user code.", "https://id.example/oauth/device")
        }
        "client_id" => ("The client's id, as the provider gave it to you.", ""),
        "client_secret" => ("The client's secret, as the provider gave it to you.", ""),
        "refresh_token" => ("The refresh token that a person made.", ""),
        "scope" => ("What the token may do: scopes with a space between them.", ""),
        "username" => ("The user's name.", ""),
        "password" => ("The user's password.", ""),
        "upstream.url" => {
            ("The API's address, to which your application's paths are added.", "https://api.example")
        }
        key => (draft::doc(key), ""),
    };
    match way.example(key).unwrap_or(example) {
        "" => words.to_owned(),
        example => format!("{words} For example: {example}"),
    }
}

fn unanswered(missing: &[&str]) -> Exit {
    let lines: Vec<_> = missing
        .iter()
        .map(|key| {
            if draft::is_secret(key) {
                format!("  {key}: a line on stdin, or --secrets env")
            } else {
                format!("  --set {key}=…   {}", words(key, &Way::default()))
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
        let Some(secret) = questions.secret(key, &words(key, &Way::default()))? else { return Ok(false) };
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
