//! `bearward token NAME`: a valid access token on stdout, for curl and scripts; or what its server says of it.

use super::{
    ask,
    exit::{self, Exit},
    login,
};
use crate::{
    app,
    config::{Config, Loaded},
    login::Introspected,
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
    /// Instead of the token, what its authorization server says of it (RFC 7662): active, scope, expiry
    #[arg(long)]
    introspect: bool,
}

pub(super) fn run(loaded: Loaded, arguments: &Arguments) -> Result<(), Exit> {
    let Some(token) = loaded.config.tokens.get(&*arguments.name) else {
        return Err(unknown(&loaded.config, &arguments.name));
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
        let held = held?;
        if arguments.introspect {
            return introspect(&loaded.config, arguments, &held).await;
        }
        exit::print(&shown(&held, arguments.json))
    })
}

/// The configuration has no such token.
pub(super) fn unknown(config: &Config, name: &str) -> Exit {
    let names: Vec<&str> = config.tokens.keys().map(|name| &**name).collect();
    Exit::usage(format!("there is no [tokens.{name}]; there is {}", names.join(", ")))
}

async fn introspect(config: &Config, arguments: &Arguments, held: &Held) -> Result<(), Exit> {
    let name = &arguments.name;
    let account = app::account(config, name).map_err(Exit::unavailable)?;
    let account = account.ok_or_else(|| unknown(config, name))?;
    let introspected = account.introspect_token(held.access_token()).await;
    let introspected = introspected.map_err(|error| login::unsaid(name, &error))?;
    let introspected = introspected.ok_or_else(|| {
        Exit::config(format!(
            "no introspection endpoint is known for {name}: set introspection_endpoint in [tokens.{name}], or issuer where \
             the server's metadata names one"
        ))
    })?;
    exit::print(&described(&introspected, arguments.json))
}

fn described(said: &Introspected, json: bool) -> String {
    let expires_at =
        said.expires_at.and_then(|at| jiff::Timestamp::try_from(at).ok()).map(|at| at.to_string());
    if json {
        let shown = serde_json::json!({
            "active": said.active,
            "scope": said.scope,
            "expires_at": expires_at,
            "client_id": said.client_id,
            "username": said.username,
        });
        return format!("{shown}\n");
    }
    let active = if said.active { "yes" } else { "no" }.to_owned();
    let lines = [
        ("active", Some(&active)),
        ("scope", said.scope.as_ref()),
        ("expires at", expires_at.as_ref()),
        ("client", said.client_id.as_ref()),
        ("username", said.username.as_ref()),
    ];
    lines.into_iter().filter_map(|(name, value)| Some(format!("{name:<11}{}\n", value?))).collect()
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
