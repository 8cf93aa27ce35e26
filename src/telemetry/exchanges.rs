//! The last exchanges, for people to look at: what was asked, what came of it, how long it took.
//!
//! Knows one ring per worker, whose lock only a person who watches ever takes besides its worker, and that a record costs
//! no allocation once the ring is warm. Never a query, a field or content. Does not know how it is shown.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

/// How many exchanges each worker keeps.
pub const KEPT: usize = 50;
/// What is kept of a path, in octets.
pub const LONGEST_PATH: usize = 200;
/// What is kept of a method or a name, in octets.
const LONGEST_WORD: usize = 64;

/// The rings of all workers. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Exchanges(Arc<[Arc<Ring>]>);

/// The ring of one worker.
#[derive(Default)]
pub struct Ring(Mutex<Slots>);

#[derive(Default)]
struct Slots {
    /// How many were recorded so far: the next one's number.
    next: u64,
    kept: Vec<Exchange>,
}

/// How an exchange ended, as its worker knows it.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// When its head had come.
    pub at: SystemTime,
    /// The method.
    pub method: &'a str,
    /// The path that the application asked for, without a query.
    pub path: &'a str,
    /// Where it went; none where it belongs to no upstream.
    pub upstream: Option<&'a str>,
    /// What the application was answered.
    pub status: u16,
    /// From the head of the request to the head of the answer.
    pub took: Duration,
    /// Whether it was sent a second time with a newer token.
    pub replayed: bool,
}

/// An exchange that is kept.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Its number among those of its worker.
    pub number: u64,
    /// When its head had come.
    pub at: SystemTime,
    /// The method.
    pub method: String,
    /// The path as it was written, percent-encoding included; a long one is cut.
    pub path: String,
    /// Where it went; empty where it belonged to no upstream.
    pub upstream: String,
    /// What the application was answered.
    pub status: u16,
    /// From the head of the request to the head of the answer.
    pub took: Duration,
    /// Whether it was sent a second time with a newer token.
    pub replayed: bool,
}

/// What somebody has seen already: the next number of each worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(Vec<u64>);

impl Exchanges {
    /// Rings for `workers`.
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Arc::default()).collect())
    }

    /// The ring of a worker; none where there is no such worker.
    pub fn ring(&self, worker: usize) -> Option<Arc<Ring>> {
        self.0.get(worker).cloned()
    }

    /// What is kept and `cursor` has not seen, with its worker, in the order of time; the cursor moves on.
    pub fn since(&self, cursor: &mut Cursor) -> Vec<(usize, Exchange)> {
        cursor.0.resize(self.0.len(), 0);
        let mut new: Vec<(usize, Exchange)> = Vec::new();
        for ((worker, ring), seen) in self.0.iter().enumerate().zip(&mut cursor.0) {
            let slots = ring.slots();
            new.extend(
                slots.kept.iter().filter(|kept| kept.number >= *seen).map(|kept| (worker, kept.clone())),
            );
            *seen = slots.next;
        }
        new.sort_by_key(|(worker, exchange)| (exchange.at, *worker, exchange.number));
        new
    }
}

impl Ring {
    /// Keeps one more, in the place of the oldest.
    pub fn record(&self, ended: Ended<'_>) {
        let mut slots = self.slots();
        let number = slots.next;
        slots.next += 1;
        if slots.kept.len() < KEPT {
            slots.kept.push(Exchange::empty(ended.at));
        }
        #[expect(clippy::cast_possible_truncation, reason = "smaller than KEPT")]
        let place = (number % KEPT as u64) as usize;
        slots.kept[place].is(number, ended);
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("recorded", &self.slots().next).finish()
    }
}

impl Exchange {
    fn empty(at: SystemTime) -> Self {
        let (method, path, upstream) = (String::new(), String::new(), String::new());
        Self { number: 0, at, method, path, upstream, status: 0, took: Duration::ZERO, replayed: false }
    }

    fn is(&mut self, number: u64, ended: Ended<'_>) {
        self.number = number;
        self.at = ended.at;
        refill(&mut self.method, ended.method, LONGEST_WORD);
        refill(&mut self.path, ended.path, LONGEST_PATH);
        refill(&mut self.upstream, ended.upstream.unwrap_or_default(), LONGEST_WORD);
        self.status = ended.status;
        self.took = ended.took;
        self.replayed = ended.replayed;
    }
}

