//! Refresh tokens, parents and subjects.

use http::HeaderName;

use super::*;

#[tokio::test(start_paused = true)]
async fn r130_a_new_refresh_token_takes_the_place_of_the_old_and_an_absent_one_leaves_it() {
    let bench = Bench::new();
    let fake = Arc::new(Fake {
        can_start: false,
        first: Some("r0"),
        ..Fake::new(|nth, _| {
            Ok(if nth == 2 {
                grant("t2", 60 * S)
            } else {
                with_refresh(&format!("t{nth}"), 60 * S, &format!("r{nth}"))
            })
        })
    });
    let source = bench.eager(&fake);
    source.token(S).await.unwrap();
    tokio::time::sleep(160 * S).await;
    let sent: Vec<_> =
        fake.asked.lock().unwrap().iter().map(|(_, asked)| asked.refresh_token.clone().unwrap()).collect();
    assert_eq!(sent, ["r0", "r1", "r1", "r3"]);
}

#[tokio::test(start_paused = true)]
async fn r131_a_dead_refresh_token_falls_back_to_the_grant_and_is_never_sent_again() {
    let bench = Bench::new();
    let fake = Arc::new(Fake::new(|nth, asked| match (nth, asked.refresh_token) {
        (1, None) => Ok(with_refresh("t1", 60 * S, "r1")),
        (_, Some(_)) => fails(Fault::InvalidGrant),
        (nth, None) => Ok(grant(&format!("t{nth}"), 60 * S)),
    }));
    let source = bench.eager(&fake);
    source.token(S).await.unwrap();
    tokio::time::sleep(49 * S).await;
    assert_eq!(source.token(S).await.unwrap().access_token().expose(), "t3");
    tokio::time::sleep(200 * S).await;
    let spent = fake.asked.lock().unwrap().iter().filter(|(_, asked)| asked.refresh_token.is_some()).count();
    assert_eq!(spent, 1);
}

