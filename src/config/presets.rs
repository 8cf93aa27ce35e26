//! What bearward knows of providers: data files, read like any configuration.
//!
//! A preset is one file in `presets/` and one line here.

use std::ops::Range;

use super::{
    keys,
    reader::{Reader, Table},
    source::Source,
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

fn named_by(table: &Table) -> Option<(Table, Range<usize>)> {
    let name = table.text("preset")?;
    let (_, text) = FILES.iter().find(|(known, _)| *known == name)?;
    Some((read(name, text).0, table.at("preset")))
}

fn read(name: &str, text: &str) -> (Table, super::Problems) {
    let source = Source::new(name, text);
    let (document, _) = toml::de::DeTable::parse_recoverable(source.text());
    let mut reader = Reader::new(&source, &|_| None);
    reader.lenient = true;
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
}
