//! Having a token now: held in memory, refreshed before it expires, kept in the store.
//!
//! Knows states, schedules, generations, the store and its lock. Does not know OAuth's wire format (`oauth`), requests
//! of applications (`proxy`) or configuration files. Requests only read or wait; one task per held token does the work.
//!
//! In reading order: [`source`] (what a request may ask for), `shared` (what it and the task have in common), `refresher`
//! (the task), `attempt`, `adopt` and `ask` (how it gets a token), `state` and `schedule` (when), `limit` (how often),
//! `lookout` (what others put into the store), [`login`] (what a person puts there), [`store`].

mod adopt;
mod ask;
mod attempt;
pub mod engine;
pub mod held;
mod limit;
pub mod login;
mod lookout;
mod refresher;
mod schedule;
mod shared;
pub mod source;
mod state;
pub mod store;
pub mod subjects;

#[cfg(test)]
mod tests;

pub use engine::{Engine, Policy};
pub use held::Held;
pub use source::{Cause, Refreshing, Status, TokenSource, Unavailable};
pub use state::State;
pub use store::{Store, StoreError};
pub use subjects::{Subjects, Supply};
