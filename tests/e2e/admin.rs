//! The admin listener: what it says, to whom, and that it changes nothing.

use std::{collections::BTreeMap, net::SocketAddr};

use bearward::{
    app::Running,
    demo::simulator::{Answer, AuthorizationServer, ResourceServer, Resources, Simulator},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::support::{
    Application, application, ask,
    outside::{field, json, look, status},
    start, until,
};

fn configuration(server: &Simulator, api: &Resources, admin: &str) -> String {
    format!(
        r#"
        store = {{ kind = "memory" }}
        admin = {{ listen = "{admin}" }}

        [tokens.key]
        grant_type = "client_credentials"
        token_endpoint = "{}/token"
        client_id = "app"
        client_secret = "secret"

        [upstreams.api]
        url = "{}/base"
        token = "key"
        listen = "127.0.0.1:0"

        [upstreams.open]
        url = "{}"
        listen = "127.0.0.1:0"
        "#,
        server.url(),
        api.url(),
        api.url()
    )
}

async fn parties() -> (Simulator, Resources, Running) {
    let server = AuthorizationServer::new().start().await.unwrap();
    let api = ResourceServer::new(&server).start().await.unwrap();
    let bearward = start(&configuration(&server, &api, "127.0.0.1:0"));
    (server, api, bearward)
}

fn admin(bearward: &Running) -> SocketAddr {
    bearward.address("admin").expect("it has an admin listener")
}

/// One request to the admin listener with these fields.
async fn with(bearward: &Running, method: &str, path: &str, fields: &[(&str, &str)]) -> Response<Bytes> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Bytes::new()).unwrap();
    Application::new(admin(bearward)).send(request).await.expect("an answer")
}

#[tokio::test]
async fn readiness_waits_for_every_eager_token_and_names_those_that_are_missing() {
    let server = AuthorizationServer::new().start().await.unwrap();
    let api = ResourceServer::new(&server).start().await.unwrap();
    server.fail_token_endpoint(Answer::status(StatusCode::SERVICE_UNAVAILABLE));
    let lazy = format!(
        r#"
        [tokens.lazy]
        grant_type = "client_credentials"
        token_endpoint = "{}/token"
        client_id = "lazy"
        client_secret = "secret"
        acquire = "lazy"

        [tokens.other]
        grant_type = "client_credentials"
        token_endpoint = "{}/token"
        client_id = "other"
        client_secret = "secret"
        "#,
        server.url(),
        server.url()
    );
    let bearward = start(&(configuration(&server, &api, "127.0.0.1:0") + &lazy));
    let admin = admin(&bearward);
    until("both eager tokens were asked for", || server.counts().token_requests >= 2).await;
    let words = loop {
        let ready = look(admin, "/readyz").await;
        assert_eq!(ready.status(), 503);
        let words = String::from_utf8_lossy(ready.body()).into_owned();
        if words.matches(" answered 503").count() == 2 {
            break words;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    let names: Vec<_> = words.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["key", "other"], "{words}");
    assert_eq!(look(admin, "/livez").await.status(), 200, "it lives though it is not ready");

    server.mend_token_endpoint();
    let mut ready = look(admin, "/readyz").await;
    while ready.status() != 200 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        ready = look(admin, "/readyz").await;
    }
    assert_eq!(status(admin).await["tokens"]["lazy"]["state"], "acquiring", "nobody waits for a lazy one");
    bearward.stop().await;
}

