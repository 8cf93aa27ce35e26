//! What survives a restart: tokens, above all rotated refresh tokens.
//!
//! Knows records by the name of their chain, and the lock that whoever spends a refresh token must hold. Does not know
//! what a record's token is for, or when it is refreshed. A kind of store is one file here.

mod file;
mod memory;
mod record;

use std::{fmt, io, path::PathBuf, sync::Arc};

pub use record::Record;
pub(crate) use record::unix_ms;

/// A store. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Store(Kind);

#[derive(Clone, Debug)]
enum Kind {
    File(Arc<file::Folder>),
    Memory(Arc<memory::Records>),
}

impl Store {
    /// The store in a folder, which is made with mode 0700 where it is missing. Sweeps out what expired long ago.
    /// Blocks on the disk; to be called before requests are served.
    ///
    /// # Errors
    /// The folder cannot be made or read, is a symlink, belongs to somebody else, or others may look into it.
    pub fn folder(path: impl Into<PathBuf>, now: crate::clock::Moment) -> Result<Self, StoreError> {
        let folder = file::Folder::open(path.into())?;
        folder.sweep(now.wall());
        Ok(Self(Kind::File(Arc::new(folder))))
    }

    /// A store that ends with the process.
    pub fn memory() -> Self {
        Self(Kind::Memory(Arc::default()))
    }

    /// What is stored of `chain`, without waiting for who holds its lock.
    ///
    /// # Errors
    /// It cannot be read, or is damaged and so is the previous copy.
    pub async fn load(&self, chain: &str) -> Result<Option<Record>, StoreError> {
        match &self.0 {
            Kind::File(folder) => {
                let (folder, chain) = (Arc::clone(folder), chain.to_owned());
                blocking(move || Ok(folder.load(&chain)?.record)).await
            }
            Kind::Memory(records) => Ok(records.load(chain)),
        }
    }

    /// What changes whenever `chain`'s record is replaced, by whomever; `None` where there is none, or it cannot be told. Costs
    /// next to nothing: nothing is read.
    pub async fn stamp(&self, chain: &str) -> Option<Stamp> {
        match &self.0 {
            Kind::File(folder) => {
                let (folder, chain) = (Arc::clone(folder), chain.to_owned());
                blocking(move || Ok(folder.stamp(&chain))).await.ok().flatten()
            }
            Kind::Memory(records) => records.stamp(chain),
        }
    }

    /// Takes the lock of `chain`, across processes, and reads its record again under it.
    ///
    /// # Errors
    /// It cannot be locked within a minute, or cannot be read. Damage is no error here: see [`Locked::damage`].
    pub async fn lock(&self, chain: &str) -> Result<Locked, StoreError> {
        match &self.0 {
            Kind::File(folder) => {
                let lock = folder.lock(chain).await?;
                let (reader, name) = (Arc::clone(folder), chain.to_owned());
                let (found, damage) = match blocking(move || reader.load(&name)).await {
                    Err(damage) if damage.is_damage() => {
                        let (aside, name) = (Arc::clone(folder), chain.to_owned());
                        blocking(move || aside.set_aside(&name)).await?;
                        (file::Found { record: None, whole: false }, Some(damage))
                    }
                    found => (found?, None),
                };
                let hold = Hold::File { folder: Arc::clone(folder), _lock: lock, whole: found.whole };
                Ok(Locked { chain: chain.to_owned(), record: found.record, damage, hold })
            }
            Kind::Memory(records) => {
                let lock = records.lock(chain).await;
                let hold = Hold::Memory { records: Arc::clone(records), _lock: lock };
                Ok(Locked { chain: chain.to_owned(), record: records.load(chain), damage: None, hold })
            }
        }
    }
}

/// What tells one writing of a chain's record from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// Each writing is a new file: its inode, when it was modified (seconds, nanoseconds), its size.
    File(u64, (i64, i64), u64),
    /// How often it was written.
    Memory(u64),
}

/// The evidence that a chain's lock is held; dropped, it is released. A crash releases it too.
#[derive(Debug)]
pub struct Locked {
    chain: String,
    record: Option<Record>,
    damage: Option<StoreError>,
    hold: Hold,
}

#[derive(Debug)]
enum Hold {
    File {
        folder: Arc<file::Folder>,
        _lock: std::fs::File,
        /// The current file is sound, and may become the previous copy.
        whole: bool,
    },
    Memory {
        records: Arc<memory::Records>,
        _lock: tokio::sync::OwnedMutexGuard<()>,
    },
}

impl Locked {
    /// The record as it was last read or saved under this lock.
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// That a record was there and is lost, its refresh token with it.
    pub fn damage(&self) -> Option<&StoreError> {
        self.damage.as_ref()
    }

    /// Puts `record` in the place of the current one. When this returns it survives a crash.
    ///
    /// # Errors
    /// It could not be written; the current one is untouched.
    pub async fn save(&mut self, record: Record) -> Result<(), StoreError> {
        match &mut self.hold {
            Hold::File { folder, whole, .. } => {
                let (folder, chain, keep) = (Arc::clone(folder), self.chain.clone(), *whole);
                let saved = record.clone();
                blocking(move || folder.save(&chain, &saved, keep)).await?;
                *whole = true;
            }
            Hold::Memory { records, .. } => records.save(&self.chain, record.clone()),
        }
        self.record = Some(record);
        self.damage = None;
        Ok(())
    }

    /// Puts `record` in the place of the current one and of everything older: its previous copy, and damaged ones that were
    /// moved aside. What they held is in the store no more.
    ///
    /// # Errors
    /// As [`Locked::save`]; or something older could not be removed.
    pub async fn save_alone(&mut self, record: Record) -> Result<(), StoreError> {
        self.save(record.clone()).await?;
        if let Hold::File { folder, .. } = &self.hold {
            let (folder, chain) = (Arc::clone(folder), self.chain.clone());
            blocking(move || folder.remove_damaged(&chain)).await?;
        }
        // A second time, so that the previous copy is the same.
        self.save(record).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(gone) => {
            Err(StoreError { path: PathBuf::new(), problem: Problem::Io(io::Error::other(gone.to_string())) })
        }
    }
}

/// A store that cannot be opened, read or written. Names the file and the reason, never the content.
#[derive(Debug)]
pub struct StoreError {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Io(io::Error),
    /// It is there and we will not touch it: why, and what to do.
    Unsafe(String),
    /// Neither the file nor its previous copy is sound.
    Damaged,
    /// Somebody else holds the lock.
    Locked,
}

impl StoreError {
    fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self { path: path.into(), problem: Problem::Io(source) }
    }

    /// Whether a record was there and is lost.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self.problem, Problem::Damaged)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.problem {
            Problem::Io(source) => write!(f, "the store at {path}: {source}"),
            Problem::Unsafe(words) => write!(f, "the store at {path} is not used: {words}"),
            Problem::Damaged => write!(
                f,
                "the stored token {path} is damaged and so is its previous copy; what is left of them has the \
                 ending .damaged. Log in again, or configure a new refresh token"
            ),
            Problem::Locked => write!(f, "the lock {path} was held by another process for a minute"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Io(source) => Some(source),
            Problem::Unsafe(_) | Problem::Damaged | Problem::Locked => None,
        }
    }
}
