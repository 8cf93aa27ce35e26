//! What is sent and what has to come back, read from the arguments.
//!
//! Knows the requests octet by octet. Does not know sockets.

use std::{net::SocketAddr, time::Duration};

pub const USAGE: &str = "\
load --to ADDRESS:PORT [--target PATH] [--field 'NAME: VALUE']... [--post OCTETS] [--numbers N]
     [--connections N] [--close] [--seconds S] [--warm-seconds S] [--warm-answers N] [--status N] --length N

Each `{}` in the target or a field is replaced by 0, 1, … N - 1 and 0 again. --close: a connection for each request.";

#[derive(Debug)]
pub struct Plan {
    pub to: SocketAddr,
    /// Sent in turn, whichever connection is free.
    pub requests: Vec<Vec<u8>>,
    pub connections: usize,
    /// Each request closes its connection, and the next has one of its own.
    pub close: bool,
    pub measured: Duration,
    pub warm_up: Duration,
    /// The warm-up lasts until there were as many answers, too.
    pub warm_answers: u64,
    pub status: u16,
    /// Of the content of each answer.
    pub length: u64,
}

impl Plan {
    pub fn from_arguments(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan = Self {
            to: SocketAddr::from(([127, 0, 0, 1], 0)),
            requests: Vec::new(),
            connections: 1,
            close: false,
            measured: Duration::from_secs(1),
            warm_up: Duration::from_millis(200),
            warm_answers: 0,
            status: 200,
            length: u64::MAX,
        };
        let (mut target, mut fields, mut post, mut numbers) = ("/".to_owned(), Vec::new(), None, 1);
        let mut arguments = arguments;
        while let Some(name) = arguments.next() {
            if name == "--close" {
                plan.close = true;
                continue;
            }
            let value = arguments.next().ok_or_else(|| format!("{name} wants a value"))?;
            match &*name {
                "--to" => plan.to = parsed(&name, &value)?,
                "--target" => target = value,
                "--field" => fields.push(value),
                "--post" => post = Some(parsed(&name, &value)?),
                "--numbers" => numbers = parsed(&name, &value)?,
                "--connections" => plan.connections = parsed(&name, &value)?,
                "--seconds" => plan.measured = seconds(&name, &value)?,
                "--warm-seconds" => plan.warm_up = seconds(&name, &value)?,
                "--warm-answers" => plan.warm_answers = parsed(&name, &value)?,
                "--status" => plan.status = parsed(&name, &value)?,
                "--length" => plan.length = parsed(&name, &value)?,
                _ => return Err(format!("{name} is not known")),
            }
        }
        if plan.to.port() == 0 || plan.length == u64::MAX || plan.connections == 0 || numbers == 0 {
            return Err("--to and --length are needed; --connections and --numbers are at least 1".to_owned());
        }
        plan.requests = (0..numbers).map(|number| plan.request(&target, &fields, post, number)).collect();
        Ok(plan)
    }

    /// The fields are those that `curl` sends.
    fn request(&self, target: &str, fields: &[String], post: Option<usize>, number: usize) -> Vec<u8> {
        let number = number.to_string();
        let method = if post.is_some() { "POST" } else { "GET" };
        let mut head =
            format!("{method} {} HTTP/1.1\r\nHost: {}\r\n", target.replace("{}", &number), self.to);
        head += "User-Agent: bearward-bench/1\r\nAccept: */*\r\n";
        for field in fields {
            head += &field.replace("{}", &number);
            head += "\r\n";
        }
        if self.close {
            head += "Connection: close\r\n";
        }
        if let Some(length) = post {
            head += &format!("Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n");
        }
        let mut request = (head + "\r\n").into_bytes();
        request.resize(request.len() + post.unwrap_or(0), b'p');
        request
    }
}

fn parsed<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name} {value} is not what it should be"))
}

fn seconds(name: &str, value: &str) -> Result<Duration, String> {
    Duration::try_from_secs_f64(parsed(name, value)?).map_err(|error| format!("{name} {value}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::Plan;

    fn plan(line: &str) -> Result<Plan, String> {
        Plan::from_arguments(line.split(' ').map(str::to_owned))
    }

    #[test]
    fn requests_are_numbered_and_framed() {
        let plan =
            plan("--to 127.0.0.1:9 --length 0 --target /{} --field x-n:{} --numbers 2 --post 3 --close");
        let [zero, one] = &plan.unwrap().requests[..] else { panic!("two requests") };
        let expected = "POST /1 HTTP/1.1\r\nHost: 127.0.0.1:9\r\nUser-Agent: bearward-bench/1\r\nAccept: */*\r\n\
            x-n:1\r\nConnection: close\r\nContent-Type: application/octet-stream\r\nContent-Length: 3\r\n\r\nppp";
        assert_eq!(String::from_utf8_lossy(one), expected);
        assert!(zero.starts_with(b"POST /0 "));
    }

    #[test]
    fn what_is_missing_or_wrong_is_said() {
        for line in [
            "--to 127.0.0.1:9",
            "--length 1",
            "--to 127.0.0.1:9 --length 1 --seconds -1",
            "--length",
            "--x 1",
        ] {
            assert!(plan(line).is_err(), "{line}");
        }
    }
}
