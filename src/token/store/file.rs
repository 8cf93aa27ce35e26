//! The store in a folder: one file per chain, its previous copy, and its lock.
//!
//! Knows how a file is replaced so that `kill -9` at any moment leaves a whole one, whom files may belong to, and what to
//! do with a damaged one. Does not know what a record says.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::{Problem, Record, Stamp, StoreError, record::unix_ms};

const LARGEST: u64 = 1 << 20;
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// A folder that only we can look into.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

/// What was found of a chain.
#[derive(Debug)]
pub(super) struct Found {
    pub record: Option<Record>,
    /// Whether it stood in the current file, not in the previous copy.
    pub whole: bool,
}

impl Folder {
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
        // Without a slash at the end, which would have the system follow a symbolic link.
        let path: PathBuf = path.components().collect();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|source| StoreError::io(&path, source))?;
        let found = std::fs::symlink_metadata(&path).map_err(|source| StoreError::io(&path, source))?;
        if let Some(words) = unsafe_folder(&found) {
            return Err(StoreError { path, problem: Problem::Unsafe(words) });
        }
        // The folder has to be writable: finding out when a refresh token has been rotated is too late.
        tempfile::tempfile_in(&path).map_err(|source| StoreError::io(&path, source))?;
        Ok(Self { path })
    }

    /// Reads a chain's record: the current file, or with a loud message the previous copy.
    pub(super) fn load(&self, chain: &str) -> Result<Found, StoreError> {
        let current = self.file(chain, "json");
        let previous = self.file(chain, "json.previous");
        match read_record(&current, chain)? {
            Reading::Whole(record) => return Ok(Found { record: Some(record), whole: true }),
            Reading::Missing if !previous.exists() => return self.none_left(chain),
            Reading::Missing => {
                tracing::error!(file = %current.display(), "a stored token is gone; its previous copy is used");
            }
            Reading::Damaged(why) => {
                tracing::error!(file = %current.display(), why, "a stored token is damaged; its previous copy is used");
            }
        }
        if let Reading::Whole(record) = read_record(&previous, chain)? {
            return Ok(Found { record: Some(record), whole: false });
        }
        Err(StoreError { path: current, problem: Problem::Damaged })
    }

    /// What a look at the chain's file shows without reading it.
    pub(super) fn stamp(&self, chain: &str) -> Option<Stamp> {
        let found = std::fs::symlink_metadata(self.file(chain, "json")).ok()?;
        Some(Stamp::File(found.ino(), (found.mtime(), found.mtime_nsec()), found.size()))
    }

    /// Moves a damaged record out of the way, for people to look at. Only under the chain's lock: who reads without it
    /// may have seen the file that was replaced meanwhile.
    pub(super) fn set_aside(&self, chain: &str) -> Result<(), StoreError> {
        for end in ["json", "json.previous"] {
            let damaged = self.file(chain, end);
            match std::fs::rename(&damaged, self.file(chain, &format!("{end}.damaged"))) {
                Ok(()) => {}
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(StoreError::io(damaged, source)),
            }
        }
        Ok(())
    }

    /// Removes what [`Folder::set_aside`] kept for people to look at.
    pub(super) fn remove_damaged(&self, chain: &str) -> Result<(), StoreError> {
        for end in ["json.damaged", "json.previous.damaged"] {
            let damaged = self.file(chain, end);
            match std::fs::remove_file(&damaged) {
                Ok(()) => {}
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(StoreError::io(damaged, source)),
            }
        }
        Ok(())
    }

    /// No record, which is damage where one was moved aside: a configured first refresh token may have been spent.
    fn none_left(&self, chain: &str) -> Result<Found, StoreError> {
        if self.file(chain, "json.damaged").exists() || self.file(chain, "json.previous.damaged").exists() {
            return Err(StoreError { path: self.file(chain, "json"), problem: Problem::Damaged });
        }
        Ok(Found { record: None, whole: false })
    }

    /// Takes the chain's lock, polling: a blocking wait could not be given up.
    pub(super) async fn lock(&self, chain: &str) -> Result<File, StoreError> {
        let path = self.file(chain, "lock");
        let polled = async {
            loop {
                let at = path.clone();
                if let Some(lock) = super::blocking(move || try_lock(&at)).await? {
                    return Ok(lock);
                }
                tokio::time::sleep(Duration::from_millis(fastrand::u64(5..50))).await;
            }
        };
        match tokio::time::timeout(LOCK_PATIENCE, polled).await {
            Ok(lock) => lock,
            Err(_) => Err(StoreError { path, problem: Problem::Locked }),
        }
    }

    /// Replaces a chain's file. `keep`: the current one is whole and becomes the previous copy.
    pub(super) fn save(&self, chain: &str, record: &Record, keep: bool) -> Result<(), StoreError> {
        let current = self.file(chain, "json");
        self.replace(&current, chain, record, keep).map_err(|source| StoreError::io(current, source))
    }

    fn replace(&self, current: &Path, chain: &str, record: &Record, keep: bool) -> io::Result<()> {
        let json = record.to_json()?;
        let mut aside = tempfile::Builder::new().prefix(".").suffix(".new").tempfile_in(&self.path)?;
        aside.write_all(&json)?;
        aside.as_file().sync_all()?;
        if keep {
            self.keep_previous(current, chain)?;
        }
        aside.persist(current).map_err(|failed| failed.error)?;
        File::open(&self.path)?.sync_all()
    }

    /// A second name for the current file, which stays in its place: at no moment is there none.
    fn keep_previous(&self, current: &Path, chain: &str) -> io::Result<()> {
        let link = self.file(chain, "json.link");
        let gone = |result: io::Result<()>| match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        gone(std::fs::remove_file(&link))?;
        if std::fs::hard_link(current, &link).is_err() {
            // Not every file system has hard links.
            let whole = Zeroizing::new(std::fs::read(current)?);
            let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&link)?;
            copy.write_all(&whole)?;
            copy.sync_all()?;
        }
        std::fs::rename(&link, self.file(chain, "json.previous"))?;
        // Where both were the same file already, rename(2) does nothing.
        gone(std::fs::remove_file(&link))
    }

    /// Removes records that nobody will miss, with their locks. What cannot be read is left for `load` to speak of.
    pub(super) fn sweep(&self, now: SystemTime) {
        let Ok(entries) = std::fs::read_dir(&self.path) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with('.') && name.ends_with(".new") {
                self.sweep_aside(&entry.path(), now);
            }
            let Some(chain) = name.strip_suffix(".json") else { continue };
            let lock = self.file(chain, "lock");
            let Ok(Some(_held)) = try_lock(&lock) else { continue };
            if let Ok(Reading::Whole(record)) = read_record(&entry.path(), chain)
                && record.is_spent(unix_ms(now))
            {
                for end in ["json.previous", "json", "lock"] {
                    // One that stays does no harm, and is met again at the next start.
                    let _ = std::fs::remove_file(self.file(chain, end));
                }
            }
        }
    }

    /// What a crash left half written; a young one may be another process's at work.
    fn sweep_aside(&self, path: &Path, now: SystemTime) {
        let old = std::fs::symlink_metadata(path).and_then(|found| found.modified()).is_ok_and(|modified| {
            now.duration_since(modified).is_ok_and(|age| age > Duration::from_secs(3600))
        });
        if old {
            let _ = std::fs::remove_file(path);
        }
    }

    fn file(&self, chain: &str, end: &str) -> PathBuf {
        // A chain's name is made of letters, digits, dots and hyphens; whatever else comes cannot leave the folder.
        let name: String =
            chain.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '.' }).collect();
        self.path.join(format!("{}.{end}", name.trim_start_matches('.')))
    }
}

