//! The listener that a browser comes back to, over real sockets: what is refused while the wait goes on, and what ends it.

use std::{net::SocketAddr, time::Duration};

use bearward::{
    demo::simulator::{
        Apicbase,
        person::{Decision, Redirect},
    },
    login::{Begun, LoggedIn, LoginError, Pasted, Redirect as Waiting},
};
use futures_util::future::join_all;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::support::{
    PATIENCE,
    kitchen::{LOOPBACK, Place, sent},
    raw::{exchange, get, parts, status},
    until,
};

async fn begun(place: &Place) -> Waiting {
    match place.account().begin().await.unwrap() {
        Begun::Redirect(waiting) => waiting,
        other => panic!("no listener: {other:?}"),
    }
}

/// Where the redirect URI leads.
fn address(waiting: &Waiting) -> SocketAddr {
    let uri: http::Uri = waiting.redirect_uri().parse().unwrap();
    uri.authority().unwrap().as_str().parse().unwrap()
}

/// A person allows it; the browser has not come back yet.
async fn allowed(url: &str) -> Redirect {
    sent(url, Decision::Allow).await
}

fn wait(waiting: Waiting) -> JoinHandle<Result<LoggedIn, LoginError>> {
    tokio::spawn(waiting.finish())
}

async fn ended(waiting: JoinHandle<Result<LoggedIn, LoginError>>) -> Result<LoggedIn, LoginError> {
    tokio::time::timeout(PATIENCE, waiting).await.expect("it ends").unwrap()
}

#[tokio::test]
async fn r027_the_page_comes_when_the_login_is_stored_and_a_second_visit_is_told_that_it_was_used() {
    let place = Place::with_redirect().await;
    let waiting = begun(&place).await;
    let at = address(&waiting);
    assert!(at.ip().is_loopback() && at.port() != 0, "{at}");
    let back = allowed(waiting.url()).await;
    let waiting = wait(waiting);
    place.kitchen.simulator.hold_token_responses();
    let first = tokio::spawn({
        let back = back.clone();
        async move { back.follow().await.unwrap() }
    });
    until("the code is redeemed", || place.kitchen.simulator.counts().token_requests == 1).await;
    let second = back.follow().await.unwrap();
    assert_eq!(second.status, 409);
    assert!(second.text.contains("already used"), "{second:?}");
    assert!(!first.is_finished(), "nothing is stored yet, so nothing is said");
    assert!(place.stored().is_empty());
    place.kitchen.simulator.release_token_responses();

    let page = tokio::time::timeout(PATIENCE, first).await.unwrap().unwrap();
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.text.contains("You are logged in") && page.text.contains("close this page"), "{page:?}");
    assert_eq!(place.stored().len(), 1);
    let logged_in = ended(waiting).await.unwrap();
    assert!(logged_in.lasting);
    assert_eq!(logged_in.scope.as_deref(), Some("library stock"));
    assert!(TcpStream::connect(at).await.is_err(), "one shot");
    assert_eq!(place.kitchen.simulator.counts().token_requests, 1);
}

/// Whether its end is read before its request was looked at is a matter of chance: many of them, on busy threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_browser_that_is_closed_at_once_has_brought_its_code_all_the_same() {
    let logins = (0..16).map(async |_| {
        let place = Place::with_redirect().await;
        for _ in 0..10 {
            let waiting = begun(&place).await;
            let back = allowed(waiting.url()).await;
            let waiting = wait(waiting);
            back.follow_and_close().await.unwrap();
            ended(waiting).await.unwrap();
        }
    });
    join_all(logins).await;
}

