//! One value of a configuration file: its text -> its type.
//!
//! Knows formats (durations, sizes, listen addresses, secrets, rules) and shows what would be right. Does not know what a
//! value is for.

use std::{fmt, ops::Range, path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue, StatusCode};
use toml::{Spanned, de::DeValue};

use super::{
    Listen, keys,
    keys::{Key, Kind},
    problems::Problem,
    reader::{Reader, Table, nearest},
    secrets,
};
use crate::{proxy::rejection::Rule, secret::SecretSource};

/// A value in its type. `Debug` tells nothing of it: there are secrets in texts too, such as a URL's query.
#[derive(Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Secret(SecretSource),
    Duration(Duration),
    /// A size in octets, or a number.
    Number(u64),
    Share(f64),
    Flag(bool),
    Texts(Vec<String>),
    Users(Vec<u32>),
    Object(serde_json::Map<String, serde_json::Value>),
    Fields(Vec<(HeaderName, HeaderValue)>),
    Rules(Vec<Rule>),
    Listen(Listen),
    Path(PathBuf),
    Table(Table),
    Named(Vec<(String, Table)>),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(table) => table.fmt(f),
            Self::Named(named) => named.fmt(f),
            _ => f.write_str(".."),
        }
    }
}

/// What is wrong with a value, and what would be right.
struct Wrong {
    problem: String,
    fix: String,
}

type Read<T> = Result<T, Wrong>;

/// A year: longer is a mistake.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

