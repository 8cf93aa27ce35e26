//! What becomes of bearward when nobody reads its log any more.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const BEARWARD: &str = env!("CARGO_BIN_EXE_bearward");

#[test]
fn r150_a_log_that_nobody_reads_any_more_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bearward.toml");
    let socket = folder.path().join("admin");
    std::fs::write(
        &file,
        format!("store = {{ kind = \"memory\" }}\n[admin]\nlisten = \"unix:{}\"\n", socket.display()),
    )
    .unwrap();
    let asks = |command: &str| {
        let mut asking = Command::new(BEARWARD);
        asking.arg(command).arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        asking.status().unwrap().code()
    };

    let mut running = Command::new(BEARWARD);
    let mut running = running.arg("run").arg("-c").arg(&file).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(running.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended early");
    }
    drop(log);

    // Each reload says so in the log.
    let pid = rustix::process::Pid::from_child(&running);
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end && running.try_wait().unwrap().is_none() {
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
    let still_there = asks("status");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(0));
    assert_eq!(still_there, Some(0));
}