#[tokio::test]
async fn r027_a_page_loads_nothing_runs_nothing_and_is_kept_nowhere() {
    let place = Place::with_redirect().await;
    let waiting = begun(&place).await;
    let back = allowed(waiting.url()).await;
    let waiting = wait(waiting);
    let wrong = back.with("state", "another").follow().await.unwrap();
    let right = back.follow().await.unwrap();
    for page in [wrong, right] {
        let field = |name: &str| page.fields[name].to_str().unwrap().to_owned();
        let policy = field("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(field("referrer-policy"), "no-referrer");
        assert_eq!(field("cache-control"), "no-store");
        assert_eq!(field("x-content-type-options"), "nosniff");
        for loading in ["<script", "src=", "href=", "url("] {
            assert!(!page.text.contains(loading), "{loading} in {}", page.text);
        }
        place.expect_no_secret(&page.text);
    }
    ended(waiting).await.unwrap();
}

#[tokio::test]
async fn r135_what_belongs_to_another_login_is_refused_and_the_wait_goes_on() {
    let place = Place::with_redirect().await;
    let waiting = begun(&place).await;
    let back = allowed(waiting.url()).await;
    let code = back.parameter("code").unwrap();
    let waiting = wait(waiting);
    let refused = back.without("code").with("error", "access_denied").with("state", "another");
    for odd in [
        back.with("state", "another"),
        back.without("state"),
        back.without("code"),
        back.without("code").without("state"),
        refused,
    ] {
        let page = odd.follow().await.unwrap();
        assert_eq!(page.status, 400, "{odd:?}");
        assert!(page.text.contains("bearward still waits"), "{page:?}");
        assert!(!page.text.contains(&code), "{page:?}");
    }
    assert_eq!(place.kitchen.simulator.counts().token_requests, 0, "no code was sent anywhere");
    assert_eq!(back.follow().await.unwrap().status, 200);
    ended(waiting).await.unwrap();
}

#[tokio::test]
async fn r022_only_a_visit_of_its_own_host_and_path_is_one() {
    let place = Place::with_redirect().await;
    let waiting = begun(&place).await;
    let (at, back) = (address(&waiting), allowed(waiting.url()).await);
    let waiting = wait(waiting);
    let (_, target) = back.url().split_once(&at.to_string()).unwrap();
    let own = at.to_string();
    let port = at.port();
    let post =
        format!("POST {target} HTTP/1.1\r\nHost: {own}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    for (request, expected) in [
        (get(target, &format!("evil.example:{port}"), ""), 421),
        (get(target, "evil.example", ""), 421),
        (get(target, &format!("localhost:{port}"), ""), 421),
        (get(target, "127.0.0.1", ""), 421),
        (get(target, &own, &format!("Host: evil.example:{port}\r\n")), 421),
        (get(&format!("http://evil.example{target}"), &own, ""), 421),
        (format!("GET {target} HTTP/1.1\r\nConnection: close\r\n\r\n"), 421),
        (post, 405),
        (get(&target.replace("/callback", "/"), &own, ""), 404),
        (get(&target.replace("/callback", "/callback/"), &own, ""), 404),
        (get("/favicon.ico", &own, ""), 404),
    ] {
        let answer = exchange(at, &request).await;
        assert_eq!(status(&answer), expected, "{request}");
        let (head, _) = parts(&answer);
        assert!(!head.to_lowercase().contains("access-control"), "{head}");
    }
    assert_eq!(place.kitchen.simulator.counts().token_requests, 0, "no code was sent anywhere");
    assert_eq!(status(&exchange(at, get(target, &own, "")).await), 200);
    ended(waiting).await.unwrap();
}

#[tokio::test]
async fn what_a_server_says_is_text_on_the_page() {
    let place = Place::with_redirect().await;
    let waiting = begun(&place).await;
    let back = sent(waiting.url(), Decision::Refuse).await;
    let waiting = wait(waiting);
    let page = back.with("error_description", "<img src=x onerror=alert(1)> \"&'").follow().await.unwrap();
    assert_eq!(page.status, 400);
    assert!(page.text.contains("&#60;img src=x onerror=alert(1)&#62;"), "{page:?}");
    assert!(!page.text.contains("<img"), "{page:?}");
    let refused = ended(waiting).await.unwrap_err();
    assert!(matches!(refused, LoginError::Refused(_)), "{refused:?}");
    assert!(refused.to_string().contains("access_denied"), "{refused}");
    assert!(place.stored().is_empty());
}

#[tokio::test]
async fn a_code_that_cannot_be_redeemed_is_said_in_the_browser_too() {
    let further = format!("redirect_uri = \"{LOOPBACK}\"");
    let hasty = Apicbase::new().redirect_uri(LOOPBACK).code_lifetime(Duration::ZERO);
    let place = Place::new(hasty, &further).await;
    let waiting = begun(&place).await;
    let back = allowed(waiting.url()).await;
    let waiting = wait(waiting);
    let page = back.follow().await.unwrap();
    assert_eq!(page.status, 400);
    assert!(page.text.contains("You are not logged in"), "{page:?}");
    assert!(page.text.contains("the code was too old or used"), "{page:?}");
    let failed = ended(waiting).await.unwrap_err();
    assert!(failed.to_string().contains("the code was too old or used"), "{failed}");
}

#[tokio::test]
async fn a_browser_closed_before_it_came_back_is_waited_for_and_one_closed_after_it_is_not_needed() {
    let place = Place::with_redirect().await;
    let waiting = begun(&place).await;
    let (at, back) = (address(&waiting), allowed(waiting.url()).await);
    let waiting = wait(waiting);
    for half in ["", "GET /callback?code=x", "GET /callback?code=x&state=y HTTP/1.1\r\nHo"] {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(half.as_bytes()).await.unwrap();
        drop(stream);
    }
    // Somebody who connects and says nothing keeps nobody waiting in the end.
    let silent = TcpStream::connect(at).await.unwrap();
    back.follow_and_close().await.unwrap();
    ended(waiting).await.unwrap();
    drop(silent);
    assert_eq!(place.stored().len(), 1);
}

#[tokio::test]
async fn nobody_comes() {
    let place = Place::with_redirect().await;
    let waiting = begun(&place).await;
    let at = address(&waiting);
    let too_late = waiting.within(Duration::from_millis(50)).finish().await.unwrap_err();
    assert!(matches!(too_late, LoginError::TooLate), "{too_late:?}");
    assert!(too_late.to_string().contains("nobody finished the login in time"), "{too_late}");
    assert!(TcpStream::connect(at).await.is_err());
}

#[tokio::test]
async fn a_login_that_is_dropped_listens_no_more() {
    let place = Place::with_redirect().await;
    let waiting = begun(&place).await;
    let at = address(&waiting);
    let waiting = wait(waiting);
    assert_eq!(status(&exchange(at, get("/favicon.ico", &at.to_string(), "")).await), 404);
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    let closed = tokio::time::timeout(PATIENCE, async {
        while TcpStream::connect(at).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(closed.await.is_ok(), "its listener stays");
}

#[tokio::test]
async fn r027_localhost_is_listened_for_on_both_its_addresses_and_another_loopback_uri_on_its_own() {
    let uri = LOOPBACK.replace("127.0.0.1", "localhost");
    let place = Place::new(Apicbase::new().redirect_uri(&uri), &format!("redirect_uri = \"{uri}\"")).await;
    let waiting = begun(&place).await;
    let sent = waiting.redirect_uri().to_owned();
    let port: u16 =
        sent.strip_prefix("http://localhost:").unwrap().split('/').next().unwrap().parse().unwrap();
    let back = allowed(waiting.url()).await;
    let waiting = wait(waiting);
    let host = format!("localhost:{port}");
    let four = exchange(SocketAddr::from(([127, 0, 0, 1], port)), get("/x", &host, "")).await;
    assert_eq!(status(&four), 404);
    // Where this machine has IPv6 at all.
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        let six = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port));
        assert_eq!(status(&exchange(six, get("/x", &host, "")).await), 404);
        let taken = std::net::TcpListener::bind(six);
        assert!(taken.is_err(), "nobody else is brought the code");
    }
    assert_eq!(back.follow().await.unwrap().status, 200);
    ended(waiting).await.unwrap();
}

