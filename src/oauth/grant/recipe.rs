//! Writes down everything that is sent for a token, as the hashes that identify it (CHECKLIST 19).
//!
//! Knows how to join parts so that no two recipes give the same bytes. Does not know what the parts mean.

use std::path::PathBuf;

use aws_lc_rs::digest;
use http::Uri;

use super::Identity;
use crate::secret::SecretSource;

/// The longest label: with its hash it has to be a file's name.
const LONGEST_LABEL: usize = 100;

/// An identity in the making.
pub struct Recipe {
    label: String,
    chain: digest::Context,
    whole: digest::Context,
    secret_files: Vec<PathBuf>,
}

impl Recipe {
    /// A recipe of `grant_type` for the token endpoint `url`.
    pub fn new(grant_type: &str, url: Option<&Uri>) -> Self {
        let host = url.and_then(Uri::host).unwrap_or(grant_type);
        let mut recipe = Self {
            label: label(host),
            chain: digest::Context::new(&digest::SHA256),
            whole: digest::Context::new(&digest::SHA256),
            secret_files: Vec::new(),
        };
        recipe.part("grant_type", grant_type);
        if let Some(url) = url {
            recipe.part("url", &url.to_string());
        }
        recipe
    }

    /// Something that is sent and, while it is the same, continues the same chain of refresh tokens.
    pub fn part(&mut self, name: &str, value: &str) {
        for context in [&mut self.chain, &mut self.whole] {
            update(context, name.as_bytes());
            update(context, value.as_bytes());
        }
    }

    /// As [`Recipe::part`], where there is one.
    pub fn part_if(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.part(name, value);
        }
    }

    /// Something that says how it is sent, not what for: with another manner the chain of refresh tokens goes on, and a
    /// corrected configuration does not lose the one that a person made.
    pub fn manner(&mut self, name: &str, value: &str) {
        update(&mut self.whole, name.as_bytes());
        update(&mut self.whole, value.as_bytes());
    }

    /// A secret that may be rotated without ending the chain: a client secret, a password.
    pub fn rotating_secret(&mut self, name: &str, source: &SecretSource) {
        update_secret(&mut self.whole, name, source);
        self.note_file(source);
    }

    /// A secret that begins a chain: another one is another chain.
    pub fn first_secret(&mut self, name: &str, source: &SecretSource) {
        update_secret(&mut self.chain, name, source);
        update_secret(&mut self.whole, name, source);
        self.note_file(source);
    }

    fn note_file(&mut self, source: &SecretSource) {
        if let SecretSource::File(path) = source {
            self.secret_files.push(path.clone());
        }
    }

    /// The identity.
    pub fn identity(self) -> Identity {
        let chain = hexadecimal(self.chain.finish().as_ref());
        let recipe = hexadecimal(self.whole.finish().as_ref());
        Identity {
            chain: format!("{}-{}", self.label, &chain[..32]),
            recipe,
            secret_files: self.secret_files,
        }
    }
}

impl Identity {
    /// The identity of a token that is got with another one: two customers' tokens of the same URL and body are not the
    /// same if different banks asked for them.
    #[must_use]
    pub fn under(&self, parent: &Self) -> Self {
        let label = self.chain.rsplit_once('-').map_or(self.chain.as_str(), |(label, _)| label);
        let joined = |own: &str, parents: &str| {
            let mut context = digest::Context::new(&digest::SHA256);
            update(&mut context, own.as_bytes());
            update(&mut context, parents.as_bytes());
            hexadecimal(context.finish().as_ref())
        };
        let chain = joined(&self.chain, &parent.chain);
        let recipe = joined(&self.recipe, &parent.recipe);
        Self { chain: format!("{label}-{}", &chain[..32]), recipe, secret_files: self.secret_files.clone() }
    }
}

/// The length goes first, so that "ab", "c" is not "a", "bc".
fn update(context: &mut digest::Context, bytes: &[u8]) {
    context.update(&(bytes.len() as u64).to_le_bytes());
    context.update(bytes);
}

