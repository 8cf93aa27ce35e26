//! A login that is under way on the page while something else happens: a typing error, a reload, the end of bearward.

use std::{net::SocketAddr, time::Duration};

use bearward::{
    app::{App, Running},
    config::Config,
    demo::simulator::{
        Answer, Apicbase,
        person::{Decision, Person},
    },
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};

use super::stream::Stream;
use crate::support::{
    Application, application, ask,
    kitchen::{Place, sent},
    outside::{json, look},
    until,
};

const LOGIN: &str = "/tokens/kitchen/login";

/// bearward with a page, and a form for its buttons.
struct Desk {
    place: Place,
    bearward: Running,
    admin: SocketAddr,
    form: String,
}

impl Desk {
    async fn new() -> Self {
        Self::at(Place::new(Apicbase::new(), "").await).await
    }

    async fn at(place: Place) -> Self {
        place.edit("[tokens.kitchen]", "[admin]\nlisten = \"127.0.0.1:0\"\n[tokens.kitchen]");
        let bearward = App::start(Config::load(Some(&place.file)).unwrap()).unwrap();
        let admin = bearward.address("admin").unwrap();
        let page = look(admin, "/").await;
        let html = std::str::from_utf8(page.body()).unwrap();
        let form =
            format!("form_token={}", super::between(html, "<meta name=\"form-token\" content=\"", "\""));
        Self { place, bearward, admin, form }
    }

    async fn press(&self, path: &str, more: &[(&str, &str)]) -> Response<Bytes> {
        let mut form = form_urlencoded::Serializer::new(self.form.clone());
        form.extend_pairs(more);
        let request = Request::post(path)
            .header("host", self.admin.to_string())
            .header("origin", format!("http://{}", self.admin))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from(form.finish()))
            .unwrap();
        Application::new(self.admin).send(request).await.unwrap()
    }

    /// Begins a login; what the page shows from then on, and the code that the person copied.
    async fn copied(&self) -> (Stream, String) {
        let mut events = Stream::open(self.admin, None).await;
        assert_eq!(self.press(LOGIN, &[]).await.status(), 202);
        let login = at(&mut events, "paste").await;
        let code = Person::new().copy_code(login["url"].as_str().unwrap()).await.unwrap();
        (events, code)
    }

    /// Begins a login whose browser runs where nobody listens; what the page shows from then on, and the address that the
    /// browser ended on.
    async fn stranded(&self) -> (Stream, String) {
        let mut events = Stream::open(self.admin, None).await;
        assert_eq!(self.press(LOGIN, &[]).await.status(), 202);
        let login = at(&mut events, "browser").await;
        (events, sent_back(login["url"].as_str().unwrap()).await)
    }

    /// Stops while this code, or the address that holds it, is being redeemed.
    async fn stop_over(self, mut events: Stream, code: &str) {
        let granted = json!({ "access_token": "late", "token_type": "Bearer", "expires_in": 60, "refresh_token": "later" });
        let slowly = Answer::json(StatusCode::OK, &granted).after(Duration::from_secs(1));
        self.place.kitchen.simulator.answer_next_token_request(slowly);
        assert_eq!(self.press("/tokens/kitchen/login/code", &[("code", code)]).await.status(), 202);
        at(&mut events, "redeeming").await;
        let cancelled = self.press("/tokens/kitchen/login/cancel", &[]).await;
        assert_eq!(cancelled.status(), 409, "its code is spent: what it brings is wanted");
        assert!(json(&cancelled)["detail"].as_str().unwrap().contains("redeemed"));
        self.bearward.stop().await;
        let stored = self.place.stored();
        let kept = stored.iter().any(|(_, record)| String::from_utf8_lossy(record).contains("later"));
        assert!(kept, "the refresh token is in the store");
    }
}

/// The person allows it, and their browser is sent to this address, which it does not reach.
pub(super) async fn sent_back(url: &str) -> String {
    sent(url, Decision::Allow).await.url().to_owned()
}

/// The login, once it is at this stage.
async fn at(events: &mut Stream, stage: &str) -> Value {
    let mut all = events.until("snapshot", |all| all["tokens"][0]["login"]["stage"] == stage).await.data;
    all["tokens"][0]["login"].take()
}

#[tokio::test]
async fn r135_what_belongs_to_another_login_is_refused_and_the_wait_goes_on() {
    let desk = Desk::new().await;
    let (mut events, code) = desk.copied().await;
    let wrong = format!("https://app.example/callback?code={code}&state=of-another-login");
    assert_eq!(desk.press("/tokens/kitchen/login/code", &[("code", &wrong)]).await.status(), 202);
    let refused = |all: &Value| all["tokens"][0]["login"]["refused"].is_string();
    let told = events.until("snapshot", refused).await.data;
    assert_eq!(told["tokens"][0]["login"]["stage"], "paste");
    assert!(!events.all.contains(&code), "the code is not shown");
    assert_eq!(desk.press("/tokens/kitchen/login/code", &[("code", &code)]).await.status(), 202);
    events.until("snapshot", |all| all["tokens"][0]["state"] == "valid").await;
    assert_eq!(ask(&mut application(&desk.bearward, "api"), "/api/stock").await.status(), 200);
    desk.bearward.stop().await;
}

