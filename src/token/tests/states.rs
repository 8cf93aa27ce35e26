//! The states as a table: what each event leads to, when the next attempt is due, and what a waiter is told.

use super::*;
use crate::{
    clock::{Deadline, Moment},
    token::state::{Course, Due, Setback, Standing, View},
};

/// A name for what a course does next, as the table writes it.
#[derive(Debug, PartialEq)]
enum Next {
    Now,
    /// In so many milliseconds.
    In(u128),
    Look,
    Demand,
}

fn next(course: &Course, view: View) -> Next {
    match course.due(view) {
        Due::Now => Next::Now,
        Due::At(deadline) => Next::In(view.now.until(deadline).as_millis()),
        Due::Look { .. } => Next::Look,
        Due::OnDemand => Next::Demand,
    }
}

type Event = fn(&mut Course, Moment);

/// Events; what an eager source and an idle lazy one do next without a token; what a waiter is told; the state shown.
type Row = (&'static [Event], Next, Next, Option<Cause>, State);

fn granted(course: &mut Course, now: Moment) {
    course.granted(now.after(80 * S));
}

fn failed(fault: Fault) -> Setback {
    Setback::Failed(Failure::new(fault, "it failed"))
}

fn unreachable(course: &mut Course, now: Moment) {
    course.set_back(now, failed(Fault::Unreachable), true, 0.0);
}

fn refused(course: &mut Course, now: Moment) {
    course.set_back(now, failed(Fault::Refused), true, 0.0);
}

fn limited(course: &mut Course, now: Moment) {
    course.set_back(now, Setback::Limited { until: now.after(20 * S), detail: "429".to_owned() }, true, 0.0);
}

fn login(course: &mut Course, now: Moment) {
    course.set_back(now, Setback::LoginRequired("log in".to_owned()), true, 0.0);
}

fn parent(course: &mut Course, now: Moment) {
    let parent =
        Unavailable { cause: Cause::Refused, detail: "the bank".to_owned(), retry_after: Some(7 * S) };
    course.set_back(now, Setback::Parent(parent), true, 0.0);
}

fn parent_returned(course: &mut Course, _: Moment) {
    course.parent_returned();
}

fn rejected(course: &mut Course, now: Moment) {
    course.rejected(now, Secret::new("t"), false, true, 0.0);
}

fn rejected_accepted(course: &mut Course, now: Moment) {
    course.rejected(now, Secret::new("t"), true, true, 0.0);
}

fn wanted(course: &mut Course, _: Moment) {
    course.wanted = true;
}

fn mended(course: &mut Course, _: Moment) {
    course.mended();
}

fn logged_out(course: &mut Course, _: Moment) {
    course.logged_out(false, "somebody has logged out");
}

fn logged_out_of_what_can_start(course: &mut Course, _: Moment) {
    course.logged_out(true, "somebody has logged out");
}

fn refresh_now(course: &mut Course, now: Moment) {
    course.refresh_now(now, false);
}

fn parent_needs_a_person(course: &mut Course, now: Moment) {
    let told = Unavailable { cause: Cause::LoginRequired, detail: "the bank".to_owned(), retry_after: None };
    course.set_back(now, Setback::Parent(told), true, 0.0);
}

fn begun(course: &mut Course, _: Moment) {
    course.began();
}

#[tokio::test(start_paused = true)]
async fn every_event_leads_where_the_table_says() {
    use Cause::{BackingOff, LoginRequired, Refused};
    use Next::{Demand, In, Look, Now};
    let table: &[Row] = &[
        (&[], Now, Demand, None, State::Acquiring),
        (&[wanted], Now, Now, None, State::Acquiring),
        (&[begun], Now, Demand, None, State::Acquiring),
        (&[begun, granted], Now, Demand, None, State::Acquiring),
        (&[begun, unreachable], In(500), In(500), Some(BackingOff), State::Acquiring),
        (&[unreachable, unreachable], In(1500), In(1500), Some(BackingOff), State::Acquiring),
        (
            &[unreachable, unreachable, granted, unreachable],
            In(500),
            In(500),
            Some(BackingOff),
            State::Acquiring,
        ),
        (&[unreachable, begun], In(500), In(500), None, State::Acquiring),
        (&[limited], In(20_000), In(20_000), Some(BackingOff), State::Acquiring),
        (&[limited, limited, unreachable], In(500), In(500), Some(BackingOff), State::Acquiring),
        (&[refused], Look, Demand, Some(Refused), State::Failed),
        (&[refused, wanted], Look, Look, Some(Refused), State::Failed),
        (&[refused, mended], Now, Now, None, State::Acquiring),
        (&[login], Look, Look, Some(LoginRequired), State::LoginRequired),
        (&[login, mended], Now, Now, None, State::Acquiring),
        (&[login, parent_returned], Look, Look, Some(LoginRequired), State::LoginRequired),
        (&[granted, logged_out], Look, Look, Some(LoginRequired), State::LoginRequired),
        (&[unreachable, logged_out], Look, Look, Some(LoginRequired), State::LoginRequired),
        (&[refused, logged_out], Look, Look, Some(LoginRequired), State::LoginRequired),
        (&[logged_out, granted], Now, Demand, None, State::Acquiring),
        (&[granted, logged_out_of_what_can_start], Now, Demand, None, State::Acquiring),
        (&[unreachable, logged_out_of_what_can_start], In(500), In(500), Some(BackingOff), State::Acquiring),
        (&[refused, logged_out_of_what_can_start], Look, Demand, Some(Refused), State::Failed),
        (&[granted, refresh_now], Now, Now, None, State::Acquiring),
        (&[unreachable, refresh_now], In(500), In(500), Some(BackingOff), State::Acquiring),
        (&[limited, refresh_now], In(20_000), In(20_000), Some(BackingOff), State::Acquiring),
        (&[refused, refresh_now], Look, Demand, Some(Refused), State::Failed),
        (&[login, refresh_now], Look, Look, Some(LoginRequired), State::LoginRequired),
        (&[parent_needs_a_person], In(30_000), In(30_000), Some(LoginRequired), State::Acquiring),
        (&[parent], In(7000), In(7000), Some(Refused), State::Acquiring),
        (&[parent, parent_returned], Now, Demand, None, State::Acquiring),
        (&[unreachable, parent_returned], In(500), In(500), Some(BackingOff), State::Acquiring),
        (&[unreachable, mended], In(500), In(500), Some(BackingOff), State::Acquiring),
        (&[granted, rejected_accepted], Now, Now, None, State::Acquiring),
        (&[granted, rejected], In(500), In(500), Some(BackingOff), State::Acquiring),
        (&[granted, rejected, granted, rejected], In(1500), In(1500), Some(BackingOff), State::Acquiring),
        (&[granted, rejected, granted, rejected_accepted], Now, Now, None, State::Acquiring),
        (&[granted, rejected, granted, unreachable], In(1500), In(1500), Some(BackingOff), State::Acquiring),
        (&[granted, unreachable, rejected_accepted], In(500), In(500), Some(BackingOff), State::Acquiring),
        (&[refused, rejected_accepted], Look, Look, Some(Refused), State::Failed),
    ];
    let now = Clock::manual(SystemTime::UNIX_EPOCH + S).now();
    for (row, (events, eager, lazy, told, state)) in table.iter().enumerate() {
        let mut course = Course::new();
        for event in *events {
            event(&mut course, now);
        }
        assert_eq!(next(&course, View { now, held: None, eager: true }), *eager, "row {row}: eager");
        assert_eq!(next(&course, View { now, held: None, eager: false }), *lazy, "row {row}: lazy");
        assert_eq!(course.prospect(now, Duration::ZERO).map(|told| told.cause), *told, "row {row}: told");
        assert_eq!(course.state(None), *state, "row {row}: state");
        assert_eq!(course.state(Some(true)), State::Valid, "row {row}: a usable token is a valid one");
    }
}

#[tokio::test(start_paused = true)]
async fn a_held_token_is_refreshed_from_its_point_on_if_somebody_cares() {
    let clock = Clock::manual(SystemTime::UNIX_EPOCH + S);
    let expires: Deadline = clock.now().after(100 * S);
    let mut course = Course::new();
    granted(&mut course, clock.now());
    let view = |eager, accepted| View { now: clock.now(), held: Some((expires, accepted)), eager };
    assert_eq!(next(&course, view(true, false)), Next::In(80_000));
    tokio::time::advance(80 * S).await;
    assert_eq!(next(&course, view(true, false)), Next::Now);
    assert_eq!(next(&course, view(false, true)), Next::Now);
    assert_eq!(next(&course, view(false, false)), Next::In(5000), "a look whether it is used yet");
    unreachable(&mut course, clock.now());
    tokio::time::advance(S).await;
    assert_eq!(next(&course, view(false, true)), Next::Now);
    assert_eq!(next(&course, view(false, false)), Next::Demand);
    assert_eq!(course.state(Some(false)), State::Expired);
    assert!(matches!(course.standing, Standing::BackingOff { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_replacement_waits_for_the_end_of_a_short_backoff_and_not_of_a_long_one() {
    let now = Clock::manual(SystemTime::UNIX_EPOCH + S).now();
    let mut course = Course::new();
    granted(&mut course, now);
    rejected(&mut course, now);
    assert_eq!(course.prospect(now, ms(1100)), None);
    granted(&mut course, now);
    rejected(&mut course, now);
    let told = course.prospect(now, ms(1100)).unwrap();
    assert_eq!((told.cause, told.retry_after), (Cause::BackingOff, Some(ms(1500))));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_token_that_cannot_be_stored_is_told() {
    let now = Clock::manual(SystemTime::UNIX_EPOCH + S).now();
    let mut course = Course::new();
    course.began();
    assert_eq!(course.prospect(now, Duration::ZERO), None);
    course.unsaved = Some("the disk is full".to_owned());
    assert_eq!(course.prospect(now, Duration::ZERO).unwrap().cause, Cause::BackingOff);
    assert_eq!(course.last_error(), Some("the disk is full"));
    granted(&mut course, now);
    assert_eq!(course.prospect(now, Duration::ZERO), None);
}
