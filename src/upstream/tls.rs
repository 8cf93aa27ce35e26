//! TLS towards an origin: which roots are trusted, which certificate is shown.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// TLS settings as configured; the default trusts the platform's roots (webpki's where there are none).
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Trust only these roots.
    pub roots: Option<Vec<CertificateDer<'static>>>,
    /// The certificate chain and key that are shown.
    pub identity: Option<Arc<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>>,
    /// The name to verify and to send as SNI, where it is not the URL's host.
    pub server_name: Option<String>,
}