#[tokio::test]
async fn r135_where_the_browser_cannot_come_back_its_address_is_taken_and_another_logins_is_not() {
    let desk = Desk::at(Place::with_redirect().await).await;
    let (mut events, address) = desk.stranded().await;
    let another = address.replace("state=", "state=x");
    for (wrong, words) in [(&*another, "another login"), ("two words", "no code in it")] {
        assert_eq!(desk.press("/tokens/kitchen/login/code", &[("code", wrong)]).await.status(), 202);
        let refused = |all: &Value| {
            all["tokens"][0]["login"]["refused"].as_str().is_some_and(|why| why.contains(words))
        };
        let told = events.until("snapshot", refused).await.data;
        assert_eq!(told["tokens"][0]["login"]["stage"], "browser", "{words}");
    }
    assert_eq!(desk.place.kitchen.simulator.counts().token_requests, 0);
    assert_eq!(desk.press("/tokens/kitchen/login/code", &[("code", &address)]).await.status(), 202);
    events.until("snapshot", |all| all["tokens"][0]["state"] == "valid").await;
    let code = super::between(&format!("{address}&"), "code=", "&").to_owned();
    assert!(!events.all.contains(&code), "the code is not shown");
    assert_eq!(ask(&mut application(&desk.bearward, "api"), "/api/stock").await.status(), 200);
    desk.bearward.stop().await;
}

#[tokio::test]
async fn a_login_for_what_a_reload_took_away_ends_and_one_for_what_stayed_goes_on() {
    let desk = Desk::new().await;
    let (mut events, code) = desk.copied().await;
    // Something else changes: the login goes on.
    desk.place.edit("token = \"kitchen\"", "token = \"kitchen\"\n            connect_timeout = \"4s\"");
    desk.bearward.reload();
    // The same name, and another recipe.
    let running = desk.press("/tokens/kitchen/login", &[]).await;
    assert_eq!(running.status(), 409, "one is under way");
    desk.place.edit("scope = [\"library\", \"stock\"]", "scope = [\"library\"]");
    desk.bearward.reload();
    events.until("snapshot", |all| all["tokens"][0]["login"].is_null()).await;
    let late = desk.press("/tokens/kitchen/login/code", &[("code", &code)]).await;
    assert_eq!(late.status(), 409, "{late:?}");
    assert_eq!(desk.place.kitchen.simulator.counts().token_requests, 0, "the code went nowhere");
    desk.bearward.stop().await;
}

#[tokio::test]
async fn r149_a_code_that_is_being_redeemed_when_bearward_stops_is_not_lost() {
    let desk = Desk::new().await;
    let (events, code) = desk.copied().await;
    desk.stop_over(events, &code).await;
}

#[tokio::test]
async fn r149_an_address_whose_code_is_being_redeemed_when_bearward_stops_is_not_lost() {
    let desk = Desk::at(Place::with_redirect().await).await;
    let (events, address) = desk.stranded().await;
    desk.stop_over(events, &address).await;
}

#[tokio::test]
async fn what_a_spent_code_brings_is_kept_although_the_login_was_cancelled_meanwhile() {
    let desk = Desk::at(Place::with_redirect().await).await;
    let mut events = Stream::open(desk.admin, None).await;
    assert_eq!(desk.press(LOGIN, &[]).await.status(), 202);
    let login = at(&mut events, "browser").await;
    let simulator = &desk.place.kitchen.simulator;
    let granted =
        json!({ "access_token": "late", "token_type": "Bearer", "expires_in": 60, "refresh_token": "later" });
    simulator.answer_next_token_request(Answer::json(StatusCode::OK, &granted).after(Duration::from_secs(1)));
    let person = Person::new();
    let cancelled = async {
        until("the code is being redeemed", || simulator.counts().token_requests == 1).await;
        assert_eq!(desk.press("/tokens/kitchen/login/cancel", &[]).await.status(), 202);
        events.until("snapshot", |all| all["tokens"][0]["login"].is_null()).await;
    };
    // Whether the person's browser is still told does not matter here.
    let (_told, ()) = tokio::join!(person.allow(login["url"].as_str().unwrap()), cancelled);
    let kept =
        || desk.place.stored().iter().any(|(_, record)| String::from_utf8_lossy(record).contains("later"));
    until("the refresh token is in the store", kept).await;
    desk.bearward.stop().await;
}

#[tokio::test]
async fn nothing_is_begun_while_bearward_stops() {
    let desk = Desk::new().await;
    // A request under way holds the end up.
    let slowly = Answer::status(StatusCode::OK).after(Duration::from_secs(2));
    let (_, code) = desk.copied().await;
    assert_eq!(desk.press("/tokens/kitchen/login/code", &[("code", &code)]).await.status(), 202);
    let mut events = Stream::open(desk.admin, None).await;
    events.until("snapshot", |all| all["tokens"][0]["state"] == "valid").await;
    let mut requests = application(&desk.bearward, "api");
    assert_eq!(ask(&mut requests, "/api/stock").await.status(), 200);
    desk.place.kitchen.simulator.answer_next("/api/slow", slowly);
    let slow = tokio::spawn(async move { ask(&mut requests, "/api/slow").await.status() });
    let api_requests = || desk.place.kitchen.simulator.counts().api_requests;
    until("the request is under way", || api_requests() > 1).await;
    let stopping = async {
        events.until("snapshot", |all| all["stopping"] == true).await;
        let refused = desk.press(LOGIN, &[]).await;
        assert_eq!(refused.status(), 409);
        assert!(json(&refused)["detail"].as_str().unwrap().contains("stopping"), "{refused:?}");
    };
    tokio::join!(stopping, desk.bearward.stop());
    assert_eq!(slow.await.unwrap(), 200);
}
