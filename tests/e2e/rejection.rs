//! Rejected tokens: what costs a token request and a second sending, and what reaches the application as it is.

use std::{net::SocketAddr, time::Duration};

use bearward::{
    app::Running,
    demo::simulator::{
        Answer, ApiRequest, AuthorizationServer, ResourceServer, Resources, Simulator, Then, inventorum,
    },
};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderName, Request, StatusCode, header};

use crate::support::{Application, PATIENCE, ask, configuration, get, raw, start, until};

/// The parties of a test. The token recipe is client credentials, the upstream's own port is the way in.
struct Scene {
    authorization_server: Simulator,
    api: Resources,
    bearward: Running,
}

impl Scene {
    /// `upstream`: further keys of the upstream's table; `told`: how the API answers.
    async fn set(upstream: &str, told: impl FnOnce(ResourceServer) -> ResourceServer) -> Self {
        let authorization_server = AuthorizationServer::new().start().await.unwrap();
        let api = told(ResourceServer::new(&authorization_server)).start().await.unwrap();
        let shortest = configuration(&authorization_server.url(), &api.url());
        let bearward = start(&format!("{shortest}{upstream}"));
        Self { authorization_server, api, bearward }
    }

    fn address(&self) -> SocketAddr {
        self.bearward.address("api").unwrap()
    }

    fn application(&self) -> Application {
        Application::new(self.address())
    }

    fn token_requests(&self) -> u64 {
        self.authorization_server.counts().token_requests
    }

    fn sendings(&self) -> u64 {
        self.api.counts().api_requests
    }

    /// Asserts how many sendings and token requests there were in all, and that none was bare.
    fn assert_cost(&self, sendings: u64, token_requests: u64, what: &str) {
        assert_eq!((self.sendings(), self.token_requests()), (sendings, token_requests), "{what}");
        assert_eq!(self.api.counts().bare_requests_seen, 0, "{what}");
    }
}

/// Inventorum's answer to a dead token.
fn token_invalid() -> Answer {
    Answer::status(StatusCode::UNAUTHORIZED)
        .field(header::CONTENT_TYPE, "application/json")
        .content(inventorum::TOKEN_INVALID)
}

#[tokio::test]
async fn r117_r122_a_hundred_requests_in_flight_at_a_revocation_cost_one_token_request() {
    // Late rejections, so that all requests are under way with the old token when the first one is told.
    let late = token_invalid().after(Duration::from_millis(1500));
    let scene = Scene::set("", |api| api.rejecting_with(late)).await;
    let mut applications: Vec<_> = (0..100).map(|_| scene.application()).collect();
    let warm = join_all(applications.iter_mut().map(|application| ask(application, "/orders"))).await;
    assert!(warm.iter().all(|answer| answer.status() == 200));
    scene.assert_cost(100, 1, "before the revocation");

    assert_eq!(scene.authorization_server.revoke_all(), 1);
    let answers = join_all(applications.iter_mut().map(|application| ask(application, "/orders"))).await;
    for answer in answers {
        assert_eq!(answer.status(), 200, "{:?}", answer.body());
    }
    let rejected = scene.api.counts().revoked_tokens_seen;
    assert!(rejected > 50, "only {rejected} requests were in flight with the old token");
    scene.assert_cost(200 + rejected, 2, "exactly one more token request");
}

#[tokio::test]
async fn r119_r121_a_token_that_stays_rejected_is_sent_twice_and_the_second_answer_is_delivered() {
    let rejection = token_invalid().field(HeaderName::from_static("x-reason"), "not today");
    let scene = Scene::set("", |api| api.always("/", rejection)).await;
    assert_stays_rejected(&scene, "/orders").await;
}

