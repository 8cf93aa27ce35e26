//! A real Chromium, headless, that a test drives like a person: pages, clicks by what a control is called, text that comes.
//!
//! ```text
//! let Some(browser) = Browser::start().await else { return };       // not here: the test says so and passes
//! let page = browser.open(Look::default()).await;                   // a window of its own, no cookies shared
//! assert_eq!(page.goto(&format!("http://{admin}/")).await, Ok(200));
//! page.click(role("button", "Refresh now")).await;                  // waits until it can be clicked
//! page.sees("valid").await;                                         // waits for visible text, with PATIENCE as its bound
//! page.until("document.querySelectorAll('article').length === 2").await;
//! let tab = page.tab().await;                                       // what a link or window.open() has opened
//! assert_eq!(page.complaints().await, Vec::<String>::new());        // console errors, uncaught errors, CSP violations
//! assert!(page.axe().await.iter().all(|violation| !violation.is_serious()));
//! ```
//!
//! Knows Chromium on the PATH and `tests/node/browser.mjs`, which does it by playwright-core. Does not know what is looked at.
//! Every call panics with what it waited for where that never comes. The browser ends when it is dropped.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    PATIENCE,
    node::{self, Script},
};

/// Under which names Chromium goes.
const CHROMIUM: &[&str] = &["chromium", "chromium-browser", "google-chrome"];

/// A running browser. Its pages borrow it.
pub struct Browser {
    script: Script,
}

/// How a page is looked at.
#[derive(Clone, Debug)]
pub struct Look {
    /// `prefers-color-scheme: dark`.
    pub dark: bool,
    /// The viewport, in CSS pixels.
    pub width: u32,
    /// The same.
    pub height: u32,
    /// Whether scripts run.
    pub scripts: bool,
    /// What the page may do without asking, as Playwright names it (`clipboard-read`, `clipboard-write`).
    pub permissions: Vec<&'static str>,
}

impl Default for Look {
    fn default() -> Self {
        Self { dark: false, width: 1280, height: 900, scripts: true, permissions: Vec::new() }
    }
}

/// Where on a page something is done.
#[derive(Clone, Debug)]
pub struct Place(Value);

/// What has this ARIA role and this accessible name, exactly.
pub fn role(role: &str, name: &str) -> Place {
    Place(json!({ "role": role, "name": name }))
}

/// The field with this label, exactly.
pub fn label(label: &str) -> Place {
    Place(json!({ "label": label }))
}

/// What a CSS selector finds.
pub fn css(selector: &str) -> Place {
    Place(json!({ "selector": selector }))
}

/// A rule of accessibility that a page breaks.
#[derive(Clone, Debug, Deserialize)]
pub struct Violation {
    /// The rule's name.
    pub id: String,
    /// `minor`, `moderate`, `serious` or `critical`.
    pub impact: Option<String>,
    /// The rule in words.
    pub help: String,
    /// Where it is broken, and how to mend it.
    pub nodes: Vec<String>,
}

impl Violation {
    /// Whether it keeps somebody from using the page.
    pub fn is_serious(&self) -> bool {
        !matches!(self.impact.as_deref(), Some("minor" | "moderate"))
    }
}

impl Browser {
    /// A browser; `None`, said on stderr, where Node, its parts or Chromium are missing.
    pub async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// The same with further flags, such as `--host-resolver-rules=MAP evil.example 127.0.0.1`.
    pub async fn start_with(flags: &[&str]) -> Option<Self> {
        let parts = tokio::task::spawn_blocking(node::installed).await.expect("it does not panic");
        let chromium = node::found(CHROMIUM).ok_or("there is no Chromium (`chromium`) on the PATH");
        let (parts, chromium) = match (parts, chromium) {
            (Ok(parts), Ok(chromium)) => (parts, chromium),
            (Err(why), _) | (_, Err(why)) => {
                node::leave_out("what a real browser does", why);
                return None;
            }
        };
        let patience = u64::try_from(PATIENCE.as_millis()).expect("a minute");
        let options = json!({ "chromium": chromium, "flags": flags, "patience": patience });
        let script = parts.start("browser.mjs", &options);
        assert!(script.told().await["version"].is_string(), "Chromium starts");
        Some(Self { script })
    }

    /// A new window that shares no cookies with others.
    pub async fn open(&self, look: Look) -> Page<'_> {
        let Look { dark, width, height, scripts, permissions } = look;
        let with = json!({ "dark": dark, "width": width, "height": height, "scripts": scripts, "permissions": permissions });
        Page::numbered(&self.script, &self.script.ask("open", with).await)
    }
}

