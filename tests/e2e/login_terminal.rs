//! `bearward login` in a terminal: who is there is asked again.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use bearward::demo::simulator::{
    Answer, Apicbase, AuthorizationServer, Person,
    person::{Decided, Decision},
};
use http::StatusCode;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;

use crate::support::{kitchen::Place, until};

/// A `bearward login` that has a terminal. Killed when dropped.
struct Terminal {
    keyboard: File,
    screen: Arc<Mutex<String>>,
    child: Child,
    seen: usize,
}

impl Terminal {
    fn login(folder: &Path, name: &str) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let path = ptsname(&keyboard, Vec::new()).unwrap();
        let end = || {
            let end = OpenOptions::new().read(true).write(true).open(path.to_str().unwrap()).unwrap();
            Stdio::from(end)
        };
        // Without a display there is no browser to open.
        let child = Command::new(env!("CARGO_BIN_EXE_bearward"))
            .args(["login", name])
            .current_dir(folder)
            .env_clear()
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let keyboard = File::from(keyboard);
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut shown, kept) = (keyboard.try_clone().unwrap(), screen.clone());
        std::thread::spawn(move || {
            let mut octets = [0; 4096];
            // At the program's end the terminal is gone, which is an error on Linux.
            while let Ok(read @ 1..) = shown.read(&mut octets) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&octets[..read]));
            }
        });
        Self { keyboard, screen, child, seen: 0 }
    }

    /// Waits until this is shown after what was waited for before.
    async fn shows(&mut self, words: &str) {
        let (screen, seen) = (self.screen.clone(), self.seen);
        let is_there = || screen.lock().unwrap()[seen..].contains(words);
        until(&format!("{words:?} is shown"), is_there).await;
        let screen = self.screen.lock().unwrap();
        self.seen += screen[self.seen..].find(words).unwrap() + words.len();
    }

    /// The next address that is shown.
    async fn url(&mut self) -> String {
        self.shows("\nhttp").await;
        let (screen, begin) = (self.screen.clone(), self.seen - "http".len());
        until("the address is whole", || screen.lock().unwrap()[begin..].contains('\r')).await;
        let screen = self.screen.lock().unwrap();
        screen[begin..].split('\r').next().unwrap().to_owned()
    }

    fn types(&mut self, text: &str) {
        self.keyboard.write_all(format!("{text}\n").as_bytes()).unwrap();
    }

    async fn status(&mut self) -> i32 {
        let mut status = None;
        let child = &mut self.child;
        until("it ends", || {
            status = child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap().code().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already; either way nothing is left behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_stale_code_and_a_typing_error_are_told_and_a_new_address_is_offered() {
    let place = Place::new(Apicbase::new(), "").await;
    let mut terminal = Terminal::login(place.folder.path(), "kitchen");
    let first = terminal.url().await;
    terminal.shows("paste the code it shows").await;
    terminal.types("two words");
    terminal.shows("there is no code in it").await;
    terminal.shows("paste the code it shows").await;
    let stale = json!({ "error": "invalid_grant" });
    place.kitchen.simulator.answer_next_token_request(Answer::json(StatusCode::BAD_REQUEST, &stale));
    terminal.types("an-old-code");
    terminal.shows("the code was too old or used").await;
    terminal.shows("Press Enter for a new address").await;
    terminal.types("");
    let second = terminal.url().await;
    assert_ne!(first, second, "state and challenge are of one use");
    terminal.types(&Person::new().copy_code(&second).await.unwrap());
    terminal.shows("Logged in: kitchen").await;
    assert_eq!(terminal.status().await, 0);
    assert_eq!(place.stored().len(), 1);
}

#[tokio::test]
async fn an_address_is_pasted_where_the_browser_runs_on_another_machine() {
    let place = Place::with_redirect().await;
    let mut terminal = Terminal::login(place.folder.path(), "kitchen");
    let url = terminal.url().await;
    terminal.shows("Is it on another machine?").await;
    let Decided::Sent(back) = Person::new().decide(&url, Decision::Allow).await.unwrap() else {
        panic!("nobody was sent anywhere");
    };
    terminal.types("http://127.0.0.1:1/callback?code=x&state=y");
    terminal.shows("belongs to another login").await;
    terminal.types(back.url());
    terminal.shows("Logged in: kitchen").await;
    assert_eq!(terminal.status().await, 0);
}

#[tokio::test]
async fn r137_a_device_login_draws_its_address() {
    let server = AuthorizationServer::new().start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (url, state) = (server.url(), folder.path().join("state"));
    let text = format!(
        "store = {{ path = \"{state}\" }}\n[tokens.tv]\ngrant_type = \"device_code\"\nclient_id = \"tv\"\n\
         token_endpoint_auth_method = \"none\"\ntoken_endpoint = \"{url}/token\"\n\
         device_authorization_endpoint = \"{url}/device\"\n\
         [upstreams.api]\nurl = \"{url}\"\ntoken = \"tv\"\nlisten = \"127.0.0.1:0\"\n",
        state = state.display(),
    );
    std::fs::write(folder.path().join("bearward.toml"), text).unwrap();
    let answer = json!({
        "device_code": "d", "user_code": "WDJB-MJHT", "verification_uri": "https://id.example/device",
        "expires_in": 600, "interval": 1,
    });
    server.answer_next("/device", Answer::json(StatusCode::OK, &answer));
    let granted =
        json!({ "access_token": "t", "token_type": "Bearer", "expires_in": 600, "refresh_token": "r" });
    let granted = Answer::json(StatusCode::OK, &granted).after(Duration::from_millis(1));
    server.answer_next_token_request(granted);
    let mut terminal = Terminal::login(folder.path(), "tv");
    terminal.shows("enter the code WDJB-MJHT").await;
    terminal.shows("https://id.example/device").await;
    terminal.shows("\u{1b}[30;107m").await;
    terminal.shows("█▀▀▀▀▀█").await;
    terminal.shows("Waiting for you there").await;
    terminal.shows("Logged in: tv").await;
    assert_eq!(terminal.status().await, 0);
}
