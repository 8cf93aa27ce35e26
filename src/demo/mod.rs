//! A tour in one process: simulated providers, bearward and an application.

pub mod application;
pub mod simulator;
