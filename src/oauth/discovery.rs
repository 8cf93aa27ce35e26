//! The metadata of an authorization server (RFC 8414, OpenID Connect Discovery 1.0): where its endpoints are.
//!
//! Knows where metadata is looked for, that its issuer has to be exactly the configured one, and how long it is believed.
//! Does not know what an endpoint is for.
