//! Before the application begins: a person logs in at the one API that wants that.
//!
//! Knows who the person is and what is told of it. Does not know how bearward takes the code.

use std::{io::Write, time::Duration};

use super::{
    Bearward, Problem,
    outlook::Outlook,
    simulator::{Person, apicbase},
    table::Screen,
};

/// The token that a person logs in for.
const TOKEN: &str = "apicbase";
/// How long it may take; the person is quick.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the state is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Lets a scripted person log in for Apicbase, and tells it.
pub(super) async fn of_a_person(
    bearward: &impl Bearward,
    outlook: &mut Outlook,
    screen: &mut Screen<'_, impl Write>,
) -> Result<(), Problem> {
    expect_login_required(outlook).await?;
    let logged_in = tokio::time::timeout(PATIENCE, bearward.log_in(TOKEN, browser)).await;
    logged_in.unwrap_or_else(|_| Err("it took too long".to_owned())).map_err(Problem::Login)?;
    screen.say(&told()).map_err(Problem::Output)
}

/// bearward says by itself that it needs a person, once it has looked into its store.
async fn expect_login_required(outlook: &mut Outlook) -> Result<(), Problem> {
    let required = async {
        loop {
            let token = outlook.status().await?.tokens.remove(TOKEN).unwrap_or_default();
            if token.state == "login_required" {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let late = || Err(Problem::Login("bearward did not say login_required".to_owned()));
    tokio::time::timeout(PATIENCE, required).await.unwrap_or_else(|_| late())
}

/// The person's browser: Apicbase's page, the button, and the way back to bearward.
async fn browser(url: String) -> Result<(), String> {
    let last = Person::new().allow(&url).await.map_err(|stuck| stuck.to_string())?;
    match last.status.is_success() {
        true => Ok(()),
        false => Err(format!("the browser ended on a {}: {}", last.status, last.text)),
    }
}

/// What is told of it.
pub(super) fn told() -> String {
    format!(
        "  A person logged in at Apicbase: its token was login_required, so
  {} opened the address that bearward gave, pressed Allow
  there, and the browser brought the code back. Nobody is needed from here on.

",
        apicbase::USERNAME
    )
}
