//! `[tokens.NAME]`: recipes, the grant behind each, and who is whose parent.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::HeaderName;

use super::{check_name, missing, token_keys::TokenKeys};
use crate::{
    config::{
        Store, SubjectsOf, Token, Written, keys, presets,
        problems::Problem,
        reader::{Reader, Table, nearest},
        source::is_name,
        values::Value,
    },
    oauth::{
        Grant,
        grant::{FromKeys, GRANTS},
    },
    token::Policy,
};

/// The grant whose requests another token authorizes.
pub(super) const CHAINED: &str = "request";
const SUBJECT: &str = "{subject}";

/// How long a request waits for a token.
pub(super) const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Keys that every token may have, whatever its grant.
const COMMON: &[&str] =
    &["preset", "grant_type", "default_lifetime", "refresh_at", "acquire", "token_timeout"];

/// Reads every recipe; `None` where one is wrong.
pub(super) fn all(reader: &mut Reader<'_>, file: &Table, store: &Store) -> Option<BTreeMap<Arc<str>, Token>> {
    let named = file.named("tokens");
    let mut tokens = Some(BTreeMap::new());
    for (name, table) in named {
        check_name(reader, name, table.at.clone());
        match one(reader, table) {
            Some(token) => {
                warn_of_memory(reader, table, &*token.grant, store);
                tokens = tokens.map(|mut tokens| {
                    tokens.insert(Arc::from(name.as_str()), token);
                    tokens
                });
            }
            None => tokens = None,
        }
    }
    parents(reader, named);
    tokens
}

fn one(reader: &mut Reader<'_>, written: &Table) -> Option<Token> {
    let mut table = written.clone();
    presets::under_token(&mut table);
    let table = &table;
    let subjects = subjects(reader, table);
    let policy = policy(table, subjects.as_ref().is_some_and(Option::is_some));
    let (grant_type, from_keys) = grant_type(reader, table)?;
    let mut keys = TokenKeys::new(reader, table);
    let grant = from_keys(&mut keys);
    let (mut read, tls) = keys.into_asked();
    read.extend(COMMON);
    if grant_type == CHAINED {
        read.extend(["authorize_with", "subject_header", "max_subjects"]);
    }
    for (key, entry) in table.written().filter(|(key, _)| !read.contains(key)) {
        meaningless(reader, table, &grant_type, key, entry.key_at.clone());
    }
    if grant_type == "password" {
        let problem = Problem::warning(format!(
            "[{}] uses the password grant, which RFC 9700 section 2.4 forbids",
            table.name
        ));
        let fix = "use a grant without the user's password where the server has one";
        reader.report(problem.fix(fix), table.at("grant_type"), "");
    }
    Some(Token {
        grant: grant?,
        policy,
        authorize_with: table.text("authorize_with").map(Arc::from),
        subjects: subjects?,
        written: Written { table: table.clone(), tls },
        token_timeout: table.duration("token_timeout").unwrap_or(TOKEN_TIMEOUT),
    })
}

fn grant_type(reader: &mut Reader<'_>, table: &Table) -> Option<(String, FromKeys)> {
    let names = || GRANTS.iter().map(|(name, _)| *name);
    let list = || names().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let Some(grant_type) = table.text("grant_type") else {
        if !table.has("grant_type") && (!table.has("preset") || table.text("preset").is_some()) {
            missing(reader, table, "grant_type", &format!("add grant_type, one of {}, or a preset", list()));
        }
        return None;
    };
    if let Some((_, from_keys)) = GRANTS.iter().find(|(name, _)| *name == grant_type) {
        return Some((grant_type.to_owned(), *from_keys));
    }
    let at = table.at("grant_type");
    if let Some((_, instead)) = keys::LATER_GRANT_TYPES.iter().find(|(name, _)| *name == grant_type) {
        let title = format!("grant_type = \"{grant_type}\" is not in this version of bearward");
        reader.report(Problem::error(title).fix(*instead), at, "");
        return None;
    }
    let fix = match nearest(grant_type, names()) {
        Some(near) => format!("did you mean \"{near}\"? Possible: {}", list()),
        None => format!("possible: {}", list()),
    };
    reader.report(Problem::error("`grant_type` has a value that is not known").fix(fix), at, "");
    None
}

/// A key that is known, and that this recipe does not read.
fn meaningless(
    reader: &mut Reader<'_>,
    table: &Table,
    grant_type: &str,
    key: &str,
    at: std::ops::Range<usize>,
) {
    const METHOD: &str = "token_endpoint_auth_method";
    if key == "client_secret" && table.has(METHOD) && table.text(METHOD).is_none() {
        return;
    }
    let (method, choose) = match table.text(METHOD) {
        Some(method) if key == "client_secret" || key == "basic_encoding" => {
            (format!(" and {METHOD} = \"{method}\""), METHOD)
        }
        _ => (String::new(), "grant_type"),
    };
    // A warning: a table that is being moved from one grant to another still does what it says.
    let problem =
        Problem::warning(format!("`{key}` means nothing with grant_type = \"{grant_type}\"{method}"));
    reader.report(problem.fix(format!("remove it, or choose another {choose}")), at, "");
}

