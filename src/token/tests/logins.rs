//! A person's login and logout: what stands in the store, and what a running source makes of it.

use std::{fs, path::Path};

use super::*;
use crate::{
    config::Config,
    token::{
        login::{self, Chain},
        store::Record,
    },
};

pub(super) const CHAIN: &str = "id.example-00";

pub(super) fn chain() -> Chain {
    let identity =
        Identity { chain: CHAIN.to_owned(), recipe: "recipe".to_owned(), secret_files: Vec::new() };
    Chain { name: "shop".to_owned(), identity, default_lifetime: 300 * S, first: None }
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

#[tokio::test]
async fn r144_a_logout_of_what_was_damaged_ends_the_configured_refresh_token_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    for end in ["json", "json.previous"] {
        drop(open(&path));
        fs::write(path.join(format!("{CHAIN}.{end}")), "secret-but-torn").unwrap();
    }
    login::forget(&open(&path), &chain()).await.unwrap();
    assert!(stored(&open(&path)).await.is_logged_out());
    for (first, sent) in [("r0", 0), ("r0", 0), ("another", 1)] {
        let answer = |_, _| Ok(with_refresh("t", 3600 * S, "next"));
        let fake = Arc::new(Fake { can_start: false, first: Some(first), ..Fake::new(answer) });
        let engine = Engine::new(Clock::system(), open(&path), Handle::current());
        let source = source(&engine, &fake, true, None);
        assert_eq!((source.token(10 * S).await.is_ok(), fake.count()), (sent == 1, sent), "{first}");
        assert!(engine.shutdown(10 * S).await);
    }
}

/// A grant that a person logs in for; its refreshes are answered by `answer`.
pub(super) fn personal(
    answer: impl Fn(usize, Asked) -> Result<Granted, Failure> + Send + Sync + 'static,
) -> Arc<Fake> {
    let configuration = r#"
        [tokens.shop]
        grant_type = "authorization_code"
        authorization_endpoint = "https://id.example/authorize"
        token_endpoint = "https://id.example/token"
        client_id = "app"
        client_secret = "secret"

        [upstreams.shop]
        url = "https://shop.example"
        token = "shop"
        listen = "127.0.0.1:0"
    "#;
    let config = Config::parse(configuration, "test.toml").unwrap_or_else(|wrong| panic!("{wrong}")).config;
    let login = config.tokens.values().next().map(|token| token.grant.clone());
    Arc::new(Fake { can_start: false, login, ..Fake::new(answer) })
}

/// A store on paused time, and an engine on it as each process has one.
pub(super) struct Place {
    pub(super) clock: Clock,
    pub(super) store: Store,
}

impl Place {
    pub(super) fn new() -> Self {
        let clock = Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        Self { clock, store: Store::memory() }
    }

    pub(super) fn engine(&self) -> Engine {
        Engine::new(self.clock.clone(), self.store.clone(), Handle::current())
    }

    pub(super) async fn log_in(&self, granted: &Granted) {
        login::keep(&self.store, &chain(), granted, self.clock.now()).await.unwrap();
    }

    pub(super) async fn log_out(&self) {
        login::forget(&self.store, &chain()).await.unwrap();
    }
}