#[tokio::test(start_paused = true)]
async fn r131_without_another_grant_a_person_has_to_log_in_also_after_a_restart() {
    let clock = Clock::manual(SystemTime::UNIX_EPOCH + 1_700_000_000 * S);
    let store = Store::memory();
    let fake = Arc::new(Fake {
        can_start: false,
        first: Some("r0"),
        ..Fake::new(|_, _| fails(Fault::InvalidGrant))
    });
    for _ in 0..2 {
        let engine = Engine::new(clock.clone(), store.clone(), Handle::current());
        let source = source(&engine, &fake, true, None);
        assert_eq!(source.token(S).await.unwrap_err().cause, Cause::LoginRequired);
        assert_eq!(source.status().state, State::LoginRequired);
        tokio::time::sleep(1000 * S).await;
        assert_eq!(fake.count(), 1, "the dead one is not sent again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_by_another_process_is_used_within_a_second() {
    let clock = Clock::manual(SystemTime::UNIX_EPOCH + 1_700_000_000 * S);
    let store = Store::memory();
    let engine = Engine::new(clock.clone(), store.clone(), Handle::current());
    let fake = Arc::new(Fake { can_start: false, ..Fake::new(|_, _| fails(Fault::InvalidGrant)) });
    let source = source(&engine, &fake, true, None);
    assert_eq!(source.token(S).await.unwrap_err().cause, Cause::LoginRequired);
    let mut locked = store.lock("id.example-00").await.unwrap();
    let record = store::Record {
        generation: 1,
        access_token: Some(Secret::new("by-a-person")),
        lifetime_ms: 60_000,
        obtained_at_ms: store::unix_ms(clock.now().wall()),
        ..store::Record::blank("shop", "id.example-00", "recipe")
    };
    locked.save(record).await.unwrap();
    drop(locked);
    tokio::time::timeout(S, source.until_usable()).await.unwrap();
    assert_eq!(fake.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_restart_within_the_lifetime_and_a_twin_recipe_cost_no_token_request() {
    let bench = Bench::new();
    let fake = Arc::new(Fake::granting(600 * S));
    let source = bench.eager(&fake);
    source.token(S).await.unwrap();
    drop(source);
    let (one, two) = (bench.eager(&fake), bench.eager(&fake));
    assert_eq!(one.token(S).await.unwrap().generation(), 1);
    assert_eq!(two.token(S).await.unwrap().generation(), 1);
    tokio::time::sleep(1000 * S).await;
    assert_eq!(fake.count(), 3, "one per lifetime for both");
}

fn bank(bench: &Bench) -> (Arc<Fake>, TokenSource) {
    let fake = Arc::new(Fake { chain: "bank-0", ..Fake::granting(600 * S) });
    let source = bench.eager(&fake);
    (fake, source)
}

fn customers(bench: &Bench, fake: &Arc<Fake>, bank: &TokenSource, most: u64) -> Subjects {
    let grant: Arc<dyn Grant> = Arc::clone(fake) as Arc<dyn Grant>;
    let header = HeaderName::from_static("x-bearward-subject");
    bench.engine.subjects(
        "customer".into(),
        grant,
        policy(true),
        Some(bank.clone()),
        Arc::default(),
        header,
        most,
    )
}

#[tokio::test(start_paused = true)]
async fn a_chained_token_is_got_with_the_parents_and_per_subject() {
    let bench = Bench::new();
    let (_, bank) = bank(&bench);
    let fake = Arc::new(Fake::granting(60 * S));
    let customers = customers(&bench, &fake, &bank, 100);
    let (a, b) = (customers.source("a"), customers.source("b"));
    assert!(!bank.token(S).await.unwrap().is_accepted());
    assert_ne!(a.token(S).await.unwrap().access_token(), b.token(S).await.unwrap().access_token());
    assert!(bank.token(S).await.unwrap().is_accepted(), "the customer-token request accepted it");
    assert_eq!(fake.last().parent.as_deref(), Some("Bearer t1"));
    let subjects: Vec<_> =
        fake.asked.lock().unwrap().iter().map(|(_, asked)| asked.subject.clone().unwrap()).collect();
    assert_eq!(subjects, ["a", "b"]);
    tokio::time::sleep(600 * S).await;
    assert_eq!(fake.count(), 2, "idle subjects are not refreshed");
    assert_eq!(customers.source("a").token(S).await.unwrap().generation(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_subject_goes() {
    let bench = Bench::new();
    let (_, bank) = bank(&bench);
    let fake = Arc::new(Fake::granting(60 * S));
    let customers = customers(&bench, &fake, &bank, 10);
    for subject in 0..1000 {
        customers.source(&subject.to_string()).token(S).await.unwrap();
    }
    assert!(customers.held() <= 10, "{}", customers.held());
    assert_eq!(fake.count(), 1000);
}

#[tokio::test(start_paused = true)]
async fn a_refused_chained_request_replaces_the_parents_token_once() {
    let bench = Bench::new();
    let (bank_fake, bank) = bank(&bench);
    let refused = |_: usize, asked: Asked| match asked.parent.as_deref() {
        Some("Bearer t1") => fails(Fault::ParentRefused),
        _ => Ok(grant("c", 60 * S)),
    };
    let fake = Arc::new(Fake::new(refused));
    let customers = customers(&bench, &fake, &bank, 100);
    let sources: Vec<_> = (0..20).map(|n| customers.source(&n.to_string())).collect();
    let waiting: Vec<_> = sources
        .iter()
        .cloned()
        .map(|source| tokio::spawn(async move { source.token(10 * S).await.is_ok() }))
        .collect();
    for waiter in waiting {
        assert!(waiter.await.unwrap());
    }
    assert_eq!(bank_fake.count(), 2, "one new token for twenty customers");
}

#[tokio::test(start_paused = true)]
async fn customers_who_are_refused_whatever_the_parents_token_do_not_wear_it_out() {
    let bench = Bench::new();
    let (bank_fake, bank) = bank(&bench);
    let fake = Arc::new(Fake::new(|_, asked| {
        if asked.subject.as_deref() == Some("known") {
            Ok(grant("c", 5 * S))
        } else {
            fails(Fault::ParentRefused)
        }
    }));
    let customers = customers(&bench, &fake, &bank, 1000);
    for unknown in 0..200 {
        customers.source(&unknown.to_string()).token(S).await.unwrap_err();
        customers.source("known").token(5 * S).await.unwrap().accept();
        tokio::time::sleep(ms(200)).await;
    }
    assert!(bank_fake.count() <= 12, "{} of the bank's tokens in 40 s", bank_fake.count());
}

#[tokio::test(start_paused = true)]
async fn a_parents_failure_is_the_childs_and_ends_with_it() {
    let bench = Bench::new();
    let bank_fake = Arc::new(Fake {
        chain: "bank-0",
        ..Fake::new(|nth, _| if nth < 5 { fails(Fault::Unreachable) } else { Ok(grant("b", 600 * S)) })
    });
    let bank = bench.eager(&bank_fake);
    let fake = Arc::new(Fake::granting(60 * S));
    let child = bench.source(&fake, true, Some(bank.clone()));
    assert_eq!(child.token(S).await.unwrap_err().cause, Cause::BackingOff);
    assert_eq!(fake.count(), 0);
    bank.until_usable().await;
    tokio::time::timeout(ms(10), child.until_usable()).await.unwrap();
    assert_eq!(fake.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_child_does_not_wait_for_its_own_time_when_the_parent_has_a_token_again() {
    let bench = Bench::new();
    let answer = |nth, _| if nth == 1 { fails(Fault::Refused) } else { Ok(grant("b", 600 * S)) };
    let bank_fake = Arc::new(Fake { chain: "bank-0", ..Fake::new(answer) });
    let bank = bench.eager(&bank_fake);
    let child = bench.source(&Arc::new(Fake::granting(60 * S)), true, Some(bank.clone()));
    assert_eq!(child.token(S).await.unwrap_err().cause, Cause::Refused);
    *bank_fake.stamp.lock().unwrap() = Some("rotated".to_owned());
    tokio::time::timeout(2 * S, bank.until_usable()).await.unwrap();
    tokio::time::timeout(ms(10), child.until_usable()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_child_that_stays_refused_costs_its_parent_one_token() {
    let bench = Bench::new();
    let (bank_fake, bank) = bank(&bench);
    let fake = Arc::new(Fake::new(|_, _| fails(Fault::ParentRefused)));
    let child = bench.source(&fake, true, Some(bank));
    child.token(5 * S).await.unwrap_err();
    tokio::time::sleep(400 * S).await;
    assert!(fake.count() > 10, "it goes on trying");
    assert_eq!(bank_fake.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_a_restart_is_not_mended_by_what_the_store_held_already() {
    let clock = Clock::manual(SystemTime::UNIX_EPOCH + 1_700_000_000 * S);
    let store = Store::memory();
    let stored = store::Record {
        generation: 5,
        refresh_token: Some(Secret::new("r5")),
        ..store::Record::blank("shop", "id.example-00", "recipe")
    };
    store.lock("id.example-00").await.unwrap().save(stored).await.unwrap();
    let engine = Engine::new(clock, store, Handle::current());
    let fake = Arc::new(Fake { can_start: false, ..Fake::new(|_, _| fails(Fault::Refused)) });
    let source = source(&engine, &fake, true, None);
    assert_eq!(source.token(S).await.unwrap_err().cause, Cause::Refused);
    tokio::time::sleep(250 * S).await;
    assert_eq!(fake.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_child_of_a_parent_that_needs_a_person_says_so() {
    let bench = Bench::new();
    let bank_fake =
        Arc::new(Fake { chain: "bank-0", can_start: false, ..Fake::new(|_, _| fails(Fault::InvalidGrant)) });
    let bank = bench.lazy(&bank_fake);
    let fake = Arc::new(Fake::granting(60 * S));
    let child = bench.source(&fake, false, Some(bank));
    assert_eq!(child.token(S).await.unwrap_err().cause, Cause::LoginRequired);
    let words = "a person has to make a new refresh token and set `refresh_token` of [tokens.shop] to it: ";
    assert!(child.status().last_error.unwrap().starts_with(words), "{:?}", child.status());
    assert_eq!(child.token(S).await.unwrap_err().retry_after, None, "no time is known");
    assert_eq!((fake.count(), bank_fake.count()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn subjects_ask_one_endpoint_eight_at_a_time() {
    let bench = Bench::new();
    let (_, bank) = bank(&bench);
    let fake = Arc::new(Fake { takes: S, ..Fake::granting(600 * S) });
    let customers = customers(&bench, &fake, &bank, 100);
    let waiting: Vec<_> = (0..40)
        .map(|n| {
            let source = customers.source(&n.to_string());
            tokio::spawn(async move { source.token(60 * S).await.is_ok() })
        })
        .collect();
    tokio::time::sleep(ms(500)).await;
    assert_eq!(fake.under_way.load(Ordering::SeqCst), 8);
    for waiter in waiting {
        assert!(waiter.await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_requests_that_were_sent_and_sends_none_that_queue() {
    let bench = Bench::new();
    let (_, bank) = bank(&bench);
    let fake = Arc::new(Fake { takes: S, ..Fake::granting(600 * S) });
    let customers = customers(&bench, &fake, &bank, 100);
    let waiting: Vec<_> = (0..40)
        .map(|n| {
            let source = customers.source(&n.to_string());
            tokio::spawn(async move { source.token(60 * S).await.is_ok() })
        })
        .collect();
    tokio::time::sleep(ms(500)).await;
    assert!(bench.engine.shutdown(2 * S).await);
    let mut served = 0;
    for waiter in waiting {
        served += usize::from(waiter.await.unwrap());
    }
    assert_eq!((served, fake.count()), (8, 8));
}

#[tokio::test(start_paused = true)]
async fn r142_a_refresh_token_whose_spending_was_cut_short_is_not_sent_again() {
    let bench = Bench::new();
    let fake = Arc::new(Fake::new(|nth, asked| {
        assert!(asked.refresh_token.is_none(), "a crash in the middle of a refresh");
        Ok(with_refresh(&format!("t{nth}"), 60 * S, &format!("r{nth}")))
    }));
    let source = bench.eager(&fake);
    source.token(S).await.unwrap();
    tokio::time::sleep(52 * S).await;
    let sent: Vec<_> =
        fake.asked.lock().unwrap().iter().map(|(_, asked)| asked.refresh_token.clone()).collect();
    assert_eq!(sent, [None, Some("r1".to_owned()), None]);
    assert_eq!(source.token(S).await.unwrap().access_token().expose(), "t3");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_was_not_taken_for_a_passing_fault_is_sent_again() {
    let bench = Bench::new();
    let fake = Arc::new(Fake::new(|nth, asked| match (nth, asked.refresh_token) {
        (2, _) => fails(Fault::Unusable),
        (nth, _) => Ok(with_refresh(&format!("t{nth}"), 60 * S, &format!("r{nth}"))),
    }));
    let source = bench.eager(&fake);
    source.token(S).await.unwrap();
    tokio::time::sleep(52 * S).await;
    let sent: Vec<_> =
        fake.asked.lock().unwrap().iter().map(|(_, asked)| asked.refresh_token.clone()).collect();
    assert_eq!(sent, [None, Some("r1".to_owned()), Some("r1".to_owned())]);
}
