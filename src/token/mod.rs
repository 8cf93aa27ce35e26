//! Having a token now: held in memory, refreshed before it expires, kept in the store.
//!
//! Knows states, schedules, generations, the store and its lock. Does not know OAuth's wire format (`oauth`), requests
//! of applications (`proxy`) or configuration files. Requests only read or wait; one task per held token does the work.

pub mod held;
pub mod source;
pub mod store;

pub use held::Held;
pub use source::{Cause, Engine, Policy, State, Status, Subjects, Supply, TokenSource, Unavailable};
