//! A real OpenID provider (npm's `oidc-provider`, in Node) on a loopback port, and the person who logs in there.
//!
//! Its clients are `basic`, `post`, `none` (loopback redirects to `/callback` at any port) and `paste` (no redirect URI needed, a
//! page shows the code). PKCE is required, refresh tokens are rotated, and one that comes a second time ends its whole
//! grant. Behind it is an API, `/api/…`, that takes its tokens.
//!
//! Knows `tests/node/provider.mjs` and the pages of it. Does not know bearward.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Uri, header};
use serde_json::json;

use super::{
    Application,
    node::{self, Script},
};

/// A running provider. It ends when dropped.
pub struct Provider {
    script: Script,
    issuer: String,
}

impl Provider {
    /// One whose access tokens live that many seconds; `None`, said on stderr, where Node or its parts are missing.
    pub async fn start(access_token_lifetime: u64) -> Option<Self> {
        Self::start_with(access_token_lifetime, 60).await
    }

    /// The same with this lifetime of a code, in seconds.
    pub async fn start_with(access_token_lifetime: u64, code_lifetime: u64) -> Option<Self> {
        let parts = match tokio::task::spawn_blocking(node::installed).await.expect("it does not panic") {
            Ok(parts) => parts,
            Err(why) => {
                node::leave_out("what a real OpenID provider does", why);
                return None;
            }
        };
        let options = json!({
            "access_token_lifetime": access_token_lifetime,
            "code_lifetime": code_lifetime,
            "device_code_lifetime": 600,
        });
        let script = parts.start("provider.mjs", &options);
        let issuer = script.told().await["issuer"].as_str().expect("it says its issuer").to_owned();
        Some(Self { script, issuer })
    }

    /// Its issuer, which is its address.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The secret of a client, made of what an encoding gets wrong.
    pub fn secret(client: &str) -> String {
        format!("{client} secret: 100% +/=&")
    }

    /// How often what happened: `granted refresh_token`, `rotated`, `refused refresh token already used`, `grant revoked`,
    /// `asked for metadata`, `api served`, `api refused a token`, and so on.
    pub async fn counts(&self) -> BTreeMap<String, u64> {
        serde_json::from_value(self.script.ask("counts", json!({})).await).expect("a table of numbers")
    }

    /// How often this happened.
    pub async fn count(&self, what: &str) -> u64 {
        self.counts().await.get(what).copied().unwrap_or(0)
    }

    /// The lifetime of access tokens from now on, in seconds.
    pub async fn access_tokens_live(&self, seconds: u64) {
        self.script.ask("lifetimes", json!({ "access_token": seconds })).await;
    }

    /// Looks at no further token request until they are released. What it has looked at is answered when this returns.
    pub async fn hold_token_requests(&self) {
        self.script.ask("hold", json!({})).await;
    }

    /// How many held token requests there are whose sender still waits.
    pub async fn token_requests_waiting(&self) -> u64 {
        self.script.ask("waiting", json!({})).await.as_u64().expect("a number")
    }

    /// Answers the held ones and all that come.
    pub async fn release_token_requests(&self) {
        self.script.ask("release", json!({})).await;
    }

    /// One request to it.
    pub async fn send(&self, request: Request<Bytes>) -> Response<Bytes> {
        send(&self.issuer, request).await
    }
}

/// A person with a browser that keeps cookies and runs no scripts.
pub struct Person {
    name: &'static str,
    cookies: BTreeMap<String, String>,
}

/// What a person does when asked whether the application may act for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Allows it.
    Allow,
    /// Denies it.
    Deny,
}

/// Where the provider's pages end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The browser is sent to this address, which is not the provider's.
    SentTo(String),
    /// A last page.
    Page(String),
}

impl End {
    /// The address that the browser is sent to.
    pub fn address(&self) -> &str {
        let Self::SentTo(address) = self else { panic!("the browser stays: {self:?}") };
        address
    }

    /// The code on the last page.
    pub fn code(&self) -> &str {
        let Self::Page(page) = self else { panic!("no page: {self:?}") };
        between(page, "<code>", "</code>").unwrap_or_else(|| panic!("no code: {page}"))
    }
}

