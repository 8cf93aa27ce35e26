//! The arrows of the house: which module may know which. A new arrow is a decision, made here.

use std::{collections::BTreeSet, ffi::OsStr, fs, path::Path};

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

/// A file that no `mod` names is not compiled, and its tests hold nothing.
#[test]
fn every_file_is_part_of_the_build() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut orphans = Vec::new();
    for folder in ["src", "tests"] {
        each_rust_file(&root.join(folder), &mut |file| {
            let (stem, folder) = (file.file_stem().expect("a name"), file.parent().expect("a folder"));
            let is_root = stem == "main" || stem == "lib" || folder == root.join("tests");
            let (name, folder) = match folder.parent() {
                Some(outer) if stem == "mod" => (folder.file_name().expect("a name"), outer),
                _ => (stem, folder),
            };
            let line = format!("mod {};", name.to_string_lossy());
            let beside = ["mod.rs", "lib.rs", "main.rs"].map(|parent| folder.join(parent));
            let mut parents = beside.into_iter().chain([folder.with_extension("rs")]);
            let named = parents.any(|parent| {
                let text = fs::read_to_string(parent).unwrap_or_default();
                text.lines().any(|said| said.trim().trim_start_matches("pub ").ends_with(&line))
            });
            if !is_root && !named {
                orphans.push(file.display().to_string());
            }
        });
    }
    assert!(orphans.is_empty(), "no `mod` names:\n{}", orphans.join("\n"));
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
    each_rust_file(path, &mut |file| {
        // What tests know is no arrow of the house.
        let is_test = |name: &OsStr| name == "tests" || name == "tests.rs" || name == "testing.rs";
        let below = file.strip_prefix(path.parent().expect("a folder")).expect("it is below");
        if !below.iter().any(is_test) {
            each(file, &fs::read_to_string(file).expect("a file can be read"));
        }
    });
}

fn each_rust_file(path: &Path, each: &mut impl FnMut(&Path)) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a folder can be read") {
            each_rust_file(&entry.expect("an entry can be read").path(), each);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        each(path);
    }
}
