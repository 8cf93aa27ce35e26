//! A tour in one process: simulated providers, bearward and an application.
