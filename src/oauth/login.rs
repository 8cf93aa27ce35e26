//! How a person logs in: in a browser (RFC 6749 section 4.1), or on another device (RFC 8628).
//!
//! Knows that a grant has one of these ways. Does not know terminals, pages or listeners (`crate::login`).

use super::grant::{authorization_code::AuthorizationCode, device_code::DeviceCode};

/// A grant's way of logging a person in.
#[derive(Clone, Copy, Debug)]
pub enum Login<'a> {
    /// A browser is sent to the authorization endpoint and brings back a code.
    Browser(&'a AuthorizationCode),
    /// A code is entered on another device.
    Device(&'a DeviceCode),
}
