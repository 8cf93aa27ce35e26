//! The file store, in real time: what survives, and what two processes on one folder do to each other.

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use super::*;
use crate::token::store::Record;

const CHAIN: &str = "id.example-00";

fn open(path: &Path) -> Result<Store, StoreError> {
    Store::folder(path, Clock::system().now())
}

fn record(generation: u64) -> Record {
    Record {
        generation,
        access_token: Some(Secret::new(format!("t{generation}"))),
        refresh_token: Some(Secret::new(format!("r{generation}"))),
        lifetime_ms: 3_600_000,
        obtained_at_ms: store::unix_ms(Clock::system().now().wall()),
        ..Record::blank("shop", CHAIN, "recipe")
    }
}

async fn saved(path: &Path, generations: u64) -> Store {
    let store = open(path).unwrap();
    for generation in 1..=generations {
        store.lock(CHAIN).await.unwrap().save(record(generation)).await.unwrap();
    }
    store
}

/// A server that rotates, and kills the whole chain when an old refresh token comes back.
fn strict(lifetime: Duration) -> impl Fn(usize, Asked) -> Result<Granted, Failure> + Send + Sync + 'static {
    let state = Mutex::new((0_u64, HashSet::new()));
    move |_, asked| {
        let mut state = state.lock().unwrap();
        let (issued, spent) = &mut *state;
        let sent = asked.refresh_token.unwrap();
        if sent != format!("r{issued}") || !spent.insert(sent) {
            *issued = u64::MAX / 2;
            return fails(Fault::InvalidGrant);
        }
        *issued += 1;
        Ok(with_refresh(&format!("t{issued}"), lifetime, &format!("r{issued}")))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r143_two_processes_rotate_one_refresh_token_two_hundred_times_and_lose_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let fake = Arc::new(Fake { can_start: false, first: Some("r0"), ..Fake::new(strict(S)) });
    let engines: Vec<_> =
        (0..2).map(|_| Engine::new(Clock::system(), open(&path).unwrap(), Handle::current())).collect();
    let sources: Vec<_> = engines.iter().map(|engine| hasty(engine, &fake)).collect();
    let ended = async {
        while sources.iter().any(|source| source.status().generation < 200) {
            for source in &sources {
                let held = source.token(10 * S).await.unwrap();
                held.accept();
            }
            tokio::time::sleep(ms(5)).await;
        }
    };
    tokio::time::timeout(100 * S, ended).await.unwrap();
    for engine in &engines {
        assert!(engine.shutdown(10 * S).await);
    }
    let record = open(&path).unwrap().load(CHAIN).await.unwrap().unwrap();
    let asked = fake.asked.lock().unwrap();
    assert_eq!(u64::try_from(asked.len()).unwrap(), record.generation, "one token request per rotation");
    assert_eq!(record.refresh_token, Some(Secret::new(format!("r{}", asked.len()))), "none lost");
    for pair in asked.windows(2) {
        // The refresh point is 50 ms after each request at the soonest: the second process takes what the first got.
        assert!(pair[1].0 - pair[0].0 >= ms(45), "{:?}", pair[1].0 - pair[0].0);
    }
}

/// A source that refreshes a token of one second every 50 to 100 ms.
fn hasty(engine: &Engine, fake: &Arc<Fake>) -> TokenSource {
    let grant: Arc<dyn Grant> = Arc::clone(fake) as Arc<dyn Grant>;
    engine.source("shop".into(), grant, Policy { refresh_at: 0.1, ..policy(true) }, None, Arc::default())
}

#[tokio::test]
async fn a_restart_costs_no_token_request_and_generations_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let fake = Arc::new(Fake::granting(3600 * S));
    for start in 1..=3 {
        let engine = Engine::new(Clock::system(), open(&path).unwrap(), Handle::current());
        let source = source(&engine, &fake, true, None);
        let held = source.token(10 * S).await.unwrap();
        assert_eq!((held.generation(), fake.count()), (start, usize::try_from(start).unwrap()));
        assert!(held.is_accepted() || start == 1, "a stored one served before");
        // What the next start finds was got with the token that is now rejected.
        held.accept();
        assert_eq!(source.replace(&held, 10 * S).await.unwrap().generation(), start + 1);
        engine.shutdown(10 * S).await;
    }
}

