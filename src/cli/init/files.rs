//! The files that `init` leaves: all of them whole or none at all, and secrets for their owner alone.

use std::{
    fs::{self, DirBuilder, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tempfile::{NamedTempFile, TempPath};

use super::Kept0600;
use crate::{
    cli::exit::Exit,
    config::{Config, draft::Draft},
};

/// The folder of secret files, beside the configuration.
pub(super) const FOLDER: &str = "bearward-secrets";

/// Writes the secrets and then the configuration: all of them, or none, and then what was there before is there again.
pub(super) fn write(output: &Path, draft: &Draft, secrets: &[Kept0600], force: bool) -> Result<(), Exit> {
    let folder = folder_of(output);
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
    let text = draft.render();
    let mode = if draft.is_secret() { 0o600 } else { 0o644 };
    let mut files = Vec::new();
    for ((_, secret), path) in secrets.iter().zip(&paths) {
        #[expect(clippy::disallowed_methods, reason = "the user wants this secret in a file")]
        files.push(Written::aside(path, secret.expose().as_bytes(), 0o600, force)?);
    }
    // Last: whoever watches the configuration finds the secrets that it names.
    files.push(Written::aside(output, text.as_bytes(), mode, force)?);
    place(files, force, |path| if path == output { reread(output, draft, &text) } else { Ok(()) })
}

/// Places all of them, each after `check`, or none.
fn place(
    files: Vec<Written<'_>>,
    force: bool,
    check: impl Fn(&Path) -> Result<(), Exit>,
) -> Result<(), Exit> {
    let mut placed = Vec::new();
    for file in files {
        match check(file.path).and_then(|()| file.place(force)) {
            Ok(file) => placed.push(file),
            Err(exit) => {
                return Err(placed.into_iter().rev().fold(exit, |exit, file: Placed<'_>| file.undo(exit)));
            }
        }
    }
    Ok(())
}

/// A file that is whole and synced, beside its place.
struct Written<'a> {
    path: &'a Path,
    fresh: NamedTempFile,
    before: Option<TempPath>,
}

/// A file at its place.
struct Placed<'a> {
    path: &'a Path,
    /// What was there, by another name; gone when this is dropped.
    before: Option<TempPath>,
}

impl<'a> Written<'a> {
    fn aside(path: &'a Path, content: &[u8], mode: u32, force: bool) -> Result<Self, Exit> {
        let folder = folder_of(path);
        let written = (|| {
            let mut fresh =
                tempfile::Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(&folder)?;
            fresh.write_all(content)?;
            fresh.as_file().sync_all()?;
            let before = if force && path.symlink_metadata().is_ok() {
                let link = tempfile::Builder::new().make_in(&folder, |aside| fs::hard_link(path, aside))?;
                Some(link.into_temp_path())
            } else {
                None
            };
            Ok(Self { path, fresh, before })
        })();
        written.map_err(|error| cannot(path, &error))
    }

    fn place(self, force: bool) -> Result<Placed<'a>, Exit> {
        let Self { path, fresh, before } = self;
        let moved = if force { fresh.persist(path) } else { fresh.persist_noclobber(path) };
        match moved {
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Err(there(path)),
            Err(error) => return Err(cannot(path, &error.error)),
            Ok(_) => {}
        }
        let placed = Placed { path, before };
        match fs::File::open(folder_of(path)).and_then(|folder| folder.sync_all()) {
            Ok(()) => Ok(placed),
            Err(error) => Err(placed.undo(cannot(path, &error))),
        }
    }
}

impl Placed<'_> {
    /// Brings back what was there before, and says where it is if that cannot be.
    fn undo(self, exit: Exit) -> Exit {
        let Some(before) = self.before else {
            return match fs::remove_file(self.path) {
                Ok(()) => exit,
                Err(error) => exit.and(format!("{} was left there: {error}", self.path.display())),
            };
        };
        match before.persist(self.path) {
            Ok(()) => exit,
            Err(error) => {
                let words = format!("what {} was before", self.path.display());
                exit.and(match error.path.keep() {
                    Ok(kept) => format!("{words} is in {}", kept.display()),
                    Err(lost) => format!("{words} is lost: {}", lost.error),
                })
            }
        }
    }
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => ".".into(),
    }
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

fn cannot(path: &Path, error: &io::Error) -> Exit {
    Exit::failure(format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(folder: &Path) -> usize {
        folder.read_dir().unwrap().count()
    }

    #[test]
    fn what_was_there_is_there_again_where_a_later_file_fails() {
        for force in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
            if force {
                fs::write(&first, "old").unwrap();
                fs::write(&second, "old").unwrap();
            }
            let aside = |path| Written::aside(path, b"new", 0o600, force).unwrap();
            let files = vec![aside(&first), aside(&second)];
            let _ = fs::remove_file(&second);
            fs::create_dir(&second).unwrap();
            let reached = |path: &Path| {
                assert_eq!(path == second, fs::read(&first).is_ok_and(|content| content == b"new"));
                Ok(())
            };
            assert!(place(files, force, reached).is_err());
            assert_eq!(fs::read(&first).ok().as_deref(), force.then_some(&b"old"[..]));
            assert_eq!(entries(folder.path()), if force { 2 } else { 1 }, "nothing is left aside");
        }
    }

    #[test]
    fn a_check_that_fails_brings_everything_back() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
        fs::write(&first, "old").unwrap();
        let files = [&first, &second].map(|path| Written::aside(path, b"new", 0o600, true).unwrap());
        let wrong = |path: &Path| if path == second { Err(Exit::failure("wrong")) } else { Ok(()) };
        assert!(place(files.into(), true, wrong).is_err());
        assert_eq!((fs::read(&first).unwrap(), entries(folder.path())), (b"old".to_vec(), 1));
    }
}
