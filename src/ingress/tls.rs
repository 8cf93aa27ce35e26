//! TLS on a listener: which certificate is shown, whose clients may come in, and what is spoken then.
//!
//! Knows rustls. Does not know files or configuration, nor what is said once TLS stands. A certificate is shown whatever name was
//! asked for: which names may be asked for is `admission`'s to say, of each request.

use std::{fmt, io, sync::Arc};

use bytes::BytesMut;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime},
    server::WebPkiClientVerifier,
};
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsAcceptor;

use super::{
    caller::ServerName,
    connection::Limits,
    drain::Drain,
    protocol::{Spoken, drained},
};
use crate::wire::Stream;

/// Room for the first octets of a connection: most ClientHellos fit.
const FIRST: usize = 2 << 10;

/// A certificate chain and its key.
pub type Identity = Arc<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>;

/// `listen_tls` as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What is shown.
    pub identity: Identity,
    /// Only clients with a certificate of one of these CAs may come in.
    pub clients_of: Option<Vec<CertificateDer<'static>>>,
}

/// Settings that no TLS connection can be accepted with.
#[derive(Debug)]
pub enum SettingsError {
    /// The certificate and the key do not belong together, or are of an unknown kind.
    Identity(rustls::Error),
    /// No CA for clients, or one that cannot be one.
    Clients(String),
    /// rustls refuses the combination of algorithms it was built with.
    Provider(rustls::Error),
}

impl Settings {
    /// Checks the settings and prepares the handshakes.
    ///
    /// # Errors
    /// They cannot work.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, SettingsError> {
        // Named here, never taken from the process: which provider is the default there depends on who linked what.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(SettingsError::Provider)?;
        let builder = match &self.clients_of {
            None => builder.with_no_client_auth(),
            Some(roots) => {
                let mut store = RootCertStore::empty();
                for root in roots {
                    store.add(root.clone()).map_err(|problem| SettingsError::Clients(problem.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider)
                    .build()
                    .map_err(|problem| SettingsError::Clients(problem.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let (chain, key) = &*self.identity;
        let mut config =
            builder.with_single_cert(chain.clone(), key.clone_key()).map_err(SettingsError::Identity)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl Settings {
    /// For a command of ours that asks a listener with these settings: it trusts this one certificate, whatever its name.
    ///
    /// # Errors
    /// Nobody but a client with a certificate may ask there.
    pub fn for_ourselves(&self) -> Result<Arc<ClientConfig>, SettingsError> {
        if self.clients_of.is_some() {
            return Err(SettingsError::Clients(
                "it demands a certificate, and we have none to show".to_owned(),
            ));
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let exactly = Exactly { shown: self.identity.0.first().cloned(), provider: provider.clone() };
        // "dangerous" is rustls's word for any verifier that is not built from a root store right here.
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(SettingsError::Provider)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(exactly))
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

/// Trusts one certificate and no other.
#[derive(Debug)]
struct Exactly {
    shown: Option<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Exactly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &rustls::pki_types::ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.shown.as_ref() == Some(end_entity) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// How a connection to a listener with TLS begins.
pub(super) enum Begun {
    /// With TLS: the stream inside, the name that was asked for, and what is spoken.
    Tls(Stream, ServerName, Spoken),
    /// With something else, most likely HTTP.
    Plain(Stream),
}

/// What there is once TLS stands; `None` where it did not come to that.
pub(super) async fn accept(
    stream: Stream,
    config: Arc<ServerConfig>,
    limits: &Limits,
    drain: &Drain,
) -> Option<Begun> {
    tokio::select! {
        biased;
        begun = begin(stream, config) => match begun {
            Ok(begun) => Some(begun),
            Err(problem) => {
                tell(&problem);
                None
            }
        },
        () = tokio::time::sleep(limits.head_timeout) => None,
        () = drained(drain) => None,
    }
}

async fn begin(mut stream: Stream, config: Arc<ServerConfig>) -> io::Result<Begun> {
    let mut first = BytesMut::with_capacity(FIRST);
    if stream.read_buf(&mut first).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let looks_like_http = first[0].is_ascii_alphabetic();
    let stream = stream.rewound(first.freeze());
    if looks_like_http {
        tracing::info!(
            "HTTP without TLS was spoken on a listener with listen_tls: it has to be asked with https://"
        );
        return Ok(Begun::Plain(stream));
    }
    let stream = TlsAcceptor::from(config).accept(stream).await?;
    let session = stream.get_ref().1;
    let name = session.server_name().map(|name| name.to_ascii_lowercase().into());
    let spoken = if session.alpn_protocol() == Some(b"h2") { Spoken::Http2 } else { Spoken::Http1 };
    Ok(Begun::Tls(Stream::Accepted(Box::new(stream)), ServerName(name), spoken))
}

/// The application sees that the connection is closed; only the log can say why.
fn tell(problem: &io::Error) {
    let cause = problem.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    if let Some(rustls::Error::InvalidMessage(_)) = cause {
        tracing::info!(%problem, "no TLS was spoken on a listener with listen_tls");
    } else {
        tracing::debug!(%problem, "a TLS handshake of an application failed");
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(problem) => {
                write!(f, "the certificate and the key of listen_tls cannot be used together: {problem}")
            }
            Self::Clients(problem) => write!(f, "the ca of listen_tls cannot be used: {problem}"),
            Self::Provider(problem) => write!(f, "TLS cannot be set up: {problem}"),
        }
    }
}

impl std::error::Error for SettingsError {}
