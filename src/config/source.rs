//! The text of a configuration file, and which parts of it may be shown.
//!
//! Knows which values are secret (by `keys`) and masks them; in a file with syntax errors, where keys and values cannot be
//! told apart for certain, it shows only values of keys that are known to be harmless. Does not know what a problem is.

use std::{ops::Range, path::PathBuf, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use zeroize::Zeroizing;

use super::{
    keys::{self, Key, Kind},
    problems::Place,
};

const MASK: &str = "***";

/// A file's text with its masks.
pub(super) struct Source {
    name: Arc<str>,
    text: Zeroizing<String>,
    masks: Vec<Range<usize>>,
    broken: bool,
}

impl Source {
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.into(), text: Zeroizing::new(text.to_owned()), masks: Vec::new(), broken: false }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The folder that relative paths start from.
    pub fn folder(&self) -> PathBuf {
        std::path::Path::new(&*self.name).parent().map(PathBuf::from).unwrap_or_default()
    }

    /// Learns what to mask from the document; `broken` where it has syntax errors.
    pub fn mask(&mut self, document: &DeTable<'_>, keys: &[Key], broken: bool) {
        self.broken = broken;
        mask_table(document, keys, &mut self.masks);
    }

    /// The line that `span` begins on, masked, with the span marked.
    pub fn place(&self, span: Range<usize>, label: impl Into<String>) -> Place {
        let text: &str = &self.text;
        let start = floor(text, span.start);
        let end = floor(text, span.end).max(start);
        let from = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let to = text[from..].find('\n').map_or(text.len(), |at| from + at);
        let to = if text[from..to].ends_with('\r') { to - 1 } else { to };
        let line = &text[from..to];
        let masks = self.masks_of_line(from, line);
        let (excerpt, map) = masked(line, &masks);
        let marked_to = map(end.min(to) - from);
        // A column inside of a mask would tell how long the secret is.
        let offset = start.min(to) - from;
        let inside =
            |mask: &&Range<usize>| mask.start < offset && (offset < mask.end || mask.end == line.len());
        let offset = masks.iter().find(inside).map_or(offset, |mask| mask.start);
        let marked_from = map(offset);
        Place {
            file: self.name.to_string(),
            line: text[..from].matches('\n').count() + 1,
            column: line[..offset].chars().count() + 1,
            marked: marked_from..marked_to.max(marked_from),
            excerpt,
            label: label.into(),
        }
    }

    /// What of this line is masked, relative to it, in order and disjoint.
    fn masks_of_line(&self, from: usize, line: &str) -> Vec<Range<usize>> {
        let to = from + line.len();
        let mut masks: Vec<_> = self
            .masks
            .iter()
            .filter(|mask| mask.start < to && mask.end > from)
            .map(|mask| mask.start.max(from) - from..mask.end.min(to) - from)
            .collect();
        masks.extend(in_urls(line));
        if self.broken {
            masks.extend(unclear(line, &self.text[..from]));
        }
        masks.sort_by_key(|mask| mask.start);
        let mut joined: Vec<Range<usize>> = Vec::new();
        for mask in masks {
            match joined.last_mut() {
                Some(last) if mask.start <= last.end => last.end = last.end.max(mask.end),
                _ => joined.push(mask),
            }
        }
        joined
    }
}

/// Replaces the masks; also says where an offset of the line has gone.
fn masked(line: &str, masks: &[Range<usize>]) -> (String, impl Fn(usize) -> usize) {
    let mut shown = String::with_capacity(line.len());
    let mut at = 0;
    for mask in masks {
        shown.push_str(&line[at..mask.start]);
        shown.push_str(MASK);
        at = mask.end;
    }
    shown.push_str(&line[at..]);
    let masks = masks.to_vec();
    let map = move |offset: usize| {
        let (mut gone, mut added) = (0, 0);
        for mask in masks.iter().take_while(|mask| mask.start < offset) {
            if offset < mask.end {
                return mask.start - gone + added;
            }
            gone += mask.len();
            added += MASK.len();
        }
        offset - gone + added
    };
    (shown, map)
}

/// User information and queries of URLs.
fn in_urls(line: &str) -> Vec<Range<usize>> {
    let mut masks = Vec::new();
    for (scheme, _) in line.match_indices("://") {
        let from = scheme + 3;
        let length = line[from..].find(['"', '\'', ' ', '\t']).unwrap_or(line.len() - from);
        let url = &line[from..from + length];
        if let Some(at) = url.rfind('@') {
            masks.push(from..from + at);
        }
        if let Some(at) = url.find('?') {
            masks.push(from + at + 1..from + length);
        }
    }
    masks.retain(|mask| !mask.is_empty());
    masks
}

