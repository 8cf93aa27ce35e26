//! The programs that do what a plan says: a script for each language, the plan on its stdin, the results on its stdout.
//!
//! Knows where an interpreter comes from. Does not know what is in a plan.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::support::{PATIENCE, node, python};

/// Where the scripts are.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// Who performs a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// curl, one run for each step.
    Curl,
    /// A library of Python's.
    Python,
    /// A library of Node's.
    Node,
    /// Java's own `HttpClient`.
    Java,
    /// grpcio.
    Grpc,
}

impl Program {
    /// The command; `None`, said on stderr, where something is missing on this machine.
    pub async fn command(self) -> Option<Command> {
        let command = tokio::task::spawn_blocking(move || self.found()).await.expect("it does not panic");
        command.map_err(|why| node::leave_out(&format!("what {self:?} sees of bearward"), &why)).ok()
    }

    fn found(self) -> Result<Command, String> {
        let scripts = Path::new(SCRIPTS);
        let missing = |what: &str| format!("there is no `{what}` on the PATH");
        let python = |script: &str| {
            let mut command = Command::new(python::installed()?);
            command.arg("-B").arg(scripts.join(script));
            Ok::<_, &str>(command)
        };
        match self {
            Self::Curl => {
                node::found(&["curl"]).ok_or_else(|| missing("curl"))?;
                Ok(python("curl.py")?)
            }
            Self::Python => Ok(python("client.py")?),
            Self::Grpc => Ok(python("grpc_client.py")?),
            Self::Node => Ok(node::installed()?.command("client.mjs")),
            Self::Java => {
                // A single file is compiled before it runs, which a JRE cannot.
                node::found(&["javac"]).ok_or_else(|| missing("javac"))?;
                let mut command = Command::new(node::found(&["java"]).ok_or_else(|| missing("java"))?);
                command
                    .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
                    .arg(scripts.join("Client.java"));
                Ok(command)
            }
        }
    }
}

/// Runs `command` with `plan`, to its end, and returns what it has seen.
///
/// # Panics
/// It fails as a whole.
pub async fn perform(command: Command, plan: &Value) -> Value {
    let mut command = tokio::process::Command::from(command);
    // Settings of this machine's user are nobody's business here.
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("an interpreter starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(plan.to_string().as_bytes()).await.expect("a client reads its plan");
    drop(stdin);
    let ended = tokio::time::timeout(PATIENCE * 2, child.wait_with_output()).await;
    let ended = ended.unwrap_or_else(|_| panic!("it never ended: {plan}")).expect("it can be waited for");
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "the client failed: {err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error} in {out}\n{err}"))
}
