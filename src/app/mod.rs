//! The composition root: Config -> running parts; readiness, reload, shutdown.
