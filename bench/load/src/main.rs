//! The benchmark's application: sends requests in a closed loop, checks every answer, and says how many there were and how
//! long they took.
//!
//! 1. All connections are opened and warmed up; then every answer that is due is awaited, and `ready` is printed.
//! 2. A line on standard input starts what is measured. While nothing is under way, others can read their clocks.
//! 3. Once the time is over nothing new is sent, what is under way is awaited, and one line of JSON says what there was.
//!
//! An answer that is not as it should be ends it with status 1 and says what was wrong. One thread, no allocation per request.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "what this program is for is to read the clock at its edge")]

mod connection;
mod head;
mod plan;

use std::{
    io::{self, ErrorKind, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use connection::{Connection, Expected};
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use plan::{Plan, USAGE};

/// Nothing at all within this time is a failure.
const PATIENCE: Duration = Duration::from_secs(10);
/// Answers of 10 MiB are read in pieces of this size.
const SPACE: usize = 256 * 1024;

fn main() -> ExitCode {
    let outcome = Plan::from_arguments(std::env::args().skip(1))
        .map_err(|why| format!("{why}\n\n{USAGE}"))
        .and_then(|plan| Load::new(&plan).and_then(|mut load| course(&plan, &mut load)));
    match outcome {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn course(plan: &Plan, load: &mut Load<'_>) -> Result<String, String> {
    load.run(plan.warm_up, plan.warm_answers)?;
    load.latencies.clear();
    load.answers.fill(0);
    println!("ready");
    io::stdout().flush().map_err(|error| error.to_string())?;
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(|error| error.to_string())?;
    let begun = Instant::now();
    load.run(plan.measured, 0)?;
    let seconds = begun.elapsed().as_secs_f64();
    Ok(report(&mut load.latencies, &load.answers, seconds))
}

fn report(latencies: &mut [u32], answers: &[u64], seconds: f64) -> String {
    latencies.sort_unstable();
    let total: u64 = answers.iter().sum();
    let least = answers.iter().min().copied().unwrap_or(0);
    // The smallest latency that this share of all answers did not exceed.
    let percentile = |share: f64| {
        let rank = (latencies.len() as f64 * share).ceil() as usize;
        f64::from(latencies.get(rank.saturating_sub(1)).copied().unwrap_or(0)) / 1e3
    };
    format!(
        "{{\"answers\": {total}, \"least\": {least}, \"seconds\": {seconds:.6}, \
         \"p50_us\": {:.1}, \"p99_us\": {:.1}, \"max_us\": {:.1}}}",
        percentile(0.5),
        percentile(0.99),
        percentile(1.0)
    )
}

/// A connection and what is under way on it.
struct Slot {
    /// `None` before the first request, and between requests where each has a connection of its own.
    connection: Option<Connection>,
    /// Which of the plan's requests.
    request: usize,
    since: Instant,
}

struct Load<'a> {
    plan: &'a Plan,
    expected: Expected,
    poll: Poll,
    slots: Vec<Slot>,
    next: usize,
    busy: usize,
    /// Nanoseconds, in the order of the answers; an answer that took longer than 4 s counts as that.
    latencies: Vec<u32>,
    /// Of each slot.
    answers: Vec<u64>,
    space: Vec<u8>,
}

impl<'a> Load<'a> {
    fn new(plan: &'a Plan) -> Result<Self, String> {
        let slot = |_| Slot { connection: None, request: 0, since: Instant::now() };
        Ok(Self {
            plan,
            expected: Expected { status: plan.status, length: plan.length, closes: plan.close },
            poll: Poll::new().map_err(|error| format!("epoll: {error}"))?,
            slots: (0..plan.connections).map(slot).collect(),
            next: 0,
            busy: 0,
            latencies: Vec::with_capacity(1 << 20),
            answers: vec![0; plan.connections],
            space: vec![0; SPACE],
        })
    }

    /// Sends for this long, and until there were as many answers, then waits for what is under way.
    fn run(&mut self, span: Duration, answers: u64) -> Result<(), String> {
        let begun = Instant::now();
        let mut events = Events::with_capacity(1024);
        for number in 0..self.slots.len() {
            self.send(number)?;
        }
        while self.busy > 0 {
            match self.poll.poll(&mut events, Some(PATIENCE)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                outcome => outcome.map_err(|error| format!("epoll: {error}"))?,
            }
            if events.is_empty() {
                return Err(format!("{} answers did not come within {PATIENCE:?}", self.busy));
            }
            let going = begun.elapsed() < span || (self.latencies.len() as u64) < answers;
            for event in &events {
                let number = event.token().0;
                if self.advance(number, event.is_read_closed())? && going {
                    self.send(number)?;
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, number: usize) -> Result<(), String> {
        let since = Instant::now();
        if self.slots[number].connection.is_none() {
            self.slots[number].connection = Some(self.connect(number)?);
        }
        let slot = &mut self.slots[number];
        slot.since = since;
        slot.request = self.next;
        slot.connection.iter_mut().for_each(Connection::begin);
        self.next = (self.next + 1) % self.plan.requests.len();
        self.busy += 1;
        self.advance(number, false).map(drop)
    }

    /// Whether its answer is there now.
    fn advance(&mut self, number: usize, ended: bool) -> Result<bool, String> {
        let slot = &mut self.slots[number];
        // An event of a connection that is over.
        let Some(connection) = &mut slot.connection else { return Ok(false) };
        let request = &self.plan.requests[slot.request];
        if !connection.advance(request, self.expected, ended, &mut self.space)? {
            return Ok(false);
        }
        let took = slot.since.elapsed().as_nanos();
        self.latencies.push(u32::try_from(took).unwrap_or(u32::MAX));
        self.answers[number] += 1;
        self.busy -= 1;
        if self.plan.close {
            slot.connection = None;
        }
        Ok(true)
    }

    fn connect(&self, number: usize) -> Result<Connection, String> {
        let unconnected = |error: io::Error| format!("no connection to {}: {error}", self.plan.to);
        let mut socket = TcpStream::connect(self.plan.to).map_err(unconnected)?;
        socket.set_nodelay(true).map_err(unconnected)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut socket, Token(number), interest).map_err(unconnected)?;
        Ok(Connection::new(socket))
    }
}
