//! `bearward init`: from nothing to the first 200 for every preset, at a terminal, from a pipe, and where nobody answers.

mod issuer;

use std::{
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use bearward::demo::simulator::{
    Apicbase, Cybrid, Cymbio, Inventorum, Shopware, apicbase, cybrid, cymbio, inventorum, person::Person,
    shopware,
};

use crate::support::{
    Application, Process, ask,
    node::leave_out,
    outside::{Ended, bearward},
};

const OK: i32 = 0;
const FAILURE: i32 = 1;
const USAGE: i32 = 2;

/// The binary in `folder` with these lines on stdin.
fn piped(folder: &Path, arguments: &[&str], lines: &str) -> Ended {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bearward"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that reads no answers ends before they are written.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ended {
        status: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// `init` with these `--set`s on top of ports and a store of the test's own.
fn init(folder: &Path, arguments: &[&str], set: &[(&str, &str)], lines: &str) -> Ended {
    let own = [("listen", "127.0.0.1:0"), ("admin.listen", "127.0.0.1:0"), ("store.path", "state")];
    let set: Vec<_> = own.iter().chain(set).map(|(key, value)| format!("{key}={value}")).collect();
    let mut all = vec!["init"];
    all.extend(arguments);
    all.extend(set.iter().flat_map(|pair| ["--set", pair]));
    piped(folder, &all, lines)
}

fn written(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("bearward.toml")).unwrap()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// Runs what `init` wrote and asks for the path that it proposes: the first 200.
async fn serves(folder: &Path, ended: &Ended, name: &str, env: &[(&str, &str)]) {
    assert_eq!(ended.status, OK, "{}", ended.err);
    let path = ended.out.lines().last().unwrap().split_once(":0/").expect("a curl line").1;
    let bearward = Process::run_with(&folder.join("bearward.toml"), env);
    let mut application = Application::new(bearward.address(name).await);
    let answer = ask(&mut application, &format!("/{path}")).await;
    assert_eq!(answer.status(), 200, "{:?}\n{}", answer.body(), bearward.log());
}

/// The written file without the ports of this run.
fn shown(folder: &Path, url: &str) -> String {
    written(folder).replace(url, "http://SIMULATOR")
}

#[tokio::test]
async fn inventorum_comes_from_nothing_to_its_first_200() {
    let inventorum = Inventorum::new().start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = inventorum.url();
    let set = [("base_url", &*url), ("upstream.url", &url), ("client_id", inventorum::CLIENT_ID)];
    let lines = format!("{}\n{}\n", inventorum::CLIENT_SECRET, inventorum::FIRST_REFRESH_TOKEN);
    let ended = init(folder.path(), &["--preset", "inventorum", "--secrets", "file"], &set, &lines);
    serves(folder.path(), &ended, "inventorum", &[]).await;
    insta::assert_snapshot!("inventorum", shown(folder.path(), &url));
}

#[tokio::test]
async fn inventorum_for_older_apps_comes_there_with_a_password() {
    let inventorum = Inventorum::new().start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = inventorum.url();
    let set = [
        ("base_url", &*url),
        ("upstream.url", &url),
        ("grant_type", "password"),
        ("client_id", inventorum::CLIENT_ID),
        ("username", inventorum::USERNAME),
    ];
    let lines = format!("{}\n{}\n", inventorum::CLIENT_SECRET, inventorum::PASSWORD);
    let ended = init(folder.path(), &["--preset", "inventorum", "--secrets", "inline"], &set, &lines);
    assert_eq!(mode(&folder.path().join("bearward.toml")), 0o600, "there are secrets in it");
    serves(folder.path(), &ended, "inventorum", &[]).await;
}

#[tokio::test]
async fn shopware_comes_from_nothing_to_its_first_200() {
    let shopware = Shopware::new().start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let set = [("base_url", &*shopware.url()), ("client_id", shopware::CLIENT_ID)];
    let ended = init(folder.path(), &["--preset", "shopware"], &set, "");
    assert!(ended.out.contains("&& export SHOPWARE_CLIENT_SECRET\n"), "{}", ended.out);
    serves(folder.path(), &ended, "shopware", &[("SHOPWARE_CLIENT_SECRET", shopware::CLIENT_SECRET)]).await;
    insta::assert_snapshot!("shopware", shown(folder.path(), &shopware.url()));
}

#[tokio::test]
async fn cybrid_comes_from_nothing_to_its_first_200() {
    let cybrid = Cybrid::new().start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = cybrid.url();
    let lines = format!(
        "cybrid\n{}\n{}\ncustomers:read banks:read\n{url}\n",
        cybrid::CLIENT_ID,
        cybrid::CLIENT_SECRET
    );
    let ended = init(folder.path(), &["--secrets", "file", "--name", "bank"], &[("base_url", &url)], &lines);
    serves(folder.path(), &ended, "bank", &[]).await;
    insta::assert_snapshot!("cybrid", shown(folder.path(), &url));
}

#[tokio::test]
async fn cymbio_comes_from_nothing_to_its_first_200() {
    let cymbio = Cymbio::new().start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = cymbio.url();
    let set = [
        ("base_url", &*url),
        ("upstream.url", &url),
        ("client_id", cymbio::CLIENT_ID),
        ("scope", "read:orders write:inventory"),
        ("username", cymbio::USERNAME),
    ];
    let ended = init(folder.path(), &["--preset", "cymbio"], &set, "");
    let env = [("CYMBIO_CLIENT_SECRET", cymbio::CLIENT_SECRET), ("CYMBIO_PASSWORD", cymbio::PASSWORD)];
    serves(folder.path(), &ended, "cymbio", &env).await;
    insta::assert_snapshot!("cymbio", shown(folder.path(), &url));
}

#[tokio::test]
async fn apicbase_comes_from_nothing_to_its_first_200_in_three_commands() {
    let kitchen = Apicbase::new().start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = kitchen.simulator.url();
    let authorization_endpoint = kitchen.authorization_endpoint();
    let set = [
        ("base_url", &*url),
        ("upstream.url", &url),
        ("authorization_endpoint", &authorization_endpoint),
        ("client_id", apicbase::CLIENT_ID),
        ("scope", "library sales"),
    ];
    let ended = init(folder.path(), &["--preset", "apicbase"], &set, "");
    assert_eq!(ended.status, OK, "{}", ended.err);
    insta::assert_snapshot!("apicbase", shown(folder.path(), &url));
    insta::assert_snapshot!("apicbase_next", ended.out);
    let env = [("APICBASE_CLIENT_SECRET", apicbase::CLIENT_SECRET)];

    let begun = bearward(folder.path(), &["login", "apicbase", "--no-browser"], &env).await;
    let address = begun.out.trim();
    let code = Person::new().copy_code(address).await.unwrap_or_else(|stuck| panic!("{stuck:?} {begun:?}"));
    let logged_in = bearward(folder.path(), &["login", "apicbase", "--code", &code], &env).await;
    assert_eq!(logged_in.status, OK, "{logged_in:?}");

    serves(folder.path(), &ended, "apicbase", &env).await;
}

#[tokio::test]
async fn apicbase_for_a_supplier_needs_no_person() {
    let kitchen = Apicbase::new().start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = kitchen.simulator.url();
    let set = [
        ("base_url", &*url),
        ("upstream.url", &url),
        ("grant_type", "client_credentials"),
        ("client_id", apicbase::SUPPLIER_ID),
    ];
    let ended = init(folder.path(), &["--preset", "apicbase"], &set, "");
    assert!(ended.out.contains("bearward check\n") && !ended.out.contains("login"), "{}", ended.out);
    serves(folder.path(), &ended, "apicbase", &[("APICBASE_CLIENT_SECRET", apicbase::SUPPLIER_SECRET)]).await;
}

#[test]
fn what_is_missing_is_named_at_once_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let ended = piped(folder.path(), &["init", "--preset", "cybrid"], "");
    assert_eq!((ended.status, ended.out.as_str()), (USAGE, ""));
    for words in ["nothing was written", "--set client_id=", "--set scope=", "--set upstream.url="] {
        assert!(ended.err.contains(words), "no {words} in {}", ended.err);
    }
    let ended = piped(folder.path(), &["init"], "");
    assert_eq!(ended.status, USAGE);
    assert!(ended.err.contains("--preset") && ended.err.contains("--issuer"), "{}", ended.err);
    assert!(!ended.err.contains("Which API"), "nothing prompts without a terminal");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn what_would_not_load_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let set = [("base_url", "http://shop.example"), ("client_id", "app")];
    let ended = init(folder.path(), &["--preset", "shopware"], &set, "");
    assert_eq!(ended.status, USAGE);
    assert!(
        ended.err.contains("nothing was written") && ended.err.contains("allow_cleartext"),
        "{}",
        ended.err
    );
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_secret_is_no_flag_and_shows_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let set = [("client_id", "app"), ("client_secret", "canary")];
    let ended = init(folder.path(), &["--preset", "shopware"], &set, "");
    assert_eq!(ended.status, USAGE);
    assert!(ended.err.contains("client_secret") && !ended.err.contains("canary"), "{}", ended.err);

    let set = [("base_url", "https://shop.example"), ("client_id", "app")];
    let ended = init(folder.path(), &["--preset", "shopware", "--secrets", "file"], &set, "canary\n");
    assert_eq!(ended.status, OK, "{}", ended.err);
    assert!(![&*ended.out, &ended.err, &written(folder.path())].concat().contains("canary"));
    let secrets = folder.path().join("bearward-secrets");
    let secret = secrets.join("shopware.client_secret");
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "canary");
    assert_eq!((mode(&secrets), mode(&secret)), (0o700, 0o600));
}

