//! The five APIs by their presets: an application that knows nothing of OAuth, over several lifetimes, without one
//! failed request.
//!
//! How many token requests are allowed follows from the time that passed, as the provider recorded it: a busy machine
//! makes lifetimes no shorter.

use std::time::Duration;

use bearward::demo::simulator::{
    Apicbase, Cybrid, Cymbio, Inventorum, Outcome, Shopware, Simulator, TokenRequest, apicbase, cybrid,
    cymbio, inventorum, shopware,
};
use bytes::Bytes;
use futures_util::future::join;
use http::Request;
use tempfile::TempDir;

use crate::support::{Application, PATIENCE, application, start};

/// How long tokens live: short, and long enough that a busy machine refreshes within the last fifth.
const LIFETIME: Duration = Duration::from_secs(2);
/// How many tokens are granted before a test is over: the first and four more.
const GRANTS: usize = 5;
/// A refresh comes at 0.75 to 0.8 of a lifetime. The rest is for the way of the first request.
const EARLIEST: f64 = 0.7;

#[tokio::test]
async fn r122_r130_inventorum_rotates_its_refresh_token_and_the_application_sees_nothing() {
    let inventorum = Inventorum::new().lifetime(LIFETIME).start().await.unwrap();
    let refresh_token = inventorum::FIRST_REFRESH_TOKEN;
    let keys = format!(
        "refresh_token = \"{refresh_token}\"\n{}",
        client(inventorum::CLIENT_ID, inventorum::CLIENT_SECRET)
    );
    serve(&inventorum, "inventorum", &keys, "/api/products/").await;
    let requests = inventorum.token_requests();
    assert!(requests.iter().all(|request| request.grant == "refresh_token"), "{requests:?}");
    let mut used: Vec<_> = requests.iter().map(|request| request.parameters.one("refresh_token")).collect();
    used.sort_unstable();
    used.dedup();
    assert_eq!(used.len(), requests.len(), "each refresh token is used once");
}

#[tokio::test]
async fn inventorum_for_older_apps_begins_with_a_password_and_goes_on_with_refresh_tokens() {
    let inventorum = Inventorum::new().lifetime(LIFETIME).start().await.unwrap();
    let keys = [
        "grant_type = \"password\"\n",
        &login(inventorum::USERNAME, inventorum::PASSWORD),
        &client(inventorum::CLIENT_ID, inventorum::CLIENT_SECRET),
    ];
    serve(&inventorum, "inventorum", &keys.concat(), "/api/orders/").await;
    assert_password_then_refreshes(&inventorum);
}

#[tokio::test]
async fn shopware_takes_an_integrations_credentials_as_json() {
    let shopware = Shopware::new().lifetime(LIFETIME).start().await.unwrap();
    let keys = client(shopware::CLIENT_ID, shopware::CLIENT_SECRET);
    serve(&shopware, "shopware", &keys, "/api/product").await;
    assert!(shopware.token_requests().iter().all(|request| request.grant == "client_credentials"));
}

#[tokio::test]
async fn shopware_takes_an_administrators_password_with_scopes_and_then_refresh_tokens() {
    let shopware = Shopware::new().lifetime(LIFETIME).start().await.unwrap();
    let keys = format!("grant_type = \"password\"\n{}", login(shopware::USERNAME, shopware::PASSWORD));
    serve(&shopware, "shopware", &keys, "/api/order").await;
    assert_password_then_refreshes(&shopware);
    let requests = shopware.token_requests();
    assert_eq!(requests[0].parameters.one("scopes"), Some("write"));
    assert_eq!(requests[0].parameters.one("client_id"), Some("administration"));
}

#[tokio::test]
async fn cybrid_serves_a_bank() {
    let cybrid = Cybrid::new().lifetime(LIFETIME).start().await.unwrap();
    let keys = format!(
        "scope = \"customers:read banks:read\"\n{}",
        client(cybrid::CLIENT_ID, cybrid::CLIENT_SECRET)
    );
    serve(&cybrid, "cybrid", &keys, "/api/customers").await;
}

