//! RFC 9113 as a public test suite asks it: httpwg, whose cases are h2spec's and some more (`.ci/tools` says where it comes from).

use tokio::process::Command;

use crate::support::{
    PATIENCE,
    node::{found, leave_out},
    origin::Origin,
    start,
};

/// Of version 0.2.5.
const CASES: &str = "107/107";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r095_every_case_of_httpwg_passes() {
    let Some(httpwg) = found(&["httpwg"]) else {
        return leave_out(
            "RFC 9113 by httpwg",
            "there is no `httpwg` on the PATH (cargo install httpwg-cli)",
        );
    };
    // Some of it looks at several octets of content.
    let origin = Origin::answering("several octets of content").await;
    let bearward = start(&origin.configuration());
    let address = bearward.address("api").unwrap().to_string();
    let mut suite = Command::new(httpwg);
    suite.args(["--address", &address, "--frame-timeout", "10000", "--connect-timeout", "10000"]);
    let output = tokio::time::timeout(PATIENCE * 2, suite.kill_on_drop(true).output()).await;
    let output = output.expect("the suite ends").expect("the suite runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let failed: Vec<&str> = said.lines().filter(|line| line.contains("Test failed")).collect();
    assert!(failed.is_empty(), "{}\n{said}", failed.join("\n"));
    assert!(output.status.success() && said.contains(CASES), "{said}");
}