/// What is printed is run as it stands, up to the command that stays.
#[test]
fn a_shell_runs_the_commands_and_asks_for_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let set = [("base_url", "https://shop.example"), ("client_id", "app")];
    let ended = init(folder.path(), &["--preset", "shopware", "--output", "a b.toml"], &set, "");
    let (before, _) = ended.out.split_once("bearward run -c 'a b.toml'\n").expect("what runs it");
    let script = format!("{before}\nprintf 'seen:%s' \"$SHOPWARE_CLIENT_SECRET\"\n");
    let binary = Path::new(env!("CARGO_BIN_EXE_bearward")).parent().unwrap();
    let mut shell = Command::new("bash")
        .args(["-ec", &script])
        .env("PATH", format!("{}:/usr/bin:/bin", binary.display()))
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    shell.stdin.take().unwrap().write_all(b"typed\n").unwrap();
    let output = shell.wait_with_output().unwrap();
    let seen = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && seen.ends_with("seen:typed"), "{seen}");
}

#[test]
fn nothing_is_overwritten_without_force() {
    let folder = tempfile::tempdir().unwrap();
    let set = [("base_url", "https://shop.example"), ("client_id", "app")];
    let file = ["--preset", "shopware", "--secrets", "file"];
    assert_eq!(init(folder.path(), &file, &set, "first\n").status, OK);
    let before = written(folder.path());
    let ended = init(folder.path(), &file, &set, "second\n");
    assert_eq!(ended.status, FAILURE);
    assert!(
        ended.err.contains("bearward.toml is there already") && ended.err.contains("--force"),
        "{}",
        ended.err
    );

    // Another configuration that would take the first one's secret.
    let other = [&file[..], &["--output", "other.toml"]].concat();
    let ended = init(folder.path(), &other, &set, "second\n");
    assert_eq!(ended.status, FAILURE);
    assert!(ended.err.contains("shopware.client_secret"), "{}", ended.err);
    assert!(!folder.path().join("other.toml").exists());
    let secret = folder.path().join("bearward-secrets/shopware.client_secret");
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "first");
    assert_eq!(written(folder.path()), before);

    assert_eq!(init(folder.path(), &[&file[..], &["--force"]].concat(), &set, "second\n").status, OK);
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "second");
    let left: Vec<_> = secret.parent().unwrap().read_dir().unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn what_was_there_is_there_again_where_force_fails_half_way() {
    let folder = tempfile::tempdir().unwrap();
    let set = [("client_id", "app"), ("username", "u"), ("grant_type", "password")];
    let arguments = ["--preset", "inventorum", "--secrets", "file"];
    assert_eq!(init(folder.path(), &arguments, &set, "first\nfirst\n").status, OK);
    let secrets = folder.path().join("bearward-secrets");
    let files = || {
        let entries = secrets.read_dir().unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> =
            entries.map(|file| (file.clone(), std::fs::read_to_string(file).ok())).collect();
        files.sort();
        files
    };
    let before = files();
    assert_eq!(before.len(), 2);

    // The second secret cannot be placed: a folder is in its place.
    let second = secrets.join("inventorum.password");
    std::fs::rename(&second, folder.path().join("aside")).unwrap();
    std::fs::create_dir(&second).unwrap();
    let ended = init(folder.path(), &[&arguments[..], &["--force"]].concat(), &set, "second\nsecond\n");
    assert_eq!(ended.status, FAILURE, "{ended:?}");
    std::fs::remove_dir(&second).unwrap();
    std::fs::rename(folder.path().join("aside"), &second).unwrap();
    assert_eq!(files(), before);
}

