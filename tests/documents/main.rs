//! What the documents say is true: every configuration in them and in `deploy/` is valid, every command of the README
//! is run against the real binary and simulated providers, every link leads somewhere.
//!
//! In Markdown, ```` ```toml NAME ```` is a whole configuration file and ```` ```console ```` is run; ```` ```sh ````
//! needs tools that a test cannot have (an image builder, a cluster) and is read only.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

mod configurations;
mod links;
mod markdown;
mod readme;
mod stage;

use std::path::{Path, PathBuf};

/// The folder that everything here is relative to.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `folder` with this extension, sorted.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the repository").map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// README.md and everything in docs/.
fn documents() -> Vec<PathBuf> {
    let mut documents = files("docs", "md");
    documents.push(root().join("README.md"));
    documents
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
