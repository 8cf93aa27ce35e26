//! The arrows of the house: which module may know which. A new arrow is a decision, made here.

use std::{collections::BTreeSet, fs, path::Path};

/// Who may know whom, besides `secret`, `clock` and `telemetry`, which all may know.
const ARROWS: &[(&str, &[&str])] = &[
    ("cli", &["app", "ca", "config", "demo", "login", "token"]),
    ("demo", &["app", "config"]),
    ("app", &["admin", "ca", "config", "ingress", "login", "oauth", "proxy", "token", "upstream", "wire"]),
    ("admin", &["login", "token"]),
    ("login", &["oauth", "token"]),
    ("ingress", &["ca", "proxy", "upstream", "wire"]),
    // Where the CA is kept.
    ("config", &["ca", "ingress", "oauth", "proxy", "token", "upstream"]),
    ("proxy", &["token", "upstream", "wire"]),
    ("token", &["oauth"]),
    ("oauth", &["upstream"]),
    ("upstream", &["wire"]),
    // What a fuzzer calls: every reader of foreign octets, and the checker beside it. No part of the program.
    ("fuzzing", &["config", "demo", "ingress", "oauth", "proxy", "token", "upstream", "wire"]),
    ("wire", &[]),
    ("ca", &[]),
    ("telemetry", &[]),
    ("clock", &[]),
    ("secret", &[]),
];

const KNOWN_BY_ALL: &[&str] = &["secret", "clock", "telemetry"];

#[test]
fn no_module_knows_what_it_should_not() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(&source).expect("src can be read") {
        let path = entry.expect("an entry can be read").path();
        let module = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        let (_, may_know) = ARROWS
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("src/{module} is not in the list of arrows"));
        seen.insert(module.clone());
        each_file(&path, &mut |file, text| {
            for known in mentioned(text) {
                if known != module && !KNOWN_BY_ALL.contains(&&*known) && !may_know.contains(&&*known) {
                    wrong.insert(format!("{module} -> {known} in {}", file.display()));
                }
            }
        });
    }
    assert_eq!(seen.len(), ARROWS.len(), "an arrow's module is gone");
    assert!(
        wrong.is_empty(),
        "arrows that the house does not have:\n{}",
        wrong.into_iter().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn an_unwanted_arrow_would_be_seen() {
    let text =
        "use crate::{\n    clock::Clock,\n    config::{Config, Listen},\n};\nfn f() -> crate::app::App {}";
    assert_eq!(mentioned(text), ["app", "clock", "config"].map(str::to_owned).into());
}

/// The top-level modules that a file names before its tests: `crate::x` and the first level of `crate::{…}`.
fn mentioned(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or(line)).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut name = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => found.extend(first_name(&std::mem::take(&mut name))),
                    c if depth == 0 => name.push(c),
                    _ => {}
                }
            }
            found.extend(first_name(&name));
        } else {
            found.extend(first_name(rest));
        }
    }
    found
}

fn first_name(path: &str) -> Option<String> {
    let path = path.trim_start();
    let end = path.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(path.len());
    let name = &path[..end];
    (!name.is_empty() && name.chars().next().is_some_and(char::is_lowercase)).then(|| name.to_owned())
}

fn each_file(path: &Path, each: &mut impl FnMut(&Path, &str)) {
    // What tests know is no arrow of the house.
    if path.file_stem().is_some_and(|name| name == "tests" || name == "testing") {
        return;
    }
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a folder can be read") {
            each_file(&entry.expect("an entry can be read").path(), each);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        each(path, &fs::read_to_string(path).expect("a file can be read"));
    }
}
