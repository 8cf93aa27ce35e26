//! What to type next, for a shell.

use std::path::Path;

use crate::config::draft::Draft;

/// The commands that follow, each to be run as it stands. A shell asks for a secret that is in no file: a value that is typed
/// after `export` would stay in its history. Comments stand alone: not every shell knows one behind a command.
pub(super) fn commands(draft: &Draft, output: &Path, path: &str) -> String {
    let mut text = String::from("# Next, line by line:\n");
    for (key, name) in draft.variables() {
        if std::env::var_os(name).is_none_or(|value| value.is_empty()) {
            text.push_str(&format!("# The {key}, which you type or paste after this line:\n"));
            text.push_str(&format!("read -rs {name} && export {name}\n"));
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
    if let Some(listen) = draft.text("admin.listen").filter(|listen| !listen.starts_with("unix:")) {
        text.push_str(&format!("# It runs until Ctrl-C, and shows itself at http://{listen}/\n"));
    }
    text.push_str(&format!(
        "# Where the URLs of an application cannot be changed: bearward exec{file} -- COMMAND\n"
    ));
    text.push_str("# In another terminal, or from your application:\n");
    let listen = draft.text("upstream.listen").unwrap_or_default();
    match listen.strip_prefix("unix:") {
        Some(socket) => {
            text.push_str(&format!("curl -i --unix-socket {} http://localhost{path}\n", word(socket)));
        }
        None => text.push_str(&format!("curl -i http://{listen}{path}\n")),
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