#[tokio::test]
async fn cybrid_serves_two_customers_each_with_a_token_of_its_own() {
    // A customer's token says whole seconds by its JWT's exp: two to three.
    let customer_lifetime = Duration::from_secs(3);
    let cybrid = Cybrid::new().lifetime(LIFETIME).customer_lifetime(customer_lifetime).start().await.unwrap();
    let store = tempfile::tempdir().unwrap();
    let bank = format!(
        "scope = \"customers:read customers:write\"\n{}",
        client(cybrid::CLIENT_ID, cybrid::CLIENT_SECRET)
    );
    let customer = r#"
        grant_type = "request"
        authorize_with = "bank"
        body = { customer_guid = "{subject}", scopes = ["trades:read"] }
        subject_header = "x-bearward-subject"
    "#;
    let bearward = start(
        &[
            kept_in(&store),
            token("bank", "cybrid", &cybrid, &bank),
            token("api", "cybrid", &cybrid, customer),
            upstream("cybrid", &cybrid),
        ]
        .concat(),
    );
    let (mut first, mut second) = (application(&bearward, "api"), application(&bearward, "api"));
    let [ada, ben, ..] = cybrid::CUSTOMERS;
    join(
        stream(&mut first, "/api/trades", Some(ada), || granted(&cybrid, ada).len() >= GRANTS),
        stream(&mut second, "/api/trades", Some(ben), || granted(&cybrid, ben).len() >= GRANTS),
    )
    .await;
    bearward.stop().await;
    assert_untroubled(&cybrid);
    for subject in [ada, ben] {
        // One second may be lost to the whole seconds of exp.
        assert_one_per_lifetime(&granted(&cybrid, subject), customer_lifetime - Duration::from_secs(1));
    }
    assert_one_per_lifetime(&granted(&cybrid, ""), LIFETIME);
    let strangers = cybrid
        .api_requests()
        .into_iter()
        .filter(|request| request.call.fields.contains_key("x-bearward-subject"));
    assert_eq!(strangers.count(), 0, "the subject's field stays behind");
}

#[tokio::test]
async fn cymbio_takes_username_and_password_with_client_credentials() {
    let cymbio = Cymbio::new().lifetime(LIFETIME).start().await.unwrap();
    let keys = [
        "scope = [\"read:orders\", \"write:inventory\"]\n",
        &login(cymbio::USERNAME, cymbio::PASSWORD),
        &client(cymbio::CLIENT_ID, cymbio::CLIENT_SECRET),
    ];
    serve(&cymbio, "cymbio", &keys.concat(), "/v3/orders").await;
    let request = &cymbio.token_requests()[0];
    assert_eq!(request.grant, "client_credentials");
    assert_eq!(request.parameters.one("scope"), Some("read:orders write:inventory"));
}

#[tokio::test]
async fn cymbio_without_a_login_sends_none() {
    let cymbio = Cymbio::new().lifetime(LIFETIME).without_login().start().await.unwrap();
    let keys = format!("scope = \"read:orders\"\n{}", client(cymbio::CLIENT_ID, cymbio::CLIENT_SECRET));
    serve(&cymbio, "cymbio", &keys, "/v3/orders").await;
    assert!(cymbio.token_requests().iter().all(|request| request.parameters.one("username").is_none()));
}

#[tokio::test]
async fn apicbase_serves_a_supplier() {
    let apicbase = Apicbase::new().lifetime(LIFETIME).start().await.unwrap();
    let keys = format!(
        "grant_type = \"client_credentials\"\n{}",
        client(apicbase::SUPPLIER_ID, apicbase::SUPPLIER_SECRET)
    );
    serve(&apicbase.simulator, "apicbase", &keys, "/api/products/").await;
}

#[tokio::test]
async fn r130_apicbase_goes_on_from_a_refresh_token_that_stays_good() {
    let apicbase = Apicbase::new().lifetime(LIFETIME).start().await.unwrap();
    let code = apicbase.authorize(&["library", "sales"], None);
    let refresh_token = logged_in(&apicbase.simulator, &code).await;
    let keys = format!(
        "grant_type = \"refresh_token\"\nrefresh_token = \"{refresh_token}\"\n{}",
        client(apicbase::CLIENT_ID, apicbase::CLIENT_SECRET)
    );
    serve(&apicbase.simulator, "apicbase", &keys, "/api/products/").await;
    let requests = apicbase.simulator.token_requests();
    assert!(
        requests[1..].iter().all(|request| request.parameters.one("refresh_token") == Some(&refresh_token))
    );
}

/// What the person's browser and the application's vendor did before: a code became a refresh token.
async fn logged_in(apicbase: &Simulator, code: &str) -> String {
    let body = format!(
        "grant_type=authorization_code&code={code}&client_id={}&client_secret={}",
        apicbase::CLIENT_ID,
        apicbase::CLIENT_SECRET
    );
    let request = Request::post("/oauth/token/").header("content-type", "application/x-www-form-urlencoded");
    let answer = Application::new(apicbase.address()).send(request.body(body.into()).unwrap()).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    answer["refresh_token"].as_str().unwrap_or_else(|| panic!("no refresh token: {answer}")).to_owned()
}

