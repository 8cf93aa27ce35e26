//! The tour, with an understudy in bearward's place, and what makes it a success or a failure.

use super::{score::Line, simulator::Counts, *};

mod understudy;

use understudy::Understudy;

fn seen() -> load::Seen {
    load::Seen { requests: 300, errors: 0, last: Some(http::StatusCode::OK), ..load::Seen::default() }
}

fn line(label: &'static str, seen: Option<load::Seen>) -> Line {
    let token = score::TokenLine { number: 3, age: Some(TICK), requests: 5, granted: 3, limited: 2 };
    Line { label, seen, token, replays: Some(1) }
}

fn good() -> Score {
    let lines = vec![line("Inventorum", Some(seen())), line("Cybrid's bank", None)];
    Score { lines, counts: Counts { granted: 6, logins: 1, ..Counts::default() }, slowest: TICK }
}

type Spoil = fn(&mut Score);

#[test]
fn the_tour_passes_only_if_nothing_is_amiss() {
    let happened = Events::overcome();
    assert_eq!(summary::verdict(&good(), &happened), Verdict::Passed);
    let spoil: [(&str, Spoil); 9] = [
        ("saw 1 errors", |score| score.lines[0].seen.as_mut().unwrap().errors = 1),
        ("no second token", |score| score.lines[1].token.granted = 1),
        ("no second token", |score| score.lines[0].token.number = 1),
        ("sent a second time", |score| score.lines.iter_mut().for_each(|line| line.replays = Some(0))),
        ("expired token", |score| score.counts.expired_tokens_seen = 1),
        ("refresh token twice", |score| score.counts.dead_refresh_tokens_seen = 1),
        ("asked to log in 0 times", |score| score.counts.logins = 0),
        ("asked to log in 2 times", |score| score.counts.logins = 2),
        ("carried no token", |score| score.counts.bare_requests_seen = 1),
    ];
    for (expected, spoil) in spoil {
        let mut score = good();
        spoil(&mut score);
        let Verdict::Failed(failures) = summary::verdict(&score, &happened) else {
            panic!("passed in spite of: {expected}")
        };
        assert!(failures.len() == 1 && failures[0].contains(expected), "{failures:?}");
    }
    let Verdict::Failed(failures) = summary::verdict(&good(), &Events::default()) else {
        panic!("passed though nothing happened")
    };
    assert_eq!(failures.len(), 2, "neither event happened");
}

#[tokio::test]
async fn nothing_the_tour_prints_is_wider_than_80_columns() {
    let stage = Stage::set().await.unwrap();
    let understudy = Understudy::start(&stage.configuration()).await.unwrap();
    let mut score = good();
    let label = "Cybrid for Ada";
    score.lines.push(line("Apicbase", Some(seen())));
    score.lines.push(line(label, Some(load::Seen { requests: 999, errors: 999, ..seen() })));
    for options in [Options::default(), Options { live: true, ..Options::default() }] {
        let mut out = Vec::new();
        let mut screen = Screen::new(options, &mut out);
        screen.say(summary::OPENING).unwrap();
        screen.say(&login::told()).unwrap();
        screen.show(&score, LONGEST, &[]).unwrap();
        screen.close(&score).unwrap();
        for verdict in [Verdict::Passed, Verdict::Failed(vec!["x".to_owned()])] {
            screen.say(&summary::closing(&score, &Events::overcome(), &verdict, LONGEST)).unwrap();
        }
        screen.say(&summary::to_try(&stage, &stage.doors(&understudy).unwrap(), &understudy)).unwrap();
        for line in String::from_utf8(out).unwrap().lines() {
            println!("{line}");
            let plain = line.replace("\x1b[K", "");
            assert!(plain.chars().count() <= 80, "{} columns: {plain}", plain.chars().count());
        }
    }
}

#[test]
fn without_a_terminal_no_escape_is_written_and_colours_are_asked_for() {
    let written = |options| {
        let mut out = Vec::new();
        let mut screen = Screen::new(options, &mut out);
        screen.show(&good(), LONGEST, &[]).unwrap();
        screen.close(&good()).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert!(!written(Options::default()).contains('\x1b'));
    let colourless = written(Options { live: true, ..Options::default() });
    assert!(colourless.contains("\x1b[K") && !colourless.contains("\x1b[32m"));
    assert!(written(Options { live: true, colour: true, keep: false }).contains("\x1b[32m"));
}

/// Takes as long as the tour: the only test of it that does not need the real bearward.
#[tokio::test]
async fn the_tour_ends_well_with_a_proxy_that_does_its_job() {
    let mut out = Vec::new();
    let verdict =
        run(Options::default(), async |text| Understudy::start(&text).await, &mut out).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    println!("{text}");
    assert_eq!(verdict, Verdict::Passed, "{text}");
    for said in [
        "Inventorum revokes token #",
        "answers 403",
        "The application saw nothing of it",
        "next: ",
        "login     A person logged in at Apicbase once",
        "its token was login_required",
    ] {
        assert!(text.contains(said), "{said} is missing in {text}");
    }
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
}