fn policy(table: &Table, per_subject: bool) -> Policy {
    let refresh_at = match table.value("refresh_at") {
        Some(Value::Share(share)) => *share,
        _ => 0.8,
    };
    Policy {
        refresh_at,
        eager: table.text("acquire") != Some("lazy") && !per_subject,
        default_lifetime: table.duration("default_lifetime").unwrap_or(Duration::from_secs(300)),
    }
}

/// How subjects are told apart, where the recipe mentions one; `None` where a problem was reported.
#[expect(clippy::option_option, reason = "absent, wrong and right are three things")]
fn subjects(reader: &mut Reader<'_>, table: &Table) -> Option<Option<SubjectsOf>> {
    let in_body = matches!(table.value("body"), Some(Value::Object(body)) if mentions_subject(&serde_json::Value::Object(body.clone())));
    if !in_body && !table.text("url").is_some_and(|url| url.contains(SUBJECT)) {
        let chained = table.text("grant_type") == Some(CHAINED);
        for key in ["subject_header", "max_subjects"] {
            if let Some(entry) = table.entry(key).filter(|_| chained) {
                let problem = Problem::error(format!(
                    "`{key}` means nothing: neither `url` nor `body` mentions \"{SUBJECT}\""
                ));
                let fix = "write for example body = { customer_guid = \"{subject}\" }, or remove it";
                reader.report(problem.fix(fix), entry.key_at.clone(), "");
            }
        }
        return Some(None);
    }
    let written = table.text("subject_header").unwrap_or("x-bearward-subject");
    let reserved = ["authorization", "host", "connection", "content-length", "transfer-encoding", "cookie"];
    let header =
        HeaderName::from_bytes(written.as_bytes()).ok().filter(|name| !reserved.contains(&name.as_str()));
    if header.is_none() {
        let problem = Problem::error("`subject_header` cannot be this field");
        let fix = "name a field of its own, for example \"x-bearward-subject\"";
        reader.report(problem.fix(fix), table.at("subject_header"), "");
    }
    Some(Some(SubjectsOf { header: header?, most: table.number("max_subjects").unwrap_or(10_000) }))
}

fn mentions_subject(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(text) => text.contains(SUBJECT),
        serde_json::Value::Array(list) => list.iter().any(mentions_subject),
        serde_json::Value::Object(object) => object.values().any(mentions_subject),
        _ => false,
    }
}

/// Every parent exists, is one token, and is nobody's descendant of its own.
fn parents(reader: &mut Reader<'_>, named: &[(String, Table)]) {
    let table_of = |name: &str| named.iter().find(|(known, _)| known == name).map(|(_, table)| table);
    for (name, table) in named {
        let Some(parent) = table.text("authorize_with") else { continue };
        let at = table.at("authorize_with");
        let Some(parent_table) = table_of(parent) else {
            unknown(reader, parent, named, at);
            continue;
        };
        let mentions = |key: &str| match parent_table.value(key) {
            Some(Value::Object(body)) => mentions_subject(&serde_json::Value::Object(body.clone())),
            Some(Value::Text(text)) => text.contains(SUBJECT),
            _ => false,
        };
        if parent != name && (mentions("body") || mentions("url")) {
            let problem = Problem::error(format!(
                "[tokens.{parent}] has a token per subject and cannot authorize another's requests"
            ));
            reader.report(problem.fix("name a token that has no \"{subject}\""), at, "");
            continue;
        }
        let mut way = vec![name.as_str()];
        let mut next = Some(parent);
        while let Some(at) = next.filter(|next| !way.contains(next)) {
            way.push(at);
            next = table_of(at).and_then(|table| table.text("authorize_with"));
        }
        let first = way.iter().all(|other| *other >= name.as_str());
        if next == Some(name.as_str()) && first {
            way.push(name);
            let title = format!("these tokens wait for each other: {}", way.join(" -> "));
            let fix = "one of them must be got without the others";
            reader.report(Problem::error(title).fix(fix), at, "");
        }
    }
}

/// Reports a reference to a token that does not exist.
pub(super) fn unknown(
    reader: &mut Reader<'_>,
    name: &str,
    named: &[(String, Table)],
    at: std::ops::Range<usize>,
) {
    if !is_name(name) {
        let problem = Problem::error("this is not the name of a [tokens.NAME]");
        reader.report(problem.fix("write the table's NAME here, and the token itself in that table"), at, "");
        return;
    }
    let names = || named.iter().map(|(name, _)| name.as_str());
    let fix = match nearest(name, names()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if named.is_empty() => format!("add a [tokens.{name}]"),
        None => format!("there are: {}", names().collect::<Vec<_>>().join(", ")),
    };
    reader.report(Problem::error(format!("there is no [tokens.{name}]")).fix(fix), at, "");
}

/// What a person has made once is lost with the process where it is only in memory.
fn warn_of_memory(reader: &mut Reader<'_>, table: &Table, grant: &dyn Grant, store: &Store) {
    if *store != Store::Memory {
        return;
    }
    let (what, at) = if grant.login().is_some() {
        ("begins with a login, and the store is memory: a restart needs another", "grant_type")
    } else if grant.first_refresh_token().is_ok_and(|token| token.is_some()) {
        ("has a refresh token, and the store is memory: a rotated one is lost at a restart", "refresh_token")
    } else {
        return;
    };
    let problem = Problem::warning(format!("[{}] {what}", table.name));
    reader.report(problem.fix("set kind = \"file\" in [store]"), table.at(at), "");
}
