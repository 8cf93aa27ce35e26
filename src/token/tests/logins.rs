//! A person's login and logout: what stands in the store, and what a running source makes of it.

use std::{fs, path::Path};

use super::*;
use crate::token::{
    login::{self, Chain},
    store::Record,
};

const CHAIN: &str = "id.example-00";

fn chain() -> Chain {
    let identity =
        Identity { chain: CHAIN.to_owned(), recipe: "recipe".to_owned(), secret_files: Vec::new() };
    Chain { name: "shop".to_owned(), identity, default_lifetime: 300 * S }
}

fn open(path: &Path) -> Store {
    Store::folder(path, Clock::system().now()).unwrap()
}

async fn stored(store: &Store) -> Record {
    store.load(CHAIN).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_login_takes_the_place_of_what_was_there_dead_half_spent_or_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = open(&path);
    let now = Clock::system().now();
    let old = Record {
        generation: 7,
        access_token: Some(Secret::new("old")),
        refresh_token: Some(Secret::new("old-refresh")),
        scope: Some("old".to_owned()),
        recipe: "another".to_owned(),
        dead: true,
        spending: true,
        ..Record::blank("shop", CHAIN, "another")
    };
    store.lock(CHAIN).await.unwrap().save(old).await.unwrap();
    let granted =
        Granted { scope: Some("read".to_owned()), ..with_refresh("by-a-person", 60 * S, "refresh") };
    login::keep(&store, &chain(), &granted, now).await.unwrap();
    let expected = Record {
        generation: 8,
        access_token: Some(Secret::new("by-a-person")),
        lifetime_ms: 60_000,
        obtained_at_ms: store::unix_ms(now.wall()),
        scope: Some("read".to_owned()),
        refresh_token: Some(Secret::new("refresh")),
        ..Record::blank("shop", CHAIN, "recipe")
    };
    assert_eq!(stored(&store).await, expected);

    // Another login, of a server that gives no refresh token and says no lifetime.
    let granted = Granted { lifetime: None, ..grant("another-account", S) };
    login::keep(&store, &chain(), &granted, now).await.unwrap();
    let record = stored(&store).await;
    assert_eq!((record.generation, record.lifetime_ms), (9, 300_000));
    assert_eq!(record.refresh_token, None, "that of the login before would bring the other account back");

    for end in ["json", "json.previous"] {
        fs::write(path.join(format!("{CHAIN}.{end}")), "torn").unwrap();
    }
    login::keep(&store, &chain(), &granted, now).await.unwrap();
    assert_eq!(stored(&store).await.access_token, Some(Secret::new("another-account")));
}

#[tokio::test]
async fn r141_a_logout_leaves_no_token_in_the_store_and_says_what_was_held() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = open(&path);
    assert!(login::forget(&store, &chain()).await.unwrap().access_token.is_none());
    assert!(store.load(CHAIN).await.unwrap().is_none(), "nothing was held, so nothing is forgotten");

    for nth in 1..=2 {
        let granted = with_refresh(&format!("secret-t{nth}"), 60 * S, &format!("secret-r{nth}"));
        login::keep(&store, &chain(), &granted, Clock::system().now()).await.unwrap();
    }
    fs::write(path.join(format!("{CHAIN}.json.damaged")), "secret-of-before").unwrap();
    let held = login::forget(&store, &chain()).await.unwrap();
    assert_eq!(held.access_token, Some(Secret::new("secret-t2")));
    assert_eq!(held.refresh_token, Some(Secret::new("secret-r2")));
    for entry in fs::read_dir(&path).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("secret-"), "{text}");
    }
    let record = stored(&open(&path)).await;
    assert!(record.is_logged_out() && record.generation == 3, "{record:?}");
    assert!(login::forget(&store, &chain()).await.unwrap().access_token.is_none());
    assert_eq!(stored(&store).await, record, "once is enough");
}

/// RFC 9700 section 4.14.2: a server that sees an old refresh token again ends everything. The refresh holds the lock over its
/// request, so a login comes before it or after it, and its result stands in the end.
#[tokio::test]
async fn r143_a_login_in_the_middle_of_another_process_s_refresh_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let fake = Arc::new(Fake {
        can_start: false,
        first: Some("r0"),
        takes: ms(300),
        ..Fake::new(|nth, _| Ok(with_refresh(&format!("t{nth}"), 3600 * S, &format!("r{nth}"))))
    });
    let engine = Engine::new(Clock::system(), open(&path), Handle::current());
    let source = source(&engine, &fake, true, None);
    while fake.under_way.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(ms(1)).await;
    }
    let granted = with_refresh("by-a-person", 3600 * S, "of-a-person");
    login::keep(&open(&path), &chain(), &granted, Clock::system().now()).await.unwrap();
    assert_eq!(fake.under_way.load(Ordering::SeqCst), 0, "it waited");
    source.token(10 * S).await.unwrap();
    let record = stored(&open(&path)).await;
    assert_eq!((record.generation, record.refresh_token), (2, Some(Secret::new("of-a-person"))));
    assert_eq!(fake.count(), 1);
    assert!(engine.shutdown(10 * S).await);
}
