//! Parts of tests that come from the npm registry (`tests/node`) and run in Node: installed once, from the lockfile, into a
//! folder of the build; started as a process that speaks JSON lines.
//!
//! Knows what is missing on this machine, and that a test without it passes and says so. Does not know what a part does
//! (`provider`, `browser`).

use std::{
    collections::HashMap,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::PATIENCE;

/// Set by `.ci/run`: a test that leaves something out fails then.
const NOTHING_OUT: &str = "BEARWARD_TESTS_LEAVE_NOTHING_OUT";

const PACKAGE: &str = include_str!("../../node/package.json");
const LOCKFILE: &str = include_str!("../../node/package-lock.json");
const SCRIPTS: &[(&str, &str)] = &[
    ("lines.mjs", include_str!("../../node/lines.mjs")),
    ("browser.mjs", include_str!("../../node/browser.mjs")),
    ("provider.mjs", include_str!("../../node/provider.mjs")),
    ("origin.mjs", include_str!("../../node/origin.mjs")),
    ("client.mjs", include_str!("../../clients/client.mjs")),
];

/// Says that this test leaves `what` out, seen although the output of tests is captured.
///
/// # Panics
/// Nothing may be left out ([`NOTHING_OUT`]).
pub fn leave_out(what: &str, why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(std::env::var_os(NOTHING_OUT).is_none_or(|set| set != "1"), "{what} is left out: {why}");
    // Only the printing macros are captured.
    let said = std::io::stderr().write_all(format!("left out: {test}: {what}: {why}\n").as_bytes());
    said.expect("stderr can be written");
}

/// The installed parts, or why they are not here. The first caller installs; whoever comes meanwhile waits.
pub fn installed() -> Result<&'static Parts, &'static str> {
    static PARTS: OnceLock<Result<Parts, String>> = OnceLock::new();
    PARTS.get_or_init(Parts::install).as_ref().map_err(String::as_str)
}

/// A Node and the folder that holds what the lockfile names and our scripts.
#[derive(Debug)]
pub struct Parts {
    node: PathBuf,
    scripts: PathBuf,
}

impl Parts {
    fn install() -> Result<Self, String> {
        let node = found(&["node"]).ok_or("there is no Node (`node`) on the PATH")?;
        let npm = found(&["npm"]).ok_or("there is no `npm` on the PATH")?;
        let version = Command::new(&node).arg("--version").output().map_err(|error| error.to_string())?;
        let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
        let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
        if major.is_none_or(|major: u32| major < 20) {
            return Err(format!("Node 20 is needed, and this is {version:?}"));
        }
        let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("node");
        let folder = all.join(digest(&[("package.json", PACKAGE), ("package-lock.json", LOCKFILE)]));
        let scripts = folder.join(digest(SCRIPTS));
        fs::create_dir_all(&scripts).expect("the folder of the build can be written");
        // Other test processes may come at the same time.
        let lock = fs::File::create(folder.join("lock")).expect("the folder of the build can be written");
        lock.lock().expect("a file can be locked");
        if !folder.join("complete").exists() {
            write(&folder, &[("package.json", PACKAGE), ("package-lock.json", LOCKFILE)]);
            install_into(&folder, &npm)?;
            write(&folder, &[("complete", "")]);
        }
        write(&scripts, SCRIPTS);
        Ok(Self { node, scripts })
    }

    /// The command that runs one of our scripts to its end.
    pub fn command(&self, script: &str) -> Command {
        let mut command = Command::new(&self.node);
        command.arg(self.scripts.join(script));
        command
    }

    /// Starts one of our scripts, which gets `options` as its only argument.
    pub fn start(&self, script: &str, options: &Value) -> Script {
        let mut child = self
            .command(script)
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("Node starts");
        let stdin = child.stdin.take().expect("stdin is piped");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let pending = Arc::new(Mutex::new(Pending::default()));
        let (tell, told) = mpsc::unbounded_channel();
        let answered = pending.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let said: Value =
                    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"));
                match said["id"].as_u64() {
                    Some(id) => {
                        drop(answered.lock().unwrap().answers.remove(&id).map(|asker| asker.send(said)))
                    }
                    None => drop(tell.send(said)),
                }
            }
            // Whoever still waits is told by the end of its channel.
            answered.lock().unwrap().answers.clear();
        });
        Script { child, stdin: Some(Mutex::new(stdin)), pending, told: tokio::sync::Mutex::new(told) }
    }
}

#[derive(Default)]
struct Pending {
    last: u64,
    answers: HashMap<u64, oneshot::Sender<Value>>,
}

/// A running script. It ends with the end of its stdin: when dropped, or with this process however that ends.
pub struct Script {
    child: Child,
    stdin: Option<Mutex<ChildStdin>>,
    pending: Arc<Mutex<Pending>>,
    told: tokio::sync::Mutex<mpsc::UnboundedReceiver<Value>>,
}

impl Script {
    /// Asks for one thing and returns the answer.
    ///
    /// # Errors
    /// The script says that it cannot.
    pub async fn try_ask(&self, what: &str, with: Value) -> Result<Value, String> {
        let (asker, answer) = oneshot::channel();
        let id = {
            let mut pending = self.pending.lock().unwrap();
            pending.last += 1;
            let id = pending.last;
            pending.answers.insert(id, asker);
            id
        };
        let line = format!("{}\n", json!({ "id": id, "do": what, "with": with }));
        let stdin = self.stdin.as_ref().expect("it is taken only at the end");
        stdin.lock().unwrap().write_all(line.as_bytes()).expect("the script reads");
        // The script is bounded by the same patience and says what it waited for: it shall be the first to give up.
        let mut answer = tokio::time::timeout(PATIENCE + Duration::from_secs(30), answer)
            .await
            .unwrap_or_else(|_| panic!("no answer to {what}"))
            .unwrap_or_else(|_| panic!("the script ended while it was asked for {what}"));
        match answer["error"].take() {
            Value::String(error) => Err(error),
            _ => Ok(answer["answer"].take()),
        }
    }

    /// The same where nothing else will do.
    pub async fn ask(&self, what: &str, with: Value) -> Value {
        self.try_ask(what, with).await.unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// The next thing that the script says unasked.
    pub async fn told(&self) -> Value {
        let mut told = self.told.lock().await;
        let told = tokio::time::timeout(PATIENCE, told.recv()).await;
        told.expect("the script says something in time").expect("the script runs")
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // It did not end by itself; nothing is left behind all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first of these programs that is on the PATH.
pub fn found(names: &[&str]) -> Option<PathBuf> {
    let folders: Vec<_> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|file| file.is_file())
}

fn install_into(folder: &Path, npm: &Path) -> Result<(), String> {
    let ended = Command::new(npm)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"])
        // A machine without the registry shall find out soon.
        .args(["--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"])
        .args(["--loglevel=error", "--no-progress"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("npm does not start: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let last = said.lines().find(|line| line.contains("error")).unwrap_or("it does not say why");
    Err(format!("npm could not install them: {last}"))
}

pub(super) fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        let file = folder.join(name);
        // A process that runs a script reads it whole or not at all.
        if fs::read_to_string(&file).is_ok_and(|there| there == *content) {
            continue;
        }
        fs::write(&file, content).expect("the folder of the build can be written");
    }
}

pub(super) fn digest(files: &[(&str, &str)]) -> String {
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