impl Cursor {
    /// The cursor that [`Cursor::to_string`](ToString) wrote; `None` where it is none.
    pub fn parse(text: &str) -> Option<Self> {
        text.split('.').map(|number| number.parse().ok()).collect::<Option<_>>().map(Self)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, number) in self.0.iter().enumerate() {
            let dot = if at == 0 { "" } else { "." };
            write!(f, "{dot}{number}")?;
        }
        Ok(())
    }
}

/// Puts `text`, or its first `most` octets, into a buffer that is there already.
fn refill(buffer: &mut String, text: &str, most: usize) {
    buffer.clear();
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    buffer.push_str(&text[..end]);
    if end < text.len() {
        buffer.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(path: &str, second: u64) -> Ended<'_> {
        Ended {
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(second),
            method: "GET",
            path,
            upstream: Some("shop"),
            status: 200,
            took: Duration::from_millis(3),
            replayed: false,
        }
    }

    fn paths(seen: &[(usize, Exchange)]) -> Vec<&str> {
        seen.iter().map(|(_, exchange)| &*exchange.path).collect()
    }

    #[test]
    fn the_last_fifty_of_a_worker_are_kept_and_each_is_handed_out_once() {
        let (all, mut cursor) = (Exchanges::new(1), Cursor::default());
        let ring = all.ring(0).unwrap();
        let names: Vec<String> = (0..60).map(|n| format!("/{n}")).collect();
        for (at, name) in (0..).zip(&names) {
            ring.record(ended(name, at));
        }
        assert_eq!(paths(&all.since(&mut cursor)), names[10..].iter().collect::<Vec<_>>());
        assert!(all.since(&mut cursor).is_empty());
        ring.record(ended("/new", 99));
        assert_eq!(paths(&all.since(&mut cursor)), ["/new"]);
    }

    #[test]
    fn what_several_workers_did_is_merged_by_time() {
        let (all, mut cursor) = (Exchanges::new(2), Cursor::default());
        let (one, other) = (all.ring(0).unwrap(), all.ring(1).unwrap());
        for (ring, path, at) in [(&one, "/1", 1), (&other, "/2", 2), (&one, "/3", 3), (&other, "/0", 0)] {
            ring.record(ended(path, at));
        }
        assert_eq!(paths(&all.since(&mut cursor)), ["/0", "/1", "/2", "/3"]);
        let again = Cursor::parse(&cursor.to_string());
        assert_eq!(again, Some(cursor));
        assert!(all.ring(2).is_none());
        for wrong in ["", ".", "1.", "-1", "a", "1,2"] {
            assert_eq!(Cursor::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_long_path_is_cut_between_two_characters_and_says_so() {
        let (all, mut cursor) = (Exchanges::new(1), Cursor::default());
        let long = format!("/{}", "é".repeat(LONGEST_PATH));
        all.ring(0).unwrap().record(ended(&long, 0));
        let seen = all.since(&mut cursor);
        let path = &seen[0].1.path;
        assert!(path.ends_with("é…") && path.len() <= LONGEST_PATH + '…'.len_utf8(), "{path}");
    }

    #[test]
    fn a_warm_ring_reuses_its_buffers() {
        let (all, mut cursor) = (Exchanges::new(1), Cursor::default());
        let ring = all.ring(0).unwrap();
        for at in 0..KEPT as u64 {
            ring.record(ended("/a/path/that/is/as/long/as/any/after/it", at));
        }
        let before = ring.slots().kept.iter().map(|kept| kept.path.as_ptr()).collect::<Vec<_>>();
        for at in 0..3 * KEPT as u64 {
            ring.record(ended("/a/shorter/path", at));
        }
        let after = ring.slots().kept.iter().map(|kept| kept.path.as_ptr()).collect::<Vec<_>>();
        assert_eq!(before, after);
        assert_eq!(all.since(&mut cursor).len(), KEPT);
    }

    /// `cargo test --release -- --ignored --nocapture what_a_record_costs`
    #[test]
    #[ignore = "a measurement, not a test"]
    fn what_a_record_costs() {
        const ROUNDS: u32 = 10_000_000;
        let ring = Ring::default();
        let one = ended("/api/v3/orders/4711/positions", 1);
        let begun = std::time::Instant::now();
        for _ in 0..ROUNDS {
            ring.record(std::hint::black_box(one));
        }
        println!("{:.1} ns a record", begun.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS));
    }
}
