//! What a rejected token leads to.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_hundred_rejections_of_an_accepted_token_bring_one_new_one() {
    let bench = Bench::new();
    let fake = Arc::new(Fake { takes: ms(100), ..Fake::granting(600 * S) });
    let source = bench.eager(&fake);
    let held = source.token(S).await.unwrap();
    held.accept();
    let replaced: Vec<_> = (0..100)
        .map(|_| {
            let (source, held) = (source.clone(), Arc::clone(&held));
            tokio::spawn(async move { source.replace(&held, 10 * S).await.unwrap().generation() })
        })
        .collect();
    for generation in replaced {
        assert_eq!(generation.await.unwrap(), 2);
    }
    assert_eq!((fake.count(), fake.last().rejected.as_deref()), (2, Some("t1")));
    assert_eq!(
        source.replace(&held, S).await.unwrap().generation(),
        2,
        "a late rejection of the first does nothing"
    );
    source.reject(&held);
    assert!(source.usable(bench.clock.now()).is_some());
    assert_eq!(fake.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn r119_an_api_that_rejects_every_token_does_not_hammer_the_token_endpoint() {
    let bench = Bench::new();
    let fake = Arc::new(Fake::granting(600 * S));
    let source = bench.eager(&fake);
    let first = source.token(S).await.unwrap();
    let second = source.replace(&first, 10 * S).await.unwrap();
    assert_eq!(second.generation(), 2, "the first rejection of a fresh token still gets its replay");
    source.reject(&second);
    for _ in 0..50 {
        if let Ok(held) = source.token(10 * S).await {
            source.reject(&held);
        }
        tokio::time::sleep(ms(100)).await;
    }
    assert!(fake.count() <= 5, "{} token requests in five seconds", fake.count());
    let so_far = fake.count();
    for _ in 0..600 {
        if let Ok(held) = source.token(10 * S).await {
            source.reject(&held);
        }
        tokio::time::sleep(ms(100)).await;
    }
    assert!(fake.count() - so_far <= 6, "{} more in a minute", fake.count() - so_far);
}

#[tokio::test(start_paused = true)]
async fn an_accepted_token_ends_the_strikes() {
    let bench = Bench::new();
    let fake = Arc::new(Fake::granting(600 * S));
    let source = bench.eager(&fake);
    for _ in 0..4 {
        source.until_usable().await;
        source.reject(&source.token(S).await.unwrap());
    }
    source.until_usable().await;
    let held = source.token(S).await.unwrap();
    held.accept();
    assert_eq!(source.replace(&held, ms(10)).await.unwrap().generation(), 6, "at once");
    let sixth = source.token(S).await.unwrap();
    assert_eq!(
        source.replace(&sixth, S).await.unwrap().generation(),
        7,
        "and the first strike is a short one"
    );
}

#[tokio::test(start_paused = true)]
async fn an_api_that_takes_a_token_here_and_rejects_it_there_does_not_hammer_either() {
    let bench = Bench::new();
    let fake = Arc::new(Fake::granting(600 * S));
    let source = bench.eager(&fake);
    for _ in 0..600 {
        if let Ok(held) = source.token(S).await {
            held.accept();
            source.reject(&held);
        }
        tokio::time::sleep(ms(100)).await;
    }
    assert!(fake.count() <= 5 + 12, "{} token requests in a minute", fake.count());
}

#[tokio::test(start_paused = true)]
async fn a_rejection_while_refreshes_fail_is_told_at_once() {
    let bench = Bench::new();
    let fake =
        Arc::new(Fake::new(
            |nth, _| if nth == 1 { Ok(grant("t", 100 * S)) } else { fails(Fault::Unreachable) },
        ));
    let source = bench.eager(&fake);
    let held = source.token(S).await.unwrap();
    held.accept();
    tokio::time::sleep(90 * S).await;
    let asked = fake.count();
    let before = tokio::time::Instant::now();
    assert_eq!(source.replace(&held, 10 * S).await.unwrap_err().cause, Cause::BackingOff);
    assert!(before.elapsed() < 2 * S && fake.count() <= asked + 1);
}
