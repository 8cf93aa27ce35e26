//! Who looks after the connections of one listener on one worker, so that none of them needs a timer of its own.
//!
//! Knows when to look and whom to tell: a connection that has stood still for too long is woken, which it is for nothing else; all of
//! them are told that the listener drains. Does not know what the limits are (`patience`).

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    time::Duration,
};

use slab::Slab;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{line::Line, patience::Patience};
use crate::ingress::connection::Limits;

/// The connections of one listener on one worker.
pub(in crate::ingress) struct Lookout {
    lines: RefCell<Slab<(Rc<RefCell<Line>>, Patience)>>,
    drain: CancellationToken,
    /// The longest time until the next look; none while nobody looks.
    pace: Cell<Option<Duration>>,
    hurry: Notify,
}

/// A connection that is looked after until this is dropped.
pub(super) struct LookedAfter<'a> {
    lookout: &'a Lookout,
    key: usize,
}

impl Lookout {
    /// Nobody to look after yet; all of them end once `drain` is cancelled.
    pub(in crate::ingress) fn new(drain: CancellationToken) -> Rc<Self> {
        Rc::new(Self { lines: RefCell::default(), drain, pace: Cell::new(None), hurry: Notify::new() })
    }

    /// Looks after one more connection. Inside a local runtime.
    pub(super) fn look_after(self: &Rc<Self>, line: &Rc<RefCell<Line>>, limits: &Limits) -> LookedAfter<'_> {
        let draining = self.drain.is_cancelled();
        line.borrow_mut().draining = draining;
        let patience = Patience::new(limits);
        let pace = patience.pace(draining);
        let key = self.lines.borrow_mut().insert((Rc::clone(line), patience));
        match self.pace.get() {
            None => {
                self.pace.set(Some(pace));
                tokio::task::spawn_local(Rc::clone(self).look_out());
            }
            // Its limits are shorter than those of the others: they were changed since.
            Some(slower) if pace < slower => {
                self.pace.set(Some(pace));
                self.hurry.notify_one();
            }
            Some(_) => {}
        }
        LookedAfter { lookout: self, key }
    }

    /// Looks as often as the connections need it, as long as there are any.
    async fn look_out(self: Rc<Self>) {
        let mut timer = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
        let mut draining = false;
        while let Some(pace) = self.pace.get() {
            timer.as_mut().reset(Instant::now() + pace);
            tokio::select! {
                biased;
                () = timer.as_mut() => {}
                () = self.hurry.notified() => {}
                () = self.drain.cancelled(), if !draining => {
                    draining = true;
                    self.tell_to_end(Instant::now());
                }
            }
            self.pace.set(self.look(Instant::now()));
        }
    }

    /// Looks at each; how long until somebody should look again, if there are any.
    fn look(&self, now: Instant) -> Option<Duration> {
        let mut lines = self.lines.borrow_mut();
        let nexts = lines.iter_mut().map(|(_, (line, patience))| {
            let mut line = line.borrow_mut();
            patience.left(&line, now).unwrap_or_else(|| {
                line.give_up();
                patience.pace(line.draining)
            })
        });
        nexts.min()
    }

    fn tell_to_end(&self, now: Instant) {
        for (_, (line, patience)) in self.lines.borrow_mut().iter_mut() {
            let mut line = line.borrow_mut();
            line.draining = true;
            patience.begin_anew(&line, now);
        }
    }
}

impl Drop for LookedAfter<'_> {
    fn drop(&mut self) {
        let _ended = self.lookout.lines.borrow_mut().try_remove(self.key);
    }
}

