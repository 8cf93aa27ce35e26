//! Which of the 150 requirements in `docs/checklist.md` have a test, and which do not.
//!
//! A test says which it holds by `r036` in its name or in a comment. Run with `--nocapture` to see the list.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What this version has to hold; the others follow with the ways in, the protocols and the logins they are about.
const HELD: &[(u16, u16)] = &[
    (1, 2),
    (4, 4),
    (7, 8),
    (11, 11),
    (13, 13),
    (14, 24),
    (26, 27),
    (61, 75),
    (79, 94),
    (108, 123),
    (124, 137),
    (141, 146),
    (148, 150),
];

#[test]
fn every_requirement_of_this_version_has_a_test() {
    let known = requirements();
    assert_eq!(known.len(), 150, "docs/checklist.md lists 150 requirements");
    let cited = citations();
    let unknown: Vec<_> = cited.keys().filter(|number| !known.contains_key(number)).collect();
    assert!(unknown.is_empty(), "tests name requirements that do not exist: {unknown:?}");

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
        println!("  {number:3} {text}");
    }
    let missing: Vec<_> = open
        .iter()
        .filter(|(number, _)| HELD.iter().any(|(first, last)| (first..=last).contains(number)))
        .map(|(number, text)| format!("{number} {text}"))
        .collect();
    assert!(missing.is_empty(), "without a test:\n{}", missing.join("\n"));
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
