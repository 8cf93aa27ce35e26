//! gRPC through bearward, with gRPC's own client and server (r109): unary, streams both ways, metadata, trailers, deadlines.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    clients::program::{Program, perform},
    support::{python, start},
};

const TOKEN: &str = "the-token";

/// A gRPC server that takes [`TOKEN`] alone.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/grpc_server.py");
        let mut child = Command::new(python::installed().expect("it was there for the client"))
            .args(["-B", script, TOKEN])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let mut port = String::new();
        BufReader::new(child.stdout.take().expect("stdout is piped")).read_line(&mut port).expect("a line");
        Self { child, port: port.trim().parse().expect("a port") }
    }

    fn configuration(&self) -> String {
        format!(
            r#"
            store = {{ kind = "memory" }}
            [tokens.fixed]
            grant_type = "static"
            access_token = "{TOKEN}"
            [upstreams.orders]
            url = "http://localhost:{}"
            http = "2"
            token = "fixed"
            listen = "127.0.0.1:0"
            "#,
            self.port
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

async fn calls(plan: Value) -> Option<Value> {
    Some(perform(Program::Grpc.command().await?, &plan).await)
}

#[tokio::test]
async fn r109_grpc_sees_no_difference() {
    let Some(refused) = Program::Grpc.command().await else { return };
    drop(refused);
    let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let own =
        json!({ "target": format!("localhost:{}", server.port), "authorization": format!("Bearer {TOKEN}") });
    let direct = calls(own).await.expect("it was there before");
    for (call, code) in
        [("unary", "OK"), ("missing", "NOT_FOUND"), ("chat", "OK"), ("deadline", "DEADLINE_EXCEEDED")]
    {
        assert_eq!(direct[call]["code"], code, "{direct}");
    }
    assert_eq!((&direct["large"], &direct["remained"]), (&true.into(), &true.into()), "{direct}");

    let bearward = start(&server.configuration());
    let port = bearward.address("orders").expect("it listens").port();
    let proxied = calls(json!({ "target": format!("localhost:{port}") })).await;
    assert_eq!(proxied.expect("it was there before"), direct);
    bearward.stop().await;
}