#[test]
fn nothing_is_left_where_the_configuration_cannot_be_placed() {
    let folder = tempfile::tempdir().unwrap();
    let set = [("base_url", "https://shop.example"), ("client_id", "app")];
    std::fs::create_dir(folder.path().join("taken")).unwrap();
    let arguments = ["--preset", "shopware", "--secrets", "file", "--output", "taken", "--force"];
    let ended = init(folder.path(), &arguments, &set, "canary\n");
    assert_eq!(ended.status, FAILURE, "{ended:?}");
    assert_eq!(folder.path().join("bearward-secrets").read_dir().unwrap().count(), 0);
}

/// A person at a pseudo terminal: the answers are typed when their questions are there. Prints all that the terminal showed.
const PERSON: &str = r#"
import os, pty, select, sys, time
binary, answers = sys.argv[1], sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(binary, [binary, "init", "--set", "listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0"])
seen = b""
def read(until):
    global seen
    fresh, end = b"", time.time() + 50
    while until is None or not fresh.rstrip().endswith(until):
        if not select.select([terminal], [], [], max(0, end - time.time()))[0]:
            sys.exit("no %r after %r" % (until, seen + fresh))
        try:
            part = os.read(terminal, 4096)
        except OSError:
            part = b""
        if not part:
            break
        fresh += part
    seen += fresh
