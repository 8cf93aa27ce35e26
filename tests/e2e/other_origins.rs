//! What a page of another origin can do from a real browser: nothing. It reads nothing of any listener, no request of it
//! reaches an upstream, and nothing happens because of it.
//!
//! All goes through a relay, so that each test knows that the browser has really sent what is said to be refused.

use std::collections::BTreeMap;

use bearward::{
    app::Running,
    demo::simulator::{Answer, AuthorizationServer, ResourceServer, Simulator, resource_server::Resources},
};
use bytes::Bytes;
use http::{
    HeaderValue, Request, Response,
    header::{CONNECTION, CONTENT_TYPE},
};

use crate::support::{
    application, ask,
    browser::{Browser, Look, Page},
    relay::Relay,
    site::{Site, html},
    start, until,
};

const HOSTILE: &str = include_str!("../node/hostile.html");

/// What the page sends, by the method and the name under which it arrives. A browser may keep the others to itself: what needs
/// a preflight, and what its own policies hold back.
const SENT: &[(&str, &str)] = &[
    ("GET", "fetch-cors"),
    ("GET", "fetch-cors-credentials"),
    ("POST", "fetch-cors-simple-post"),
    ("OPTIONS", "fetch-cors-json"),
    ("OPTIONS", "fetch-cors-delete"),
    ("OPTIONS", "fetch-cors-authorization"),
    ("GET", "fetch-no-cors"),
    ("GET", "fetch-no-cors-silent"),
    ("POST", "fetch-no-cors-post-text"),
    ("POST", "fetch-no-cors-post-form"),
    ("POST", "fetch-no-cors-post-file"),
    ("POST", "fetch-keepalive"),
    ("GET", "fetch-bounced"),
    ("POST", "fetch-bounced-post"),
    ("GET", "xhr-get"),
    ("POST", "xhr-post"),
    ("OPTIONS", "xhr-json"),
    ("GET", "img"),
    ("GET", "img-silent"),
    ("GET", "img-cors"),
    ("GET", "img-bounced"),
    ("GET", "script"),
    ("GET", "script-module"),
    ("GET", "import"),
    ("GET", "style"),
    ("GET", "icon"),
    ("GET", "background"),
    ("GET", "font"),
    ("GET", "video"),
    ("GET", "object"),
    ("GET", "embed"),
    ("GET", "iframe"),
    ("GET", "iframe-sandboxed"),
    ("GET", "fetch-null-origin"),
    ("GET", "fetch-data-origin"),
    ("GET", "worker"),
    ("GET", "worker-import"),
    ("GET", "form-get"),
    ("POST", "form-post"),
    ("POST", "form-post-text"),
    ("POST", "form-post-file"),
    ("GET", "events"),
    ("GET", "websocket"),
    ("POST", "beacon"),
    ("POST", "beacon-form"),
    ("POST", "ping"),
];

/// The names that lead here: an attacker's, and one that is about to be rebound.
const NAMES: &str = "--host-resolver-rules=MAP evil.example 127.0.0.1, MAP rebound.example 127.0.0.1";

/// bearward with all its listeners, each behind a relay, and the hostile site.
struct Stage {
    authorization_server: Simulator,
    api: Resources,
    bearward: Running,
    hostile: Site,
    own: Relay,
    gateway: Relay,
    admin: Relay,
}

impl Stage {
    async fn build() -> Self {
        let authorization_server = AuthorizationServer::new().start().await.unwrap();
        let page = Answer::status(http::StatusCode::OK).field(CONTENT_TYPE, "text/html").content(HOSTILE);
        let api = ResourceServer::new(&authorization_server).always("/page", page).start().await.unwrap();
        let bearward = start(&format!(
            r#"
            store = {{ kind = "memory" }}
            admin = {{ listen = "127.0.0.1:0" }}
            gateway = {{ listen = "127.0.0.1:0" }}

            [tokens.api]
            grant_type = "client_credentials"
            token_endpoint = "{}/token"
            client_id = "app"
            client_secret = "secret"

            [upstreams.api]
            url = "{}"
            token = "api"
            listen = "127.0.0.1:0"
            path = "/api"
            "#,
            authorization_server.url(),
            api.url()
        ));
        let listener = |name: &str| bearward.address(name).expect("it listens");
        let own = Relay::start(listener("api")).await;
        let gateway = Relay::start(listener("gateway")).await;
        let admin = Relay::start(listener("admin")).await;
        let stage = Self {
            authorization_server,
            api,
            bearward,
            hostile: Site::start(hostile).await,
            own,
            gateway,
            admin,
        };
        let mut application = application(&stage.bearward, "api");
        assert_eq!(ask(&mut application, "/orders").await.status(), 200, "it works for who it is there for");
        stage
    }