#[tokio::test]
async fn r142_a_crash_while_a_refresh_token_is_spent_does_not_send_it_again_where_there_is_another_way() {
    let dir = tempfile::tempdir().unwrap();
    let store = saved(&dir.path().join("store"), 1).await;
    store
        .lock(CHAIN)
        .await
        .unwrap()
        .save(Record { lifetime_ms: 0, spending: true, ..record(1) })
        .await
        .unwrap();
    for (can_start, sent) in [(false, Some("r1")), (true, None)] {
        let fake = Arc::new(Fake { can_start, ..Fake::new(|_, _| fails(Fault::Unreachable)) });
        let engine = Engine::new(Clock::system(), store.clone(), Handle::current());
        source(&engine, &fake, true, None).token(10 * S).await.unwrap_err();
        assert_eq!(fake.last().refresh_token.as_deref(), sent);
        engine.shutdown(10 * S).await;
        store
            .lock(CHAIN)
            .await
            .unwrap()
            .save(Record { lifetime_ms: 0, spending: true, ..record(1) })
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn r142_a_rotated_refresh_token_is_on_disk_before_its_access_token_is_handed_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let broken = path.clone();
    let fake = Arc::new(Fake {
        can_start: false,
        first: Some("r0"),
        ..Fake::new(move |_, _| {
            // The disk fails while the server rotates.
            fs::rename(&broken, broken.with_extension("away")).unwrap();
            Ok(with_refresh("t1", 3600 * S, "r1"))
        })
    });
    let store = open(&path).unwrap();
    let engine = Engine::new(Clock::system(), store.clone(), Handle::current());
    let source = source(&engine, &fake, true, None);
    let told = source.token(10 * S).await.unwrap_err();
    assert_eq!(told.cause, Cause::BackingOff);
    assert!(told.detail.contains("could not be stored"), "{told:?}");
    assert!(source.usable(Clock::system().now()).is_none());
    fs::rename(path.with_extension("away"), &path).unwrap();
    source.until_usable().await;
    assert_eq!(store.load(CHAIN).await.unwrap().unwrap().refresh_token, Some(Secret::new("r1")));
    assert_eq!(fake.count(), 1);
}

#[tokio::test]
async fn a_store_that_cannot_be_written_is_found_out_before_a_refresh_token_is_spent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = open(&path).unwrap();
    fs::remove_dir(&path).unwrap();
    let fake = Arc::new(Fake { can_start: false, first: Some("r0"), ..Fake::granting(3600 * S) });
    let engine = Engine::new(Clock::system(), store, Handle::current());
    assert_eq!(source(&engine, &fake, true, None).token(10 * S).await.unwrap_err().cause, Cause::BackingOff);
    assert_eq!(fake.count(), 0);
    let fresh = Arc::new(Fake::granting(3600 * S));
    source(&engine, &fresh, true, None).token(10 * S).await.unwrap();
}

#[tokio::test]
async fn r144_a_damaged_file_falls_back_to_the_previous_copy_and_two_of_them_stop() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = saved(&path, 3).await;
    let (current, previous) = (path.join("id.example-00.json"), path.join("id.example-00.json.previous"));
    let whole = fs::read(&current).unwrap();
    fs::write(&current, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(store.load(CHAIN).await.unwrap().unwrap().generation, 2);

    // A save over the damaged file keeps the sound previous copy.
    let mut locked = store.lock(CHAIN).await.unwrap();
    locked.save(record(4)).await.unwrap();
    drop(locked);
    assert_eq!(store.load(CHAIN).await.unwrap().unwrap().generation, 4);
    assert!(fs::read_to_string(&previous).unwrap().contains("\"generation\":2"));

    fs::write(&current, "{}").unwrap();
    fs::write(&previous, "").unwrap();
    assert!(store.load(CHAIN).await.unwrap_err().to_string().contains("damaged"));
    assert_eq!(fs::read(&current).unwrap(), b"{}", "reading without the lock moves nothing");
    for _ in 0..2 {
        let fake = Arc::new(Fake { can_start: false, first: Some("r0"), ..Fake::granting(S) });
        let engine = Engine::new(Clock::system(), open(&path).unwrap(), Handle::current());
        assert_eq!(
            source(&engine, &fake, true, None).token(10 * S).await.unwrap_err().cause,
            Cause::LoginRequired
        );
        assert_eq!(fake.count(), 0, "a first refresh token that was spent long ago is not sent");
    }
    assert_eq!(fs::read(path.join("id.example-00.json.damaged")).unwrap(), b"{}");
    let another = Arc::new(Fake { can_start: false, first: Some("another"), ..Fake::granting(S) });
    let engine = Engine::new(Clock::system(), open(&path).unwrap(), Handle::current());
    source(&engine, &another, true, None).token(10 * S).await.unwrap();
    assert_eq!(another.last().refresh_token.as_deref(), Some("another"), "a person has mended it");
    assert!(engine.shutdown(10 * S).await);
    fs::write(&current, "").unwrap();
    fs::write(&previous, "").unwrap();

    let fake = Arc::new(Fake { first: Some("r0"), ..Fake::granting(3600 * S) });
    let engine = Engine::new(Clock::system(), open(&path).unwrap(), Handle::current());
    source(&engine, &fake, true, None).token(10 * S).await.unwrap();
    assert_eq!(fake.last().refresh_token, None, "it starts afresh");
    assert!(store.load(CHAIN).await.unwrap().is_some(), "and is stored again");
}

