//! Which users of this machine may connect to a Unix socket.
//!
//! Knows user ids, and that the kernel says whose a connection is (unix(7), SO_PEERCRED). Does not know requests.

use std::{fmt, io, sync::Arc};

use tokio::net::UnixStream;

/// Users that may connect besides bearward's own and root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users(Arc<[u32]>);

/// Why a connection is closed without a word.
#[derive(Debug)]
pub enum Stranger {
    /// This user is not among those who may.
    User(u32),
    /// The kernel does not say who it is.
    Unknown(io::Error),
}

impl Users {
    /// Those with these ids.
    pub fn new(ids: &[u32]) -> Self {
        Self(ids.into())
    }

    /// The mode of the socket's file. Whoever is listed is seldom of our group: the file lets everybody connect then, and the
    /// kernel's word about the peer decides.
    pub fn mode(&self) -> u32 {
        if self.0.is_empty() { 0o600 } else { 0o666 }
    }

    /// Whether whoever connected may.
    ///
    /// # Errors
    /// They may not, or nobody knows who they are.
    pub fn admit(&self, peer: &UnixStream) -> Result<(), Stranger> {
        let user = peer.peer_cred().map_err(Stranger::Unknown)?.uid();
        let own = rustix::process::geteuid().as_raw();
        if self.may(user, own) { Ok(()) } else { Err(Stranger::User(user)) }
    }

    fn may(&self, user: u32, own: u32) -> bool {
        user == own || user == 0 || self.0.contains(&user)
    }
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => {
                write!(f, "user {user} may not connect; one that may is listed in `allow_users`")
            }
            Self::Unknown(error) => write!(f, "the system does not say whose connection it is: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r025_a_socket_is_for_its_owner_root_and_who_is_listed() {
        for (listed, user, may) in [
            (&[][..], 1000, true),
            (&[], 0, true),
            (&[], 1001, false),
            (&[1001, 65534], 65534, true),
            (&[1001, 65534], 1002, false),
        ] {
            assert_eq!(Users::new(listed).may(user, 1000), may, "{user} where {listed:?} are listed");
        }
        assert_eq!((Users::default().mode(), Users::new(&[1]).mode()), (0o600, 0o666));
    }

    #[tokio::test]
    async fn r025_a_peer_is_who_the_kernel_says() {
        let (one, _other) = UnixStream::pair().unwrap();
        Users::default().admit(&one).expect("this process's own user may");
    }
}