impl fmt::Debug for Lookout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookout").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
        task::{LocalSet, spawn_local},
    };

    use super::*;
    use crate::{
        ingress::{connection::LAST_CALL, drain::Drain, http1::serve},
        wire::{Answer, Incoming, Request, Stream},
    };

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const HALF_A_HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: local";

    fn limits(all: Duration) -> Limits {
        Limits {
            head_size: 8 << 10,
            head_fields: 20,
            head_timeout: all,
            idle_timeout: all,
            http2: Default::default(),
            body_timeout: all,
            refuse_underscores: false,
        }
    }

    /// One more connection of the listener that `drain` ends, within limits that are all the same.
    fn begin(drain: &Drain, all: Duration) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(8 << 10);
        let drain = drain.clone();
        spawn_local(async move {
            let service = async |_: Request<Incoming>| Answer::new(Full::new(Bytes::from_static(b"done")));
            serve(Stream::Memory(theirs), &limits(all), service, drain).await;
        });
        ours
    }

    /// How long it is until the connection has ended, without a word.
    async fn ended(mut stream: DuplexStream, begun: Instant) -> Duration {
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&said), "");
        begun.elapsed()
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn r111_each_connection_has_its_own_time_whoever_looks_after_them() {
        LocalSet::new()
            .run_until(async {
                let drain = Drain::new();
                let early = begin(&drain, s(10));
                let early = spawn_local(ended(early, Instant::now()));
                tokio::time::sleep(s(4)).await;
                let mut late = begin(&drain, s(10));
                let begun = Instant::now();
                late.write_all(HALF_A_HEAD).await.unwrap();
                let late = spawn_local(ended(late, begun));
                for after in [early.await.unwrap(), late.await.unwrap()] {
                    assert!((s(10)..=s(15)).contains(&after), "{after:?}");
                }
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn r111_a_connection_with_shorter_limits_than_those_before_is_not_looked_at_too_late() {
        LocalSet::new()
            .run_until(async {
                let drain = Drain::new();
                let _long = begin(&drain, s(10_000));
                tokio::time::sleep(s(1)).await;
                let after = ended(begin(&drain, s(10)), Instant::now()).await;
                assert!((s(10)..=s(15)).contains(&after), "{after:?}");
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn r149_all_idle_connections_end_when_a_listener_drains_those_that_come_then_too() {
        LocalSet::new()
            .run_until(async {
                let drain = Drain::new();
                let waiting: Vec<_> = (0..3).map(|_| begin(&drain, s(300))).collect();
                tokio::time::sleep(s(200)).await;
                let begun = Instant::now();
                drain.cancel();
                let waiting: Vec<_> = waiting.into_iter().chain([begin(&drain, s(300))]).collect();
                for stream in waiting {
                    let after = ended(stream, begun).await;
                    assert!((LAST_CALL..LAST_CALL * 2).contains(&after), "{after:?}");
                }
                let after = ended(begin(&drain, s(300)), Instant::now()).await;
                assert!((LAST_CALL..LAST_CALL * 2).contains(&after), "{after:?}");
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn r111_what_has_come_is_read_before_it_counts_that_a_connection_was_given_up() {
        LocalSet::new()
            .run_until(async {
                let drain = Drain::new();
                let (mut stream, silent) = (begin(&drain, s(10)), begin(&drain, s(10)));
                tokio::time::sleep(s(1)).await;
                stream.write_all(REQUEST).await.unwrap();
                drain.http1().lines.borrow().iter().for_each(|(_, (line, _))| line.borrow_mut().give_up());
                assert_eq!(ended(silent, Instant::now()).await, Duration::ZERO);
                // It is answered, and so is the next.
                stream.write_all(REQUEST).await.unwrap();
                tokio::time::sleep(s(1)).await;
                drain.cancel();
                let mut answers = String::new();
                stream.read_to_string(&mut answers).await.unwrap();
                assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_looks_where_nobody_is_and_somebody_does_again_when_one_comes() {
        LocalSet::new()
            .run_until(async {
                let drain = Drain::new();
                for _ in 0..2 {
                    let after = ended(begin(&drain, s(10)), Instant::now()).await;
                    assert!((s(10)..=s(15)).contains(&after), "{after:?}");
                    tokio::time::sleep(s(10)).await;
                    assert_eq!(drain.http1().pace.get(), None);
                    assert!(drain.http1().lines.borrow().is_empty());
                }
            })
            .await;
    }
}
