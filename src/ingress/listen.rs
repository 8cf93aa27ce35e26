//! Listening sockets: bound before anything else changes, one per worker, no address shared by accident.

use std::{
    fmt, fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::users::Users;

/// How many connections may stand in the queue of the system.
pub(super) const BACKLOG: i32 = 1024;

/// Where to listen, as `listen` says it: `ADDRESS:PORT`, or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Listen {
    /// `ADDRESS:PORT`.
    Tcp(SocketAddr),
    /// `unix:/path`.
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Bound sockets for one address, one for each worker, before they belong to a runtime.
#[derive(Debug)]
pub struct Bound {
    /// Where they listen; the port filled in where 0 was asked for.
    pub address: Listen,
    /// One socket a worker.
    pub sockets: Vec<Unstarted>,
}

/// A socket that listens but belongs to no runtime yet.
#[derive(Debug)]
pub enum Unstarted {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// A Unix socket.
    Unix(std::os::unix::net::UnixListener),
}

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    /// The address.
    pub address: Listen,
    /// Why.
    pub source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.address, self.source)?;
        match self.source.kind() {
            io::ErrorKind::AddrInUse => f.write_str("; another program has it, or bearward runs already"),
            io::ErrorKind::PermissionDenied => f.write_str("; ports below 1024 need privileges"),
            io::ErrorKind::AddrNotAvailable => f.write_str("; this machine has no such address"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for BindError {}

/// Binds `address` for `workers`.
///
/// # Errors
/// The address is in use or not to be had.
pub fn bind(address: &Listen, workers: usize) -> Result<Bound, BindError> {
    match address {
        Listen::Tcp(tcp) => bind_tcp(*tcp, workers),
        Listen::Unix(path) => bind_unix(path, workers).map(|sockets| Bound {
            address: address.clone(),
            sockets: sockets.into_iter().map(Unstarted::Unix).collect(),
        }),
    }
    .map_err(|source| BindError { address: address.clone(), source })
}

/// Opens a Unix socket's file to `users`, or closes it to all but its owner. Also where the socket was bound long ago.
///
/// # Errors
/// The file is gone or not ours.
pub fn open_to(address: &Listen, users: &Users) -> Result<(), BindError> {
    let Listen::Unix(path) = address else { return Ok(()) };
    fs::set_permissions(path, fs::Permissions::from_mode(users.mode()))
        .map_err(|source| BindError { address: address.clone(), source })
}

fn bind_tcp(address: SocketAddr, workers: usize) -> io::Result<Bound> {
    // SO_REUSEPORT would share the port with a stranger of the same user without a word: the first bind is exclusive,
    // and only then do our workers share.
    let alone = tcp_socket(address, false)?;
    let local = alone.local_addr()?.as_socket().unwrap_or(address);
    let sockets = if workers == 1 {
        alone.listen(BACKLOG)?;
        vec![alone]
    } else {
        drop(alone);
        let mut sockets = Vec::with_capacity(workers);
        for _ in 0..workers {
            let socket = tcp_socket(local, true)?;
            socket.listen(BACKLOG)?;
            sockets.push(socket);
        }
        sockets
    };
    let sockets = sockets.into_iter().map(|socket| Unstarted::Tcp(socket.into())).collect();
    Ok(Bound { address: Listen::Tcp(local), sockets })
}

fn tcp_socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    // Connections inherit it, which saves each a call of the system.
    socket.set_tcp_nodelay(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn bind_unix(path: &Path, workers: usize) -> io::Result<Vec<std::os::unix::net::UnixListener>> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            fs::remove_file(path)?;
        }
        Ok(_) => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket is there"));
        }
        Err(_) => {}
    }
    // Made with a name nobody knows and opened to nobody else before it gets its own: no moment with wider rights.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let aside = tempfile::Builder::new().prefix(".bearward-").tempdir_in(folder)?;
    let unnamed = aside.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&unnamed)?;
    fs::set_permissions(&unnamed, fs::Permissions::from_mode(0o600))?;
    fs::rename(&unnamed, path)?;
    listener.set_nonblocking(true)?;
    let mut sockets = Vec::with_capacity(workers);
    for _ in 1..workers {
        sockets.push(listener.try_clone()?);
    }
    sockets.push(listener);
    Ok(sockets)
}

