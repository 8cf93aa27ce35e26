//! A configuration that does not exist yet: what is known of it so far, and the commented file that it becomes.
//!
//! Knows keys and how their values are written. Does not know whom to ask for them, and writes no file.

use std::{path::Path, sync::Arc};

use zeroize::Zeroizing;

use super::{
    Config, Problem, Problems,
    keys::{self, Key, Kind},
    load,
    source::{is_name, is_variable_name},
};
use crate::{oauth::discovery::Issuer, secret::Secret};

/// Where a secret is kept.
#[derive(Debug)]
pub enum Kept {
    /// In an environment variable.
    Env(String),
    /// In a file, as the configuration names it.
    File(String),
    /// In the configuration itself.
    Inline(Secret),
}

/// A configuration of one token and one upstream, both of one name.
pub struct Draft {
    name: String,
    about: String,
    lines: Vec<Line>,
    notes: Vec<(String, String)>,
}

struct Line {
    table: &'static str,
    key: &'static Key,
    value: Written,
}

enum Written {
    /// As it stands in the file; the text it was made of beside it.
    Toml {
        toml: String,
        text: String,
    },
    Secret(Kept),
    /// A line to fill in later.
    Commented(String),
}

impl Draft {
    /// For a token and an upstream called `name`; `about` is the file's first line.
    ///
    /// # Errors
    /// No table can be called so, and why.
    pub fn new(name: &str, about: &str) -> Result<Self, String> {
        if name.is_empty() || !is_name(name) {
            return Err(format!(
                "{name:?} cannot be a name: at most 40 letters, digits, _, - and . make one"
            ));
        }
        Ok(Self { name: name.to_owned(), about: about.to_owned(), lines: Vec::new(), notes: Vec::new() })
    }

