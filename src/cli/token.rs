//! `bearward token NAME`: a valid access token on stdout, for curl and scripts.

use super::{
    ask,
    exit::{self, Exit},
};
use crate::{
    app,
    config::Loaded,
    token::{Cause, Held, Supply, Unavailable},
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The token's name in the configuration
    name: String,
    /// Whom it is for, where it is one token per subject
    #[arg(long)]
    subject: Option<String>,
    /// As JSON, with its expiry
    #[arg(long)]
    json: bool,
}

pub(super) fn run(loaded: Loaded, arguments: &Arguments) -> Result<(), Exit> {
    let Some(token) = loaded.config.tokens.get(&*arguments.name) else {
        let names: Vec<&str> = loaded.config.tokens.keys().map(|name| &**name).collect();
        return Err(Exit::usage(format!(
            "there is no [tokens.{}]; there is {}",
            arguments.name,
            names.join(", ")
        )));
    };
    let patience = token.token_timeout;
    ask::runtime()?.block_on(async {
        let sources = app::tokens_alone(&loaded.config, &arguments.name).map_err(Exit::unavailable)?;
        let source = match (sources.supply(&arguments.name).map(AsRef::as_ref), &arguments.subject) {
            (Some(Supply::One(source)), None) => source.clone(),
            (Some(Supply::PerSubject(subjects)), Some(subject)) => subjects.source(subject),
            (Some(Supply::PerSubject(_)), None) => {
                return Err(Exit::usage("this token is one per subject: add --subject SUBJECT"));
            }
            (Some(Supply::One(_)), Some(_)) => {
                return Err(Exit::usage("this token has no subjects: leave --subject out"));
            }
            (None, _) => return Err(Exit::failure("the token was not built")),
        };
        let held = source.token(patience).await.map_err(|none| unavailable(&arguments.name, &none));
        sources.stop().await;
        exit::print(&shown(&*held?, arguments.json))
    })
}

fn unavailable(name: &str, none: &Unavailable) -> Exit {
    let message = format!("no token for {name}: {}", none.detail);
    match none.cause {
        Cause::LoginRequired => Exit::login_required(message),
        Cause::Refused => Exit::failure(message),
        Cause::BackingOff | Cause::TimedOut | Cause::Stopping => Exit::try_again(message),
    }
}

#[expect(clippy::disallowed_methods, reason = "printing the token is what this command is for")]
fn shown(held: &Held, json: bool) -> String {
    let token = held.access_token().expose();
    if !json {
        return format!("{token}\n");
    }
    let expires_at = jiff::Timestamp::try_from(held.expires().wall()).map(|at| at.to_string()).ok();
    let shown = serde_json::json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_at": expires_at,
        "generation": held.generation(),
    });
    format!("{shown}\n")
}