    /// What a page could do harm to: where it sends, and how that ends, before the name of the way.
    fn targets(&self) -> [(&Relay, &'static str); 6] {
        [
            (&self.own, "/orders/"),
            (&self.gateway, "/api/orders/"),
            (&self.admin, "/?by="),
            (&self.admin, "/status?by="),
            (&self.admin, "/tokens/api/refresh?by="),
            (&self.admin, "/tokens/api/login?by="),
        ]
    }

    /// What has been asked of the API and of the authorization server: once of each, before any page came.
    fn assert_untouched(&self, what: &str) {
        let api = self.api.counts();
        assert_eq!(
            (api.api_requests, api.bare_requests_seen),
            (1, 0),
            "{what}: a request reached the upstream"
        );
        assert_eq!(self.authorization_server.counts().token_requests, 1, "{what}: something happened");
    }
}

/// The hostile site's answers: the page, and a redirect to wherever the page wants.
pub(crate) fn hostile(request: &Request<Bytes>) -> Response<Bytes> {
    let Some(query) = request.uri().query().filter(|_| request.uri().path() == "/bounce") else {
        let mut page = html(HOSTILE);
        // A connection that stays open would lead to this site for ever, whatever its name leads to.
        page.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return page;
    };
    let query: BTreeMap<_, _> = form_urlencoded::parse(query.as_bytes()).collect();
    let bounce = Response::builder().status(&*query["status"]).header("location", &*query["to"]);
    bounce.body(Bytes::new()).unwrap()
}

/// Lets the page that is shown attack, waits until all has been sent, and returns what it could read.
async fn attack(page: &Page<'_>, target: &str, relay: &Relay, path: &str) -> BTreeMap<String, String> {
    relay.forget();
    let could = page.evaluate(&format!("attack({target:?})")).await;
    for (method, name) in SENT {
        let line = match *name {
            // A form of this method writes a query of its own in the place of what is there.
            "form-get" if path.contains('?') => continue,
            "form-get" => format!("GET {path}form-get?"),
            name => format!("{method} {path}{name} HTTP/1.1"),
        };
        until(&format!("the browser sends {line}"), || relay.head_with(&line).is_some()).await;
    }
    let could = could.as_object().expect("what it could read, by name");
    could.iter().map(|(name, read)| (name.clone(), read.to_string())).collect()
}

/// r022 r023
#[tokio::test]
async fn a_page_of_another_origin_reads_nothing_and_reaches_nothing() {
    let Some(browser) = Browser::start_with(&[NAMES]).await else { return };
    let stage = Stage::build().await;
    // Another port is another origin, though the same site; a page whose address is its own is both.
    for origin in ["127.0.0.1", "evil.example"] {
        let page = browser.open(Look::default()).await;
        let port = stage.hostile.address().port();
        assert_eq!(page.goto(&format!("http://{origin}:{port}/")).await, Ok(200));
        for (relay, path) in stage.targets() {
            let target = format!("http://{}{path}", relay.address());
            let could = attack(&page, &target, relay, path).await;
            assert_eq!(could, BTreeMap::new(), "{origin} could read of {target}");
            let statuses = relay.statuses();
            assert!(statuses.iter().all(|status| status == "403"), "{origin} to {target}: {statuses:?}");
            stage.assert_untouched(&format!("{origin} to {target}"));
        }
    }
}

/// What the page of the other tests would do, were it not refused: the same page, let in as an upstream's own.
#[tokio::test]
async fn the_same_page_is_at_home_where_it_came_through_the_listener_itself() {
    let Some(browser) = Browser::start_with(&[NAMES]).await else { return };
    let stage = Stage::build().await;
    let page = browser.open(Look::default()).await;
    assert_eq!(page.goto(&format!("http://{}/page", stage.own.address())).await, Ok(200));
    let could = page.evaluate("attack('/orders/')").await;
    for name in
        ["fetch-cors", "fetch-cors-json", "fetch-cors-delete", "xhr-get", "iframe", "form-post", "object"]
    {
        let read = could[name].as_str().unwrap_or_default();
        assert!(read.contains(&format!("/orders/{name}")), "{name}: {could}");
    }
    assert!(stage.api.counts().api_requests > 30);
}

/// Ways to write our address that a browser follows and does not take for a loopback one, so that it does not say which site
/// asks; and a name that leads here: nothing but the Host tells them from an application's request.
#[tokio::test]
async fn r022_neither_a_name_that_leads_here_nor_a_disguised_address_is_served() {
    let Some(browser) = Browser::start_with(&[NAMES]).await else { return };
    let stage = Stage::build().await;
    let page = browser.open(Look::default()).await;
    let port = stage.hostile.address().port();
    assert_eq!(page.goto(&format!("http://evil.example:{port}/")).await, Ok(200));
    let mut hosts = vec!["evil.example", "0.0.0.0"];
    // A machine without IPv6 has no such addresses either.
    hosts.extend(std::net::TcpListener::bind("[::1]:0").is_ok().then_some("[::ffff:7f00:1]"));
    for host in hosts {
        for (relay, path) in stage.targets() {
            let target = format!("http://{host}:{}{path}", relay.address().port());
            let could = attack(&page, &target, relay, path).await;
            assert_eq!(could, BTreeMap::new(), "it could read of {target}");
            let statuses = relay.statuses();
            assert!(statuses.iter().all(|status| status == "421"), "{target}: {statuses:?}");
            stage.assert_untouched(&target);
            let silent = relay.head_with("img-silent").expect("it was sent");
            assert!(
                !silent.contains("Sec-Fetch-"),
                "it says where it comes from, so this showed nothing:\n{silent}"
            );
        }
    }
}

/// The page is loaded from its own server, then its name leads to bearward: what it asks for is of its own origin, and it may
/// read every answer.
#[tokio::test]
async fn r022_a_page_whose_name_is_rebound_reads_that_it_is_unknown_and_no_more() {
    let Some(browser) = Browser::start_with(&[NAMES]).await else { return };
    let stage = Stage::build().await;
    for listener in ["api", "gateway", "admin"] {
        let relay = Relay::start(stage.hostile.address()).await;
        let page = browser.open(Look::default()).await;
        let origin = format!("http://rebound.example:{}", relay.address().port());
        assert_eq!(page.goto(&origin).await, Ok(200));
        relay.leads_to(stage.bearward.address(listener).unwrap());
        for path in ["/orders/", "/api/orders/", "/status?by=", "/tokens/api/refresh?by="] {
            relay.forget();
            let could = page.evaluate(&format!("attack({path:?})")).await;
            let read = could["fetch-cors"].as_str().expect("it may read what it is told");
            assert!(read.contains("allow_hosts"), "{listener}: {read}");
            let statuses = relay.statuses();
            assert!(statuses.len() > 20, "{statuses:?}");
            assert!(statuses.iter().all(|status| status == "421"), "{listener}{path}: {statuses:?}");
            let all = could.to_string();
            assert!(
                !all.contains("Bearer") && !all.contains("client_credentials"),
                "{listener}{path}: {all}"
            );
            stage.assert_untouched(listener);
        }
        page.close().await;
    }
}

/// A page sends its visitor to bearward, by a click or without one.
#[tokio::test]
async fn r023_no_page_of_another_site_sends_its_visitor_to_an_upstream() {
    let Some(browser) = Browser::start_with(&[NAMES]).await else { return };
    let stage = Stage::build().await;
    let port = stage.hostile.address().port();
    let ways = [
        "link",
        "link-silent",
        "location",
        "replace",
        "bounced",
        "refresh",
        "open",
        "form-get",
        "form-post",
        "form-post-text",
    ];
    let page = browser.open(Look::default()).await;
    for (relay, path) in stage.targets() {
        // The page for people, who may come to it by a link: its own tests say that nothing happens then.
        if path == "/?by=" {
            continue;
        }
        for (way, origin) in ways.into_iter().zip(["127.0.0.1", "evil.example"].into_iter().cycle()) {
            assert_eq!(page.goto(&format!("http://{origin}:{port}/")).await, Ok(200));
            relay.forget();
            let target = format!("http://{}{path}{way}", relay.address());
            page.evaluate(&format!("leave({way:?}, {target:?})")).await;
            let tab = if way == "open" { Some(page.tab().await) } else { None };
            let here =
                format!("location.host === '{}' && document.body.innerText.includes('403')", relay.address());
            tab.as_ref().unwrap_or(&page).until(&here).await;
            assert_eq!(relay.statuses().first().map(String::as_str), Some("403"), "{way} to {target}");
            stage.assert_untouched(&format!("{way} to {target}"));
            if let Some(tab) = tab {
                tab.close().await;
            }
        }
    }
    // Whoever types the address is no page of another site.
    assert_eq!(page.goto(&format!("http://{}/orders", stage.own.address())).await, Ok(200));
    assert_eq!(page.goto(&format!("http://{}/status", stage.admin.address())).await, Ok(200));
}