for answer in answers:
    question, _, typed = answer.partition("=")
    read(question.encode())
    os.write(terminal, typed.encode().decode("unicode_escape").encode() + b"\n")
read(None)
sys.stdout.write(seen.decode().replace("\r\n", "\n"))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

fn at_a_terminal(folder: &Path, answers: &[&str]) -> Option<(i32, String)> {
    let ran = Command::new("python3")
        .args(["-c", PERSON, env!("CARGO_BIN_EXE_bearward")])
        .args(answers)
        .current_dir(folder)
        .output();
    let output = match ran {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            leave_out(
                "what a person types at a terminal",
                "there is no `python3`, which has pseudo terminals",
            );
            return None;
        }
        ran => ran.unwrap(),
    };
    let seen = String::from_utf8(output.stdout).unwrap();
    assert!(!seen.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    Some((output.status.code().unwrap(), seen))
}

#[test]
fn a_person_at_a_terminal_is_asked_and_a_typed_secret_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let answers =
        [">=5", ">=", ">=file", "base_url:=https://shop.example", "client_id:=app", "client_secret:=canary"];
    let Some((status, seen)) = at_a_terminal(folder.path(), &answers) else { return };
    assert_eq!(status, OK, "{seen}");
    assert!(!seen.contains("canary"), "{seen}");
    assert!(seen.contains("https://shop.example"), "what is no secret is shown");
    let secret = folder.path().join("bearward-secrets/shopware.client_secret");
    assert_eq!(std::fs::read_to_string(secret).unwrap(), "canary");
    insta::assert_snapshot!("at_a_terminal", seen);
}

#[test]
fn ctrl_c_at_a_secret_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let answers = [
        ">=shopware",
        ">=client_credentials",
        ">=file",
        "base_url:=https://shop.example",
        "client_id:=app",
        "client_secret:=can\\x03",
    ];
    let Some((status, seen)) = at_a_terminal(folder.path(), &answers) else { return };
    assert_eq!(status, FAILURE, "{seen}");
    assert!(seen.contains("nothing was written") && !seen.contains("can\n"), "{seen}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}
