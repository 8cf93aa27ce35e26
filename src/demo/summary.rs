//! What the tour says before and after: for somebody who sees bearward for the first time.
//!
//! Knows when the tour counts as a success, and says so only then. Does not know how things were counted.

use std::{fmt::Write as _, time::Duration};

use super::{
    Bearward, Verdict,
    events::Events,
    score::{Line, Score},
    simulator::cybrid,
    stage::{Door, Stage},
};

pub(super) const OPENING: &str = "
  bearward demo

  application ----> bearward ----> Inventorum  tokens of 7 s, one-use refresh
  knows no OAuth    adds the       Shopware    tokens of 6 s, requested in JSON
  holds no secret   token          Cybrid      tokens of 6 s, one per customer
                                   Cymbio      tokens of 5 s
                                   Apicbase    tokens of 8 s, after a login

  All of it runs in this process: the providers are simulated and strict, and
  refuse a token the moment it is dead. The application sends plain requests.
  On the way two things will be broken on purpose.

";

/// Whether the tour was a success.
pub(super) fn verdict(score: &Score, events: &Events) -> Verdict {
    let mut failures = Vec::new();
    for line in &score.lines {
        if let Some(seen) = line.seen.as_ref().filter(|seen| seen.errors > 0) {
            let first = seen.first_error.as_deref().unwrap_or("no answer");
            failures
                .push(format!("{}: the application saw {} errors, first {first}", line.label, seen.errors));
        }
        if line.token.number < 2 || line.token.granted < 2 {
            failures.push(format!("{}: no second token was seen", line.label));
        }
    }
    if score.counts.logins != 1 {
        failures.push(format!("a person was asked to log in {} times, not once", score.counts.logins));
    }
    if !events.revoked() {
        failures.push("no revoked token was rejected and replaced".to_owned());
    }
    if score.replays() == 0 {
        failures.push("no request was sent a second time".to_owned());
    }
    if !events.limited() {
        failures.push("no token request was turned away and then granted".to_owned());
    }
    let counts = &score.counts;
    for (count, what) in [
        (counts.expired_tokens_seen, "requests carried an expired token"),
        (counts.bare_requests_seen, "requests carried no token"),
        (counts.unknown_tokens_seen, "requests carried a token that was never issued"),
        (counts.dead_refresh_tokens_seen, "token requests used a refresh token twice"),
        (counts.refused, "token requests were refused"),
    ] {
        if count > 0 {
            failures.push(format!("{count} {what}"));
        }
    }
    match failures.is_empty() {
        true => Verdict::Passed,
        false => Verdict::Failed(failures),
    }
}

/// What happened.
pub(super) fn closing(score: &Score, events: &Events, verdict: &Verdict, elapsed: Duration) -> String {
    let (requests, errors) = score.requests_and_errors();
    let mut text = String::from("\n  What happened\n\n");
    let seconds = elapsed.as_secs();
    let failed = match errors {
        0 => "Every one was answered 200.".to_owned(),
        errors => format!("{errors} of them FAILED."),
    };
    line(&mut text, &format!("The application sent {requests} requests in {seconds} s. {failed}"));
    let slowest = score.slowest.as_millis();
    line(
        &mut text,
        &format!("The slowest answer took {slowest} ms, a new token included where one was due.\n"),
    );
    for part in &score.lines {
        line(&mut text, &told(part));
    }
    text.push('\n');
    if let Some(token) = score.line("Apicbase").map(|part| part.token).filter(|token| token.granted > 1) {
        let logins = times(score.counts.logins);
        line(
            &mut text,
            &format!("login     A person logged in at Apicbase {logins}. bearward has refreshed"),
        );
        let refreshed = times(token.granted - 1);
        line(&mut text, &format!("          that token {refreshed} since, and asked nobody."));
    }
    if events.revoked() {
        let rejected = times(score.counts.revoked_tokens_seen);
        line(
            &mut text,
            &format!("revoked   A token in use was taken back and rejected {rejected}. bearward"),
        );
        let again = some(score.replays(), "request");
        line(&mut text, &format!("          replaced it and sent {again} again."));
    }
    if events.limited() {
        let count = score.counts.limited;
        line(
            &mut text,
            &format!("limited   {count} token {} turned away with 403. The held token", was(count)),
        );
        line(&mut text, "          served on, and bearward asked again later.");
    }
    conclude(&mut text, verdict);
    text
}