impl Person {
    /// Somebody of this name.
    pub fn new(name: &'static str) -> Self {
        Self { name, cookies: BTreeMap::new() }
    }

    /// Opens an address of another server, such as the one that the provider has sent the browser to.
    pub async fn opens(&mut self, url: &str) -> Response<Bytes> {
        let (origin, target) = split(url);
        send(&origin, Request::get(target).body(Bytes::new()).expect("a valid request")).await
    }

    /// Opens `url` and goes through the provider's pages, as `decision` says.
    pub async fn visits(&mut self, url: &str, decision: Decision) -> End {
        let (origin, target) = split(url);
        let mut request = self.request(Method::GET, &target, "");
        for _ in 0..20 {
            let answer = send(&origin, request).await;
            self.remember(&answer);
            if answer.status().is_redirection() {
                let to = answer.headers()[header::LOCATION].to_str().expect("an address");
                let (next, target) =
                    if to.starts_with('/') { (origin.clone(), to.to_owned()) } else { split(to) };
                if next != origin {
                    return End::SentTo(to.to_owned());
                }
                request = self.request(Method::GET, &target, "");
                continue;
            }
            let page = String::from_utf8_lossy(answer.body()).into_owned();
            assert_eq!(answer.status(), 200, "{page}");
            let Some(action) = between(&page, "action=\"", "\"") else { return End::Page(page) };
            // Where only the device's user could go on, the person has come to the end.
            let Some(form) = self.filled(&page, decision) else { return End::Page(page) };
            let action = action.strip_prefix(&*origin).unwrap_or(action).to_owned();
            request = self.request(Method::POST, &action, &form);
        }
        panic!("the pages go round in a circle");
    }

    /// What goes into the form of `page`: all that it has filled in already, the name, and the pressed button. `None` where the
    /// person does not know what to write.
    fn filled(&self, page: &str, decision: Decision) -> Option<String> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        for input in page.split("<input").skip(1).map(|rest| rest.split('>').next().unwrap_or_default()) {
            let name = between(input, "name=\"", "\"").expect("a field has a name");
            let value = if name == "login" { Some(self.name) } else { between(input, "value=\"", "\"") };
            form.append_pair(name, value?);
        }
        let deny = decision == Decision::Deny;
        if page.contains("value=\"login\"") {
            form.append_pair("do", "login");
        } else if page.contains("value=\"allow\"") {
            form.append_pair("do", if deny { "deny" } else { "allow" });
        } else if deny && page.contains("name=\"abort\"") {
            form.append_pair("abort", "yes");
        }
        Some(form.finish())
    }

    fn request(&self, method: Method, target: &str, form: &str) -> Request<Bytes> {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Request::builder()
            .method(method)
            .uri(target)
            .header(header::COOKIE, cookies.join("; "))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::copy_from_slice(form.as_bytes()))
            .expect("a valid request")
    }

    fn remember(&mut self, answer: &Response<Bytes>) {
        for cookie in answer.headers().get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().expect("a cookie is text");
            let (name, value) =
                cookie.split(';').next().unwrap_or_default().split_once('=').expect("a cookie");
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

/// One request to an address, on a connection of its own.
async fn send(origin: &str, mut request: Request<Bytes>) -> Response<Bytes> {
    let authority = origin.strip_prefix("http://").expect("an origin of http");
    request.headers_mut().insert(header::HOST, HeaderValue::try_from(authority).expect("a host"));
    let address =
        authority.replace("localhost", "127.0.0.1").parse().expect("a loopback address with its port");
    let answer = tokio::time::timeout(super::PATIENCE, Application::new(address).send(request)).await;
    answer.expect("an answer in time").unwrap_or_else(|error| panic!("{origin}: {error}"))
}

fn split(url: &str) -> (String, String) {
    let uri: Uri = url.parse().unwrap_or_else(|error| panic!("{error}: {url}"));
    let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    (format!("http://{}", uri.authority().expect("an address names its host")), target)
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    text.split_once(begin)?.1.split_once(end).map(|(inner, _)| inner)
}
