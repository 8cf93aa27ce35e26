//! What users see of their configuration's mistakes, and that no secret is among it.

mod example;
mod mistakes;
mod secrets;
mod valid;

use super::{Config, Loaded, Problems};

/// The environment of every test here.
fn env(name: &str) -> Option<String> {
    match name {
        "SECRET" => Some("from-the-environment".to_owned()),
        "EMPTY" => Some(String::new()),
        "HOME" => Some("/home/tester".to_owned()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Loaded, Problems> {
    Config::parse_with(text, "bearward.toml", &env)
}

/// What is wrong with a text, as a user sees it.
fn wrong(text: &str) -> String {
    match parse(text) {
        Ok(_) => panic!("this should not be valid:\n{text}"),
        Err(problems) => problems.to_string(),
    }
}
