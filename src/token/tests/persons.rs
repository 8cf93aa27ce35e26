//! When a person is needed: after a logout, before a token without a refresh token expires, and when nobody is needed yet.

use super::{
    logins::{CHAIN, Place, chain, in_a_second, personal},
    *,
};
use crate::{
    telemetry::{Metrics, metrics::Format},
    token::{
        login::{self, Chain},
        store::Record,
    },
};

#[tokio::test(start_paused = true)]
async fn a_logout_ends_the_held_token_within_a_second_and_says_how_to_come_back() {
    let place = Place::new();
    place.log_in(&with_refresh("t", 3600 * S, "r")).await;
    let fake = personal(|_, _| fails(Fault::Unreachable));
    let (engine, metrics) = (place.engine(), Metrics::default());
    let grant = Arc::clone(&fake) as Arc<dyn Grant>;
    let source = engine.source("shop".into(), grant, policy(true), None, metrics.token("shop"));
    source.token(S).await.unwrap();
    for times in 1..=2 {
        place.log_out().await;
        let told = in_a_second(&source).await.unwrap_err();
        assert_eq!((told.cause, told.retry_after), (Cause::LoginRequired, None));
        let words = "a person has to log in: run `bearward login shop` (somebody has logged out)";
        assert_eq!((&*told.detail, source.status().last_error.as_deref()), (words, Some(words)));
        let shown = metrics.encode(Format::Prometheus).unwrap();
        assert!(
            shown.contains(&format!("bearward_login_required_total{{token=\"shop\"}} {times}\n")),
            "{shown}"
        );
        assert!(shown.contains("bearward_token_login_required{token=\"shop\"} 1\n"), "{shown}");
        place.log_in(&with_refresh("again", 3600 * S, "r")).await;
        assert_eq!(in_a_second(&source).await, Ok("again".to_owned()));
        let shown = metrics.encode(Format::Prometheus).unwrap();
        assert!(shown.contains("bearward_token_login_required{token=\"shop\"} 0\n"), "{shown}");
    }
    assert_eq!(fake.count(), 0);
    place.log_out().await;
    in_a_second(&source).await.unwrap_err();
    drop(source);
    tokio::time::sleep(S).await;
    let shown = metrics.encode(Format::Prometheus).unwrap();
    assert!(shown.contains("bearward_token_login_required{token=\"shop\"} 0\n"), "nobody waits any more");
}

#[tokio::test(start_paused = true)]
async fn a_logout_where_no_person_is_needed_brings_a_new_token() {
    let place = Place::new();
    let answer = |nth: usize, _| Ok(with_refresh(&format!("t{nth}"), 3600 * S, &format!("r{nth}")));
    let fake = Arc::new(Fake::new(answer));
    let engine = place.engine();
    let (eager, lazy) = (source(&engine, &fake, true, None), source(&engine, &fake, false, None));
    eager.token(S).await.unwrap();
    lazy.token(S).await.unwrap();
    assert_eq!(fake.count(), 1, "one chain");
    place.log_out().await;
    assert_eq!(in_a_second(&eager).await, Ok("t2".to_owned()));
    assert_eq!(in_a_second(&lazy).await, Ok("t2".to_owned()));
    assert_eq!((fake.count(), fake.last().refresh_token), (2, None), "afresh, and once");
}

#[tokio::test(start_paused = true)]
async fn r131_a_logout_ends_a_configured_refresh_token_and_another_one_begins_anew() {
    for restart in [false, true] {
        let place = Place::new();
        let answer = |nth: usize, _| Ok(with_refresh(&format!("t{nth}"), 3600 * S, &format!("r{nth}")));
        let fake = Arc::new(Fake { can_start: false, first: Some("r0"), ..Fake::new(answer) });
        let mut source = source(&place.engine(), &fake, true, None);
        source.token(S).await.unwrap();
        place.log_out().await;
        if restart {
            source = super::source(&place.engine(), &fake, true, None);
        }
        let told = in_a_second(&source).await.unwrap_err();
        let words =
            "a person has to make a new refresh token and set `refresh_token` of [tokens.shop] to it: ";
        assert_eq!(told.detail, format!("{words}somebody has logged out"));
        tokio::time::sleep(600 * S).await;
        assert_eq!(fake.count(), 1, "r0 is not sent again");
        let another = Arc::new(Fake { can_start: false, first: Some("another"), ..Fake::new(answer) });
        let source = super::source(&place.engine(), &another, true, None);
        source.token(S).await.unwrap();
        assert_eq!(another.last().refresh_token.as_deref(), Some("another"));
    }
}

