//! TOML -> tables whose keys are known and whose values have the right shape.
//!
//! Knows `keys` and reports every unknown key, wrong type, wrong format and unreadable secret with its place. Does not know
//! which keys a table needs or how they fit together (`validate`).

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::PathBuf,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    keys::{Key, find},
    problems::{Problem, Problems},
    source::Source,
    values::Value,
};

/// What reads one file.
pub(super) struct Reader<'a> {
    pub source: &'a Source,
    pub env: &'a dyn Fn(&str) -> Option<String>,
    pub problems: Problems,
    /// The files whose content has become part of the configuration.
    pub files: Vec<PathBuf>,
    /// The environment variables that secrets were read from.
    pub variables: Vec<String>,
    /// Whoever reads it adds a forward proxy of their own, and opens the CA.
    pub proxy_is_added: bool,
}

/// A table as it was written, each value in its type.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// As a header names it; empty for the whole file.
    pub name: String,
    /// Where it begins.
    pub at: Range<usize>,
    entries: BTreeMap<&'static str, Entry>,
    /// Keys that an unknown one was most likely meant to be.
    mistyped: BTreeSet<&'static str>,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub key_at: Range<usize>,
    pub at: Range<usize>,
    /// `None` where a problem was reported.
    pub value: Option<Value>,
    /// Not the user's.
    pub preset: bool,
}

impl<'a> Reader<'a> {
    pub fn new(source: &'a Source, env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            source,
            env,
            problems: Problems::default(),
            files: Vec::new(),
            variables: Vec::new(),
            proxy_is_added: false,
        }
    }

    /// Reads a table by its list of keys.
    pub fn table(
        &mut self,
        name: &str,
        at: Range<usize>,
        table: &DeTable<'_>,
        keys: &'static [Key],
    ) -> Table {
        let mut entries = BTreeMap::new();
        let mut mistyped = BTreeSet::new();
        for (written, value) in table {
            let Some(key) = find(keys, written.get_ref()) else {
                mistyped.extend(self.unknown(name, written, keys));
                continue;
            };
            let inner = if name.is_empty() { key.name.to_owned() } else { format!("{name}.{}", key.name) };
            let entry = Entry {
                key_at: written.span(),
                at: value.span(),
                value: self.value(key, &inner, written.span(), value),
                preset: false,
            };
            entries.insert(key.name, entry);
        }
        Table { name: name.to_owned(), at, entries, mistyped }
    }

    /// Reads a table of tables whose names are the user's.
    pub fn named(&mut self, name: &str, table: &DeTable<'_>, keys: &'static [Key]) -> Vec<(String, Table)> {
        let mut named = Vec::new();
        for (written, value) in table {
            let inner = format!("{name}.{}", written.get_ref());
            match value.get_ref() {
                DeValue::Table(table) => {
                    let table = self.table(&inner, written.span(), table, keys);
                    named.push((written.get_ref().to_string(), table));
                }
                other => {
                    let title = format!("`{inner}` must be a table, not {}", super::values::article(other));
                    let fix = format!("write [{inner}] and its keys on the lines below it");
                    self.report(Problem::error(title).fix(fix), written.span(), "");
                }
            }
        }
        named.sort_by_key(|(_, table)| table.at.start);
        named
    }

    /// Adds a problem at a span of the file.
    pub fn report(&mut self, problem: Problem, at: Range<usize>, label: &str) {
        let place = self.source.place(at, label);
        self.problems.push(problem.at(place));
    }

    /// Adds a problem that concerns two places.
    pub fn report_both(&mut self, problem: Problem, at: (Range<usize>, &str), also: (Range<usize>, &str)) {
        let problem = problem.also_at(self.source.place(also.0, also.1));
        self.report(problem, at.0, at.1);
    }

    /// Reports an unknown key; the key that it was most likely meant to be.
    fn unknown(
        &mut self,
        table: &str,
        written: &Spanned<Cow<'_, str>>,
        keys: &'static [Key],
    ) -> Option<&'static str> {
        let name = written.get_ref();
        let place =
            if table.is_empty() { "at the top of the file".to_owned() } else { format!("in [{table}]") };
        let known = keys.iter().map(|key| key.name);
        let near = nearest(name, known.clone());
        let fix = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", known.collect::<Vec<_>>().join(", ")),
        };
        self.report(Problem::error(format!("unknown key `{name}` {place}")).fix(fix), written.span(), "");
        near
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.values().eq(other.values())
    }
}

impl Table {
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub fn value(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)?.value.as_ref()
    }

    /// Whether the key is there, be its value right or wrong, its name mistyped or not.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key) || self.mistyped.contains(key)
    }

    /// Where a key's value stands; the table's own place where the key is absent.
    pub fn at(&self, key: &str) -> Range<usize> {
        self.entries.get(key).map_or(self.at.clone(), |entry| entry.at.clone())
    }

    /// The keys that the user wrote.
    pub fn written(&self) -> impl Iterator<Item = (&'static str, &Entry)> {
        self.entries.iter().filter(|(_, entry)| !entry.preset).map(|(key, entry)| (*key, entry))
    }

    /// The values without their places: what tells two tables apart whose comments and lines differ.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.entries.iter().filter_map(|(key, entry)| Some((*key, entry.value.as_ref()?)))
    }

    /// Puts a preset's values underneath; they stand where the preset is named.
    pub fn underlay(&mut self, preset: &Table, at: &Range<usize>) {
        for (key, entry) in &preset.entries {
            let beneath = Entry { key_at: at.clone(), at: at.clone(), preset: true, ..entry.clone() };
            match self.entries.get_mut(key) {
                None => _ = self.entries.insert(key, beneath),
                Some(above) => {
                    if let (Some(Value::Fields(above)), Some(Value::Fields(beneath))) =
                        (&mut above.value, beneath.value)
                    {
                        let fresh = |name: &http::HeaderName| above.iter().all(|(known, _)| known != name);
                        let added: Vec<_> = beneath.into_iter().filter(|(name, _)| fresh(name)).collect();
                        above.extend(added);
                    }
                }
            }
        }
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        match self.value(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn flag(&self, key: &str) -> bool {
        matches!(self.value(key), Some(Value::Flag(true)))
    }

    pub fn number(&self, key: &str) -> Option<u64> {
        match self.value(key)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub fn duration(&self, key: &str) -> Option<std::time::Duration> {
        match self.value(key)? {
            Value::Duration(duration) => Some(*duration),
            _ => None,
        }
    }

    pub fn texts(&self, key: &str) -> &[String] {
        match self.value(key) {
            Some(Value::Texts(texts)) => texts,
            _ => &[],
        }
    }

    pub fn users(&self, key: &str) -> &[u32] {
        match self.value(key) {
            Some(Value::Users(users)) => users,
            _ => &[],
        }
    }

    pub fn path(&self, key: &str) -> Option<&PathBuf> {
        match self.value(key)? {
            Value::Path(path) => Some(path),
            _ => None,
        }
    }

    pub fn table(&self, key: &str) -> Option<&Table> {
        match self.value(key)? {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    pub fn named(&self, key: &str) -> &[(String, Table)] {
        match self.value(key) {
            Some(Value::Named(named)) => named,
            _ => &[],
        }
    }
}

/// The known name that a typo was most likely meant to be.
pub(super) fn nearest<'n>(written: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let written = written.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&written, name), name))
        .filter(|(likeness, _)| *likeness > 0.83)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
