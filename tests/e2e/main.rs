//! End to end: real sockets, in-process fakes for the remote parties.
