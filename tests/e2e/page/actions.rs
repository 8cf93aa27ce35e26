//! Who may press the page's buttons: the page itself, in a browser on this machine, and nobody else.

use http::Response;

use super::{World, stream::Stream};
use crate::support::{
    application, ask,
    outside::{field, json},
    until,
};

const FORM: &str = "application/x-www-form-urlencoded";
const REFRESH: &str = "/tokens/api/refresh";

/// What the page's own script sends, but for what `other` says; an empty value takes a field away.
async fn press(world: &World, path: &str, other: &[(&str, &str)], form: &str) -> Response<bytes::Bytes> {
    let own = format!("http://127.0.0.1:{}", world.admin().port());
    let host = own.trim_start_matches("http://").to_owned();
    let mut fields =
        vec![("host", &*host), ("origin", &*own), ("sec-fetch-site", "same-origin"), ("content-type", FORM)];
    for (name, value) in other {
        // A name with a `+` is one more of it.
        match name.strip_prefix('+') {
            Some(name) => fields.push((name, value)),
            None => {
                fields.retain(|(known, _)| known != name);
                if !value.is_empty() {
                    fields.push((name, value));
                }
            }
        }
    }
    world.ask("POST", path, &fields, form).await
}

#[tokio::test]
async fn r023_r024_only_the_page_itself_may_do_something() {
    let world = World::new().await;
    assert_eq!(ask(&mut application(&world.bearward, "api"), "/orders").await.status(), 200);
    let token = world.form_token().await;
    let good = format!("form_token={token}");
    let port = world.admin().port();
    let (by_name, tls) = (format!("http://localhost:{port}"), format!("https://127.0.0.1:{port}"));
    let other_port = format!("http://127.0.0.1:{}", port ^ 1);
    let wrong = format!("form_token={}", token.chars().rev().collect::<String>());
    let cut = format!("form_token={}", &token[1..]);
    let twice = format!("{good}&form_token=x");
    let refusals: &[(&[(&str, &str)], &str)] = &[
        (&[("origin", "")], &good),
        (&[("origin", "null")], &good),
        (&[("origin", "https://evil.example")], &good),
        (&[("origin", &by_name)], &good),
        (&[("origin", &tls)], &good),
        (&[("origin", &other_port)], &good),
        (&[("+origin", "https://evil.example")], &good),
        (&[("sec-fetch-site", "cross-site")], &good),
        (&[("sec-fetch-site", "same-site")], &good),
        (&[("sec-fetch-site", "none")], &good),
        (&[("+sec-fetch-site", "cross-site")], &good),
        (&[("content-type", "text/plain")], &good),
        (&[("content-type", "multipart/form-data")], &good),
        (&[("content-type", "application/json")], &good),
        (&[("content-type", "")], &good),
        (&[], ""),
        (&[], "form_token="),
        (&[], &wrong),
        (&[], &cut),
        (&[], &twice),
    ];
    for path in [
        REFRESH,
        "/tokens/api/login",
        "/tokens/api/login/code",
        "/tokens/api/login/cancel",
        "/tokens/no/refresh",
    ] {
        for (fields, form) in refusals {
            let refused = press(&world, path, fields, form).await;
            assert_eq!(refused.status(), 403, "{path} {fields:?} {form}");
            assert_eq!(field(&refused, "content-type"), "application/problem+json");
            let problem = json(&refused);
            assert!(problem["detail"].as_str().is_some_and(|words| words.len() > 20), "{problem}");
            assert!(!problem.to_string().contains(&token), "{problem}");
        }
    }
    assert_eq!(world.server.counts().token_requests, 1, "nothing of this has done anything");

    // What is not the page's guard: these would be let in.
    for (path, status) in
        [("/tokens/no/refresh", 404), ("/tokens/api/login", 409), ("/tokens/api/login/code", 409)]
    {
        let answer = press(&world, path, &[], &good).await;
        assert_eq!(answer.status(), status, "{path}: {answer:?}");
        assert!(json(&answer)["detail"].is_string());
    }
    let large = format!("{good}&code={}", "x".repeat(17 << 10));
    assert_eq!(press(&world, REFRESH, &[], &large).await.status(), 400);
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        let refused = world.ask(method, REFRESH, &[], "").await;
        assert_eq!((refused.status().as_u16(), field(&refused, "allow")), (405, "POST"), "{method}");
    }
    world.bearward.stop().await;
}

#[tokio::test]
async fn a_refresh_from_the_page_is_made() {
    let world = World::new().await;
    assert_eq!(ask(&mut application(&world.bearward, "api"), "/orders").await.status(), 200);
    let form = format!("form_token={}", world.form_token().await);
    // One that has only just been got is not replaced; a moment later it is.
    let done = loop {
        let answer = press(
            &world,
            REFRESH,
            &[("content-type", "application/x-www-form-urlencoded; charset=UTF-8")],
            &form,
        )
        .await;
        if answer.status() != 409 {
            break answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert_eq!(done.status(), 202, "{done:?}");
    assert!(json(&done)["detail"].is_string());
    until("a second token request", || world.server.counts().token_requests == 2).await;
    let mut events = Stream::open(world.admin(), None).await;
    events.until("snapshot", |all| all["tokens"][0]["generation"] == 2).await;
    world.bearward.stop().await;
}

#[tokio::test]
async fn r021_a_listener_that_others_can_reach_only_shows_and_says_why() {
    let world = World::with("admin = { listen = \"0.0.0.0:0\", expose = true }").await;
    assert_eq!(ask(&mut application(&world.bearward, "api"), "/orders").await.status(), 200);
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], world.admin().port()));
    let mut events = Stream::open(address, None).await;
    let snapshot = events.until("snapshot", |_| true).await;
    let why = snapshot.data["no_actions"].as_str().expect("a reason").to_owned();
    assert!(why.contains("bearward login"), "{why}");
    let page = world.ask("GET", "/", &[], "").await;
    let html = String::from_utf8_lossy(page.body()).into_owned();
    let token = super::between(&html, "<meta name=\"form-token\" content=\"", "\"");
    let refused = press(&world, REFRESH, &[], &format!("form_token={token}")).await;
    assert_eq!(refused.status(), 403);
    assert_eq!(json(&refused)["detail"], why);
    assert_eq!(world.server.counts().token_requests, 1);
    world.bearward.stop().await;
}

/// A proxy on this machine may serve that name to anybody, and comes from a loopback address like a person's browser.
#[tokio::test]
async fn r021_under_a_name_of_allow_hosts_the_page_only_shows() {
    let world = World::with("admin = { listen = \"127.0.0.1:0\", allow_hosts = [\"bear.example\"] }").await;
    assert_eq!(ask(&mut application(&world.bearward, "api"), "/orders").await.status(), 200);
    let form = format!("form_token={}", world.form_token().await);
    let port = world.admin().port();
    for (host, pressed) in
        [("bear.example", false), ("10.1.2.3", false), ("localhost", true), ("bear.localhost", true)]
    {
        let (host, origin) = (format!("{host}:{port}"), format!("http://{host}:{port}"));
        assert_eq!(world.ask("GET", "/", &[("host", &host)], "").await.status(), 200, "{host}");
        let answer = press(&world, REFRESH, &[("host", &host), ("origin", &origin)], &form).await;
        assert_eq!(answer.status() != 403, pressed, "{host}: {answer:?}");
    }
    world.bearward.stop().await;
}
