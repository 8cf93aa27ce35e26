//! A Python with the clients of `tests/clients/requirements.txt`: installed once into a folder of the build.
//!
//! Knows what is missing on this machine. Does not know what is run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use super::node::{digest, found, write};

const REQUIREMENTS: &str = include_str!("../../clients/requirements.txt");

/// The installed Python, or why it is not here. The first caller installs; whoever comes meanwhile waits.
pub fn installed() -> Result<&'static Path, &'static str> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PYTHON.get_or_init(install).as_deref().map_err(String::as_str)
}

fn install() -> Result<PathBuf, String> {
    let python = found(&["python3"]).ok_or("there is no Python (`python3`) on the PATH")?;
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let folder = all.join(digest(&[("requirements.txt", REQUIREMENTS)]));
    fs::create_dir_all(&folder).expect("the folder of the build can be written");
    // Other test processes may come at the same time.
    let lock = fs::File::create(folder.join("lock")).expect("the folder of the build can be written");
    lock.lock().expect("a file can be locked");
    let installed = folder.join("bin/python3");
    if !folder.join("complete").exists() {
        write(&folder, &[("requirements.txt", REQUIREMENTS)]);
        run(Command::new(python).args(["-m", "venv"]).arg(&folder), "a virtual environment")?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"];
        let requirements = folder.join("requirements.txt");
        run(Command::new(&installed).args(pip).arg("--requirement").arg(requirements), "the packages")?;
        write(&folder, &[("complete", "")]);
    }
    Ok(installed)
}

fn run(command: &mut Command, what: &str) -> Result<(), String> {
    let ended = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if ended.status.success() {
        return Ok(());
    }
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    let last = err.lines().chain(out.lines()).rfind(|line| !line.trim().is_empty());
    Err(format!("Python could not make {what}: {}", last.unwrap_or("it does not say why")))
}
