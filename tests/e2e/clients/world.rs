//! An API, bearward in front of it with every way in, and what a plan has to say to go one of these ways.

use std::{fs, net::SocketAddr, path::PathBuf, process::Command};

use bearward::{
    app::Running,
    ca::{Authority, Files, Hosts, Overwrite},
    clock::Clock,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};

use super::steps::{Step, Upstream};
use crate::support::{
    node::{self, Script},
    start,
};

/// How a request gets to the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// Past bearward, in cleartext.
    Direct,
    /// Past bearward, over TLS.
    DirectTls,
    /// The upstream's own port.
    Own,
    /// The gateway, by a path.
    Gateway,
    /// The upstream's own Unix socket.
    Unix,
    /// The upstream's own port, over TLS, to an upstream over TLS.
    Tls,
    /// The forward proxy, asked in absolute form.
    Absolute,
    /// The forward proxy, through a tunnel in which HTTP is spoken.
    PlainTunnel,
    /// The forward proxy, through a tunnel whose TLS it opens.
    Tunnel,
    /// A forward proxy of `bearward exec`, which nobody but the environment tells of, with http URLs.
    PlainExec,
    /// The same with https URLs.
    Exec,
}

/// All of it, running.
pub struct World {
    origin: Script,
    ports: Value,
    bearward: Running,
    folder: tempfile::TempDir,
    /// What makes names unique within one origin.
    runs: std::cell::Cell<u32>,
}

/// What clients show that come directly.
const DIRECT: &str = "the-clients-own";

impl World {
    /// Everything; `None`, said on stderr, where the API cannot be had.
    pub async fn new() -> Option<Self> {
        let parts = match tokio::task::spawn_blocking(node::installed).await.expect("it does not panic") {
            Ok(parts) => parts,
            Err(why) => {
                node::leave_out("what real clients see of bearward", why);
                return None;
            }
        };
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = identity(&folder);
        local_ca(&folder);
        let options = json!({ "token": DIRECT, "certificate": certificate, "key": key });
        let origin = parts.start("origin.mjs", &options);
        let ports = origin.told().await;
        let configuration = configuration(&ports, &folder);
        let bearward = start(&configuration);
        fs::write(folder.path().join("bearward.toml"), configuration).unwrap();
        Some(Self { origin, ports, bearward, folder, runs: Default::default() })
    }

    /// The command that goes this way where `command` is told of no way.
    pub fn on(&self, way: Way, mut command: Command) -> Command {
        if !matches!(way, Way::PlainExec | Way::Exec) {
            // fetch of Node has no other way to be told of roots.
            command.env("NODE_EXTRA_CA_CERTS", self.file("ca.pem"));
            return command;
        }
        let mut exec = Command::new(env!("CARGO_BIN_EXE_bearward"));
        exec.arg("exec").arg("-c").arg(self.file("bearward.toml")).arg("--");
        exec.arg(command.get_program()).args(command.get_args());
        exec
    }

    /// The plan for `steps` on this way.
    pub fn plan(&self, library: &str, way: Way, version: &str, steps: &[&Step]) -> Value {
        self.runs.set(self.runs.get() + 1);
        let mut plan = json!({ "library": library, "version": version });
        if matches!(way, Way::Direct | Way::DirectTls) {
            plan["authorization"] = format!("Bearer {DIRECT}").into();
        }
        if matches!(way, Way::DirectTls | Way::Tls) {
            plan["ca"] = self.file("ca.pem").to_str().into();
        }
        if matches!(way, Way::Absolute | Way::PlainTunnel | Way::Tunnel) {
            plan["proxy"] = self.proxy().into();
            plan["tunnel"] = (way != Way::Absolute).into();
            plan["ca"] = self.file("local-ca.pem").to_str().into();
        }
        if matches!(way, Way::PlainExec | Way::Exec) {
            plan["environment"] = true.into();
        }
        plan["steps"] = steps.iter().map(|step| self.step(way, step)).collect();
        plan
    }

    fn step(&self, way: Way, step: &Step) -> Value {
        let name = step.name.replace(' ', "-");
        let base = self.base(way, step.upstream);
        let mut asked = (step.asked)();
        for (from, to) in [("path", "url"), ("heard", "heard")] {
            if let Some(path) = asked[from].as_str() {
                let path = path.replace("NAME", &format!("{name}-{}", self.runs.get()));
                asked[to] = format!("{base}{path}").into();
            }
        }
        asked["name"] = step.name.into();
        if way == Way::Unix {
            asked["unix"] = self.socket(step.upstream).to_str().into();
        }
        asked
    }