impl Reader<'_> {
    /// Reads the value of `key`; `None` where a problem was reported.
    pub fn value(
        &mut self,
        key: &Key,
        path: &str,
        key_at: Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Value> {
        let read = match (key.kind, value.get_ref()) {
            (Kind::Table(keys), DeValue::Table(table)) => {
                return Some(Value::Table(self.table(path, key_at, table, keys)));
            }
            (Kind::Named(keys), DeValue::Table(table)) => {
                return Some(Value::Named(self.named(path, table, keys)));
            }
            (Kind::Secret, _) => return secrets::read(self, key.name, value),
            (Kind::Rules, _) => return self.rules(path, value),
            (Kind::Table(_) | Kind::Named(_), other) => Err(Wrong {
                problem: format!("must be a table, not {}", article(other)),
                fix: format!("write [{path}] and its keys on the lines below it"),
            }),
            (kind, value) => self.plain(kind, value),
        };
        match read {
            Ok(value) => Some(value),
            Err(Wrong { problem, fix }) => {
                let title = format!("`{}` {problem}", key.name);
                self.report(Problem::error(title).fix(fix), value.span(), "");
                None
            }
        }
    }

    fn plain(&self, kind: Kind, value: &DeValue<'_>) -> Read<Value> {
        Ok(match kind {
            Kind::Text | Kind::TokenName | Kind::Url => {
                Value::Text(text(value, "a text", "\"…\"")?.to_owned())
            }
            Kind::File => {
                Value::Path(self.source.folder().join(text(value, "the path of a file", "\"/path\"")?))
            }
            Kind::Listen => Value::Listen(listen(value)?),
            Kind::Duration => Value::Duration(duration(value)?),
            Kind::Size { least } => Value::Number(size(value, least)?),
            Kind::Bool => {
                Value::Flag(value.as_bool().ok_or_else(|| of_type(value, "true or false", "true"))?)
            }
            Kind::Integer { least, most } => Value::Number(integer(value, least, most)?),
            Kind::Share { least, most } => Value::Share(share(value, least, most)?),
            Kind::Choice { now, later } => Value::Text(choice(value, now, later)?),
            Kind::Words => Value::Text(words(value)?),
            Kind::Texts => Value::Texts(texts(value)?),
            Kind::Users => Value::Users(users(value)?),
            Kind::Object => match json(value)? {
                serde_json::Value::Object(object) => Value::Object(object),
                _ => return Err(of_type(value, "a table", "{ name = \"value\" }")),
            },
            Kind::Fields => Value::Fields(fields(value)?),
            Kind::Table(_) | Kind::Named(_) | Kind::Secret | Kind::Rules => {
                return Err(wrong("cannot stand here", "remove it"));
            }
        })
    }

    fn rules(&mut self, path: &str, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        let Some(list) = value.get_ref().as_array() else {
            return self.rule(path, value).map(Value::Rules);
        };
        let rules: Vec<_> = list.iter().map(|entry| self.rule(path, entry)).collect();
        let rules: Option<Vec<_>> = rules.into_iter().collect();
        rules.map(|rules| Value::Rules(rules.concat()))
    }

    fn rule(&mut self, path: &str, value: &Spanned<DeValue<'_>>) -> Option<Vec<Rule>> {
        const FIX: &str = "write \"any-401\", \"challenge\", \"never\" or { status = 401, pointer = \"/error/key\", equals = \"token.invalid\" }";
        let problem = match value.get_ref() {
            DeValue::String(text) => match text.as_ref() {
                "any-401" => return Some(vec![Rule::Any401]),
                "challenge" => return Some(vec![Rule::Challenge]),
                "never" => return Some(Vec::new()),
                _ => "is none of the rules".to_owned(),
            },
            DeValue::Table(table) => {
                let table = self.table(path, value.span(), table, keys::RULE);
                return self.body_rule(&table, value.span());
            }
            other => format!("must be a rule or a list of rules, not {}", article(other)),
        };
        self.report(Problem::error(format!("`token_invalid` {problem}")).fix(FIX), value.span(), "");
        None
    }

    fn body_rule(&mut self, table: &Table, at: Range<usize>) -> Option<Vec<Rule>> {
        for key in ["pointer", "equals"] {
            if !table.has(key) {
                let title = format!("`{key}` is missing in `token_invalid`");
                let fix = "write { status = 401, pointer = \"/error/key\", equals = \"token.invalid\" }";
                self.report(Problem::error(title).fix(fix), at.clone(), "");
            }
        }
        let pointer = table.text("pointer").filter(|pointer| pointer.starts_with('/'));
        if pointer.is_none() && table.text("pointer").is_some() {
            let problem = Problem::error("`pointer` must be a JSON pointer (RFC 6901)");
            let fix = "begin it with /, for example \"/error/key\"";
            self.report(problem.fix(fix), table.at("pointer"), "");
        }
        let (pointer, equals) = (pointer?, table.text("equals")?);
        let status = u16::try_from(table.number("status").unwrap_or(401)).ok()?;
        let status = StatusCode::from_u16(status).ok()?;
        Some(vec![Rule::Body { status, pointer: pointer.to_owned(), equals: equals.to_owned() }])
    }
}

/// `a string`, `an integer` …: what stands there instead.
pub(super) fn article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn wrong(problem: impl Into<String>, fix: impl Into<String>) -> Wrong {
    Wrong { problem: problem.into(), fix: fix.into() }
}

fn of_type(value: &DeValue<'_>, wanted: &str, example: &str) -> Wrong {
    wrong(format!("must be {wanted}, not {}", article(value)), format!("for example {example}"))
}

fn text<'v>(value: &'v DeValue<'_>, wanted: &str, example: &str) -> Read<&'v str> {
    match value.as_str() {
        Some("") => Err(wrong("is empty", "give it a value, or remove the line")),
        Some(text) if text.chars().any(char::is_control) => {
            Err(wrong("holds a control character", "write it on one line, without tabs"))
        }
        Some(text) => Ok(text),
        None => Err(of_type(value, wanted, example)),
    }
}

fn duration(value: &DeValue<'_>) -> Read<Duration> {
    const EXAMPLES: &str = "\"30s\", \"5m\", \"1h30m\" or \"500ms\"";
    let text = text(value, "a duration", EXAMPLES)?;
    let fix = || format!("write for example {EXAMPLES}");
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
        && text.starts_with(|c: char| c.is_ascii_digit());
    let parsed = plain.then(|| text.parse::<jiff::SignedDuration>().ok()).flatten();
    let Some(duration) = parsed.and_then(|span| Duration::try_from(span).ok()) else {
        return Err(wrong("is no duration", fix()));
    };
    if duration.is_zero() {
        return Err(wrong("must be longer than nothing", fix()));
    }
    if duration > LONGEST {
        return Err(wrong("is longer than a year", fix()));
    }
    Ok(duration)
}

