//! What to type next, for a shell.

use std::path::Path;

use crate::config::draft::{self, Draft};

/// The commands that follow, with the variables they need in front.
pub(super) fn commands(draft: &Draft, output: &Path, path: &str) -> String {
    let mut text = String::from("# Next:\n");
    for (key, name) in draft.variables() {
        if std::env::var_os(name).is_none_or(|value| value.is_empty()) {
            text.push_str(&format!("export {name}='…'   # {}\n", draft::doc(key)));
        }
    }
    let file = if output == Path::new(super::OUTPUT) || output == Path::new("bearward.toml") {
        String::new()
    } else {
        format!(" -c {}", shown(output))
    };
    let name = draft.name();
    let person = matches!(draft.text("grant_type"), Some("authorization_code" | "device_code"));
    let first = if person { format!("login {name}{file}") } else { format!("check{file}") };
    text.push_str(&format!("bearward {first}\nbearward run{file}\n"));
    let listen = draft.text("upstream.listen").unwrap_or_default();
    match listen.strip_prefix("unix:") {
        Some(socket) => {
            text.push_str(&format!("curl --unix-socket {} http://localhost{path}\n", word(socket)));
        }
        None => text.push_str(&format!("curl http://{listen}{path}\n")),
    }
    text
}

/// A path as a word of a shell.
pub(super) fn shown(path: &Path) -> String {
    word(&path.to_string_lossy())
}

fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_a_shell_stays_one() {
        assert_eq!(word("a/b.toml"), "a/b.toml");
        assert_eq!(word("a b"), "'a b'");
        assert_eq!(word("it's"), "'it'\\''s'");
    }
}
