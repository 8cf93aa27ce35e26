//! `/events`: its form, what it says and when, who gets how much of it, and how it ends.

use std::time::{Duration, Instant};

use bearward::demo::simulator::Outcome;
use http::Request;

use super::{World, stream::Stream};
use crate::support::{
    application, ask, get,
    outside::{field, json},
};

#[tokio::test]
async fn events_say_all_at_first_and_then_what_is_new() {
    let world = World::new().await;
    let mut requests = application(&world.bearward, "api");
    assert_eq!(ask(&mut requests, "/first?secret=in-a-query").await.status(), 200);
    let mut events = Stream::open(world.admin(), None).await;
    assert_eq!((events.status(), events.field("content-type")), (200, "text/event-stream"));
    assert_eq!(events.field("cache-control"), "no-store");
    let beat = events.next().await;
    assert_eq!(beat.name, "beat");
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap();
    assert!(beat.data["now"].as_u64().unwrap().abs_diff(now) < 60_000, "{beat:?}");
    assert!(events.all.starts_with("retry: 1000\n\n"), "{}", events.all);

    let snapshot = events.next().await;
    assert_eq!(snapshot.name, "snapshot");
    let token = &snapshot.data["tokens"][0];
    assert_eq!((&token["name"], &token["state"]), (&"api".into(), &"valid".into()), "{snapshot:?}");
    assert_eq!((&token["generation"], &token["person"]), (&1.into(), &false.into()), "{snapshot:?}");
    let times: Vec<u64> =
        ["obtained_at", "refresh_at", "expires_at"].map(|name| token[name].as_u64().unwrap()).into();
    assert!(times.is_sorted() && times[0] <= now, "{snapshot:?}");
    let upstream = &snapshot.data["upstreams"][0];
    let address = format!("http://{}", world.bearward.address("api").unwrap());
    assert_eq!(upstream["ways"][0]["address"], address);
    assert_eq!(upstream["ways"][0]["curl"], format!("curl -i {address}/"));
    assert_eq!(upstream["url"], world.api.url());
    assert_eq!((&upstream["requests"], &upstream["token"]), (&1.into(), &"api".into()));
    let durations = upstream["durations"].as_array().unwrap();
    assert_eq!(durations.len(), snapshot.data["bounds"].as_array().unwrap().len() + 1);
    assert_eq!(durations.iter().map(|count| count.as_u64().unwrap()).sum::<u64>(), 1);
    assert!(snapshot.data["no_actions"].is_null());

    let exchanges = events.next().await;
    assert_eq!(exchanges.name, "exchanges");
    let line = &exchanges.data[0];
    assert_eq!((&line["method"], &line["path"]), (&"GET".into(), &"/first".into()), "no query: {line}");
    assert_eq!((&line["status"], &line["replayed"]), (&200.into(), &false.into()), "{line}");
    assert_eq!(line["upstream"], "api");
    assert!(line["took"].as_f64().unwrap() > 0.0 && line["at"].as_u64().unwrap() <= now, "{line}");

    world.server.revoke_all();
    assert_eq!(ask(&mut requests, "/second/%7Eencoded%20/").await.status(), 200);
    let replayed = events.until("exchanges", |lines| lines[0]["path"] == "/second/%7Eencoded%20/").await;
    assert_eq!((replayed.data.as_array().unwrap().len(), &replayed.data[0]["replayed"]), (1, &true.into()));
    let both =
        |all: &serde_json::Value| all["tokens"][0]["generation"] == 2 && all["upstreams"][0]["replays"] == 1;
    Stream::open(world.admin(), None).await.until("snapshot", both).await;
    assert!(!events.all.contains("in-a-query"), "{}", events.all);
    world.bearward.stop().await;
}

#[tokio::test]
async fn who_comes_back_gets_what_was_missed_and_who_comes_from_another_run_gets_all() {
    let world = World::new().await;
    let mut requests = application(&world.bearward, "api");
    for path in ["/1", "/2"] {
        ask(&mut requests, path).await;
    }
    let mut events = Stream::open(world.admin(), None).await;
    let seen = events.until("exchanges", |lines| lines.as_array().unwrap().len() == 2).await;
    ask(&mut requests, "/3").await;
    let paths = |event: &super::stream::Event| -> Vec<String> {
        let lines = event.data.as_array().unwrap().iter();
        lines.map(|line| line["path"].as_str().unwrap().to_owned()).collect()
    };
    let mut again = Stream::open(world.admin(), Some(&seen.id)).await;
    assert_eq!(paths(&again.until("exchanges", |_| true).await), ["/3"]);
    let other_run = format!("another{}", &seen.id);
    for last in [&*other_run, "", "nonsense", "/"] {
        let mut all = Stream::open(world.admin(), Some(last)).await;
        assert_eq!(paths(&all.until("exchanges", |_| true).await), ["/1", "/2", "/3"], "{last:?}");
    }
    for number in 4..100 {
        ask(&mut requests, &format!("/{number}")).await;
    }
    let mut late = Stream::open(world.admin(), Some(&seen.id)).await;
    assert_eq!(paths(&late.until("exchanges", |_| true).await).len(), 50, "no more is kept");
    world.bearward.stop().await;
}