fn size(value: &DeValue<'_>, least: u64) -> Read<u64> {
    const EXAMPLES: &str = "\"64KiB\", \"2MiB\" or \"500B\"";
    const MOST: u64 = 1 << 40;
    let text = text(value, "a size", EXAMPLES)?;
    let has_unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
    match text.parse::<bytesize::ByteSize>().map(|size| size.as_u64()) {
        Ok(octets) if has_unit && (least..=MOST).contains(&octets) => Ok(octets),
        Ok(_) if has_unit => {
            let least = format!("{}KiB", least >> 10);
            Err(wrong("is out of range", format!("{least} to 1024GiB is possible")))
        }
        _ => Err(wrong("is no size", format!("write for example {EXAMPLES}"))),
    }
}

fn integer(value: &DeValue<'_>, least: u64, most: u64) -> Read<u64> {
    let Some(integer) = value.as_integer() else {
        return Err(of_type(value, "a whole number", &least.to_string()));
    };
    let range = || wrong("is out of range", format!("{least} to {most} is possible"));
    let number = u64::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| range())?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(range()) }
}

fn share(value: &DeValue<'_>, least: f64, most: f64) -> Read<f64> {
    let number = match value {
        DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
        DeValue::Integer(integer) => integer.as_str().parse::<f64>().ok(),
        _ => return Err(of_type(value, "a number", "0.8")),
    };
    match number {
        Some(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(wrong("is out of range", format!("{least} to {most} is possible"))),
    }
}

fn choice(value: &DeValue<'_>, now: &[&str], later: &[(&str, &str)]) -> Read<String> {
    let list = || now.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let text = text(value, "a text", &list())?;
    if now.contains(&text) {
        return Ok(text.to_owned());
    }
    if let Some((name, instead)) = later.iter().find(|(name, _)| *name == text) {
        return Err(wrong(format!("cannot be \"{name}\" in this version of bearward"), *instead));
    }
    let fix = match nearest(text, now.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"? Possible: {}", list()),
        None => format!("possible: {}", list()),
    };
    Err(wrong("has a value that is not known", fix))
}

fn words(value: &DeValue<'_>) -> Read<String> {
    if value.is_array() {
        return texts(value).map(|words| words.join(" "));
    }
    text(value, "a text or a list of texts", "[\"read:orders\", \"write:orders\"]").map(str::to_owned)
}

fn texts(value: &DeValue<'_>) -> Read<Vec<String>> {
    let Some(list) = value.as_array() else { return Err(of_type(value, "a list of texts", "[\"…\"]")) };
    list.iter().map(|entry| text(entry.get_ref(), "a list of texts", "[\"…\"]").map(str::to_owned)).collect()
}

fn users(value: &DeValue<'_>) -> Read<Vec<u32>> {
    let wanted = || of_type(value, "a list of user ids", "[1000]");
    let list = value.as_array().ok_or_else(wanted)?;
    let id = |entry: &Spanned<DeValue<'_>>| match entry.get_ref() {
        DeValue::Integer(_) => integer(entry.get_ref(), 0, u64::from(u32::MAX) - 1).map(|id| id as u32),
        // Names differ between a container and its host, and what is listed has to mean one user.
        _ => Err(wrong("holds something that is no user id", "write numbers, as `id -u NAME` prints them")),
    };
    list.iter().map(id).collect()
}