/// One tab.
pub struct Page<'a> {
    script: &'a Script,
    number: u64,
}

impl<'a> Page<'a> {
    fn numbered(script: &'a Script, number: &Value) -> Self {
        Self { script, number: number.as_u64().expect("a page has a number") }
    }

    /// Goes there, waits until it is loaded, and returns the status.
    ///
    /// # Errors
    /// Nothing was loaded (`net::ERR_CONNECTION_REFUSED`).
    pub async fn goto(&self, url: &str) -> Result<u16, String> {
        let status = self.script.try_ask("goto", self.with(json!({ "url": url }))).await?;
        status.as_u64().and_then(|status| status.try_into().ok()).ok_or_else(|| "no status".to_owned())
    }

    /// Loads the page anew.
    pub async fn reload(&self) {
        self.ask("reload", json!({})).await;
    }

    /// Clicks, once it can be clicked.
    pub async fn click(&self, place: Place) {
        self.ask("click", json!({ "place": place.0 })).await;
    }

    /// Writes into a field.
    pub async fn fill(&self, place: Place, value: &str) {
        self.ask("fill", json!({ "place": place.0, "value": value })).await;
    }

    /// Presses keys, as Playwright names them: `Tab`, `Enter`, `Shift+Tab`.
    pub async fn press(&self, keys: &str) {
        self.ask("press", json!({ "keys": keys })).await;
    }

    /// All visible text.
    pub async fn text(&self) -> String {
        self.text_of(css("body")).await
    }

    /// The visible text of one place.
    pub async fn text_of(&self, place: Place) -> String {
        let text = self.ask("text", json!({ "place": place.0 })).await;
        text.as_str().expect("text").to_owned()
    }

    /// An attribute of one place.
    pub async fn attribute(&self, place: Place, name: &str) -> Option<String> {
        let value = self.ask("attribute", json!({ "place": place.0, "name": name })).await;
        value.as_str().map(str::to_owned)
    }

    /// How often there is such a thing, now.
    pub async fn count(&self, place: Place) -> u64 {
        self.ask("count", json!({ "place": place.0 })).await.as_u64().expect("a number")
    }

    /// What an expression is in the page; a promise is awaited. It must be JSON.
    pub async fn evaluate(&self, script: &str) -> Value {
        self.ask("evaluate", json!({ "script": script })).await
    }

    /// Waits until an expression is truthy in the page.
    pub async fn until(&self, script: &str) {
        self.ask("until", json!({ "script": script })).await;
    }

    /// Waits until this text is to be seen.
    pub async fn sees(&self, text: &str) {
        self.until(&format!("document.body.innerText.includes({})", Value::from(text))).await;
    }

    /// Waits until this text is not to be seen any more.
    pub async fn sees_no(&self, text: &str) {
        self.until(&format!("!document.body.innerText.includes({})", Value::from(text))).await;
    }

    /// The next tab that this page opened; waits for it and for its content.
    pub async fn tab(&self) -> Page<'a> {
        Self::numbered(self.script, &self.ask("tab", json!({})).await)
    }

    /// Where it is.
    pub async fn address(&self) -> String {
        self.ask("address", json!({})).await.as_str().expect("an address").to_owned()
    }

    /// A PNG of what is to be seen, or of the whole page.
    pub async fn screenshot(&self, file: &Path, whole: bool) {
        self.ask("screenshot", json!({ "file": file, "whole": whole })).await;
    }

    /// What axe-core finds wrong with the page as it is now.
    pub async fn axe(&self) -> Vec<Violation> {
        serde_json::from_value(self.ask("axe", json!({})).await).expect("axe's answer")
    }

    /// All that the page has complained of so far: console errors, uncaught errors, violations of its policy.
    pub async fn complaints(&self) -> Vec<String> {
        serde_json::from_value(self.ask("complaints", json!({})).await).expect("a list of lines")
    }

    /// Takes the network away, or gives it back.
    pub async fn offline(&self, offline: bool) {
        self.ask("offline", json!({ "offline": offline })).await;
    }

    /// Closes the tab.
    pub async fn close(self) {
        self.ask("close", json!({})).await;
    }

    async fn ask(&self, what: &str, with: Value) -> Value {
        self.script.ask(what, self.with(with)).await
    }

    fn with(&self, mut with: Value) -> Value {
        with["page"] = self.number.into();
        with
    }
}