/// Puts bearward in front of `provider`, with a token recipe of `preset` and these further keys, and sends a steady stream
/// of requests over several lifetimes.
async fn serve(provider: &Simulator, preset: &str, keys: &str, path: &str) {
    let store = tempfile::tempdir().unwrap();
    let before = provider.token_requests().len();
    let bearward =
        start(&[kept_in(&store), token("api", preset, provider, keys), upstream(preset, provider)].concat());
    let mut application = application(&bearward, "api");
    let sent =
        stream(&mut application, path, None, || provider.token_requests().len() >= before + GRANTS).await;
    bearward.stop().await;
    assert_untroubled(provider);
    assert_eq!(provider.counts().api_requests, sent, "each request is sent once");
    assert_one_per_lifetime(&provider.token_requests()[before..], LIFETIME);
}

/// Plain requests, one after the other, until it is `over`. How many.
async fn stream(
    application: &mut Application,
    path: &str,
    subject: Option<&str>,
    over: impl Fn() -> bool,
) -> u64 {
    let mut sent = 0;
    let streaming = async {
        while !over() {
            let request = Request::get(path);
            let request = match subject {
                Some(subject) => request.header("x-bearward-subject", subject),
                None => request,
            };
            let answer = application.send(request.body(Bytes::new()).unwrap()).await.unwrap();
            sent += 1;
            assert_eq!(answer.status(), 200, "request {sent}: {:?}", answer.body());
            if let Some(subject) = subject {
                let content = String::from_utf8_lossy(answer.body());
                assert!(content.contains(subject), "the answer is somebody else's: {content}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let ended = tokio::time::timeout(PATIENCE, streaming).await;
    assert!(ended.is_ok(), "after {sent} requests the tokens did not follow one another");
    sent
}

/// The provider saw nothing but living tokens and granted whatever it was asked for.
fn assert_untroubled(provider: &Simulator) {
    let counts = provider.counts();
    assert_eq!(counts.bare_requests_seen, 0, "{counts:?}");
    assert_eq!(
        counts.expired_tokens_seen + counts.revoked_tokens_seen + counts.unknown_tokens_seen,
        0,
        "{counts:?}"
    );
    assert_eq!(counts.dead_refresh_tokens_seen + counts.unknown_refresh_tokens_seen, 0, "{counts:?}");
    assert_eq!(counts.granted, counts.token_requests, "{counts:?}");
}

/// One token request per lifetime: none before its time. That none came late is what the stream of requests shows.
fn assert_one_per_lifetime(requests: &[TokenRequest], lifetime: Duration) {
    assert!(requests.len() >= 3, "too few to judge: {requests:?}");
    let (first, last) = (requests[0].at, requests[requests.len() - 1].at);
    let passed = last.since(first);
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let at_least = lifetime.mul_f64(EARLIEST * (requests.len() - 1) as f64);
    assert!(passed >= at_least, "{} token requests of {lifetime:?} within {passed:?}", requests.len());
}

fn assert_password_then_refreshes(provider: &Simulator) {
    let requests = provider.token_requests();
    let grants: Vec<_> = requests.iter().map(|request| request.grant.as_str()).collect();
    assert_eq!(grants[0], "password");
    assert!(grants[1..].iter().all(|grant| *grant == "refresh_token"), "{grants:?}");
}

/// The granted token requests for one subject; for nobody in particular with an empty one.
fn granted(provider: &Simulator, subject: &str) -> Vec<TokenRequest> {
    let mut requests = provider.token_requests();
    requests.retain(
        |request| matches!(&request.outcome, Outcome::Granted { subject: whose, .. } if whose == subject),
    );
    requests
}

fn kept_in(store: &TempDir) -> String {
    format!("store = {{ path = '{}' }}\n", store.path().join("store").display())
}

fn token(name: &str, preset: &str, provider: &Simulator, keys: &str) -> String {
    format!("[tokens.{name}]\npreset = \"{preset}\"\nbase_url = \"{}\"\n{keys}\n", provider.url())
}

fn upstream(preset: &str, provider: &Simulator) -> String {
    format!(
        "[upstreams.api]\npreset = \"{preset}\"\nurl = \"{}\"\ntoken = \"api\"\nlisten = \"127.0.0.1:0\"\n",
        provider.url()
    )
}

fn client(id: &str, secret: &str) -> String {
    format!("client_id = \"{id}\"\nclient_secret = \"{secret}\"\n")
}

fn login(username: &str, password: &str) -> String {
    format!("username = \"{username}\"\npassword = \"{password}\"\n")
}
