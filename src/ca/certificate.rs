//! The CA's certificate and key, and what they sign (RFC 5280).
//!
//! Knows what stands in a CA's certificate and in a leaf. Does not know files, or what of it is kept in memory.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::prelude::{BASE64_STANDARD, Engine};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, Error, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use rustls::{
    CertificateError, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime},
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer, time::ASN1Time};
use zeroize::Zeroizing;

use super::{
    Age, LeafError,
    hosts::{Host, Hosts},
};
use crate::clock::Moment;

/// The whole life of a CA; its key cannot be revoked.
const CA_LIFE: Duration = Duration::from_secs(365 * 86_400 - 1);
/// The whole life of a leaf.
const LEAF_LIFE: Duration = Duration::from_secs(7 * 86_400 - 1);
/// How far ahead of another machine's clock ours may be.
const BACKDATED: Duration = Duration::from_secs(3600);
/// How long before a CA's end it is time to make another.
const ENDS_SOON: Duration = Duration::from_secs(30 * 86_400);

/// A CA that was just made, to be written to its files.
pub(super) struct Made {
    pub certificate: String,
    pub key: Zeroizing<String>,
}

/// A CA's certificate and key.
pub(super) struct Certificate {
    own: CertificateDer<'static>,
    /// What clients need beside a leaf: nothing, where the CA is a root.
    sent: Vec<CertificateDer<'static>>,
    issuer: Issuer<'static, KeyPair>,
    not_before: SystemTime,
    not_after: SystemTime,
    /// As clients judge.
    verifier: Arc<WebPkiServerVerifier>,
}

/// A leaf and its key, and until when it is good.
pub(super) struct Leaf {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
}

/// A CA that may speak for `hosts`.
pub(super) fn make(hosts: &Hosts, now: Moment) -> Result<Made, Error> {
    let key = KeyPair::generate()?;
    let serial = random_serial()?;
    let begins = now.wall() - BACKDATED;
    let mut params = CertificateParams::default();
    params.not_before = begins.into();
    params.not_after = (begins + CA_LIFE).into();
    // A name of its own: a CA made anew under its old one looks to clients like a forgery of that.
    let name = format!("bearward local CA {:02x}{:02x}{:02x}", serial[1], serial[2], serial[3]);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(serial.to_vec().into());
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.name_constraints = hosts.constraints();
    let certificate = params.self_signed(&key)?.pem();
    Ok(Made { certificate, key: Zeroizing::new(key.serialize_pem()) })
}

impl Certificate {
    /// A CA from what stands in its files.
    ///
    /// # Errors
    /// Why it is none.
    pub(super) fn read(chain: Vec<CertificateDer<'static>>, key: &str) -> Result<Self, String> {
        let own = chain.first().ok_or("there is no certificate in it")?.clone();
        let (_, x509) = X509Certificate::from_der(&own).map_err(|_| "its certificate cannot be read")?;
        may_sign(&x509)?;
        let [not_before, not_after] = [x509.validity().not_before, x509.validity().not_after].map(wall);
        let key = KeyPair::from_pem(key).map_err(|error| format!("its key cannot be read: {error}"))?;
        if key.der_bytes() != &*x509.public_key().subject_public_key.data {
            return Err("the key is not that of the certificate".to_owned());
        }
        let issuer = Issuer::from_ca_cert_der(&own, key).map_err(|error| error.to_string())?;
        let mut roots = RootCertStore::empty();
        roots.add(own.clone()).map_err(|error| error.to_string())?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| error.to_string())?;
        // A root is in its clients' hands already.
        let sent = chain.into_iter().filter(|one| !is_self_issued(one)).collect();
        Ok(Self { own, sent, issuer, not_before, not_after, verifier })
    }

    pub(super) fn der(&self) -> &CertificateDer<'static> {
        &self.own
    }

    pub(super) fn not_after(&self) -> SystemTime {
        self.not_after
    }

    pub(super) fn age(&self, now: Moment) -> Age {
        let now = now.wall();
        match self.not_after.duration_since(now) {
            _ if now < self.not_before => Age::Unborn,
            Err(_) => Age::Ended,
            Ok(left) if left < ENDS_SOON => Age::EndsSoon,
            Ok(_) => Age::Good,
        }
    }

    /// Signs a leaf for `host`, and judges it as clients will.
    pub(super) fn sign(&self, host: &Host, now: Moment) -> Result<Leaf, LeafError> {
        if matches!(self.age(now), Age::Unborn | Age::Ended) {
            return Err(LeafError::NotInForce);
        }
        let unmade = |error: Error| LeafError::Unmade(error.to_string());
        let begins = (now.wall() - BACKDATED).max(self.not_before);
        let ends = (begins + LEAF_LIFE).min(self.not_after);
        let mut params = CertificateParams::default();
        params.not_before = begins.into();
        params.not_after = ends.into();
        params.serial_number = Some(random_serial().map_err(unmade)?.to_vec().into());
        // The name stands among the alternative names alone (RFC 9525 section 2).
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![host.alternative_name().ok_or(LeafError::NotAHost)?];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(unmade)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(unmade)?;
        self.judge(certificate.der(), host, now)?;
        let mut chain = vec![certificate.into()];
        chain.extend_from_slice(&self.sent);
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Ok(Leaf { chain, key, not_before: begins, not_after: ends })
    }

    fn judge(&self, leaf: &CertificateDer<'_>, host: &Host, now: Moment) -> Result<(), LeafError> {
        let name = host.server_name().ok_or(LeafError::NotAHost)?;
        let now = now.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(now);
        let verdict = self.verifier.verify_server_cert(leaf, &self.sent, &name, &[], now);
        verdict.map(drop).map_err(|error| LeafError::NotPermitted(judged(&error)))
    }
}

/// webpki's verdict in words; it has none of its own for names outside constraints.
fn judged(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(_)) => {
            "it is none of the hosts that the CA is constrained to".to_owned()
        }
        other => other.to_string(),
    }
}

/// Whether this is a CA's certificate (RFC 5280 sections 4.2.1.3 and 4.2.1.9).
fn may_sign(x509: &X509Certificate<'_>) -> Result<(), String> {
    let signs = match x509.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
        Err(_) => false,
    };
    if x509.is_ca() && signs { Ok(()) } else { Err("its certificate may not sign others".to_owned()) }
}

fn is_self_issued(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, x509)| x509.subject().as_raw() == x509.issuer().as_raw())
}

fn wall(time: ASN1Time) -> SystemTime {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// 127 random bits, positive and never zero (RFC 5280 section 4.1.2.2).
fn random_serial() -> Result<[u8; 16], Error> {
    let mut serial = [0; 16];
    ::aws_lc_rs::rand::fill(&mut serial).map_err(|_| Error::RingUnspecified)?;
    serial[0] = serial[0] & 0x3f | 0x40;
    Ok(serial)
}

/// A certificate in PEM (RFC 7468 section 5).
pub fn pem(certificate: &CertificateDer<'_>) -> String {
    let base64 = BASE64_STANDARD.encode(certificate);
    let mut pem = String::with_capacity(base64.len() + base64.len() / 64 + 64);
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = next;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}
