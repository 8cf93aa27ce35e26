//! A browser that uses the forward proxy: pages of the API get its token, pages of other sites get nothing of it (r022).

use crate::{
    clients::world::{Way, World},
    support::{
        browser::{Browser, Look, Page, role},
        site::{Site, html},
    },
};

/// The proxy for everything but the other site, for loopback addresses too. That the local CA is trusted is other clients' to test.
fn flags(world: &World) -> [String; 4] {
    [
        format!("--proxy-server={}", world.proxy()),
        "--proxy-bypass-list=<-loopback>;evil.example".to_owned(),
        "--host-resolver-rules=MAP evil.example 127.0.0.1".to_owned(),
        "--ignore-certificate-errors".to_owned(),
    ]
}

/// A page of the API, what it fetches, and its WebSocket.
async fn a_page_of_the_api_is_authorized(page: &Page<'_>, base: &str) {
    assert_eq!(page.goto(&format!("{base}/page")).await, Ok(200), "{base}");
    page.sees("Orders").await;
    let echo =
        page.evaluate("fetch('/echo/orders', { method: 'POST', body: 'one' }).then((a) => a.json())").await;
    assert_eq!(
        (&echo["target"], &echo["content"]["text"]),
        (&"/echo/orders".into(), &"one".into()),
        "{base}"
    );
    let said = page.evaluate(
        "new Promise((done, failed) => {
            const socket = new WebSocket(location.origin.replace('http', 'ws') + '/live', 'echo');
            socket.onopen = () => socket.send('one');
            socket.onmessage = (message) => done(message.data);
            socket.onerror = () => failed(new Error('no WebSocket'));
        })",
    );
    assert_eq!(said.await, "one", "{base}");
}

#[tokio::test]
async fn r022_r081_a_browser_through_the_forward_proxy() {
    let Some(world) = World::new().await else { return };
    let flags = flags(&world);
    let Some(browser) = Browser::start_with(&flags.each_ref().map(String::as_str)).await else { return };
    let bases = [world.api(Way::Absolute), world.api(Way::Tunnel)];
    let links: String = bases.iter().map(|base| format!("<a href='{base}/page'>{base}</a> ")).collect();
    let evil = Site::start(move |_| html(format!("<!doctype html><title>Evil</title><p>Evil {links}"))).await;
    let evil = format!("http://evil.example:{}/", evil.address().port());
    for base in &bases {
        let page = browser.open(Look::default()).await;
        a_page_of_the_api_is_authorized(&page, base).await;
        let seen = world.seen().await;
        assert_eq!(page.goto(&evil).await, Ok(200));
        for how in ["{}", "{ mode: 'no-cors' }", "{ mode: 'no-cors', method: 'POST', body: 'x' }"] {
            let fetched = format!("fetch('{base}/echo', {how}).then((a) => a.type, () => 'refused')");
            let fetched = page.evaluate(&fetched).await;
            assert!(fetched == "refused" || fetched == "opaque", "{base} {how}: {fetched}");
        }
        page.click(role("link", base)).await;
        page.sees("403").await;
        assert_eq!(page.address().await, format!("{base}/page"), "what a link led to");
        assert_eq!(world.seen().await, seen, "{base}: nothing reached the API");
        // The person asks for it: nobody else's page is in this.
        a_page_of_the_api_is_authorized(&page, base).await;
        assert!(world.seen().await > seen);
    }
    let page = browser.open(Look::default()).await;
    assert_eq!(page.goto("http://unmatched.example/").await, Ok(403));
    let refused = page.goto("https://unmatched.example/").await.unwrap_err();
    assert!(refused.contains("ERR_TUNNEL_CONNECTION_FAILED"), "{refused}");
    assert_eq!(world.bare().await, 0, "nothing goes out without a token");
}
