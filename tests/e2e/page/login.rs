//! A person logs in on the page: by a pasted code, by a browser that comes back, and with a code for another device.

use std::time::Duration;

use bearward::{
    app::Running,
    demo::simulator::{
        Apicbase, AuthorizationServer, ResourceServer, Resources, Simulator,
        apicbase::{CLIENT_ID, CLIENT_SECRET, Kitchen},
        authorization_server::{DEVICE_AUTHORIZATION_ENDPOINT, TOKEN_ENDPOINT},
    },
};

use super::under_way::sent_back;
use crate::support::{
    application, ask,
    browser::{Browser, Look, Page, css, label, role},
    start,
};

pub(super) const OPEN: &str = "Open the login page (opens in a new tab)";
pub(super) const CODE: &str = "Paste the code here at once: it lives for a minute or so.";
const ADDRESS: &str = "The browser could not come back? Paste the address it ended on.";

/// bearward with a token `kitchen` that a person logs in for.
pub(super) async fn apicbase(kitchen: &Kitchen, further: &str) -> Running {
    start(&format!(
        r#"
        store = {{ kind = "memory" }}
        admin = {{ listen = "127.0.0.1:0" }}

        [tokens.kitchen]
        preset = "apicbase"
        base_url = "{url}"
        authorization_endpoint = "{}"
        client_id = "{CLIENT_ID}"
        client_secret = "{CLIENT_SECRET}"
        scope = ["library", "stock"]
        {further}

        [upstreams.kitchen]
        url = "{url}"
        token = "kitchen"
        listen = "127.0.0.1:0"
        "#,
        kitchen.authorization_endpoint(),
        url = kitchen.simulator.url(),
    ))
}

pub(super) async fn opened<'b>(browser: &'b Browser, bearward: &Running) -> Page<'b> {
    let page = browser.open(Look::default()).await;
    let admin = bearward.address("admin").expect("it has an admin listener");
    assert_eq!(page.goto(&format!("http://{admin}/")).await, Ok(200));
    page.sees("Login required").await;
    page.sees("kitchen: login required").await;
    page.sees("bearward login kitchen").await;
    page
}

/// The person allows it on the authorization server's own page.
pub(super) async fn allow(tab: &Page<'_>) {
    tab.fill(label("Login name"), "chef@kitchen.example").await;
    tab.click(role("button", "Allow")).await;
}

async fn is_accessible(page: &Page<'_>) {
    let violations = page.axe().await;
    assert!(violations.is_empty(), "{violations:#?}");
    assert_eq!(page.complaints().await, Vec::<String>::new());
}

#[tokio::test]
async fn r136_a_code_is_pasted_and_requests_go_through() {
    let Some(browser) = Browser::start().await else { return };
    let kitchen = Apicbase::new().start().await.unwrap();
    let bearward = apicbase(&kitchen, "").await;
    let mut requests = application(&bearward, "kitchen");
    assert_eq!(ask(&mut requests, "/api/stock").await.status(), 503);
    let page = opened(&browser, &bearward).await;
    page.click(role("button", "Log in kitchen")).await;
    page.sees("Hand in").await;
    is_accessible(&page).await;
    // Nothing is opened without a click, and then in the person's own browser.
    page.click(role("link", OPEN)).await;
    let tab = page.tab().await;
    assert!(tab.address().await.starts_with(&kitchen.authorization_endpoint()), "{}", tab.address().await);
    assert_eq!(
        tab.evaluate("window.opener === null").await,
        true,
        "r136: the other page has no hold on this one"
    );
    allow(&tab).await;
    tab.sees("Copy this code").await;
    let code = tab.text_of(css("#code")).await;
    page.fill(label(CODE), &code).await;
    page.press("Enter").await;
    page.sees("Logged in.").await;
    page.sees("All is well").await;
    page.sees("library").await;
    is_accessible(&page).await;
    assert_eq!(ask(&mut requests, "/api/stock").await.status(), 200);
    assert!(!page.text().await.contains(&code), "the code is gone");
    page.click(role("button", "Dismiss login for kitchen")).await;
    page.sees_no("Logged in.").await;
    bearward.stop().await;
}

