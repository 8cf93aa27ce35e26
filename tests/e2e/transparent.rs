//! Redirected connections, in network namespaces of the test's own: the rules of `deploy/transparent` and `[transparent]` together.
//! What is done there stands in `tests/transparent/namespaces`.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::support::node::{found, leave_out};

/// What this machine lacks, if anything.
fn missing(tool: &str) -> Option<String> {
    for program in ["unshare", "nsenter", "setpriv", "ip", "curl", "python3", tool] {
        if found(&[program]).is_none() {
            return Some(format!("there is no `{program}` on the PATH"));
        }
    }
    let tried = Command::new("unshare")
        .args(["--net", "--mount", "ip", "link", "add", "one", "type", "veth", "peer", "name", "other"])
        .output();
    let made = tried.is_ok_and(|tried| tried.status.success());
    (!made).then(|| "network namespaces cannot be made here (root and CAP_NET_ADMIN are needed)".to_owned())
}

fn certificates(folder: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "A CA of nobody's system");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let names = ["api.test", "other.test", "public.test"].map(str::to_owned);
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "api.test");
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &ca).unwrap();
    fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
    fs::write(folder.join("certificate.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
}

fn in_namespaces_with(tool: &str) {
    if let Some(why) = missing(tool) {
        return leave_out(&format!("connections redirected by {tool}"), &why);
    }
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let ended = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transparent/namespaces"))
        .arg(env!("CARGO_BIN_EXE_bearward"))
        .arg(folder.path())
        .arg(tool)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{out}\n{err}");
    assert!(out.lines().filter(|line| line.starts_with("ok: ")).count() >= 20, "{out}");
}

#[test]
fn r001_r012_r094_redirected_connections_are_authorized_by_where_they_were_going_with_nftables() {
    in_namespaces_with("nft");
}

#[test]
fn r001_r012_r094_redirected_connections_are_authorized_by_where_they_were_going_with_iptables() {
    in_namespaces_with("iptables");
}

#[test]
fn what_the_rules_cannot_lead_to_and_what_is_no_setting_is_refused_before_anything_is_done() {
    for (name, value) in [
        ("BEARWARD_LISTEN", "127.0.0.5:15001"),
        ("BEARWARD_LISTEN", "0.0.0.0:15001"),
        ("BEARWARD_LISTEN", "127.0.0.1:15001; accept"),
        ("BEARWARD_LISTEN", "127.0.0.1:"),
        ("BEARWARD_PORTS", "80 } accept"),
        ("BEARWARD_UID", "$(id)"),
        ("BEARWARD_UID", ""),
        ("BEARWARD_USERS", "1000\n1001"),
        ("BEARWARD_EXCEPT", "0.0.0.0/0 accept"),
    ] {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/transparent/redirect");
        let mut command = Command::new(script);
        command.arg("up").env("BEARWARD_UID", "65532").env("BEARWARD_TOOL", "nothing").env(name, value);
        let ended = command.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(78), "{said}");
        assert!(said.contains(name), "{name}={value}: {said}");
    }
}
