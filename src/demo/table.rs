//! The table and how it stays in its place.
//!
//! Knows a terminal's few codes, and plain lines where there is no terminal. Does not know where the numbers come from.

use std::{
    io::{self, Write},
    time::Duration,
};

use http::StatusCode;

use super::{
    Options,
    events::News,
    score::{Line, Score},
};

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(4);

/// Where the tour is told.
pub(super) struct Screen<'a, W> {
    options: Options,
    out: &'a mut W,
    /// What happened so far; on a terminal it is part of what is redrawn.
    told: Vec<String>,
    /// How many lines the cursor has to go up to draw again.
    drawn: usize,
    next_line: Duration,
}

impl<'a, W: Write> Screen<'a, W> {
    pub(super) fn new(options: Options, out: &'a mut W) -> Self {
        Self { options, out, told: Vec::new(), drawn: 0, next_line: LINE_EVERY }
    }

    /// Writes a text that stays.
    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Shows how things stand and what is new.
    pub(super) fn show(&mut self, score: &Score, elapsed: Duration, news: &[News]) -> io::Result<()> {
        let news: Vec<_> = news.iter().flat_map(told).collect();
        if self.options.live {
            self.told.extend(news);
            let mut lines = vec![self.heading(elapsed)];
            lines.extend(self.table(score));
            lines.push(String::new());
            lines.extend(self.told.iter().cloned());
            return self.draw(&lines);
        }
        for line in news {
            writeln!(self.out, "{line}")?;
        }
        if elapsed >= self.next_line {
            self.next_line = elapsed + LINE_EVERY;
            writeln!(self.out, "{}", summary_line(score, elapsed))?;
        }
        self.out.flush()
    }

    /// Leaves the table as it is at the end; prints it where there was none.
    pub(super) fn close(&mut self, score: &Score) -> io::Result<()> {
        let mut lines = vec![String::new()];
        lines.extend(self.table(score));
        if self.options.live {
            lines.push(String::new());
            lines.append(&mut self.told);
            self.draw(&lines)?;
            self.drawn = 0;
            return Ok(());
        }
        for line in lines {
            writeln!(self.out, "{line}")?;
        }
        self.out.flush()
    }

    fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        let mut frame = String::new();
        if self.drawn > 0 {
            frame.push_str(&format!("\x1b[{}A", self.drawn));
        }
        for line in lines {
            frame.push_str(line);
            frame.push_str("\x1b[K\n");
        }
        frame.push_str("\x1b[J");
        self.drawn = lines.len();
        self.out.write_all(frame.as_bytes())?;
        self.out.flush()
    }

    fn heading(&self, elapsed: Duration) -> String {
        self.paint(DIM, &format!("  {:>2} s of about 20", elapsed.as_secs()))
    }

    fn table(&self, score: &Score) -> Vec<String> {
        let mut lines = vec![
            self.paint(DIM, "                                             ------ token -------"),
            self.paint(BOLD, "  API              requests  last  errors    no.    age  requests  replays"),
        ];
        lines.extend(score.lines.iter().map(|line| self.row(line)));
        lines
    }

    fn row(&self, line: &Line) -> String {
        let seen = line.seen.as_ref();
        let last = match seen {
            None => "-".to_owned(),
            Some(seen) => seen.last.map_or("none".to_owned(), |status| status.as_u16().to_string()),
        };
        let good = seen.is_none_or(|seen| seen.last == Some(StatusCode::OK));
        let last = self.paint(if good { GREEN } else { RED }, &format!("{last:>6}"));
        let errors = format!("{:>8}", number(seen.map(|seen| seen.errors)));
        let errors = if seen.is_some_and(|seen| seen.errors > 0) { self.paint(RED, &errors) } else { errors };
        let token = line.token;
        let age = token.age.map_or("-".to_owned(), |age| format!("{:.1} s", age.as_secs_f64()));
        format!(
            "  {:<16}{:>9}{last}{errors}{:>7}{age:>7}{:>10}{:>9}",
            line.label,
            number(seen.map(|seen| seen.requests)),
            format!("#{}", token.number),
            token.requests,
            number(line.replays),
        )
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        match self.options.colour {
            true => format!("\x1b[{colour}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";

fn number(number: Option<u64>) -> String {
    number.map_or("-".to_owned(), |number| number.to_string())
}

/// News with the time in front of its first line.
fn told(news: &News) -> Vec<String> {
    let label = format!("{:>4} s", news.at.as_secs());
    let line = |(at, line): (usize, &String)| match at {
        0 => format!("{label}  {line}"),
        _ => format!("        {line}"),
    };
    news.lines.iter().enumerate().map(line).collect()
}

fn summary_line(score: &Score, elapsed: Duration) -> String {
    let (requests, errors) = score.requests_and_errors();
    let tokens = score.counts.granted;
    format!(
        "{:>4} s  {requests} requests, {errors} errors; {tokens} tokens so far, {} replayed",
        elapsed.as_secs(),
        score.replays(),
    )
}