#[tokio::test]
async fn r119_a_token_that_is_rejected_in_one_place_only_does_not_bring_a_token_request_each_time() {
    let rejection = token_invalid().field(HeaderName::from_static("x-reason"), "not today");
    let scene = Scene::set("", |api| api.always("/broken", rejection)).await;
    assert_eq!(ask(&mut scene.application(), "/orders").await.status(), 200);
    assert_stays_rejected(&scene, "/broken").await;
    // What the API does accept is served on.
    let mut application = scene.application();
    let served = tokio::time::timeout(PATIENCE, async {
        while ask(&mut application, "/orders").await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(served.await.is_ok(), "the rest of the API is served again");
}

async fn assert_stays_rejected(scene: &Scene, path: &str) {
    let mut application = scene.application();
    let (sent, asked) = (scene.sendings(), scene.token_requests().max(1));
    let answer = ask(&mut application, path).await;
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["x-reason"], "not today");
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.body(), inventorum::TOKEN_INVALID);
    scene.assert_cost(sent + 2, asked + 1, "two sendings, one token request between them");
    let tokens: Vec<_> = scene
        .api
        .requests()
        .iter()
        .rev()
        .take(2)
        .map(|sending| sending.call.bearer().map(str::to_owned))
        .collect();
    assert_ne!(tokens[0], tokens[1], "the second sending carries another token");

    for request in 0..50 {
        let answer = ask(&mut application, path).await;
        match answer.status().as_u16() {
            401 => {
                assert_eq!(answer.headers()["x-reason"], "not today", "request {request}: no 401 of our own")
            }
            503 => {
                let own = answer.headers()["proxy-status"].to_str().unwrap();
                assert!(own.starts_with("bearward; error="), "request {request}: {own}");
                assert!(answer.headers().contains_key("retry-after"), "request {request}");
            }
            other => panic!("request {request}: {other} {:?}", answer.body()),
        }
    }
    let more = scene.token_requests() - asked;
    assert!(more <= 5, "{more} token requests for 51 requests that cannot be helped");
    assert_eq!(scene.api.counts().bare_requests_seen, 0);
}

#[tokio::test]
async fn r079_r120_what_is_no_rejection_passes_octet_for_octet_without_a_second_sending() {
    let scene = Scene::set("", |api| api).await;
    for (what, octets) in no_rejections() {
        let (sent, path) = (scene.sendings(), "/orders?page=1");
        scene.api.answer_next("/", Answer::raw(octets.clone(), Then::Close));
        let direct = raw::exchange(scene.api.address(), raw::get(path, "localhost", "")).await;
        assert!(direct == octets, "{what}: the API itself");
        scene.api.answer_next("/", Answer::raw(octets, Then::Close));
        let proxied = raw::exchange(scene.address(), raw::get(path, "localhost", "")).await;
        assert_same(&proxied, &direct, what);
        assert_eq!(scene.sendings(), sent + 2, "{what}: one direct sending, one through bearward");
        assert_eq!(scene.token_requests(), 1, "{what}: no token request");
    }
    assert_eq!(ask(&mut scene.application(), "/orders").await.status(), 200, "the token was not dropped");
    assert_eq!(scene.token_requests(), 1);
}

