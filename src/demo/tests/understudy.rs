//! The least that can stand in for bearward on the tour: it reads the same configuration and does nothing well.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{
    clock::{Clock, Moment},
    demo::{
        Bearward,
        application::Application,
        simulator::{
            Answer,
            answer::Reply,
            server::{ANY_PORT, Server},
        },
    },
};

pub(super) struct Understudy {
    servers: BTreeMap<&'static str, Server>,
    desk: Arc<Desk>,
}

impl Bearward for Understudy {
    fn address(&self, name: &str) -> Option<std::net::SocketAddr> {
        self.servers.get(name).map(Server::address)
    }

    async fn log_in(
        &self,
        token: &str,
        browser: impl AsyncFnOnce(String) -> Result<(), String>,
    ) -> Result<(), String> {
        let (brought, mut target) = tokio::sync::mpsc::unbounded_channel();
        let callback = Server::start(ANY_PORT, move |request: Request<Incoming>| {
            brought.send(request.uri().clone()).unwrap();
            Answer::html().into_reply()
        });
        let callback = callback.await.unwrap();
        let redirect_uri = callback.url() + "/callback";
        let text = |key| self.desk.text("tokens", token, key);
        let endpoint = text("authorization_endpoint");
        let query = format!("response_type=code&scope=library&client_id={}", text("client_id"));
        browser(format!("{endpoint}?{query}&redirect_uri={redirect_uri}")).await?;
        let target = target.recv().await.unwrap();
        let code = target.query().and_then(|query| query.strip_prefix("code=")).unwrap().to_owned();
        *self.desk.login.lock().await =
            format!("grant_type=authorization_code&code={code}&redirect_uri={redirect_uri}");
        self.desk.token(&mut *self.desk.held.lock().await, token, "").await;
        Ok(())
    }

    async fn stop(self) {}
}

struct Desk {
    configuration: toml::Table,
    held: Mutex<BTreeMap<String, Held>>,
    replays: Mutex<u64>,
    /// The token request that redeems a person's code.
    login: Mutex<String>,
}

#[derive(Clone)]
struct Held {
    token: String,
    refresh_token: Option<String>,
    obtained: Moment,
    tried: Moment,
    generation: u64,
}

impl Understudy {
    pub(super) async fn start(text: &str) -> Result<Self, std::io::Error> {
        let desk = Arc::new(Desk {
            configuration: text.parse().unwrap(),
            held: Mutex::default(),
            replays: Mutex::default(),
            login: Mutex::default(),
        });
        let mut servers = BTreeMap::new();
        for name in ["inventorum", "shopware", "cybrid", "apicbase", "gateway", "admin"] {
            let desk = Arc::clone(&desk);
            let server =
                Server::start(ANY_PORT, move |request| serve(Arc::clone(&desk), name, request)).await?;
            servers.insert(name, server);
        }
        Ok(Self { servers, desk })
    }
}

async fn serve(desk: Arc<Desk>, listener: &'static str, request: Request<Incoming>) -> Reply {
    if listener == "admin" {
        return Answer::json(http::StatusCode::OK, &desk.status().await).into_reply().await;
    }
    let path = request.uri().path().to_owned();
    let (upstream, path) = match path.strip_prefix("/cymbio") {
        Some(rest) => ("cymbio", rest.to_owned()),
        None => (listener, path),
    };
    let subject = request.headers().get("x-bearward-subject").map(|value| value.to_str().unwrap().to_owned());
    let (token, subject) = match (upstream, subject) {
        ("cybrid", Some(subject)) => ("customer", subject),
        (upstream, _) => (upstream, String::new()),
    };
    let first = desk.forward(upstream, &path, token, &subject).await;
    let response = if first.status() == 401 {
        desk.held.lock().await.get_mut(&format!("{token}{subject}")).unwrap().token.clear();
        *desk.replays.lock().await += 1;
        desk.forward(upstream, &path, token, &subject).await
    } else {
        first
    };
    Reply::Response(
        response.map(|body| http_body_util::Full::new(body).map_err(|never| match never {}).boxed_unsync()),
    )
}

