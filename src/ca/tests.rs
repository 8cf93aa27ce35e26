//! What a local CA and its leaves must be, and what becomes of files that are not as they should be.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    time::{Duration, SystemTime},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConnection,
    crypto::aws_lc_rs,
    pki_types::{ServerName, UnixTime},
    time_provider::TimeProvider,
};
use tempfile::TempDir;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

struct Kept {
    folder: TempDir,
    files: Files,
    clock: Clock,
}

impl Kept {
    /// Nothing yet, on a clock that only a test moves.
    fn none() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::in_folder(&folder.path().join("bearward"));
        let clock = Clock::manual(SystemTime::UNIX_EPOCH + DAY * 365 * 60);
        Self { folder, files, clock }
    }

    fn make(&self, hosts: &[&str]) -> Authority {
        let hosts = Hosts::only(hosts.iter().copied()).unwrap();
        Authority::make(&self.files, &hosts, Overwrite::Never, &self.clock).unwrap()
    }

    fn open(&self) -> Result<Authority, CaError> {
        Authority::open(&self.files, &self.clock)
    }

    fn problem(&self) -> String {
        self.open().unwrap_err().to_string()
    }
}

/// The time of a test's clock, for rustls.
#[derive(Debug)]
struct At(SystemTime);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0.duration_since(SystemTime::UNIX_EPOCH).ok()?))
    }
}

/// The leaf that a client which trusts `authority` gets to see as `host`.
fn handshake(authority: &Authority, host: &str) -> CertificateDer<'static> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone()).unwrap();
    let time = Arc::new(At(authority.clock.now().wall()));
    let mut client = ClientConfig::builder_with_details(Arc::new(aws_lc_rs::default_provider()), time)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(authority.server_config(host).unwrap()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut octets = Vec::new();
        client.write_tls(&mut octets).unwrap();
        server.read_tls(&mut &*octets).unwrap();
        server.process_new_packets().unwrap();
        octets.clear();
        server.write_tls(&mut octets).unwrap();
        client.read_tls(&mut &*octets).unwrap();
        client.process_new_packets().unwrap();
    }
    assert_eq!(client.alpn_protocol(), Some(&b"h2"[..]));
    client.peer_certificates().unwrap()[0].clone()
}

fn span(x509: &X509Certificate<'_>) -> Duration {
    let seconds = x509.validity().not_after.timestamp() - x509.validity().not_before.timestamp();
    Duration::from_secs(seconds.unsigned_abs())
}

#[tokio::test]
async fn r147_the_ca_can_sign_leaves_for_its_hosts_and_nothing_else() {
    let kept = Kept::none();
    let authority = kept.make(&["api.example", "127.0.0.1", "[::1]"]);
    let (_, x509) = X509Certificate::from_der(authority.certificate()).unwrap();
    assert!(span(&x509) < 365 * DAY);
    let basic = x509.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && basic.value.ca && basic.value.path_len_constraint == Some(0));
    let usage = x509.key_usage().unwrap().unwrap().value;
    assert!(usage.key_cert_sign() && !usage.digital_signature() && !usage.crl_sign());
    let constraints = x509.name_constraints().unwrap().unwrap();
    assert!(constraints.critical);
    let permitted = constraints.value.permitted_subtrees.as_ref().unwrap();
    let permitted: Vec<_> = permitted.iter().map(|subtree| &subtree.base).collect();
    let v4 = [[127, 0, 0, 1], [0xff; 4]].concat();
    let v6 = [[0; 15].as_slice(), &[1], &[0xff; 16]].concat();
    assert_eq!(
        permitted,
        [&GeneralName::DNSName("api.example"), &GeneralName::IPAddress(&v4), &GeneralName::IPAddress(&v6)]
    );
    assert_eq!(constraints.value.excluded_subtrees, None, "every kind of name has something permitted");
}

#[tokio::test]
async fn a_leaf_is_short_lived_and_names_its_host_once() {
    let kept = Kept::none();
    let authority = kept.make(&["api.example", "127.0.0.1", "::1"]);
    for (host, expected) in [
        ("api.example", GeneralName::DNSName("api.example")),
        ("127.0.0.1", GeneralName::IPAddress(&[127, 0, 0, 1])),
    ] {
        let leaf = handshake(&authority, host);
        let (_, x509) = X509Certificate::from_der(&leaf).unwrap();
        assert!(span(&x509) < 7 * DAY);
        let begins = x509.validity().not_before.timestamp().unsigned_abs();
        let now = kept.clock.now().wall().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert!(begins < now, "a client's clock may be a little behind");
        assert_eq!(x509.subject_alternative_name().unwrap().unwrap().value.general_names, [expected]);
        assert_eq!(x509.subject().iter().count(), 0);
        assert!(!x509.is_ca());
        let usage = x509.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && !usage.any && !usage.client_auth);
        assert_eq!(x509.raw_serial().len(), 16);
    }
    for host in ["API.example.", "[::1]", "sub.api.example"] {
        assert!(authority.server_config(host).is_ok(), "{host}");
    }
    let serials = [0, 1].map(|_| {
        let leaf = authority
            .certificate
            .sign(&hosts::Host::parse("api.example").unwrap(), kept.clock.now())
            .unwrap();
        X509Certificate::from_der(&leaf.chain[0]).unwrap().1.raw_serial().to_owned()
    });
    assert_ne!(serials[0], serials[1]);
}

