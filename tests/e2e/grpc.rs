//! gRPC through bearward, with gRPC's own client and server (r109): unary, streams both ways, metadata, trailers, deadlines.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    clients::{
        program::{Program, perform},
        world::{identity, local_ca},
    },
    support::{python, start},
};

const TOKEN: &str = "the-token";

/// A gRPC server that takes [`TOKEN`] alone, with TLS and without.
struct Server {
    child: Child,
    port: u16,
    tls_port: u16,
    folder: TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        identity(&folder);
        local_ca(&folder);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/grpc_server.py");
        let mut child = Command::new(python::installed().expect("it was there for the client"))
            .args(["-B", script, TOKEN])
            .args([folder.path().join("certificate.pem"), folder.path().join("key.pem")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let mut ports = String::new();
        BufReader::new(child.stdout.take().expect("stdout is piped")).read_line(&mut ports).expect("a line");
        let (port, tls_port) = ports.trim().split_once(' ').expect("two ports");
        Self {
            child,
            port: port.parse().expect("a port"),
            tls_port: tls_port.parse().expect("a port"),
            folder,
        }
    }

    fn file(&self, name: &str) -> Value {
        self.folder.path().join(name).to_str().into()
    }

    fn configuration(&self) -> String {
        let (port, tls_port, folder) = (self.port, self.tls_port, self.folder.path().display());
        format!(
            r#"
            store = {{ kind = "memory" }}
            [proxy]
            listen = "127.0.0.1:0"
            ca = {{ certificate = "{folder}/local-ca.pem", key = "{folder}/local-ca.key" }}
            [tokens.fixed]
            grant_type = "static"
            access_token = "{TOKEN}"
            [upstreams.orders]
            url = "http://localhost:{port}"
            http = "2"
            token = "fixed"
            listen = "127.0.0.1:0"
            [upstreams.orders-tls]
            url = "https://localhost:{tls_port}"
            tls = {{ ca = "{folder}/ca.pem" }}
            token = "fixed"
            listen = "127.0.0.1:0"
            listen_tls = {{ certificate = "{folder}/certificate.pem", key = "{folder}/key.pem" }}
            "#
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It may have ended already; either way nothing is left behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn calls(plan: Value) -> Value {
    perform(Program::Grpc.command().await.expect("it was there before"), &plan).await
}

#[tokio::test]
async fn r109_grpc_sees_no_difference() {
    let Some(refused) = Program::Grpc.command().await else { return };
    drop(refused);
    let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let own =
        json!({ "target": format!("localhost:{}", server.port), "authorization": format!("Bearer {TOKEN}") });
    let direct = calls(own).await;
    for (call, code) in
        [("unary", "OK"), ("missing", "NOT_FOUND"), ("chat", "OK"), ("deadline", "DEADLINE_EXCEEDED")]
    {
        assert_eq!(direct[call]["code"], code, "{direct}");
    }
    assert_eq!((&direct["large"], &direct["remained"]), (&true.into(), &true.into()), "{direct}");

    let bearward = start(&server.configuration());
    let port = |name: &str| bearward.address(name).expect("it listens").port();
    let proxy = format!("http://127.0.0.1:{}", port("proxy"));
    let [own, tls] = ["orders", "orders-tls"].map(|name| format!("localhost:{}", port(name)));
    let [plain, secure] = [server.port, server.tls_port].map(|port| format!("localhost:{port}"));
    for (way, plan) in [
        ("its own port", json!({ "target": own })),
        ("a port with TLS", json!({ "target": tls, "ca": server.file("ca.pem") })),
        ("CONNECT", json!({ "target": plain, "proxy": proxy })),
        (
            "CONNECT with TLS inside",
            json!({ "target": secure, "proxy": proxy, "ca": server.file("local-ca.pem") }),
        ),
    ] {
        assert_eq!(calls(plan).await, direct, "through {way}");
    }
    bearward.stop().await;
}