impl Desk {
    async fn forward(&self, upstream: &str, path: &str, token: &str, subject: &str) -> Response<Bytes> {
        let mut held = self.held.lock().await;
        let bearer = self.token(&mut held, token, subject).await;
        drop(held);
        let mut request = Request::get(path).body(Bytes::new()).unwrap();
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let value = HeaderValue::try_from(format!("Bearer {bearer}")).unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, value);
        Application::new(self.address("upstreams", upstream, "url")).send(request).await.unwrap()
    }

    async fn token(&self, held: &mut BTreeMap<String, Held>, name: &str, subject: &str) -> String {
        let key = format!("{name}{subject}");
        let (now, old) = (Clock::system().now(), held.get(&key).cloned());
        if let Some(old) = &old {
            let resting = now.since(old.tried) < Duration::from_millis(600);
            let young = now.since(old.obtained) < Duration::from_millis(3500);
            if !old.token.is_empty() && (young || resting) {
                return old.token.clone();
            }
        }
        let parent = match name {
            "customer" => Some(Box::pin(self.token(held, "bank", "")).await),
            _ => None,
        };
        let answer = self.ask(name, subject, parent, old.as_ref()).await;
        let Ok(members) = serde_json::from_slice::<Value>(answer.body()) else { panic!("no JSON") };
        let Some(token) = members["access_token"].as_str() else {
            let old = held.get_mut(&key).unwrap();
            old.tried = now;
            return old.token.clone();
        };
        let new = Held {
            token: token.to_owned(),
            refresh_token: members["refresh_token"].as_str().map(str::to_owned),
            obtained: now,
            tried: now,
            generation: old.map_or(0, |old| old.generation) + 1,
        };
        held.insert(key, new);
        token.to_owned()
    }

    async fn ask(
        &self,
        name: &str,
        subject: &str,
        parent: Option<String>,
        old: Option<&Held>,
    ) -> Response<Bytes> {
        let text = |key| self.text("tokens", name, key);
        let (id, secret) = (text("client_id"), text("client_secret"));
        let form = format!("client_id={id}&client_secret={secret}");
        let (path, authorization, body) = match name {
            "inventorum" => {
                let rotated = old.and_then(|old| old.refresh_token.clone());
                let body = format!(
                    "grant_type=refresh_token&refresh_token={}",
                    rotated.unwrap_or_else(|| text("refresh_token"))
                );
                (
                    "/api/auth/token/",
                    format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}"))),
                    body,
                )
            }
            "shopware" => {
                let body =
                    json!({ "grant_type": "client_credentials", "client_id": id, "client_secret": secret });
                ("/api/oauth/token", String::new(), body.to_string())
            }
            "customer" => {
                let body = json!({ "customer_guid": subject, "scopes": ["trades:read"] });
                ("/api/customer_tokens", format!("Bearer {}", parent.unwrap()), body.to_string())
            }
            "bank" => {
                let scope = "customers:read+customers:write";
                ("/oauth/token", String::new(), format!("grant_type=client_credentials&scope={scope}&{form}"))
            }
            "apicbase" => {
                let kept = old.and_then(|old| old.refresh_token.clone());
                let refresh = kept.map(|kept| format!("grant_type=refresh_token&refresh_token={kept}"));
                let grant = refresh.unwrap_or(self.login.lock().await.clone());
                ("/oauth/token/", String::new(), format!("{grant}&{form}"))
            }
            _ => {
                let login = format!("username={}&password={}", text("username"), text("password"));
                let body = format!("grant_type=client_credentials&scope=read:orders&{form}&{login}");
                ("/oauth/token", String::new(), body)
            }
        };
        let kind =
            if body.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
        let mut request = Request::post(path).header("content-type", kind);
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        let request = request.body(Bytes::from(body)).unwrap();
        Application::new(self.address("tokens", name, "base_url")).send(request).await.unwrap()
    }

    async fn status(&self) -> Value {
        let held = self.held.lock().await;
        let mut tokens = serde_json::Map::new();
        if !held.contains_key("apicbase") {
            tokens.insert("apicbase".to_owned(), json!({ "state": "login_required" }));
        }
        tokens
            .extend(held.iter().map(|(name, held)| (name.clone(), json!({ "generation": held.generation }))));
        let replays = *self.replays.lock().await;
        json!({ "tokens": tokens, "upstreams": { "inventorum": { "replays": replays } } })
    }

    fn text(&self, table: &str, name: &str, key: &str) -> String {
        self.configuration[table][name].get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned()
    }

    fn address(&self, table: &str, name: &str, key: &str) -> std::net::SocketAddr {
        self.text(table, name, key).strip_prefix("http://").unwrap().parse().unwrap()
    }
}