#[tokio::test]
async fn a_code_that_came_too_late_is_said_to_be_that_and_the_next_one_is_good() {
    let Some(browser) = Browser::start().await else { return };
    let kitchen = Apicbase::new().code_lifetime(Duration::ZERO).start().await.unwrap();
    let bearward = apicbase(&kitchen, "").await;
    let page = opened(&browser, &bearward).await;
    page.click(role("button", "Log in kitchen")).await;
    page.click(role("link", OPEN)).await;
    let tab = page.tab().await;
    allow(&tab).await;
    tab.sees("Copy this code").await;
    let code = tab.text_of(css("#code")).await;
    page.fill(label(CODE), &code).await;
    page.click(role("button", "Hand in")).await;
    page.sees("The login came to nothing:").await;
    page.sees("too old").await;
    is_accessible(&page).await;
    // Again from the beginning.
    page.click(role("button", "Log in kitchen")).await;
    page.sees("Hand in").await;
    page.sees_no("came to nothing").await;
    page.click(role("button", "Cancel login for kitchen")).await;
    page.sees_no("Hand in").await;
    page.sees("Login required").await;
    bearward.stop().await;
}

#[tokio::test]
async fn the_browser_comes_back_by_itself() {
    let Some(browser) = Browser::start().await else { return };
    let kitchen = Apicbase::new().redirect_uri("http://127.0.0.1/callback").start().await.unwrap();
    let bearward = apicbase(&kitchen, "redirect_uri = \"http://127.0.0.1:0/callback\"").await;
    let page = opened(&browser, &bearward).await;
    page.click(role("button", "Log in kitchen")).await;
    page.click(role("link", OPEN)).await;
    let tab = page.tab().await;
    allow(&tab).await;
    tab.sees("close this").await;
    page.sees("Logged in.").await;
    page.sees("All is well").await;
    assert_eq!(ask(&mut application(&bearward, "kitchen"), "/api/stock").await.status(), 200);
    bearward.stop().await;
}

#[tokio::test]
async fn r135_a_browser_that_could_not_come_back_has_its_address_pasted() {
    let Some(browser) = Browser::start().await else { return };
    let kitchen = Apicbase::new().redirect_uri("http://127.0.0.1/callback").start().await.unwrap();
    let bearward = apicbase(&kitchen, "redirect_uri = \"http://127.0.0.1:0/callback\"").await;
    let page = opened(&browser, &bearward).await;
    page.click(role("button", "Log in kitchen")).await;
    page.sees("Open the login page").await;
    is_accessible(&page).await;
    let url = page.attribute(role("link", OPEN), "href").await.unwrap();
    let address = sent_back(&url).await;
    page.fill(label(ADDRESS), &address.replace("state=", "state=x")).await;
    page.press("Enter").await;
    page.sees("Not taken: this answer belongs to another login").await;
    is_accessible(&page).await;
    assert_eq!(page.evaluate("document.activeElement.name").await, "code", "the next try");
    page.fill(label(ADDRESS), &address).await;
    page.click(role("button", "Hand in")).await;
    page.sees("Logged in.").await;
    page.sees("All is well").await;
    assert_eq!(ask(&mut application(&bearward, "kitchen"), "/api/stock").await.status(), 200);
    bearward.stop().await;
}

async fn device() -> (Simulator, Resources, Running) {
    let server = AuthorizationServer::new()
        .public_client("tv")
        .device_authorization(Duration::from_secs(1), Duration::from_secs(600))
        .start()
        .await
        .unwrap();
    let api = ResourceServer::new(&server).start().await.unwrap();
    let bearward = start(&format!(
        r#"
        store = {{ kind = "memory" }}
        admin = {{ listen = "127.0.0.1:0" }}

        [tokens.kitchen]
        grant_type = "device_code"
        device_authorization_endpoint = "{url}{DEVICE_AUTHORIZATION_ENDPOINT}"
        token_endpoint = "{url}{TOKEN_ENDPOINT}"
        token_endpoint_auth_method = "none"
        client_id = "tv"

        [upstreams.kitchen]
        url = "{}"
        token = "kitchen"
        listen = "127.0.0.1:0"
        "#,
        api.url(),
        url = server.url(),
    ));
    (server, api, bearward)
}

#[tokio::test]
async fn a_code_is_shown_for_another_device() {
    let Some(browser) = Browser::start().await else { return };
    let (_server, _api, bearward) = device().await;
    let page = opened(&browser, &bearward).await;
    page.click(role("button", "Log in kitchen")).await;
    page.sees("The code is good for").await;
    is_accessible(&page).await;
    let code = page.text_of(css(".user-code")).await;
    page.click(css(".login a")).await;
    let tab = page.tab().await;
    tab.fill(css("input[name=user_code]"), &code).await;
    allow(&tab).await;
    page.sees("Logged in.").await;
    page.sees("All is well").await;
    assert_eq!(ask(&mut application(&bearward, "kitchen"), "/orders").await.status(), 200);
    bearward.stop().await;
}
