//! The shortest way: one application, one upstream, one token.

use bearward::demo::simulator::{Answer, AuthorizationServer, ResourceServer};
use http::{StatusCode, header::CACHE_CONTROL};

use crate::support::{Application, Process, application, ask, configuration, start};

#[tokio::test]
async fn an_application_that_knows_nothing_of_oauth_is_served() {
    let authorization_server = AuthorizationServer::new().client("app", "secret").start().await.unwrap();
    let api = ResourceServer::new(&authorization_server).start().await.unwrap();
    let bearward = start(&configuration(&authorization_server.url(), &api.url()));
    let mut application = application(&bearward, "api");
    assert_eq!(ask(&mut application, "/orders?page=1").await.status(), 200);
    assert_eq!(authorization_server.token_requests().len(), 1);
    bearward.stop().await;
}

#[tokio::test]
async fn r084_what_was_answered_to_one_request_is_not_kept_for_the_next() {
    let authorization_server = AuthorizationServer::new().client("app", "secret").start().await.unwrap();
    let cacheable =
        Answer::status(StatusCode::OK).field(CACHE_CONTROL, "public, max-age=3600").content("one");
    let api = ResourceServer::new(&authorization_server).always("/kept", cacheable).start().await.unwrap();
    let bearward = start(&configuration(&authorization_server.url(), &api.url()));
    let mut application = application(&bearward, "api");
    for count in 1..=3 {
        let answer = ask(&mut application, "/kept").await;
        assert_eq!(answer.body().as_ref(), b"one");
        assert_eq!(api.requests().len(), count, "each request is the API's to answer");
    }
    bearward.stop().await;
}

#[tokio::test]
async fn workers_share_a_port_and_one_token() {
    let authorization_server = AuthorizationServer::new().client("app", "secret").start().await.unwrap();
    let api = ResourceServer::new(&authorization_server).start().await.unwrap();
    let configuration = configuration(&authorization_server.url(), &api.url());
    let bearward = start(&format!("workers = 3\n{configuration}"));
    let mut applications: Vec<_> = (0..24).map(|_| application(&bearward, "api")).collect();
    for application in &mut applications {
        assert_eq!(ask(application, "/orders").await.status(), 200);
    }
    assert!(api.connections() > 1, "connections of one worker are not another's");
    assert_eq!(authorization_server.token_requests().len(), 1);
    drop(applications);
    bearward.stop().await;
}

#[tokio::test]
async fn the_binary_serves_and_stops_on_a_signal() {
    let authorization_server = AuthorizationServer::new().client("app", "secret").start().await.unwrap();
    let api = ResourceServer::new(&authorization_server).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bearward.toml");
    std::fs::write(&file, configuration(&authorization_server.url(), &api.url())).unwrap();
    let bearward = Process::run(&file);
    let mut application = Application::new(bearward.address("api").await);
    assert_eq!(ask(&mut application, "/orders").await.status(), 200);
    bearward.signal("TERM");
    assert_eq!(bearward.ended().await.code(), Some(0));
}
