//! What a reload changes on listeners that stay, seen from outside.

use std::{
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    path::Path,
    process::Command,
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

/// What `curl` of another user gets on a Unix socket; `None` where this test may not become one.
fn status_for(user: u32, socket: &Path) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let mut curl = Command::new("curl");
    curl.args([
        "--disable",
        "--silent",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
        "--unix-socket",
    ]);
    let ended = curl.arg(socket).arg("http://localhost/livez").uid(user).gid(user).output().ok()?;
    Some(String::from_utf8(ended.stdout).unwrap())
}

/// Only root can come as somebody else; what is decided of whom is held beside `Users` for everybody.
#[test]
fn r025_other_users_of_the_machine_come_in_where_they_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let file = folder.path().join("bearward.toml");
    let (admin, own) = (folder.path().join("admin"), folder.path().join("own"));
    let write = |users: &str| {
        let configuration = format!(
            "[store]\nkind = \"memory\"\n\
             [admin]\nlisten = \"unix:{}\"\n{users}\n\
             [upstreams.a]\nurl = \"http://127.0.0.1:9\"\nlisten = \"unix:{}\"\n{users}\n",
            admin.display(),
            own.display()
        );
        std::fs::write(&file, configuration).unwrap();
    };
    let mode = |socket: &Path| std::fs::metadata(socket).unwrap().permissions().mode() & 0o777;
    write("");
    let running = App::start(Config::load(Some(&file)).unwrap()).unwrap();
    assert_eq!((mode(&admin), mode(&own)), (0o600, 0o600));

    write("allow_users = [65533]");
    reload(&running, || mode(&own) == 0o666);
    for (user, [at_admin, at_own]) in [(65533, ["200", "502"]), (65534, ["000", "000"])] {
        let Some(status) = status_for(user, &admin) else { return };
        assert_eq!((&*status, status_for(user, &own).as_deref()), (at_admin, Some(at_own)), "user {user}");
    }

    // A mode that somebody widened by hand lets nobody in.
    write("allow_users = []");
    reload(&running, || mode(&own) == 0o600);
    for socket in [&admin, &own] {
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(status_for(65533, socket).unwrap(), "000");
        assert_eq!(status(socket, "localhost", "").len(), 3, "its owner is served");
    }
}