#[tokio::test]
async fn r147_folder_and_files_are_ours_alone_and_symlinks_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/store");
    let store = saved(&path, 2).await;
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for entry in fs::read_dir(&path).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    let elsewhere = dir.path().join("elsewhere");
    symlink(&path, &elsewhere).unwrap();
    for link in [elsewhere.clone(), elsewhere.join(""), elsewhere.join(".")] {
        assert!(open(&link).unwrap_err().to_string().contains("symbolic link"), "{}", link.display());
    }
    let shown = dir.path().join("shown");
    fs::create_dir(&shown).unwrap();
    fs::set_permissions(&shown, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(open(&shown).unwrap_err().to_string().contains("chmod 700"));

    let current = path.join("id.example-00.json");
    let target = dir.path().join("target");
    fs::rename(&current, &target).unwrap();
    symlink(&target, &current).unwrap();
    assert_eq!(
        store.load(CHAIN).await.unwrap().unwrap().generation,
        1,
        "the previous copy, not what the link names"
    );
    fs::remove_file(&current).unwrap();
    fs::rename(&target, &current).unwrap();
    fs::set_permissions(&current, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(store.load(CHAIN).await.unwrap().unwrap().generation, 1);
}

#[tokio::test]
async fn what_expired_long_ago_is_swept_out_and_a_refresh_token_never() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = open(&path).unwrap();
    let old = store::unix_ms(Clock::system().now().wall()) - 2 * 86_400_000;
    for (chain, refresh_token, lifetime_ms) in [
        ("old-0", None, 1000),
        ("rotating-0", Some(Secret::new("r")), 1000),
        ("living-0", None, 7 * 86_400_000),
    ] {
        let record = Record {
            obtained_at_ms: old,
            lifetime_ms,
            refresh_token,
            ..Record::blank("shop", chain, "recipe")
        };
        store.lock(chain).await.unwrap().save(record).await.unwrap();
    }
    let store = open(&path).unwrap();
    assert!(store.load("old-0").await.unwrap().is_none());
    assert!(store.load("rotating-0").await.unwrap().is_some());
    assert!(store.load("living-0").await.unwrap().is_some());
    assert_eq!(fs::read_dir(&path).unwrap().count(), 4, "two records with their locks");
}

#[tokio::test]
async fn a_lock_is_waited_for_and_released_with_its_guard() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) =
        (saved(dir.path().join("store").as_path(), 1).await, open(&dir.path().join("store")).unwrap());
    let locked = one.lock(CHAIN).await.unwrap();
    assert!(tokio::time::timeout(ms(200), two.lock(CHAIN)).await.is_err());
    drop(locked);
    two.lock(CHAIN).await.unwrap();
}

