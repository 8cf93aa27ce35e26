//! No input makes bearward send an upstream anything that two parties could read differently (r031-r060): thousands of malformed
//! and borderline requests go through it, and what arrives is read by a strict checker and by three origin servers of different
//! make.

mod answers;
mod makes;
mod origin;
mod table;
mod ways;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bearward::demo::simulator::strict::{self, Asked, Message, Start};
use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
};

use origin::Received;
use table::{Expect, Vector, vectors};
use ways::{Io, Led, Stage, Through};

use crate::support::PATIENCE;

/// How many vectors are under way at once.
const AT_ONCE: usize = 24;

#[test]
fn r031_r059_there_are_enough_vectors_and_the_checker_refuses_what_is_invalid() {
    let vectors = vectors();
    let different: BTreeSet<_> =
        vectors.iter().map(|vector| replaced(&vector.octets, vector.number)).collect();
    assert!(different.len() >= 1_500, "{} different ones of {}", different.len(), vectors.len());
    let mut wrong = Vec::new();
    for vector in &vectors {
        let read = strict::requests(&vector.octets);
        // How long an extension may be is a limit of ours.
        let limit = vector.category.starts_with("r039");
        if matches!(vector.expect, Expect::Refused(_)) && read.is_ok() && !limit {
            wrong.push(format!("{}: {}", vector.category, vector.octets.escape_ascii()));
        }
    }
    assert!(wrong.is_empty(), "the checker takes {} of them:\n{}", wrong.len(), wrong.join("\n"));
}

/// Without its number, to tell how many there are.
fn replaced(octets: &[u8], number: usize) -> Vec<u8> {
    octets.escape_ascii().to_string().replace(&number.to_string(), "N").into_bytes()
}

