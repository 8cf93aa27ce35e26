//! What a person sees and does: the page in a real Chromium.

use std::{net::SocketAddr, time::Duration};

use bearward::{
    app::App,
    config::Config,
    demo::simulator::{Answer, Apicbase, apicbase},
};
use http::StatusCode;

use super::World;
use crate::support::{
    application, ask,
    browser::{Browser, Look, Page, css, role},
    configuration,
    kitchen::Place,
    site::{Site, html},
    start,
};

async fn opened<'b>(browser: &'b Browser, world: &World, look: Look) -> Page<'b> {
    let page = browser.open(look).await;
    assert_eq!(page.goto(&format!("http://{}/", world.admin())).await, Ok(200));
    page.sees("Valid").await;
    page
}

async fn has_no_fault(page: &Page<'_>) {
    let violations = page.axe().await;
    assert!(violations.is_empty(), "{violations:#?}");
}

/// What a card's clocks say.
const CLOCKS: &str = "[...document.querySelectorAll('#tokens .clock, #tokens .ring text')].map((clock) => clock.textContent).join()";

#[tokio::test]
async fn clocks_run_down_and_requests_appear_as_they_come() {
    let Some(browser) = Browser::start().await else { return };
    let world = World::new().await;
    let mut requests = application(&world.bearward, "api");
    assert_eq!(ask(&mut requests, "/before").await.status(), 200);
    let page = opened(&browser, &world, Look::default()).await;
    page.sees("/before").await;
    let clocks = page.evaluate(CLOCKS).await;
    page.until(&format!("{CLOCKS} !== {clocks}")).await;
    let arc = "document.querySelector('.ring .left').getAttribute('stroke-dasharray')";
    let before = page.evaluate(arc).await;
    page.until(&format!("{arc} !== {before}")).await;

    assert_eq!(ask(&mut requests, "/orders/%3Cb%3E?key=in-a-query").await.status(), 200);
    page.sees("/orders/%3Cb%3E").await;
    assert!(!page.text().await.contains("in-a-query"));
    let address = format!("http://{}", world.bearward.address("api").unwrap());
    page.sees(&address).await;
    page.sees(&format!("curl -i {address}/")).await;
    page.until("document.querySelector('.numbers dd').textContent !== '–'").await;
    assert_eq!(page.complaints().await, Vec::<String>::new());
    world.bearward.stop().await;
}

#[tokio::test]
async fn a_revocation_and_an_outage_show_and_so_does_their_end() {
    let Some(browser) = Browser::start().await else { return };
    let world = World::new().await;
    let mut requests = application(&world.bearward, "api");
    assert_eq!(ask(&mut requests, "/orders").await.status(), 200);
    let page = opened(&browser, &world, Look::default()).await;
    assert_eq!(page.text_of(css("#overall")).await, "All is well");

    world.server.revoke_all();
    assert_eq!(ask(&mut requests, "/orders").await.status(), 200);
    page.until("document.querySelector('.badge')?.textContent === 'replayed'").await;
    page.until("[...document.querySelectorAll('#tokens dd')].some((fact) => fact.textContent === '2')").await;

    world.server.fail_token_endpoint(Answer::status(StatusCode::SERVICE_UNAVAILABLE));
    world.server.revoke_all();
    assert_eq!(ask(&mut requests, "/orders").await.status(), 503);
    page.sees("Last error:").await;
    page.sees("503").await;
    page.sees("api: no new token").await;
    page.until("document.title.startsWith('api: no new token')").await;
    page.until("document.querySelector('#announce').textContent.includes('api is now')").await;
    has_no_fault(&page).await;

    world.server.mend_token_endpoint();
    page.sees("All is well").await;
    page.sees_no("Last error:").await;
    assert_eq!(page.complaints().await, Vec::<String>::new());
    world.bearward.stop().await;
}

