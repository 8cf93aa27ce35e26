//! The application's requests: a steady trickle to every part, and what came back.
//!
//! Knows statuses and counts what the application would call an error: anything but 200. Does not know tokens.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::{sync::watch, task::JoinError, task::JoinSet, time::MissedTickBehavior};

use super::{application::Application, stage::Door};
use crate::clock::Clock;

/// One request per part in this span: about sixteen a second.
const PACE: Duration = Duration::from_millis(60);

/// What the application saw of one part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Requests that ended, one way or the other.
    pub(super) requests: u64,
    /// Those among them that did not end with a 200.
    pub(super) errors: u64,
    /// The last answer's status; `None` where there was no answer.
    pub(super) last: Option<StatusCode>,
    /// What the first error was.
    pub(super) first_error: Option<String>,
    /// The longest that it waited for an answer.
    pub(super) slowest: Duration,
}

/// The running requests.
#[derive(Debug)]
pub(super) struct Load {
    seen: Vec<Arc<Mutex<Seen>>>,
    stop: watch::Sender<bool>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

impl Load {
    /// Begins to send.
    pub(super) fn begin(doors: &[Door], clock: &Clock) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (mut seen, mut tasks) = (Vec::new(), JoinSet::new());
        for door in doors {
            let mine = Arc::new(Mutex::new(Seen::default()));
            tasks.spawn(send(*door, clock.clone(), Arc::clone(&mine), stopped.clone()));
            seen.push(mine);
        }
        Self { seen, stop, tasks: tokio::sync::Mutex::new(tasks) }
    }

    /// What was seen of the part at `index`.
    pub(super) fn seen(&self, index: usize) -> Seen {
        let seen =
            self.seen.get(index).map(|seen| seen.lock().unwrap_or_else(PoisonError::into_inner).clone());
        seen.unwrap_or_default()
    }

    /// Sends no more and waits for the answers that are still out.
    pub(super) async fn end(&self) -> Result<(), JoinError> {
        self.stop.send_replace(true);
        let mut tasks = self.tasks.lock().await;
        while let Some(ended) = tasks.join_next().await {
            ended?;
        }
        Ok(())
    }
}

async fn send(door: Door, clock: Clock, seen: Arc<Mutex<Seen>>, stopped: watch::Receiver<bool>) {
    let mut application = Application::new(door.address);
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stopped.borrow() {
        pace.tick().await;
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = http::Uri::from_static(door.part.path);
        if let Some(subject) = door.part.subject {
            request.headers_mut().insert("x-bearward-subject", http::HeaderValue::from_static(subject));
        }
        let sent = clock.now();
        let answer = application.send(request).await;
        let took = clock.now().since(sent);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.requests += 1;
        seen.slowest = seen.slowest.max(took);
        seen.last = answer.as_ref().ok().map(|answer| answer.status());
        if seen.last != Some(StatusCode::OK) {
            seen.errors += 1;
            let shown = answer.map_or_else(|problem| problem.to_string(), |answer| describe(&answer));
            seen.first_error.get_or_insert(shown);
        }
    }
}

fn describe(answer: &http::Response<Bytes>) -> String {
    let content: String = String::from_utf8_lossy(answer.body()).chars().take(200).collect();
    format!("{} {content}", answer.status())
}
