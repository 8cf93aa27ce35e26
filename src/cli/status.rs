//! `bearward status`: what a running one says of itself.

use std::fmt::Write;

use serde_json::Value;

use super::{
    ask,
    exit::{self, Exit},
};
use crate::config::Loaded;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// As JSON, as `/status` has it
    #[arg(long)]
    json: bool,
}

pub(super) fn run(loaded: &Loaded, arguments: &Arguments) -> Result<(), Exit> {
    let admin = ask::admin(&loaded.config)?;
    let asked = ask::runtime()?.block_on(ask::get(&admin, "/status"));
    let (status, answer) = asked.map_err(|error| {
        Exit::unavailable(format!("nothing answers on {admin}: {error}; does bearward run?"))
    })?;
    if !status.is_success() {
        return Err(Exit::failure(format!("{admin} answered {status}")));
    }
    if arguments.json {
        return exit::print(&format!("{}\n", answer.trim_end()));
    }
    let seen: Value = serde_json::from_str(&answer)
        .map_err(|error| Exit::failure(format!("what answers on {admin} is not bearward: {error}")))?;
    exit::print(&table(&seen))
}

fn table(seen: &Value) -> String {
    let mut out = format!("bearward {} is running\n", text(&seen["version"]));
    let mut rows =
        vec![["TOKEN", "STATE", "EXPIRES AT", "GENERATION", "LAST ERROR"].map(str::to_owned).to_vec()];
    for (name, token) in seen["tokens"].as_object().into_iter().flatten() {
        let keys = ["state", "expires_at", "generation", "last_error"];
        rows.push([name.clone()].into_iter().chain(keys.map(|key| text(&token[key]))).collect());
    }
    align(&mut out, &rows);
    let mut rows =
        vec![["UPSTREAM", "REQUESTS", "ERRORS", "REPLAYS", "TOKEN", "URL"].map(str::to_owned).to_vec()];
    for (name, upstream) in seen["upstreams"].as_object().into_iter().flatten() {
        let keys = ["requests", "errors", "replays", "token", "url"];
        rows.push([name.clone()].into_iter().chain(keys.map(|key| text(&upstream[key]))).collect());
    }
    align(&mut out, &rows);
    out
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn align(out: &mut String, rows: &[Vec<String>]) {
    if rows.len() < 2 {
        return;
    }
    let columns = rows[0].len();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    out.push('\n');
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a String cannot fail.
            let _ = write!(line, "{cell:width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_absent_values_are_dashes() {
        let seen = serde_json::json!({
            "version": "1",
            "tokens": { "shop": { "state": "valid", "expires_at": null, "generation": 3, "last_error": null } },
            "upstreams": {},
        });
        assert_eq!(
            table(&seen),
            "bearward 1 is running\n\n\
             TOKEN  STATE  EXPIRES AT  GENERATION  LAST ERROR\n\
             shop   valid  -           3           -\n"
        );
    }
}