/// A listening socket of this runtime.
#[derive(Debug)]
pub enum Listening {
    /// TCP, and where every connection to it ends; none where it listens on all addresses.
    Tcp(TcpListener, Option<SocketAddr>),
    /// A Unix socket.
    Unix(UnixListener),
}

/// A connection that was accepted.
#[derive(Debug)]
pub enum Accepted {
    /// TCP, and its two ends.
    Tcp(TcpStream, Option<Ends>),
    /// A Unix socket.
    Unix(UnixStream),
}

/// The ends of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The address that was connected to.
    pub local: SocketAddr,
    /// Who connected.
    pub peer: SocketAddr,
}

impl Unstarted {
    /// Hands the socket to the current runtime.
    ///
    /// # Errors
    /// The runtime cannot take it.
    pub fn start(self) -> io::Result<Listening> {
        match self {
            Self::Tcp(socket) => {
                let local = socket.local_addr().ok().filter(|local| !local.ip().is_unspecified());
                TcpListener::from_std(socket).map(|socket| Listening::Tcp(socket, local))
            }
            Self::Unix(socket) => UnixListener::from_std(socket).map(Listening::Unix),
        }
    }
}

impl Listening {
    /// The next connection. Safe to drop at any time.
    ///
    /// # Errors
    /// Out of descriptors, or the connection was gone before it was taken.
    pub async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(socket, local) => {
                let (stream, peer) = socket.accept().await?;
                let local = local.or_else(|| stream.local_addr().ok());
                let ends = local.map(|local| Ends { local, peer });
                Ok(Accepted::Tcp(stream, ends))
            }
            Self::Unix(socket) => socket.accept().await.map(|(stream, _peer)| Accepted::Unix(stream)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any_port() -> Listen {
        Listen::Tcp(([127, 0, 0, 1], 0).into())
    }

    #[test]
    fn an_address_in_use_is_refused_also_where_workers_share_ports() {
        for (first, second) in [(1, 1), (2, 1), (1, 2), (2, 2)] {
            let held = bind(&any_port(), first).unwrap();
            let refused = bind(&held.address, second).unwrap_err();
            assert_eq!(refused.source.kind(), io::ErrorKind::AddrInUse, "{first} then {second}");
            assert!(refused.to_string().contains("another program has it"));
        }
    }

    #[test]
    fn every_worker_has_its_own_socket_on_the_same_port() {
        let bound = bind(&any_port(), 3).unwrap();
        assert_eq!(bound.sockets.len(), 3);
        for socket in &bound.sockets {
            let Unstarted::Tcp(socket) = socket else { panic!("TCP was asked for") };
            assert_eq!(Listen::Tcp(socket.local_addr().unwrap()), bound.address);
        }
    }

    #[tokio::test]
    async fn a_connection_knows_its_ends_and_sends_without_delay() {
        for (listen, host) in [("127.0.0.1:0", "127.0.0.1"), ("0.0.0.0:0", "127.0.0.1"), ("[::1]:0", "::1")] {
            let bound = bind(&Listen::Tcp(listen.parse().unwrap()), 1).unwrap();
            let Listen::Tcp(address) = bound.address else { panic!("TCP was asked for") };
            let listening = bound.sockets.into_iter().next().unwrap().start().unwrap();
            let asked = SocketAddr::new(host.parse().unwrap(), address.port());
            let application = TcpStream::connect(asked).await.unwrap();
            let Accepted::Tcp(stream, ends) = listening.accept().await.unwrap() else { panic!("it is TCP") };
            assert!(stream.nodelay().unwrap(), "{listen}");
            assert_eq!(ends, Some(Ends { local: asked, peer: application.local_addr().unwrap() }));
        }
    }

    #[test]
    fn r021_a_unix_socket_is_for_its_owner_and_a_dead_ones_place_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let held = bind(&Listen::Unix(path.clone()), 1).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(bind(&Listen::Unix(path.clone()), 1).unwrap_err().source.kind(), io::ErrorKind::AddrInUse);
        drop(held);
        bind(&Listen::Unix(path), 2).unwrap();
    }
}
