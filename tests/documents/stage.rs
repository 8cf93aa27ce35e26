//! A folder that stands for a reader's machine, and the commands that are typed there.
//!
//! Knows how what a document says is moved onto this machine: ports that are free, folders that are ours, secrets that
//! exist. Does not know what any document says.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use bearward::demo::simulator::person::Person;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process, time,
};

use crate::markdown::Command;

const LOOPBACK: &str = "127.0.0.1:";
/// Where documents and units say that something is. On the stage it is below its folder.
const FOLDERS: [&str; 3] =
    ["/run/secrets/bearward", "/run/credentials/bearward.service", "/var/lib/bearward"];

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Ended {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub struct Stage {
    folder: TempDir,
    replaced: Vec<(String, String)>,
    ports: BTreeMap<u16, u16>,
    environment: BTreeMap<String, String>,
    running: Vec<process::Child>,
}

impl Stage {
    /// A folder in which `bearward`, `target/release/bearward` and `cargo run --release --` are the tested binary.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let binary = env!("CARGO_BIN_EXE_bearward");
        for folders in ["bin", "state", "target/release"] {
            fs::create_dir_all(folder.path().join(folders)).unwrap();
        }
        symlink(binary, folder.path().join("target/release/bearward")).unwrap();
        symlink(binary, folder.path().join("bin/bearward")).unwrap();
        let cargo = folder.path().join("bin/cargo");
        let script =
            "#!/bin/sh\n[ \"$1 $2 $3\" = 'run --release --' ] || exit 99\nshift 3\nexec bearward \"$@\"\n";
        fs::write(&cargo, script).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();

        let path = format!("{}:{}", folder.path().join("bin").display(), std::env::var("PATH").unwrap());
        let state = folder.path().join("state").display().to_string();
        let environment = BTreeMap::from([("PATH".to_owned(), path), ("XDG_STATE_HOME".to_owned(), state)]);
        Self { folder, replaced: Vec::new(), ports: BTreeMap::new(), environment, running: Vec::new() }
    }

    /// From here on, `what` stands for `with` wherever a document says it.
    pub fn replace(mut self, what: &str, with: &str) -> Self {
        self.replaced.push((what.to_owned(), with.to_owned()));
        self
    }

    /// Writes a configuration as it has to be here, and gives it the secrets that it names.
    pub fn write(&mut self, name: &str, text: &str) -> PathBuf {
        for variable in quoted_after(text, "env = \"") {
            self.environment.entry(variable.to_owned()).or_insert_with(|| "a-secret".to_owned());
        }
        let text = self.adapt(text);
        for file in quoted_after(&text, "file = \"").map(Path::new).filter(|it| it.is_absolute()) {
            assert!(file.starts_with(self.folder.path()), "a secret outside the stage: {}", file.display());
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            // The outer proxy's is a secret for the password in it.
            let is_url = file.file_name().is_some_and(|name| name == "proxy");
            let secret = if is_url { "http://proxy.example:3128\n" } else { "a-secret\n" };
            fs::write(file, secret).unwrap();
        }
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Types a command and holds it to what it is said to print. `export` and `… run` do what they do in a shell whose
    /// reader opens another terminal for the next command.
    pub async fn type_in(&mut self, command: &Command) -> String {
        let line = self.adapt(&command.line);
        if let Some((name, value)) = line.strip_prefix("export ").and_then(|it| it.split_once('=')) {
            self.environment.insert(name.to_owned(), value.to_owned());
            return String::new();
        }
        if line.split(' ').any(|word| word == "run") && !line.starts_with("cargo ") {
            self.start(&line).await;
            return String::new();
        }
        let ended = if line.contains(" login ") { self.log_in(&line).await } else { self.end(&line).await };
        assert_eq!(ended.status, Some(0), "$ {line}\n{}{}", ended.stdout, ended.stderr);
        let mut printed = ended.stdout.lines();
        for said in &command.prints {
            let said = self.adapt(said);
            assert!(
                printed.any(|line| line == said),
                "$ {line}\ndoes not print {said:?} but\n{}",
                ended.stdout
            );
        }
        ended.stdout
    }

    /// Runs a command line to its end.
    pub async fn end(&mut self, line: &str) -> Ended {
        let output = time::timeout(Duration::from_secs(120), self.shell(line).output());
        let output = output.await.unwrap_or_else(|_| panic!("$ {line}\ndoes not end")).unwrap();
        Ended {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs a login to its end: the reader opens the address that it prints, agrees there, and pastes the code.
    async fn log_in(&self, line: &str) -> Ended {
        let mut child = self
            .shell(line)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let course = async {
            let (mut stdout, mut stdin) =
                (BufReader::new(child.stdout.take().unwrap()), child.stdin.take().unwrap());
            let mut address = String::new();
            stdout.read_line(&mut address).await.unwrap();
            let code = Person::new().copy_code(address.trim()).await;
            let code = code.unwrap_or_else(|stuck| panic!("$ {line}\nled to {address:?}: {stuck:?}"));
            stdin.write_all(format!("{code}\n").as_bytes()).await.unwrap();
            drop(stdin);
            let output = child.wait_with_output().await.unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            Ended { status: output.status.code(), stdout: address, stderr }
        };
        time::timeout(Duration::from_secs(60), course)
            .await
            .unwrap_or_else(|_| panic!("$ {line}\ndoes not end"))
    }

    /// Starts a command line that stays, and returns once every port it was configured with is open.
    async fn start(&mut self, line: &str) {
        let log = self.folder.path().join("run.log");
        let mut child = self.shell(&format!("exec {line} 2>{}", log.display())).spawn().unwrap();
        let mut addresses = Vec::new();
        for file in fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_some_and(|it| it == "toml") {
                let text = fs::read_to_string(file).unwrap();
                addresses.extend(quoted_after(&text, "listen = \"").map(str::to_owned));
            }
        }
        assert!(!addresses.is_empty(), "$ {line}\nhas no configuration that listens anywhere");
        let opened = time::timeout(Duration::from_secs(30), async {
            for address in &addresses {
                while TcpStream::connect(address).await.is_err() {
                    assert!(
                        child.try_wait().unwrap().is_none(),
                        "$ {line}\nended: {}",
                        fs::read_to_string(&log).unwrap()
                    );
                    time::sleep(Duration::from_millis(10)).await;
                }
            }
        });
        opened
            .await
            .unwrap_or_else(|_| panic!("$ {line}\nopens no port: {}", fs::read_to_string(&log).unwrap()));
        self.running.push(child);
    }

    fn shell(&self, line: &str) -> process::Command {
        let mut shell = process::Command::new("/bin/sh");
        shell.args(["-euc", line]).env_clear().envs(&self.environment).current_dir(self.folder.path());
        shell.stdin(Stdio::null()).kill_on_drop(true);
        shell
    }

    /// What a document says, as it has to be here.
    fn adapt(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for folder in FOLDERS {
            text = text.replace(folder, &format!("{}{folder}", self.folder.path().display()));
        }
        let mut parts = text.split(LOOPBACK);
        let mut adapted = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let digits = part.len() - part.trim_start_matches(|it: char| it.is_ascii_digit()).len();
            let (port, rest) = part.split_at(digits);
            let port: u16 = port.parse().expect("a port after 127.0.0.1:");
            let free = *self.ports.entry(port).or_insert_with(free_port);
            adapted += &format!("{LOOPBACK}{free}{rest}");
        }
        for (what, with) in &self.replaced {
            adapted = adapted.replace(what, with);
        }
        adapted
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// What stands between each `before` and the next quotation mark. Blanks before an equals sign do not matter.
fn quoted_after<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    let (key, rest) = before.split_once(" = ").expect("KEY = \"");
    text.match_indices(key).filter_map(move |(at, _)| {
        let value = text[at + key.len()..].trim_start_matches(' ').strip_prefix("= ")?;
        value.trim_start_matches(' ').strip_prefix(rest)?.split('"').next()
    })
}

#[test]
fn values_are_found_however_a_table_is_aligned() {
    let text = "listen = \"a\"\nlisten  = \"b\"\nx = { listen = \"c\" }\nlisten = 1\nunlistened = \"d\"\n";
    assert_eq!(quoted_after(text, "listen = \"").collect::<Vec<_>>(), ["a", "b", "c"]);
}