#[tokio::test]
async fn r147_hosts_outside_the_constraints_get_no_leaf() {
    let named = Kept::none();
    let named = named.make(&["api.example"]);
    let numbered = Kept::none();
    let numbered = numbered.make(&["127.0.0.1"]);
    for (authority, host) in [
        (&named, "other.example"),
        (&named, "notapi.example"),
        (&named, "example"),
        (&named, "127.0.0.1"),
        (&named, "[::1]"),
        (&numbered, "api.example"),
        (&numbered, "127.0.0.2"),
        (&numbered, "[::1]"),
    ] {
        let problem = authority.server_config(host).unwrap_err();
        assert!(matches!(problem, LeafError::NotPermitted(_)), "{host}: {problem}");
        assert!(problem.to_string().contains("bearward ca init --force"), "{problem}");
    }
    for host in ["", "a b", "*.api.example", "api.example:443", "api.example/", "[127.0.0.1"] {
        assert_eq!(named.server_config(host).unwrap_err(), LeafError::NotAHost, "{host}");
    }
    let any = Kept::none();
    let any = Authority::make(&any.files, &Hosts::any(), Overwrite::Never, &any.clock).unwrap();
    assert!(any.server_config("other.example").is_ok() && any.server_config("::1").is_ok());
}

#[tokio::test]
async fn a_leaf_is_kept_until_a_day_before_its_end() {
    let kept = Kept::none();
    let authority = kept.make(&["api.example"]);
    let leaf = || authority.server_config("api.example").unwrap();
    let first = leaf();
    kept.clock.suspend(5 * DAY);
    assert!(Arc::ptr_eq(&first, &leaf()));
    kept.clock.suspend(DAY);
    let second = leaf();
    assert!(!Arc::ptr_eq(&first, &second));
    kept.clock.step_back(HOUR * 2);
    let third = leaf();
    assert!(!Arc::ptr_eq(&second, &third), "the clock was set back to before the leaf's beginning");
    handshake(&authority, "api.example");
}

#[tokio::test]
async fn leaves_do_not_outlive_the_ca_which_announces_its_end() {
    let kept = Kept::none();
    let authority = kept.make(&["api.example"]);
    kept.clock.suspend(334 * DAY);
    assert_eq!(authority.age(), Age::Good);
    kept.clock.suspend(2 * DAY);
    assert_eq!(authority.age(), Age::EndsSoon);
    kept.clock.suspend(28 * DAY + 22 * HOUR);
    let last = authority.server_config("api.example").unwrap();
    let leaf = handshake(&authority, "api.example");
    let (_, x509) = X509Certificate::from_der(&leaf).unwrap();
    let ends =
        SystemTime::UNIX_EPOCH + Duration::from_secs(x509.validity().not_after.timestamp().unsigned_abs());
    assert_eq!(ends, authority.not_after());
    assert!(Arc::ptr_eq(&last, &authority.server_config("api.example").unwrap()), "no new one each time");
    kept.clock.suspend(HOUR);
    assert_eq!(authority.age(), Age::Ended);
    assert_eq!(authority.server_config("api.example").unwrap_err(), LeafError::NotInForce);
    let problem = kept.problem();
    assert!(problem.contains("has ended") && problem.contains("bearward ca init --force"), "{problem}");
    kept.clock.step_back(400 * DAY);
    assert_eq!((authority.age(), kept.open().unwrap().age()), (Age::Unborn, Age::Unborn));
}

#[tokio::test]
async fn r147_the_key_is_for_its_owner_alone() {
    let kept = Kept::none();
    kept.make(&["api.example"]);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&kept.files.key), 0o600);
    assert_eq!(mode(kept.files.key.parent().unwrap()), 0o700);
    assert_eq!(fs::read_dir(kept.files.key.parent().unwrap()).unwrap().count(), 2, "nothing is left aside");
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(&kept.files.key, Permissions::from_mode(mode)).unwrap();
        assert!(kept.problem().contains("chmod 600"), "{mode:o}: {}", kept.problem());
    }
    fs::set_permissions(&kept.files.key, Permissions::from_mode(0o400)).unwrap();
    kept.open().unwrap();
    fs::set_permissions(&kept.files.certificate, Permissions::from_mode(0o666)).unwrap();
    assert!(kept.problem().contains("others may change it"), "{}", kept.problem());
}

#[tokio::test]
async fn r147_symbolic_links_and_what_is_no_file_are_refused() {
    let kept = Kept::none();
    kept.make(&["api.example"]);
    let aside = kept.folder.path().join("aside");
    fs::rename(&kept.files.key, &aside).unwrap();
    symlink(&aside, &kept.files.key).unwrap();
    assert!(kept.problem().contains("symbolic link"), "{}", kept.problem());
    fs::remove_file(&kept.files.key).unwrap();
    fs::create_dir(&kept.files.key).unwrap();
    assert!(kept.problem().contains("not a file"), "{}", kept.problem());
    fs::remove_dir(&kept.files.key).unwrap();
    let missing = kept.open().unwrap_err();
    assert!(missing.is_missing() && missing.to_string().contains("bearward ca init"), "{missing}");
}

