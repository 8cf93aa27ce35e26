//! The files for a command's programs: above all those that let them trust the local CA beside whatever they trusted before.
//!
//! Knows bundles and which variable names one for whom. They lie in a folder that only we can look into, and that goes when this does.

use std::{
    ffi::OsString,
    fs::Permissions,
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rustls::pki_types::CertificateDer;
use tempfile::TempDir;

use super::pkcs12;
use crate::ca::{self, Authority};

/// Variables that name all the roots a program trusts: OpenSSL, Go, Ruby, Python's ssl; curl; requests; git; AWS; pip; cargo; gRPC.
const WHOLE: &[&str] = &[
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
];
/// Variables that name what is trusted besides: Node, Deno.
const FURTHER: &[&str] = &["NODE_EXTRA_CA_CERTS", "DENO_CERT"];

/// The files.
pub(super) struct Trust {
    folder: TempDir,
    variables: Vec<(&'static str, PathBuf)>,
    java: Option<PathBuf>,
    node: PathBuf,
}

impl Trust {
    /// Writes them; those about `authority` where there is one. Where a variable of `env` names a bundle already, that one's
    /// certificates come first in ours. What cannot be read is said with `tell`.
    ///
    /// # Errors
    /// The folder for temporary files cannot be written to.
    pub(super) fn write(
        authority: Option<&Authority>,
        env: &dyn Fn(&str) -> Option<OsString>,
        tell: &mut dyn FnMut(String),
    ) -> io::Result<Self> {
        let private = Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix("bearward-").permissions(private).tempdir()?;
        let node = folder.path().join("node.cjs");
        std::fs::write(&node, include_str!("node.cjs"))?;
        let mut trust = Self { folder, variables: Vec::new(), java: None, node };
        if let Some(authority) = authority {
            trust.add(authority, env, tell)?;
        }
        Ok(trust)
    }

    fn add(
        &mut self,
        authority: &Authority,
        env: &dyn Fn(&str) -> Option<OsString>,
        tell: &mut dyn FnMut(String),
    ) -> io::Result<()> {
        let ours = authority.certificate_pem();
        let system = system_roots(tell);
        let bundle: String = system.iter().map(ca::pem).chain([ours.clone()]).collect();
        let whole = self.file("bundle.pem", bundle.as_bytes())?;
        let further = self.file("ca.pem", ours.as_bytes())?;
        for (names, otherwise) in [(WHOLE, whole), (FURTHER, further)] {
            for name in names {
                // The system's roots are what SSL_CERT_FILE names already.
                let named = env(name).filter(|path| !path.is_empty() && *name != "SSL_CERT_FILE");
                let path = match named.and_then(|path| read(Path::new(&path), name, tell)) {
                    Some(kept) => {
                        let content = format!("{}\n{ours}", kept.trim_end());
                        self.file(&format!("{}.pem", name.to_ascii_lowercase()), content.as_bytes())?
                    }
                    None => otherwise.clone(),
                };
                self.variables.push((*name, path));
            }
        }
        let store = pkcs12::trust_store(system.iter().chain([authority.certificate()]));
        self.java = Some(self.file("trust.p12", &store)?);
        Ok(())
    }

    fn file(&self, name: &str, content: &[u8]) -> io::Result<PathBuf> {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content)?;
        Ok(path)
    }

    /// Which variable names which file.
    pub(super) fn variables(&self) -> &[(&'static str, PathBuf)] {
        &self.variables
    }

    /// Java's trust store, where one is needed.
    pub(super) fn java(&self) -> Option<&Path> {
        self.java.as_deref()
    }

    /// What Node loads first.
    pub(super) fn node(&self) -> &Path {
        &self.node
    }

    /// Removes them.
    ///
    /// # Errors
    /// They are still there.
    pub(super) fn remove(self) -> io::Result<()> {
        self.folder.close()
    }
}

fn system_roots(tell: &mut dyn FnMut(String)) -> Vec<CertificateDer<'static>> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        tell(format!(
            "the system's root certificates cannot be read ({why}): the command will trust bearward's CA alone; set \
             SSL_CERT_FILE to a file of them"
        ));
    }
    found.certs
}

fn read(path: &Path, name: &str, tell: &mut dyn FnMut(String)) -> Option<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) => {
            tell(format!(
                "{name} names {}, which cannot be read ({error}): the system's root certificates take its place",
                path.display()
            ));
            None
        }
    }
}