/// What cannot be shown of a line of a file whose syntax is broken: everything but table headers, keys, and the values
/// of keys that are known to be harmless and stand alone on their line.
fn unclear(line: &str, before: &str) -> Option<Range<usize>> {
    let start = line.len() - line.trim_start().len();
    let whole = (start < line.len()).then_some(start..line.len());
    let inside_text = before.matches("\"\"\"").count() % 2 == 1 || before.matches("'''").count() % 2 == 1;
    if inside_text || line.contains("\"\"\"") || line.contains("'''") {
        return whole;
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-. []".contains(c);
    if line.trim_start().starts_with('[') && line.trim().chars().all(plain) {
        return None;
    }
    let Some((path, value)) = line.split_once('=') else { return whole };
    if !path.chars().all(plain) {
        return whole;
    }
    let name = path.rsplit('.').next().unwrap_or(path).trim();
    let alone = !value.contains(['=', '{', '#', '?']) && value.matches(['"', '\'']).count() <= 2;
    if harmless(name) && alone {
        return None;
    }
    let from = path.len() + 1 + (value.len() - value.trim_start().len());
    (from < line.len()).then_some(from..line.len())
}

/// Whether every table that knows this key has a harmless value for it.
fn harmless(name: &str) -> bool {
    let tables = [keys::FILE, keys::TOKEN, keys::UPSTREAM, keys::RULE];
    let nested = keys::FILE.iter().chain(keys::TOKEN).filter_map(|key| match key.kind {
        Kind::Table(keys) => Some(keys),
        _ => None,
    });
    let mut known = tables.into_iter().chain(nested).filter_map(|keys| keys::find(keys, name)).peekable();
    known.peek().is_some()
        && known.all(|key| {
            !matches!(
                key.kind,
                Kind::TokenName
                    | Kind::Secret
                    | Kind::Object
                    | Kind::Fields
                    | Kind::Table(_)
                    | Kind::Named(_)
            )
        })
}

fn mask_table(table: &DeTable<'_>, keys: &[Key], masks: &mut Vec<Range<usize>>) {
    for (name, value) in table {
        let Some(key) = keys::find(keys, name.get_ref()) else {
            mask_leaves(value, masks);
            continue;
        };
        match (key.kind, value.get_ref()) {
            (Kind::Table(keys), DeValue::Table(table)) => mask_table(table, keys, masks),
            (Kind::Named(keys), DeValue::Table(named)) => {
                for (_, value) in named {
                    match value.get_ref() {
                        DeValue::Table(table) => mask_table(table, keys, masks),
                        _ => mask_leaves(value, masks),
                    }
                }
            }
            (Kind::Rules, _) => {}
            (Kind::TokenName, DeValue::String(name)) if !is_name(name) => mask_leaves(value, masks),
            (Kind::Secret, DeValue::Table(table)) => mask_reference(table, masks),
            (Kind::Secret | Kind::Object | Kind::Fields | Kind::Table(_) | Kind::Named(_), _) => {
                mask_leaves(value, masks);
            }
            (_, DeValue::Table(_)) => mask_leaves(value, masks),
            (_, DeValue::Array(array)) if !matches!(key.kind, Kind::Words | Kind::Texts | Kind::Users) => {
                array.iter().for_each(|value| mask_leaves(value, masks));
            }
            _ => {}
        }
    }
}

/// `{ env = "NAME" }` and `{ file = "/path" }` name a secret and are none, unless the secret was written there by mistake.
fn mask_reference(table: &DeTable<'_>, masks: &mut Vec<Range<usize>>) {
    for (name, value) in table {
        let shown = match (name.get_ref().as_ref(), value.get_ref().as_str()) {
            ("env", Some(text)) => is_variable_name(text),
            ("file", Some(text)) => is_path(text),
            _ => false,
        };
        if !shown {
            mask_leaves(value, masks);
        }
    }
}

/// Whether a text looks like the name of an environment variable rather than like a secret.
pub(super) fn is_variable_name(text: &str) -> bool {
    let upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let lower = |c: char| c.is_ascii_lowercase() || c == '_';
    !text.is_empty() && text.len() <= 64 && (text.chars().all(upper) || text.chars().all(lower))
}

/// Whether a text looks like the name of a table rather than like a token.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 40 && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

/// Whether a text looks like a path rather than like a secret.
pub(super) fn is_path(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "._-/".contains(c);
    text.starts_with(['/', '.']) || (text.contains(['/', '.']) && text.chars().all(plain))
}

fn mask_leaves(value: &Spanned<DeValue<'_>>, masks: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => table.iter().for_each(|(_, value)| mask_leaves(value, masks)),
        DeValue::Array(array) => array.iter().for_each(|value| mask_leaves(value, masks)),
        _ => masks.push(value.span()),
    }
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