fn fields(value: &DeValue<'_>) -> Read<Vec<(HeaderName, HeaderValue)>> {
    /// Values that may show in a `Debug`.
    const OPEN: [HeaderName; 4] = [
        http::header::ACCEPT,
        http::header::ACCEPT_LANGUAGE,
        http::header::CONTENT_TYPE,
        http::header::USER_AGENT,
    ];
    let Some(table) = value.as_table() else {
        return Err(of_type(value, "a table of fields", "{ accept = \"application/json\" }"));
    };
    let mut fields = Vec::new();
    for (name, value) in table {
        let name = name.get_ref();
        let Ok(field) = HeaderName::from_bytes(name.as_bytes()) else {
            return Err(wrong(
                format!("has \"{name}\", which is no field name"),
                "letters, digits and - make one",
            ));
        };
        let text = text(value.get_ref(), "a table of texts", "{ accept = \"application/json\" }")?;
        let mut value = HeaderValue::from_str(text).map_err(|_| {
            wrong(format!("has a value for {field} that cannot be sent"), "write visible characters")
        })?;
        value.set_sensitive(!OPEN.contains(&field));
        fields.push((field, value));
    }
    Ok(fields)
}

fn listen(value: &DeValue<'_>) -> Read<Listen> {
    const EXAMPLES: &str =
        "\"127.0.0.1:8080\", \"[::1]:8080\", \"localhost:8080\" or \"unix:/run/bearward.sock\"";
    let text = text(value, "an address and a port", EXAMPLES)?;
    let fix = || format!("write for example {EXAMPLES}");
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.starts_with('/') {
            Ok(Listen::Unix(path.into()))
        } else {
            Err(wrong("needs an absolute path after unix:", fix()))
        };
    }
    let literal = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    literal.parse().map(Listen::Tcp).map_err(|_| wrong("is no address and port", fix()))
}

/// A TOML value as JSON; dates and endless numbers have no place there.
fn json(value: &DeValue<'_>) -> Read<serde_json::Value> {
    use serde_json::Value as Json;
    Ok(match value {
        DeValue::String(text) => Json::String(text.to_string()),
        DeValue::Boolean(flag) => Json::Bool(*flag),
        DeValue::Integer(integer) => {
            i64::from_str_radix(integer.as_str(), integer.radix())
                .map(Json::from)
                .map_err(|_| wrong("holds a number that is too large", "write it as a text"))?
        }
        DeValue::Float(float) => float
            .as_str()
            .parse()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map(Json::Number)
            .ok_or_else(|| wrong("holds a number that JSON does not know", "write it as a text"))?,
        DeValue::Datetime(_) => {
            return Err(wrong("holds a date, which JSON does not know", "write it as a text"));
        }
        DeValue::Array(list) => {
            Json::Array(list.iter().map(|entry| json(entry.get_ref())).collect::<Read<_>>()?)
        }
        DeValue::Table(table) => {
            let member = |(name, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
                json(value.get_ref()).map(|value| (name.get_ref().to_string(), value))
            };
            Json::Object(table.iter().map(member).collect::<Read<_>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(text: &str, read: impl Fn(&DeValue<'_>) -> Read<T>) -> Option<T> {
        read(&DeValue::String(text.into())).ok()
    }

    #[test]
    fn durations_have_units_and_last() {
        for (written, seconds) in
            [("30s", 30.0), ("5m", 300.0), ("1h30m", 5400.0), ("500ms", 0.5), ("2h", 7200.0)]
        {
            assert_eq!(with(written, duration).map(|span| span.as_secs_f64()), Some(seconds), "{written}");
        }
        for written in ["", "30", "0s", "-5s", "s", "5 parsecs", "1h ago", "PT5M", "99999999h", "1e9s", "٣s"]
        {
            assert_eq!(with(written, duration), None, "{written}");
        }
    }

    #[test]
    fn sizes_have_units_and_bounds() {
        for (written, octets) in
            [("64KiB", 65_536), ("2MiB", 2 << 20), ("500B", 500), ("0B", 0), ("1kB", 1000)]
        {
            assert_eq!(with(written, |value| size(value, 0)), Some(octets), "{written}");
        }
        for written in ["", "64", "-1KiB", "KiB", "64 pages", "2TiB", "1e30B"] {
            assert_eq!(with(written, |value| size(value, 0)), None, "{written}");
        }
        assert_eq!(with("4KiB", |value| size(value, 8192)), None);
    }
}