    /// The name of its token and its upstream.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sets a token's key, or `upstream.KEY`, `admin.KEY`, `store.KEY`; one that is set already is replaced.
    ///
    /// # Errors
    /// There is no such key, or it takes a secret. What is wrong with the value is said by [`Draft::check`].
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let (table, known) = find(key)?;
        let toml = match known.kind {
            Kind::Secret => {
                return Err(format!(
                    "{key} is a secret, and what stands in a command line is seen by others: choose --secrets env, or give it on stdin"
                ));
            }
            Kind::Bool
            | Kind::Integer { .. }
            | Kind::Share { .. }
            | Kind::Object
            | Kind::Fields
            | Kind::Rules
            | Kind::Texts
            | Kind::Users
            | Kind::Table(_) => value.to_owned(),
            Kind::Words if value.starts_with('[') => value.to_owned(),
            _ => quoted(value),
        };
        self.put(table, known, Written::Toml { toml, text: value.to_owned() });
        Ok(())
    }

    /// Says where a secret is kept.
    ///
    /// # Errors
    /// There is no such key.
    pub fn keep(&mut self, key: &str, kept: Kept) -> Result<(), String> {
        let (table, known) = find(key)?;
        self.put(table, known, Written::Secret(kept));
        Ok(())
    }

    /// Leaves a key to be filled in later, where it is not set: a line that is commented out.
    ///
    /// # Errors
    /// There is no such key.
    pub fn suggest(&mut self, key: &str, toml: &str) -> Result<(), String> {
        let (table, known) = find(key)?;
        if !self.has(key) {
            self.put(table, known, Written::Commented(toml.to_owned()));
        }
        Ok(())
    }

    /// Leaves a comment above a key, below what is said of it everywhere. One line, without control characters.
    pub fn note(&mut self, key: &str, note: &str) {
        let note = note.chars().filter(|c| !c.is_control()).collect();
        self.notes.push((key.to_owned(), note));
    }

    /// Whether a key has a value.
    pub fn has(&self, key: &str) -> bool {
        self.line(key).is_some_and(|line| !matches!(line.value, Written::Commented(_)))
    }

    /// The text that a key was set to.
    pub fn text(&self, key: &str) -> Option<&str> {
        match &self.line(key)?.value {
            Written::Toml { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The name of the environment variable for a secret of this draft.
    pub fn variable(&self, key: &str) -> String {
        let name = format!("{}_{key}", self.name).to_ascii_uppercase();
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        if is_variable_name(&name) && !name.starts_with(|c: char| c.is_ascii_digit()) {
            name
        } else {
            format!("BEARWARD_{name}")
        }
    }

    /// The environment variables that it refers to, each with its key.
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.lines.iter().filter_map(|line| match &line.value {
            Written::Secret(Kept::Env(name)) => Some((line.key.name, name.as_str())),
            _ => None,
        })
    }

    /// Whether a secret stands in it.
    pub fn is_secret(&self) -> bool {
        self.lines.iter().any(|line| matches!(line.value, Written::Secret(Kept::Inline(_))))
    }

    /// Reads it as `run` will, as if its variables were set and its secret files were there.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn check(&self, path: &Path) -> Result<(), Problems> {
        const THERE: &str = "BEARWARD_A_SECRET_THAT_IS_THERE";
        let text = self.rendered(|kept| match kept {
            Kept::File(_) => Some(format!("{{ env = {} }}", quoted(THERE))),
            _ => None,
        });
        let env = |name: &str| {
            let named = name == THERE || self.variables().any(|(_, variable)| variable == name);
            if named { Some("there".to_owned()) } else { std::env::var(name).ok() }
        };
        Config::parse_with(&text, &path.to_string_lossy(), &env).map(drop)
    }

    /// What is wrong with the value of a key, whatever is still missing besides.
    pub fn wrong(&self, key: &str) -> Option<String> {
        let start = format!("{} = ", find(key).ok()?.1.name);
        let problems = self.check(Path::new("bearward.toml")).err()?;
        problems.iter().find_map(|problem| problem.on_line(&start))
    }

    /// The issuer that it names, reached as it says.
    ///
    /// # Errors
    /// Everything that is wrong with how it is named and reached.
    pub fn issuer(&self) -> Result<Arc<Issuer>, String> {
        let read = load::issuer(&self.render(), "bearward.toml", &|name| std::env::var(name).ok());
        read.map_err(|problems| {
            let lines: Vec<_> = problems.iter().map(Problem::in_a_line).collect();
            lines.join("\n")
        })
    }

    /// The file.
    pub fn render(&self) -> Zeroizing<String> {
        self.rendered(|_| None)
    }

    fn rendered(&self, instead: impl Fn(&Kept) -> Option<String>) -> Zeroizing<String> {
        let mut file = Zeroizing::new(format!(
            "# bearward: {}.\n# A secret is \"text\", {{ env = \"NAME\" }} or {{ file = \"/path\" }}; relative paths start from this \
             file's folder.\n# `bearward check` shows every mistake at once, `bearward schema` knows every key.\n",
            self.about
        ));
        for (table, about) in TABLES {
            let header = match *table {
                "tokens" | "upstreams" => format!("{table}.{}", key_of(&self.name)),
                other => other.to_owned(),
            };
            let mut lines: Vec<_> = self.lines.iter().filter(|line| line.table == *table).collect();
            lines.sort_by_key(|line| position(line.key.name));
            let bare = lines.iter().all(|line| matches!(line.value, Written::Commented(_)));
            if lines.is_empty() {
                continue;
            }
            let off = if bare { "# " } else { "" };
            file.push_str(&format!("\n# {about}\n{off}[{header}]\n"));
            for line in lines {
                file.push_str(&format!("# {}\n", line.key.doc));
                for (_, note) in self.notes.iter().filter(|(key, _)| line.is(key)) {
                    file.push_str(&format!("# {note}\n"));
                }
                line.render(&mut file, &instead);
            }
        }
        file
    }

    fn line(&self, key: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.is(key))
    }

    fn put(&mut self, table: &'static str, key: &'static Key, value: Written) {
        self.lines.retain(|line| line.table != table || line.key.name != key.name);
        self.lines.push(Line { table, key, value });
    }
}

/// The tables of the file in its order, and what a reader should know of each.
const TABLES: &[(&str, &str)] = &[
    ("tokens", "How the access token is got."),
    (
        "upstreams",
        "The API: the application takes http:// and `listen` for its address, and sends no Authorization.",
    ),
    ("admin", "A page to look at in a browser; /readyz, /metrics and /status for machines."),
    ("store", "What survives a restart: tokens, above all refresh tokens."),
];

impl Line {
    fn is(&self, key: &str) -> bool {
        find(key).is_ok_and(|(table, key)| table == self.table && key.name == self.key.name)
    }

