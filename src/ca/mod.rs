//! The local CA: what the forward proxy shows to applications whose TLS it opens.
//!
//! Knows certificates: how the CA is made and kept (`files`), which hosts it may speak for ([`Hosts`]), and the short-lived leaves
//! that it signs (`leaves`). Does not know which hosts are upstreams, connections, or who trusts the CA.
//!
//! The key never leaves its file but into this module. Whoever reads it can pose as the hosts that the CA is constrained to
//! (RFC 5280 section 4.2.1.10), for programs that trust the CA, and as no others.

mod certificate;
mod error;
mod files;
mod hosts;
mod leaves;

#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::SystemTime};

use rustls::{ServerConfig, pki_types::CertificateDer};

use self::error::Problem;
pub use self::{
    certificate::pem,
    error::{CaError, LeafError},
    files::{Files, Overwrite},
    hosts::Hosts,
};
use crate::clock::Clock;

/// A CA in force. To be shared by all that open TLS.
pub struct Authority {
    certificate: certificate::Certificate,
    leaves: leaves::Leaves,
    clock: Clock,
}

impl Authority {
    /// Opens the CA in `files`. Blocks on the disk.
    ///
    /// # Errors
    /// A file is missing, is a symbolic link or belongs to somebody else; others may read the key; what stands there is no CA with its
    /// key; or it has ended.
    pub fn open(files: &Files, clock: &Clock) -> Result<Self, CaError> {
        let (chain, key) = files::read(files)?;
        let unusable = |words| CaError::new(&files.certificate, Problem::Unusable(words));
        let certificate = certificate::Certificate::read(chain, &key).map_err(unusable)?;
        if certificate.age(clock.now()) == Age::Ended {
            return Err(CaError::new(&files.certificate, Problem::Ended));
        }
        Ok(Self { certificate, leaves: leaves::Leaves::default(), clock: clock.clone() })
    }

    /// Makes a CA that lives for a year and may speak for `hosts`, and writes it to `files`, the key with mode 0600. Blocks on the disk.
    ///
    /// # Errors
    /// There is one already and it is to be kept, or the files cannot be written.
    pub fn make(files: &Files, hosts: &Hosts, overwrite: Overwrite, clock: &Clock) -> Result<Self, CaError> {
        let made = certificate::make(hosts, clock.now()).map_err(|error| CaError::unmade(files, &error))?;
        files::write(files, &made, overwrite)?;
        Self::open(files, clock)
    }

    /// The certificate that clients have to trust, as PEM.
    pub fn certificate_pem(&self) -> String {
        pem(self.certificate())
    }

    /// The certificate that clients have to trust.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        self.certificate.der()
    }

    /// When it ends.
    pub fn not_after(&self) -> SystemTime {
        self.certificate.not_after()
    }

    /// How it stands with its end.
    pub fn age(&self) -> Age {
        self.certificate.age(self.clock.now())
    }

    /// What to accept TLS with as `host`, a DNS name or an IP address: a leaf of at most seven days, HTTP/2 and HTTP/1.1 by ALPN. Kept in
    /// memory, and replaced a day before it ends; the first one of a host costs some 100 µs.
    ///
    /// # Errors
    /// `host` is no name or address, or not one that this CA may speak for; or the CA has ended.
    pub fn server_config(&self, host: &str) -> Result<Arc<ServerConfig>, LeafError> {
        self.leaves.of(host, &self.certificate, self.clock.now())
    }
}

/// How a CA stands with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// It is not valid yet: this machine's clock may be wrong.
    Unborn,
    /// In force.
    Good,
    /// It ends within 30 days.
    EndsSoon,
    /// It has ended.
    Ended,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}
