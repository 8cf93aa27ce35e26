//! The lines of stdin, for whoever waits for one among other things.
//!
//! Knows that a read which nobody answers cannot be given up: one thread reads for the whole process, from the first question
//! on. Does not know what is asked.

use std::{
    io::{self, BufRead, Read},
    time::Duration,
};

use tokio::sync::mpsc;

/// More than any address that a browser shows.
const LONGEST: u64 = 64 << 10;

/// The lines, from the next one on.
#[derive(Debug, Default)]
pub(super) struct Lines(Option<mpsc::Receiver<String>>);

impl Lines {
    /// The next line; `None` at the end, or where none comes within `patience`.
    pub(super) async fn next(&mut self, patience: Duration) -> Option<String> {
        let lines = self.0.get_or_insert_with(read);
        tokio::time::timeout(patience, lines.recv()).await.ok()?
    }
}

fn read() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    let reader = std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        loop {
            let mut line = String::new();
            let octets = io::stdin().lock().take(LONGEST).read_line(&mut line);
            let more = octets.is_ok_and(|octets| octets > 0);
            if !more || sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    // Without a thread there are no lines: the sender went with it.
    drop(reader);
    lines
}