    #[expect(clippy::disallowed_methods, reason = "the user wants this secret in the configuration")]
    fn render(&self, file: &mut Zeroizing<String>, instead: &impl Fn(&Kept) -> Option<String>) {
        let (off, value) = match &self.value {
            Written::Toml { toml, .. } => ("", Zeroizing::new(toml.clone())),
            Written::Commented(toml) => ("# ", Zeroizing::new(toml.clone())),
            Written::Secret(kept) => {
                let text = instead(kept).unwrap_or_else(|| match kept {
                    Kept::Env(name) => format!("{{ env = {} }}", quoted(name)),
                    Kept::File(path) => format!("{{ file = {} }}", quoted(path)),
                    Kept::Inline(secret) => quoted(secret.expose()),
                });
                ("", Zeroizing::new(text))
            }
        };
        for part in [off, self.key.name, " = ", &value, "\n"] {
            file.push_str(part);
        }
    }
}

/// What a key is for; empty where there is no such key.
pub fn doc(key: &str) -> &'static str {
    find(key).map_or("", |(_, key)| key.doc)
}

/// Whether a key takes a secret.
pub fn is_secret(key: &str) -> bool {
    find(key).is_ok_and(|(_, key)| matches!(key.kind, Kind::Secret))
}

fn find(key: &str) -> Result<(&'static str, &'static Key), String> {
    let (table, keys, name): (_, &'static [Key], _) = match key.split_once('.') {
        None => ("tokens", keys::TOKEN, key),
        Some(("upstream", name)) => ("upstreams", keys::UPSTREAM, name),
        Some(("admin", name)) => ("admin", keys::LISTENER, name),
        Some(("store", name)) => ("store", keys::STORE, name),
        Some(_) => {
            return Err(format!(
                "there is no key {key}: a token's key, or upstream., admin. or store. and a key"
            ));
        }
    };
    match keys::find(keys, name) {
        Some(key) => Ok((table, key)),
        None => {
            let near = super::reader::nearest(name, keys.iter().map(|key| key.name));
            let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            Err(format!("there is no key {name} in [{table}]{near}"))
        }
    }
}

/// What a reader looks for first stands first.
fn position(name: &str) -> usize {
    const FIRST: &[&str] = &["preset", "url", "token", "listen"];
    let known = || keys::TOKEN.iter().chain(keys::UPSTREAM).position(|key| key.name == name);
    FIRST.iter().position(|first| *first == name).unwrap_or_else(|| FIRST.len() + known().unwrap_or_default())
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A name as a key of TOML: a dot would make two of it.
fn key_of(name: &str) -> String {
    if name.contains('.') { quoted(name) } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        let mut draft = Draft::new("api", "an API").unwrap();
        for (key, value) in [
            ("grant_type", "client_credentials"),
            ("token_endpoint", "https://id.example/token"),
            ("client_id", "an \"app\""),
            ("upstream.url", "https://api.example"),
            ("upstream.token", "api"),
            ("upstream.listen", "127.0.0.1:8101"),
        ] {
            draft.set(key, value).unwrap();
        }
        draft
    }

    #[test]
    fn a_draft_is_checked_before_its_secrets_are_there() {
        for kept in [
            Kept::Env("API_CLIENT_SECRET".into()),
            Kept::File("nowhere/yet".into()),
            Kept::Inline(Secret::new("a\"b\\c")),
        ] {
            let mut draft = draft();
            assert!(draft.check(Path::new("bearward.toml")).is_err(), "the secret is missing");
            draft.keep("client_secret", kept).unwrap();
            draft.check(Path::new("bearward.toml")).unwrap();
        }
    }

    #[test]
    fn a_secret_is_not_set_as_text_and_an_unknown_key_names_the_nearest() {
        let mut draft = draft();
        assert!(draft.set("client_secret", "canary").unwrap_err().contains("--secrets env"));
        assert!(draft.set("client_ide", "x").unwrap_err().contains("client_id?"));
        assert!(draft.set("gateway.listen", "x").is_err());
        assert!(!draft.render().contains("canary"));
    }

    #[test]
    fn a_suggestion_is_a_comment_and_gives_way_to_a_value() {
        let mut draft = draft();
        draft.suggest("scope", "\"read\"").unwrap();
        draft.suggest("client_id", "\"other\"").unwrap();
        assert!(draft.render().contains("\n# scope = \"read\"\n"));
        assert!(!draft.render().contains("\"other\""));
        draft.set("scope", "write").unwrap();
        assert!(draft.render().contains("\nscope = \"write\"\n") && !draft.render().contains("read\""));
    }

    #[test]
    fn a_variable_is_named_after_the_token() {
        assert_eq!(draft().variable("client_secret"), "API_CLIENT_SECRET");
        let draft = Draft::new("7.a-b", "").unwrap();
        assert_eq!(draft.variable("password"), "BEARWARD_7_A_B_PASSWORD");
        assert!(Draft::new("a b", "").is_err());
    }
}
