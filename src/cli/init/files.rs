//! The files that `init` leaves: whole or not at all, and secrets for their owner alone.

use std::{
    fs::{self, DirBuilder, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::Kept0600;
use crate::{
    cli::exit::Exit,
    config::{Config, draft::Draft},
};

/// The folder of secret files, beside the configuration.
pub(super) const FOLDER: &str = "bearward-secrets";

/// Writes the secrets and then the configuration.
pub(super) fn write(output: &Path, draft: &Draft, secrets: &[Kept0600], force: bool) -> Result<(), Exit> {
    let folder = match output.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let paths: Vec<_> = secrets.iter().map(|(name, _)| folder.join(name)).collect();
    if let Some(taken) = paths.iter().find(|path| !force && path.symlink_metadata().is_ok()) {
        return Err(there(taken));
    }
    if !secrets.is_empty() {
        let secret_folder = folder.join(FOLDER);
        let made = DirBuilder::new().mode(0o700).create(&secret_folder);
        if let Err(error) = made.or_else(|error| if secret_folder.is_dir() { Ok(()) } else { Err(error) }) {
            return Err(cannot(&secret_folder, &error));
        }
    }
    for ((_, secret), path) in secrets.iter().zip(&paths) {
        #[expect(clippy::disallowed_methods, reason = "the user wants this secret in a file")]
        place(path, secret.expose().as_bytes(), 0o600, force)?;
    }
    let text = draft.render();
    let mode = if draft.is_secret() { 0o600 } else { 0o644 };
    reread(output, draft, &text)?;
    place(output, text.as_bytes(), mode, force)
}

/// A file that is there already.
pub(super) fn there(path: &Path) -> Exit {
    Exit::failure(format!(
        "{} is there already, and nothing was written: name another with --output, or overwrite it with --force",
        path.display()
    ))
}

/// Reads what is about to be written, the secret files included.
fn reread(output: &Path, draft: &Draft, text: &str) -> Result<(), Exit> {
    let env = |name: &str| {
        let named = draft.variables().any(|(_, variable)| variable == name);
        if named { Some("there".to_owned()) } else { std::env::var(name).ok() }
    };
    Config::parse_with(text, &output.to_string_lossy(), &env).map(drop).map_err(|problems| {
        Exit::failure(format!("no configuration was written:\n\n{}", problems.render(false)))
    })
}

/// Puts a file to its place in one step.
fn place(path: &Path, content: &[u8], mode: u32, force: bool) -> Result<(), Exit> {
    let folder: PathBuf = match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => ".".into(),
    };
    let written = (|| {
        let mut aside =
            tempfile::Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(&folder)?;
        aside.write_all(content)?;
        aside.as_file().sync_all()?;
        if force {
            aside.persist(path).map_err(|error| error.error)?;
        } else {
            aside.persist_noclobber(path).map_err(|error| error.error)?;
        }
        fs::File::open(&folder)?.sync_all()
    })();
    match written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(there(path)),
        other => other.map_err(|error| cannot(path, &error)),
    }
}

fn cannot(path: &Path, error: &io::Error) -> Exit {
    Exit::failure(format!("cannot write {}: {error}", path.display()))
}