#[tokio::test]
async fn r147_a_ca_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        // Only root can give files away.
        return;
    }
    let kept = Kept::none();
    kept.make(&["api.example"]);
    for file in [&kept.files.key, &kept.files.certificate] {
        std::os::unix::fs::chown(file, Some(65_532), None).unwrap();
        assert!(kept.problem().contains("belongs to user 65532"), "{}", kept.problem());
        std::os::unix::fs::chown(file, Some(0), None).unwrap();
    }
    kept.open().unwrap();
}

#[tokio::test]
async fn a_ca_is_replaced_only_on_demand() {
    let kept = Kept::none();
    let first = kept.make(&["api.example"]);
    let hosts = Hosts::only(["other.example"]).unwrap();
    let again = |overwrite| Authority::make(&kept.files, &hosts, overwrite, &kept.clock);
    let refused = again(Overwrite::Never).unwrap_err();
    assert!(refused.is_there() && refused.to_string().contains("--force"), "{refused}");
    assert_eq!(kept.open().unwrap().certificate(), first.certificate());
    let second = again(Overwrite::Force).unwrap();
    let [first, second] =
        [&first, &second].map(|authority| X509Certificate::from_der(authority.certificate()).unwrap().1);
    assert_ne!(first.subject(), second.subject(), "clients must not take one for the other");
    assert_ne!(kept.open().unwrap().certificate_pem(), "");
}

#[tokio::test]
async fn a_key_of_another_ca_and_a_leafs_certificate_are_refused() {
    let (kept, other) = (Kept::none(), Kept::none());
    kept.make(&["api.example"]);
    other.make(&["api.example"]);
    fs::copy(&other.files.key, &kept.files.key).unwrap();
    assert!(kept.problem().contains("the key is not that of the certificate"), "{}", kept.problem());
    fs::write(&kept.files.key, "no key").unwrap();
    assert!(kept.problem().contains("its key cannot be read"), "{}", kept.problem());
    fs::write(&kept.files.certificate, "no certificate").unwrap();
    assert!(kept.problem().contains("no certificate in it"), "{}", kept.problem());

    let key = KeyPair::generate().unwrap();
    for (is_ca, usages) in [
        (IsCa::NoCa, vec![]),
        (IsCa::Ca(BasicConstraints::Unconstrained), vec![KeyUsagePurpose::DigitalSignature]),
    ] {
        let mut params = CertificateParams::new(vec!["api.example".to_owned()]).unwrap();
        params.is_ca = is_ca;
        params.key_usages = usages;
        fs::write(&kept.files.certificate, params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(&kept.files.key, key.serialize_pem()).unwrap();
        assert!(kept.problem().contains("may not sign"), "{}", kept.problem());
    }
}

#[tokio::test]
async fn a_ca_that_another_one_signed_shows_what_leads_to_its_root() {
    let kept = Kept::none();
    kept.make(&["api.example"]);
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "the organisation's root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(params.clone(), KeyPair::generate().unwrap()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "ours");
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let ours = params.signed_by(&key, &root).unwrap();
    fs::write(&kept.files.certificate, format!("{}{}", ours.pem(), root.pem())).unwrap();
    fs::write(&kept.files.key, key.serialize_pem()).unwrap();
    let authority = kept.open().unwrap();
    let host = hosts::Host::parse("api.example").unwrap();
    let leaf = authority.certificate.sign(&host, kept.clock.now()).unwrap();
    assert_eq!(leaf.chain[1..], [ours.der().clone()], "the root is with the clients already");
    assert_eq!(authority.certificate_pem(), ours.pem());
}

#[tokio::test]
async fn r146_the_key_shows_nowhere() {
    let kept = Kept::none();
    let authority = kept.make(&["api.example"]);
    let key = fs::read_to_string(&kept.files.key).unwrap();
    let line = key.lines().nth(1).unwrap();
    fs::set_permissions(&kept.files.key, Permissions::from_mode(0o644)).unwrap();
    for said in [format!("{authority:?}"), format!("{:?}", kept.open()), kept.problem()] {
        assert!(!said.contains(line) && !said.contains("PRIVATE"), "{said}");
    }
}

#[test]
fn of_several_who_make_one_at_once_one_does_and_the_others_find_it_whole() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::in_folder(&folder.path().join("bearward"));
    let hosts = Hosts::only(["api.example"]).unwrap();
    let clock = Clock::system();
    let make = || match Authority::make(&files, &hosts, Overwrite::Never, &clock) {
        Ok(authority) => (true, authority),
        Err(error) if error.is_there() => (false, Authority::open(&files, &clock).unwrap()),
        Err(error) => panic!("{error}"),
    };
    let made: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(made.iter().filter(|(first, _)| *first).count(), 1);
    assert!(made.iter().all(|(_, authority)| authority.certificate() == made[0].1.certificate()));
}
