//! Many connections at once while tokens come and go.

use std::time::Duration;

use bearward::demo::simulator::{AuthorizationServer, ResourceServer};
use futures_util::future::join_all;

use crate::support::{Application, ask, configuration, start};

const CONNECTIONS: usize = 24;
const SPAN: Duration = Duration::from_secs(15);
const LIFETIME: Duration = Duration::from_secs(2);
/// At most one token request in this time.
const APART: Duration = Duration::from_millis(1400);

#[tokio::test]
async fn r122_a_closed_loop_over_many_lifetimes_sees_nothing_but_success() {
    let authorization_server = AuthorizationServer::new().lifetime(LIFETIME).start().await.unwrap();
    let api = ResourceServer::new(&authorization_server).start().await.unwrap();
    let bearward = start(&configuration(&authorization_server.url(), &api.url()));
    let address = bearward.address("api").unwrap();
    let begun = tokio::time::Instant::now();
    let loops = (0..CONNECTIONS).map(|_| async move {
        let mut application = Application::new(address);
        let mut sent: u64 = 0;
        while begun.elapsed() < SPAN {
            let answer = ask(&mut application, "/orders?page=1").await;
            sent += 1;
            assert_eq!(answer.status(), 200, "request {sent}: {:?}", answer.body());
            // Every connection always waits for its own answer; the pause leaves the machine to the other tests.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        sent
    });
    let sent: u64 = join_all(loops).await.into_iter().sum();
    bearward.stop().await;

    let counts = api.counts();
    assert_eq!(counts.api_requests, sent, "no request was sent twice");
    let rejections = counts.expired_tokens_seen + counts.unknown_tokens_seen + counts.bare_requests_seen;
    assert_eq!(rejections, 0, "{counts:?}");
    let requests = authorization_server.token_requests();
    let passed = requests[requests.len() - 1].at.since(requests[0].at);
    let apart = u32::try_from(requests.len() - 1).unwrap();
    assert!(passed >= APART * apart, "{} token requests within {passed:?}", requests.len());
    assert!(requests.len() >= 7, "tokens of {LIFETIME:?} served {SPAN:?}");
}