#[tokio::test]
async fn an_address_that_is_no_loopback_one_is_pasted() {
    let uri = "https://app.example/callback";
    let place = Place::new(Apicbase::new().redirect_uri(uri), &format!("redirect_uri = \"{uri}\"")).await;
    let Begun::Paste(paste) = place.account().begin().await.unwrap() else { panic!("nobody can serve that") };
    let back = allowed(paste.url()).await;
    assert!(paste.check(back.with("state", "another").url()).is_err());
    paste.check(back.url()).unwrap();
    let logged_in = paste.finish(back.url()).await.unwrap();
    assert!(logged_in.lasting);
}

#[tokio::test]
async fn a_browser_on_another_machine_has_its_address_pasted() {
    let place = Place::with_redirect().await;
    let waiting = begun(&place).await;
    let back = allowed(waiting.url()).await;
    let (paste, pasted) = mpsc::channel(1);
    let waiting = tokio::spawn(waiting.finish_or_pasted(pasted));
    for (text, words) in
        [(back.with("state", "x").url(), "belongs to another login"), ("two words", "no code in it")]
    {
        let (refused, why) = oneshot::channel();
        paste.send(Pasted { text: text.to_owned(), refused }).await.unwrap();
        let why = tokio::time::timeout(PATIENCE, why).await.unwrap().unwrap();
        assert!(why.contains(words), "{why}");
    }
    assert_eq!(place.kitchen.simulator.counts().token_requests, 0);
    paste.send(Pasted { text: back.url().to_owned(), refused: oneshot::channel().0 }).await.unwrap();
    assert!(ended(waiting).await.unwrap().lasting);
}