/// Octet for octet, but for the field that belongs to the connection to the application.
fn assert_same(proxied: &[u8], direct: &[u8], what: &str) {
    let ((own_head, own_content), (head, content)) = (raw::parts(proxied), raw::parts(direct));
    let lines =
        own_head.split_inclusive("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    assert_eq!(lines.collect::<String>(), head, "{what}");
    assert!(own_content == content, "{what}: {} octets of content for {}", own_content.len(), content.len());
}

/// Answers that say nothing of the token, written as no library would write them.
fn no_rejections() -> Vec<(&'static str, Vec<u8>)> {
    let invalid = inventorum::TOKEN_INVALID.as_bytes();
    let scope = inventorum::SCOPE_WRONG.as_bytes();
    let megabyte = format!(r#"{{"error":{{"key":"token.invalid"}},"pad":"{}"}}"#, "x".repeat(1 << 20));
    let html = b"<!doctype html>\n<title>401</title><p>token.invalid";
    let json = "Content-Type: application/json\r\n";
    vec![
        ("scope.wrong with 401", answer("401 Unauthorized", json, scope)),
        ("scope.wrong with 403", answer("403 Forbidden", json, scope)),
        ("an HTML 401", answer("401 Unauthorized", "content-TYPE: text/html; charset=utf-8\r\n", html)),
        ("an empty 401", answer("401 Unauthorized", "", b"")),
        ("an empty JSON 401", answer("401 Unauthorized", json, b"")),
        ("a 401 of a megabyte", answer("401 Unauthorized", json, megabyte.as_bytes())),
        ("a 500 with the words", answer("500 Internal Server Error", json, invalid)),
        (
            "a 401 in gzip",
            answer("401 Unauthorized", &format!("{json}Content-Encoding: gzip\r\n"), &gzip(invalid)),
        ),
        (
            "insufficient_scope",
            answer("401 Unauthorized", "WWW-Authenticate: Bearer error=\"insufficient_scope\"\r\n", invalid),
        ),
    ]
}

/// An answer with fields in their own spelling and order, some twice.
fn answer(status: &str, fields: &str, content: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nX-zEBRA: last\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\nSet-Cookie: b=2\r\nSet-Cookie: a=1\r\n\
         {fields}server: TillServer/1\r\nCONTENT-LENGTH: {}\r\nX-Alpha: first, second\r\n\r\n",
        content.len()
    );
    [head.as_bytes(), content].concat()
}

/// A gzip stream (RFC 1952) of one stored block (RFC 1951 section 3.2.4).
fn gzip(content: &[u8]) -> Vec<u8> {
    let mut crc = !0_u32;
    for octet in content {
        crc ^= u32::from(*octet);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    let length = u16::try_from(content.len()).unwrap();
    let head: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    let trailer = [(!crc).to_le_bytes(), u32::from(length).to_le_bytes()].concat();
    [head, &length.to_le_bytes(), &(!length).to_le_bytes(), content, &trailer].concat()
}

#[tokio::test]
async fn r117_a_body_that_is_held_is_replayed_as_it_was() {
    let scene = Scene::set("", |api| api).await;
    assert_eq!(ask(&mut scene.application(), "/orders").await.status(), 200);
    // Every octet there is, and no period that a wrong copy would hide in.
    let body: Vec<u8> = (0..60_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();

    scene.authorization_server.revoke_all();
    let request =
        Request::post("/orders").header("content-type", "application/octet-stream").header("x-order", "7");
    let answer = scene.application().send(request.body(Bytes::from(body.clone())).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200, "{:?}", answer.body());
    let [first, second] = last_two(&scene);
    assert_eq!((first.status, second.status), (Some(StatusCode::UNAUTHORIZED), Some(StatusCode::OK)));
    assert_same_request(&first, &second, &body);
    assert_eq!(second.call.fields["content-length"], "60000");
    assert!(!second.call.fields.contains_key("transfer-encoding"));

    scene.authorization_server.revoke_all();
    let mut request = b"POST /orders HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".to_vec();
    for chunk in body.chunks(7_001) {
        request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(raw::status(&raw::exchange(scene.address(), request).await), 200);
    let [first, second] = last_two(&scene);
    assert_eq!((first.status, second.status), (Some(StatusCode::UNAUTHORIZED), Some(StatusCode::OK)));
    assert_same_request(&first, &second, &body);
    assert_eq!(second.call.fields["transfer-encoding"], "chunked");
    scene.assert_cost(5, 3, "one token request per revocation, two sendings each");
}

fn last_two(scene: &Scene) -> [ApiRequest; 2] {
    let mut requests = scene.api.requests();
    let second = requests.pop().unwrap();
    [requests.pop().unwrap(), second]
}

/// The second sending is the first one with another credential, and both bring the application's body.
fn assert_same_request(first: &ApiRequest, second: &ApiRequest, body: &[u8]) {
    assert!(
        first.call.body == body && second.call.body == body,
        "the body arrived otherwise than it was sent"
    );
    assert!(first.call.complete && second.call.complete);
    assert_ne!(first.call.bearer(), second.call.bearer());
    let without_credential = |request: &ApiRequest| {
        let mut fields = request.call.fields.clone();
        fields.remove(header::AUTHORIZATION);
        (request.call.method.clone(), request.call.target.clone(), fields)
    };
    assert_eq!(without_credential(first), without_credential(second));
}

#[tokio::test]
async fn r113_r117_a_body_that_is_not_held_is_not_replayed_and_its_401_is_delivered() {
    let scene = Scene::set("", |api| api).await;
    let mut application = scene.application();
    assert_eq!(ask(&mut application, "/orders").await.status(), 200);
    scene.authorization_server.revoke_all();
    let request = Request::post("/orders").body(Bytes::from(vec![b'x'; 3_000_000])).unwrap();
    let answer = application.send(request).await.unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.body(), inventorum::TOKEN_INVALID);
    assert_eq!(scene.sendings(), 2, "it was sent once");
    let sending = scene.api.requests().pop().unwrap();
    assert_eq!((sending.call.length, sending.call.complete), (3_000_000, true));
    // The token it was rejected with is gone all the same.
    assert_eq!(ask(&mut application, "/orders").await.status(), 200);
    scene.assert_cost(3, 2, "the next request has a new token from the start");
}

#[tokio::test]
async fn r117_an_invalid_token_challenge_is_a_rejection() {
    let challenge = Answer::status(StatusCode::UNAUTHORIZED)
        .field(header::WWW_AUTHENTICATE, "Bearer realm=\"api\", error=\"invalid_token\"");
    assert_replayed("", challenge).await;
}

#[tokio::test]
async fn r117_any_401_is_a_rejection_where_the_upstream_says_so() {
    let page = Answer::status(StatusCode::UNAUTHORIZED)
        .field(header::CONTENT_TYPE, "text/html")
        .content("<p>Log in");
    assert_replayed("token_invalid = \"any-401\"", page).await;
}

#[tokio::test]
async fn r117_a_rejection_may_be_told_by_a_status_and_a_pointer_of_ones_own() {
    let answer =
        Answer::json(StatusCode::FORBIDDEN, &serde_json::json!({ "errors": [{ "code": "AUTH/7~8" }] }));
    let rule = "token_invalid = [{ status = 403, pointer = \"/errors/0/code\", equals = \"AUTH/7~8\" }]";
    assert_replayed(rule, answer.clone()).await;
    assert_delivered("", answer).await;
}

#[tokio::test]
async fn with_never_a_rejection_reaches_the_application_and_costs_nothing() {
    assert_delivered("token_invalid = \"never\"", token_invalid()).await;
}

/// An API that rejects dead tokens so is helped by one new token.
async fn assert_replayed(upstream: &str, rejection: Answer) {
    let scene = Scene::set(upstream, |api| api.rejecting_with(rejection)).await;
    let mut application = scene.application();
    assert_eq!(ask(&mut application, "/orders").await.status(), 200);
    scene.authorization_server.revoke_all();
    let answer = ask(&mut application, "/orders").await;
    assert_eq!(answer.status(), 200, "{upstream}: {:?}", answer.body());
    scene.assert_cost(3, 2, upstream);
}

/// An API that rejects dead tokens so is not understood: its answer is delivered.
async fn assert_delivered(upstream: &str, rejection: Answer) {
    let status = rejection.code().unwrap();
    let scene = Scene::set(upstream, |api| api.rejecting_with(rejection)).await;
    let mut application = scene.application();
    assert_eq!(ask(&mut application, "/orders").await.status(), 200);
    scene.authorization_server.revoke_all();
    assert_eq!(ask(&mut application, "/orders").await.status(), status);
    assert_eq!(ask(&mut application, "/orders").await.status(), status);
    scene.assert_cost(3, 1, upstream);
}

#[tokio::test]
async fn r119_a_late_rejection_of_an_older_token_leaves_the_newer_one_alone() {
    let scene =
        Scene::set("", |api| api.answer("/slow", token_invalid().after(Duration::from_secs(2)))).await;
    assert_eq!(ask(&mut scene.application(), "/orders").await.status(), 200);
    let mut early = scene.application();
    let early = tokio::spawn(async move { ask(&mut early, "/slow").await });
    until("the slow request is at the API", || scene.sendings() == 2).await;

    scene.authorization_server.revoke_all();
    assert_eq!(ask(&mut scene.application(), "/orders").await.status(), 200, "with the second token");
    scene.assert_cost(4, 2, "before the late rejection");

    assert_eq!(early.await.unwrap().status(), 200, "it is replayed with the second token");
    assert_eq!(ask(&mut scene.application(), "/orders").await.status(), 200);
    scene.assert_cost(6, 2, "the second token was not dropped for the first one's fault");
}

#[tokio::test]
async fn r020_a_rejected_static_token_ends_in_503_until_its_file_changes() {
    let authorization_server = AuthorizationServer::new().start().await.unwrap();
    let api = ResourceServer::new(&authorization_server).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, issued(&authorization_server).await).unwrap();
    let bearward = start(&format!(
        r#"
        store = {{ kind = "memory" }}
        [tokens.fixed]
        grant_type = "static"
        access_token = {{ file = '{}' }}
        [upstreams.api]
        url = "{}"
        token = "fixed"
        listen = "127.0.0.1:0"
        "#,
        file.display(),
        api.url()
    ));
    let mut application = Application::new(bearward.address("api").unwrap());
    assert_eq!(ask(&mut application, "/orders").await.status(), 200);

    authorization_server.revoke_all();
    for request in 0..3 {
        let answer = ask(&mut application, "/orders").await;
        assert_eq!(answer.status(), 503, "request {request}: {:?}", answer.body());
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        assert!(answer.headers().contains_key("retry-after"));
    }
    assert_eq!(api.counts().api_requests, 2, "what was rejected is not sent again and again");

    std::fs::write(&file, issued(&authorization_server).await).unwrap();
    let recovered = tokio::time::timeout(PATIENCE, async {
        while application.send(get("/orders")).await.unwrap().status() != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(recovered.await.is_ok(), "the file's new token is not used");
    let counts = api.counts();
    assert_eq!((counts.api_requests, counts.bare_requests_seen), (3, 0));
}

/// A living access token, got by hand, with a line's end as an editor leaves it.
async fn issued(authorization_server: &Simulator) -> String {
    let request = Request::post("/token").header("content-type", "application/x-www-form-urlencoded");
    let request = request.body(Bytes::from("grant_type=client_credentials")).unwrap();
    let answer = Application::new(authorization_server.address()).send(request).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    format!("{}\n", answer["access_token"].as_str().unwrap())
}
