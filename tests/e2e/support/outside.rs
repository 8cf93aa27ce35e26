//! Seen from outside: the binary run to its end, and what the admin listener says.

use std::{net::SocketAddr, path::Path, process::Stdio};

use bytes::Bytes;
use http::Response;
use serde_json::Value;
use tokio::process::Command;

use super::{Application, PATIENCE, ask};

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: i32,
    /// Its data.
    pub out: String,
    /// Its messages.
    pub err: String,
}

/// Runs the binary in `folder` with `arguments` and with no environment but `env`, to its end.
pub async fn bearward(folder: &Path, arguments: &[&str], env: &[(&str, &str)]) -> Ended {
    let running = Command::new(env!("CARGO_BIN_EXE_bearward"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, running).await;
    let output = output.unwrap_or_else(|_| panic!("{arguments:?} never ended")).expect("the binary starts");
    Ended {
        status: output.status.code().expect("no signal ended it"),
        out: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
        err: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
    }
}

/// One look at an admin listener.
pub async fn look(admin: SocketAddr, path: &str) -> Response<Bytes> {
    ask(&mut Application::new(admin), path).await
}

/// `/status`.
pub async fn status(admin: SocketAddr) -> Value {
    json(&look(admin, "/status").await)
}

/// The JSON that an answer holds.
pub fn json(answer: &Response<Bytes>) -> Value {
    serde_json::from_slice(answer.body()).unwrap_or_else(|error| panic!("{error} in {:?}", answer.body()))
}

/// The one value of a field.
pub fn field<'a>(answer: &'a Response<Bytes>, name: &str) -> &'a str {
    let mut values = answer.headers().get_all(name).iter();
    let value = values.next().unwrap_or_else(|| panic!("no {name} in {answer:?}"));
    assert!(values.next().is_none(), "{name} is there twice: {answer:?}");
    value.to_str().expect("a field is text")
}
