//! Which of the 150 requirements in `docs/checklist.md` have a test, and which do not.
//!
//! A test says which it holds by `r036` in its name or in a comment. Run with `--nocapture` to see the list.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What this version has to hold; the others follow.
const HELD: &[(u16, u16)] = &[(1, 137), (141, 146), (148, 150)];

/// What no test holds says here why not: a line `- r103: …` for each number.
const NOT_HELD: &str = "docs/not-held.md";

#[test]
fn every_requirement_of_this_version_has_a_test() {
    let known = requirements();
    assert_eq!(known.len(), 150, "docs/checklist.md lists 150 requirements");
    let cited = citations();
    let unknown: Vec<_> = cited.keys().filter(|number| !known.contains_key(number)).collect();
    assert!(unknown.is_empty(), "tests name requirements that do not exist: {unknown:?}");

    let excused = excused();
    let needless: Vec<_> = excused.keys().filter(|number| cited.contains_key(number)).collect();
    assert!(needless.is_empty(), "{NOT_HELD} excuses what a test holds: {needless:?}");

    let (held, open): (Vec<_>, Vec<_>) = known.iter().partition(|(number, _)| cited.contains_key(number));
    println!("{} of {} requirements have a test:", held.len(), known.len());
    for (number, text) in held {
        println!(
            "  {number:3} {text}\n      {}",
            cited[number].iter().cloned().collect::<Vec<_>>().join(", ")
        );
    }
    println!("{} have none:", open.len());
    for (number, text) in &open {
        let why = excused.get(number).map_or(String::new(), |why| format!("\n      {why}"));
        println!("  {number:3} {text}{why}");
    }
    let missing: Vec<_> = open
        .iter()
        .filter(|(number, _)| HELD.iter().any(|(first, last)| (first..=last).contains(number)))
        .filter(|(number, _)| !excused.contains_key(number))
        .map(|(number, text)| format!("{number} {text}"))
        .collect();
    assert!(missing.is_empty(), "without a test, or a line in {NOT_HELD}:\n{}", missing.join("\n"));
}

/// Number and reason of each line `- r103: …`.
fn excused() -> BTreeMap<u16, String> {
    let text = fs::read_to_string(root().join(NOT_HELD)).expect("it can be read");
    let mut found = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("- ")) {
        let (number, why) = line.split_once(": ").expect("a line is `- r103: why`");
        let number = self::number(number).expect("a line is `- r103: why`");
        assert!(why.len() > 30, "r{number:03} needs a reason");
        assert!(found.insert(number, why.to_owned()).is_none(), "r{number:03} is excused twice");
    }
    found
}

/// Number and text of each line `12. S1 …`.
fn requirements() -> BTreeMap<u16, String> {
    let text = fs::read_to_string(root().join("docs/checklist.md")).expect("docs/checklist.md can be read");
    text.lines()
        .filter_map(|line| {
            let (number, text) = line.split_once(". ")?;
            Some((number.parse().ok()?, text.to_owned()))
        })
        .collect()
}

/// The files whose tests name each number.
fn citations() -> BTreeMap<u16, BTreeSet<String>> {
    let mut found: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
    for folder in ["src", "tests"] {
        visit(&root().join(folder), &mut |path| {
            let text = fs::read_to_string(path).expect("a source file can be read");
            let name = path.strip_prefix(root()).unwrap_or(path).display().to_string();
            if name == "tests/checklist.rs" {
                return;
            }
            for number in
                tests_part(&name, &text).split(|c: char| !c.is_ascii_alphanumeric()).filter_map(number)
            {
                found.entry(number).or_default().insert(name.clone());
            }
        });
    }
    found
}

/// In `src` only what follows `#[cfg(test)]` is a test; a file named `tests` or `testing` is one whole.
fn tests_part<'t>(name: &str, text: &'t str) -> &'t str {
    if name.starts_with("tests/") || name.contains("tests") {
        return text;
    }
    text.find("#[cfg(test)]").map_or("", |at| &text[at..])
}

fn number(word: &str) -> Option<u16> {
    let digits = word.strip_prefix('r')?;
    (digits.len() == 3).then(|| digits.parse().ok()).flatten()
}

fn visit(folder: &Path, each: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).expect("a source folder can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            visit(&path, each);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            each(&path);
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