#[tokio::test]
async fn refresh_now_works_by_keyboard() {
    let Some(browser) = Browser::start().await else { return };
    let world = World::new().await;
    assert_eq!(ask(&mut application(&world.bearward, "api"), "/orders").await.status(), 200);
    let page = opened(&browser, &world, Look::default()).await;
    page.until("document.querySelector('#tokens button:not([hidden])') !== null").await;
    let reached = "document.activeElement.textContent === 'Refresh now api'";
    for _ in 0..10 {
        page.press("Tab").await;
        if page.evaluate(reached).await == true {
            break;
        }
    }
    assert_eq!(page.evaluate(reached).await, true, "the keyboard reaches it");
    let asked = || world.server.counts().token_requests;
    // One that has only just been got is not replaced, and the page says so.
    while asked() < 2 {
        page.press("Enter").await;
        page.until("document.querySelector('.note:not([hidden])') !== null").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    page.until("[...document.querySelectorAll('#tokens dd')].some((fact) => fact.textContent === '2')").await;
    assert_eq!(page.evaluate(reached).await, true, "the focus stays");
    world.bearward.stop().await;
}

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_page_says_when_bearward_is_gone_and_comes_back_with_it() {
    let Some(browser) = Browser::start().await else { return };
    let admin = format!("admin = {{ listen = \"127.0.0.1:{}\" }}", free_port());
    let world = World::with(&admin).await;
    let page = opened(&browser, &world, Look::default()).await;
    let token = page.attribute(css("meta[name=form-token]"), "content").await;
    world.bearward.stop().await;
    page.sees("bearward does not answer since").await;
    page.sees("bearward is gone").await;
    let clocks = page.evaluate(CLOCKS).await;
    tokio::time::sleep(Duration::from_millis(2200)).await;
    assert_eq!(page.evaluate(CLOCKS).await, clocks, "clocks stand still");
    let pressable = "[...document.querySelectorAll('#tokens button')].some((button) => !button.disabled)";
    assert_eq!(page.evaluate(pressable).await, false);
    has_no_fault(&page).await;

    let again = start(&format!("{admin}\n{}", configuration(&world.server.url(), &world.api.url())));
    page.sees("All is well").await;
    page.sees_no("bearward does not answer").await;
    page.until(pressable).await;
    assert_ne!(
        page.attribute(css("meta[name=form-token]"), "content").await,
        token,
        "it is the new run's page"
    );
    again.stop().await;
}

#[tokio::test]
async fn r023_a_form_on_another_site_changes_nothing() {
    let Some(browser) = Browser::start().await else { return };
    let world = World::new().await;
    assert_eq!(ask(&mut application(&world.bearward, "api"), "/orders").await.status(), 200);
    // Even with the right token in the form, as if it had leaked.
    let (admin, token) = (world.admin(), world.form_token().await);
    let evil = Site::start(move |_| {
        html(format!(
            "<!doctype html><html lang=en><title>Evil</title><form method=post action=http://{admin}/tokens/api/refresh>
             <input type=hidden name=form_token value=\"{token}\"><button>Win a prize</button></form>
             <iframe title=framed src=http://{admin}/></iframe>"
        ))
    })
    .await;
    let page = browser.open(Look::default()).await;
    assert_eq!(page.goto(&format!("http://{}/", evil.address())).await, Ok(200));
    page.click(role("button", "Win a prize")).await;
    page.sees("403").await;
    assert!(page.text().await.contains("web page of another site"), "{}", page.text().await);
    assert_eq!(world.server.counts().token_requests, 1);
    world.bearward.stop().await;
}

#[tokio::test]
async fn nothing_stands_in_the_way_of_anybody_in_light_and_dark_and_on_a_phone() {
    let Some(browser) = Browser::start().await else { return };
    let world = World::new().await;
    let mut requests = application(&world.bearward, "api");
    for path in
        ["/orders", "/a/long/path/that/goes/on/and/on/and/on/without/any/place/to/break/it/1234567890"]
    {
        assert_eq!(ask(&mut requests, path).await.status(), 200);
    }
    for look in [
        Look::default(),
        Look { dark: true, ..Look::default() },
        Look { width: 390, height: 844, ..Look::default() },
        Look { width: 320, height: 600, dark: true, ..Look::default() },
    ] {
        let page = opened(&browser, &world, look.clone()).await;
        page.sees("/orders").await;
        has_no_fault(&page).await;
        let wider = "document.documentElement.scrollWidth > document.documentElement.clientWidth";
        assert_eq!(page.evaluate(wider).await, false, "{look:?} scrolls sideways");
        assert_eq!(page.complaints().await, Vec::<String>::new());
        page.close().await;
    }
    world.bearward.stop().await;
}

#[tokio::test]
async fn pausing_keeps_the_exchanges_still_for_reading() {
    let Some(browser) = Browser::start().await else { return };
    let world = World::new().await;
    let mut requests = application(&world.bearward, "api");
    assert_eq!(ask(&mut requests, "/one").await.status(), 200);
    let page = opened(&browser, &world, Look::default()).await;
    page.sees("/one").await;
    page.click(role("button", "Pause")).await;
    assert_eq!(ask(&mut requests, "/two").await.status(), 200);
    page.sees("Go on (1 new)").await;
    assert!(!page.text().await.contains("/two"));
    page.click(role("button", "Go on (1 new)")).await;
    page.sees("/two").await;
    world.bearward.stop().await;
}

#[tokio::test]
async fn a_changed_configuration_that_is_not_in_force_is_told_until_one_is() {
    let Some(browser) = Browser::start().await else { return };
    let place = Place::new(Apicbase::new(), "").await;
    place.edit("[tokens.kitchen]", "[admin]\nlisten = \"127.0.0.1:0\"\n[tokens.kitchen]");
    let bearward = App::start(Config::load(Some(&place.file)).unwrap()).unwrap();
    let page = browser.open(Look::default()).await;
    let admin = bearward.address("admin").unwrap();
    assert_eq!(page.goto(&format!("http://{admin}/")).await, Ok(200));
    page.sees("Login required").await;
    page.sees_no("is not in force").await;

    place.edit("client_secret =", "client_secert =");
    bearward.reload();
    page.sees("The changed configuration is not in force").await;
    page.sees("client_secert").await;
    assert!(!page.text().await.contains(apicbase::CLIENT_SECRET), "a secret is on the page");
    has_no_fault(&page).await;

    place.edit("client_secert =", "client_secret =");
    bearward.reload();
    page.sees_no("is not in force").await;
    bearward.stop().await;
}

#[tokio::test]
async fn where_nothing_is_configured_it_says_how_to_begin() {
    let Some(browser) = Browser::start().await else { return };
    let bearward = start("store = { kind = \"memory\" }\nadmin = { listen = \"127.0.0.1:0\" }");
    let admin: SocketAddr = bearward.address("admin").unwrap();
    let page = browser
        .open(Look { permissions: vec!["clipboard-read", "clipboard-write"], ..Look::default() })
        .await;
    assert_eq!(page.goto(&format!("http://{admin}/")).await, Ok(200));
    page.sees("Nothing is configured yet").await;
    page.sees("bearward init").await;
    has_no_fault(&page).await;
    page.click(role("button", "Copy the command bearward init")).await;
    page.until("navigator.clipboard.readText().then((text) => text === 'bearward init')").await;
    assert_eq!(page.complaints().await, Vec::<String>::new());
    bearward.stop().await;
}