    fn base(&self, way: Way, upstream: Upstream) -> String {
        let (own, http, https) = match upstream {
            Upstream::Api => ("api", "http", "https"),
            Upstream::Closed => ("closed", "closed_http", "closed_https"),
        };
        match way {
            Way::Direct | Way::Absolute | Way::PlainTunnel | Way::PlainExec => {
                format!("http://localhost:{}", self.ports[http])
            }
            Way::DirectTls | Way::Tunnel | Way::Exec => format!("https://localhost:{}", self.ports[https]),
            Way::Own => format!("http://{}", self.address(own)),
            Way::Gateway => format!("http://localhost:{}/{own}", self.address("gateway").port()),
            Way::Unix => "http://localhost".to_owned(),
            Way::Tls => format!("https://localhost:{}", self.address(&format!("{own}-tls")).port()),
        }
    }

    fn address(&self, name: &str) -> SocketAddr {
        self.bearward.address(name).unwrap_or_else(|| panic!("{name} listens nowhere"))
    }

    fn socket(&self, upstream: Upstream) -> PathBuf {
        self.file(&format!("{upstream:?}.sock"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the forward proxy is.
    pub fn proxy(&self) -> String {
        format!("http://{}", self.address("proxy"))
    }

    /// What URLs of the API begin with on this way.
    pub fn api(&self, way: Way) -> String {
        self.base(way, Upstream::Api)
    }

    /// How many requests for the API itself have reached it.
    pub async fn seen(&self) -> u64 {
        self.origin.ask("counts", json!({})).await["seen"].as_u64().expect("a number")
    }

    /// How many requests reached the API without a token that lives.
    pub async fn bare(&self) -> u64 {
        self.origin.ask("counts", json!({})).await["bare"].as_u64().expect("a number")
    }
}

/// The local CA of the forward proxy, in `local-ca.pem` and `local-ca.key`.
pub fn local_ca(folder: &tempfile::TempDir) {
    let file = |name: &str| folder.path().join(name);
    let files = Files { certificate: file("local-ca.pem"), key: file("local-ca.key") };
    let hosts = Hosts::only(["localhost"]).unwrap();
    Authority::make(&files, &hosts, Overwrite::Never, &Clock::system()).unwrap();
}

/// A CA in `ca.pem`, and a certificate of it for `localhost` with its key (`certificate.pem`, `key.pem`).
pub fn identity(folder: &tempfile::TempDir) -> (String, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "A CA of nobody's system");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &ca).unwrap().pem();
    fs::write(folder.path().join("certificate.pem"), &certificate).unwrap();
    fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
    (certificate, key.serialize_pem())
}

fn configuration(ports: &Value, folder: &tempfile::TempDir) -> String {
    let (http, https, folder) = (&ports["http"], &ports["https"], folder.path().display());
    let token = |name: &str, path: &str| {
        format!(
            "[tokens.{name}]\ngrant_type = \"client_credentials\"\nclient_id = \"{name}\"\nclient_secret = \"secret\"\n\
             token_endpoint = \"http://127.0.0.1:{http}/{path}\"\nacquire = \"lazy\"\n"
        )
    };
    let upstream = |name: &str, token: &str, origin: String, further: String| {
        format!("[upstreams.{name}]\nurl = \"{origin}\"\ntoken = \"{token}\"\n{further}\n")
    };
    let own = |name: &str| format!("listen = \"127.0.0.1:0\"\npath = \"/{name}\"");
    let unix = |upstream: Upstream| format!("listen = \"unix:{folder}/{upstream:?}.sock\"");
    let tls = format!(
        "listen = \"127.0.0.1:0\"\ntls = {{ ca = \"{folder}/ca.pem\" }}\n\
         listen_tls = {{ certificate = \"{folder}/certificate.pem\", key = \"{folder}/key.pem\" }}"
    );
    [
        "store = { kind = \"memory\" }\n[gateway]\nlisten = \"127.0.0.1:0\"\n".to_owned(),
        format!(
            "[proxy]\nlisten = \"127.0.0.1:0\"\n\
             ca = {{ certificate = \"{folder}/local-ca.pem\", key = \"{folder}/local-ca.key\" }}\n"
        ),
        // One for each upstream: every way has its token rejected, and that is not to look like an API that always does so.
        token("api", "token"),
        token("api-tls", "token"),
        token("api-unix", "token"),
        token("closed", "no-token"),
        upstream("api", "api", format!("http://localhost:{http}"), own("api")),
        upstream("closed", "closed", format!("http://localhost:{}", ports["closed_http"]), own("closed")),
        upstream("unix", "api-unix", format!("http://127.0.0.1:{http}"), unix(Upstream::Api)),
        upstream("api-tls", "api-tls", format!("https://localhost:{https}"), tls.clone()),
        upstream("closed-tls", "closed", format!("https://localhost:{}", ports["closed_https"]), tls),
        upstream("closed-unix", "closed", format!("http://127.0.0.1:{http}"), unix(Upstream::Closed)),
    ]
    .concat()
}
