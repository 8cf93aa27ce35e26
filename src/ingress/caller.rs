//! Who is at the other end of a connection, and what the connection itself says of where its requests are meant to go.
//!
//! Knows addresses, TLS's server name and the origin of a tunnel. Does not know requests.

use super::listen::Ends;
use crate::upstream::Origin;

/// One connection of an application, as its requests see it.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// Its ends; none on a Unix socket.
    pub ends: Option<Ends>,
    /// It is TLS, with this server name (SNI), if the application named one.
    pub tls: Option<ServerName>,
    /// It is the inside of a tunnel or was redirected: every request on it must be for this origin.
    pub meant: Option<Origin>,
}

/// The name that a TLS client asked for (RFC 6066 section 3), lowercased.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerName(pub Option<Box<str>>);
