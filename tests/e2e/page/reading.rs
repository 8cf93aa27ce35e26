//! What somebody finds who leaves the page open for long, reads it with a keyboard or by ear, or has a strange clock.

use bearward::demo::simulator::Apicbase;

use super::{World, login};
use crate::support::{
    application, ask,
    browser::{Browser, Look, css, label, role},
    outside::{json, look},
    start,
};

async fn opened<'b>(browser: &'b Browser, world: &World) -> crate::support::browser::Page<'b> {
    let page = browser.open(Look::default()).await;
    assert_eq!(page.goto(&format!("http://{}/", world.admin())).await, Ok(200));
    page.sees("Valid").await;
    page
}

/// What the table shows, newest first.
const ROWS: &str = "[...document.querySelectorAll('#exchange-rows tr')].map((row) => row.dataset.id).join()";

#[tokio::test]
async fn a_page_that_is_open_for_long_holds_no_more_than_it_shows_and_shows_nothing_twice() {
    let Some(browser) = Browser::start().await else { return };
    let world = World::new().await;
    let page = opened(&browser, &world).await;
    // Three workers' rings come at once, and then a thousand exchanges more, as the events bring them.
    let line = "(worker, number) => ({ id: `${worker}-${number}`, at: 1000 * number + worker, method: 'GET', path: '/', \
                upstream: 'api', status: 200, took: 1, replayed: false })";
    let all = format!(
        "(() => {{ const line = {line}; for (let number = 0; number < 1000; number += 50) exchanges.add(\
         Array.from({{ length: 150 }}, (_, at) => line(at % 3, number + Math.floor(at / 3)))); return 0; }})()"
    );
    page.evaluate(&all).await;
    let shown = page.evaluate(ROWS).await;
    assert!(shown.as_str().is_some_and(|rows| rows.starts_with("2-999,1-999,0-999")), "{shown}");
    // Who listens anew is told again of all that the rings still hold.
    let again = format!(
        "(() => {{ const line = {line}; exchanges.add(Array.from({{ length: 150 }}, (_, at) => \
         line(at % 3, 950 + Math.floor(at / 3)))); return 0; }})()"
    );
    page.evaluate(&again).await;
    assert_eq!(page.evaluate(ROWS).await, shown);
    let known = page.evaluate("exchanges.seen.size + exchanges.waiting.length").await;
    assert!(known.as_u64().is_some_and(|known| known <= 50), "{known} are remembered");
    world.bearward.stop().await;
}

#[tokio::test]
async fn r145_a_rate_is_told_again_after_bearwards_clock_was_set_back() {
    let Some(browser) = Browser::start().await else { return };
    let world = World::new().await;
    let page = opened(&browser, &world).await;
    let rate = "document.querySelector('.numbers dd').textContent";
    page.until(&format!("{rate} !== '–'")).await;
    page.evaluate(
        "(() => { const now = page.now.bind(page); page.now = () => now() - 3600e3; page.everySecond(); return 0; })()",
    )
    .await;
    assert_eq!(page.evaluate(rate).await, "–", "the span is not known");
    page.until(&format!("{rate} !== '–'")).await;
    world.bearward.stop().await;
}

#[tokio::test]
async fn what_happens_at_once_is_all_announced() {
    let Some(browser) = Browser::start().await else { return };
    let world = World::new().await;
    let page = opened(&browser, &world).await;
    page.evaluate("(announce('One.'), announce('Another.'), 0)").await;
    page.until("byId('announce').textContent !== ''").await;
    assert_eq!(page.evaluate("byId('announce').textContent").await, "One. Another.");
    world.bearward.stop().await;
}

#[tokio::test]
async fn a_page_that_stood_still_itself_does_not_say_that_bearward_was_gone() {
    let Some(browser) = Browser::start().await else { return };
    let world = World::new().await;
    let page = opened(&browser, &world).await;
    let watched = "(() => { globalThis.wasGone = 0; const goes = page.goes.bind(page); \
                   page.goes = (...words) => { wasGone += 1; goes(...words); }; return 0; })()";
    page.evaluate(watched).await;
    // As after a machine's sleep, or in a tab that was frozen: timers and messages wait, and the timers come first.
    let frozen = "(() => { const end = performance.now() + 6000; while (performance.now() < end); page.everySecond(); return 0; })()";
    page.evaluate(frozen).await;
    page.until("performance.now() - page.heard < 1000").await;
    assert_eq!(page.evaluate("wasGone").await, 0);
    world.bearward.stop().await;
}

#[tokio::test]
async fn who_finds_no_place_to_watch_is_told_so() {
    let Some(browser) = Browser::start().await else { return };
    let world = World::new().await;
    let mut watching = Vec::new();
    for _ in 0..16 {
        watching.push(super::stream::Stream::open(world.admin(), None).await);
    }
    let page = browser.open(Look::default()).await;
    assert_eq!(page.goto(&format!("http://{}/", world.admin())).await, Ok(200));
    page.sees("as many pages as it can").await;
    assert!(!page.text().await.contains("is gone"), "{}", page.text().await);
    drop(watching);
    page.sees("All is well").await;
    page.sees_no("as many pages as it can").await;
    world.bearward.stop().await;
}

