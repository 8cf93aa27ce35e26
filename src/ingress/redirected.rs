//! Connections that were meant for somebody else and that the system redirected to us (`deploy/transparent`).
//!
//! Knows where a connection was going, and that one which was not redirected has no business here. What becomes of it is decided as
//! for a tunnel of the forward proxy ([`intercept_or_tunnel`]). Does not know the rules that redirect.

use std::{io, net::SocketAddr, rc::Rc};

use socket2::SockRef;
use tokio::net::TcpStream;

use super::{
    caller::Caller,
    entrance::Entrance,
    forward::{Destination, intercept_or_tunnel},
    listen::Accepted,
};
use crate::wire::Stream;

/// Serves one connection until its end.
pub async fn serve(accepted: Accepted, entrance: Rc<Entrance>) {
    // `listen` is an address and a port: nothing else is redirected.
    let Accepted::Tcp(stream, ends) = accepted else { return };
    match original_destination(&stream) {
        Ok(destination) => {
            let (stream, caller) = (Stream::Tcp(stream), Caller { ends, ..Caller::default() });
            intercept_or_tunnel(stream, Destination::Redirected(destination), caller, entrance).await;
        }
        Err(error) => {
            let peer = ends.map(|ends| ends.peer.to_string());
            // The kernel's word for it.
            let error = (error.kind() != io::ErrorKind::NotFound).then(|| error.to_string());
            tracing::info!(
                peer,
                error,
                "a connection was not redirected to this listener, and is closed: applications keep their addresses, and the rules of \
                 deploy/transparent/redirect lead their connections here"
            );
        }
    }
}

/// Where a connection was going before the system redirected it (SO_ORIGINAL_DST).
///
/// # Errors
/// It came straight to us: whoever connects to this listener would be led back to it for ever.
fn original_destination(stream: &TcpStream) -> io::Result<SocketAddr> {
    let local = stream.local_addr()?;
    let socket = SockRef::from(stream);
    let original = if local.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() }?;
    let original = original.as_socket().ok_or(io::ErrorKind::InvalidData)?;
    if original == local {
        return Err(io::Error::other("it was meant for this very address"));
    }
    Ok(original)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{io::AsyncReadExt, net::TcpListener};

    use super::*;

    #[tokio::test]
    async fn what_came_straight_to_us_has_no_other_destination() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).await.unwrap();
            let mut application = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            original_destination(&stream).unwrap_err();
            drop(stream);
            let ended = tokio::time::timeout(Duration::from_secs(60), application.read_u8()).await;
            ended.expect("it is closed").unwrap_err();
        }
    }
}
