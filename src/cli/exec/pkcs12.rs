//! A trust store for Java: PKCS #12 (RFC 7292) with certificates that are trusted, and nothing that would need a password.
//!
//! Knows the bags and the attribute by which Java takes a certificate for a trusted one. There is nothing secret in it, so nothing is
//! encrypted or sealed: a password would only have to be told to every program.

use rustls::pki_types::CertificateDer;
use yasna::{DERWriter, Tag, models::ObjectIdentifier};

const DATA: &[u64] = &[1, 2, 840, 113549, 1, 7, 1];
const CERTIFICATE_BAG: &[u64] = &[1, 2, 840, 113549, 1, 12, 10, 1, 3];
const X509_CERTIFICATE: &[u64] = &[1, 2, 840, 113549, 1, 9, 22, 1];
const FRIENDLY_NAME: &[u64] = &[1, 2, 840, 113549, 1, 9, 20];
/// Oracle's: what a certificate without a key is trusted for.
const TRUSTED_KEY_USAGE: &[u64] = &[2, 16, 840, 1, 113894, 746875, 1, 1];
const ANY_EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37, 0];

/// A store in which every one of `certificates` is trusted.
pub(super) fn trust_store<'a>(certificates: impl Iterator<Item = &'a CertificateDer<'static>>) -> Vec<u8> {
    let bags = yasna::construct_der(|writer| {
        writer.write_sequence_of(|writer| {
            for (number, certificate) in certificates.enumerate() {
                bag(writer.next(), number, certificate);
            }
        });
    });
    let safes = yasna::construct_der(|writer| writer.write_sequence_of(|writer| data(writer.next(), &bags)));
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_u8(3);
            data(writer.next(), &safes);
        });
    })
}

/// A ContentInfo of type data (RFC 5652 sections 3 and 4).
fn data(writer: DERWriter<'_>, content: &[u8]) {
    writer.write_sequence(|writer| {
        oid(writer.next(), DATA);
        writer.next().write_tagged(Tag::context(0), |writer| writer.write_bytes(content));
    });
}

fn bag(writer: DERWriter<'_>, number: usize, certificate: &CertificateDer<'_>) {
    writer.write_sequence(|writer| {
        oid(writer.next(), CERTIFICATE_BAG);
        writer.next().write_tagged(Tag::context(0), |writer| {
            writer.write_sequence(|writer| {
                oid(writer.next(), X509_CERTIFICATE);
                writer.next().write_tagged(Tag::context(0), |writer| writer.write_bytes(certificate));
            });
        });
        writer.next().write_set_of(|writer| {
            attribute(writer.next(), FRIENDLY_NAME, |writer| {
                writer.write_bmp_string(&format!("root{number}"))
            });
            attribute(writer.next(), TRUSTED_KEY_USAGE, |writer| oid(writer, ANY_EXTENDED_KEY_USAGE));
        });
    });
}

fn attribute(writer: DERWriter<'_>, name: &[u64], value: impl FnOnce(DERWriter<'_>)) {
    writer.write_sequence(|writer| {
        oid(writer.next(), name);
        writer.next().write_set(|writer| value(writer.next()));
    });
}

fn oid(writer: DERWriter<'_>, components: &[u64]) {
    writer.write_oid(&ObjectIdentifier::from_slice(components));
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

    use super::*;

    fn root(name: &str) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn java_trusts_what_is_in_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trust.p12");
        std::fs::write(&path, trust_store([root("one"), root("two")].iter())).unwrap();
        // Where there is no Java the end-to-end tests leave Java out too.
        let listing = Command::new("keytool")
            .args(["-J-Duser.language=en", "-list", "-v", "-storetype", "PKCS12", "-keystore"])
            .arg(&path)
            .stdin(std::process::Stdio::null())
            .output();
        let Ok(listing) = listing else { return };
        let text = String::from_utf8_lossy(&listing.stdout);
        assert_eq!(text.matches("Entry type: trustedCertEntry").count(), 2, "{text}");
        assert!(text.contains("CN=one") && text.contains("CN=two"), "{text}");
    }
}