/// The attempt reads the store before the look at it does.
#[tokio::test(start_paused = true)]
async fn r141_a_logout_that_a_refresh_notices_first_ends_the_held_token_too() {
    let place = Place::new();
    place.log_in(&with_refresh("t", 3600 * S, "r")).await;
    let fake = personal(|_, _| fails(Fault::Unreachable));
    let source = source(&place.engine(), &fake, true, None);
    source.token(S).await.unwrap();
    tokio::time::sleep(ms(10_200)).await;
    place.log_out().await;
    assert_eq!(source.refresh_now(), Refreshing::Begun);
    assert_eq!(in_a_second(&source).await.unwrap_err().cause, Cause::LoginRequired);
    assert_eq!((source.status().state, fake.count()), (State::LoginRequired, 0));
}

#[tokio::test(start_paused = true)]
async fn a_login_without_a_refresh_token_serves_until_it_expires_and_says_that_another_is_due() {
    let place = Place::new();
    place.log_in(&grant("t", 100 * S)).await;
    let fake = personal(|_, _| fails(Fault::Unreachable));
    let (engine, metrics) = (place.engine(), Metrics::default());
    let fake_grant = Arc::clone(&fake) as Arc<dyn Grant>;
    let source = engine.source("shop".into(), fake_grant, policy(true), None, metrics.token("shop"));
    let gauge = |required: u64, times: u64| {
        let shown = metrics.encode(Format::Prometheus).unwrap();
        let now = format!("bearward_token_login_required{{token=\"shop\"}} {required}\n");
        let counted = format!("bearward_login_required_total{{token=\"shop\"}} {times}\n");
        assert!(shown.contains(&now) && shown.contains(&counted), "{shown}");
    };
    assert_eq!(in_a_second(&source).await, Ok("t".to_owned()));
    assert_eq!(source.status().last_error, None);
    tokio::time::sleep(90 * S).await;
    assert_eq!(in_a_second(&source).await, Ok("t".to_owned()));
    let status = source.status();
    assert_eq!(status.state, State::Valid);
    let due = status.last_error.unwrap();
    assert!(due.contains("serves until it expires") && due.contains("run `bearward login shop`"), "{due}");
    gauge(0, 0);
    tokio::time::sleep(10 * S).await;
    let told = in_a_second(&source).await.unwrap_err();
    assert_eq!((told.cause, source.status().state), (Cause::LoginRequired, State::LoginRequired));
    assert!(!told.detail.contains("serves until"), "{}", told.detail);
    gauge(1, 1);
    place.log_in(&grant("again", 100 * S)).await;
    assert_eq!(in_a_second(&source).await, Ok("again".to_owned()));
    gauge(0, 1);
    // One that is rejected is required at once.
    tokio::time::sleep(90 * S).await;
    gauge(0, 1);
    source.reject(&source.token(S).await.unwrap());
    gauge(1, 2);
    assert_eq!(fake.count(), 0);
}

/// The file of a configured first refresh token may have changed long ago; a person's login is newer than what stands there.
#[tokio::test(start_paused = true)]
async fn a_login_is_not_given_up_for_a_configured_refresh_token_that_was_there_before() {
    for out in [false, true] {
        let place = Place::new();
        let old =
            Record { first: Some(Secret::new("r0").fingerprint()), ..Record::blank("shop", CHAIN, "recipe") };
        place.store.lock(CHAIN).await.unwrap().save(old).await.unwrap();
        let chain = Chain { first: Some(Secret::new("r1").fingerprint()), ..chain() };
        let granted = with_refresh("by-a-person", 3600 * S, "of-a-person");
        login::keep(&place.store, &chain, &granted, place.clock.now()).await.unwrap();
        if out {
            login::forget(&place.store, &chain).await.unwrap();
        }
        let fake = Arc::new(Fake {
            first: Some("r1"),
            can_start: false,
            ..Fake::new(|_, _| fails(Fault::InvalidGrant))
        });
        let source = source(&place.engine(), &fake, true, None);
        let served = in_a_second(&source).await.map_err(|told| told.cause);
        let expected = if out { Err(Cause::LoginRequired) } else { Ok("by-a-person".to_owned()) };
        assert_eq!((served, fake.count()), (expected, 0), "logged out: {out}");
    }
}
