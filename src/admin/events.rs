//! `/events`: what the page shows, as server-sent events (HTML, section 9.2).
//!
//! Knows when there is something new to say: `snapshot` where tokens or upstreams changed, `exchanges` as they come, and
//! a `beat` every second in which nothing did, so that a page notices silence. An event's id names the run of bearward and
//! what was seen of each worker's ring, so that a page that comes back gets only what it missed.

use std::{
    cell::Cell,
    fmt::{self, Write},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use serde::Serialize;
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, Interval, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    Admin, From,
    snapshot::{Line, Snapshot, milliseconds},
};
use crate::telemetry::exchanges::Cursor;

/// How many may watch at once.
pub(super) const MOST: usize = 16;
pub(super) const CONTENT_TYPE: &str = "text/event-stream";

/// How often is looked for new exchanges, and for changes of anything else.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// How long a browser waits before it comes back, in milliseconds.
const RETRY: &str = "retry: 1000\n\n";

/// The events of one who watches.
pub struct Events {
    admin: Rc<Admin>,
    from: From,
    drain: CancellationToken,
    changed: watch::Receiver<()>,
    look: Interval,
    cursor: Cursor,
    told: Rc<Told>,
    /// The last second that was told of.
    last: Option<Instant>,
    over: bool,
    _place: Place,
}

/// A snapshot as it is told; those who watch from the same place share it.
#[derive(Debug)]
pub(super) struct Told {
    at: Instant,
    from: From,
    /// What a page should hear of at once.
    urgent: String,
    whole: String,
}

impl Told {
    fn of(admin: &Admin, from: From) -> Rc<Self> {
        let known = admin.told.borrow().clone();
        let lately = |told: &Rc<Self>| told.from == from && told.at.elapsed() < LOOK_EVERY / 2;
        if let Some(told) = known.filter(lately) {
            return told;
        }
        let seen = admin.seen.borrow().clone();
        let snapshot = Snapshot::of(admin, &seen, from);
        let told = Rc::new(Self {
            at: Instant::now(),
            from,
            urgent: as_json(&snapshot.urgent()),
            whole: as_json(&snapshot),
        });
        admin.told.replace(Some(told.clone()));
        told
    }

    fn nothing(from: From) -> Rc<Self> {
        Rc::new(Self { at: Instant::now(), from, urgent: String::new(), whole: String::new() })
    }
}

/// One of those who watch.
struct Place {
    watching: Rc<Cell<usize>>,
    changed: watch::Sender<()>,
}

impl Events {
    /// The events from now on, or from `last` on where that is an event's id of this run; none where too many watch.
    pub(super) fn begin(
        admin: &Rc<Admin>,
        last: Option<&str>,
        from: From,
        drain: CancellationToken,
    ) -> Option<Self> {
        let place = Place::take(admin)?;
        let mine = last.and_then(|last| last.strip_prefix(&*admin.process)?.strip_prefix('/'));
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Some(Self {
            admin: admin.clone(),
            from,
            drain,
            changed: admin.changed.subscribe(),
            look,
            cursor: mine.and_then(Cursor::parse).unwrap_or_default(),
            told: Told::nothing(from),
            last: None,
            over: false,
            _place: place,
        })
    }

    /// As a body's content; ends when the listener drains.
    pub fn into_stream(self) -> impl Stream<Item = Bytes> {
        stream::unfold(self, |mut events| async {
            let next = events.next().await?;
            Some((next, events))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                biased;
                () = self.drain.cancelled() => {
                    // The last words: that it is stopping, and what happened until now.
                    let over = std::mem::replace(&mut self.over, true);
                    return Some(self.news()).filter(|news| !over && !news.is_empty()).map(Bytes::from);
                }
                // The sender lives in `admin`, which lives as long as this.
                _ = self.changed.changed() => {}
                _ = self.look.tick() => {}
            }
            let news = self.news();
            if !news.is_empty() {
                return Some(news.into());
            }
        }
    }

    /// What there is to say at this moment; often nothing.
    fn news(&mut self) -> String {
        let begins = self.last.is_none();
        let told = Told::of(&self.admin, self.from);
        let new = self.admin.exchanges.since(&mut self.cursor);
        let second = self.last.is_none_or(|last| last.elapsed() >= BEAT_EVERY);
        // Counters differ with every look under load: they are told once a second, all else at once.
        let changed = told.urgent != self.told.urgent || (second && told.whole != self.told.whole);
        if !changed && !second && new.is_empty() {
            return String::new();
        }
        let mut out = if begins { RETRY.to_owned() } else { String::new() };
        if second {
            self.last = Some(Instant::now());
        }
        let now = milliseconds(self.admin.clock.now().wall());
        self.event(&mut out, "beat", &as_json(&json!({ "now": now })));
        if changed {
            self.event(&mut out, "snapshot", &told.whole);
            self.told = told;
        }
        if begins || !new.is_empty() {
            let lines: Vec<Line<'_>> = new.iter().map(|(worker, kept)| Line::of(*worker, kept)).collect();
            self.event(&mut out, "exchanges", &as_json(&lines));
        }
        out
    }

    /// JSON is one line.
    fn event(&self, out: &mut String, name: &str, data: &str) {
        // Writing to a String cannot fail.
        let _ = write!(out, "id: {}/{}\nevent: {name}\ndata: {data}\n\n", self.admin.process, self.cursor);
    }
}

/// Values that serialize by derive, with text keys only: there is nothing that could fail to be written.
fn as_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Place {
    fn take(admin: &Admin) -> Option<Self> {
        let before = admin.watching.get();
        if before >= MOST {
            return None;
        }
        admin.watching.set(before + 1);
        Some(Self { watching: admin.watching.clone(), changed: admin.changed.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.watching.set(self.watching.get().saturating_sub(1));
        // Somebody may wait until nobody watches.
        self.changed.send_replace(());
    }
}