fn unsafe_folder(found: &std::fs::Metadata) -> Option<String> {
    let us = rustix::process::geteuid().as_raw();
    if found.is_symlink() {
        Some("it is a symbolic link; name the folder itself".to_owned())
    } else if !found.is_dir() {
        Some("it is not a folder".to_owned())
    } else if found.uid() != us {
        Some(format!("it belongs to user {}, and bearward runs as user {us}", found.uid()))
    } else if found.mode() & 0o077 != 0 {
        let mode = found.mode() & 0o777;
        Some(format!(
            "others may look into it (mode {mode:03o}); `chmod 700` it, or name a folder in it that is made anew"
        ))
    } else {
        None
    }
}

enum Reading {
    Whole(Record),
    Missing,
    Damaged(&'static str),
}

fn read_record(path: &Path, chain: &str) -> Result<Reading, StoreError> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Ok(Reading::Missing),
        Err(link) if link.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Ok(Reading::Damaged("it is a symbolic link"));
        }
        Err(source) => return Err(StoreError::io(path, source)),
    };
    let found = file.metadata().map_err(|source| StoreError::io(path, source))?;
    if !found.is_file() {
        return Ok(Reading::Damaged("it is not a file"));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Ok(Reading::Damaged("it belongs to another user"));
    }
    if found.mode() & 0o077 != 0 {
        return Ok(Reading::Damaged("others may read or change it"));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    let size =
        file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|source| StoreError::io(path, source))?;
    if u64::try_from(size).is_ok_and(|size| size > LARGEST) {
        return Ok(Reading::Damaged("it is larger than 1 MiB"));
    }
    Ok(Record::from_json(&bytes, chain)
        .map_or(Reading::Damaged("its content is not what was written"), Reading::Whole))
}

/// The lock, where nobody holds it.
fn try_lock(path: &Path) -> Result<Option<File>, StoreError> {
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let open = || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(flags)
            .open(path)
    };
    let file = open().map_err(|source| StoreError::io(path, source))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(source)) => return Err(StoreError::io(path, source)),
    }
    // A sweep may have removed the file between our opening and our locking it: then the lock is on nothing.
    let ours = file.metadata().map_err(|source| StoreError::io(path, source))?;
    let there = std::fs::symlink_metadata(path)
        .is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()));
    Ok(there.then_some(file))
}
