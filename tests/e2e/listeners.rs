//! What a reload changes on listeners that stay, seen from outside.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use bearward::{
    app::{App, Running},
    config::Config,
};

fn status(socket: &Path, host: &str, more: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    let request = format!("GET /livez HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.get(9..12).unwrap_or_default().to_owned()
}

/// Reloads until `holds`, which a reload brings about.
fn reload(running: &Running, holds: impl Fn() -> bool) {
    running.reload();
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "the reload changed nothing");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn r148_rules_and_limits_of_listeners_that_stay_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bearward.toml");
    let (admin, own) = (folder.path().join("admin"), folder.path().join("own"));
    let write = |hosts: &str, fields: u32| {
        let configuration = format!(
            "[store]\nkind = \"memory\"\n\
             [limits]\nhead_fields = {fields}\n\
             [admin]\nlisten = \"unix:{}\"\nallow_hosts = [{hosts}]\n\
             [upstreams.a]\nurl = \"http://127.0.0.1:9\"\nlisten = \"unix:{}\"\n",
            admin.display(),
            own.display()
        );
        std::fs::write(&file, configuration).unwrap();
    };
    write("", 100);
    let running = App::start(Config::load(Some(&file)).unwrap()).unwrap();
    let fields = "a: b\r\n".repeat(50);
    assert_eq!(status(&admin, "status.example", ""), "421");
    assert_eq!(status(&own, "localhost", &fields), "502", "nothing listens on the discard port");

    write("\"status.example\"", 20);
    reload(&running, || status(&admin, "status.example", "") == "200");
    assert_eq!(status(&own, "localhost", &fields), "431");
}