/// The token that `source` serves a second from now, asked for as an application does all the while.
pub(super) async fn in_a_second(source: &TokenSource) -> Result<String, Unavailable> {
    let mut last = None;
    for _ in 0..10 {
        tokio::time::sleep(ms(100)).await;
        last = Some(source.token(ms(1)).await.map(|held| held.access_token().expose().to_owned()));
    }
    last.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_login_is_used_within_a_second_whatever_the_state() {
    let states = [State::LoginRequired, State::Valid, State::Failed, State::Expired, State::Acquiring];
    for (state, eager) in states.into_iter().flat_map(|state| [(state, true), (state, false)]) {
        let place = Place::new();
        let fake = personal(move |_, _| match state {
            State::Failed => fails(Fault::Refused),
            _ => fails(Fault::Unreachable),
        });
        let lifetime = if state == State::Valid { 3600 * S } else { 60 * S };
        if matches!(state, State::Valid | State::Expired | State::Failed) {
            place.log_in(&with_refresh("of-before", lifetime, "refresh-of-before")).await;
        }
        let source = source(&place.engine(), &fake, eager, None);
        if state != State::Acquiring {
            // Acquiring: a lazy one that nobody has asked.
            let _ = source.token(S).await.map(|held| held.accept());
        }
        if matches!(state, State::Expired | State::Failed) {
            tokio::time::sleep(100 * S).await;
            let _ = source.token(S).await;
        }
        if state != State::Acquiring || !eager {
            assert_eq!(source.status().state, state, "eager: {eager}");
        }
        let asked = fake.count();
        place.log_in(&with_refresh("by-a-person", 3600 * S, "refresh")).await;
        assert_eq!(in_a_second(&source).await, Ok("by-a-person".to_owned()), "{state:?}, eager: {eager}");
        let status = source.status();
        assert_eq!((status.state, status.last_error), (State::Valid, None));
        tokio::time::sleep(60 * S).await;
        assert_eq!(fake.count(), asked, "{state:?}, eager: {eager}: no token request was made for it");
    }
}

#[tokio::test(start_paused = true)]
async fn where_nobody_has_logged_in_that_is_said_without_a_token_request_and_names_the_page_of_the_moment() {
    let place = Place::new();
    let fake = personal(|_, _| fails(Fault::Unreachable));
    let engine = place.engine();
    let source = source(&engine, &fake, true, None);
    for (page, words) in [
        (None, "run `bearward login shop` (nobody has logged in yet)"),
        (
            Some("http://127.0.0.1:9901/"),
            "run `bearward login shop` or open http://127.0.0.1:9901/ (nobody has logged in yet)",
        ),
    ] {
        engine.login_page(page.map(str::to_owned));
        let told = in_a_second(&source).await.unwrap_err();
        assert_eq!(told.detail, format!("a person has to log in: {words}"));
    }
    assert_eq!(fake.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_login_is_seen_also_where_the_store_has_lost_count() {
    let place = Place::new();
    let fake = personal(|_, _| fails(Fault::Unreachable));
    for nth in 1..=3 {
        place.log_in(&with_refresh(&format!("t{nth}"), 3600 * S, "r")).await;
    }
    let source = source(&place.engine(), &fake, true, None);
    let before = source.token(S).await.unwrap();
    assert_eq!(before.generation(), 3);
    tokio::time::sleep(S).await;
    // As after damage, or a sweep: a record of the first generation.
    let lost = Record::blank("shop", CHAIN, "recipe");
    place.store.lock(CHAIN).await.unwrap().save(lost).await.unwrap();
    place.log_in(&with_refresh("by-a-person", 3600 * S, "r")).await;
    assert_eq!(in_a_second(&source).await, Ok("by-a-person".to_owned()));
    assert_eq!(source.status().generation, 4, "for who waits for a newer one");
    before.accept();
    assert_eq!(source.replace(&before, S).await.unwrap().access_token().expose(), "by-a-person");
    assert_eq!(fake.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_source_wrote_itself_is_no_news_and_another_s_recipe_neither() {
    let place = Place::new();
    let fake = Arc::new(Fake::granting(100 * S));
    let source = source(&place.engine(), &fake, true, None);
    let first = source.token(S).await.unwrap();
    tokio::time::sleep(10 * S).await;
    assert!(Arc::ptr_eq(&first, &source.token(S).await.unwrap()), "it is not taken from the store again");
    let mut twin = chain();
    twin.identity.recipe = "another scope".to_owned();
    login::keep(&place.store, &twin, &grant("of-another-scope", 3600 * S), place.clock.now()).await.unwrap();
    assert_eq!(in_a_second(&source).await, Ok("t1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_login_takes_the_place_of_a_good_token_also_where_it_is_due_for_its_refresh() {
    let place = Place::new();
    let fake = personal(|_, _| fails(Fault::Unreachable));
    place.log_in(&with_refresh("t", 3600 * S, "r")).await;
    let source = source(&place.engine(), &fake, true, None);
    source.token(S).await.unwrap();
    let asked = place.clock.now();
    tokio::time::sleep(90 * S).await;
    let granted = with_refresh("another-account", 100 * S, "of-another");
    login::keep(&place.store, &chain(), &granted, asked).await.unwrap();
    assert_eq!(in_a_second(&source).await, Ok("another-account".to_owned()));
    assert_eq!(fake.last().refresh_token.as_deref(), Some("of-another"));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_does_not_come_back_from_the_store() {
    let place = Place::new();
    let fake = personal(|_, _| fails(Fault::Unreachable));
    place.log_in(&with_refresh("t", 3600 * S, "r")).await;
    let source = source(&place.engine(), &fake, true, None);
    let held = source.token(S).await.unwrap();
    source.reject(&held);
    // Another process writes the same once more.
    place.log_in(&with_refresh("t", 3600 * S, "r")).await;
    in_a_second(&source).await.unwrap_err();
    assert_eq!(source.status().generation, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_made_now_where_it_can_lead_to_something() {
    let place = Place::new();
    let (engine, down) = (place.engine(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let answers = Arc::clone(&down);
    let fake = Arc::new(Fake {
        takes: ms(10),
        ..Fake::new(move |nth, _| match answers.load(Ordering::SeqCst) {
            true => fails(Fault::Unreachable),
            false => Ok(grant(&format!("t{nth}"), 3600 * S)),
        })
    });
    let source = source(&engine, &fake, false, None);
    assert_eq!(source.refresh_now(), Refreshing::Begun, "a lazy one that nobody has asked");
    tokio::time::sleep(ms(5)).await;
    assert_eq!(source.refresh_now(), Refreshing::UnderWay);
    tokio::time::sleep(ms(20)).await;
    assert_eq!(source.refresh_now(), Refreshing::Fresh);
    tokio::time::sleep(10 * S).await;
    down.store(true, Ordering::SeqCst);
    assert_eq!(source.refresh_now(), Refreshing::Begun);
    assert!(source.usable(place.clock.now()).is_some(), "the old one serves meanwhile");
    tokio::time::sleep(ms(20)).await;
    let asked = fake.count();
    for _ in 0..10 {
        assert!(matches!(source.refresh_now(), Refreshing::BackingOff { next_try } if next_try <= S));
    }
    let status = source.status();
    assert_eq!((status.state, status.next_try.is_some()), (State::Valid, true));
    assert_eq!(fake.count(), asked, "the backoff is kept");
    down.store(false, Ordering::SeqCst);
    tokio::time::sleep(10 * S).await;
    assert_eq!((source.status().generation, source.refresh_now()), (1, Refreshing::Begun), "nobody uses it");
    tokio::time::sleep(ms(20)).await;
    assert_eq!(source.token(ms(1)).await.unwrap().generation(), 2);

    let refused = Arc::new(Fake { chain: "other-0", ..Fake::new(|_, _| fails(Fault::Refused)) });
    let refused = super::source(&engine, &refused, true, None);
    refused.token(S).await.unwrap_err();
    assert_eq!(refused.refresh_now(), Refreshing::Refused);
    let person = super::source(&place.engine(), &personal(|_, _| fails(Fault::Refused)), true, None);
    place.log_out().await;
    in_a_second(&person).await.unwrap_err();
    assert_eq!(person.refresh_now(), Refreshing::LoginRequired);
    assert!(engine.shutdown(S).await);
    assert_eq!(source.refresh_now(), Refreshing::Stopping);
}

#[tokio::test(start_paused = true)]
async fn the_scope_and_the_age_of_a_token_are_known_across_refreshes_and_restarts() {
    let place = Place::new();
    let fake = personal(|nth, _| Ok(with_refresh(&format!("t{nth}"), 100 * S, &format!("r{nth}"))));
    let begun = place.clock.now().wall();
    let scoped = |scope: &str| Some(scope.to_owned());
    place.log_in(&Granted { scope: scoped("read write"), ..with_refresh("t", 100 * S, "r") }).await;
    let first = source(&place.engine(), &fake, true, None);
    tokio::time::sleep(10 * S).await;
    let status = first.status();
    assert_eq!((status.scope, status.lifetime), (scoped("read write"), Some(100 * S)));
    assert_eq!((status.obtained_at, status.expires_at), (Some(begun), Some(begun + 100 * S)));
    tokio::time::sleep(80 * S).await;
    drop(first);
    let restarted = source(&place.engine(), &fake, true, None);
    restarted.token(S).await.unwrap();
    assert_eq!(fake.count(), 1, "refreshed once, and its answer named no scope");
    let status = restarted.status();
    assert_eq!((status.scope, status.generation), (scoped("read write"), 2));
    assert!(status.obtained_at.unwrap() >= begun + 75 * S && status.next_try.is_none());
}

#[tokio::test]
async fn a_login_and_a_logout_through_files_are_seen_by_a_running_source() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let fake = personal(|_, _| fails(Fault::Unreachable));
    let engine = Engine::new(Clock::system(), open(&path), Handle::current());
    let source = source(&engine, &fake, true, None);
    source.token(10 * S).await.unwrap_err();
    let other = open(&path);
    for nth in 1..=2 {
        let token = format!("t{nth}");
        let granted = with_refresh(&token, 3600 * S, "r");
        login::keep(&other, &chain(), &granted, Clock::system().now()).await.unwrap();
        tokio::time::timeout(10 * S, source.until_usable()).await.unwrap();
        assert_eq!(source.token(S).await.unwrap().access_token().expose(), token);
        login::forget(&other, &chain()).await.unwrap();
        let gone = async {
            while source.usable(Clock::system().now()).is_some() {
                tokio::time::sleep(ms(5)).await;
            }
        };
        tokio::time::timeout(10 * S, gone).await.unwrap();
        assert_eq!(source.token(S).await.unwrap_err().cause, Cause::LoginRequired);
    }
    assert_eq!(fake.count(), 0);
    assert!(engine.shutdown(10 * S).await);
}
