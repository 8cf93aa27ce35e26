//! How a request reaches us: own port and gateway; who may come in.
