//! `tls = { … }`: PEM files -> roots and an identity that fit together.

use std::{fs, path::PathBuf, sync::Arc};

use rustls::{
    RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    sign::CertifiedKey,
};

use crate::{
    config::{
        problems::Problem,
        reader::{Reader, Table},
    },
    upstream::tls::Settings,
};

type Identity = Arc<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>;

/// Reads the `tls` table of a token or an upstream; the defaults where it has none. `None` where a problem was reported.
pub(super) fn settings(reader: &mut Reader<'_>, table: &Table) -> Option<Settings> {
    let Some(tls) = table.table("tls") else {
        return (!table.has("tls")).then(Settings::default);
    };
    let roots = tls.path("ca").map(|path| roots(reader, tls, path));
    let identity = identity(reader, tls);
    let server_name = tls.text("server_name").map(|name| server_name(reader, tls, name));
    Some(Settings {
        roots: transposed(roots)?,
        identity: transposed(identity)?,
        server_name: transposed(server_name)?,
    })
}

/// Absent is right, present and wrong is not.
#[expect(clippy::option_option, reason = "absent, wrong and right are three things")]
fn transposed<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(value) => value.map(Some),
    }
}

fn roots(reader: &mut Reader<'_>, tls: &Table, path: &PathBuf) -> Option<Vec<CertificateDer<'static>>> {
    let roots = certificates(reader, tls, "ca", path)?;
    let mut store = RootCertStore::empty();
    for root in &roots {
        if let Err(error) = store.add(root.clone()) {
            let title = format!("`ca` holds a certificate that cannot be a root: {error}");
            reader.report(Problem::error(title).fix("name a PEM file of CA certificates"), tls.at("ca"), "");
            return None;
        }
    }
    Some(roots)
}

#[expect(clippy::option_option, reason = "absent, wrong and right are three things")]
fn identity(reader: &mut Reader<'_>, tls: &Table) -> Option<Option<Identity>> {
    let (chain, key) = match (tls.path("certificate"), tls.path("key")) {
        (Some(chain), Some(key)) => (chain, key),
        (None, None) => return None,
        (present, _) => {
            let (there, absent) =
                if present.is_some() { ("certificate", "key") } else { ("key", "certificate") };
            if !tls.has(absent) {
                let title = format!("`{there}` stands alone: `{absent}` is missing");
                reader.report(
                    Problem::error(title).fix("a client certificate needs both"),
                    tls.at(there),
                    "",
                );
            }
            return Some(None);
        }
    };
    let chain = certificates(reader, tls, "certificate", chain);
    let key = private_key(reader, tls, key);
    Some(fitting(reader, tls, chain, key))
}

fn fitting(
    reader: &mut Reader<'_>,
    tls: &Table,
    chain: Option<Vec<CertificateDer<'static>>>,
    key: Option<PrivateKeyDer<'static>>,
) -> Option<Identity> {
    let (chain, key) = (chain?, key?);
    match CertifiedKey::from_der(chain.clone(), key.clone_key(), &aws_lc_rs::default_provider()) {
        Ok(_) => Some(Arc::new((chain, key))),
        Err(error) => {
            let title = format!("`certificate` and `key` do not go together: {error}");
            let fix = "name the private key that the certificate was made for";
            reader.report(Problem::error(title).fix(fix), tls.at("key"), "");
            None
        }
    }
}

fn certificates(
    reader: &mut Reader<'_>,
    tls: &Table,
    key: &str,
    path: &PathBuf,
) -> Option<Vec<CertificateDer<'static>>> {
    let pem = pem(reader, tls, key, path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Some(certificates),
        _ => {
            let title = format!("`{key}`: {} holds no certificate", path.display());
            reader.report(Problem::error(title).fix("it must be a PEM file"), tls.at(key), "");
            None
        }
    }
}

fn private_key(reader: &mut Reader<'_>, tls: &Table, path: &PathBuf) -> Option<PrivateKeyDer<'static>> {
    let pem = pem(reader, tls, "key", path)?;
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| {
            let title = format!("`key`: {} holds no private key", path.display());
            let fix = "it must be a PEM file with a PKCS #8, PKCS #1 or SEC1 key, not encrypted";
            reader.report(Problem::error(title).fix(fix), tls.at("key"), "");
        })
        .ok()
}

fn pem(
    reader: &mut Reader<'_>,
    tls: &Table,
    key: &str,
    path: &PathBuf,
) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    match fs::read(path) {
        Ok(pem) => {
            reader.files.push(path.clone());
            Some(zeroize::Zeroizing::new(pem))
        }
        Err(error) => {
            let title = format!("`{key}`: cannot read {}: {error}", path.display());
            let fix = "the file must be there and readable; a relative path starts from this file's folder";
            reader.report(Problem::error(title).fix(fix), tls.at(key), "");
            None
        }
    }
}

fn server_name(reader: &mut Reader<'_>, tls: &Table, name: &str) -> Option<String> {
    if ServerName::try_from(name).is_ok() {
        return Some(name.to_owned());
    }
    let problem = Problem::error("`server_name` is no host name").fix("for example \"api.example\"");
    reader.report(problem, tls.at("server_name"), "");
    None
}
