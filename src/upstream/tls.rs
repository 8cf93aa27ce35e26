//! TLS towards an origin: which roots are trusted, which certificate is shown, which protocols are offered.
//!
//! Knows rustls and the platform's root certificates. Does not know addresses, or what is said once TLS stands.

use std::{
    fmt, io,
    sync::{Arc, OnceLock},
};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};

use super::{Origin, Protocol};

/// TLS settings as configured; the default trusts the platform's roots (webpki's where there are none).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Trust only these roots.
    pub roots: Option<Vec<CertificateDer<'static>>>,
    /// The certificate chain and key that are shown.
    pub identity: Option<Arc<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>>,
    /// The name to verify and to send as SNI, where it is not the URL's host.
    pub server_name: Option<String>,
}

/// Settings that no TLS connection can be made with.
#[derive(Debug)]
pub enum SettingsError {
    /// `tls.ca` holds no certificate, or one that cannot be a root.
    Roots(String),
    /// `tls.certificate` and `tls.key` do not belong together, or the key is of an unknown kind.
    Identity(rustls::Error),
    /// The name is neither a DNS name nor an IP address.
    ServerName(String),
    /// rustls refuses the combination of algorithms it was built with.
    Provider(rustls::Error),
}

/// What a handshake with one origin needs.
#[derive(Clone)]
pub(super) struct Handshake {
    pub(super) config: Arc<ClientConfig>,
    pub(super) server_name: ServerName<'static>,
}

impl Settings {
    /// Checks the settings and prepares the handshakes with `origin`.
    pub(super) fn handshake(&self, origin: &Origin, protocol: Protocol) -> Result<Handshake, SettingsError> {
        let name = self.server_name.as_deref().unwrap_or(origin.host());
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let server_name =
            ServerName::try_from(bare).map_err(|_| SettingsError::ServerName(name.to_owned()))?.to_owned();
        Ok(Handshake { config: Arc::new(self.client_config(protocol)?), server_name })
    }

    fn client_config(&self, protocol: Protocol) -> Result<ClientConfig, SettingsError> {
        // Named here, never taken from the process: which provider is the default there depends on who linked what.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = match &self.roots {
            Some(roots) => only(roots, provider.clone())?,
            None => platform_verifier(&provider)?,
        };
        // "dangerous" is rustls's word for any verifier that is not built from a root store right here. Both of
        // ours verify chain, name and dates.
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(SettingsError::Provider)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match self.identity.as_deref() {
            Some((chain, key)) => builder
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(SettingsError::Identity)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = match protocol {
            Protocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Protocol::Http1 => vec![b"http/1.1".to_vec()],
            Protocol::Http2 => vec![b"h2".to_vec()],
        };
        Ok(config)
    }
}

