//! Opening the system's browser (RFC 8252 section 8.12): the person's own one, where they see whom they give their password
//! to, and never a web view of ours.
//!
//! Knows how a desktop is told to open an address, and when there is none. Without a crate: it is one program and one argument.

use std::{
    ffi::OsString,
    io::{self, IsTerminal},
    process::{Command, Stdio},
};

/// Opens `url` where somebody sits in front of a desktop; whether it was tried. It may fail: the address is shown in any case.
pub(super) fn open(url: &str) -> bool {
    let Some(program) = opener(io::stderr().is_terminal(), |name| std::env::var_os(name)) else {
        return false;
    };
    // An address, and no option or file.
    if !(url.starts_with("https://") || url.starts_with("http://")) {
        return false;
    }
    let started = Command::new(program)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut opening) = started else { return false };
    // It may run as long as the browser does; somebody has to take its status.
    let reaper = std::thread::Builder::new().spawn(move || opening.wait());
    reaper.is_ok()
}

/// The program that opens an address on this desktop.
fn opener(terminal: bool, env: impl Fn(&str) -> Option<OsString>) -> Option<&'static str> {
    let set = |name| env(name).is_some_and(|value| !value.is_empty());
    let far_away = set("SSH_CONNECTION") || set("SSH_TTY");
    let desktop = set("WAYLAND_DISPLAY") || set("DISPLAY");
    match (terminal, cfg!(target_os = "macos")) {
        (false, _) => None,
        (true, true) => (!far_away).then_some("open"),
        // A display that was forwarded is a desktop too.
        (true, false) => desktop.then_some("xdg-open"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r136_the_systems_browser_is_opened_where_somebody_sits_in_front_of_it() {
        let desktop = |name: &str| (name == "DISPLAY").then(|| OsString::from(":0"));
        let empty = |name: &str| (name == "DISPLAY").then(OsString::new);
        let expected = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        assert_eq!(opener(true, desktop), Some(expected));
        assert_eq!(opener(false, desktop), None, "a script has no eyes");
        if !cfg!(target_os = "macos") {
            assert_eq!(opener(true, |_| None), None, "no display");
            assert_eq!(opener(true, empty), None, "no display");
        }
    }

    #[test]
    fn only_addresses_are_opened() {
        assert!(!open("--help") && !open("file:///etc/passwd") && !open("/bin/sh"));
    }
}
