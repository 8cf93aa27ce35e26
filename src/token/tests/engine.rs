//! Lifetimes, failures, limits, clocks and the end of a source.

use super::*;

#[tokio::test(start_paused = true)]
async fn one_token_request_per_lifetime_from_a_second_to_a_week() {
    for seconds in [1_u64, 2, 60, 36_000, 7 * 86_400] {
        let bench = Bench::new();
        let lifetime = Duration::from_secs(seconds);
        let fake = Arc::new(Fake::granting(lifetime));
        let source = bench.eager(&fake);
        let started = tokio::time::Instant::now();
        while started.elapsed() < 4 * lifetime {
            source.token(S).await.unwrap().accept();
            tokio::time::sleep(lifetime / 50).await;
            assert!(source.usable(bench.clock.now()).is_some(), "{seconds} s: there is always one");
        }
        // Four lifetimes, a refresh every 0.75 to 0.8 of one.
        assert!((5..=6).contains(&fake.count()), "{seconds} s: {} requests", fake.count());
        let asked = fake.asked.lock().unwrap();
        for pair in asked.windows(2) {
            assert!(pair[1].0 - pair[0].0 >= lifetime.mul_f64(0.74), "{seconds} s");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lazy_source_asks_at_the_first_request_and_is_not_refreshed_while_idle() {
    let bench = Bench::new();
    let fake = Arc::new(Fake::granting(60 * S));
    let source = bench.lazy(&fake);
    tokio::time::sleep(600 * S).await;
    assert_eq!(fake.count(), 0);
    source.token(S).await.unwrap();
    tokio::time::sleep(600 * S).await;
    assert_eq!(fake.count(), 1, "nobody used it");
    source.token(S).await.unwrap().accept();
    tokio::time::sleep(55 * S).await;
    assert_eq!(fake.count(), 3, "the second was used, so the third came before it expired");
    tokio::time::sleep(600 * S).await;
    assert_eq!(fake.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_at_the_first_request_is_no_reason_to_ask_again_when_all_have_gone() {
    let bench = Bench::new();
    let fake = Arc::new(Fake { takes: S, ..Fake::granting(60 * S) });
    let source = bench.lazy(&fake);
    let late = async {
        tokio::time::sleep(ms(500)).await;
        source.token(10 * S).await
    };
    let (first, late) = tokio::join!(source.token(10 * S), late);
    assert!(Arc::ptr_eq(&first.unwrap(), &late.unwrap()));
    tokio::time::sleep(600 * S).await;
    assert_eq!(fake.count(), 1, "who came in the middle of the request has a token since");
}

#[tokio::test(start_paused = true)]
async fn r129_tokens_of_a_second_that_nobody_uses_are_asked_for_less_and_less() {
    let bench = Bench::new();
    let fake = Arc::new(Fake::granting(S));
    let source = bench.eager(&fake);
    tokio::time::sleep(60 * S).await;
    let before = fake.count();
    tokio::time::sleep(60 * S).await;
    assert!(before <= 8 && fake.count() - before <= 3, "{before}, then {}", fake.count() - before);
    assert_eq!(source.status().state, State::Valid, "one is to be had at once");
    for _ in 0..100 {
        source.token(ms(1)).await.unwrap().accept();
        tokio::time::sleep(ms(20)).await;
    }
    tokio::time::sleep(ms(10)).await;
    assert!(source.usable(bench.clock.now()).is_some(), "who uses it has it refreshed again");
    bench.clock.suspend(3600 * S);
    assert!(source.token(ms(1)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn while_refreshes_fail_the_old_token_serves_to_its_expiry_and_not_longer() {
    let bench = Bench::new();
    let fake =
        Arc::new(Fake::new(
            |nth, _| if nth == 1 { Ok(grant("t1", 100 * S)) } else { fails(Fault::Unreachable) },
        ));
    let source = bench.eager(&fake);
    let held = source.token(S).await.unwrap();
    let got = tokio::time::Instant::now();
    tokio::time::sleep(ms(99_900)).await;
    assert_eq!(source.usable(bench.clock.now()).unwrap().generation(), held.generation());
    assert_eq!(source.status().state, State::Valid);
    assert!(source.status().last_error.is_some());
    tokio::time::sleep(got + 100 * S - tokio::time::Instant::now()).await;
    assert!(source.usable(bench.clock.now()).is_none());
    assert_eq!(source.status().state, State::Expired);
    let told = source.token(10 * S).await.unwrap_err();
    assert_eq!(told.cause, Cause::BackingOff);
    assert!(told.retry_after.is_some_and(|after| after <= 30 * S), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failing_server_is_asked_six_times_a_minute_at_most_and_found_again_within_a_step() {
    let bench = Bench::new();
    let fake =
        Arc::new(Fake::new(|nth, _| if nth < 20 { fails(Fault::Unusable) } else { Ok(grant("t", 60 * S)) }));
    let source = bench.eager(&fake);
    source.token(S).await.unwrap_err();
    source.until_usable().await;
    let asked = fake.asked.lock().unwrap();
    for (at, (first, _)) in asked.iter().enumerate() {
        let within = asked[at..].iter().filter(|(other, _)| *other - *first < 60 * S).count();
        assert!(within <= 6, "{within}");
    }
    assert!(asked[1].0 - asked[0].0 < S && asked[19].0 - asked[18].0 <= 30 * S);
}

#[tokio::test(start_paused = true)]
async fn r132_retry_after_is_waited_for() {
    let bench = Bench::new();
    let fake = Arc::new(Fake::new(|nth, _| match nth {
        1 => Err(Failure { retry_after: Some(40 * S), ..Failure::new(Fault::Unusable, "503") }),
        _ => Ok(grant("t", 60 * S)),
    }));
    let source = bench.eager(&fake);
    let told = source.token(S).await.unwrap_err();
    assert!(told.retry_after.unwrap() > 39 * S);
    tokio::time::sleep(39 * S).await;
    assert_eq!(fake.count(), 1);
    source.until_usable().await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_holds_for_all_sources_of_the_endpoint() {
    let bench = Bench::new();
    let open = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let fakes: Vec<_> = ["a-0", "b-0", "c-0", "d-0", "e-0"]
        .into_iter()
        .map(|chain| {
            let open = Arc::clone(&open);
            let answer = move |_, _| {
                if open.load(Ordering::SeqCst) { Ok(grant("t", 60 * S)) } else { fails(Fault::Limited) }
            };
            Arc::new(Fake { chain, ..Fake::new(answer) })
        })
        .collect();
    let sources: Vec<_> = fakes.iter().map(|fake| bench.eager(fake)).collect();
    tokio::time::sleep(60 * S).await;
    let asked: usize = fakes.iter().map(|fake| fake.count()).sum();
    // The first round may find all five under way at once; after that one probe a step.
    assert!(asked <= 5 + 6, "{asked} requests in the first minute");
    assert_eq!(sources[0].token(S).await.unwrap_err().cause, Cause::BackingOff);
    open.store(true, Ordering::SeqCst);
    for source in &sources {
        tokio::time::timeout(40 * S, source.until_usable()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_final_until_a_secret_changes_or_minutes_later() {
    let bench = Bench::new();
    let fake = Arc::new(Fake::new(|_, _| fails(Fault::Refused)));
    let source = bench.eager(&fake);
    assert_eq!(source.token(S).await.unwrap_err().cause, Cause::Refused);
    tokio::time::sleep(299 * S).await;
    assert_eq!(fake.count(), 1);
    assert_eq!(source.status().state, State::Failed);
    tokio::time::sleep(5 * S).await;
    assert_eq!(fake.count(), 2, "the slow probe");
    *fake.stamp.lock().unwrap() = Some("rotated".to_owned());
    tokio::time::sleep(2 * S).await;
    assert_eq!(fake.count(), 3, "a rotated secret is tried at once");
    tokio::time::sleep(100 * S).await;
    assert_eq!(fake.count(), 3, "and once");
}

#[tokio::test(start_paused = true)]
async fn r145_a_suspended_machine_and_a_clock_set_ahead_get_a_new_token_before_the_old_one_is_used() {
    for jump in [Clock::suspend as fn(&Clock, Duration), Clock::step_ahead] {
        let bench = Bench::new();
        let fake = Arc::new(Fake::granting(3600 * S));
        let source = bench.eager(&fake);
        source.token(S).await.unwrap().accept();
        jump(&bench.clock, 8 * 3600 * S);
        assert!(source.usable(bench.clock.now()).is_none());
        assert_eq!(source.token(10 * S).await.unwrap().generation(), 2);
        assert_eq!(fake.count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn r145_a_clock_set_back_a_year_neither_prolongs_a_token_nor_stops_refreshing() {
    let bench = Bench::new();
    let fake = Arc::new(Fake::granting(3600 * S));
    let source = bench.eager(&fake);
    source.token(S).await.unwrap().accept();
    bench.clock.step_back(Duration::from_secs(365 * 86_400));
    tokio::time::sleep(3600 * S).await;
    assert_eq!(source.token(S).await.unwrap().generation(), 2);
    assert_eq!(fake.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn r122_a_thousand_waiters_share_one_request_and_none_of_them_can_cancel_it() {
    let bench = Bench::new();
    let fake = Arc::new(Fake { takes: 5 * S, ..Fake::granting(60 * S) });
    let source = bench.lazy(&fake);
    let first = tokio::time::timeout(S, source.token(60 * S)).await;
    assert!(first.is_err(), "the first application hung up");
    let waiting: Vec<_> = (0..1000)
        .map(|_| {
            let source = source.clone();
            tokio::spawn(async move { source.token(10 * S).await.unwrap().generation() })
        })
        .collect();
    for waiter in waiting {
        assert_eq!(waiter.await.unwrap(), 1);
    }
    assert_eq!(fake.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn r123_a_waiter_has_a_deadline_and_there_are_only_so_many() {
    let bench = Bench::new();
    let fake = Arc::new(Fake { takes: 100 * S, ..Fake::granting(600 * S) });
    let source = bench.lazy(&fake);
    assert_eq!(source.token(S).await.unwrap_err().cause, Cause::TimedOut);
    let waiting: Vec<_> = (0..10_000)
        .map(|_| {
            let source = source.clone();
            tokio::spawn(async move { source.token(200 * S).await.is_ok() })
        })
        .collect();
    tokio::time::sleep(S).await;
    assert_eq!(source.token(S).await.unwrap_err().cause, Cause::BackingOff);
    for waiter in waiting {
        assert!(waiter.await.unwrap());
    }
    source.token(S).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_the_refresh_under_way_and_begins_none() {
    let bench = Bench::new();
    let fake = Arc::new(Fake { takes: 5 * S, ..Fake::granting(60 * S) });
    let source = bench.eager(&fake);
    tokio::time::sleep(S).await;
    assert_eq!(fake.under_way.load(Ordering::SeqCst), 1);
    assert!(bench.engine.shutdown(30 * S).await);
    assert_eq!(fake.under_way.load(Ordering::SeqCst), 0);
    assert!(source.usable(bench.clock.now()).is_some(), "it ended well");
    tokio::time::sleep(100 * S).await;
    assert_eq!(source.token(S).await.unwrap_err().cause, Cause::Stopping);
    assert_eq!(fake.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_has_a_limit() {
    let bench = Bench::new();
    let fake = Arc::new(Fake { takes: 500 * S, ..Fake::granting(600 * S) });
    let _source = bench.eager(&fake);
    tokio::time::sleep(S).await;
    assert!(!bench.engine.shutdown(10 * S).await);
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_ends_the_task_but_not_a_refresh_under_way() {
    let bench = Bench::new();
    let fake = Arc::new(Fake { takes: 5 * S, ..Fake::granting(60 * S) });
    let source = bench.eager(&fake);
    tokio::time::sleep(S).await;
    drop(source);
    tokio::time::sleep(3 * S).await;
    assert_eq!(fake.under_way.load(Ordering::SeqCst), 1);
    tokio::time::sleep(600 * S).await;
    assert_eq!((fake.count(), fake.under_way.load(Ordering::SeqCst)), (1, 0));
    assert!(bench.engine.shutdown(Duration::ZERO).await, "no task is left");
}

#[tokio::test(start_paused = true)]
async fn r150_a_panic_in_a_grant_is_one_failure_and_the_task_goes_on() {
    let bench = Bench::new();
    let fake = Arc::new(Fake::new(|nth, _| {
        assert!(nth != 1, "the grant has a bug");
        Ok(grant("t", 60 * S))
    }));
    let source = bench.eager(&fake);
    let told = source.token(S).await.unwrap_err();
    assert!(told.cause == Cause::BackingOff && !told.detail.contains("the grant has"), "{told:?}");
    tokio::time::timeout(S, source.until_usable()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_longer_than_its_token_lives_does_not_loop() {
    let bench = Bench::new();
    let fake = Arc::new(Fake { takes: 3 * S, ..Fake::granting(2 * S) });
    let source = bench.eager(&fake);
    assert_eq!(source.token(10 * S).await.unwrap_err().cause, Cause::BackingOff);
    tokio::time::sleep(60 * S).await;
    assert!(fake.count() <= 6, "{}", fake.count());
}

#[tokio::test(start_paused = true)]
async fn a_static_token_follows_its_file_and_is_kept_for_years() {
    let bench = Bench::new();
    let file = Arc::new(Mutex::new("one".to_owned()));
    let read = Arc::clone(&file);
    let fake = Arc::new(Fake {
        endpoint: None,
        ..Fake::new(move |_, asked| {
            let now = read.lock().unwrap().clone();
            if asked.rejected.as_ref() == Some(&now) {
                fails(Fault::Unchanged)
            } else {
                Ok(Granted { lifetime: None, ..grant(&now, S) })
            }
        })
    });
    let source = bench.eager(&fake);
    assert_eq!(source.token(S).await.unwrap().access_token().expose(), "one");
    bench.clock.suspend(40 * 86_400 * S);
    tokio::time::sleep(6 * S).await;
    assert_eq!(source.token(S).await.unwrap().generation(), 1);
    *file.lock().unwrap() = "two".to_owned();
    tokio::time::sleep(3 * S).await;
    let two = source.token(S).await.unwrap();
    assert_eq!((two.generation(), two.access_token().expose()), (2, "two"));

    // Rejected: not offered again at once, a changed file at once, and the same one after a while.
    two.accept();
    assert_eq!(source.replace(&two, 10 * S).await.unwrap_err().cause, Cause::BackingOff);
    *file.lock().unwrap() = "three".to_owned();
    tokio::time::sleep(3 * S).await;
    let three = source.token(S).await.unwrap();
    assert_eq!(three.access_token().expose(), "three");
    source.reject(&three);
    tokio::time::sleep(25 * S).await;
    assert!(source.usable(bench.clock.now()).is_none());
    tokio::time::sleep(10 * S).await;
    assert_eq!(source.token(S).await.unwrap().access_token().expose(), "three");
}
