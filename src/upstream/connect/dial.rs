//! One TCP connection to one host and port: name, addresses, sockets.
//!
//! Knows which addresses may be connected to, and in which order they are tried. Each connection resolves the name anew, so a
//! changed address is followed. Does not know TLS.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, task::JoinSet};

use super::{ConnectError, Guard, Origin};

/// How long one address may be silent before the next is tried beside it (RFC 8305 section 5).
const HEAD_START: Duration = Duration::from_millis(250);
/// How long a connection idles before TCP asks whether the peer still lives, and how often then.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);

/// A connection to one of the origin's addresses.
pub(super) async fn reach(origin: &Origin, guard: Option<&Guard>) -> Result<TcpStream, ConnectError> {
    let addresses = resolve(origin).await.map_err(ConnectError::Resolve)?;
    let addresses = match guard {
        Some(guard) => permitted(addresses, guard)?,
        None => addresses,
    };
    first_of(interleaved(addresses)).await
}

/// What of `addresses` may be connected to. What is judged here is what is connected to: nothing is resolved again.
fn permitted(addresses: Vec<SocketAddr>, guard: &Guard) -> Result<Vec<SocketAddr>, ConnectError> {
    let (permitted, prohibited): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| guard.permits(address.ip()));
    match prohibited.first() {
        Some(address) if permitted.is_empty() => Err(ConnectError::Prohibited(address.ip())),
        _ => Ok(permitted),
    }
}

/// The origin's addresses. Names of loopback are never asked of DNS (RFC 6761 section 6.3): cleartext is allowed to them,
/// so nobody else may say where they are.
pub(super) async fn resolve(origin: &Origin) -> io::Result<Vec<SocketAddr>> {
    let host = origin.host().trim_start_matches('[').trim_end_matches(']');
    if origin.is_loopback() && host.parse::<IpAddr>().is_err() {
        let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        return Ok(loopback.map(|address| SocketAddr::new(address, origin.port())).into());
    }
    Ok(tokio::net::lookup_host((host, origin.port())).await?.collect())
}

/// The addresses with the families taking turns (RFC 8305 section 4), so that one broken family costs one head start.
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_family = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first_family);
    let mut second = second.into_iter();
    let mut turns = Vec::new();
    for address in first {
        turns.push(address);
        turns.extend(second.next());
    }
    turns.extend(second);
    turns
}

/// The first connection to stand. The next address is tried as soon as one fails or its head start is over; the other
/// attempts end with the set that holds them.
async fn first_of(addresses: Vec<SocketAddr>) -> Result<TcpStream, ConnectError> {
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut last_problem = None;
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(dial(address));
        } else if attempts.is_empty() {
            return Err(last_problem.unwrap_or_else(|| {
                ConnectError::Resolve(io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
            }));
        }
        let more_to_try = waiting.len() > 0;
        tokio::select! {
            Some(attempt) = attempts.join_next() => match attempt {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(problem)) => last_problem = Some(ConnectError::Refused(problem)),
                Err(ended) => last_problem = Some(ConnectError::Refused(io::Error::other(ended))),
            },
            () = tokio::time::sleep(HEAD_START), if more_to_try => {}
        }
    }
}

async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tokio::net::TcpListener;

    use super::*;
    use crate::upstream::{Elsewhere, Endpoint, Outer, tls};

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn r011_names_of_loopback_are_not_asked_of_dns() {
        for host in ["localhost", "some.thing.localhost", "LocalHost"] {
            let origin = Origin::of(&format!("http://{host}:9/").parse().unwrap()).unwrap();
            let addresses = resolve(&origin).await.unwrap();
            assert!(
                addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 9),
                "{host}"
            );
            assert_eq!(addresses.len(), 2, "both families");
        }
        for literal in ["127.0.0.1", "[::1]"] {
            let origin = Origin::of(&format!("http://{literal}:9/").parse().unwrap()).unwrap();
            assert_eq!(resolve(&origin).await.unwrap(), [format!("{literal}:9").parse().unwrap()]);
        }
    }

    #[tokio::test]
    async fn every_address_is_tried() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let open = listener.local_addr().unwrap();
        assert_eq!(first_of(vec![closed, closed, open]).await.unwrap().peer_addr().unwrap(), open);
        assert!(matches!(first_of(vec![closed, closed]).await, Err(ConnectError::Refused(_))));
        assert!(matches!(first_of(Vec::new()).await, Err(ConnectError::Resolve(_))));
    }

    #[tokio::test]
    async fn r012_no_name_and_no_spelling_leads_to_an_address_that_is_not_permitted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let loopback = Guard::new(vec!["127.0.0.0/8".parse().unwrap()]);
        for host in [
            "localhost",
            "a.localhost",
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "[::ffff:127.0.0.1]",
        ] {
            let origin = Origin::of(&format!("http://{host}:{port}").parse().unwrap()).unwrap();
            let elsewhere = |guard: &Guard| Elsewhere::new(guard.clone(), Outer::None);
            let (guarded, via) = (elsewhere(&Guard::default()), HeaderValue::from_static("1.1 us"));
            let refused = guarded.dial(&origin, &via, PATIENCE).await.unwrap_err();
            assert!(matches!(refused, ConnectError::Prohibited(_)), "{host}: {refused}");
            let settings = tls::Settings::default();
            let endpoint =
                Endpoint::elsewhere(origin.clone(), &settings, PATIENCE, guarded, via.clone()).unwrap();
            let refused = endpoint.connect().await.unwrap_err();
            assert!(refused.to_string().contains("allow_addresses"), "{host}: {refused}");
            elsewhere(&loopback)
                .dial(&origin, &via, PATIENCE)
                .await
                .unwrap_or_else(|error| panic!("{host}: {error}"));
        }
    }

    #[test]
    fn r012_of_several_addresses_only_the_permitted_are_tried() {
        let addresses: Vec<SocketAddr> =
            ["10.0.0.1:1", "8.8.8.8:1", "[::1]:1"].iter().map(|one| one.parse().unwrap()).collect();
        let kept = permitted(addresses, &Guard::default()).unwrap();
        assert_eq!(kept, ["8.8.8.8:1".parse().unwrap()]);
        assert!(permitted(Vec::new(), &Guard::default()).unwrap().is_empty());
    }

    #[test]
    fn the_families_take_turns() {
        let addresses =
            |all: &[&str]| all.iter().map(|one| one.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let resolved = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        let turns = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(interleaved(resolved), turns);
        let resolved = addresses(&["1.1.1.1:1", "[::1]:1", "[::2]:1"]);
        assert_eq!(interleaved(resolved.clone()), resolved);
    }
}
