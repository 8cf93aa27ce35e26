//! `tls = { … }` and `listen_tls = { … }`: PEM files -> certificates and keys, and an endpoint that can be made with them.
//!
//! Knows files and their places in the configuration. Whether certificates and keys fit is `upstream`'s and `ingress`'s to say.

use std::{fs, path::Path, sync::Arc, time::Duration};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::{
    config::{
        problems::Problem,
        reader::{Reader, Table},
    },
    ingress::tls::{self, Identity},
    upstream::{
        Endpoint, Origin, OuterProxy, Protocol,
        tls::{Settings, SettingsError},
    },
};

/// An endpoint with these settings; what does not fit is reported where it is written.
pub(super) fn endpoint(
    reader: &mut Reader<'_>,
    table: &Table,
    origin: &Origin,
    settings: &Settings,
    protocol: Protocol,
    connect_timeout: Duration,
    outer: Option<OuterProxy>,
) -> Option<Arc<Endpoint>> {
    let made = Endpoint::through(outer, origin.clone(), settings, protocol, connect_timeout);
    let error = match made {
        Ok(endpoint) => return Some(endpoint),
        Err(error) => error,
    };
    let (key, fix) = match &error {
        SettingsError::Roots(_) => ("ca", "name a PEM file of CA certificates"),
        SettingsError::Identity(_) => ("key", "name the private key that `certificate` was made for"),
        SettingsError::ServerName(_) => ("server_name", "set it to a host name, for example \"api.example\""),
        SettingsError::Provider(_) => ("tls", "this is a fault of this build of bearward: please report it"),
    };
    let at = table.table("tls").filter(|tls| tls.has(key)).map_or(table.at("tls"), |tls| tls.at(key));
    reader.report(Problem::error(error.to_string()).fix(fix), at, "");
    None
}

/// Reads the `tls` table of a token or an upstream; the defaults where it has none. `None` where a problem was reported.
pub(super) fn settings(reader: &mut Reader<'_>, table: &Table) -> Option<Settings> {
    let Some(tls) = table.table("tls") else {
        return (!table.has("tls")).then(Settings::default);
    };
    let roots = tls.path("ca").map(|path| certificates(reader, tls, "ca", path));
    let identity = identity(reader, tls);
    Some(Settings {
        roots: transposed(roots)?,
        identity: transposed(identity)?,
        server_name: tls.text("server_name").map(str::to_owned),
    })
}

/// Reads the `listen_tls` table of a listener, where it has one. `None` where a problem was reported.
#[expect(clippy::option_option, reason = "absent, wrong and right are three things")]
pub(super) fn of_listener(reader: &mut Reader<'_>, table: &Table) -> Option<Option<tls::Settings>> {
    let Some(written) = table.table("listen_tls") else {
        return (!table.has("listen_tls")).then_some(None);
    };
    let clients_of = written.path("ca").map(|path| certificates(reader, written, "ca", path));
    let mut whole = true;
    for key in ["certificate", "key"] {
        if !written.has(key) {
            let title = format!("`{key}` is missing in [{}]", written.name);
            let problem = Problem::error(title).fix("listen_tls needs both a certificate and its key");
            reader.report(problem, written.at.clone(), "");
            whole = false;
        }
    }
    let identity = if whole { identity(reader, written) } else { None };
    let settings = tls::Settings { clients_of: transposed(clients_of)?, identity: identity??.clone() };
    let Err(error) = settings.server_config() else { return Some(Some(settings)) };
    let (key, fix) = match &error {
        tls::SettingsError::Identity(_) => ("key", "name the private key that `certificate` was made for"),
        tls::SettingsError::Clients(_) => ("ca", "name a PEM file of CA certificates"),
        tls::SettingsError::Provider(_) => {
            ("certificate", "this is a fault of this build of bearward: please report it")
        }
    };
    reader.report(Problem::error(error.to_string()).fix(fix), written.at(key), "");
    None
}

/// Absent is right, present and wrong is not.
#[expect(clippy::option_option, reason = "absent, wrong and right are three things")]
fn transposed<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(value) => value.map(Some),
    }
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
    Some(chain.zip(key).map(Arc::new))
}

fn certificates(
    reader: &mut Reader<'_>,
    tls: &Table,
    key: &str,
    path: &Path,
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

fn private_key(reader: &mut Reader<'_>, tls: &Table, path: &Path) -> Option<PrivateKeyDer<'static>> {
    let pem = pem(reader, tls, "key", path)?;
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| {
            let title = format!("`key`: {} holds no private key", path.display());
            let fix = "it must be a PEM file with a PKCS #8, PKCS #1 or SEC1 key, not encrypted";
            reader.report(Problem::error(title).fix(fix), tls.at("key"), "");
        })
        .ok()
}

fn pem(reader: &mut Reader<'_>, tls: &Table, key: &str, path: &Path) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    match fs::read(path) {
        Ok(pem) => {
            reader.files.push(path.to_owned());
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
