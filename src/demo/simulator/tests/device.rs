//! Device authorization: the interval, the page, and every way it can end.

use super::*;
use crate::{
    clock::Clock,
    demo::simulator::{
        authorization_server::{DEVICE_AUTHORIZATION_ENDPOINT, VERIFICATION_PAGE},
        device::Devices,
        person::Decision,
    },
};

const CLIENT: &str = "client_id=tv";

async fn server(interval: Duration, lifetime: Duration) -> Simulator {
    let server = AuthorizationServer::new().public_client("tv").keeping_refresh_tokens();
    server.device_authorization(interval, lifetime).start().await.unwrap()
}

async fn begin(server: &Simulator, body: &str) -> Response<Bytes> {
    post(server.address(), DEVICE_AUTHORIZATION_ENDPOINT, &[("content-type", FORM)], body).await
}

async fn poll(server: &Simulator, begun: &Response<Bytes>) -> Response<Bytes> {
    let code = member(begun, "device_code");
    let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code";
    any_grant(server.address(), &format!("{grant}&{CLIENT}&device_code={code}")).await
}

#[tokio::test]
async fn a_person_enters_the_code_and_the_device_gets_its_tokens_once() {
    let server = server(Duration::ZERO, 60 * SECOND).await;
    let begun = begin(&server, &format!("{CLIENT}&scope=read+write")).await;
    assert_eq!(
        (value(&begun)["interval"].clone(), value(&begun)["expires_in"].clone()),
        (json!(0), json!(60))
    );
    assert_eq!(member(&poll(&server, &begun).await, "error"), "authorization_pending");
    let entered = member(&begun, "user_code").replace('-', " ").to_lowercase();
    let page = member(&begun, "verification_uri");
    let told = Person::new().enter(&page, &entered, Decision::Allow).await.unwrap();
    assert!(told.status == 200 && told.text.contains("Connected"), "{}", told.text);
    let granted = poll(&server, &begun).await;
    assert_eq!(member(&granted, "scope"), "read write");
    assert!(!member(&granted, "refresh_token").is_empty());
    assert_eq!(member(&poll(&server, &begun).await, "error"), "invalid_grant", "used");
    let again = Person::new().enter(&page, &entered, Decision::Refuse).await.unwrap();
    assert_eq!(again.status, 400, "nobody waits any more");
    assert_eq!(server.counts().logins, 1);
}

#[tokio::test]
async fn the_complete_address_has_the_code_in_it_and_a_person_may_refuse() {
    let server = server(Duration::ZERO, 60 * SECOND).await;
    let begun = begin(&server, CLIENT).await;
    let complete = member(&begun, "verification_uri_complete");
    assert!(complete.contains(VERIFICATION_PAGE) && complete.contains(&member(&begun, "user_code")));
    Person::new().confirm(&complete, Decision::Refuse).await.unwrap();
    for _ in 0..2 {
        assert_eq!(member(&poll(&server, &begun).await, "error"), "access_denied");
    }
    let wrong = Person::new().enter(&member(&begun, "verification_uri"), "BBBB-BBBB", Decision::Allow).await;
    assert_eq!(wrong.unwrap().status, 400);
    assert_eq!(server.counts().logins, 0);
}

#[tokio::test]
async fn a_device_that_asks_too_early_is_told_to_slow_down_even_when_the_person_is_done() {
    let server = server(60 * SECOND, 600 * SECOND).await;
    let begun = begin(&server, CLIENT).await;
    assert_eq!(member(&poll(&server, &begun).await, "error"), "authorization_pending");
    Person::new().confirm(&member(&begun, "verification_uri_complete"), Decision::Allow).await.unwrap();
    for hasty in 1..3 {
        assert_eq!(member(&poll(&server, &begun).await, "error"), "slow_down");
        assert_eq!(server.counts().hasty_polls, hasty);
    }
    let late = self::server(Duration::ZERO, Duration::ZERO).await;
    let begun = begin(&late, CLIENT).await;
    assert_eq!(member(&poll(&late, &begun).await, "error"), "expired_token");
    let page = Person::new().confirm(&member(&begun, "verification_uri_complete"), Decision::Allow).await;
    assert_eq!(page.unwrap().status, 400, "too late for the person as well");
}

/// RFC 8628 section 3.5, on a clock of our own.
#[tokio::test]
async fn each_hasty_question_makes_the_interval_five_seconds_longer() {
    let (clock, devices) = (Clock::manual(std::time::UNIX_EPOCH), Devices::new(VERIFICATION_PAGE));
    let form = |body: String| {
        let request = Request::post("/").header("content-type", FORM).body(()).unwrap();
        Call { body: body.into(), ..Call::head(&request.into_parts().0, clock.now()) }
    };
    let call = form(CLIENT.to_owned());
    let begun = devices.begin(&call, &call.form().unwrap(), "tv".to_owned()).unwrap();
    let Reply::Response(begun) = begun.into_reply().await else { panic!("raw octets") };
    let begun = http_body_util::BodyExt::collect(begun.into_body()).await.unwrap().to_bytes();
    let code = member(&Response::new(begun), "device_code");
    let parameters = form(format!("device_code={code}")).form().unwrap();
    let (mut tokens, mut record) = (Tokens::default(), Record::default());
    let mut ask = |seconds| {
        clock.suspend(seconds * SECOND);
        let mut desk = Desk { tokens: &mut tokens, record: &mut record, now: clock.now() };
        devices.redeem(&parameters, "tv", &mut desk).unwrap_err().error
    };
    let answers =
        [(0, "authorization_pending"), (4, "slow_down"), (9, "slow_down"), (15, "authorization_pending")];
    for (seconds, expected) in answers {
        assert_eq!(ask(seconds), expected, "after {seconds} s");
    }
    assert_eq!(ask(14), "slow_down", "it stays longer");
}

#[tokio::test]
async fn the_device_endpoint_wants_a_form_the_client_and_nothing_twice() {
    let server = server(SECOND, 60 * SECOND).await;
    let at = server.address();
    for (body, error) in [
        ("scope=a", "invalid_client"),
        ("client_id=another", "invalid_client"),
        ("client_id=tv&client_secret=guessed", "invalid_client"),
        ("client_id=tv&scope=a&scope=b", "invalid_request"),
        ("client_id=tv&scope=a++b", "invalid_scope"),
    ] {
        assert_eq!(member(&begin(&server, body).await, "error"), error, "{body}");
    }
    let json =
        post(at, DEVICE_AUTHORIZATION_ENDPOINT, &[("content-type", JSON)], "{\"client_id\":\"tv\"}").await;
    assert_eq!(member(&json, "error"), "invalid_request");
    assert_eq!(read(at, DEVICE_AUTHORIZATION_ENDPOINT, &[]).await.status(), 405);
    let plain = AuthorizationServer::new().device_authorization(SECOND, SECOND);
    let plain = plain.device_member("interval", Value::Null).start().await.unwrap();
    assert_eq!(member(&begin(&plain, "scope=a").await, "error"), "invalid_request", "who is it?");
    assert_eq!(value(&begin(&plain, CLIENT).await).get("interval"), None);
}
