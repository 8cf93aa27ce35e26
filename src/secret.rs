//! A value that must never be seen: how it is held, read and compared.
//!
//! Knows where a secret comes from (text, environment, file) and that it is wiped when dropped. Does not know
//! what it is for. There is no `Display` and no `Serialize`; [`Secret::expose`] is the one way out, and clippy
//! asks each caller of it for a reason.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;
use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine};
use zeroize::Zeroizing;

/// A secret text. `Debug` shows that there is one and nothing of it.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over; the caller keeps no copy.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself. Each call says why in an `#[expect(clippy::disallowed_methods, reason = "…")]`.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A digest that tells secrets apart and does not give them away.
    pub fn fingerprint(&self) -> String {
        BASE64_STANDARD_NO_PAD.encode(digest::digest(&digest::SHA256, self.0.as_bytes()))
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.0.as_bytes(), other.0.as_bytes()).is_ok()
    }
}

impl Eq for Secret {}

/// Where a secret is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In the configuration itself, or in an environment variable that was read with it.
    Held(Secret),
    /// In a file, read anew at each use, so that a rotated file needs no restart.
    File(PathBuf),
}

impl SecretSource {
    /// Reads the secret. A file's one trailing newline is dropped.
    ///
    /// # Errors
    /// The file cannot be read, is not UTF-8, is larger than 1 MiB or is empty.
    pub fn read(&self) -> Result<Secret, SecretError> {
        match self {
            Self::Held(secret) => Ok(secret.clone()),
            Self::File(path) => read_file(path).map_err(|source| SecretError { path: path.clone(), source }),
        }
    }
}

fn read_file(path: &Path) -> io::Result<Secret> {
    const MOST: u64 = 1 << 20;
    if fs::metadata(path)?.len() > MOST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    let mut text = Zeroizing::new(fs::read_to_string(path)?);
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is empty"));
    }
    Ok(Secret(text))
}

/// A digest of what stands in secret files now, by which a rotated one is noticed; `None` where there are no files or one
/// cannot be read.
pub fn stamp(files: &[PathBuf]) -> Option<String> {
    if files.is_empty() {
        return None;
    }
    let mut context = digest::Context::new(&digest::SHA256);
    for file in files {
        context.update(digest::digest(&digest::SHA256, &Zeroizing::new(fs::read(file).ok()?)).as_ref());
    }
    Some(BASE64_STANDARD_NO_PAD.encode(context.finish()))
}

/// A secret file that cannot be read. Names the file and the reason, never the content.
#[derive(Debug)]
pub struct SecretError {
    path: PathBuf,
    source: io::Error,
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read the secret file {}: {}", self.path.display(), self.source)
    }
}

impl std::error::Error for SecretError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r146_debug_shows_nothing_of_a_secret() {
        let source = SecretSource::Held(Secret::new("canary"));
        assert!(!format!("{source:?}").contains("canary"));
    }

    #[test]
    fn a_file_loses_exactly_one_newline() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        fs::write(&path, "a b\n\n").unwrap();
        assert_eq!(SecretSource::File(path).read().unwrap(), Secret::new("a b\n"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let problem = SecretSource::File("/nowhere/secret".into()).read().unwrap_err();
        assert!(problem.to_string().contains("/nowhere/secret"));
    }
}