#[tokio::test]
async fn status_says_of_each_token_and_upstream_what_spec_promises() {
    let (server, api, bearward) = parties().await;
    let mut requests = application(&bearward, "api");
    for _ in 0..3 {
        assert_eq!(ask(&mut requests, "/orders").await.status(), 200);
    }
    server.revoke_all();
    assert_eq!(ask(&mut requests, "/orders").await.status(), 200);
    api.answer_next("/base/broken", Answer::status(StatusCode::BAD_GATEWAY));
    assert_eq!(ask(&mut requests, "/broken").await.status(), 502);

    let answer = look(admin(&bearward), "/status").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(field(&answer, "content-type"), "application/json");
    assert_eq!(field(&answer, "cache-control"), "no-store");
    let seen = json(&answer);
    assert_eq!(seen["version"], env!("CARGO_PKG_VERSION"));
    let token = &seen["tokens"]["key"];
    assert_eq!((&token["state"], &token["generation"]), (&"valid".into(), &2.into()), "{seen}");
    assert!(token["last_error"].is_null() && token.as_object().unwrap().contains_key("last_error"), "{seen}");
    let at = |name: &str| token[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let now = jiff::Timestamp::now();
    assert!(now < at("refresh_at") && at("refresh_at") < at("expires_at"), "{seen}");
    let upstream = &seen["upstreams"]["api"];
    assert_eq!(upstream["url"], format!("{}/base", api.url()));
    assert_eq!((&upstream["token"], &upstream["requests"]), (&"key".into(), &5.into()), "{seen}");
    assert_eq!((&upstream["errors"], &upstream["replays"]), (&1.into(), &1.into()), "{seen}");
    assert!(seen["upstreams"]["open"]["token"].is_null(), "{seen}");
    for token in server.token_requests() {
        let bearward::demo::simulator::Outcome::Granted { token, .. } = token.outcome else { panic!() };
        assert!(!seen.to_string().contains(&token), "r146: a token is in it");
    }
    bearward.stop().await;
}

#[tokio::test]
async fn r026_it_is_for_looking_only_but_for_what_the_page_may_do() {
    let (server, _api, bearward) = parties().await;
    assert_eq!(ask(&mut application(&bearward, "api"), "/orders").await.status(), 200);
    for path in
        ["/livez", "/readyz", "/metrics", "/status", "/", "/events", "/token", "/tokens/key", "/reload"]
    {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            let refused = with(&bearward, method, path, &[]).await;
            assert_eq!(refused.status(), 405, "{method} {path}");
            assert_eq!(field(&refused, "allow"), "GET, HEAD");
        }
        let head = with(&bearward, "HEAD", path, &[]).await;
        if path == "/events" {
            // It does not end by itself; `page::events` looks at it.
            continue;
        }
        let get = with(&bearward, "GET", path, &[]).await;
        assert_eq!(head.status(), get.status(), "{path}");
        assert!(head.body().is_empty(), "{path}");
        assert!(!get.body().is_empty(), "{path}");
    }
    assert_eq!(with(&bearward, "GET", "/nothing", &[]).await.status(), 404);
    assert_eq!(server.counts().token_requests, 1, "nothing of this has cost a token request");
    bearward.stop().await;
}

#[tokio::test]
async fn r022_r023_it_answers_probes_by_address_and_no_foreign_name_or_page() {
    let (_server, _api, bearward) = parties().await;
    let statuses: &[(&[(&str, &str)], u16)] = &[
        (&[("host", "localhost")], 200),
        (&[("host", "127.0.0.1:9901")], 200),
        (&[("host", "10.1.2.3:9901")], 200),
        (&[("host", "[2001:db8::1]:9901")], 200),
        (&[("host", "rebound.example")], 421),
        (&[("host", "localhost.rebound.example")], 421),
        (&[("host", "bearward")], 421),
        (&[("host", "localhost"), ("origin", "https://evil.example")], 403),
        (&[("host", "localhost"), ("origin", "null")], 403),
        (&[("host", "localhost"), ("sec-fetch-site", "cross-site")], 403),
        (&[("host", "localhost"), ("sec-fetch-site", "none")], 200),
        (&[("host", "localhost"), ("host", "localhost")], 400),
    ];
    for path in ["/livez", "/readyz", "/metrics", "/status"] {
        until_ready(&bearward).await;
        for (fields, expected) in statuses {
            let answer = with(&bearward, "GET", path, fields).await;
            assert_eq!(answer.status(), *expected, "{path} {fields:?}");
            let cors = answer.headers().keys().any(|name| name.as_str().starts_with("access-control-"));
            assert!(!cors, "r024: {answer:?}");
        }
    }
    bearward.stop().await;
}

