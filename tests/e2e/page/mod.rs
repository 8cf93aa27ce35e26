//! The page at the admin listener's root: what protects it, what its events say, and who may press its buttons. What a person
//! sees of it is in `browser`.

mod actions;
mod browser;
mod events;
mod login;
mod reading;
mod stream;
mod under_way;

use std::net::SocketAddr;

use aws_lc_rs::digest;
use base64::prelude::{BASE64_STANDARD, Engine};
use bearward::{
    app::Running,
    demo::simulator::{AuthorizationServer, ResourceServer, Resources, Simulator},
};
use bytes::Bytes;
use http::{Request, Response};

use crate::support::{
    Application, PATIENCE, configuration,
    outside::{field, look},
    start,
};

/// An authorization server, an API, and bearward with an admin listener between them.
struct World {
    server: Simulator,
    api: Resources,
    bearward: Running,
}

impl World {
    async fn new() -> Self {
        Self::with("admin = { listen = \"127.0.0.1:0\" }").await
    }

    async fn with(admin: &str) -> Self {
        let server = AuthorizationServer::new().start().await.unwrap();
        let api = ResourceServer::new(&server).start().await.unwrap();
        let bearward = start(&format!("{admin}\n{}", configuration(&server.url(), &api.url())));
        Self { server, api, bearward }
    }

    fn admin(&self) -> SocketAddr {
        self.bearward.address("admin").expect("it has an admin listener")
    }

    /// One request to the admin listener.
    async fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)], content: &str) -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Bytes::copy_from_slice(content.as_bytes())).unwrap();
        // A loopback address, whatever the listener's own is.
        let address = SocketAddr::from(([127, 0, 0, 1], self.admin().port()));
        let answer = tokio::time::timeout(PATIENCE, Application::new(address).send(request)).await;
        answer.expect("an answer in time").expect("an answer")
    }

    /// The form token that the page carries.
    async fn form_token(&self) -> String {
        let page = look(self.admin(), "/").await;
        let html = std::str::from_utf8(page.body()).unwrap().to_owned();
        between(&html, "<meta name=\"form-token\" content=\"", "\"").to_owned()
    }
}

fn between<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from} in {text}"));
    rest.split_once(to).unwrap_or_else(|| panic!("no {to} after {from}")).0
}

fn hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes())))
}

#[tokio::test]
async fn the_page_allows_its_own_style_and_script_and_nothing_else() {
    let world = World::new().await;
    let page = look(world.admin(), "/").await;
    assert_eq!(page.status(), 200);
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(field(&page, name), value, "{name}");
    }
    let html = std::str::from_utf8(page.body()).unwrap();
    let policy = field(&page, "content-security-policy");
    let directives: Vec<(&str, &str)> =
        policy.split("; ").map(|directive| directive.split_once(' ').unwrap()).collect();
    let (script, style) =
        (hash(between(html, "<script>", "</script>")), hash(between(html, "<style>", "</style>")));
    let expected = [
        ("default-src", "'none'"),
        ("script-src", &*script),
        ("style-src", &*style),
        ("img-src", "data:"),
        ("connect-src", "'self'"),
        ("form-action", "'self'"),
        ("frame-ancestors", "'none'"),
        ("base-uri", "'none'"),
        ("require-trusted-types-for", "'script'"),
        ("trusted-types", "'none'"),
    ];
    assert_eq!(directives, expected);
    for inline in [" onclick", " onload", " style=", "javascript:", "<script ", "<iframe", "<form"] {
        assert!(!html.contains(inline), "{inline}");
    }
    let head = world.ask("HEAD", "/", &[], "").await;
    assert_eq!((head.status().as_u16(), head.body().len()), (200, 0));
    world.bearward.stop().await;
}

#[tokio::test]
async fn every_run_has_a_form_token_of_its_own() {
    let (one, other) = (World::new().await, World::new().await);
    let (first, second) = (one.form_token().await, other.form_token().await);
    assert_ne!(first, second);
    assert!(first.len() >= 43, "256 bits: {first}");
    assert_eq!(first, one.form_token().await);
    one.bearward.stop().await;
    other.bearward.stop().await;
}

#[tokio::test]
async fn r023_a_link_on_another_site_may_lead_to_the_page_and_to_nothing_else() {
    let world = World::new().await;
    let link =
        [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    assert_eq!(world.ask("GET", "/", &link, "").await.status(), 200);
    for path in ["/events", "/status", "/metrics", "/livez", "/readyz", "/tokens/api/refresh", "/nothing"] {
        assert_eq!(world.ask("GET", path, &link, "").await.status(), 403, "{path}");
    }
    let with = |name, value| {
        let mut fields: Vec<_> = link.iter().copied().filter(|(known, _)| *known != name).collect();
        fields.push((name, value));
        fields
    };
    for (name, value) in [
        ("sec-fetch-dest", "iframe"),
        ("sec-fetch-dest", "embed"),
        ("sec-fetch-dest", "empty"),
        ("sec-fetch-mode", "no-cors"),
        ("sec-fetch-mode", "cors"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        assert_eq!(world.ask("GET", "/", &with(name, value), "").await.status(), 403, "{name}: {value}");
    }
    assert_eq!(world.ask("POST", "/", &link, "").await.status(), 403);
    assert_eq!(world.ask("GET", "/", &with("host", "rebound.example"), "").await.status(), 421, "r022");
    world.bearward.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_answered_with_what_is() {
    let world = World::new().await;
    let answer = look(world.admin(), "/nothing").await;
    assert_eq!(answer.status(), 404);
    let words = std::str::from_utf8(answer.body()).unwrap();
    for path in [" / ", "/livez", "/readyz", "/metrics", "/status", "/events"] {
        assert!(words.contains(path), "{path} in {words}");
    }
    world.bearward.stop().await;
}
