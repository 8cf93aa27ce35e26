//! For tests: a CA, certificates, and a server on loopback that speaks TLS as it is told to.

use std::{net::SocketAddr, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// A certificate authority of nobody's system.
pub struct Ca(CertifiedIssuer<'static, KeyPair>);

pub type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Ca {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A certificate for `name` and its key.
    pub fn identity(&self, name: &str) -> Identity {
        self.sign(CertificateParams::new(vec![name.to_owned()]).unwrap())
    }

    /// A certificate that ran out long ago.
    pub fn expired(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }
}

/// How a server speaks TLS.
pub fn server_config(identity: Identity, alpn: &[&str], clients_of: Option<&Ca>) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match clients_of {
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(ca.root()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(identity.0, identity.1).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// A server whose connections, once TLS stands, are given to `serve`.
pub struct TlsServer {
    pub address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl TlsServer {
    pub async fn new<F: Future<Output = ()> + Send + 'static>(
        config: ServerConfig,
        serve: impl Fn(TlsStream<TcpStream>) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                // A client that does not trust us ends the handshake; that is what some tests are about.
                if let Ok(stream) = acceptor.accept(stream).await {
                    connections.spawn(serve(stream));
                }
            }
        });
        Self { address, _tasks: tasks }
    }

    pub fn url(&self) -> http::Uri {
        format!("https://localhost:{}/token", self.address.port()).parse().unwrap()
    }
}