/// Sends all of them by one way in; what the origin received.
async fn all(through: Through, vectors: Vec<Vector>) -> Vec<Received> {
    let stage = Stage::new(through).await;
    let vectors: Vec<_> = vectors.into_iter().map(|vector| stage.led(vector)).collect();
    let answers = send_all(&stage, &vectors).await;
    // All connections have ended, and an aborted upload with them: nothing more is under way.
    let received = stage.end().await;

    let mut wrong = Vec::new();
    for Received { violation, broken, messages, .. } in &received {
        if let Some(violation) = violation {
            wrong.push(format!("SENT UPSTREAM: {violation}: {broken}"));
        }
        // Extensions are nobody's business behind us (r039), and ours is HTTP/1.1.
        if messages.iter().any(|message| message.extensions > 0 || message.old) {
            wrong.push("SENT UPSTREAM: chunk extensions, or HTTP/1.0".to_owned());
        }
    }
    let arrived = by_vector(&received, &mut wrong);
    for (Led { vector, octets, .. }, answer) in vectors.iter().zip(&answers) {
        let arrived = arrived.get(&vector.number).map_or(&[][..], Vec::as_slice);
        if let Err(problem) = judged(vector, answer, arrived) {
            wrong.push(format!(
                "{}: {problem}\n    {:?}\n    {}\n    answered {}",
                vector.category,
                vector.expect,
                shown(octets),
                shown(answer)
            ));
        }
    }
    none(&wrong, vectors.len());
    // Nobody was simply turned away.
    let taken = vectors.iter().filter(|led| led.vector.expect == Expect::Taken).count();
    assert!(through == Through::ProxyAsTheyAre || taken * 10 > vectors.len(), "{taken} of {}", vectors.len());
    received
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r031_r060_no_request_makes_bearward_send_what_two_could_read_differently() {
    makes::agree(&all(Through::OwnPort, vectors()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r031_r060_nor_does_one_through_the_gateway() {
    all(Through::Gateway, vectors()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r031_r060_nor_does_one_in_absolute_form_through_the_forward_proxy() {
    all(Through::ProxyAbsolute, vectors()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r003_r031_r060_the_forward_proxy_sends_on_none_that_names_no_origin() {
    let received = all(Through::ProxyAsTheyAre, vectors()).await;
    assert!(received.is_empty(), "it is not even connected to");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r031_r060_nor_does_one_inside_a_tunnel_whose_tls_was_opened() {
    // Every handshake takes its time: a sample.
    let some = vectors().into_iter().filter(|vector| vector.number % 7 == 3).collect();
    all(Through::Tunnel, some).await;
}

/// Says how many of which kind, and shows the first ones.
fn none(wrong: &[String], of: usize) {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for problem in wrong {
        *kinds.entry(problem.split(':').next().unwrap_or_default()).or_default() += 1;
    }
    let first = wrong.iter().take(60).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} problems with {of} vectors: {kinds:#?}\n{first}", wrong.len());
}

fn shown(octets: &[u8]) -> String {
    let end = octets.len().min(400);
    octets[..end].escape_ascii().to_string()
}

/// The answers, in the order of the vectors.
async fn send_all(stage: &Stage, vectors: &[Led]) -> Vec<Vec<u8>> {
    let slots = Semaphore::new(AT_ONCE);
    let sending = vectors.iter().map(async |led| {
        let _slot = slots.acquire().await.unwrap();
        sent(stage.connection().await, led).await
    });
    join_all(sending).await
}

/// All that is answered on a connection of its own.
async fn sent(mut stream: Box<dyn Io>, led: &Led) -> Vec<u8> {
    let (first, second) = led.octets.split_at(led.vector.parted.unwrap_or(led.octets.len()));
    let mut answer = Vec::new();
    let whole = async {
        // It may be refused, and the connection ended, before all of it is written.
        if stream.write_all(first).await.is_ok() && stream.flush().await.is_ok() && !second.is_empty() {
            // Not for luck: whether they are read together or apart, the outcome is the same.
            tokio::task::yield_now().await;
            let _ = stream.write_all(second).await;
            let _ = stream.flush().await;
        }
        // Where more is waited for than ever comes, the end is said after a while.
        while let Ok(read) = tokio::time::timeout(Duration::from_secs(2), stream.read_buf(&mut answer)).await
        {
            if read.is_err() || read.is_ok_and(|length| length == 0) {
                return;
            }
        }
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut answer).await;
    };
    let ended = tokio::time::timeout(PATIENCE, whole).await.is_ok();
    assert!(ended, "it never ends: {}", shown(&led.octets));
    answer
}

/// What arrived of each vector.
fn by_vector<'r>(received: &'r [Received], wrong: &mut Vec<String>) -> BTreeMap<usize, Vec<&'r Message>> {
    let mut arrived: BTreeMap<usize, Vec<&Message>> = BTreeMap::new();
    for message in received.iter().flat_map(|received| &received.messages) {
        let number =
            message.values("x-vector").next().and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        match number {
            Some(number) => arrived.entry(number).or_default().push(message),
            None => wrong.push(format!("SENT UPSTREAM: a request of no vector: {message:?}")),
        }
    }
    arrived
}

fn judged(vector: &Vector, answer: &[u8], arrived: &[&Message]) -> Result<(), String> {
    let asked = [vector.method, "GET"].map(Asked::by);
    let answers = strict::answers(answer, asked).map_err(|violation| format!("ANSWERED: {violation}"))?;
    let statuses: Vec<u16> = answers.iter().filter_map(Message::status).collect();
    let probes = arrived.iter().filter(|message| target(message).starts_with("/probe/")).count();
    let firsts = arrived.len() - probes;
    let read = match (vector.expect, firsts) {
        (Expect::Either(_), 1..) => Expect::Taken,
        (Expect::Either(statuses), 0) => Expect::Refused(statuses),
        (expect, _) => expect,
    };
    let fits = match read {
        Expect::Refused(allowed) => {
            (firsts, probes) == (0, 0) && matches!(statuses[..], [status] if allowed.contains(&status))
        }
        Expect::Turned(allowed) => {
            firsts == 0
                && probes <= 1
                && statuses.len() == 1 + probes
                && allowed.contains(&statuses[0])
                && statuses[1..].iter().all(|status| *status == 200)
        }
        Expect::Taken | Expect::Either(_) => (firsts, probes) == (1, 1) && statuses == [200, 200],
        Expect::Last => (firsts, probes) == (1, 0) && statuses == [200],
        Expect::Kept => arrived.is_empty() && statuses.iter().all(|status| *status >= 400),
        Expect::Any => true,
    };
    if !fits {
        return Err(format!("answered {statuses:?}, and {firsts} with {probes} probes arrived"));
    }
    same_reading(vector, arrived)
}

/// What arrived is what the strict reading of the vector is, where there is one.
fn same_reading(vector: &Vector, arrived: &[&Message]) -> Result<(), String> {
    let Ok(meant) = strict::requests(&vector.octets) else { return Ok(()) };
    for message in arrived {
        let twin = meant.iter().find(|meant| {
            let same_target = target(meant) == target(message) || target(meant).contains("://");
            method(meant) == method(message) && same_target && meant.content == message.content
        });
        if twin.is_none() {
            return Err(format!("what arrived is not what was sent: {message:?}"));
        }
    }
    Ok(())
}

fn target(message: &Message) -> &str {
    match &message.start {
        Start::Request { target, .. } => target,
        Start::Answer { .. } => "",
    }
}

fn method(message: &Message) -> &str {
    match &message.start {
        Start::Request { method, .. } => method,
        Start::Answer { .. } => "",
    }
}