fn conclude(text: &mut String, verdict: &Verdict) {
    text.push('\n');
    match verdict {
        Verdict::Passed => {
            line(text, "The application noticed none of it.\n");
            line(text, "next: bearward demo --keep   the same, left running for curl and a browser");
            line(text, "      bearward init          writes a bearward.toml for your own API");
        }
        Verdict::Failed(failures) => {
            line(text, "That is not as it should be:");
            for failure in failures {
                line(text, &format!("- {failure}"));
            }
            line(text, "\n  next: please report this, with what is printed above.");
        }
    }
}

/// What to try while everything stays up.
pub(super) fn to_try(stage: &Stage, doors: &[Door], bearward: &impl Bearward) -> String {
    let mut text = String::from("\n  Everything stays up until Ctrl-C. In another terminal:\n\n");
    let at =
        |upstream: &str| doors.iter().find(|door| door.part.upstream == upstream).map(|door| door.address);
    let mut offer = |what: &str, command: &str| {
        let _ = write!(text, "  # {what}\n  {command}\n\n");
    };
    if let Some(address) = at("inventorum") {
        offer(
            "straight to the provider, without a token: 401",
            &format!(
                "curl -i -H 'accept: application/json' \\\n       {}/api/products/",
                stage.inventorum.url()
            ),
        );
        offer(
            "the same through bearward: 200",
            &format!("curl -i -H 'accept: application/json' \\\n       http://{address}/api/products/"),
        );
    }
    if let Some(address) = at("cybrid") {
        offer(
            "for the customer you name",
            &format!(
                "curl -H 'x-bearward-subject: {}' \\\n       http://{address}/api/trades",
                cybrid::CUSTOMERS[2]
            ),
        );
    }
    if let Some(address) = at("cymbio") {
        offer("one port for many APIs", &format!("curl http://{address}/cymbio/v3/orders"));
    }
    if let Some(address) = bearward.address("admin") {
        offer("the page to leave open while you work: open it in a browser", &format!("http://{address}/"));
        offer("what an operator sees", &format!("curl http://{address}/status"));
        offer("what Prometheus sees", &format!("curl http://{address}/metrics"));
    }
    text
}

fn told(part: &Line) -> String {
    let seen = part.seen.as_ref();
    let counted = |count: Option<u64>, word| count.map_or(String::new(), |count| some(count, word));
    let notes: Vec<_> = [
        part.replays.filter(|replays| *replays > 0).map(|count| format!("{count} replayed")),
        (part.token.limited > 0).then(|| format!("{} turned away", part.token.limited)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let told = format!(
        "{:<15}{:>13}  {:>10}  {:>9}  {}",
        part.label,
        counted(seen.map(|seen| seen.requests), "request"),
        counted(seen.map(|seen| seen.errors), "error"),
        some(part.token.granted, "token"),
        notes.join(", "),
    );
    told.trim_end().to_owned()
}

fn line(text: &mut String, line: &str) {
    text.push_str("  ");
    text.push_str(line);
    text.push('\n');
}

/// A count with its noun.
fn some(count: u64, word: &str) -> String {
    match count {
        1 => format!("1 {word}"),
        more => format!("{more} {word}s"),
    }
}

fn was(count: u64) -> &'static str {
    match count {
        1 => "request was",
        _ => "requests were",
    }
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        more => format!("{more} times"),
    }
}