#[tokio::test]
async fn r131_another_first_refresh_token_begins_anew_and_a_dead_one_is_never_sent_again() {
    let began = Some(Secret::new("r0").fingerprint());
    let alive = Record { first: began.clone(), access_token: None, ..record(5) };
    let dead = Record { refresh_token: None, dead: true, ..alive.clone() };
    for (stored, first, sent) in [
        (&alive, "r0", Some("r5")),
        (&alive, "another", Some("another")),
        (&dead, "r0", None),
        (&dead, "another", Some("another")),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        open(&path).unwrap().lock(CHAIN).await.unwrap().save(stored.clone()).await.unwrap();
        let answer = |_, _| Ok(with_refresh("t", 3600 * S, "next"));
        let fake = Arc::new(Fake { can_start: false, first: Some(first), ..Fake::new(answer) });
        let engine = Engine::new(Clock::system(), open(&path).unwrap(), Handle::current());
        let served = hasty(&engine, &fake).token(10 * S).await;
        assert_eq!(served.is_ok(), sent.is_some(), "{first}: {served:?}");
        let asked: Vec<_> =
            fake.asked.lock().unwrap().iter().map(|(_, asked)| asked.refresh_token.clone()).collect();
        assert_eq!(asked, sent.map(|sent| Some(sent.to_owned())).into_iter().collect::<Vec<_>>(), "{first}");
        let kept = open(&path).unwrap().load(CHAIN).await.unwrap().unwrap();
        let first = sent.map_or(began.clone(), |sent| {
            Some(Secret::new(if sent == "r5" { "r0" } else { sent }).fingerprint())
        });
        assert_eq!(kept.first, first);
    }
}

#[tokio::test]
async fn r019_a_stored_token_is_not_used_where_a_person_has_put_another_first_refresh_token() {
    let stored = Record { first: Some(Secret::new("r0").fingerprint()), ..record(5) };
    for (first, token, asked) in [("r0", "t5", 0), ("another", "t", 1)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        open(&path).unwrap().lock(CHAIN).await.unwrap().save(stored.clone()).await.unwrap();
        let answer = |_, _| Ok(with_refresh("t", 3600 * S, "next"));
        let fake = Arc::new(Fake { can_start: false, first: Some(first), ..Fake::new(answer) });
        let engine = Engine::new(Clock::system(), open(&path).unwrap(), Handle::current());
        let held = source(&engine, &fake, true, None).token(10 * S).await.unwrap();
        assert_eq!((held.access_token(), fake.count()), (&Secret::new(token), asked), "{first}");
    }
}

#[tokio::test]
async fn a_store_that_takes_nothing_stops_no_grant_that_can_start_afresh() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = saved(&path, 1).await;
    store.lock(CHAIN).await.unwrap().save(Record { access_token: None, ..record(1) }).await.unwrap();
    // In the way of every save, also of root's.
    let obstacle = path.join("id.example-00.json.link");
    let during = obstacle.clone();
    let fake = Arc::new(Fake::new(move |nth, _| {
        if nth == 2 {
            fs::create_dir(&during).unwrap();
        }
        Ok(with_refresh(&format!("n{nth}"), 3600 * S, &format!("s{nth}")))
    }));
    fs::create_dir(&obstacle).unwrap();
    for (nth, sent, why) in [
        (1, None, "its spending could not be noted, so it is not spent"),
        (2, Some("r1"), "it is alive; the next one cannot be stored, and is not used"),
        (3, None, "it is dead by now"),
    ] {
        let engine = Engine::new(Clock::system(), store.clone(), Handle::current());
        let held = source(&engine, &fake, true, None).token(10 * S).await.unwrap();
        assert_eq!(held.access_token(), &Secret::new(format!("n{nth}")));
        assert_eq!((fake.count(), fake.last().refresh_token.as_deref()), (nth, sent), "{why}");
        assert!(engine.shutdown(10 * S).await);
        fs::remove_dir(&obstacle).unwrap_or_default();
    }
    assert_eq!(store.load(CHAIN).await.unwrap().unwrap().refresh_token, Some(Secret::new("s3")));
}

#[tokio::test]
async fn r130_a_refresh_token_that_came_with_an_unusable_access_token_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = saved(&dir.path().join("store"), 1).await;
    store.lock(CHAIN).await.unwrap().save(Record { access_token: None, ..record(1) }).await.unwrap();
    let fake = Arc::new(Fake {
        can_start: false,
        ..Fake::new(|nth, _| match nth {
            1 => Err(Failure {
                refresh_token: Some(Secret::new("r2")),
                ..Failure::new(Fault::Unusable, "its token_type is \"mac\"")
            }),
            _ => Ok(with_refresh("t", 3600 * S, "r3")),
        })
    });
    let engine = Engine::new(Clock::system(), store.clone(), Handle::current());
    source(&engine, &fake, true, None).until_usable().await;
    assert_eq!(fake.last().refresh_token.as_deref(), Some("r2"), "the server has forgotten r1");
    assert_eq!(store.load(CHAIN).await.unwrap().unwrap().refresh_token, Some(Secret::new("r3")));
}
