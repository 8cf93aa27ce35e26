//! `[proxy]` and `[transparent]`: the forward proxy, asked or not, whom it lets ask, where it may lead, and the CA that opens TLS.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, sync::Arc};

use ipnet::IpNet;

use super::{listeners, missing, outer};
use crate::{
    ca::{Age, Authority, Files},
    clock::Clock,
    config::{
        Listen, Listener, Proxy, Upstream,
        load::default_authority,
        problems::Problem,
        reader::{Reader, Table},
    },
    upstream::{Origin, Outer},
};

/// `[name]`, where the table is there. `upstreams`: where none of them is wrong. `files`: the CA's, the same.
pub(super) fn proxy(
    reader: &mut Reader<'_>,
    file: &Table,
    name: &str,
    upstreams: Option<&BTreeMap<Arc<str>, Upstream>>,
    files: Option<&Files>,
) -> Option<Proxy> {
    let listener = listeners::own(reader, file, name);
    let table = file.table(name)?;
    if name == "transparent" && matches!(listener, Some(Listener { address: Listen::Unix(_), .. })) {
        let problem = Problem::error("nothing is redirected to a Unix socket");
        let fix = "listen on an address and a port, for example \"127.0.0.1:15001\"";
        reader.report(problem.fix(fix), table.at("listen"), "");
    }
    let tunnel = table.text("unmatched") == Some("tunnel");
    let networks = networks(reader, table, tunnel);
    // A redirected connection was going straight to an address: it goes on like that.
    let outer = if name == "transparent" { Some(Outer::None) } else { outer::outer(reader, table) };
    // A second CA, where each of the two tables names its own.
    let own = (name == "transparent"
        && table.has("ca")
        && file.table("proxy").is_some_and(|proxy| proxy.has("ca")))
    .then(|| files_of(reader, table));
    let files = own.as_ref().map_or(files, Option::as_ref);
    let opened = authority(reader, table, upstreams, files);
    let (authority, certificate) = opened?.unzip();
    Some(Proxy { listener: listener?, tunnel, networks: networks?, outer: outer?, authority, certificate })
}

fn networks(reader: &mut Reader<'_>, table: &Table, tunnel: bool) -> Option<Vec<IpNet>> {
    let written = table.texts("allow_addresses");
    if !written.is_empty() && !tunnel && table.text("unmatched").is_some() == table.has("unmatched") {
        let problem = Problem::error("`allow_addresses` means nothing where everything unmatched is refused");
        let fix = "set unmatched = \"tunnel\", or remove it: an upstream's own address is always allowed";
        reader.report(problem.fix(fix), table.at("allow_addresses"), "");
    }
    let networks = written.iter().map(|text| {
        let network = text.parse::<IpNet>().ok().map(|network| network.trunc());
        network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    });
    let networks: Option<Vec<_>> = networks.collect();
    if networks.is_none() {
        let problem =
            Problem::error("`allow_addresses` takes networks: an address and the length of its prefix");
        reader.report(
            problem.fix("for example [\"10.0.0.0/8\", \"fd12:3456::/32\"]"),
            table.at("allow_addresses"),
            "",
        );
    }
    networks
}

/// Where the CA is kept: as `ca` says, or where `bearward ca init` puts it. `None` where a problem was reported.
pub(super) fn authority_files(reader: &mut Reader<'_>, file: &Table) -> Option<Files> {
    let named =
        ["proxy", "transparent"].iter().filter_map(|name| file.table(name)).find(|table| table.has("ca"));
    match named {
        Some(table) => files_of(reader, table),
        None => Some(default_authority(reader.env)),
    }
}

fn files_of(reader: &mut Reader<'_>, table: &Table) -> Option<Files> {
    let ca = table.table("ca")?;
    for key in ["certificate", "key"] {
        if !ca.has(key) {
            missing(reader, ca, key, "name the PEM files of both, or remove `ca` and run `bearward ca init`");
        }
    }
    Some(Files { certificate: ca.path("certificate")?.clone(), key: ca.path("key")?.clone() })
}

/// The CA; not needed where no https upstream is there.
#[expect(clippy::option_option, reason = "absent, wrong and right are three things")]
fn authority(
    reader: &mut Reader<'_>,
    table: &Table,
    upstreams: Option<&BTreeMap<Arc<str>, Upstream>>,
    files: Option<&Files>,
) -> Option<Option<(Arc<Authority>, PathBuf)>> {
    let hosts: Vec<&str> = upstreams
        .into_iter()
        .flat_map(BTreeMap::values)
        .map(|upstream| &upstream.origin)
        .filter(|origin| origin.is_https())
        .map(Origin::host)
        .collect();
    if reader.proxy_is_added || hosts.is_empty() && !table.has("ca") {
        return Some(None);
    }
    let files = files?;
    let at = if table.has("ca") { table.at("ca") } else { table.at.clone() };
    let authority = match Authority::open(files, &Clock::system()) {
        Ok(authority) => authority,
        Err(error) if error.is_missing() => {
            let title = format!(
                "[{}] opens the TLS of https upstreams, and there is no local CA: {} or {} is not there",
                table.name,
                files.certificate.display(),
                files.key.display()
            );
            let fix = "run `bearward ca init`, and let the applications trust what `bearward ca show` prints";
            reader.report(Problem::error(title).fix(fix), at, "");
            return None;
        }
        Err(error) => {
            reader.report(Problem::error(error.to_string()), at, "");
            return None;
        }
    };
    reader.files.extend([files.certificate.clone(), files.key.clone()]);
    if authority.age() == Age::EndsSoon {
        let problem = Problem::warning("the local CA ends within 30 days");
        let fix = "make another with `bearward ca init --force`, and let the applications trust it";
        reader.report(problem.fix(fix), at.clone(), "");
    }
    for host in hosts {
        if let Err(error) = authority.server_config(host) {
            let title = format!("the TLS of {host} cannot be opened: {error}");
            reader.report(Problem::warning(title), at.clone(), "");
        }
    }
    Some(Some((Arc::new(authority), files.certificate.clone())))
}
