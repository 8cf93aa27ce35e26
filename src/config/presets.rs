//! What bearward knows of providers: data files, read like any configuration.
//!
//! A preset is one file in `presets/` and one line here.

use std::ops::Range;

use super::{
    keys,
    reader::{Reader, Table},
    source::Source,
    values::Value,
};

const FILES: &[(&str, &str)] = &[
    ("apicbase", include_str!("presets/apicbase.toml")),
    ("cybrid", include_str!("presets/cybrid.toml")),
    ("cymbio", include_str!("presets/cymbio.toml")),
    ("inventorum", include_str!("presets/inventorum.toml")),
    ("shopware", include_str!("presets/shopware.toml")),
];

/// The names of all presets.
pub const NAMES: [&str; FILES.len()] = {
    let mut names = [""; FILES.len()];
    let mut index = 0;
    while index < FILES.len() {
        names[index] = FILES[index].0;
        index += 1;
    }
    names
};

/// Puts a preset's token recipe underneath a `[tokens.NAME]` table: first what it says of the table's grant type, then
/// the rest.
pub(super) fn under_token(table: &mut Table) {
    let Some((preset, at)) = named_by(table) else { return };
    let recipe = preset.table("token");
    let grant_type = table.text("grant_type").or_else(|| recipe?.text("grant_type")).map(str::to_owned);
    let special = preset.named("grant").iter().find(|(name, _)| Some(name) == grant_type.as_ref());
    for layer in special.map(|(_, layer)| layer).into_iter().chain(recipe) {
        table.underlay(layer, &at);
    }
}

/// Puts a preset's upstream underneath an `[upstreams.NAME]` table.
pub(super) fn under_upstream(table: &mut Table) {
    let Some((preset, at)) = named_by(table) else { return };
    if let Some(layer) = preset.table("upstream") {
        table.underlay(layer, &at);
    }
}

/// What a person who has no configuration yet is told of a provider, and asked.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// The provider, in a line.
    pub about: String,
    /// A path of its API to try first.
    pub path: String,
    /// The ways to a token, the usual one first.
    pub ways: Vec<Way>,
    /// Whether the preset knows where the API is.
    pub knows_url: bool,
}

/// One way to a token.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// Its `grant_type`.
    pub grant_type: String,
    /// Whom it is for, in a line.
    pub about: String,
    /// The keys that only the user knows, in the order of asking; `upstream.` before an upstream's.
    pub ask: Vec<String>,
    /// Further ones, which not everybody has.
    pub may: Vec<String>,
    examples: Vec<(String, String)>,
}

impl Way {
    pub(super) fn new(grant_type: &str, about: &str, ask: &[&str], may: &[&str]) -> Self {
        let owned = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
        Self {
            grant_type: grant_type.to_owned(),
            about: about.to_owned(),
            ask: owned(ask),
            may: owned(may),
            examples: Vec::new(),
        }
    }

    /// What such a value looks like, where a preset says.
    pub fn example(&self, key: &str) -> Option<&str> {
        self.examples.iter().find(|(known, _)| known == key).map(|(_, example)| example.as_str())
    }
}

/// Introduces a preset; `None` where there is none of that name.
pub fn introduce(preset: &str) -> Option<Introduction> {
    let (name, text) = FILES.iter().find(|(known, _)| *known == preset)?;
    let (table, _) = read(name, text);
    let usual = table.table("token").and_then(|token| token.text("grant_type"));
    let mut ways: Vec<_> =
        table.named("way").iter().map(|(grant_type, way)| way_of(grant_type, way)).collect();
    ways.sort_by_key(|way| Some(way.grant_type.as_str()) != usual);
    Some(Introduction {
        about: table.text("about").unwrap_or_default().to_owned(),
        path: table.text("path").unwrap_or("/").to_owned(),
        ways,
        knows_url: table.table("upstream").is_some_and(|upstream| upstream.has("url")),
    })
}

fn way_of(grant_type: &str, table: &Table) -> Way {
    let examples = match table.value("example") {
        Some(Value::Object(examples)) => examples
            .iter()
            .filter_map(|(key, example)| Some((key.clone(), example.as_str()?.to_owned())))
            .collect(),
        _ => Vec::new(),
    };
    Way {
        grant_type: grant_type.to_owned(),
        about: table.text("about").unwrap_or_default().to_owned(),
        ask: table.texts("ask").to_vec(),
        may: table.texts("may").to_vec(),
        examples,
    }
}

fn named_by(table: &Table) -> Option<(Table, Range<usize>)> {
    let name = table.text("preset")?;
    let (_, text) = FILES.iter().find(|(known, _)| *known == name)?;
    Some((read(name, text).0, table.at("preset")))
}

fn read(name: &str, text: &str) -> (Table, super::Problems) {
    let source = Source::new(name, text);
    let (document, _) = toml::de::DeTable::parse_recoverable(source.text());
    let mut reader = Reader::new(&source, &|_| None);
    let table = reader.table("", 0..0, document.get_ref(), keys::PRESET);
    (table, reader.problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_reads_without_a_problem() {
        for (name, text) in FILES {
            let parsed = toml::de::DeTable::parse(text);
            assert!(parsed.is_ok(), "{name}: {}", parsed.unwrap_err());
            let (_, problems) = read(name, text);
            assert!(problems.is_empty(), "{name}:\n{problems}");
        }
    }

    #[test]
    fn every_preset_introduces_itself_and_asks_for_keys_that_exist() {
        for name in NAMES {
            let preset = introduce(name).unwrap();
            assert!(!preset.about.is_empty() && preset.path.starts_with('/'), "{name}");
            assert!(!preset.ways.is_empty(), "{name}");
            for way in &preset.ways {
                assert!(!way.about.is_empty() && !way.ask.is_empty(), "{name}, {}", way.grant_type);
                for key in way.ask.iter().chain(&way.may) {
                    let known = match key.strip_prefix("upstream.") {
                        Some(key) => keys::find(keys::UPSTREAM, key),
                        None => keys::find(keys::TOKEN, key),
                    };
                    assert!(known.is_some(), "{name} asks for {key}");
                }
            }
        }
        assert!(introduce("other").is_none());
    }
}