async fn until_ready(bearward: &Running) {
    while look(admin(bearward), "/readyz").await.status() != 200 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn metrics_have_the_names_of_spec_and_every_line_parses() {
    let (server, api, bearward) = parties().await;
    let mut requests = application(&bearward, "api");
    for _ in 0..3 {
        assert_eq!(ask(&mut requests, "/orders?secret=in-a-query").await.status(), 200);
    }
    server.revoke_all();
    assert_eq!(ask(&mut requests, "/orders").await.status(), 200);
    api.answer_next("/base/teapot", Answer::status(StatusCode::IM_A_TEAPOT));
    assert_eq!(ask(&mut requests, "/teapot").await.status(), 418);

    let answer = look(admin(&bearward), "/metrics").await;
    assert!(field(&answer, "content-type").starts_with("text/plain; version=0.0.4"));
    let text = std::str::from_utf8(answer.body()).unwrap();
    assert!(
        text.contains("# TYPE bearward_requests_total counter\nbearward_requests_total{upstream=\"api\""),
        "{text}"
    );

    let prometheus = Request::get("/metrics")
        .header("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    let mut prometheus_server = Application::new(admin(&bearward));
    let answer = prometheus_server.send(prometheus.body(Bytes::new()).unwrap()).await.unwrap();
    assert!(field(&answer, "content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    let text = std::str::from_utf8(answer.body()).unwrap();
    let samples = exposition(text);
    let value = |series: &str| *samples.get(series).unwrap_or_else(|| panic!("no {series} in\n{text}"));
    assert_eq!(value("bearward_requests_total{code=\"200\",upstream=\"api\"}"), 4.0);
    assert_eq!(value("bearward_requests_total{code=\"418\",upstream=\"api\"}"), 1.0);
    assert_eq!(value("bearward_request_duration_seconds_count{upstream=\"api\"}"), 5.0);
    assert_eq!(value("bearward_request_duration_seconds_bucket{le=\"+Inf\",upstream=\"api\"}"), 5.0);
    assert!(value("bearward_request_duration_seconds_sum{upstream=\"api\"}") > 0.0);
    assert_eq!(value("bearward_token_requests_total{outcome=\"granted\",token=\"key\"}"), 2.0);
    assert_eq!(value("bearward_retries_total{upstream=\"api\"}"), 1.0);
    let info = format!("bearward_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(value(&info), 1.0);
    let expires_at = value("bearward_token_expires_at_seconds{token=\"key\"}");
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
    let now = jiff::Timestamp::now().as_second() as f64;
    assert!((200.0..=301.0).contains(&(expires_at - now)), "{expires_at} seen from {now}");
    for forbidden in ["orders", "teapot", "in-a-query", "\"app\""] {
        let labelled = samples.keys().any(|series| series.contains(forbidden));
        assert!(!labelled, "no path, query or client is a label: {forbidden}");
    }
    bearward.stop().await;
}

/// Every sample of an OpenMetrics text by its series with sorted labels; fails on a line that is not one.
fn exposition(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut types = BTreeMap::new();
    assert_eq!(text.lines().last(), Some("# EOF"), "{text}");
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            match comment.splitn(3, ' ').collect::<Vec<_>>()[..] {
                ["TYPE", name, kind] => {
                    assert!(["counter", "gauge", "histogram", "info"].contains(&kind), "{line}");
                    assert!(types.insert(name.to_owned(), kind).is_none(), "described twice: {line}");
                }
                ["HELP", _, words] => assert!(!words.is_empty(), "{line}"),
                ["UNIT", name, unit] => assert!(name.ends_with(unit), "{line}"),
                ["EOF"] => {}
                _ => panic!("no comment of OpenMetrics: {line}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line:?}"));
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}"))),
            None => (series, ""),
        };
        let known = types.keys().any(|family| {
            name.strip_prefix(family.as_str())
                .is_some_and(|rest| ["", "_total", "_sum", "_count", "_bucket", "_info"].contains(&rest))
        });
        assert!(known, "its family is not described before it: {line}");
        let mut labels: Vec<_> = labels.split(',').filter(|label| !label.is_empty()).collect();
        for label in &labels {
            let (name, quoted) = label.split_once('=').unwrap_or_else(|| panic!("{line}"));
            assert!(name.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'_'), "{line}");
            assert!(quoted.len() >= 2 && quoted.starts_with('"') && quoted.ends_with('"'), "{line}");
        }
        labels.sort_unstable();
        let series = match labels.is_empty() {
            true => name.to_owned(),
            false => format!("{name}{{{}}}", labels.join(",")),
        };
        assert!(samples.insert(series, value).is_none(), "there twice: {line}");
    }
    samples
}

#[tokio::test]
async fn it_listens_on_a_unix_socket_too_and_that_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let server = AuthorizationServer::new().start().await.unwrap();
    let api = ResourceServer::new(&server).start().await.unwrap();
    let bearward = start(&configuration(&server, &api, &format!("unix:{}", socket.display())));
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "r025");
    let mut connection = UnixStream::connect(&socket).await.unwrap();
    connection
        .write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("ok\n"), "{answer}");
    bearward.stop().await;
    let again = start(&configuration(&server, &api, &format!("unix:{}", socket.display())));
    assert!(UnixStream::connect(&socket).await.is_ok(), "what is left of it stands in nobody's way");
    again.stop().await;
}