/// A verifier that trusts `roots` and no other.
fn only(
    roots: &[CertificateDer<'static>],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, SettingsError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).map_err(|problem| SettingsError::Roots(problem.to_string()))?;
    }
    if store.is_empty() {
        return Err(SettingsError::Roots("there is no certificate in it".to_owned()));
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
        .build()
        .map_err(|problem| SettingsError::Roots(problem.to_string()))?;
    Ok(verifier)
}

/// The verifier every endpoint without roots of its own shares: reading the platform's roots costs milliseconds and
/// hundreds of kilobytes, so it is done once in a process.
fn platform_verifier(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, SettingsError> {
    static SHARED: OnceLock<Arc<dyn ServerCertVerifier>> = OnceLock::new();
    if let Some(verifier) = SHARED.get() {
        return Ok(verifier.clone());
    }
    let platform = rustls_platform_verifier::Verifier::new(provider.clone());
    let verifier = or_bundled(platform, provider)?;
    Ok(SHARED.get_or_init(|| verifier).clone())
}

/// `platform`, or the roots of Mozilla's programme that were compiled in: an image made from scratch has no others.
fn or_bundled(
    platform: Result<rustls_platform_verifier::Verifier, rustls::Error>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, SettingsError> {
    let problem = match platform {
        Ok(verifier) => return Ok(Arc::new(verifier)),
        Err(problem) => problem,
    };
    tracing::warn!(%problem, "no root certificates of the system are to be had; using the ones compiled in");
    let store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone())
        .build()
        .map_err(|problem| SettingsError::Roots(problem.to_string()))?;
    Ok(verifier)
}

/// TLS's own words say what broke; an operator wants to know what to change.
pub(super) fn explain(problem: &io::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let cause = problem.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(certificate)) => match certificate {
            // A CA made anew under its old name shows as a bad signature.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => f.write_str(
                "the certificate is not trusted: no trusted CA signed it; set tls.ca to the file of the CA that did",
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                write!(
                    f,
                    "the certificate is for another name ({certificate}): correct the URL's host, or set tls.server_name"
                )
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => {
                write!(f, "the certificate is out of date ({certificate}): have it renewed, or correct this machine's clock")
            }
            other => write!(f, "the certificate is not trusted: {other}"),
        },
        Some(rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied,
        )) => write!(f, "the server refuses our certificate ({problem}): set tls.certificate and tls.key"),
        Some(rustls::Error::InvalidMessage(_)) => {
            write!(f, "no TLS is spoken there ({problem}): check the URL's port, or is it http://?")
        }
        _ => write!(f, "the TLS handshake failed: {problem}"),
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Roots(problem) => write!(f, "tls.ca cannot be used: {problem}"),
            Self::Identity(problem) => {
                write!(f, "tls.certificate and tls.key cannot be used together: {problem}")
            }
            Self::ServerName(name) => write!(f, "{name:?} is neither a DNS name nor an IP address"),
            Self::Provider(problem) => write!(f, "TLS cannot be set up: {problem}"),
        }
    }
}

impl std::error::Error for SettingsError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::testing::Ca;

    fn problem(settings: Settings) -> String {
        let origin = Origin::of(&"https://id.example/".parse().unwrap()).unwrap();
        match settings.handshake(&origin, Protocol::Auto) {
            Ok(_) => panic!("these settings can be used"),
            Err(problem) => problem.to_string(),
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused_before_anything_is_sent() {
        let ca = Ca::new();
        let (chain, _) = ca.identity("client");
        let (_, other_key) = ca.identity("client");
        let mismatched = Settings { identity: Some(Arc::new((chain, other_key))), ..Settings::default() };
        assert!(problem(mismatched).starts_with("tls.certificate and tls.key"));
        assert!(problem(Settings { roots: Some(Vec::new()), ..Settings::default() }).starts_with("tls.ca"));
        let garbage = CertificateDer::from(b"garbage".to_vec());
        assert!(
            problem(Settings { roots: Some(vec![garbage]), ..Settings::default() }).starts_with("tls.ca")
        );
        let name = Settings { server_name: Some("not a name".to_owned()), ..Settings::default() };
        assert!(problem(name).contains("\"not a name\""));
    }

    #[test]
    fn without_the_systems_roots_the_compiled_in_ones_are_used() {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let none = Err(rustls::Error::General("no roots".to_owned()));
        let verifier = or_bundled(none, &provider).unwrap();
        let (chain, _) = Ca::new().identity("id.example");
        let verdict = verifier.verify_server_cert(
            &chain[0],
            &[],
            &ServerName::try_from("id.example").unwrap(),
            &[],
            rustls::pki_types::UnixTime::now(),
        );
        assert_eq!(
            verdict.unwrap_err(),
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer),
            "they are roots, not the absence of any check"
        );
    }

    #[test]
    fn r146_settings_do_not_show_their_key() {
        let identity = Ca::new().identity("client");
        let key = format!("{:?}", identity.1.secret_der());
        let settings = Settings { identity: Some(Arc::new(identity)), ..Settings::default() };
        assert!(!format!("{settings:?}").contains(&key[1..40]));
    }
}