#[tokio::test]
async fn the_focus_stays_with_a_login_from_its_first_step_to_its_end() {
    let Some(browser) = Browser::start().await else { return };
    let kitchen = Apicbase::new().start().await.unwrap();
    let bearward = login::apicbase(&kitchen, "").await;
    let page = login::opened(&browser, &bearward).await;
    let held = "document.activeElement.closest('.login, .card .row') !== null";
    page.click(role("button", "Log in kitchen")).await;
    page.sees("Hand in").await;
    assert_eq!(page.evaluate(held).await, true, "the link to follow");
    page.click(role("link", login::OPEN)).await;
    let tab = page.tab().await;
    login::allow(&tab).await;
    tab.sees("Copy this code").await;
    let code = tab.text_of(css("#code")).await;
    page.fill(label(login::CODE), &code).await;
    page.press("Enter").await;
    page.sees("Logged in.").await;
    assert_eq!(page.evaluate(held).await, true, "the outcome");
    page.press("Enter").await;
    page.sees_no("Logged in.").await;
    assert_eq!(page.evaluate(held).await, true, "what comes after it");
    bearward.stop().await;
}

#[tokio::test]
async fn a_card_of_an_expired_token_does_not_call_its_expiry_due() {
    let Some(browser) = Browser::start().await else { return };
    let world = World::new().await;
    assert_eq!(ask(&mut application(&world.bearward, "api"), "/").await.status(), 200);
    let page = opened(&browser, &world).await;
    let facts = page
        .evaluate(
            "(() => { const card = [...page.tokens.values()][0]; card.update({ ...card.token, state: 'expired', \
             refresh_at: null, expires_at: page.now() - 89.5e3 }, true); return document.querySelector('dl.facts').innerText; })()",
        )
        .await;
    let facts = facts.as_str().expect("text");
    assert!(facts.contains("Expired") && facts.contains("1:30 ago") && !facts.contains("due now"), "{facts}");
    world.bearward.stop().await;
}

#[tokio::test]
async fn a_static_token_has_no_expiry_that_somebody_would_wait_for() {
    let Some(browser) = Browser::start().await else { return };
    let bearward = start(
        "store = { kind = \"memory\" }\nadmin = { listen = \"127.0.0.1:0\" }\n\
         tokens.fixed = { grant_type = \"static\", access_token = \"a-fixed-one\" }",
    );
    let admin = bearward.address("admin").unwrap();
    let page = browser.open(Look::default()).await;
    assert_eq!(page.goto(&format!("http://{admin}/")).await, Ok(200));
    page.sees("Valid").await;
    let card = page.text_of(css("#tokens .card")).await;
    assert!(card.contains("no expiry") && !card.contains("Expires"), "{card}");
    let status = json(&look(admin, "/status").await);
    assert!(status["tokens"]["fixed"]["expires_at"].is_null(), "{status}");
    bearward.stop().await;
}

#[tokio::test]
async fn an_outage_of_many_tokens_is_one_line_and_a_far_day_fits_a_small_screen() {
    let Some(browser) = Browser::start().await else { return };
    let world = World::new().await;
    assert_eq!(ask(&mut application(&world.bearward, "api"), "/").await.status(), 200);
    let page = browser.open(Look { width: 320, height: 600, ..Look::default() }).await;
    assert_eq!(page.goto(&format!("http://{}/", world.admin())).await, Ok(200));
    page.sees("Valid").await;
    let many = page
        .evaluate(
            "(() => { const { snapshot } = page; const tokens = Array.from({ length: 20 }, (_, at) => ({ ...snapshot.tokens[0], \
             name: 'token' + at, last_error: 'down', expires_at: page.now() + 20 * 86400e3 })); \
             page.show({ ...snapshot, tokens }); const { scrollWidth, clientWidth } = document.documentElement; \
             return [byId('overall').innerText, scrollWidth <= clientWidth]; })()",
        )
        .await;
    assert_eq!(many[0].as_str().map(str::trim), Some("token0, token1 and 18 more: no new token"));
    assert_eq!(many[1], true, "it scrolls sideways");
    world.bearward.stop().await;
}

#[tokio::test]
async fn what_an_authorization_server_says_is_text_and_its_links_lead_to_the_web_only() {
    let Some(browser) = Browser::start().await else { return };
    let world = World::new().await;
    let page = browser.open(Look { width: 320, height: 600, ..Look::default() }).await;
    assert_eq!(page.goto(&format!("http://{}/", world.admin())).await, Ok(200));
    page.sees("Valid").await;
    let opened = "['javascript:hit()', 'JaVaScRiPt:hit()', ' javascript:hit()', 'java\\tscript:hit()', 'data:text/html,x', \
                  'blob:x', 'file:///etc/passwd', 'vbscript:x', '//evil.example/', '/tokens/api/refresh', '', 'http://'] \
                  .filter((url) => link(url, 'x').tagName !== 'CODE')";
    assert_eq!(page.evaluate(opened).await, serde_json::json!([]));
    let wide = page
        .evaluate(
            "(() => { globalThis.hits = 0; globalThis.hit = () => { hits += 1; }; const card = [...page.tokens.values()][0]; \
             const markup = '<img src=x onerror=hit()><script>hit()</script>' + 'x'.repeat(300); \
             for (const login of [{ stage: 'device', user_code: markup, url: 'javascript:hit()//' + markup, complete_url: 'javascript:hit()', \
             expires_at: page.now() + 60e3 }, { stage: 'paste', url: 'javascript:hit()', refused: markup }, \
             { stage: 'browser', url: 'javascript:hit()', refused: markup }, { stage: 'failed', detail: markup }]) { \
             card.update({ ...card.token, state: 'login_required', scope: markup, last_error: markup, person: true, login }, true); \
             const { scrollWidth, clientWidth } = document.documentElement; \
             if (scrollWidth > clientWidth) return login.stage + ' scrolls sideways'; \
             if (card.node.querySelector('img, script, a[href^=javascript]')) return login.stage + ' has markup'; } \
             return null; })()",
        )
        .await;
    assert_eq!(wide, serde_json::Value::Null);
    assert_eq!(page.evaluate("hits").await, 0);
    assert_eq!(page.complaints().await, Vec::<String>::new());
    world.bearward.stop().await;
}
