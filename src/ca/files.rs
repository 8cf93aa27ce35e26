//! The CA's two files: a certificate that anybody may read, and a key that nobody else may.
//!
//! Knows whom files may belong to, and that one which is written is whole or not there. Does not know what stands in them.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::{
    certificate::Made,
    error::{CaError, Problem},
};

const LARGEST: u64 = 1 << 20;

/// Where a CA is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Its certificate, in PEM; those that lead from it to a root may follow.
    pub certificate: PathBuf,
    /// Its key, in PEM, not encrypted.
    pub key: PathBuf,
}

/// What becomes of a CA that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// It is kept, and none is made.
    Never,
    /// It is replaced.
    Force,
}

impl Files {
    /// `ca.pem` and `ca.key` in `folder`.
    pub fn in_folder(folder: &Path) -> Self {
        Self { certificate: folder.join("ca.pem"), key: folder.join("ca.key") }
    }
}

/// The certificates, at least one, and the key in PEM.
pub(super) fn read(files: &Files) -> Result<(Vec<CertificateDer<'static>>, Zeroizing<String>), CaError> {
    let certificates = read_one(&files.certificate, false)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates.as_bytes()).collect();
    let chain = chain.map_err(|error| {
        CaError::new(
            &files.certificate,
            Problem::Unusable(format!("it is no PEM file of certificates: {error}")),
        )
    })?;
    Ok((chain, read_one(&files.key, true)?))
}

/// Replaces both files; the key first, so that a certificate is never there without one that may be its own.
pub(super) fn write(files: &Files, made: &Made, overwrite: Overwrite) -> Result<(), CaError> {
    let pairs =
        [(&files.key, made.key.as_str(), 0o600), (&files.certificate, made.certificate.as_str(), 0o644)];
    // Whoever comes second finds both files, and not the first of them.
    let _turn = turn(folder_of(&files.key)).map_err(|error| CaError::io(&files.key, error))?;
    if overwrite == Overwrite::Never
        && let Some((taken, ..)) = pairs.iter().find(|(path, ..)| path.symlink_metadata().is_ok())
    {
        return Err(CaError::new(*taken, Problem::Exists));
    }
    let mut aside = Vec::new();
    for (path, content, mode) in pairs {
        aside.push((
            path,
            write_aside(path, content, mode).map_err(|error| CaError::new(path, Problem::Io(error)))?,
        ));
    }
    for (path, file) in aside {
        let placed = match overwrite {
            Overwrite::Never => file.persist_noclobber(path),
            Overwrite::Force => file.persist(path),
        };
        placed
            .map_err(|failed| failed.error)
            .and_then(|_| File::open(folder_of(path))?.sync_all())
            .map_err(|error| CaError::io(path, error))?;
    }
    Ok(())
}

/// The folder's lock, until it is dropped; the folder is made where it is missing.
fn turn(folder: &Path) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let folder = File::open(folder)?;
    folder.lock()?;
    Ok(folder)
}

fn write_aside(path: &Path, content: &str, mode: u32) -> io::Result<NamedTempFile> {
    let folder = folder_of(path);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let permissions = Permissions::from_mode(mode);
    let mut file =
        tempfile::Builder::new().prefix(".").suffix(".new").permissions(permissions).tempfile_in(folder)?;
    file.write_all(content.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

fn read_one(path: &Path, secret: bool) -> Result<Zeroizing<String>, CaError> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| {
        match error.raw_os_error() {
            Some(number) if number == rustix::io::Errno::LOOP.raw_os_error() => {
                CaError::new(path, Problem::Unsafe("it is a symbolic link; name the file itself".to_owned()))
            }
            _ => CaError::io(path, error),
        }
    })?;
    let found = file.metadata().map_err(|error| CaError::io(path, error))?;
    if let Some(words) = unsafe_file(&found, secret) {
        return Err(CaError::new(path, Problem::Unsafe(words)));
    }
    let mut text = Zeroizing::new(String::new());
    let read = file.take(LARGEST + 1).read_to_string(&mut text);
    match read {
        Ok(size) if size as u64 <= LARGEST => Ok(text),
        Ok(_) => Err(CaError::new(path, Problem::Unusable("it is larger than 1 MiB".to_owned()))),
        Err(error) => Err(CaError::io(path, error)),
    }
}

/// What a file must be, so that nobody else put it there, and nobody else knows a key.
fn unsafe_file(found: &std::fs::Metadata, secret: bool) -> Option<String> {
    let us = rustix::process::geteuid().as_raw();
    let forbidden = if secret { 0o077 } else { 0o022 };
    if !found.is_file() {
        Some("it is not a file".to_owned())
    } else if found.uid() != us && found.uid() != 0 {
        Some(format!("it belongs to user {}, and bearward runs as user {us}", found.uid()))
    } else if found.mode() & forbidden != 0 {
        let mode = found.mode() & 0o777;
        Some(if secret {
            format!("others may read it (mode {mode:03o}): `chmod 600` it, or make another if somebody did")
        } else {
            format!("others may change it (mode {mode:03o}): `chmod 644` it")
        })
    } else {
        None
    }
}