#[expect(clippy::disallowed_methods, reason = "only its hash stays")]
fn update_secret(context: &mut digest::Context, name: &str, source: &SecretSource) {
    update(context, name.as_bytes());
    match source {
        SecretSource::Held(secret) => {
            update(context, b"held");
            update(context, secret.expose().as_bytes());
        }
        SecretSource::File(path) => {
            update(context, b"file");
            update(context, path.as_os_str().as_encoded_bytes());
        }
    }
}

fn label(host: &str) -> String {
    let plain = |letter: char| match letter.to_ascii_lowercase() {
        letter @ ('a'..='z' | '0'..='9' | '.' | '-') => letter,
        _ => '-',
    };
    // A leading dot would hide the file, or leave the folder.
    host.trim_start_matches(['.', '[']).trim_end_matches(']').chars().take(LONGEST_LABEL).map(plain).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| char::from(DIGITS[usize::from(nibble)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::secret::Secret;

    fn url() -> Uri {
        "https://[::1]:8443/Token".parse().unwrap()
    }

    fn of(fill: impl FnOnce(&mut Recipe)) -> Identity {
        let mut recipe = Recipe::new("password", Some(&url()));
        fill(&mut recipe);
        recipe.identity()
    }

    #[test]
    fn r019_parts_that_only_join_alike_are_told_apart() {
        let identities = [
            of(|recipe| recipe.part("ab", "c")),
            of(|recipe| recipe.part("a", "bc")),
            of(|recipe| recipe.part("abc", "")),
            of(|recipe| {
                recipe.part("a", "b");
                recipe.part("c", "");
            }),
            of(|recipe| recipe.part_if("ab", None)),
        ];
        assert_eq!(identities.iter().map(|one| &one.recipe).collect::<HashSet<_>>().len(), identities.len());
        assert_eq!(identities.iter().map(|one| &one.chain).collect::<HashSet<_>>().len(), identities.len());
    }

    #[test]
    fn a_rotated_client_secret_continues_the_chain_and_another_first_refresh_token_does_not() {
        let held = |text: &str| SecretSource::Held(Secret::new(text));
        let old = of(|recipe| recipe.rotating_secret("client_secret", &held("one")));
        let new = of(|recipe| recipe.rotating_secret("client_secret", &held("two")));
        assert_eq!(old.chain, new.chain);
        assert_ne!(old.recipe, new.recipe);
        let old = of(|recipe| recipe.first_secret("refresh_token", &held("one")));
        let new = of(|recipe| recipe.first_secret("refresh_token", &held("two")));
        assert_ne!(old.chain, new.chain);
        let file = of(|recipe| recipe.first_secret("refresh_token", &SecretSource::File("one".into())));
        assert_ne!(old.recipe, file.recipe, "a path is not a secret of the same letters");
    }

    #[test]
    fn a_chain_is_a_file_name_of_the_documented_alphabet() {
        for host in
            ["https://[::1]:8443/t", "https://ID.Example/t", "https://a_b.example/t", "http://..%2f.x/t"]
        {
            let Ok(url) = host.parse::<Uri>() else { continue };
            let chain = Recipe::new("password", Some(&url)).identity().chain;
            let plain = |letter: char| {
                letter.is_ascii_lowercase() || letter.is_ascii_digit() || ".-".contains(letter)
            };
            assert!(chain.chars().all(plain), "{chain}");
            assert!(!chain.starts_with('.'), "{chain}");
            assert_eq!(chain.rsplit_once('-').unwrap().1.len(), 32);
        }
    }

    #[test]
    fn r019_the_same_child_of_two_parents_is_two_tokens() {
        let child = of(|recipe| recipe.part("body", "{}"));
        let (one, two) =
            (of(|recipe| recipe.part("client_id", "1")), of(|recipe| recipe.part("client_id", "2")));
        assert_ne!(child.under(&one), child.under(&two));
        assert_ne!(child.under(&one), child);
        assert_eq!(child.under(&one), child.under(&one));
    }
}