#[tokio::test]
async fn a_request_that_belongs_to_no_upstream_is_seen_too() {
    let world = World::with(
        "admin = { listen = \"127.0.0.1:0\" }\ngateway = { listen = \"127.0.0.1:0\" }\n\
         upstreams.far = { url = \"http://127.0.0.1:1\", path = \"/far\" }",
    )
    .await;
    let mut gateway = application(&world.bearward, "gateway");
    assert_eq!(ask(&mut gateway, "/nowhere").await.status(), 404);
    assert_eq!(ask(&mut gateway, "/far/away").await.status(), 502);
    let mut events = Stream::open(world.admin(), None).await;
    let lines = events.until("exchanges", |lines| lines.as_array().unwrap().len() == 2).await.data;
    assert_eq!((&lines[0]["path"], &lines[0]["status"]), (&"/nowhere".into(), &404.into()));
    assert!(lines[0]["upstream"].is_null(), "{lines}");
    assert_eq!((&lines[1]["path"], &lines[1]["upstream"]), (&"/far/away".into(), &"far".into()), "{lines}");
    world.bearward.stop().await;
}

#[tokio::test]
async fn r002_r023_what_may_not_come_in_is_seen_too() {
    let world = World::new().await;
    let mut own = application(&world.bearward, "api");
    for (name, value, status) in [("host", "rebound.example", 421), ("origin", "https://evil.example", 403)] {
        let request = Request::get("/orders/?key=in-a-query").header(name, value);
        assert_eq!(own.send(request.body(bytes::Bytes::new()).unwrap()).await.unwrap().status(), status);
    }
    let mut events = Stream::open(world.admin(), None).await;
    let lines = events.until("exchanges", |lines| lines.as_array().unwrap().len() == 2).await.data;
    for (line, status) in lines.as_array().unwrap().iter().zip([421, 403]) {
        assert_eq!((&line["path"], &line["status"]), (&"/orders/".into(), &status.into()), "{lines}");
        assert!(line["upstream"].is_null(), "it went nowhere: {lines}");
    }
    world.bearward.stop().await;
}

#[tokio::test]
async fn silence_is_broken_every_second() {
    let world = World::new().await;
    let mut events = Stream::open(world.admin(), None).await;
    let first = events.until("beat", |_| true).await.data["now"].as_u64().unwrap();
    let mut last = first;
    for _ in 0..3 {
        let now = events.until("beat", |_| true).await.data["now"].as_u64().unwrap();
        assert!(now >= last);
        last = now;
    }
    assert!(last - first >= 1000, "beats are no hurry: {first} to {last}");
    world.bearward.stop().await;
}

#[tokio::test]
async fn r149_events_end_properly_when_bearward_stops_and_do_not_hold_it_up() {
    let world = World::new().await;
    let mut events = Stream::open(world.admin(), None).await;
    events.until("snapshot", |all| all["stopping"] == false).await;
    let begun = Instant::now();
    let reading = tokio::spawn(async move {
        events.until("snapshot", |all| all["stopping"] == true).await;
        while events.more().await {}
    });
    world.bearward.stop().await;
    reading.await.expect("the last chunk came");
    // Well under the 20 s that requests may take to end: a stream is not waited for.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn sixteen_may_watch_and_the_next_one_when_one_goes() {
    let world = World::new().await;
    let mut watching = Vec::new();
    for _ in 0..16 {
        let mut events = Stream::open(world.admin(), None).await;
        events.until("beat", |_| true).await;
        watching.push(events);
    }
    let refused = world.ask("GET", "/events", &[], "").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(field(&refused, "content-type"), "application/problem+json");
    assert!(json(&refused)["detail"].as_str().unwrap().contains("16 pages"), "{refused:?}");
    let head = world.ask("HEAD", "/events", &[], "").await;
    assert_eq!((head.status().as_u16(), head.body().len()), (200, 0), "a head is no watching");
    drop(watching.pop());
    let mut next = Stream::open(world.admin(), None).await;
    while next.status() == 503 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        next = Stream::open(world.admin(), None).await;
    }
    assert_eq!(next.status(), 200);
    world.bearward.stop().await;
}

#[tokio::test]
async fn r146_no_token_and_no_secret_is_in_any_event_or_on_the_page() {
    let world = World::new().await;
    let form_token = world.form_token().await;
    let mut events = Stream::open(world.admin(), None).await;
    let mut requests = application(&world.bearward, "api");
    for round in 0..3 {
        let request = Request::get(format!("/orders/{round}?key=canary-query"))
            .header("authorization", "Bearer canary-application")
            .header("cookie", "canary-cookie");
        let (head, _) = request.body(()).unwrap().into_parts();
        let answer = requests.send(Request::from_parts(head, get("/").into_body())).await.unwrap();
        assert_eq!(answer.status(), 200);
        world.server.revoke_all();
    }
    events.until("snapshot", |all| all["upstreams"][0]["requests"] == 3).await;
    let page = world.ask("GET", "/", &[], "").await;
    let all = format!("{}{}", events.all, String::from_utf8_lossy(page.body()));
    let mut secrets = vec!["canary".to_owned(), "\"secret\"".to_owned()];
    for request in world.server.token_requests() {
        if let Outcome::Granted { token, .. } = request.outcome {
            secrets.push(token);
        }
    }
    assert!(secrets.len() >= 4, "tokens were granted");
    for secret in secrets {
        assert!(!all.contains(&secret), "{secret} is in\n{all}");
    }
    assert!(!events.all.contains(&form_token), "who may only listen learns no form token");
    world.bearward.stop().await;
}
